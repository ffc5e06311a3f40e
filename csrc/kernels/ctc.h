// Parameters of connectionist temporal classification. Knows no tensors.
//
// A target of length S is read as 2 S + 1 states: blank, first label, blank, second label, ...,
// blank. A path stays in a state, goes to the next one, or skips a blank between different labels.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

struct CtcParameters {
  int64_t steps = 0;  // log_probs is (steps, batch, classes)
  int64_t batch = 0;
  int64_t classes = 0;
  int64_t blank = 0;
  int64_t longest = 0;  // of the targets
  bool zero_infinity = false;
  bool is_double = false;
};

/// States side by side, in whole vectors.
inline constexpr int64_t kCtcLanes = 16;
inline int64_t ctc_width(int64_t states) {
  return (states + kCtcLanes - 1) / kCtcLanes * kCtcLanes;
}
/// A row of states, with two places before and behind it.
inline int64_t ctc_row(const CtcParameters& p) { return ctc_width(2 * p.longest + 1) + 4; }
/// Numbers of scratch memory for one thread.
inline int64_t ctc_loss_scratch(const CtcParameters& p) { return 4 * ctc_row(p); }
inline int64_t ctc_gradient_scratch(const CtcParameters& p) { return (p.steps + 4) * ctc_row(p); }

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
// losses, log_probs, labels (one target after the other), begin of each target in labels (batch +
// 1 numbers), input lengths, scratch
TAPEGRAD_KERNEL(ctc, CtcParameters)
// out, g (batch numbers), then as above
TAPEGRAD_KERNEL(ctc_gradient, CtcParameters)
}  // namespace tapegrad::kernels
