// Convolutions and transposed convolutions. Names, parameters, defaults and results are PyTorch's;
// the docstrings stand with the definitions (csrc/ops/convolution.cpp).
#pragma once

#include <string_view>

#include "tapegrad/tensor.h"

namespace tapegrad {

/// Lists of settings hold one number for all spatial dimensions, or one for each.
TAPEGRAD_API Tensor conv1d(const Tensor& input, const Tensor& weight, const Tensor& bias = {},
                           IntSpan stride = {1}, IntSpan padding = {0}, IntSpan dilation = {1},
                           int64_t groups = 1);
TAPEGRAD_API Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias = {},
                           IntSpan stride = {1}, IntSpan padding = {0}, IntSpan dilation = {1},
                           int64_t groups = 1);
TAPEGRAD_API Tensor conv3d(const Tensor& input, const Tensor& weight, const Tensor& bias = {},
                           IntSpan stride = {1}, IntSpan padding = {0}, IntSpan dilation = {1},
                           int64_t groups = 1);
/// padding: "same" or "valid"
TAPEGRAD_API Tensor conv1d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                           IntSpan stride, std::string_view padding, IntSpan dilation = {1},
                           int64_t groups = 1);
TAPEGRAD_API Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                           IntSpan stride, std::string_view padding, IntSpan dilation = {1},
                           int64_t groups = 1);
TAPEGRAD_API Tensor conv3d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                           IntSpan stride, std::string_view padding, IntSpan dilation = {1},
                           int64_t groups = 1);
TAPEGRAD_API Tensor conv_transpose1d(const Tensor& input, const Tensor& weight,
                                     const Tensor& bias = {}, IntSpan stride = {1},
                                     IntSpan padding = {0}, IntSpan output_padding = {0},
                                     int64_t groups = 1, IntSpan dilation = {1});
TAPEGRAD_API Tensor conv_transpose2d(const Tensor& input, const Tensor& weight,
                                     const Tensor& bias = {}, IntSpan stride = {1},
                                     IntSpan padding = {0}, IntSpan output_padding = {0},
                                     int64_t groups = 1, IntSpan dilation = {1});
TAPEGRAD_API Tensor conv_transpose3d(const Tensor& input, const Tensor& weight,
                                     const Tensor& bias = {}, IntSpan stride = {1},
                                     IntSpan padding = {0}, IntSpan output_padding = {0},
                                     int64_t groups = 1, IntSpan dilation = {1});

}  // namespace tapegrad
