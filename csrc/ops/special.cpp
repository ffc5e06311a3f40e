// Special functions and smaller arithmetic of PyTorch's library whose formulas are rows of the
// elementwise table, and those that take more than tensors; isclose, equal, isin.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/launch.h"
#include "core/parallel.h"
#include "kernels/equality.h"
#include "ops/elementwise_rules.h"
#include "ops/registry.h"

namespace tapegrad {

using namespace ops;

namespace {

constexpr int kAll = kFunction | kMethod;

LoopParameters parameters(double a, double b = 0, double c = 0) {
  LoopParameters p;
  const double values[] = {a, b, c};
  for (int i = 0; i < 3; ++i) p.d[i] = values[i];
  return p;
}

}  // namespace

// --- tapegrad.special
Tensor special_entr(const Tensor& input) { return unary<unary_entr>(input, {}); }
TAPEGRAD_OP(kSpecial, "special_entr(Tensor input, *, Tensor? out=None) -> Tensor",
            R"(Entropy -x log(x) of each element, 0 at 0 and -inf below.

Args:
    input: a tensor; integers become the default float
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.special.entr(tg.tensor([0., 0.5, 1.]))
    tensor([0.0000, 0.3466, -0.0000]))",
            &special_entr);
Tensor special_erfcx(const Tensor& input) { return unary<unary_erfcx>(input, {}); }
TAPEGRAD_OP(kSpecial, "special_erfcx(Tensor input, *, Tensor? out=None) -> Tensor",
            R"(Scaled complementary error function exp(x**2) erfc(x), which does not underflow.

Args:
    input: a tensor; integers become the default float
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.special.erfcx(tg.tensor([0., 10.]))
    tensor([1.0000, 0.0561]))",
            &special_erfcx);
Tensor special_i0e(const Tensor& input) { return unary<unary_i0e>(input, {}); }
TAPEGRAD_OP(kSpecial, "special_i0e(Tensor input, *, Tensor? out=None) -> Tensor",
            R"(Modified Bessel function of order 0, times exp(-abs(x)).

Args:
    input: a tensor; integers become the default float
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.special.i0e(tg.tensor([0., 1.]))
    tensor([1.0000, 0.4658]))",
            &special_i0e);
Tensor special_i1(const Tensor& input) { return unary<unary_i1>(input, {}); }
TAPEGRAD_OP(kSpecial, "special_i1(Tensor input, *, Tensor? out=None) -> Tensor",
            R"(Modified Bessel function of the first kind, order 1.

Args:
    input: a tensor; integers become the default float
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.special.i1(tg.tensor([0., 1.]))
    tensor([0.0000, 0.5652]))",
            &special_i1);
Tensor special_i1e(const Tensor& input) { return unary<unary_i1e>(input, {}); }
TAPEGRAD_OP(kSpecial, "special_i1e(Tensor input, *, Tensor? out=None) -> Tensor",
            R"(Modified Bessel function of order 1, times exp(-abs(x)).

Args:
    input: a tensor; integers become the default float
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.special.i1e(tg.tensor([0., 1.]))
    tensor([0.0000, 0.2079]))",
            &special_i1e);
Tensor special_log_ndtr(const Tensor& input) { return unary<unary_log_ndtr>(input, {}); }
TAPEGRAD_OP(kSpecial, "special_log_ndtr(Tensor input, *, Tensor? out=None) -> Tensor",
            R"(Logarithm of the normal distribution function, accurate far into the lower tail.

Args:
    input: a tensor; integers become the default float
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.special.log_ndtr(tg.tensor([-20., 0.]))
    tensor([-203.9172,   -0.6931]))",
            &special_log_ndtr);
Tensor special_ndtr(const Tensor& input) { return unary<unary_ndtr>(input, {}); }
TAPEGRAD_OP(kSpecial, "special_ndtr(Tensor input, *, Tensor? out=None) -> Tensor",
            R"(Distribution function of the standard normal distribution.

Args:
    input: a tensor; integers become the default float
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.special.ndtr(tg.tensor([-1., 0., 1.]))
    tensor([0.1587, 0.5000, 0.8413]))",
            &special_ndtr);
