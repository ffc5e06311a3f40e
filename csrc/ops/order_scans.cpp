// Running extrema and log-sum-exp: cummax, cummin, logcumsumexp.
#include "kernels/order_scans.h"

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/ordering.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;

namespace {

constexpr int kAll = kFunction | kMethod;

struct RunningExtremumRule : autograd::Rule {
  static constexpr const char* name = "RunningExtremum";
  int64_t dim;
  bool smallest;

  unsigned saves_outputs(unsigned) const { return 2; }
  RunningExtremumRule shifted() const {
    RunningExtremumRule rule = *this;
    ++rule.dim;
    return rule;
  }
  std::vector<Tensor> forward(autograd::Inputs in) const {
    std::vector<Tensor> out;
    out.reserve(2);
    out.push_back(core::make_tensor(in[0].sizes(), in[0].dtype()));
    out.push_back(core::make_tensor(in[0].sizes(), DType::Int64));
    if (in[0].numel() == 0) return out;
    const Tensor x = contiguous(in[0].detach());
    const kernels::RunningExtremum p{rows_along(x.sizes(), dim), x.dtype(), smallest};
    core::launch(&kernels::running_extremum, {core::out(out[0]), core::out(out[1]), core::in(x)},
                 p);
    return out;
  }
  void pull(autograd::Pull& p) const { pull_picked(p, dim, true); }
};

// Note [Gradient of logcumsumexp]
// dx[j] = sum over k >= j of g[k] exp(x[j] - y[k]). The factors are at most 1, but their separate
// parts exp(x[j]) and exp(-y[k]) may overflow. So the sum is made by the recurrence
// S[k] = g[k] + exp(y[k] - y[k + 1]) S[k + 1], in which every factor is at most 1 as y rises, and
// dx = exp(x - y) S. The recurrence is an operation of its own, whose derivative is the recurrence
// in the other direction.

/// y[k] = g[k] + a[k] y[k - 1] (or y[k + 1]); inputs g, a of one float dtype.
struct RecurrenceRule : autograd::Rule {
  static constexpr const char* name = "Recurrence";
  int64_t dim;
  bool reverse;

  unsigned saves_inputs(unsigned) const { return 2; }
  unsigned saves_outputs(unsigned needs) const { return needs & 2u ? 1 : 0; }
  RecurrenceRule shifted() const {
    RecurrenceRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const DType dtype = kernel_dtype(in[0].dtype());
    const Tensor g = contiguous(converted(in[0].detach(), dtype));
    const Tensor a = contiguous(converted(in[1].detach(), dtype));
    const Tensor out = core::make_tensor(g.sizes(), dtype);
    const kernels::LinearRecurrence p{rows_along(g.sizes(), dim), dtype == DType::Float64, reverse};
    core::launch(&kernels::linear_recurrence, {core::out(out), core::in(g), core::in(a)}, p);
    return converted(out, in[0].dtype());
  }
  void pull(autograd::Pull& p) const;
};

/// x moved by one place along dim: towards the end, or with `back` towards the start. What comes in
/// is 0.
Tensor moved(const Tensor& x, int64_t dim, bool back) {
  const int64_t n = x.size(dim);
  const Tensor edge = zeros_like(narrow(x, dim, 0, 1).detach());
  const Tensor rest = narrow(x, dim, back ? 1 : 0, n - 1);
  const Tensor parts[] = {back ? rest : edge, back ? edge : rest};
  return cat(parts, dim);
}

void RecurrenceRule::pull(autograd::Pull& p) const {
  // The factor a[k] now leads from k to its predecessor.
  const Tensor a = moved(p.input(1), dim, !reverse);
  const Tensor g = autograd::enter(RecurrenceRule{{}, dim, !reverse}, p.grad(), a);
  if (p.needs(0)) p.set(0, g);
  if (p.needs(1)) p.set(1, g * moved(p.output(), dim, reverse));
}

struct LogcumsumexpRule : autograd::Rule {
  static constexpr const char* name = "Logcumsumexp";
  int64_t dim;

  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned) const { return 1; }
  LogcumsumexpRule shifted() const {
    LogcumsumexpRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const DType dtype = kernel_dtype(in[0].dtype());
    const Tensor out = core::make_tensor(in[0].sizes(), dtype);
    if (in[0].numel() == 0) return converted(out, in[0].dtype());
    const Tensor x = contiguous(converted(in[0].detach(), dtype));
    const kernels::RunningLogSumExp p{rows_along(x.sizes(), dim), dtype == DType::Float64};
    core::launch(&kernels::running_logsumexp, {core::out(out), core::in(x)}, p);
    return converted(out, in[0].dtype());
  }
  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0), y = p.output();
    if (x.dim() == 0 || x->numel() == 0) {
      p.set(0, p.grad());
      return;
    }
    const int64_t n = x.size(dim);
    // The last factor has nothing to lead to: 1, by the last y itself.
    const Tensor parts[] = {narrow(y, dim, 1, n - 1), narrow(y, dim, n - 1, 1)};
    const Tensor next = cat(parts, dim);
    const Tensor lowest = eq(y, Scalar(-std::numeric_limits<double>::infinity())).detach();
    const Tensor step = exp(y - where(lowest, Scalar(0.0), next));
    const Tensor sums = autograd::enter(RecurrenceRule{{}, dim, true}, p.grad(), step);
    p.set(0, exp(x - where(lowest, Scalar(0.0), y)) * sums);
  }
};

