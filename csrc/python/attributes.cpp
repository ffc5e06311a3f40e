// Properties of Tensor, and the methods that only look at it.
#include <vector>

#include "autograd/inplace.h"
#include "autograd/meta.h"
#include "core/text.h"
#include "python/autograd.h"
#include "python/convert.h"
#include "python/functions.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

namespace {

PyObject* get_shape(PyObject* self, void*) { return make_size(unwrap(self).sizes()); }
PyObject* get_dtype(PyObject* self, void*) { return Py_NewRef(dtype_object(unwrap(self).dtype())); }
PyObject* get_device(PyObject*, void*) { return Py_NewRef(cpu_device()); }
PyObject* get_layout(PyObject*, void*) { return Py_NewRef(strided_layout()); }
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromLongLong(unwrap(self).dim()); }
PyObject* get_itemsize(PyObject* self, void*) {
  return PyLong_FromSize_t(item_size(unwrap(self).dtype()));
}
PyObject* get_nbytes(PyObject* self, void*) {
  return PyLong_FromLongLong(unwrap(self).numel() *
                             static_cast<int64_t>(item_size(unwrap(self).dtype())));
}
PyObject* get_version(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(unwrap(self)->version());
}
PyObject* get_true(PyObject*, void*) { Py_RETURN_TRUE; }
PyObject* get_false(PyObject*, void*) { Py_RETURN_FALSE; }
PyObject* get_none(PyObject*, void*) { Py_RETURN_NONE; }

PyObject* get_base(PyObject* self, void*) { return wrap(Tensor::share(unwrap(self)->base)); }

// --- gradients
// -------------------------------------------------------------------------------------------------------

PyObject* get_requires_grad(PyObject* self, void*) {
  return PyBool_FromLong(unwrap(self).requires_grad());
}

int set_requires_grad(PyObject* self, PyObject* value, void*) {
  if (!value) raise(PyExc_AttributeError, "requires_grad cannot be deleted");
  if (!PyBool_Check(value)) {
    raise(PyExc_RuntimeError, "requires_grad must be a bool, not %s", type_name(value).c_str());
  }
  unwrap(self).set_requires_grad(value == Py_True);
  return 0;
}

PyObject* get_is_leaf(PyObject* self, void*) { return PyBool_FromLong(unwrap(self).is_leaf()); }
PyObject* get_retains_grad(PyObject* self, void*) {
  return PyBool_FromLong(unwrap(self)->has(TensorImpl::kRetainsGrad));
}
PyObject* get_grad_fn(PyObject* self, void*) { return wrap_node(autograd::grad_fn(unwrap(self))); }

PyObject* get_grad(PyObject* self, void*) { return wrap(unwrap(self).grad()); }

int set_grad(PyObject* self, PyObject* value, void*) {
  if (value && value != Py_None && !is_tensor(value)) {
    raise(PyExc_TypeError, "grad: assigned a %s, expected a Tensor or None",
          type_name(value).c_str());
  }
  unwrap(self).set_grad(value && value != Py_None ? unwrap(value) : Tensor());
  return 0;
}

PyObject* get_data(PyObject* self, void*) { return wrap(unwrap(self).detach()); }

int set_data(PyObject* self, PyObject* value, void*) {
  if (!value || !is_tensor(value)) {
    raise(PyExc_TypeError, "data: assigned a %s, expected a Tensor",
          value ? type_name(value).c_str() : "nothing");
  }
  autograd::set_data(unwrap(self), unwrap(value));
  return 0;
}

// --- other orders of the dimensions
// ----------------------------------------------------------------------------------

PyObject* get_t(PyObject* self, void*) {
  const Tensor& x = unwrap(self);
  Dims order;
  for (int64_t dim = x.dim() - 1; dim >= 0; --dim) order.push_back(dim);
  return wrap(permute(x, order));
}

PyObject* get_mt(PyObject* self, void*) {
  const Tensor& x = unwrap(self);
  if (x.dim() < 2) {
    throw ShapeError(
        core::text("tensor.mT is only supported on matrices or batches of matrices. Got ", x.dim(),
                   "-D tensor."));
  }
  return wrap(transpose(x, -2, -1));
}

