// Functions and methods made from the op table.
#pragma once

#include "python/parser.h"

namespace tapegrad::python {

/// Adds functions to `module`, to `nn` (its _nn) and methods to the tensor type, which must exist.
void add_operations(PyObject* module, PyObject* nn);
/// The result in another order of memory; recorded.
Tensor with_memory_format(const Tensor& tensor, MemoryFormat format);
bool is_channels_last(const Tensor& tensor);

}  // namespace tapegrad::python
