// The rule of the losses that compare two tensors element by element.
#include "ops/loss_pair.h"

#include <utility>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "core/warning.h"
#include "ops/reduce_geometry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {

using kernels::PairLoss;

namespace {

struct PairRule : autograd::Rule {
  static constexpr const char* name = "PairLoss";
  PairLoss loss;
  Reduction reduction;
  double parameter;

  unsigned saves_inputs(unsigned) const { return 3; }

  double divisor(int64_t n) const {
    return reduction == Reduction::Mean ? static_cast<double>(n) : 1.0;
  }

  Tensor batch(const autograd::Batch& b) const {
    PairRule each = *this;
    each.reduction = Reduction::None;
    Tensor losses = autograd::enter(each, b.front(0), b.front(1));
    if (reduction == Reduction::None) return losses;
    const Tensor rows = reshape(losses, {b.size(), -1});
    return reduction == Reduction::Sum ? sum(rows, {1}) : mean(rows, {1});
  }
  Tensor forward(autograd::Inputs in) const {
    const Tensor x = contiguous(in[0]), t = contiguous(in[1]);
    kernels::PairLossParameters p;
    p.n = x->numel();
    p.loss = loss;
    p.is_double = x.dtype() == DType::Float64;
    p.sum = reduction != Reduction::None;
    p.divisor = divisor(p.n);
    p.parameter = parameter;
    const Tensor out =
        p.sum ? core::make_tensor({}, x.dtype()) : core::make_tensor(x.sizes(), x.dtype());
    const int64_t scratch = kernels::pair_loss_scratch(p);
    const Tensor memory = scratch ? core::make_tensor({scratch}, x.dtype()) : Tensor();
    core::launch(
        &kernels::pair_loss,
        {core::out(out), core::in(x), core::in(t), scratch ? core::out(memory) : core::none()}, p);
    return out;
  }

  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0), t = p.input(1);
    const Tensor& g = p.grad();
    const bool watched = is_watched({&g, &x, &t});
    const bool by_difference = loss <= PairLoss::Huber;
    Tensor dx;
    if (p.needs(0) || by_difference) dx = watched ? composed(g, x, t) : fused(g, x, t);
    if (p.needs(1))
      p.set(1,
            by_difference ? neg(dx) : target_slope(x, t) * (g * Scalar(1.0 / divisor(x->numel()))));
    if (p.needs(0)) p.set(0, std::move(dx));
  }

  Tensor fused(const Tensor& g, const Tensor& input, const Tensor& target) const {
    const Tensor x = contiguous(input), t = contiguous(target);
    kernels::PairGradientParameters p;
    p.n = x->numel();
    p.loss = loss;
    p.is_double = x.dtype() == DType::Float64;
    p.single_g = g->numel() == 1;
    p.scale = 1.0 / divisor(p.n);
    p.parameter = parameter;
    const Tensor dense = p.single_g ? g : contiguous(g);
    const Tensor out = core::make_tensor(x.sizes(), x.dtype());
    core::launch(&kernels::pair_gradient,
                 {core::out(out), core::in(dense), core::in(x), core::in(t)}, p);
    return out;
  }

  Tensor composed(const Tensor& g, const Tensor& x, const Tensor& t) const {
    return slope(x, t) * (g * Scalar(1.0 / divisor(x->numel())));
  }
  /// d loss / dx of each element.
  Tensor slope(const Tensor& x, const Tensor& t) const {
    switch (loss) {
      case PairLoss::Squared:
        return (x - t) * Scalar(2.0);
      case PairLoss::Absolute:
        return sign(x - t);
      case PairLoss::SmoothL1: {
        const Tensor d = x - t;
        return where(lt(abs(d), Scalar(parameter)), d / Scalar(parameter), sign(d));
      }
      case PairLoss::Huber: {
        const Tensor d = x - t;
        return where(lt(abs(d), Scalar(parameter)), d, sign(d) * Scalar(parameter));
      }
      case PairLoss::CrossEntropyLogits:
        return sigmoid(x) - t;
      case PairLoss::CrossEntropy:
        return (x - t) / clamp((Scalar(1.0) - x) * x, Scalar(1e-12), std::nullopt);
      case PairLoss::Divergence:
        return neg(t);
      case PairLoss::LogDivergence:
        return neg(exp(t));
      case PairLoss::PoissonLog:
        return exp(x) - t;
      case PairLoss::Poisson:
        return Scalar(1.0) - t / (x + Scalar(parameter));
      case PairLoss::SoftMargin:
        return neg(t * sigmoid(neg(t * x)));
      case PairLoss::HingeEmbedding:
        return to(ne(t, Scalar(-1)), x.dtype()) -
               to(logical_and(ne(t, Scalar(1)), le(x, Scalar(parameter))), x.dtype());
      case PairLoss::MarginRanking:
        return where(le(t * x, Scalar(parameter)), neg(t), Scalar(0.0));
    }
    return {};
  }

  /// d loss / dt, for those that are no function of x - t.
  Tensor target_slope(const Tensor& x, const Tensor& t) const {
    switch (loss) {
      case PairLoss::CrossEntropyLogits:
        return neg(x);
      case PairLoss::CrossEntropy:
        return log(Scalar(1.0) - x) - log(x);
      case PairLoss::Divergence:
        return log(t) - x + Scalar(1.0);
      case PairLoss::LogDivergence:
        return exp(t) * (t - x + Scalar(1.0));
      case PairLoss::PoissonLog:
        return neg(x);
      case PairLoss::Poisson:
        return neg(log(x + Scalar(parameter)));
      case PairLoss::SoftMargin:
        return neg(x * sigmoid(neg(t * x)));
      case PairLoss::MarginRanking:
        return where(le(t * x, Scalar(parameter)), neg(x), Scalar(0.0));
      default:  // HingeEmbedding compares t only
        return zeros_like(t);
    }
  }
};

