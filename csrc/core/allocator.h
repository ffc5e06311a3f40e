// The caching allocator for tensor memory: 64-byte aligned blocks in size classes, bounded,
// thread-safe. Knows nothing of tensors; Storage is its only user besides library scratch space.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tapegrad/export.h"

namespace tapegrad {

struct MemoryStats {
  int64_t allocated_bytes;          ///< in use by tensors now
  int64_t peak_allocated_bytes;     ///< highest since start or the last reset
  int64_t cached_bytes;             ///< held for reuse
  int64_t cache_limit_bytes;        ///< cached_bytes never exceeds this
  int64_t allocation_count;         ///< blocks handed out since start
  int64_t system_allocation_count;  ///< of these, taken from the operating system
};

TAPEGRAD_API MemoryStats memory_stats();
TAPEGRAD_API void reset_peak_memory_stats();
/// Returns all cached blocks to the operating system.
TAPEGRAD_API void empty_cache();

namespace core {

/// Uninitialised memory of at least `bytes`, aligned to 64 bytes. Throws Error naming the size when
/// memory is out.
TAPEGRAD_API void* allocate(size_t bytes);
/// `bytes` as given to allocate().
TAPEGRAD_API void deallocate(void* block, size_t bytes) noexcept;

/// Scratch memory for the duration of a scope.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : bytes_(bytes), data_(bytes ? allocate(bytes) : nullptr) {}
  ~Scratch() {
    if (data_) deallocate(data_, bytes_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  size_t bytes_;
  void* data_;
};

}  // namespace core
}  // namespace tapegrad
