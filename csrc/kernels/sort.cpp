// Radix sort and selection on keys: kernels/sort.h.
//
// Note [Sorting by keys]
// An element becomes a key (sort_keys.h) and its position. Long rows are sorted by the digits of
// the key, lowest first: each pass is stable, so the whole is, and costs the same for every order
// of the input. Passes in which all keys have the same digit are left out. Short rows are ranked by
// comparing all pairs (kernels/rank.h), those of wide keys go to std::sort, where the position
// breaks ties. What is decoded from a key is the element, but for zeros and NaN, which have several
// encodings and are read from the input.
#include "kernels/sort.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "kernels/rank.h"
#include "kernels/sort_keys.h"
#include "tapegrad/parallel.h"

namespace tapegrad::kernels {
namespace {

constexpr int64_t kShort = 160;  // below, comparisons win
constexpr int64_t kRankRoom = (kShort + kRankLanes - 1) / kRankLanes * kRankLanes;
constexpr int64_t kSampled = 1024;      // below, no sample pays
constexpr int64_t kSelectShort = 6000;  // below, no histogram pays
constexpr int64_t kGrain = 16384;       // elements for which another thread is worth its start
constexpr int kDigit = 8;
constexpr int kBuckets = 1 << kDigit;

template <class Item>
[[gnu::always_inline]] inline int digit_of(const Item& item, int shift) {
  return static_cast<int>((item.key() >> shift) & (kBuckets - 1));
}

/// Turns counts into starts; false when one bucket has them all.
inline bool starts_of(int64_t* counts, int64_t n) {
  int64_t total = 0;
  for (int d = 0; d < kBuckets; ++d) {
    const int64_t count = counts[d];
    if (count == n) return false;
    counts[d] = total;
    total += count;
  }
  return true;
}

/// Sorts n items, using `other` as the second half of the memory; returns where they ended.
template <class Item>
Item* radix_sort(Item* items, Item* other, int64_t n, int bits) {
  const int passes = (bits + kDigit - 1) / kDigit;
  int64_t counts[8][kBuckets] = {};
  for (int64_t i = 0; i < n; ++i) {
    for (int pass = 0; pass < passes; ++pass) ++counts[pass][digit_of(items[i], pass * kDigit)];
  }
  for (int pass = 0; pass < passes; ++pass) {
    int64_t* at = counts[pass];
    if (!starts_of(at, n)) continue;
    const int shift = pass * kDigit;
    for (int64_t i = 0; i < n; ++i) other[at[digit_of(items[i], shift)]++] = items[i];
    std::swap(items, other);
  }
  return items;
}

template <class Item>
Item* sort_items(Item* items, Item* other, int64_t n, int bits) {
  if (n < kShort) {
    std::sort(items, items + n);
    return items;
  }
  return radix_sort(items, other, n, bits);
}

/// One row: element i is x[i * step], and step is 1 when it is dense.
template <class T, class Item, bool kDense>
struct Row {
  using Keys = KeyOf<T>;
  using Key = typename Item::Key;
  const T* x;
  int64_t n;
  int64_t step;
  Key flip;  // all ones for a descending order

  int64_t at(int64_t i) const { return kDense ? i : i * step; }
  Key key(int64_t i) const { return static_cast<Key>(Keys::encode(x[at(i)])) ^ flip; }
  Key limit() const {
    return Keys::kBits == 64 ? ~Key{0} : static_cast<Key>((uint64_t{1} << (Keys::kBits % 64)) - 1);
  }
  void fill(Item* items) const {
    for (int64_t i = 0; i < n; ++i) items[i] = Item::make(key(i), i);
  }
  int64_t count_nan() const {
    int64_t nans = 0;
    if constexpr (Keys::kHasNan) {
      constexpr int64_t kBlock = 4096;
      for (int64_t begin = 0; begin < n; begin += kBlock) {
        const int64_t end = std::min(n, begin + kBlock);
        int found = 0;
        for (int64_t i = begin; i < end; ++i) found += Keys::holds_nan(x[at(i)]);
        nans += found;
      }
    }
    return nans;
  }
  /// Whether rank() serves this row.
  bool is_ranked() const { return sizeof(Key) == 4 && n < kShort; }
  /// The place of each element in order.
  void rank(int32_t (&ranks)[kRankRoom]) const {
    alignas(64) int32_t keys[kRankRoom];
    for (int64_t i = 0; i < n; ++i)
      keys[i] = static_cast<int32_t>(static_cast<uint32_t>(key(i)) ^ 0x80000000u);
    for (int64_t i = n; i % kRankLanes != 0; ++i) keys[i] = 0;
    void* const operands[] = {ranks, keys};
    rank_keys(operands, {n});
  }
  T value(const Item& item) const {
    const auto plain = static_cast<typename Keys::Key>(item.key() ^ flip);
    return Keys::exact(plain) ? Keys::decode(plain) : x[at(item.position())];
  }

