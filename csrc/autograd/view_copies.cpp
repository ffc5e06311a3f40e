#include "autograd/view_copies.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <mutex>
#include <vector>

#include "core/tensor_impl.h"
#include "core/text.h"
#include "tapegrad/error.h"

namespace tapegrad::autograd {
namespace {

struct Pair {
  core::StorageRef source, copy;
  /// Whether anything but this list holds both.
  bool reachable() const { return source->reference_count() > 1 && copy->reference_count() > 1; }
};

// Never destroyed, as tensors may outlive it. A pair is dropped when the next one is noted or a
// write is checked; until then it keeps its memory.
struct Pairs {
  std::mutex mutex;
  std::vector<Pair> list;
  std::atomic<size_t> count{0};

  static Pairs& instance() {
    static auto* const pairs = new Pairs;
    return *pairs;
  }
  /// The dropped are handed out, to be released outside of the lock.
  std::vector<Pair> drop_dead() {
    const auto dead = std::stable_partition(list.begin(), list.end(),
                                            [](const Pair& pair) { return pair.reachable(); });
    std::vector<Pair> dropped(std::make_move_iterator(dead), std::make_move_iterator(list.end()));
    list.erase(dead, list.end());
    count.store(list.size(), std::memory_order_relaxed);
    return dropped;
  }
};

// A fork waits for the lock: in the child nobody would give it back.
[[maybe_unused]] const int registered =
    pthread_atfork([] { Pairs::instance().mutex.lock(); }, [] { Pairs::instance().mutex.unlock(); },
                   [] { Pairs::instance().mutex.unlock(); });

}  // namespace

void note_view_copy(const Tensor& source, const Tensor& copy) {
  Pairs& pairs = Pairs::instance();
  std::vector<Pair> dropped;
  const std::scoped_lock lock(pairs.mutex);
  dropped = pairs.drop_dead();
  pairs.list.push_back(
      {core::StorageRef::share(source->storage()), core::StorageRef::share(copy->storage())});
  pairs.count.store(pairs.list.size(), std::memory_order_relaxed);
}

void check_view_copies(const char* op, const Tensor& self) {
  Pairs& pairs = Pairs::instance();
  if (pairs.count.load(std::memory_order_relaxed) == 0) return;
  std::vector<Pair> dropped;
  const std::scoped_lock lock(pairs.mutex);
  dropped = pairs.drop_dead();
  const core::Storage* written = self->storage();
  const bool found = std::ranges::any_of(pairs.list, [&](const Pair& pair) {
    return pair.source.get() == written || pair.copy.get() == written;
  });
  if (!found) return;
  throw GradError(core::text(
      op, ": the ", core::describe(self), " and another tensor came from view() of a result that ",
      "lies channels-last, where the view had to be a copy: a write to one is not seen in the ",
      "other. Call .contiguous() before .view(), or use .reshape() for a copy"));
}

}  // namespace tapegrad::autograd
