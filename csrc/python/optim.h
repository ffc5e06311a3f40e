// The optimizers' updates as functions of tapegrad._C._optim.
#pragma once

#include "python/common.h"

namespace tapegrad::python {

void add_optim(PyObject* module);

}  // namespace tapegrad::python
