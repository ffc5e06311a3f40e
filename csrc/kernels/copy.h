// Copying with conversion, broadcasting and any strides.
#pragma once

#include "tapegrad/tensor.h"

namespace tapegrad::kernels {

/// destination[...] = source[...], broadcast to the destination's shape and converted to its dtype.
/// The two must not overlap partially. No tape, no version.
void copy_values(const Tensor& destination, const Tensor& source);

/// destination[...] = value.
void fill_values(const Tensor& destination, Scalar value);

}  // namespace tapegrad::kernels
