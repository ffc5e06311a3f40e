// The tape as Python sees it: node objects, hooks, the engine's functions.
#pragma once

#include <vector>

#include "autograd/node.h"
#include "python/tensor.h"

namespace tapegrad::python {

/// A tensor or a sequence of tensors (None: undefined); empty for None. Throws, naming function and
/// argument.
std::vector<Tensor> tensor_list(PyObject* object, const char* function, const char* argument);

struct PyNode {
  PyObject_HEAD autograd::NodeRef node;
};
extern PyTypeObject* node_type;
inline bool is_node(PyObject* object) {
  return Py_TYPE(object) == node_type || PyType_IsSubtype(Py_TYPE(object), node_type);
}
/// The node of an object that is known to be one; null for the context of a graph that was freed.
inline autograd::Node* raw_node(PyObject* object) {
  return reinterpret_cast<PyNode*>(object)->node.get();
}
/// The same; throws GradError instead of giving null.
autograd::Node& node_of(PyObject* object);
/// A new reference; None for an empty one.
PyObject* wrap_node(autograd::NodeRef node);
/// The context of a function written in Python (function.cpp); null for any other node.
PyObject* wrap_context(const autograd::NodeRef& node);
/// For the garbage collector: visits the context that a node owns.
int visit_context(const autograd::Node& node, visitproc visit, void* arg);
void add_function(PyObject* module);

// Hooks (hooks.cpp): methods that take a function and return a handle.
PyObject* register_tensor_hook(PyObject* self, PyObject* hook);
PyObject* register_leaf_hook(PyObject* self, PyObject* hook);
PyObject* register_node_hook(PyObject* self, PyObject* hook);
PyObject* register_node_prehook(PyObject* self, PyObject* hook);
void add_handle_type(PyObject* module);
void add_autograd(PyObject* module);

/// Saved tensors, their hooks, anomaly mode, the tape as rows (graph.cpp).
void add_graph(PyObject* module);
/// What a node has saved, as a new tuple.
PyObject* saved_tensors(autograd::Node& node);
/// Saved input or output number `index`; raises AttributeError for `attribute` when there is none.
PyObject* saved_tensor(autograd::Node& node, bool is_output, int index, const char* attribute);

}  // namespace tapegrad::python
