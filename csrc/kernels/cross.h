// Cross products of triples that lie a fixed distance apart. Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

struct CrossArgs {
  bool is_double = false;
  int64_t outer = 1, inner = 1;
};

/// data: result, a, b, each (outer, 3, inner) and contiguous.
TAPEGRAD_KERNEL(cross_product, CrossArgs)

}  // namespace tapegrad::kernels
