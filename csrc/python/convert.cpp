#include "python/convert.h"

#include <cstring>
#include <string_view>

#include "core/text.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::python {

bool is_numpy_array(PyObject* object) {
  for (const PyTypeObject* type = Py_TYPE(object); type; type = type->tp_base) {
    if (std::strcmp(type->tp_name, "numpy.ndarray") == 0) return true;
  }
  return false;
}

bool is_numpy_scalar(PyObject* object) {
  const std::string_view name = Py_TYPE(object)->tp_name;
  if (!name.starts_with("numpy.")) return false;
  const std::string_view kind = name.substr(6);
  for (const std::string_view number :
       {"float", "int", "uint", "bool", "longlong", "ulonglong", "longdouble"}) {
    if (kind.starts_with(number)) return true;
  }
  return false;
}

bool is_number(PyObject* object) {
  return PyFloat_Check(object) || PyLong_Check(object) || is_numpy_scalar(object);
}

bool is_integer_like(PyObject* object) {
  if (PyLong_Check(object)) return !PyBool_Check(object);
  if (!PyIndex_Check(object)) return false;
  if (is_tensor(object)) {
    const Tensor& tensor = unwrap(object);
    return tensor.dim() == 0 && is_integer(tensor.dtype()) && !tensor.requires_grad();
  }
  return !is_numpy_array(object);
}

int64_t as_int(PyObject* object) {
  if (PyLong_CheckExact(object)) [[likely]] {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow) raise(PyExc_OverflowError, "Python int %R does not fit into 64 bits", object);
    return value;
  }
  const Ref index = checked(PyNumber_Index(object));
  return as_int(index.get());
}

double as_double(PyObject* object) {
  const double value = PyFloat_AsDouble(object);
  if (value == -1.0 && PyErr_Occurred()) raise_current();
  return value;
}

Scalar as_scalar(PyObject* object) {
  if (PyFloat_Check(object)) return PyFloat_AS_DOUBLE(object);
  if (PyBool_Check(object)) return object == Py_True;
  if (PyLong_Check(object)) {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow)
      throw ValueError("Python int " + to_string(checked(PyObject_Str(object)).get()) +
                       " does not fit into int64");
    return static_cast<int64_t>(value);
  }
  if (is_tensor(object)) return unwrap(object).item();
  const std::string name = type_name(object);
  if (name.starts_with("numpy.bool")) return checked(PyObject_IsTrue(object)) != 0;
  if (PyIndex_Check(object)) return as_int(object);
  return as_double(object);
}

PyObject* from_scalar(Scalar value) {
  switch (value.kind()) {
    case Scalar::Kind::Bool:
      return PyBool_FromLong(value.to_bool());
    case Scalar::Kind::Int:
      return PyLong_FromLongLong(value.to_int());
    default:
      return PyFloat_FromDouble(value.to_double());
  }
}

Tensor as_tensor_or_number(PyObject* object) {
  if (is_tensor(object)) return unwrap(object);
  const Scalar value = as_scalar(object);
  // Doubles keep their precision until the operation casts them.
  const DType dtype = value.is_floating_point() ? DType::Float64 : value.natural_dtype();
  return core::make_scalar(value, dtype, true);
}

bool is_int_list(PyObject* object) {
  if (!PyTuple_Check(object) && !PyList_Check(object)) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(object);
  return count == 0 || is_integer_like(PySequence_Fast_GET_ITEM(object, 0));
}

void as_ints(PyObject* object, const char* what, Dims& result) {
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(object);
  PyObject** items = PySequence_Fast_ITEMS(object);
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (!is_integer_like(items[i])) {
      raise(PyExc_TypeError, "%s must be tuple of ints, but found element of type %s at pos %zd",
            what, type_name(items[i]).c_str(), i);
    }
    result.push_back(as_int(items[i]));
  }
}

}  // namespace tapegrad::python
