// What the kernels were built with, for bug reports. Knows no kernel.
#pragma once

#include "tapegrad/export.h"

namespace tapegrad::kernels {

/// The instruction-set level in use: "x86-64-v4", ...
TAPEGRAD_API const char* instruction_set();
/// What multiplies float32 matrices.
TAPEGRAD_API const char* contraction_library();

}  // namespace tapegrad::kernels
