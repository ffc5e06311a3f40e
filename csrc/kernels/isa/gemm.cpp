// Matrix products on register tiles. See Note [One order of summation].
//
// Note [One order of summation]: an element of C is the sum over k in ascending order, in blocks of
// a length that depends on k alone, each begun at zero and added to C. Tile sizes, packing, vector
// widths and the split over threads change nothing in it, so neither do they change the bits;
// levels with fused multiply-add agree too. Matrix-vector products that run along k sum in
// kDotLanes lanes.
//
// Note [Fused by the compiler]: vector types have no way to name a fused multiply-add, so this file
// alone is compiled with -ffp-contract=fast. An expression that could be fused in two ways would
// get different bits in different places: each has one product and one sum, and keep() parts them.
#include "kernels/isa/gemm.h"

#include <cstdint>
#include <utility>

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRows = 14, kNarrowRows = 14, kDotRows = 4;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kRows = 6, kNarrowRows = 12, kDotRows = 2;
#else
constexpr int kVectorBytes = 16, kRows = 4, kNarrowRows = 8, kDotRows = 1;
#endif
constexpr int kVectors = 2;

// Values of T side by side; loads and stores through it need no alignment.
template <class T, int kBytes>
struct VectorOf {
  typedef T Type __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));
};
template <class T, int kBytes>
using Vector = typename VectorOf<T, kBytes>::Type;

template <class T>
constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(T));
template <class T>
constexpr int kPanel = kVectors * kWidth<T>;  // columns of a panel of B
// A panel of A (kRows x kDepth) stays in the first-level cache, a block of B in the second.
template <class T>
constexpr int64_t kDepth = sizeof(T) == 4 ? 256 : 192;
template <class T>
constexpr int64_t kColumns = sizeof(T) == 4 ? 512 : 320;
constexpr int kPad = 16;  // rows of a panel of A do not start at the same place of the cache
constexpr int kDotLanes = 32;

inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
template <class T>
inline T fma(T a, T b, T c) {
  return a * b + c;
}
#endif

// A value that no later expression is fused with.
template <class V>
[[gnu::always_inline]] inline V keep(V value) {
#if defined(__x86_64__)
  asm("" : "+v"(value));
#elif defined(__aarch64__)
  asm("" : "+w"(value));
#endif
  return value;
}

// The bias of those that have none: x + (-0.0) is x for every x.
template <class T>
struct NoBias {
  alignas(64) T values[kPanel<T>] = {};
  constexpr NoBias() {
    for (T& value : values) value = T(-0.0);
  }
};
template <class T>
constexpr NoBias<T> kNoBias;

// What becomes of the sums of a tile: c = alpha * sum + bias + beta * c.
template <class T>
struct Store {
  T* c;
  int64_t c_row;
  int64_t columns;  // valid ones; fewer than the tile has at the right edge
  T alpha, beta;
  const T* bias;
};

template <class T, class V>
[[gnu::always_inline]] inline V finish(V sum, const T* c, const T* bias, const Store<T>& out) {
  V value = keep(sum * out.alpha + *reinterpret_cast<const V*>(bias));
  if (out.beta != T(0)) value = *reinterpret_cast<const V*>(c) * out.beta + value;
  return value;
}

// The right edge of C goes through copies, so that the same vector code computes it.
template <class T, int kBytes, int kV>
[[gnu::noinline]] void store_edge(const T* sums, int rows, const Store<T>& out) {
  using V = Vector<T, kBytes>;
  constexpr int kW = kBytes / static_cast<int>(sizeof(T));
  T row[kV * kW] = {}, bias[kV * kW] = {};
  for (int64_t j = 0; j < out.columns; ++j) bias[j] = out.bias[j];
  for (int i = 0; i < rows; ++i) {
    T* c = out.c + i * out.c_row;
    if (out.beta != T(0)) {
      for (int64_t j = 0; j < out.columns; ++j) row[j] = c[j];
    }
    for (int j = 0; j < kV; ++j) {
      const V sum = *reinterpret_cast<const V*>(sums + (i * kV + j) * kW);
      *reinterpret_cast<V*>(row + j * kW) = finish<T, V>(sum, row + j * kW, bias + j * kW, out);
    }
    for (int64_t j = 0; j < out.columns; ++j) c[j] = row[j];
  }
}

