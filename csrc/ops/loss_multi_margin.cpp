// Losses of scores over classes that keep the target's score above the others by a margin.
#include <string>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/loss_margin.h"
#include "ops/loss.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/losses.h"
#include "tapegrad/ops.h"
#include "tapegrad/parallel.h"

namespace tapegrad {

using namespace ops;

namespace {

// --- one target a row ----------------------------------------------------------------------------

/// x (N, C), target (N,), weight (C,) if any -> (N,).
struct MultiMarginRule : autograd::Rule {
  static constexpr const char* name = "MultiMarginLoss";
  bool squared;
  double margin;

  unsigned saves_inputs(unsigned) const { return 7; }

  kernels::MultiMarginParameters parameters(const Tensor& x) const {
    kernels::MultiMarginParameters p;
    p.rows = x.size(0);
    p.classes = x.size(1);
    p.margin = margin;
    p.squared = squared;
    p.is_double = x.dtype() == DType::Float64;
    return p;
  }

  Tensor forward(autograd::Inputs in) const {
    const Tensor x = contiguous(in[0]);
    const Tensor out = core::make_tensor({x.size(0)}, x.dtype());
    core::launch(&kernels::multi_margin,
                 {core::out(out), core::in(x), core::in(in[1]),
                  in.size() > 2 ? core::in(in[2]) : core::none()},
                 parameters(x));
    return out;
  }

  void pull(autograd::Pull& p) const {
    const Tensor &g = p.grad(), x = p.input(0), t = p.input(1);
    const Tensor w = p.input_count() > 2 ? p.input(2) : Tensor();
    p.set(0, is_watched({&g, &x, &t}) ? composed(g, x, t, w) : fused(g, x, t, w));
  }

  Tensor fused(const Tensor& upstream, const Tensor& input, const Tensor& target,
               const Tensor& weight) const {
    const Tensor x = contiguous(input), g = contiguous(upstream);
    const Tensor out = core::make_tensor(x.sizes(), x.dtype());
    core::launch(&kernels::multi_margin_gradient,
                 {core::out(out), core::in(g), core::in(x), core::in(target),
                  weight.defined() ? core::in(weight) : core::none()},
                 parameters(x));
    return out;
  }

  Tensor composed(const Tensor& g, const Tensor& x, const Tensor& target,
                  const Tensor& weight) const {
    const Tensor t = unsqueeze(target, 1);
    const Tensor gap = x - gather(x, 1, t) + Scalar(margin);
    Tensor factor = g * Scalar(1.0 / static_cast<double>(x.size(1)));
    if (weight.defined()) factor = factor * index_select(weight, 0, target);
    const Tensor others = ne(arange(0, x.size(1)), t);
    const Tensor slope = squared ? gap * Scalar(2.0) : ones_like(gap);
    const Tensor shares =
        where(logical_and(gt(gap, Scalar(0)), others), slope * unsqueeze(factor, 1), Scalar(0.0));
    return scatter_add(shares, 1, t, neg(sum(shares, {1}, true)));
  }
};

// --- several targets a row -----------------------------------------------------------------------

kernels::MultiLabelParameters label_parameters(const Tensor& x) {
  kernels::MultiLabelParameters p;
  p.rows = x.size(0);
  p.classes = x.size(1);
  p.is_double = x.dtype() == DType::Float64;
  return p;
}

Tensor row_for_each_thread(const Tensor& x) {
  return core::make_tensor({get_num_threads() * x.size(1)}, x.dtype());
}

Tensor label_gradient(const Tensor& upstream, const Tensor& input, const Tensor& target) {
  const Tensor x = contiguous(input), g = contiguous(upstream);
  const Tensor out = core::make_tensor(x.sizes(), x.dtype()), scratch = row_for_each_thread(x);
  kernels::MultiLabelParameters p = label_parameters(x);
  p.single_g = g->numel() == 1;
  core::launch(&kernels::multilabel_margin_gradient,
               {core::out(out), core::in(g), core::in(x), core::in(target), core::out(scratch)}, p);
  return out;
}

/// d loss / dx, which is constant but for jumps.
struct MultiLabelSlopeRule : autograd::Rule {
  static constexpr const char* name = "MultilabelMarginLossSlope";
  static constexpr bool differentiable = false;
  Tensor forward(autograd::Inputs in) const {
    return label_gradient(ones({1}, in[0].dtype()), in[0], in[1]);
  }
  void pull(autograd::Pull&) const {}
};

/// x (N, C), target (N, C) -> (N,).
struct MultiLabelRule : autograd::Rule {
  static constexpr const char* name = "MultilabelMarginLoss";

  unsigned saves_inputs(unsigned) const { return 3; }

  Tensor forward(autograd::Inputs in) const {
    const Tensor x = contiguous(in[0]), scratch = row_for_each_thread(x);
    const Tensor out = core::make_tensor({x.size(0)}, x.dtype());
    core::launch(&kernels::multilabel_margin,
                 {core::out(out), core::in(x), core::in(in[1]), core::out(scratch)},
                 label_parameters(x));
    return out;
  }

