// One recurrent layer in one direction over all steps of packed sequences, fused
// (recurrent_layer.cpp) and as a composition of operations (recurrent_composed.cpp). Knows no
// layouts of batches, no stacks of layers.
#pragma once

#include <vector>

#include "kernels/recurrent.h"
#include "tapegrad/tensor.h"

namespace tapegrad::ops {

using kernels::RecurrentCell;

/// Rows of packed sequences: step t has the rows first(t) ... first(t) + size(t) - 1, and sizes do
/// not grow.
struct RecurrentSteps {
  int64_t steps = 0;
  int64_t batch = 0;
  Tensor table;  // int64 (2, steps): sizes, first rows; undefined when all steps have `batch` rows

  int64_t size(int64_t t) const { return table.defined() ? at(t) : batch; }
  int64_t first(int64_t t) const { return table.defined() ? at(steps + t) : t * batch; }
  int64_t rows() const { return steps == 0 ? 0 : first(steps - 1) + size(steps - 1); }

 private:
  int64_t at(int64_t i) const { return static_cast<const int64_t*>(table.data())[i]; }
};

struct RecurrentLayer {
  RecurrentCell cell = RecurrentCell::Tanh;
  bool reverse = false;
  RecurrentSteps steps;
  /// The step that is computed as number s.
  int64_t step(int64_t s) const { return reverse ? steps.steps - 1 - s : s; }
};

/// What a layer reads. Biases are both there or both undefined; c is an LSTM's alone.
struct RecurrentOperands {
  Tensor x;           // (rows, features)
  Tensor h, c;        // initial states, (batch, hidden)
  Tensor w_ih, w_hh;  // (gates * hidden, features), (gates * hidden, hidden)
  Tensor b_ih, b_hh;  // (gates * hidden)
};

/// Output (rows, hidden), final h and, of an LSTM, final c. float32 and float64.
std::vector<Tensor> recurrent_layer(const RecurrentLayer& layer, const RecurrentOperands& operands);

/// The same as operations, one after another; `w_hr` (projected, hidden), if defined, projects each
/// h of an LSTM.
std::vector<Tensor> composed_layer(const RecurrentLayer& layer, const RecurrentOperands& operands,
                                   const Tensor& w_hr = {});
/// The vector-Jacobian product of composed_layer (without projection) as operations: Note [Higher
/// derivatives of a recurrence]. Gradients of output, final h and final c may be undefined.
RecurrentOperands composed_pull(const RecurrentLayer& layer, const RecurrentOperands& operands,
                                const Tensor& d_output, const Tensor& d_h, const Tensor& d_c);

}  // namespace tapegrad::ops
