// Connectionist temporal classification.
#include "kernels/ctc.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
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

constexpr const char* kOp = "ctc_loss";

kernels::CtcParameters parameters(const Tensor& x, const Tensor& begins, int64_t blank,
                                  bool zero_infinity) {
  kernels::CtcParameters p;
  p.steps = x.size(0);
  p.batch = x.size(1);
  p.classes = x.size(2);
  p.blank = blank;
  p.zero_infinity = zero_infinity;
  p.is_double = x.dtype() == DType::Float64;
  const auto* begin = static_cast<const int64_t*>(begins.data());
  for (int64_t b = 0; b < p.batch; ++b) p.longest = std::max(p.longest, begin[b + 1] - begin[b]);
  return p;
}

/// d loss / d log_probs * g. Inputs: g (N,), log_probs, labels, begins, lengths.
struct CtcGradientRule : autograd::Rule {
  static constexpr const char* name = "CtcLossBackward";
  int64_t blank;
  bool zero_infinity;

  unsigned saves_inputs(unsigned) const { return 30; }

  Tensor forward(autograd::Inputs in) const {
    const Tensor g = contiguous(in[0]), x = contiguous(in[1]);
    const kernels::CtcParameters p = parameters(x, in[3], blank, zero_infinity);
    const Tensor out = core::make_tensor(x.sizes(), x.dtype());
    const Tensor scratch =
        core::make_tensor({get_num_threads() * kernels::ctc_gradient_scratch(p)}, x.dtype());
    core::launch(&kernels::ctc_gradient,
                 {core::out(out), core::in(g), core::in(x), core::in(in[2]), core::in(in[3]),
                  core::in(in[4]), core::out(scratch)},
                 p);
    return out;
  }

  void pull(autograd::Pull& p) const {
    if (p.needs(1)) {
      throw UnsupportedError(
          "ctc_loss: its second derivative by log_probs is not implemented; call backward() or "
          "grad() without create_graph=True");
    }
    const Tensor x = p.input(1);
    const Tensor slope = autograd::enter(CtcGradientRule(*this), ones({x.size(1)}, x.dtype()), x,
                                         p.input(2), p.input(3), p.input(4));
    p.set(0, sum(p.grad() * slope, {0, 2}));
  }
};

/// (N,). Inputs: log_probs (T, N, C), labels, begins, lengths.
struct CtcRule : autograd::Rule {
  static constexpr const char* name = "CtcLoss";
  int64_t blank;
  bool zero_infinity;

  unsigned saves_inputs(unsigned) const { return 15; }

  Tensor forward(autograd::Inputs in) const {
    const Tensor x = contiguous(in[0]);
    const kernels::CtcParameters p = parameters(x, in[2], blank, zero_infinity);
    const Tensor out = core::make_tensor({p.batch}, x.dtype());
    const Tensor scratch =
        core::make_tensor({get_num_threads() * kernels::ctc_loss_scratch(p)}, x.dtype());
    core::launch(&kernels::ctc,
                 {core::out(out), core::in(x), core::in(in[1]), core::in(in[2]), core::in(in[3]),
                  core::out(scratch)},
                 p);
    return out;
  }

  void pull(autograd::Pull& p) const {
    p.set(0, autograd::enter(CtcGradientRule{{}, blank, zero_infinity}, p.grad(), p.input(0),
                             p.input(1), p.input(2), p.input(3)));
  }
};

// --- checks --------------------------------------------------------------------------------------

Tensor int_tensor(IntSpan values) {
  const Tensor out = core::make_tensor({static_cast<int64_t>(values.size())}, DType::Int64);
  std::copy(values.begin(), values.end(), static_cast<int64_t*>(out.data()));
  return out;
}

void check_input(const Tensor& log_probs, int64_t blank) {
  if (!is_floating_point(log_probs.dtype())) {
    throw DTypeError(
        core::text(kOp, ": expected floating-point log_probs, got a ", core::describe(log_probs)));
  }
  if (log_probs.dim() != 2 && log_probs.dim() != 3) {
    throw ShapeError(core::text(kOp,
                                ": log_probs must be (T, N, C), or (T, C) for one sample, got ",
                                shape_string(log_probs.sizes())));
  }
  const int64_t classes = log_probs.size(log_probs.dim() - 1);
  if (blank < 0 || blank >= classes) {
    throw IndexError(core::text(kOp, ": blank must be in label range, got ", blank, " for ",
                                classes, " classes (0 to ", classes - 1, ")"));
  }
}

void check_lengths(const char* what, IntSpan lengths, int64_t batch, int64_t limit,
                   const char* limit_name) {
  if (static_cast<int64_t>(lengths.size()) != batch) {
    throw ShapeError(core::text(kOp, ": ", what, " must have one entry for each of ", batch,
                                " samples, got ", lengths.size()));
  }
  for (size_t b = 0; b < lengths.size(); ++b) {
    if (lengths[b] < 0 || lengths[b] > limit) {
      throw ValueError(core::text(kOp, ": ", what, "[", b, "] = ", lengths[b],
                                  " is not between 0 and ", limit_name, " = ", limit));
    }
  }
}

/// The labels of all targets one after the other, and where each begins.
struct Labels {
  Tensor values;
  Tensor begins;
};

