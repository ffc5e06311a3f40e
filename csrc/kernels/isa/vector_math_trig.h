// Circular functions for float and double and their inverses: sin, cos, tan, asin, acos, atan,
// atan2. It must know no other family.
//
// Note [Range reduction]: x = n pi/2 + r with |r| <= pi/4, where pi/2 is a sum of constants so
// short that each product with n is exact (W. J. Cody, W. Waite, "Software Manual for the
// Elementary Functions", 1980). That holds up to kTrigLimit; beyond, the digits of pi/2 run out,
// and no branch-free formula can help. map_block then takes the slow path for the block of numbers:
// the same formula in long double, whose sin, cos and tan are the C library's.
#pragma once

#include "kernels/isa/vector_math_core.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

// sin, cos and tan of this file are accurate for |x| up to this.
template <Real T>
inline constexpr T kTrigLimit = kIsFloat<T> ? T(0x1p17) : T(0x1p30);

// Remainder as the sum of two numbers, and the quadrant in the low bits.
template <Real T>
struct Quadrant {
  T r, rest;
  typename Ieee<T>::Bits n;
};

// In double: float has too few digits to hold pi/2 in short pieces.
TAPEGRAD_INLINE Quadrant<float> trig_reduce(float x) {
  const double wide = static_cast<double>(x);
  const double t = fma(wide, 0x1.45f306dc9c883p-1, Ieee<double>::kMagic);
  const double n = t - Ieee<double>::kMagic;
  const double r = fma(n, -0x1.0b4611a626331p-34, fma(n, -0x1.921fb544p+0, wide));
  const float high = static_cast<float>(r);
  const float rest = static_cast<float>(r - static_cast<double>(high));
  return {high, rest, static_cast<std::uint32_t>(bits(t))};
}

// Without `rest`. A fused multiply-add rounds only what is left of x, so that float itself is wide
// enough.
TAPEGRAD_INLINE Quadrant<float> trig_reduce_short(float x) {
#ifdef __FMA__
  const float t = fma(x, 0x1.45f306p-1f, Ieee<float>::kMagic);
  const float n = t - Ieee<float>::kMagic;
  const float r = fma(n, 0x1.777a5cp-25f, fma(n, -0x1.921fb6p+0f, x));
  return {fma(n, 0x1.ee59dap-50f, r), 0.0f, bits(t)};
#else
  return trig_reduce(x);
#endif
}

TAPEGRAD_INLINE Quadrant<double> trig_reduce(double x) {
  const double t = fma(x, 0x1.45f306dc9c883p-1, Ieee<double>::kMagic);
  const double n = t - Ieee<double>::kMagic;
  const double exact = (x - n * 0x1.921fb4p+0) - n * 0x1.4442dp-24;
  const double third = n * 0x1.846988p-48;
  const auto [sum, lost] = fast_two_sum(exact, -third);
  const auto [r, rest] = fast_two_sum(sum, fma(n, -0x1.8cc51701b839ap-72, lost));
  return {r, rest, bits(t)};
}

// (sin(r) - r) / r^3 and (cos(r) - 1 + r^2 / 2) / r^4 in z = r^2, for |r| <= pi/4.
TAPEGRAD_INLINE float sin_tail(float z) {
  return horner(z, -0x1.555546p-3f, 0x1.110774p-7f, -0x1.9951eap-13f);
}
TAPEGRAD_INLINE float cos_tail(float z) {
  return horner(z, 0x1.55554ap-5f, -0x1.6c0c28p-10f, 0x1.99e80ep-16f);
}
TAPEGRAD_INLINE double sin_tail(double z) {
  return horner(z, -0x1.5555555555548p-3, 0x1.111111110f730p-7, -0x1.a01a019be92d8p-13,
                0x1.71de35553e35dp-19, -0x1.ae5e4b98d0dfep-26, 0x1.5d8b5d49afc5cp-33);
}
TAPEGRAD_INLINE double cos_tail(double z) {
  return horner(z, 0x1.555555555554bp-5, -0x1.6c16c16c15005p-10, 0x1.a01a019c8c7ecp-16,
                -0x1.27e4f7ef10355p-22, 0x1.1ee9d9ca16f99p-29, -0x1.8fa5564802c7ep-37);
}

TAPEGRAD_INLINE Quadrant<double> trig_reduce_short(double x) { return trig_reduce(x); }

// sin(r + n pi/2)
template <Real T>
TAPEGRAD_INLINE T sin_quadrant(T r, typename Ieee<T>::Bits n) {
  using I = Ieee<T>;
  const T z = r * r;
  const T s = fma(sin_tail(z), z * r, r);
  const T c = fma(cos_tail(z), z * z, fma(z, T(-0.5), T(1)));
  const T y = select((n & 1) != 0, c, s);
  return from_bits(bits(y) ^ ((n << (I::kMantissa + 7 + (kIsFloat<T> ? 0 : 3))) & I::kSign));
}

