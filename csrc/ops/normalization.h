// What the normalisations share: checks of their parameters, and rules whose inputs end with a
// weight and a bias that may be missing. Knows no kernels.
#pragma once

#include <vector>

#include "autograd/entry.h"
#include "tapegrad/tensor.h"

namespace tapegrad::ops {

/// Throws DTypeError unless `input` is floating-point and the defined ones of `parameters` have its
/// dtype (or float32 where it is a half type).
void check_norm_dtypes(const char* op, const Tensor& input,
                       std::initializer_list<std::pair<const char*, const Tensor*>> parameters);
/// Throws ShapeError unless `parameter` is undefined or has one number for each channel.
void check_per_channel(const char* op, const char* name, const Tensor& parameter, int64_t channels);

/// Which of weight and bias there are, and where, among the inputs of a rule.
struct Affine {
  int first = 1;  // input of the weight or, without one, of the bias
  bool weight = false;
  bool bias = false;
  int weight_at() const { return first; }
  int bias_at() const { return first + (weight ? 1 : 0); }
};

/// All inputs of a batch outside of its level, the samples of input 0 joined with its dimension 0;
/// empty when another input differs between samples.
std::vector<Tensor> joined_samples(const autograd::Batch& batch);

/// moved = (1 - momentum) * running + momentum * value, in place.
void move_running(const Tensor& running, const Tensor& value, double momentum);

/// `moved` for the running statistics of a channel over `count` elements: variances become
/// unbiased.
double unbiased_factor(double count);

}  // namespace tapegrad::ops
