#include "core/parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/cpu_limits.h"
#include "tapegrad/parallel.h"

#ifndef TAPEGRAD_PARALLEL_STD
#define TAPEGRAD_PARALLEL_STD 0
#endif

#if TAPEGRAD_PARALLEL_STD
#include <condition_variable>
#include <mutex>
#include <thread>
#else
#include <omp.h>
#endif

// Note [One team, one lease]
// The OpenMP runtime keeps a team of threads per calling thread. If every user thread used its own,
// ten of them on ten processors would run a hundred threads, and short-lived ones would create and
// end a team each. So there is one lease. A thread holds it while it runs a region; others that
// come meanwhile run their work alone. Between regions it stays with its owner, because a team in
// another thread means new system threads: another thread takes it over only when the owner has
// ended, or started no region while the other asked kTakeOver times in a row.
// The team always has the full size, for the runtime ends and re-creates threads when sizes change.

namespace tapegrad {
namespace core {
namespace {

constexpr int kTakeOver = 32;

enum class Reason : int { kDefault, kSet, kForked, kRefused };

// What the lease knows of a thread. No destructor, so that reading it needs no guard.
struct ThreadState {
  int index = 0;
  bool in_region = false;
  int lease_depth = 0;
  int verified_team = 1;   // a team of this size is known to be possible in this thread
  uint64_t seen_uses = 0;  // the owner's count when this thread last asked in vain
  int refusals = 0;
};
thread_local ThreadState this_thread;

// 0: not yet decided. Atomics alone, no locks: a forked child may find a lock held for ever.
std::atomic<int> thread_count{0};
std::atomic<Reason> reason{Reason::kDefault};
std::atomic<bool> forked{false};

std::atomic<ThreadState*> lease_holder{nullptr};
std::atomic<ThreadState*> lease_owner{nullptr};
std::atomic<uint64_t> lease_uses{0};

// Gives the ownership back when the thread ends.
struct OwnerGuard {
  bool armed = false;
  ~OwnerGuard() {
    ThreadState* self = &this_thread;
    if (armed) lease_owner.compare_exchange_strong(self, nullptr);
  }
};
thread_local OwnerGuard owner_guard;

// Never destroyed: other threads may ask while the process ends.
const CpuLimit& default_limit() {
  static const CpuLimit* const limit = [] {
    auto* found = new CpuLimit(cpu_limit());
    for (const char* name : {"TAPEGRAD_NUM_THREADS", "OMP_NUM_THREADS"}) {
      const char* text = std::getenv(name);
      if (const int count = parse_thread_count(text); count > 0) {
        *found = {count, std::string(name) + "=" + text};
        break;
      }
    }
    return found;
  }();
  return *limit;
}

// A child has one thread of the parent's team and a runtime that believes in all of them: any
// region would wait for ever. It runs everything on one thread.
void after_fork_in_child() {
  forked.store(true);
  reason.store(Reason::kForked);
  thread_count.store(1);
  lease_holder.store(nullptr);
  lease_owner.store(nullptr);
  this_thread.lease_depth = 0;
#if !TAPEGRAD_PARALLEL_STD
  omp_set_num_threads(1);
#endif
}

int decided_threads() {
  const int count = thread_count.load(std::memory_order_relaxed);
  if (count > 0) return count;
  static const bool registered = pthread_atfork(nullptr, nullptr, after_fork_in_child) == 0;
  int expected = 0;
  thread_count.compare_exchange_strong(expected, registered ? default_limit().threads : 1);
  return thread_count.load();
}

// The runtime ends the process when it cannot create a thread. So the first team of a size is
// preceded by a trial: the same number of threads, alive together, through a call that may fail.
bool threads_can_be_created(int count) {
  std::atomic<bool> release{false};
  const auto wait = [](void* flag) -> void* {
    static_cast<std::atomic<bool>*>(flag)->wait(false);
    return nullptr;
  };
  std::vector<pthread_t> made;
  made.reserve(static_cast<size_t>(count));
  bool all = true;
  for (int i = 0; i < count && all; ++i) {
    pthread_t thread;
    all = pthread_create(&thread, nullptr, wait, &release) == 0;
    if (all) made.push_back(thread);
  }
  release.store(true);
  release.notify_all();
  for (pthread_t thread : made) pthread_join(thread, nullptr);
  return all;
}

// Becomes the owner if it may. The caller holds the lease.
bool may_own(ThreadState& self) {
  ThreadState* owner = lease_owner.load();
  const uint64_t uses = lease_uses.load(std::memory_order_relaxed);
  if (owner != &self) {
    if (owner != nullptr) {
      self.refusals = uses == self.seen_uses ? self.refusals + 1 : 1;
      self.seen_uses = uses;
      if (self.refusals < kTakeOver) return false;
      self.refusals = 0;
    }
    lease_owner.store(&self);
    owner_guard.armed = true;
  }
  lease_uses.store(uses + 1, std::memory_order_relaxed);
  return true;
}

bool team_is_possible(ThreadState& self, int threads) {
  if (threads <= self.verified_team) return true;
  if (!threads_can_be_created(threads - 1)) {
    reason.store(Reason::kRefused);
    thread_count.store(1);
    return false;
  }
  self.verified_team = threads;
  return true;
}

bool acquire_lease(ThreadState& self, int threads) {
  if (self.lease_depth > 0) {
    ++self.lease_depth;
    return true;
  }
  ThreadState* expected = nullptr;
  if (!lease_holder.compare_exchange_strong(expected, &self, std::memory_order_acquire)) {
    return false;
  }
  if (!may_own(self) || !team_is_possible(self, threads)) {
    lease_holder.store(nullptr, std::memory_order_release);
    return false;
  }
  self.lease_depth = 1;
  return true;
}

void release_lease(ThreadState& self) {
  if (--self.lease_depth == 0) lease_holder.store(nullptr, std::memory_order_release);
}

bool inside_foreign_region() {
#if TAPEGRAD_PARALLEL_STD
  return false;
#else
  return omp_in_parallel() != 0;
#endif
}

// One region: the range, and what went wrong in it.
struct Region {
  int64_t begin, end, grain;
  RangeBody body;
  void* context;
  std::atomic<bool> failed{false};
  std::exception_ptr error{};

