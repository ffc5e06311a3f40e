// How the updates take their tensors: borrowed, one list an operand.
#pragma once

#include <span>

#include "tapegrad/tensor.h"

namespace tapegrad::optim {

/// Borrowed tensors, one for each parameter.
using TensorRefs = std::span<const Tensor* const>;

}  // namespace tapegrad::optim