PyObject* get_h(PyObject* self, void* context) {
  const Tensor& x = unwrap(self);
  if (x.dim() > 2 || x.dim() == 1) {
    throw ShapeError(core::text("tensor.H is only supported on matrices (2-D tensors). Got ",
                                x.dim(), "-D tensor; use tensor.mH for batches of matrices"));
  }
  return get_t(self, context);
}

PyObject* get_real(PyObject* self, void*) { return Py_NewRef(self); }

template <auto Get>
PyGetSetDef property(const char* name, const char* doc) {
  return {name, guarded<Get>, nullptr, doc, nullptr};
}
template <auto Get, auto Set>
PyGetSetDef property(const char* name, const char* doc) {
  return {name, guarded<Get>, guarded<Set>, doc, nullptr};
}

// --- methods that only look
// ------------------------------------------------------------------------------------------

PyObject* size(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<1> bound("size", {"dim"}, 0, args, nargs, kwnames);
  const Tensor& x = unwrap(self);
  return bound.has(0) ? PyLong_FromLongLong(x.size(as_int(bound[0]))) : make_size(x.sizes());
}

PyObject* stride(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<1> bound("stride", {"dim"}, 0, args, nargs, kwnames);
  const IntSpan strides = unwrap(self).strides();
  if (bound.has(0)) {
    return PyLong_FromLongLong(
        strides[static_cast<size_t>(wrap_dim("stride", as_int(bound[0]), unwrap(self).dim()))]);
  }
  Ref tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(strides.size())));
  for (size_t i = 0; i < strides.size(); ++i) {
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i),
                     checked(PyLong_FromLongLong(strides[i])).release());
  }
  return tuple.release();
}

PyObject* dim(PyObject* self) { return PyLong_FromLongLong(unwrap(self).dim()); }
PyObject* numel(PyObject* self) { return PyLong_FromLongLong(unwrap(self).numel()); }
PyObject* storage_offset(PyObject* self) {
  return PyLong_FromLongLong(unwrap(self).storage_offset());
}
PyObject* data_ptr(PyObject* self) {
  const Tensor& x = unwrap(self);
  return PyLong_FromVoidPtr(x.numel() == 0 ? nullptr : x.data());
}
PyObject* element_size(PyObject* self) { return get_itemsize(self, nullptr); }
PyObject* is_floating(PyObject* self) {
  return PyBool_FromLong(is_floating_point(unwrap(self).dtype()));
}
PyObject* is_complex_(PyObject*) { Py_RETURN_FALSE; }
PyObject* is_signed(PyObject* self) {
  const DType dtype = unwrap(self).dtype();
  return PyBool_FromLong(dtype != DType::Bool && dtype != DType::UInt8);
}
PyObject* is_inference(PyObject* self) {
  return PyBool_FromLong(unwrap(self)->has(TensorImpl::kInference));
}
PyObject* is_pinned(PyObject*) { Py_RETURN_FALSE; }
PyObject* is_shared(PyObject*) { Py_RETURN_FALSE; }
PyObject* get_device_index(PyObject*) { return PyLong_FromLong(-1); }
PyObject* is_nonzero(PyObject* self) { return PyBool_FromLong(checked(PyObject_IsTrue(self))); }

bool channels_last(const Tensor& x, MemoryFormat format) {
  return x.dim() == (format == MemoryFormat::ChannelsLast ? 4 : 5) && is_channels_last(x);
}

PyObject* is_contiguous(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<1> bound("is_contiguous", {"memory_format"}, 0, args, nargs, kwnames);
  const Tensor& x = unwrap(self);
  if (!bound.has(0)) return PyBool_FromLong(x.is_contiguous());
  const std::optional<MemoryFormat> format = as_memory_format(bound[0]);
  if (!format)
    raise(PyExc_TypeError, "is_contiguous(): argument 'memory_format' must be memory_format");
  const bool last =
      *format == MemoryFormat::ChannelsLast || *format == MemoryFormat::ChannelsLast3d;
  return PyBool_FromLong(last ? channels_last(x, *format) : x.is_contiguous());
}

