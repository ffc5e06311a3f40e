// One step of an optimizer over many parameters: the checks of parameters, gradients and state
// before anything is written, and the way from tensors of any layout to launches over a few plain
// arrays. Knows no formula.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/launch.h"
#include "kernels/optim.h"
#include "optim/refs.h"
#include "optim/rules.h"
#include "tapegrad/tensor.h"

namespace tapegrad::optim {

/// What is the same for all parameters of a step.
struct StepOptions {
  std::span<const double> options;  // hyperparameters, in the order of Rule::options
  kernels::CommonNumbers<double> common = {1, 0, 1};
  bool check_only = false;  // throw what the step would throw, and change nothing
};

/// The state of the parameters, one list an entry of Rule::states and Rule::scalars.
struct StepState {
  std::span<const TensorRefs> states;
  std::span<const TensorRefs> scalars;
  std::span<const uint8_t> first;  // empty, or marks parameters that were never updated
};

/// Updates `params` (those with a defined gradient) in place by `rule`; `op` is for errors. Checks
/// everything before it writes; records nothing.
TAPEGRAD_API void update_(const Rule& rule, const char* op, TensorRefs params, TensorList grads,
                          const StepState& state, const StepOptions& options);

/// One parameter that has a gradient, with what is updated beside it.
struct Update {
  static constexpr int kMaxOperands = 5;
  int index;                             // position in the caller's list
  const Tensor* operands[kMaxOperands];  // parameter, gradient, state ...
};

/// The parameters to update. Built by checks that throw, naming `op`; then run() changes them.
class UpdateList {
 public:
  /// Takes the parameters whose gradient is defined. Throws unless each is a writable
  /// floating-point tensor and its gradient has its shape and dtype.
  UpdateList(const char* op, TensorRefs params, TensorList grads);
  /// Adds one operand to every update; throws unless it is like the parameter.
  void add_state(const char* name, TensorRefs state);
  const std::vector<Update>& updates() const { return updates_; }

  /// Launches `kernel` in batches of one dtype with kernels::kUpdateNumbers `numbers` an update.
  /// Copies what is not laid out as its parameter and counts versions up.
  void run(void (*kernel)(void* const* data, const kernels::UpdateTensors& tensors),
           const Tensor& numbers);

 private:
  void prepare();
  size_t fill_batch(size_t first, kernels::UpdateTensors& tensors, core::Operand* operands) const;
  void finish();

  /// A copy in the layout of the kernel, which stands in for a tensor of another layout.
  struct Copy {
    const Tensor* original;
    Tensor copy;
    bool written;
  };
  const char* op_;
  int arity_ = 2;
  std::vector<Update> updates_;
  std::vector<Copy> copies_;
};

}  // namespace tapegrad::optim
