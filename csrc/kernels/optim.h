// Updates of optimizers, each over several tensors at once: plain arrays of equal length a tensor.
// Knows no shapes, no strides and no state but what it is given.
//
// Note [A rule of an optimizer]
// A rule is its formula for one element (kernels/isa/optim_rules.h), the numbers that the formula
// reads (below), and how these follow from the hyperparameters and the step count
// (optim/rules.cpp). Everything else (weight decay, maximize, half types, threads, layouts, checks)
// is shared. The numbers lie in memory that the kernel reads when it runs, as operand 0: a launch
// that is run again sees the learning rate of that time.
#pragma once

#include <cstdint>

#include "core/launch.h"
#include "kernels/dispatch.h"
#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

inline constexpr int kMaxUpdateTensors = (core::kMaxOperands - 1) / 2;
/// The numbers of one tensor: Common, then those of the rule.
inline constexpr int kUpdateNumbers = 12;
inline constexpr int kCommonNumbers = 3;

/// The tensors of one launch: operand 0 is kUpdateNumbers doubles a tensor, operand 1 + t * arity +
/// k is array k (parameter, gradient, state ...) of tensor t. Element i of tensor t is number i +
/// ends[t - 1] of all.
struct UpdateTensors {
  DType dtype;  // floating-point; half types compute in float
  int count;
  int arity;
  int64_t ends[kMaxUpdateTensors];
};

/// What all rules share: g = factor * gradient + weight_decay * (p *= shrink).
template <class C>
struct CommonNumbers {
  C factor;  // -1 to maximize, times the factor of clipping
  C weight_decay;
  C shrink;  // 1 - lr * weight_decay where the decay is decoupled, else 1
};

template <class C>
struct SgdNumbers {
  C step;  // -lr, as in all rules: what the direction is multiplied with
};
template <class C>
struct SgdMomentumNumbers {
  C step, momentum, taken, nesterov;
};
template <class C>
struct AdamNumbers {
  C weight1, beta2, weight2, eps, step;
  C root_scale;  // 1 / sqrt(1 - beta2^t): a factor, not a second division
};
template <class C>
struct AdamaxNumbers {
  C weight1, beta2, eps, step;
};
template <class C>
struct NadamNumbers {
  C weight1, beta2, weight2, eps, square_scale, gradient_step, mean_step;
};
template <class C>
struct RadamNumbers {
  C weight1, beta2, weight2, eps, step, adaptive;
};
template <class C>
struct RmspropNumbers {
  C alpha, weight, eps, step, momentum;
};
template <class C>
struct RpropNumbers {
  C minus, plus, smallest, largest;
};
template <class C>
struct AdagradNumbers {
  C eps, step;
};
template <class C>
struct AdadeltaNumbers {
  C rho, weight, eps, step;
};
template <class C>
struct AsgdNumbers {
  C decay, step, mu;
};
template <class C>
struct LionNumbers {
  C beta1, weight1, beta2, weight2, step;
};
template <class C>
struct LerpNumbers {
  C weight;
};

TAPEGRAD_KERNEL(update_sgd, UpdateTensors)
TAPEGRAD_KERNEL(update_sgd_momentum, UpdateTensors)
TAPEGRAD_KERNEL(update_adam, UpdateTensors)
TAPEGRAD_KERNEL(update_adam_amsgrad, UpdateTensors)
TAPEGRAD_KERNEL(update_adamax, UpdateTensors)
TAPEGRAD_KERNEL(update_nadam, UpdateTensors)
TAPEGRAD_KERNEL(update_radam, UpdateTensors)
TAPEGRAD_KERNEL(update_rmsprop, UpdateTensors)
TAPEGRAD_KERNEL(update_rmsprop_momentum, UpdateTensors)
TAPEGRAD_KERNEL(update_rmsprop_centered, UpdateTensors)
TAPEGRAD_KERNEL(update_rmsprop_centered_momentum, UpdateTensors)
TAPEGRAD_KERNEL(update_rprop, UpdateTensors)
TAPEGRAD_KERNEL(update_adagrad, UpdateTensors)
TAPEGRAD_KERNEL(update_adadelta, UpdateTensors)
TAPEGRAD_KERNEL(update_asgd, UpdateTensors)
TAPEGRAD_KERNEL(update_lion, UpdateTensors)
TAPEGRAD_KERNEL(update_lerp, UpdateTensors)

}  // namespace tapegrad::kernels
