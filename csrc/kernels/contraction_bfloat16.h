// Products of bfloat16 matrices by oneDNN, where the processor multiplies them itself. Knows
// nothing of tensors.
#pragma once

#include "kernels/contraction.h"

namespace tapegrad::kernels {

/// Whether oneDNN is there and the processor has the instructions.
bool has_bfloat16_instructions();

/// As matmul() of bfloat16, if oneDNN is there, the processor has the instructions, the matrices
/// are large enough, and each has adjacent rows or columns; false (and nothing done) otherwise.
bool multiply_bfloat16(void* const* data, const MatmulArgs& args);

}  // namespace tapegrad::kernels
