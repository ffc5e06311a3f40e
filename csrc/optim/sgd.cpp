// Stochastic gradient descent for C++ programs.
#include "core/text.h"
#include "kernels/copy.h"
#include "optim/update.h"
#include "tapegrad/error.h"
#include "tapegrad/optim.h"

namespace tapegrad {
namespace {

void check(const SGDOptions& options) {
  const auto require = [](bool ok, const char* what, double value) {
    if (!ok) throw ValueError(core::text("SGD: Invalid ", what, ": ", value));
  };
  require(options.lr >= 0, "learning rate", options.lr);
  require(options.momentum >= 0, "momentum value", options.momentum);
  require(options.weight_decay >= 0, "weight_decay value", options.weight_decay);
  if (options.nesterov && (options.momentum <= 0 || options.dampening != 0)) {
    throw ValueError("SGD: Nesterov momentum requires a momentum and zero dampening");
  }
}

}  // namespace

SGD::SGD(std::vector<Tensor> params, SGDOptions options)
    : Optimizer("SGD", std::move(params)), options_(options) {
  check(options_);
  momentum_buffers_.resize(this->params().size());
}
SGD::~SGD() = default;

void SGD::step() {
  check(options_);
  const std::vector<Tensor> grads = gradients();
  std::vector<Tensor> buffers = momentum_buffers_;
  std::vector<const Tensor*> refs, buffer_refs;
  std::vector<uint8_t> first(params().size(), 0);
  for (size_t i = 0; i < params().size(); ++i) {
    if (options_.momentum != 0 && grads[i].defined() && !buffers[i].defined()) {
      buffers[i] = core::make_like(params()[i], params()[i].dtype());
      kernels::fill_values(buffers[i], 0);
      first[i] = 1;
    }
    refs.push_back(&params()[i]);
    buffer_refs.push_back(&buffers[i]);
  }
  const bool plain = options_.momentum == 0;
  static const optim::Rule& descent = optim::find_rule("sgd");
  static const optim::Rule& with_momentum = optim::find_rule("sgd_momentum");
  const optim::TensorRefs states[] = {buffer_refs};
  const double numbers[] = {options_.lr, options_.momentum, options_.dampening,
                            options_.nesterov ? 1.0 : 0.0};
  optim::update_(
      plain ? descent : with_momentum, "SGD", refs, grads,
      {.states = std::span(states).first(plain ? 0 : 1), .scalars = {}, .first = first},
      {.options = numbers, .common = {options_.maximize ? -1.0 : 1.0, options_.weight_decay, 1}});
  momentum_buffers_ = std::move(buffers);
}

}  // namespace tapegrad
