// From Python values to C++ ones: numbers, scalars, lists of integers, tensors. Functions named
// `as_` convert and raise, those named `is_` only look.
#pragma once

#include <vector>

#include "python/objects.h"
#include "python/tensor.h"

namespace tapegrad::python {

/// A Python or NumPy number (bool included). Looks at the type only; a 0-d array is none.
bool is_number(PyObject* object);
bool is_numpy_array(PyObject* object);
/// A NumPy scalar, such as numpy.float32(1).
bool is_numpy_scalar(PyObject* object);
/// An int, or something with __index__ that is neither a bool nor a floating-point tensor.
bool is_integer_like(PyObject* object);

/// For objects that is_number() accepts, and one-element tensors.
Scalar as_scalar(PyObject* object);
int64_t as_int(PyObject* object);
double as_double(PyObject* object);
PyObject* from_scalar(Scalar value);
/// A tensor as it is; a number as a 0-d tensor that is weak in promotion.
Tensor as_tensor_or_number(PyObject* object);

/// A tuple or list of integers. `what` is for the error: "zeros(): argument 'size'".
void as_ints(PyObject* object, const char* what, Dims& result);
bool is_int_list(PyObject* object);

/// A tensor of any data: a tensor itself, an array (sharing memory where it can), numbers, nested
/// sequences.
Tensor as_tensor(PyObject* object, std::optional<DType> dtype = {});
/// Nested sequences and numbers, copied; the dtype is inferred as PyTorch does.
Tensor tensor_from_data(PyObject* data, std::optional<DType> dtype);
/// An array that shares memory with the result. Raises on negative strides and on dtypes that have
/// no counterpart.
Tensor tensor_from_array(PyObject* array, bool warn_read_only = true);
/// A NumPy array that shares the tensor's memory.
PyObject* tensor_to_array(PyObject* self);

}  // namespace tapegrad::python
