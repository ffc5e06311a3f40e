// How the pixels of a resampled axis come from those of the original: a sparse matrix whose rows
// are runs of neighbours. Knows no tensors.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace tapegrad::ops {

struct AxisMap {
  int64_t in = 0;
  int64_t out = 0;
  int64_t taps = 0;             // the largest count
  std::vector<int32_t> ranges;  // starts of all output indices (ascending), then counts
  std::vector<double> weights;  // weight k of output i at k * out + i
};
using AxisMapRef = std::shared_ptr<const AxisMap>;

enum class Interpolation : uint8_t { Nearest, NearestExact, Linear, Cubic, Area };

struct AxisRequest {
  int64_t in = 0;
  int64_t out = 0;
  Interpolation kind = Interpolation::Nearest;
  bool align_corners = false;
  bool antialias = false;
  double scale = 0;    // out / in as the caller gave it; 0: from the sizes
  bool single = true;  // places are computed in float, as float32 images have them
};

AxisMapRef make_axis_map(const AxisRequest& request);
/// The adjoint: what the derivative of a resampling resamples with.
AxisMapRef transposed(const AxisMap& map);

}  // namespace tapegrad::ops
