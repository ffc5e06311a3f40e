#include "autograd/meta.h"

#include <algorithm>

#include "autograd/as_strided.h"
#include "autograd/entry.h"
#include "autograd/lifted.h"
#include "core/text.h"
#include "core/thread_state.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace autograd {

AccumulateGrad::AccumulateGrad(TensorImpl* leaf) : leaf_(leaf) {
  outputs.resize(1);
  leaf->references.fetch_add(1, std::memory_order_relaxed);
  outputs[0].set(Tensor::adopt(leaf));
  take_number();
}

void AccumulateGrad::pull(Pull&) {}

Tensor AccumulateGrad::leaf() const {
  const std::lock_guard lock(mutex_of(this));
  if (!leaf_) return {};
  // The leaf may be dying on another thread: only a count above zero can be raised.
  uint32_t count = leaf_->references.load(std::memory_order_relaxed);
  while (count != 0) {
    if (leaf_->references.compare_exchange_weak(count, count + 1, std::memory_order_acq_rel)) {
      return Tensor::adopt(leaf_);
    }
  }
  return {};
}

void AccumulateGrad::forget_leaf() {
  const std::lock_guard lock(mutex_of(this));
  leaf_ = nullptr;
}

void Meta::owner_dies(TensorImpl& owner) noexcept {
  if (!node) return;
  if (AccumulateGrad* accumulator = node->as_accumulator(); accumulator && leaf) {
    accumulator->forget_leaf();
  } else if (owner.has(TensorImpl::kRetainsGrad)) {
    const std::lock_guard lock(Node::mutex_of(node.get()));
    if (NodeHooks* hooks = node->hooks()) {
      std::erase_if(hooks->retainers, [&](const auto& entry) { return entry.second == &owner; });
    }
  }
}

Meta& meta(const Tensor& tensor) {
  TensorImpl* impl = tensor.impl();
  if (!impl->meta) impl->meta = new Meta;
  return *static_cast<Meta*>(impl->meta);
}

void set_edge(const Tensor& tensor, NodeRef node, uint32_t output) {
  Meta& m = meta(tensor);
  m.node = std::move(node);
  m.output = output;
  m.leaf = false;
  tensor->set(TensorImpl::kNeedsGrad, true);
  tensor->view_version = tensor->version();
}

void refresh_view(const Tensor& tensor) {
  TensorImpl* impl = tensor.impl();
  const Tensor base = Tensor::share(impl->base);
  if (const Meta* m = meta_or_null(tensor); m && m->custom_view && m->node) {
    throw GradError(core::text(
        "The base of a view that ", m->node->name(),
        " returned was modified in place: the view would lose the derivative of the custom "
        "Function. clone() the output of the custom Function"));
  }
  impl->view_version = impl->version();
  if ((base->flags() | impl->flags()) & TensorImpl::kHasTangent) refresh_tangents(tensor, base);
  if (level_of(base) > level_of(tensor)) lift_in_place(tensor, level_of(base));
  if (!base->has(TensorImpl::kNeedsGrad)) return;
  Edge edge = as_strided_edge(base, tensor);
  set_edge(tensor, std::move(edge.node), edge.output);
}

Edge gradient_edge(const Tensor& tensor) {
  if (!(entry_flags(tensor) & TensorImpl::kNeedsGrad)) return {};
  const Meta& m = meta(tensor);
  return {m.node, m.leaf ? 0 : m.output};
}

NodeRef grad_fn(const Tensor& tensor) {
  if (!(entry_flags(tensor) & TensorImpl::kNeedsGrad)) return {};
  const Meta& m = meta(tensor);
  return m.leaf ? NodeRef() : m.node;
}

}  // namespace autograd

// --- Tensor's side
// ---------------------------------------------------------------------------------------------------

bool Tensor::requires_grad() const {
  return (autograd::entry_flags(*this) & TensorImpl::kNeedsGrad) != 0;
}

bool Tensor::is_leaf() const {
  if (!requires_grad()) return true;
  return autograd::meta(*this).leaf;
}

Tensor& Tensor::set_requires_grad(bool value) {
  if (value == requires_grad()) return *this;
  if (!value) {
    if (!is_leaf()) {
      throw GradError(
          "requires_grad_: you can only change requires_grad flags of leaf variables. If you want "
          "to use a computed "
          "variable in a subgraph that doesn't require differentiation use var_no_grad = "
          "var.detach()");
    }
    impl_->set(TensorImpl::kNeedsGrad, false);
    return *this;
  }
  if (!is_floating_point(dtype())) {
    throw GradError(core::text(
        "requires_grad_: only floating-point tensors can require gradients, this one is ",
        core::describe(*this), "; convert it first, for example with .float()"));
  }
  if (impl_->has(TensorImpl::kInference) && !core::thread_state.inference) {
    throw GradError(
        "requires_grad_: setting requires_grad=True on an inference tensor outside InferenceMode "
        "is not "
        "allowed; clone() it first");
  }
  autograd::Meta& m = autograd::meta(*this);
  if (!m.node || !m.leaf) {
    m.node = autograd::NodeRef::adopt(new autograd::AccumulateGrad(impl_));
    m.leaf = true;
    m.output = 0;
  }
  impl_->set(TensorImpl::kNeedsGrad, true);
  return *this;
}

Tensor Tensor::grad() const {
  const autograd::Meta* m = autograd::meta_or_null(*this);
  return m ? m->grad : Tensor();
}

