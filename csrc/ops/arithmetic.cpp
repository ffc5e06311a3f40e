// Elementwise operations that take more than tensors: add and sub with alpha, div with a rounding
// mode, pow, where, clamp, round, and the activations with parameters. Their formulas are rows;
// here are their arguments.
#include <cmath>
#include <limits>

#include "ops/elementwise_rules.h"
#include "ops/registry.h"

namespace tapegrad {

using namespace ops;

namespace {

constexpr int kAll = kFunction | kMethod;

bool is_one(Scalar value) { return value.to_double() == 1.0; }

LoopParameters parameters(Scalar a, Scalar b = 0, Scalar c = 0) {
  LoopParameters p;
  const Scalar values[] = {a, b, c};
  for (int i = 0; i < 3; ++i) {
    p.d[i] = values[i].to_double();
    p.i[i] = values[i].to_int();
  }
  return p;
}

void check_alpha(const char* op, const Tensor& a, const Tensor& b, Scalar alpha) {
  if (alpha.is_floating_point() && !is_floating_point(result_type(a, b))) {
    throw DTypeError(core::text(
        op, ": for integral input tensors, argument alpha must not be a floating point number"));
  }
}

Scalar negated(Scalar value) {
  return value.is_floating_point() ? Scalar(-value.to_double()) : Scalar(-value.to_int());
}

}  // namespace

// --- add, sub
// --------------------------------------------------------------------------------------------------------

Tensor add(const Tensor& input, const Tensor& other, Scalar alpha) {
  if (is_one(alpha)) return binary<binary_add>(input, other);
  check_alpha("add", input, other, alpha);
  return binary<binary_add_scaled>(input, other, parameters(alpha));
}
Tensor add(const Tensor& input, Scalar other, Scalar alpha) {
  return add(input, wrapped_number(other), alpha);
}
Tensor& add_(Tensor& self, const Tensor& other, Scalar alpha) {
  if (is_one(alpha)) return binary_inplace<binary_add>(self, other);
  check_alpha("add_", self, other, alpha);
  return binary_inplace<binary_add_scaled>(self, other, parameters(alpha));
}
Tensor& add_(Tensor& self, Scalar other, Scalar alpha) {
  return add_(self, wrapped_number(other), alpha);
}

Tensor sub(const Tensor& input, const Tensor& other, Scalar alpha) {
  if (is_one(alpha)) return binary<binary_sub>(input, other);
  check_alpha("sub", input, other, alpha);
  return binary<binary_add_scaled>(input, other, parameters(negated(alpha)));
}
Tensor sub(const Tensor& input, Scalar other, Scalar alpha) {
  return sub(input, wrapped_number(other), alpha);
}
Tensor& sub_(Tensor& self, const Tensor& other, Scalar alpha) {
  if (is_one(alpha)) return binary_inplace<binary_sub>(self, other);
  check_alpha("sub_", self, other, alpha);
  return binary_inplace<binary_add_scaled>(self, other, parameters(negated(alpha)));
}
Tensor& sub_(Tensor& self, Scalar other, Scalar alpha) {
  return sub_(self, wrapped_number(other), alpha);
}
Tensor rsub(const Tensor& input, const Tensor& other, Scalar alpha) {
  return sub(other, input, alpha);
}
Tensor rsub(const Tensor& input, Scalar other, Scalar alpha) {
  return sub(wrapped_number(other), input, alpha);
}

#define TAPEGRAD_REGISTER_ALPHA(name, doc)                                                         \
  TAPEGRAD_OP(                                                                                     \
      kAll, #name "(Tensor input, Tensor other, *, Scalar alpha=1, Tensor? out=None) -> Tensor",   \
      doc, +[](const Tensor& a, const Tensor& b, Scalar alpha) { return name(a, b, alpha); });     \
  TAPEGRAD_OP(                                                                                     \
      kAll, #name "(Tensor input, Scalar other, *, Scalar alpha=1, Tensor? out=None) -> Tensor",   \
      "", +[](const Tensor& a, Scalar b, Scalar alpha) { return name(a, b, alpha); });             \
  TAPEGRAD_OP(                                                                                     \
      kAll, #name "_(Tensor(a!) input, Tensor other, *, Scalar alpha=1) -> Tensor(a!)",            \
      "In-place version of " #name "().", +[](const Tensor& self, const Tensor& b, Scalar alpha) { \
        Tensor written = self;                                                                     \
        return name##_(written, b, alpha);                                                         \
      });                                                                                          \
  TAPEGRAD_OP(                                                                                     \
      kAll, #name "_(Tensor(a!) input, Scalar other, *, Scalar alpha=1) -> Tensor(a!)", "",        \
      +[](const Tensor& self, Scalar b, Scalar alpha) {                                            \
        Tensor written = self;                                                                     \
        return name##_(written, b, alpha);                                                         \
      });
