// Loops of kernels/order_scans.h.
#include "kernels/order_scans.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "kernels/sort_keys.h"

namespace tapegrad::kernels {
namespace {

constexpr int64_t kGrain = 16384;

/// Calls body(a, first column, columns) for strips of columns, on the team.
template <class Body>
void for_strips(const RowShape& s, Body body) {
  const int64_t width = std::clamp<int64_t>(kGrain / s.n, 16, 1024);
  const int64_t strips = (s.c + width - 1) / width;
  const int64_t each = s.n * std::min(width, s.c);
  core::parallel_for(0, s.a * strips, std::max<int64_t>(1, kGrain / each),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t first = t % strips * width;
                         body(t / strips, first, std::min(width, s.c - first));
                       }
                     });
}

template <class T>
using Compared =
    std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>, float, T>;

template <class T>
[[gnu::always_inline]] inline Compared<T> comparable(T x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return core::to_float(x);
  else
    return x;
}

/// Whether x takes the place of the extremum so far.
template <bool kSmallest, class T>
[[gnu::always_inline]] inline bool takes_over(T x_, T best_) {
  const auto x = comparable(x_), best = comparable(best_);
  if constexpr (std::is_floating_point_v<Compared<T>>) {
    const bool nan = x != x, stays = best != best;  // NOLINT(misc-redundant-expression)
    return nan | (!stays & (kSmallest ? x <= best : x >= best));
  }
  return kSmallest ? x <= best : x >= best;
}

/// Whether none of a block takes the place of the extremum so far. One comparison an element, added
/// up: compilers make vectors of that. (False beside NaN too.)
template <bool kSmallest, int64_t kBlock, class T>
[[gnu::always_inline]] inline bool leave_in_place(const T* x, T best_) {
  using Count = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
  const auto best = comparable(best_);
  Count within = 0;
  for (int64_t k = 0; k < kBlock; ++k) {
    const bool is_within = kSmallest ? comparable(x[k]) > best : comparable(x[k]) < best;
    within += is_within ? 1 : 0;
  }
  return within == kBlock;
}

/// One line of elements side by side. Blocks without a new extremum, nearly all of a long line, are
/// filled with the old one.
template <bool kSmallest, class T>
void extremum_line(const T* x, int64_t n, T* values, int64_t* indices) {
  constexpr int64_t kBlock = 16;
  T best = x[0];
  int64_t place = 0;
  for (int64_t i = 0; i < n;) {
    const int64_t end = std::min(i + kBlock, n);
    if (end == i + kBlock && leave_in_place<kSmallest, kBlock>(x + i, best)) {
      std::fill(values + i, values + end, best);
      std::fill(indices + i, indices + end, place);
      i = end;
      continue;
    }
    for (; i < end; ++i) {
      if (takes_over<kSmallest>(x[i], best)) [[unlikely]] {
        best = x[i];
        place = i;
      }
      values[i] = best;
      indices[i] = place;
    }
  }
}

template <bool kSmallest, class T>
void extremum_strips(void* const* data, const RunningExtremum& p) {
  const RowShape& s = p.shape;
  for_strips(s, [&](int64_t a, int64_t first, int64_t columns) {
    const int64_t start = a * s.n * s.c + first;
    T* values = static_cast<T*>(data[0]) + start;
    int64_t* indices = static_cast<int64_t*>(data[1]) + start;
    const T* x = static_cast<const T*>(data[2]) + start;
    if (s.c == 1) return extremum_line<kSmallest>(x, s.n, values, indices);
    std::copy(x, x + columns, values);
    std::fill(indices, indices + columns, int64_t{0});
    for (int64_t i = 1; i < s.n; ++i) {
      const int64_t row = i * s.c;
      for (int64_t j = row; j < row + columns; ++j) {
        const bool over = takes_over<kSmallest>(x[j], values[j - s.c]);
        values[j] = over ? x[j] : values[j - s.c];
        indices[j] = over ? i : indices[j - s.c];
      }
    }
  });
}

/// One column. The sum is kept relative to the greatest element so far, in double.
template <class T>
void logsumexp_column(T* y, const T* x, int64_t n, int64_t step) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double top = -kInfinity, total = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double now = x[i * step];
    if (now <= top) {
      total += now == -kInfinity ? 0.0 : now == top ? 1.0 : std::exp(now - top);
    } else {
      total = (top == -kInfinity ? 0.0 : total * std::exp(top - now)) + 1.0;
      top = now;
    }
    y[i * step] = static_cast<T>(top == -kInfinity ? top : top + std::log(total));
    if (std::isnan(now)) top = total = now;
  }
}

