// Convolutions by oneDNN, where the build has it and it has fast code for the shape. Knows nothing
// of other ways to convolve.
#pragma once

#include <cstddef>

#include "kernels/convolution.h"

namespace tapegrad::kernels {

enum class ConvolutionPass : int32_t { Forward, InputGradient, WeightGradient };

/// Whether convolve_by_onednn() takes bfloat16 images and weights here; bias and gradient of the
/// weight stay float32.
bool convolves_bfloat16(ConvolutionPass pass, const ConvolutionArgs& args, bool has_bias);

/// Runs a pass (data as in convolution.h); false, with nothing written, where another way is
/// better.
bool convolve_by_onednn(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args);

/// Passes that are kept ready, one a shape: how many now, and how many at most.
struct PreparedPasses {
  size_t count = 0;
  size_t capacity = 0;
};
PreparedPasses prepared_passes();

}  // namespace tapegrad::kernels
