// Losses that compare two tensors element by element, by one kernel with its reduction, and the
// checks of their shapes. Knows no signature of PyTorch's.
#pragma once

#include <string_view>

#include "kernels/loss.h"
#include "ops/loss.h"

namespace tapegrad::ops {

/// Throws ShapeError where the pair would broadcast to a shape that neither has, warns and expands
/// where one merely repeats: Note [Losses that broadcast].
void broadcast_pair(const char* op, Tensor& input, Tensor& target);
/// Throws ShapeError unless both have the same shape.
void require_same_shape(const char* op, const Tensor& input, const Tensor& target);

/// The loss of tensors whose shapes were checked already, in their common dtype.
Tensor pair_loss(const char* op, kernels::PairLoss loss, const Tensor& input, const Tensor& target,
                 Reduction reduction, double parameter = 0);
/// broadcast_pair(), then pair_loss().
Tensor compare(const char* op, kernels::PairLoss loss, Tensor input, Tensor target,
               std::string_view reduction, double parameter = 0);

}  // namespace tapegrad::ops
