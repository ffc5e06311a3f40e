// More rows of the elementwise table, as described in tapegrad/elementwise_rows.h, which includes
// this file: special functions, activations, and the smaller arithmetic of PyTorch's library.
#pragma once

// clang-format off
#define TAPEGRAD_MORE_UNARY_ROWS(UNARY) \
  UNARY(deg2rad, Float, None, (x * L(0.017453292519943295769)), (g * L(0.017453292519943295769)), \
        "Degrees as radians", "[180., 90.]", "tensor([3.1416, 1.5708])") \
  UNARY(rad2deg, Float, None, (x * L(57.295779513082320877)), (g * L(57.295779513082320877)), \
        "Radians as degrees", "[1., 2.]", "tensor([ 57.2958, 114.5916])") \
  UNARY(frac, Same, None, (x - trunc(x)), (g), \
        "Fractional part of each element, with its sign", "[1.5, -2.25]", "tensor([ 0.5000, -0.2500])") \
  UNARY(signbit, Bool, None, (signbit(x)), (zero_of(g)), \
        "Whether the sign bit of each element is set (that of -0. is)", "[1., -0.]", "tensor([False,  True])") \
  UNARY(isposinf, Bool, None, (isposinf(x)), (zero_of(g)), \
        "Whether each element is positive infinity", "[1., math.inf, -math.inf]", "tensor([False,  True, False])") \
  UNARY(isneginf, Bool, None, (isneginf(x)), (zero_of(g)), \
        "Whether each element is negative infinity", "[1., math.inf, -math.inf]", "tensor([False, False,  True])") \
  UNARY(sinc, Float, X, (sinc(x)), (g * choose(x * x < L(0.04), x * (L(-3.2898681336964528729) + x * x * (L(3.2469697011334145745) + x * x * (L(-1.1445109447325052822) + x * x * (L(0.20918278254123840404) + x * x * (L(-0.023460810354558236375) + x * x * (L(0.0017811455163728520442) + x * x * (L(-0.000097662231263189326643) + x * x * (L(4.0499478466192442422e-6))))))))), \
             (cos_pi(x) - sinc(x)) / choose(x * x < L(0.04), zero_of(x) + L(1), x))), \
        "Normalised sine sin(pi x) / (pi x) of each element, 1 at 0", "[0., 0.5]", "tensor([1.0000, 0.6366])") \
  UNARY(lgamma, Float, X, (lgamma(x)), (g * digamma(x)), \
        "Logarithm of the absolute value of the gamma function of each element", "[0.5, 4.]", "tensor([0.5724, 1.7918])") \
  UNARY(digamma, Float, X, (digamma(x)), (g * trigamma(x)), \
        "Logarithmic derivative of the gamma function of each element", "[1., 0.5]", "tensor([-0.5772, -1.9635])") \
  UNARY(erfinv, Float, Y, (erfinv(x)), (g * (exp(y * y) * L(0.88622692545275801365))), \
        "Inverse of the error function; NaN outside of [-1, 1]", "[0., 0.5, -1.]", "tensor([0.0000, 0.4769,   -inf])") \
  UNARY(i0, Float, X, (i0(x)), (g * i1(x)), \
        "Modified Bessel function of the first kind, order 0", "[0., 1.]", "tensor([1.0000, 1.2661])")

