// Elementwise kernels: the loops made from tapegrad/elementwise_rows.h, and the driver that runs
// one over tensors of any shape, strides and dtype. Knows no gradients: a derivative is just
// another loop.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "tapegrad/elementwise_rows.h"
#include "tapegrad/tensor.h"

namespace tapegrad::kernels {

/// Loops exist for three types; all other dtypes are converted block by block.
enum class Compute : uint8_t { Float, Double, Int64 };

inline Compute compute_type(DType dtype) {
  if (dtype == DType::Float64) return Compute::Double;
  return is_floating_point(dtype) ? Compute::Float : Compute::Int64;
}

/// Parameters of a row, p[0] .. p[2], once as floating point and once as integers.
struct LoopParameters {
  double d[3] = {0, 0, 0};
  int64_t i[3] = {0, 0, 0};
};

/// How a loop goes over its inputs.
struct Walk {
  /// In elements, 0 or 1.
  int64_t steps[4] = {1, 1, 1, 1};
  /// The forward loops of binary rows do this many lines, so many bytes apart; all others do one.
  int64_t rows = 1;
  int64_t out_row = 0;
  int64_t in_rows[2] = {0, 0};
};

/// out[j] = f(in[0][j * steps[0]], ...) for j < n.
using Loop = void (*)(void* out, const void* const* in, const Walk& walk, int64_t n,
                      const LoopParameters& p);

#define TAPEGRAD_ENUM_UNARY(name, ...) name,
enum class UnaryOp : int {
  TAPEGRAD_UNARY_ROWS(TAPEGRAD_ENUM_UNARY) TAPEGRAD_PARAMETRIC_ROWS(TAPEGRAD_ENUM_UNARY)
};
enum class BinaryOp : int {
  TAPEGRAD_BINARY_ROWS(TAPEGRAD_ENUM_UNARY) TAPEGRAD_BINARY_PARAMETRIC_ROWS(TAPEGRAD_ENUM_UNARY)
};
#undef TAPEGRAD_ENUM_UNARY

/// f by Compute; pull for Float and Double: inputs are g and then what the row saves (x or y).
struct UnaryLoops {
  Loop f[3];
  Loop pull[2];
};
/// Inputs of the pulls: g, a, b, y (those that the row does not save are null and not read).
struct BinaryLoops {
  Loop f[3];
  Loop pull_a[2];
  Loop pull_b[2];
};

/// Of this machine's level (or of TAPEGRAD_ISA).
const UnaryLoops& unary_loops(UnaryOp op);
const BinaryLoops& binary_loops(BinaryOp op);
/// Of three inputs, all converted to the compute type: where(condition, a, b), and with p[0] as
/// factor a + factor * b * c and a + factor * b / c (floating point), lerp(a, b, weight), and
/// clamp(x, min, max).
enum class TernaryOp : int { Choose, AddProduct, AddQuotient, Lerp, Clamp };
Loop ternary_loop(TernaryOp op, Compute compute);

/// What the driver may know of a loop.
struct LoopTraits {
  bool counts_rows = false;  ///< it minds Walk::rows
  bool is_light = false;     ///< memory takes longer than its few instructions
};

/// Runs `loop` with `out`'s shape; `in` broadcast to it. Inputs are converted to `compute`; the
/// loop writes `compute` values, or bool bytes when `bool_output`.
void run_elementwise(Loop loop, Compute compute, bool bool_output, const LoopParameters& parameters,
                     const Tensor& out, std::initializer_list<const Tensor*> in,
                     LoopTraits traits = {});

}  // namespace tapegrad::kernels
