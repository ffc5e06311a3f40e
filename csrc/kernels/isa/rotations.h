// Givens rotations of neighbouring columns of a square matrix, written down while an iteration
// finds them and applied many at a time. For instruction-set objects only; knows no iteration.
//
// Note [Rotations by panels]
// A rotation touches two columns and does four multiplications an element: applied one by one, each
// sweep of an iteration reads and writes the whole matrix. The rows do not depend on each other, so
// many sweeps are applied to a panel of some rows, which stays in the cache; in a sweep the column
// that two rotations share stays in registers. Panels run in parallel, with the same bits on every
// number of threads.
//
// A rotation is kept as its sine s and the tangent t of half its angle, and turns columns x and y
// to x + s (y - t x) and y - s (x + t y) (Rutishauser, The Jacobi method for real symmetric
// matrices, 1966): rounding s and t moves the length of a column by s^2 units, where rounding a
// cosine near 1 moves it by one, always up: after hundreds of rotations it shows.
#pragma once

#include <cstdint>

#include "kernels/isa/eigen_matrix.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

template <class T>
struct Rotation {
  T sine, half_tangent;
};

/// Rotation number i turns columns first + i and first + i + 1.
struct Sweep {
  int32_t first, count;
};

/// Applies `sweeps`, one after the other, to all rows of a column-major n x n matrix. `rotations`
/// are those of all sweeps in turn.
void rotate_columns(float* columns, int64_t n, const Sweep* sweeps, int64_t count,
                    const Rotation<float>* rotations);
void rotate_columns(double* columns, int64_t n, const Sweep* sweeps, int64_t count,
                    const Rotation<double>* rotations);

/// The rotations of one matrix.
template <class T>
class ColumnRotations {
 public:
  /// `columns` is column-major, n x n; null: nothing is written down.
  ColumnRotations(T* columns, int64_t n) : columns_(columns), n_(n), most_(kSweeps * n) {
    if (columns == nullptr) return;
    sweeps_.resize(2 * kSweeps);
    rotations_.resize(2 * most_);
  }

  /// The next rotation turns columns x = i and y = i + 1 to c x + s y and c y - s x; c >= 0.
  void add(int64_t i, double c, double s) {
    if (columns_ == nullptr) return;
    if (count_ == most_) apply();
    if (i != next_) {
      if (sweep_count_ == kSweeps) apply();
      sweeps()[sweep_count_++] = {static_cast<int32_t>(i), 0};
    }
    next_ = i + 1;
    ++sweeps()[sweep_count_ - 1].count;
    rotations()[count_++] = {static_cast<T>(s), static_cast<T>(s / (1 + c))};
  }

  /// Brings the matrix up to date.
  void apply() {
    if (count_ > 0) rotate_columns(columns_, n_, sweeps(), sweep_count_, rotations());
    count_ = sweep_count_ = 0;
    next_ = -1;
  }

 private:
  // At once: bringing a panel into the cache and back is then a small part.
  static constexpr int64_t kSweeps = 64;

  Sweep* sweeps() { return reinterpret_cast<Sweep*>(sweeps_.data()); }
  Rotation<T>* rotations() { return reinterpret_cast<Rotation<T>*>(rotations_.data()); }

  T* columns_;
  int64_t n_;
  int64_t most_;
  int64_t count_ = 0, sweep_count_ = 0;
  int64_t next_ = -1;  // the column with which the sweep goes on
  Eigen::Matrix<int32_t, Eigen::Dynamic, 1> sweeps_;
  Vector<T> rotations_;
};

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
