// The text of a tensor, in PyTorch's format.
#pragma once

#include "python/tensor.h"

namespace tapegrad::python {

void add_print_options(PyObject* module);

}  // namespace tapegrad::python
