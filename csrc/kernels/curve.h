// Elementwise functions on a value and the tangents along many directions at once, to second order.
// Knows rows only by their loops, and no levels.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"
#include "kernels/elementwise.h"

namespace tapegrad::kernels {

/// first[i] = f'(x), second[i] = f''(x), from what the row saves of element i: x or y.
using SlopesLoop = void (*)(void* first, void* second, const void* saved, int64_t n,
                            const LoopParameters& p);
/// Of this machine's level; null for rows without one, and for integers.
SlopesLoop slopes_loop(UnaryOp op, Compute compute);

/// saved is (outer, inner) and contiguous, tangents and out are (outer, rows, inner). With
/// d = f'(x), h = f''(x): out = d t in every row t, and in the last h (sum of squares of the
/// others) besides.
struct CurveParameters {
  SlopesLoop slopes = nullptr;
  LoopParameters row;
  int64_t outer = 1, rows = 1, inner = 1;
  int64_t tangent_outer = 0, tangent_row = 0;  // strides; the elements of a row follow each other
  bool is_double = false;
};

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
TAPEGRAD_KERNEL(curve, CurveParameters)  // out, saved, tangents
}  // namespace tapegrad::kernels
