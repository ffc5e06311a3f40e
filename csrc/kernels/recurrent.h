// Parameters of the recurrent layers: all steps of one layer in one direction, after the product
// of the input with its weight. Knows no tensors, no products with the input, no gradients of
// weights.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

enum class RecurrentCell : uint8_t { Tanh, Relu, Lstm, Gru };

/// Blocks of `hidden` columns that the gates of a cell take.
constexpr int64_t gate_count(RecurrentCell cell) {
  return cell == RecurrentCell::Lstm ? 4 : cell == RecurrentCell::Gru ? 3 : 1;
}

// Rows are (step, sample), step by step; a step has as many rows as samples last so long.
struct RecurrentParameters {
  RecurrentCell cell = RecurrentCell::Tanh;
  bool is_double = false;
  bool reverse = false;  // from the last step to the first
  bool packed = false;   // the recurrent weight lies as gemm_pack left it
  bool project = false;  // the input's product is made step by step here, not beforehand
  bool keep = true;      // gates of all steps; else the array has room for one step (Lstm, Gru)
  int64_t steps = 0;
  int64_t batch = 0;  // rows of the first step, and of the states
  int64_t hidden = 0;
  int64_t features = 0;  // of the input; for project
};

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
// data: gates (without project the input's product; becomes the gates, of Tanh and Relu the
// output), h and c (the initial state, becomes the final one), output, cells (of Lstm c, of Gru the
// product of h for the new gate; may be null), weight, bias of h's product (Gru, may be null),
// scratch (Gru: as many gates as one step has), sizes of the steps and their first rows (null:
// `batch` rows each), with project the input, its packed weight, and the bias (may be null).
TAPEGRAD_KERNEL(recurrent_forward, RecurrentParameters)
// data: gradient of the input's product, and of h's (Gru), dh and dc (of the final state, becomes
// that of the initial one), gradient of the output (may be null), gates, cells, output, initial h,
// initial c, weight, sizes and first rows.
TAPEGRAD_KERNEL(recurrent_backward, RecurrentParameters)
}  // namespace tapegrad::kernels
