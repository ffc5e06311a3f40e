// Dual numbers, on which the rows' formulas run to give their derivatives: a derivative's formula,
// evaluated on them, gives the second derivative in the same loop. Owns their vocabulary, which is
// made from the rows themselves. For instruction-set objects only.
#pragma once

#include "kernels/isa/functors.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

/// value + slope * e, with e^2 = 0.
template <class T>
struct Dual {
  T value, slope;
  Dual() = default;
  TAPEGRAD_INLINE explicit Dual(T v) : value(v), slope(T(0)) {}
  TAPEGRAD_INLINE Dual(T v, T s) : value(v), slope(s) {}

  TAPEGRAD_INLINE friend Dual operator-(Dual a) { return {-a.value, -a.slope}; }
  TAPEGRAD_INLINE friend Dual operator+(Dual a, Dual b) {
    return {a.value + b.value, a.slope + b.slope};
  }
  TAPEGRAD_INLINE friend Dual operator-(Dual a, Dual b) {
    return {a.value - b.value, a.slope - b.slope};
  }
  TAPEGRAD_INLINE friend Dual operator*(Dual a, Dual b) {
    return {a.value * b.value, a.slope * b.value + a.value * b.slope};
  }
  TAPEGRAD_INLINE friend Dual operator/(Dual a, Dual b) {
    const T quotient = a.value / b.value;
    return {quotient, (a.slope - quotient * b.slope) / b.value};
  }
  TAPEGRAD_INLINE friend bool operator<(Dual a, Dual b) { return a.value < b.value; }
  TAPEGRAD_INLINE friend bool operator>(Dual a, Dual b) { return a.value > b.value; }
  TAPEGRAD_INLINE friend bool operator<=(Dual a, Dual b) { return a.value <= b.value; }
  TAPEGRAD_INLINE friend bool operator>=(Dual a, Dual b) { return a.value >= b.value; }
  TAPEGRAD_INLINE friend bool operator==(Dual a, Dual b) { return a.value == b.value; }
  TAPEGRAD_INLINE friend bool operator!=(Dual a, Dual b) { return a.value != b.value; }
};

/// Row `Op` on a dual number, by its own formula and derivative.
template <class Op, class T>
TAPEGRAD_INLINE Dual<T> of_dual(Dual<T> x, const LoopParameters& parameters = {}) {
  const RowParameters<T> p(parameters);
  const T y = Op::f(x.value, p);
  return {y, Op::pull(x.slope, x.value, y, p)};
}

#define TAPEGRAD_DUAL_FUNCTION(name, ...)   \
  template <class T>                        \
  TAPEGRAD_INLINE Dual<T> name(Dual<T> x) { \
    return of_dual<unary_##name>(x);        \
  }
TAPEGRAD_UNARY_ROWS(TAPEGRAD_DUAL_FUNCTION)
#undef TAPEGRAD_DUAL_FUNCTION

/// The exponent is a constant.
template <class T>
TAPEGRAD_INLINE Dual<T> pow(Dual<T> x, Dual<T> exponent) {
  const T n = exponent.value;
  return {pow(x.value, n), x.slope * (pow(x.value, n - T(1)) * n)};
}
template <class T>
TAPEGRAD_INLINE Dual<T> normal_cdf_fast(Dual<T> x) {
  const T density = exp(x.value * x.value * T(-0.5)) * T(0.39894228040143267794);
  return {normal_cdf_fast(x.value), x.slope * density};
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
