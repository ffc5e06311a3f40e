// Kernels that move elements to and from computed places: rows in blocks, and gathering, scattering
// and accumulating by index. Knows no gradients. Indices are checked (check_indices) before any of
// the others runs; each destination is written by one thread, in the order of the indices, so that
// results do not depend on the number of threads.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/plan.h"
#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

/// Copies `rows` blocks of `bytes` bytes between two arrays of blocks: the building block of cat
/// and stack.
struct CopyRows {
  int64_t rows;
  int64_t bytes;
  int64_t to_stride;    // in bytes
  int64_t from_stride;  // in bytes
};

/// Writes rows that lie side by side in several arrays into one, row by row, so that memory is
/// written in order.
struct JoinRows {
  static constexpr int kMost = 8;
  int count = 0;
  int64_t rows = 0;
  int64_t row_bytes = 0;      // of the result
  int64_t start[kMost] = {};  // in the result's row
  int64_t bytes[kMost] = {};  // of a row of each
};

/// Counts values outside of [low, high): operands result (int64_t), indices (int64_t).
struct CheckIndices {
  int64_t count;
  int64_t low;
  int64_t high;
};

/// A group of dimensions of the indexed tensor, merged where its strides allow.
struct Dimensions {
  int ndim = 0;
  int64_t numel = 1;
  int64_t sizes[kMaxDims];
  int64_t strides[kMaxDims];
};

/// The tensor seen as (before, indexed, after); the dense side is row-major in (before, count,
/// after). An index i stands for the element offset wrap(i) * scale, where negative i count from
/// `size`.
struct IndexRows {
  DType dtype;
  bool single;    // index_write: one dense element for all places
  bool distinct;  // index_write: no place comes twice
  int64_t count;
  int64_t scale;
  int64_t size;
  Dimensions before;
  Dimensions after;
};

/// Element offsets of several indices: offsets (+)= offset of wrap(index) in `dims`, whose product
/// is `size`.
struct IndexOffsets {
  bool first;    // assign, do not add
  int64_t step;  // 0 for one index for all
  int64_t count;
  Dimensions dims;
};

/// Coordinates of rising linear positions: operands out (count x ndim), positions.
struct Unravel {
  int64_t count;
  int ndim;
  int64_t sizes[kMaxDims];
};

/// gather and scatter along one dimension: `lanes` are all other dimensions, with operands dense,
/// index, tensor; the dense side and the index have `count` entries along the dimension.
struct IndexAlong {
  DType dtype;
  int64_t count;
  int64_t dense_stride;
  int64_t index_stride;
  int64_t tensor_stride;
  Plan lanes;
};

/// How scatter_reduce joins what meets in one place. NaN wins over numbers in Max and Min.
enum class JoinOp : uint8_t { Prod, Max, Min };
struct ReduceAlong {
  IndexAlong along;
  JoinOp op;
};

/// out = mask ? value : in; operands out, in, mask, value.
struct MaskedFill {
  DType dtype;
  Plan plan;
};

/// Operands: offsets of the nonzero elements among `count` (int64_t, dense), input (dense),
/// per-chunk starts (int64_t). Without offsets, the chunks' counts are written to `starts`.
struct FindNonzero {
  DType dtype;
  int64_t count;
};
inline constexpr int64_t kNonzeroChunk = 16384;

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
TAPEGRAD_KERNEL(copy_rows, CopyRows)
/// result, inputs.
TAPEGRAD_KERNEL(join_rows, JoinRows)
TAPEGRAD_KERNEL(check_indices, CheckIndices)
/// dense, tensor, index.
TAPEGRAD_KERNEL(index_read, IndexRows)
/// tensor, dense, index.
TAPEGRAD_KERNEL(index_write, IndexRows)
/// As index_write, adding; float32, float64, int32 and int64 only.
TAPEGRAD_KERNEL(index_accumulate, IndexRows)
/// dense, tensor, index.
TAPEGRAD_KERNEL(along_read, IndexAlong)
/// tensor, dense, index.
TAPEGRAD_KERNEL(along_write, IndexAlong)
/// As along_write, adding; float32, float64, int32 and int64 only.
TAPEGRAD_KERNEL(along_accumulate, IndexAlong)
/// As along_accumulate, joining.
TAPEGRAD_KERNEL(along_reduce, ReduceAlong)
TAPEGRAD_KERNEL(index_offsets, IndexOffsets)
TAPEGRAD_KERNEL(unravel, Unravel)
TAPEGRAD_KERNEL(masked_fill, MaskedFill)
TAPEGRAD_KERNEL(find_nonzero, FindNonzero)
}  // namespace tapegrad::kernels
