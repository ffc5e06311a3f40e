// Distances between rows of two stacks of matrices: sums of powers of differences, without the
// array of differences. Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

enum class Distance : uint8_t { kCount, kSum, kEuclid, kLargest, kPower };

struct DistanceArgs {
  Distance kind = Distance::kEuclid;
  bool is_double = false;
  double p = 2;
  int64_t batch = 1, rows = 0, columns = 0, depth = 0;
};

/// data: distances (batch, rows, columns), x (batch, rows, depth), y (batch, depth, columns), all
/// contiguous. The same bits for any number of threads.
TAPEGRAD_KERNEL(distance, DistanceArgs)

/// data: gradient of x (batch, rows, depth), x, y (batch, columns, depth), gradient of the
/// distances and the distances (batch, rows, columns), all contiguous. Zero where a distance is.
/// Not for kCount and kEuclid.
TAPEGRAD_KERNEL(distance_gradient, DistanceArgs)

}  // namespace tapegrad::kernels