Tensor special_ndtri(const Tensor& input) { return unary<unary_ndtri>(input, {}); }
TAPEGRAD_OP(
    kSpecial, "special_ndtri(Tensor input, *, Tensor? out=None) -> Tensor",
    R"(Inverse of the distribution function of the standard normal distribution; NaN outside of [0, 1].

Args:
    input: a tensor; integers become the default float
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.special.ndtri(tg.tensor([0.25, 0.5, 1.]))
    tensor([-0.6745,  0.0000,     inf]))",
    &special_ndtri);

Tensor special_xlog1py(const Tensor& input, const Tensor& other) {
  return binary<binary_xlog1py>(input, other);
}
Tensor special_zeta(const Tensor& input, const Tensor& other) {
  return binary<binary_zeta>(input, other);
}
Tensor special_zeta(Scalar input, const Tensor& other) {
  const double s = input.to_double();
  return unary<unary_zeta_of>(other, parameters(s, -s));
}

TAPEGRAD_OP(
    kSpecial, "special_xlog1py(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
    R"(input * log1p(other), 0 where input is 0.

Args:
    input: a tensor or number
    other: a tensor or number that broadcasts with input
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast

Example:
    >>> import tapegrad as tg
    >>> tg.special.xlog1py(tg.tensor([0., 2.]), tg.tensor([-1., 3.]))
    tensor([0.0000, 2.7726]))",
    +[](const Tensor& a, const Tensor& b) { return special_xlog1py(a, b); });
TAPEGRAD_OP(
    kSpecial, "special_xlog1py(Tensor input, Scalar other, *, Tensor? out=None) -> Tensor", "",
    +[](const Tensor& a, Scalar b) { return special_xlog1py(a, wrapped_number(b)); });
TAPEGRAD_OP(
    kSpecial, "special_xlog1py(Scalar input, Tensor other, *, Tensor? out=None) -> Tensor", "",
    +[](Scalar a, const Tensor& b) { return special_xlog1py(wrapped_number(a), b); });
TAPEGRAD_OP(
    kSpecial, "special_xlogy(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
    R"(input * log(other), 0 where input is 0.

Args:
    input: a tensor or number
    other: a tensor or number that broadcasts with input
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast

Example:
    >>> import tapegrad as tg
    >>> tg.special.xlogy(tg.tensor([0., 2.]), tg.tensor([0., 3.]))
    tensor([0.0000, 2.1972]))",
    +[](const Tensor& a, const Tensor& b) { return xlogy(a, b); });
TAPEGRAD_OP(
    kSpecial, "special_xlogy(Tensor input, Scalar other, *, Tensor? out=None) -> Tensor", "",
    +[](const Tensor& a, Scalar b) { return xlogy(a, wrapped_number(b)); });
TAPEGRAD_OP(
    kSpecial, "special_xlogy(Scalar input, Tensor other, *, Tensor? out=None) -> Tensor", "",
    +[](Scalar a, const Tensor& b) { return xlogy(wrapped_number(a), b); });
TAPEGRAD_OP(
    kSpecial, "special_zeta(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
    R"(Hurwitz's zeta function, the sum over k >= 0 of (other + k)**-input. NaN for input < 1.

The derivative is with regard to other alone.

Args:
    input: a tensor or number
    other: a tensor or number that broadcasts with input
    out: a tensor to write the result into

Raises:
    GradError: a derivative with regard to input is asked for

Example:
    >>> import tapegrad as tg
    >>> tg.special.zeta(tg.tensor([2., 4.]), tg.tensor([1., 2.]))
    tensor([1.6449, 0.0823]))",
    +[](const Tensor& a, const Tensor& b) { return special_zeta(a, b); });
TAPEGRAD_OP(
    kSpecial, "special_zeta(Tensor input, Scalar other, *, Tensor? out=None) -> Tensor", "",
    +[](const Tensor& a, Scalar b) { return special_zeta(a, wrapped_number(b)); });
TAPEGRAD_OP(
    kSpecial, "special_zeta(Scalar input, Tensor other, *, Tensor? out=None) -> Tensor", "",
    +[](Scalar a, const Tensor& b) { return special_zeta(wrapped_number(a), b); });
TAPEGRAD_OP(
    kFunction, "xlogy(Scalar input, Tensor other, *, Tensor? out=None) -> Tensor", "",
    +[](Scalar a, const Tensor& b) { return xlogy(wrapped_number(a), b); });

