#include "python/interop.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/text.h"
#include "python/convert.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

namespace {

// --- buffers out
// -----------------------------------------------------------------------------------------------------

/// What numpy and struct call the dtype; null for bfloat16, which they do not know.
const char* buffer_format(DType dtype) {
  constexpr const char* formats[] = {"?", "B", "b", "h", "i", "l", "e", nullptr, "f", "d"};
  return formats[static_cast<int>(dtype)];
}

struct BufferGeometry {
  Tensor tensor;  // keeps the memory
  Dims shape, strides;
};

// --- buffers in
// ------------------------------------------------------------------------------------------------------

std::optional<DType> dtype_of_format(const char* format, Py_ssize_t item) {
  if (!format) return DType::UInt8;
  if (*format == '@' || *format == '=' || *format == '<') ++format;
  if (format[0] == '\0' || format[1] != '\0') return std::nullopt;
  switch (*format) {
    case '?':
      return DType::Bool;
    case 'B':
      return DType::UInt8;
    case 'b':
      return DType::Int8;
    case 'h':
      return DType::Int16;
    case 'i':
      return DType::Int32;
    case 'l':
    case 'q':
      if (item == 8) return DType::Int64;
      return item == 4 ? std::optional(DType::Int32) : std::nullopt;
    case 'e':
      return DType::Float16;
    case 'f':
      return DType::Float32;
    case 'd':
      return DType::Float64;
    default:
      return std::nullopt;
  }
}

void release_object_anywhere(void* object) { drop_anywhere(static_cast<PyObject*>(object)); }

/// A tensor on foreign memory. `release(context)` is called when the memory is not needed any more,
/// also on errors.
Tensor wrap_memory(void* data, DType dtype, IntSpan sizes, IntSpan strides, void (*release)(void*),
                   void* context) {
  int64_t last = 0;
  for (size_t i = 0; i < sizes.size(); ++i) last += (sizes[i] > 0 ? sizes[i] - 1 : 0) * strides[i];
  const auto bytes = static_cast<size_t>(last + 1) * item_size(dtype);
  core::StorageRef storage =
      core::StorageRef::adopt(core::Storage::wrap(data, bytes, release, context));
  storage->retain();
  return Tensor::adopt(new TensorImpl(storage.get(), dtype, sizes, strides, 0));
}

void warn_read_only() {
  checked(PyErr_WarnEx(
      PyExc_UserWarning,
      "The given NumPy array is not writable, and tapegrad does not support non-writable tensors. "
      "Writing to this tensor would change the (supposedly non-writable) array; copy the array to "
      "protect its data or make it writable before converting it to a tensor.",
      1));
}

// --- methods
// ---------------------------------------------------------------------------------------------------------

PyObject* to_numpy(PyObject* self) {
  const Tensor& x = unwrap(self);
  if (x->has(TensorImpl::kBatched)) core::refuse_lifted();
  if (x.requires_grad()) {
    raise(PyExc_RuntimeError,
          "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.");
  }
  if (!buffer_format(x.dtype())) {
    raise(PyExc_TypeError, "numpy(): NumPy has no %s; convert first, for example with .float()",
          dtype_name(x.dtype()));
  }
  return tensor_to_array(self);
}

PyObject* numpy_method(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<1> bound("numpy", {"force"}, 0, args, nargs, kwnames, 0);
  if (bound.has(0) && checked(PyObject_IsTrue(bound[0]))) {
    const Ref detached = checked(wrap(unwrap(self).detach()));
    return to_numpy(detached.get());
  }
  return to_numpy(self);
}

PyObject* array_method(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("__array__", {"dtype", "copy"}, 0, args, nargs, kwnames);
  Ref array = checked(to_numpy(self));
  const bool copy = bound.has(1) && checked(PyObject_IsTrue(bound[1]));
  if (bound.has(0)) {
    const Ref convert = checked(PyObject_GetAttrString(array.get(), "astype"));
    const Ref arguments = checked(PyTuple_Pack(1, bound[0]));
    const Ref keywords = checked(Py_BuildValue("{s:O}", "copy", copy ? Py_True : Py_False));
    return PyObject_Call(convert.get(), arguments.get(), keywords.get());
  }
  return copy ? PyObject_CallMethod(array.get(), "copy", nullptr) : array.release();
}

/// The result of a NumPy function that was called with a tensor.
PyObject* array_wrap(PyObject*, Arguments args, Py_ssize_t nargs, PyObject*) {
  if (nargs < 1)
    raise(PyExc_TypeError, "__array_wrap__() missing required argument 'array' (position 1)");
  return wrap(as_tensor(args[0]));
}

}  // namespace

