#include "optim/rules.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/tensor_impl.h"
#include "core/text.h"
#include "tapegrad/error.h"

namespace tapegrad::optim {
namespace {

using namespace kernels;

// The hyperparameters of each rule, in the order of Rule::options.
struct SgdOptions {
  double lr, momentum, dampening, nesterov;
};
struct AdamLikeOptions {
  double lr, beta1, beta2, eps;
};
struct NadamOptions {
  double lr, beta1, beta2, eps, momentum_decay;
};
struct RmspropOptions {
  double lr, alpha, eps, momentum;
};
struct RpropOptions {
  double minus, plus, smallest, largest;
};
struct AdagradOptions {
  double lr, lr_decay, eps;
};
struct AdadeltaOptions {
  double lr, rho, eps;
};
struct AsgdOptions {
  double lr, lambd, alpha, t0;
};
struct LionOptions {
  double lr, beta1, beta2;
};
struct LerpOptions {
  double weight;
};

void prepare_sgd(const SgdOptions& o, ScalarState&, SgdNumbers<double>& n) { n = {-o.lr}; }

void prepare_sgd_momentum(const SgdOptions& o, ScalarState& s, SgdMomentumNumbers<double>& n) {
  n = {-o.lr, o.momentum, s.first ? 1 : 1 - o.dampening, o.nesterov};
}

void prepare_adam(const AdamLikeOptions& o, ScalarState& s, AdamNumbers<double>& n) {
  const double t = s.next_step();
  n = {.weight1 = 1 - o.beta1,
       .beta2 = o.beta2,
       .weight2 = 1 - o.beta2,
       .eps = o.eps,
       .step = -o.lr / (1 - std::pow(o.beta1, t)),
       .root_scale = 1 / std::sqrt(1 - std::pow(o.beta2, t))};
}

void prepare_adamax(const AdamLikeOptions& o, ScalarState& s, AdamaxNumbers<double>& n) {
  const double t = s.next_step();
  n = {1 - o.beta1, o.beta2, o.eps, -o.lr / (1 - std::pow(o.beta1, t))};
}

void prepare_nadam(const NadamOptions& o, ScalarState& s, NadamNumbers<double>& n) {
  const double t = s.next_step();
  const auto momentum = [&](double step) {
    return o.beta1 * (1 - 0.5 * std::pow(0.96, step * o.momentum_decay));
  };
  const double now = momentum(t), next = momentum(t + 1);
  s.set(1, s[1] * s.round(1, now));
  n = {.weight1 = 1 - o.beta1,
       .beta2 = o.beta2,
       .weight2 = 1 - o.beta2,
       .eps = o.eps,
       .square_scale = 1 / (1 - std::pow(o.beta2, t)),
       .gradient_step = -o.lr * (1 - now) / (1 - s[1]),
       .mean_step = -o.lr * next / (1 - s[1] * next)};
}

void prepare_radam(const AdamLikeOptions& o, ScalarState& s, RadamNumbers<double>& n) {
  const double t = s.next_step();
  const double correction2 = 1 - std::pow(o.beta2, t);
  const double longest = 2 / (1 - o.beta2) - 1;
  const double length = longest - 2 * t * std::pow(o.beta2, t) / correction2;
  const bool adaptive = length > 5;
  double scale = 1;
  if (adaptive) {
    scale = std::sqrt((length - 4) * (length - 2) * longest /
                      ((longest - 4) * (longest - 2) * length) * correction2);
  }
  n = {.weight1 = 1 - o.beta1,
       .beta2 = o.beta2,
       .weight2 = 1 - o.beta2,
       .eps = o.eps,
       .step = -o.lr * scale / (1 - std::pow(o.beta1, t)),
       .adaptive = adaptive ? 1.0 : 0.0};
}

void prepare_rmsprop(const RmspropOptions& o, ScalarState& s, RmspropNumbers<double>& n) {
  s.next_step();
  n = {o.alpha, 1 - o.alpha, o.eps, -o.lr, o.momentum};
}

void prepare_rprop(const RpropOptions& o, ScalarState& s, RpropNumbers<double>& n) {
  s.next_step();
  n = {o.minus, o.plus, o.smallest, o.largest};
}

void prepare_adagrad(const AdagradOptions& o, ScalarState& s, AdagradNumbers<double>& n) {
  const double t = s.next_step();
  n = {o.eps, -o.lr / (1 + (t - 1) * o.lr_decay)};
}

void prepare_adadelta(const AdadeltaOptions& o, ScalarState& s, AdadeltaNumbers<double>& n) {
  s.next_step();
  n = {o.rho, 1 - o.rho, o.eps, -o.lr};
}

// Scalars: step, eta, mu.
void prepare_asgd(const AsgdOptions& o, ScalarState& s, AsgdNumbers<double>& n) {
  const double t = s.next_step();
  n = {1 - o.lambd * s[1], -s[1], s[2]};
  s.set(1, o.lr / std::pow(1 + o.lambd * o.lr * t, o.alpha));
  s.set(2, 1 / std::max(1.0, t - o.t0));
}

void prepare_lion(const LionOptions& o, ScalarState&, LionNumbers<double>& n) {
  n = {o.beta1, 1 - o.beta1, o.beta2, 1 - o.beta2, -o.lr};
}

void prepare_lerp(const LerpOptions& o, ScalarState&, LerpNumbers<double>& n) { n = {o.weight}; }

template <auto prepare>
struct Erased;
/// `prepare` for a table: options and numbers are plain doubles in the order of their structs.
template <class Options, class Numbers, void (*prepare)(const Options&, ScalarState&, Numbers&)>
struct Erased<prepare> {
  static void call(const double* options, ScalarState& scalars, double* numbers) {
    Options o;
    Numbers n;
    std::memcpy(&o, options, sizeof o);
    prepare(o, scalars, n);
    std::memcpy(numbers, &n, sizeof n);
  }
};

using Names = std::vector<const char*>;

template <auto prepare>
Rule row(const char* name, void (*kernel)(void* const*, const UpdateTensors&), Names states,
         Names scalars, Names options) {
  return {name,
          kernel,
          std::move(states),
          std::move(scalars),
          std::move(options),
          &Erased<prepare>::call};
}

std::vector<Rule> make_table() {
  const Names step = {"step"}, moments = {"exp_avg", "exp_avg_sq"};
  const Names sgd = {"lr", "momentum", "dampening", "nesterov"};
  const Names adam = {"lr", "beta1", "beta2", "eps"};
  const Names rmsprop = {"lr", "alpha", "eps", "momentum"};
  return {
      row<&prepare_sgd>("sgd", &update_sgd, {}, {}, sgd),
      row<&prepare_sgd_momentum>("sgd_momentum", &update_sgd_momentum, {"momentum_buffer"}, {},
                                 sgd),
      row<&prepare_adam>("adam", &update_adam, moments, step, adam),
      row<&prepare_adam>("adam_amsgrad", &update_adam_amsgrad,
                         {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}, step, adam),
      row<&prepare_adamax>("adamax", &update_adamax, {"exp_avg", "exp_inf"}, step, adam),
      row<&prepare_nadam>("nadam", &update_nadam, moments, {"step", "mu_product"},
                          {"lr", "beta1", "beta2", "eps", "momentum_decay"}),
      row<&prepare_radam>("radam", &update_radam, moments, step, adam),
      row<&prepare_rmsprop>("rmsprop", &update_rmsprop, {"square_avg"}, step, rmsprop),
      row<&prepare_rmsprop>("rmsprop_momentum", &update_rmsprop_momentum,
                            {"square_avg", "momentum_buffer"}, step, rmsprop),
      row<&prepare_rmsprop>("rmsprop_centered", &update_rmsprop_centered,
                            {"square_avg", "grad_avg"}, step, rmsprop),
      row<&prepare_rmsprop>("rmsprop_centered_momentum", &update_rmsprop_centered_momentum,
                            {"square_avg", "grad_avg", "momentum_buffer"}, step, rmsprop),
      row<&prepare_rprop>("rprop", &update_rprop, {"prev", "step_size"}, step,
                          {"eta_minus", "eta_plus", "smallest_step", "largest_step"}),
      row<&prepare_adagrad>("adagrad", &update_adagrad, {"sum"}, step, {"lr", "lr_decay", "eps"}),
      row<&prepare_adadelta>("adadelta", &update_adadelta, {"square_avg", "acc_delta"}, step,
                             {"lr", "rho", "eps"}),
      row<&prepare_asgd>("asgd", &update_asgd, {"ax"}, {"step", "eta", "mu"},
                         {"lr", "lambd", "alpha", "t0"}),
      row<&prepare_lion>("lion", &update_lion, {"exp_avg"}, {}, {"lr", "beta1", "beta2"}),
      row<&prepare_lerp>("lerp", &update_lerp, {}, {}, {"weight"}),
  };
}

const std::vector<Rule>& table() {
  static const std::vector<Rule> rules = make_table();
  return rules;
}

}  // namespace

ScalarState::ScalarState(std::span<const Tensor* const> tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = *tensors[i];
    single_[i] = tensor.dtype() == DType::Float32;
    values_[i] = single_[i] ? double{*tensor.data_ptr<float>()} : *tensor.data_ptr<double>();
  }
}

std::span<const Rule> all_rules() { return table(); }

const Rule& find_rule(std::string_view name) {
  for (const Rule& rule : table()) {
    if (rule.name == name) return rule;
  }
  throw ValueError(core::text("there is no optimizer rule named '", std::string(name), "'"));
}

}  // namespace tapegrad::optim
