// tapegrad._C._io: safetensors files as dicts of tensors.
#pragma once

#include "python/common.h"

namespace tapegrad::python {

void add_io(PyObject* module);

}  // namespace tapegrad::python