std::string shapes_text(const Tensor& input, const Tensor& target) {
  return core::text("input ", shape_string(input.sizes()), " and target ",
                    shape_string(target.sizes()));
}

}  // namespace

/// Note [Losses that broadcast]: (N, 1) against (N,) gives (N, N): every prediction is compared
/// with every target, and training quietly goes wrong. Such a pair is an error; where one operand
/// merely repeats, there is a warning, as in PyTorch.
void broadcast_pair(const char* op, Tensor& input, Tensor& target) {
  if (input.sizes() == target.sizes()) return;
  const Dims common = broadcast_shapes(op, input.sizes(), target.sizes());
  const IntSpan result(common);
  if (!(result == input.sizes()) && !(result == target.sizes())) {
    const bool column = input.dim() > target.dim();
    throw ShapeError(core::text(
        op, ": ", shapes_text(input, target), " would broadcast to ", shape_string(result),
        ", every input against every target; give both the same shape, for example by ",
        column ? "input.squeeze(-1) or target.unsqueeze(-1)"
               : "target.squeeze(-1) or input.unsqueeze(-1)"));
  }
  core::warn(core::text(op, ": ", shapes_text(input, target), " differ and are broadcast to ",
                        shape_string(result),
                        "; this will likely lead to incorrect results. Give both the same shape"));
  input = expand(input, result);
  target = expand(target, result);
}

void require_same_shape(const char* op, const Tensor& input, const Tensor& target) {
  if (input.sizes() == target.sizes()) return;
  throw ShapeError(core::text(op, ": ", shapes_text(input, target),
                              " must be the same; for example input.squeeze(-1) drops a last "
                              "dimension of size 1, target.unsqueeze(-1) adds one"));
}

Tensor pair_loss(const char* op, PairLoss loss, const Tensor& input, const Tensor& target,
                 Reduction reduction, double parameter) {
  const DType common = result_type(input, target);
  if (!is_floating_point(common)) {
    throw DTypeError(core::text(op, ": expected floating-point tensors, got a ",
                                core::describe(input), " and a ", core::describe(target),
                                "; convert them, for example by .float()"));
  }
  const DType dtype = kernel_dtype(common);
  const Tensor out = autograd::enter(PairRule{{}, loss, reduction, parameter}, to(input, dtype),
                                     to(target, dtype));
  return to(out, common);
}

Tensor compare(const char* op, PairLoss loss, Tensor input, Tensor target,
               std::string_view reduction, double parameter) {
  const Reduction r = reduction_of(op, reduction);
  broadcast_pair(op, input, target);
  return pair_loss(op, loss, input, target, r, parameter);
}

}  // namespace tapegrad::ops
