// Philox 4x32-10 in chunks of 64 counters side by side. For instruction-set objects only; knows no
// distribution.
#pragma once

#include <cstdint>

#include "kernels/random.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {

/// The words of counters first .. first + 63: out[w * 64 + j] is word w of counter first + j.
inline void philox_chunk(uint64_t seed, uint64_t first, uint32_t* out) {
  uint32_t c0[kPhiloxCounters], c1[kPhiloxCounters], c2[kPhiloxCounters], c3[kPhiloxCounters];
  for (int64_t j = 0; j < kPhiloxCounters; ++j) {
    const uint64_t counter = first + static_cast<uint64_t>(j);
    c0[j] = static_cast<uint32_t>(counter);
    c1[j] = static_cast<uint32_t>(counter >> 32);
    c2[j] = 0;
    c3[j] = 0;
  }
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (int64_t j = 0; j < kPhiloxCounters; ++j) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0[j];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2[j];
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1[j] ^ k0;
      const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3[j] ^ k1;
      c1[j] = static_cast<uint32_t>(p1);
      c3[j] = static_cast<uint32_t>(p0);
      c0[j] = n0;
      c2[j] = n2;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int64_t j = 0; j < kPhiloxCounters; ++j) {
    out[j] = c0[j];
    out[kPhiloxCounters + j] = c1[j];
    out[2 * kPhiloxCounters + j] = c2[j];
    out[3 * kPhiloxCounters + j] = c3[j];
  }
}

// 24 and 53 random bits in [0, 1).
[[gnu::always_inline]] inline float unit(uint32_t word) {
  return static_cast<float>(static_cast<int32_t>(word >> 8)) * 0x1p-24f;
}
[[gnu::always_inline]] inline double unit(uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 21) ^ (low >> 11);
  return static_cast<double>(static_cast<int64_t>(bits)) * 0x1p-53;
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
