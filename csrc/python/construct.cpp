// Tensors from Python data: nested sequences, numbers, arrays and other buffers; the constructor of
// the type.
#include "python/construct.h"

#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/text.h"
#include "python/convert.h"
#include "python/interop.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

namespace {

// --- nested sequences
// ------------------------------------------------------------------------------------------------

DType numpy_scalar_dtype(PyObject* object) {
  const std::string_view name = std::string_view(Py_TYPE(object)->tp_name).substr(6);
  constexpr std::pair<std::string_view, DType> names[] = {
      {"float64", DType::Float64}, {"float32", DType::Float32}, {"float16", DType::Float16},
      {"bool", DType::Bool},       {"bool_", DType::Bool},      {"int64", DType::Int64},
      {"int32", DType::Int32},     {"int16", DType::Int16},     {"int8", DType::Int8},
      {"uint8", DType::UInt8},     {"longlong", DType::Int64},  {"intc", DType::Int32},
  };
  for (const auto& [known, dtype] : names) {
    if (name == known) return dtype;
  }
  raise(PyExc_TypeError,
        "tensor(): %s has no counterpart; convert it to a signed integer or a float first",
        Py_TYPE(object)->tp_name);
}

bool is_sequence(PyObject* object) {
  if (PyList_Check(object) || PyTuple_Check(object)) return true;
  if (PyFloat_Check(object) || PyLong_Check(object) || PyUnicode_Check(object) ||
      PyBytes_Check(object))
    return false;
  if (is_tensor(object)) return unwrap(object).dim() > 0;
  if (is_numpy_scalar(object)) return false;
  if (is_numpy_array(object)) return PyObject_Length(object) >= 0 || (PyErr_Clear(), false);
  return PySequence_Check(object) && !PyDict_Check(object);
}

/// Reads nested sequences into a flat list, and finds shape and dtype.
class Reader {
 public:
  void read(PyObject* data) {
    find_shape(data);
    const int64_t count = checked_numel("tensor", shape_);
    values_.reserve(static_cast<size_t>(count));
    collect(data, 0);
  }

  Tensor build(std::optional<DType> wanted) const {
    const DType dtype = wanted ? *wanted : dtype_.value_or(default_dtype());
    Tensor result = core::make_tensor(shape_, dtype);
    auto* at = static_cast<char*>(result.data());
    const size_t step = item_size(dtype);
    if (dtype == DType::Float32) {
      auto* floats = static_cast<float*>(result.data());
      for (size_t i = 0; i < values_.size(); ++i)
        floats[i] = static_cast<float>(values_[i].to_double());
      return result;
    }
    for (const Scalar& value : values_) {
      check_range(value, dtype);
      core::write_scalar(at, dtype, value);
      at += step;
    }
    return result;
  }

 private:
  void find_shape(PyObject* data) {
    Ref at = Ref::share(data);
    while (is_sequence(at.get())) {
      const Py_ssize_t count = PySequence_Size(at.get());
      if (count < 0) raise_current();
      if (shape_.size() == kMaxDims) {
        raise(PyExc_ValueError,
              "tensor(): sequences nested more than %d levels deep (does the data contain itself?)",
              kMaxDims);
      }
      shape_.push_back(count);
      if (count == 0) return;
      at = checked(PySequence_GetItem(at.get(), 0));
    }
  }

  std::string position() const {
    return path_.empty() ? std::string() : " at position " + list_text();
  }
  std::string list_text() const {
    std::string text;
    for (const int64_t i : path_) text += "[" + std::to_string(i) + "]";
    return text;
  }

