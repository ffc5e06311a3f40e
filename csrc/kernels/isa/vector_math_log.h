// Logarithms for float and double, and what is made of them: log, log2, log10, log1p, log1p_exp,
// asinh, acosh, atanh. It may use the exponentials, no other family.
//
// Note [Logarithm]: x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), so that f is small on both
// sides of 1 and log(x) = k ln2 + log(1 + f) keeps its digits near x = 1. log(1 + f) is a
// polynomial in f for float; for double it is 2 atanh(s) with s = f / (2 + f), whose series is in
// s^2 and half as long.
#pragma once

#include "kernels/isa/vector_math_core.h"
#include "kernels/isa/vector_math_exp.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

template <Real T>
struct LogConstants;

template <>
struct LogConstants<float> {
  static constexpr std::uint32_t kSqrtHalf = 0x3f3504f3;  // bits of sqrt(1/2)
  static constexpr float kLn2High = 0x1.62e4p-1f;
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kLog10Of2High = 0x1.344p-2f;
  static constexpr float kLog10Of2Low = 0x1.3509f8p-18f;
  static constexpr float kBiasMagic = 0x1p23f + 127;
  static constexpr std::uint32_t kMagicBits = 0x4b000000;
};

template <>
struct LogConstants<double> {
  static constexpr std::uint64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
  static constexpr double kLn2High = 0x1.62e42fefap-1;
  static constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;
  static constexpr double kLog10Of2High = 0x1.34413509fp-2;
  static constexpr double kLog10Of2Low = 0x1.e7fbcc47c4acdp-40;
  static constexpr double kLog2eHigh = 0x1.7154765p+0;
  static constexpr double kLog2eLow = 0x1.5c17f0bbbe88p-31;
  static constexpr double kLog10eHigh = 0x1.bcb7b15p-2;
  static constexpr double kLog10eLow = 0x1.37287195355bbp-33;
  static constexpr double kBiasMagic = 0x1p52 + 1023;
  static constexpr std::uint64_t kMagicBits = 0x4330000000000000;
};

template <Real T>
struct LogParts {
  T k, f;
};

// The exponent's field, kBias + k, of a positive normal x, moved so that 1 + f begins at sqrt(1/2).
template <Real T>
TAPEGRAD_INLINE auto log_shifted(T x) {
  using B = typename Ieee<T>::Bits;
  return bits(x) + ((Ieee<T>::kBias << Ieee<T>::kMantissa) - B{LogConstants<T>::kSqrtHalf});
}

// The number k of an exponent field kBias + k.
template <Real T>
TAPEGRAD_INLINE T log_exponent(typename Ieee<T>::Bits field) {
  return from_bits(field | LogConstants<T>::kMagicBits) - LogConstants<T>::kBiasMagic;
}

// For positive finite x. Subnormal numbers are lifted first. The two conditions are one, put in two
// ways: seen as one, the compiler would write all that follows twice.
template <Real T>
TAPEGRAD_INLINE LogParts<T> log_reduce(T x) {
  using I = Ieee<T>;
  using C = LogConstants<T>;
  using B = typename I::Bits;
  using Signed = typename I::Signed;
  constexpr B kFraction = (B{1} << I::kMantissa) - 1;
  const T lift = select(x < I::kMinNormal, static_cast<T>(B{1} << I::kMantissa), T(1));
  const bool subnormal = static_cast<Signed>(bits(x)) < static_cast<Signed>(bits(I::kMinNormal));
  const T bias = select(subnormal, C::kBiasMagic + T(I::kMantissa), C::kBiasMagic);
  const B shifted = log_shifted(x * lift);
  const T k = from_bits((shifted >> I::kMantissa) | C::kMagicBits) - bias;
  const T m = from_bits((shifted & kFraction) + B{C::kSqrtHalf});
  return {k, m - T(1)};
}

// (log(1 + f) - f) / f^2
TAPEGRAD_INLINE float log_tail(float f) {
  return horner(f, -0x1.fffffap-2f, 0x1.5556f6p-2f, -0x1.0004cap-2f, 0x1.98d22ap-3f,
                -0x1.535246p-3f, 0x1.317fb4p-3f, -0x1.255cc6p-3f, 0x1.66d83ap-4f);
}

