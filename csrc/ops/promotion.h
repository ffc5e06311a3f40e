// Result dtypes, and numbers as operands. Knows no operation.
#pragma once

#include "core/tensor_impl.h"

namespace tapegrad::ops {

/// A 0-d tensor that stands for a number: weak in promotion, kept in full precision.
Tensor wrapped_number(Scalar value);

/// The dtype in which three operands meet.
DType result_type(const Tensor& a, const Tensor& b, const Tensor& c);

/// What a floating-point function of `dtype` returns: integers become the default dtype.
inline DType floating_result(DType dtype) {
  return is_floating_point(dtype) ? dtype : default_dtype();
}

}  // namespace tapegrad::ops