  void collect(PyObject* object, int level) {
    if (level == shape_.size()) {
      if (is_sequence(object)) {
        raise(PyExc_ValueError,
              "tensor(): expected a number%s, as the first entries are, but got a sequence (%s)",
              position().c_str(), type_name(object).c_str());
      }
      add(object);
      return;
    }
    if (!is_sequence(object)) {
      raise(PyExc_TypeError, "tensor(): expected a sequence of length %lld at dim %d%s (got %s)",
            static_cast<long long>(shape_[level]), level, position().c_str(),
            type_name(object).c_str());
    }
    const Ref items = checked(PySequence_Fast(object, "tensor(): not a sequence"));
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(items.get());
    if (count != shape_[level]) {
      raise(PyExc_ValueError, "expected sequence of length %lld at dim %d (got %zd)%s",
            static_cast<long long>(shape_[level]), level, count, position().c_str());
    }
    path_.push_back(0);
    for (Py_ssize_t i = 0; i < count; ++i) {
      path_.back() = i;
      collect(PySequence_Fast_GET_ITEM(items.get(), i), level + 1);
    }
    path_.pop_back();
  }

  static bool is_scalar(PyObject* object) { return is_number(object) || is_tensor(object); }

  void add(PyObject* object) {
    if (PyFloat_CheckExact(object)) [[likely]] {
      values_.emplace_back(PyFloat_AS_DOUBLE(object));
      merge(default_dtype());
      return;
    }
    if (is_tensor(object)) {
      merge(unwrap(object).dtype());
    } else if (is_numpy_scalar(object)) {
      merge(numpy_scalar_dtype(object));
    } else if (PyBool_Check(object)) {
      merge(DType::Bool);
    } else if (PyLong_Check(object)) {
      merge(DType::Int64);
    } else if (PyFloat_Check(object)) {
      merge(default_dtype());
    } else if (is_numpy_array(object)) {
      const Ref item = checked(PyObject_CallMethod(object, "item", nullptr));
      add(item.get());
      return;
    } else {
      raise(PyExc_TypeError,
            "tensor(): invalid data type '%s'%s; expected numbers, sequences of them, an array or "
            "a tensor",
            type_name(object).c_str(), position().c_str());
    }
    values_.push_back(as_scalar(object));
  }

  void merge(DType dtype) {
    if (dtype_ == dtype) return;
    dtype_ = dtype_ ? promote_types(*dtype_, dtype) : dtype;
  }

  static void check_range(Scalar value, DType dtype) {
    if (!is_integer(dtype) || dtype == DType::Int64) return;
    const int bits = static_cast<int>(item_size(dtype)) * 8;
    const int64_t low = dtype == DType::UInt8 ? 0 : -(int64_t{1} << (bits - 1));
    const int64_t high = dtype == DType::UInt8 ? 255 : (int64_t{1} << (bits - 1)) - 1;
    const double number = value.to_double();
    if (number >= static_cast<double>(low) - 0.999999 && number < static_cast<double>(high) + 1)
      return;
    throw ValueError(core::text("tensor: value ", number, " cannot be converted to ",
                                dtype_name(dtype), " without overflow"));
  }

