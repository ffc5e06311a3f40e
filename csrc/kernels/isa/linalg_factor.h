// Cholesky, LU and triangular solves: panels by Eigen, what trails by our own product. For
// linalg.cpp only; knows no other decomposition.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/LU>

#include "kernels/contraction.h"
#include "kernels/isa/eigen_matrix.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

constexpr int64_t kPanel = 64;
constexpr int64_t kUnblocked = 96;  // up to here Eigen alone is faster

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// C = alpha A B + beta C with column-major C: the row-major product of the transposes.
template <class T>
void product(double alpha, double beta, T* c, int64_t c_stride, const T* a, int64_t a_row,
             int64_t a_column, const T* b, int64_t b_column, int64_t b_row, int64_t rows,
             int64_t columns, int64_t depth) {
  MatmulArgs args;
  args.dtype = sizeof(T) == 8 ? DType::Float64 : DType::Float32;
  args.m = columns;
  args.n = rows;
  args.k = depth;
  args.a_row = b_column;
  args.a_col = b_row;
  args.b_row = a_column;
  args.b_col = a_row;
  args.c_row = c_stride;
  args.alpha = alpha;
  args.beta = beta;
  void* const data[] = {c, const_cast<T*>(b), const_cast<T*>(a), nullptr};
  matmul(data, args);
}
/// C -= A B.
template <class T>
void subtract_product(T* c, int64_t c_stride, const T* a, int64_t a_row, int64_t a_column,
                      const T* b, int64_t b_column, int64_t b_row, int64_t rows, int64_t columns,
                      int64_t depth) {
  product(-1, 1, c, c_stride, a, a_row, a_column, b, b_column, b_row, rows, columns, depth);
}

// --- triangular solve ----------------------------------------------------------------------------

/// A triangular matrix of any row and column stride.
template <class T>
struct Triangle {
  const T* data;
  int64_t row, column;
  bool upper, unit;
  Triangle from(int64_t i) const { return {data + i * (row + column), row, column, upper, unit}; }
};

constexpr int64_t kInverted = 32;   // triangles that are inverted for the sake of products
constexpr int64_t kManySides = 64;  // right-hand sides for which that pays

/// x, row-major with rows of kInverted, becomes the inverse of a triangle of up to kInverted rows.
/// False where that is not finite.
template <class T>
bool invert_small(const Triangle<T>& a, int64_t n, T* x) {
  T poison = T(0);  // NaN once a number is not finite
  for (int64_t step = 0; step < n; ++step) {
    const int64_t i = a.upper ? n - 1 - step : step;
    alignas(64) T row[kInverted] = {};
    row[i] = T(1);
    for (int64_t k = a.upper ? i + 1 : 0; k < (a.upper ? n : i); ++k) {
      const T factor = a.data[i * a.row + k * a.column];
      const T* solved = x + k * kInverted;
#pragma omp simd
      for (int64_t j = 0; j < kInverted; ++j) row[j] -= factor * solved[j];
    }
    const T pivot = a.unit ? T(1) : a.data[i * (a.row + a.column)];
#pragma omp simd reduction(+ : poison)
    for (int64_t j = 0; j < kInverted; ++j) {
      x[i * kInverted + j] = row[j] / pivot;
      poison += x[i * kInverted + j] * T(0);
    }
  }
  return poison == T(0);
}

/// The triangle with zeros beside it, row-major with rows of kInverted.
template <class T>
void copy_triangle(const Triangle<T>& a, int64_t n, T* to) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const bool inside = a.upper ? i < j : i > j;
      to[i * kInverted + j] = inside ? a.data[i * a.row + j * a.column] : T(0);
    }
    to[i * kInverted + i] = a.unit ? T(1) : a.data[i * (a.row + a.column)];
  }
}

// Note [Inverted triangles]: X = T^-1 B by products is several times as fast as substitution, but
// its residual grows with the condition of T. One step of refinement, X += T^-1 (B - T X), brings
// it down to that of substitution (N. Higham, "Accuracy and Stability", chapters 12 and 14).