template <class T, int kBytes, int kV, int kM>
[[gnu::always_inline]] inline void store_tile(const Vector<T, kBytes> (&sum)[kM][kV],
                                              const Store<T>& out) {
  using V = Vector<T, kBytes>;
  constexpr int kW = kBytes / static_cast<int>(sizeof(T));
  if (out.columns == kV * kW) {
#pragma GCC unroll 16
    for (int i = 0; i < kM; ++i) {
      T* c = out.c + i * out.c_row;
#pragma GCC unroll 4
      for (int j = 0; j < kV; ++j) {
        *reinterpret_cast<V*>(c + j * kW) =
            finish<T, V>(sum[i][j], c + j * kW, out.bias + j * kW, out);
      }
    }
    return;
  }
  T copy[kM][kV * kW];
#pragma GCC unroll 16
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kV; ++j) *reinterpret_cast<V*>(copy[i] + j * kW) = sum[i][j];
  }
  store_edge<T, kBytes, kV>(copy[0], kM, out);
}

// How a panel of A lies: any strides, or packed with one side adjacent and the other at a fixed
// distance, which an address can hold.
enum class Layout { kAny, kAlongK, kAlongRows };
template <class T, Layout kLayout>
constexpr int64_t kPackedRow = kLayout == Layout::kAlongK ? kDepth<T> + kPad : 1;
template <Layout kLayout>
constexpr int64_t kPackedColumn = kLayout == Layout::kAlongK ? 1 : kPad;

// The sums of a kM x (kV vectors) tile over k, kept in registers. Rows of A with any stride are
// reached by seven multiples of it that an address can scale: kM rows need no kM pointers.
template <class T, int kBytes, int kV, int kM, Layout kLayout>
[[gnu::noinline]] void tile(int64_t k, const T* a, int64_t a_row, int64_t a_col, const T* b,
                            int64_t b_row, const Store<T>& out) {
  using V = Vector<T, kBytes>;
  constexpr int64_t kSize = sizeof(T);
  constexpr bool kAny = kLayout == Layout::kAny;
  [[maybe_unused]] int64_t s1 = a_row * kSize, s3 = 3 * s1, s5 = 5 * s1, s7 = 7 * s1, s9 = 9 * s1,
                           s11 = 11 * s1, s13 = 13 * s1;
  int64_t a_step = a_col * kSize, b_step = b_row * kSize;
  // Hidden, or the compiler would compute the multiples again in the loop, and make a second loop
  // for rows of B that are adjacent.
  asm("" : "+r"(b_step));
  if constexpr (kAny) {
    asm("" : "+r"(s1), "+r"(s3), "+r"(s5), "+r"(s7), "+r"(s9), "+r"(s11), "+r"(s13), "+r"(a_step));
  } else {
    a_step = kPackedColumn<kLayout> * kSize;
  }
  V sum[kM][kV] = {};
  const char* left_place = reinterpret_cast<const char*>(a);
  const char* right_place = reinterpret_cast<const char*>(b);
  for (int64_t i = 0; i < k; ++i) {
    V right[kV];
#pragma GCC unroll 4
    for (int j = 0; j < kV; ++j) right[j] = reinterpret_cast<const V*>(right_place)[j];
#define TAPEGRAD_ROW(r, any_offset)                                                  \
  if constexpr (r < kM) {                                                            \
    const int64_t offset = kAny ? (any_offset) : r * kPackedRow<T, kLayout> * kSize; \
    const T left = *reinterpret_cast<const T*>(left_place + offset);                 \
    for (int j = 0; j < kV; ++j) sum[r][j] += left * right[j];                       \
  }
    TAPEGRAD_ROW(0, 0)
    TAPEGRAD_ROW(1, s1)
    TAPEGRAD_ROW(2, s1 * 2)
    TAPEGRAD_ROW(3, s3)
    TAPEGRAD_ROW(4, s1 * 4)
    TAPEGRAD_ROW(5, s5)
    TAPEGRAD_ROW(6, s3 * 2)
    TAPEGRAD_ROW(7, s7)
    TAPEGRAD_ROW(8, s1 * 8)
    TAPEGRAD_ROW(9, s9)
    TAPEGRAD_ROW(10, s5 * 2)
    TAPEGRAD_ROW(11, s11)
    TAPEGRAD_ROW(12, s3 * 4)
    TAPEGRAD_ROW(13, s13)
#undef TAPEGRAD_ROW
    left_place += a_step;
    right_place += b_step;
  }
  store_tile<T, kBytes, kV, kM>(sum, out);
}

