// The elementwise operations, one row each: a formula and its derivative, from which everything
// else about the operation is made (kernels for every instruction set, tape rule, tangent, C++ and
// Python functions, methods, docstrings, stubs).
//
//   UNARY(name, domain, saves, f, pull, doc, example, result)       also PARAMETRIC(name, domain,
//   saves, f, pull): kernel and rule,
//                                                                   public function written by hand
//                                                                   in ops/elementwise.cpp
//   BINARY(name, domain, mode, saves_a, saves_b, f, pull_a, pull_b, doc, example_a, example_b,
//   result)
//
// Formulas are generic: they are compiled for float, double and (domains Same, Bool, Bits) int64_t
// as vector loops, and for Tensor, where they record. x, a, b: inputs; y: the output; g: the
// gradient of the output; L(c): the constant c; p[i]: parameter i. Masks select by choose(), they
// never multiply: inf and NaN upstream behave as in PyTorch.
//   domain  Same: result has the inputs' dtype.  Float: integers become the default float.  Bool:
//   result is bool.
//           Bits: integers and bool only.
//   saves   what the derivative reads: None, X, Y; for binary rows a mask of kA, kB, kY.
//   mode    Fused: the derivative is one kernel.  Composed: it is evaluated by tensor operations
//   (one at most, or none).
// Sub-gradients at kinks are PyTorch's.
#pragma once

#include "tapegrad/special_rows.h"

