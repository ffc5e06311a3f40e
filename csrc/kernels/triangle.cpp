#include "kernels/triangle.h"

#include <algorithm>
#include <cstring>

#include "core/launch.h"
#include "core/parallel.h"

namespace tapegrad::kernels {
namespace {

constexpr int64_t kGrainBytes = 131072;

struct Triangle {
  int64_t planes;
  int64_t rows;
  int64_t columns;
  int64_t item;
  int64_t diagonal;
  bool upper;
};

void run_triangle(void* const* data, const Triangle& p) {
  const int64_t row_bytes = p.columns * p.item;
  const int64_t grain = std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, row_bytes));
  core::parallel_for(0, p.planes * p.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t row = at % p.rows;
      // Columns before `cut` belong to the lower part; the diagonal belongs to both.
      const int64_t first = row + p.diagonal + (p.upper ? 0 : 1);
      const auto cut = static_cast<size_t>(std::clamp<int64_t>(first, 0, p.columns) * p.item);
      const auto rest = static_cast<size_t>(row_bytes) - cut;
      char* to = static_cast<char*>(data[0]) + at * row_bytes;
      const char* from = static_cast<const char*>(data[1]) + at * row_bytes;
      if (p.upper) {
        std::memset(to, 0, cut);
        std::memcpy(to + cut, from + cut, rest);
      } else {
        std::memcpy(to, from, cut);
        std::memset(to + cut, 0, rest);
      }
    }
  });
}

}  // namespace

void copy_triangle(const Tensor& destination, const Tensor& source, int64_t diagonal, bool upper) {
  if (source.numel() == 0) return;
  const IntSpan sizes = source.sizes();
  Triangle p;
  p.rows = sizes[sizes.size() - 2];
  p.columns = sizes[sizes.size() - 1];
  p.planes = source.numel() / (p.rows * p.columns);
  p.item = static_cast<int64_t>(item_size(source.dtype()));
  // Beyond the corners nothing changes; within them row + diagonal cannot overflow.
  p.diagonal = std::clamp(diagonal, -p.rows - 1, p.columns + 1);
  p.upper = upper;
  core::launch(&run_triangle, {core::out(destination), core::in(source)}, p);
}

}  // namespace tapegrad::kernels
