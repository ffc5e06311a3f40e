// Losses that keep embeddings and rankings apart by a margin. Those over the classes of a row stand
// in loss_multi_margin.cpp.
#include "core/text.h"
#include "ops/loss_pair.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/losses.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::PairLoss;

namespace {

Tensor distance(const Tensor& x1, const Tensor& x2, double p, double eps) {
  return norm(x1 - x2 + Scalar(eps), p, -1);
}

/// 1 - cos(x1, x2) where the target is 1, max(0, cos - margin) where it is -1.
Tensor cosine_losses(const Tensor& x1, const Tensor& x2, const Tensor& target, double margin) {
  // sqrt(x.x + 1e-12) of each, not the root of the product, which overflows sooner.
  const Scalar eps = 1e-6;
  const Tensor lengths = hypot(norm(x1, 2.0, -1), eps) * hypot(norm(x2, 2.0, -1), eps);
  const Tensor cosine = vecdot(x1, x2) / lengths;
  const Tensor apart =
      where(eq(target, Scalar(-1)), clamp(cosine - Scalar(margin), Scalar(0.0)), Scalar(0.0));
  return where(eq(target, Scalar(1)), Scalar(1.0) - cosine, apart);
}

}  // namespace

Tensor soft_margin_loss(const Tensor& input, const Tensor& target, std::string_view reduction) {
  return compare("soft_margin_loss", PairLoss::SoftMargin, input, target, reduction);
}

Tensor hinge_embedding_loss(const Tensor& input, const Tensor& target, double margin,
                            std::string_view reduction) {
  return compare("hinge_embedding_loss", PairLoss::HingeEmbedding, input, target, reduction,
                 margin);
}

Tensor margin_ranking_loss(const Tensor& input1, const Tensor& input2, const Tensor& target,
                           double margin, std::string_view reduction) {
  constexpr const char* kOp = "margin_ranking_loss";
  if (input1.dim() != input2.dim() || input1.dim() != target.dim()) {
    throw ShapeError(core::text(
        kOp, ": all tensors should have the same number of dimensions, got input1 ",
        shape_string(input1.sizes()), ", input2 ", shape_string(input2.sizes()), " and target ",
        shape_string(target.sizes()), "; squeeze(-1) drops a last dimension of size 1"));
  }
  Tensor x1 = input1, x2 = input2;
  broadcast_pair(kOp, x1, x2);
  return compare(kOp, PairLoss::MarginRanking, x1 - x2, target, reduction, margin);
}

Tensor cosine_embedding_loss(const Tensor& input1, const Tensor& input2, const Tensor& target,
                             double margin, std::string_view reduction) {
  constexpr const char* kOp = "cosine_embedding_loss";
  const Reduction r = reduction_of(kOp, reduction);
  if (target.dim() > 1) {
    throw ShapeError(core::text(kOp, ": target must have one dimension, or none for one pair, got ",
                                shape_string(target.sizes())));
  }
  const int64_t ndim = target.dim() + 1;
  if (input1.dim() != ndim || input2.dim() != ndim ||
      (ndim == 2 && (input1.size(0) != target.size(0) || input2.size(0) != target.size(0)))) {
    throw ShapeError(core::text(
        kOp, ": expected inputs of shape ", ndim == 2 ? "(N, D) and target of shape (N,)" : "(D,)",
        " for a target of ", target.dim(), " dimensions, got input1 ", shape_string(input1.sizes()),
        ", input2 ", shape_string(input2.sizes()), " and target ", shape_string(target.sizes())));
  }
  return reduce_loss(cosine_losses(input1, input2, target, margin), r);
}

Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           double margin, double p, double eps, bool swap,
                           std::string_view reduction) {
  constexpr const char* kOp = "triplet_margin_loss";
  const Reduction r = reduction_of(kOp, reduction);
  if (!(margin > 0))
    throw ValueError(core::text(kOp, ": margin must be greater than 0, got ", margin));
  if (anchor.dim() != positive.dim() || anchor.dim() != negative.dim()) {
    throw ShapeError(
        core::text(kOp, ": the three tensors must have the same number of dimensions, got anchor ",
                   shape_string(anchor.sizes()), ", positive ", shape_string(positive.sizes()),
                   " and negative ", shape_string(negative.sizes())));
  }
  const Tensor near = distance(anchor, positive, p, eps);
  Tensor far = distance(anchor, negative, p, eps);
  if (swap) far = minimum(far, distance(positive, negative, p, eps));
  return reduce_loss(clamp(near - far + Scalar(margin), Scalar(0.0)), r);
}

// --- registration --------------------------------------------------------------------------------

#define TAPEGRAD_LEGACY "bool? size_average=None, bool? reduce=None, str reduction='mean'"

