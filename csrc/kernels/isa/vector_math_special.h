// Special functions for float and double: Bessel functions, the inverses of erf and of the normal
// distribution, the scaled erfc, the logarithm of the gamma function and its derivatives, zeta, and
// xlogy with its kin. It may use all families before it.
//
// Note [Special functions]: polynomials are Chebyshev interpolations of our own. I0 and I1 are
// polynomials in (x/2)^2 up to 8 and in 1/x, times exp(x) / sqrt(x), from there on. The inverse of
// erf is x f(-log(1 - x^2)), good to float's digits; double adds one Newton step. digamma and zeta
// add terms up to where the asymptotic series of Euler and Maclaurin holds. lgamma walks down to
// [1, 2) or takes Stirling's series; below 0 it reflects, where float works in double, and double
// takes the C library's, whose digits hold near the zeros.
#pragma once

#include "kernels/isa/vector_math_core.h"
#include "kernels/isa/vector_math_erf.h"
#include "kernels/isa/vector_math_exp.h"
#include "kernels/isa/vector_math_log.h"
#include "kernels/isa/vector_math_pow.h"
#include "kernels/isa/vector_math_trig.h"

// Declared here, since <cmath> would bring weak symbols along; lgamma's own would write a global.
extern "C" double lgamma_r(double x, int* sign) noexcept;

