// Tensors of shape (N, C, ...) whose channels lie side by side in memory: how kernels that work on
// both orders recognise, make and keep them. Knows no operation.
#pragma once

#include "core/tensor_impl.h"

namespace tapegrad::ops {

/// Whether the elements lie in the order (N, ..., C) without gaps, and not in row-major order too.
bool is_channels_last(const Tensor& x);
/// An uninitialised tensor in that order, or row-major.
Tensor make_in_order(IntSpan sizes, DType dtype, bool channels_last);
/// `x` itself where it is in that order already, else a copy. Records nothing.
Tensor in_order(const Tensor& x, bool channels_last);

}  // namespace tapegrad::ops
