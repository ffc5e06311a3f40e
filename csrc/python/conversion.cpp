// Methods of Tensor that convert: to() and its kin, new_*(), orders of memory, text.
#include <string>
#include <vector>

#include "core/text.h"
#include "python/convert.h"
#include "python/functions.h"
#include "python/repr.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

namespace {

bool truthy(PyObject* object) {
  return object && object != Py_None && checked(PyObject_IsTrue(object));
}

/// The tensor itself when nothing changes, so that identity holds.
PyObject* converted(PyObject* self, DType dtype, bool copy, PyObject* memory_format) {
  const Tensor& x = unwrap(self);
  if (x.dtype() == dtype && !copy && (!memory_format || memory_format == Py_None))
    return Py_NewRef(self);
  Tensor result;
  {
    const ReleaseGil released(x.numel() >= kReleaseGilElements);
    result = tapegrad::to(x, dtype, copy);
  }
  if (memory_format && memory_format != Py_None) {
    const std::optional<MemoryFormat> format = as_memory_format(memory_format);
    if (!format) raise(PyExc_TypeError, "to(): argument 'memory_format' must be memory_format");
    result = with_memory_format(result, *format);
  }
  if (result.is_same(x)) return Py_NewRef(self);
  return wrap(std::move(result));
}

/// to(dtype), to(device), to(device, dtype), to(other), each with non_blocking, copy,
/// memory_format.
PyObject* to_method(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  PyObject *dtype = nullptr, *device = nullptr, *copy = nullptr, *memory_format = nullptr;
  Py_ssize_t at = 0;
  if (nargs > 0) {
    if (is_tensor(args[0])) {
      dtype = dtype_object(unwrap(args[0]).dtype());
      at = 1;
    } else if (as_dtype(args[0])) {
      dtype = args[0];
      at = 1;
    } else {
      if (args[0] != Py_None && !is_device_like(args[0]) && !PyLong_Check(args[0])) {
        raise(PyExc_TypeError, "to(): expected a dtype, a device or a Tensor, got %s",
              type_name(args[0]).c_str());
      }
      device = args[0];
      at = 1;
      if (nargs > 1 && (as_dtype(args[1]) || args[1] == Py_None)) {
        dtype = args[1];
        at = 2;
      }
    }
  }
  PyObject* non_blocking = nullptr;
  if (at < nargs) non_blocking = args[at++];
  if (at < nargs) copy = args[at++];
  if (at < nargs)
    raise(PyExc_TypeError, "to(): takes at most 4 positional arguments, got %zd", nargs);
  static_cast<void>(non_blocking);
  const Py_ssize_t keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  for (Py_ssize_t k = 0; k < keywords; ++k) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, k);
    PyObject* value = args[nargs + k];
    const auto is = [name](const char* text) {
      return PyUnicode_CompareWithASCIIString(name, text) == 0;
    };
    if (is("dtype")) {
      dtype = value;
    } else if (is("device")) {
      device = value;
    } else if (is("copy")) {
      copy = value;
    } else if (is("memory_format")) {
      memory_format = value;
    } else if (is("other")) {
      dtype = dtype_object(expect_tensor(value, "to", "other").dtype());
    } else if (!is("non_blocking")) {
      raise(PyExc_TypeError, "to() got an unexpected keyword argument '%U'", name);
    }
  }
  expect_cpu(device, "to");
  DType wanted = unwrap(self).dtype();
  if (dtype && dtype != Py_None) {
    const std::optional<DType> found = as_dtype(dtype);
    if (!found)
      raise(PyExc_TypeError, "to(): argument 'dtype' must be dtype, not %s",
            type_name(dtype).c_str());
    wanted = *found;
  }
  return converted(self, wanted, truthy(copy), memory_format);
}

template <DType D>
PyObject* cast(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<1> bound(dtype_name(D), {"memory_format"}, 0, args, nargs, kwnames, 0);
  return converted(self, D, false, bound[0]);
}

PyObject* cpu(PyObject* self, Arguments, Py_ssize_t, PyObject*) { return Py_NewRef(self); }

PyObject* cuda(PyObject*, Arguments, Py_ssize_t, PyObject*) {
  throw UnsupportedError(
      "cuda: tapegrad computes on the CPU only; guard the call with `if cuda.is_available():`");
}

PyObject* pin_memory(PyObject* self, Arguments, Py_ssize_t, PyObject*) { return Py_NewRef(self); }

constexpr const char* kTypeNames[] = {"BoolTensor",  "ByteTensor",  "CharTensor", "ShortTensor",
                                      "IntTensor",   "LongTensor",  "HalfTensor", "BFloat16Tensor",
                                      "FloatTensor", "DoubleTensor"};