template <class T>
void logsumexp_all(void* const* data, const RunningLogSumExp& p) {
  const RowShape& s = p.shape;
  core::parallel_for(0, s.rows(), std::max<int64_t>(1, 1024 / s.n),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t r = begin; r < end; ++r) {
                         const int64_t start = r / s.c * s.n * s.c + r % s.c;
                         logsumexp_column(static_cast<T*>(data[0]) + start,
                                          static_cast<const T*>(data[1]) + start, s.n, s.c);
                       }
                     });
}

template <class T>
void recurrence_all(void* const* data, const LinearRecurrence& p) {
  const RowShape& s = p.shape;
  for_strips(s, [&](int64_t a, int64_t first, int64_t columns) {
    const int64_t start = a * s.n * s.c + first;
    T* y = static_cast<T*>(data[0]) + start;
    const T* g = static_cast<const T*>(data[1]) + start;
    const T* factor = static_cast<const T*>(data[2]) + start;
    const int64_t back = p.reverse ? s.c : -s.c;
    for (int64_t i = 0; i < s.n; ++i) {
      const int64_t row = (p.reverse ? s.n - 1 - i : i) * s.c;
      if (i == 0) {
        std::copy(g + row, g + row + columns, y + row);
      } else {
        for (int64_t j = row; j < row + columns; ++j) y[j] = g[j] + factor[j] * y[j + back];
      }
    }
  });
}

template <class T>
void runs_of(void* const* data, const FindRuns& p) {
  using Keys = KeyOf<T>;
  auto* values = static_cast<T*>(data[1]);
  auto* places = static_cast<int64_t*>(data[2]);
  auto* counts = static_cast<int64_t*>(data[3]);
  const auto* x = static_cast<const T*>(data[4]);
  const auto* order = static_cast<const int64_t*>(data[5]);
  int64_t groups = 0, start = 0;
  for (int64_t i = 0; i < p.count; ++i) {
    // NaN equals nothing, and starts a run of its own.
    const auto key = Keys::encode(x[i]);
    const bool same = i > 0 && key == Keys::encode(x[i - 1]) && !Keys::is_nan(key);
    if (!same) {
      if (counts && i > 0) counts[groups - 1] = i - start;
      start = i;
      values[groups++] = x[i];
    }
    if (places) places[order ? order[i] : i] = groups - 1;
  }
  if (counts && groups > 0) counts[groups - 1] = p.count - start;
  *static_cast<int64_t*>(data[0]) = groups;
}

template <class T>
void bins_of(void* const* data, const CountBins& p) {
  auto* counts = static_cast<int64_t*>(data[0]);
  const auto* x = static_cast<const T*>(data[1]);
  const T low = static_cast<T>(p.low), high = static_cast<T>(p.high);
  const T bins = static_cast<T>(p.bins), width = high - low;
  for (int64_t i = 0; i < p.count; ++i) {
    if (!(x[i] >= low && x[i] <= high)) continue;
    const auto bin = static_cast<int64_t>((x[i] - low) * bins / width);
    ++counts[std::min(bin, p.bins - 1)];
  }
}

}  // namespace

void running_extremum(void* const* data, const RunningExtremum& p) {
  by_element(p.dtype, [&](auto element) {
    using T = decltype(element);
    return p.smallest ? extremum_strips<true, T>(data, p) : extremum_strips<false, T>(data, p);
  });
}

void running_logsumexp(void* const* data, const RunningLogSumExp& p) {
  return p.is_double ? logsumexp_all<double>(data, p) : logsumexp_all<float>(data, p);
}

void linear_recurrence(void* const* data, const LinearRecurrence& p) {
  return p.is_double ? recurrence_all<double>(data, p) : recurrence_all<float>(data, p);
}

void find_runs(void* const* data, const FindRuns& p) {
  by_element(p.dtype, [&](auto element) { runs_of<decltype(element)>(data, p); });
}

void count_values(void* const* data, const CountValues& p) {
  const auto* x = static_cast<const int64_t*>(data[1]);
  if (const auto* weights = static_cast<const double*>(data[2])) {
    auto* sums = static_cast<double*>(data[0]);
    for (int64_t i = 0; i < p.count; ++i) sums[x[i]] += weights[i];
    return;
  }
  auto* counts = static_cast<int64_t*>(data[0]);
  for (int64_t i = 0; i < p.count; ++i) ++counts[x[i]];
}

void count_bins(void* const* data, const CountBins& p) {
  return p.is_double ? bins_of<double>(data, p) : bins_of<float>(data, p);
}

}  // namespace tapegrad::kernels