  void pull(autograd::Pull& p) const {
    const Tensor &g = p.grad(), x = p.input(0), t = p.input(1);
    p.set(0, is_watched({&g, &x, &t})
                 ? autograd::enter(MultiLabelSlopeRule{}, x, t) * unsqueeze(g, 1)
                 : label_gradient(g, x, t));
  }
};

// --- checks --------------------------------------------------------------------------------------

std::string shapes_text(const Tensor& input, const Tensor& target) {
  return core::text("input ", shape_string(input.sizes()), " and target ",
                    shape_string(target.sizes()));
}

/// Class numbers, contiguous int64.
Tensor class_numbers(const char* op, const Tensor& target) {
  if (target.dtype() == DType::Int64) return contiguous(target);
  throw DTypeError(core::text(op, ": expected a target of class indices in int64, got a ",
                              core::describe(target), "; convert it by target.long()"));
}

void check_scores(const char* op, const Tensor& input) {
  if (!is_floating_point(input.dtype())) {
    throw DTypeError(core::text(op, ": expected a floating-point input, got a ",
                                core::describe(input), "; convert it, for example by .float()"));
  }
  const int64_t ndim = input.dim();
  if (ndim > 2 || (ndim > 0 && input.size(ndim - 1) == 0)) {
    throw ShapeError(core::text(op, ": expected an input of shape (N, C) or (C,), got ",
                                shape_string(input.sizes())));
  }
}

[[noreturn]] void refuse_class(const char* op, int64_t value, int64_t row, int64_t classes) {
  throw IndexError(core::text(op, ": target ", value, " in row ", row, " is out of bounds for ",
                              classes, " classes (0 to ", classes - 1, ")"));
}

void check_targets(const char* op, const Tensor& target, int64_t classes) {
  const Tensor plain = contiguous(autograd::bottom(target));
  const auto* t = static_cast<const int64_t*>(plain.data());
  for (int64_t r = 0; r < plain->numel(); ++r)
    if (t[r] < 0 || t[r] >= classes) refuse_class(op, t[r], r, classes);
}

/// Each row up to its first -1.
void check_label_rows(const char* op, const Tensor& target, int64_t classes) {
  const Tensor plain = contiguous(autograd::bottom(target));
  const auto* t = static_cast<const int64_t*>(plain.data());
  for (int64_t r = 0; r < plain->numel() / classes; ++r) {
    for (int64_t k = 0; k < classes && t[r * classes + k] != -1; ++k) {
      const int64_t value = t[r * classes + k];
      if (value < 0 || value >= classes) refuse_class(op, value, r, classes);
    }
  }
}

/// A mean of no rows is a division of zero by zero.
Tensor reduced_rows(const Tensor& each, Reduction reduction, bool one_row, DType dtype) {
  return to(
      reduce_loss(one_row && reduction == Reduction::None ? reshape(each, {}) : each, reduction),
      dtype);
}

}  // namespace

Tensor multi_margin_loss(const Tensor& input, const Tensor& target, int64_t p, double margin,
                         const Tensor& weight, std::string_view reduction) {
  constexpr const char* kOp = "multi_margin_loss";
  const Reduction r = reduction_of(kOp, reduction);
  if (p != 1 && p != 2) throw ValueError(core::text(kOp, ": only p == 1 and p == 2, got ", p));
  check_scores(kOp, input);
  const int64_t classes = input.dim() == 0 ? 1 : input.size(input.dim() - 1);
  const int64_t rows = input.dim() == 2 ? input.size(0) : 1;
  if (target.dim() > 1 || target.numel() != rows) {
    throw ShapeError(core::text(kOp, ": expected one target for each of ", rows, " rows, got ",
                                shapes_text(input, target)));
  }
  if (weight.defined() && (weight.dim() != 1 || weight.size(0) != classes)) {
    throw ShapeError(core::text(kOp, ": weight should be defined for all ", classes,
                                " classes, got a tensor of shape ", shape_string(weight.sizes())));
  }
  const Tensor index = class_numbers(kOp, target);
  check_targets(kOp, index, classes);
  const DType dtype = kernel_dtype(input.dtype());
  const Tensor x = reshape(to(input, dtype), {rows, classes}), t = reshape(index, {rows});
  const MultiMarginRule rule{{}, p == 2, margin};
  const Tensor each = weight.defined()
                          ? autograd::enter(rule, x, t, contiguous(to(weight.detach(), dtype)))
                          : autograd::enter(rule, x, t);
  return reduced_rows(each, r, target.dim() == 0, input.dtype());
}

Tensor multilabel_margin_loss(const Tensor& input, const Tensor& target,
                              std::string_view reduction) {
  constexpr const char* kOp = "multilabel_margin_loss";
  const Reduction r = reduction_of(kOp, reduction);
  check_scores(kOp, input);
  if (!(input.sizes() == target.sizes())) {
    throw ShapeError(core::text(kOp, ": input and target must have the same shape, got ",
                                shapes_text(input, target),
                                "; pad each row of class indices with -1"));
  }
  const int64_t classes = input.dim() == 0 ? 1 : input.size(input.dim() - 1);
  const int64_t rows = input.dim() == 2 ? input.size(0) : 1;
  const Tensor index = class_numbers(kOp, target);
  check_label_rows(kOp, index, classes);
  const Tensor x = reshape(to(input, kernel_dtype(input.dtype())), {rows, classes});
  const Tensor each = autograd::enter(MultiLabelRule{}, x, reshape(index, {rows, classes}));
  return reduced_rows(each, r, input.dim() < 2, input.dtype());
}

Tensor multilabel_soft_margin_loss(const Tensor& input, const Tensor& target, const Tensor& weight,
                                   std::string_view reduction) {
  constexpr const char* kOp = "multilabel_soft_margin_loss";
  const Reduction r = reduction_of(kOp, reduction);
  if (input.dim() == 0)
    throw ShapeError(core::text(kOp, ": input must have a dimension of classes"));
  // The mean over samples of means over classes is the mean over all.
  if (r == Reduction::Mean && !weight.defined())
    return binary_cross_entropy_with_logits(input, target);
  return reduce_loss(mean(binary_cross_entropy_with_logits(input, target, weight, "none"), {-1}),
                     r);
}

// --- registration --------------------------------------------------------------------------------

#define TAPEGRAD_LEGACY "bool? size_average=None, bool? reduce=None, str reduction='mean'"

TAPEGRAD_OP(
    kNN,
    "multi_margin_loss(Tensor input, Tensor target, int p=1, float margin=1.0, "
    "Tensor? weight=None, " TAPEGRAD_LEGACY ") -> Tensor",
    R"(Hinge loss over classes: sum over j != t of max(0, margin - x[t] + x[j])**p, by C.

Args:
    input: scores of shape (N, C) or (C,), floating point
    target: the class of each row, int64, of shape (N,) or ()
    p: 1 or 2
    margin: by how much the target's score should lead
    weight: a factor for the rows of each class, shape (C,)
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'

Raises:
    IndexError: a target that is no class
    ShapeError, DTypeError: operands that do not fit
    ValueError: another p

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.multi_margin_loss(tg.tensor([[1., 0.5]]), tg.tensor([0]))
    tensor(0.2500))",
    +[](const Tensor& x, const Tensor& t, int64_t p, double margin, const Tensor& weight,
        std::optional<bool> average, std::optional<bool> reduce, std::string_view reduction) {
      return multi_margin_loss(x, t, p, margin, weight,
                               legacy_reduction(average, reduce, reduction));
    });
