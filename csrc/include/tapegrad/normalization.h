// Normalisation by mean and variance. Names, parameters, defaults and results are PyTorch's.
// Undefined tensors stand for None.
#pragma once

#include <optional>

#include "tapegrad/tensor.h"

namespace tapegrad {

/// Over the samples of each channel, dimension 1. In training, running_mean and running_var are
/// moved towards the statistics of this batch; else they are used in their place.
TAPEGRAD_API Tensor batch_norm(const Tensor& input, const Tensor& running_mean,
                               const Tensor& running_var, const Tensor& weight = {},
                               const Tensor& bias = {}, bool training = false,
                               double momentum = 0.1, double eps = 1e-5);
/// Over the last dimensions, which are normalized_shape.
TAPEGRAD_API Tensor layer_norm(const Tensor& input, IntSpan normalized_shape,
                               const Tensor& weight = {}, const Tensor& bias = {},
                               double eps = 1e-5);
/// By the root mean square; without eps the smallest that the dtype can add to 1.
TAPEGRAD_API Tensor rms_norm(const Tensor& input, IntSpan normalized_shape,
                             const Tensor& weight = {}, std::optional<double> eps = {});
/// Over groups of channels of each sample.
TAPEGRAD_API Tensor group_norm(const Tensor& input, int64_t num_groups, const Tensor& weight = {},
                               const Tensor& bias = {}, double eps = 1e-5);
/// Over each channel of each sample.
TAPEGRAD_API Tensor instance_norm(const Tensor& input, const Tensor& running_mean = {},
                                  const Tensor& running_var = {}, const Tensor& weight = {},
                                  const Tensor& bias = {}, bool use_input_stats = true,
                                  double momentum = 0.1, double eps = 1e-5);

}  // namespace tapegrad