template <class T>
using Tile = void (*)(int64_t, const T*, int64_t, int64_t, const T*, int64_t, const Store<T>&);

template <class T, int kBytes, int kV, int kMost, Layout kLayout = Layout::kAny, int kM = 1>
Tile<T> tile_of_rows(int64_t rows) {
  if (rows == kM) return tile<T, kBytes, kV, kM, kLayout>;
  if constexpr (kM < kMost) return tile_of_rows<T, kBytes, kV, kMost, kLayout, kM + 1>(rows);
  return nullptr;
}

// The narrowest vectors that hold the columns: the work for padding is wasted.
template <class T>
int tile_width(int64_t columns) {
  constexpr int kW = kWidth<T>;
  if (columns > kW) return 2 * kW;
  if (kVectorBytes >= 32 && columns <= kW / 2) {
    return kVectorBytes >= 64 && columns <= kW / 4 ? kW / 4 : kW / 2;
  }
  return kW;
}

template <class T>
Tile<T> select_tile(int64_t rows, int64_t width, Layout layout) {
  constexpr int kW = kWidth<T>;
  if (width == 2 * kW) {
    if (layout == Layout::kAlongK) {
      return tile_of_rows<T, kVectorBytes, 2, kRows, Layout::kAlongK>(rows);
    }
    if (layout == Layout::kAlongRows) {
      return tile_of_rows<T, kVectorBytes, 2, kRows, Layout::kAlongRows>(rows);
    }
    return tile_of_rows<T, kVectorBytes, 2, kRows>(rows);
  }
  if constexpr (kVectorBytes >= 32) {
    if (width == kW / 2) return tile_of_rows<T, kVectorBytes / 2, 1, kNarrowRows>(rows);
  }
  if constexpr (kVectorBytes >= 64) {
    if (width == kW / 4) return tile_of_rows<T, kVectorBytes / 4, 1, kNarrowRows>(rows);
  }
  return tile_of_rows<T, kVectorBytes, 1, kNarrowRows>(rows);
}

// Lane l of the result is lane `index` of (a, b) side by side, by compile-time rules in l.
template <int kStep, class V, size_t... kLane>
[[gnu::always_inline]] inline V exchange_low(V a, V b, std::index_sequence<kLane...>) {
  constexpr int kW = sizeof...(kLane);
  return __builtin_shufflevector(
      a, b,
      ((kLane & kStep) == 0 ? static_cast<int>(kLane) : static_cast<int>(kLane) - kStep + kW)...);
}
template <int kStep, class V, size_t... kLane>
[[gnu::always_inline]] inline V exchange_high(V a, V b, std::index_sequence<kLane...>) {
  constexpr int kW = sizeof...(kLane);
  return __builtin_shufflevector(
      a, b,
      ((kLane & kStep) == 0 ? static_cast<int>(kLane) + kStep : static_cast<int>(kLane) + kW)...);
}
template <int kStep, class V, size_t... kLane>
[[gnu::always_inline]] inline V rotate(V a, std::index_sequence<kLane...>) {
  return __builtin_shufflevector(a, a, static_cast<int>((kLane + kStep) % sizeof...(kLane))...);
}
template <class T>
using Lanes = std::make_index_sequence<kWidth<T>>;

// Bit kStep of the row index and bit kStep of the column index change places, then the lower bits.
template <class T, int kStep>
[[gnu::always_inline]] inline void exchange(Vector<T, kVectorBytes> (&rows)[kWidth<T>]) {
  using V = Vector<T, kVectorBytes>;
#pragma GCC unroll 16
  for (int i = 0; i < kWidth<T>; ++i) {
    if ((i & kStep) != 0) continue;
    const V first = rows[i], second = rows[i + kStep];
    rows[i] = exchange_low<kStep, V>(first, second, Lanes<T>());
    rows[i + kStep] = exchange_high<kStep, V>(first, second, Lanes<T>());
  }
  if constexpr (kStep > 1) exchange<T, kStep / 2>(rows);
}

