// What may be asked of saved tensors from outside of the tape. Knows no operation.
#pragma once

#include "autograd/node.h"

namespace tapegrad::autograd {

/// A node that holds tensors as an operation holds its inputs: by hooks, with a check of their
/// versions, and with their edges.
TAPEGRAD_API NodeRef keep_tensors(TensorList tensors);
/// Throws the error of a graph that is walked a second time.
[[noreturn]] TAPEGRAD_API void refuse_released(const Node& node);

}  // namespace tapegrad::autograd