namespace tapegrad::kernels::TAPEGRAD_ISA {

// --- modified Bessel functions

// I0(x) and I1(x) / x in t = x^2 / 4 for |x| <= 8: all coefficients are positive.
TAPEGRAD_INLINE float bessel_i0_low(float t) {
  return horner(t, 0x1p+0f, 0x1.fffffap-1f, 0x1.000018p-2f, 0x1.c71afp-6f, 0x1.c7286p-10f,
                0x1.230e6p-14f, 0x1.0423b6p-19f, 0x1.49275ap-25f, 0x1.7c114ap-31f, 0x1.297e2cp-38f,
                0x1.5e233ap-43f);
}
TAPEGRAD_INLINE double bessel_i0_low(double t) {
  return horner(t, 0x1p+0, 0x1p+0, 0x1p-2, 0x1.c71c71c71c71cp-6, 0x1.c71c71c71c71dp-10,
                0x1.23456789abcd9p-14, 0x1.02e85c0898bedp-19, 0x1.522a43f653aa2p-25,
                0x1.522a43f666654p-31, 0x1.0b313288a95eap-37, 0x1.56018877c8314p-44,
                0x1.69ca9b2ab28eep-51, 0x1.4197c0a8efb93p-58, 0x1.e7234d338dcf4p-66,
                0x1.3e3352e42ea89p-73, 0x1.69325dbab53d2p-81, 0x1.709b2c0e6c55p-89,
                0x1.1a26bb7ce9afap-97, 0x1.8123d0916f2f8p-105);
}
TAPEGRAD_INLINE float bessel_i1_low(float t) {
  return horner(t, 0x1p-1f, 0x1p-2f, 0x1.55555ep-5f, 0x1.c71bf8p-9f, 0x1.6c1a8ep-13f,
                0x1.843974p-18f, 0x1.28ae44p-23f, 0x1.4c67a8p-29f, 0x1.476f18p-35f, 0x1.13341p-42f,
                0x1.e0ce3ep-48f);
}
TAPEGRAD_INLINE double bessel_i1_low(double t) {
  return horner(t, 0x1p-1, 0x1p-2, 0x1.5555555555555p-5, 0x1.c71c71c71c71cp-9,
                0x1.6c16c16c16c17p-13, 0x1.845c8a0ce5127p-18, 0x1.27e4fb7789f8dp-23,
                0x1.522a43f6542ffp-29, 0x1.2c9758dafcd2dp-35, 0x1.ab81ea752360bp-42,
                0x1.f17697e313a7ep-49, 0x1.e2637a883b0ebp-56, 0x1.8bce6bfe4ef9ep-63,
                0x1.165dadfc40aep-70, 0x1.536556891b3fbp-78, 0x1.695c4f14d53aap-86,
                0x1.59e89f63ff09bp-94, 0x1.fd416f1b75709p-103, 0x1.3db3069f6084fp-110);
}

// exp(-x) sqrt(x) times I0(x) and I1(x), in u = 16 / x - 1 for x >= 8.
TAPEGRAD_INLINE float bessel_i0_high(float u) {
  return horner(u, 0x1.9bd428p-2f, 0x1.b8796cp-9f, 0x1.1dab08p-13f, 0x1.75ca4ep-17f,
                0x1.8c3ddep-20f, 0x1.49fd9p-22f, 0x1.d2c6ap-24f, 0x1.0fa2a4p-25f);
}
TAPEGRAD_INLINE double bessel_i0_high(double u) {
  return horner(
      u, 0x1.9bd428ad249a5p-2, 0x1.b87969bb93b85p-9, 0x1.1daa72b5cffbcp-13, 0x1.75e5ee71996b3p-17,
      0x1.8e513c2f97ac6p-20, 0x1.3f49a7c479057p-22, 0x1.7d0d0cd9ea3c4p-24, 0x1.51ce7821c294ap-25,
      0x1.72815c1719872p-26, 0x1.03931dc309aa8p-27, -0x1.d6ae823fba3f6p-28, -0x1.ccb777a37dc9ep-27,
      -0x1.5a383f8911edbp-28, 0x1.037a7ec50937bp-27, 0x1.c2d0f1516f566p-28, -0x1.e1adcfaee192fp-29,
      -0x1.3a701a2ece9bep-28, 0x1.a1721b530479p-30, 0x1.2df36c66ec49p-29, -0x1.39b0885c07797p-31,
      -0x1.6cb086fb28eb7p-31, 0x1.4f2298036427p-33, 0x1.9be93a43b3dd6p-34, -0x1.633f0c97e406fp-36);
}
TAPEGRAD_INLINE float bessel_i1_high(float u) {
  return horner(u, 0x1.8ebe78p-2f, -0x1.3f7962p-7f, -0x1.cbc60ap-13f, -0x1.f87ffep-17f,
                -0x1.ea147ap-20f, -0x1.80db2p-22f, -0x1.0790e8p-23f, -0x1.3352a8p-25f);
}
TAPEGRAD_INLINE double bessel_i1_high(double u) {
  return horner(
      u, 0x1.8ebe783a8403p-2, -0x1.3f796198ee62cp-7, -0x1.cbc54df1d5afdp-13, -0x1.f89c23061b0fcp-17,
      -0x1.ec8e123e7bf47p-20, -0x1.76137f690dc31p-22, -0x1.ad8b35d44b39p-24, -0x1.727a16da48a55p-25,
      -0x1.91e14cf487319p-26, -0x1.2192c0c7ab1e7p-27, 0x1.d60ca4fb02518p-28, 0x1.e233d4bddd18p-27,
      0x1.8060a2f09608ap-28, -0x1.06906e6ea86a3p-27, -0x1.dfeeedd21f18p-28, 0x1.d6b825387f05p-29,
      0x1.4a973b58c84e7p-28, -0x1.8b146cd94017cp-30, -0x1.3bb61600bd01ap-29, 0x1.229582544ff3p-31,
      0x1.7c4b29829b522p-31, -0x1.334140107a194p-33, -0x1.acf2a395f1493p-34, 0x1.448806696e48cp-36);
}

template <Real T>
TAPEGRAD_INLINE T bessel_low_argument(T a) {
  const T y = T(8) < a ? T(8) : a;
  return T(0.25) * y * y;
}
template <Real T>
TAPEGRAD_INLINE T bessel_high_argument(T a) {
  return T(16) / (T(8) > a ? T(8) : a) - T(1);
}

template <Real T>
TAPEGRAD_INLINE T i0e(T x) {
  const T a = abs(x);
  const T low = bessel_i0_low(bessel_low_argument(a)) * exp_negative(-a);
  const T high = bessel_i0_high(bessel_high_argument(a)) / sqrt(a);
  return select(a > T(8), high, low);
}
template <Real T>
TAPEGRAD_INLINE T i1e(T x) {
  const T a = abs(x);
  const T low = bessel_i1_low(bessel_low_argument(a)) * exp_negative(-a) * a;
  const T high = bessel_i1_high(bessel_high_argument(a)) / sqrt(a);
  return copysign(select(a > T(8), high, low), x);
}
// exp(a / 2) twice: the product overflows only where the result does.
template <Real T>
TAPEGRAD_INLINE T i0(T x) {
  const T a = abs(x);
  const T e = exp(T(0.5) * a);
  const T high = bessel_i0_high(bessel_high_argument(a)) / sqrt(a) * e * e;
  return select(a > T(8), select(a < kInfinity<T>, high, a), bessel_i0_low(bessel_low_argument(a)));
}
template <Real T>
TAPEGRAD_INLINE T i1(T x) {
  const T a = abs(x);
  const T e = exp(T(0.5) * a);
  const T high = bessel_i1_high(bessel_high_argument(a)) / sqrt(a) * e * e;
  const T low = bessel_i1_low(bessel_low_argument(a)) * a;
  return copysign(select(a > T(8), select(a < kInfinity<T>, high, a), low), x);
}

// --- the scaled complementary error function, and the normal distribution

// erfcx(x) for x >= 0; the fit holds up to 27, the asymptotic series from there on.
TAPEGRAD_INLINE double erfcx_positive(double x) {
  const double fitted = scaled_erfcx((x - 4.0) / (x + 4.0)) / fma(2.0, x, 1.0);
  const double z = 1.0 / (x * x);
  const double series =
      0x1.20dd750429b6dp-1 / x *
      horner(z, 1.0, -0.5, 0.75, -1.875, 6.5625, -29.53125, 162.421875, -1055.7421875);
  return select(x < 27.0, fitted, series);
}
TAPEGRAD_INLINE double erfcx(double x) {
  const double positive = erfcx_positive(abs(x));
  const auto [square, lost] = two_product(x, x);
  const double e = exp(square);
  const double grown = 2.0 * select(e < kInfinity<double>, fma(e, lost, e), e);
  return select(x < 0.0, grown - positive, positive);
}
TAPEGRAD_INLINE float erfcx(float x) { return static_cast<float>(erfcx(static_cast<double>(x))); }

// log Phi(x). Float works in double, as log(erfcx) and x^2 / 2 cancel near -1.
TAPEGRAD_INLINE double log_ndtr(double x) {
  const double a = abs(x);
  const double lower = log(0.5 * erfcx_positive(a * 0x1.6a09e667f3bcdp-1)) - 0.5 * x * x;
  return select(x < -1.0, lower, log1p(-normal_cdf(-x)));
}
TAPEGRAD_INLINE float log_ndtr(float x) {
  return static_cast<float>(log_ndtr(static_cast<double>(x)));
}

// f(w) = erfinv(x) / x, w = -log(1 - x^2): in w up to 5, in sqrt(w) up to 37 (where 1 - x reaches
// double's epsilon), and from there to 780 for complements that are given as such.
TAPEGRAD_INLINE float erf_inverse_low(float u) {
  return horner(u, 0x1.805c5cp+0f, 0x1.3bb316p-1f, -0x1.abc212p-6f, -0x1.40b17ap-6f, 0x1.1760b8p-7f,
                -0x1.ff9358p-12f, -0x1.b68cfp-11f, 0x1.32539ap-12f, 0x1.a6125ep-16f,
                -0x1.5b4ac8p-15f, 0x1.167932p-18f, 0x1.896934p-19f);
}
TAPEGRAD_INLINE float erf_inverse_middle(float u) {
  return horner(u, 0x1.000c24p+2f, 0x1.f137e4p+0f, 0x1.af0ba2p-9f, -0x1.3efdccp-8f, 0x1.b50182p-9f,
                -0x1.3f7282p-9f, 0x1.a67dcep-10f, -0x1.5a1ff8p-13f, 0x1.51bfc6p-10f,
                -0x1.0b9c22p-8f, 0x1.30c6e8p-9f, 0x1.25ed8ap-10f, -0x1.f19ceap-11f);
}
TAPEGRAD_INLINE float erf_inverse_high(float u) {
  return horner(u, 0x1.0eb8d4p+4f, 0x1.610c1p+3f, -0x1.ef8d96p-7f, 0x1.d9a40ep-8f, -0x1.7e1afcp-9f,
                0x1.f319c2p-11f, -0x1.a631b2p-10f, 0x1.4ccb36p-10f, 0x1.9e1e6ep-11f,
                -0x1.ac3576p-11f);
}

TAPEGRAD_INLINE float erf_inverse_ratio(float w) {
  const float s = sqrt(w);
  const float low = erf_inverse_low(fma(w, 0.4f, -1.0f));
  // The segments [sqrt(5), sqrt(37)] and [6, 28], mapped to [-1, 1].
  const float middle = erf_inverse_middle(fma(s, 0x1.0a33dcp-1f, -0x1.14cfcfp+1f));
  const float high = erf_inverse_high(fma(s, 0x1.745d18p-4f, -0x1.8ba2e8p+0f));
  return select(w < 5.0f, low, select(w < 37.0f, middle, high));
}

// u with erf(u) = x and erfc(u) = c for x >= 0, c = 1 - x, without edges.
TAPEGRAD_INLINE float erf_inverse_positive(float x, float c) {
  return x * erf_inverse_ratio(-log(c * (1.0f + x)));
}
TAPEGRAD_INLINE double erf_inverse_positive(double x, double c) {
  constexpr double kHalfRootPi = 0x1.c5bf891b4ef6bp-1;
  const double w = -log(c * (1.0 + x));
  const double u = x * static_cast<double>(erf_inverse_ratio(static_cast<float>(w)));
  const double low = (u * erf_series(u * u) - x) * exp(u * u);
  const double high = (c / erfc_positive(u) - 1.0) * erfcx_positive(u);
  const double step = kHalfRootPi * select(x < 0.5, low, high);
  return u - step / fma(u, step, 1.0);
}

template <Real T>
TAPEGRAD_INLINE T erfinv(T x) {
  const T a = abs(x);
  const T inside = erf_inverse_positive(a, T(1) - a);
  return copysign(select(a < T(1), inside, select(a == T(1), kInfinity<T>, kNaN<T>)), x);
}

template <Real T>
TAPEGRAD_INLINE T ndtri(T p) {
  constexpr T kRoot2 = static_cast<T>(0x1.6a09e667f3bcdp+0);
  const bool lower = p < T(0.5);
  const T q = select(lower, p, T(1) - p);
  const T y = kRoot2 * erf_inverse_positive(fma(T(-2), q, T(1)), q + q);
  const T value = select(q == T(0), kInfinity<T>, y);
  return select(p >= T(0) && p <= T(1), select(lower, -value, value), kNaN<T>);
}

// --- the gamma function

// sin(pi a) / a - pi in z = a^2, without the tail of pi, for a in [0, 1/2].
TAPEGRAD_INLINE float sin_pi_tail(float z) {
  return fma(
      z, horner(z, -0x1.4abbcep+2f, 0x1.466bc6p+1f, -0x1.32d214p-1f, 0x1.503704p-4f, -0x1.d04ap-8f),
      -0x1.777a5cp-24f);
}
TAPEGRAD_INLINE double sin_pi_tail(double z) {
  return fma(z,
             horner(z, -0x1.4abbce625be53p+2, 0x1.466bc6775aad6p+1, -0x1.32d2cce62adb9p-1,
                    0x1.50783486f190cp-4, -0x1.e3074ee5f4a61p-8, 0x1.e8f3b0121aafdp-12,
                    -0x1.6f866b70b27bdp-16, 0x1.9ec5cdbeecd34p-21),
             0x1.1a62633145c07p-53);
}
// sin(pi x) and cos(pi x), exact at whole and half numbers.
template <Real T>
TAPEGRAD_INLINE T sin_pi(T x) {
  constexpr T kPi = static_cast<T>(0x1.921fb54442d18p+1);
  const T r = x - T(2) * round(T(0.5) * x);
  const T whole = abs(r);
  const T a = select(whole > T(0.5), T(1) - whole, whole);
  const T inside = fma(a, sin_pi_tail(a * a), kPi * a);
  return copysign(select(a == T(0.5), T(1), inside), r);
}
template <Real T>
TAPEGRAD_INLINE T cos_pi(T x) {
  return sin_pi(T(0.5) - abs(x - T(2) * round(T(0.5) * x)));
}

// log(gamma(r)) / ((r - 1) (r - 2)) in t = r - 1.5 for r in [1, 2]: nothing cancels at the zeros.
TAPEGRAD_INLINE float lgamma_ratio(float t) {
  return horner(t, 0x1.eeb95cp-2f, -0x1.2aed06p-3f, 0x1.01af06p-4f, -0x1.007a36p-5f, 0x1.136246p-6f,
                -0x1.3514cep-7f, 0x1.5d0b52p-8f, -0x1.9b44f6p-9f, 0x1.40b32p-9f, -0x1.85ef62p-10f);
}
TAPEGRAD_INLINE double lgamma_ratio(double t) {
  return horner(t, 0x1.eeb95b094c191p-2, -0x1.2aed059bd6085p-3, 0x1.01af62a2929e1p-4,
                -0x1.007aa83cef9abp-5, 0x1.133423527ae27p-6, -0x1.34dbda128eee5p-7,
                0x1.64f0664fb6518p-8, -0x1.a5035375acabep-9, 0x1.f814b951d538bp-10,
                -0x1.313e5323120b7p-10, 0x1.750aa27fe4301p-11, -0x1.cb502b140a127p-12,
                0x1.1c7b46046a59cp-12, -0x1.61854b057e6e9p-13, 0x1.ba26ce28a34bp-14,
                -0x1.1cf3272629995p-14, 0x1.672b94917149fp-15, -0x1.6880fac68f031p-16,
                0x1.c7d009a4fae3ap-17, -0x1.36d84fee907ffp-16, 0x1.8ca55ab6b8718p-17);
}
// Stirling's series in z = 1 / y^2, as far as it is needed from kStirling on.
TAPEGRAD_INLINE float stirling_series(float z) {
  return horner(z, 1.0f / 12, -1.0f / 360, 1.0f / 1260, -1.0f / 1680);
}
TAPEGRAD_INLINE double stirling_series(double z) {
  return horner(z, 1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188, -691.0 / 360360,
                1.0 / 156, -3617.0 / 122400, 43867.0 / 244188);
}
template <Real T>
inline constexpr int kStirling = kIsFloat<T> ? 4 : 8;

// For x >= 0.
template <Real T>
TAPEGRAD_INLINE T lgamma_positive(T x) {
  constexpr T kHalfLogTwoPi = static_cast<T>(0x1.d67f1c864beb5p-1);
  const bool below = x < T(1);
  const bool far = x >= T(kStirling<T>);
  // gamma(x) = p gamma(r), or gamma(r) / p below 1, with r in [1, 2) up to kStirling.
  T p = select(below, x, T(1));
  T steps = T(0);
  for (int k = 1; k < kStirling<T> - 1; ++k) {
    const bool down = x >= T(k + 1);
    p *= select(down, x - T(k), T(1));
    steps += select(down, T(1), T(0));
  }
  const T one = select(below, x, (x - steps) - T(1));  // r - 1, exactly
  const T near = one * (one - T(1)) * lgamma_ratio(one - T(0.5));
  const T l = log(select(far, x, p));
  const T y = select(far, x, T(1));
  const T inverse = T(1) / y;
  const T series = fma(inverse, stirling_series(inverse * inverse), kHalfLogTwoPi - T(0.5));
  const T stirling = fma(y - T(0.5), l - T(1), series);
  return select(far, stirling, near + select(below, -l, l));
}
// Calls positive(begin, end) for each block of x without a negative number, any(begin, end) for the
// others.
template <Real T, class Any, class Positive>
TAPEGRAD_INLINE void map_positive(const T* x, std::int64_t n, Any any, Positive positive) {
  constexpr std::int64_t kBlock = 256;
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t end = n - begin < kBlock ? n : begin + kBlock;
    int negative = 0;
#pragma omp simd reduction(+ : negative)
    for (std::int64_t i = begin; i < end; ++i) negative += int(x[i] < T(0));
    if (negative != 0)
      any(begin, end);
    else
      positive(begin, end);
  }
}
// By reflection; infinite at the poles.
TAPEGRAD_INLINE float lgamma(float x) {
  constexpr double kLogPi = 0x1.250d048e7a1bdp+0;
  const double wide = static_cast<double>(x);
  const bool reflect = wide < 0.0;
  const double positive = lgamma_positive(select(reflect, 1.0 - wide, wide));
  const double reflected = kLogPi - log(abs(sin_pi(wide))) - positive;
  const double below = select(floor(wide) == wide, kInfinity<double>, reflected);
  return static_cast<float>(select(reflect, below, positive));
}
TAPEGRAD_INLINE double lgamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);
}

