// Philox against the known-answer vectors that its authors publish (Random123, kat_vectors), and
// the vectorised chunks against the plain block function.
#include <array>
#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "check.h"
#include "forks.h"
#include "kernels/random.h"
#include "tapegrad/ops.h"
#include "tapegrad/parallel.h"

namespace {

using namespace tapegrad;

struct KnownAnswer {
  uint32_t counter[4];
  uint32_t key[2];
  uint32_t result[4];
};

TEST(philox_gives_the_published_answers) {
  const KnownAnswer answers[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const KnownAnswer& answer : answers) {
    uint32_t result[4];
    kernels::philox4x32(answer.counter, answer.key, result);
    for (int i = 0; i < 4; ++i) CHECK_EQ(result[i], answer.result[i]);
  }
}

TEST(chunks_hold_the_words_of_their_counters) {
  constexpr uint64_t kSeed = 0x0123456789abcdef, kOffset = 0xfffffff0;  // crosses 2^32
  std::vector<uint64_t> words(300);
  void* data[] = {words.data()};
  kernels::random_bits(data, {DType::Int64, kSeed, kOffset, 300, 0, 0});
  for (int64_t i = 0; i < 300; ++i) {
    const int64_t chunk = i / 128, e = i % 128;
    const auto word = [&](int64_t element) {
      const uint64_t counter = kOffset + static_cast<uint64_t>(chunk * 64 + element % 64);
      const uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
                             0, 0};
      const uint32_t key[2] = {static_cast<uint32_t>(kSeed), static_cast<uint32_t>(kSeed >> 32)};
      uint32_t result[4];
      kernels::philox4x32(c, key, result);
      return result[element / 64];
    };
    CHECK_EQ(words[static_cast<size_t>(i)], (uint64_t{word(e)} << 32) | word(e + 128));
  }
}

TEST(draws_do_not_depend_on_the_number_of_threads) {
  const int before = get_num_threads();
  std::vector<float> first;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Generator generator(7);
    const Tensor x = randn({100003}, &generator);
    const auto* values = x.data_ptr<float>();
    if (first.empty()) first.assign(values, values + x.numel());
    bool same = true;
    for (size_t i = 0; i < first.size(); ++i) same &= first[i] == values[i];
    CHECK(same);
  }
  set_num_threads(before);
}

TEST(moments_are_those_of_the_distributions) {
  Generator generator(1);
  for (const DType dtype : {DType::Float32, DType::Float64}) {
    for (const bool normal : {false, true}) {
      const Tensor x =
          to(normal ? randn({200000}, &generator, dtype) : rand({200000}, &generator, dtype),
             DType::Float64);
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < x.numel(); ++i) {
        const double v = x.data_ptr<double>()[i];
        CHECK(normal || (v >= 0 && v < 1));
        sum += v;
        squares += v * v;
      }
      const double mean = sum / 200000, variance = squares / 200000 - mean * mean;
      CHECK_CLOSE(mean, normal ? 0.0 : 0.5, 0.01);
      CHECK_CLOSE(variance, normal ? 1.0 : 1.0 / 12, 0.01);
    }
  }
}

TEST(a_permutation_holds_every_number_once) {
  Generator generator(3);
  const Tensor p = randperm(1000, &generator);
  std::vector<int> seen(1000, 0);
  for (int64_t i = 0; i < 1000; ++i) ++seen[static_cast<size_t>(p.data_ptr<int64_t>()[i])];
  for (const int count : seen) CHECK_EQ(count, 1);
}

TEST(forks_while_another_thread_draws) {
  Generator own;
  std::atomic<bool> going{true};
  std::thread other([&] {
    while (going) {
      default_generator().reserve(1);
      own.reserve(1);
    }
  });
  for (int i = 0; i < 40; ++i) {
    CHECK(in_child([&] {
      const uint64_t before = own.offset();
      own.reserve(2);
      return own.offset() == before + 2 && rand({4}).numel() == 4;
    }));
  }
  going = false;
  other.join();
}

}  // namespace
