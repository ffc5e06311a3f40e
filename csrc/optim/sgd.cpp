#include "optim/sgd.h"

#include "core/text.h"
#include "optim/update.h"
#include "tapegrad/error.h"

namespace tapegrad {
namespace optim {

void sgd_(TensorRefs params, TensorList grads, TensorRefs momentum_buffers,
          std::span<const uint8_t> first, const SGDOptions& options) {
  UpdateList list("sgd_", params, grads);
  if (options.momentum != 0) list.add_state("momentum buffer", momentum_buffers);
  if (!first.empty() && first.size() != params.size()) {
    throw ValueError(core::text("sgd_: first has ", first.size(), " entries for ", params.size(),
                                " parameters"));
  }
  list.run([&](const kernels::UpdateTensors& tensors, const core::Operand* operands,
               std::span<const Update> updates) {
    kernels::SgdParameters parameters{tensors,           {},
                                      options.lr,        options.momentum,
                                      options.dampening, options.weight_decay,
                                      options.nesterov,  options.maximize};
    for (size_t t = 0; t < updates.size(); ++t) {
      parameters.first[t] = !first.empty() && first[static_cast<size_t>(updates[t].index)] != 0;
    }
    launch_array(&kernels::sgd_update, operands, parameters);
  });
}

}  // namespace optim

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
      first[i] = 1;
    }
    refs.push_back(&params()[i]);
    buffer_refs.push_back(&buffers[i]);
  }
  optim::sgd_(refs, grads, buffer_refs, first, options_);
  momentum_buffers_ = std::move(buffers);
}

}  // namespace tapegrad
