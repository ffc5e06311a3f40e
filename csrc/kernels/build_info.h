// What the kernels were built with, for bug reports. Knows no kernel.
#pragma once

#include "tapegrad/export.h"

namespace tapegrad::kernels {

/// The instruction-set level in use: "x86-64-v4", ...
TAPEGRAD_API const char* instruction_set();
/// Whether the library was built with oneDNN.
TAPEGRAD_API bool has_onednn();
/// What multiplies float32 matrices.
TAPEGRAD_API const char* contraction_library();

}  // namespace tapegrad::kernels
