#include "core/allocator.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cstdlib>

#include "core/text.h"
#include "tapegrad/error.h"

namespace tapegrad {
namespace core {
namespace {

// Note [Size classes]
// A request is rounded up to whole cache lines and one of eight sizes per power of two (..., 512,
// 576, 640, ...), so of large ones at most a ninth is wasted: training fills memory with tensors of
// 9 or 11 times a power of two. Blocks of a class are interchangeable. Each class keeps its
// free blocks in a list threaded through the blocks themselves. Freed memory is kept until all
// classes together hold cache_limit bytes; beyond that it goes back at once.
constexpr size_t kAlignment = 64;
constexpr int kStepBits = 3;
constexpr int kLargestLog = 55;  // a request above 2^55 bytes is refused
constexpr int kClassCount = ((kLargestLog - 6 + 1) << kStepBits) + 1;
constexpr size_t kHugePage = size_t{2} << 20;

struct SizeClass {
  int index;
  size_t bytes;
};

SizeClass size_class(size_t bytes) {
  if (bytes <= kAlignment) return {0, kAlignment};
  const int log = 63 - std::countl_zero(bytes - 1);  // 2^log < bytes <= 2^(log + 1)
  const size_t step = size_t{1} << (log - kStepBits);
  const size_t unit = step > kAlignment ? step : kAlignment;
  const size_t rounded = (bytes + unit - 1) / unit * unit;
  const auto steps = static_cast<int>((rounded - (size_t{1} << log)) / step);  // 1 .. 8
  return {((log - 6) << kStepBits) + steps, rounded};
}

/// The bytes of a class.
size_t class_bytes(int index) {
  if (index == 0) return kAlignment;
  const int log = ((index - 1) >> kStepBits) + 6;
  const int steps = ((index - 1) & ((1 << kStepBits) - 1)) + 1;
  return (size_t{1} << log) + (static_cast<size_t>(steps) << (log - kStepBits));
}

class Spinlock {
 public:
  void lock() {
    while (flag_.exchange(true, std::memory_order_acquire)) {
      while (flag_.load(std::memory_order_relaxed)) {
      }
    }
  }
  void unlock() { flag_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> flag_{false};
};

struct FreeBlock {
  FreeBlock* next;
};

struct alignas(64) FreeList {
  Spinlock lock;
  FreeBlock* head = nullptr;
};

FreeList free_lists[kClassCount];

// A thread that does not exist in a forked child may have held a lock when it was forked. Nobody
// holds one in the child, and a list is whole at any moment, so the locks are simply open.
void after_fork_in_child() {
  for (FreeList& list : free_lists) list.lock.unlock();
}
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);

std::atomic<int64_t> allocated{0};
std::atomic<int64_t> peak{0};
std::atomic<int64_t> cached{0};
std::atomic<int64_t> allocations{0};
std::atomic<int64_t> system_allocations{0};

int64_t cache_limit() {
  static const int64_t limit = [] {
    const int64_t physical = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    return physical > 0 ? physical / 4 : int64_t{1} << 30;
  }();
  return limit;
}

void* system_allocate(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
  void* block = nullptr;
  if (posix_memalign(&block, alignment, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  // Large tensors are bound by page faults when fresh; huge pages take 512 times fewer.
  if (alignment == kHugePage) madvise(block, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  system_allocations.fetch_add(1, std::memory_order_relaxed);
  return block;
}

void note_allocation(size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const int64_t now = allocated.fetch_add(static_cast<int64_t>(bytes), std::memory_order_relaxed) +
                      static_cast<int64_t>(bytes);
  int64_t highest = peak.load(std::memory_order_relaxed);
  while (now > highest && !peak.compare_exchange_weak(highest, now, std::memory_order_relaxed)) {
  }
}

}  // namespace

void* allocate(size_t bytes) {
  if (bytes > (size_t{1} << 55))
    throw Error(text("out of memory: cannot allocate ", bytes, " bytes"));
  const SizeClass sized = size_class(bytes);
  FreeList& list = free_lists[sized.index];
  list.lock.lock();
  FreeBlock* block = list.head;
  if (block) list.head = block->next;
  list.lock.unlock();
  if (block) {
    cached.fetch_sub(static_cast<int64_t>(sized.bytes), std::memory_order_relaxed);
    note_allocation(sized.bytes);
    return block;
  }
  void* fresh = system_allocate(sized.bytes);
  if (!fresh) {
    empty_cache();
    fresh = system_allocate(sized.bytes);
  }
  if (!fresh) throw Error(text("out of memory: cannot allocate ", bytes, " bytes"));
  note_allocation(sized.bytes);
  return fresh;
}

void deallocate(void* block, size_t bytes) noexcept {
  const SizeClass sized = size_class(bytes);
  const auto size = static_cast<int64_t>(sized.bytes);
  allocated.fetch_sub(size, std::memory_order_relaxed);
  if (cached.fetch_add(size, std::memory_order_relaxed) + size > cache_limit()) {
    cached.fetch_sub(size, std::memory_order_relaxed);
    std::free(block);
    return;
  }
  auto* free_block = static_cast<FreeBlock*>(block);
  FreeList& list = free_lists[sized.index];
  list.lock.lock();
  free_block->next = list.head;
  list.head = free_block;
  list.lock.unlock();
}

}  // namespace core

MemoryStats memory_stats() {
  return {core::allocated.load(), core::peak.load(),        core::cached.load(),
          core::cache_limit(),    core::allocations.load(), core::system_allocations.load()};
}

void reset_peak_memory_stats() { core::peak.store(core::allocated.load()); }

void empty_cache() {
  for (int index = 0; index < core::kClassCount; ++index) {
    core::FreeList& list = core::free_lists[index];
    list.lock.lock();
    core::FreeBlock* block = list.head;
    list.head = nullptr;
    list.lock.unlock();
    const size_t bytes = core::class_bytes(index);
    while (block) {
      core::FreeBlock* next = block->next;
      std::free(block);
      core::cached.fetch_sub(static_cast<int64_t>(bytes), std::memory_order_relaxed);
      block = next;
    }
  }
}

}  // namespace tapegrad
