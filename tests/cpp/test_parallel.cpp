// The team: covering, exceptions, nesting, user threads, forks, refused threads, limits.
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/caches.h"
#include "core/cpu_limits.h"
#include "core/parallel.h"
#include "tapegrad/parallel.h"

namespace {

using tapegrad::core::parallel_for;

int system_threads() {
  int count = 0;
  DIR* folder = opendir("/proc/self/task");
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

// Workers that a smaller team has no use for end in their own time: waits for that.
int settled_threads(int wanted) {
  for (int wait = 0; wait < 200 && system_threads() > wanted; ++wait) usleep(10000);
  return system_threads();
}

long resident_pages() {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  return 0;  // the sanitizer's own bookkeeping grows
#endif
  long total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident;
}

// The sum of [0, n) and the number of pieces that computed it.
int64_t sum_to(int64_t n, int64_t grain, int* pieces = nullptr) {
  std::atomic<int64_t> sum{0};
  std::atomic<int> calls{0};
  parallel_for(0, n, grain, [&](int64_t begin, int64_t end) {
    int64_t part = 0;
    for (int64_t i = begin; i < end; ++i) part += i;
    sum += part;
    ++calls;
  });
  if (pieces != nullptr) *pieces = calls;
  return sum;
}

TEST(covers_each_index_once) {
  for (int threads : {1, 2, 3, 7}) {
    tapegrad::set_num_threads(threads);
    CHECK(tapegrad::get_num_threads() == threads);
    CHECK(tapegrad::thread_count_reason() == "set_num_threads");
    for (int64_t begin : {-5, 0, 3}) {
      for (int64_t length : {0, 1, 2, 5, 8, 100, 1001}) {
        for (int64_t grain : {0, 1, 7, 100, 5000}) {
          std::vector<std::atomic<int>> hits(static_cast<size_t>(length));
          std::atomic<int> pieces{0};
          parallel_for(begin, begin + length, grain, [&](int64_t from, int64_t to) {
            ++pieces;
            for (int64_t i = from; i < to; ++i) ++hits[static_cast<size_t>(i - begin)];
          });
          bool once = true;
          for (const auto& hit : hits) once = once && hit == 1;
          CHECK(once);
          const int64_t step = std::max<int64_t>(grain, 1);
          const int64_t expected = std::min<int64_t>(threads, (length + step - 1) / step);
          CHECK(pieces == expected);
        }
      }
    }
  }
}

TEST(thread_index_and_nesting) {
  tapegrad::set_num_threads(3);
  std::vector<std::atomic<int>> seen(3);
  std::atomic<int> nested_pieces{0};
  std::atomic<bool> inside{true};
  CHECK(!tapegrad::core::in_parallel_region());
  parallel_for(0, 3, 1, [&](int64_t, int64_t) {
    ++seen[static_cast<size_t>(tapegrad::core::thread_index())];
    inside = inside && tapegrad::core::in_parallel_region();
    parallel_for(0, 1000, 1,
                 [&](int64_t begin, int64_t end) { nested_pieces += begin == 0 && end == 1000; });
  });
  CHECK(inside);
  for (const auto& count : seen) CHECK(count == 1);
  CHECK(nested_pieces == 3);
  CHECK(tapegrad::core::thread_index() == 0);
  CHECK(!tapegrad::core::in_parallel_region());
}

TEST(exceptions) {
  for (int threads : {1, 2, 4}) {
    tapegrad::set_num_threads(threads);
    std::atomic<int> started{0};
    std::string caught;
    try {
      parallel_for(0, 4, 1, [&](int64_t begin, int64_t) {
        ++started;
        throw std::runtime_error("piece " + std::to_string(begin * 0));
      });
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    CHECK(caught == "piece 0");
    CHECK(started == threads);
    CHECK(!tapegrad::core::in_parallel_region());
    CHECK(sum_to(1000, 10) == 499500);
  }
}

TEST(bad_counts_change_nothing) {
  tapegrad::set_num_threads(2);
  for (int bad : {0, -1, 1 << 20, std::numeric_limits<int>::min()}) {
    bool thrown = false;
    try {
      tapegrad::set_num_threads(bad);
    } catch (const std::invalid_argument& error) {
      thrown = std::string(error.what()).find("set_num_threads") == 0;
    }
    CHECK(thrown);
    CHECK(tapegrad::get_num_threads() == 2);
  }
}

TEST(alternating_sizes_keep_one_team) {
  tapegrad::set_num_threads(2);
  CHECK(sum_to(100000, 1) == 4999950000);
  const int threads = settled_threads(2);
  const long pages = resident_pages();
  for (int i = 0; i < 20000; ++i) {
    if (sum_to(1 + i % 97, 8) != (i % 97) * (i % 97 + 1) / 2) CHECK(false);
  }
  CHECK_EQ(system_threads(), threads);
  CHECK_LT(resident_pages() - pages, 256);
}

TEST(short_lived_threads_leave_nothing) {
  tapegrad::set_num_threads(2);
  sum_to(1000, 1);
  const int threads = settled_threads(2);
  std::thread([] { sum_to(1000, 1); }).join();
  const long pages = resident_pages();
  for (int i = 0; i < 3000; ++i) {
    std::thread([] {
      for (int step = 0; step < 40; ++step) sum_to(100, 1);
    }).join();
  }
  CHECK_EQ(settled_threads(threads), threads);
  CHECK(resident_pages() - pages < 1024);
}

TEST(one_user_thread_has_the_team) {
  tapegrad::set_num_threads(2);
  sum_to(1000, 1);
  std::atomic<bool> held{false}, finished{false};
  int pieces_meanwhile = -1;
  std::thread other([&] {
    while (!held) std::this_thread::yield();
    sum_to(1000, 1, &pieces_meanwhile);
    finished = true;
  });
  parallel_for(0, 2, 1, [&](int64_t, int64_t) {
    held = true;
    while (!finished) std::this_thread::yield();
  });
  other.join();
  CHECK(pieces_meanwhile == 1);

  // A thread that keeps asking while the owner rests gets it, and the first can have it back.
  int most = 0;
  std::thread([&] {
    for (int i = 0; i < 100; ++i) {
      int pieces = 0;
      sum_to(1000, 1, &pieces);
      most = std::max(most, pieces);
    }
  }).join();
  CHECK(most == 2);
  int pieces = 0;
  sum_to(1000, 1, &pieces);
  CHECK(pieces == 2);
}

TEST(many_user_threads) {
  tapegrad::set_num_threads(2);
  std::atomic<int> wrong{0};
  std::vector<std::thread> users;
  for (int user = 0; user < 8; ++user) {
    users.emplace_back([&wrong, user] {
      for (int i = 0; i < 300; ++i) {
        const int64_t n = 100 + user * 10 + i;
        if (sum_to(n, 1 + i % 5) != n * (n - 1) / 2) ++wrong;
      }
    });
  }
  for (std::thread& user : users) user.join();
  CHECK(wrong == 0);
}

// True when the child exits with 0 within ten seconds; a child that hangs is ended.
bool child_succeeds(pid_t child) {
  for (int waited = 0; waited < 2000; ++waited) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child)
      return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    usleep(5000);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return false;
}

TEST(fork_after_a_region) {
  tapegrad::set_num_threads(2);
  for (int i = 0; i < 50; ++i) {
    CHECK(sum_to(100000, 10) == 4999950000);
    const pid_t child = fork();
    if (child == 0) {
      int pieces = 0;
      bool good = sum_to(100000, 10, &pieces) == 4999950000 && pieces == 1;
      good = good && tapegrad::get_num_threads() == 1;
      good = good && tapegrad::thread_count_reason() == "forked child: one thread";
      tapegrad::set_num_threads(2);
      good = good && tapegrad::get_num_threads() == 1 && sum_to(1000, 1) == 499500;
      const tapegrad::core::LibraryThreads scope;
      _exit(good && scope.threads() == 1 ? 0 : 1);
    }
    CHECK(child_succeeds(child));
  }
  CHECK(tapegrad::get_num_threads() == 2);
}

TEST(fork_while_another_thread_has_the_team) {
  tapegrad::set_num_threads(2);
  std::atomic<bool> held{false}, finished{false};
  std::thread holder([&] {
    while (!held) {
      parallel_for(0, 2, 1, [&](int64_t, int64_t) {
        if (!tapegrad::core::in_parallel_region()) return;
        held = true;
        while (!finished) usleep(100);
      });
    }
  });
  while (!held) usleep(100);
  const pid_t child = fork();
  if (child == 0) _exit(sum_to(100000, 10) == 4999950000 ? 0 : 1);
  CHECK(child_succeeds(child));
  finished = true;
  holder.join();
}

#if !TAPEGRAD_PARALLEL_STD
TEST(library_threads) {
  tapegrad::set_num_threads(2);
  using tapegrad::core::LibraryThreads;
  {
    const LibraryThreads team;
    CHECK(team.threads() == 2);
    const LibraryThreads again;  // the same thread may ask twice
    CHECK(again.threads() == 2);
    int pieces = 0;
    CHECK(sum_to(1000, 1, &pieces) == 499500 && pieces == 2);
    int elsewhere = 0;
    std::thread([&] { elsewhere = LibraryThreads().threads(); }).join();
    CHECK(elsewhere == 1);
  }
  CHECK(LibraryThreads(1).threads() == 1);
  std::atomic<int> most{0};
  parallel_for(0, 2, 1,
               [&](int64_t, int64_t) { most = std::max<int>(most, LibraryThreads().threads()); });
  CHECK(most == 1);
  CHECK(LibraryThreads().threads() == 2);
}
#endif

// Runs this very test in a new process, where `role` is set; there it does its work.
bool runs_alone(const char* test, const char* role) {
  const pid_t child = fork();
  if (child == 0) {
    setenv("TAPEGRAD_TEST_ROLE", role, 1);
    execl("/proc/self/exe", "cpp_tests", test, nullptr);
    _exit(9);
  }
  return child_succeeds(child);
}

// An address space that leaves no room for another thread's stack.
TEST(refused_threads) {
  if (std::getenv("TAPEGRAD_TEST_ROLE") == nullptr) {
    CHECK(runs_alone("test_parallel.refused_threads", "child"));
    return;
  }
  tapegrad::set_num_threads(8);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)  // they need all of it
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t room = static_cast<rlim_t>(pages) * 4096 + (4 << 20);
  const rlimit limit{room, room};
  REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
  int pieces = 0;
  CHECK_EQ(sum_to(100000, 10, &pieces), 4999950000);
  CHECK_EQ(pieces, 1);
  CHECK_EQ(tapegrad::get_num_threads(), 1);
  CHECK_EQ(tapegrad::thread_count_reason(), "the system refused to create threads");
#endif
  CHECK_EQ(sum_to(1000, 1), 499500);
}

TEST(environment) {
  if (const char* role = std::getenv("TAPEGRAD_TEST_ROLE")) {
    const std::string expected = role;  // "count reason"
    const auto space = expected.find(' ');
    CHECK_EQ(std::to_string(tapegrad::get_num_threads()), expected.substr(0, space));
    CHECK_EQ(tapegrad::thread_count_reason(), expected.substr(space + 1));
    return;
  }
  struct Case {
    const char *own, *omp, *expected;
  };
  const Case cases[] = {{"3", "2", "3 TAPEGRAD_NUM_THREADS=3"},
                        {"", "5,2", "5 OMP_NUM_THREADS=5,2"},
                        {"none", "4", "4 OMP_NUM_THREADS=4"}};
  for (const Case& each : cases) {
    setenv("TAPEGRAD_NUM_THREADS", each.own, 1);
    setenv("OMP_NUM_THREADS", each.omp, 1);
    CHECK(runs_alone("test_parallel.environment", each.expected));
  }
  unsetenv("TAPEGRAD_NUM_THREADS");
  unsetenv("OMP_NUM_THREADS");
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(largest_cache) {
  namespace fs = std::filesystem;
  using tapegrad::core::largest_cache;
  std::string pattern = (fs::temp_directory_path() / "tapegrad-caches-XXXXXX").string();
  const fs::path root = mkdtemp(pattern.data());
  CHECK_EQ(largest_cache(root), int64_t{32} << 20);
  const fs::path caches = root / "sys/devices/system/cpu/cpu0/cache";
  write_file(caches / "index0/size", "48K\n");
  CHECK_EQ(largest_cache(root), 48 << 10);
  write_file(caches / "index1/size", "2M\n");
  write_file(caches / "index2/size", "512K\n");
  CHECK_EQ(largest_cache(root), 2 << 20);
  write_file(caches / "index3/size", "nonsense\n");
  CHECK_EQ(largest_cache(root), 2 << 20);
  fs::remove_all(root);
}

TEST(cpu_limits) {
  namespace fs = std::filesystem;
  using tapegrad::core::cgroup_quota;
  using tapegrad::core::parse_thread_count;
  std::string pattern = (fs::temp_directory_path() / "tapegrad-cgroup-XXXXXX").string();
  const fs::path root = mkdtemp(pattern.data());
  const fs::path v2 = root / "v2", v1 = root / "v1", hidden = root / "hidden";

  // Version 2: the strictest ancestor counts.
  write_file(v2 / "proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
  write_file(v2 / "proc/self/cgroup", "0::/a/b\n");
  write_file(v2 / "sys/fs/cgroup/a/cpu.max", "50000 100000\n");
  write_file(v2 / "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  CHECK(cgroup_quota(v2) == 0.5);
  const tapegrad::core::CpuLimit limit = tapegrad::core::cpu_limit(v2);
  CHECK(limit.threads == 1);
  CHECK(limit.reason == "cgroup quota 0.5 -> 1");
  write_file(v2 / "sys/fs/cgroup/a/cpu.max", "max 100000\n");
  CHECK(cgroup_quota(v2) == 0);

  write_file(v1 / "proc/self/mounts", "cgroup /cg/cpu cgroup rw,cpu,cpuacct 0 0\n");
  write_file(v1 / "proc/self/cgroup", "3:cpu,cpuacct:/x\n0::/y\n");
  write_file(v1 / "cg/cpu/x/cpu.cfs_quota_us", "250000\n");
  write_file(v1 / "cg/cpu/x/cpu.cfs_period_us", "100000\n");
  CHECK(cgroup_quota(v1) == 2.5);
  write_file(v1 / "cg/cpu/x/cpu.cfs_quota_us", "-1\n");
  CHECK(cgroup_quota(v1) == 0);

  // Inside a container the group's path may be the host's: the mount's root still counts.
  write_file(hidden / "proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
  write_file(hidden / "proc/self/cgroup", "0::/docker/0123\n");
  write_file(hidden / "sys/fs/cgroup/cpu.max", "150000 100000\n");
  CHECK(cgroup_quota(hidden) == 1.5);
  CHECK(cgroup_quota(root / "nothing") == 0);
  fs::remove_all(root);

  CHECK(parse_thread_count("4") == 4);
  CHECK(parse_thread_count("4,2") == 4);
  CHECK(parse_thread_count(" 8 ") == 8);
  for (const char* bad : {"", "0", "-2", "x", "3x", "99999999999"})
    CHECK(parse_thread_count(bad) == 0);
  CHECK(parse_thread_count(nullptr) == 0);
}

}  // namespace
