// Losses that compare input and target element by element: mse, l1, smooth l1, Huber, and binary
// cross-entropy of probabilities and logits.
#include "ops/loss.h"

#include "autograd/lifted.h"
#include "core/text.h"
#include "ops/loss_pair.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace ops {

Reduction reduction_of(const char* op, std::string_view name) {
  if (name == "mean") return Reduction::Mean;
  if (name == "sum") return Reduction::Sum;
  if (name == "none") return Reduction::None;
  throw ValueError(core::text(op, ": reduction must be 'none', 'mean' or 'sum', got '", name, "'"));
}

std::string_view legacy_reduction(std::optional<bool> size_average, std::optional<bool> reduce,
                                  std::string_view reduction) {
  if (!size_average && !reduce) return reduction;
  if (!reduce.value_or(true)) return "none";
  return size_average.value_or(true) ? "mean" : "sum";
}

Tensor reduce_loss(const Tensor& each, Reduction reduction) {
  return reduction == Reduction::None   ? each
         : reduction == Reduction::Mean ? mean(each)
                                        : sum(each);
}

}  // namespace ops

using namespace ops;
using kernels::PairLoss;

namespace {

/// The loss of each element times its weight; the mean is over the weights.
Tensor weighted(const char* op, const Tensor& each, const Tensor& weight,
                std::string_view reduction) {
  if (!(each.sizes() == weight.sizes())) {
    throw ShapeError(core::text(op, ": weight of shape ", shape_string(weight.sizes()),
                                " must have the shape of the input, ", shape_string(each.sizes())));
  }
  const Tensor products = each * weight;
  const Reduction r = reduction_of(op, reduction);
  return r == Reduction::Mean ? sum(products) / sum(weight) : reduce_loss(products, r);
}

double smooth_beta(double beta) {
  if (beta >= 0) return beta;
  throw ValueError(core::text("smooth_l1_loss: beta must not be negative, got ", beta));
}
double huber_delta(double delta) {
  if (delta > 0) return delta;
  throw ValueError(core::text("huber_loss: delta must be positive, got ", delta));
}

}  // namespace

Tensor mse_loss(const Tensor& input, const Tensor& target, std::string_view reduction) {
  return compare("mse_loss", PairLoss::Squared, input, target, reduction);
}
Tensor l1_loss(const Tensor& input, const Tensor& target, std::string_view reduction) {
  return compare("l1_loss", PairLoss::Absolute, input, target, reduction);
}
Tensor smooth_l1_loss(const Tensor& input, const Tensor& target, std::string_view reduction,
                      double beta) {
  const PairLoss loss = smooth_beta(beta) == 0 ? PairLoss::Absolute : PairLoss::SmoothL1;
  return compare("smooth_l1_loss", loss, input, target, reduction, beta);
}
Tensor huber_loss(const Tensor& input, const Tensor& target, std::string_view reduction,
                  double delta) {
  return compare("huber_loss", PairLoss::Huber, input, target, reduction, huber_delta(delta));
}

Tensor binary_cross_entropy_with_logits(const Tensor& input, const Tensor& target,
                                        const Tensor& weight, std::string_view reduction,
                                        const Tensor& pos_weight) {
  constexpr const char* kOp = "binary_cross_entropy_with_logits";
  const Reduction r = reduction_of(kOp, reduction);
  require_same_shape(kOp, input, target);
  if (!weight.defined() && !pos_weight.defined())
    return pair_loss(kOp, PairLoss::CrossEntropyLogits, input, target, r, 0);
  Tensor each;
  if (pos_weight.defined()) {
    // (1 - t) x + (1 + (w - 1) t) log(1 + exp(-x)), the logarithm as softplus.
    const Tensor factor = (pos_weight - Scalar(1)) * target + Scalar(1);
    const Tensor softplus =
        pair_loss(kOp, PairLoss::CrossEntropyLogits, input, ones_like(input), Reduction::None, 0);
    each = (Scalar(1) - target) * input + factor * softplus;
  } else {
    each = pair_loss(kOp, PairLoss::CrossEntropyLogits, input, target, Reduction::None, 0);
  }
  if (weight.defined()) each = each * weight;
  return reduce_loss(each, r);
}

Tensor binary_cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight,
                            std::string_view reduction) {
  constexpr const char* kOp = "binary_cross_entropy";
  const Reduction r = reduction_of(kOp, reduction);
  require_same_shape(kOp, input, target);
  if (input.dtype() != target.dtype()) {
    throw DTypeError(core::text(kOp, ": target is ", dtype_name(target.dtype()), " but input is ",
                                dtype_name(input.dtype()), "; convert the target by target.to(",
                                "input.dtype)"));
  }
  if (is_floating_point(input.dtype()) && input->numel() > 0) {
    const Tensor values = autograd::bottom(input);
    const DimMask mask = all_dims(values.dim());
    const auto extreme = [&](kernels::FoldOp op) {
      return fold(values, mask, false, op, input.dtype()).item().to_double();
    };
    const double low = extreme(kernels::FoldOp::Min), high = extreme(kernels::FoldOp::Max);
    if (!(low >= 0 && high <= 1)) {
      throw ValueError(core::text(kOp, ": all elements of input should be between 0 and 1, got ",
                                  low >= 0 ? high : low,
                                  "; for logits use binary_cross_entropy_with_logits"));
    }
  }
  if (!weight.defined()) return pair_loss(kOp, PairLoss::CrossEntropy, input, target, r, 0);
  const Tensor each =
      pair_loss(kOp, PairLoss::CrossEntropy, input, target, Reduction::None, 0) * weight;
  return reduce_loss(each, r);
}

// --- registration --------------------------------------------------------------------------------

