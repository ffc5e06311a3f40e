// Functions and methods made from the op table.
#pragma once

#include "python/parser.h"

namespace tapegrad::python {

/// Adds functions to `module` and to its submodules _nn, _special and _linalg, which it makes, and
/// methods to the tensor type, which must exist.
void add_operations(PyObject* module);
/// The result in another order of memory; recorded.
Tensor with_memory_format(const Tensor& tensor, MemoryFormat format);
bool is_channels_last(const Tensor& tensor);

}  // namespace tapegrad::python
