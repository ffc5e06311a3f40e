// QR and least squares, by Eigen's blocked Householder reflections. For linalg.cpp only; knows no
// other decomposition.
#pragma once

#include <Eigen/QR>

#include "kernels/isa/eigen_matrix.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kBlock = 48;

template <class T>
void qr_one(T* a, T* q, T* r, const LinalgArgs& args) {
  const int64_t m = args.rows, n = args.columns, size = m < n ? m : n, k = args.q_columns;
  auto matrix = window<T>(a, m, n, m);
  Vector<T> factors(size);
  Vector<T> scratch(n);
  Eigen::internal::householder_qr_inplace_blocked<Window<T>, Vector<T>>::run(
      matrix, factors, kBlock, scratch.data());
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < k; ++i) r[i + j * k] = i <= j ? a[i + j * m] : T(0);
  }
  if (q == nullptr) return;
  auto result = window<T>(q, m, k, m);
  result.setIdentity();
  // From the last block of reflectors up: a block reaches only what lies right of and below it.
  for (int64_t end = size; end > 0;) {
    const int64_t start = end > kBlock ? end - kBlock : 0, width = end - start;
    auto part = result.block(start, start, m - start, k - start);
    const auto reflectors = matrix.block(start, start, m - start, width);
    Eigen::internal::apply_block_householder_on_the_left(part, reflectors,
                                                         factors.segment(start, width), true);
    end = start;
  }
}

template <class T>
void qr_all(void* const* data, const LinalgArgs& args) {
  const int64_t m = args.rows, n = args.columns, k = args.q_columns;
  const double work = 2 * static_cast<double>(m * n) * static_cast<double>(m < n ? m : n);
  for_each_matrix(args.batch, work, [&](int64_t b) {
    T* q = args.vectors ? static_cast<T*>(data[1]) + b * m * k : nullptr;
    qr_one(static_cast<T*>(data[0]) + b * m * n, q, static_cast<T*>(data[2]) + b * k * n, args);
  });
}

/// A becomes R (above what is left of the reflectors), B becomes Q^T B.
template <class T>
void rotate_to_triangle(Window<T>& a, Window<T>& right) {
  const int64_t m = a.rows(), n = a.cols();
  Vector<T> factors(n), scratch(n);
  Eigen::internal::householder_qr_inplace_blocked<Window<T>, Vector<T>>::run(a, factors, kBlock,
                                                                             scratch.data());
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t width = n - start < kBlock ? n - start : kBlock;
    auto part = right.bottomRows(m - start);
    const auto reflectors = a.block(start, start, m - start, width);
    Eigen::internal::apply_block_householder_on_the_left(part, reflectors,
                                                         factors.segment(start, width), false);
  }
}

/// An estimate of the largest column sum of the inverse of the triangle, from below and rarely by
/// more than a factor of 3 (W. W. Hager, "Condition Estimates", 1984).
template <class T>
double inverse_norm_estimate(const Window<T>& a) {
  const int64_t n = a.cols();
  const auto r = a.topRows(n).template triangularView<Eigen::Upper>();
  Vector<T> x = Vector<T>::Constant(n, T(1) / static_cast<T>(n));
  double estimate = 0;
  for (int step = 0; step < 4; ++step) {
    r.solveInPlace(x);
    const double norm = static_cast<double>(x.template lpNorm<1>());
    if (!(norm > estimate)) return step == 0 ? norm : estimate;
    estimate = norm;
    for (int64_t i = 0; i < n; ++i) x[i] = x[i] < T(0) ? T(-1) : T(1);
    r.transpose().solveInPlace(x);
    Eigen::Index at = 0;
    x.cwiseAbs().maxCoeff(&at);
    x.setZero();
    x[at] = T(1);
  }
  return estimate;
}

/// Whether the triangle R in A is so far from a deficient one that pivoting would find full rank:
/// the largest pivot is the longest column, the smallest at least the smallest singular value.
template <class T>
bool is_safe(const Window<T>& a, double rcond) {
  constexpr double kDoubt = 30;  // the estimate may be too low
  const int64_t n = a.cols();
  const auto r = a.topRows(n).template triangularView<Eigen::Upper>();
  const auto longest = static_cast<double>(Matrix<T>(r).colwise().norm().maxCoeff());
  const double estimate = longest * inverse_norm_estimate(a) * rcond;
  if (estimate * kDoubt < 0.9) return true;
  if (!(estimate < 0.9)) return false;  // NaN too
  Matrix<T> inverse = Matrix<T>::Identity(n, n);
  r.solveInPlace(inverse);
  return longest * static_cast<double>(inverse.norm()) * rcond < 0.9;
}

template <class T>
void least_squares_all(void* const* data, const LinalgArgs& args) {
  const int64_t m = args.rows, n = args.columns, k = args.right;
  const double work = 2 * static_cast<double>(m * n) * static_cast<double>(m < n ? m : n);
  for_each_matrix(args.batch, work, [&](int64_t b) {
    auto a = window<T>(static_cast<T*>(data[0]) + b * m * n, m, n, m);
    auto right = window<T>(static_cast<T*>(data[1]) + b * m * k, m, k, m);
    auto x = window<T>(static_cast<T*>(data[2]) + b * n * k, n, k, n);
    int64_t& rank = static_cast<int64_t*>(data[3])[b];
    const bool large = n >= kBlock && m >= n;
    if (large) {
      rotate_to_triangle<T>(a, right);
      if (is_safe<T>(a, args.rcond)) {
        x = right.topRows(n);
        a.topRows(n).template triangularView<Eigen::Upper>().solveInPlace(x);
        rank = n;
        return;
      }
    }
    Eigen::CompleteOrthogonalDecomposition<Matrix<T>> factors;
    factors.setThreshold(static_cast<T>(args.rcond));
    if (large) {
      factors.compute(Matrix<T>(a.topRows(n).template triangularView<Eigen::Upper>()));
    } else {
      factors.compute(a);
    }
    if (k > 0) x = factors.solve(right.topRows(large ? n : m));
    rank = factors.rank();
  });
}

}  // namespace
}  // namespace tapegrad::kernels::TAPEGRAD_ISA
