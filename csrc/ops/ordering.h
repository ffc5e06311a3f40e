// What the families of order share: rows along a dimension for the kernels of kernels/sort.h, and
// the gradient of picking elements. Knows no rule.
#pragma once

#include "autograd/node.h"
#include "kernels/sort.h"
#include "tapegrad/tensor.h"

namespace tapegrad::ops {

/// A contiguous tensor of these sizes as rows along `dim`.
kernels::RowShape rows_along(IntSpan sizes, int64_t dim);
/// Throws IndexError, naming `op`, when dimension `dim` has no element to choose.
void require_rows(const char* op, const Tensor& input, int64_t dim);
/// The gradient of values picked along `dim` at output 1 of the rule, which has no dimension `dim`
/// unless `keepdim`.
void pull_picked(autograd::Pull& p, int64_t dim, bool keepdim);
/// Values in ascending order along `dim`.
Tensor sorted_values(const Tensor& input, int64_t dim);

}  // namespace tapegrad::ops