void Tensor::set_grad(const Tensor& value) {
  if (!value.defined()) {
    if (autograd::Meta* m = autograd::meta_or_null(*this)) m->grad = Tensor();
    return;
  }
  if (value.is_same(*this)) throw GradError("grad: can't assign a tensor as its own gradient");
  if (!(value.sizes() == sizes())) {
    throw ShapeError(core::text("grad: assigned a gradient of shape ", shape_string(value.sizes()),
                                " to a tensor of shape ", shape_string(sizes())));
  }
  if (value.dtype() != dtype()) {
    throw DTypeError(core::text("grad: assigned a ", dtype_name(value.dtype()), " gradient to a ",
                                dtype_name(dtype()), " tensor; convert it first"));
  }
  autograd::meta(*this).grad = value;
}

void Tensor::backward(const Tensor& gradient, bool retain_graph, bool create_graph) const {
  tapegrad::backward({this, 1}, {&gradient, 1},
                     {.retain_graph = retain_graph, .create_graph = create_graph});
}

Tensor Tensor::detach() const { return tapegrad::detach(*this); }

// --- modes
// -----------------------------------------------------------------------------------------------------------

bool is_grad_enabled() { return core::thread_state.grad_enabled; }
bool set_grad_enabled(bool enabled) {
  return std::exchange(core::thread_state.grad_enabled, enabled);
}
bool is_inference_mode_enabled() { return core::thread_state.inference; }
bool set_inference_mode(bool enabled) {
  core::thread_state.new_tensor_flags = enabled ? TensorImpl::kInference : 0;
  return std::exchange(core::thread_state.inference, enabled);
}

// --- hooks
// -----------------------------------------------------------------------------------------------------------

namespace {

int64_t next_hook_id() {
  static std::atomic<int64_t> counter{0};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

autograd::NodeRef node_for_hooks(const char* op, const Tensor& tensor) {
  if (!tensor.requires_grad()) {
    throw GradError(
        core::text(op, ": cannot register a hook on a tensor that doesn't require gradient"));
  }
  return autograd::gradient_edge(tensor).node;
}

}  // namespace

int64_t register_hook(const Tensor& tensor, std::function<Tensor(const Tensor&)> hook) {
  const autograd::Edge edge{node_for_hooks("register_hook", tensor),
                            autograd::gradient_edge(tensor).output};
  const std::lock_guard lock(autograd::Node::mutex_of(edge.node.get()));
  const int64_t id = next_hook_id();
  edge.node->make_hooks().tensor_hooks.push_back({id, edge.output, std::move(hook)});
  return id;
}

int64_t register_post_accumulate_grad_hook(const Tensor& leaf,
                                           std::function<void(const Tensor&)> hook) {
  const autograd::NodeRef node = node_for_hooks("register_post_accumulate_grad_hook", leaf);
  autograd::AccumulateGrad* accumulator = node->as_accumulator();
  if (!accumulator) {
    throw GradError(
        "register_post_accumulate_grad_hook: post accumulate grad hooks cannot be registered on "
        "non-leaf "
        "tensors; use register_hook");
  }
  const std::lock_guard lock(autograd::Node::mutex_of(accumulator));
  const int64_t id = next_hook_id();
  accumulator->post_hooks.emplace_back(id, std::move(hook));
  return id;
}

void remove_hook(const Tensor& tensor, int64_t id) {
  const autograd::Meta* m = autograd::meta_or_null(tensor);
  if (m && m->node) autograd::remove_hook(*m->node, id);
}

namespace autograd {

int64_t register_pre_hook(Node& node, NodePreHook hook) {
  const std::lock_guard lock(Node::mutex_of(&node));
  const int64_t id = next_hook_id();
  node.make_hooks().pre_hooks.emplace_back(id, std::move(hook));
  return id;
}

int64_t register_node_hook(Node& node, NodeHook hook) {
  const std::lock_guard lock(Node::mutex_of(&node));
  const int64_t id = next_hook_id();
  node.make_hooks().post_hooks.emplace_back(id, std::move(hook));
  return id;
}

void remove_hook(Node& node, int64_t id) {
  const std::lock_guard lock(Node::mutex_of(&node));
  if (NodeHooks* hooks = node.hooks()) {
    std::erase_if(hooks->tensor_hooks, [id](const auto& entry) { return entry.id == id; });
    std::erase_if(hooks->pre_hooks, [id](const auto& entry) { return entry.first == id; });
    std::erase_if(hooks->post_hooks, [id](const auto& entry) { return entry.first == id; });
  }
  if (AccumulateGrad* accumulator = node.as_accumulator()) {
    std::erase_if(accumulator->post_hooks, [id](const auto& entry) { return entry.first == id; });
  }
}

}  // namespace autograd

void retain_grad(const Tensor& tensor) {
  if (!tensor.requires_grad())
    throw GradError("retain_grad: can't retain_grad on Tensor that has requires_grad=False");
  if (tensor.is_leaf() || tensor->has(TensorImpl::kRetainsGrad)) return;
  const autograd::Edge edge = autograd::gradient_edge(tensor);
  const std::lock_guard lock(autograd::Node::mutex_of(edge.node.get()));
  edge.node->make_hooks().retainers.emplace_back(edge.output, tensor.impl());
  tensor->set(TensorImpl::kRetainsGrad, true);
}

}  // namespace tapegrad
