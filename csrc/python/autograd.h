// The tape as Python sees it: node objects, hooks, the engine's functions.
#pragma once

#include <vector>

#include "autograd/node.h"
#include "python/tensor.h"

namespace tapegrad::python {

/// A tensor or a sequence of tensors (None: undefined); empty for None. Throws, naming function and
/// argument.
std::vector<Tensor> tensor_list(PyObject* object, const char* function, const char* argument);
/// A new reference; None for an empty one.
PyObject* wrap_node(autograd::NodeRef node);
void add_autograd(PyObject* module);

}  // namespace tapegrad::python
