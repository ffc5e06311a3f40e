// The type behind the in-memory loader's next batch. Knows nothing of samplers and passes.
#pragma once

#include "python/common.h"

namespace tapegrad::python {

void add_prefetch(PyObject* module);

}  // namespace tapegrad::python