// digamma(x) for x > 0: the recurrence up to 10, then log and the asymptotic series.
template <Real T>
TAPEGRAD_INLINE T digamma_positive(T x) {
  T y = x;
  T sum = T(0);
  for (int k = 0; k < 10; ++k) {
    const bool small = y < T(10);
    sum += select(small, T(1) / y, T(0));
    y += select(small, T(1), T(0));
  }
  const T z = T(1) / (y * y);
  const T series = z * horner(z, T(1.0 / 12), T(-1.0 / 120), T(1.0 / 252), T(-1.0 / 240),
                              T(1.0 / 132), T(-691.0 / 32760), T(1.0 / 12));
  return log(y) - T(0.5) / y - series - sum;
}
// Below 0 by reflection; at the poles NaN, at zero an infinity of the sign that the limit has.
TAPEGRAD_INLINE double digamma(double x) {
  constexpr double kPi = 0x1.921fb54442d18p+1;
  const bool reflect = x < 0.0;
  const double positive = digamma_positive(select(reflect, 1.0 - x, x));
  const double reflected = positive - kPi * cos_pi(x) / sin_pi(x);
  const double pole = copysign(kInfinity<double>, -x);
  const double value = select(reflect, select(floor(x) == x, kNaN<double>, reflected), positive);
  return select(x == 0.0, pole, value);
}
// In double: sums and logarithm cancel near the root.
TAPEGRAD_INLINE float digamma(float x) {
  return static_cast<float>(digamma(static_cast<double>(x)));
}