template <Real T>
TAPEGRAD_INLINE T sin(T x) {
  const auto q = trig_reduce_short(abs(x));
  return flip_sign(sin_quadrant(q.r, q.n), x);
}

template <Real T>
TAPEGRAD_INLINE T cos(T x) {
  const auto q = trig_reduce_short(abs(x));
  return sin_quadrant(q.r, q.n + 1);
}

// (tan(r) - r) / r^3 in z = r^2, for |r| <= pi/4.
TAPEGRAD_INLINE float tan_tail(float z) {
  return horner(z, 0x1.5554dep-2f, 0x1.112de8p-3f, 0x1.b5858cp-5f, 0x1.906ee8p-6f, 0x1.96b956p-9f,
                0x1.33df52p-7f);
}
TAPEGRAD_INLINE double tan_tail(double z) {
  return horner(z, 0x1.55555555554f0p-2, 0x1.11111111184d4p-3, 0x1.ba1ba1b4542b7p-5,
                0x1.664f49acb7a42p-6, 0x1.226e11e2c6798p-7, 0x1.d6d944756851dp-9,
                0x1.7d5a9265b12e7p-10, 0x1.380128ea73b7dp-11, 0x1.d222f8c751ed9p-13,
                0x1.1ec91d9a48221p-13, -0x1.c004290a1b4e9p-16, 0x1.786b7ba562a11p-14,
                -0x1.79c8f1b3c2959p-15, 0x1.5eabde510d10bp-16);
}

template <Real T>
TAPEGRAD_INLINE T tan(T x) {
  const auto [r, rest, n] = trig_reduce(abs(x));
  const T z = r * r;
  const T t = r + fma(tan_tail(z), z * r, fma(rest, z, rest));
  const bool odd = (n & 1) != 0;  // tan(r + pi/2) = -1 / tan(r)
  return flip_sign(select(odd, T(-1), t) / select(odd, t, T(1)), x);
}

template <Real T>
struct PiConstants;

// Sums of two numbers: the second is what the first lacks.
template <>
struct PiConstants<float> {
  static constexpr float kPi = 0x1.921fb6p+1f, kPiLow = -0x1.777a5cp-24f;
  static constexpr float kHalfPi = 0x1.921fb6p+0f, kHalfPiLow = -0x1.777a5cp-25f;
};
template <>
struct PiConstants<double> {
  static constexpr double kPi = 0x1.921fb54442d18p+1, kPiLow = 0x1.1a62633145c07p-53;
  static constexpr double kHalfPi = 0x1.921fb54442d18p+0, kHalfPiLow = 0x1.1a62633145c07p-54;
};

// (asin(x) - x) / x^3 in z = x^2, for |x| <= 1/2.
TAPEGRAD_INLINE float asin_tail(float z) {
  return horner(z, 0x1.5555c8p-3f, 0x1.330204p-4f, 0x1.747c76p-5f, 0x1.8c2e9ap-6f, 0x1.5970a6p-5f);
}
TAPEGRAD_INLINE double asin_tail(double z) {
  return horner(z, 0x1.5555555555577p-3, 0x1.333333332e132p-4, 0x1.6db6db7212e35p-5,
                0x1.f1c71a947e18fp-6, 0x1.6e8bdef502ce2p-6, 0x1.1c49ee6c0051bp-6,
                0x1.ca1fc527fb2f8p-7, 0x1.75838a3c43860p-7, 0x1.6148989547df8p-7,
                0x1.e537049975932p-9, 0x1.63d7f8c6cbe87p-6, -0x1.5852ed6e9f359p-6,
                0x1.0b6199b03f41fp-5);
}

// asin(a) for a <= 1/2 as the sum of two numbers; above, of sqrt((1 - a) / 2), which is (pi/2 -
// asin(a)) / 2.
template <Real T>
TAPEGRAD_INLINE Pair<T> asin_parts(T a) {
  const bool large = a > T(0.5);
  const T z = select(large, fma(T(-0.5), a, T(0.5)), a * a);
  const T root = sqrt(z);
  const auto [square, lost] = two_product(root, root);
  const T correction = ((z - square) - lost) * (T(0.5) / root);
  const T v = select(large, root, a);
  const T c = select(large, select(z > T(0), correction, T(0)), T(0));
  return {v, fma(v * z, asin_tail(z), c)};
}

template <Real T>
TAPEGRAD_INLINE T asin(T x) {
  using C = PiConstants<T>;
  const T a = abs(x);
  const auto [v, rest] = asin_parts(a);
  const T y = (C::kHalfPi - (v + v)) - ((rest + rest) - C::kHalfPiLow);
  return copysign(select(a > T(0.5), y, v + rest), x);
}

