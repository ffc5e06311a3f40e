// The entry `module(x)` of nn.Module: see Note [Calling a module] in nn/modules/module.py.
#pragma once

#include "python/common.h"

namespace tapegrad::python {

void add_module_call(PyObject* module);

}  // namespace tapegrad::python
