#include "optim/adam.h"

#include <cmath>

#include "core/text.h"
#include "kernels/copy.h"
#include "optim/update.h"
#include "tapegrad/error.h"

namespace tapegrad {
namespace optim {
namespace {

void check_steps(const UpdateList& list, TensorRefs steps) {
  for (const Update& update : list.updates()) {
    const auto i = static_cast<size_t>(update.index);
    if (i >= steps.size()) {
      throw ValueError(core::text("adam_: steps has ", steps.size(),
                                  " entries, but there is a parameter ", update.index));
    }
    const Tensor& step = *steps[i];
    if (!step.defined() || step.numel() != 1 || step.dtype() != DType::Float32) {
      throw DTypeError(core::text(
          "adam_: the step of parameter ", update.index, " must be a float32 tensor of one element",
          step.defined() ? ", got a " + core::describe(step) : std::string()));
    }
  }
}

}  // namespace

void adam_(TensorRefs params, TensorList grads, TensorRefs exp_avgs, TensorRefs exp_avg_sqs,
           TensorRefs max_exp_avg_sqs, TensorRefs steps, const AdamOptions& options) {
  UpdateList list("adam_", params, grads);
  list.add_state("exp_avg", exp_avgs);
  list.add_state("exp_avg_sq", exp_avg_sqs);
  if (options.amsgrad) list.add_state("max_exp_avg_sq", max_exp_avg_sqs);
  check_steps(list, steps);
  const bool decoupled = options.decoupled_weight_decay;
  kernels::AdamParameters parameters{};
  parameters.beta1 = options.beta1;
  parameters.beta2 = options.beta2;
  parameters.eps = options.eps;
  parameters.weight_decay = decoupled ? 0 : options.weight_decay;
  parameters.shrink = decoupled ? 1 - options.lr * options.weight_decay : 1;
  parameters.amsgrad = options.amsgrad;
  parameters.maximize = options.maximize;
  double known = 0, step_size = 0, root_scale = 0;
  list.run([&](const kernels::UpdateTensors& tensors, const core::Operand* operands,
               std::span<const Update> updates) {
    parameters.tensors = tensors;
    for (size_t t = 0; t < updates.size(); ++t) {
      const Tensor& step = *steps[static_cast<size_t>(updates[t].index)];
      const double count = double{*step.data_ptr<float>()} + 1;
      if (count != known) {  // nearly always the same for all parameters
        known = count;
        step_size = options.lr / (1 - std::pow(options.beta1, count));
        root_scale = 1 / std::sqrt(1 - std::pow(options.beta2, count));
      }
      parameters.step_size[t] = step_size;
      parameters.root_scale[t] = root_scale;
    }
    launch_array(&kernels::adam_update, operands, parameters);
  });
  for (const Update& update : list.updates()) {
    const Tensor& step = *steps[static_cast<size_t>(update.index)];
    *step.data_ptr<float>() += 1;
    step->bump_version();
  }
}

}  // namespace optim

namespace {

void check(const char* name, const AdamOptions& options) {
  const auto require = [&](bool ok, const char* what, double value) {
    if (!ok) throw ValueError(core::text(name, ": Invalid ", what, ": ", value));
  };
  require(options.lr >= 0, "learning rate", options.lr);
  require(options.eps >= 0, "epsilon value", options.eps);
  require(options.beta1 >= 0 && options.beta1 < 1, "beta parameter at index 0", options.beta1);
  require(options.beta2 >= 0 && options.beta2 < 1, "beta parameter at index 1", options.beta2);
  require(options.weight_decay >= 0, "weight_decay value", options.weight_decay);
}

AdamOptions decoupled(const AdamWOptions& options) {
  return {options.lr,           options.beta1,   options.beta2,    options.eps,
          options.weight_decay, options.amsgrad, options.maximize, true};
}

Tensor zeros_like(const Tensor& param) {
  Tensor result = core::make_like(param, param.dtype());
  kernels::fill_values(result, 0);
  return result;
}

}  // namespace

Adam::Adam(const char* name, std::vector<Tensor> params, AdamOptions options)
    : Optimizer(name, std::move(params)), options_(options) {
  check(name, options_);
  states_.resize(this->params().size());
}
Adam::Adam(std::vector<Tensor> params, AdamOptions options)
    : Adam("Adam", std::move(params), options) {}
Adam::~Adam() = default;

AdamW::AdamW(std::vector<Tensor> params, AdamWOptions options)
    : Adam("AdamW", std::move(params), decoupled(options)) {}
AdamW::~AdamW() = default;

void Adam::step() {
  check("Adam", options_);
  const std::vector<Tensor> grads = gradients();
  std::vector<State> states = states_;
  std::vector<const Tensor*> refs, exp_avgs, exp_avg_sqs, tops, steps;
  for (size_t i = 0; i < params().size(); ++i) {
    const Tensor& param = params()[i];
    State& state = states[i];
    if (grads[i].defined() && !state.step.defined()) {
      state = {core::make_scalar(0, DType::Float32), zeros_like(param), zeros_like(param), {}};
    }
    if (options_.amsgrad && grads[i].defined() && !state.max_exp_avg_sq.defined()) {
      state.max_exp_avg_sq = zeros_like(param);
    }
    refs.push_back(&param);
    exp_avgs.push_back(&state.exp_avg);
    exp_avg_sqs.push_back(&state.exp_avg_sq);
    tops.push_back(&state.max_exp_avg_sq);
    steps.push_back(&state.step);
  }
  optim::adam_(refs, grads, exp_avgs, exp_avg_sqs, tops, steps, options_);
  states_ = std::move(states);
}

}  // namespace tapegrad
