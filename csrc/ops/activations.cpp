// Activations with parameters or a shape of their own. The formulas are rows of the elementwise
// table.
#include <limits>
#include <vector>

#include "ops/elementwise_rules.h"
#include "ops/registry.h"

namespace tapegrad {

using namespace ops;

namespace {

LoopParameters parameters(Scalar a, Scalar b = 0) {
  LoopParameters p;
  const Scalar values[] = {a, b};
  for (int i = 0; i < 2; ++i) {
    p.d[i] = values[i].to_double();
    p.i[i] = values[i].to_int();
  }
  return p;
}

/// The form with `inplace`: f of a copy, where the write would change what the derivative reads.
template <class F>
Tensor maybe_inplace(const char* op, const Tensor& x, bool inplace, F f) {
  if (!inplace) return f(x);
  Tensor written = x;
  autograd::check_writable(op, written);
  return autograd::assign_inplace(op, written, f(clone(x)));
}

}  // namespace

Tensor celu(const Tensor& input, double alpha) {
  if (alpha == 0) throw ValueError("celu: alpha must not be 0");
  return elu(input, alpha, 1.0, 1.0 / alpha);
}
TAPEGRAD_OP(
    kNN, "celu(Tensor input, float alpha=1.0, bool inplace=False) -> Tensor",
    R"(x where positive, alpha * (exp(x / alpha) - 1) elsewhere.

Args:
    input: a floating-point tensor
    alpha: scale of the lower side, not 0
    inplace: write the result into input

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.celu(tg.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000]))",
    +[](const Tensor& x, double alpha, bool inplace) {
      return maybe_inplace("celu_", x, inplace, [&](const Tensor& t) { return celu(t, alpha); });
    });
TAPEGRAD_OP(
    kFunction, "celu(Tensor input, float alpha=1.0) -> Tensor",
    R"(x where positive, alpha * (exp(x / alpha) - 1) elsewhere.

Args:
    input: a floating-point tensor
    alpha: scale of the lower side, not 0

Example:
    >>> import tapegrad as tg
    >>> tg.celu(tg.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000]))",
    +[](const Tensor& x, double alpha) { return celu(x, alpha); });
TAPEGRAD_OP(
    kNN | kFunction, "celu_(Tensor(a!) input, float alpha=1.0) -> Tensor(a!)",
    "In-place version of celu().", +[](const Tensor& x, double alpha) {
      return maybe_inplace("celu_", x, true, [&](const Tensor& t) { return celu(t, alpha); });
    });
Tensor selu(const Tensor& input) {
  return elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946);
}
TAPEGRAD_OP(
    kNN, "selu(Tensor input, bool inplace=False) -> Tensor",
    R"(Self-normalising exponential linear unit (Klambauer et al., 2017).

Args:
    input: a floating-point tensor
    inplace: write the result into input

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.selu(tg.tensor([-1., 2.]))
    tensor([-1.1113,  2.1014]))",
    +[](const Tensor& x, bool inplace) {
      return maybe_inplace("selu_", x, inplace, [&](const Tensor& t) { return selu(t); });
    });
TAPEGRAD_OP(
    kFunction, "selu(Tensor input) -> Tensor",
    R"(Self-normalising exponential linear unit (Klambauer et al., 2017).

Args:
    input: a floating-point tensor

Example:
    >>> import tapegrad as tg
    >>> tg.selu(tg.tensor([-1., 2.]))
    tensor([-1.1113,  2.1014]))",
    +[](const Tensor& x) { return selu(x); });
TAPEGRAD_OP(
    kNN | kFunction, "selu_(Tensor(a!) input) -> Tensor(a!)", "In-place version of selu().",
    +[](const Tensor& x) {
      return maybe_inplace("selu_", x, true, [&](const Tensor& t) { return selu(t); });
    });
Tensor hardtanh(const Tensor& input, Scalar min_val, Scalar max_val) {
  if (min_val.to_double() > max_val.to_double()) {
    throw ValueError(core::text("hardtanh: min_val ", min_val.to_double(),
                                " must not exceed max_val ", max_val.to_double()));
  }
  return unary<unary_hardtanh>(input, parameters(min_val, max_val));
}
TAPEGRAD_OP(
    kNN,
    "hardtanh(Tensor input, Scalar min_val=-1.0, Scalar max_val=1.0, bool inplace=False) -> Tensor",
    R"(Each element limited to [min_val, max_val]; the derivative is 0 at the bounds.

Args:
    input: a tensor
    min_val: lower bound
    max_val: upper bound
    inplace: write the result into input

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.hardtanh(tg.tensor([-2., 0.5, 3.]))
    tensor([-1.0000,  0.5000,  1.0000]))",
    +[](const Tensor& x, Scalar min_val, Scalar max_val, bool inplace) {
      return maybe_inplace("hardtanh_", x, inplace,
                           [&](const Tensor& t) { return hardtanh(t, min_val, max_val); });
    });