// The derivative of digamma in the same way: the sum of (x + k)^-2.
TAPEGRAD_INLINE double trigamma(double x) {
  constexpr double kPi = 0x1.921fb54442d18p+1;
  const bool reflect = x < 0.0;
  double y = select(reflect, 1.0 - x, x);
  double sum = 0.0;
  for (int k = 0; k < 10; ++k) {
    const bool small = y < 10.0;
    sum += select(small, 1.0 / (y * y), 0.0);
    y += select(small, 1.0, 0.0);
  }
  const double inverse = 1.0 / y;
  const double z = inverse * inverse;
  const double series =
      z * horner(z, 1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66, -691.0 / 2730, 7.0 / 6);
  const double positive = sum + (inverse * (1.0 + series) + 0.5 * z);
  const double sine = sin_pi(x);
  return select(reflect, kPi * kPi / (sine * sine) - positive, positive);
}
TAPEGRAD_INLINE float trigamma(float x) {
  return static_cast<float>(trigamma(static_cast<double>(x)));
}

// B_2j / (2j)!
inline constexpr double kZetaSeries[] = {
    0x1.5555555555555p-4,  -0x1.6c16c16c16c17p-10, 0x1.1566abc011567p-15, -0x1.bbd779334ef0bp-21,
    0x1.66a8f2bf70ebep-26, -0x1.22805d644267fp-31, 0x1.d6db2c4e09162p-37, -0x1.7da4e1f79955cp-42,
    0x1.355871d652e9ep-47, -0x1.f57d968caacf1p-53};

