// The tape as Python sees it: node objects, hooks, the engine's functions.
#pragma once

#include "autograd/node.h"
#include "python/tensor.h"

namespace tapegrad::python {

/// A new reference; None for an empty one.
PyObject* wrap_node(autograd::NodeRef node);
void add_autograd(PyObject* module);

}  // namespace tapegrad::python