PyObject* type_method(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<2> bound("type", {"dtype", "non_blocking"}, 0, args, nargs, kwnames);
  if (!bound.has(0)) {
    return PyUnicode_FromFormat("tapegrad.%s", kTypeNames[static_cast<int>(unwrap(self).dtype())]);
  }
  if (const std::optional<DType> dtype = as_dtype(bound[0]))
    return converted(self, *dtype, false, nullptr);
  std::string name;
  if (PyUnicode_Check(bound[0])) name = to_string(bound[0]);
  if (PyType_Check(bound[0]))
    name = to_string(checked(PyObject_GetAttrString(bound[0], "__name__")).get());
  name.erase(0, name.rfind('.') + 1);
  for (int i = 0; i < kDTypeCount; ++i) {
    if (name == kTypeNames[i]) return converted(self, static_cast<DType>(i), false, nullptr);
  }
  raise(PyExc_TypeError, "type(): expected a dtype or the name of a tensor type, got %R", bound[0]);
}

PyObject* type_as(PyObject* self, PyObject* other) {
  return converted(self, expect_tensor(other, "type_as", "other").dtype(), false, nullptr);
}

PyObject* contiguous_method(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<1> bound("contiguous", {"memory_format"}, 0, args, nargs, kwnames);
  const Tensor& x = unwrap(self);
  MemoryFormat format = MemoryFormat::Contiguous;
  if (bound.has(0)) {
    const std::optional<MemoryFormat> given = as_memory_format(bound[0]);
    if (!given)
      raise(PyExc_TypeError, "contiguous(): argument 'memory_format' must be memory_format");
    format = *given;
  }
  Tensor result = with_memory_format(x, format);
  return result.is_same(x) ? Py_NewRef(self) : wrap(std::move(result));
}

PyObject* view_as(PyObject* self, PyObject* other) {
  return wrap(view(unwrap(self), expect_tensor(other, "view_as", "other").sizes()));
}
PyObject* reshape_as(PyObject* self, PyObject* other) {
  return wrap(reshape(unwrap(self), expect_tensor(other, "reshape_as", "other").sizes()));
}
PyObject* expand_as(PyObject* self, PyObject* other) {
  return wrap(expand(unwrap(self), expect_tensor(other, "expand_as", "other").sizes()));
}

// --- new_*()
// ---------------------------------------------------------------------------------------------------------

struct NewOptions {
  DType dtype;
  bool requires_grad;
};

/// The keywords that all new_*() share, from position `first` on: dtype, device, requires_grad,
/// layout, pin_memory.
NewOptions new_options(const char* function, PyObject* self, PyObject* const* values) {
  NewOptions options{unwrap(self).dtype(), truthy(values[2])};
  if (values[0] && values[0] != Py_None) {
    const std::optional<DType> dtype = as_dtype(values[0]);
    if (!dtype)
      raise(PyExc_TypeError, "%s(): argument 'dtype' must be dtype, not %s", function,
            type_name(values[0]).c_str());
    options.dtype = *dtype;
  }
  expect_cpu(values[1], function);
  return options;
}

PyObject* finish_new(Tensor result, const NewOptions& options) {
  if (options.requires_grad) result.set_requires_grad(true);
  return wrap(std::move(result));
}

/// Sizes given as one sequence or as separate integers, then only keywords.
template <class Make>
PyObject* new_sized(const char* function, PyObject* self, Arguments args, Py_ssize_t nargs,
                    PyObject* kwnames, Make make) {
  Dims sizes;
  PyObject* values[6] = {};
  static const char* names[] = {"dtype", "device", "requires_grad", "layout", "pin_memory", "size"};
  bind(function, names, 6, 0, 0, args + nargs, 0, kwnames, values);
  const std::string what = std::string(function) + "(): argument 'size'";
  if (values[5]) {
    if (!is_int_list(values[5])) raise(PyExc_TypeError, "%s must be tuple of ints", what.c_str());
    as_ints(values[5], what.c_str(), sizes);
  } else if (nargs == 1 && is_int_list(args[0])) {
    as_ints(args[0], what.c_str(), sizes);
  } else {
    for (Py_ssize_t i = 0; i < nargs; ++i) {
      if (!is_integer_like(args[i])) {
        raise(PyExc_TypeError, "%s must be tuple of ints, not %s", what.c_str(),
              type_name(args[i]).c_str());
      }
      sizes.push_back(as_int(args[i]));
    }
  }
  const NewOptions options = new_options(function, self, values);
  return finish_new(make(sizes, options.dtype), options);
}

PyObject* new_zeros(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  return new_sized("new_zeros", self, args, nargs, kwnames,
                   [](const Dims& s, DType d) { return zeros(s, d); });
}
PyObject* new_ones(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  return new_sized("new_ones", self, args, nargs, kwnames,
                   [](const Dims& s, DType d) { return ones(s, d); });
}
PyObject* new_empty(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  return new_sized("new_empty", self, args, nargs, kwnames,
                   [](const Dims& s, DType d) { return empty(s, d); });
}

