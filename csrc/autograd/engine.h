// The backward pass: walks the tape from the roots, newest node first. Knows nodes and gradients,
// no operation.
#pragma once

#include <atomic>

#include "tapegrad/autograd.h"

namespace tapegrad::autograd {

class Node;

/// Called between nodes when set; may throw to stop the pass (the bindings look for Ctrl-C here).
TAPEGRAD_API extern std::atomic<void (*)()> interrupt_hook;

/// Whether the tape below `outputs` reaches a leaf other than those behind `inputs`.
TAPEGRAD_API bool reaches_other_leaves(TensorList outputs, TensorList inputs);

/// The number of the backward pass that runs on this thread, the innermost one; 0 for none.
TAPEGRAD_API uint64_t current_pass();
/// Whether that pass computes gradients of the node's outputs.
TAPEGRAD_API bool runs_in_current_pass(const Node& node);

/// A tensor that stands for output `output` of the node in functions that take tensors: of its
/// shape and dtype, with no values of its own.
TAPEGRAD_API Tensor edge_tensor(Node& node, int output);

}  // namespace tapegrad::autograd
