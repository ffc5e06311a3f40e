// Eigen's view of matrices in memory, and the loop over a stack of them. For instruction-set
// objects only.
#pragma once

#include <Eigen/Core>

#include "core/parallel.h"
#include "kernels/linalg.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
template <class T>
using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;
/// A window of a column-major matrix.
template <class T>
using Window = Eigen::Map<Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

template <class T>
inline Window<T> window(T* data, int64_t rows, int64_t columns, int64_t stride) {
  return Window<T>(data, rows, columns, Eigen::OuterStride<>(stride));
}

/// f(b) for every matrix of the stack, on the team where that pays; `work` is a matrix' cost in
/// multiplications.
template <class F>
inline void for_each_matrix(int64_t batch, double work, F&& f) {
  constexpr double kSerialWork = 50'000;
  const double fit = kSerialWork / (work + 100);
  const int64_t grain = fit < 1 ? 1 : static_cast<int64_t>(fit);
  core::parallel_for(0, batch, grain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) f(b);
  });
}

inline double cube(int64_t n) {
  const auto x = static_cast<double>(n);
  return x * x * x;
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