  Dims shape_;
  std::vector<Scalar> values_;
  std::vector<int64_t> path_;
  std::optional<DType> dtype_;
};

// --- functions
// -------------------------------------------------------------------------------------------------------

std::optional<DType> optional_dtype(PyObject* object, const char* function) {
  if (!object || object == Py_None) return std::nullopt;
  const std::optional<DType> dtype = as_dtype(object);
  if (!dtype)
    raise(PyExc_TypeError, "%s(): argument 'dtype' must be dtype, not %s", function,
          type_name(object).c_str());
  if (is_complex(*dtype)) {
    throw DTypeError(core::text(function, ": complex tensors are not supported (asked for ",
                                dtype_name(*dtype), ")"));
  }
  return dtype;
}

bool truthy(PyObject* object) {
  return object && object != Py_None && checked(PyObject_IsTrue(object));
}

PyObject* tensor_function(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<5> bound("tensor", {"data", "dtype", "device", "requires_grad", "pin_memory"}, 1,
                       args, nargs, kwnames, 1);
  const std::optional<DType> dtype = optional_dtype(bound[1], "tensor");
  expect_cpu(bound[2], "tensor");
  Tensor result = tensor_from_data(bound[0], dtype);
  if (truthy(bound[3])) result.set_requires_grad(true);
  return wrap(std::move(result));
}

PyObject* as_tensor_function(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<3> bound("as_tensor", {"data", "dtype", "device"}, 1, args, nargs, kwnames);
  const std::optional<DType> dtype = optional_dtype(bound[1], "as_tensor");
  expect_cpu(bound[2], "as_tensor");
  if (is_tensor(bound[0]) && (!dtype || *dtype == unwrap(bound[0]).dtype()))
    return Py_NewRef(bound[0]);
  return wrap(as_tensor(bound[0], dtype));
}

PyObject* asarray(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<5> bound("asarray", {"obj", "dtype", "device", "copy", "requires_grad"}, 1, args,
                       nargs, kwnames, 1);
  const std::optional<DType> dtype = optional_dtype(bound[1], "asarray");
  expect_cpu(bound[2], "asarray");
  Tensor result = truthy(bound[3]) ? tensor_from_data(bound[0], dtype) : as_tensor(bound[0], dtype);
  if (truthy(bound[4])) result.set_requires_grad(true);
  return wrap(std::move(result));
}

PyObject* from_numpy(PyObject*, PyObject* array) {
  if (!is_numpy_array(array)) {
    raise(PyExc_TypeError, "from_numpy(): expected an ndarray, got %s", type_name(array).c_str());
  }
  return wrap(tensor_from_array(array));
}

PyObject* frombuffer(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<5> bound("frombuffer", {"buffer", "dtype", "count", "offset", "requires_grad"}, 2,
                       args, nargs, kwnames, 1);
  const std::optional<DType> dtype = optional_dtype(bound[1], "frombuffer");
  if (!dtype) raise(PyExc_TypeError, "frombuffer(): argument 'dtype' must be dtype");
  Tensor result = tensor_from_bytes(bound[0], *dtype, bound.has(2) ? as_int(bound[2]) : -1,
                                    bound.has(3) ? as_int(bound[3]) : 0);
  if (truthy(bound[4])) result.set_requires_grad(true);
  return wrap(std::move(result));
}

PyObject* make_subclass(PyObject*, Arguments args, Py_ssize_t nargs, PyObject* kwnames) {
  const Bound<3> bound("_make_subclass", {"cls", "data", "require_grad"}, 2, args, nargs, kwnames);
  if (!PyType_Check(bound[0]) ||
      !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(bound[0]), tensor_type)) {
    raise(PyExc_TypeError, "_make_subclass(): cls must be a subclass of Tensor");
  }
  Tensor data = expect_tensor(bound[1], "_make_subclass", "data").detach();
  if (truthy(bound[2])) data.set_requires_grad(true);
  return wrap_as(reinterpret_cast<PyTypeObject*>(bound[0]), std::move(data));
}

PyObject* as_subclass(PyObject* self, PyObject* type) {
  if (!PyType_Check(type) ||
      !PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), tensor_type)) {
    raise(PyExc_TypeError, "as_subclass(): cls must be a subclass of Tensor");
  }
  const Tensor& x = unwrap(self);
  return wrap_as(reinterpret_cast<PyTypeObject*>(type),
                 x.requires_grad() ? view(x, x.sizes()) : x.detach());
}

}  // namespace

Tensor tensor_from_data(PyObject* data, std::optional<DType> dtype) {
  if (is_tensor(data))
    return tapegrad::to(unwrap(data).detach(), dtype.value_or(unwrap(data).dtype()), true);
  if (is_numpy_array(data) || (!is_number(data) && !PyList_Check(data) && !PyTuple_Check(data) &&
                               PyObject_HasAttrString(data, "__array__"))) {
    Tensor shared = tensor_from_array(data, false);
    return tapegrad::to(shared, dtype.value_or(shared.dtype()), true);
  }
  Reader reader;
  reader.read(data);
  return reader.build(dtype);
}

