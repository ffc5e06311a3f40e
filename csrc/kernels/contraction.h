// Matrix products on raw pointers: every stride, batch, transpose, dtype. The one door through
// which the library multiplies matrices; it splits the work over the team and picks the kernel.
// Knows nothing of tensors, shapes rules or gradients.
#pragma once

#include <cstdint>

#include "tapegrad/dtype.h"

namespace tapegrad::kernels {

// C[b] = alpha * A[b] B[b] + beta * C[b] (+ bias), for b in [0, batch). Strides count elements.
// A is m x k and B is k x n with any strides (negative and 0 too); a batch stride of 0 repeats a
// matrix. C is row-major: its columns are adjacent. C must not overlap A, B or the bias.
struct MatmulArgs {
  DType dtype = DType::Float32;  // of all operands; everything but bool and complex
  int64_t batch = 1, m = 0, n = 0, k = 0;
  int64_t a_row = 0, a_col = 0, a_batch = 0;
  int64_t b_row = 0, b_col = 0, b_batch = 0;
  int64_t c_row = 0, c_batch = 0;
  double alpha = 1, beta = 0;  // beta = 0: C is not read. Truncated for integer dtypes
  bool has_bias = false;       // bias[n] is added to every row
};

// data: C, A, B and, with has_bias, the bias. k = 0 gives beta * C + bias. The same bits for any
// number of threads. float16 and bfloat16 accumulate in float32; integers wrap around.
void matmul(void* const* data, const MatmulArgs& args);

// What multiplies float32 matrices here, for build information.
const char* contraction_backend();

}  // namespace tapegrad::kernels
