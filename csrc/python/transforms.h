// What tapegrad.func is built on: levels, lifting and lowering. Knows no containers.
#pragma once

#include "python/tensor.h"

namespace tapegrad::python {

void add_transforms(PyObject* module);

}  // namespace tapegrad::python