TAPEGRAD_OP(
    kNN, "hardtanh_(Tensor(a!) input, Scalar min_val=-1.0, Scalar max_val=1.0) -> Tensor(a!)",
    "In-place version of hardtanh().", +[](const Tensor& x, Scalar min_val, Scalar max_val) {
      return maybe_inplace("hardtanh_", x, true,
                           [&](const Tensor& t) { return hardtanh(t, min_val, max_val); });
    });
Tensor relu6(const Tensor& input) { return hardtanh(input, 0, 6); }
TAPEGRAD_OP(
    kNN, "relu6(Tensor input, bool inplace=False) -> Tensor",
    R"(min(max(0, x), 6).

Args:
    input: a tensor
    inplace: write the result into input

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.relu6(tg.tensor([-2., 3., 8.]))
    tensor([0., 3., 6.]))",
    +[](const Tensor& x, bool inplace) {
      return maybe_inplace("relu6_", x, inplace, [&](const Tensor& t) { return relu6(t); });
    });
Tensor hardsigmoid(const Tensor& input) { return unary<unary_hardsigmoid>(input, {}); }
TAPEGRAD_OP(
    kNN, "hardsigmoid(Tensor input, bool inplace=False) -> Tensor",
    R"(Piecewise linear sigmoid min(max(0, x + 3), 6) / 6.

Args:
    input: a floating-point tensor
    inplace: write the result into input

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.hardsigmoid(tg.tensor([-4., 0., 1.5]))
    tensor([0.0000, 0.5000, 0.7500]))",
    +[](const Tensor& x, bool inplace) {
      return maybe_inplace("hardsigmoid_", x, inplace,
                           [&](const Tensor& t) { return hardsigmoid(t); });
    });
Tensor hardswish(const Tensor& input) { return unary<unary_hardswish>(input, {}); }
TAPEGRAD_OP(
    kNN, "hardswish(Tensor input, bool inplace=False) -> Tensor",
    R"(x * hardsigmoid(x).

Args:
    input: a floating-point tensor
    inplace: write the result into input

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.hardswish(tg.tensor([-4., 1., 4.]))
    tensor([-0.0000, 0.6667, 4.0000]))",
    +[](const Tensor& x, bool inplace) {
      return maybe_inplace("hardswish_", x, inplace, [&](const Tensor& t) { return hardswish(t); });
    });
Tensor mish(const Tensor& input) { return unary<unary_mish>(input, {}); }
TAPEGRAD_OP(
    kNN, "mish(Tensor input, bool inplace=False) -> Tensor",
    R"(x * tanh(softplus(x)) (Misra, 2019).

Args:
    input: a floating-point tensor
    inplace: write the result into input

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.mish(tg.tensor([-1., 0., 1.]))
    tensor([-0.3034,  0.0000,  0.8651]))",
    +[](const Tensor& x, bool inplace) {
      return maybe_inplace("mish_", x, inplace, [&](const Tensor& t) { return mish(t); });
    });
Tensor threshold(const Tensor& input, Scalar limit, Scalar value) {
  return unary<unary_threshold>(input, parameters(limit, value));
}
TAPEGRAD_OP(
    kNN, "threshold(Tensor input, Scalar threshold, Scalar value, bool inplace=False) -> Tensor",
    R"(x where above threshold, value elsewhere.

Args:
    input: a tensor
    threshold: where value takes over
    value: what stands for the elements up to there
    inplace: write the result into input

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.threshold(tg.tensor([-1., 2.]), 0, 0.5)
    tensor([0.5000, 2.0000]))",
    +[](const Tensor& x, Scalar limit, Scalar value, bool inplace) {
      return maybe_inplace("threshold_", x, inplace,
                           [&](const Tensor& t) { return threshold(t, limit, value); });
    });
TAPEGRAD_OP(
    kFunction, "threshold(Tensor input, Scalar threshold, Scalar value) -> Tensor",
    R"(x where above threshold, value elsewhere.

Args:
    input: a tensor
    threshold: where value takes over
    value: what stands for the elements up to there

Example:
    >>> import tapegrad as tg
    >>> tg.threshold(tg.tensor([-1., 2.]), 0, 0.5)
    tensor([0.5000, 2.0000]))",
    +[](const Tensor& x, Scalar limit, Scalar value) { return threshold(x, limit, value); });
