// Zeros with elements added at places along one dimension, in one pass: the gradient of picking
// elements. A tensor is seen as contiguous (a, n, c); places run along n. Threads share rows, never
// places of one, so that one thread and many do the same.
#pragma once

#include "kernels/sort.h"

namespace tapegrad::kernels {

/// y[a, index[a, k, c], c] += g[a, k, c] for k < count in order, y zeros before; operands y, g and
/// index (int64, in range).
struct PlaceAlong {
  RowShape shape;                // of y
  DType dtype = DType::Float32;  // float32, float64, int32 or int64
  int64_t count = 1;
};
void place_along(void* const* data, const PlaceAlong& p);

}  // namespace tapegrad::kernels
