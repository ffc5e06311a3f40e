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

/// Saved tensors, their hooks, anomaly mode, the tape as rows (graph.cpp).
void add_graph(PyObject* module);
/// What a node has saved, as a new tuple.
PyObject* saved_tensors(autograd::Node& node);
/// Saved input or output number `index`; raises AttributeError for `attribute` when there is none.
PyObject* saved_tensor(autograd::Node& node, bool is_output, int index, const char* attribute);

}  // namespace tapegrad::python