#define TAPEGRAD_MORE_PARAMETRIC_ROWS(PARAMETRIC) \
  PARAMETRIC(one, Same, None, (L(1)), \
             (zero_of(g))) \
  PARAMETRIC(logit, Float, X, (log_odds(x, p[0], p[1], p[2])), \
             (choose((x >= p[0]) & (x <= p[1]), g / (x * (L(1) - x)), outside_of(g, p[2])))) \
  PARAMETRIC(nan_to_num, Float, X, (number_of(x, p[0], p[1], p[2])), \
             (choose(isfinite(x), g, zero_of(g)))) \
  PARAMETRIC(trigamma, Float, X, (trigamma(x)), \
             (g * (zeta_next(L(2), x) * L(-2)))) \
  PARAMETRIC(polygamma, Float, X, (zeta(p[0], x) * p[1]), \
             (g * (zeta_next(p[0], x) * p[2]))) \
  PARAMETRIC(zeta_of, Float, X, (zeta(p[0], x)), \
             (g * (zeta_next(p[0], x) * p[1]))) \
  PARAMETRIC(i0e, Float, X, (i0e(x)), \
             (g * (i1e(x) - sign(x) * i0e(x)))) \
  PARAMETRIC(i1, Float, X, (i1(x)), \
             (g * choose(x == L(0), half_of(x), i0(x) - i1(x) / choose(x == L(0), half_of(x), x)))) \
  PARAMETRIC(i1e, Float, X, (i1e(x)), \
             (g * choose(x == L(0), half_of(x), i0e(x) - i1e(x) * (sign(x) + L(1) / choose(x == L(0), half_of(x), x))))) \
  PARAMETRIC(entr, Float, X, (entr(x)), \
             (g * (-(log(x)) - L(1)))) \
  PARAMETRIC(erfcx, Float, X, (erfcx(x)), \
             (g * (erfcx(x) * x * L(2) - L(1.12837916709551257390)))) \
  PARAMETRIC(ndtr, Float, X, (normal_cdf(x)), \
             (g * (exp(x * x * L(-0.5)) * L(0.39894228040143267794)))) \
  PARAMETRIC(ndtri, Float, Y, (ndtri(x)), \
             (g * (exp(y * y * L(0.5)) * L(2.50662827463100050242)))) \
  PARAMETRIC(log_ndtr, Float, X, (log_ndtr(x)), \
             (g * L(0.79788456080286535588) / erfcx(x * L(-0.70710678118654752440)))) \
  PARAMETRIC(hardtanh, Same, X, (clamp_to(x, p[0], p[1])), \
             (choose((x <= p[0]) | (x >= p[1]), zero_of(g), g))) \
  PARAMETRIC(hardsigmoid, Float, X, (clamp_to(x + L(3), L(0), L(6)) / L(6)), \
             (choose((x > L(-3)) & (x < L(3)), g / L(6), zero_of(g)))) \
  PARAMETRIC(hardswish, Float, X, (x * clamp_to(x + L(3), L(0), L(6)) / L(6)), \
             (choose(x <= L(-3), zero_of(g), choose(x < L(3), g * (x / L(3) + L(0.5)), g)))) \
  PARAMETRIC(hardshrink, Float, X, (choose((x >= -p[0]) & (x <= p[0]), zero_of(x), x)), \
             (choose((x >= p[1]) & (x <= p[0]), zero_of(g), g))) \
  PARAMETRIC(softshrink, Float, X, (choose(x > p[0], x - p[0], choose(x < -p[0], x + p[0], x * L(0)))), \
             (choose((x >= p[1]) & (x <= p[0]), zero_of(g), g))) \
  PARAMETRIC(threshold, Same, X, (choose(x <= p[0], p[1], x)), \
             (choose(x <= p[0], zero_of(g), g))) \
  PARAMETRIC(logsigmoid, Float, X, (-(log1p_exp(-x))), \
             (g * sigmoid(-x))) \
  PARAMETRIC(mish, Float, X, (x * mish_gate(x)), \
             (g * (mish_gate(x) + x * sigmoid(x) * (L(1) - square(mish_gate(x)))))) \
  PARAMETRIC(softsign, Float, X, (x / (abs(x) + L(1))), \
             (g / square(abs(x) + L(1)))) \
  PARAMETRIC(tanhshrink, Float, X, (x - tanh(x)), \
             (g * square(tanh(x))))

