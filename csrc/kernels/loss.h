// Parameters of the losses that compare two tensors element by element. Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

enum class PairLoss : uint8_t {
  Squared,             // (x - t)^2
  Absolute,            // |x - t|
  SmoothL1,            // d^2 / (2 beta) for |d| < beta, else |d| - beta / 2; beta = parameter
  Huber,               // d^2 / 2 for |d| <= delta, else delta (|d| - delta / 2); delta = parameter
  CrossEntropyLogits,  // of sigmoid(x) against t
  CrossEntropy,        // of x against t, logarithms limited to -100
  Divergence,          // t (log t - x)
  LogDivergence,       // exp(t) (t - x)
  PoissonLog,          // exp(x) - t x
  Poisson,             // x - t log(x + parameter)
  SoftMargin,          // log(1 + exp(-t x))
  HingeEmbedding,      // x where t = 1, max(0, parameter - x) where t = -1, else both
  MarginRanking,       // max(0, parameter - t x)
};

struct PairLossParameters {
  int64_t n = 0;
  PairLoss loss = PairLoss::Squared;
  bool is_double = false;
  bool sum = false;  // one number, divided by `divisor`, instead of one an element
  double divisor = 1;
  double parameter = 0;
};

/// d loss / dx, times g (one number, or one an element), times `scale`.
struct PairGradientParameters {
  int64_t n = 0;
  PairLoss loss = PairLoss::Squared;
  bool is_double = false;
  bool single_g = false;
  double scale = 1;
  double parameter = 0;
};

inline constexpr int64_t kPairChunk = 8192;
/// Numbers of scratch memory that `pair_loss` needs.
inline int64_t pair_loss_scratch(const PairLossParameters& p) {
  return p.sum && p.n > kPairChunk ? (p.n + kPairChunk - 1) / kPairChunk : 0;
}

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
TAPEGRAD_KERNEL(pair_loss, PairLossParameters)          // out, x, t, scratch
TAPEGRAD_KERNEL(pair_gradient, PairGradientParameters)  // out, g, x, t
}  // namespace tapegrad::kernels