// clang-format off
#define TAPEGRAD_UNARY_ROWS(UNARY) \
  UNARY(neg, Same, None, (-x), (-g), \
        "Negative of each element", "[1., -2.]", "tensor([-1.,  2.])") \
  UNARY(abs, Same, X, (abs(x)), (g * sign(x)), \
        "Absolute value of each element; the derivative at 0 is 0", "[-1., 2.]", "tensor([1., 2.])") \
  UNARY(sign, Same, None, (sign(x)), (zero_of(g)), \
        "Sign of each element: -1, 0 or 1", "[-3., 0., 2.]", "tensor([-1.,  0.,  1.])") \
  UNARY(square, Same, X, (x * x), (g * (x * L(2))), \
        "Square of each element", "[1., -3.]", "tensor([1., 9.])") \
  UNARY(relu, Same, Y, (choose(x < L(0), zero_of(x), x)), (choose(y > L(0), g, zero_of(g))), \
        "Rectified linear unit, max(0, x) for each element; the derivative at 0 is 0", "[-1., 2.]", "tensor([0., 2.])") \
  UNARY(floor, Same, None, (floor(x)), (zero_of(g)), \
        "Largest integer not above each element", "[-0.5, 1.7]", "tensor([-1.,  1.])") \
  UNARY(ceil, Same, None, (ceil(x)), (zero_of(g)), \
        "Smallest integer not below each element", "[-0.5, 1.7]", "tensor([-0., 2.])") \
  UNARY(trunc, Same, None, (trunc(x)), (zero_of(g)), \
        "Integer part of each element", "[-1.5, 1.7]", "tensor([-1.,  1.])") \
  UNARY(exp, Float, Y, (exp(x)), (g * y), \
        "Exponential e**x of each element", "[0., 1.]", "tensor([1.0000, 2.7183])") \
  UNARY(exp2, Float, Y, (exp2(x)), (g * (y * L(0.693147180559945309417))), \
        "Power of two 2**x of each element", "[0., 3.]", "tensor([1., 8.])") \
  UNARY(expm1, Float, Y, (expm1(x)), (g * (y + L(1))), \
        "e**x - 1 of each element, accurate near 0", "[0., 1.]", "tensor([0.0000, 1.7183])") \
  UNARY(log, Float, X, (log(x)), (g / x), \
        "Natural logarithm of each element", "[1., 10.]", "tensor([0.0000, 2.3026])") \
  UNARY(log1p, Float, X, (log1p(x)), (g / (x + L(1))), \
        "log(1 + x) of each element, accurate near 0", "[0., 1.]", "tensor([0.0000, 0.6931])") \
  UNARY(log2, Float, X, (log2(x)), (g / (x * L(0.693147180559945309417))), \
        "Logarithm to base 2 of each element", "[1., 8.]", "tensor([0., 3.])") \
  UNARY(log10, Float, X, (log10(x)), (g / (x * L(2.30258509299404568402))), \
        "Logarithm to base 10 of each element", "[1., 100.]", "tensor([0., 2.])") \
  UNARY(sqrt, Float, Y, (sqrt(x)), (g / (y * L(2))), \
        "Square root of each element", "[4., 9.]", "tensor([2., 3.])") \
  UNARY(rsqrt, Float, Y, (rsqrt(x)), (g * (y * y * y * L(-0.5))), \
        "Reciprocal of the square root of each element", "[4., 16.]", "tensor([0.5000, 0.2500])") \
  UNARY(reciprocal, Float, Y, (reciprocal(x)), (-(g * (y * y))), \
        "Reciprocal 1 / x of each element", "[2., 4.]", "tensor([0.5000, 0.2500])") \
  UNARY(sin, Float, X, (sin(x)), (g * cos(x)), \
        "Sine of each element, in radians", "[0., 1.]", "tensor([0.0000, 0.8415])") \
  UNARY(cos, Float, X, (cos(x)), (-(g * sin(x))), \
        "Cosine of each element, in radians", "[0., 1.]", "tensor([1.0000, 0.5403])") \
  UNARY(tan, Float, Y, (tan(x)), (g * (y * y + L(1))), \
        "Tangent of each element, in radians", "[0., 1.]", "tensor([0.0000, 1.5574])") \
  UNARY(asin, Float, X, (asin(x)), (g * rsqrt(L(1) - x * x)), \
        "Inverse sine of each element", "[0., 1.]", "tensor([0.0000, 1.5708])") \
  UNARY(acos, Float, X, (acos(x)), (-(g * rsqrt(L(1) - x * x))), \
        "Inverse cosine of each element", "[0., 1.]", "tensor([1.5708, 0.0000])") \
  UNARY(atan, Float, X, (atan(x)), (g / (x * x + L(1))), \
        "Inverse tangent of each element", "[0., 1.]", "tensor([0.0000, 0.7854])") \
  UNARY(sinh, Float, X, (sinh(x)), (g * cosh(x)), \
        "Hyperbolic sine of each element", "[0., 1.]", "tensor([0.0000, 1.1752])") \
  UNARY(cosh, Float, X, (cosh(x)), (g * sinh(x)), \
        "Hyperbolic cosine of each element", "[0., 1.]", "tensor([1.0000, 1.5431])") \
  UNARY(tanh, Float, Y, (tanh(x)), (g * (L(1) - y * y)), \
        "Hyperbolic tangent of each element", "[0., 1.]", "tensor([0.0000, 0.7616])") \
  UNARY(asinh, Float, X, (asinh(x)), (g * rsqrt(x * x + L(1))), \
        "Inverse hyperbolic sine of each element", "[0., 1.]", "tensor([0.0000, 0.8814])") \
  UNARY(acosh, Float, X, (acosh(x)), (g * rsqrt(x * x - L(1))), \
        "Inverse hyperbolic cosine of each element", "[1., 2.]", "tensor([0.0000, 1.3170])") \
  UNARY(atanh, Float, X, (atanh(x)), (g / (L(1) - x * x)), \
        "Inverse hyperbolic tangent of each element", "[0., 0.5]", "tensor([0.0000, 0.5493])") \
  UNARY(erf, Float, X, (erf(x)), (g * (exp(-(x * x)) * L(1.12837916709551257390))), \
        "Error function of each element", "[0., 1.]", "tensor([0.0000, 0.8427])") \
  UNARY(erfc, Float, X, (erfc(x)), (g * (exp(-(x * x)) * L(-1.12837916709551257390))), \
        "Complementary error function 1 - erf(x) of each element", "[0., 1.]", "tensor([1.0000, 0.1573])") \
  UNARY(sigmoid, Float, Y, (sigmoid(x)), (g * (y * (L(1) - y))), \
        "Logistic function 1 / (1 + exp(-x)) of each element", "[0., 2.]", "tensor([0.5000, 0.8808])") \
  UNARY(isnan, Bool, None, (isnan(x)), (zero_of(g)), \
        "Whether each element is NaN", "[1., math.nan]", "tensor([False,  True])") \
  UNARY(isinf, Bool, None, (isinf(x)), (zero_of(g)), \
        "Whether each element is infinite", "[1., math.inf]", "tensor([False,  True])") \
  UNARY(isfinite, Bool, None, (isfinite(x)), (zero_of(g)), \
        "Whether each element is neither infinite nor NaN", "[1., math.inf]", "tensor([ True, False])") \
  UNARY(logical_not, Bool, None, (x == L(0)), (zero_of(g)), \
        "Whether each element is zero", "[0., 2.]", "tensor([ True, False])") \
  TAPEGRAD_MORE_UNARY_ROWS(UNARY)

