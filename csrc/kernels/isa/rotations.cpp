// See Note [Rotations by panels]. Compiled with -ffp-contract=fast: each sum has one product.
#include "kernels/isa/rotations.h"

#if !(defined(TAPEGRAD_HAVE_V3) && defined(__AVX512F__))  // see Note [Decompositions by level]

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

// As many vectors a row of the panel as leave no register to memory, and hide the sums' latency.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kVectors = 2;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kVectors = 3;
#else
constexpr int kVectorBytes = 16, kVectors = 2;
#endif

template <class T>
struct LanesOf {
  typedef T Type __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};
template <class T>
using Lanes = typename LanesOf<T>::Type;

template <class T>
constexpr int64_t kPanelRows = kVectors * kVectorBytes / static_cast<int64_t>(sizeof(T));

/// A column of the panel, in registers.
template <class T>
struct Column {
  Lanes<T> part[kVectors];

  [[gnu::always_inline]] static Column load(const T* at) {
    Column column;
    for (int v = 0; v < kVectors; ++v)
      column.part[v] = *reinterpret_cast<const Lanes<T>*>(at + v * (kPanelRows<T> / kVectors));
    return column;
  }
  [[gnu::always_inline]] void store(T* at) const {
    for (int v = 0; v < kVectors; ++v)
      *reinterpret_cast<Lanes<T>*>(at + v * (kPanelRows<T> / kVectors)) = part[v];
  }
};

/// Turns `shared` and `next`: gives the first, and leaves the second in `shared`.
template <class T>
[[gnu::always_inline]] inline Column<T> turn(Column<T>& shared, const Column<T>& next,
                                             const Rotation<T>& rotation) {
  const T s = rotation.sine, t = rotation.half_tangent;
  Column<T> first;
  for (int v = 0; v < kVectors; ++v) {
    const Lanes<T> x = shared.part[v], y = next.part[v];
    first.part[v] = x + s * (y - t * x);
    shared.part[v] = y - s * (x + t * y);
  }
  return first;
}

/// One sweep from column `at` on, whose elements are in `shared`.
template <class T>
void rotate_once(T* at, Column<T> shared, const Rotation<T>* rotations, int64_t count) {
  constexpr int64_t kRows = kPanelRows<T>;
  for (int64_t i = 0; i < count; ++i, at += kRows)
    turn(shared, Column<T>::load(at + kRows), rotations[i]).store(at);
  shared.store(at);
}

/// Two sweeps from the same column on, the second one a column behind: each column is read and
/// written once. The second has 1 to `count` rotations.
template <class T>
void rotate_twice(T* at, const Rotation<T>* rotations, int64_t count, const Rotation<T>* second,
                  int64_t second_count) {
  constexpr int64_t kRows = kPanelRows<T>;
  Column<T> shared = Column<T>::load(at);
  Column<T> behind = turn(shared, Column<T>::load(at + kRows), rotations[0]);
  const int64_t both = second_count < count ? second_count : count - 1;
  for (int64_t i = 1; i <= both; ++i, at += kRows) {
    const Column<T> done = turn(shared, Column<T>::load(at + 2 * kRows), rotations[i]);
    turn(behind, done, second[i - 1]).store(at);
  }
  if (second_count == count) {
    turn(behind, shared, second[count - 1]).store(at);
    behind.store(at + kRows);
  } else {
    behind.store(at);
    rotate_once(at + kRows, shared, rotations + both + 1, count - both - 1);
  }
}

/// Columns of the panel follow each other, each of kPanelRows elements.
template <class T>
void rotate_panel(T* panel, const Sweep* sweeps, int64_t count, const Rotation<T>* rotations) {
  const Sweep* const end = sweeps + count;
  for (const Sweep* sweep = sweeps; sweep < end; rotations += sweep->count, ++sweep) {
    T* const at = panel + sweep->first * kPanelRows<T>;
    const Sweep* const next = sweep + 1;
    if (next < end && next->first == sweep->first && next->count <= sweep->count) {
      rotate_twice(at, rotations, sweep->count, rotations + sweep->count, next->count);
      rotations += sweep->count;
      ++sweep;
    } else {
      rotate_once(at, Column<T>::load(at), rotations, sweep->count);
    }
  }
}

template <class T>
void rotate_all(T* columns, int64_t n, const Sweep* sweeps, int64_t count,
                const Rotation<T>* rotations) {
  constexpr int64_t kRows = kPanelRows<T>;
  core::parallel_for(0, (n + kRows - 1) / kRows, 1, [&](int64_t first, int64_t last) {
    Matrix<T> panel = Matrix<T>::Zero(kRows, n);
    for (int64_t p = first; p < last; ++p) {
      const int64_t rows = n - p * kRows < kRows ? n - p * kRows : kRows;
      auto inside = window<T>(columns + p * kRows, rows, n, n);
      panel.topRows(rows) = inside;
      rotate_panel(panel.data(), sweeps, count, rotations);
      inside = panel.topRows(rows);
    }
  });
}

}  // namespace

void rotate_columns(float* columns, int64_t n, const Sweep* sweeps, int64_t count,
                    const Rotation<float>* rotations) {
  rotate_all(columns, n, sweeps, count, rotations);
}
void rotate_columns(double* columns, int64_t n, const Sweep* sweeps, int64_t count,
                    const Rotation<double>* rotations) {
  rotate_all(columns, n, sweeps, count, rotations);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA

#endif
