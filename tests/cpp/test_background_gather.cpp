// The thread that gathers rows: contents, withdrawal, many users, forks, the end of the process.
#include <dirent.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "core/background_gather.h"
#include "core/cpu_limits.h"
#include "forks.h"
#include "tapegrad/parallel.h"

namespace {

using tapegrad::core::BackgroundGather;
using tapegrad::core::RowCopy;

/// Bytes of which no two rows are equal.
std::vector<char> source_of(int64_t rows, int64_t row_bytes) {
  std::vector<char> bytes(static_cast<size_t>(rows * row_bytes));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  return bytes;
}

/// Sources with rows of several lengths, and the batch that is gathered from them.
struct Batch {
  static constexpr int64_t kRows = 40;
  std::vector<int64_t> lengths;
  std::vector<std::vector<char>> sources;
  std::vector<std::vector<char>> results;
  std::vector<int64_t> rows;
  BackgroundGather gather;

  explicit Batch(std::vector<int64_t> row_bytes) : lengths(std::move(row_bytes)) {
    for (const int64_t length : lengths) sources.push_back(source_of(kRows, length));
  }

  void start(int64_t count, bool in_order = false, int64_t step = 13) {
    gather.withdraw();  // the memory of the batch before goes
    rows.clear();
    for (int64_t i = 0; i < count && !in_order; ++i) rows.push_back(i * step % kRows);
    results.clear();
    std::vector<RowCopy> copies;
    for (size_t k = 0; k < lengths.size(); ++k) {
      results.emplace_back(static_cast<size_t>(count * lengths[k]), '?');
      copies.push_back({sources[k].data(), results[k].data(), lengths[k]});
    }
    gather.start(copies, rows, count);
  }

  bool is_right() const {
    for (size_t k = 0; k < lengths.size(); ++k) {
      const auto bytes = static_cast<size_t>(lengths[k]);
      const size_t count = bytes == 0 ? 0 : results[k].size() / bytes;
      for (size_t i = 0; i < count; ++i) {
        const size_t from = rows.empty() ? i : static_cast<size_t>(rows[i]);
        const char* expected = sources[k].data() + from * bytes;
        if (std::memcmp(results[k].data() + i * bytes, expected, bytes) != 0) return false;
      }
    }
    return true;
  }
};

const std::vector<int64_t> kLengths{1, 4, 8, 20, 3136, 70'000, 0};

int system_threads() {
  int count = 0;
  DIR* folder = opendir("/proc/self/task");
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

TEST(rows_arrive) {
  Batch batch(kLengths);
  for (const int64_t count : {int64_t{1}, int64_t{7}, int64_t{40}}) {
    for (const bool in_order : {false, true}) {
      for (const int wait : {0, 0, 20, 500, 5000}) {
        batch.start(count, in_order);
        if (wait > 0) usleep(static_cast<useconds_t>(wait));
        batch.gather.finish();
        CHECK(batch.is_right());
        batch.gather.finish();  // nothing is left to do
      }
    }
  }
  batch.start(0);
  batch.gather.finish();
  CHECK(batch.is_right());
}

TEST(the_thread_does_the_work_of_an_owner_that_is_busy) {
  Batch batch({16 * 1024});
  bool helped = false;
  for (int attempt = 0; attempt < 50 && !helped; ++attempt) {
    batch.start(40);
    usleep(20000);
    helped = batch.gather.finish();
    CHECK(batch.is_right());
  }
  CHECK(helped);
}

TEST(withdrawn_tasks_touch_nothing) {
  for (int round = 0; round < 120; ++round) {
    auto batch = std::make_unique<Batch>(std::vector<int64_t>{20'000, 8});
    batch->start(40);
    if (round % 3 == 1) usleep(static_cast<useconds_t>(round));
    if (round % 3 == 2) {
      batch->start(30);  // in place of the first
      batch->gather.withdraw();
    }
    if (round % 2) batch->gather.withdraw();  // else the destructor does
    if (round % 2) batch->sources.clear();    // the address sanitizer would see a late read
  }
  CHECK(true);
}

TEST(many_owners_in_many_threads) {
  Batch first({3136, 8});
  first.start(40);
  first.gather.finish();
  const int before = system_threads();
  std::vector<std::thread> threads;
  std::vector<int> wrong(6, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&wrong, t] {
      std::vector<std::unique_ptr<Batch>> batches;
      for (int i = 0; i < 4; ++i)
        batches.push_back(std::make_unique<Batch>(std::vector<int64_t>{3136, 20'000, 8}));
      for (int round = 0; round < 8; ++round) {
        for (auto& batch : batches) batch->start(40, false, 7 + 2 * static_cast<int64_t>(t));
        for (auto& batch : batches) {
          if (round % 4 == 3) {
            batch->gather.withdraw();
            continue;
          }
          batch->gather.finish();
          wrong[t] += batch->is_right() ? 0 : 1;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) CHECK_EQ(count, 0);
  CHECK_LE(system_threads(), before);  // one thread serves all
}

TEST(available_where_a_processor_is_free) {
  const int processors = tapegrad::core::cpu_limit().threads;
  tapegrad::set_num_threads(processors);
  CHECK(!BackgroundGather::available());
  tapegrad::set_num_threads(1);
  CHECK(BackgroundGather::available() == (processors > 1));
}

TEST(a_forked_child_gets_its_batches_too) {
  tapegrad::set_num_threads(1);
  for (int round = 0; round < 24; ++round) {
    Batch finished_later({20'000, 8}), withdrawn({20'000});
    finished_later.start(40);
    withdrawn.start(40);
    if (round % 2) usleep(static_cast<useconds_t>(round * 10));
    CHECK(in_child([&] {
      bool good = !BackgroundGather::available();
      finished_later.gather.finish();
      good = good && finished_later.is_right();
      withdrawn.gather.withdraw();
      withdrawn.start(40);
      withdrawn.gather.finish();
      return good && withdrawn.is_right() && system_threads() == 1;
    }));
    finished_later.gather.finish();
    CHECK(finished_later.is_right());
  }
}

TEST(forks_while_other_threads_gather) {
  std::vector<std::thread> threads;
  std::vector<int> wrong(3, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&wrong, t] {
      Batch batch({20'000, 8});
      for (int round = 0; round < 60; ++round) {
        batch.start(40);
        batch.gather.finish();
        wrong[t] += batch.is_right() ? 0 : 1;
      }
    });
  }
  for (int round = 0; round < 12; ++round) {
    CHECK(in_child([] {
      Batch batch({3136});
      batch.start(40);
      batch.gather.finish();
      return batch.is_right();
    }));
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) CHECK_EQ(count, 0);
}

// Runs itself in a new process, which ends by exit() with tasks under way that nobody withdraws.
TEST(the_process_ends_in_the_middle) {
  if (std::getenv("TAPEGRAD_TEST_ROLE") == nullptr) {
    for (int round = 0; round < 4; ++round) {
      CHECK(in_child([] {
        setenv("TAPEGRAD_TEST_ROLE", "child", 1);
        execl("/proc/self/exe", "cpp_tests", "test_background_gather.the_process_ends", nullptr);
        return false;
      }));
    }
    return;
  }
  static std::vector<Batch*> left;  // never destroyed, as in a program that leaves by exit()
  for (int i = 0; i < 20; ++i) {
    left.push_back(new Batch({20'000}));
    left.back()->start(40);
  }
  std::exit(0);
}

}  // namespace