Labels labels_of(const Tensor& targets, IntSpan lengths, int64_t classes) {
  if (targets.dtype() != DType::Int64 && targets.dtype() != DType::Int32) {
    throw DTypeError(core::text(kOp, ": expected targets in int64 or int32, got a ",
                                core::describe(targets), "; convert them by targets.long()"));
  }
  const Tensor plain = contiguous(to(targets, DType::Int64));
  const bool padded = plain.dim() == 2;
  const int64_t width = padded ? plain.size(1) : 0;
  std::vector<int64_t> values, begins{0};
  const auto* t = static_cast<const int64_t*>(plain.data());
  for (size_t b = 0; b < lengths.size(); ++b) {
    const int64_t* own = padded ? t + static_cast<int64_t>(b) * width : t + begins.back();
    for (int64_t k = 0; k < lengths[b]; ++k) {
      if (own[k] < 0 || own[k] >= classes) {
        throw IndexError(core::text(kOp, ": label ", own[k], " at place ", k, " of target ", b,
                                    " is out of bounds for ", classes, " classes (0 to ",
                                    classes - 1, ")"));
      }
    }
    values.insert(values.end(), own, own + lengths[b]);
    begins.push_back(static_cast<int64_t>(values.size()));
  }
  return {int_tensor(values), int_tensor(begins)};
}

void check_targets(const Tensor& targets, IntSpan lengths, int64_t batch) {
  if (targets.dim() == 2) {
    if (targets.size(0) != batch) {
      throw ShapeError(core::text(kOp, ": padded targets must be (N, S) with N = ", batch, ", got ",
                                  shape_string(targets.sizes())));
    }
    check_lengths("target_lengths", lengths, batch, targets.size(1), "targets.size(1)");
    return;
  }
  if (targets.dim() != 1) {
    throw ShapeError(core::text(kOp, ": targets must be (N, S), or one after the other in one ",
                                "dimension, got ", shape_string(targets.sizes())));
  }
  check_lengths("target_lengths", lengths, batch, targets.size(0), "targets.size(0)");
  int64_t total = 0;
  for (const int64_t length : lengths) total += length;
  if (total != targets.size(0)) {
    throw ShapeError(core::text(kOp, ": target_lengths add up to ", total,
                                ", but there are targets of shape ",
                                shape_string(targets.sizes())));
  }
}

std::vector<int64_t> lengths_of(const char* what, const Tensor& lengths) {
  if (is_floating_point(lengths.dtype()) || lengths.dtype() == DType::Bool) {
    throw DTypeError(
        core::text(kOp, ": ", what, " must be integers, got a ", core::describe(lengths)));
  }
  const Tensor plain = contiguous(to(lengths, DType::Int64));
  const auto* values = static_cast<const int64_t*>(plain.data());
  return {values, values + plain->numel()};
}

}  // namespace

Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, IntSpan input_lengths,
                IntSpan target_lengths, int64_t blank, std::string_view reduction,
                bool zero_infinity) {
  const Reduction r = reduction_of(kOp, reduction);
  check_input(log_probs, blank);
  const bool one = log_probs.dim() == 2;
  const Tensor x = to(one ? unsqueeze(log_probs, 1) : log_probs, kernel_dtype(log_probs.dtype()));
  check_lengths("input_lengths", input_lengths, x.size(1), x.size(0), "log_probs.size(0)");
  check_targets(targets, target_lengths, x.size(1));
  const Labels labels = labels_of(targets, target_lengths, x.size(2));
  Tensor each = autograd::enter(CtcRule{{}, blank, zero_infinity}, x, labels.values, labels.begins,
                                int_tensor(input_lengths));
  if (zero_infinity) {
    const double infinity = std::numeric_limits<double>::infinity();
    each = where(eq(each, Scalar(infinity)), Scalar(0.0), each);
  }
  if (r == Reduction::Mean)
    each = each / to(clamp(int_tensor(target_lengths), Scalar(1)), each.dtype());
  else if (r == Reduction::None && one)
    each = reshape(each, {});
  return to(reduce_loss(each, r), log_probs.dtype());
}

TAPEGRAD_OP(
    kNN,
    "ctc_loss(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, "
    "int blank=0, str reduction='mean', bool zero_infinity=False) -> Tensor",
    R"(Connectionist temporal classification (Graves et al., 2006): minus the log-probability of targets.

The gradient is the derivative by log_probs itself; through log_softmax it is that of PyTorch, which
takes this step together with the loss.

Args:
    log_probs: log-probabilities of shape (T, N, C), or (T, C), from log_softmax
    targets: labels, int64 or int32, of shape (N, S), padded, or (S,); or those of all samples one
        after the other in one dimension
    input_lengths: how many of the T steps of each sample count, (N,) or (), a tensor or a tuple
    target_lengths: how many labels each target has
    blank: the class that stands for no label
    reduction: 'mean' (of the losses by target length), 'sum' or 'none'
    zero_infinity: losses of targets that are too long for their input are 0, not infinite, and have
        no gradient

Raises:
    IndexError: a label, or blank, that is no class
    ShapeError, DTypeError: operands that do not fit
    ValueError: a length that is negative or beyond its tensor
    NotImplementedError: a second derivative

Example:
    >>> import tapegrad as tg
    >>> log_probs = tg.zeros(2, 1, 2).log_softmax(2)
    >>> tg.nn.functional.ctc_loss(log_probs, tg.tensor([[1]]), (2,), (1,))
    tensor(0.2877))",
    +[](const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
        const Tensor& target_lengths, int64_t blank, std::string_view reduction,
        bool zero_infinity) {
      return ctc_loss(log_probs, targets, lengths_of("input_lengths", input_lengths),
                      lengths_of("target_lengths", target_lengths), blank, reduction,
                      zero_infinity);
    });
TAPEGRAD_OP(
    kNN,
    "ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, "
    "int blank=0, str reduction='mean', bool zero_infinity=False) -> Tensor",
    "",
    +[](const Tensor& log_probs, const Tensor& targets, IntSpan input_lengths,
        IntSpan target_lengths, int64_t blank, std::string_view reduction, bool zero_infinity) {
      return ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction,
                      zero_infinity);
    });

}  // namespace tapegrad
