// The caching allocator and storages: alignment, reuse, accounting, limits, threads.
#include <cstring>
#include <thread>
#include <vector>

#include "check.h"
#include "core/allocator.h"
#include "tapegrad/detail/storage.h"
#include "tapegrad/error.h"

namespace {

using namespace tapegrad;
using core::allocate;
using core::deallocate;
using core::Storage;

TEST(blocks_are_aligned_and_writable_to_their_end) {
  for (const size_t bytes : {1u, 63u, 64u, 65u, 100u, 4096u, 4097u, 100000u, 5000000u}) {
    void* block = allocate(bytes);
    CHECK_EQ(reinterpret_cast<uintptr_t>(block) % 64, 0u);
    std::memset(block, 0xab, bytes);
    deallocate(block, bytes);
  }
}

TEST(a_freed_block_is_reused_by_a_request_of_its_class) {
  void* first = allocate(10000);
  deallocate(first, 10000);
  const int64_t before = memory_stats().system_allocation_count;
  void* second = allocate(9990);
  CHECK_EQ(second, first);
  CHECK_EQ(memory_stats().system_allocation_count, before);
  deallocate(second, 9990);
}

TEST(accounting_returns_to_where_it_was) {
  const MemoryStats before = memory_stats();
  std::vector<std::pair<void*, size_t>> blocks;
  for (size_t bytes = 17; bytes < 300000; bytes = bytes * 3 / 2) {
    blocks.emplace_back(allocate(bytes), bytes);
  }
  CHECK_LT(before.allocated_bytes, memory_stats().allocated_bytes);
  CHECK_LE(memory_stats().allocated_bytes, memory_stats().peak_allocated_bytes);
  for (const auto& [block, bytes] : blocks) deallocate(block, bytes);
  CHECK_EQ(memory_stats().allocated_bytes, before.allocated_bytes);
  CHECK_LE(memory_stats().cached_bytes, memory_stats().cache_limit_bytes);
}

TEST(empty_cache_gives_everything_back) {
  for (size_t bytes = 1; bytes < 2000000; bytes = bytes * 5 / 4 + 1) {
    deallocate(allocate(bytes), bytes);
  }
  CHECK_LT(0, memory_stats().cached_bytes);
  empty_cache();
  CHECK_EQ(memory_stats().cached_bytes, 0);
}

TEST(impossible_sizes_are_an_error_that_names_the_size) {
  CHECK_THROWS(Error, "out of memory", allocate(size_t{1} << 60));
}

TEST(small_values_live_in_the_storage) {
  const int64_t before = memory_stats().allocation_count;
  Storage* storage = Storage::create(16);
  CHECK_EQ(memory_stats().allocation_count, before);
  std::memset(storage->data(), 1, 16);
  storage->release();
}

TEST(wrapped_memory_is_released_once_with_its_context) {
  int released = 0;
  double values[4] = {1, 2, 3, 4};
  Storage* storage = Storage::wrap(
      values, sizeof values, [](void* context) { ++*static_cast<int*>(context); }, &released);
  CHECK(storage->external());
  storage->retain();
  storage->release();
  CHECK_EQ(released, 0);
  storage->release();
  CHECK_EQ(released, 1);
}

TEST(threads_allocate_and_free_without_losing_blocks) {
  const int64_t before = memory_stats().allocated_bytes;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 2000; ++i) {
        const size_t bytes = static_cast<size_t>(64 + (i * 37 + t * 101) % 5000);
        void* block = allocate(bytes);
        std::memset(block, t, bytes);
        deallocate(block, bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(memory_stats().allocated_bytes, before);
}

}  // namespace
