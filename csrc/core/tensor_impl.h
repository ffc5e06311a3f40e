// Making and describing tensors, below the level of operations. Knows no gradients.
#pragma once

#include <string>

#include "tapegrad/tensor.h"

namespace tapegrad {
namespace core {

/// Uninitialised and contiguous.
TAPEGRAD_API Tensor make_tensor(IntSpan sizes, DType dtype);
/// Uninitialised; `strides` must be dense and non-overlapping.
TAPEGRAD_API Tensor make_tensor(IntSpan sizes, IntSpan strides, DType dtype);
/// Same shape and, if dense, the same memory order.
TAPEGRAD_API Tensor make_like(const Tensor& like, DType dtype);
/// Another look at the same storage, without gradient tracking. Does not check bounds.
TAPEGRAD_API Tensor make_alias(const Tensor& tensor, IntSpan sizes, IntSpan strides,
                               int64_t offset);
/// A 0-d tensor; `wrapped` marks it as weak in promotion.
TAPEGRAD_API Tensor make_scalar(Scalar value, DType dtype, bool wrapped = false);
/// Whether every element has its own address and the block has no gaps.
TAPEGRAD_API bool is_dense(const Tensor& tensor);
/// Reads element 0.
TAPEGRAD_API Scalar read_scalar(const void* data, DType dtype);
TAPEGRAD_API void write_scalar(void* data, DType dtype, Scalar value);
/// "float32 tensor of shape (2, 3)".
TAPEGRAD_API std::string describe(const Tensor& tensor);

}  // namespace core
}  // namespace tapegrad
