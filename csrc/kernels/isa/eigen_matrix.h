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

// Note [Decompositions below v3]
// Where v3 is there as well, the level below it serves old processors alone: it decomposes float32
// matrices as float64 ones, for half of the code and compile time.
#if defined(__AVX2__) || !defined(TAPEGRAD_HAVE_V3)
#define TAPEGRAD_ALL_DECOMPOSITIONS
#endif

/// `solve`, written for doubles, on `count` float arrays: on copies of those that have a size. What
/// it leaves in those of the bits of `results` is copied back.
template <class F>
inline void through_double(void* const* data, const int64_t* sizes, int count, unsigned results,
                           F&& solve) {
  constexpr int kMost = 6;
  Vector<double> copies[kMost];
  void* wide[kMost];
  for (int i = 0; i < count; ++i) {
    wide[i] = data[i];
    if (sizes[i] == 0 || data[i] == nullptr) continue;
    copies[i] =
        Eigen::Map<const Vector<float>>(static_cast<float*>(data[i]), sizes[i]).cast<double>();
    wide[i] = copies[i].data();
  }
  solve(static_cast<void* const*>(wide));
  for (int i = 0; i < count; ++i) {
    if (wide[i] != data[i] && ((results >> i) & 1u) != 0)
      Eigen::Map<Vector<float>>(static_cast<float*>(data[i]), sizes[i]) = copies[i].cast<float>();
  }
}

inline double cube(int64_t n) {
  const auto x = static_cast<double>(n);
  return x * x * x;
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
