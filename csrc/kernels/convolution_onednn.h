// Convolutions by oneDNN, where the build has it and it has fast code for the shape. Knows nothing
// of other ways to convolve.
#pragma once

#include "kernels/convolution.h"

namespace tapegrad::kernels {

enum class ConvolutionPass : int32_t { Forward, InputGradient, WeightGradient };

/// Runs a pass (data as in convolution.h); false, with nothing written, where another way is
/// better.
bool convolve_by_onednn(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args);

}  // namespace tapegrad::kernels
