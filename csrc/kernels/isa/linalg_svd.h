// Singular values and vectors, by Eigen and, for floats, by the kernels of other decompositions.
// For linalg.cpp only.
#pragma once

#include <Eigen/SVD>

#include "kernels/isa/eigen_matrix.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

/// Where the results of one matrix go; u and v null when only values are wanted.
template <class T>
struct SvdResult {
  T* u;
  T* values;
  T* v;
  int64_t u_columns, v_columns;
};

/// By divide and conquer.
template <class T>
bool divided_svd(const Window<T>& a, const SvdResult<T>& out) {
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
  return solver.info() == Eigen::Success;
}

// Note [Singular values of floats]
// Divide and conquer is slow below a few hundred columns. A matrix of floats A has a faster way
// there: the eigenvectors V of A^T A, in double. Squaring A squares the ratios of its singular
// values, but a double's rounding is less than the square of a float's: what is lost is below a
// float's rounding of the largest value. A V is U times the singular values; where the least of
// them are so small that their columns would not be orthogonal, QR makes them so.
constexpr double kOrthogonal = 1e-4;  // of the least to the largest value

/// U, of so many columns, and the values, from A V.
void left_vectors(Matrix<double>& av, Matrix<double>& u, Vector<double>& values) {
  const int64_t m = av.rows(), n = av.cols(), columns = u.cols();
  values = av.colwise().norm();
  if (columns == n && values(n - 1) > kOrthogonal * values(0)) {
    u = av.array().rowwise() / values.transpose().array();
    return;
  }
  LinalgArgs args;
  args.is_double = true;
  args.rows = m;
  args.columns = n;
  args.q_columns = columns;
  Matrix<double> r(columns, n);
  void* const data[] = {av.data(), u.data(), r.data()};
  qr_factor(data, args);
  values = r.diagonal().cwiseAbs();
  for (int64_t j = 0; j < n; ++j) {
    if (r(j, j) < 0) u.col(j) = -u.col(j);
  }
}

/// For at least as many rows as columns.
bool squared_svd(const Matrix<double>& a, const SvdResult<float>& out) {
  const int64_t m = a.rows(), n = a.cols();
  LinalgArgs args;
  args.is_double = true;
  args.rows = n;
  args.vectors = out.u != nullptr;
  Matrix<double> square = Matrix<double>::Zero(n, n), v(n, args.vectors ? n : 0);
  square.selfadjointView<Eigen::Lower>().rankUpdate(a.transpose());
  Vector<double> values(n);
  int32_t failed = 0;
  void* const data[] = {square.data(), values.data(), args.vectors ? v.data() : nullptr, &failed};
  eigh_solve(data, args);
  if (failed != 0) return false;
  values = values.reverse().cwiseMax(0.0).cwiseSqrt().eval();
  if (args.vectors) {
    v.rowwise().reverseInPlace();
    Matrix<double> av = a * v, u(m, out.u_columns);
    left_vectors(av, u, values);
    window<float>(out.u, m, out.u_columns, m) = u.cast<float>();
    window<float>(out.v, n, n, n) = v.cast<float>();
  }
  for (int64_t j = 0; j < n; ++j) {  // equal ones may be out of order by a rounding
    if (j > 0 && values(j) > values(j - 1)) values(j) = values(j - 1);
    out.values[j] = static_cast<float>(values(j));
  }
  return true;
}

bool svd_one(const Window<double>& a, const SvdResult<double>& out) { return divided_svd(a, out); }

bool svd_one(const Window<float>& a, const SvdResult<float>& out) {
#ifdef TAPEGRAD_ALL_DECOMPOSITIONS
  constexpr int64_t kSquared = 256;  // columns
  if (out.u != nullptr && a.rows() > kSquared && a.cols() > kSquared) return divided_svd(a, out);
#endif
  if (a.rows() >= a.cols()) return squared_svd(a.cast<double>(), out);
  return squared_svd(a.transpose().cast<double>(),
                     {out.v, out.values, out.u, out.v_columns, out.u_columns});
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
    static_cast<int32_t*>(data[4])[b] = a.allFinite() && svd_one(a, out) ? 0 : 1;
  });
}

}  // namespace
}  // namespace tapegrad::kernels::TAPEGRAD_ISA