template <class T>
void solve_small(const Triangle<T>& a, int64_t n, T* b, int64_t b_stride, int64_t right) {
  alignas(64) T block[kPanel * kPanel];
  if (right >= kManySides && n <= kInverted && invert_small(a, n, block)) {
    constexpr int64_t kAtOnce = 128;
    alignas(64) T sides[kInverted * kAtOnce];
    alignas(64) T triangle[kInverted * kInverted];
    copy_triangle(a, n, triangle);
    for (int64_t first = 0; first < right; first += kAtOnce) {
      const int64_t count = smaller(kAtOnce, right - first);
      T* columns = b + first * b_stride;
      for (int64_t j = 0; j < count; ++j) {
        for (int64_t i = 0; i < n; ++i) sides[i + j * n] = columns[i + j * b_stride];
      }
      product<T>(1, 0, columns, b_stride, block, kInverted, 1, sides, n, 1, n, count, n);
      product<T>(-1, 1, sides, n, triangle, kInverted, 1, columns, b_stride, 1, n, count, n);
      product<T>(1, 1, columns, b_stride, block, kInverted, 1, sides, n, 1, n, count, n);
    }
    return;
  }
  for (int64_t j = 0; j < n; ++j) {
    const int64_t begin = a.upper ? 0 : j, end = a.upper ? j + 1 : n;
    for (int64_t i = begin; i < end; ++i) block[i + j * kPanel] = a.data[i * a.row + j * a.column];
    if (a.unit) block[j + j * kPanel] = T(1);
  }
  const auto matrix = window<T>(block, n, n, kPanel);
  auto sides = window<T>(b, n, right, b_stride);
  if (a.upper) {
    matrix.template triangularView<Eigen::Upper>().solveInPlace(sides);
  } else {
    matrix.template triangularView<Eigen::Lower>().solveInPlace(sides);
  }
}

template <class T, unsigned mode, class M>
void solve_vector_in(const M& matrix, T* b, int64_t n) {
  Eigen::Map<Vector<T>> vector(b, n);
  matrix.template triangularView<mode>().solveInPlace(vector);
}

template <class T, class M>
void solve_vector_by(const M& matrix, const Triangle<T>& a, T* b, int64_t n) {
  if (a.upper) {
    a.unit ? solve_vector_in<T, Eigen::UnitUpper>(matrix, b, n)
           : solve_vector_in<T, Eigen::Upper>(matrix, b, n);
  } else {
    a.unit ? solve_vector_in<T, Eigen::UnitLower>(matrix, b, n)
           : solve_vector_in<T, Eigen::Lower>(matrix, b, n);
  }
}

/// One right-hand side: no panels.
template <class T>
void solve_vector(const Triangle<T>& a, int64_t n, T* b) {
  using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  if (a.row == 1)
    return solve_vector_by(window<T>(const_cast<T*>(a.data), n, n, a.column), a, b, n);
  const Eigen::Map<const Rows, Eigen::Unaligned, Eigen::OuterStride<>> rows(
      a.data, n, n, Eigen::OuterStride<>(a.row));
  solve_vector_by(rows, a, b, n);
}

/// Solves the half that stands alone, takes its share from the other half, solves that.
template <class T>
void solve_triangle(const Triangle<T>& a, int64_t n, T* b, int64_t b_stride, int64_t right) {
  const int64_t least = right < kManySides ? kPanel : kInverted;
  if (n <= least) return solve_small(a, n, b, b_stride, right);
  const int64_t half = (n / 2 + least - 1) / least * least, rest = n - half;
  if (a.upper) {
    solve_triangle(a.from(half), rest, b + half, b_stride, right);
    subtract_product(b, b_stride, a.data + half * a.column, a.row, a.column, b + half, b_stride, 1,
                     half, right, rest);
    solve_triangle(a, half, b, b_stride, right);
  } else {
    solve_triangle(a, half, b, b_stride, right);
    subtract_product(b + half, b_stride, a.data + half * a.row, a.row, a.column, b, b_stride, 1,
                     rest, right, half);
    solve_triangle(a.from(half), rest, b + half, b_stride, right);
  }
}

