// Accumulation in 32 fixed lanes that meet in a fixed tree: the ground of all reductions. See
// Note [Fixed partial results]. For instruction-set objects only; knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/isa/vector_math.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

inline constexpr int64_t kLanes = 32;

template <class T>
TAPEGRAD_INLINE T add_wrapping(T a, T b) {
  if constexpr (__is_same(T, int64_t))
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return a + b;
}
template <class T>
TAPEGRAD_INLINE T mul_wrapping(T a, T b) {
  if constexpr (__is_same(T, int64_t))
    return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  else
    return a * b;
}
template <class T>
TAPEGRAD_INLINE bool is_nan(T x) {
  if constexpr (__is_same(T, float) || __is_same(T, double))
    return x != x;  // NOLINT(misc-redundant-expression)
  else
    return false;
}

// Operations: identity(), map() of an input element, combine() of two accumulators; kAnyOrder says
// that the order does not matter to the result.
template <class T>
struct Sum {
  using Acc = T;
  static constexpr bool kAnyOrder = false;
  static constexpr T identity() { return T(0); }
  template <class In>
  TAPEGRAD_INLINE static T map(In x) {
    return static_cast<T>(x);
  }
  TAPEGRAD_INLINE static T combine(T a, T b) { return add_wrapping(a, b); }
};
template <class T>
struct SumNumbers : Sum<T> {
  TAPEGRAD_INLINE static T map(T x) { return is_nan(x) ? T(0) : x; }
};
template <class T>
struct SumAbs : Sum<T> {
  TAPEGRAD_INLINE static T map(T x) { return abs(x); }
};
template <class T>
struct SumSquares : Sum<T> {
  TAPEGRAD_INLINE static T map(T x) { return x * x; }
};
template <class T>
struct CountNonzero : Sum<T> {
  TAPEGRAD_INLINE static T map(T x) { return x != T(0) ? T(1) : T(0); }
};
template <class T>
struct Prod {
  using Acc = T;
  static constexpr bool kAnyOrder = false;
  static constexpr T identity() { return T(1); }
  template <class In>
  TAPEGRAD_INLINE static T map(In x) {
    return static_cast<T>(x);
  }
  TAPEGRAD_INLINE static T combine(T a, T b) { return mul_wrapping(a, b); }
};

template <class T>
constexpr T lowest() {
  if constexpr (__is_same(T, int64_t))
    return INT64_MIN;
  else if constexpr (__is_same(T, uint8_t))
    return 0;
  else
    return -kInfinity<T>;
}
template <class T>
constexpr T highest() {
  if constexpr (__is_same(T, int64_t))
    return INT64_MAX;
  else if constexpr (__is_same(T, uint8_t))
    return 255;
  else
    return kInfinity<T>;
}

/// NaN wins over numbers. (Two selections: the compiler knows the first as an instruction.)
template <class T>
struct Max {
  using Acc = T;
  static constexpr bool kAnyOrder = true;
  static constexpr T identity() { return lowest<T>(); }
  TAPEGRAD_INLINE static T map(T x) { return x; }
  TAPEGRAD_INLINE static T combine(T a, T b) {
    const T larger = a < b ? b : a;
    return is_nan(b) ? b : larger;
  }
};
template <class T>
struct Min {
  using Acc = T;
  static constexpr bool kAnyOrder = true;
  static constexpr T identity() { return highest<T>(); }
  TAPEGRAD_INLINE static T map(T x) { return x; }
  TAPEGRAD_INLINE static T combine(T a, T b) {
    const T smaller = a > b ? b : a;
    return is_nan(b) ? b : smaller;
  }
};
template <class T>
struct MaxAbs : Max<T> {
  static constexpr T identity() { return T(0); }
  TAPEGRAD_INLINE static T map(T x) { return abs(x); }
};
template <class T>
struct MinAbs : Min<T> {
  TAPEGRAD_INLINE static T map(T x) { return abs(x); }
};

/// 32 accumulators.
template <class Op>
struct Lanes {
  using Acc = typename Op::Acc;
  alignas(64) Acc lane[kLanes];

