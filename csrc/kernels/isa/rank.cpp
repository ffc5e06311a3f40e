// Loop of kernels/rank.h.
#include "kernels/rank.h"

namespace tapegrad::kernels::TAPEGRAD_ISA {
namespace {

#if defined(__AVX2__)
constexpr int64_t kLanes = 8;
#else
constexpr int64_t kLanes = 4;
#endif
/// AVX-512 compares into masks, which adds a step to each count: 8 lanes without it take less time
/// than 16 with it.
#if defined(__AVX512F__)
#define TAPEGRAD_PLAIN_COMPARISONS __attribute__((target("no-avx512f")))
#else
#define TAPEGRAD_PLAIN_COMPARISONS
#endif
static_assert(kRankLanes % kLanes == 0);

/// As wide as a register, in which the counts stay.
typedef int32_t Lanes __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

}  // namespace

TAPEGRAD_PLAIN_COMPARISONS void rank_keys(void* const* data, const RankKeys& p) {
  auto* ranks = static_cast<int32_t*>(data[0]);
  const auto* keys = static_cast<const int32_t*>(data[1]);
  const int64_t n = p.count;
  Lanes place;
  for (int32_t i = 0; i < kLanes; ++i) place[i] = i;
  for (int64_t first = 0; first < n; first += kLanes) {
    const int64_t last = first + kLanes < n ? first + kLanes : n;
    const Lanes own = *reinterpret_cast<const Lanes*>(keys + first);
    Lanes found = {};
    // A comparison that holds is -1.
#pragma GCC unroll 4
    for (int64_t j = 0; j < first; ++j) found -= keys[j] <= own;
    for (int64_t j = first; j < last; ++j) {
      const auto here = static_cast<int32_t>(j - first);
      found -= (keys[j] < own) | ((keys[j] == own) & (here < place));
    }
#pragma GCC unroll 4
    for (int64_t j = last; j < n; ++j) found -= keys[j] < own;
    *reinterpret_cast<Lanes*>(ranks + first) = found;
  }
}

}  // namespace tapegrad::kernels::TAPEGRAD_ISA
