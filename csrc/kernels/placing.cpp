// Loops of kernels/placing.h.
#include "kernels/placing.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"

namespace tapegrad::kernels {
namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kShort = 4096;
constexpr int64_t kTogether = 4;  // lines side by side: each addition waits for the one before

/// One line on its way. Neighbours often go to one place, as those of a running extremum do: their
/// sum stays in a register.
template <class T>
struct Line {
  T* y;
  const T* g;
  const int64_t* index;
  int64_t place = 0;
  T sum = T(0);

  [[gnu::always_inline]] void step(int64_t k) {
    const int64_t next = index[k];
    if (next != place) {
      y[place] = sum;
      place = next;
      sum = y[next];
    }
    sum += g[k];
  }
  [[gnu::always_inline]] void finish() { y[place] = sum; }
};

template <class T>
void place_lines(void* const* data, const PlaceAlong& p, int64_t begin, int64_t end) {
  const int64_t n = p.shape.n, m = p.count;
  T* y = static_cast<T*>(data[0]);
  const T* g = static_cast<const T*>(data[1]);
  const auto* index = static_cast<const int64_t*>(data[2]);
  const auto line = [=](int64_t r) { return Line<T>{y + r * n, g + r * m, index + r * m}; };
  int64_t r = begin;
  for (; n <= kShort && r + kTogether <= end; r += kTogether) {
    std::memset(y + r * n, 0, static_cast<size_t>(kTogether * n) * sizeof(T));
    Line<T> lines[kTogether] = {line(r), line(r + 1), line(r + 2), line(r + 3)};
    for (int64_t k = 0; k < m; ++k) {
      for (Line<T>& l : lines) l.step(k);
    }
    for (Line<T>& l : lines) l.finish();
  }
  for (; r < end; ++r) {
    std::memset(y + r * n, 0, static_cast<size_t>(n) * sizeof(T));
    Line<T> l = line(r);
    // Places of a long line may lie anywhere, outside of the cache.
    constexpr int64_t kAhead = 32, kCacheBytes = 256 * 1024;
    int64_t k = 0;
    if (n * static_cast<int64_t>(sizeof(T)) > kCacheBytes) {
      for (; k + kAhead < m; ++k) {
        __builtin_prefetch(l.y + l.index[k + kAhead]);
        l.step(k);
      }
    }
    for (; k < m; ++k) l.step(k);
    l.finish();
  }
}

/// Columns [first, first + columns) of block a.
template <class T>
void place_columns(void* const* data, const PlaceAlong& p, int64_t a, int64_t first,
                   int64_t columns) {
  const RowShape& s = p.shape;
  T* y = static_cast<T*>(data[0]) + a * s.n * s.c + first;
  const int64_t start = a * p.count * s.c + first;
  const T* g = static_cast<const T*>(data[1]) + start;
  const auto* index = static_cast<const int64_t*>(data[2]) + start;
  for (int64_t i = 0; i < s.n; ++i)
    std::memset(y + i * s.c, 0, static_cast<size_t>(columns) * sizeof(T));
  for (int64_t k = 0; k < p.count; ++k) {
    const int64_t row = k * s.c;
    for (int64_t j = 0; j < columns; ++j) y[index[row + j] * s.c + j] += g[row + j];
  }
}

template <class T>
void place_all(void* const* data, const PlaceAlong& p) {
  const RowShape& s = p.shape;
  if (s.c == 1) {
    core::parallel_for(0, s.a, std::max<int64_t>(1, kGrain / std::max(s.n, p.count)),
                       [&](int64_t begin, int64_t end) { place_lines<T>(data, p, begin, end); });
    return;
  }
  const int64_t width = std::clamp<int64_t>(kGrain / s.n, 16, 1024);
  const int64_t strips = (s.c + width - 1) / width;
  const int64_t each = std::max(s.n, p.count) * std::min(width, s.c);
  core::parallel_for(0, s.a * strips, std::max<int64_t>(1, kGrain / each),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t t = begin; t < end; ++t) {
                         const int64_t first = t % strips * width;
                         place_columns<T>(data, p, t / strips, first, std::min(width, s.c - first));
                       }
                     });
}

}  // namespace

void place_along(void* const* data, const PlaceAlong& p) {
  switch (p.dtype) {
    case DType::Float32:
      return place_all<float>(data, p);
    case DType::Float64:
      return place_all<double>(data, p);
    case DType::Int32:
      return place_all<uint32_t>(data, p);  // unsigned: overflow wraps
    default:
      return place_all<uint64_t>(data, p);
  }
}

}  // namespace tapegrad::kernels
