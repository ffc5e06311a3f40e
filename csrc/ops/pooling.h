// What the pooling operations share: the windows that their arguments describe, checked. Knows no
// kernels but their parameters.
#pragma once

#include "kernels/pooling.h"
#include "tapegrad/tensor.h"

namespace tapegrad::ops {

/// Arguments as users give them: one number for all of `ndim` dimensions, or one for each.
struct PoolArguments {
  IntSpan kernel;
  IntSpan stride;  // empty: the kernel
  IntSpan padding;
  IntSpan dilation;
  bool ceil_mode = false;
};

/// Throws ShapeError or ValueError, naming `op`.
kernels::PoolWindows pool_windows(const char* op, int ndim, const Tensor& input,
                                  const PoolArguments& arguments);
kernels::PoolWindows adaptive_windows(const char* op, int ndim, const Tensor& input,
                                      IntSpan output_size);
/// Throws DTypeError unless the elements are floating-point numbers.
void check_pool_input(const char* op, int ndim, const Tensor& input);

}  // namespace tapegrad::ops
