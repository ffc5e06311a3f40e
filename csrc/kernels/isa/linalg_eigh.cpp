// Eigenvalues and eigenvectors of symmetric matrices, by Eigen. See Note [Decompositions by level].
#include "kernels/linalg.h"

#if defined(TAPEGRAD_HAVE_V3) && defined(__AVX512F__)

namespace tapegrad::kernels {
namespace v3 {
void eigh_solve(void* const* data, const LinalgArgs& args);
}  // namespace v3
namespace TAPEGRAD_ISA {
void eigh_solve(void* const* data, const LinalgArgs& args) { v3::eigh_solve(data, args); }
}  // namespace TAPEGRAD_ISA
}  // namespace tapegrad::kernels

#else

#include <Eigen/Eigenvalues>

#include "kernels/isa/eigen_matrix.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

/// Of a tridiagonal form, whose iteration needs no matrix: in double, for floats too.
template <class T>
bool eigenvalues(const Matrix<T>& a, T scale, T* values) {
  const Eigen::Tridiagonalization<Matrix<T>> form(a);
  Eigen::SelfAdjointEigenSolver<Matrix<double>> solver;
  solver.computeFromTridiagonal(form.diagonal().template cast<double>(),
                                form.subDiagonal().template cast<double>(), Eigen::EigenvaluesOnly);
  if (solver.info() != Eigen::Success) return false;
  window<T>(values, a.rows(), 1, a.rows()) =
      (solver.eigenvalues() * static_cast<double>(scale)).template cast<T>();
  return true;
}

// Note [Lengths of eigenvectors]
// A rotation whose cosine is rounded stretches the two columns that it turns, nearly always by more
// than it shrinks others; after the hundreds of rotations of a column its length is wrong by
// hundreds of roundings, and the eigenvalue, which was turned from both sides, by the square of
// that factor. Both are divided out, which leaves a tenth of the error at 512 columns of floats.
// Values that were equal may then be out of order by a rounding.
template <class T>
bool eigenvectors(const Matrix<T>& a, T scale, T* values, T* vectors) {
  const int64_t n = a.rows();
  const Eigen::SelfAdjointEigenSolver<Matrix<T>> solver(a);
  if (solver.info() != Eigen::Success) return false;
  auto columns = window<T>(vectors, n, n, n);
  columns = solver.eigenvectors();
  for (int64_t j = 0; j < n; ++j) {
    const T square = columns.col(j).squaredNorm();
    columns.col(j) /= Eigen::numext::sqrt(square);
    values[j] = solver.eigenvalues()(j) / square * scale;
    if (j > 0 && values[j] < values[j - 1]) values[j] = values[j - 1];
  }
  return true;
}

/// False: an element is not finite, or no convergence. `vectors` may be null.
template <class T>
bool eigh_one(const Window<T>& a, T* values, T* vectors) {
  Matrix<T> lower = a.template triangularView<Eigen::Lower>();
  if (!lower.allFinite()) return false;
  const T largest = lower.cwiseAbs().maxCoeff(), scale = largest > T(0) ? largest : T(1);
  lower /= scale;
  const bool done = vectors != nullptr ? eigenvectors<T>(lower, scale, values, vectors)
                                       : eigenvalues<T>(lower, scale, values);
  return done && window<T>(values, a.rows(), 1, a.rows()).allFinite();
}

template <class T>
void eigh_all(void* const* data, const LinalgArgs& args) {
  const int64_t n = args.rows;
  for_each_matrix(args.batch, 9 * cube(n), [&](int64_t b) {
    const auto a = window<T>(static_cast<T*>(data[0]) + b * n * n, n, n, n);
    const bool done = eigh_one<T>(a, static_cast<T*>(data[1]) + b * n,
                                  args.vectors ? static_cast<T*>(data[2]) + b * n * n : nullptr);
    static_cast<int32_t*>(data[3])[b] = done ? 0 : 1;
  });
}

}  // namespace

void eigh_solve(void* const* data, const LinalgArgs& args) {
  if (args.is_double) return eigh_all<double>(data, args);
#ifdef TAPEGRAD_ALL_DECOMPOSITIONS
  eigh_all<float>(data, args);
#else
  const int64_t values = args.batch * args.rows, all = values * args.rows;
  const int64_t sizes[] = {all, values, args.vectors ? all : 0, 0};
  through_double(data, sizes, 4, 0b0110, [&](void* const* wide) { eigh_all<double>(wide, args); });
#endif
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA

#endif
