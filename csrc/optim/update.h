// What the updates of all optimizers share: the checks of parameters, gradients and state before
// anything is written, and the way from many tensors of any layout to launches over a few plain
// arrays. Knows no formula.
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include "core/launch.h"
#include "kernels/optim.h"
#include "optim/refs.h"
#include "tapegrad/tensor.h"

namespace tapegrad::optim {

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
  int arity() const { return arity_; }
  const std::vector<Update>& updates() const { return updates_; }
  int64_t numel() const { return numel_; }

  /// Calls launch(tensors, operands, updates) for batches of one dtype: `operands` has
  /// core::kMaxOperands entries, `updates` has tensors.count. Copies what is not laid out as its
  /// parameter and counts versions up.
  template <class Launch>
  void run(Launch launch) {
    prepare();
    for (size_t next = 0; next < updates_.size();) {
      kernels::UpdateTensors tensors;
      core::Operand operands[core::kMaxOperands];
      const size_t first = next;
      next = fill_batch(first, tensors, operands);
      if (tensors.ends[tensors.count - 1] == 0) continue;
      launch(tensors, operands, std::span<const Update>(updates_).subspan(first, next - first));
    }
    finish();
  }

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
  int64_t numel_ = 0;
  std::vector<Update> updates_;
  std::vector<Copy> copies_;
};

/// core::launch of a kernel whose operands are in an array of core::kMaxOperands.
template <class Parameters>
void launch_array(void (*kernel)(void* const*, const Parameters&), const core::Operand* o,
                  const Parameters& parameters) {
  static_assert(core::kMaxOperands == 16);
  core::launch(kernel,
               {o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7], o[8], o[9], o[10], o[11], o[12],
                o[13], o[14], o[15]},
               parameters);
}

}  // namespace tapegrad::optim
