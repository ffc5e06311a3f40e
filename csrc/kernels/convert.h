// Strided conversions between dtypes and the three compute types, strided copies of equal dtype,
// and copies past the caches.
#pragma once

#include <cstdint>

#include "kernels/elementwise.h"

namespace tapegrad::kernels {

/// to[j] = convert(from[j * stride]) for j < n.
using GatherLoop = void (*)(const void* from, int64_t stride, void* to, int64_t n);
/// to[j * stride] = convert(from[j]) for j < n.
using ScatterLoop = void (*)(const void* from, void* to, int64_t stride, int64_t n);
/// to[j * to_stride] = from[j * from_stride] for j < n.
using MoveLoop = void (*)(const void* from, int64_t from_stride, void* to, int64_t to_stride,
                          int64_t n);

struct ConvertLoops {
  GatherLoop gather[kDTypeCount][3];
  ScatterLoop scatter[3][kDTypeCount];
  MoveLoop move[4];  // by log2 of the item size
  /// By log2 of the item size, less 1: to[i * to_stride + j] = from[j * from_stride + i],
  /// i < rows, j < columns.
  void (*transpose[3])(const void* from, int64_t from_stride, void* to, int64_t to_stride,
                       int64_t rows, int64_t columns);
  /// As memcpy, but past the caches; other threads see it after stream_end(). See
  /// Note [Large results pass the caches].
  void (*stream)(const void* from, void* to, int64_t bytes);
  void (*stream_end)();
};

const ConvertLoops& convert_loops();

// Note [Large results pass the caches]
// A store into memory that no cache holds fetches the line first and writes it back later: twice
// the traffic. Where a result is so large that most of it has left the largest cache before it is
// read again, it is stored past the caches instead. Loops know nothing of that: they write blocks
// that stay in the nearest cache, and `stream` takes those to memory. On a processor with 32 MiB of
// cache an addition of 16 MiB takes 0.8 of the time (on two threads 0.4), a chain of three 0.9, and
// a product that is summed up at once 0.9 to 1.1; below 8 MiB it takes longer, as it does for loops
// that compute much: what goes by the caches is brought to memory beside them.

/// Whether a result of so many bytes is to pass the caches.
bool passes_caches(int64_t bytes);

}  // namespace tapegrad::kernels
