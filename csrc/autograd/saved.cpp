// Tensors that nodes keep for the backward pass: saving, packing by hooks, taking out again.
#include "autograd/saved.h"

#include "autograd/anomaly.h"
#include "autograd/entry.h"
#include "autograd/lifted.h"
#include "autograd/meta.h"
#include "core/text.h"
#include "core/thread_state.h"
#include "tapegrad/error.h"

namespace tapegrad {

PackedTensor::~PackedTensor() = default;

namespace {

struct HookStack {
  std::vector<std::shared_ptr<PackHook>> hooks;
  std::string disabled;  // why no hook may be pushed
};

HookStack& hook_stack() {
  thread_local HookStack stack;
  return stack;
}

void set_watch(uint8_t bit, bool value) {
  uint8_t& watch = core::thread_state.watch;
  watch = static_cast<uint8_t>(value ? watch | bit : watch & ~bit);
}

}  // namespace

void push_saved_tensor_hook(PackHook hook) {
  HookStack& stack = hook_stack();
  if (!stack.disabled.empty()) throw GradError(stack.disabled);
  stack.hooks.push_back(std::make_shared<PackHook>(std::move(hook)));
  set_watch(core::kWatchPack, true);
}

void pop_saved_tensor_hook() {
  HookStack& stack = hook_stack();
  if (stack.hooks.empty()) throw GradError("pop_saved_tensor_hook: no hook is active");
  const std::shared_ptr<PackHook> last = std::move(stack.hooks.back());
  stack.hooks.pop_back();
  set_watch(core::kWatchPack, !stack.hooks.empty());
}

std::string disable_saved_tensor_hooks(const std::string& message) {
  HookStack& stack = hook_stack();
  if (!message.empty() && !stack.hooks.empty()) throw GradError(message);
  return std::exchange(stack.disabled, message);
}

namespace autograd {

QuietGuard::QuietGuard(uint8_t off)
    : previous_(std::exchange(core::thread_state.watch,
                              static_cast<uint8_t>(core::thread_state.watch & ~off))) {}
QuietGuard::~QuietGuard() { core::thread_state.watch = previous_; }

namespace {

/// Hooks see a tensor at one level; its place on the tapes of other levels would be lost.
void refuse_other_tapes(const Tensor& tensor) {
  constexpr uint16_t kTracked = TensorImpl::kNeedsGrad | TensorImpl::kHasTangent;
  bool lost = innermost_grad_level() > level_of(tensor) && tensor->has(kTracked);
  for (Tensor inner = tensor; inner->has(TensorImpl::kBatched);) {
    inner = lifted(inner).inner;
    lost |= inner->has(kTracked);
  }
  if (!lost) return;
  throw UnsupportedError(
      "saved_tensors_hooks: hooks, and checkpoint with them, work inside one derivative of func, "
      "not inside nested ones; take the higher derivatives with autograd.grad(create_graph=True)");
}

}  // namespace

bool SavedTensor::pack(const Tensor& tensor, int index, bool is_output) {
  if (tensor->has(TensorImpl::kWrappedNumber)) return false;
  refuse_other_tapes(tensor);
  const std::shared_ptr<PackHook> hook = hook_stack().hooks.back();
  const uint32_t version = tensor->version();
  std::unique_ptr<PackedTensor> packed;
  {
    const NoGradGuard no_grad;
    const QuietGuard quiet;  // what a hook computes is not packed in turn
    packed = (*hook)(tensor);
  }
  if (!packed) throw GradError("saved_tensors_hooks: the pack hook returned nothing");
  if (tensor->version() != version) {
    throw GradError(
        "A saved tensor pack hook is modifying its input in place. Tensors provided as input to "
        "pack hook cannot be modified by in-place operations, as the graph and its other users "
        "read them too; change a clone()");
  }
  auto slot = std::make_unique<PackedSlot>();
  slot->object = std::move(packed);
  slot->info.set(tensor);
  if (tensor->has(TensorImpl::kHasTangent)) {
    slot->tangents = core::make_tensor({}, tensor->dtype());
    copy_tangents(slot->tangents, tensor);
  }
  packed_ = slot.release();
  index_ = static_cast<uint16_t>(index);
  is_output_ = is_output;
  is_packed_ = true;
  return true;
}

void SavedTensor::save_output(const Tensor& tensor, int index) {
  Tensor alias = plain_alias(tensor);
  copy_tangents(alias, tensor);
  if ((core::thread_state.watch & core::kWatchPack) && pack(alias, index, true)) [[unlikely]]
    return;
  keep(alias.leak(), index, true);
}

void SavedTensor::reset() {
  if (is_packed_) {
    is_packed_ = false;
    delete std::exchange(packed_, nullptr);
  } else if (impl_) {
    core::release(std::exchange(impl_, nullptr));
  }
}

namespace {

[[noreturn]] void refuse_changed(const Node& node, const SavedTensor& saved, const Tensor& tensor) {
  throw GradError(core::text(
      node.name(),
      ": one of the variables needed for gradient computation has been modified by an inplace "
      "operation: the ",
      core::describe(tensor), " saved as ", saved.is_output() ? "output " : "input ", saved.index(),
      " is at version ", tensor->version(), "; expected version ", saved.version(),
      " instead. Make the change out of place, or clone() the tensor before it",
      recorded_where(node)));
}

Tensor unpack_by_hook(const Node& node, const SavedTensor& saved) {
  const PackedSlot& packed = *saved.packed();
  Tensor tensor = packed.object->unpack();
  if (!tensor.defined() || !(tensor->sizes() == packed.info.sizes()) ||
      tensor->dtype() != packed.info.dtype()) {
    throw GradError(core::text(node.name(), ": the unpack hook returned ",
                               tensor.defined() ? core::describe(tensor) : std::string("no tensor"),
                               " for the ", dtype_name(packed.info.dtype()), " tensor of shape ",
                               shape_string(packed.info.sizes()), " saved as ",
                               saved.is_output() ? "output " : "input ", saved.index(),
                               "; it has to give back the shape and dtype that the pack hook got"));
  }
  if (!packed.tangents.defined()) return tensor;
  Tensor dual = plain_alias(tensor);
  copy_tangents(dual, packed.tangents);
  return dual;
}

const SavedTensor& find_saved(const Node& node, bool is_output, int index) {
  for (const SavedTensor& saved : node.saved) {
    if (saved.is_output() == is_output && saved.index() == index) return saved;
  }
  if (node.released()) refuse_released(node);
  throw GradError(core::text(node.name(), ": reads ", is_output ? "output " : "input ", index,
                             ", which its rule did not ask to save"));
}

}  // namespace

namespace {

struct KeepRule : Rule {
  static constexpr const char* name = "checkpoint";  // who uses it, for errors
  void pull(Pull&) const {}
};

}  // namespace

NodeRef keep_tensors(TensorList tensors) {
  std::vector<const Tensor*> pointers;
  for (const Tensor& tensor : tensors) pointers.push_back(&tensor);
  NodeRef node = NodeRef::adopt(new RuleNode<KeepRule>(KeepRule{}));
  finish(node, {pointers.data(), static_cast<int>(pointers.size())}, {~0u, 0}, nullptr, 0);
  // Unlike an operation's, these may be of several levels, each with its own tape.
  for (size_t i = 0; i < tensors.size(); ++i)
    node->edges[static_cast<int>(i)] = gradient_edge(tensors[i]);
  return node;
}

void refuse_released(const Node& node) {
  std::string made;
  if (node.outputs.size() > 0 && node.outputs[0].defined()) {
    made =
        core::text(" (it made the ", dtype_name(node.outputs[0].dtype()), " tensor of shape ",
                   shape_string(node.outputs[0].sizes()), ", tape number ", node.sequence(), ")");
  }
  std::string where = recorded_where(node);
  if (where.empty())
    where = ". Under autograd.detect_anomaly() this message says where it was made";
  throw GradError(core::text(
      "Trying to backward through the graph a second time: the tensors that ", node.name(), made,
      " had saved were freed by the first backward. If a loss is used twice, sum the losses and "
      "call backward once; if a result is carried from one step to the next, detach() it; "
      "retain_graph=True keeps the graph when two passes over it are meant",
      where));
}

Tensor Node::unpack(const SavedTensor& saved_tensor) const {
  Tensor tensor = saved_tensor.packed() ? unpack_by_hook(*this, saved_tensor)
                                        : Tensor::share(saved_tensor.impl());
  if (!saved_tensor.packed()) {
    if (tensor->version() != saved_tensor.version()) refuse_changed(*this, saved_tensor, tensor);
    if (hooks_ && hooks_->note) check_contents(*this, saved_tensor);
  }
  if (!core::thread_state.grad_enabled) return tensor;
  Node* self = const_cast<Node*>(this);
  Edge edge;
  if (saved_tensor.is_output()) {
    edge = {NodeRef::share(self), static_cast<uint32_t>(saved_tensor.index())};
  } else {
    edge = edges[saved_tensor.index()];
    if (lifted_ && !edge.node) return tensor;  // of a lower level: on its own tape
    const Edge now = gradient_edge(tensor);
    if (now.node.get() == edge.node.get() && now.output == edge.output) return tensor;
  }
  Tensor alias = plain_alias(tensor);
  if (edge.node) set_edge(alias, std::move(edge.node), edge.output);
  copy_tangents(alias, tensor);
  return alias;
}

Tensor Pull::saved(bool is_output, int index) const {
  const SavedTensor& saved = find_saved(node_, is_output, index);
  if (!saved.packed()) [[likely]]
    return node_.unpack(saved);
  for (const auto& [each, tensor] : unpacked_) {
    if (each == &saved) return tensor;
  }
  unpacked_.emplace_back(&saved, node_.unpack(saved));
  return unpacked_.back().second;
}

Tensor Pull::input(int index) const { return saved(false, index); }
Tensor Pull::output(int index) const { return saved(true, index); }

}  // namespace autograd
}  // namespace tapegrad