TAPEGRAD_REGISTER_ALPHA(add, R"(input + alpha * other, elementwise.

Args:
    input: a tensor
    other: a tensor or number that broadcasts with input
    alpha: factor of other
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast

Example:
    >>> import tapegrad as tg
    >>> tg.add(tg.tensor([1., 2.]), tg.tensor([3., 4.]), alpha=10)
    tensor([31., 42.]))")
TAPEGRAD_REGISTER_ALPHA(sub, R"(input - alpha * other, elementwise.

Args:
    input: a tensor
    other: a tensor or number that broadcasts with input
    alpha: factor of other
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast
    DTypeError: two bool tensors

Example:
    >>> import tapegrad as tg
    >>> tg.sub(tg.tensor([5., 7.]), 2)
    tensor([3., 5.]))")
TAPEGRAD_OP(
    kAll, "rsub(Tensor input, Tensor other, *, Scalar alpha=1) -> Tensor",
    R"(other - alpha * input, elementwise.

Args:
    input: a tensor
    other: a tensor or number that broadcasts with input
    alpha: factor of input

Example:
    >>> import tapegrad as tg
    >>> tg.rsub(tg.tensor([1., 2.]), 10)
    tensor([9., 8.]))",
    +[](const Tensor& a, const Tensor& b, Scalar alpha) { return rsub(a, b, alpha); });
TAPEGRAD_OP(
    kAll, "rsub(Tensor input, Scalar other, *, Scalar alpha=1) -> Tensor", "",
    +[](const Tensor& a, Scalar b, Scalar alpha) { return rsub(a, b, alpha); });

// --- div
// -------------------------------------------------------------------------------------------------------------

namespace {

template <class Floor, class Trunc, class True>
decltype(auto) with_rounding(std::optional<std::string_view> mode, Floor floor_form,
                             Trunc trunc_form, True true_form) {
  if (!mode) return true_form();
  if (*mode == "floor") return floor_form();
  if (*mode == "trunc") return trunc_form();
  throw ValueError(
      core::text("div: rounding_mode must be None, 'trunc' or 'floor', got '", *mode, "'"));
}

Tensor div_trunc(const Tensor& a, const Tensor& b) {
  floor_divide(core::make_tensor({0}, a.dtype()),
               b->dim() == 0 ? b : core::make_scalar(1, b.dtype()));
  return binary<binary_div_trunc>(a, b);
}

}  // namespace

Tensor div(const Tensor& input, const Tensor& other, std::optional<std::string_view> mode) {
  return with_rounding(
      mode, [&] { return floor_divide(input, other); }, [&] { return div_trunc(input, other); },
      [&] { return binary<binary_div>(input, other); });
}
Tensor div(const Tensor& input, Scalar other, std::optional<std::string_view> mode) {
  return div(input, wrapped_number(other), mode);
}
Tensor& div_(Tensor& self, const Tensor& other, std::optional<std::string_view> mode) {
  if (!mode) return binary_inplace<binary_div>(self, other);
  return autograd::assign_inplace("div_", self, div(self, other, mode));
}
Tensor& div_(Tensor& self, Scalar other, std::optional<std::string_view> mode) {
  return div_(self, wrapped_number(other), mode);
}