template <class T>
void solve_all(void* const* data, const LinalgArgs& args) {
  const int64_t n = args.rows;
  Triangle<T> a{static_cast<const T*>(data[0]), 1, n, args.upper, args.unit};
  if (args.transposed) a = {a.data, n, 1, !args.upper, args.unit};
  const double work = static_cast<double>(n * n) * static_cast<double>(args.right);
  for_each_matrix(args.batch, work, [&](int64_t b) {
    Triangle<T> own = a;
    own.data += b * n * n;
    T* sides = static_cast<T*>(data[1]) + b * n * args.right;
    args.right == 1 ? solve_vector(own, n, sides) : solve_triangle(own, n, sides, n, args.right);
  });
}

// --- Cholesky ------------------------------------------------------------------------------------

template <class T>
int64_t cholesky_small(T* a, int64_t n, int64_t stride) {
  auto matrix = window<T>(a, n, n, stride);
  return Eigen::internal::llt_inplace<T, Eigen::Lower>::blocked(matrix) + 1;
}

/// The columns right of a panel that are taken at once: wide enough for the product, narrow enough
/// that little above the diagonal is computed.
constexpr int64_t kStrip = 128;

/// The rows below a panel's lower triangle L become those of B with B L^T = rows.
template <class T>
void solve_below(T* diagonal, int64_t width, int64_t rest, int64_t stride) {
  alignas(64) T inverse[kInverted * kInverted];
  alignas(64) T own[kInverted * kInverted];
  alignas(64) T block[kStrip * kInverted];
  for (int64_t k = 0; k < width; k += kInverted) {
    const int64_t now = smaller(kInverted, width - k);
    const Triangle<T> triangle{diagonal + k + k * stride, 1, stride, false, false};
    T* columns = diagonal + width + k * stride;
    // What stands left of these columns is solved already.
    if (k > 0) {
      subtract_product(columns, stride, diagonal + width, 1, stride, diagonal + k, 1, stride, rest,
                       now, k);
    }
    if (rest < kManySides || !invert_small(triangle, now, inverse)) {
      auto below = window<T>(columns, rest, now, stride);
      window<T>(const_cast<T*>(triangle.data), now, now, stride)
          .transpose()
          .template triangularView<Eigen::Upper>()
          .template solveInPlace<Eigen::OnTheRight>(below);
      continue;
    }
    copy_triangle(triangle, now, own);
    for (int64_t first = 0; first < rest; first += kStrip) {
      const int64_t count = smaller(kStrip, rest - first);
      for (int64_t j = 0; j < now; ++j) {
        for (int64_t i = 0; i < count; ++i) block[i + j * count] = columns[first + i + j * stride];
      }
      // The inverse's rows are the columns of its transpose.
      T* x = columns + first;
      product<T>(1, 0, x, stride, block, 1, count, inverse, kInverted, 1, count, now, now);
      product<T>(-1, 1, block, count, x, 1, stride, own, kInverted, 1, count, now, now);
      product<T>(1, 1, x, stride, block, 1, count, inverse, kInverted, 1, count, now, now);
    }
  }
}

/// 0, or the place (from 1) of the first leading minor that is not positive. Works on the lower
/// triangle.
template <class T>
int64_t cholesky_blocked(T* a, int64_t n) {
  for (int64_t k = 0; k < n; k += kPanel) {
    const int64_t width = smaller(kPanel, n - k), next = k + width, rest = n - next;
    T* diagonal = a + k + k * n;
    const int64_t failed = cholesky_small(diagonal, width, n);
    if (failed != 0) return k + failed;
    if (rest == 0) break;
    solve_below(diagonal, width, rest, n);
    for (int64_t j = 0; j < rest; j += kStrip) {
      const T* rows = diagonal + width + j;
      T* target = a + (next + j) + (next + j) * n;
      // The strip's own rows, transposed, are the right factor: its columns lie n apart.
      subtract_product(target, n, rows, 1, n, rows, 1, n, rest - j, smaller(kStrip, rest - j),
                       width);
    }
  }
  return 0;
}

template <class T>
int64_t cholesky_one(T* a, int64_t n) {
  const int64_t failed = n <= kUnblocked ? cholesky_small(a, n, n) : cholesky_blocked(a, n);
  for (int64_t j = 1; j < n; ++j) {
    for (int64_t i = 0; i < j; ++i) a[i + j * n] = T(0);
  }
  return failed;
}

