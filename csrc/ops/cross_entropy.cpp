// Cross-entropy over classes, by index or by probability, and the negative log-likelihood.
#include <atomic>
#include <limits>
#include <string>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/softmax.h"
#include "ops/loss.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;

namespace {

int64_t class_dim(const Tensor& input) { return input.dim() == 1 ? 0 : 1; }

// --- checks --------------------------------------------------------------------------------------

void check_index_shapes(const char* op, const Tensor& input, const Tensor& target) {
  const auto shapes = [&] {
    return core::text("input of shape ", shape_string(input.sizes()), " and target of shape ",
                      shape_string(target.sizes()));
  };
  if (input.dim() == 0)
    throw ShapeError(core::text(op, ": input must have a dimension of classes, got a 0-d tensor"));
  if (input.dim() == 1) {
    if (target.dim() == 0 || (target.dim() == 1 && target.size(0) == 1)) return;
    throw ShapeError(
        core::text(op, ": for an input of one sample the target is one index, got ", shapes()));
  }
  if (target.dim() == 0 || input.size(0) != target.size(0)) {
    throw ShapeError(core::text(op, ": expected input batch_size (", input.size(0),
                                ") to match target batch_size, got ", shapes()));
  }
  Dims expected(input.sizes());
  expected.erase(1);
  if (!(IntSpan(expected) == target.sizes())) {
    throw ShapeError(
        core::text(op, ": expected target size ", shape_string(expected), ", got ", shapes()));
  }
}

void check_weight(const char* op, const Tensor& input, const Tensor& weight) {
  if (!weight.defined()) return;
  const int64_t classes = input.size(class_dim(input));
  if (weight.dim() != 1 || weight.size(0) != classes) {
    throw ShapeError(core::text(op, ": weight should be defined for all ", classes,
                                " classes, got a tensor of shape ", shape_string(weight.sizes())));
  }
  if (weight.dtype() != input.dtype()) {
    throw DTypeError(core::text(op, ": weight is ", dtype_name(weight.dtype()), " but input is ",
                                dtype_name(input.dtype()),
                                "; convert the weight by weight.to(input.dtype)"));
  }
}

void check_floating(const char* op, const Tensor& input) {
  if (is_floating_point(input.dtype())) return;
  throw DTypeError(core::text(op, ": expected a floating-point input, got a ",
                              core::describe(input), "; convert it, for example by .float()"));
}

/// Class indices, contiguous int64.
Tensor index_target(const char* op, const Tensor& target) {
  if (target.dtype() == DType::Int64) return contiguous(target);
  if (target.dtype() == DType::UInt8) return contiguous(to(target, DType::Int64));
  throw DTypeError(core::text(op,
                              ": expected a target of class indices in int64 (or uint8), got a ",
                              core::describe(target), "; convert it by target.long()"));
}

std::string position_text(int64_t at, IntSpan sizes) {
  Dims index(static_cast<int>(sizes.size()), 0);
  for (int d = index.size() - 1; d >= 0; --d) {
    index[d] = at % sizes[static_cast<size_t>(d)];
    at /= sizes[static_cast<size_t>(d)];
  }
  if (index.size() == 1) return std::to_string(index[0]);
  return shape_string(index);
}

/// The sum of the weights of all targets that are not ignored. Throws IndexError on one that is no
/// class, before anything is written.
double total_weight(const char* op, const Tensor& target, int64_t classes, int64_t ignore_index,
                    const Tensor& weight) {
  if (target->has(TensorImpl::kBatched)) {
    total_weight(op, contiguous(autograd::bottom(target)), classes, ignore_index, Tensor());
    return std::numeric_limits<double>::quiet_NaN();  // differs between samples: reduced() counts
  }
  const auto* t = static_cast<const int64_t*>(target.data());
  const int64_t n = target->numel();
  const auto limit = static_cast<uint64_t>(classes);
  int64_t counted = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (t[i] == ignore_index) continue;
    if (static_cast<uint64_t>(t[i]) >= limit) {
      throw IndexError(core::text(op, ": target ", t[i], " at position ",
                                  position_text(i, target.sizes()), " is out of bounds for ",
                                  classes, " classes (0 to ", classes - 1, ")"));
    }
    ++counted;
  }
  if (!weight.defined()) return static_cast<double>(counted);
  const Tensor wide = converted(weight, DType::Float64);
  const auto* w = static_cast<const double*>(wide.data());
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += t[i] == ignore_index ? 0.0 : w[t[i]];
  return total;
}

