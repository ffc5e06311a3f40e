// Strided conversions between dtypes and the three compute types, and strided copies of equal
// dtype.
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
};

const ConvertLoops& convert_loops();

}  // namespace tapegrad::kernels
