// Exponentials for float and double: exp, exp2, expm1, sigmoid, tanh, sinh, cosh. It must know no
// other family.
//
// Note [Exponential]: x = n ln2 + r with |r| <= ln2 / 2, by a sum with kMagic that leaves n in the
// low bits, so that 2^n is a shift of those bits. 2^n is applied as two factors: results below the
// smallest normal number are rounded once, and overflow arrives at infinity without a test. The
// polynomials are minimax fits.
#pragma once

#include "kernels/isa/vector_math_core.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

template <Real T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  static constexpr float kLog2e = 0x1.715476p+0f;
  // kLn2High has so few digits that n * kLn2High is exact.
  static constexpr float kLn2High = 0x1.62e4p-1f;
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kLowest = -104.5f;  // exp is 0 from here down
  static constexpr float kHighest = 89.5f;   // sinh is infinite from here up
  static constexpr float kOneLess = -18.0f;  // expm1 is -1 from here down
  static constexpr float kTanhOne = 9.2f;    // tanh is 1 from here up
};

template <>
struct ExpConstants<double> {
  static constexpr double kLog2e = 0x1.71547652b82fep+0;
  static constexpr double kLn2High = 0x1.62e42fefap-1;
  static constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;
  static constexpr double kLowest = -746.0;
  static constexpr double kHighest = 711.0;
  static constexpr double kOneLess = -40.0;
  static constexpr double kTanhOne = 20.0;
};

// (exp(r) - 1 - r) / r^2 for |r| <= ln2 / 2.
TAPEGRAD_INLINE float exp_tail(float r) {
  return horner(r, 0x1.fffffep-2f, 0x1.5554aap-3f, 0x1.55579cp-5f, 0x1.122c4ap-7f, 0x1.6abc36p-10f);
}
TAPEGRAD_INLINE double exp_tail(double r) {
  return horner(r, 0x1p-1, 0x1.5555555555559p-3, 0x1.5555555555559p-5, 0x1.111111110f726p-7,
                0x1.6c16c16c16e36p-10, 0x1.a01a01af9199fp-13, 0x1.a01a019b8659cp-16,
                0x1.71ddf94d847a4p-19, 0x1.27e4ff73692fdp-22, 0x1.af5cef1b9c2c8p-26,
                0x1.1f2e4320b4990p-29);
}

// (2^r - 1) / r for |r| <= 1/2.
TAPEGRAD_INLINE float exp2_tail(float r) {
  return horner(r, 0x1.62e430p-1f, 0x1.ebfba0p-3f, 0x1.c6afb2p-5f, 0x1.3b5d92p-7f, 0x1.5ee548p-10f,
                0x1.1e19eap-13f);
}
TAPEGRAD_INLINE double exp2_tail(double r) {
  return horner(r, 0x1.62e42fefa39efp-1, 0x1.ebfbdff82c574p-3, 0x1.c6b08d704a1fap-5,
                0x1.3b2ab6fbaad9fp-7, 0x1.5d87fe786b096p-10, 0x1.430912dcd156bp-13,
                0x1.ffcbfd77059d0p-17, 0x1.62c091de42e65p-20, 0x1.b522d118a05b0p-24,
                0x1.e336d2a54670bp-28, 0x1.ed0a185f4da48p-32, 0x1.f72da92c095d9p-35);
}

// remainder, and 2^n as two factors.
template <Real T>
struct ExpParts {
  T r, scale1, scale2;
};

// The two factors of 2^n, from t = kMagic + 2 * kBias + n.
template <Real T>
TAPEGRAD_INLINE ExpParts<T> exp_scales(T r, T t) {
  const auto i = bits(t);
  const auto half = i >> 1;
  return {r, from_bits(half << Ieee<T>::kMantissa), from_bits((i - half) << Ieee<T>::kMantissa)};
}

// |x| must not exceed -kLowest, or x be NaN.
template <Real T>
TAPEGRAD_INLINE ExpParts<T> exp_reduce(T x) {
  using C = ExpConstants<T>;
  constexpr T kShift = Ieee<T>::kMagic + T(2 * Ieee<T>::kBias);
  const T t = fma(x, C::kLog2e, kShift);
  const T n = t - kShift;
  const T r = fma(n, -C::kLn2Low, fma(n, -C::kLn2High, x));
  return exp_scales(r, t);
}

template <Real T>
TAPEGRAD_INLINE T exp(T x) {
  // One bound for both signs: beyond it the result is 0 or infinity.
  const T bound = -ExpConstants<T>::kLowest;
  const T a = abs(x);
  const auto [r, scale1, scale2] = exp_reduce(copysign(bound < a ? bound : a, x));
  const T p = fma(fma(exp_tail(r), r, T(1)), r, T(1));
  return p * scale1 * scale2;
}

// exp(x) for x <= 0: 2^n fits into one factor when lifted by 2^kLift, far above the subnormal
// numbers.
template <Real T>
TAPEGRAD_INLINE T exp_negative(T x) {
  using C = ExpConstants<T>;
  constexpr int kLift = 64;
  constexpr T kShift = Ieee<T>::kMagic + T(Ieee<T>::kBias + kLift);
  const T y = C::kLowest > x ? C::kLowest : x;
  const T t = fma(y, C::kLog2e, kShift);
  const T n = t - kShift;
  const T r = fma(n, -C::kLn2Low, fma(n, -C::kLn2High, y));
  const T p = fma(fma(exp_tail(r), r, T(1)), r, T(1));
  return p * from_bits(bits(t) << Ieee<T>::kMantissa) * T(0x1p-64);
}

