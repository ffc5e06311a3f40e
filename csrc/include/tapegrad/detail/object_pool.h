// Memory for the small objects that every operation makes (tensor, storage, meta, node): per-thread
// lists of freed blocks by size, in front of malloc. Bounded, so that a large graph gives its
// memory back. Knows nothing of what it holds.
#pragma once

#include <cstddef>

#include "tapegrad/export.h"

namespace tapegrad::core {

/// Sizes above the largest pooled one go to malloc.
TAPEGRAD_API void* pool_allocate(size_t bytes);
TAPEGRAD_API void pool_free(void* block, size_t bytes) noexcept;

/// Base of pooled classes. A derived class that is deleted through a pointer to it needs a virtual
/// destructor.
struct Pooled {
  static void* operator new(size_t bytes) { return pool_allocate(bytes); }
  static void operator delete(void* block, size_t bytes) noexcept { pool_free(block, bytes); }
};

}  // namespace tapegrad::core
