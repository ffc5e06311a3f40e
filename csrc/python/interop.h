// Memory shared with NumPy, buffers and DLPack.
#pragma once

#include "python/tensor.h"

namespace tapegrad::python {

/// A 1-d tensor on the memory of any buffer; `count` -1 for all of it.
Tensor tensor_from_bytes(PyObject* buffer, DType dtype, int64_t count, int64_t offset);
void add_interop(PyObject* module);

}  // namespace tapegrad::python
