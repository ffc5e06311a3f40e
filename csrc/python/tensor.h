// The Python object of a tensor: its layout, and the way between it and Tensor. See Note [Python
// ownership].
#pragma once

#include "core/tensor_impl.h"
#include "python/common.h"
#include "tapegrad/tensor.h"

namespace tapegrad::python {

struct PyTensor {
  PyObject_HEAD Tensor tensor;  // owned, or borrowed while the implementation owns this object
  PyObject* dict;
  PyObject* weakrefs;
};

extern PyTypeObject* tensor_type;

inline bool is_tensor(PyObject* object) {
  return Py_TYPE(object) == tensor_type || PyType_IsSubtype(Py_TYPE(object), tensor_type);
}
inline bool is_exact_tensor(PyObject* object) { return Py_TYPE(object) == tensor_type; }
/// The tensor of an object that is known to be one.
inline Tensor& unwrap(PyObject* object) { return reinterpret_cast<PyTensor*>(object)->tensor; }
/// The same after a check; `function` and `argument` are for the error.
const Tensor& expect_tensor(PyObject* object, const char* function, const char* argument);

/// A new reference to the tensor's object, made when there is none; None for an undefined tensor.
PyObject* wrap(Tensor tensor);
/// A new object of a subclass. The tensor must have none yet.
PyObject* wrap_as(PyTypeObject* type, Tensor tensor);
/// A new tuple.
PyObject* wrap_tuple(const Tensor* tensors, size_t count);

void add_tensor_type(PyObject* module);
/// An object that can be part of a reference cycle from now on is shown to the garbage collector.
void track(PyObject* tensor);

// The parts of the type, one file each.
void number_slots(std::vector<PyType_Slot>& slots);
PyObject* rich_compare(PyObject* a, PyObject* b, int op);
void add_storage_type(PyObject* module);
PyGetSetDef* tensor_getset();
std::vector<PyMethodDef> core_methods();
std::vector<PyMethodDef> conversion_methods();
std::vector<PyMethodDef> autograd_methods();
std::vector<PyMethodDef> interop_methods();
std::vector<PyMethodDef> pickle_methods();
PyObject* get_item(PyObject* self, PyObject* index);
int set_item(PyObject* self, PyObject* index, PyObject* value);
PyObject* tensor_repr(PyObject* self);
int get_buffer(PyObject* self, Py_buffer* view, int flags);
void release_buffer(PyObject* self, Py_buffer* view);
PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs);

/// Python hooks of a tensor or its node that nobody else can reach, for the garbage collector.
int visit_hooks(const Tensor& tensor, visitproc visit, void* arg);
void clear_hooks(const Tensor& tensor);

}  // namespace tapegrad::python
