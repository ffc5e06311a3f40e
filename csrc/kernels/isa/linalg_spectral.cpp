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

#include "kernels/isa/bidiagonal.h"
#include "kernels/isa/eigen_matrix.h"
#include "kernels/isa/tridiagonal.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

/// False: an element is not finite, or no convergence. `vectors` may be null.
template <class T>
bool eigh_one(const Window<T>& a, T* values, T* vectors) {
  const int64_t n = a.rows();
  Matrix<T> form = a.template triangularView<Eigen::Lower>();
  if (!form.allFinite()) return false;
  const T largest = form.cwiseAbs().maxCoeff(), scale = largest > T(0) ? largest : T(1);
  form /= scale;
  auto columns = window<T>(vectors, n, n, n);
  Vector<double> diagonal = form.diagonal().template cast<double>();
  Vector<double> beside = Vector<double>::Zero(n);
  if (n > 1) {
    const Eigen::Tridiagonalization<Matrix<T>> reduced(form);
    diagonal = reduced.diagonal().template cast<double>();
    beside.head(n - 1) = reduced.subDiagonal().template cast<double>();
    if (vectors != nullptr) columns = reduced.matrixQ();
  } else if (vectors != nullptr) {
    columns.setOnes();
  }
  if (!Tridiagonal<T>(n, diagonal.data(), beside.data(), vectors).solve()) return false;
  auto found = window<T>(values, n, 1, n);
  found = (diagonal * static_cast<double>(scale)).template cast<T>();
  return found.allFinite();
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

#ifdef TAPEGRAD_ALL_DECOMPOSITIONS
constexpr int64_t kIterated = 256;  // above, divide and conquer makes vectors faster
#else
constexpr int64_t kIterated = INT64_MAX;
#endif

/// Where the results of one matrix go; u and v null when only values are wanted.
template <class T>
struct SvdResult {
  T* u;
  T* values;
  T* v;
  int64_t u_columns, v_columns;
};

/// The basis that the reflectors make of `inner` (and unit vectors beyond it).
template <class T, class Reflectors>
void expand_basis(const Reflectors& reflectors, const Matrix<T>& inner, T* out, int64_t rows,
                  int64_t columns) {
  auto basis = window<T>(out, rows, columns, rows);
  basis.setIdentity();
  basis.topLeftCorner(inner.rows(), inner.cols()) = inner;
  reflectors.applyThisOnTheLeft(basis);
}

/// By bidiagonalisation and the QR iteration, for at least as many rows as columns.
template <class T>
bool iterated_svd(const Matrix<T>& a, const SvdResult<T>& out) {
  const int64_t n = a.cols();
  const T scale = a.cwiseAbs().maxCoeff();
  const T divisor = scale > T(0) ? scale : T(1);
  Eigen::internal::UpperBidiagonalization<Matrix<T>> form(Matrix<T>(a / divisor));
  const auto& band = form.bidiagonal().coeffs();  // what is above the diagonal, and the diagonal
  Vector<T> diagonal = band.row(1).transpose();
  Vector<T> above = Vector<T>::Zero(n);
  if (n > 1) above.head(n - 1) = band.row(0).tail(n - 1).transpose();
  Matrix<T> left, right;
  if (out.u != nullptr) {
    left.setIdentity(n, n);
    right.setIdentity(n, n);
  }
  Bidiagonal<T> problem(n, diagonal.data(), above.data(), out.u != nullptr ? left.data() : nullptr,
                        out.u != nullptr ? right.data() : nullptr);
  if (!problem.solve()) return false;
  window<T>(out.values, n, 1, n) = diagonal * scale;
  if (out.u == nullptr) return true;
  expand_basis<T>(form.householderU(), left, out.u, a.rows(), out.u_columns);
  expand_basis<T>(form.householderV(), right, out.v, n, out.v_columns);
  return true;
}

#ifdef TAPEGRAD_ALL_DECOMPOSITIONS
template <class T>
int32_t divided_svd(const Window<T>& a, const SvdResult<T>& out) {
  const int64_t m = a.rows(), n = a.cols(), size = m < n ? m : n;
  unsigned options = 0;
  if (out.u != nullptr) {
    options = (out.u_columns == size ? Eigen::ComputeThinU : Eigen::ComputeFullU) |
              (out.v_columns == size ? Eigen::ComputeThinV : Eigen::ComputeFullV);
  }
  const Eigen::BDCSVD<Matrix<T>> solver(a, options);
  window<T>(out.values, size, 1, size) = solver.singularValues();
  if (out.u != nullptr) {
    window<T>(out.u, m, out.u_columns, m) = solver.matrixU();
    window<T>(out.v, n, out.v_columns, n) = solver.matrixV();
  }
  return solver.info() == Eigen::Success ? 0 : 1;
}
#endif

/// 0 for success.
template <class T>
int32_t svd_one(const Window<T>& a, const SvdResult<T>& out) {
  const int64_t m = a.rows(), n = a.cols(), size = m < n ? m : n;
  if (out.u == nullptr || size <= kIterated) {
    const bool done = m >= n ? iterated_svd<T>(a, out)
                             : iterated_svd<T>(a.transpose(), {out.v, out.values, out.u,
                                                               out.v_columns, out.u_columns});
    if (done) return 0;
  }
#ifdef TAPEGRAD_ALL_DECOMPOSITIONS
  return divided_svd<T>(a, out);
#else
  return 1;
#endif
}

template <class T>
void svd_all(void* const* data, const LinalgArgs& args) {
  const int64_t m = args.rows, n = args.columns, size = m < n ? m : n;
  const double work = 9 * static_cast<double>(m * n) * static_cast<double>(size);
  for_each_matrix(args.batch, work, [&](int64_t b) {
    const auto a = window<T>(static_cast<T*>(data[0]) + b * m * n, m, n, m);
    SvdResult<T> out{nullptr, static_cast<T*>(data[2]) + b * size, nullptr, args.q_columns,
                     args.v_columns};
    if (args.vectors) {
      out.u = static_cast<T*>(data[1]) + b * m * args.q_columns;
      out.v = static_cast<T*>(data[3]) + b * n * args.v_columns;
    }
    static_cast<int32_t*>(data[4])[b] = a.allFinite() ? svd_one<T>(a, out) : 1;
  });
}

}  // namespace

