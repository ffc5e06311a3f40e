// The backward pass: walks the tape from the roots, newest node first. Knows nodes and gradients,
// no operation.
#pragma once

#include <atomic>

#include "tapegrad/autograd.h"

namespace tapegrad::autograd {

/// Called between nodes when set; may throw to stop the pass (the bindings look for Ctrl-C here).
TAPEGRAD_API extern std::atomic<void (*)()> interrupt_hook;

/// Whether the tape below `outputs` reaches a leaf other than those behind `inputs`.
TAPEGRAD_API bool reaches_other_leaves(TensorList outputs, TensorList inputs);

}  // namespace tapegrad::autograd
