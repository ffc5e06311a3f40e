// The error function and its complement, for float and double. It may use the exponentials, no
// other family.
//
// Note [Error function]: erf is x P(x^2) near 0; float has a second polynomial up to where erf
// rounds to 1. erfc, and erf of large double, use (1 + 2 x) erfcx(x), a smooth function of t = (x -
// K) / (x + K) (M. M. Shepherd and J. G. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2)
// erfc x", Math. Comp. 36, 1981), with minimax coefficients of our own, times exp(-x^2) with the
// rounding error of x^2 carried along: relative accuracy holds far into the tail.
#pragma once

#include "kernels/isa/vector_math_core.h"
#include "kernels/isa/vector_math_exp.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

// (1 + 2 x) erfcx(x) for x >= 0 as a polynomial in t = (x - K) / (x + K): with float's digits and K
// = 2, and with double's and K = 4.
TAPEGRAD_INLINE double scaled_erfcx_short(double t) {
  return horner(t, 0x1.46e80ep+0, -0x1.7bf656p-4, -0x1.540792p-3, 0x1.4ffe32p-3, -0x1.bc2408p-5,
                -0x1.08b31cp-7, 0x1.1be9f8p-7, 0x1.6230a4p-10, -0x1.497e74p-10, -0x1.c17850p-12);
}
TAPEGRAD_INLINE double scaled_erfcx(double t) {
  return horner(
      t, 0x1.3ba5916e9fd7fp+0, -0x1.1df1ad154a2a8p-3, 0x1.f7f5df66fb5abp-7, 0x1.16ecefcfa68ddp-4,
      -0x1.9ddb23c3da773p-4, 0x1.7fee004de9f7bp-4, -0x1.0fb06dff850f5p-4, 0x1.3079edfaaf084p-5,
      -0x1.0962384dc49c2p-6, 0x1.49c671a4ecb52p-8, -0x1.8d4ac7509feebp-11, -0x1.a1dec290e6fc5p-13,
      0x1.3be32395ff6b9p-13, -0x1.995db56b96f5dp-16, -0x1.78fd1d4741d15p-17, 0x1.7f15c82cceb91p-18,
      0x1.5217383c9d4d7p-22, -0x1.b7892181e7626p-21, 0x1.d523bfb6b33a3p-25, 0x1.ae2d1a5ce4cafp-24,
      -0x1.177ff80ca4229p-27, -0x1.0e23f6165bde1p-27, 0x1.9ca3f972d3444p-33);
}

// erfc(x) for 0 <= x <= 11 with float's digits: in double the tail needs no scaling.
TAPEGRAD_INLINE float erfc_short(double x) {
  const double up = x + 2.0;
  const double slope = fma(2.0, x, 1.0);
  const double inverse = 1.0 / (up * slope);  // one division for both quotients
  const double g = scaled_erfcx_short((x - 2.0) * (slope * inverse));
  return static_cast<float>(g * (up * inverse) * exp2_short(x * x * -0x1.71547652b82fep+0));
}
// factor * erfc(x) for 0 <= x <= 27.5, where square + lost is x^2.
TAPEGRAD_INLINE double erfc_product(double x, double square, double lost, double factor) {
  const double g = scaled_erfcx((x - 4.0) / (x + 4.0)) * factor;
  const auto [r, scale1, scale2] = exp_reduce(-square);
  const double r2 = r - lost;
  const double p = fma(fma(exp_tail(r2), r2, 1.0), r2, 1.0);
  return p * g / fma(2.0, x, 1.0) * scale1 * scale2;
}

// erfc(a) for a >= 0.
TAPEGRAD_INLINE float erfc_positive(float a) {
  return erfc_short(static_cast<double>(11.0f < a ? 11.0f : a));
}
TAPEGRAD_INLINE double erfc_positive(double a) {
  const double x = 27.5 < a ? 27.5 : a;  // erfc rounds to 0 from 27.3 up
  const auto [square, lost] = two_product(x, x);
  return erfc_product(x, square, lost, 1.0);
}

// erf(x) / x in z = x^2, for |x| <= 1.
TAPEGRAD_INLINE double erf_series(double z) {
  return horner(z, 0x1.20dd750429b6dp+0, -0x1.812746b037999p-2, 0x1.ce2f21a03f307p-4,
                -0x1.b82ce311834bep-6, 0x1.565bcce77e5e4p-8, -0x1.c02dad251b403p-11,
                0x1.f9a2627a913ddp-14, -0x1.f4c3d641dd0fbp-17, 0x1.b92ec7af714c5p-20,
                -0x1.59677870c1099p-23, 0x1.bb8108c11731dp-27, -0x1.04c1dcb287f82p-31,
                -0x1.b9ed7776af03fp-35);
}

TAPEGRAD_INLINE float erfc(float x) {
  const float tail = erfc_positive(abs(x));
  return select(x < 0.0f, 2.0f - tail, tail);
}

TAPEGRAD_INLINE double erfc(double x) {
  const double a = abs(x);
  const double tail = erfc_positive(a);
  const double centre = fma(-x, erf_series(x * x), 1.0);
  return select(a < 0.5, centre, select(x < 0.0, 2.0 - tail, tail));
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

// The standard normal distribution function, with relative accuracy far into the lower tail. The
// square of x itself is exact as a pair, the square of x / sqrt(2) rounded would not be.
TAPEGRAD_INLINE float normal_cdf(float x) {
  const double a = abs(static_cast<double>(x));
  const float tail = 0.5f * erfc_short((15.0 < a ? 15.0 : a) * 0x1.6a09e667f3bcdp-1);
  return select(x < 0.0f, tail, 1.0f - tail);
}
TAPEGRAD_INLINE double normal_cdf(double x) {
  const double a = abs(x);
  const double y = 38.8 < a ? 38.8 : a;
  const auto [square, lost] = two_product(y, y);
  const double tail = erfc_product(y * 0x1.6a09e667f3bcdp-1, 0.5 * square, 0.5 * lost, 0.5);
  return select(x < 0.0, tail, 1.0 - tail);
}

// Phi(a) - 1/2 for a >= 0 with an absolute error of an ulp of 1: a quotient of polynomials in a^2
// that is bounded by 1/2, which it reaches at 5.4.
TAPEGRAD_INLINE float normal_centred(float a) {
  constexpr float kEdge = 5.4f * 5.4f;
  const float square = a * a;
  const float z = kEdge < square ? kEdge : square;
  const float top = horner(z, 0x1.988450p-2f, 0x1.115f46p-5f, 0x1.30ca6cp-8f, 0x1.5891b4p-13f,
                           0x1.aacb1ap-18f, 0x1.91c886p-26f);
  const float bottom = horner(z, 1.0f, 0x1.005246p-2f, 0x1.d0f0d2p-6f, 0x1.e74b38p-10f,
                              0x1.2fa3cep-14f, 0x1.46923ap-20f);
  const float y = a * (top / bottom);
  return 0.5f < y ? 0.5f : y;
}

// Phi for use beside numbers of size 1, and x Phi(x), GELU: float takes the quicker formula.
TAPEGRAD_INLINE float normal_cdf_fast(float x) {
  return 0.5f + copysign(normal_centred(abs(x)), x);
}
TAPEGRAD_INLINE double normal_cdf_fast(double x) { return normal_cdf(x); }
TAPEGRAD_INLINE float times_normal_cdf(float x) {
  const float a = abs(x);
  return fma(a, normal_centred(a), 0.5f * x);
}
TAPEGRAD_INLINE double times_normal_cdf(double x) { return x * normal_cdf(x); }

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
