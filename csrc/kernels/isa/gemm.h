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
  bool b_packed = false;  // B lies as gemm_pack left it, for products that repeat
};

// Columns [first, last) of B, by panels; `last` is the number of columns, or both are multiples of
// kPackUnit. data: the packed matrix, of packed_size() elements, and B.
struct GemmPack {
  DType dtype = DType::Float32;
  int64_t k = 0, first = 0, last = 0, b_row = 0, b_col = 0;
};
inline constexpr int64_t kPackUnit = 32;  // a whole number of panels at every level
constexpr int64_t packed_size(int64_t k, int64_t n) {
  return (n + kPackUnit - 1) / kPackUnit * kPackUnit * k;
}

// Room for packed panels, one for each thread, kept until the thread ends.
void* gemm_scratch();

TAPEGRAD_KERNEL(gemm, GemmArgs)
TAPEGRAD_KERNEL(gemm_pack, GemmPack)

}  // namespace tapegrad::kernels
