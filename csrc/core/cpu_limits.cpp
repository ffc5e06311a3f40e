#include "core/cpu_limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

namespace tapegrad::core {
namespace {

// Where control groups that can carry a CPU quota are mounted, and this process's group in each.
struct CgroupPlace {
  bool v2 = false;
  std::string mount;
  std::string group;
};

bool has_word(const std::string& list, const std::string& word) {
  std::stringstream words(list);
  for (std::string each; std::getline(words, each, ',');) {
    if (each == word) return true;
  }
  return false;
}

// /proc/self/cgroup has lines "id:controllers:path"; version 2 has no controllers.
std::string group_path(const std::string& root, bool v2) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    if (first == std::string::npos) continue;
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (v2 ? controllers.empty() : has_word(controllers, "cpu")) return line.substr(second + 1);
  }
  return "/";
}

std::vector<CgroupPlace> cgroup_places(const std::string& root) {
  std::vector<CgroupPlace> places;
  std::ifstream file(root + "/proc/self/mounts");
  for (std::string line; std::getline(file, line);) {
    std::stringstream fields(line);
    std::string device, mount, type, options;
    fields >> device >> mount >> type >> options;
    const bool v2 = type == "cgroup2";
    if (!v2 && !(type == "cgroup" && has_word(options, "cpu"))) continue;
    places.push_back({v2, root + mount, group_path(root, v2)});
  }
  return places;
}

// The quota of one group in processors; 0 when it sets none or does not exist.
double group_quota(const std::string& folder, bool v2) {
  double quota = 0, period = 0;
  if (v2) {
    std::ifstream file(folder + "/cpu.max");  // "max 100000" or "150000 100000"
    if (!(file >> quota >> period)) return 0;
  } else {
    std::ifstream quota_file(folder + "/cpu.cfs_quota_us");
    std::ifstream period_file(folder + "/cpu.cfs_period_us");
    if (!(quota_file >> quota) || !(period_file >> period)) return 0;
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

// A loop, for the mask of a machine with more processors than the fixed set holds fails (EINVAL).
int affinity_count() {
  for (int capacity = 1024; capacity <= 1 << 20; capacity *= 2) {
    cpu_set_t* mask = CPU_ALLOC(capacity);
    if (mask == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(capacity);
    CPU_ZERO_S(bytes, mask);
    const bool done = sched_getaffinity(0, bytes, mask) == 0;
    const bool too_small = !done && errno == EINVAL;
    const int count = done ? CPU_COUNT_S(bytes, mask) : 0;
    CPU_FREE(mask);
    if (done) return std::max(1, count);
    if (!too_small) break;
  }
  return std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace

double cgroup_quota(const std::string& root) {
  double smallest = 0;
  for (const CgroupPlace& place : cgroup_places(root)) {
    // Every ancestor limits its children. Inside a container the path may name a group of the
    // host that cannot be seen: missing folders count as no limit, and the walk ends at the mount.
    std::string group = place.group == "/" ? "" : place.group;
    for (;;) {
      const double quota = group_quota(place.mount + group, place.v2);
      if (quota > 0 && (smallest == 0 || quota < smallest)) smallest = quota;
      const auto slash = group.rfind('/');
      if (slash == std::string::npos) break;
      group.resize(slash);
    }
  }
  return smallest;
}

CpuLimit cpu_limit(const std::string& root) {
  const int allowed = affinity_count();
  const int present = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  const double quota = cgroup_quota(root);
  if (quota > 0 && quota < allowed) {
    const int threads = std::max(1, static_cast<int>(quota));
    char text[64];
    std::snprintf(text, sizeof text, "cgroup quota %.3g -> %d", quota, threads);
    return {threads, text};
  }
  if (allowed < present) {
    return {allowed,
            "affinity mask: " + std::to_string(allowed) + " of " + std::to_string(present)};
  }
  return {allowed, std::to_string(allowed) + " processors"};
}

int parse_thread_count(const char* text) {
  if (text == nullptr) return 0;
  char* rest = nullptr;
  const long value = std::strtol(text, &rest, 10);
  while (*rest == ' ') ++rest;
  if (rest == text || (*rest != '\0' && *rest != ',')) return 0;
  return value >= 1 && value <= kMaxThreads ? static_cast<int>(value) : 0;
}

}  // namespace tapegrad::core