TAPEGRAD_OP(
    kNN, "multilabel_margin_loss(Tensor input, Tensor target, " TAPEGRAD_LEGACY ") -> Tensor",
    R"(Hinge loss of several targets: each should lead all classes that are no target by 1.

The sum over targets t and other classes j of max(0, 1 - x[t] + x[j]), by C.

Args:
    input: scores of shape (N, C) or (C,), floating point
    target: class indices of the same shape, int64; a row counts up to its first -1
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none'

Raises:
    IndexError: a target that is no class
    ShapeError, DTypeError: operands that do not fit

Example:
    >>> import tapegrad as tg
    >>> x, target = tg.tensor([[1., 0.5, 0.]]), tg.tensor([[0, -1, -1]])
    >>> tg.nn.functional.multilabel_margin_loss(x, target)
    tensor(0.1667))",
    +[](const Tensor& x, const Tensor& t, std::optional<bool> average, std::optional<bool> reduce,
        std::string_view reduction) {
      return multilabel_margin_loss(x, t, legacy_reduction(average, reduce, reduction));
    });
TAPEGRAD_OP(
    kNN,
    "multilabel_soft_margin_loss(Tensor input, Tensor target, Tensor? weight=None, " TAPEGRAD_LEGACY
    ") -> Tensor",
    R"(Binary cross-entropy of sigmoid(input), averaged over the classes of each sample.

Args:
    input: logits of shape (N, C) or (C,)
    target: 0 or 1 for each, of the same shape
    weight: a factor for each class
    size_average, reduce: older forms of reduction
    reduction: 'mean', 'sum' or 'none', over the samples

Raises:
    ShapeError: input and target of different shapes

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.multilabel_soft_margin_loss(tg.zeros(1, 2), tg.tensor([[1., 0.]]))
    tensor(0.6931))",
    +[](const Tensor& x, const Tensor& t, const Tensor& weight, std::optional<bool> average,
        std::optional<bool> reduce, std::string_view reduction) {
      return multilabel_soft_margin_loss(x, t, weight,
                                         legacy_reduction(average, reduce, reduction));
    });

}  // namespace tapegrad
