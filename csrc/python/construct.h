// Functions that make tensors of Python data.
#pragma once

#include <vector>

#include "python/common.h"

namespace tapegrad::python {

void add_constructors(PyObject* module);
std::vector<PyMethodDef> construct_methods();

}  // namespace tapegrad::python
