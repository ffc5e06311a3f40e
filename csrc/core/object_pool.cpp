#include "tapegrad/detail/object_pool.h"

#include <cstdlib>
#include <new>

namespace tapegrad::core {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kPooling = false;  // a sanitizer must see every allocation
#else
constexpr bool kPooling = true;
#endif

// malloc's chunks are multiples of 16 bytes, of which it keeps 8: a class is what fits, 16 n + 8.
constexpr size_t kStep = 16;
constexpr size_t kFirst = 8;
constexpr size_t kLargest = 512;
constexpr int kClasses = kLargest / kStep + 1;

size_t class_of(size_t bytes) { return bytes <= kFirst ? 0 : (bytes - kFirst + kStep - 1) / kStep; }
constexpr unsigned kMaxBlocks = 4096;  // of a size, on a thread

struct FreeBlock {
  FreeBlock* next;
};

/// Trivial, so that reading it needs no guard; a thread's blocks are returned by its Cleanup.
struct ThreadPool {
  FreeBlock* heads[kClasses];
  unsigned counts[kClasses];
  bool closed;    // the thread ends: nothing may be kept any more
  bool prepared;  // its Cleanup exists
};

thread_local ThreadPool pool [[gnu::tls_model("initial-exec")]];

struct Cleanup {
  ~Cleanup() {
    pool.closed = true;
    for (FreeBlock*& head : pool.heads) {
      while (head) {
        FreeBlock* next = head->next;
        std::free(head);
        head = next;
      }
    }
  }
};

[[gnu::noinline]] void prepare() {
  thread_local Cleanup cleanup;
  static_cast<void>(&cleanup);
  pool.prepared = true;
}

}  // namespace

void* pool_allocate(size_t bytes) {
  const size_t index = class_of(bytes);
  if (kPooling && index < kClasses) {
    if (FreeBlock* block = pool.heads[index]) {
      pool.heads[index] = block->next;
      --pool.counts[index];
      return block;
    }
    bytes = index * kStep + kFirst;
  }
  if (void* block = std::malloc(bytes)) return block;
  throw std::bad_alloc();
}

void pool_free(void* block, size_t bytes) noexcept {
  const size_t index = class_of(bytes);
  if (!kPooling || index >= kClasses || pool.counts[index] >= kMaxBlocks || pool.closed) {
    std::free(block);
    return;
  }
  if (!pool.prepared) prepare();
  auto* free_block = static_cast<FreeBlock*>(block);
  free_block->next = pool.heads[index];
  pool.heads[index] = free_block;
  ++pool.counts[index];
}

}  // namespace tapegrad::core
