// Parameters of the normalisation kernels: over the samples of each channel (batch norm), and over
// rows (layer, RMS, group and instance norm). Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

/// `n` samples of `c` channels of `s` elements. With `last` the channels lie side by side.
struct ChannelShape {
  int64_t n = 1;
  int64_t c = 1;
  int64_t s = 1;
  bool last = false;
};

/// Rows of a block that share one partial sum, whatever the number of threads.
inline constexpr int64_t kChannelRows = 256;
/// Rows of few channels are read several at a time, as one row of this many columns.
inline int64_t channel_group(const ChannelShape& s) {
  constexpr int64_t kWide = 64;
  return s.c >= kWide / 2 ? 1 : kWide / s.c;
}
/// Doubles of scratch memory that the kernels on channels need.
inline int64_t channel_scratch(const ChannelShape& s) {
  if (!s.last) return 2 * s.c;
  const int64_t group = channel_group(s), wide = group * s.c, rows = s.n * s.s / group;
  return 2 * s.c + (2 * (rows / kChannelRows + 1) + 5) * wide;
}

struct BatchNormParameters {
  ChannelShape shape;
  bool is_double = false;
  bool from_variance = false;       // the spread is a variance, not the inverse standard deviation
  bool through_statistics = false;  // of gradients: mean and spread depend on x
  double eps = 0;
};

/// `n` samples of `groups` rows of `length` elements; a row is `length / inner` channels of `inner`
/// elements, each with one weight.
struct RowNormParameters {
  int64_t n = 1;
  int64_t groups = 1;
  int64_t length = 1;
  int64_t inner = 1;
  bool is_double = false;
  bool centered = true;  // else the mean counts as 0
  double eps = 0;
};

/// Samples that share one partial sum of the gradients of weights.
inline int64_t row_norm_chunk(const RowNormParameters& p) {
  constexpr int64_t kRows = 64;
  return p.inner > 1 ? 1 : (kRows + p.groups - 1) / p.groups;
}
/// Elements of scratch memory that `row_norm_gradient` needs.
inline int64_t row_norm_scratch(const RowNormParameters& p) {
  const int64_t chunk = row_norm_chunk(p);
  return (p.n + chunk - 1) / chunk * 2 * p.groups * (p.length / p.inner);
}

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
TAPEGRAD_KERNEL(batch_statistics, BatchNormParameters)  // mean, inverse deviation, variance, x,
                                                        // scratch
TAPEGRAD_KERNEL(batch_norm, BatchNormParameters)  // y, x, mean, spread, weight?, bias?, scratch
/// gx?, gw?, gb?, g, x, mean, spread, weight?, scratch
TAPEGRAD_KERNEL(batch_norm_gradient, BatchNormParameters)
TAPEGRAD_KERNEL(row_norm, RowNormParameters)  // y, mean, inverse deviation, x, weight?, bias?
/// gx, gw?, gb?, g, x, mean, inverse deviation, weight?, scratch
TAPEGRAD_KERNEL(row_norm_gradient, RowNormParameters)
}  // namespace tapegrad::kernels
