// Losses of distributions: Kullback-Leibler divergence, Poisson and Gaussian likelihood.
#include <cmath>
#include <numbers>

#include "autograd/lifted.h"
#include "core/text.h"
#include "core/warning.h"
#include "ops/loss_pair.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/losses.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;
using kernels::PairLoss;

namespace {

double positive_eps(const char* op, double eps) {
  if (eps > 0) return eps;
  throw ValueError(core::text(op, ": eps must be positive, got ", eps));
}

/// log(t!) by Stirling's formula, 0 for t <= 1.
Tensor log_factorial(const Tensor& t) {
  const Tensor counted = where(gt(t, Scalar(1)), t, Scalar(1.0));
  const Tensor stirling =
      counted * log(counted) - counted + Scalar(0.5) * log(Scalar(2 * std::numbers::pi) * counted);
  return where(gt(t, Scalar(1)), stirling, Scalar(0.0));
}

/// var with the shape of the input: one for each element, or one for each sample.
Tensor fitted_variance(const char* op, const Tensor& input, const Tensor& var) {
  if (var.sizes() == input.sizes() || var.dim() == 0) return var;
  if (var.dim() == input.dim() - 1 &&
      IntSpan(input.sizes()).first(static_cast<size_t>(var.dim())) == var.sizes())
    return unsqueeze(var, -1);
  bool fits = var.dim() == input.dim();
  int repeated = 0;
  for (int64_t d = 0; fits && d < var.dim(); ++d) {
    if (var.size(d) == input.size(d)) continue;
    fits = var.size(d) == 1;
    ++repeated;
  }
  if (fits && repeated == 1) return var;
  throw ShapeError(core::text(op, ": var of shape ", shape_string(var.sizes()),
                              " must have the shape of the input, ", shape_string(input.sizes()),
                              ", or the same with a last dimension of size 1 or without it"));
}

/// var, at least eps; the derivative passes as if nothing had been limited.
Tensor limited_variance(const char* op, const Tensor& var, double eps) {
  if (var->numel() == 0) return var;
  const Tensor values = autograd::bottom(var);
  const double least =
      fold(values, all_dims(values.dim()), false, kernels::FoldOp::Min, values.dtype())
          .item()
          .to_double();
  if (least < 0)
    throw ValueError(core::text(op, ": var has negative entries, the least is ", least));
  if (!(least < eps)) return var;
  const Tensor plain = var.detach();
  return var + (clamp(plain, Scalar(eps)) - plain);
}

}  // namespace

Tensor kl_div(const Tensor& input, const Tensor& target, std::string_view reduction,
              bool log_target) {
  constexpr const char* kOp = "kl_div";
  const PairLoss loss = log_target ? PairLoss::LogDivergence : PairLoss::Divergence;
  if (reduction != "batchmean") return compare(kOp, loss, input, target, reduction);
  const Tensor total = compare(kOp, loss, input, target, "sum");
  return input.dim() == 0 ? total : total / Scalar(static_cast<double>(input.size(0)));
}

Tensor poisson_nll_loss(const Tensor& input, const Tensor& target, bool log_input, bool full,
                        double eps, std::string_view reduction) {
  constexpr const char* kOp = "poisson_nll_loss";
  const PairLoss loss = log_input ? PairLoss::PoissonLog : PairLoss::Poisson;
  if (!full) return compare(kOp, loss, input, target, reduction, eps);
  const Reduction r = reduction_of(kOp, reduction);
  return reduce_loss(compare(kOp, loss, input, target, "none", eps) + log_factorial(target), r);
}

Tensor gaussian_nll_loss(const Tensor& input, const Tensor& target, const Tensor& var, bool full,
                         double eps, std::string_view reduction) {
  constexpr const char* kOp = "gaussian_nll_loss";
  const Reduction r = reduction_of(kOp, reduction);
  Tensor x = input, t = target;
  broadcast_pair(kOp, x, t);
  const Tensor v = limited_variance(kOp, fitted_variance(kOp, x, var), positive_eps(kOp, eps));
  const Tensor each = (log(v) + square(x - t) / v) * Scalar(0.5);
  return reduce_loss(full ? each + Scalar(0.5 * std::log(2 * std::numbers::pi)) : each, r);
}

// --- registration --------------------------------------------------------------------------------