  void run(int index, int team) noexcept {
    const int64_t length = end - begin;
    const int64_t pieces = std::min<int64_t>(team, (length - 1) / grain + 1);
    if (index >= pieces) return;
    const int64_t share = length / pieces, extra = length % pieces;
    const int64_t from = begin + index * share + std::min<int64_t>(index, extra);
    const int64_t to = from + share + (index < extra ? 1 : 0);
    ThreadState& self = this_thread;
    self.index = index;
    self.in_region = true;
    try {
      body(context, from, to);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
    self.index = 0;
    self.in_region = false;
  }
};

#if TAPEGRAD_PARALLEL_STD
// The same function on std::thread, for tools that cannot see into the OpenMP runtime. Workers are
// detached and the pool is never destroyed, so that the process may end while they wait.
class Pool {
 public:
  static Pool& instance() {
    static Pool* const pool = new Pool;
    return *pool;
  }

  void run(Region& region, int threads) {
    std::unique_lock lock(mutex_);
    while (workers_ < threads - 1) {
      const int index = ++workers_;
      std::thread([this, index, generation = generation_] { work(index, generation); }).detach();
    }
    region_ = &region;
    team_ = threads;
    pending_ = workers_;
    ++generation_;
    start_.notify_all();
    lock.unlock();
    region.run(0, threads);
    lock.lock();
    done_.wait(lock, [this] { return pending_ == 0; });
    region_ = nullptr;
  }

 private:
  void work(int index, uint64_t seen) {
    std::unique_lock lock(mutex_);
    for (;;) {
      start_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      Region* region = region_;
      const int team = team_;
      lock.unlock();
      if (index < team) region->run(index, team);
      lock.lock();
      if (--pending_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable start_, done_;
  uint64_t generation_ = 0;
  int workers_ = 0, team_ = 0, pending_ = 0;
  Region* region_ = nullptr;
};

void run_on_team(Region& region, int threads) { Pool::instance().run(region, threads); }
#else
void run_on_team(Region& region, int threads) {
#pragma omp parallel num_threads(threads)
  region.run(omp_get_thread_num(), omp_get_num_threads());
}
#endif

}  // namespace

void parallel_range(int64_t begin, int64_t end, int64_t grain, RangeBody body, void* context) {
  if (begin >= end) return;
  grain = std::max<int64_t>(grain, 1);
  ThreadState& self = this_thread;
  const int threads = self.in_region || end - begin <= grain ? 1 : decided_threads();
  if (threads == 1 || inside_foreign_region() || !acquire_lease(self, threads)) {
    body(context, begin, end);
    return;
  }
  Region region{begin, end, grain, body, context};
  run_on_team(region, threads);
  release_lease(self);
  if (region.error) std::rethrow_exception(region.error);
}

int thread_index() { return this_thread.index; }

bool in_parallel_region() { return this_thread.in_region; }

LibraryThreads::LibraryThreads(int max_threads) {
#if !TAPEGRAD_PARALLEL_STD
  ThreadState& self = this_thread;
  previous_ = omp_get_max_threads();
  const int threads = self.in_region || max_threads == 1 ? 1 : decided_threads();
  leased_ = threads > 1 && !inside_foreign_region() && acquire_lease(self, threads);
  threads_ = leased_ ? threads : 1;
  if (threads_ != previous_) omp_set_num_threads(threads_);
#else
  (void)max_threads;
#endif
}

LibraryThreads::~LibraryThreads() {
#if !TAPEGRAD_PARALLEL_STD
  if (threads_ != previous_) omp_set_num_threads(previous_);
  if (leased_) release_lease(this_thread);
#endif
}

}  // namespace core

void set_num_threads(int n) {
  if (n < 1 || n > core::kMaxThreads) {
    throw std::invalid_argument("set_num_threads: expected a number from 1 to " +
                                std::to_string(core::kMaxThreads) + ", got " + std::to_string(n));
  }
  core::decided_threads();
  if (core::forked.load()) return;
  core::reason.store(core::Reason::kSet);
  core::thread_count.store(n);
}

int get_num_threads() { return core::decided_threads(); }

std::string thread_count_reason() {
  core::decided_threads();
  switch (core::reason.load()) {
    case core::Reason::kSet:
      return "set_num_threads";
    case core::Reason::kForked:
      return "forked child: one thread";
    case core::Reason::kRefused:
      return "the system refused to create threads";
    case core::Reason::kDefault:
      break;
  }
  return core::default_limit().reason;
}

}  // namespace tapegrad