  /// The k least items, in any order, in the returned memory (room for n). Of the row, only what is
  /// less than the k-th of those seen so far is kept.
  void least(Item* items, int64_t k) const {
    const int64_t room = std::min(n, std::max(2 * k, k + 1024));
    int64_t count = 0, i = 0;
    for (; i < room; ++i) items[count++] = Item::make(key(i), i);
    while (true) {
      if (count > k) std::nth_element(items, items + k - 1, items + count);
      if (i == n) return;
      count = k;
      const Key bound = items[k - 1].key();
      while (i < n && count < room) i = collect(items, count, room, i, bound);
    }
  }

  /// Item k (from 0) in order, or null when the sample was a bad one. A sample tells between which
  /// keys the item lies, most likely (three standard deviations to each side), and only what lies
  /// there is kept: Floyd and Rivest, "Expected time bounds for selection", 1975.
  const Item* nth_by_sample(Item* items, int64_t k) const {
    const int64_t m = std::clamp<int64_t>(n / 16, 128, 4096), apart = n / m;
    for (int64_t i = 0; i < m; ++i) items[i] = Item::make(key(i * apart), i * apart);
    const auto spread = static_cast<int64_t>(1.5 * std::sqrt(static_cast<double>(m))) + 2;
    const auto middle = static_cast<int64_t>(static_cast<double>(k) / static_cast<double>(n) *
                                             static_cast<double>(m));
    const int64_t first = std::max<int64_t>(0, middle - spread), last = middle + spread;
    std::nth_element(items, items + first, items + m);
    const Key low = middle < spread ? Key{0} : items[first].key();
    if (last < m) std::nth_element(items + first, items + last, items + m);
    const Key width = (last < m ? items[last].key() : limit()) - low;
    int64_t below = 0, count = 0;
    constexpr int64_t kBlock = 16;
    const auto keep = [&](Key own, int64_t i) {
      items[count] = Item::make(own, i);
      count += own - low <= width;
    };
    // Signed numbers in the same order, as compilers have instructions for their comparison.
    using Signed = std::make_signed_t<Key>;
    const auto as_signed = [](Key key) {
      return static_cast<Signed>(key ^ (Key{1} << (sizeof(Key) * 8 - 1)));
    };
    const Signed lowest = as_signed(low), highest = as_signed(low + width);
    int64_t i = 0;
    for (; i + kBlock <= n; i += kBlock) {
      Key own[kBlock];
      Signed less = 0, no_more = 0;
#pragma GCC unroll 1
      for (int64_t j = 0; j < kBlock; ++j) {
        own[j] = key(i + j);
        less += as_signed(own[j]) < lowest ? 1 : 0;
        no_more += as_signed(own[j]) <= highest ? 1 : 0;
      }
      below += static_cast<int64_t>(less);
      for (int64_t j = 0; no_more > less && j < kBlock; ++j) keep(own[j], i + j);
    }
    for (; i < n; ++i) {
      below += key(i) < low;
      keep(key(i), i);
    }
    if (k < below || k - below >= count) return nullptr;
    std::nth_element(items, items + (k - below), items + count);
    return items + (k - below);
  }

