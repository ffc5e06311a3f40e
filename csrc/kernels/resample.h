// Parameters of the kernels that weigh and move pixels: separable resampling, blocks of an image as
// columns and back, sampling at given places, and sums over bags of rows. Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

/// Two sparse maps, along the rows and along the columns of (outer, rows, columns, inner). Each
/// output index takes `count` neighbours from `start` on. A map may be left out (its operands are
/// none()): that size stays.
struct Resample {
  bool is_double = false;
  bool rows_first = true;  // which map runs first, on rows of scratch memory
  int64_t outer = 1;
  int64_t inner = 1;
  int64_t rows_in = 1, rows_out = 1;
  int64_t columns_in = 1, columns_out = 1;
  int64_t row_taps = 0, column_taps = 0;  // the largest count of each map
  int64_t step = 1;                       // between neighbours along the columns, where inner is 1
  int64_t block = 1;                      // rows of the result that one task makes
  int64_t scratch = 0;                    // elements of scratch memory a thread
};

/// Positions of a kh x kw block on images of h x w.
struct Blocks {
  bool is_double = false;
  int64_t planes = 0, h = 0, w = 0;
  int64_t kh = 0, kw = 0;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t padding_h = 0, padding_w = 0;
  int64_t stride_h = 1, stride_w = 1;
  int64_t oh = 0, ow = 0;
};

/// Bag b holds the entries starts[b] ... starts[b + 1] - 1 of a list of row numbers.
struct Bags {
  bool is_double = false;
  int64_t count = 0;
  int64_t width = 0;
  int64_t entries = 0;
};

enum class SampleMode : uint8_t { Bilinear, Nearest, Bicubic };
enum class SampleBorder : uint8_t { Zeros, Border, Reflection };

/// Images (n, d, h, w, channels), or with `planes` (n, channels, d, h, w), sampled at `places`
/// places of each; d is 1 in two dimensions.
struct GridSample {
  bool is_double = false;
  bool planes = false;
  bool align_corners = false;
  SampleMode mode = SampleMode::Bilinear;
  SampleBorder border = SampleBorder::Zeros;
  int dims = 2;
  int threads = 1;  // that there are, for how the work is cut
  int64_t n = 0, channels = 0, places = 0;
  int64_t d = 1, h = 1, w = 1;
};

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
/// out, in, scratch, and of the rows, then of the columns: starts and counts (int32, one after
/// the other), weights (taps x size out).
TAPEGRAD_KERNEL(resample, Resample)
/// columns (planes * kh * kw, oh * ow), images.
TAPEGRAD_KERNEL(unfold_blocks, Blocks)
/// images, columns: adds up what unfold_blocks takes apart.
TAPEGRAD_KERNEL(fold_blocks, Blocks)
/// out (count, width), table, row numbers, starts, factor of each entry (or none).
TAPEGRAD_KERNEL(bag_sum, Bags)
/// the row (int64, -1 for an empty bag) that has the maximum, table, row numbers, starts.
TAPEGRAD_KERNEL(bag_argmax, Bags)
/// out (n, places, channels) or (n, channels, places), images, grid (n, places, dims).
TAPEGRAD_KERNEL(grid_sample, GridSample)
/// gradient of the images, gradient of the grid (each may be none), gradient of the result, images,
/// grid.
TAPEGRAD_KERNEL(grid_sample_gradient, GridSample)
}  // namespace tapegrad::kernels
