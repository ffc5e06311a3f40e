// The optimizers for C++ programs: which rule each takes, with which hyperparameters, after checks.
#include <string>

#include "core/text.h"
#include "tapegrad/error.h"
#include "tapegrad/optim.h"

namespace tapegrad {
namespace {

// The class of each kind of options, for errors.
constexpr const char* name_of(const SGDOptions&) { return "SGD"; }
constexpr const char* name_of(const AdamOptions&) { return "Adam"; }
constexpr const char* name_of(const AdamWOptions&) { return "AdamW"; }
constexpr const char* name_of(const AdamaxOptions&) { return "Adamax"; }
constexpr const char* name_of(const NAdamOptions&) { return "NAdam"; }
constexpr const char* name_of(const RAdamOptions&) { return "RAdam"; }
constexpr const char* name_of(const RMSpropOptions&) { return "RMSprop"; }
constexpr const char* name_of(const RpropOptions&) { return "Rprop"; }
constexpr const char* name_of(const AdagradOptions&) { return "Adagrad"; }
constexpr const char* name_of(const AdadeltaOptions&) { return "Adadelta"; }
constexpr const char* name_of(const ASGDOptions&) { return "ASGD"; }
constexpr const char* name_of(const LionOptions&) { return "Lion"; }

struct Checks {
  const char* name;
  void require(bool ok, const char* what, double value) const {
    if (!ok) throw ValueError(core::text(name, ": Invalid ", what, ": ", value));
  }
  void nonnegative(const char* what, double value) const { require(value >= 0, what, value); }
};

/// Those that nearly all have.
template <class Options>
Checks check(const Options& o) {
  const Checks checks{name_of(o)};
  checks.nonnegative("learning rate", o.lr);
  if constexpr (requires { o.eps; }) checks.nonnegative("epsilon value", o.eps);
  if constexpr (requires { o.beta1; }) {
    checks.require(o.beta1 >= 0 && o.beta1 < 1, "beta parameter at index 0", o.beta1);
    checks.require(o.beta2 >= 0 && o.beta2 < 1, "beta parameter at index 1", o.beta2);
  }
  if constexpr (requires { o.momentum; }) checks.nonnegative("momentum value", o.momentum);
  if constexpr (requires { o.weight_decay; }) {
    checks.nonnegative("weight_decay value", o.weight_decay);
  }
  return checks;
}

/// FusedOptimizer::Step without what is the same for all.
struct Choice {
  const char* rule;
  std::vector<double> options;
  std::vector<std::pair<std::string, double>> start = {};
};

Choice choose(const SGDOptions& o, const Checks&) {
  if (o.nesterov && (o.momentum <= 0 || o.dampening != 0)) {
    throw ValueError("SGD: Nesterov momentum requires a momentum and zero dampening");
  }
  return {o.momentum == 0 ? "sgd" : "sgd_momentum",
          {o.lr, o.momentum, o.dampening, o.nesterov ? 1.0 : 0.0}};
}
template <class Options>
  requires requires(const Options& o) { o.amsgrad; }
Choice choose(const Options& o, const Checks&) {
  return {o.amsgrad ? "adam_amsgrad" : "adam", {o.lr, o.beta1, o.beta2, o.eps}};
}
Choice choose(const AdamaxOptions& o, const Checks&) {
  return {"adamax", {o.lr, o.beta1, o.beta2, o.eps}};
}
Choice choose(const NAdamOptions& o, const Checks& checks) {
  checks.nonnegative("momentum_decay value", o.momentum_decay);
  return {"nadam", {o.lr, o.beta1, o.beta2, o.eps, o.momentum_decay}, {{"mu_product", 1}}};
}
Choice choose(const RAdamOptions& o, const Checks&) {
  return {"radam", {o.lr, o.beta1, o.beta2, o.eps}};
}
Choice choose(const RMSpropOptions& o, const Checks& checks) {
  checks.nonnegative("alpha value", o.alpha);
  const bool moves = o.momentum > 0;
  const char* rule = o.centered ? (moves ? "rmsprop_centered_momentum" : "rmsprop_centered")
                                : (moves ? "rmsprop_momentum" : "rmsprop");
  return {rule, {o.lr, o.alpha, o.eps, o.momentum}};
}
Choice choose(const RpropOptions& o, const Checks& checks) {
  checks.require(o.eta_minus > 0 && o.eta_minus < 1, "eta value", o.eta_minus);
  checks.require(o.eta_plus > 1, "eta value", o.eta_plus);
  return {
      "rprop", {o.eta_minus, o.eta_plus, o.smallest_step, o.largest_step}, {{"step_size", o.lr}}};
}
Choice choose(const AdagradOptions& o, const Checks& checks) {
  checks.nonnegative("lr_decay value", o.lr_decay);
  checks.nonnegative("initial_accumulator_value value", o.initial_accumulator_value);
  return {"adagrad", {o.lr, o.lr_decay, o.eps}, {{"sum", o.initial_accumulator_value}}};
}
Choice choose(const AdadeltaOptions& o, const Checks& checks) {
  checks.require(o.rho >= 0 && o.rho <= 1, "rho value", o.rho);
  return {"adadelta", {o.lr, o.rho, o.eps}};
}
Choice choose(const ASGDOptions& o, const Checks&) {
  return {"asgd", {o.lr, o.lambd, o.alpha, o.t0}, {{"eta", o.lr}, {"mu", 1}}};
}
Choice choose(const LionOptions& o, const Checks&) { return {"lion", {o.lr, o.beta1, o.beta2}}; }

}  // namespace

template <class Options>
OptimizerWith<Options>::OptimizerWith(std::vector<Tensor> params, Options options)
    : FusedOptimizer(name_of(options), std::move(params)), options_(options) {
  choose(options_, check(options_));
}

template <class Options>
OptimizerWith<Options>::~OptimizerWith() = default;

template <class Options>
FusedOptimizer::Step OptimizerWith<Options>::next_step() const {
  Choice choice = choose(options_, check(options_));
  Step step{.rule = choice.rule,
            .options = std::move(choice.options),
            .lr = options_.lr,
            .maximize = options_.maximize,
            .start = std::move(choice.start)};
  if constexpr (requires { options_.weight_decay; }) step.weight_decay = options_.weight_decay;
  if constexpr (requires { options_.decoupled_weight_decay; }) {
    step.decoupled = options_.decoupled_weight_decay;
  } else {
    step.decoupled = std::is_same_v<Options, AdamWOptions> || std::is_same_v<Options, LionOptions>;
  }
  return step;
}

template class OptimizerWith<SGDOptions>;
template class OptimizerWith<AdamOptions>;
template class OptimizerWith<AdamWOptions>;
template class OptimizerWith<AdamaxOptions>;
template class OptimizerWith<NAdamOptions>;
template class OptimizerWith<RAdamOptions>;
template class OptimizerWith<RMSpropOptions>;
template class OptimizerWith<RpropOptions>;
template class OptimizerWith<AdagradOptions>;
template class OptimizerWith<AdadeltaOptions>;
template class OptimizerWith<ASGDOptions>;
template class OptimizerWith<LionOptions>;

}  // namespace tapegrad
