// Kernels that move elements to and from computed places: rows in blocks, and (by the
// instruction-set objects) gathering, scattering and accumulating by index. Knows no tensors'
// histories; indices are checked before any of these runs.
#pragma once

#include "tapegrad/tensor.h"

namespace tapegrad::kernels {

/// Copies `rows` blocks of `bytes` bytes between two arrays of blocks: the building block of cat
/// and stack.
struct CopyRows {
  int64_t rows;
  int64_t bytes;
  int64_t to_stride;    // in bytes
  int64_t from_stride;  // in bytes
};
void copy_rows(void* const* data, const CopyRows& parameters);

}  // namespace tapegrad::kernels
