// The optimizers against their formulas written out in plain doubles: layouts, dtypes, threads,
// errors that change nothing.
#include <cmath>
#include <vector>

#include "check.h"
#include "core/tensor_impl.h"
#include "optim/update.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/optim.h"
#include "tapegrad/parallel.h"

namespace {

using namespace tapegrad;

/// Deterministic values in [-1, 1].
double sample(int64_t i, int salt) {
  return std::sin(static_cast<double>(i) * 0.7 + static_cast<double>(salt) * 1.3);
}
Tensor samples(IntSpan size, int salt, DType dtype = DType::Float64) {
  Tensor values = empty(size, DType::Float64);
  for (int64_t i = 0; i < values.numel(); ++i) values.data_ptr<double>()[i] = sample(i, salt);
  return to(values, dtype);
}
std::vector<double> numbers(const Tensor& tensor) {
  const Tensor values = contiguous(to(tensor.detach(), DType::Float64));
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

struct SgdReference {
  SGDOptions o;
  double buffer = 0;
  bool started = false;
  double operator()(double w, double g) {
    g = (o.maximize ? -g : g) + o.weight_decay * w;
    if (o.momentum != 0) {
      buffer = started ? o.momentum * buffer + (1 - o.dampening) * g : g;
      started = true;
      g = o.nesterov ? g + o.momentum * buffer : buffer;
    }
    return w - o.lr * g;
  }
};

struct AdamReference {
  AdamOptions o;
  double m = 0, v = 0, top = 0;
  int t = 0;
  double operator()(double w, double g) {
    ++t;
    g = o.maximize ? -g : g;
    if (o.decoupled_weight_decay) {
      w *= 1 - o.lr * o.weight_decay;
    } else {
      g += o.weight_decay * w;
    }
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    top = std::max(top, v);
    const double correction = std::sqrt(1 - std::pow(o.beta2, t));
    const double denominator = std::sqrt(o.amsgrad ? top : v) / correction + o.eps;
    return w - o.lr / (1 - std::pow(o.beta1, t)) * m / denominator;
  }
};

/// Runs `steps` updates of parameters in several shapes and layouts and compares with `reference`.
template <class Kind, class Options, class Reference>
void compare(Options options, Reference reference, DType dtype, double tolerance) {
  const std::vector<Tensor> shapes = {samples({3, 5}, 1, dtype), samples({}, 2, dtype),
                                      samples({0, 4}, 3, dtype), samples({1000}, 4, dtype),
                                      samples({7}, 5, dtype),    samples({2, 3, 2}, 6, dtype)};
  std::vector<Tensor> params;
  for (const Tensor& s : shapes) params.push_back(s.detach());
  // Same values in other layouts: dense but transposed, and with gaps.
  params.push_back(transpose(clone(transpose(samples({4, 6}, 7, dtype), 0, 1)), 0, 1).detach());
  params.push_back(slice(samples({10, 4}, 8, dtype), 1, 0, 4, 2).detach());
  std::vector<std::vector<double>> expected;
  std::vector<std::vector<Reference>> references;
  for (Tensor& p : params) {
    p.set_requires_grad(true);
    expected.push_back(numbers(p));
    references.emplace_back(static_cast<size_t>(p.numel()), reference);
  }
  Kind optimizer(params, options);
  for (int step = 0; step < 5; ++step) {
    for (size_t i = 0; i < params.size(); ++i) {
      Tensor g = samples(params[i].sizes(), 20 + step + static_cast<int>(i), dtype);
      if (step % 2 == 1 && g.dim() == 2) g = transpose(clone(transpose(g, 0, 1)), 0, 1);
      params[i].set_grad(g);
      const std::vector<double> values = numbers(g);
      for (size_t j = 0; j < values.size(); ++j) {
        expected[i][j] = references[i][j](expected[i][j], values[j]);
      }
    }
    optimizer.step();
  }
  for (size_t i = 0; i < params.size(); ++i) {
    const std::vector<double> got = numbers(params[i]);
    for (size_t j = 0; j < got.size(); ++j) CHECK_CLOSE(got[j], expected[i][j], tolerance);
  }
}

TEST(sgd_follows_its_formula_in_all_variants) {
  for (const SGDOptions& o :
       {SGDOptions{.lr = 0.1}, SGDOptions{.lr = 0.1, .momentum = 0.9},
        SGDOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.2},
        SGDOptions{.lr = 0.1, .momentum = 0.8, .weight_decay = 0.1, .nesterov = true},
        SGDOptions{.lr = 0.1, .weight_decay = 0.1, .maximize = true}}) {
    compare<SGD>(o, SgdReference{o}, DType::Float64, 1e-14);
    compare<SGD>(o, SgdReference{o}, DType::Float32, 2e-6);
    compare<SGD>(o, SgdReference{o}, DType::BFloat16, 0.05);
    compare<SGD>(o, SgdReference{o}, DType::Float16, 0.01);
  }
}

TEST(adam_follows_its_formula_in_all_variants) {
  for (AdamOptions o :
       {AdamOptions{.lr = 0.01}, AdamOptions{.lr = 0.01, .beta1 = 0.3, .beta2 = 0.9},
        AdamOptions{.lr = 0.01, .weight_decay = 0.1, .maximize = true},
        AdamOptions{.lr = 0.01, .beta2 = 0.5, .amsgrad = true}}) {
    for (const bool decoupled : {false, true}) {
      o.decoupled_weight_decay = decoupled;
      compare<Adam>(o, AdamReference{o}, DType::Float64, 1e-13);
      compare<Adam>(o, AdamReference{o}, DType::Float32, 1e-5);
      compare<Adam>(o, AdamReference{o}, DType::BFloat16, 0.05);
    }
  }
}

TEST(adamw_decays_the_parameter_itself_by_a_hundredth) {
  Tensor w = full({1}, 1.0, DType::Float64);
  w.set_requires_grad(true);
  w.set_grad(zeros({1}, DType::Float64));
  AdamW optimizer({w}, {.lr = 0.5});
  optimizer.step();
  CHECK_CLOSE(w.item().to_double(), 1 - 0.5 * 0.01, 1e-15);
}

/// One step of a fresh optimizer from w = 1 with the gradient 2, and a second with the gradient -1.
template <class Kind, class Options>
std::vector<double> two_steps(Options options) {
  Tensor w = full({1}, 1.0, DType::Float64);
  w.set_requires_grad(true);
  Kind optimizer({w}, options);
  std::vector<double> path;
  for (const double g : {2.0, -1.0}) {
    w.set_grad(full({1}, g, DType::Float64));
    optimizer.step();
    path.push_back(w.item().to_double());
  }
  return path;
}
void check_path(const std::vector<double>& got, double first, double second) {
  CHECK_CLOSE(got[0], first, 1e-12);
  CHECK_CLOSE(got[1], second, 1e-12);
}

TEST(the_other_optimizers_follow_their_formulas) {
  const double lr = 0.1;
  // Adamax: mean 0.2 / 0.1 over 2, then (0.18 - 0.1) / 0.19 over max(0.999 * 2, 1).
  check_path(two_steps<Adamax>(AdamaxOptions{.lr = lr, .eps = 0}), 1 - lr,
             1 - lr - lr * (0.08 / 0.19) / 1.998);
  const double square1 = 0.01 * 4, square2 = 0.99 * square1 + 0.01;
  check_path(two_steps<RMSprop>(RMSpropOptions{.lr = lr, .eps = 0}),
             1 - lr * 2 / std::sqrt(square1),
             1 - lr * 2 / std::sqrt(square1) + lr / std::sqrt(square2));
  const double way1 = 2 / std::sqrt(square1), way2 = 0.5 * way1 - 1 / std::sqrt(square2);
  check_path(two_steps<RMSprop>(RMSpropOptions{.lr = lr, .eps = 0, .momentum = 0.5}), 1 - lr * way1,
             1 - lr * way1 - lr * way2);
  // Centered: the variance of (0.02, 0.04), then of the next.
  const double mean2 = 0.99 * 0.02 - 0.01;
  check_path(
      two_steps<RMSprop>(RMSpropOptions{.lr = lr, .eps = 0, .centered = true}),
      1 - lr * 2 / std::sqrt(square1 - 0.02 * 0.02),
      1 - lr * 2 / std::sqrt(square1 - 0.02 * 0.02) + lr / std::sqrt(square2 - mean2 * mean2));
  check_path(two_steps<Rprop>(RpropOptions{.lr = lr}), 1 - lr, 1 - lr);  // turned: it waits
  check_path(two_steps<Adagrad>(AdagradOptions{.lr = lr, .initial_accumulator_value = 5, .eps = 0}),
             1 - lr * 2 / 3, 1 - lr * 2 / 3 + lr / std::sqrt(10));
  const double move1 = std::sqrt(0.5) / std::sqrt(0.4 + 0.5) * 2;
  const double moved = 0.1 * move1 * move1;
  const double move2 = std::sqrt(moved + 0.5) / std::sqrt(0.9 * 0.4 + 0.1 + 0.5);
  check_path(two_steps<Adadelta>(AdadeltaOptions{.lr = lr, .eps = 0.5}), 1 - lr * move1,
             1 - lr * move1 + lr * move2);
  check_path(two_steps<Lion>(LionOptions{.lr = lr, .weight_decay = 0.5}), 0.95 - lr,
             0.95 * (0.95 - lr) + lr);  // 0.9 * 0.02 - 0.1 is negative
  const double rate = static_cast<float>(0.25);
  const double rate2 = static_cast<float>(0.25 / std::pow(1 + 0.25, 0.75));
  check_path(two_steps<ASGD>(ASGDOptions{.lr = 0.25, .lambd = 1}), 0.75 - rate * 2,
             (0.75 - rate * 2) * (1 - rate2) + rate2);
  // RAdam begins with plain steps of the corrected mean.
  check_path(two_steps<RAdam>(RAdamOptions{.lr = lr}), 1 - lr * 2, 1 - lr * 2 - lr * 0.08 / 0.19);
  const double mu1 = 0.9 * (1 - 0.5 * std::pow(0.96, 0.004));
  const double mu2 = 0.9 * (1 - 0.5 * std::pow(0.96, 0.008));
  const double product = static_cast<float>(mu1);
  const std::vector<double> nadam = two_steps<NAdam>(NAdamOptions{.lr = lr, .eps = 0});
  CHECK_CLOSE(nadam[0],
              1 - lr * ((1 - mu1) / (1 - product) * 2 + mu2 / (1 - product * mu2) * 0.2) / 2,
              1e-12);
}

TEST(a_switch_between_steps_keeps_the_state) {
  Tensor w = full({1}, 1.0, DType::Float64);
  w.set_requires_grad(true);
  SGD optimizer({w}, {.lr = 1});
  const auto step = [&](double g) {
    w.set_grad(full({1}, g, DType::Float64));
    optimizer.step();
    return w.item().to_double();
  };
  CHECK_CLOSE(step(1), 0.0, 1e-15);
  optimizer.options().momentum = 0.5;
  optimizer.options().dampening = 0.5;
  CHECK_CLOSE(step(1), -1.0, 1e-15);  // the first buffer is the gradient
  CHECK_CLOSE(step(1), -2.0, 1e-15);
  optimizer.options().lr = -1;
  CHECK_THROWS(ValueError, "SGD: Invalid learning rate: -1", step(1));
  CHECK_CLOSE(w.item().to_double(), -2.0, 1e-15);
}

TEST(results_do_not_depend_on_the_number_of_threads) {
  const int before = get_num_threads();
  std::vector<std::vector<double>> results;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    std::vector<Tensor> params = {samples({70001}, 1, DType::Float32),
                                  samples({33}, 2, DType::Float32),
                                  samples({40000}, 3, DType::Float32)};
    for (Tensor& p : params) p.set_requires_grad(true);
    Adam adam(params, {.lr = 0.01});
    SGD sgd(params, {.lr = 0.01, .momentum = 0.9});
    for (int step = 0; step < 3; ++step) {
      for (Tensor& p : params) p.set_grad(samples(p.sizes(), 9 + step, DType::Float32));
      adam.step();
      sgd.step();
    }
    std::vector<double> all;
    for (const Tensor& p : params) {
      const std::vector<double> values = numbers(p);
      all.insert(all.end(), values.begin(), values.end());
    }
    results.push_back(all);
  }
  set_num_threads(before);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST(parameters_without_gradient_are_skipped_and_keep_no_state) {
  std::vector<Tensor> params = {samples({3}, 1), samples({3}, 2)};
  for (Tensor& p : params) p.set_requires_grad(true);
  const std::vector<double> before = numbers(params[0]);
  Adam optimizer(params, {.lr = 0.1});
  params[1].set_grad(samples({3}, 3));
  optimizer.step();
  CHECK(numbers(params[0]) == before);
  // The first step of the late one has the bias corrections of a first step: |change| is lr.
  params[0].set_grad(ones({3}, DType::Float64));
  optimizer.step();
  CHECK_CLOSE(numbers(params[0])[0], before[0] - 0.1, 1e-8);
}

TEST(an_error_changes_nothing) {
  std::vector<Tensor> params = {samples({3}, 1), samples({3}, 2)};
  const std::vector<Tensor> grads = {samples({3}, 3), samples({3}, 4, DType::Float32)};
  const std::vector<Tensor> state = {zeros({3}, DType::Float64), zeros({3}, DType::Float64)};
  const std::vector<const Tensor*> refs = {&params[0], &params[1]};
  const std::vector<const Tensor*> states = {&state[0], &state[1]};
  const std::vector<double> before = numbers(params[0]);
  const uint32_t version = params[0]->version();
  const auto update = [&](const char* name, const std::vector<Tensor>& with,
                          const std::vector<optim::TensorRefs>& lists,
                          const std::vector<optim::TensorRefs>& scalars) {
    const double options[] = {0.1, 0.9, 0.9, 0};
    optim::update_(optim::find_rule(name), "Test", refs, with,
                   {.states = lists, .scalars = scalars, .first = {}}, {.options = options});
  };
  CHECK_THROWS(DTypeError,
               "parameter 1 is a float64 tensor of shape (3,), but its gradient is a float32",
               update("sgd", grads, {}, {}));
  const std::vector<Tensor> good = {samples({3}, 3), samples({3}, 4)};
  const std::vector<Tensor> wrong = {zeros({3}, DType::Float64), zeros({4}, DType::Float64)};
  const std::vector<const Tensor*> wrong_refs = {&wrong[0], &wrong[1]};
  CHECK_THROWS(ShapeError, "its momentum_buffer is a float64 tensor of shape (4,)",
               update("sgd_momentum", good, {wrong_refs}, {}));
  CHECK_THROWS(DTypeError, "the step of parameter 0 must be a float32",
               update("adam", good, {states, states}, {states}));
  CHECK_THROWS(ValueError, "step has 0 entries",
               update("adam", good, {states, states}, {optim::TensorRefs()}));
  CHECK_THROWS(ValueError, "takes 2 lists of state, got 1", update("adam", good, {states}, {}));
  CHECK_THROWS(ValueError, "no optimizer rule named 'eve'", update("eve", good, {}, {}));
  CHECK(numbers(params[0]) == before);
  CHECK_EQ(params[0]->version(), version);
  CHECK_EQ(numbers(state[0])[0], 0.0);
}

TEST(impossible_arguments_are_refused) {
  Tensor w = samples({3}, 1);
  w.set_requires_grad(true);
  CHECK_THROWS(ValueError, "empty parameter list", SGD({}));
  CHECK_THROWS(ValueError, "appears twice", SGD({w, w}));
  CHECK_THROWS(ValueError, "non-leaf", SGD({w * Scalar(2)}));
  CHECK_THROWS(ValueError, "Invalid learning rate: -1", SGD({w}, {.lr = -1}));
  CHECK_THROWS(ValueError, "Nesterov", SGD({w}, {.nesterov = true}));
  CHECK_THROWS(ValueError, "beta parameter at index 1", Adam({w}, {.beta2 = 1}));
  CHECK_THROWS(ValueError, "AdamW: Invalid epsilon value", AdamW({w}, {.eps = -1}));
  CHECK_THROWS(ValueError, "NAdam: Invalid momentum_decay value",
               NAdam({w}, {.momentum_decay = -1}));
  CHECK_THROWS(ValueError, "RMSprop: Invalid alpha value", RMSprop({w}, {.alpha = -1}));
  CHECK_THROWS(ValueError, "Rprop: Invalid eta value: 0.9", Rprop({w}, {.eta_plus = 0.9}));
  CHECK_THROWS(ValueError, "Adagrad: Invalid lr_decay value", Adagrad({w}, {.lr_decay = -1}));
  CHECK_THROWS(ValueError, "Adadelta: Invalid rho value: 2", Adadelta({w}, {.rho = 2}));
  CHECK_THROWS(ValueError, "ASGD: Invalid weight_decay value", ASGD({w}, {.weight_decay = -1}));
  CHECK_THROWS(ValueError, "Lion: Invalid beta parameter at index 0", Lion({w}, {.beta1 = 1}));
}

TEST(a_step_counts_versions_and_spares_the_tape) {
  Tensor w = samples({3}, 1);
  w.set_requires_grad(true);
  const Tensor y = w * w;
  w.set_grad(ones({3}, DType::Float64));
  SGD optimizer({w}, {.lr = 0.1});
  optimizer.step();
  CHECK(w.is_leaf());
  CHECK_THROWS(GradError, "modified by an inplace operation",
               y.backward(ones({3}, DType::Float64)));
  optimizer.zero_grad();
  CHECK(!w.grad().defined());
}

}  // namespace
