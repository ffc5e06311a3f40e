// LU factors below the tape, for rules that keep them.
#pragma once

#include "tapegrad/tensor.h"

namespace tapegrad::ops {

struct LuFactors {
  Tensor LU, pivots, info;
};

/// Not recorded.
LuFactors factor_lu(const Tensor& A);
/// A X = B, or with `adjoint` A^T X = B. Not recorded.
Tensor solve_lu(const Tensor& LU, const Tensor& pivots, const Tensor& B, bool adjoint);
/// The order of the rows that the swaps make: row i was row order[i].
Tensor permutation_of(const Tensor& pivots, int64_t rows);

}  // namespace tapegrad::ops