TAPEGRAD_OP(
    kAll, "div(Tensor input, Tensor other, *, str? rounding_mode=None, Tensor? out=None) -> Tensor",
    R"(Quotient of two tensors, elementwise; integers divide to the default float.

Args:
    input: the dividend
    other: a tensor or number that broadcasts with input
    rounding_mode: None, 'trunc' (towards zero) or 'floor' (as Python's //)
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast
    ValueError: another rounding mode; an integer division by zero

Example:
    >>> import tapegrad as tg
    >>> tg.div(tg.tensor([7., -7.]), 2, rounding_mode="floor")
    tensor([ 3., -4.]))",
    +[](const Tensor& a, const Tensor& b, std::optional<std::string_view> m) {
      return div(a, b, m);
    });
TAPEGRAD_OP(
    kAll, "div(Tensor input, Scalar other, *, str? rounding_mode=None, Tensor? out=None) -> Tensor",
    "", +[](const Tensor& a, Scalar b, std::optional<std::string_view> m) { return div(a, b, m); });
TAPEGRAD_OP(
    kAll, "div_(Tensor(a!) input, Tensor other, *, str? rounding_mode=None) -> Tensor(a!)",
    "In-place version of div().",
    +[](const Tensor& self, const Tensor& b, std::optional<std::string_view> m) {
      Tensor written = self;
      return div_(written, b, m);
    });
TAPEGRAD_OP(
    kAll, "div_(Tensor(a!) input, Scalar other, *, str? rounding_mode=None) -> Tensor(a!)", "",
    +[](const Tensor& self, Scalar b, std::optional<std::string_view> m) {
      Tensor written = self;
      return div_(written, b, m);
    });

// --- pow
// -------------------------------------------------------------------------------------------------------------

namespace {

bool exponent_is_negative(const Tensor& exponent) {
  const Tensor flat = contiguous(to(exponent.detach(), DType::Int64));
  const auto* values = flat.data_ptr<int64_t>();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    if (values[i] < 0) return true;
  }
  return false;
}

void check_integer_exponent(DType dtype, bool negative) {
  if (negative && !is_floating_point(dtype)) {
    throw ValueError(
        "pow: integers to negative integer powers are not allowed; convert the base to a floating "
        "dtype");
  }
}

}  // namespace

Tensor pow(const Tensor& input, const Tensor& exponent) {
  if (exponent->has(TensorImpl::kWrappedNumber)) return pow(input, exponent.item());
  const DType dtype = result_type(input, exponent);
  if (!is_floating_point(dtype)) check_integer_exponent(dtype, exponent_is_negative(exponent));
  return binary<binary_pow>(input, exponent);
}

Tensor pow(const Tensor& input, Scalar exponent) {
  const double e = exponent.to_double();
  const bool floating = is_floating_point(input.dtype());
  if (!floating) {
    if (!exponent.is_floating_point()) check_integer_exponent(input.dtype(), e < 0);
    return binary<binary_pow>(input, wrapped_number(exponent));
  }
  // The common exponents have exact and faster forms.
  if (e == 2) return square(input);
  if (e == 1) return clone(input);
  if (e == 0.5) return sqrt(input);
  if (e == -1) return reciprocal(input);
  if (e == -0.5) return rsqrt(input);
  if (e == 3) return input * square(input);
  if (e == 0) return unary<unary_one>(input, {});
  return unary<unary_pow_scalar>(input, parameters(e, e - 1));
}
Tensor pow(Scalar input, const Tensor& exponent) { return pow(wrapped_number(input), exponent); }
Tensor& pow_(Tensor& self, const Tensor& exponent) {
  return autograd::assign_inplace("pow_", self,
                                  pow(self.requires_grad() ? clone(self) : self, exponent));
}
Tensor& pow_(Tensor& self, Scalar exponent) {
  return autograd::assign_inplace("pow_", self,
                                  pow(self.requires_grad() ? clone(self) : self, exponent));
}

