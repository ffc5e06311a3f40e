// The three maps that a convolution is made of, each linear in both of its inputs and each the
// derivative of the others. Knows no arguments of users: the geometry comes checked.
#pragma once

#include "kernels/convolution.h"
#include "tapegrad/tensor.h"

namespace tapegrad::ops {

using Geometry = kernels::ConvolutionArgs;

/// Input (N, C, ...) and weight (O, C / groups, ...) to (N, O, ...). An undefined bias is left out.
Tensor convolution(const Geometry& geometry, const Tensor& input, const Tensor& weight,
                   const Tensor& bias);
/// (N, O, ...) and the same weight to (N, C, ...): the gradient of the input, which is also the
/// transposed convolution. The bias, of C elements, is added.
Tensor convolution_input_gradient(const Geometry& geometry, const Tensor& gradient,
                                  const Tensor& weight, const Tensor& bias);

}  // namespace tapegrad::ops