TAPEGRAD_OP(
    kNN,
    "kl_div(Tensor input, Tensor target, bool? size_average=None, bool? reduce=None, "
    "str reduction='mean', bool log_target=False) -> Tensor",
    R"(Kullback-Leibler divergence of exp(input) from target: target * (log(target) - input).

Args:
    input: log-probabilities, a floating-point tensor
    target: probabilities of the same shape, or log-probabilities with log_target
    size_average, reduce: older forms of reduction
    reduction: 'batchmean' (the divergence: the sum by the number of samples), 'mean' (over all
        elements), 'sum' or 'none'
    log_target: whether target holds logarithms

Raises:
    ShapeError: shapes that would broadcast to one that neither has

Example:
    >>> import tapegrad as tg
    >>> p = tg.tensor([[0.5, 0.5]])
    >>> tg.nn.functional.kl_div(tg.tensor([[0.25, 0.75]]).log(), p, reduction="batchmean")
    tensor(0.1438))",
    +[](const Tensor& x, const Tensor& t, std::optional<bool> average, std::optional<bool> reduce,
        std::string_view reduction, bool log_target) {
      reduction = legacy_reduction(average, reduce, reduction);
      if (reduction == "mean") {
        core::warn(
            "kl_div: reduction='mean' divides by the number of elements; the divergence is "
            "reduction='batchmean', which divides by the number of samples");
      }
      return kl_div(x, t, reduction, log_target);
    });
TAPEGRAD_OP(
    kNN,
    "poisson_nll_loss(Tensor input, Tensor target, bool log_input=True, bool full=False, "
    "bool? size_average=None, float eps=1e-08, bool? reduce=None, "
    "str reduction='mean') -> Tensor",
    R"(Negative log-likelihood of counts under Poisson distributions.

exp(input) - target * input with log_input, else input - target * log(input + eps).

Args:
    input: the expected counts or, with log_input, their logarithms
    target: the counts, of the same shape
    log_input: whether input holds logarithms
    full: add Stirling's approximation of log(target!)
    size_average, reduce: older forms of reduction
    eps: keeps the logarithm finite; without log_input only
    reduction: 'mean', 'sum' or 'none'

Raises:
    ShapeError: shapes that would broadcast to one that neither has

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.poisson_nll_loss(tg.tensor([0.]), tg.tensor([2.]))
    tensor(1.))",
    +[](const Tensor& x, const Tensor& t, bool log_input, bool full, std::optional<bool> average,
        double eps, std::optional<bool> reduce, std::string_view reduction) {
      return poisson_nll_loss(x, t, log_input, full, eps,
                              legacy_reduction(average, reduce, reduction));
    });
TAPEGRAD_OP(
    kNN,
    "gaussian_nll_loss(Tensor input, Tensor target, Tensor var, bool full=False, "
    "float eps=1e-06, str reduction='mean') -> Tensor",
    R"(Negative log-likelihood of target under normal distributions of known variances.

0.5 * (log(var) + (input - target)**2 / var), with var of at least eps.

Args:
    input: the expected values
    target: the values seen, of the same shape
    var: the variances: a number, or a tensor of the input's shape, or of that with a last dimension
        of size 1 or without it
    full: add the constant 0.5 * log(2 pi)
    eps: the least variance; gradients of var pass as if there were none
    reduction: 'mean', 'sum' or 'none'

Raises:
    ShapeError: shapes that do not fit
    ValueError: a negative variance

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.gaussian_nll_loss(tg.tensor([0.]), tg.tensor([2.]), tg.tensor([1.]))
    tensor(2.))",
    +[](const Tensor& x, const Tensor& t, const Tensor& var, bool full, double eps,
        std::string_view reduction) { return gaussian_nll_loss(x, t, var, full, eps, reduction); });
TAPEGRAD_OP(
    kNN,
    "gaussian_nll_loss(Tensor input, Tensor target, float var, bool full=False, "
    "float eps=1e-06, str reduction='mean') -> Tensor",
    "",
    +[](const Tensor& x, const Tensor& t, double var, bool full, double eps,
        std::string_view reduction) {
      return gaussian_nll_loss(x, t, scalar_tensor(Scalar(var), x.dtype()), full, eps, reduction);
    });

}  // namespace tapegrad