PyObject* is_same_size(PyObject* self, PyObject* other) {
  return PyBool_FromLong(unwrap(self).sizes() ==
                         expect_tensor(other, "is_same_size", "other").sizes());
}

PyObject* is_set_to(PyObject* self, PyObject* other) {
  const Tensor& a = unwrap(self);
  const Tensor& b = expect_tensor(other, "is_set_to", "tensor");
  return PyBool_FromLong(a->storage() == b->storage() && a->offset() == b->offset() &&
                         a.sizes() == b.sizes() && a.strides() == b.strides());
}

PyObject* item(PyObject* self) {
  const Tensor& x = unwrap(self);
  if (x.numel() != 1) {
    raise(PyExc_RuntimeError, "a Tensor with %lld elements cannot be converted to Scalar",
          static_cast<long long>(x.numel()));
  }
  return from_scalar(core::read_scalar(x.data(), x.dtype()));
}

PyObject* nested_list(const Tensor& x, int level, const char* data) {
  if (level == x.dim()) return checked(from_scalar(core::read_scalar(data, x.dtype()))).release();
  const auto at = static_cast<size_t>(level);
  const int64_t count = x.sizes()[at];
  const int64_t step = x.strides()[at] * static_cast<int64_t>(item_size(x.dtype()));
  Ref list = checked(PyList_New(static_cast<Py_ssize_t>(count)));
  for (int64_t i = 0; i < count; ++i) {
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i),
                    nested_list(x, level + 1, data + i * step));
  }
  return list.release();
}

PyObject* to_list(PyObject* self) {
  const Tensor& x = unwrap(self);
  return nested_list(x, 0, static_cast<const char*>(x.data()));
}

// --- the memory behind a tensor
// --------------------------------------------------------------------------------------

struct PyStorage {
  PyObject_HEAD core::Storage* storage;
};
PyTypeObject* storage_type = nullptr;

core::Storage* storage_of(PyObject* self) { return reinterpret_cast<PyStorage*>(self)->storage; }

void storage_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  storage_of(self)->release();
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* storage_data_ptr(PyObject* self) { return PyLong_FromVoidPtr(storage_of(self)->data()); }
PyObject* storage_nbytes(PyObject* self) { return PyLong_FromSize_t(storage_of(self)->bytes()); }
Py_ssize_t storage_length(PyObject* self) {
  return static_cast<Py_ssize_t>(storage_of(self)->bytes());
}

PyObject* untyped_storage(PyObject* self) {
  core::Storage* storage = unwrap(self)->storage();
  auto* object = reinterpret_cast<PyStorage*>(storage_type->tp_alloc(storage_type, 0));
  if (!object) raise_current();
  storage->retain();
  object->storage = storage;
  return reinterpret_cast<PyObject*>(object);
}

PyObject* sizeof_(PyObject* self) {
  return PyLong_FromSsize_t(Py_TYPE(self)->tp_basicsize +
                            static_cast<Py_ssize_t>(unwrap(self)->storage()->bytes()));
}

}  // namespace