PyObject* tensor_to_array(PyObject* self) {
  static PyObject* asarray = imported_attribute("numpy", "asarray").release();
  return checked(PyObject_CallOneArg(asarray, self)).release();
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  view->obj = nullptr;
  const Tensor& x = unwrap(self);
  const char* format = buffer_format(x.dtype());
  if (!format)
    raise(PyExc_BufferError, "a %s tensor has no buffer; convert it first", dtype_name(x.dtype()));
  if (x.requires_grad()) {
    raise(PyExc_BufferError, "a tensor that requires grad has no buffer; use detach()");
  }
  if ((flags & PyBUF_STRIDES) != PyBUF_STRIDES && !x.is_contiguous()) {
    raise(PyExc_BufferError, "the tensor is not contiguous; use contiguous()");
  }
  if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS && x.dim() > 1) {
    raise(PyExc_BufferError, "the tensor is not contiguous in Fortran order");
  }
  if ((flags & PyBUF_C_CONTIGUOUS) == PyBUF_C_CONTIGUOUS && !x.is_contiguous()) {
    raise(PyExc_BufferError, "the tensor is not contiguous; use contiguous()");
  }
  auto geometry = std::make_unique<BufferGeometry>(BufferGeometry{x, x.sizes(), x.strides()});
  const auto item = static_cast<Py_ssize_t>(item_size(x.dtype()));
  for (int64_t& stride : geometry->strides) stride *= item;
  view->buf = x.data();
  view->len = static_cast<Py_ssize_t>(x.numel()) * item;
  view->itemsize = item;
  view->readonly = 0;
  view->format = (flags & PyBUF_FORMAT) ? const_cast<char*>(format) : nullptr;
  view->ndim = static_cast<int>(x.dim());
  static_assert(sizeof(Py_ssize_t) == sizeof(int64_t));
  view->shape =
      (flags & PyBUF_ND) ? reinterpret_cast<Py_ssize_t*>(geometry->shape.data()) : nullptr;
  view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES
                      ? reinterpret_cast<Py_ssize_t*>(geometry->strides.data())
                      : nullptr;
  view->suboffsets = nullptr;
  view->internal = geometry.release();
  view->obj = Py_NewRef(self);
  return 0;
}

void release_buffer(PyObject*, Py_buffer* view) {
  delete static_cast<BufferGeometry*>(view->internal);
}

Tensor tensor_from_array(PyObject* array, bool warn) {
  Ref source = Ref::share(array);
  if (!PyObject_CheckBuffer(array))
    source = checked(PyObject_CallMethod(array, "__array__", nullptr));
  Ref memory = Ref::steal(PyMemoryView_FromObject(source.get()));
  if (!memory) {  // datetimes and the like
    PyErr_Clear();
    raise(PyExc_TypeError,
          "can't convert a %s of this dtype to a tensor; supported are float64, float32, float16, "
          "int64, "
          "int32, int16, int8, uint8 and bool",
          type_name(array).c_str());
  }
  const Py_buffer* view = PyMemoryView_GET_BUFFER(memory.get());
  const std::optional<DType> dtype = dtype_of_format(view->format, view->itemsize);
  if (!dtype) {
    const Ref name = Ref::steal(PyObject_GetAttrString(source.get(), "dtype"));
    PyErr_Clear();
    raise(PyExc_TypeError,
          "can't convert %s of dtype %S to a tensor; supported are float64, float32, float16, "
          "int64, int32, "
          "int16, int8, uint8 and bool",
          type_name(array).c_str(), name ? name.get() : Py_None);
  }
  Dims sizes, strides;
  bool empty = false;
  for (int i = 0; i < view->ndim; ++i) {
    sizes.push_back(view->shape[i]);
    empty |= view->shape[i] == 0;
  }
  const Dims contiguous = contiguous_strides(sizes);
  for (int i = 0; i < view->ndim; ++i) {
    if (empty || view->shape[i] == 1 || !view->strides) {
      strides.push_back(contiguous[i]);
      continue;
    }
    if (view->strides[i] < 0) {
      raise(PyExc_ValueError,
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides "
            "are not currently supported. (You can probably work around this by making a copy of "
            "your "
            "array with array.copy().)");
    }
    if (view->strides[i] % view->itemsize != 0) {
      raise(PyExc_ValueError,
            "given numpy array strides not a multiple of the element byte size; make a copy with "
            "array.copy()");
    }
    strides.push_back(view->strides[i] / view->itemsize);
  }
  if (view->readonly && warn) warn_read_only();
  void* data = view->buf;
  return wrap_memory(data, *dtype, sizes, strides, release_object_anywhere, memory.release());
}