#define TAPEGRAD_MORE_BINARY_ROWS(BINARY) \
  BINARY(copysign, Float, Fused, kA | kB, kNone, (copysign(a, b)), (choose(a == L(0), zero_of(g), choose(signbit(a) == signbit(b), g, -g))), \
         (zero_of(g)), \
         "Size of input with the sign of other, elementwise", "[1., -2.]", "[-3., -0.]", "tensor([-1., -2.])") \
  BINARY(heaviside, Same, Composed, kNone, kNone, (choose(a == L(0), b, choose(a > L(0), one_of(a), zero_of(a)))), (undefined_derivative(g, "heaviside")), \
         (undefined_derivative(g, "heaviside")), \
         "Step function: 0 below 0, 1 above, and other at 0", "[-1., 0., 2.]", "[0.5, 0.5, 0.5]", "tensor([0.0000, 0.5000, 1.0000])") \
  BINARY(nextafter, Float, Fused, kA | kB, kA | kB, (nextafter(a, b)), (choose(a == b, zero_of(g), g)), \
         (choose(a == b, g, zero_of(g))), \
         "Next representable number after input towards other, elementwise", "[1.]", "[2.]", "tensor([1.0000])") \
  BINARY(logaddexp, Float, Fused, kA | kB, kA | kB, (logaddexp(a, b)), (g * sigmoid(a - b)), \
         (g * sigmoid(b - a)), \
         "log(exp(input) + exp(other)) without overflow, elementwise", "[0., 1000.]", "[0., 1000.]", "tensor([6.9315e-01, 1.0007e+03])") \
  BINARY(logaddexp2, Float, Fused, kA | kB, kA | kB, (logaddexp2(a, b)), (g / (exp2(b - a) + L(1))), \
         (g / (exp2(a - b) + L(1))), \
         "log2(2**input + 2**other) without overflow, elementwise", "[0., 3.]", "[0., 3.]", "tensor([1., 4.])") \
  BINARY(xlogy, Float, Fused, kA | kB, kA | kB, (xlogy(a, b)), (choose((a == L(0)) & (b <= L(0)), zero_of(g), g * log(b))), \
         (g * (a / b)), \
         "input * log(other), 0 where input is 0, elementwise", "[0., 2.]", "[0., 3.]", "tensor([0.0000, 2.1972])") \
  BINARY(gcd, Bits, Composed, kNone, kNone, (gcd(a, b)), (zero_of(g)), \
         (zero_of(g)), \
         "Greatest common divisor of two integer tensors, elementwise", "[12, 0]", "[18, 5]", "tensor([6, 5])") \
  BINARY(lcm, Bits, Composed, kNone, kNone, (lcm(a, b)), (zero_of(g)), \
         (zero_of(g)), \
         "Least common multiple of two integer tensors, elementwise", "[4, 0]", "[6, 5]", "tensor([12,  0])")

#define TAPEGRAD_MORE_BINARY_PARAMETRIC_ROWS(BINARY_PARAMETRIC) \
  BINARY_PARAMETRIC(xlog1py, Float, Fused, kA | kB, kA | kB, (xlog1py(a, b)), (choose((a == L(0)) & (b <= L(-1)), zero_of(g), g * log1p(b))), (g * (a / (b + L(1))))) \
  BINARY_PARAMETRIC(zeta, Float, Composed, kNone, kA | kB, (zeta(a, b)), (undefined_derivative(g, "zeta")), (-(g * (a * zeta_next(a, b))))) \
  BINARY_PARAMETRIC(isclose, Bool, Composed, kNone, kNone, (is_close(a, b, p[0], p[1], p[2])), (zero_of(g)), (zero_of(g))) \
  BINARY_PARAMETRIC(lerp_number, Float, Composed, kNone, kNone, (lerp(a, b, p[0])), (g * p[1]), (g * p[0])) \
  BINARY_PARAMETRIC(clamp_low, Same, Fused, kA | kB, kA | kB, (maximum(a, b)), (choose(a >= b, g, zero_of(g))), (choose(a < b, g, zero_of(g)))) \
  BINARY_PARAMETRIC(clamp_high, Same, Fused, kA | kB, kA | kB, (minimum(a, b)), (choose(a <= b, g, zero_of(g))), (choose(a > b, g, zero_of(g)))) \
  BINARY_PARAMETRIC(prelu, Float, Fused, kA | kB, kA, (choose(a > L(0), a, a * b)), (choose(a > L(0), g, g * b)), (choose(a > L(0), zero_of(g), g * a))) \
  BINARY_PARAMETRIC(gate, Float, Fused, kB, kA | kB, (a * sigmoid(b)), (g * sigmoid(b)), (g * (a * (sigmoid(b) * (L(1) - sigmoid(b))))))
// clang-format on
