// Updates of optimizers, each over several tensors at once: plain arrays of equal length a tensor.
// Knows no shapes, no strides and no state but what it is given.
#pragma once

#include <cstdint>

#include "core/launch.h"
#include "kernels/dispatch.h"
#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

inline constexpr int kMaxUpdateTensors = core::kMaxOperands / 3;

/// The tensors of one launch: operand k of tensor t is data[t * arity + k]; element i of tensor t
/// is number i + ends[t - 1] of all.
struct UpdateTensors {
  DType dtype;  // floating-point; half types compute in float
  int count;
  int arity;
  int64_t ends[kMaxUpdateTensors];
};

/// Operands: parameter, gradient, momentum buffer (null without momentum).
struct SgdParameters {
  UpdateTensors tensors;
  bool first[kMaxUpdateTensors];  // the buffer has no value yet
  double lr;
  double momentum;
  double dampening;
  double weight_decay;
  bool nesterov;
  bool maximize;
};

/// Operands: parameter, gradient, exp_avg, exp_avg_sq, and with amsgrad max_exp_avg_sq.
struct AdamParameters {
  UpdateTensors tensors;
  double step_size[kMaxUpdateTensors];   // lr / (1 - beta1^t)
  double root_scale[kMaxUpdateTensors];  // 1 / sqrt(1 - beta2^t): a factor, not a second division
  double beta1;
  double beta2;
  double eps;
  double weight_decay;  // 0 for none
  double shrink;        // decoupled: the parameter's factor, else 1
  bool amsgrad;
  bool maximize;
};

TAPEGRAD_KERNEL(sgd_update, SgdParameters)
TAPEGRAD_KERNEL(adam_update, AdamParameters)

}  // namespace tapegrad::kernels