TAPEGRAD_OP(
    kAll, "pow(Tensor input, Tensor exponent, *, Tensor? out=None) -> Tensor",
    R"(input ** exponent, elementwise.

Args:
    input: the base, a tensor or number
    exponent: a tensor or number that broadcasts with the base
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast
    ValueError: an integer base with a negative integer exponent

Example:
    >>> import tapegrad as tg
    >>> tg.pow(tg.tensor([1., 2., 3.]), 2)
    tensor([1., 4., 9.]))",
    +[](const Tensor& a, const Tensor& b) { return pow(a, b); });
TAPEGRAD_OP(
    kAll, "pow(Tensor input, Scalar exponent, *, Tensor? out=None) -> Tensor", "",
    +[](const Tensor& a, Scalar b) { return pow(a, b); });
TAPEGRAD_OP(
    kFunction, "pow(Scalar input, Tensor exponent, *, Tensor? out=None) -> Tensor", "",
    +[](Scalar a, const Tensor& b) { return pow(a, b); });
TAPEGRAD_OP(
    kAll, "pow_(Tensor(a!) input, Scalar exponent) -> Tensor(a!)", "In-place version of pow().",
    +[](const Tensor& self, Scalar b) {
      Tensor written = self;
      return pow_(written, b);
    });
TAPEGRAD_OP(
    kAll, "pow_(Tensor(a!) input, Tensor exponent) -> Tensor(a!)", "",
    +[](const Tensor& self, const Tensor& b) {
      Tensor written = self;
      return pow_(written, b);
    });

// --- where
// -----------------------------------------------------------------------------------------------------------

namespace {

struct WhereRule : autograd::Rule {
  static constexpr const char* name = "where";
  unsigned saves_inputs(unsigned) const { return 1; }

  static constexpr bool broadcasts = true;
  Tensor forward(autograd::Inputs in) const {
    const Tensor& condition = in[0];
    const DType dtype = result_type(in[1], in[2]);
    const Dims branches = broadcast_shapes("where", in[1].sizes(), in[2].sizes());
    const Dims shape = broadcast_shapes("where", condition.sizes(), branches);
    Tensor out = core::make_tensor(shape, dtype);
    const kernels::Compute compute = kernels::compute_type(dtype);
    kernels::run_elementwise(kernels::ternary_loop(kernels::TernaryOp::Choose, compute), compute,
                             false, {}, out, {&condition, &in[1], &in[2]});
    return out;
  }
  void pull(autograd::Pull& p) const {
    const Tensor condition = p.input(0);
    if (p.needs(1)) p.set(1, where(condition, p.grad(), Scalar(0)));
    if (p.needs(2)) p.set(2, where(condition, Scalar(0), p.grad()));
  }
  Tensor push(autograd::Push& p) const {
    const std::vector<Tensor> t = autograd::fill_tangents(p);
    return expand(where(p.input(0), t[1], t[2]), p.output().sizes());
  }
};

}  // namespace

Tensor where(const Tensor& condition, const Tensor& input, const Tensor& other) {
  if (condition.dtype() != DType::Bool && condition.dtype() != DType::UInt8) {
    throw DTypeError(core::text("where: expected condition to be a bool tensor, got a ",
                                core::describe(condition), "; compare it, for example with != 0"));
  }
  return autograd::enter(WhereRule{}, condition, input, other);
}
Tensor where(const Tensor& condition, const Tensor& input, Scalar other) {
  return where(condition, input, wrapped_number(other));
}
Tensor where(const Tensor& condition, Scalar input, const Tensor& other) {
  return where(condition, wrapped_number(input), other);
}

TAPEGRAD_OP(
    kFunction, "where(Tensor condition, Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
    R"(Elements of input where condition holds, of other elsewhere. Selects, never multiplies.

Args:
    condition: a bool tensor
    input: a tensor or number
    other: a tensor or number; all three broadcast
    out: a tensor to write the result into

Raises:
    ShapeError: operands that do not broadcast
    DTypeError: a condition that is not bool

Example:
    >>> import tapegrad as tg
    >>> x = tg.tensor([-1., 2.])
    >>> tg.where(x > 0, x, 0.)
    tensor([0., 2.]))",
    +[](const Tensor& c, const Tensor& a, const Tensor& b) { return where(c, a, b); });
