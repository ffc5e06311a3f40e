// Parameters of the losses that compare the scores of classes with each other, row by row. Knows no
// tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

/// Per row: weight[t] / classes * the sum over j != t of max(0, margin - x[t] + x[j]), squared if
/// asked for. Targets are in range: the caller has looked.
struct MultiMarginParameters {
  int64_t rows = 0;
  int64_t classes = 0;
  double margin = 1;
  double scale = 1;  // of gradients
  bool squared = false;
  bool is_double = false;
  bool single_g = false;  // one upstream gradient for all rows
};

/// Per row: the sum over its targets t, and all j that are none, of max(0, 1 - x[t] + x[j]), by
/// classes. Targets stand at the beginning of a row and end at -1.
struct MultiLabelParameters {
  int64_t rows = 0;
  int64_t classes = 0;
  double scale = 1;
  bool is_double = false;
  bool single_g = false;
};

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
TAPEGRAD_KERNEL(multi_margin, MultiMarginParameters)  // losses, x, target, weight (may be null)
TAPEGRAD_KERNEL(multi_margin_gradient, MultiMarginParameters)  // out, g, x, target, weight
// scratch: one row of x for each thread
TAPEGRAD_KERNEL(multilabel_margin, MultiLabelParameters)           // losses, x, target, scratch
TAPEGRAD_KERNEL(multilabel_margin_gradient, MultiLabelParameters)  // out, g, x, target, scratch
}  // namespace tapegrad::kernels
