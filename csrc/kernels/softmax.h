// Parameters of softmax, log-softmax, log-sum-exp and the fused cross-entropy. Tensors come as
// blocks (kernels/reduce.h); the classes are the rows. Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/reduce.h"

namespace tapegrad::kernels {

enum class SoftmaxOp : uint8_t { Softmax, LogSoftmax, LogSumExp };

struct SoftmaxParameters {
  BlockShape shape;  // of the input; the output is contiguous
  SoftmaxOp op = SoftmaxOp::Softmax;
  bool is_double = false;
};

/// g and y have the same shape and strides.
struct SoftmaxGradientParameters {
  BlockShape shape;
  SoftmaxOp op = SoftmaxOp::Softmax;  // or LogSoftmax
  bool is_double = false;
};

/// Per sample (a, c): loss = -weight[t] * log softmax(x)[t], 0 where t is ignore_index. Targets are
/// in range or ignored: the caller has looked. With `smoothing`, which goes without weights, that
/// share of the target is spread over all classes.
struct CrossEntropyParameters {
  BlockShape shape;
  int64_t ignore_index = -100;
  bool is_double = false;
  bool sum = false;  // one number instead of one a sample
  double scale = 1;  // of gradients and, with `sum`, of the loss
  double smoothing = 0;
};

/// The same for x = log-probabilities: a gather. With `backward`, its adjoint.
struct NllParameters {
  BlockShape shape;
  int64_t ignore_index = -100;
  bool is_double = false;
  bool backward = false;
};

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
TAPEGRAD_KERNEL(softmax, SoftmaxParameters)                   // out, x
TAPEGRAD_KERNEL(softmax_gradient, SoftmaxGradientParameters)  // out, g, y
// loss, gradient (may be null), x, target, weight (may be null), scratch: a * c numbers with `sum`
TAPEGRAD_KERNEL(cross_entropy, CrossEntropyParameters)
// forward: loss, x, target, weight (may be null); backward: gradient, g, target, weight
TAPEGRAD_KERNEL(nll, NllParameters)
}  // namespace tapegrad::kernels
