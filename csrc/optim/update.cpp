#include "optim/update.h"

#include "autograd/entry.h"
#include "autograd/inplace.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "tapegrad/error.h"

namespace tapegrad::optim {
namespace {

std::string parameter_text(const char* op, int index, const Tensor& param) {
  return core::text(op, ": parameter ", index, " is a ", core::describe(param));
}

void check_like(const char* op, int index, const char* name, const Tensor& param,
                const Tensor& other) {
  if (!other.defined()) {
    throw ValueError(core::text(parameter_text(op, index, param), ", but its ", name,
                                " is missing; create it with zeros_like(param)"));
  }
  if (!(other.sizes() == param.sizes())) {
    throw ShapeError(core::text(parameter_text(op, index, param), ", but its ", name, " is a ",
                                core::describe(other), "; they must have the same shape"));
  }
  if (other.dtype() != param.dtype()) {
    throw DTypeError(core::text(parameter_text(op, index, param), ", but its ", name, " is a ",
                                core::describe(other), "; convert it with .to(param.dtype)"));
  }
}

/// Equal but for dimensions of size 1, whose strides mean nothing.
bool same_strides(const Tensor& a, const Tensor& b) {
  const IntSpan sizes = a.sizes(), x = a.strides(), y = b.strides();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] != 1 && x[i] != y[i]) return false;
  }
  return true;
}

}  // namespace

UpdateList::UpdateList(const char* op, TensorRefs params, TensorList grads) : op_(op) {
  if (params.size() != grads.size()) {
    throw ValueError(core::text(op, ": expected one gradient (or None) for each parameter, got ",
                                grads.size(), " gradients for ", params.size(), " parameters"));
  }
  const autograd::NoGradGuard guard;
  updates_.reserve(params.size());
  for (size_t i = 0; i < params.size(); ++i) {
    const Tensor& param = *params[i];
    const Tensor& grad = grads[i];
    if (!grad.defined()) continue;
    const int index = static_cast<int>(i);
    if (!is_floating_point(param.dtype())) {
      throw DTypeError(core::text(parameter_text(op, index, param),
                                  "; only floating-point tensors can be optimized"));
    }
    autograd::check_writable(op, param);
    check_like(op, index, "gradient", param, grad);
    updates_.push_back({index, {&param, &grad}});
    numel_ += param.numel();
  }
}

void UpdateList::add_state(const char* name, TensorRefs state) {
  for (Update& update : updates_) {
    const auto i = static_cast<size_t>(update.index);
    if (i >= state.size()) {
      throw ValueError(core::text(op_, ": ", name, " has ", state.size(),
                                  " entries, but there is a parameter ", update.index));
    }
    const Tensor& tensor = *state[i];
    check_like(op_, update.index, name, *update.operands[0], tensor);
    const autograd::NoGradGuard guard;
    autograd::check_writable(op_, tensor);
    update.operands[arity_] = &tensor;
  }
  ++arity_;
}

void UpdateList::prepare() {
  // Addresses of copies go into the updates: no reallocation between.
  copies_.reserve(updates_.size() * static_cast<size_t>(arity_));
  for (Update& update : updates_) {
    const Tensor& param = *update.operands[0];
    const bool contiguous = param.is_contiguous();
    const bool dense = contiguous || core::is_dense(param);
    for (int k = 0; k < arity_; ++k) {
      const Tensor& tensor = *update.operands[k];
      const bool fits =
          (contiguous || !dense) ? tensor.is_contiguous() : same_strides(param, tensor);
      if (fits || tensor.numel() == 0) continue;
      Tensor copy = core::make_like(param, param.dtype());
      kernels::copy_values(copy, tensor);
      copies_.push_back({&tensor, std::move(copy), k != 1});
      update.operands[k] = &copies_.back().copy;
    }
  }
}

size_t UpdateList::fill_batch(size_t first, kernels::UpdateTensors& tensors,
                              core::Operand* operands) const {
  tensors.dtype = updates_[first].operands[0]->dtype();
  tensors.count = 0;
  tensors.arity = arity_;
  for (int i = 0; i < core::kMaxOperands; ++i) operands[i] = core::none();
  const int most = std::min(core::kMaxOperands / arity_, kernels::kMaxUpdateTensors);
  int64_t end = 0;
  size_t next = first;
  for (; next < updates_.size() && tensors.count < most; ++next) {
    const Update& update = updates_[next];
    if (update.operands[0]->dtype() != tensors.dtype) break;
    for (int k = 0; k < arity_; ++k) {
      const Tensor& tensor = *update.operands[k];
      operands[tensors.count * arity_ + k] = k == 1 ? core::in(tensor) : core::out(tensor);
    }
    end += update.operands[0]->numel();
    tensors.ends[tensors.count++] = end;
  }
  return next;
}

void UpdateList::finish() {
  for (const Copy& copy : copies_) {
    if (!copy.written) continue;
    kernels::copy_values(*copy.original, copy.copy);
    (*copy.original)->bump_version();
  }
  for (const Update& update : updates_) {
    for (int k = 0; k < arity_; ++k) {
      if (k != 1) (*update.operands[k])->bump_version();
    }
  }
}

}  // namespace tapegrad::optim