std::vector<Tensor> running(const char* op, const Tensor& input, int64_t dim, bool smallest) {
  const int64_t d = wrap_dim(op, dim, input.dim());
  return autograd::enter(RunningExtremumRule{{}, d, smallest}, input);
}

}  // namespace

std::vector<Tensor> cummax(const Tensor& input, int64_t dim) {
  return running("cummax", input, dim, false);
}
std::vector<Tensor> cummin(const Tensor& input, int64_t dim) {
  return running("cummin", input, dim, true);
}

Tensor logcumsumexp(const Tensor& input, int64_t dim) {
  const int64_t d = wrap_dim("logcumsumexp", dim, input.dim());
  if (!is_floating_point(input.dtype())) {
    throw DTypeError(core::text("logcumsumexp: expected a floating-point tensor, got a ",
                                core::describe(input), "; convert it with .float()"));
  }
  return autograd::enter(LogcumsumexpRule{{}, d}, input);
}

TAPEGRAD_OP(
    kAll, "cummax(Tensor input, int dim, *, Tensor? out=None) -> (Tensor values, Tensor indices)",
    R"(The greatest element up to each place along a dimension, and where it is: the last of equal ones.

NaN wins, and stays. Gradients go to the elements at the indices.

Args:
    input: a tensor
    dim: the dimension
    out: a pair of tensors to write values and indices into

Raises:
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.cummax(tg.tensor([1., 3., 2., 3.]), dim=0).indices
    tensor([0, 1, 1, 3]))",
    &cummax);
TAPEGRAD_OP(
    kAll, "cummin(Tensor input, int dim, *, Tensor? out=None) -> (Tensor values, Tensor indices)",
    R"(The least element up to each place along a dimension, and where it is. Otherwise as cummax().

Example:
    >>> import tapegrad as tg
    >>> tg.cummin(tg.tensor([2., 3., 1., 1.]), dim=0).values
    tensor([2., 2., 1., 1.]))",
    &cummin);
TAPEGRAD_OP(kAll, "logcumsumexp(Tensor input, int dim, *, Tensor? out=None) -> Tensor",
            R"(log(exp(x[0]) + ... + exp(x[k])) along a dimension, without overflow.

Args:
    input: a floating-point tensor
    dim: the dimension
    out: a tensor to write the result into

Raises:
    DTypeError: an integer tensor
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.logcumsumexp(tg.tensor([1000., 1000.]), dim=0)
    tensor([1000.0000, 1000.6932]))",
            &logcumsumexp);

}  // namespace tapegrad
