// The one door to kernels: launch(function, operands, parameters). Operands are a storage and a
// byte offset, parameters are trivially copyable, kernels are plain functions without hidden state;
// so a launch can be run now, or recorded and run again later. Knows no shapes: whatever a kernel
// needs to know of them is in its parameters.
#pragma once

#include <initializer_list>
#include <type_traits>

#include "core/tensor_impl.h"

namespace tapegrad::core {

struct Operand {
  Storage* storage;
  int64_t byte_offset;
  bool written;
};
inline Operand in(const Tensor& tensor) {
  if (tensor->has(TensorImpl::kBatched)) [[unlikely]]
    refuse_lifted();
  return {tensor->storage(), tensor->offset() * static_cast<int64_t>(item_size(tensor->dtype())),
          false};
}
inline Operand out(const Tensor& tensor) {
  if (tensor->has(TensorImpl::kBatched)) [[unlikely]]
    refuse_lifted();
  return {tensor->storage(), tensor->offset() * static_cast<int64_t>(item_size(tensor->dtype())),
          true};
}
/// An operand that is left out: the kernel sees a null pointer.
inline Operand none() { return {nullptr, 0, false}; }

inline constexpr int kMaxOperands = 16;

/// Runs `kernel(data, parameters)`; data[i] is the address of operand i.
template <class Parameters>
inline void launch(void (*kernel)(void* const* data, const Parameters& parameters),
                   std::initializer_list<Operand> operands, const Parameters& parameters) {
  static_assert(std::is_trivially_copyable_v<Parameters>,
                "kernel parameters are recorded as bytes");
  void* data[kMaxOperands];
  int count = 0;
  for (const Operand& operand : operands) {
    data[count++] = operand.storage ? operand.storage->data() + operand.byte_offset : nullptr;
  }
  kernel(data, parameters);
}

}  // namespace tapegrad::core
