// Dropout of whole channels, and dropout that keeps mean and variance of SELU's outputs.
#include <cmath>

#include "autograd/entry.h"
#include "autograd/inplace.h"
#include "core/text.h"
#include "core/warning.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using namespace ops;

void check(const char* op, const Tensor& x, double p) {
  if (!is_floating_point(x.dtype()))
    throw DTypeError(
        core::text(op, ": expected a floating-point tensor, got a ", core::describe(x)));
  if (!(p >= 0 && p <= 1))
    throw ValueError(core::text(op, ": expected a probability in [0, 1], got ", p));
}

/// 1 where something stays; one number for each sample and channel, with `by_channel`.
Tensor kept(const Tensor& x, double p, bool by_channel) {
  Dims sizes(x.sizes());
  if (by_channel) {
    if (x.dim() < 2) {
      throw ShapeError(
          core::text("feature dropout: expected at least 2 dimensions, got a ", core::describe(x)));
    }
    for (int d = 2; d < sizes.size(); ++d) sizes[d] = 1;
  }
  return to(ge(rand(sizes, nullptr, DType::Float64), Scalar(p)), x.dtype());
}

Tensor drop_channels(const Tensor& x, double p) {
  const double factor = p < 1 ? 1 / (1 - p) : 0;
  return x * (kept(x, p, true) * Scalar(factor));
}

/// Klambauer et al., "Self-normalizing neural networks", 2017.
Tensor drop_alpha(const Tensor& x, double p, bool by_channel) {
  constexpr double kAlpha = 1.7580993408473766;
  if (p == 1) return x * zeros_like(x);
  const double a = 1 / std::sqrt((kAlpha * kAlpha * p + 1) * (1 - p));
  const Tensor stays = kept(x, p, by_channel);
  const Tensor shift = (stays - Scalar(1)) * Scalar(kAlpha * a) + Scalar(kAlpha * a * p);
  return x * (stays * Scalar(a)) + shift;
}

using Drop = Tensor (*)(const Tensor&, double);

Tensor apply(const char* op, const Tensor& x, double p, bool training, bool inplace, Drop drop) {
  check(op, x, p);
  if (!training || p == 0) return x;
  Tensor result = drop(x, p);
  if (!inplace) return result;
  Tensor written = x;
  return autograd::assign_inplace(op, written, result);
}

/// `unbatched`: the number of dimensions that an input without a batch has.
Tensor drop_in(const char* op, const Tensor& x, double p, bool training, bool inplace,
               int64_t unbatched, int64_t batched) {
  check(op, x, p);
  if (x.dim() != unbatched && x.dim() != batched) {
    core::warn(core::text(op, ": expected an input of ", unbatched, " or ", batched,
                          " dimensions, got a ", core::describe(x)));
  }
  if (x.dim() != unbatched || unbatched == 3)  // PyTorch's dropout2d takes 3 dimensions as batched
    return apply(op, x, p, training, inplace, &drop_channels);
  if (!training || p == 0) return x;
  Tensor result = squeeze(drop_channels(unsqueeze(x, 0), p), 0);
  if (!inplace) return result;
  Tensor written = x;
  return autograd::assign_inplace(op, written, result);
}

#define TAPEGRAD_CHANNEL_DROPOUT(name, unbatched, batched, shapes, example)                       \
  TAPEGRAD_OP(                                                                                    \
      kNN, #name "(Tensor input, float p=0.5, bool training=True, bool inplace=False) -> Tensor", \
      "Sets whole channels to zero with probability p and scales the others by 1 / (1 - p).\n\n"  \
      "Args:\n    input: a floating-point tensor of shape " shapes                                \
      "\n    p: probability of a channel to be dropped\n    training: False returns input as it " \
      "is\n    inplace: write the result into input\n\nRaises:\n    ValueError: p outside [0, "   \
      "1]\n\nExample:\n    >>> import tapegrad as tg\n    >>> tg.nn.functional." #name            \
      "(tg.ones(" example "), 1.0).sum()\n    tensor(0.)",                                        \
      +[](const Tensor& x, double p, bool training, bool inplace) {                               \
        return drop_in(#name, x, p, training, inplace, unbatched, batched);                       \
      })
TAPEGRAD_CHANNEL_DROPOUT(dropout1d, 2, 3, "(C, L) or (N, C, L)", "2, 3, 4");
TAPEGRAD_CHANNEL_DROPOUT(dropout2d, 3, 4, "(N, C, H, W), or (N, C, L)", "2, 3, 4, 4");
TAPEGRAD_CHANNEL_DROPOUT(dropout3d, 4, 5, "(C, D, H, W) or (N, C, D, H, W)", "2, 3, 4, 4, 4");

#define TAPEGRAD_ALPHA_DROPOUT(name, what, by_channel)                                             \
  TAPEGRAD_OP(                                                                                     \
      kNN, #name "(Tensor input, float p=0.5, bool training=False, bool inplace=False) -> Tensor", \
      "Sets " what                                                                                 \
      " to SELU's negative saturation with probability p, and scales and shifts so that\nmean "    \
      "0 and variance 1 stay as they are (Klambauer et al., 2017).\n\nArgs:\n    input: a "        \
      "floating-point tensor\n    p: probability of being dropped\n    training: False returns "   \
      "input as it is\n    inplace: write the result into input\n\nRaises:\n    ValueError: p "    \
      "outside [0, 1]\n\nExample:\n    >>> import tapegrad as tg\n    >>> tg.nn.functional." #name \
      "(tg.ones(2, 2))\n    tensor([[1., 1.],\n            [1., 1.]])",                            \
      +[](const Tensor& x, double p, bool training, bool inplace) {                                \
        return apply(                                                                              \
            #name, x, p, training, inplace, +[](const Tensor& in, double probability) {            \
              return drop_alpha(in, probability, by_channel);                                      \
            });                                                                                    \
      })
TAPEGRAD_ALPHA_DROPOUT(alpha_dropout, "elements", false);
TAPEGRAD_ALPHA_DROPOUT(feature_alpha_dropout, "whole channels", true);

}  // namespace
}  // namespace tapegrad