// 2 atanh(s) / s - 2, in z = s^2, with s = f / (2 + f).
TAPEGRAD_INLINE double log_series(double z) {
  return z * horner(z, 0x1.5555555555592p-1, 0x1.999999997ff64p-2, 0x1.24924941dd258p-2,
                    0x1.c71c5216db8dep-3, 0x1.74663c950cfbep-3, 0x1.39a1eeddf2fb8p-3,
                    0x1.2f0385020a145p-3);
}

// k ln2 + log(1 + f). For float one constant is enough: ln2 lies within 2^-29 of a float.
TAPEGRAD_INLINE float log_sum(float k, float f) {
  return fma(k, 0x1.62e430p-1f, fma(f * f, log_tail(f), f));
}
TAPEGRAD_INLINE double log_sum(double k, double f) {
  using C = LogConstants<double>;
  const double s = f / (2.0 + f);
  const double half_square = 0.5 * f * f;
  const double low = fma(s, half_square + log_series(s * s), k * C::kLn2Low);
  return fma(k, C::kLn2High, f - (half_square - low));
}

// The value at zero, below zero, at infinity and NaN, else y.
template <Real T>
TAPEGRAD_INLINE T log_edges(T x, T y) {
  const T above = select(x < kInfinity<T>, y, x);
  return select(x > T(0), above, select(x == T(0), -kInfinity<T>, kNaN<T>));
}

template <Real T>
TAPEGRAD_INLINE T log(T x) {
  const auto [k, f] = log_reduce(x);
  return log_edges(x, log_sum(k, f));
}

// Log of another base for double: log(1 + f) as high + low, where high has few digits and each
// product is exact.
TAPEGRAD_INLINE Pair<double> log_pair(double f) {
  const double s = f / (2.0 + f);
  const double half_square = 0.5 * f * f;
  const double high = from_bits(bits(f - half_square) & 0xffffffff00000000U);
  const double low = fma(s, half_square + log_series(s * s), (f - high) - half_square);
  return {high, low};
}

TAPEGRAD_INLINE float log2(float x) {
  const auto [k, f] = log_reduce(x);
  // The factor log2(e) is 1 + 0.44..: the 1 is exact.
  const float q =
      horner(f, 0x1.c551dap-2f, -0x1.71546cp-1f, 0x1.ec6f94p-2f, -0x1.715d3cp-2f, 0x1.27b80cp-2f,
             -0x1.ea9710p-3f, 0x1.9ab20cp-3f, -0x1.803174p-3f, 0x1.ad969ap-3f, -0x1.2c69e4p-3f);
  return log_edges(x, k + fma(q, f, f));
}

TAPEGRAD_INLINE double log2(double x) {
  using C = LogConstants<double>;
  const auto [k, f] = log_reduce(x);
  const auto [high, low] = log_pair(f);
  const auto [sum, rest] = fast_two_sum(k, high * C::kLog2eHigh);
  return log_edges(x, sum + (fma(low + high, C::kLog2eLow, low * C::kLog2eHigh) + rest));
}

TAPEGRAD_INLINE float log10(float x) {
  using C = LogConstants<float>;
  const auto [k, f] = log_reduce(x);
  // log10(e) is 7/16 - 0.0032..: most of it is a short number.
  const float q =
      horner(f, -0x1.a42756p-9f, -0x1.bcb7aap-3f, 0x1.287a6cp-3f, -0x1.bcbf4cp-4f, 0x1.63d270p-4f,
             -0x1.276cc4p-4f, 0x1.f7fe2ep-5f, -0x1.d71582p-5f, 0x1.cedb62p-5f, -0x1.141396p-5f);
  const float low = fma(k, C::kLog10Of2Low, q * f);
  return log_edges(x, fma(k, C::kLog10Of2High, fma(f, 0.4375f, low)));
}

TAPEGRAD_INLINE double log10(double x) {
  using C = LogConstants<double>;
  const auto [k, f] = log_reduce(x);
  const auto [high, low] = log_pair(f);
  const double tail = fma(k, C::kLog10Of2Low, (low + high) * C::kLog10eLow) + low * C::kLog10eHigh;
  const auto [sum, rest] = two_sum(k * C::kLog10Of2High, high * C::kLog10eHigh);
  return log_edges(x, sum + (rest + tail));
}

// For x > -1, finite.
template <Real T>
TAPEGRAD_INLINE T log1p_inner(T x) {
  using I = Ieee<T>;
  using B = typename I::Bits;
  const B field = log_shifted(T(1) + x) >> I::kMantissa;
  // 2^-k by way of 2^(2 - k), as k may reach kBias + 1; f = (1 + x) 2^-k - 1 from x itself keeps
  // x's digits.
  const T scale = T(0.25) * from_bits((2 * I::kBias + 2 - field) << I::kMantissa);
  const T f = fma(x, scale, scale - T(1));
  return log_sum(log_exponent<T>(field), f);
}