Tensor polygamma(int64_t n, const Tensor& input) {
  if (n < 0) throw ValueError(core::text("polygamma: n must not be negative, got ", n));
  if (n == 0) return digamma(input);
  if (n == 1) return unary<unary_trigamma>(input, {});
  // (-1)^(n + 1) n! zeta(n + 1, x), and the factor of the next one.
  const double factor = (n % 2 ? 1.0 : -1.0) * std::tgamma(static_cast<double>(n) + 1);
  const double next = -factor * (static_cast<double>(n) + 1);
  return unary<unary_polygamma>(input, parameters(static_cast<double>(n) + 1, factor, next));
}
TAPEGRAD_OP(kFunction, "polygamma(int n, Tensor input, *, Tensor? out=None) -> Tensor",
            R"(The n-th derivative of digamma(), which is n = 0 itself.

Args:
    n: order of the derivative, not negative
    input: a tensor
    out: a tensor to write the result into

Raises:
    ValueError: n is negative

Example:
    >>> import tapegrad as tg
    >>> tg.polygamma(1, tg.tensor([1., 0.5]))
    tensor([1.6449, 4.9348]))",
            &polygamma);
TAPEGRAD_OP(
    kMethod | kInplace, "polygamma(Tensor input, int n) -> Tensor", "",
    +[](const Tensor& x, int64_t n) { return polygamma(n, x); });
TAPEGRAD_OP(kSpecial, "special_polygamma(int n, Tensor input, *, Tensor? out=None) -> Tensor",
            R"(The n-th derivative of digamma(), which is n = 0 itself.

Args:
    n: order of the derivative, not negative
    input: a tensor
    out: a tensor to write the result into

Raises:
    ValueError: n is negative

Example:
    >>> import tapegrad as tg
    >>> tg.special.polygamma(1, tg.tensor([1., 0.5]))
    tensor([1.6449, 4.9348]))",
            &polygamma);

Tensor mvlgamma(const Tensor& input, int64_t p) {
  if (p < 1) throw ValueError(core::text("mvlgamma: p must be at least 1, got ", p));
  const Tensor x = is_floating_point(input.dtype()) ? input : to(input, default_dtype());
  constexpr double kLogPi = 1.14472988584940017414;
  Tensor total = lgamma(x) + Scalar(0.25 * static_cast<double>(p * (p - 1)) * kLogPi);
  for (int64_t i = 1; i < p; ++i) total = total + lgamma(x - Scalar(0.5 * static_cast<double>(i)));
  return total;
}
TAPEGRAD_OP(kAll | kInplace, "mvlgamma(Tensor input, int p, *, Tensor? out=None) -> Tensor",
            R"(Logarithm of the multivariate gamma function of dimension p.

Args:
    input: a tensor of numbers above (p - 1) / 2
    p: the dimension
    out: a tensor to write the result into

Raises:
    ValueError: p < 1

Example:
    >>> import tapegrad as tg
    >>> tg.mvlgamma(tg.tensor([2., 3.]), 2)
    tensor([0.4516, 1.5502]))",
            &mvlgamma);
TAPEGRAD_OP(kSpecial, "special_multigammaln(Tensor input, int p, *, Tensor? out=None) -> Tensor",
            R"(Logarithm of the multivariate gamma function of dimension p.

Args:
    input: a tensor of numbers above (p - 1) / 2
    p: the dimension
    out: a tensor to write the result into

Raises:
    ValueError: p < 1

Example:
    >>> import tapegrad as tg
    >>> tg.special.multigammaln(tg.tensor([2., 3.]), 2)
    tensor([0.4516, 1.5502]))",
            &mvlgamma);

Tensor logit(const Tensor& input, std::optional<double> eps) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  return unary<unary_logit>(input, eps ? parameters(*eps, 1 - *eps, 0) : parameters(0, 1, kNaN));
}
TAPEGRAD_OP(kAll | kInplace, "logit(Tensor input, float? eps=None, *, Tensor? out=None) -> Tensor",
            R"(Inverse of the logistic function, log(x / (1 - x)).

Args:
    input: a tensor
    eps: when given, input is first limited to [eps, 1 - eps]; else NaN outside of [0, 1]
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.logit(tg.tensor([0.25, 0.5, 1.]), eps=1e-3)
    tensor([-1.0986,  0.0000,  6.9068]))",
            &logit);
