// Functions of two numbers: pow, hypot, fmod. It may use exponentials and logarithms.
//
// Note [Power]: pow(x, y) = exp(y log|x|), and the error of the exponent is multiplied by up to
// 745. So float works in double, and double carries log|x| = k ln2 + 2 atanh(s) as a sum of two
// numbers: s, s^2 and the first term of the series in both parts, the other terms, which are below
// 2^-12, in one.
#pragma once

#include "kernels/isa/vector_math_core.h"
#include "kernels/isa/vector_math_exp.h"
#include "kernels/isa/vector_math_log.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

// |x|^y for positive finite x; where x is 1 the answer is 1, also for infinite y.
TAPEGRAD_INLINE float pow_positive(float x, float y) {
  const auto [k, f] = log_reduce(static_cast<double>(x));
  const double s = f / (2.0 + f);
  const double log2 = fma(s,
                          horner(s * s, 0x1.71547652bee26p+1, 0x1.ec709d12ac015p-1,
                                 0x1.27777fff46f6cp-1, 0x1.a58d7eb22c497p-2, 0x1.5ce90b96cd25ap-2),
                          k);
  return static_cast<float>(exp2_short(log2 * static_cast<double>(y)));
}

// log(x) as a sum of two numbers, with about 66 correct bits.
TAPEGRAD_INLINE Pair<double> log_double(double x) {
  using C = LogConstants<double>;
  const auto [k, f] = log_reduce(x);
  const double d = 2.0 + f;
  const double s = f / d;
  const auto [sd, sd_low] = two_product(s, d);
  const double s_low = (((f - sd) - sd_low) - s * (f - (d - 2.0))) / d;
  const auto [z, square_low] = two_product(s, s);
  const double z_low = fma(2.0 * s, s_low, square_low);
  const double b = horner(z, 0x1.9999999999b2fp-2, 0x1.2492492457f1ep-2, 0x1.c71c722d42b06p-3,
                          0x1.745ce9ee66b83p-3, 0x1.3b1eea4000e65p-3, 0x1.0f800f311ce22p-3,
                          0x1.0e4172ca6ebf5p-3);
  // q = 2/3 + z b; log(1 + f) = 2 s + s z q
  const auto [q, q_rest] = fast_two_sum(0x1.5555555555555p-1, z * b);
  const double q_low = q_rest + 0x1.5555555555555p-55;
  const auto [zq, zq_rest] = two_product(z, q);
  const double zq_low = fma(z, q_low, fma(z_low, q, zq_rest));
  const auto [szq, szq_rest] = two_product(s, zq);
  const double szq_low = fma(s, zq_low, fma(s_low, zq, szq_rest));
  const auto [sum, sum_rest] = fast_two_sum(2.0 * s, szq);
  const double sum_low = sum_rest + fma(2.0, s_low, szq_low);
  const auto [high, high_rest] = two_sum(k * C::kLn2High, sum);
  const auto [total, rest] = fast_two_sum(high, fma(k, C::kLn2Low, high_rest + sum_low));
  return {total, rest};
}

TAPEGRAD_INLINE double pow_positive(double x, double y) {
  const auto [high, low] = log_double(x);
  const auto [w, w_rest] = two_product(high, y);
  const bool inside = abs(w) < 760.0;
  const double w_low = select(inside, fma(y, low, w_rest), 0.0);
  const auto [r, scale1, scale2] = exp_reduce(clamp(w, -750.0, 750.0));
  const double r2 = r + w_low;
  const double p = fma(fma(exp_tail(r2), r2, 1.0), r2, 1.0);
  return p * scale1 * scale2;
}

// The special cases of the C standard (C99, F.9.4.4).
template <Real T>
TAPEGRAD_INLINE T pow(T x, T y) {
  const T a = abs(x);
  const bool whole = round(y) == y;
  const T half = y * T(0.5);
  const T odd_sign = select(whole, select(round(half) != half, x, T(1)), T(1));
  // a = 0 and infinity: the answer is 0 or infinity by the sign of y.
  const T edge = select(select(a == T(0), -y, y) > T(0), kInfinity<T>, T(0));
  const T inner = pow_positive(a, y);
  const T regular = select(a > T(0), select(a < kInfinity<T>, inner, edge), edge);
  const T number = select(a == T(1), T(1), regular);
  const T domain =
      select(x < T(0), select(whole, number, select(a < kInfinity<T>, kNaN<T>, number)), number);
  const T carried = select(isnan(x), x, select(isnan(y), y, copysign(domain, odd_sign)));
  return select(y == T(0), T(1), select(x == T(1), T(1), carried));
}

template <Real T>
TAPEGRAD_INLINE T hypot(T x, T y) {
  constexpr T kHuge = kIsFloat<T> ? T(0x1p60) : T(0x1p500);
  constexpr T kTiny = kIsFloat<T> ? T(0x1p-40) : T(0x1p-400);
  constexpr T kDown = kIsFloat<T> ? T(0x1p-70) : T(0x1p-600);
  constexpr T kUp = kIsFloat<T> ? T(0x1p90) : T(0x1p600);
  const T ax = abs(x);
  const T ay = abs(y);
  const T larger = select(ax < ay, ay, ax);
  const T scale = select(larger > kHuge, kDown, select(larger < kTiny, kUp, T(1)));
  const T back = select(larger > kHuge, T(1) / kDown, select(larger < kTiny, T(1) / kUp, T(1)));
  const T u = ax * scale;
  const T v = ay * scale;
  const T length = sqrt(fma(u, u, v * v)) * back;
  // Infinite also where the other side is NaN.
  return select(ax == kInfinity<T>, ax, select(ay == kInfinity<T>, ay, length));
}

// Whether near_fmod(x, y) is exact: the quotient has so few digits that it is found at once. False
// for NaN, an infinite x and y = 0.
template <Real T>
TAPEGRAD_INLINE bool has_near_quotient(T x, T y) {
#ifndef __FMA__
  if constexpr (!kIsFloat<T>) return false;
#endif
  constexpr T kLimit = kIsFloat<T> ? T(0x1p28) : T(0x1p50);
  return abs(x / y) < kLimit;
}
// In double the whole quotient, its product with y and the difference are exact.
TAPEGRAD_INLINE float near_fmod(float x, float y) {
  const double wide = static_cast<double>(x);
  const double divisor = static_cast<double>(y);
  return copysign(static_cast<float>(wide - trunc(wide / divisor) * divisor), x);
}
// The quotient may have been rounded up to a whole number: the remainder is then negative by y.
TAPEGRAD_INLINE double near_fmod(double x, double y) {
  const double magnitude = abs(x);
  const double divisor = abs(y);
  const double r = fma(-trunc(magnitude / divisor), divisor, magnitude);
  return copysign(r + select(r < 0.0, divisor, 0.0), x);
}
// Exact for all numbers, by the C library: such a loop does not become vector code.
TAPEGRAD_INLINE float fmod(float x, float y) { return __builtin_fmodf(x, y); }
TAPEGRAD_INLINE double fmod(double x, double y) { return __builtin_fmod(x, y); }

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
