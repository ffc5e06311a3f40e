// Pooling: maxima and averages over windows. Names, parameters, defaults and results are PyTorch's.
// An input is (N, C, spatial...) or (C, spatial...); a list of one integer stands for all
// dimensions; the default stride is the kernel size.
#pragma once

#include <optional>
#include <vector>

#include "tapegrad/tensor.h"

namespace tapegrad {

TAPEGRAD_API Tensor max_pool1d(const Tensor& input, IntSpan kernel_size, IntSpan stride = {},
                               IntSpan padding = {0}, IntSpan dilation = {1},
                               bool ceil_mode = false);
TAPEGRAD_API Tensor max_pool2d(const Tensor& input, IntSpan kernel_size, IntSpan stride = {},
                               IntSpan padding = {0}, IntSpan dilation = {1},
                               bool ceil_mode = false);
TAPEGRAD_API Tensor max_pool3d(const Tensor& input, IntSpan kernel_size, IntSpan stride = {},
                               IntSpan padding = {0}, IntSpan dilation = {1},
                               bool ceil_mode = false);
/// Values, and positions in the plane of each channel.
TAPEGRAD_API std::vector<Tensor> max_pool2d_with_indices(const Tensor& input, IntSpan kernel_size,
                                                         IntSpan stride = {}, IntSpan padding = {0},
                                                         IntSpan dilation = {1},
                                                         bool ceil_mode = false);
TAPEGRAD_API Tensor avg_pool1d(const Tensor& input, IntSpan kernel_size, IntSpan stride = {},
                               IntSpan padding = {0}, bool ceil_mode = false,
                               bool count_include_pad = true);
TAPEGRAD_API Tensor avg_pool2d(const Tensor& input, IntSpan kernel_size, IntSpan stride = {},
                               IntSpan padding = {0}, bool ceil_mode = false,
                               bool count_include_pad = true,
                               std::optional<int64_t> divisor_override = {});
TAPEGRAD_API Tensor avg_pool3d(const Tensor& input, IntSpan kernel_size, IntSpan stride = {},
                               IntSpan padding = {0}, bool ceil_mode = false,
                               bool count_include_pad = true,
                               std::optional<int64_t> divisor_override = {});
/// An output size of -1 is that of the input.
TAPEGRAD_API Tensor adaptive_avg_pool1d(const Tensor& input, IntSpan output_size);
TAPEGRAD_API Tensor adaptive_avg_pool2d(const Tensor& input, IntSpan output_size);
TAPEGRAD_API Tensor adaptive_avg_pool3d(const Tensor& input, IntSpan output_size);
TAPEGRAD_API Tensor adaptive_max_pool1d(const Tensor& input, IntSpan output_size);
TAPEGRAD_API Tensor adaptive_max_pool2d(const Tensor& input, IntSpan output_size);
TAPEGRAD_API Tensor adaptive_max_pool3d(const Tensor& input, IntSpan output_size);

}  // namespace tapegrad