  TAPEGRAD_INLINE Lanes() {
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) lane[j] = Op::identity();
  }
  /// The lanes met in halves: 0 with 16, 1 with 17, ... Written out, so that they stay in
  /// registers.
  template <int64_t kHalf = kLanes / 2>
  TAPEGRAD_INLINE Acc total() {
#pragma omp simd
    for (int64_t j = 0; j < kHalf; ++j) lane[j] = Op::combine(lane[j], lane[j + kHalf]);
    if constexpr (kHalf > 1)
      return total<kHalf / 2>();
    else
      return lane[0];
  }
};

/// Numbers alone: NaN on the left stays, one on the right may get lost.
template <class Op, class T>
TAPEGRAD_INLINE T combine_numbers(T a, T b) {
  constexpr bool kLargest = Op::identity() <= T(0);
  return kLargest ? (a < b ? b : a) : (a > b ? b : a);
}

/// Max or Min over value(0) ... value(n - 1). NaN are kept apart, and dealt with in a second pass.
/// A short loop over one line after the other: unrolled further, or with several lines at a time,
/// it is up to three times slower from memory, whose prefetchers follow a few regular loads only.
template <int64_t n, class Op, class Value, class Ahead>
TAPEGRAD_INLINE void fold_any_order(Lanes<Op>& lanes, Value value, Ahead ahead) {
  using Acc = typename Op::Acc;
  alignas(64) Acc nan[kLanes] = {};
#pragma GCC unroll 1
  for (int64_t k = 0; k < n; k += kLanes) {
    ahead(k);
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) {
      const Acc x = value(k + j);
      if constexpr (Real<Acc>) nan[j] = is_nan(x) ? x : nan[j];
      lanes.lane[j] = combine_numbers<Op>(lanes.lane[j], x);
    }
  }
  if constexpr (Real<Acc>) {
    int any = 0;
#pragma omp simd reduction(| : any)
    for (int64_t j = 0; j < kLanes; ++j) any |= int(is_nan(nan[j]));
    if (any == 0) return;
    for (int64_t j = 0; j < n; ++j) lanes.lane[0] = Op::combine(lanes.lane[0], value(j));
  }
}

/// Of values that are in the caches already.
struct NoneAhead {
  TAPEGRAD_INLINE void operator()(int64_t) const {}
};

/// Op over value(0) ... value(n - 1). ahead(i) fetches what will be needed long after value(i).
template <class Op, class Value, class Ahead = NoneAhead>
TAPEGRAD_INLINE typename Op::Acc fold_values(int64_t n, Value value, Ahead ahead = {}) {
  using Acc = typename Op::Acc;
  if (n < kLanes / 2) {
    Acc total = Op::identity();
    for (int64_t i = 0; i < n; ++i) total = Op::combine(total, value(i));
    return total;
  }
  Lanes<Op> lanes;
  int64_t i = 0;
  // Lanes over lanes: rounding errors grow with the length of a chain of additions.
  constexpr int64_t kChain = 16;
  for (; i + kChain * kLanes <= n; i += kChain * kLanes) {
    Lanes<Op> inner;
    if constexpr (Op::kAnyOrder) {
      fold_any_order<kChain * kLanes>(
          inner, [=](int64_t j) __attribute__((always_inline)) { return value(i + j); },
          [=](int64_t j) __attribute__((always_inline)) { ahead(i + j); });
    } else {
      for (int64_t k = i; k < i + kChain * kLanes; k += kLanes) {
        ahead(k);
#pragma omp simd
        for (int64_t j = 0; j < kLanes; ++j)
          inner.lane[j] = Op::combine(inner.lane[j], value(k + j));
      }
    }
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) lanes.lane[j] = Op::combine(lanes.lane[j], inner.lane[j]);
  }
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (int64_t j = 0; j < kLanes; ++j) lanes.lane[j] = Op::combine(lanes.lane[j], value(i + j));
  }
  for (int64_t j = 0; i + j < n; ++j) lanes.lane[j] = Op::combine(lanes.lane[j], value(i + j));
  return lanes.total();
}

/// Op over n elements side by side. A function of its own, since each copy takes kilobytes.
template <class Op, class In>
[[gnu::noinline]] typename Op::Acc fold_line(const In* x, int64_t n) {
  return fold_values<Op>(n,
                         [x](int64_t i) __attribute__((always_inline)) { return Op::map(x[i]); });
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
