// Keeps one triangle of the planes of a tensor. Knows nothing of gradients.
#pragma once

#include "core/tensor_impl.h"

namespace tapegrad::kernels {

/// Copies the row-major planes of `source` into the row-major `destination` of its shape and dtype;
/// what lies above (below, with `upper`) the diagonal numbered `diagonal` becomes zero.
void copy_triangle(const Tensor& destination, const Tensor& source, int64_t diagonal, bool upper);

}  // namespace tapegrad::kernels
