// The one way to run work on several threads. Kernels call parallel_for; code that calls a library
// with OpenMP regions of its own (oneDNN) does so under a LibraryThreads scope. Included by the
// objects compiled per instruction set, so nothing of the standard library's containers or
// algorithms may come in here. Knows nothing of tensors. See Note [One team, one lease].
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace tapegrad::core {

using RangeBody = void (*)(void* context, int64_t begin, int64_t end);

// Calls body on disjoint contiguous pieces that cover [begin, end), on the team. Serial (one call
// with the whole range) when end - begin <= grain, with one thread, inside another region, or when
// another user thread has the team. At most ceil((end - begin) / grain) threads get a piece.
// The first exception of a piece is rethrown here after all pieces have ended.
// How the range is cut depends on the number of threads: a result must not.
void parallel_range(int64_t begin, int64_t end, int64_t grain, RangeBody body, void* context);

// f(begin, end) on pieces of [begin, end); see parallel_range.
template <class F>
[[gnu::always_inline]] inline void parallel_for(int64_t begin, int64_t end, int64_t grain, F&& f) {
  if (begin >= end) return;
  if (end - begin <= grain) {
    f(begin, end);
    return;
  }
  using Function = std::remove_reference_t<F>;
  parallel_range(
      begin, end, grain,
      [](void* context, int64_t piece_begin, int64_t piece_end) {
        (*static_cast<Function*>(context))(piece_begin, piece_end);
      },
      const_cast<void*>(static_cast<const void*>(std::addressof(f))));
}

// The index of this thread in the region that it runs, 0 outside one; below get_num_threads().
int thread_index();

// True in a piece that runs on the team: a parallel_for in it runs serially.
bool in_parallel_region();

// While it lives, libraries called from this thread start their OpenMP regions with threads()
// threads: the whole team when it is free (and at most max_threads is not 1), else one. The
// caller's own OpenMP setting comes back at the end.
class LibraryThreads {
 public:
  static constexpr int kTeam = 0;
  explicit LibraryThreads(int max_threads = kTeam);
  ~LibraryThreads();
  LibraryThreads(const LibraryThreads&) = delete;
  LibraryThreads& operator=(const LibraryThreads&) = delete;
  int threads() const { return threads_; }

 private:
  int threads_ = 1;
  int previous_ = 1;
  bool leased_ = false;
};

}  // namespace tapegrad::core