PyObject* new_full(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<7> bound(
      "new_full",
      {"size", "fill_value", "dtype", "device", "requires_grad", "layout", "pin_memory"}, 2, args,
      nargs, kwnames, 2);
  Dims sizes;
  if (!is_int_list(bound[0])) {
    raise(PyExc_TypeError, "new_full(): argument 'size' must be tuple of ints, not %s",
          type_name(bound[0]).c_str());
  }
  as_ints(bound[0], "new_full(): argument 'size'", sizes);
  if (!is_number(bound[1]) && !is_tensor(bound[1])) {
    raise(PyExc_TypeError, "new_full(): argument 'fill_value' must be Number, not %s",
          type_name(bound[1]).c_str());
  }
  const NewOptions options = new_options("new_full", self, bound.values + 2);
  return finish_new(full(sizes, as_scalar(bound[1]), options.dtype), options);
}

PyObject* new_tensor(PyObject* self, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<6> bound("new_tensor",
                       {"data", "dtype", "device", "requires_grad", "layout", "pin_memory"}, 1,
                       args, nargs, kwnames, 1);
  const NewOptions options = new_options("new_tensor", self, bound.values + 1);
  return finish_new(tensor_from_data(bound[0], options.dtype), options);
}

// --- text
// ------------------------------------------------------------------------------------------------------------

PyObject* format_method(PyObject* self, PyObject* spec) {
  const Tensor& x = unwrap(self);
  if (x.dim() == 0 && Py_TYPE(self) == tensor_type) {
    const Ref value = checked(from_scalar(x.item()));
    if (PyUnicode_GetLength(spec) > 0) return PyObject_Format(value.get(), spec);
    return PyObject_Str(value.get());
  }
  if (PyUnicode_GetLength(spec) > 0) {
    raise(PyExc_TypeError,
          "unsupported format string passed to Tensor.__format__: only a 0-d tensor takes one, "
          "this has "
          "shape %s",
          shape_string(x.sizes()).c_str());
  }
  return PyObject_Str(self);
}

}  // namespace

std::vector<PyMethodDef> conversion_methods() {
  return {
      method<&to_method>(
          "to",
          "to(dtype), to(device), to(device, dtype) or to(other), each with copy=False: the tensor "
          "converted; itself when nothing changes."),
      method<&type_method>("type",
                           "type(): the name of the tensor's type; type(dtype): converted."),
      method<&type_as>("type_as", "type_as(other): converted to other's dtype."),
      method<&cast<DType::Float32>>("float", "Converted to float32."),
      method<&cast<DType::Float64>>("double", "Converted to float64."),
      method<&cast<DType::Float16>>("half", "Converted to float16."),
      method<&cast<DType::BFloat16>>("bfloat16", "Converted to bfloat16."),
      method<&cast<DType::Int64>>("long", "Converted to int64."),
      method<&cast<DType::Int32>>("int", "Converted to int32."),
      method<&cast<DType::Int16>>("short", "Converted to int16."),
      method<&cast<DType::Int8>>("char", "Converted to int8."),
      method<&cast<DType::UInt8>>("byte", "Converted to uint8."),
      method<&cast<DType::Bool>>("bool", "Converted to bool."),
      method<&cpu>("cpu", "The tensor itself."),
      method<&cuda>("cuda", "Raises: there is no GPU."),
      method<&pin_memory>("pin_memory", "The tensor itself: without a GPU nothing needs pinning."),
      method<&contiguous_method>(
          "contiguous",
          "contiguous(memory_format=contiguous_format): a copy in that order of "
          "memory, or the tensor itself when it has it."),
      method<&view_as>("view_as", "view_as(other): view(other.shape)."),
      method<&reshape_as>("reshape_as", "reshape_as(other): reshape(other.shape)."),
      method<&expand_as>("expand_as", "expand_as(other): expand(other.shape)."),
      method<&new_zeros>("new_zeros",
                         "new_zeros(*size, dtype=None): zeros of this tensor's dtype."),
      method<&new_ones>("new_ones", "new_ones(*size, dtype=None): ones of this tensor's dtype."),
      method<&new_empty>("new_empty",
                         "new_empty(*size, dtype=None): uninitialised, of this tensor's dtype."),
      method<&new_full>("new_full",
                        "new_full(size, fill_value, dtype=None): filled, of this tensor's dtype."),
      method<&new_tensor>("new_tensor",
                          "new_tensor(data, dtype=None): a copy of data, of this tensor's dtype."),
      method<&format_method>("__format__", nullptr),
  };
}

}  // namespace tapegrad::python