#define TAPEGRAD_PARAMETRIC_ROWS(PARAMETRIC) \
  PARAMETRIC(bitwise_not, Bits, None, (~x), \
             (zero_of(g))) \
  PARAMETRIC(round_decimals, Same, None, (round(x * p[0]) / p[0]), \
             (zero_of(g))) \
  PARAMETRIC(round, Same, None, (round(x)), \
             (zero_of(g))) \
  PARAMETRIC(clamp, Same, X, (clamp_to(x, p[0], p[1])), \
             (choose((x >= p[0]) & (x <= p[1]), g, zero_of(g)))) \
  PARAMETRIC(pow_scalar, Float, X, (pow(x, p[0])), \
             (g * (pow(x, p[1]) * p[0]))) \
  PARAMETRIC(leaky_relu, Float, X, (choose(x > L(0), x, x * p[0])), \
             (choose(x > L(0), g, g * p[0]))) \
  PARAMETRIC(elu, Float, X, (choose(x > L(0), x, expm1_below(x * p[2]) * p[0]) * p[1]), \
             (choose(x > L(0), g * p[1], g * (exp(x * p[2]) * p[0] * p[1] * p[2])))) \
  PARAMETRIC(silu, Float, X, (x * sigmoid(x)), \
             (g * (sigmoid(x) * (x * (L(1) - sigmoid(x)) + L(1))))) \
  PARAMETRIC(softplus, Float, X, (choose(x * p[0] > p[1], x, log1p(exp(x * p[0])) / p[0])), \
             (choose(x * p[0] > p[1], g, g * sigmoid(x * p[0])))) \
  PARAMETRIC(gelu, Float, X, (times_normal_cdf(x)), \
             (g * (normal_cdf_fast(x) + x * (exp(x * x * L(-0.5)) * L(0.39894228040143267794))))) \
  PARAMETRIC(gelu_tanh, Float, X, (x * L(0.5) * (tanh(gelu_inner(x)) + L(1))), \
             (g * ((tanh(gelu_inner(x)) + L(1)) * L(0.5) + (L(1) - square(tanh(gelu_inner(x)))) * (x * L(0.5)) * (x * x * L(0.10703222440890037) + L(0.79788456080286541))))) \
  TAPEGRAD_MORE_PARAMETRIC_ROWS(PARAMETRIC)

