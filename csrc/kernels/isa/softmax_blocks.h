// What softmax and cross-entropy share: maxima and sums of exponentials over long lines, and over
// columns a strip at a time. For instruction-set objects only.
//
// Note [Lines, tiles and strips]: a long line of classes is worked on by itself, in lanes. Short
// lines would waste most of a vector, so 32 of them are transposed into a tile, and then treated
// like the columns of a block: a strip of samples side by side, each with its classes below it.
#pragma once

#include <cstdint>

#include "kernels/isa/lanes.h"
#include "kernels/softmax.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

inline constexpr int64_t kStrip = 32;      // samples side by side
inline constexpr int64_t kShortLine = 64;  // shorter lines go through tiles

template <class T>
struct MaxOfNumbers {  // a NaN reaches the result through the exponentials anyway
  using Acc = T;
  static constexpr bool kAnyOrder = true;
  static constexpr T identity() { return -kInfinity<T>; }
  TAPEGRAD_INLINE static T map(T x) { return x; }
  TAPEGRAD_INLINE static T combine(T a, T b) { return a < b ? b : a; }
};

/// The sum of exp(x[i] - shift); also stores each into `e` when that is given.
template <bool kStore, class T>
[[gnu::noinline]] T exp_line(const T* x, T shift, T* e, int64_t n) {
  Lanes<Sum<T>> lanes;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) {
      const T t = exp_negative(x[i + j] - shift);
      if constexpr (kStore) e[i + j] = t;
      lanes.lane[j] += t;
    }
  }
  if (i < n) {
    // The rest is filled up with what has no weight, so that it too is one piece.
    alignas(64) T rest[kLanes];
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) rest[j] = i + j < n ? x[i + j] - shift : -kInfinity<T>;
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) {
      rest[j] = exp_negative(rest[j]);
      lanes.lane[j] += rest[j];
    }
    if constexpr (kStore) {
      for (int64_t j = 0; i + j < n; ++j) e[i + j] = rest[j];
    }
  }
  return lanes.total();
}

/// `width` samples side by side; row r of x lies at x + r * stride. With a constant width (a tile)
/// the loops are whole vectors.
template <class T>
struct StripMath {
  alignas(64) T max[kStrip];
  alignas(64) T sum[kStrip];

  template <class Op>
  TAPEGRAD_INLINE void find_max(const T* x, int64_t stride, int64_t rows, int64_t width) {
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) max[j] = x[j];
    for (int64_t r = 1; r < rows; ++r) {
      const T* line = x + r * stride;
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) max[j] = Op::combine(max[j], line[j]);
    }
  }
  /// sum[j] = sum of exp(x - max), each also stored into e when kStore.
  template <bool kStore>
  TAPEGRAD_INLINE void exponentials(const T* x, int64_t stride, T* e, int64_t e_stride,
                                    int64_t rows, int64_t width) {
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) sum[j] = T(0);
    for (int64_t r = 0; r < rows; ++r) {
      const T* line = x + r * stride;
      [[maybe_unused]] T* to = e + r * e_stride;
#pragma omp simd
      for (int64_t j = 0; j < width; ++j) {
        const T t = exp_negative(line[j] - max[j]);
        if constexpr (kStore) to[j] = t;
        sum[j] += t;
      }
    }
  }
};

/// tile[r][i] = row r of sample i. Samples that are not there repeat the last one.
template <class T>
TAPEGRAD_INLINE void load_tile(const T* x, int64_t stride, int64_t rows, int64_t samples, T* tile) {
  for (int64_t i = 0; i < kStrip; ++i) {
    const T* line = x + (i < samples ? i : samples - 1) * stride;
    for (int64_t r = 0; r < rows; ++r) tile[r * kStrip + i] = line[r];
  }
}
template <class T>
TAPEGRAD_INLINE void store_tile(const T* tile, int64_t rows, int64_t samples, T* y,
                                int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int64_t i = 0; i < samples; ++i) y[i * stride + r] = tile[r * kStrip + i];
  }
}

constexpr int64_t grain_of(int64_t elements, int64_t task) {
  return task >= elements ? 1 : elements / (task < 1 ? 1 : task);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
