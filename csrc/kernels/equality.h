// Whether two arrays hold the same numbers. Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"
#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

/// Not for half types. -0 equals 0, NaN equals nothing.
struct CountUnequal {
  DType dtype = DType::Float32;
  int64_t count = 0;
};

/// data: result (int64_t: 0 where all are equal), a, b. Ends soon after the first difference.
TAPEGRAD_KERNEL(count_unequal, CountUnequal)

}  // namespace tapegrad::kernels
