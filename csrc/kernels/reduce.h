// Parameters of the reduction and scan kernels. All see a tensor as `a` blocks of `r` rows of `c`
// elements that lie side by side, and reduce over the rows; with c == 1 the rows themselves lie
// side by side. Knows no tensors: ops/reduce_geometry.h brings them into this form.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

/// Strides in elements.
struct BlockShape {
  int64_t a = 1;
  int64_t r = 1;
  int64_t c = 1;
  int64_t a_stride = 0;
  int64_t r_stride = 1;
};

/// Element types of the input; the second name is that of the accumulator where it differs. Half
/// types have float accumulators, and can be folded where c == 1.
enum class FoldType : uint8_t { Float, Double, Int64, Byte, ByteToInt64, Half, BFloat16 };

enum class FoldOp : uint8_t {
  Sum,
  SumNumbers,  // NaN counts as 0
  SumAbs,
  SumSquares,
  CountNonzero,
  Prod,
  Max,
  Min,
  MaxAbs,
  MinAbs,
};

struct FoldParameters {
  BlockShape shape;
  FoldOp op = FoldOp::Sum;
  FoldType type = FoldType::Float;
  bool square_root = false;  // of the result
  double divisor = 1;        // of the result, before the root
};

/// Note [Fixed partial results]
/// Long reductions are cut at fixed places, whatever the number of threads: rows of a contiguous
/// line every kLineChunk elements, rows of a block every kRowChunk. Each piece has one partial
/// result, and these are combined in order. Inside a piece, 32 lanes collect every 32nd element
/// each and meet in a fixed tree. So the bits depend on the shape alone.
inline constexpr int64_t kLineChunk = 8192;
inline constexpr int64_t kRowChunk = 256;

/// Blocks narrower than this with rows back to back are read several rows at a time.
inline constexpr int64_t kNarrow = 32;
inline int64_t rows_at_once(const BlockShape& s) {
  return s.c < kNarrow && s.r_stride == s.c ? 64 / s.c : 1;
}
/// Pieces of each block.
inline int64_t fold_chunks(const BlockShape& s) {
  if (s.c == 1) return (s.r + kLineChunk - 1) / kLineChunk;
  const int64_t group = rows_at_once(s), rows = (s.r + group - 1) / group;
  return rows <= kRowChunk ? 1 : (rows + kRowChunk - 1) / kRowChunk;
}
/// Accumulators of scratch memory that `fold` needs.
inline int64_t fold_scratch(const BlockShape& s) {
  const int64_t chunks = fold_chunks(s);
  return chunks <= 1 ? 0 : s.a * chunks * s.c;
}

/// Variance: mean and sum of squared deviations in one reading.
struct MomentsParameters {
  BlockShape shape;
  bool is_double = false;
  bool square_root = false;  // the standard deviation
  double divisor = 1;        // of the sum of squared deviations
};
/// Doubles of scratch memory that `moments` needs.
inline int64_t moments_scratch(const BlockShape& s) {
  const int64_t pieces =
      s.c == 1 ? (s.r + kLineChunk - 1) / kLineChunk : (s.r + kRowChunk - 1) / kRowChunk;
  return 2 * s.a * s.c * pieces;
}

/// Where the extremum is: the first of equal ones, NaN before all numbers.
struct ArgParameters {
  BlockShape shape;
  FoldType type = FoldType::Float;
  bool smallest = false;
};
/// int64 numbers of scratch memory that `arg_extremum` needs.
inline int64_t arg_scratch(const BlockShape& s) {
  const int64_t chunks = s.c == 1 ? fold_chunks(s) : 1;
  return chunks <= 1 ? 0 : s.a * chunks;
}

enum class ScanOp : uint8_t {
  Sum,           // y[k] = x[0] + ... + x[k]
  Prod,          // y[k] = x[0] * ... * x[k]
  ProdOfOthers,  // y[k] = product of all x[j] but x[k]
  ProdGradient,  // y[k] = d(sum of g * cumprod(x)) / dx[k]; reads g as a second input
};
struct ScanParameters {
  BlockShape shape;  // of x (and g); the output is contiguous
  ScanOp op = ScanOp::Sum;
  FoldType type = FoldType::Float;
  bool reverse = false;  // from the last row to the first; for Sum
};

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
TAPEGRAD_KERNEL(fold, FoldParameters)         // out, x, scratch
TAPEGRAD_KERNEL(moments, MomentsParameters)   // spread, mean (both may be null), x, scratch
TAPEGRAD_KERNEL(arg_extremum, ArgParameters)  // values (may be null), indices, x, scratch
TAPEGRAD_KERNEL(scan, ScanParameters)         // out, x, g
}  // namespace tapegrad::kernels