TAPEGRAD_OP(
    kFunction, "where(Tensor condition, Tensor input, Scalar other) -> Tensor", "",
    +[](const Tensor& c, const Tensor& a, Scalar b) { return where(c, a, b); });
TAPEGRAD_OP(
    kFunction, "where(Tensor condition, Scalar input, Tensor other) -> Tensor", "",
    +[](const Tensor& c, Scalar a, const Tensor& b) { return where(c, a, b); });
TAPEGRAD_OP(
    kFunction, "where(Tensor condition, Scalar input, Scalar other) -> Tensor", "",
    +[](const Tensor& c, Scalar a, Scalar b) {
      return where(c, wrapped_number(a), wrapped_number(b));
    });
TAPEGRAD_OP(
    kMethod, "where(Tensor input, Tensor condition, Tensor other) -> Tensor", "",
    +[](const Tensor& a, const Tensor& c, const Tensor& b) { return where(c, a, b); });
TAPEGRAD_OP(
    kMethod, "where(Tensor input, Tensor condition, Scalar other) -> Tensor", "",
    +[](const Tensor& a, const Tensor& c, Scalar b) { return where(c, a, b); });

// --- clamp, round, bitwise_not
// ---------------------------------------------------------------------------------------

namespace {

/// Between two tensors. Where the bounds cross, the upper one has the gradient.
struct ClampRule : autograd::Rule {
  static constexpr const char* name = "clamp";
  unsigned saves_inputs(unsigned) const { return 7; }

  Tensor forward(autograd::Inputs in) const {
    const DType dtype = ops::result_type(in[0], in[1], in[2]);
    const Dims bounds = broadcast_shapes("clamp", in[1].sizes(), in[2].sizes());
    Tensor out = core::make_tensor(broadcast_shapes("clamp", in[0].sizes(), bounds), dtype);
    const kernels::Compute compute = kernels::compute_type(dtype);
    kernels::run_elementwise(kernels::ternary_loop(kernels::TernaryOp::Clamp, compute), compute,
                             false, {}, out, {&in[0], &in[1], &in[2]});
    return out;
  }
  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0), low = p.input(1), high = p.input(2);
    const auto masked = [&](const Tensor& mask) { return where(mask, p.grad(), Scalar(0)); };
    if (p.needs(0)) p.set(0, masked(logical_and(ge(x, low), le(x, high))));
    if (p.needs(1)) p.set(1, masked(logical_and(lt(low, high), lt(x, low))));
    if (p.needs(2)) p.set(2, masked(logical_or(gt(x, high), lt(high, low))));
  }
};

}  // namespace

Tensor clamp(const Tensor& input, std::optional<Scalar> min, std::optional<Scalar> max) {
  if (!min && !max) throw ValueError("clamp: at least one of min or max must not be None");
  Tensor x = input;
  DType wanted = x.dtype();
  for (const auto& bound : {min, max}) {
    if (bound) wanted = result_type(core::make_tensor({1}, wanted), wrapped_number(*bound));
  }
  if (wanted != x.dtype()) x = to(x, wanted);
  LoopParameters p;
  p.d[0] = min ? min->to_double() : -std::numeric_limits<double>::infinity();
  p.d[1] = max ? max->to_double() : std::numeric_limits<double>::infinity();
  p.i[0] = min ? min->to_int() : std::numeric_limits<int64_t>::min();
  p.i[1] = max ? max->to_int() : std::numeric_limits<int64_t>::max();
  if ((min && std::isnan(p.d[0])) || (max && std::isnan(p.d[1]))) return x * Scalar(std::nan(""));
  return unary<unary_clamp>(x, p);
}
Tensor clamp(const Tensor& input, const Tensor& min, const Tensor& max) {
  if (!min.defined() && !max.defined())
    throw ValueError("clamp: at least one of min or max must not be None");
  if (!max.defined()) return binary<binary_clamp_low>(input, min);
  if (!min.defined()) return binary<binary_clamp_high>(input, max);
  return autograd::enter(ClampRule{}, input, min, max);
}

