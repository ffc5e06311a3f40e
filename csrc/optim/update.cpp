#include "optim/update.h"

#include <algorithm>
#include <cstring>

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
  const int most = (core::kMaxOperands - 1) / arity_;
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
  for (int i = tensors.count * arity_; i < core::kMaxOperands - 1; ++i) operands[i] = core::none();
  return next;
}

void UpdateList::run(void (*kernel)(void* const*, const kernels::UpdateTensors&),
                     const Tensor& numbers) {
  static_assert(core::kMaxOperands == 16);
  constexpr auto kBytes = int64_t{sizeof(double)} * kernels::kUpdateNumbers;
  prepare();
  for (size_t next = 0; next < updates_.size();) {
    kernels::UpdateTensors tensors;
    core::Operand o[core::kMaxOperands - 1];
    core::Operand slots = core::in(numbers);
    slots.byte_offset += static_cast<int64_t>(next) * kBytes;
    next = fill_batch(next, tensors, o);
    if (tensors.ends[tensors.count - 1] == 0) continue;
    core::launch(kernel,
                 {slots, o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7], o[8], o[9], o[10], o[11],
                  o[12], o[13], o[14]},
                 tensors);
  }
  finish();
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

namespace {

/// The lists of one-element state, checked.
void check_scalars(const Rule& rule, const char* op, const UpdateList& list,
                   std::span<const TensorRefs> scalars) {
  for (size_t k = 0; k < rule.scalars.size(); ++k) {
    for (const Update& update : list.updates()) {
      const auto i = static_cast<size_t>(update.index);
      if (i >= scalars[k].size()) {
        throw ValueError(core::text(op, ": ", rule.scalars[k], " has ", scalars[k].size(),
                                    " entries, but there is a parameter ", update.index));
      }
      const Tensor& tensor = *scalars[k][i];
      const bool fits = tensor.defined() && tensor.numel() == 1 &&
                        (tensor.dtype() == DType::Float32 || tensor.dtype() == DType::Float64);
      if (!fits) {
        throw DTypeError(
            core::text(op, ": the ", rule.scalars[k], " of parameter ", update.index,
                       " must be a float32 or float64 tensor of one element",
                       tensor.defined() ? ", got a " + core::describe(tensor) : std::string()));
      }
    }
  }
}

void check_counts(const Rule& rule, const char* op, TensorRefs params, const StepState& state,
                  const StepOptions& options) {
  const auto require = [&](const char* what, size_t got, size_t expected) {
    if (got == expected) return;
    throw ValueError(
        core::text(op, ": rule '", rule.name, "' takes ", expected, " ", what, ", got ", got));
  };
  require("lists of state", state.states.size(), rule.states.size());
  require("lists of one-element state", state.scalars.size(), rule.scalars.size());
  require("hyperparameters", options.options.size(), rule.options.size());
  if (!state.first.empty() && state.first.size() != params.size()) {
    throw ValueError(core::text(op, ": first has ", state.first.size(), " entries for ",
                                params.size(), " parameters"));
  }
}

}  // namespace

void update_(const Rule& rule, const char* op, TensorRefs params, TensorList grads,
             const StepState& state, const StepOptions& options) {
  check_counts(rule, op, params, state, options);
  UpdateList list(op, params, grads);
  for (size_t k = 0; k < rule.states.size(); ++k) list.add_state(rule.states[k], state.states[k]);
  check_scalars(rule, op, list, state.scalars);
  const std::vector<Update>& updates = list.updates();
  if (updates.empty() || options.check_only) return;
  const Tensor numbers = core::make_tensor(
      {static_cast<int64_t>(updates.size()) * kernels::kUpdateNumbers}, DType::Float64);
  std::vector<ScalarState> moved(updates.size());
  ScalarState before;
  for (size_t u = 0; u < updates.size(); ++u) {
    const auto i = static_cast<size_t>(updates[u].index);
    double* to = numbers.data_ptr<double>() + u * kernels::kUpdateNumbers;
    const Tensor* tensors[ScalarState::kMax];
    for (size_t k = 0; k < rule.scalars.size(); ++k) tensors[k] = state.scalars[k][i];
    ScalarState now(std::span<const Tensor* const>(tensors, rule.scalars.size()));
    now.first = !state.first.empty() && state.first[i] != 0;
    if (u > 0 && now == before) {  // nearly always the same for all parameters
      std::memcpy(to, to - kernels::kUpdateNumbers, sizeof(double) * kernels::kUpdateNumbers);
      moved[u] = moved[u - 1];
      continue;
    }
    before = now;
    std::memcpy(to, &options.common, sizeof options.common);
    rule.prepare(options.options.data(), now, to + kernels::kCommonNumbers);
    moved[u] = now;
  }
  list.run(rule.kernel, numbers);
  for (size_t u = 0; u < updates.size(); ++u) {
    for (size_t k = 0; k < rule.scalars.size(); ++k) {
      const Tensor& tensor = *state.scalars[k][static_cast<size_t>(updates[u].index)];
      core::write_scalar(tensor.data(), tensor.dtype(), Scalar(moved[u][static_cast<int>(k)]));
      tensor->bump_version();
    }
  }
}

}  // namespace tapegrad::optim