template <Real T>
TAPEGRAD_INLINE T log1p(T x) {
  const T edge = select(x == T(-1), -kInfinity<T>, select(x < T(-1), kNaN<T>, x));
  return select(x > T(-1) && x < kInfinity<T> && x != T(0), log1p_inner(x), edge);
}

// log(1 + exp(x)), softplus.
template <Real T>
TAPEGRAD_INLINE T log1p_exp(T x) {
  return log1p_inner(exp_negative(-abs(x))) + select(x < T(0), T(0), x);
}

// log(1 + x), or log(2 (1 + x)) where `doubled`, for x >= 0 (infinity included).
template <Real T>
TAPEGRAD_INLINE T log1p_doubled(T x, bool doubled) {
  constexpr T kLn2 = static_cast<T>(0x1.62e42fefa39efp-1);
  return select(x < kInfinity<T>, log1p_inner(x) + select(doubled, kLn2, T(0)), x);
}

template <Real T>
TAPEGRAD_INLINE T asinh(T x) {
  constexpr T kLarge = kIsFloat<T> ? T(0x1p14) : T(0x1p30);  // sqrt(x^2 + 1) is x from here up
  const T a = abs(x);
  const T square = a * a;
  const T t = a + square / (T(1) + sqrt(fma(a, a, T(1))));
  const bool large = a > kLarge;
  return copysign(log1p_doubled(select(large, a - T(1), t), large), x);
}

template <Real T>
TAPEGRAD_INLINE T acosh(T x) {
  constexpr T kLarge = kIsFloat<T> ? T(0x1p14) : T(0x1p30);
  const T t = x - T(1);
  const bool large = x > kLarge;
  const T u = t + sqrt(fma(t, t, t + t));
  return select(x < T(1), kNaN<T>, log1p_doubled(select(large, t, u), large));
}

// (atanh(s) - s) / s^3 in z = s^2, for |s| <= 0.27.
TAPEGRAD_INLINE float atanh_tail(float z) {
  return horner(z, 0x1.555542p-2f, 0x1.99ac14p-3f, 0x1.21d88ep-3f, 0x1.0b65d6p-3f);
}
TAPEGRAD_INLINE double atanh_tail(double z) {
  return horner(z, 0x1.5555555555555p-2, 0x1.9999999999c00p-3, 0x1.249249246c697p-3,
                0x1.c71c71e974dd1p-4, 0x1.745d0ea0f56e5p-4, 0x1.3b1502c6b2879p-4,
                0x1.10f0a300b8cc3p-4, 0x1.e5d144f38d3b2p-5, 0x1.8a010d098d4b2p-5,
                0x1.22202b37d55efp-4);
}

// (1 + a) / (1 - a) = 2^k (1 + s) / (1 - s), where k comes from the difference of the two numbers'
// bits; it stays 0 up to a = 0.23, since k ln2 / 2 and atanh(s) would cancel there.
template <Real T>
TAPEGRAD_INLINE T atanh(T x) {
  using I = Ieee<T>;
  using C = LogConstants<T>;
  const T a = abs(x);
  const auto field = (bits(T(1) + a) - bits(T(1) - a) + (I::kBias << I::kMantissa) +
                      (typename I::Bits{5} << (I::kMantissa - 4))) >>
                     I::kMantissa;
  const T k = log_exponent<T>(field);
  const T power = from_bits(field << I::kMantissa);  // 2^k
  // a (1 + 2^k) + (1 - 2^k) keeps the digits of a; for larger k the first rounding of 1 + a does no
  // harm.
  const bool low_power = k < T(2);
  const T far = (T(1) - a) * power;
  const T top = select(low_power, fma(a, T(1) + power, T(1) - power), T(1) + a - far);
  const T bottom = select(low_power, fma(a, T(1) - power, T(1) + power), T(1) + a + far);
  const T s = top / bottom;
  const T z = s * s;
  const T half_k = T(0.5) * k;
  const T low = fma(z * s, atanh_tail(z), half_k * C::kLn2Low);
  const T y = fma(half_k, C::kLn2High, s + low);
  return copysign(select(a < T(1), y, select(a == T(1), kInfinity<T>, kNaN<T>)), x);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