// Tensors first: a 0-d tensor would pass as a number, and lose its gradient.
TAPEGRAD_OP(
    kAll | kInplace,
    "clamp(Tensor input, Tensor? min=None, Tensor? max=None, *, Tensor? out=None) -> Tensor",
    R"(Each element limited to [min, max]. The derivative is 1 at the bounds themselves.

Args:
    input: a tensor
    min: lower bound, a number or tensor; None for none
    max: upper bound, a number or tensor; None for none. When min > max, the result is max
    out: a tensor to write the result into

Raises:
    ValueError: neither bound is given

Example:
    >>> import tapegrad as tg
    >>> tg.clamp(tg.tensor([-2., 0.5, 3.]), min=-1, max=1)
    tensor([-1.0000,  0.5000,  1.0000]))",
    +[](const Tensor& x, const Tensor& min, const Tensor& max) { return clamp(x, min, max); });
TAPEGRAD_OP(
    kAll | kInplace,
    "clamp(Tensor input, Scalar? min=None, Scalar? max=None, *, Tensor? out=None) -> Tensor", "",
    +[](const Tensor& x, std::optional<Scalar> min, std::optional<Scalar> max) {
      return clamp(x, min, max);
    });
TAPEGRAD_OP(
    kAll | kInplace, "clamp_min(Tensor input, Tensor min, *, Tensor? out=None) -> Tensor",
    R"(Each element raised to at least min.

Args:
    input: a tensor
    min: the bound, a number or a tensor that broadcasts with input
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.clamp_min(tg.tensor([-2., 3.]), 0)
    tensor([0., 3.]))",
    +[](const Tensor& x, const Tensor& bound) { return clamp(x, bound, Tensor()); });
TAPEGRAD_OP(
    kAll | kInplace, "clamp_min(Tensor input, Scalar min, *, Tensor? out=None) -> Tensor", "",
    +[](const Tensor& x, Scalar min) { return clamp(x, min, std::nullopt); });
TAPEGRAD_OP(
    kAll | kInplace, "clamp_max(Tensor input, Tensor max, *, Tensor? out=None) -> Tensor",
    R"(Each element lowered to at most max.

Args:
    input: a tensor
    max: the bound, a number or a tensor that broadcasts with input
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.clamp_max(tg.tensor([-2., 3.]), 0)
    tensor([-2.,  0.]))",
    +[](const Tensor& x, const Tensor& bound) { return clamp(x, Tensor(), bound); });
TAPEGRAD_OP(
    kAll | kInplace, "clamp_max(Tensor input, Scalar max, *, Tensor? out=None) -> Tensor", "",
    +[](const Tensor& x, Scalar max) { return clamp(x, std::nullopt, max); });

Tensor round(const Tensor& input, int64_t decimals) {
  if (decimals == 0 || !is_floating_point(input.dtype())) return unary<unary_round>(input);
  return unary<unary_round_decimals>(input,
                                     parameters(std::pow(10.0, static_cast<double>(decimals))));
}
TAPEGRAD_OP(kAll | kInplace, "round(Tensor input, *, int decimals=0, Tensor? out=None) -> Tensor",
            R"(Each element rounded to the nearest integer, halves to even.

Args:
    input: a tensor
    decimals: decimal places to keep; negative for tens, hundreds, ...
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.round(tg.tensor([0.5, 1.5, -2.3]))
    tensor([ 0.,  2., -2.]))",
            &round);

Tensor bitwise_not(const Tensor& input) {
  return input.dtype() == DType::Bool ? logical_not(input) : unary<unary_bitwise_not>(input);
}
TAPEGRAD_OP(kAll | kInplace, "bitwise_not(Tensor input, *, Tensor? out=None) -> Tensor",
            R"(Bitwise complement of an integer tensor, logical not of a bool one.

Example:
    >>> import tapegrad as tg
    >>> tg.bitwise_not(tg.tensor([0, 5]))
    tensor([-1, -6]))",
            &bitwise_not);