// --- negative log-likelihood: a gather and its adjoint, both linear ------------------------------

kernels::NllParameters nll_parameters(const Tensor& x, int64_t ignore_index) {
  kernels::NllParameters p;
  p.ignore_index = ignore_index;
  p.is_double = x.dtype() == DType::Float64;
  return p;
}
core::Operand optional_input(autograd::Inputs in, int i) {
  return i < in.size() ? core::in(in[i]) : core::none();
}

/// Samples and batch as one dimension, which the kernels see as samples; `t` has one less.
Tensor join_batch(const Tensor& t, int64_t ndim) {
  if (ndim <= 1) return t;
  Dims sizes(t.sizes());
  sizes[1] *= sizes[0];
  sizes.erase(0);
  return reshape(t, sizes);
}

/// Runs a rule on samples and batch together. Inputs: x (or g), target, weight if any.
template <class R>
std::vector<Tensor> batch_of_samples(const R& rule, const autograd::Batch& b, int64_t x_dim,
                                     IntSpan result) {
  if (b.count() > 2 && b.is_batched(2)) return {};
  const Tensor x = contiguous(join_batch(b.front(0), x_dim));
  const Tensor target = contiguous(join_batch(b.front(1), x_dim));
  const Tensor out = b.count() > 2 ? autograd::enter(R(rule), x, target, b.inner(2))
                                   : autograd::enter(R(rule), x, target);
  Dims sizes(result);
  sizes.insert(0, b.size());
  return {reshape(out, sizes)};
}

/// The rules below are linear in input 0; target and weight stay.
template <class R>
Tensor push_linear(const R& rule, const autograd::Push& p) {
  return p.inputs.size() > 2 ? autograd::enter(R(rule), p.tangent(0), p.input(1), p.input(2))
                             : autograd::enter(R(rule), p.tangent(0), p.input(1));
}

/// Gives x's shape to g, which has the target's. Inputs: g, target, weight if any.
struct NllSpreadRule : autograd::Rule {
  static constexpr const char* name = "NllLossBackward";
  Dims sizes;
  int64_t ignore_index;

  unsigned saves_inputs(unsigned) const { return 6; }
  std::vector<Tensor> batch(const autograd::Batch& b) const {
    NllSpreadRule joined = *this;
    if (sizes.size() <= 1) {
      joined.sizes.insert(0, b.size());
    } else {
      joined.sizes[0] *= b.size();
    }
    return batch_of_samples(joined, b, sizes.size(), sizes);
  }
  Tensor forward(autograd::Inputs in) const {
    const Tensor g = contiguous(in[0]);
    const Tensor out = core::make_tensor(sizes, g.dtype());
    if (out->numel() == 0) return out;
    kernels::NllParameters p = nll_parameters(g, ignore_index);
    as_blocks(out, DimMask{1} << class_dim(out), true, p.shape);
    p.backward = true;
    core::launch(&kernels::nll,
                 {core::out(out), core::in(g), core::in(in[1]), optional_input(in, 2)}, p);
    return out;
  }
  void pull(autograd::Pull& p) const;
  Tensor push(autograd::Push& p) const { return push_linear(*this, p); }
};

/// -weight[t] * x[t], 0 where ignored, in the shape of the target. Inputs: x, target, weight if
/// any.
struct NllRule : autograd::Rule {
  static constexpr const char* name = "NllLoss";
  int64_t ignore_index;

  unsigned saves_inputs(unsigned) const { return 6; }
  std::vector<Tensor> batch(const autograd::Batch& b) const {
    return batch_of_samples(*this, b, b.seen(0).dim(), b.seen(1).sizes());
  }
  Tensor forward(autograd::Inputs in) const {
    const Tensor out = core::make_tensor(in[1].sizes(), in[0].dtype());
    if (out->numel() == 0) return out;
    kernels::NllParameters p = nll_parameters(in[0], ignore_index);
    const Tensor x = blocks_in_order(in[0], class_dim(in[0]), p.shape);
    core::launch(&kernels::nll,
                 {core::out(out), core::in(x), core::in(in[1]), optional_input(in, 2)}, p);
    return out;
  }
  void pull(autograd::Pull& p) const {
    const NllSpreadRule rule{{}, p.input_sizes(0), ignore_index};
    p.set(0, p.input_count() > 2 ? autograd::enter(rule, p.grad(), p.input(1), p.input(2))
                                 : autograd::enter(rule, p.grad(), p.input(1)));
  }
  Tensor push(autograd::Push& p) const { return push_linear(*this, p); }
};

