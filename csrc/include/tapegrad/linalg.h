// Linear algebra beyond products, with the names of torch.linalg. All take stacks of matrices (the
// last two dimensions), float32 and float64; the documentation stands with the definitions
// (csrc/ops/linalg_*.cpp).
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tapegrad/tensor.h"

namespace tapegrad::linalg {

TAPEGRAD_API Tensor cholesky(const Tensor& A, bool upper = false);
/// The factor, and per matrix 0 or the order of the leading minor that is not positive.
TAPEGRAD_API std::vector<Tensor> cholesky_ex(const Tensor& A, bool upper = false,
                                             bool check_errors = false);
TAPEGRAD_API Tensor cholesky_solve(const Tensor& B, const Tensor& L, bool upper = false);
TAPEGRAD_API Tensor solve_triangular(const Tensor& A, const Tensor& B, bool upper, bool left = true,
                                     bool unitriangular = false);
/// LU (both factors in one matrix), pivots (int32, from 1) and info.
TAPEGRAD_API std::vector<Tensor> lu_factor_ex(const Tensor& A, bool pivot = true,
                                              bool check_errors = false);
TAPEGRAD_API Tensor lu_solve(const Tensor& LU, const Tensor& pivots, const Tensor& B,
                             bool left = true, bool adjoint = false);
/// P, L and U.
TAPEGRAD_API std::vector<Tensor> lu(const Tensor& A);
TAPEGRAD_API Tensor solve(const Tensor& A, const Tensor& B, bool left = true);
TAPEGRAD_API Tensor inv(const Tensor& A);
TAPEGRAD_API Tensor det(const Tensor& A);
/// The sign and the logarithm of the absolute value.
TAPEGRAD_API std::vector<Tensor> slogdet(const Tensor& A);
/// Q and R; mode is "reduced", "complete" or "r".
TAPEGRAD_API std::vector<Tensor> qr(const Tensor& A, std::string_view mode = "reduced");
/// Eigenvalues in ascending order, and eigenvectors as columns.
TAPEGRAD_API std::vector<Tensor> eigh(const Tensor& A, std::string_view UPLO = "L");
TAPEGRAD_API Tensor eigvalsh(const Tensor& A, std::string_view UPLO = "L");
/// U, S (descending) and Vh.
TAPEGRAD_API std::vector<Tensor> svd(const Tensor& A, bool full_matrices = true);
TAPEGRAD_API Tensor svdvals(const Tensor& A);
/// Tolerances may be undefined: then rtol is max(n, m) times the dtype's epsilon.
TAPEGRAD_API Tensor pinv(const Tensor& A, const Tensor& atol = {}, const Tensor& rtol = {},
                         bool hermitian = false);
TAPEGRAD_API Tensor matrix_rank(const Tensor& A, const Tensor& atol = {}, const Tensor& rtol = {},
                                bool hermitian = false);
TAPEGRAD_API Tensor matrix_power(const Tensor& A, int64_t n);
TAPEGRAD_API Tensor matrix_exp(const Tensor& A);
TAPEGRAD_API Tensor vector_norm(const Tensor& x, Scalar ord = 2, OptionalInts dim = {},
                                bool keepdim = false, std::optional<DType> dtype = {});
TAPEGRAD_API Tensor matrix_norm(const Tensor& A, Scalar ord, IntSpan dim = {-2, -1},
                                bool keepdim = false, std::optional<DType> dtype = {});
/// ord is "fro" or "nuc".
TAPEGRAD_API Tensor matrix_norm(const Tensor& A, std::string_view ord = "fro",
                                IntSpan dim = {-2, -1}, bool keepdim = false,
                                std::optional<DType> dtype = {});

}  // namespace tapegrad::linalg