TAPEGRAD_OP(kSpecial, "special_logit(Tensor input, float? eps=None, *, Tensor? out=None) -> Tensor",
            R"(Inverse of the logistic function, log(x / (1 - x)).

Args:
    input: a tensor
    eps: when given, input is first limited to [eps, 1 - eps]; else NaN outside of [0, 1]
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.special.logit(tg.tensor([0.25, 0.5, 1.]), eps=1e-3)
    tensor([-1.0986,  0.0000,  6.9068]))",
            &logit);

// --- arithmetic

namespace {

double largest(DType dtype) {
  switch (dtype) {
    case DType::Float64:
      return std::numeric_limits<double>::max();
    case DType::Float16:
      return 65504.0;
    case DType::BFloat16:
      return 0x1.fep127;
    default:
      return static_cast<double>(std::numeric_limits<float>::max());
  }
}

}  // namespace

Tensor nan_to_num(const Tensor& input, std::optional<double> nan, std::optional<double> posinf,
                  std::optional<double> neginf) {
  if (!is_floating_point(input.dtype())) return clone(input);
  const double high = largest(input.dtype());
  return unary<unary_nan_to_num>(
      input, parameters(nan.value_or(0), posinf.value_or(high), neginf.value_or(-high)));
}
TAPEGRAD_OP(kAll | kInplace,
            "nan_to_num(Tensor input, float? nan=None, float? posinf=None, float? neginf=None, *, "
            "Tensor? out=None) -> Tensor",
            R"(Replaces NaN and infinities by numbers; the derivative there is 0.

Args:
    input: a tensor
    nan: in place of NaN (default: 0)
    posinf: in place of infinity (default: the dtype's largest number)
    neginf: in place of -infinity (default: the dtype's lowest number)
    out: a tensor to write the result into

Example:
    >>> import math
    >>> import tapegrad as tg
    >>> tg.nan_to_num(tg.tensor([1., math.nan, math.inf]), posinf=9.)
    tensor([1., 0., 9.]))",
            &nan_to_num);
TAPEGRAD_OP(
    kAll, "positive(Tensor input) -> Tensor",
    R"(The input itself, unary plus.

Args:
    input: a tensor of numbers

Raises:
    DTypeError: a bool tensor

Example:
    >>> import tapegrad as tg
    >>> tg.positive(tg.tensor([1., -2.]))
    tensor([ 1., -2.]))",
    +[](const Tensor& x) {
      if (x.dtype() == DType::Bool) refuse_dtype("positive", x, "a tensor of numbers");
      return x;
    });

Tensor float_power(const Tensor& input, const Tensor& exponent) {
  const auto wide = [](const Tensor& x) {
    return x->has(TensorImpl::kWrappedNumber) ? x : to(x, DType::Float64);
  };
  return pow(wide(input), wide(exponent));
}
TAPEGRAD_OP(
    kAll | kInplace, "float_power(Tensor input, Tensor exponent, *, Tensor? out=None) -> Tensor",
    R"(input ** exponent, computed in float64.

Args:
    input: the base, a tensor or number
    exponent: a tensor or number that broadcasts with the base
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast

Example:
    >>> import tapegrad as tg
    >>> tg.float_power(tg.tensor([2, 3]), -1)
    tensor([0.5000, 0.3333], dtype=tapegrad.float64))",
    +[](const Tensor& a, const Tensor& b) { return float_power(a, b); });
TAPEGRAD_OP(
    kAll | kInplace, "float_power(Tensor input, Scalar exponent, *, Tensor? out=None) -> Tensor",
    "", +[](const Tensor& a, Scalar b) { return float_power(a, wrapped_number(b)); });
TAPEGRAD_OP(
    kFunction, "float_power(Scalar input, Tensor exponent, *, Tensor? out=None) -> Tensor", "",
    +[](Scalar a, const Tensor& b) { return float_power(wrapped_number(a), b); });

Tensor ldexp(const Tensor& input, const Tensor& other) { return mul(input, exp2(other)); }
TAPEGRAD_OP(kAll | kInplace, "ldexp(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
            R"(input * 2**other, elementwise.

Args:
    input: a tensor
    other: a tensor of exponents that broadcasts with input
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast

Example:
    >>> import tapegrad as tg
    >>> tg.ldexp(tg.tensor([1., 3.]), tg.tensor([3, -1]))
    tensor([8.0000, 1.5000]))",
            &ldexp);

