// Circular functions for float and double and their inverses: sin, cos, tan, asin, acos, atan, atan2. It must
// know no other family.
//
// Note [Range reduction]: x = n pi/2 + r with |r| <= pi/4, where pi/2 is a sum of constants so short that each
// product with n is exact (W. J. Cody, W. Waite, "Software Manual for the Elementary Functions", 1980). That holds up
// to kTrigLimit; beyond, the digits of pi/2 run out and no branch-free loop can help: map_block in vector_math.h
// looks at 64 numbers at a time and takes the C library for a block that holds such a number.
#pragma once

#include "kernels/isa/vector_math_core.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

// sin, cos and tan of this file are accurate for |x| up to this.
template <Real T>
inline constexpr T kTrigLimit = kIsFloat<T> ? T(0x1p22) : T(0x1p30);

// remainder, and the quadrant in the low bits.
template <Real T>
struct Quadrant {
  T r;
  typename Ieee<T>::Bits n;
};

// In double: float has too few digits to hold pi/2 in short pieces.
TAPEGRAD_INLINE Quadrant<float> trig_reduce(float x) {
  const double wide = static_cast<double>(x);
  const double t = fma(wide, 0x1.45f306dc9c883p-1, Ieee<double>::kMagic);
  const double n = t - Ieee<double>::kMagic;
  const double r = fma(n, -0x1.0b4611a626331p-34, fma(n, -0x1.921fb544p+0, wide));
  return {static_cast<float>(r), static_cast<std::uint32_t>(bits(t))};
}

TAPEGRAD_INLINE Quadrant<double> trig_reduce(double x) {
  const double t = fma(x, 0x1.45f306dc9c883p-1, Ieee<double>::kMagic);
  const double n = t - Ieee<double>::kMagic;
  const double exact = (x - n * 0x1.921fb4p+0) - n * 0x1.4442dp-24;
  const double third = n * 0x1.846988p-48;
  const double r = exact - third;
  const double rest = (exact - r) - third;
  return {r + fma(n, -0x1.8cc51701b839ap-72, rest), bits(t)};
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
  const auto [r, n] = trig_reduce(abs(x));
  return flip_sign(sin_quadrant(r, n), x);
}

template <Real T>
TAPEGRAD_INLINE T cos(T x) {
  const auto [r, n] = trig_reduce(abs(x));
  return sin_quadrant(r, n + 1);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
