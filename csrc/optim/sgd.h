// Stochastic gradient descent over many parameters at once: what tapegrad/optim.h and the bindings
// share.
#pragma once

#include "optim/refs.h"
#include "tapegrad/optim.h"

namespace tapegrad::optim {

/// Updates `params` (those with a defined gradient) in place. `momentum_buffers` is empty when
/// momentum is 0; `first` is empty or marks the buffers that have no value yet. Checks everything
/// before it writes.
TAPEGRAD_API void sgd_(TensorRefs params, TensorList grads, TensorRefs momentum_buffers,
                       std::span<const uint8_t> first, const SGDOptions& options);

}  // namespace tapegrad::optim