// Writes the transpose of the kWidth x kWidth matrix at `from`.
template <class T>
[[gnu::always_inline]] inline void transpose_square(const T* from, int64_t from_row, T* to,
                                                    int64_t to_row) {
  using V = Vector<T, kVectorBytes>;
  constexpr int kW = kWidth<T>;
  V rows[kW];
#pragma GCC unroll 16
  for (int i = 0; i < kW; ++i) rows[i] = *reinterpret_cast<const V*>(from + i * from_row);
  exchange<T, kW / 2>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < kW; ++i) *reinterpret_cast<V*>(to + i * to_row) = rows[i];
}

// Copies k x columns of B to a panel whose rows have `width` adjacent elements, zeros beyond.
template <class T>
void pack_panel(const T* b, int64_t b_row, int64_t b_col, int64_t k, int64_t columns, int64_t width,
                T* panel) {
  constexpr int kW = kWidth<T>;
  if (columns < width) {
    for (int64_t i = 0; i < k * width; ++i) panel[i] = T(0);
  }
  if (b_col == 1) {
    using V = Vector<T, kVectorBytes>;
    if (columns == 2 * kW) {
      for (int64_t i = 0; i < k; ++i) {
        const V* from = reinterpret_cast<const V*>(b + i * b_row);
        V* to = reinterpret_cast<V*>(panel + i * 2 * kW);
        const V first = from[0], second = from[1];
        to[0] = first;
        to[1] = second;
      }
      return;
    }
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < columns; ++j) panel[i * width + j] = b[i * b_row + j];
    }
    return;
  }
  int64_t done = 0;  // columns that the transposition in squares has finished
  if (b_row == 1 && k >= kW) {
    for (; done + kW <= columns; done += kW) {
      const T* from = b + done * b_col;
      int64_t i = 0;
      for (; i + kW <= k; i += kW) {
        transpose_square(from + i, b_col, panel + i * width + done, width);
      }
      for (; i < k; ++i) {
        for (int j = 0; j < kW; ++j) panel[i * width + done + j] = from[j * b_col + i];
      }
    }
  }
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = done; j < columns; ++j) panel[i * width + j] = b[i * b_row + j * b_col];
  }
}

// A panel of A as the tiles read it: where, and by which strides.
template <class T>
struct Left {
  const T* data;
  int64_t row, col;
  Layout layout = Layout::kAny;
};

// Copies rows x k of A, keeping the side that is adjacent in memory adjacent.
template <class T>
Left<T> pack_left(const T* a, int64_t a_row, int64_t a_col, int64_t rows, int64_t k, T* to) {
  if (a_row == 1 && a_col != 1) {
    // Two pieces that overlap hold any number of rows from one to two pieces.
    constexpr int kPiece = kRows > 8 ? 8 : 4;
    using V = Vector<T, kPiece* static_cast<int>(sizeof(T))>;
    for (int64_t i = 0; i < k; ++i) {
      const T* from = a + i * a_col;
      T* place = to + i * kPad;
      __builtin_prefetch(from + 2 * kRows);  // of the next panel: rows this far apart miss
      if (rows >= kPiece) {
        const V first = *reinterpret_cast<const V*>(from);
        const V last = *reinterpret_cast<const V*>(from + rows - kPiece);
        *reinterpret_cast<V*>(place) = first;
        *reinterpret_cast<V*>(place + rows - kPiece) = last;
      } else {
        for (int64_t r = 0; r < rows; ++r) place[r] = from[r];
      }
    }
    return {to, 1, kPad, Layout::kAlongRows};
  }
  constexpr int64_t kRow = kPackedRow<T, Layout::kAlongK>;
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = a + r * a_row;
    T* place = to + r * kRow;
    if (a_col == 1) {
      constexpr int64_t kLine = 64 / sizeof(T);
      // The next panel has the time of all tiles of this one to come nearer.
      for (int64_t i = 0; i < k; i += kLine) __builtin_prefetch(from + rows * a_row + i, 0, 2);
      for (int64_t i = 0; i < k; ++i) place[i] = from[i];
    } else {
      for (int64_t i = 0; i < k; ++i) place[i] = from[i * a_col];
    }
  }
  return {to, kRow, 1, Layout::kAlongK};
}

