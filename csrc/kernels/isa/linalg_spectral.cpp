// Eigenvalues of symmetric matrices and singular values, by Eigen. See Note [Decompositions by
// level].
#include "kernels/linalg.h"

#if defined(TAPEGRAD_HAVE_V3) && defined(__AVX512F__)

namespace tapegrad::kernels {
namespace v3 {
void eigh_solve(void* const* data, const LinalgArgs& args);
void svd_solve(void* const* data, const LinalgArgs& args);
}  // namespace v3
namespace TAPEGRAD_ISA {
void eigh_solve(void* const* data, const LinalgArgs& args) { v3::eigh_solve(data, args); }
void svd_solve(void* const* data, const LinalgArgs& args) { v3::svd_solve(data, args); }
}  // namespace TAPEGRAD_ISA
}  // namespace tapegrad::kernels

#else

#include <Eigen/Eigenvalues>
#include <Eigen/SVD>

#include "kernels/isa/eigen_matrix.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

template <class T>
void eigh_all(void* const* data, const LinalgArgs& args) {
  const int64_t n = args.rows;
  for_each_matrix(args.batch, 9 * cube(n), [&](int64_t b) {
    const auto a = window<T>(static_cast<T*>(data[0]) + b * n * n, n, n, n);
    Eigen::SelfAdjointEigenSolver<Matrix<T>> solver(
        a, args.vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
    const bool fine = solver.info() == Eigen::Success && solver.eigenvalues().allFinite();
    static_cast<int32_t*>(data[3])[b] = fine ? 0 : 1;
    window<T>(static_cast<T*>(data[1]) + b * n, n, 1, n) = solver.eigenvalues();
    if (fine && args.vectors)
      window<T>(static_cast<T*>(data[2]) + b * n * n, n, n, n) = solver.eigenvectors();
  });
}

template <class T>
void svd_all(void* const* data, const LinalgArgs& args) {
  const int64_t m = args.rows, n = args.columns, size = m < n ? m : n;
  unsigned options = 0;
  if (args.vectors) {
    options = (args.q_columns == size ? Eigen::ComputeThinU : Eigen::ComputeFullU) |
              (args.v_columns == size ? Eigen::ComputeThinV : Eigen::ComputeFullV);
  }
  const double work = 9 * static_cast<double>(m * n) * static_cast<double>(size);
  for_each_matrix(args.batch, work, [&](int64_t b) {
    const auto a = window<T>(static_cast<T*>(data[0]) + b * m * n, m, n, m);
    int32_t& info = static_cast<int32_t*>(data[4])[b];
    info = a.allFinite() ? 0 : 1;
    if (info != 0) return;
    const Eigen::BDCSVD<Matrix<T>> solver(a, options);
    info = solver.info() == Eigen::Success ? 0 : 1;
    window<T>(static_cast<T*>(data[2]) + b * size, size, 1, size) = solver.singularValues();
    if (!args.vectors) return;
    window<T>(static_cast<T*>(data[1]) + b * m * args.q_columns, m, args.q_columns, m) =
        solver.matrixU();
    window<T>(static_cast<T*>(data[3]) + b * n * args.v_columns, n, args.v_columns, n) =
        solver.matrixV();
  });
}

}  // namespace

void eigh_solve(void* const* data, const LinalgArgs& args) {
  args.is_double ? eigh_all<double>(data, args) : eigh_all<float>(data, args);
}
void svd_solve(void* const* data, const LinalgArgs& args) {
  args.is_double ? svd_all<double>(data, args) : svd_all<float>(data, args);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA

#endif