// --- activations with parameters
// -------------------------------------------------------------------------------------

Tensor gelu(const Tensor& input, std::string_view approximate) {
  if (approximate == "none") return unary<unary_gelu>(input, {});
  if (approximate == "tanh") return unary<unary_gelu_tanh>(input, {});
  throw ValueError(
      core::text("gelu: approximate must be 'none' or 'tanh', got '", approximate, "'"));
}
TAPEGRAD_OP(kNN, "gelu(Tensor input, str approximate='none') -> Tensor",
            R"(Gaussian error linear unit x * Phi(x) (Hendrycks and Gimpel, 2016).

Args:
    input: a floating-point tensor
    approximate: 'none' for the exact form by erf, 'tanh' for the approximation

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.gelu(tg.tensor([-1., 0., 1.]))
    tensor([-0.1587,  0.0000,  0.8413]))",
            &gelu);

Tensor silu(const Tensor& input) { return unary<unary_silu>(input, {}); }
TAPEGRAD_OP(
    kNN, "silu(Tensor input, bool inplace=False) -> Tensor",
    R"(Sigmoid linear unit x * sigmoid(x).

Args:
    input: a floating-point tensor
    inplace: write the result into input

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.silu(tg.tensor([-1., 0., 1.]))
    tensor([-0.2689,  0.0000,  0.7311]))",
    +[](const Tensor& x, bool inplace) {
      Tensor written = x;
      return inplace ? autograd::assign_inplace("silu_", written, silu(clone(x))) : silu(x);
    });

Tensor softplus(const Tensor& input, double beta, double threshold) {
  return unary<unary_softplus>(input, parameters(beta, threshold));
}
TAPEGRAD_OP(
    kNN, "softplus(Tensor input, float beta=1.0, float threshold=20.0) -> Tensor",
    R"(Smooth rectifier log(1 + exp(beta * x)) / beta; the identity where beta * x > threshold.

Args:
    input: a floating-point tensor
    beta: sharpness
    threshold: where the identity takes over

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.softplus(tg.tensor([0., 100.]))
    tensor([  0.6931, 100.0000]))",
    &softplus);

Tensor leaky_relu(const Tensor& input, double negative_slope) {
  return unary<unary_leaky_relu>(input, parameters(negative_slope));
}
TAPEGRAD_OP(
    kNN, "leaky_relu(Tensor input, float negative_slope=0.01, bool inplace=False) -> Tensor",
    R"(x where positive, negative_slope * x elsewhere.

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.leaky_relu(tg.tensor([-1., 2.]), 0.1)
    tensor([-0.1000,  2.0000]))",
    +[](const Tensor& x, double slope, bool inplace) {
      Tensor written = x;
      return inplace ? autograd::assign_inplace("leaky_relu_", written, leaky_relu(clone(x), slope))
                     : leaky_relu(x, slope);
    });

Tensor elu(const Tensor& input, double alpha, double scale, double input_scale) {
  return unary<unary_elu>(input, parameters(alpha, scale, input_scale));
}
TAPEGRAD_OP(
    kNN, "elu(Tensor input, float alpha=1.0, bool inplace=False) -> Tensor",
    R"(x where positive, alpha * (exp(x) - 1) elsewhere.

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.elu(tg.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000]))",
    +[](const Tensor& x, double alpha, bool inplace) {
      Tensor written = x;
      return inplace ? autograd::assign_inplace("elu_", written, elu(clone(x), alpha))
                     : elu(x, alpha);
    });
TAPEGRAD_OP(
    kNN, "relu(Tensor input, bool inplace=False) -> Tensor",
    R"(Rectified linear unit max(0, x).

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.relu(tg.tensor([-1., 2.]))
    tensor([0., 2.]))",
    +[](const Tensor& x, bool inplace) {
      Tensor written = x;
      return inplace ? relu_(written) : relu(x);
    });

}  // namespace tapegrad