template <class T>
void cholesky_all(void* const* data, const LinalgArgs& args) {
  const int64_t n = args.rows;
  for_each_matrix(args.batch, cube(n) / 3, [&](int64_t b) {
    static_cast<int32_t*>(data[1])[b] =
        static_cast<int32_t>(cholesky_one(static_cast<T*>(data[0]) + b * n * n, n));
  });
}

// --- LU ------------------------------------------------------------------------------------------

template <class T>
void swap_rows(T* a, int64_t stride, int64_t columns, const int32_t* pivots, int64_t from,
               int64_t to) {
  for (int64_t j = 0; j < columns; ++j) {
    T* column = a + j * stride;
    for (int64_t i = from; i < to; ++i) {
      const T moved = column[i];
      column[i] = column[pivots[i]];
      column[pivots[i]] = moved;
    }
  }
}

template <class T>
void lu_panel(T* a, int64_t rows, int64_t columns, int64_t stride, int32_t* pivots) {
  int32_t swaps = 0;
  Eigen::internal::partial_lu_impl<T, Eigen::ColMajor, int32_t>::blocked_lu(rows, columns, a,
                                                                            stride, pivots, swaps);
}

/// pivots count from 0 here.
template <class T>
void lu_one(T* a, int64_t rows, int64_t columns, int32_t* pivots) {
  const int64_t size = smaller(rows, columns);
  if (size == 0) return;
  if (size <= kUnblocked && columns <= rows) return lu_panel(a, rows, columns, rows, pivots);
  for (int64_t k = 0; k < size; k += kPanel) {
    const int64_t width = smaller(kPanel, size - k), next = k + width;
    T* diagonal = a + k + k * rows;
    lu_panel(diagonal, rows - k, width, rows, pivots + k);
    for (int64_t i = k; i < next; ++i) pivots[i] += static_cast<int32_t>(k);
    swap_rows(a, rows, k, pivots, k, next);
    swap_rows(a + next * rows, rows, columns - next, pivots, k, next);
    if (next == columns) continue;
    T* right = a + k + next * rows;
    solve_triangle<T>({diagonal, 1, rows, false, true}, width, right, rows, columns - next);
    if (next == rows) continue;
    subtract_product(right + width, rows, diagonal + width, 1, rows, right, rows, 1, rows - next,
                     columns - next, width);
  }
}

template <class T>
int32_t first_zero(const T* a, int64_t rows, int64_t size) {
  for (int64_t i = 0; i < size; ++i) {
    if (a[i + i * rows] == T(0)) return static_cast<int32_t>(i + 1);
  }
  return 0;
}

template <class T>
void lu_all(void* const* data, const LinalgArgs& args) {
  const int64_t size = smaller(args.rows, args.columns);
  const double work = static_cast<double>(args.rows * args.columns) * static_cast<double>(size);
  for_each_matrix(args.batch, work, [&](int64_t b) {
    T* a = static_cast<T*>(data[0]) + b * args.rows * args.columns;
    int32_t* pivots = static_cast<int32_t*>(data[1]) + b * size;
    lu_one(a, args.rows, args.columns, pivots);
    for (int64_t i = 0; i < size; ++i) ++pivots[i];
    static_cast<int32_t*>(data[2])[b] = first_zero(a, args.rows, size);
  });
}

template <class T>
void pivot_all(void* const* data, const LinalgArgs& args) {
  const int64_t n = args.rows, count = args.columns;
  for_each_matrix(args.batch, static_cast<double>(n * args.right), [&](int64_t b) {
    T* base = static_cast<T*>(data[0]) + b * n * args.right;
    const int32_t* pivots = static_cast<const int32_t*>(data[1]) + b * count;
    for (int64_t j = 0; j < args.right; ++j) {
      T* column = base + j * n;
      for (int64_t step = 0; step < count; ++step) {
        const int64_t i = args.transposed ? count - 1 - step : step;
        const T moved = column[i];
        column[i] = column[pivots[i] - 1];
        column[pivots[i] - 1] = moved;
      }
    }
  });
}

}  // namespace
}  // namespace tapegrad::kernels::TAPEGRAD_ISA
