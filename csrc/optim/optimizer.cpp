// The base of the public optimizers.
#include <algorithm>

#include "core/tensor_impl.h"
#include "core/text.h"
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

}  // namespace tapegrad
