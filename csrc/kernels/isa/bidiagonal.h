// Singular values of an upper bidiagonal matrix by the implicit QR iteration (Golub and Kahan;
// Demmel and Kahan's sweep without a shift), which beats Eigen's divide and conquer up to a few
// hundred columns, and always where no vectors are wanted. For instruction-set objects only.
#pragma once

#include <cstdint>

#include "kernels/isa/eigen_matrix.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

template <class T>
class Bidiagonal {
 public:
  /// `left` and `right` (column-major, n x n, or null) are multiplied from the right by the
  /// rotations that make the diagonal.
  Bidiagonal(int64_t n, T* diagonal, T* above, T* left, T* right)
      : n_(n), d_(diagonal), e_(above), left_(left), right_(right) {}

  /// Iterates, makes the values positive and sorts them. False: no convergence.
  bool solve() {
    T scale = T(0);
    for (int64_t i = 0; i < n_; ++i) scale = larger(scale, size(d_[i]));
    for (int64_t i = 0; i + 1 < n_; ++i) scale = larger(scale, size(e_[i]));
    const T negligible = kEpsilon / 4 * scale;
    int64_t end = n_ - 1;
    for (int64_t sweep = 0; end > 0; ++sweep) {
      if (sweep > 40 * n_) return false;
      int64_t begin = end;
      while (begin > 0) {  // the last block that does not fall apart
        T& e = e_[begin - 1];
        if (size(e) <= kEpsilon * (size(d_[begin - 1]) + size(d_[begin])) ||
            size(e) <= negligible) {
          e = T(0);
          break;
        }
        --begin;
      }
      if (begin == end) {
        --end;
        continue;
      }
      iterate(begin, end);
    }
    finish();
    return true;
  }

 private:
  static constexpr T kEpsilon = sizeof(T) == 8 ? T(2.220446049250313e-16) : T(1.1920929e-07);

  static T size(T x) { return x < T(0) ? -x : x; }
  static T larger(T a, T b) { return a > b ? a : b; }
  static T root(T x) { return Eigen::numext::sqrt(x); }

  struct Rotation {
    T c, s, r;
  };
  /// [c s; -s c] (f, g) = (r, 0). Values are far from the ends of the range: the matrix was scaled.
  static Rotation rotation(T f, T g) {
    if (g == T(0)) return {T(1), T(0), f};
    if (f == T(0)) return {T(0), T(1), g};
    const T r = root(f * f + g * g), inverse = T(1) / r;
    return {f * inverse, g * inverse, r};
  }

  /// The smaller singular value of [f g; 0 h].
  static T smaller_value(T f, T g, T h) {
    const T a = size(f), b = size(g), c = size(h);
    const T low = a < c ? a : c, high = a < c ? c : a;
    if (low == T(0)) return T(0);
    const T sum = high + b;
    // |f h| divided by the larger value, which is at least high and b.
    const T plus = (a + c) * (a + c) + b * b, minus = (a - c) * (a - c) + b * b;
    const T largest = (root(plus) + root(minus)) / 2;
    return largest > T(0) ? low * (high / largest) : sum;
  }

  void rotate(T* columns, int64_t i, T c, T s) {
    if (columns == nullptr) return;
    T* a = columns + i * n_;
    T* b = a + n_;
#pragma omp simd
    for (int64_t k = 0; k < n_; ++k) {
      const T x = a[k], y = b[k];
      a[k] = c * x + s * y;
      b[k] = c * y - s * x;
    }
  }

  void iterate(int64_t l, int64_t m) {
    T shift = smaller_value(d_[m - 1], e_[m - 1], d_[m]);
    const T first = size(d_[l]);
    if (first == T(0) || (shift / first) * (shift / first) < kEpsilon) shift = T(0);
    for (int64_t i = l; i <= m && shift != T(0); ++i) {
      if (d_[i] == T(0)) shift = T(0);  // such a sweep splits the block there
    }
    shift == T(0) ? plain_sweep(l, m) : shifted_sweep(l, m, shift);
  }

  void plain_sweep(int64_t l, int64_t m) {
    T c = T(1), old_c = T(1), old_s = T(0);
    for (int64_t i = l; i < m; ++i) {
      const Rotation right = rotation(d_[i] * c, e_[i]);
      if (i > l) e_[i - 1] = old_s * right.r;
      const Rotation left = rotation(old_c * right.r, d_[i + 1] * right.s);
      d_[i] = left.r;
      c = right.c;
      old_c = left.c;
      old_s = left.s;
      rotate(right_, i, right.c, right.s);
      rotate(left_, i, left.c, left.s);
    }
    const T last = d_[m] * c;
    d_[m] = last * old_c;
    e_[m - 1] = last * old_s;
  }

  void shifted_sweep(int64_t l, int64_t m, T shift) {
    T f = (size(d_[l]) - shift) * ((d_[l] < T(0) ? T(-1) : T(1)) + shift / d_[l]), g = e_[l];
    for (int64_t i = l; i < m; ++i) {
      const Rotation right = rotation(f, g);
      if (i > l) e_[i - 1] = right.r;
      f = right.c * d_[i] + right.s * e_[i];
      e_[i] = right.c * e_[i] - right.s * d_[i];
      g = right.s * d_[i + 1];
      d_[i + 1] = right.c * d_[i + 1];
      const Rotation left = rotation(f, g);
      d_[i] = left.r;
      f = left.c * e_[i] + left.s * d_[i + 1];
      d_[i + 1] = left.c * d_[i + 1] - left.s * e_[i];
      if (i + 1 < m) {
        g = left.s * e_[i + 1];
        e_[i + 1] = left.c * e_[i + 1];
      }
      rotate(right_, i, right.c, right.s);
      rotate(left_, i, left.c, left.s);
    }
    e_[m - 1] = f;
  }

  void swap_columns(T* columns, int64_t i, int64_t j) {
    if (columns == nullptr) return;
    for (int64_t k = 0; k < n_; ++k) {
      const T moved = columns[i * n_ + k];
      columns[i * n_ + k] = columns[j * n_ + k];
      columns[j * n_ + k] = moved;
    }
  }

  void finish() {
    for (int64_t i = 0; i < n_; ++i) {
      if (d_[i] >= T(0)) continue;
      d_[i] = -d_[i];
      if (right_ == nullptr) continue;
      for (int64_t k = 0; k < n_; ++k) right_[i * n_ + k] = -right_[i * n_ + k];
    }
    for (int64_t i = 0; i + 1 < n_; ++i) {
      int64_t largest = i;
      for (int64_t j = i + 1; j < n_; ++j) {
        if (d_[j] > d_[largest]) largest = j;
      }
      if (largest == i) continue;
      const T moved = d_[i];
      d_[i] = d_[largest];
      d_[largest] = moved;
      swap_columns(left_, i, largest);
      swap_columns(right_, i, largest);
    }
  }

  int64_t n_;
  T* d_;
  T* e_;
  T* left_;
  T* right_;
};

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