TAPEGRAD_OP(
    kNN | kFunction, "threshold_(Tensor(a!) input, Scalar threshold, Scalar value) -> Tensor(a!)",
    "In-place version of threshold().", +[](const Tensor& x, Scalar limit, Scalar value) {
      return maybe_inplace("threshold_", x, true,
                           [&](const Tensor& t) { return threshold(t, limit, value); });
    });
Tensor hardshrink(const Tensor& input, double lambd) {
  return unary<unary_hardshrink>(input, parameters(lambd, -lambd));
}
TAPEGRAD_OP(
    kNN | kFunction | kMethod, "hardshrink(Tensor input, float lambd=0.5) -> Tensor",
    R"(0 in [-lambd, lambd], x elsewhere.

Args:
    input: a floating-point tensor
    lambd: half the width of the gap

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.hardshrink(tg.tensor([-1., 0.25, 2.]))
    tensor([-1.,  0.,  2.]))",
    +[](const Tensor& x, double lambd) { return hardshrink(x, lambd); });
Tensor softshrink(const Tensor& input, double lambd) {
  if (!(lambd >= 0)) {
    throw ValueError(core::text("softshrink: lambd must not be negative, got ", lambd));
  }
  return unary<unary_softshrink>(input, parameters(lambd, -lambd));
}
TAPEGRAD_OP(
    kNN, "softshrink(Tensor input, float lambd=0.5) -> Tensor",
    R"(x moved by lambd towards 0, where it stops.

Args:
    input: a floating-point tensor
    lambd: how far

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.softshrink(tg.tensor([-1., 0.25, 2.]))
    tensor([-0.5000,  0.0000,  1.5000]))",
    +[](const Tensor& x, double lambd) { return softshrink(x, lambd); });
Tensor logsigmoid(const Tensor& input) { return unary<unary_logsigmoid>(input, {}); }
TAPEGRAD_OP(
    kNN, "logsigmoid(Tensor input) -> Tensor",
    R"(log(sigmoid(x)) without underflow.

Args:
    input: a floating-point tensor

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.logsigmoid(tg.tensor([-200., 0., 2.]))
    tensor([-2.0000e+02, -6.9315e-01, -1.2693e-01]))",
    +[](const Tensor& x) { return logsigmoid(x); });
Tensor softsign(const Tensor& input) { return unary<unary_softsign>(input, {}); }
TAPEGRAD_OP(
    kNN, "softsign(Tensor input) -> Tensor",
    R"(x / (1 + abs(x)).

Args:
    input: a floating-point tensor

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.softsign(tg.tensor([-1., 3.]))
    tensor([-0.5000,  0.7500]))",
    +[](const Tensor& x) { return softsign(x); });
Tensor tanhshrink(const Tensor& input) { return unary<unary_tanhshrink>(input, {}); }
TAPEGRAD_OP(
    kNN, "tanhshrink(Tensor input) -> Tensor",
    R"(x - tanh(x).

Args:
    input: a floating-point tensor

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.tanhshrink(tg.tensor([-1., 3.]))
    tensor([-0.2384,  2.0049]))",
    +[](const Tensor& x) { return tanhshrink(x); });

Tensor prelu(const Tensor& input, const Tensor& weight) {
  const int64_t channels = weight.numel();
  if (weight.dim() > 1 || (channels != 1 && (input.dim() < 2 || input.sizes()[1] != channels))) {
    throw ShapeError(
        core::text("prelu: expected a weight for all or for each channel (dimension 1) ", "of a ",
                   core::describe(input), ", got a ", core::describe(weight)));
  }
  if (!is_floating_point(input.dtype()) || input.dtype() != weight.dtype()) {
    throw DTypeError(core::text("prelu: expected floating-point tensors of one dtype, got a ",
                                core::describe(input), " and a ", core::describe(weight)));
  }
  Dims shape(static_cast<size_t>(input.dim()), 1);
  if (input.dim() > 1) shape[1] = channels;
  return binary<binary_prelu>(input, reshape(weight, shape));
}
TAPEGRAD_OP(kNN | kFunction | kMethod, "prelu(Tensor input, Tensor weight) -> Tensor",
            R"(x where positive, weight * x elsewhere.

Args:
    input: a floating-point tensor
    weight: one number, or one for each channel (dimension 1 of input)

Raises:
    ShapeError: a weight of another size
    DTypeError: dtypes that differ or are not floating point

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.prelu(tg.tensor([-1., 2.]), tg.tensor([0.25]))
    tensor([-0.2500,  2.0000]))",
            &prelu);