template <Real T>
TAPEGRAD_INLINE T acos(T x) {
  using C = PiConstants<T>;
  const T a = abs(x);
  const auto [v, rest] = asin_parts(a);
  const T twice = T(2) * (v + rest);
  const T far = (C::kPi - (v + v)) - ((rest + rest) - C::kPiLow);
  const T sv = flip_sign(v, x);
  const T srest = flip_sign(rest, x);
  const T near = C::kHalfPi - (sv - (C::kHalfPiLow - srest));
  return select(a > T(0.5), select(x < T(0), far, twice), near);
}

// (atan(q) - q) / q^3 in z = q^2, for |q| <= 1.
TAPEGRAD_INLINE float atan_tail(float z) {
  return horner(z, -0x1.55553ep-2f, 0x1.9991e4p-3f, -0x1.242086p-3f, 0x1.c08c42p-4f,
                -0x1.580904p-4f, 0x1.da2b2cp-5f, -0x1.fd863cp-6f, 0x1.643732p-7f, -0x1.d3916ap-10f);
}
TAPEGRAD_INLINE double atan_tail(double z) {
  return horner(
      z, -0x1.5555555555526p-2, 0x1.99999999955b1p-3, -0x1.249249237f4adp-3, 0x1.c71c717fcc8a1p-4,
      -0x1.745d11ae4562bp-4, 0x1.3b1366983cc58p-4, -0x1.110e51191b698p-4, 0x1.e1bba5db107c4p-5,
      -0x1.ae5e708b0aa53p-5, 0x1.82dad10e04b46p-5, -0x1.59a3f03680d01p-5, 0x1.2c2e42843578dp-5,
      -0x1.e9f9c67f5e79dp-6, 0x1.683c801c0f55dp-6, -0x1.c78f5bcfd48dcp-7, 0x1.d7b8a8040f1d7p-8,
      -0x1.7a3937670d769p-9, 0x1.b3fa6a03d607fp-11, -0x1.3f361b4aaccfep-13, 0x1.bbed8362d39f7p-17);
}

template <Real T>
TAPEGRAD_INLINE T atan(T x) {
  using C = PiConstants<T>;
  const T a = abs(x);
  const bool large = a > T(1);
  const T q = select(large, T(-1), a) / select(large, a, T(1));  // atan(a) = pi/2 + atan(-1 / a)
  const T z = q * q;
  const T tail = fma(atan_tail(z), z * q, select(large, C::kHalfPiLow, T(0)));
  return copysign(select(large, C::kHalfPi, T(0)) + (q + tail), x);
}

template <Real T>
TAPEGRAD_INLINE T atan2(T y, T x) {
  using C = PiConstants<T>;
  const T ax = abs(x);
  const T ay = abs(y);
  const bool steep = ay > ax;
  const T top = select(steep, ax, ay);
  const T bottom = select(steep, ay, ax);
  // 0/0 counts as 0, infinity over infinity as 1.
  const T quotient = top / bottom;
  const T q = select(top == bottom, select(top == T(0), T(0), T(1)), quotient);
  const T z = q * q;
  const T tail = atan_tail(z) * (z * q);
  const T first = select(steep, (C::kHalfPi - q) - (tail - C::kHalfPiLow), q + tail);
  const bool left = copysign(T(1), x) < T(0);
  const T angle = select(left, (C::kPi - first) + C::kPiLow, first);
  return copysign(select(isnan(x), x, select(isnan(y), y, angle)), y);
}

// Of the C library: exact reduction of any argument.
TAPEGRAD_INLINE long double sin(long double x) { return __builtin_sinl(x); }
TAPEGRAD_INLINE long double cos(long double x) { return __builtin_cosl(x); }
TAPEGRAD_INLINE long double tan(long double x) { return __builtin_tanl(x); }

// Whether one of the n numbers lies beyond kTrigLimit (infinities and NaN count: the slow path is
// right for them too). Magnitudes are ordered as their bits are.
template <Real T>
TAPEGRAD_INLINE bool needs_slow_path(const T* x, std::int64_t n) {
  typename Ieee<T>::Bits largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto magnitude = bits(abs(x[i]));
    largest = largest < magnitude ? magnitude : largest;
  }
  return largest > bits(kTrigLimit<T>);
}

// Calls fast(begin, end) or slow(begin, end) for each block of x, by whether its numbers lie within
// kTrigLimit.
template <Real T, class Fast, class Slow>
TAPEGRAD_INLINE void map_block(const T* x, std::int64_t n, Fast fast, Slow slow) {
  constexpr std::int64_t kBlock = 256;
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t end = n - begin < kBlock ? n : begin + kBlock;
    if (needs_slow_path(x + begin, end - begin)) {
      slow(begin, end);
    } else {
      fast(begin, end);
    }
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
