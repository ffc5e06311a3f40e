// Random numbers: counter-based (Philox 4x32-10), so that a draw depends on seed and offset alone,
// never on threads.
#pragma once

#include <cstdint>

#include "tapegrad/export.h"

namespace tapegrad {

/// A stream of random numbers: a seed and how many have been drawn.
class TAPEGRAD_API Generator {
 public:
  static constexpr uint64_t kDefaultSeed = 67280421310721;

  explicit Generator(uint64_t seed = kDefaultSeed) : seed_(seed) {}
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;
  void manual_seed(uint64_t seed);
  /// A seed from the operating system; returns it.
  uint64_t seed();
  uint64_t initial_seed() const;
  uint64_t offset() const;
  void set_state(uint64_t seed, uint64_t offset);

  /// Key and first counter of `count` 128-bit blocks that nobody else gets.
  struct Draw {
    uint64_t seed;
    uint64_t offset;
  };
  Draw reserve(uint64_t count);

 private:
  uint64_t seed_;
  uint64_t offset_ = 0;
};

/// The generator of all operations that are not given one.
TAPEGRAD_API Generator& default_generator();
/// Seeds the default generator.
TAPEGRAD_API void manual_seed(uint64_t seed);

}  // namespace tapegrad
