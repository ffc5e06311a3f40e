// Optimizers: rules that update parameters from their gradients. Names, defaults and formulas are
// PyTorch's; each step is one fused pass over all parameters. Knows how gradients are kept
// (Tensor::grad), not how they are made.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tapegrad/export.h"
#include "tapegrad/tensor.h"

namespace tapegrad {

/// What all optimizers share. Parameters are handles: the caller's tensors see the updates.
class TAPEGRAD_API Optimizer {
 public:
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Updates all parameters that have a gradient. Records nothing. Throws ShapeError, DTypeError or
  /// ValueError before anything is changed.
  virtual void step() = 0;
  /// Drops the gradients of all parameters.
  void zero_grad();
  const std::vector<Tensor>& params() const { return params_; }

 protected:
  /// Throws ValueError unless the parameters are distinct floating-point leaves, at least one.
  Optimizer(const char* name, std::vector<Tensor> params);
  /// The gradient of every parameter, undefined where there is none.
  std::vector<Tensor> gradients() const;

 private:
  std::vector<Tensor> params_;
};

/// What all optimizers share whose step is one fused update by a rule: the state, made at the first
/// update of a parameter.
class TAPEGRAD_API FusedOptimizer : public Optimizer {
 public:
  ~FusedOptimizer() override;
  void step() override;

 protected:
  /// What the next step does: the rule's name (optim/rules.h) and its hyperparameters, in its
  /// order.
  struct Step {
    const char* rule;
    std::vector<double> options;
    double lr = 0;
    double weight_decay = 0;
    bool decoupled = false;  ///< weight decay shrinks the parameter instead of joining the gradient
    bool maximize = false;
    /// Values that state begins with, where they are not 0.
    std::vector<std::pair<std::string, double>> start = {};
  };
  FusedOptimizer(const char* name, std::vector<Tensor> params);
  /// Throws ValueError where an option is out of range.
  virtual Step next_step() const = 0;

 private:
  const char* name_;
  std::map<std::string, std::vector<Tensor>>
      states_;  // by parameter; undefined until it is updated
};

/// An optimizer with the hyperparameters `Options`, whose members are named as PyTorch's.
///
///   tapegrad::SGD optimizer(parameters, {.lr = 0.1, .momentum = 0.9});
///   optimizer.zero_grad();
///   loss.backward();
///   optimizer.step();
template <class Options>
class OptimizerWith : public FusedOptimizer {
 public:
  /// Throws ValueError on options out of range.
  explicit OptimizerWith(std::vector<Tensor> params, Options options = {});
  ~OptimizerWith() override;
  /// May be changed between steps.
  Options& options() { return options_; }

 private:
  Step next_step() const override;
  Options options_;
};

/// Gradient descent with momentum (Sutskever et al., 2013), dampening and weight decay:
/// b = momentum b + (1 - dampening) g (g at first), p -= lr b, or lr (g + momentum b) with
/// nesterov.
struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool maximize = false;
};

/// Adam (Kingma and Ba, 2015): with m and v the running means of g and g^2 under beta1 and beta2,
/// corrected for their start at 0, p -= lr m / (sqrt(v) + eps). With amsgrad v is its maximum so
/// far.
struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool amsgrad = false;
  bool maximize = false;
  bool decoupled_weight_decay = false;  ///< shrink the parameter itself instead of adding to g
};

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
  bool amsgrad = false;
  bool maximize = false;
};

/// Adam with the largest recent gradient in place of the mean square (Kingma and Ba, 2015).
struct AdamaxOptions {
  double lr = 2e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool maximize = false;
};

/// Adam with Nesterov's look ahead (Dozat, 2016).
struct NAdamOptions {
  double lr = 2e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum_decay = 4e-3;
  bool decoupled_weight_decay = false;
  bool maximize = false;
};

/// Adam without adaptive steps until the mean square is worth something (Liu et al., 2020).
struct RAdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled_weight_decay = false;
  bool maximize = false;
};

/// Gradients over the root of their running mean square (Tieleman and Hinton, 2012).
struct RMSpropOptions {
  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;
  bool maximize = false;
};

/// A step size for each element, steered by signs (Riedmiller and Braun, 1993).
struct RpropOptions {
  double lr = 1e-2;
  double eta_minus = 0.5;
  double eta_plus = 1.2;
  double smallest_step = 1e-6;
  double largest_step = 50;
  bool maximize = false;
};

/// Gradients over the root of the sum of their squares (Duchi et al., 2011).
struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;
  double weight_decay = 0;
  double initial_accumulator_value = 0;
  double eps = 1e-10;
  bool maximize = false;
};

/// Steps as large as recent ones, against the size of recent gradients (Zeiler, 2012).
struct AdadeltaOptions {
  double lr = 1;
  double rho = 0.9;
  double eps = 1e-6;
  double weight_decay = 0;
  bool maximize = false;
};

/// Gradient descent with decaying rate and averaged parameters (Polyak and Juditsky, 1992).
struct ASGDOptions {
  double lr = 1e-2;
  double lambd = 1e-4;
  double alpha = 0.75;
  double t0 = 1e6;
  double weight_decay = 0;
  bool maximize = false;
};

/// The sign of a mean of gradients (Chen et al., 2023); weight decay is decoupled.
struct LionOptions {
  double lr = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;
  bool maximize = false;
};

extern template class TAPEGRAD_API OptimizerWith<SGDOptions>;
extern template class TAPEGRAD_API OptimizerWith<AdamOptions>;
extern template class TAPEGRAD_API OptimizerWith<AdamWOptions>;
extern template class TAPEGRAD_API OptimizerWith<AdamaxOptions>;
extern template class TAPEGRAD_API OptimizerWith<NAdamOptions>;
extern template class TAPEGRAD_API OptimizerWith<RAdamOptions>;
extern template class TAPEGRAD_API OptimizerWith<RMSpropOptions>;
extern template class TAPEGRAD_API OptimizerWith<RpropOptions>;
extern template class TAPEGRAD_API OptimizerWith<AdagradOptions>;
extern template class TAPEGRAD_API OptimizerWith<AdadeltaOptions>;
extern template class TAPEGRAD_API OptimizerWith<ASGDOptions>;
extern template class TAPEGRAD_API OptimizerWith<LionOptions>;

using SGD = OptimizerWith<SGDOptions>;
using Adam = OptimizerWith<AdamOptions>;
using AdamW = OptimizerWith<AdamWOptions>;
using Adamax = OptimizerWith<AdamaxOptions>;
using NAdam = OptimizerWith<NAdamOptions>;
using RAdam = OptimizerWith<RAdamOptions>;
using RMSprop = OptimizerWith<RMSpropOptions>;
using Rprop = OptimizerWith<RpropOptions>;
using Adagrad = OptimizerWith<AdagradOptions>;
using Adadelta = OptimizerWith<AdadeltaOptions>;
using ASGD = OptimizerWith<ASGDOptions>;
using Lion = OptimizerWith<LionOptions>;

}  // namespace tapegrad