void NllSpreadRule::pull(autograd::Pull& p) const {
  const NllRule rule{{}, ignore_index};
  p.set(0, p.input_count() > 2 ? autograd::enter(rule, p.grad(), p.input(1), p.input(2))
                               : autograd::enter(rule, p.grad(), p.input(1)));
}

template <class R>
Tensor enter_with_weight(R rule, const Tensor& x, const Tensor& target, const Tensor& weight) {
  if (!weight.defined()) return autograd::enter(std::move(rule), x, target);
  return autograd::enter(std::move(rule), x, target, weight);
}

/// Inputs of the losses in the dtype of the kernels.
struct Prepared {
  Tensor x;
  Tensor target;
  Tensor weight;
  int64_t classes = 0;
  double total = 0;
};

Prepared prepare(const char* op, const Tensor& input, const Tensor& target, const Tensor& weight,
                 int64_t ignore_index) {
  check_floating(op, input);
  const Tensor index = index_target(op, target);
  check_index_shapes(op, input, target);
  check_weight(op, input, weight);
  const DType dtype = kernel_dtype(input.dtype());
  Prepared p;
  p.classes = input.size(class_dim(input));
  p.total =
      total_weight(op, index, p.classes, ignore_index, weight.defined() ? weight.detach() : weight);
  p.x = to(input, dtype);
  p.target = index;
  if (weight.defined()) p.weight = contiguous(to(weight.detach(), dtype));
  return p;
}

// --- cross-entropy -------------------------------------------------------------------------------

/// A tensor that the first to ask gets. Copies are empty.
class TakenOnce {
 public:
  TakenOnce() = default;
  TakenOnce(const TakenOnce&) {}
  TakenOnce(TakenOnce&& other) noexcept : held_(other.held_.exchange(nullptr)) {}
  TakenOnce& operator=(const TakenOnce&) = delete;
  ~TakenOnce() { take(); }
  void put(Tensor tensor) { Tensor::adopt(held_.exchange(tensor.leak())); }
  Tensor take() { return Tensor::adopt(held_.exchange(nullptr)); }

 private:
  std::atomic<TensorImpl*> held_{nullptr};
};

/// See Note [Gradient in the forward pass]. Inputs: x, target, weight if any.
struct CrossEntropyRule : autograd::Rule {
  static constexpr const char* name = "CrossEntropy";
  int64_t ignore_index;
  bool sum_up;   // else one loss a sample
  double scale;  // of the sum
  bool with_gradient;
  double smoothing = 0;  // without weights only
  TakenOnce gradient{};

  unsigned saves_inputs(unsigned) const { return 7; }
  std::vector<Tensor> batch(const autograd::Batch& b) const {
    CrossEntropyRule each{{}, ignore_index, false, 1, false, smoothing};
    std::vector<Tensor> losses = batch_of_samples(each, b, b.seen(0).dim(), b.seen(1).sizes());
    if (sum_up && !losses.empty())
      losses[0] = sum(reshape(losses[0], {b.size(), -1}), {1}) * Scalar(scale);
    return losses;
  }

