// The iteration plan of elementwise and copying kernels: dimensions of size 1 dropped, sorted by
// the output's strides, and merged where every operand allows it. Plain numbers, trivially
// copyable. Knows no kernels.
#pragma once

#include <cstdint>

#include "tapegrad/shape.h"

namespace tapegrad::kernels {

inline constexpr int kMaxPlanOperands = 5;

/// Operand 0 is the output. Strides are in elements of each operand, 0 where it is broadcast.
/// Dimension 0 is the outermost.
struct Plan {
  int ndim = 0;
  int operands = 0;
  int64_t numel = 1;
  int64_t sizes[kMaxDims];
  int64_t strides[kMaxPlanOperands][kMaxDims];
};

/// Starts a plan over `sizes`.
void plan_begin(Plan& plan, IntSpan sizes);
/// Adds an operand whose `sizes` broadcast to the plan's.
void plan_add(Plan& plan, IntSpan sizes, IntSpan strides);
/// Sorts and merges; to be called after the last operand.
void plan_finish(Plan& plan);

/// Walks a plan in order of its linear index.
class PlanWalker {
 public:
  PlanWalker(const Plan& plan, int64_t linear) : plan_(plan) {
    for (int d = plan.ndim - 1; d >= 0; --d) {
      index_[d] = linear % plan.sizes[d];
      linear /= plan.sizes[d];
    }
    for (int k = 0; k < plan.operands; ++k) {
      offset_[k] = 0;
      for (int d = 0; d < plan.ndim; ++d) offset_[k] += index_[d] * plan.strides[k][d];
    }
  }
  /// Elements left in the current innermost row.
  int64_t row_left() const {
    return plan_.ndim == 0 ? 1 : plan_.sizes[plan_.ndim - 1] - index_[plan_.ndim - 1];
  }
  /// Rows, from the one that it stands at the beginning of, left in the dimension around them.
  int64_t rows_left() const {
    return plan_.ndim < 2 ? 1 : plan_.sizes[plan_.ndim - 2] - index_[plan_.ndim - 2];
  }
  /// Offset of operand k, in elements.
  int64_t offset(int k) const { return offset_[k]; }
  /// Moves on by `count` <= row_left() elements.
  void advance(int64_t count) { advance_in(plan_.ndim - 1, count); }
  /// Moves on by `count` <= rows_left() whole rows of a plan of two dimensions or more.
  void advance_rows(int64_t count) { advance_in(plan_.ndim - 2, count); }

 private:
  void advance_in(int d, int64_t count) {
    if (d < 0) return;
    index_[d] += count;
    for (int k = 0; k < plan_.operands; ++k) offset_[k] += count * plan_.strides[k][d];
    while (d > 0 && index_[d] == plan_.sizes[d]) {
      for (int k = 0; k < plan_.operands; ++k) {
        offset_[k] += plan_.strides[k][d - 1] - index_[d] * plan_.strides[k][d];
      }
      index_[d] = 0;
      ++index_[--d];
    }
  }

  const Plan& plan_;
  int64_t index_[kMaxDims];
  int64_t offset_[kMaxPlanOperands];
};

}  // namespace tapegrad::kernels
