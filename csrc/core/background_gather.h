// Copies rows of memory on a thread of ours while the caller computes: one thread for the process,
// started by the first task, ended with the process. Knows plain memory only, no tensors; who hands
// a task over keeps its memory alive and has checked its rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tapegrad/export.h"

namespace tapegrad::core {

/// One source and one destination, both dense, and the bytes of a row of either.
struct RowCopy {
  const char* from;
  char* to;
  int64_t row_bytes;
};

// Note [Gathering in the background]
// A task is cut into pieces. The thread takes one after the other; the owner, when it comes for the
// result, takes all that are left and waits for the one under way at most. So a thread that the
// system has not let run, or could not create, costs next to nothing, and nobody waits for a task
// of somebody else. It is used only where the team (core/parallel) leaves a processor free: beside
// a full team it would take one from a step that waits for all its threads, and cost more than it
// brings. A forked child has no such thread: a task from before the fork is copied anew
// there, as the parent's thread may have been in the middle of a piece.

/// A batch to be gathered: row i of every destination is row rows[i] of its source, or row i where
/// no rows are given. Used by one thread at a time; different tasks by any threads.
class TAPEGRAD_API BackgroundGather {
 public:
  BackgroundGather() = default;
  ~BackgroundGather() { withdraw(); }
  BackgroundGather(const BackgroundGather&) = delete;
  BackgroundGather& operator=(const BackgroundGather&) = delete;

  /// Whether there is a thread and a processor that no thread of the team needs; false in a forked
  /// child.
  static bool available();

  /// Hands over. The memory behind `copies` must stay until finish() or withdraw() has returned.
  void start(const std::vector<RowCopy>& copies, std::vector<int64_t> rows, int64_t count);
  /// Returns when everything is copied; true when the thread has done at least half of it.
  bool finish();
  /// Returns when nothing is read or written any more. What was not begun is left undone.
  void withdraw();

 private:
  friend class GatherThread;

  struct Piece {
    RowCopy copy;
    int64_t begin;
    int64_t end;
  };
  static constexpr int64_t kPieceBytes = 64 * 1024;

  void run(const Piece& piece) const;
  void run(size_t begin, size_t end) const;

  // Constant while the thread may see the task.
  std::vector<Piece> pieces_;
  std::vector<int64_t> rows_;
  uint64_t process_ = 0;  // how many forks this process was away from the first
  bool pending_ = false;  // started, and neither finished nor withdrawn; the owner's alone

  // Under the lock of the thread.
  size_t next_ = 0;
  bool under_way_ = false;
};

}  // namespace tapegrad::core
