// Binary search: where values belong among sorted boundaries. NaN stands after all numbers. Knows
// no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"
#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

/// Operands out (int32 or int64), values, boundaries (both of `dtype`: float32, float64 or int64),
/// sorter (int64 or null). Either one line of boundaries for all, or one for each line of values.
struct SearchSorted {
  DType dtype = DType::Float32;
  int64_t count = 0;       // of values
  int64_t per_line = 0;    // values that share a line of boundaries
  int64_t boundaries = 0;  // in a line
  bool right = false;
  bool int32 = false;
};

TAPEGRAD_KERNEL(search_sorted, SearchSorted)

}  // namespace tapegrad::kernels
