// Whether a number fits a dtype. Knows no operation.
#pragma once

#include "tapegrad/dtype.h"

namespace tapegrad::ops {

/// Throws ValueError, naming `op`, when `value` is out of the range of `dtype` (infinities and NaN
/// fit the floating-point types; negative integers wrap in uint8, as in PyTorch).
void check_fill(const char* op, Scalar value, DType dtype);

}  // namespace tapegrad::ops
