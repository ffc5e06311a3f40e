// Decompositions and solves of stacks of dense matrices, on Eigen, with large products by the
// library's own matmul. Matrices are column-major without gaps and follow each other; float32 and
// float64. Knows no tensors.
//
// Note [Decompositions by level]: Eigen's templates are compiled once a level, in a namespace named
// by it (the build defines Eigen). QR, eigenvalues and singular values gain little from
// 512-bit vectors and are slow to compile: the widest level calls those of v3, where it is built.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

struct LinalgArgs {
  bool is_double = false;
  int64_t batch = 1;
  int64_t rows = 0, columns = 0;
  int64_t right = 0;        // columns of the right-hand sides
  int64_t q_columns = 0;    // qr: columns of Q, rows of R; svd: columns of U
  int64_t v_columns = 0;    // svd: columns of V
  bool upper = false;       // triangular_solve: the triangle of the matrix as it lies in memory
  bool transposed = false;  // triangular_solve: the matrix meant is the transpose
  bool unit = false;        // triangular_solve: the diagonal is taken as 1
  bool vectors = true;      // eigh, svd, qr: whether more than values (or R) is wanted
  double rcond = 0;         // lstsq
};

// info[b] is 0 for success; i > 0: the leading minor or pivot i (from 1) is not positive or zero,
// or an iteration did not converge.

/// data: A (n x n, becomes L with zeros above), info. Reads the lower triangle.
TAPEGRAD_KERNEL(cholesky_factor, LinalgArgs)
/// data: A (rows x columns, becomes L and U), pivots (int32, from 1: row i was swapped with that),
/// info.
TAPEGRAD_KERNEL(lu_factor, LinalgArgs)
/// data: A (n x n), B (n x right, becomes the solution).
TAPEGRAD_KERNEL(triangular_solve, LinalgArgs)
/// data: B (n x right), pivots; swaps rows of B as lu_factor did, or with `transposed` back.
TAPEGRAD_KERNEL(apply_pivots, LinalgArgs)
/// data: A (rows x columns, destroyed), Q (rows x q_columns, or null), R (q_columns x columns).
TAPEGRAD_KERNEL(qr_factor, LinalgArgs)
/// data: A (rows x columns), B (rows x right), X (columns x right), rank (int64), by a complete
/// orthogonal decomposition: the solution of least norm.
TAPEGRAD_KERNEL(least_squares, LinalgArgs)
/// data: A (n x n, of which the lower triangle is read), values, vectors (or null), info.
TAPEGRAD_KERNEL(eigh_solve, LinalgArgs)
/// data: A (rows x columns), U (rows x q_columns), S, V (columns x v_columns), info; U and V null
/// without `vectors`.
TAPEGRAD_KERNEL(svd_solve, LinalgArgs)

}  // namespace tapegrad::kernels
