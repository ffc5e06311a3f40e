// Eigenvalues of a symmetric tridiagonal matrix by the implicit QR iteration with Wilkinson's shift
// (Golub and Van Loan, Matrix Computations, algorithm 8.3.3). In double for float matrices too:
// its hundreds of sweeps cost no more so, and leave no error. For instruction-set objects only.
#pragma once

#include <cstdint>

#include "kernels/isa/eigen_matrix.h"
#include "kernels/isa/rotations.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

template <class T>
class Tridiagonal {
 public:
  /// `beside` has the n - 1 elements next to the diagonal. `columns` (column-major, n x n, or null)
  /// is multiplied from the right by the rotations that make the diagonal.
  Tridiagonal(int64_t n, double* diagonal, double* beside, T* columns)
      : n_(n), d_(diagonal), e_(beside), columns_(columns), rotations_(columns, n) {}

  /// Iterates, and sorts the values upwards. False: no convergence.
  bool solve() {
    double scale = 0;
    for (int64_t i = 0; i < n_; ++i) scale = larger(scale, size(d_[i]));
    for (int64_t i = 0; i + 1 < n_; ++i) scale = larger(scale, size(e_[i]));
    const double negligible = kEpsilon / 4 * scale;
    int64_t end = n_ - 1;
    for (int64_t sweep = 0; end > 0; ++sweep) {
      if (sweep > 40 * n_) return false;
      int64_t begin = end;
      for (; begin > 0; --begin) {  // the last block that does not fall apart
        double& e = e_[begin - 1];
        if (size(e) > kEpsilon * root(size(d_[begin - 1]) * size(d_[begin])) &&
            size(e) > negligible)
          continue;
        e = 0;
        break;
      }
      begin == end ? static_cast<void>(--end) : iterate(begin, end);
    }
    rotations_.apply();
    sort();
    return true;
  }

 private:
  static constexpr double kEpsilon = sizeof(T) == 8 ? 2.220446049250313e-16 : 1.1920929e-07 / 8;

  static double size(double x) { return x < 0 ? -x : x; }
  static double larger(double a, double b) { return a > b ? a : b; }
  static double root(double x) { return Eigen::numext::sqrt(x); }

  struct Turn {
    double c, s, r;
  };
  /// [c s; -s c] (x, z) = (r, 0) with c >= 0.
  static Turn rotation(double x, double z) {
    constexpr double kLeast = 1e-280, kMore = 1e200;
    const double squares = x * x + z * z;
    if (squares < kLeast) {  // too small for their precision
      if (z == 0) return {1, 0, x};
      const Turn larger = rotation(x * kMore, z * kMore);
      return {larger.c, larger.s, larger.r / kMore};
    }
    const double r = x < 0 ? -root(squares) : root(squares), inverse = 1 / r;
    return {x * inverse, z * inverse, r};
  }

  void iterate(int64_t l, int64_t m) {
    // The eigenvalue of the last two rows and columns that is nearer to the last element.
    const double half = (d_[m - 1] - d_[m]) / 2, last = e_[m - 1];
    const double distance = root(half * half + last * last);
    double x = d_[l] - d_[m] + last * last / (half + (half < 0 ? -distance : distance)), z = e_[l];
    for (int64_t k = l; k < m; ++k) {
      const auto [c, s, r] = rotation(x, z);
      if (k > l) e_[k - 1] = r;
      const double change = s * (d_[k + 1] - d_[k]) + 2 * c * e_[k];
      d_[k] += s * change;
      d_[k + 1] -= s * change;
      e_[k] = c * change - e_[k];
      x = e_[k];
      if (k + 1 < m) {
        z = s * e_[k + 1];
        e_[k + 1] *= c;
      }
      rotations_.add(k, c, s);
    }
  }

  void sort() {
    for (int64_t i = 0; i + 1 < n_; ++i) {
      int64_t smallest = i;
      for (int64_t j = i + 1; j < n_; ++j) {
        if (d_[j] < d_[smallest]) smallest = j;
      }
      if (smallest == i) continue;
      const double moved = d_[i];
      d_[i] = d_[smallest];
      d_[smallest] = moved;
      if (columns_ == nullptr) continue;
      auto all = window<T>(columns_, n_, n_, n_);
      all.col(i).swap(all.col(smallest));
    }
  }

  int64_t n_;
  double* d_;
  double* e_;
  T* columns_;
  ColumnRotations<T> rotations_;
};

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