TAPEGRAD_OP(
    kNN, "soft_margin_loss(Tensor input, Tensor target, " TAPEGRAD_LEGACY ") -> Tensor",
    R"(Logistic loss of labels 1 and -1: log(1 + exp(-target * input)), without overflow.

Args:
    input: scores, a floating-point tensor
    target: 1 or -1 for each, of the same shape
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'

Raises:
    ShapeError: shapes that would broadcast to one that neither has

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.soft_margin_loss(tg.tensor([0.]), tg.tensor([1.]))
    tensor(0.6931))",
    +[](const Tensor& x, const Tensor& t, std::optional<bool> average, std::optional<bool> reduce,
        std::string_view reduction) {
      return soft_margin_loss(x, t, legacy_reduction(average, reduce, reduction));
    });
TAPEGRAD_OP(
    kNN,
    "hinge_embedding_loss(Tensor input, Tensor target, float margin=1.0, " TAPEGRAD_LEGACY
    ") -> Tensor",
    R"(Distances of similar pairs, and what distances of others lack of a margin.

input where target is 1, max(0, margin - input) where it is -1.

Args:
    input: distances, a floating-point tensor
    target: 1 or -1 for each, of the same shape
    margin: how far apart pairs with -1 should be
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'

Raises:
    ShapeError: shapes that would broadcast to one that neither has

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.hinge_embedding_loss(tg.tensor([2., 0.75]), tg.tensor([1., -1.]))
    tensor(1.1250))",
    +[](const Tensor& x, const Tensor& t, double margin, std::optional<bool> average,
        std::optional<bool> reduce, std::string_view reduction) {
      return hinge_embedding_loss(x, t, margin, legacy_reduction(average, reduce, reduction));
    });
TAPEGRAD_OP(
    kNN,
    "margin_ranking_loss(Tensor input1, Tensor input2, Tensor target, float "
    "margin=0, " TAPEGRAD_LEGACY ") -> Tensor",
    R"(max(0, margin - target * (input1 - input2)): input1 should rank higher where target is 1.

Args:
    input1, input2: scores of the same shape
    target: 1, or -1 where input2 should rank higher
    margin: by how much
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'

Raises:
    ShapeError: different numbers of dimensions; shapes that would broadcast to one that neither has

Example:
    >>> import tapegrad as tg
    >>> x, y = tg.tensor([2.]), tg.tensor([3.])
    >>> tg.nn.functional.margin_ranking_loss(x, y, tg.tensor([1.]), margin=0.5)
    tensor(1.5000))",
    +[](const Tensor& x1, const Tensor& x2, const Tensor& t, double margin,
        std::optional<bool> average, std::optional<bool> reduce, std::string_view reduction) {
      return margin_ranking_loss(x1, x2, t, margin, legacy_reduction(average, reduce, reduction));
    });
TAPEGRAD_OP(
    kNN,
    "cosine_embedding_loss(Tensor input1, Tensor input2, Tensor target, float "
    "margin=0, " TAPEGRAD_LEGACY ") -> Tensor",
    R"(1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1.

Args:
    input1, input2: vectors, of shape (N, D), or (D,) for one pair
    target: 1 or -1, of shape (N,), or 0-d
    margin: the cosine that pairs with -1 may have
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'

Raises:
    ShapeError: shapes that do not fit

Example:
    >>> import tapegrad as tg
    >>> x, y = tg.tensor([[1., 0.]]), tg.tensor([[0., 1.]])
    >>> tg.nn.functional.cosine_embedding_loss(x, y, tg.tensor([1]))
    tensor(1.))",
    +[](const Tensor& x1, const Tensor& x2, const Tensor& t, double margin,
        std::optional<bool> average, std::optional<bool> reduce, std::string_view reduction) {
      return cosine_embedding_loss(x1, x2, t, margin, legacy_reduction(average, reduce, reduction));
    });
TAPEGRAD_OP(
    kNN,
    "triplet_margin_loss(Tensor anchor, Tensor positive, Tensor negative, "
    "float margin=1.0, float p=2, float eps=1e-06, bool swap=False, " TAPEGRAD_LEGACY ") -> Tensor",
    R"(max(0, |anchor - positive| - |anchor - negative| + margin), norms over the last dimension.

Args:
    anchor, positive, negative: vectors, of shape (N, D) or (D,)
    margin: how much nearer the positive one should be
    p: the norm
    eps: is added to the differences
    swap: use |positive - negative| where that is smaller (Balntas et al., 2016)
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'

Raises:
    ShapeError: different numbers of dimensions
    ValueError: a margin that is not positive

Example:
    >>> import tapegrad as tg
    >>> x, y = tg.tensor([[0., 0.]]), tg.tensor([[3., 4.]])
    >>> tg.nn.functional.triplet_margin_loss(x, y, x)
    tensor(6.0000))",
    +[](const Tensor& anchor, const Tensor& positive, const Tensor& negative, double margin,
        double p, double eps, bool swap, std::optional<bool> average, std::optional<bool> reduce,
        std::string_view reduction) {
      return triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap,
                                 legacy_reduction(average, reduce, reduction));
    });

}  // namespace tapegrad
