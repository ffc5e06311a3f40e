// Order of short rows by counting: an element's place is the number of elements that come before
// it. Every pair is compared, side by side in vectors, which beats sorting up to a few hundred
// elements. Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

/// Lanes that are ranked side by side: the operands have room for the next multiple of it.
inline constexpr int64_t kRankLanes = 16;

/// Operands ranks (int32) and keys (int32), each of `count` elements: ranks[i] = how many keys are
/// less than keys[i], or equal to it and stand before it.
struct RankKeys {
  int64_t count = 0;
};

TAPEGRAD_KERNEL(rank_keys, RankKeys)

}  // namespace tapegrad::kernels
