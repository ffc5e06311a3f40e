// The rules of the optimizers by name: which state they keep, which hyperparameters they take, and
// how the numbers of their formula follow from these. Knows no tensors of many elements. See Note
// [A rule of an optimizer].
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "kernels/optim.h"
#include "tapegrad/tensor.h"

namespace tapegrad::optim {

/// The one-element state of one parameter, such as its step count; written back when the update
/// has run. What is set is rounded to the dtype of its tensor, as PyTorch does.
class ScalarState {
 public:
  static constexpr int kMax = 3;
  ScalarState() = default;
  explicit ScalarState(std::span<const Tensor* const> tensors);
  double operator[](int i) const { return values_[i]; }
  void set(int i, double value) { values_[i] = round(i, value); }
  /// `value` in the precision of scalar i.
  double round(int i, double value) const {
    return single_[i] ? static_cast<double>(static_cast<float>(value)) : value;
  }
  /// Adds 1 to scalar 0, the step count, and returns it.
  double next_step() {
    set(0, values_[0] + 1);
    return values_[0];
  }
  bool operator==(const ScalarState& other) const = default;

  bool first = false;  // the parameter has not been updated before

 private:
  double values_[kMax] = {};
  bool single_[kMax] = {};
};

struct Rule {
  const char* name;
  void (*kernel)(void* const* data, const kernels::UpdateTensors& tensors);
  std::vector<const char*> states;   // like the parameter
  std::vector<const char*> scalars;  // of one element, float32 or float64
  std::vector<const char*> options;  // hyperparameters, in their order
  /// Moves the scalars on by one step and works out the numbers of the formula.
  void (*prepare)(const double* options, ScalarState& scalars, double* numbers);
};

/// Throws ValueError where there is no such rule.
TAPEGRAD_API const Rule& find_rule(std::string_view name);
TAPEGRAD_API std::span<const Rule> all_rules();

}  // namespace tapegrad::optim
