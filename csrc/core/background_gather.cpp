#include "core/background_gather.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "core/cpu_limits.h"
#include "core/parallel.h"
#include "tapegrad/parallel.h"

namespace tapegrad::core {
namespace {

// A signal for the process must not arrive here: the thread that waits in a system call would not
// wake for it, and Ctrl-C not break a sleep. Those of a fault are the thread's own.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP})
      sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

constexpr int64_t kAhead = 8;

inline void copy_row(char* to, const char* from, size_t bytes) {
  switch (bytes) {  // labels and the like, for which a call is most of the time
    case 4:
      std::memcpy(to, from, 4);
      return;
    case 8:
      std::memcpy(to, from, 8);
      return;
    default:
      std::memcpy(to, from, bytes);
  }
}

}  // namespace

/// The thread and what waits for it. Never destroyed: tasks may outlive the end of main.
class GatherThread {
 public:
  static GatherThread& instance() {
    static auto* const thread = new GatherThread;
    return *thread;
  }

  bool available() {
    const int threads = get_num_threads();
    const std::scoped_lock lock(mutex_);
    if (processors_ == 0) processors_ = cpu_limit().threads;
    return threads < processors_ && state_ != State::kOver;
  }

  void add(BackgroundGather& task) {
    {
      const std::scoped_lock lock(mutex_);
      task.process_ = process_;
      if (state_ == State::kNone) begin_thread();
      if (state_ != State::kRuns) return;
      tasks_.push_back(&task);
    }
    work_.notify_one();
  }

  /// Takes the pieces from the returned one on away from the thread. A task from before a fork is
  /// taken away whole.
  size_t take_back(BackgroundGather& task) {
    const std::scoped_lock lock(mutex_);
    if (task.process_ != process_) {
      task.under_way_ = false;
      return 0;
    }
    const size_t from = std::exchange(task.next_, task.pieces_.size());
    if (from < task.pieces_.size()) std::erase(tasks_, &task);
    return from;
  }

  void wait(BackgroundGather& task) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return !task.under_way_; });
  }

 private:
  enum class State : uint8_t { kNone, kRuns, kOver };

  // Under the lock.
  void begin_thread() {
    const BlockedSignals blocked;
    try {
      thread_ = std::thread([this] { work(); });
    } catch (const std::system_error&) {
      state_ = State::kOver;
      return;
    }
    state_ = State::kRuns;
    static const struct AtExit {
      ~AtExit() { instance().end(); }
    } at_exit;
  }

  void work() {
    // It takes a processor that is idle, but does not push the step from its own when it wakes.
    const sched_param priority{};
    sched_setscheduler(0, SCHED_BATCH, &priority);
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return state_ == State::kOver || !tasks_.empty(); });
      if (state_ == State::kOver) return;
      BackgroundGather& task = *tasks_.front();
      const BackgroundGather::Piece& piece = task.pieces_[task.next_++];
      if (task.next_ == task.pieces_.size()) tasks_.pop_front();
      task.under_way_ = true;
      lock.unlock();
      task.run(piece);
      lock.lock();
      task.under_way_ = false;
      if (task.next_ == task.pieces_.size()) done_.notify_all();
    }
  }

  void end() {
    {
      const std::scoped_lock lock(mutex_);
      if (state_ != State::kRuns) return;
      state_ = State::kOver;
      tasks_.clear();
    }
    work_.notify_one();
    thread_.join();
  }

  void after_fork_in_child() {
    ++process_;
    state_ = State::kOver;
    tasks_.clear();
    // The thread, and whoever waited for it, are not in this process.
    new (&work_) std::condition_variable;
    new (&done_) std::condition_variable;
    mutex_.unlock();
  }

  std::mutex mutex_;
  std::condition_variable work_, done_;
  std::deque<BackgroundGather*> tasks_;  // those with pieces that nobody has begun
  std::thread thread_;
  State state_ = State::kNone;
  int processors_ = 0;  // 0: not yet counted
  uint64_t process_ = 0;

  // A fork waits for the lock, so that the child finds whole lists.
  static const int registered_;
};

const int GatherThread::registered_ =
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] { instance().after_fork_in_child(); });

bool BackgroundGather::available() { return GatherThread::instance().available(); }

void BackgroundGather::run(const Piece& piece) const {
  const auto& [from, to, row_bytes] = piece.copy;
  const auto bytes = static_cast<size_t>(row_bytes);
  if (rows_.empty()) {
    const int64_t skipped = piece.begin * row_bytes;
    std::memcpy(to + skipped, from + skipped, static_cast<size_t>(piece.end - piece.begin) * bytes);
    return;
  }
  for (int64_t i = piece.begin; i < piece.end; ++i) {
    // Rows lie anywhere: the beginning of a later one is fetched meanwhile.
    const int64_t later = std::min(i + kAhead, piece.end - 1);
    __builtin_prefetch(from + rows_[static_cast<size_t>(later)] * row_bytes);
    copy_row(to + i * row_bytes, from + rows_[static_cast<size_t>(i)] * row_bytes, bytes);
  }
}

void BackgroundGather::run(size_t begin, size_t end) const {
  parallel_for(static_cast<int64_t>(begin), static_cast<int64_t>(end), 2,
               [this](int64_t first, int64_t last) {
                 for (int64_t i = first; i < last; ++i) run(pieces_[static_cast<size_t>(i)]);
               });
}

void BackgroundGather::start(const std::vector<RowCopy>& copies, std::vector<int64_t> rows,
                             int64_t count) {
  withdraw();
  pieces_.clear();
  for (const RowCopy& copy : copies) {
    if (copy.row_bytes == 0) continue;  // the address of no bytes may be null
    const int64_t step = std::max<int64_t>(1, kPieceBytes / copy.row_bytes);
    for (int64_t begin = 0; begin < count; begin += step)
      pieces_.push_back({copy, begin, std::min(count, begin + step)});
  }
  rows_ = std::move(rows);
  next_ = 0;
  under_way_ = false;
  if (pieces_.empty()) return;
  GatherThread::instance().add(*this);
  pending_ = true;
}

bool BackgroundGather::finish() {
  if (!std::exchange(pending_, false)) return true;
  const size_t from = GatherThread::instance().take_back(*this);
  run(from, pieces_.size());
  GatherThread::instance().wait(*this);
  return 2 * from >= pieces_.size();
}

void BackgroundGather::withdraw() {
  if (!std::exchange(pending_, false)) return;
  GatherThread::instance().take_back(*this);
  GatherThread::instance().wait(*this);
}

}  // namespace tapegrad::core
