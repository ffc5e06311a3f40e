// How reductions look at tensors: which dimensions go, the shape that stays, and the tensor as
// blocks of rows for the kernels (kernels/reduce.h). Knows no gradients but the way back:
// restore().
#pragma once

#include "core/tensor_impl.h"
#include "kernels/reduce.h"
#include "tapegrad/shape.h"

namespace tapegrad::ops {

/// Dimensions as bits: bit d for dimension d.
using DimMask = uint32_t;

inline DimMask all_dims(int64_t ndim) {
  return ndim >= 32 ? ~DimMask{0} : (DimMask{1} << ndim) - 1;
}
inline bool has_dim(DimMask mask, int d) { return ((mask >> d) & 1u) != 0; }

/// The dimensions named by `dim`; all when it is absent or empty. Throws IndexError on one that
/// does not exist, ValueError on one named twice.
DimMask dim_mask(const char* op, const OptionalInts& dim, int64_t ndim);
inline DimMask dim_mask(const char* op, int64_t dim, int64_t ndim) {
  return DimMask{1} << wrap_dim(op, dim, ndim);
}
/// The dimensions of `mask`, as an argument for an operation.
Dims dims_of(DimMask mask, int64_t ndim);
/// The shape after the reduction.
Dims reduced_sizes(IntSpan sizes, DimMask mask, bool keepdim);
/// The number of elements that meet in one result.
int64_t reduced_count(IntSpan sizes, DimMask mask);

/// `x` as blocks whose rows are the dimensions of `mask`, in the logical order of the rest. False
/// when its strides do not allow it. With `in_place_order` the blocks also have the logical order
/// as a whole, so that a contiguous result of the same shape has them too.
bool as_blocks(const Tensor& x, DimMask mask, bool in_place_order, kernels::BlockShape& shape);
/// A copy for which as_blocks() holds: kept dimensions first, reduced ones last.
Tensor gathered(const Tensor& x, DimMask mask, kernels::BlockShape& shape);
/// Blocks of `x`, of a contiguous copy if need be, with in_place_order.
Tensor blocks_in_order(const Tensor& x, int64_t dim, kernels::BlockShape& shape);

/// `x` itself, or a copy of it in `dtype`. Unrecorded.
Tensor converted(const Tensor& x, DType dtype);
/// The dtype in which the kernels work: floats as they are, half types in float32, bool and uint8
/// as they are, other integers in int64.
DType kernel_dtype(DType dtype);
kernels::FoldType fold_type(DType dtype);

/// The reduction itself, unrecorded: op over `mask`, then division and root, in `dtype`.
struct Finish {
  double divisor = 1;
  bool square_root = false;
};
Tensor fold(const Tensor& x, DimMask mask, bool keepdim, kernels::FoldOp op, DType dtype,
            Finish finish = {});

/// Whether operations on these are seen by tape, tangents or batches.
bool is_watched(std::initializer_list<const Tensor*> tensors);

/// A reduced tensor with its dimensions of size 1 back in place, so that it broadcasts to the
/// input.
Tensor restore(const Tensor& reduced, int64_t ndim, DimMask mask, bool keepdim);
/// The same, expanded to the input's sizes.
Tensor restore_expanded(const Tensor& reduced, IntSpan sizes, DimMask mask, bool keepdim);

}  // namespace tapegrad::ops
