// What the families of index.cpp and scatter.cpp share: checks of index tensors, dtypes of
// accumulation, and entering an operation that writes into its first input. Knows no rule.
#pragma once

#include "autograd/entry.h"
#include "autograd/inplace.h"
#include "ops/fill_check.h"
#include "tapegrad/ops.h"

namespace tapegrad::ops {

/// `index` as a dense int64 tensor. Throws DTypeError, naming `op`, unless it holds int32 or int64.
Tensor index_values(const char* op, const Tensor& index);

/// Throws IndexError, naming `op`, when a value of the dense int64 tensor `index` is out of [0,
/// size), or of
/// [-size, size) when negative ones count from the end.
void check_range(const char* op, const Tensor& index, int64_t dim, int64_t size, bool wraps);

/// Positions of the nonzero elements in row-major order: a dense int64 tensor.
Tensor nonzero_positions(const Tensor& input);

/// The dtype in which sums of `dtype` are accumulated: a type that the kernels add in, of more
/// digits for halves.
DType accumulation_dtype(DType dtype);

/// Zeros of shape `sizes` with g added at the places along dim that an index in range, of g's
/// shape, names.
Tensor placed_along(const Tensor& g, const Tensor& index, int64_t dim, IntSpan sizes);

/// x with one number (0-d, of x's dtype) at the places that a checked index names along dim.
Tensor fill_places(const Tensor& x, int dim, const Tensor& index, const Tensor& number);

/// `tensor`, or a copy when it shares memory with `written`.
inline Tensor apart_from(const Tensor& written, const Tensor& tensor) {
  return tensor->storage() == written->storage() ? clone(tensor) : tensor;
}

/// A number as a 0-d tensor of x's dtype. Throws ValueError, naming `op`, when it does not fit.
inline Tensor number_like(const char* op, const Tensor& x, Scalar value) {
  check_fill(op, value, x.dtype());
  return core::make_scalar(value, x.dtype());
}

/// A tensor and its indices on their way into a rule, without the heap.
class IndexInputs {
 public:
  IndexInputs() = default;
  explicit IndexInputs(std::initializer_list<const Tensor*> first) {
    for (const Tensor* tensor : first) list_[count_++] = tensor;
  }
  void add(const Tensor* tensor) { list_[count_++] = tensor; }
  operator autograd::Inputs() const { return {list_, count_}; }

 private:
  const Tensor* list_[kMaxDims + 2];
  int count_ = 0;
};

/// The same memory as a new tensor, for a forward() that writes into its input.
inline Tensor same_memory(const Tensor& x) {
  return core::make_alias(x, x.sizes(), x.strides(), x.storage_offset());
}

/// Enters a rule that writes into input 0 when its member `in_place` is set, and returns a new
/// tensor otherwise.
template <class R>
Tensor& enter_inplace(const char* op, Tensor& self, R rule, autograd::Inputs inputs) {
  autograd::check_writable(op, self);
  unsigned flags = 0;
  for (int i = 0; i < inputs.count; ++i) flags |= autograd::entry_flags(inputs[i]);
  if ((flags & (TensorImpl::kHasTangent | TensorImpl::kBatched)) != 0)
    return autograd::assign_inplace(op, self, autograd::enter(std::move(rule), inputs));
  rule.in_place = true;
  const Tensor written = autograd::enter(std::move(rule), inputs);
  self->bump_version();
  if ((flags & TensorImpl::kNeedsGrad) != 0 && core::thread_state.grad_enabled)
    autograd::record_write(self, written);
  return self;
}

}  // namespace tapegrad::ops