  Tensor forward(autograd::Inputs in) {
    const Tensor out = sum_up ? core::make_tensor({}, in[0].dtype())
                              : core::make_tensor(in[1].sizes(), in[0].dtype());
    Tensor slot = with_gradient ? core::make_tensor(in[0].sizes(), in[0].dtype()) : Tensor();
    compute(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), out, slot);
    if (with_gradient) gradient.put(std::move(slot));
    return out;
  }

  void compute(const Tensor& input, const Tensor& target, const Tensor& weight, const Tensor& loss,
               const Tensor& slot) const {
    if (input->numel() == 0) {
      // No samples: nothing to add up, and a mean of nothing.
      if (sum_up) core::write_scalar(loss.data(), loss.dtype(), Scalar(0.0 * scale));
      return;
    }
    kernels::CrossEntropyParameters p;
    const Tensor x = blocks_in_order(input, class_dim(input), p.shape);
    p.ignore_index = ignore_index;
    p.is_double = x.dtype() == DType::Float64;
    p.sum = sum_up;
    p.scale = scale;
    p.smoothing = smoothing;
    const Tensor losses = sum_up ? core::make_tensor({target->numel()}, x.dtype()) : Tensor();
    core::launch(&kernels::cross_entropy,
                 {core::out(loss), slot.defined() ? core::out(slot) : core::none(), core::in(x),
                  core::in(target), weight.defined() ? core::in(weight) : core::none(),
                  sum_up ? core::out(losses) : core::none()},
                 p);
  }

  void pull(autograd::Pull& p) {
    const Tensor& g = p.grad();
    Tensor result = gradient.take();
    const bool weighted = p.input_count() > 2;
    if (is_watched({&g}) || core::thread_state.grad_enabled) {
      p.set(0, composed(g, p.input(0), p.input(1), weighted ? p.input(2) : Tensor()));
      return;
    }
    if (!result.defined()) {
      const Tensor x = p.input(0);
      if (is_watched({&x})) {
        p.set(0, composed(g, x, p.input(1), weighted ? p.input(2) : Tensor()));
        return;
      }
      result = core::make_tensor(x.sizes(), x.dtype());
      compute(x, p.input(1), weighted ? p.input(2) : Tensor(), core::make_like(g, x.dtype()),
              result);
    }
    if (!sum_up)
      mul_(result, g.dim() == 0 ? g : unsqueeze(g, class_dim(result)));
    else if (core::read_scalar(g.data(), g.dtype()).to_double() != 1)
      mul_(result, g);
    p.set(0, std::move(result));
  }

  /// (softmax(x) - one-hot(target)) * weight[target] * scale * g; smoothed, the one-hot is less and
  /// all classes get the rest.
  Tensor composed(const Tensor& g, const Tensor& x, const Tensor& target,
                  const Tensor& weight) const {
    const Tensor scaled = expand(g * Scalar(scale * (1 - smoothing)), target.sizes());
    const Tensor factor = expand(g, target.sizes()) * sample_factors(target, weight, x.dtype());
    const int64_t dim = class_dim(x);
    const Tensor rows = x.dim() == 1 ? reshape(factor, {1}) : unsqueeze(factor, dim);
    Tensor shares = softmax(x, dim);
    if (smoothing > 0) shares = shares - Scalar(smoothing / static_cast<double>(x.size(dim)));
    return shares * rows +
           enter_with_weight(NllSpreadRule{{}, x.sizes(), ignore_index}, scaled, target, weight);
  }

  /// weight[target] * scale, 0 where ignored (also when all are, and the scale is infinite).
  Tensor sample_factors(const Tensor& target, const Tensor& weight, DType dtype) const {
    const Tensor out = core::make_tensor(target.sizes(), DType::Float64);
    auto* to_values = static_cast<double*>(out.data());
    const auto* t = static_cast<const int64_t*>(target.data());
    const Tensor wide = weight.defined() ? converted(weight, DType::Float64) : Tensor();
    const auto* w = weight.defined() ? static_cast<const double*>(wide.data()) : nullptr;
    for (int64_t i = 0; i < target->numel(); ++i)
      to_values[i] = t[i] == ignore_index ? 0.0 : scale * (w ? w[t[i]] : 1.0);
    return converted(out, dtype);
  }
};

/// The reduction of losses of single samples; counts the targets where they differ in a batch.
Tensor reduced(const Tensor& each, const Prepared& p, int64_t ignore_index, Reduction reduction) {
  if (reduction == Reduction::None) return each;
  if (reduction == Reduction::Sum) return sum(each);
  if (!p.target->has(TensorImpl::kBatched)) return sum(each) / Scalar(p.total);
  const Tensor counted = to(ne(p.target, Scalar(ignore_index)), each.dtype());
  if (!p.weight.defined()) return sum(each) / sum(counted);
  const Tensor known = where(ne(p.target, Scalar(ignore_index)), p.target, Scalar(0));
  return sum(each) /
         sum(reshape(index_select(p.weight, 0, reshape(known, {-1})), known.sizes()) * counted);
}