// Hurwitz's zeta, the sum of (q + k)^-s: ten terms or more, up to q + k >= 10, then Euler and
// Maclaurin's series, here for any numbers.
[[gnu::noinline]] static double zeta(double s, double q) {
  if (s == 1.0) return kInfinity<double>;
  if (s == 2.0 && q > 0.0) return trigamma(q);
  if (!(s > 1.0) || isnan(q)) return kNaN<double>;
  if (q <= 0.0) {
    if (floor(q) == q) return kInfinity<double>;
    // Powers of negative numbers need a whole exponent. So far out there would be no end.
    if (floor(s) != s || q < -100000.0) return kNaN<double>;
  }
  if (q == kInfinity<double>) return 0.0;
  double sum = 0.0;
  double y = q;
  for (int k = 0; k < 10 || y < 10.0; ++k) {
    sum += pow(y, -s);
    y += 1.0;
  }
  const double power = pow(y, -s);
  sum += power * (y / (s - 1.0) + 0.5);
  double factor = s;
  double term = power / y;
  for (int j = 0; j < 10; ++j) {
    const double added = kZetaSeries[j] * factor * term;
    sum += added;
    if (abs(added) < abs(sum) * 0x1p-56) break;
    factor *= (s + 2 * j + 1) * (s + 2 * j + 2);
    term /= y * y;
  }
  return sum;
}
TAPEGRAD_INLINE float zeta(float s, float q) {
  return static_cast<float>(zeta(static_cast<double>(s), static_cast<double>(q)));
}
template <Real T>
TAPEGRAD_INLINE T zeta_next(T s, T q) {
  return zeta(s + T(1), q);
}