Tensor as_tensor(PyObject* object, std::optional<DType> dtype) {
  if (is_tensor(object)) return dtype ? tapegrad::to(unwrap(object), *dtype) : unwrap(object);
  if (is_numpy_array(object)) {
    Tensor shared = tensor_from_array(object);
    return dtype ? tapegrad::to(shared, *dtype) : shared;
  }
  return tensor_from_data(object, dtype);
}

PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  if (kwargs && PyDict_GET_SIZE(kwargs) > 0) {
    PyObject *key = nullptr, *value = nullptr;
    Py_ssize_t position = 0;
    while (PyDict_Next(kwargs, &position, &key, &value)) {
      if (PyUnicode_CompareWithASCIIString(key, "device") != 0) {
        raise(PyExc_TypeError,
              "Tensor() got an unexpected keyword argument '%U'; tensor(data, ...) takes dtype and "
              "more",
              key);
      }
      expect_cpu(value, "Tensor");
    }
  }
  const Py_ssize_t count = PyTuple_GET_SIZE(args);
  Tensor result;
  if (count == 0) {
    result = core::make_tensor({0}, default_dtype());
  } else if (count == 1 && is_tensor(PyTuple_GET_ITEM(args, 0))) {
    result = unwrap(PyTuple_GET_ITEM(args, 0)).detach();
  } else if (Py_TYPE(PyTuple_GET_ITEM(args, 0)) == size_type ||
             is_integer_like(PyTuple_GET_ITEM(args, 0))) {
    Dims sizes;
    PyObject* list =
        Py_TYPE(PyTuple_GET_ITEM(args, 0)) == size_type ? PyTuple_GET_ITEM(args, 0) : args;
    as_ints(list, "Tensor(): argument 'size'", sizes);
    result = core::make_tensor(sizes, default_dtype());
  } else if (count == 1) {
    result = tensor_from_data(PyTuple_GET_ITEM(args, 0), default_dtype());
  } else {
    raise(PyExc_TypeError,
          "Tensor(): expected data, or sizes as int; use tensor(data, ...) for anything else");
  }
  return wrap_as(type, std::move(result));
}

std::vector<PyMethodDef> construct_methods() {
  return {
      method<&make_subclass>("_make_subclass", "An object of a subclass on the memory of data.",
                             METH_STATIC),
      method<&as_subclass>("as_subclass",
                           "as_subclass(cls): the same memory as an object of a subclass."),
  };
}

void add_constructors(PyObject* module) {
  static PyMethodDef functions[] = {
      method<&tensor_function>(
          "tensor",
          "tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False)\n\n"
          "A copy of data: a number, nested sequences of numbers, an array or a tensor. Without "
          "dtype, Python "
          "floats\nbecome the default dtype, integers int64, and arrays keep theirs.\n\n"
          "Errors: ValueError naming the position where nested sequences differ in length; "
          "TypeError for other "
          "data.\n\n>>> import tapegrad as tg\n>>> tg.tensor([[1, 2], [3, 4]])\ntensor([[1, 2],\n  "
          "      [3, 4]])"),
      method<&as_tensor_function>(
          "as_tensor",
          "as_tensor(data, dtype=None, device=None)\n\n"
          "As tensor(), but without a copy where data is a tensor or an array of that dtype."),
      method<&asarray>(
          "asarray",
          "asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False)\n\n"
          "As as_tensor(), with a copy on request."),
      method<&from_numpy>(
          "from_numpy",
          "from_numpy(ndarray): a tensor that shares the array's memory and keeps it alive.\n\n"
          "Errors: ValueError for negative strides, TypeError for dtypes without counterpart."),
      method<&frombuffer>(
          "frombuffer",
          "frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False)\n\n"
          "A 1-d tensor on the memory of a buffer; offset in bytes, count in elements."),
      {nullptr, nullptr, 0, nullptr}};
  checked(PyModule_AddFunctions(module, functions));
}

}  // namespace tapegrad::python