  /// Item k (from 0) in order: by a sample, else by a histogram of the leading bits.
  Item nth(Item* items, int64_t k) const {
    if (n >= kSampled) {
      if (const Item* found = nth_by_sample(items, k)) return *found;
    }
    if (n < kSelectShort) {
      fill(items);
      std::nth_element(items, items + k, items + n);
      return items[k];
    }
    constexpr int kLead = Keys::kBits < 11 ? Keys::kBits : 11;
    constexpr int kShift = Keys::kBits - kLead;
    // Two tables, as neighbours often meet in one bucket and would wait for each other.
    int64_t counts[2][1 << kLead] = {};
    int64_t i = 0;
    for (; i + 1 < n; i += 2) {
      ++counts[0][static_cast<size_t>(key(i) >> kShift)];
      ++counts[1][static_cast<size_t>(key(i + 1) >> kShift)];
    }
    if (i < n) ++counts[0][static_cast<size_t>(key(i) >> kShift)];
    size_t bucket = 0;
    for (; k >= counts[0][bucket] + counts[1][bucket]; ++bucket)
      k -= counts[0][bucket] + counts[1][bucket];
    int64_t count = 0;
    for (i = 0; i < n; ++i) {
      const Key own = key(i);
      items[count] = Item::make(own, i);
      count += (own >> kShift) == bucket;
    }
    std::nth_element(items, items + k, items + count);
    return items[k];
  }