template <class T>
struct Problem {
  T* c;
  const T *a, *b, *bias;
  const GemmArgs& args;
  T* scratch;

  static constexpr int64_t kLeftSize = 16 * (kDepth<T> + kPad);
  T* left_scratch() const { return scratch; }
  T* panel_scratch() const { return scratch + kLeftSize; }
};

// One block of columns and one block of k: pack what needs it, then all tiles.
template <class T>
void multiply_block(const Problem<T>& p, int64_t column, int64_t columns, int64_t depth, int64_t k,
                    bool pack_b, bool pack_a) {
  const GemmArgs& args = p.args;
  const bool last = depth + k == args.k;
  Store<T> out{nullptr,
               args.c_row,
               0,
               static_cast<T>(args.k == 0 ? 0 : args.alpha),
               static_cast<T>(depth == 0 ? args.beta : 1),
               kNoBias<T>.values};
  const T* b_block = p.b + depth * args.b_row + column * args.b_col;
  constexpr int kStep = kPanel<T>;
  // Columns read where they are.
  const int64_t direct = args.b_packed ? columns : pack_b ? 0 : columns / kStep * kStep;
  const int64_t edge_width = tile_width<T>(columns % kStep);
  for (int64_t j = direct; j < columns; j += kStep) {
    const int64_t count = min(kStep, columns - j);
    const int64_t width = count == kStep ? kStep : edge_width;
    pack_panel(b_block + j * args.b_col, args.b_row, args.b_col, k, count, width,
               p.panel_scratch() + (j - direct) * k);
  }
  const int64_t most_rows = args.n <= kWidth<T> && !args.b_packed ? kNarrowRows : kRows;
  const int64_t tiles = ceil_div(args.m, most_rows);
  const int64_t rows_each = args.m / tiles, longer = args.m % tiles;
  int64_t row = 0;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t rows = rows_each + (t < longer ? 1 : 0);
    const T* a = p.a + row * args.a_row + depth * args.a_col;
    const Left<T> left = pack_a ? pack_left(a, args.a_row, args.a_col, rows, k, p.left_scratch())
                                : Left<T>{a, args.a_row, args.a_col};
    const Tile<T> full = select_tile<T>(rows, kStep, left.layout);
    for (int64_t j = 0; j < columns; j += kStep) {
      out.columns = min(kStep, columns - j);
      out.c = p.c + row * args.c_row + column + j;
      if (last && p.bias != nullptr) out.bias = p.bias + column + j;
      if (args.b_packed) {
        const T* panel = p.b + (column + j) * args.k + depth * kStep;
        full(k, left.data, left.row, left.col, panel, kStep, out);
      } else if (j < direct) {
        full(k, left.data, left.row, left.col, b_block + j, args.b_row, out);
      } else {
        const int64_t width = out.columns == kStep ? kStep : edge_width;
        const Tile<T> function = width == kStep ? full : select_tile<T>(rows, width, left.layout);
        function(k, left.data, left.row, left.col, p.panel_scratch() + (j - direct) * k, width,
                 out);
      }
    }
    row += rows;
  }
}

template <class T>
void multiply(const Problem<T>& p) {
  const GemmArgs& args = p.args;
  constexpr int64_t kSize = sizeof(T);
  // Packing pays when an element is read often enough: B by the rows, unless it fits the caches
  // anyway; A by the panels, whose tiles then have fixed offsets instead of strides.
  const bool pack_b =
      !args.b_packed &&
      (args.b_col != 1 || (args.m > 4 * kRows && args.n * args.k * kSize > (64 << 10)));
  const bool pack_a = args.n >= 2 * kPanel<T> && args.k >= 16;
  const int64_t blocks = args.k == 0 ? 1 : ceil_div(args.k, kDepth<T>);
  const int64_t column_blocks = ceil_div(args.n, kColumns<T>);
  const int64_t columns_each = ceil_div(ceil_div(args.n, column_blocks), kPanel<T>) * kPanel<T>;
  for (int64_t column = 0; column < args.n; column += columns_each) {
    const int64_t columns = min(columns_each, args.n - column);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t depth = args.k * block / blocks;
      multiply_block(p, column, columns, depth, args.k * (block + 1) / blocks - depth, pack_b,
                     pack_a);
    }
  }
}