Tensor glu(const Tensor& input, int64_t dim) {
  if (!is_floating_point(input.dtype())) refuse_dtype("glu", input, "a floating-point tensor");
  if (input.dim() == 0) throw ShapeError("glu: expected at least one dimension, got a 0-d tensor");
  const int64_t d = wrap_dim("glu", dim, input.dim());
  const int64_t size = input.sizes()[static_cast<int>(d)];
  if (size % 2 != 0) {
    throw ShapeError(core::text("glu: dimension ", dim,
                                " must have an even size to be halved, got a ",
                                core::describe(input)));
  }
  const std::vector<Tensor> halves = split_with_sizes(input, {size / 2, size / 2}, d);
  return binary<binary_gate>(halves[0], halves[1]);
}
TAPEGRAD_OP(kNN, "glu(Tensor input, int dim=-1) -> Tensor",
            R"(Gated linear unit a * sigmoid(b), where a and b are the halves of input.

Args:
    input: a floating-point tensor
    dim: the dimension that is halved

Raises:
    ShapeError: a 0-d tensor, or a dimension of odd size

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.glu(tg.tensor([1., 2., 0., 0.]))
    tensor([0.5000, 1.0000]))",
            &glu);

Tensor rrelu(const Tensor& input, double lower, double upper, bool training, Generator* generator) {
  if (!(lower <= upper)) {
    throw ValueError(core::text("rrelu: lower ", lower, " must not exceed upper ", upper));
  }
  if (!training) return leaky_relu(input, (lower + upper) / 2);
  Tensor slope = core::make_like(input, input.dtype());
  uniform_(slope, lower, upper, generator);
  return binary<binary_prelu>(input, slope);
}
TAPEGRAD_OP(
    kNN,
    "rrelu(Tensor input, float lower=0.125, float upper=0.3333333333333333, bool training=False, "
    "bool inplace=False) -> Tensor",
    R"(x where positive; elsewhere x times a slope, random in [lower, upper] for each element when
training, their mean otherwise.

Args:
    input: a floating-point tensor
    lower: least slope
    upper: largest slope
    training: whether slopes are drawn
    inplace: write the result into input

Raises:
    ValueError: lower > upper

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.rrelu(tg.tensor([-1., 2.]))
    tensor([-0.2292,  2.0000]))",
    +[](const Tensor& x, double lower, double upper, bool training, bool inplace) {
      return maybe_inplace("rrelu_", x, inplace,
                           [&](const Tensor& t) { return rrelu(t, lower, upper, training); });
    });
TAPEGRAD_OP(
    kFunction,
    "rrelu(Tensor input, float lower=0.125, float upper=0.3333333333333333, bool training=False, "
    "Generator? generator=None) -> Tensor",
    R"(x where positive; elsewhere x times a slope, random in [lower, upper] for each element when
training, their mean otherwise.

Args:
    input: a floating-point tensor
    lower: least slope
    upper: largest slope
    training: whether slopes are drawn
    generator: where the random numbers come from

Raises:
    ValueError: lower > upper

Example:
    >>> import tapegrad as tg
    >>> tg.rrelu(tg.tensor([-1., 2.]))
    tensor([-0.2292,  2.0000]))",
    &rrelu);
TAPEGRAD_OP(
    kNN | kFunction,
    "rrelu_(Tensor(a!) input, float lower=0.125, float upper=0.3333333333333333, bool "
    "training=False) -> Tensor(a!)",
    "In-place version of rrelu().",
    +[](const Tensor& x, double lower, double upper, bool training) {
      return maybe_inplace("rrelu_", x, true,
                           [&](const Tensor& t) { return rrelu(t, lower, upper, training); });
    });
TAPEGRAD_OP(
    kNN, "elu_(Tensor(a!) input, float alpha=1.0) -> Tensor(a!)", "In-place version of elu().",
    +[](const Tensor& x, double alpha) {
      return maybe_inplace("elu_", x, true, [&](const Tensor& t) { return elu(t, alpha); });
    });
TAPEGRAD_OP(
    kNN, "leaky_relu_(Tensor(a!) input, float negative_slope=0.01) -> Tensor(a!)",
    "In-place version of leaky_relu().", +[](const Tensor& x, double slope) {
      return maybe_inplace("leaky_relu_", x, true,
                           [&](const Tensor& t) { return leaky_relu(t, slope); });
    });

}  // namespace tapegrad