Tensor tensor_from_bytes(PyObject* buffer, DType dtype, int64_t count, int64_t offset) {
  Ref memory = checked(PyMemoryView_FromObject(buffer));
  const Py_buffer* view = PyMemoryView_GET_BUFFER(memory.get());
  if (!PyBuffer_IsContiguous(view, 'C'))
    raise(PyExc_ValueError, "frombuffer: the buffer is not contiguous");
  const auto item = static_cast<int64_t>(item_size(dtype));
  const int64_t available = view->len - offset;
  if (offset < 0 || offset > view->len) {
    raise(PyExc_ValueError,
          "frombuffer: offset (%lld bytes) must be non-negative and no greater than buffer length "
          "(%zd bytes)",
          static_cast<long long>(offset), view->len);
  }
  if (count < 0) {
    if (available % item != 0) {
      raise(PyExc_ValueError,
            "frombuffer: buffer length (%lld bytes) after offset (%lld bytes) must be a multiple "
            "of element "
            "size (%lld)",
            static_cast<long long>(view->len), static_cast<long long>(offset),
            static_cast<long long>(item));
    }
    count = available / item;
  } else if (count > available / item) {
    raise(PyExc_ValueError,
          "frombuffer: requested %lld elements of %lld bytes at offset %lld, but the buffer has "
          "%zd bytes",
          static_cast<long long>(count), static_cast<long long>(item),
          static_cast<long long>(offset), view->len);
  }
  if (view->readonly) warn_read_only();
  char* data = static_cast<char*>(view->buf) + offset;
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(item) != 0) {
    raise(PyExc_ValueError, "frombuffer: the memory is not aligned for %s at offset %lld",
          dtype_name(dtype), static_cast<long long>(offset));
  }
  const int64_t stride = 1;
  return wrap_memory(data, dtype, {&count, 1}, {&stride, 1}, release_object_anywhere,
                     memory.release());
}

// --- DLPack
// ----------------------------------------------------------------------------------------------------------

namespace {

// The structures of DLPack 1.0 (https://dmlc.github.io/dlpack/latest/c_api.html).
struct DlDevice {
  int32_t type, id;
};
struct DlDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DlTensor {
  void* data;
  DlDevice device;
  int32_t ndim;
  DlDataType dtype;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};
struct DlManaged {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManaged*);
};
struct DlManagedVersioned {
  struct {
    uint32_t major, minor;
  } version;
  void* context;
  void (*deleter)(DlManagedVersioned*);
  uint64_t flags;
  DlTensor tensor;
};
constexpr int32_t kDlCpu = 1;
constexpr uint64_t kDlReadOnly = 1;
enum DlCode : uint8_t { kDlInt, kDlUInt, kDlFloat, kDlOpaque, kDlBFloat, kDlComplex, kDlBool };