// y = alpha * M x + beta * y + bias, for M of `rows` x k.
template <class T>
struct VectorProblem {
  T* y;
  const T *matrix, *x, *bias;
  int64_t rows, k, row, col, x_step, y_step, bias_step;
  T alpha, beta;
  T* scratch;

  void store(int64_t r, T sum) const {
    T value = keep(fma(sum, alpha, bias != nullptr ? bias[r * bias_step] : T(-0.0)));
    if (beta != T(0)) value = fma(y[r * y_step], beta, value);
    y[r * y_step] = value;
  }
};

// Lane l and lane l + h are added for h = 16, 8, ... 1, whatever the width of the vectors.
template <class T, int kHalf>
[[gnu::always_inline]] inline T sum_lanes(Vector<T, kVectorBytes> sum) {
  sum += rotate<kHalf, Vector<T, kVectorBytes>>(sum, Lanes<T>());
  if constexpr (kHalf > 1) return sum_lanes<T, kHalf / 2>(sum);
  return sum[0];
}
template <class T, int kV>
[[gnu::always_inline]] inline T sum_vectors(Vector<T, kVectorBytes> (&sum)[kV]) {
#pragma GCC unroll 8
  for (int h = kV / 2; h > 0; h /= 2) {
#pragma GCC unroll 8
    for (int j = 0; j < h; ++j) sum[j] += sum[j + h];
  }
  return sum_lanes<T, kWidth<T> / 2>(sum[0]);
}

template <class T>
[[gnu::noinline]] void add_products(T* to, const T* a, const T* b, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = fma(a[i], b[i], to[i]);
}

// kCount rows against x, both adjacent along k. Adds to `total`.
template <class T, int kCount>
void dot_rows(const T* matrix, int64_t row, const T* x, int64_t k, T* total) {
  using V = Vector<T, kVectorBytes>;
  constexpr int kW = kWidth<T>, kV = kDotLanes / kW;
  V sum[kCount][kV];
#pragma GCC unroll 4
  for (int r = 0; r < kCount; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < kV; ++j) sum[r][j] = V{};
  }
  int64_t i = 0;
  for (; i + kDotLanes <= k; i += kDotLanes) {
#pragma GCC unroll 16
    for (int j = 0; j < kV; ++j) {
      const V right = *reinterpret_cast<const V*>(x + i + j * kW);
#pragma GCC unroll 4
      for (int r = 0; r < kCount; ++r) {
        sum[r][j] += *reinterpret_cast<const V*>(matrix + r * row + i + j * kW) * right;
      }
    }
  }
  if (i < k) {
#pragma GCC unroll 4
    for (int r = 0; r < kCount; ++r) {
      T lanes[kDotLanes];  // a copy, so that the sums themselves stay in registers
#pragma GCC unroll 16
      for (int j = 0; j < kV; ++j) *reinterpret_cast<V*>(lanes + j * kW) = sum[r][j];
      add_products(lanes, matrix + r * row + i, x + i, k - i);
#pragma GCC unroll 16
      for (int j = 0; j < kV; ++j) sum[r][j] = *reinterpret_cast<const V*>(lanes + j * kW);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < kCount; ++r) total[r] += sum_vectors<T, kV>(sum[r]);
}

constexpr int64_t kVectorBlock = 4096;

template <class T>
void multiply_by_dots(const VectorProblem<T>& p) {
  for (int64_t r = 0; r < p.rows;) {
    const int count = p.rows - r >= kDotRows ? kDotRows : 1;
    T total[kDotRows] = {};
    for (int64_t i = 0; i < p.k; i += kVectorBlock) {
      const int64_t k = min(kVectorBlock, p.k - i);
      const T* x = p.x + i * p.x_step;
      if (p.x_step != 1) {
        // One block is copied once; longer vectors are copied again for each group of rows.
        if (r == 0 || p.k > kVectorBlock) {
          for (int64_t l = 0; l < k; ++l) p.scratch[l] = x[l * p.x_step];
        }
        x = p.scratch;
      }
      const T* matrix = p.matrix + r * p.row + i;
      if (count == kDotRows) {
        dot_rows<T, kDotRows>(matrix, p.row, x, k, total);
      } else {
        dot_rows<T, 1>(matrix, p.row, x, k, total);
      }
    }
    for (int i = 0; i < count; ++i) p.store(r + i, total[i]);
    r += count;
  }
}