namespace {

Tensor ternary_result(const char* op, autograd::Inputs in, DType dtype) {
  const Dims first = broadcast_shapes(op, in[0].sizes(), in[1].sizes());
  return core::make_tensor(broadcast_shapes(op, first, in[2].sizes()), dtype);
}

/// input + value * tensor1 * tensor2, or / tensor2.
template <kernels::TernaryOp kOp>
struct AddRatioRule : autograd::Rule {
  static constexpr bool kProduct = kOp == kernels::TernaryOp::AddProduct;
  static constexpr const char* name = kProduct ? "addcmul" : "addcdiv";
  Scalar value;

  unsigned saves_inputs(unsigned needs) const {
    const unsigned second = kProduct ? 2u : 6u;
    return ((needs & 2) ? 4u : 0u) | ((needs & 4) ? second : 0u);
  }
  static constexpr bool broadcasts = true;
  Tensor forward(autograd::Inputs in) const {
    const DType dtype = ops::result_type(in[0], in[1], in[2]);
    if (!kProduct && !is_floating_point(dtype)) {
      throw DTypeError(core::text("addcdiv: integer division is not supported, got a ",
                                  core::describe(in[1]), " and a ", core::describe(in[2]),
                                  "; convert one to a floating-point dtype"));
    }
    Tensor out = ternary_result(name, in, dtype);
    const kernels::Compute compute = kernels::compute_type(dtype);
    LoopParameters p;
    p.d[0] = value.to_double();
    p.i[0] = value.to_int();
    kernels::run_elementwise(kernels::ternary_loop(kOp, compute), compute, false, p, out,
                             {&in[0], &in[1], &in[2]});
    return out;
  }
  void pull(autograd::Pull& p) const {
    if (p.needs(0)) p.set(0, p.grad());
    if (!p.needs(1) && !p.needs(2)) return;
    const Tensor g = value.to_double() == 1.0 ? p.grad() : p.grad() * value;
    if (p.needs(1)) p.set(1, kProduct ? g * p.input(2) : g / p.input(2));
    if (!p.needs(2)) return;
    if (kProduct) {
      p.set(2, g * p.input(1));
    } else {
      p.set(2, -(g * (p.input(1) / square(p.input(2)))));
    }
  }
};
using AddProductRule = AddRatioRule<kernels::TernaryOp::AddProduct>;
using AddQuotientRule = AddRatioRule<kernels::TernaryOp::AddQuotient>;

struct LerpRule : autograd::Rule {
  static constexpr const char* name = "lerp";
  unsigned saves_inputs(unsigned needs) const {
    return ((needs & 3) ? 4u : 0u) | ((needs & 4) ? 3u : 0u);
  }
  static constexpr bool broadcasts = true;
  Tensor forward(autograd::Inputs in) const {
    const DType dtype = in[0].dtype();
    Tensor out = ternary_result(name, in, dtype);
    const kernels::Compute compute = kernels::compute_type(dtype);
    kernels::run_elementwise(kernels::ternary_loop(kernels::TernaryOp::Lerp, compute), compute,
                             false, {}, out, {&in[0], &in[1], &in[2]});
    return out;
  }
  void pull(autograd::Pull& p) const {
    if (p.needs(0)) p.set(0, p.grad() * (Scalar(1) - p.input(2)));
    if (p.needs(1)) p.set(1, p.grad() * p.input(2));
    if (p.needs(2)) p.set(2, p.grad() * (p.input(1) - p.input(0)));
  }
};

void check_lerp(const Tensor& input, const Tensor& end, const Tensor* weight) {
  if (!is_floating_point(input.dtype()) || end.dtype() != input.dtype() ||
      (weight && weight->dtype() != input.dtype())) {
    throw DTypeError(core::text("lerp: expected floating-point tensors of one dtype, got a ",
                                core::describe(input), " and a ", core::describe(end),
                                weight ? core::text(" and a ", core::describe(*weight)) : ""));
  }
}

}  // namespace

