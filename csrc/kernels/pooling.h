// Parameters of the pooling kernels. Planes have up to three dimensions, the missing ones (in
// front) of size 1. They lie one after the other, or, with `channels` > 1, those of one sample
// side by side (channels last). Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

/// Which elements of a plane each output sees. Adaptive windows follow from `in` and `out`;
/// `kernel` is then their largest extent.
struct PoolWindows {
  int64_t in[3] = {1, 1, 1};
  int64_t out[3] = {1, 1, 1};
  int64_t kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1};
  int64_t padding[3] = {0, 0, 0};
  int64_t dilation[3] = {1, 1, 1};
  bool adaptive = false;
};

/// Note [Places in a window]
/// A maximum is remembered by its place in its window, (d * kernel[1] + h) * kernel[2] + w in an
/// int32: half the memory of PyTorch's int64 positions in the plane, and a comparison with a
/// constant where a kernel runs over the window. Positions are made only for who asks for them.
struct PoolParameters {
  PoolWindows windows;
  int64_t planes = 1;    // samples, times channels unless these lie side by side
  int64_t channels = 1;  // that lie side by side
  bool is_double = false;
  bool count_padding = false;  // averages: in the divisor
  int64_t divisor = 0;         // of averages, where it is given
};

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
TAPEGRAD_KERNEL(pool_max, PoolParameters)        // y, places (may be null), x
TAPEGRAD_KERNEL(pool_scatter, PoolParameters)    // gx, g, places
TAPEGRAD_KERNEL(pool_gather, PoolParameters)     // y, x, places
TAPEGRAD_KERNEL(pool_positions, PoolParameters)  // int64 positions in the plane, places
TAPEGRAD_KERNEL(pool_average, PoolParameters)    // y, x
TAPEGRAD_KERNEL(pool_spread, PoolParameters)     // gx, g: the adjoint of pool_average
}  // namespace tapegrad::kernels