DlDataType dl_type(DType dtype) {
  const auto bits = static_cast<uint8_t>(8 * item_size(dtype));
  if (dtype == DType::Bool) return {kDlBool, 8, 1};
  if (dtype == DType::UInt8) return {kDlUInt, 8, 1};
  if (dtype == DType::BFloat16) return {kDlBFloat, 16, 1};
  return {is_floating_point(dtype) ? kDlFloat : kDlInt, bits, 1};
}

DType dtype_of_dl(DlDataType type) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const DlDataType known = dl_type(static_cast<DType>(i));
    if (known.code == type.code && known.bits == type.bits && type.lanes == 1)
      return static_cast<DType>(i);
  }
  raise(PyExc_TypeError, "from_dlpack: no dtype for DLPack code %d with %d bits and %d lanes",
        type.code, type.bits, type.lanes);
}

/// A tensor handed out, with the arrays that the structure points to.
template <class Managed>
struct Exported {
  Managed managed{};
  Tensor tensor;
  Dims shape, strides;
};

template <class Managed>
Managed* export_managed(const Tensor& x) {
  auto* holder = new Exported<Managed>{{}, x, x.sizes(), x.strides()};
  Managed& managed = holder->managed;
  managed.tensor = {x.data(),
                    {kDlCpu, 0},
                    static_cast<int32_t>(x.dim()),
                    dl_type(x.dtype()),
                    holder->shape.data(),
                    holder->strides.data(),
                    0};
  managed.context = holder;
  managed.deleter = [](Managed* self) { delete static_cast<Exported<Managed>*>(self->context); };
  return &managed;
}

/// Frees what nobody took: whoever takes a capsule's contents renames it.
template <class Managed>
void destroy_capsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
  if (managed && managed->deleter) managed->deleter(managed);
}

PyObject* to_dlpack(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<4> bound("__dlpack__", {"stream", "max_version", "dl_device", "copy"}, 0, args, nargs,
                       kwnames, 1);
  Tensor x = unwrap(self);
  if (x.requires_grad()) {
    raise(PyExc_BufferError, "Can't export tensors that require gradient, use tensor.detach()");
  }
  if (bound.has(2)) {
    int type = 0, id = 0;
    if (!PyArg_ParseTuple(bound[2], "ii", &type, &id)) raise_current();
    if (type != kDlCpu)
      raise(PyExc_BufferError, "__dlpack__: only the CPU, (1, 0), can be asked for");
  }
  if (bound.has(3) && checked(PyObject_IsTrue(bound[3]))) x = clone(x);
  bool versioned = false;
  if (bound.has(1)) {
    if (!PyTuple_Check(bound[1]) || PyTuple_GET_SIZE(bound[1]) != 2) {
      raise(PyExc_TypeError, "__dlpack__(): max_version must be a tuple (major, minor)");
    }
    versioned = as_int(PyTuple_GET_ITEM(bound[1], 0)) >= 1;
  }
  if (versioned) {
    DlManagedVersioned* managed = export_managed<DlManagedVersioned>(x);
    managed->version = {1, 0};
    return PyCapsule_New(managed, "dltensor_versioned", [](PyObject* capsule) {
      destroy_capsule<DlManagedVersioned>(capsule, "dltensor_versioned");
    });
  }
  return PyCapsule_New(export_managed<DlManaged>(x), "dltensor",
                       [](PyObject* capsule) { destroy_capsule<DlManaged>(capsule, "dltensor"); });
}

PyObject* dlpack_device(PyObject*) { return Py_BuildValue("(ii)", kDlCpu, 0); }

template <class Managed>
Tensor import_managed(Managed* managed) {
  const auto release = [](void* context) {
    auto* taken = static_cast<Managed*>(context);
    if (taken->deleter) taken->deleter(taken);
  };
  // Until the storage exists, errors must free what was taken.
  std::unique_ptr<Managed, void (*)(void*)> guard(managed, release);
  const DlTensor& source = managed->tensor;
  if (source.device.type != kDlCpu) {
    throw UnsupportedError(core::text("from_dlpack: the data is on device type ",
                                      source.device.type, ", not on the CPU (1)"));
  }
  const DType dtype = dtype_of_dl(source.dtype);
  const Dims sizes(IntSpan(source.shape, static_cast<size_t>(source.ndim)));
  Dims strides = contiguous_strides(sizes);
  if (source.strides && checked_numel("from_dlpack", sizes) > 0) {
    for (int i = 0; i < sizes.size(); ++i) {
      if (sizes[i] == 1) continue;
      if (source.strides[i] < 0) {
        throw ValueError("from_dlpack: negative strides are not supported; copy the array first");
      }
      strides[i] = source.strides[i];
    }
  }
  char* data = static_cast<char*>(source.data) + source.byte_offset;
  guard.release();
  return wrap_memory(data, dtype, sizes, strides, release, managed);
}