#ifdef TAPEGRAD_ALL_DECOMPOSITIONS

void eigh_solve(void* const* data, const LinalgArgs& args) {
  args.is_double ? eigh_all<double>(data, args) : eigh_all<float>(data, args);
}
void svd_solve(void* const* data, const LinalgArgs& args) {
  args.is_double ? svd_all<double>(data, args) : svd_all<float>(data, args);
}

#else  // Note [Decompositions below v3]

void eigh_solve(void* const* data, const LinalgArgs& args) {
  if (args.is_double) return eigh_all<double>(data, args);
  const int64_t values = args.batch * args.rows, all = values * args.rows;
  const int64_t sizes[] = {all, values, args.vectors ? all : 0, 0};
  through_double(data, sizes, 4, 0b0110, [&](void* const* wide) { eigh_all<double>(wide, args); });
}
void svd_solve(void* const* data, const LinalgArgs& args) {
  if (args.is_double) return svd_all<double>(data, args);
  const int64_t m = args.rows, n = args.columns, batch = args.batch;
  const int64_t sizes[] = {batch * m * n, args.vectors ? batch * m * args.q_columns : 0,
                           batch * (m < n ? m : n), args.vectors ? batch * n * args.v_columns : 0,
                           0};
  through_double(data, sizes, 5, 0b01110, [&](void* const* wide) { svd_all<double>(wide, args); });
}

#endif

}  // namespace tapegrad::kernels::TAPEGRAD_ISA

#endif
