// Adam and AdamW for C++ programs.
#include "core/text.h"
#include "kernels/copy.h"
#include "optim/update.h"
#include "tapegrad/error.h"
#include "tapegrad/optim.h"

namespace tapegrad {
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
  static const optim::Rule& plain = optim::find_rule("adam");
  static const optim::Rule& with_maximum = optim::find_rule("adam_amsgrad");
  const optim::TensorRefs lists[] = {exp_avgs, exp_avg_sqs, tops};
  const optim::TensorRefs scalars[] = {steps};
  const double numbers[] = {options_.lr, options_.beta1, options_.beta2, options_.eps};
  const double decay = options_.weight_decay;
  const bool decoupled = options_.decoupled_weight_decay;
  optim::update_(
      options_.amsgrad ? with_maximum : plain, decoupled ? "AdamW" : "Adam", refs, grads,
      {.states = std::span(lists).first(options_.amsgrad ? 3 : 2), .scalars = scalars, .first = {}},
      {.options = numbers,
       .common = {options_.maximize ? -1.0 : 1.0, decoupled ? 0 : decay,
                  decoupled ? 1 - options_.lr * decay : 1}});
  states_ = std::move(states);
}

}  // namespace tapegrad
