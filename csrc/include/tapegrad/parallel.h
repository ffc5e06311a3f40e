// How many threads the library uses. One number for the whole process: kernels of every user
// thread share one team, and a user thread that does not get the team runs its work alone.
// This header knows nothing of OpenMP or of how the work is split.
#pragma once

#include <string>

#include "tapegrad/export.h"

namespace tapegrad {

// Sets the number of threads that a large operation may use. Results do not depend on it.
// Throws std::invalid_argument unless 1 <= n <= 4096. A forked child keeps to one thread whatever
// is asked.
TAPEGRAD_API void set_num_threads(int n);

// The number of threads that a large operation uses now.
TAPEGRAD_API int get_num_threads();

// Why it is this number: "OMP_NUM_THREADS=4", "affinity mask: 2 of 8",
// "cgroup quota 1.5 -> 1", "set_num_threads", "forked child: one thread", ...
TAPEGRAD_API std::string thread_count_reason();

}  // namespace tapegrad