Tensor index_cross_entropy(const char* op, const Tensor& input, const Tensor& target,
                           const Tensor& weight, int64_t ignore_index, Reduction reduction,
                           double smoothing) {
  const Prepared p = prepare(op, input, target, weight, ignore_index);
  if (p.target->has(TensorImpl::kBatched)) {
    const Tensor logs = log_softmax(p.x, class_dim(p.x));
    const Tensor each = enter_with_weight(NllRule{{}, ignore_index}, logs, p.target, p.weight);
    return to(reduced(each, p, ignore_index, reduction), input.dtype());
  }
  CrossEntropyRule rule{};
  rule.ignore_index = ignore_index;
  rule.sum_up = reduction != Reduction::None;
  rule.scale = reduction == Reduction::Mean ? 1.0 / p.total : 1.0;
  rule.smoothing = smoothing;
  rule.with_gradient =
      core::thread_state.grad_enabled && (autograd::entry_flags(p.x) & TensorImpl::kNeedsGrad);
  return to(enter_with_weight(std::move(rule), p.x, p.target, p.weight), input.dtype());
}

/// weight with the dimensions of the classes of `input`.
Tensor along_classes(const Tensor& weight, const Tensor& input) {
  Dims sizes(static_cast<int>(input.dim()), 1);
  sizes[static_cast<int>(class_dim(input))] = weight.size(0);
  return reshape(weight, sizes);
}

/// Szegedy et al., "Rethinking the Inception architecture" (2016), as PyTorch reduces it.
Tensor smoothed_cross_entropy(const char* op, const Tensor& input, const Tensor& target,
                              const Tensor& weight, int64_t ignore_index, Reduction reduction,
                              std::string_view reduction_name, double smoothing) {
  const int64_t dim = class_dim(input), classes = input.size(dim);
  const Prepared p = prepare(op, input, target, weight, ignore_index);
  const Tensor logs = log_softmax(input, dim);
  const Tensor chosen = nll_loss(logs, target, weight, ignore_index, reduction_name);
  const Tensor weighted_logs = weight.defined() ? logs * along_classes(weight, input) : logs;
  const Tensor ignored = eq(target, Scalar(ignore_index));
  const Tensor rest = where(ignored, Scalar(0.0), neg(sum(weighted_logs, dim)));
  const Tensor even = reduced(rest, p, ignore_index, reduction);
  return chosen * Scalar(1 - smoothing) + even * Scalar(smoothing / static_cast<double>(classes));
}

Tensor probability_cross_entropy(const char* op, const Tensor& input, const Tensor& target,
                                 const Tensor& weight, Reduction reduction, double smoothing) {
  check_floating(op, input);
  check_weight(op, input, weight);
  const int64_t dim = class_dim(input), classes = input.size(dim);
  Tensor shares = target;
  if (smoothing > 0)
    shares = target * Scalar(1 - smoothing) + Scalar(smoothing / static_cast<double>(classes));
  if (weight.defined()) shares = shares * along_classes(weight, input);
  const Tensor logs = log_softmax(input, dim);
  // A dot product along the last dimension needs no memory for the products.
  const Tensor each = dim == input.dim() - 1 ? vecdot(logs, shares) : sum(logs * shares, dim);
  if (reduction == Reduction::None) return neg(each);
  Tensor total = neg(sum(each));
  if (reduction == Reduction::Sum) return total;
  const double samples =
      classes == 0 ? 0.0 : static_cast<double>(input->numel()) / static_cast<double>(classes);
  return total / Scalar(samples);
}

}  // namespace

Tensor nll_loss(const Tensor& input, const Tensor& target, const Tensor& weight,
                int64_t ignore_index, std::string_view reduction) {
  const Reduction r = reduction_of("nll_loss", reduction);
  const Prepared p = prepare("nll_loss", input, target, weight, ignore_index);
  const Tensor each = enter_with_weight(NllRule{{}, ignore_index}, p.x, p.target, p.weight);
  return to(reduced(each, p, ignore_index, r), input.dtype());
}

