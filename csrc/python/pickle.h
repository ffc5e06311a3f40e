// What unpickling needs.
#pragma once

#include "python/common.h"

namespace tapegrad::python {

void add_pickle(PyObject* module);

}  // namespace tapegrad::python
