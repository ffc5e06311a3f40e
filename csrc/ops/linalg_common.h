// What the files of linear algebra share: checks, column-major copies, the parts of matrices.
#pragma once

#include <vector>

#include "core/tensor_impl.h"
#include "kernels/linalg.h"
#include "tapegrad/linalg.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {

/// A stack of matrices of float32 or float64.
void require_matrices(const char* op, const Tensor& A, const char* name = "A");
void require_square(const char* op, const Tensor& A, const char* name = "A");
void require_same_dtype(const char* op, const Tensor& A, const Tensor& B);
/// Throws LinAlgError with the place and `what` for the first matrix whose info is not 0.
void check_info(const char* op, const Tensor& info, const char* what);

inline Dims batch_sizes(const Tensor& A) {
  return Dims(IntSpan(A.sizes().data(), static_cast<size_t>(A.dim() - 2)));
}
Dims with_sizes(Dims batch, std::initializer_list<int64_t> last);
/// Uninitialised, with the columns of each matrix side by side.
Tensor make_column_major(IntSpan sizes, DType dtype);
/// A copy in that order, which a kernel may write.
Tensor column_major_copy(const Tensor& A);
/// Dimensions and dtype of a stack for the kernels.
kernels::LinalgArgs matrix_args(const Tensor& A);

inline Tensor mT(const Tensor& A) { return transpose(A, -2, -1); }
inline Tensor diagonal_of(const Tensor& A) { return diagonal(A, 0, -2, -1); }
/// The elements on and below (or above) a diagonal, and zeros.
Tensor lower_part(const Tensor& A, int64_t offset = 0);
Tensor upper_part(const Tensor& A, int64_t offset = 0);
/// A true diagonal in a matrix of A's size, for where().
Tensor diagonal_mask(const Tensor& A);
/// A matrix with these values on the diagonal.
Tensor diagonal_matrix(const Tensor& values);
/// A stack of identity matrices, expanded.
Tensor identity_like(const Tensor& A);
/// Broadcasts the batch dimensions of two stacks.
std::pair<Tensor, Tensor> broadcast_batches(const char* op, const Tensor& A, const Tensor& B);

}  // namespace tapegrad::ops
