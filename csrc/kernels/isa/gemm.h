// The serial matrix product of one instruction-set level, into which csrc/kernels/contraction.cpp
// splits the work. data: C, A, B, the bias (or null), scratch of kGemmScratchBytes, 64-byte
// aligned. float32 and float64 only; args.batch matrices one after another. Knows nothing of
// threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/contraction.h"
#include "kernels/dispatch.h"

namespace tapegrad::kernels {

inline constexpr size_t kGemmScratchBytes = size_t{704} << 10;

// The order of summation depends on the path, so the whole product chooses it, not its pieces.
enum class GemmPath : uint8_t {
  kTiles,
  kRowVector,     // m = 1, and B has adjacent rows or columns
  kColumnVector,  // n = 1, and A has adjacent rows or columns
};

struct GemmArgs : MatmulArgs {
  GemmPath path = GemmPath::kTiles;
};

TAPEGRAD_KERNEL(gemm, GemmArgs)

}  // namespace tapegrad::kernels