Tensor cross_entropy(const Tensor& input, const Tensor& target, const Tensor& weight,
                     int64_t ignore_index, std::string_view reduction, double label_smoothing) {
  constexpr const char* kOp = "cross_entropy";
  const Reduction r = reduction_of(kOp, reduction);
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    throw ValueError(
        core::text(kOp, ": label_smoothing must be between 0.0 and 1.0, got ", label_smoothing));
  }
  if (input.dim() > 0 && input.sizes() == target.sizes()) {
    if (!is_floating_point(target.dtype())) {
      throw DTypeError(core::text(
          kOp, ": a target of the input's shape ", shape_string(input.sizes()),
          " holds class probabilities and must be floating point, got ", dtype_name(target.dtype()),
          "; give class indices without the dimension of classes"));
    }
    if (ignore_index >= 0) {
      throw ValueError(
          core::text(kOp, ": ignore_index is not supported for targets of class probabilities"));
    }
    return probability_cross_entropy(kOp, input, target, weight, r, label_smoothing);
  }
  if (label_smoothing > 0 && (weight.defined() || target->has(TensorImpl::kBatched)))
    return smoothed_cross_entropy(kOp, input, target, weight, ignore_index, r, reduction,
                                  label_smoothing);
  return index_cross_entropy(kOp, input, target, weight, ignore_index, r, label_smoothing);
}

TAPEGRAD_OP(
    kNN,
    "cross_entropy(Tensor input, Tensor target, Tensor? weight=None, bool? size_average=None, "
    "int ignore_index=-100, bool? reduce=None, str reduction='mean', float label_smoothing=0.0) "
    "-> Tensor",
    R"(Cross-entropy of softmax(input) against class indices or class probabilities.

One fused pass; every target is checked before anything is written.

Args:
    input: logits of shape (C,), (N, C) or (N, C, d1, ...), floating point
    target: class indices (int64) of shape (), (N,) or (N, d1, ...), or probabilities of the input's
        shape
    weight: a factor for each class, shape (C,)
    size_average, reduce: older forms of reduction
    ignore_index: a target that counts for nothing; for indices only
    reduction: 'mean' (over the weights of the targets), 'sum' or 'none'
    label_smoothing: share of each target that is spread evenly over all classes

Raises:
    IndexError: a target that is no class; names its value and place
    ShapeError: shapes that do not fit
    DTypeError: targets that are neither int64, uint8 nor probabilities; a weight of another dtype
    ValueError: label_smoothing outside [0, 1]; ignore_index with probabilities

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.cross_entropy(tg.zeros(2, 4), tg.tensor([0, 3]))
    tensor(1.3863))",
    +[](const Tensor& x, const Tensor& t, const Tensor& weight, std::optional<bool> average,
        int64_t ignore_index, std::optional<bool> reduce, std::string_view reduction,
        double smoothing) {
      return cross_entropy(x, t, weight, ignore_index, legacy_reduction(average, reduce, reduction),
                           smoothing);
    });
TAPEGRAD_OP(
    kNN,
    "nll_loss(Tensor input, Tensor target, Tensor? weight=None, bool? size_average=None, "
    "int ignore_index=-100, bool? reduce=None, str reduction='mean') -> Tensor",
    R"(Negative log-likelihood: -weight[t] * input[t] for the target t of each sample.

Args:
    input: log-probabilities of shape (C,), (N, C) or (N, C, d1, ...), floating point
    target: class indices (int64) of shape (), (N,) or (N, d1, ...)
    weight: a factor for each class, shape (C,)
    size_average, reduce: older forms of reduction
    ignore_index: a target that counts for nothing
    reduction: 'mean' (over the weights of the targets), 'sum' or 'none'

Raises:
    IndexError: a target that is no class; names its value and place
    ShapeError, DTypeError: operands that do not fit

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.nll_loss(tg.tensor([[-1., -2.]]), tg.tensor([1]))
    tensor(2.))",
    +[](const Tensor& x, const Tensor& t, const Tensor& weight, std::optional<bool> average,
        int64_t ignore_index, std::optional<bool> reduce, std::string_view reduction) {
      return nll_loss(x, t, weight, ignore_index, legacy_reduction(average, reduce, reduction));
    });

}  // namespace tapegrad
