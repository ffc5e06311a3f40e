// Convolutions on raw pointers: forward, and the two gradients, which are what transposed
// convolutions and derivatives of any order are made of. Owns how the work is cut into pieces;
// knows nothing of tensors or gradients' bookkeeping.
//
// Images are channels-last in memory, (batch, spatial..., channels), without gaps. Weights and
// their gradient are (out_channels, in_channels / groups, kernel...), row-major.
//
// Of the ways to convolve the first that takes a shape is used: products of tiles
// (convolution_winograd.h), oneDNN (convolution_onednn.h), products of gathered rows.
//
// Note [Pieces of a convolution]
// Work is cut by the shape alone, each piece runs on one thread, and partial sums are added in
// order: the same bits at any number of threads.
#pragma once

#include <cstdint>

#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

/// Three spatial dimensions always; of fewer, the first ones have size 1 and stride 1. `in` and
/// `out` are the sizes of the images; zeros stand around the input, `padding` of them before it and
/// after it as many as `out` asks for.
struct ConvolutionArgs {
  DType dtype = DType::Float32;  // Float64; BFloat16 where convolves_bfloat16()
  int32_t spatial = 2;           // how many of the last dimensions are meant: 1, 2 or 3
  int64_t batch = 0, groups = 1, in_channels = 0, out_channels = 0;
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, padding[3] = {0, 0, 0}, dilation[3] = {1, 1, 1};

  int64_t in_positions() const { return in[0] * in[1] * in[2]; }
  int64_t out_positions() const { return out[0] * out[1] * out[2]; }
  int64_t kernel_positions() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t weight_count() const {
    return out_channels * (in_channels / groups) * kernel_positions();
  }
};

// No size may be 0. A null bias is left out.
/// data: output, input, weight, bias (out_channels)
void convolve(void* const* data, const ConvolutionArgs& args);
/// data: gradient of the input, gradient of the output, weight, bias (in_channels) to be added
void convolve_input_gradient(void* const* data, const ConvolutionArgs& args);
/// data: gradient of the weight, gradient of the bias or null, input, gradient of the output
void convolve_weight_gradient(void* const* data, const ConvolutionArgs& args);

}  // namespace tapegrad::kernels
