// Transposition of matrices of 2-, 4- or 8-byte items in tiles that fit the vector registers. For
// instruction-set objects only; knows nothing of tensors and threads.
#pragma once

#include <cstdint>

#include "kernels/isa/vector_math_core.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

#if defined(__AVX512F__)
constexpr int kRegisterBytes = 64;
#elif defined(__AVX2__)
constexpr int kRegisterBytes = 32;
#else
constexpr int kRegisterBytes = 16;
#endif
constexpr int kLargestTile = 16;

/// The largest tile whose rows are registers.
template <class Item>
constexpr int kTileOf = kRegisterBytes / static_cast<int>(sizeof(Item)) < kLargestTile
                            ? kRegisterBytes / static_cast<int>(sizeof(Item))
                            : kLargestTile;

template <int... i>
struct Places {};
template <int n, int... i>
struct PlacesUpTo : PlacesUpTo<n - 1, n - 1, i...> {};
template <int... i>
struct PlacesUpTo<0, i...> {
  using type = Places<i...>;
};

/// to[i * to_stride + j] = from[j * from_stride + i] for i, j < kSize, a power of two.
template <class Item, int kSize>
struct TransposeTile {
  using Row [[gnu::vector_size(kSize * sizeof(Item))]] = Item;
  using All = typename PlacesUpTo<kSize>::type;
  static constexpr int kLine = 64 / static_cast<int>(sizeof(Item));

  /// The blocks of kBlock items of two rows that change places.
  template <int kBlock, int... i>
  TAPEGRAD_INLINE static void swap(Row& a, Row& b, Places<i...> /*all*/) {
    const Row upper = __builtin_shufflevector(a, b, ((i & kBlock) ? kSize + i - kBlock : i)...);
    b = __builtin_shufflevector(a, b, ((i & kBlock) ? kSize + i : i + kBlock)...);
    a = upper;
  }
  template <int kBlock>
  TAPEGRAD_INLINE static void swap_blocks(Row* rows) {
    if constexpr (kBlock < kSize) {
#pragma GCC unroll 16
      for (int j = 0; j < kSize; ++j) {
        if (!(j & kBlock)) swap<kBlock>(rows[j], rows[j + kBlock], All());
      }
      swap_blocks<2 * kBlock>(rows);
    }
  }
  /// Asks for the lines of the next tile along the rows too, which no processor foresees.
  TAPEGRAD_INLINE static void run(const Item* from, int64_t from_stride, Item* to,
                                  int64_t to_stride) {
    Row rows[kSize];
#pragma GCC unroll 16
    for (int j = 0; j < kSize; ++j) {
      __builtin_memcpy(&rows[j], from + j * from_stride, sizeof(Row));
      __builtin_prefetch(from + j * from_stride + kLine);
    }
    swap_blocks<1>(rows);
#pragma GCC unroll 16
    for (int i = 0; i < kSize; ++i) __builtin_memcpy(to + i * to_stride, &rows[i], sizeof(Row));
  }
};

/// to[i * to_stride + j] = from[j * from_stride + i] for i < rows, j < columns: in tiles, and what
/// is left at the edges in smaller ones.
template <class Item, int kSize>
void transpose_tiles(const Item* from, int64_t from_stride, Item* to, int64_t to_stride,
                     int64_t rows, int64_t columns) {
  const int64_t height = rows / kSize * kSize, width = columns / kSize * kSize;
  // Small tiles in groups, so that a cache line is used while it is there: rows whose distance is a
  // power of two share a set of the cache.
  constexpr int kGroup = kSize * static_cast<int>(sizeof(Item)) < 64 ? 2 : 1;
  for (int64_t i0 = 0; i0 < height; i0 += kGroup * kSize) {
    for (int64_t j = 0; j < width; j += kSize) {
      for (int64_t i = i0; i < i0 + kGroup * kSize && i < height; i += kSize) {
        TransposeTile<Item, kSize>::run(from + j * from_stride + i, from_stride,
                                        to + i * to_stride + j, to_stride);
      }
    }
  }
  const auto edge = [&](int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
    if constexpr (kSize > 4) {
      if (i0 < i1 && j0 < j1) {
        transpose_tiles<Item, kSize / 2>(from + j0 * from_stride + i0, from_stride,
                                         to + i0 * to_stride + j0, to_stride, i1 - i0, j1 - j0);
      }
    } else {
      for (int64_t i = i0; i < i1; ++i) {
        for (int64_t j = j0; j < j1; ++j) to[i * to_stride + j] = from[j * from_stride + i];
      }
    }
  };
  edge(0, height, width, columns);
  edge(height, rows, 0, columns);
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
