// Elementwise functions on many tangents at once, to second order. Knows rows by their names alone.
#pragma once

#include "kernels/elementwise.h"
#include "tapegrad/tensor.h"

namespace tapegrad::ops {

/// What row `op` makes of `rows`, of shape (R, *shape of the input): Note [Forward Laplacian].
/// `saved` is what the row saves, input or output. Undefined where the row has no loop for that, or
/// where tape or tangents watch.
Tensor push_curve(kernels::UnaryOp op, const kernels::LoopParameters& parameters,
                  const Tensor& saved, const Tensor& rows);

}  // namespace tapegrad::ops