void add_storage_type(PyObject* module) {
  static PyMethodDef methods[] = {
      method<&storage_data_ptr>("data_ptr", "The address of the first byte."),
      method<&storage_nbytes>("nbytes", "The number of bytes."),
      method<&storage_nbytes>("size", "The number of bytes."),
      {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_doc, const_cast<char*>("The memory that a tensor and its views share.")},
      {Py_tp_dealloc, reinterpret_cast<void*>(storage_dealloc)},
      {Py_sq_length, reinterpret_cast<void*>(storage_length)},
      {Py_tp_methods, methods},
      {0, nullptr}};
  PyType_Spec spec = {"tapegrad.UntypedStorage", sizeof(PyStorage), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  storage_type = make_type(spec);
  add_object(module, "UntypedStorage", Py_NewRef(reinterpret_cast<PyObject*>(storage_type)));
}

PyGetSetDef* tensor_getset() {
  static PyGetSetDef list[] = {
      property<&get_shape>("shape", "The sizes of the dimensions, as a Size."),
      property<&get_dtype>("dtype", "The type of the elements."),
      property<&get_device>("device", "Always device('cpu')."),
      property<&get_layout>("layout", "Always strided."),
      property<&get_ndim>("ndim", "The number of dimensions."),
      property<&get_itemsize>("itemsize", "Bytes of one element."),
      property<&get_nbytes>("nbytes", "Bytes of all elements."),
      property<&get_version>("_version", "How often the memory was written to in place."),
      property<&get_base>("_base", "The tensor that this one is a view of, or None."),
      property<&get_requires_grad, &set_requires_grad>("requires_grad",
                                                       "Whether operations on it are recorded."),
      property<&get_is_leaf>("is_leaf",
                             "Whether it was made by the user and not by a recorded operation."),
      property<&get_retains_grad>("retains_grad",
                                  "Whether a non-leaf keeps its gradient in .grad."),
      property<&get_grad_fn>("grad_fn", "The node of the tape that made it, or None."),
      property<&get_grad, &set_grad>("grad", "The accumulated gradient, or None."),
      property<&get_grad, &set_grad>("_grad", "The accumulated gradient, or None."),
      property<&get_data, &set_data>(
          "data", "The same memory, cut off from the tape; assigning replaces the memory."),
      property<&get_t>("T", "The dimensions in reverse."),
      property<&get_mt>("mT", "The last two dimensions exchanged."),
      property<&get_h>("H", "A matrix transposed."),
      property<&get_mt>("mH", "The last two dimensions exchanged."),
      property<&get_real>("real", "The tensor itself."),
      property<&get_true>("is_cpu", "Always True."),
      property<&get_false>("is_cuda", "Always False."),
      property<&get_false>("is_mps", "Always False."),
      property<&get_false>("is_xpu", "Always False."),
      property<&get_false>("is_meta", "Always False."),
      property<&get_false>("is_sparse", "Always False."),
      property<&get_false>("is_quantized", "Always False."),
      property<&get_false>("is_nested", "Always False."),
      property<&get_none>("name", "Always None."),
      {nullptr, nullptr, nullptr, nullptr, nullptr},
  };
  return list;
}

std::vector<PyMethodDef> core_methods() {
  return {
      method<&size>("size", "size(dim=None): the shape as a Size, or the size of one dimension."),
      method<&stride>(
          "stride",
          "stride(dim=None): elements from one entry to the next, along all dimensions or one."),
      method<&dim>("dim", "The number of dimensions."),
      method<&dim>("ndimension", "The number of dimensions."),
      method<&numel>("numel", "The number of elements."),
      method<&numel>("nelement", "The number of elements."),
      method<&storage_offset>("storage_offset", "Elements before the first one in the memory."),
      method<&data_ptr>("data_ptr", "The address of the first element; 0 for an empty tensor."),
      method<&element_size>("element_size", "Bytes of one element."),
      method<&is_floating>("is_floating_point", "Whether the dtype is a floating-point type."),
      method<&is_complex_>("is_complex", "Always False."),
      method<&is_signed>("is_signed", "Whether the dtype has negative values."),
      method<&is_inference>("is_inference", "Whether it was made under inference_mode()."),
      method<&is_pinned>("is_pinned", "Always False."),
      method<&is_shared>("is_shared", "Always False."),
      method<&get_device_index>("get_device", "Always -1, the CPU."),
      method<&is_nonzero>("is_nonzero", "The truth value of a one-element tensor."),
      method<&is_contiguous>(
          "is_contiguous",
          "is_contiguous(memory_format=contiguous_format): row-major without gaps?"),
      method<&is_same_size>("is_same_size", "is_same_size(other): equal shapes?"),
      method<&is_set_to>("is_set_to", "is_set_to(tensor): the same memory, shape and strides?"),
      method<&item>("item", "The value of a one-element tensor as a Python number."),
      method<&to_list>("tolist",
                       "The values as nested lists of Python numbers; a number for a 0-d tensor."),
      method<&untyped_storage>("untyped_storage",
                               "The memory that this tensor and its views share."),
      method<&sizeof_>("__sizeof__", nullptr),
  };
}

}  // namespace tapegrad::python