// y^-s for positive y; plain exponentials have digits enough for float.
TAPEGRAD_INLINE double zeta_term(double y, double s, float) { return exp(-s * log(y)); }
TAPEGRAD_INLINE double zeta_term(double y, double s, double) { return pow_positive(y, -s); }

inline constexpr std::int64_t kZetaBlock = 256;

// z[i] = zeta(s[i * step_s], q[i * step_q]) for up to kZetaBlock numbers, in vector code where
// s > 1 and q > 0 for all.
template <Real T>
[[gnu::noinline]] static void zeta_block(const T* s, std::int64_t step_s, const T* q,
                                         std::int64_t step_q, std::int64_t n, T* z) {
  double exponent[kZetaBlock], y[kZetaBlock], sum[kZetaBlock];
  int misfits = 0;
#pragma omp simd reduction(+ : misfits)
  for (std::int64_t i = 0; i < n; ++i) {
    exponent[i] = static_cast<double>(s[i * step_s]);
    y[i] = static_cast<double>(q[i * step_q]);
    sum[i] = 0.0;
    const int fits = int(exponent[i] > 1.0) & int(exponent[i] < 1e6) & int(y[i] > 0.0) &
                     int(y[i] < kInfinity<double>);
    misfits += 1 - fits;
  }
  if (misfits != 0) {
    for (std::int64_t i = 0; i < n; ++i) z[i] = zeta(s[i * step_s], q[i * step_q]);
    return;
  }
  for (int k = 0; k < 10; ++k) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      sum[i] += zeta_term(y[i], exponent[i], T());
      y[i] += 1.0;
    }
  }
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const double e = exponent[i];
    const double power = zeta_term(y[i], e, T());
    const double inverse = 1.0 / y[i];
    const double square = inverse * inverse;
    double series = 0.0, factor = e * inverse;
    for (int j = 0; j < 10; ++j) {
      series += kZetaSeries[j] * factor;
      factor *= (e + double(2 * j + 1)) * (e + double(2 * j + 2)) * square;
    }
    const double tail = y[i] / (e - 1.0) + 0.5 + series;
    z[i] = static_cast<T>(sum[i] + power * tail);
  }
}