Tensor addcmul(const Tensor& input, const Tensor& tensor1, const Tensor& tensor2, Scalar value) {
  AddProductRule rule;
  rule.value = value;
  return autograd::enter(rule, input, tensor1, tensor2);
}
Tensor addcdiv(const Tensor& input, const Tensor& tensor1, const Tensor& tensor2, Scalar value) {
  AddQuotientRule rule;
  rule.value = value;
  return autograd::enter(rule, input, tensor1, tensor2);
}
Tensor lerp(const Tensor& input, const Tensor& end, const Tensor& weight) {
  check_lerp(input, end, &weight);
  return autograd::enter(LerpRule{}, input, end, weight);
}
Tensor lerp(const Tensor& input, const Tensor& end, double weight) {
  check_lerp(input, end, nullptr);
  return binary<binary_lerp_number>(input, end, parameters(weight, 1 - weight));
}
TAPEGRAD_OP(kAll | kInplace,
            "addcmul(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1, Tensor? "
            "out=None) -> Tensor",
            R"(input + value * tensor1 * tensor2, elementwise.

Args:
    input: a tensor
    tensor1: the first factor
    tensor2: the second factor; all three broadcast
    value: factor of the product
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast

Example:
    >>> import tapegrad as tg
    >>> tg.addcmul(tg.ones(2), tg.tensor([1., 2.]), tg.tensor([3., 4.]), value=0.5)
    tensor([2.5000, 5.0000]))",
            &addcmul);
TAPEGRAD_OP(kAll | kInplace,
            "addcdiv(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1, Tensor? "
            "out=None) -> Tensor",
            R"(input + value * tensor1 / tensor2, elementwise.

Args:
    input: a tensor
    tensor1: the dividend
    tensor2: the divisor; all three broadcast
    value: factor of the quotient
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast
    DTypeError: integer tensors

Example:
    >>> import tapegrad as tg
    >>> tg.addcdiv(tg.ones(2), tg.tensor([1., 2.]), tg.tensor([4., 4.]), value=2)
    tensor([1.5000, 2.0000]))",
            &addcdiv);
TAPEGRAD_OP(
    kAll | kInplace, "lerp(Tensor input, Tensor end, Tensor weight, *, Tensor? out=None) -> Tensor",
    R"(Linear interpolation input + weight * (end - input), elementwise.

Args:
    input: where weight is 0
    end: where weight is 1
    weight: a tensor that broadcasts with both, or a number
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast
    DTypeError: dtypes that differ or are not floating point

Example:
    >>> import tapegrad as tg
    >>> tg.lerp(tg.zeros(3), tg.tensor([1., 2., 3.]), 0.5)
    tensor([0.5000, 1.0000, 1.5000]))",
    +[](const Tensor& a, const Tensor& b, const Tensor& w) { return lerp(a, b, w); });
TAPEGRAD_OP(
    kAll | kInplace, "lerp(Tensor input, Tensor end, float weight, *, Tensor? out=None) -> Tensor",
    "", +[](const Tensor& a, const Tensor& b, double w) { return lerp(a, b, w); });

// --- comparisons of tensors

Tensor isclose(const Tensor& input, const Tensor& other, double rtol, double atol, bool equal_nan) {
  if (input.dtype() != other.dtype()) {
    throw DTypeError(core::text("isclose: expected tensors of one dtype, got a ",
                                core::describe(input), " and a ", core::describe(other),
                                "; convert one with .to()"));
  }
  if (rtol < 0 || atol < 0) throw ValueError("isclose: rtol and atol must not be negative");
  const auto wide = [](const Tensor& x) {
    return is_floating_point(x.dtype()) ? x : to(x, DType::Float64);
  };
  return binary<binary_isclose>(wide(input), wide(other), parameters(rtol, atol, equal_nan));
}
bool allclose(const Tensor& input, const Tensor& other, double rtol, double atol, bool equal_nan) {
  return all(isclose(input.detach(), other.detach(), rtol, atol, equal_nan)).item().to_int() != 0;
}
bool equal(const Tensor& input, const Tensor& other) {
  if (!(input.sizes() == other.sizes())) return false;
  const bool plain =
      input.dtype() == other.dtype() && !is_half(input.dtype()) &&
      ((autograd::entry_flags(input) | autograd::entry_flags(other)) & TensorImpl::kBatched) == 0;
  if (plain && input->is_contiguous() && other->is_contiguous()) {
    const Tensor result = core::make_tensor({}, DType::Int64);
    core::launch(&kernels::count_unequal, {core::out(result), core::in(input), core::in(other)},
                 kernels::CountUnequal{input.dtype(), input.numel()});
    return *result.data_ptr<int64_t>() == 0;
  }
  return all(eq(input.detach(), other.detach())).item().to_int() != 0;
}
TAPEGRAD_OP(kAll,
            "isclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool "
            "equal_nan=False) -> Tensor",
            R"(Whether abs(input - other) <= atol + rtol * abs(other), elementwise.

Args:
    input: a tensor
    other: a tensor of the same dtype that broadcasts with input
    rtol: tolerance relative to other
    atol: absolute tolerance
    equal_nan: whether NaN equals NaN

Raises:
    ShapeError: operands that do not broadcast
    DTypeError: dtypes that differ
    ValueError: a negative tolerance

Example:
    >>> import tapegrad as tg
    >>> tg.isclose(tg.tensor([1., 2.]), tg.tensor([1. + 1e-7, 2.1]))
    tensor([ True, False]))",
            &isclose);
