// Random kernels on Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// 2011). Element i of a draw depends on seed, offset and i alone, so threads and instruction sets
// cannot change it. Knows no generator state.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"
#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

/// 128-bit counters per chunk, and the 32-bit words that they give: element e of a chunk is word e
/// / 64 of counter e % 64.
inline constexpr int64_t kPhiloxCounters = 64;
inline constexpr int64_t kPhiloxWords = 4 * kPhiloxCounters;

struct RandomParameters {
  DType dtype;  // Float64, else float32 is read and written (uniform numbers of a half type have so
                // few digits that it holds them); ignored by random_bits
  uint64_t seed;
  uint64_t offset;  // first counter
  int64_t n;
  double a;  // uniform: from; normal: mean; dropout: probability to drop
  double b;  // uniform: to; normal: standard deviation; dropout: factor of what stays
};

/// Counters that a draw of n elements uses up.
inline uint64_t random_counters(int64_t n, bool double_width) {
  const int64_t per_chunk = double_width ? kPhiloxWords / 2 : kPhiloxWords;
  return static_cast<uint64_t>((n + per_chunk - 1) / per_chunk * kPhiloxCounters);
}

/// One block, for checks against published vectors.
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t result[4]);

TAPEGRAD_KERNEL(random_uniform, RandomParameters)  // data: out; in [a, b)
TAPEGRAD_KERNEL(random_normal, RandomParameters)   // data: out
TAPEGRAD_KERNEL(random_bits, RandomParameters)     // data: out, uint64_t
TAPEGRAD_KERNEL(random_dropout, RandomParameters)  // data: out, in

}  // namespace tapegrad::kernels
