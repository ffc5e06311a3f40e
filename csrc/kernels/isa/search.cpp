// Loops of kernels/search.h: few boundaries are all compared with each value, many are halved.
#include "kernels/search.h"

#include "core/parallel.h"
#include "kernels/isa/lanes.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kBlock = 64;  // values that go side by side
constexpr int64_t kFew = 128;   // boundaries

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// Whether boundary x stands left of the number v; false where x is NaN.
template <bool kRight, class T>
TAPEGRAD_INLINE bool stands_left(T x, T v) {
  return kRight ? x <= v : x < v;
}
/// The same for any v: before NaN stand the numbers, and with kRight NaN too.
template <bool kRight, class T>
TAPEGRAD_INLINE bool left_of(T x, T v) {
  const int last = static_cast<int>(is_nan(v)) & static_cast<int>(kRight || !is_nan(x));
  return (static_cast<int>(stands_left<kRight>(x, v)) | last) != 0;
}

/// Eight boundaries a pass, as the counts go through memory.
template <bool kRight, class T>
void count_left(const T* v, int64_t m, const T* line, int64_t n, int64_t* place) {
  alignas(64) int32_t found[kBlock];
  for (int64_t j = 0; j < m; ++j) found[j] = 0;
  int64_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const T* x = line + k;
    const T x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3], x4 = x[4], x5 = x[5], x6 = x[6], x7 = x[7];
#pragma omp simd
    for (int64_t j = 0; j < m; ++j) {
      const T y = v[j];
      int32_t f = found[j];
      f += stands_left<kRight>(x0, y) ? 1 : 0;
      f += stands_left<kRight>(x1, y) ? 1 : 0;
      f += stands_left<kRight>(x2, y) ? 1 : 0;
      f += stands_left<kRight>(x3, y) ? 1 : 0;
      f += stands_left<kRight>(x4, y) ? 1 : 0;
      f += stands_left<kRight>(x5, y) ? 1 : 0;
      f += stands_left<kRight>(x6, y) ? 1 : 0;
      f += stands_left<kRight>(x7, y) ? 1 : 0;
      found[j] = f;
    }
  }
  for (; k < n; ++k) {
    const T x = line[k];
#pragma omp simd
    for (int64_t j = 0; j < m; ++j) found[j] += stands_left<kRight>(x, v[j]) ? 1 : 0;
  }
#pragma omp simd
  for (int64_t j = 0; j < m; ++j) place[j] = found[j];
}

/// The steps of a search do not depend on its outcome.
template <bool kRight, class T, class At>
void halve(const T* v, int64_t m, int64_t n, int64_t* place, At at) {
  for (int64_t j = 0; j < m; ++j) place[j] = 0;
  if (n == 0) return;
  for (int64_t left = n; left > 1;) {
    const int64_t half = left / 2;
#pragma omp simd
    for (int64_t j = 0; j < m; ++j)
      place[j] += left_of<kRight>(at(place[j] + half - 1), v[j]) ? half : 0;
    left -= half;
  }
#pragma omp simd
  for (int64_t j = 0; j < m; ++j) place[j] += left_of<kRight>(at(place[j]), v[j]) ? 1 : 0;
}

template <class T>
bool any_nan(const T* v, int64_t m) {
  int found = 0;
#pragma omp simd reduction(+ : found)
  for (int64_t j = 0; j < m; ++j) found += is_nan(v[j]) ? 1 : 0;
  return found != 0;
}

/// Values [begin, end), which share one line of boundaries.
template <bool kRight, class T>
void search_line(void* const* data, const SearchSorted& p, int64_t begin, int64_t end) {
  const int64_t first = begin / p.per_line * p.boundaries, n = p.boundaries;
  const T* values = static_cast<const T*>(data[1]);
  const T* line = static_cast<const T*>(data[2]) + first;
  const auto* sorter = data[3] ? static_cast<const int64_t*>(data[3]) + first : nullptr;
  const auto plain = [line](int64_t k) { return line[k]; };
  const auto sorted = [line, sorter](int64_t k) { return line[sorter[k]]; };
  alignas(64) int64_t place[kBlock];
  for (int64_t at = begin; at < end; at += kBlock) {
    const T* v = values + at;
    const int64_t m = smaller(kBlock, end - at);
    if (sorter)
      halve<kRight>(v, m, n, place, sorted);
    else if (n <= kFew && !any_nan(v, m))
      count_left<kRight>(v, m, line, n, place);
    else
      halve<kRight>(v, m, n, place, plain);
    if (p.int32) {
      auto* out = static_cast<int32_t*>(data[0]) + at;
      for (int64_t j = 0; j < m; ++j) out[j] = static_cast<int32_t>(place[j]);
    } else {
      auto* out = static_cast<int64_t*>(data[0]) + at;
      for (int64_t j = 0; j < m; ++j) out[j] = place[j];
    }
  }
}

template <class T>
void search_all(void* const* data, const SearchSorted& p) {
  core::parallel_for(0, p.count, 2048, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end;) {
      const int64_t last = smaller(end, (i / p.per_line + 1) * p.per_line);
      if (p.right)
        search_line<true, T>(data, p, i, last);
      else
        search_line<false, T>(data, p, i, last);
      i = last;
    }
  });
}

}  // namespace

void search_sorted(void* const* data, const SearchSorted& p) {
  switch (p.dtype) {
    case DType::Float32:
      return search_all<float>(data, p);
    case DType::Float64:
      return search_all<double>(data, p);
    default:
      return search_all<int64_t>(data, p);
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