// The matrix is adjacent along its rows' index: columns are added one after another.
template <class T>
void multiply_by_columns(const VectorProblem<T>& p) {
  constexpr int64_t kChunk = 1024;
  T* sum = p.scratch;
  for (int64_t r = 0; r < p.rows; r += kChunk) {
    const int64_t rows = min(kChunk, p.rows - r);
    for (int64_t l = 0; l < rows; ++l) sum[l] = T(0);
    int64_t i = 0;
    for (; i + 4 <= p.k; i += 4) {
      const T* m0 = p.matrix + i * p.col + r;
      const T *m1 = m0 + p.col, *m2 = m1 + p.col, *m3 = m2 + p.col;
      const T x0 = p.x[i * p.x_step], x1 = p.x[(i + 1) * p.x_step], x2 = p.x[(i + 2) * p.x_step],
              x3 = p.x[(i + 3) * p.x_step];
#pragma omp simd
      for (int64_t l = 0; l < rows; ++l) {
        sum[l] = fma(m3[l], x3, fma(m2[l], x2, fma(m1[l], x1, fma(m0[l], x0, sum[l]))));
      }
    }
    for (; i < p.k; ++i) {
      const T* m0 = p.matrix + i * p.col + r;
      const T x0 = p.x[i * p.x_step];
#pragma omp simd
      for (int64_t l = 0; l < rows; ++l) sum[l] = fma(m0[l], x0, sum[l]);
    }
    for (int64_t l = 0; l < rows; ++l) p.store(r + l, sum[l]);
  }
}

template <class T>
void multiply_vector(const Problem<T>& p) {
  const GemmArgs& a = p.args;
  const T alpha = static_cast<T>(a.alpha), beta = static_cast<T>(a.beta);
  const VectorProblem<T> v =
      a.path == GemmPath::kColumnVector
          ? VectorProblem<T>{p.c,     p.a,     p.b,     p.bias, a.m,   a.k,  a.a_row,
                             a.a_col, a.b_row, a.c_row, 0,      alpha, beta, p.scratch}
          : VectorProblem<T>{p.c,     p.b,     p.a, p.bias, a.n,   a.k,  a.b_col,
                             a.b_row, a.a_col, 1,   1,      alpha, beta, p.scratch};
  if (v.col == 1) {
    multiply_by_dots(v);
  } else {
    multiply_by_columns(v);
  }
}

template <class T>
void pack(void* const* data, const GemmPack& p) {
  T* to = static_cast<T*>(data[0]);
  const T* b = static_cast<const T*>(data[1]);
  for (int64_t j = p.first; j < p.last; j += kPanel<T>) {
    const int64_t columns = min(kPanel<T>, p.last - j);
    pack_panel(b + j * p.b_col, p.b_row, p.b_col, p.k, columns, kPanel<T>, to + j * p.k);
  }
}

template <class T>
void run(void* const* data, const GemmArgs& args) {
  for (int64_t i = 0; i < args.batch; ++i) {
    const Problem<T> problem{static_cast<T*>(data[0]) + i * args.c_batch,
                             static_cast<const T*>(data[1]) + i * args.a_batch,
                             static_cast<const T*>(data[2]) + i * args.b_batch,
                             static_cast<const T*>(data[3]),
                             args,
                             static_cast<T*>(data[4])};
    if (args.path == GemmPath::kTiles) {
      multiply(problem);
    } else {
      multiply_vector(problem);
    }
  }
}

}  // namespace

void gemm(void* const* data, const GemmArgs& args) {
  static_assert(sizeof(double) * (Problem<double>::kLeftSize + kDepth<double> * kColumns<double>) <=
                kGemmScratchBytes);
  static_assert(sizeof(float) * (Problem<float>::kLeftSize + kDepth<float> * kColumns<float>) <=
                kGemmScratchBytes);
  if (args.dtype == DType::Float32) {
    run<float>(data, args);
  } else {
    run<double>(data, args);
  }
}

void gemm_pack(void* const* data, const GemmPack& p) {
  if (p.dtype == DType::Float32) {
    pack<float>(data, p);
  } else {
    pack<double>(data, p);
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
