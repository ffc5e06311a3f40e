// Optimizers: rules that update parameters from their gradients. Names, defaults and formulas are
// PyTorch's; each step is one fused pass over all parameters. Knows how gradients are kept
// (Tensor::grad), not how they are made.
#pragma once

#include <cstdint>
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

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool maximize = false;
};

/// Gradient descent with momentum (Sutskever et al., 2013), dampening and weight decay:
/// b = momentum b + (1 - dampening) g (g at first), p -= lr b, or lr (g + momentum b) with
/// nesterov.
///
///   tapegrad::SGD optimizer(parameters, {.lr = 0.1, .momentum = 0.9});
///   optimizer.zero_grad();
///   loss.backward();
///   optimizer.step();
class TAPEGRAD_API SGD : public Optimizer {
 public:
  /// Throws ValueError on options out of range.
  explicit SGD(std::vector<Tensor> params, SGDOptions options = {});
  ~SGD() override;
  void step() override;
  /// May be changed between steps.
  SGDOptions& options() { return options_; }

 private:
  SGDOptions options_;
  std::vector<Tensor> momentum_buffers_;  // undefined until the first update of the parameter
};

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

/// Adam (Kingma and Ba, 2015): with m and v the running means of g and g^2 under beta1 and beta2,
/// corrected for their start at 0, p -= lr m / (sqrt(v) + eps). With amsgrad v is its maximum so
/// far.
class TAPEGRAD_API Adam : public Optimizer {
 public:
  /// Throws ValueError on options out of range.
  explicit Adam(std::vector<Tensor> params, AdamOptions options = {});
  ~Adam() override;
  void step() override;
  /// May be changed between steps.
  AdamOptions& options() { return options_; }

 protected:
  Adam(const char* name, std::vector<Tensor> params, AdamOptions options);

 private:
  struct State {
    Tensor step, exp_avg, exp_avg_sq, max_exp_avg_sq;
  };
  AdamOptions options_;
  std::vector<State> states_;  // undefined until the first update of the parameter
};

/// Adam's options with a weight decay of 0.01 that shrinks the parameter itself.
struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
  bool amsgrad = false;
  bool maximize = false;
};

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019).
class TAPEGRAD_API AdamW : public Adam {
 public:
  explicit AdamW(std::vector<Tensor> params, AdamWOptions options = {});
  ~AdamW() override;
};

}  // namespace tapegrad
