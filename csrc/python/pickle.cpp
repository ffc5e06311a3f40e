// Copies of Tensor objects: pickle, copy, deepcopy.
#include "python/pickle.h"

#include <cstring>
#include <vector>

#include "core/tensor_impl.h"
#include "python/construct.h"
#include "python/convert.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

namespace {

PyObject* int_tuple(IntSpan values) {
  Ref tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(values.size())));
  for (size_t i = 0; i < values.size(); ++i) {
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i),
                     checked(PyLong_FromLongLong(values[i])).release());
  }
  return tuple.release();
}

/// The attributes that users set, or null.
PyObject* attributes_of(PyObject* self) {
  PyObject* dict = reinterpret_cast<PyTensor*>(self)->dict;
  return dict && PyDict_GET_SIZE(dict) > 0 ? dict : nullptr;
}

void set_attributes(PyObject* self, PyObject* attributes) {
  const Ref dict = checked(PyObject_GetAttrString(self, "__dict__"));
  checked(PyDict_Update(dict.get(), attributes));
}

PyObject* reduce_ex(PyObject* self, PyObject*) {
  const Tensor x = unwrap(self).detach();
  const Tensor dense = core::is_dense(x) ? x : contiguous(x);
  const auto bytes =
      static_cast<Py_ssize_t>(dense.numel()) * static_cast<Py_ssize_t>(item_size(dense.dtype()));
  const Ref rebuild = imported_attribute("tapegrad._C", "_rebuild_tensor");
  const Ref data =
      checked(PyBytes_FromStringAndSize(static_cast<const char*>(dense.data()), bytes));
  const Ref arguments = checked(Py_BuildValue(
      "(OOONNO)", Py_TYPE(self), data.get(), dtype_object(x.dtype()), int_tuple(dense.sizes()),
      int_tuple(dense.strides()), unwrap(self).requires_grad() ? Py_True : Py_False));
  if (PyObject* attributes = attributes_of(self)) {
    return PyTuple_Pack(3, rebuild.get(), arguments.get(), attributes);
  }
  return PyTuple_Pack(2, rebuild.get(), arguments.get());
}

PyObject* rebuild_tensor(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<6> bound("_rebuild_tensor",
                       {"cls", "data", "dtype", "size", "stride", "requires_grad"}, 6, args, nargs,
                       kwnames);
  const std::optional<DType> dtype = as_dtype(bound[2]);
  if (!PyType_Check(bound[0]) ||
      !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(bound[0]), tensor_type) ||
      !PyBytes_Check(bound[1]) || !dtype || !is_int_list(bound[3]) || !is_int_list(bound[4])) {
    raise(PyExc_TypeError, "_rebuild_tensor(): a pickled tensor is malformed");
  }
  Dims sizes, strides;
  as_ints(bound[3], "_rebuild_tensor(): size", sizes);
  as_ints(bound[4], "_rebuild_tensor(): stride", strides);
  const int64_t numel = checked_numel("_rebuild_tensor", sizes);
  const auto bytes = static_cast<Py_ssize_t>(numel) * static_cast<Py_ssize_t>(item_size(*dtype));
  Tensor result = core::make_tensor(sizes, *dtype);
  if (bytes != PyBytes_GET_SIZE(bound[1]) || sizes.size() != strides.size()) {
    raise(PyExc_ValueError, "_rebuild_tensor(): %zd bytes for a tensor of %zd",
          PyBytes_GET_SIZE(bound[1]), bytes);
  }
  if (numel > 0 && !(IntSpan(strides) == result.strides())) {
    for (const int64_t stride : strides) {
      if (stride < 0) raise(PyExc_ValueError, "_rebuild_tensor(): negative stride");
    }
    Tensor ordered = core::make_tensor(sizes, strides, *dtype);
    if (!core::is_dense(ordered))
      raise(PyExc_ValueError, "_rebuild_tensor(): strides that do not fit the sizes");
    result = std::move(ordered);
  }
  if (bytes > 0)
    std::memcpy(result.data(), PyBytes_AS_STRING(bound[1]), static_cast<size_t>(bytes));
  if (checked(PyObject_IsTrue(bound[5]))) result.set_requires_grad(true);
  return wrap_as(reinterpret_cast<PyTypeObject*>(bound[0]), std::move(result));
}

PyObject* copy_method(PyObject* self) {
  const Tensor& x = unwrap(self);
  Tensor result = x.detach();
  if (x.requires_grad()) result.set_requires_grad(true);
  Ref object = checked(wrap_as(Py_TYPE(self), std::move(result)));
  if (PyObject* attributes = attributes_of(self)) set_attributes(object.get(), attributes);
  return object.release();
}

/// A copy of `x`. Tensors on one storage that are copied together stay on one storage, which `memo`
/// remembers.
Tensor copy_once(const Tensor& x, PyObject* memo) {
  core::Storage* storage = x->storage();
  if (storage->reference_count() == 1) return clone(x.detach());
  const Ref key = checked(Py_BuildValue("(sN)", "tapegrad.storage", PyLong_FromVoidPtr(storage)));
  Ref bytes = Ref::steal(PyObject_GetItem(memo, key.get()));
  if (!bytes) {
    if (!PyErr_ExceptionMatches(PyExc_KeyError)) raise_current();
    PyErr_Clear();
    const auto count = static_cast<int64_t>(storage->bytes());
    Tensor copied = core::make_tensor({count}, DType::UInt8);
    if (count > 0) std::memcpy(copied.data(), storage->data(), storage->bytes());
    bytes = checked(wrap(std::move(copied)));
    checked(PyObject_SetItem(memo, key.get(), bytes.get()));
  }
  core::Storage* copied = unwrap(bytes.get())->storage();
  copied->retain();
  return Tensor::adopt(
      new TensorImpl(copied, x.dtype(), x.sizes(), x.strides(), x.storage_offset()));
}

PyObject* deepcopy_method(PyObject* self, PyObject* memo) {
  const Ref key = checked(PyLong_FromVoidPtr(self));
  if (PyDict_Check(memo)) {
    if (PyObject* known = PyDict_GetItemWithError(memo, key.get())) return Py_NewRef(known);
    if (PyErr_Occurred()) raise_current();
  }
  const Tensor& x = unwrap(self);
  if (!x.is_leaf()) {
    throw GradError(
        "deepcopy: only tensors created explicitly by the user (graph leaves) support the deepcopy "
        "protocol; "
        "detach() the tensor first");
  }
  Tensor result = copy_once(x, memo);
  if (x.requires_grad()) result.set_requires_grad(true);
  if (const Tensor grad = x.grad(); grad.defined()) result.set_grad(clone(grad.detach()));
  Ref object = checked(wrap_as(Py_TYPE(self), std::move(result)));
  checked(PyObject_SetItem(memo, key.get(), object.get()));
  if (PyObject* attributes = attributes_of(self)) {
    const Ref deepcopy = imported_attribute("copy", "deepcopy");
    const Ref copied =
        checked(PyObject_CallFunctionObjArgs(deepcopy.get(), attributes, memo, nullptr));
    set_attributes(object.get(), copied.get());
  }
  return object.release();
}

}  // namespace

std::vector<PyMethodDef> pickle_methods() {
  std::vector<PyMethodDef> methods = {
      method<&reduce_ex>("__reduce_ex__", nullptr),
      method<&copy_method>("__copy__", nullptr),
      method<&deepcopy_method>("__deepcopy__", nullptr),
  };
  for (const PyMethodDef& each : construct_methods()) methods.push_back(each);
  return methods;
}

void add_pickle(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&rebuild_tensor>("_rebuild_tensor", "What unpickling a tensor calls."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
