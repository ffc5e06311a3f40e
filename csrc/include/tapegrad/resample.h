// Images and tables of vectors: channels into pixels, blocks as columns, resampling, sampling at
// given places, bags of embeddings. Names, parameters, defaults and results are PyTorch's; the
// documentation stands with the definitions (csrc/ops). Knows no layers.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "tapegrad/tensor.h"

namespace tapegrad {

// --- ops/pixels.cpp
/// (*, C r^2, H, W) to (*, C, H r, W r).
TAPEGRAD_API Tensor pixel_shuffle(const Tensor& input, int64_t upscale_factor);
TAPEGRAD_API Tensor pixel_unshuffle(const Tensor& input, int64_t downscale_factor);
TAPEGRAD_API Tensor channel_shuffle(const Tensor& input, int64_t groups);

// --- ops/blocks.cpp: numbers or pairs for all sizes
/// (N, C, H, W) to (N, C kh kw, L).
TAPEGRAD_API Tensor im2col(const Tensor& input, IntSpan kernel_size, IntSpan dilation = {1},
                           IntSpan padding = {0}, IntSpan stride = {1});
/// The adjoint of im2col: blocks add up.
TAPEGRAD_API Tensor col2im(const Tensor& input, IntSpan output_size, IntSpan kernel_size,
                           IntSpan dilation = {1}, IntSpan padding = {0}, IntSpan stride = {1});

// --- ops/resample.cpp
/// (N, C, d1, ...) to (N, C, *size). `mode`: nearest, nearest-exact, linear, bilinear, bicubic,
/// trilinear or area. `scale_factors`, when given, say how places correspond, as in PyTorch.
TAPEGRAD_API Tensor interpolate(const Tensor& input, IntSpan size,
                                std::string_view mode = "nearest", bool align_corners = false,
                                bool antialias = false, std::span<const double> scale_factors = {});

// --- ops/grid_sample.cpp
TAPEGRAD_API Tensor grid_sample(const Tensor& input, const Tensor& grid,
                                std::string_view mode = "bilinear",
                                std::string_view padding_mode = "zeros",
                                bool align_corners = false);
TAPEGRAD_API Tensor affine_grid(const Tensor& theta, IntSpan size, bool align_corners = false);

// --- ops/embedding_bag.cpp
/// What torch.nn.functional.embedding_bag computes; `offsets` may be undefined for a 2-d input.
TAPEGRAD_API Tensor embedding_bag(const Tensor& input, const Tensor& weight,
                                  const Tensor& offsets = {}, std::optional<double> max_norm = {},
                                  double norm_type = 2.0, bool scale_grad_by_freq = false,
                                  std::string_view mode = "mean",
                                  const Tensor& per_sample_weights = {},
                                  bool include_last_offset = false,
                                  std::optional<int64_t> padding_idx = {});

}  // namespace tapegrad