#define TAPEGRAD_BINARY_ROWS(BINARY) \
  BINARY(mul, Same, Composed, kB, kA, (a * b), (g * b), \
         (g * a), \
         "Product of two tensors, elementwise", "[1., 2.]", "[3., 4.]", "tensor([3., 8.])") \
  BINARY(atan2, Float, Fused, kA | kB, kA | kB, (atan2(a, b)), (g * (b / (a * a + b * b))), \
         (-(g * (a / (a * a + b * b)))), \
         "Angle of the point (other, input), elementwise", "[1., -1.]", "[1., 1.]", "tensor([ 0.7854, -0.7854])") \
  BINARY(maximum, Same, Fused, kA | kB, kA | kB, (maximum(a, b)), (choose(a < b, zero_of(g), choose(a == b, g * L(0.5), g))), \
         (choose(b < a, zero_of(g), choose(a == b, g * L(0.5), g))), \
         "Larger of two tensors, elementwise; NaN wins, ties share the gradient", "[1., 5.]", "[3., 4.]", "tensor([3., 5.])") \
  BINARY(minimum, Same, Fused, kA | kB, kA | kB, (minimum(a, b)), (choose(b < a, zero_of(g), choose(a == b, g * L(0.5), g))), \
         (choose(a < b, zero_of(g), choose(a == b, g * L(0.5), g))), \
         "Smaller of two tensors, elementwise; NaN wins, ties share the gradient", "[1., 5.]", "[3., 4.]", "tensor([1., 4.])") \
  BINARY(fmax, Same, Fused, kA | kB, kA | kB, (fmax(a, b)), (choose((a >= b) | isnan(b), g, zero_of(g))), \
         (choose((a >= b) | isnan(b), zero_of(g), g)), \
         "Larger of two tensors, elementwise; a number wins over NaN", "[1., 5.]", "[3., math.nan]", "tensor([3., 5.])") \
  BINARY(fmin, Same, Fused, kA | kB, kA | kB, (fmin(a, b)), (choose((a <= b) | isnan(b), g, zero_of(g))), \
         (choose((a <= b) | isnan(b), zero_of(g), g)), \
         "Smaller of two tensors, elementwise; a number wins over NaN", "[1., 5.]", "[3., math.nan]", "tensor([1., 5.])") \
  BINARY(hypot, Float, Fused, kA | kY, kB | kY, (hypot(a, b)), (g * (a / y)), \
         (g * (b / y)), \
         "Length of the hypotenuse sqrt(a**2 + b**2), elementwise", "[3., 5.]", "[4., 12.]", "tensor([ 5., 13.])") \
  BINARY(remainder, Same, Fused, kNone, kA | kB, (remainder(a, b)), (g), \
         (-(g * floor(a / b))), \
         "Remainder of the division, with the sign of the divisor, elementwise (Python's %)", "[-3., 5.]", "[2., 3.]", "tensor([1., 2.])") \
  BINARY(fmod, Same, Fused, kNone, kA | kB, (fmod(a, b)), (g), \
         (-(g * trunc(a / b))), \
         "Remainder of the division, with the sign of the dividend, elementwise (C's fmod)", "[-3., 5.]", "[2., 3.]", "tensor([-1.,  2.])") \
  BINARY(floor_divide, Same, Composed, kNone, kNone, (floor_divide(a, b)), (zero_of(g)), \
         (zero_of(g)), \
         "Quotient rounded down, elementwise (Python's //)", "[-3., 5.]", "[2., 3.]", "tensor([-2.,  1.])") \
  BINARY(eq, Bool, Composed, kNone, kNone, (a == b), (zero_of(g)), \
         (zero_of(g)), \
         "Whether elements are equal", "[1., 2.]", "[1., 3.]", "tensor([ True, False])") \
  BINARY(ne, Bool, Composed, kNone, kNone, (a != b), (zero_of(g)), \
         (zero_of(g)), \
         "Whether elements differ", "[1., 2.]", "[1., 3.]", "tensor([False,  True])") \
  BINARY(lt, Bool, Composed, kNone, kNone, (a < b), (zero_of(g)), \
         (zero_of(g)), \
         "Whether elements of input are less than other's", "[1., 2.]", "[1., 3.]", "tensor([False,  True])") \
  BINARY(le, Bool, Composed, kNone, kNone, (a <= b), (zero_of(g)), \
         (zero_of(g)), \
         "Whether elements of input are less than or equal to other's", "[1., 4.]", "[1., 3.]", "tensor([ True, False])") \
  BINARY(gt, Bool, Composed, kNone, kNone, (a > b), (zero_of(g)), \
         (zero_of(g)), \
         "Whether elements of input are greater than other's", "[1., 4.]", "[1., 3.]", "tensor([False,  True])") \
  BINARY(ge, Bool, Composed, kNone, kNone, (a >= b), (zero_of(g)), \
         (zero_of(g)), \
         "Whether elements of input are greater than or equal to other's", "[1., 2.]", "[1., 3.]", "tensor([ True, False])") \
  BINARY(logical_and, Bool, Composed, kNone, kNone, ((a != L(0)) & (b != L(0))), (zero_of(g)), \
         (zero_of(g)), \
         "Logical and of two tensors; nonzero counts as true", "[1., 2.]", "[1., 0.]", "tensor([ True, False])") \
  BINARY(logical_or, Bool, Composed, kNone, kNone, ((a != L(0)) | (b != L(0))), (zero_of(g)), \
         (zero_of(g)), \
         "Logical or of two tensors; nonzero counts as true", "[0., 2.]", "[0., 0.]", "tensor([False,  True])") \
  BINARY(logical_xor, Bool, Composed, kNone, kNone, ((a != L(0)) != (b != L(0))), (zero_of(g)), \
         (zero_of(g)), \
         "Logical exclusive or of two tensors; nonzero counts as true", "[1., 2.]", "[1., 0.]", "tensor([False,  True])") \
  BINARY(bitwise_and, Bits, Composed, kNone, kNone, (a & b), (zero_of(g)), \
         (zero_of(g)), \
         "Bitwise and of two integer or bool tensors", "[6, 3]", "[3, 5]", "tensor([2, 1])") \
  BINARY(bitwise_or, Bits, Composed, kNone, kNone, (a | b), (zero_of(g)), \
         (zero_of(g)), \
         "Bitwise or of two integer or bool tensors", "[6, 3]", "[3, 5]", "tensor([7, 7])") \
  BINARY(bitwise_xor, Bits, Composed, kNone, kNone, (a ^ b), (zero_of(g)), \
         (zero_of(g)), \
         "Bitwise exclusive or of two integer or bool tensors", "[6, 3]", "[3, 5]", "tensor([5, 6])") \
  BINARY(bitwise_left_shift, Bits, Composed, kNone, kNone, (shift_left(a, b)), (zero_of(g)), \
         (zero_of(g)), \
         "Bits shifted to the left; shifts outside of the type's width give 0", "[1, 3]", "[3, 1]", "tensor([8, 6])") \
  BINARY(bitwise_right_shift, Bits, Composed, kNone, kNone, (shift_right(a, b)), (zero_of(g)), \
         (zero_of(g)), \
         "Bits shifted to the right, keeping the sign", "[8, -8]", "[2, 1]", "tensor([ 2, -4])") \
  TAPEGRAD_MORE_BINARY_ROWS(BINARY)

#define TAPEGRAD_BINARY_PARAMETRIC_ROWS(BINARY_PARAMETRIC) \
  BINARY_PARAMETRIC(div, Float, Fused, kB, kB | kY, (a / b), (g / b), (-(g * (y / b)))) \
  BINARY_PARAMETRIC(pow, Same, Fused, kA | kB, kA | kB | kY, (pow(a, b)), (choose(b == L(0), zero_of(g), g * (b * pow(a, b - L(1))))), (choose((a == L(0)) & (b >= L(0)), zero_of(g), g * (y * log(a))))) \
  BINARY_PARAMETRIC(add, Same, Composed, kNone, kNone, (a + b), (g), (g)) \
  BINARY_PARAMETRIC(sub, Same, Composed, kNone, kNone, (a - b), (g), (-g)) \
  BINARY_PARAMETRIC(add_scaled, Same, Composed, kNone, kNone, (a + b * p[0]), (g), (g * p[0])) \
  BINARY_PARAMETRIC(div_trunc, Same, Composed, kNone, kNone, (trunc_divide(a, b)), (zero_of(g)), (zero_of(g))) \
  TAPEGRAD_MORE_BINARY_PARAMETRIC_ROWS(BINARY_PARAMETRIC)
// clang-format on