template <Real T>
TAPEGRAD_INLINE T exp2(T x) {
  constexpr T kShift = Ieee<T>::kMagic + T(2 * Ieee<T>::kBias);
  constexpr T kEdge = kIsFloat<T> ? T(152) : T(1080);
  const T y = clamp(x, -kEdge, kEdge);
  const T t = y + kShift;
  const auto [r, scale1, scale2] = exp_scales(y - (t - kShift), t);
  return fma(exp2_tail(r), r, T(1)) * scale1 * scale2;
}

// 2^x in double with the digits that float needs and a range beyond float's.
TAPEGRAD_INLINE double exp2_short(double x) {
  constexpr double kShift = Ieee<double>::kMagic + Ieee<double>::kBias;
  const double y = clamp(x, -200.0, 200.0);
  const double t = y + kShift;
  const double r = y - (t - kShift);
  const double p = horner(r, 1.0, 0x1.62e42ff0e40c9p-1, 0x1.ebfbe0784791fp-3, 0x1.c6b08abc5ee16p-5,
                          0x1.3b29f2d81f811p-7, 0x1.5d8a8896ddebcp-10, 0x1.445d2f9f59212p-13,
                          0x1.fde4eb1d6b121p-17);
  return p * from_bits(bits(t) << Ieee<double>::kMantissa);
}

// (exp(x) - 1) / 2; half of it, as 2^n itself may overflow where the result does not.
// x must lie in [kOneLess, ln(largest number)] or be NaN.
template <Real T>
TAPEGRAD_INLINE T half_expm1(T x) {
  using C = ExpConstants<T>;
  constexpr T kShift = Ieee<T>::kMagic + T(Ieee<T>::kBias - 1);
  const T t = fma(x, C::kLog2e, kShift);
  const T n = t - kShift;
  const T r = fma(n, -C::kLn2Low, fma(n, -C::kLn2High, x));
  const T p = fma(exp_tail(r), r * r, r);
  const T scale = from_bits(bits(t) << Ieee<T>::kMantissa);  // 2^(n - 1)
  return fma(scale, p, scale - T(0.5));
}

template <Real T>
TAPEGRAD_INLINE T expm1(T x) {
  constexpr T kHighest = kIsFloat<T> ? T(88.73) : T(709.79);
  const T half = half_expm1(clamp(x, ExpConstants<T>::kOneLess, kHighest));
  return copysign(half + half, x);
}

// For x <= 0; some number above.
template <Real T>
TAPEGRAD_INLINE T expm1_below(T x) {
  const T half = half_expm1(ExpConstants<T>::kOneLess > x ? ExpConstants<T>::kOneLess : x);
  return half + half;
}

template <Real T>
TAPEGRAD_INLINE T tanh(T x) {
  constexpr T kOne = ExpConstants<T>::kTanhOne;
  const T a = abs(x);
  const T y = kOne < a ? kOne : a;
  const T half = half_expm1(y + y);  // tanh(y) = half / (half + 1)
  // As b - b (b / (half + 1)), the quotient's error counts little where tanh is small or near 1.
  const T b = T(1) < half ? T(1) : half;
  return copysign(fma(-b, b / (half + T(1)), b), x);
}

template <Real T>
TAPEGRAD_INLINE T sigmoid(T x) {
  const T e = exp_negative(-abs(x));
  const T q = e / (T(1) + e);
  // q itself below 0, as e - e q: the quotient's error counts little in the tail.
  return select(x < T(0), fma(-e, q, e), T(1) - q);
}

// (sinh(x) - x) / x^3 in z = x^2, for |x| <= 1.
TAPEGRAD_INLINE float sinh_tail(float z) {
  return horner(z, 0x1.555556p-3f, 0x1.1110e0p-7f, 0x1.a022bcp-13f, 0x1.756c28p-19f);
}
TAPEGRAD_INLINE double sinh_tail(double z) {
  return horner(z, 0x1.5555555555556p-3, 0x1.111111111101ep-7, 0x1.a01a01a037266p-13,
                0x1.71de3a3b06d53p-19, 0x1.ae646ff59c0adp-26, 0x1.6116f3cc500a6p-33,
                0x1.b5c923f8bd2a7p-41);
}

// exp(x) / 2 for x >= 0, finite where exp overflows and sinh does not.
template <Real T>
TAPEGRAD_INLINE T half_exp(T x) {
  constexpr T kHighest = ExpConstants<T>::kHighest;
  const auto [r, scale1, scale2] = exp_reduce(kHighest < x ? kHighest : x);
  const T p = fma(fma(exp_tail(r), r, T(1)), r, T(1));
  return p * scale1 * (T(0.5) * scale2);
}

template <Real T>
TAPEGRAD_INLINE T sinh(T x) {
  const T a = abs(x);
  const T e = half_exp(a);
  const T z = a * a;
  const T small = fma(sinh_tail(z) * z, a, a);
  return copysign(select(a > T(1), e - T(0.25) / e, small), x);
}

template <Real T>
TAPEGRAD_INLINE T cosh(T x) {
  const T e = half_exp(abs(x));
  return e + T(0.25) / e;
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
