// How many processors this process may use: the affinity mask and the container's CPU quota
// (control groups, versions 1 and 2). Reads files only; knows nothing of threads or teams.
#pragma once

#include <string>

namespace tapegrad::core {

// More threads than this are a mistake, not a wish.
inline constexpr int kMaxThreads = 4096;

struct CpuLimit {
  int threads = 1;
  std::string reason;  // for a person: "affinity mask: 2 of 8"
};

// The smaller of affinity and quota. `root` is put before every path read (tests use a made-up
// tree); empty means the real system.
CpuLimit cpu_limit(const std::string& root = {});

// The quota in processors, or 0 when there is none.
double cgroup_quota(const std::string& root = {});

// A thread count written by a person in an environment variable ("4", or "4,2": the outermost
// level counts). Returns 0 when the text is null, not a number, or not in [1, kMaxThreads].
int parse_thread_count(const char* text);

}  // namespace tapegrad::core