#define TAPEGRAD_LEGACY "bool? size_average=None, bool? reduce=None, str reduction='mean'"

TAPEGRAD_OP(
    kNN,
    "mse_loss(Tensor input, Tensor target, " TAPEGRAD_LEGACY ", Tensor? weight=None) -> Tensor",
    R"(Mean squared error: the mean (or sum, or each) of (input - target)**2.

Args:
    input: a floating-point tensor
    target: a tensor of the same shape
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'
    weight: a factor for each element; the mean is then over the weights

Raises:
    ShapeError: shapes that would broadcast to one that neither has, such as (N, 1) and (N,)
    DTypeError: no operand is floating point

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.mse_loss(tg.tensor([1., 2.]), tg.tensor([0., 4.]))
    tensor(2.5000))",
    +[](const Tensor& x, const Tensor& t, std::optional<bool> average, std::optional<bool> reduce,
        std::string_view reduction, const Tensor& weight) {
      reduction = legacy_reduction(average, reduce, reduction);
      if (!weight.defined()) return mse_loss(x, t, reduction);
      return weighted("mse_loss", mse_loss(x, t, "none"), weight, reduction);
    });
TAPEGRAD_OP(
    kNN, "l1_loss(Tensor input, Tensor target, " TAPEGRAD_LEGACY ", Tensor? weight=None) -> Tensor",
    R"(Mean absolute error: the mean (or sum, or each) of |input - target|.

The derivative at 0 is 0. Arguments and errors as of mse_loss().

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1., 2.]), tg.tensor([0., 4.]))
    tensor(1.5000))",
    +[](const Tensor& x, const Tensor& t, std::optional<bool> average, std::optional<bool> reduce,
        std::string_view reduction, const Tensor& weight) {
      reduction = legacy_reduction(average, reduce, reduction);
      if (!weight.defined()) return l1_loss(x, t, reduction);
      return weighted("l1_loss", l1_loss(x, t, "none"), weight, reduction);
    });
TAPEGRAD_OP(
    kNN,
    "smooth_l1_loss(Tensor input, Tensor target, " TAPEGRAD_LEGACY ", float beta=1.0) -> Tensor",
    R"(Squared error d**2 / (2 beta) where |d| < beta, else |d| - beta / 2 (Girshick, 2015).

Arguments and errors as of mse_loss(); beta must not be negative, 0 is l1_loss().

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.smooth_l1_loss(tg.tensor([1.5, 3.]), tg.tensor([1., 1.]), reduction="none")
    tensor([0.1250, 1.5000]))",
    +[](const Tensor& x, const Tensor& t, std::optional<bool> average, std::optional<bool> reduce,
        std::string_view reduction, double beta) {
      return smooth_l1_loss(x, t, legacy_reduction(average, reduce, reduction), beta);
    });
TAPEGRAD_OP(
    kNN,
    "huber_loss(Tensor input, Tensor target, str reduction='mean', float delta=1.0, "
    "Tensor? weight=None) -> Tensor",
    R"(Squared error d**2 / 2 where |d| <= delta, else delta (|d| - delta / 2) (Huber, 1964).

Arguments and errors as of mse_loss(); delta must be positive.

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.huber_loss(tg.tensor([1.5, 3.]), tg.tensor([1., 1.]), reduction="none")
    tensor([0.1250, 1.5000]))",
    +[](const Tensor& x, const Tensor& t, std::string_view reduction, double delta,
        const Tensor& weight) {
      if (!weight.defined()) return huber_loss(x, t, reduction, delta);
      return weighted("huber_loss", huber_loss(x, t, "none", delta), weight, reduction);
    });
TAPEGRAD_OP(
    kNN,
    "binary_cross_entropy_with_logits(Tensor input, Tensor target, Tensor? weight=None, "
    "bool? size_average=None, bool? reduce=None, str reduction='mean', Tensor? pos_weight=None) "
    "-> Tensor",
    R"(Cross-entropy of sigmoid(input) against targets in [0, 1], without overflow or cancellation.

Args:
    input: logits, a floating-point tensor
    target: a tensor of the same shape
    weight: a factor for each element, broadcast
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'
    pos_weight: a factor for the positive term, broadcast

Raises:
    ShapeError: input and target of different shapes

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.binary_cross_entropy_with_logits(tg.tensor([0.]), tg.tensor([1.]))
    tensor(0.6931))",
    +[](const Tensor& x, const Tensor& t, const Tensor& weight, std::optional<bool> average,
        std::optional<bool> reduce, std::string_view reduction, const Tensor& pos_weight) {
      return binary_cross_entropy_with_logits(
          x, t, weight, legacy_reduction(average, reduce, reduction), pos_weight);
    });
TAPEGRAD_OP(
    kNN,
    "binary_cross_entropy(Tensor input, Tensor target, Tensor? weight=None, "
    "bool? size_average=None, bool? reduce=None, str reduction='mean') -> Tensor",
    R"(Cross-entropy of probabilities against targets in [0, 1]; logarithms are limited to -100.

Args:
    input: probabilities, a floating-point tensor
    target: a tensor of the same shape and dtype
    weight: a factor for each element, broadcast
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'

Raises:
    ShapeError: input and target of different shapes
    DTypeError: input and target of different dtypes
    ValueError: an input outside [0, 1]

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.binary_cross_entropy(tg.tensor([0.5]), tg.tensor([1.]))
    tensor(0.6931))",
    +[](const Tensor& x, const Tensor& t, const Tensor& weight, std::optional<bool> average,
        std::optional<bool> reduce, std::string_view reduction) {
      return binary_cross_entropy(x, t, weight, legacy_reduction(average, reduce, reduction));
    });

}  // namespace tapegrad
