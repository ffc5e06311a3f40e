// The base of the public optimizers.
#include <algorithm>

#include "core/tensor_impl.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "optim/update.h"
#include "tapegrad/error.h"
#include "tapegrad/optim.h"

namespace tapegrad {

Optimizer::Optimizer(const char* name, std::vector<Tensor> params) : params_(std::move(params)) {
  if (params_.empty()) throw ValueError(core::text(name, ": got an empty parameter list"));
  for (size_t i = 0; i < params_.size(); ++i) {
    const Tensor& param = params_[i];
    if (!param.defined()) throw ValueError(core::text(name, ": parameter ", i, " is undefined"));
    if (!param.is_leaf()) {
      throw ValueError(core::text(
          name, ": can't optimize a non-leaf tensor; parameter ", i, ", a ", core::describe(param),
          ", was computed from others. Give the tensor it was computed from"));
    }
    const auto same = [&](const Tensor& other) { return other.is_same(param); };
    if (std::any_of(params_.begin(), params_.begin() + static_cast<std::ptrdiff_t>(i), same)) {
      throw ValueError(core::text(name, ": parameter ", i, " appears twice; list it once"));
    }
  }
}
Optimizer::~Optimizer() = default;

void Optimizer::zero_grad() {
  for (Tensor& param : params_) param.set_grad(Tensor());
}

std::vector<Tensor> Optimizer::gradients() const {
  std::vector<Tensor> grads;
  grads.reserve(params_.size());
  for (const Tensor& param : params_) grads.push_back(param.grad());
  return grads;
}

FusedOptimizer::FusedOptimizer(const char* name, std::vector<Tensor> params)
    : Optimizer(name, std::move(params)), name_(name) {}
FusedOptimizer::~FusedOptimizer() = default;

void FusedOptimizer::step() {
  const Step now = next_step();
  const optim::Rule& rule = optim::find_rule(now.rule);
  const std::vector<Tensor> grads = gradients();
  const auto start = [&](const char* name) {
    for (const auto& [key, value] : now.start) {
      if (key == name) return value;
    }
    return 0.0;
  };
  std::vector<const Tensor*> refs;
  for (const Tensor& param : params()) refs.push_back(&param);
  std::vector<uint8_t> first(refs.size(), 0);
  // Made apart, so that an error leaves no trace.
  std::map<std::string, std::vector<Tensor>> states = states_;
  const auto collect = [&](const std::vector<const char*>& names, bool scalar) {
    std::vector<std::vector<const Tensor*>> lists(names.size());
    for (size_t k = 0; k < names.size(); ++k) {
      std::vector<Tensor>& all = states[names[k]];
      all.resize(refs.size());
      for (size_t i = 0; i < refs.size(); ++i) {
        if (grads[i].defined() && !all[i].defined()) {
          first[i] = 1;
          all[i] = scalar ? core::make_scalar(start(names[k]), DType::Float32)
                          : core::make_like(*refs[i], refs[i]->dtype());
          if (!scalar) kernels::fill_values(all[i], start(names[k]));
        }
        lists[k].push_back(&all[i]);
      }
    }
    return lists;
  };
  const auto tensors = collect(rule.states, false), scalars = collect(rule.scalars, true);
  const std::vector<optim::TensorRefs> tensor_refs(tensors.begin(), tensors.end());
  const std::vector<optim::TensorRefs> scalar_refs(scalars.begin(), scalars.end());
  const double shrink = now.decoupled ? 1 - now.lr * now.weight_decay : 1;
  optim::update_(
      rule, name_, refs, grads, {.states = tensor_refs, .scalars = scalar_refs, .first = first},
      {.options = now.options,
       .common = {now.maximize ? -1.0 : 1.0, now.decoupled ? 0 : now.weight_decay, shrink}});
  states_ = std::move(states);
}

}  // namespace tapegrad