TAPEGRAD_OP(kAll,
            "allclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool "
            "equal_nan=False) -> bool",
            R"(Whether all elements are close in the sense of isclose().

Args:
    input: a tensor
    other: a tensor of the same dtype that broadcasts with input
    rtol: tolerance relative to other
    atol: absolute tolerance
    equal_nan: whether NaN equals NaN

Raises:
    ShapeError: operands that do not broadcast
    DTypeError: dtypes that differ
    ValueError: a negative tolerance

Example:
    >>> import tapegrad as tg
    >>> tg.allclose(tg.tensor([1., 2.]), tg.tensor([1. + 1e-7, 2.]))
    True)",
            &allclose);
TAPEGRAD_OP(kAll, "equal(Tensor input, Tensor other) -> bool",
            R"(Whether two tensors have the same shape and the same elements; NaN equals nothing.

Args:
    input: a tensor
    other: a tensor

Example:
    >>> import tapegrad as tg
    >>> tg.equal(tg.tensor([1., 2.]), tg.tensor([1., 2.]))
    True)",
            &equal);

namespace {

/// Membership in a sorted list, element by element.
template <class T>
Tensor member(const Tensor& elements, const Tensor& test, DType dtype, bool invert) {
  const Tensor x = contiguous(to(elements.detach(), dtype));
  const Tensor t = contiguous(to(test.detach(), dtype));
  std::vector<T> sorted(t.data_ptr<T>(), t.data_ptr<T>() + t.numel());
  std::erase_if(sorted, [](T v) { return v != v; });
  std::sort(sorted.begin(), sorted.end());
  Tensor out = core::make_tensor(elements.sizes(), DType::Bool);
  const T* from = x.data_ptr<T>();
  bool* to_bool = out.data_ptr<bool>();
  core::parallel_for(0, x.numel(), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      to_bool[i] = std::binary_search(sorted.begin(), sorted.end(), from[i]) != invert;
    }
  });
  return out;
}

}  // namespace

Tensor isin(const Tensor& elements, const Tensor& test_elements, bool, bool invert) {
  const DType common = promote_types(elements.dtype(), test_elements.dtype());
  return is_floating_point(common) ? member<double>(elements, test_elements, DType::Float64, invert)
                                   : member<int64_t>(elements, test_elements, DType::Int64, invert);
}
TAPEGRAD_OP(kFunction,
            "isin(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool "
            "invert=False) -> Tensor",
            R"(Whether each element is one of test_elements.

Args:
    elements: a tensor or number
    test_elements: a tensor of any shape, or a number
    assume_unique: accepted as in PyTorch; nothing depends on it
    invert: whether to say where elements are not

Example:
    >>> import tapegrad as tg
    >>> tg.isin(tg.tensor([1, 2, 3]), tg.tensor([2, 5]))
    tensor([False,  True, False]))",
            &isin);
TAPEGRAD_OP(
    kFunction,
    "isin(Tensor elements, Scalar test_element, *, bool assume_unique=False, bool invert=False) -> "
    "Tensor",
    "", +[](const Tensor& x, Scalar t, bool unique, bool invert) {
      return isin(x, wrapped_number(t), unique, invert);
    });
TAPEGRAD_OP(
    kFunction,
    "isin(Scalar element, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> "
    "Tensor",
    "", +[](Scalar x, const Tensor& t, bool unique, bool invert) {
      return isin(wrapped_number(x), t, unique, invert);
    });

}  // namespace tapegrad
