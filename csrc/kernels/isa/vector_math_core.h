// The ground that the vector math stands on: bit access, fused multiply-add, polynomials, rounding,
// selection. Everything is a branch-free scalar function on float or double, always inlined, in the
// namespace of one instruction-set level (TAPEGRAD_ISA), so that a plain loop under `#pragma omp
// simd` becomes vector code. It must know no STL, no libm beyond builtins that are single
// instructions, and no intrinsics.
#pragma once

#include <cstdint>

#ifndef TAPEGRAD_ISA
#error "define TAPEGRAD_ISA (v2, v3, v4 or base) before including vector math"
#endif

#define TAPEGRAD_INLINE [[gnu::always_inline]] inline

namespace tapegrad::kernels::TAPEGRAD_ISA {

template <class T>
inline constexpr bool kIsFloat = __is_same(T, float);

template <class T>
concept Real = __is_same(T, float) || __is_same(T, double);

// Layout of an IEEE number. kMagic + n holds the integer n in its low bits, exactly, for |n| <
// 2^(kMantissa - 1).
template <Real T>
struct Ieee;

template <>
struct Ieee<float> {
  using Bits = std::uint32_t;
  using Signed = std::int32_t;
  static constexpr int kMantissa = 23;
  static constexpr Bits kBias = 127;
  static constexpr Bits kSign = 0x80000000U;
  static constexpr float kMagic = 0x1.8p23f;
  static constexpr float kMinNormal = 0x1p-126f;
};

template <>
struct Ieee<double> {
  using Bits = std::uint64_t;
  using Signed = std::int64_t;
  static constexpr int kMantissa = 52;
  static constexpr Bits kBias = 1023;
  static constexpr Bits kSign = 0x8000000000000000U;
  static constexpr double kMagic = 0x1.8p52;
  static constexpr double kMinNormal = 0x1p-1022;
};

template <Real T>
inline constexpr T kInfinity = static_cast<T>(__builtin_inf());
template <Real T>
inline constexpr T kNaN = static_cast<T>(__builtin_nan(""));

TAPEGRAD_INLINE std::uint32_t bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }
TAPEGRAD_INLINE std::uint64_t bits(double x) { return __builtin_bit_cast(std::uint64_t, x); }
TAPEGRAD_INLINE float from_bits(std::uint32_t b) { return __builtin_bit_cast(float, b); }
TAPEGRAD_INLINE double from_bits(std::uint64_t b) { return __builtin_bit_cast(double, b); }

// a * b + c in one rounding where the level has the instruction, in two elsewhere.
TAPEGRAD_INLINE float fma(float a, float b, float c) {
#ifdef __FMA__
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
TAPEGRAD_INLINE double fma(double a, double b, double c) {
#ifdef __FMA__
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

// c0 + x * (c1 + x * (c2 + ...))
template <Real T>
TAPEGRAD_INLINE T horner(T, T c0) {
  return c0;
}
template <Real T, class... Rest>
TAPEGRAD_INLINE T horner(T x, T c0, T c1, Rest... rest) {
  return fma(horner(x, c1, rest...), x, c0);
}

template <Real T>
TAPEGRAD_INLINE T select(bool condition, T a, T b) {
  return condition ? a : b;
}

TAPEGRAD_INLINE float abs(float x) { return __builtin_fabsf(x); }
TAPEGRAD_INLINE double abs(double x) { return __builtin_fabs(x); }
TAPEGRAD_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
TAPEGRAD_INLINE double sqrt(double x) { return __builtin_sqrt(x); }
TAPEGRAD_INLINE float floor(float x) { return __builtin_floorf(x); }
TAPEGRAD_INLINE double floor(double x) { return __builtin_floor(x); }
TAPEGRAD_INLINE float ceil(float x) { return __builtin_ceilf(x); }
TAPEGRAD_INLINE double ceil(double x) { return __builtin_ceil(x); }
TAPEGRAD_INLINE float trunc(float x) { return __builtin_truncf(x); }
TAPEGRAD_INLINE double trunc(double x) { return __builtin_trunc(x); }
// Half to even.
TAPEGRAD_INLINE float round(float x) { return __builtin_rintf(x); }
TAPEGRAD_INLINE double round(double x) { return __builtin_rint(x); }
TAPEGRAD_INLINE float copysign(float x, float y) { return __builtin_copysignf(x, y); }
TAPEGRAD_INLINE double copysign(double x, double y) { return __builtin_copysign(x, y); }

template <Real T>
TAPEGRAD_INLINE T rsqrt(T x) {
  return T(1) / sqrt(x);
}
template <Real T>
TAPEGRAD_INLINE T reciprocal(T x) {
  return T(1) / x;
}
template <Real T>
TAPEGRAD_INLINE bool isnan(T x) {
  return x != x;  // NOLINT(misc-redundant-expression)
}
template <Real T>
TAPEGRAD_INLINE bool isfinite(T x) {
  return abs(x) < kInfinity<T>;
}

// -1, 0 or 1; 0 for NaN, as PyTorch's sign.
template <Real T>
TAPEGRAD_INLINE T sign(T x) {
  return select(x > T(0), T(1), T(0)) - select(x < T(0), T(1), T(0));
}

// Carry NaN of either side.
template <Real T>
TAPEGRAD_INLINE T maximum(T a, T b) {
  return select(isnan(a), a, select(a < b || isnan(b), b, a));
}
template <Real T>
TAPEGRAD_INLINE T minimum(T a, T b) {
  return select(isnan(a), a, select(a > b || isnan(b), b, a));
}
// Take the number where one side is NaN.
template <Real T>
TAPEGRAD_INLINE T fmax(T a, T b) {
  return select(a > b || isnan(b), a, b);
}
template <Real T>
TAPEGRAD_INLINE T fmin(T a, T b) {
  return select(a < b || isnan(b), a, b);
}

// lo or hi outside of [lo, hi]; NaN stays.
template <Real T>
TAPEGRAD_INLINE T clamp(T x, T lo, T hi) {
  const T y = lo > x ? lo : x;
  return hi < y ? hi : y;
}

// x with its sign bit flipped where y's is set.
template <Real T>
TAPEGRAD_INLINE T flip_sign(T x, T y) {
  return from_bits(bits(x) ^ (bits(y) & Ieee<T>::kSign));
}

// An unevaluated sum of two numbers.
template <Real T>
struct Pair {
  T hi, lo;
};

// x as a sum of two numbers of half the digits.
template <Real T>
TAPEGRAD_INLINE Pair<T> split(T x) {
  constexpr typename Ieee<T>::Bits kLow = kIsFloat<T> ? 12 : 27;
  const T hi = from_bits((bits(x) >> kLow) << kLow);
  return {hi, x - hi};
}

// a * b, exactly.
template <Real T>
TAPEGRAD_INLINE Pair<T> two_product(T a, T b) {
  const T p = a * b;
#ifdef __FMA__
  return {p, fma(a, b, -p)};
#else
  const auto [ah, al] = split(a);
  const auto [bh, bl] = split(b);
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
#endif
}

// a + b, exactly, for |a| >= |b|.
template <Real T>
TAPEGRAD_INLINE Pair<T> fast_two_sum(T a, T b) {
  const T s = a + b;
  return {s, b - (s - a)};
}

// a + b, exactly.
template <Real T>
TAPEGRAD_INLINE Pair<T> two_sum(T a, T b) {
  const T s = a + b;
  const T t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