// --- logarithms with a factor, and of sums of exponentials

template <Real T>
TAPEGRAD_INLINE T xlogy(T x, T y) {
  return select(x == T(0) && !isnan(y), T(0), x * log(y));
}
template <Real T>
TAPEGRAD_INLINE T xlog1py(T x, T y) {
  return select(x == T(0) && !isnan(y), T(0), x * log1p(y));
}
template <Real T>
TAPEGRAD_INLINE T entr(T x) {
  return select(x > T(0), -x * log(x), select(x == T(0), T(0), select(isnan(x), x, -kInfinity<T>)));
}
// The larger one where both are the same infinity.
template <Real T>
TAPEGRAD_INLINE T logaddexp(T a, T b) {
  const T larger = a < b ? b : a;
  const T sum = larger + log1p_inner(exp_negative(-abs(a - b)));
  return select(a == b && abs(a) == kInfinity<T>, a, sum);
}
template <Real T>
TAPEGRAD_INLINE T logaddexp2(T a, T b) {
  constexpr T kLog2e = static_cast<T>(0x1.71547652b82fep+0);
  const T larger = a < b ? b : a;
  const T sum = fma(log1p_inner(exp2(-abs(a - b))), kLog2e, larger);
  return select(a == b && abs(a) == kInfinity<T>, a, sum);
}

template <Real T>
TAPEGRAD_INLINE T sinc(T x) {
  constexpr T kPi = static_cast<T>(0x1.921fb54442d18p+1);
  return select(x == T(0), T(1), sin_pi(x) / (kPi * x));
}

// --- representation

// The next number from x towards y.
template <Real T>
TAPEGRAD_INLINE T nextafter(T x, T y) {
  using B = typename Ieee<T>::Bits;
  const B b = bits(x);
  const T moved = from_bits((x < y) == (x > T(0)) ? b + 1 : b - 1);
  const T value = select(x == T(0), copysign(from_bits(B{1}), y), moved);
  return select(isnan(x) || isnan(y), x + y, select(x == y, y, value));
}
template <Real T>
TAPEGRAD_INLINE bool signbit(T x) {
  return (bits(x) & Ieee<T>::kSign) != 0;
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
