// The error function and its complement, for float and double. It may use the exponentials, no other family.
//
// Note [Error function]: erf is x P(x^2) near 0; float has a second polynomial up to where erf rounds to 1. erfc, and
// erf of large double, use (1 + 2 x) erfcx(x), a smooth function of t = (x - K) / (x + K) (M. M. Shepherd and J. G. Laframboise,
// "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", Math. Comp. 36, 1981), with minimax coefficients of our
// own, times exp(-x^2) with the rounding error of x^2 carried along: relative accuracy holds far into the tail.
#pragma once

#include "kernels/isa/vector_math_core.h"
#include "kernels/isa/vector_math_exp.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

// (1 + 2 x) erfcx(x) for 0 <= x, as a polynomial in (x - kCentre) / (x + kCentre).
template <Real T>
inline constexpr T kErfcCentre = kIsFloat<T> ? T(2) : T(4);

TAPEGRAD_INLINE float scaled_erfcx(float t) {
  return horner(t, 0x1.46e80ep+0f, -0x1.7bf656p-4f, -0x1.540792p-3f, 0x1.4ffe32p-3f, -0x1.bc2408p-5f,
                -0x1.08b31cp-7f, 0x1.1be9f8p-7f, 0x1.6230a4p-10f, -0x1.497e74p-10f, -0x1.c17850p-12f);
}
TAPEGRAD_INLINE double scaled_erfcx(double t) {
  return horner(t, 0x1.3ba5916e9fd7fp+0, -0x1.1df1ad154a2a8p-3, 0x1.f7f5df66fb5abp-7,
                0x1.16ecefcfa68ddp-4, -0x1.9ddb23c3da773p-4, 0x1.7fee004de9f7bp-4,
                -0x1.0fb06dff850f5p-4, 0x1.3079edfaaf084p-5, -0x1.0962384dc49c2p-6,
                0x1.49c671a4ecb52p-8, -0x1.8d4ac7509feebp-11, -0x1.a1dec290e6fc5p-13,
                0x1.3be32395ff6b9p-13, -0x1.995db56b96f5dp-16, -0x1.78fd1d4741d15p-17,
                0x1.7f15c82cceb91p-18, 0x1.5217383c9d4d7p-22, -0x1.b7892181e7626p-21,
                0x1.d523bfb6b33a3p-25, 0x1.ae2d1a5ce4cafp-24, -0x1.177ff80ca4229p-27,
                -0x1.0e23f6165bde1p-27, 0x1.9ca3f972d3444p-33);
}

// erfc(a) for a >= 0.
template <Real T>
TAPEGRAD_INLINE T erfc_positive(T a) {
  constexpr T kZero = kIsFloat<T> ? T(10.1) : T(27.3);  // erfc rounds to 0 from here up
  constexpr T kCentre = kErfcCentre<T>;
  const T x = kZero < a ? kZero : a;
  const T g = scaled_erfcx((x - kCentre) / (x + kCentre));
  const auto [square, rest] = two_product(x, x);
  const auto [r, scale1, scale2] = exp_reduce(-square);
  const T r2 = r - rest;
  const T p = fma(fma(exp_tail(r2), r2, T(1)), r2, T(1));
  return p * g / fma(T(2), x, T(1)) * scale1 * scale2;
}

// erf(x) / x in z = x^2: float for |x| <= 1/2, double for |x| <= 1.
TAPEGRAD_INLINE float erf_series(float z) {
  return horner(z, 0x1.20dd74p+0f, -0x1.81253ap-2f, 0x1.cd87f4p-4f, -0x1.a6bac6p-6f, 0x1.7053eap-9f);
}
TAPEGRAD_INLINE double erf_series(double z) {
  return horner(z, 0x1.20dd750429b6dp+0, -0x1.812746b037999p-2, 0x1.ce2f21a03f307p-4,
                -0x1.b82ce311834bep-6, 0x1.565bcce77e5e4p-8, -0x1.c02dad251b403p-11,
                0x1.f9a2627a913ddp-14, -0x1.f4c3d641dd0fbp-17, 0x1.b92ec7af714c5p-20,
                -0x1.59677870c1099p-23, 0x1.bb8108c11731dp-27, -0x1.04c1dcb287f82p-31,
                -0x1.b9ed7776af03fp-35);
}

template <Real T>
TAPEGRAD_INLINE T erfc(T x) {
  const T a = abs(x);
  const T tail = erfc_positive(a);
  const T centre = fma(-x, erf_series(x * x), T(1));
  return select(a < T(0.5), centre, select(x < T(0), T(2) - tail, tail));
}

TAPEGRAD_INLINE float erf(float x) {
  const float a = abs(x);
  const float z = a * a;
  const float small = horner(z, 0x1.06eba8p-3f, -0x1.81273ep-2f, 0x1.ce2ce6p-4f, -0x1.b7f71ap-6f,
                             0x1.53f22ep-8f, -0x1.a351dcp-11f, 0x1.4773ccp-14f);
  const float u = (3.95f < a ? 3.95f : a) - 2.475f;
  const float large =
      horner(u, 0x1.ffc310p-1f, 0x1.434dc6p-9f, -0x1.903466p-8f, 0x1.2f3bc0p-7f, -0x1.342336p-7f,
             0x1.ac216cp-8f, -0x1.7e267ap-9f, 0x1.09ec92p-11f, 0x1.731366p-12f, -0x1.342b2ep-12f,
             0x1.c852cap-15f, 0x1.8fca7ep-16f, -0x1.2ab5f8p-17f);
  const float bounded = select(a > 3.92f, 1.0f, select(large > 1.0f, 1.0f, large));
  return copysign(select(a < 1.0f, fma(a, small, a), bounded), x);
}

TAPEGRAD_INLINE double erf(double x) {
  const double a = abs(x);
  return copysign(select(a < 1.0, a * erf_series(a * a), 1.0 - erfc_positive(a)), x);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
