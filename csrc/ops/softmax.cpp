// softmax, log_softmax and logsumexp.
#include "kernels/softmax.h"

#include <limits>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/promotion.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::SoftmaxOp;

namespace {

Tensor run_softmax(const Tensor& input, int64_t dim, SoftmaxOp op) {
  Tensor x = converted(input, kernel_dtype(input.dtype()));
  const Tensor out = core::make_tensor(input.sizes(), x.dtype());
  if (x->numel() > 0) {
    kernels::SoftmaxParameters p;
    x = blocks_in_order(x, dim, p.shape);
    p.op = op;
    p.is_double = x.dtype() == DType::Float64;
    core::launch(&kernels::softmax, {core::out(out), core::in(x)}, p);
  }
  return converted(out, input.dtype());
}

Tensor run_gradient(const Tensor& gradient, const Tensor& output, int64_t dim, SoftmaxOp op) {
  const DType dtype = kernel_dtype(output.dtype());
  const Tensor y = converted(output, dtype);
  const Tensor g = contiguous(converted(gradient, dtype));
  const Tensor out = core::make_tensor(y.sizes(), dtype);
  if (y->numel() > 0) {
    kernels::SoftmaxGradientParameters p;
    const Tensor blocks = blocks_in_order(y, dim, p.shape);
    p.op = op;
    p.is_double = dtype == DType::Float64;
    core::launch(&kernels::softmax_gradient, {core::out(out), core::in(g), core::in(blocks)}, p);
  }
  return out;
}

template <SoftmaxOp op>
struct SoftmaxRule : autograd::Rule {
  static constexpr const char* name = op == SoftmaxOp::Softmax ? "Softmax" : "LogSoftmax";
  int64_t dim;

  unsigned saves_outputs(unsigned) const { return 1; }
  SoftmaxRule shifted() const {
    SoftmaxRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const { return run_softmax(in[0], dim, op); }
  /// The Jacobian of softmax is symmetric.
  Tensor derivative(const Tensor& g, const Tensor& y) const {
    if (!is_watched({&g, &y})) return run_gradient(g, y, dim, op);
    if (op == SoftmaxOp::Softmax) return (g - sum(g * y, dim, true)) * y;
    return g - exp(y) * sum(g, dim, true);
  }
  void pull(autograd::Pull& p) const { p.set(0, derivative(p.grad(), p.output())); }
  Tensor push(autograd::Push& p) const {
    const Tensor& t = p.tangent(0);
    if (op == SoftmaxOp::Softmax) return derivative(t, p.output());
    return t - sum(exp(p.output()) * t, dim, true);
  }
};

Tensor softmax_input(const char* op, const Tensor& input, std::optional<DType> dtype) {
  const Tensor x = dtype ? to(input, *dtype) : input;
  if (is_floating_point(x.dtype())) return x;
  throw DTypeError(core::text(op, ": expected a floating-point tensor, got a ", core::describe(x),
                              "; pass dtype= or convert it, for example by "
                              ".float()"));
}

struct LogSumExpRule : autograd::Rule {
  static constexpr const char* name = "Logsumexp";
  DimMask mask;
  bool keepdim;

  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned) const { return 1; }

  LogSumExpRule shifted() const {
    LogSumExpRule rule = *this;
    rule.mask <<= 1;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const Dims sizes = reduced_sizes(in[0].sizes(), mask, keepdim);
    if (in[0]->numel() == 0)
      return full(sizes, -std::numeric_limits<double>::infinity(), in[0].dtype());
    Tensor x = converted(in[0], kernel_dtype(in[0].dtype()));
    kernels::SoftmaxParameters p;
    if (!as_blocks(x, mask, false, p.shape)) x = gathered(x, mask, p.shape);
    p.op = SoftmaxOp::LogSumExp;
    p.is_double = x.dtype() == DType::Float64;
    const Tensor out = core::make_tensor(sizes, x.dtype());
    core::launch(&kernels::softmax, {core::out(out), core::in(x)}, p);
    return converted(out, in[0].dtype());
  }
  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0);
    const Tensor y = restore(p.output(), x.dim(), mask, keepdim);
    p.set(0, restore(p.grad(), x.dim(), mask, keepdim) * exp(x - y));
  }
};

}  // namespace

Tensor softmax(const Tensor& input, int64_t dim, std::optional<DType> dtype) {
  const int64_t d = wrap_dim("softmax", dim, input.dim());
  return autograd::enter(SoftmaxRule<SoftmaxOp::Softmax>{{}, d},
                         softmax_input("softmax", input, dtype));
}
Tensor log_softmax(const Tensor& input, int64_t dim, std::optional<DType> dtype) {
  const int64_t d = wrap_dim("log_softmax", dim, input.dim());
  return autograd::enter(SoftmaxRule<SoftmaxOp::LogSoftmax>{{}, d},
                         softmax_input("log_softmax", input, dtype));
}
Tensor logsumexp(const Tensor& input, OptionalInts dim, bool keepdim) {
  const DimMask mask = dim_mask("logsumexp", dim, input.dim());
  const DType dtype = floating_result(input.dtype());
  return autograd::enter(LogSumExpRule{{}, mask, keepdim}, to(input, dtype));
}

TAPEGRAD_OP(kFunction | kMethod, "softmax(Tensor input, int dim, dtype? dtype=None) -> Tensor",
            R"(exp(x) / sum of exp(x) along a dimension, computed without overflow.

Args:
    input: a floating-point tensor
    dim: the dimension that sums to one
    dtype: to which the input is converted first

Raises:
    DTypeError: an integer or bool input without dtype
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.softmax(tg.zeros(2, 2), dim=1)
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]]))",
            &softmax);
TAPEGRAD_OP(kFunction | kMethod, "log_softmax(Tensor input, int dim, dtype? dtype=None) -> Tensor",
            R"(Logarithm of softmax along a dimension, computed without overflow or underflow.

Args:
    input: a floating-point tensor
    dim: the dimension along which the exponentials sum to one
    dtype: to which the input is converted first

Raises:
    DTypeError: an integer or bool input without dtype
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.log_softmax(tg.zeros(2), dim=0)
    tensor([-0.6931, -0.6931]))",
            &log_softmax);
TAPEGRAD_OP(
    kFunction | kMethod,
    "logsumexp(Tensor input, int[1] dim, bool keepdim=False, *, Tensor? out=None) -> Tensor",
    R"(Logarithm of the sum of exponentials along dimensions, computed without overflow.

Args:
    input: a tensor; integers become the default float
    dim: a dimension, or several
    keepdim: keep the reduced dimensions with size 1
    out: a tensor to write the result into

Raises:
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.logsumexp(tg.tensor([1000., 1000.]), dim=0)
    tensor(1000.6932))",
    &logsumexp);

}  // namespace tapegrad