Tensor import_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    auto* managed =
        static_cast<DlManagedVersioned*>(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
    if (managed->version.major > 1) {
      raise(PyExc_BufferError, "from_dlpack: the data has DLPack version %u.%u, 1.x is supported",
            managed->version.major, managed->version.minor);
    }
    checked(PyCapsule_SetName(capsule, "used_dltensor_versioned"));
    const bool read_only = managed->flags & kDlReadOnly;
    Tensor result = import_managed(managed);
    return read_only ? clone(result) : result;
  }
  if (PyCapsule_IsValid(capsule, "dltensor")) {
    auto* managed = static_cast<DlManaged*>(PyCapsule_GetPointer(capsule, "dltensor"));
    checked(PyCapsule_SetName(capsule, "used_dltensor"));
    return import_managed(managed);
  }
  raise(PyExc_RuntimeError,
        "from_dlpack: got a capsule that is no DLPack tensor or was consumed before");
}

PyObject* from_dlpack(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<3> bound("from_dlpack", {"ext_tensor", "device", "copy"}, 1, args, nargs, kwnames, 1);
  expect_cpu(bound[1], "from_dlpack");
  const bool copy = bound.has(2) && checked(PyObject_IsTrue(bound[2]));
  PyObject* source = bound[0];
  Ref capsule;
  if (PyCapsule_CheckExact(source)) {
    capsule = Ref::share(source);
  } else {
    if (!PyObject_HasAttrString(source, "__dlpack__")) {
      raise(PyExc_TypeError,
            "from_dlpack(): expected an object with __dlpack__ or a capsule, got %s",
            type_name(source).c_str());
    }
    const Ref device = checked(PyObject_CallMethod(source, "__dlpack_device__", nullptr));
    const Ref type = checked(PySequence_GetItem(device.get(), 0));
    if (as_int(type.get()) != kDlCpu) {
      throw UnsupportedError("from_dlpack: the data is not on the CPU; move it there first");
    }
    const Ref function = checked(PyObject_GetAttrString(source, "__dlpack__"));
    const Ref none = checked(PyTuple_New(0));
    const Ref keywords = checked(Py_BuildValue("{s:(ii)}", "max_version", 1, 0));
    capsule = Ref::steal(PyObject_Call(function.get(), none.get(), keywords.get()));
    if (!capsule) {
      if (!PyErr_ExceptionMatches(PyExc_TypeError)) raise_current();
      PyErr_Clear();  // a producer from before DLPack 1.0
      capsule = checked(PyObject_CallNoArgs(function.get()));
    }
  }
  Tensor result = import_capsule(capsule.get());
  return wrap(copy ? clone(result) : result);
}

}  // namespace

std::vector<PyMethodDef> interop_methods() {
  return {
      method<&numpy_method>(
          "numpy",
          "numpy(force=False): an array that shares the tensor's memory. force detaches first."),
      method<&array_method>("__array__", "The values as a NumPy array."),
      method<&array_wrap>("__array_wrap__", nullptr),
      method<&to_dlpack>("__dlpack__", "A DLPack capsule on the tensor's memory."),
      method<&dlpack_device>("__dlpack_device__", "(1, 0): the CPU."),
  };
}

void add_interop(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&from_dlpack>(
          "from_dlpack",
          "from_dlpack(ext_tensor, *, device=None, copy=None)\n\n"
          "A tensor on the memory of any object with __dlpack__, or of a DLPack capsule."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