 private:
  /// Appends what is below the bound, from element i on; returns where it stopped.
  int64_t collect(Item* items, int64_t& count, int64_t room, int64_t i, Key bound) const {
    constexpr int64_t kBlock = 32;
    if (i + kBlock <= n) {
      int found = 0;
      for (int64_t j = 0; j < kBlock; ++j) found += key(i + j) < bound;
      if (found == 0) return i + kBlock;
    }
    const int64_t end = std::min(n, i + kBlock);
    for (; i < end && count < room; ++i) {
      const Key own = key(i);
      if (own < bound) items[count++] = Item::make(own, i);
    }
    return i;
  }
};

/// Writes the first p.k elements of a row, element i to values[i * p.shape.c] and its place beside.
template <class T, class Item, bool kDense>
void sort_row(const Row<T, Item, kDense>& row, const SortRows& p, Item* items, T* values,
              int64_t* indices) {
  const int64_t n = p.shape.n, c = p.shape.c;
  if (row.is_ranked() && 2 * p.k >= n) {
    alignas(64) int32_t ranks[kRankRoom];
    row.rank(ranks);
    for (int64_t i = 0; i < n; ++i) {
      if (ranks[i] >= p.k) continue;
      if (values) values[ranks[i] * c] = row.x[row.at(i)];
      if (indices) indices[ranks[i] * c] = i;
    }
    return;
  }
  Item* sorted = items;
  if (p.k < n) {
    row.least(items, p.k);
    if (p.ordered) sorted = sort_items(items, items + n, p.k, KeyOf<T>::kBits);
  } else {
    row.fill(items);
    sorted = sort_items(items, items + n, n, KeyOf<T>::kBits);
  }
  for (int64_t i = 0; i < p.k; ++i) {
    if (values) values[i * c] = row.value(sorted[i]);
    if (indices) indices[i * c] = sorted[i].position();
  }
}

template <class T, class Item, bool kDense>
void sort_all(void* const* data, const SortRows& p) {
  const RowShape& s = p.shape;
  auto* values = static_cast<T*>(data[0]);
  auto* indices = static_cast<int64_t*>(data[1]);
  using R = Row<T, Item, kDense>;
  core::parallel_for(
      0, s.rows(), std::max<int64_t>(1, kGrain / s.n), [&](int64_t begin, int64_t end) {
        Item* items = static_cast<Item*>(data[3]) + core::thread_index() * 2 * s.n;
        for (int64_t r = begin; r < end; ++r) {
          const int64_t a = r / s.c, c = r % s.c, to = a * p.k * s.c + c;
          R row{static_cast<const T*>(data[2]) + a * s.n * s.c + c, s.n, s.c, 0};
          if (p.descending) row.flip = row.limit();
          sort_row(row, p, items, values ? values + to : nullptr, indices ? indices + to : nullptr);
        }
      });
}

/// The last item of the longest run of equal keys, the first such run. NaN equals nothing.
template <class Keys, class Item>
Item most_frequent(const Item* sorted, int64_t n) {
  int64_t best = 0, best_length = 0;
  for (int64_t i = 0; i < n;) {
    int64_t end = i + 1;
    while (end < n && sorted[end].key() == sorted[i].key()) ++end;
    if (Keys::is_nan(static_cast<typename Keys::Key>(sorted[i].key()))) end = i + 1;
    if (end - i > best_length) {
      best = end - 1;
      best_length = end - i;
    }
    i = end;
  }
  return sorted[best];
}

template <class T, class Item, bool kDense>
Item find_rank(const Row<T, Item, kDense>& row, const RowStatistic& p, Item* items) {
  using Keys = KeyOf<T>;
  if (p.rank == Rank::Kth) return row.nth(items, p.k - 1);
  if (p.rank == Rank::Mode) {
    if (row.is_ranked()) {
      alignas(64) int32_t ranks[kRankRoom];
      row.rank(ranks);
      for (int64_t i = 0; i < row.n; ++i) items[ranks[i]] = Item::make(row.key(i), i);
      return most_frequent<Keys>(items, row.n);
    }
    row.fill(items);
    return most_frequent<Keys>(sort_items(items, items + row.n, row.n, Keys::kBits), row.n);
  }
  const int64_t nans = row.count_nan();
  if (nans > 0 && p.rank == Rank::Median) {
    int64_t i = 0;
    while (!Keys::is_nan(static_cast<typename Keys::Key>(row.key(i)))) ++i;
    return Item::make(row.key(i), i);
  }
  return row.nth(items, std::max<int64_t>(0, (row.n - nans - 1) / 2));
}

template <class T, class Item, bool kDense>
void statistic_all(void* const* data, const RowStatistic& p) {
  const RowShape& s = p.shape;
  auto* values = static_cast<T*>(data[0]);
  auto* indices = static_cast<int64_t*>(data[1]);
  core::parallel_for(
      0, s.rows(), std::max<int64_t>(1, kGrain / s.n), [&](int64_t begin, int64_t end) {
        Item* items = static_cast<Item*>(data[3]) + core::thread_index() * 2 * s.n;
        for (int64_t r = begin; r < end; ++r) {
          const T* x = static_cast<const T*>(data[2]) + r / s.c * s.n * s.c + r % s.c;
          const Row<T, Item, kDense> row{x, s.n, s.c, 0};
          const Item found = find_rank(row, p, items);
          values[r] = row.value(found);
          indices[r] = found.position();
        }
      });
}

bool fits_packed(const RowShape& s, DType dtype) {
  return item_size(dtype) <= 4 && s.n < (int64_t{1} << 32);
}

/// Calls f(T(), Item()).
template <class F>
void by_item(const RowShape& s, DType dtype, F f) {
  by_element(dtype, [&](auto element) {
    using T = decltype(element);
    if constexpr (sizeof(T) <= 4) {
      if (fits_packed(s, dtype)) return f(T(), Packed());
    }
    f(T(), Wide());
  });
}

}  // namespace

int64_t sort_scratch(const RowShape& shape, DType dtype) {
  const int64_t size = fits_packed(shape, dtype) ? sizeof(Packed) : sizeof(Wide);
  const int64_t lanes = shape.rows() == 1 ? 1 : get_num_threads();
  return lanes * 2 * shape.n * size;
}

void sort_rows(void* const* data, const SortRows& p) {
  by_item(p.shape, p.dtype, [&](auto element, auto item) {
    if (p.shape.c == 1)
      sort_all<decltype(element), decltype(item), true>(data, p);
    else
      sort_all<decltype(element), decltype(item), false>(data, p);
  });
}

void row_statistic(void* const* data, const RowStatistic& p) {
  by_item(p.shape, p.dtype, [&](auto element, auto item) {
    if (p.shape.c == 1)
      statistic_all<decltype(element), decltype(item), true>(data, p);
    else
      statistic_all<decltype(element), decltype(item), false>(data, p);
  });
}

}  // namespace tapegrad::kernels
