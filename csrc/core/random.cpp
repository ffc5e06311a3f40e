#include "tapegrad/random.h"

#include <pthread.h>

#include <mutex>
#include <random>

namespace tapegrad {
namespace {

// One for all generators, held for a moment at a time. A fork waits for it: a lock in each of them
// could be found closed in the child, where nobody would open it.
constinit std::mutex mutex;
[[maybe_unused]] const int registered =
    pthread_atfork([] { mutex.lock(); }, [] { mutex.unlock(); }, [] { mutex.unlock(); });

}  // namespace

void Generator::manual_seed(uint64_t seed) { set_state(seed, 0); }

uint64_t Generator::seed() {
  std::random_device device;
  const uint64_t fresh = (uint64_t{device()} << 32) | device();
  manual_seed(fresh);
  return fresh;
}

uint64_t Generator::initial_seed() const {
  const std::lock_guard lock(mutex);
  return seed_;
}

uint64_t Generator::offset() const {
  const std::lock_guard lock(mutex);
  return offset_;
}

void Generator::set_state(uint64_t seed, uint64_t offset) {
  const std::lock_guard lock(mutex);
  seed_ = seed;
  offset_ = offset;
}

Generator::Draw Generator::reserve(uint64_t count) {
  const std::lock_guard lock(mutex);
  const Draw draw{seed_, offset_};
  offset_ += count;
  return draw;
}

Generator& default_generator() {
  static Generator generator;
  return generator;
}

void manual_seed(uint64_t seed) { default_generator().manual_seed(seed); }

}  // namespace tapegrad
