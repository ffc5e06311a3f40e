// For extension modules that take and return tapegrad tensors: a table of functions in the capsule
// `tapegrad._C._capsule`. Include Python.h first. The table only grows; `version` counts up when it
// does.
//
//   const tapegrad::PythonApi* api = tapegrad::python_api();      // null with a Python error set
//   when it cannot be had if (!api->is_tensor(object)) ... tapegrad::Tensor x =
//   api->unwrap(object);                     // shares the tensor return api->wrap(x * x); // a new
//   reference
#pragma once

#include "tapegrad/tensor.h"

namespace tapegrad {

struct PythonApi {
  int version;
  bool (*is_tensor)(PyObject* object);
  /// The tensor of an object that is_tensor() accepts.
  Tensor (*unwrap)(PyObject* object);
  /// A new reference, the same object for the same tensor; None for an undefined tensor. Null with
  /// an error set on failure.
  PyObject* (*wrap)(const Tensor& tensor);
  /// Sets the Python exception that belongs to the C++ exception in flight; for catch (const
  /// std::exception&).
  void (*set_error)();
};

inline constexpr int kPythonApiVersion = 1;

/// The table, imported at first use. Call with the GIL held.
inline const PythonApi* python_api() {
  static const PythonApi* api = nullptr;
  if (api) return api;
  const auto* found = static_cast<const PythonApi*>(PyCapsule_Import("tapegrad._C._capsule", 0));
  if (found && found->version < kPythonApiVersion) {
    PyErr_SetString(PyExc_ImportError,
                    "this extension needs a newer tapegrad than the one installed");
    return nullptr;
  }
  api = found;
  return api;
}

}  // namespace tapegrad
