#include "autograd/node.h"

#include "autograd/lifted.h"
#include "autograd/meta.h"
#include "core/text.h"
#include "core/thread_state.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::autograd {

void OutputInfo::set(const Tensor& tensor) {
  if (ndim_ > kInline) delete[] heap_;
  const IntSpan sizes = tensor->sizes();
  dtype_ = tensor->dtype();
  ndim_ = static_cast<uint8_t>(sizes.size());
  defined_ = true;
  int64_t* to = inline_;
  if (ndim_ > kInline) to = heap_ = new int64_t[ndim_];
  for (size_t i = 0; i < sizes.size(); ++i) to[i] = sizes[i];
}

void SavedTensor::save_input(const Tensor& tensor, int index) {
  impl_ = tensor.impl();
  core::retain(impl_);
  version_ = impl_->version();
  index_ = static_cast<uint16_t>(index);
  is_output_ = false;
}

void SavedTensor::save_output(const Tensor& tensor, int index) {
  Tensor alias = plain_alias(tensor);
  copy_tangents(alias, tensor);
  impl_ = alias.leak();
  version_ = impl_->version();
  index_ = static_cast<uint16_t>(index);
  is_output_ = true;
}

void SavedTensor::reset() {
  if (impl_) core::release(std::exchange(impl_, nullptr));
}

Node::~Node() = default;

std::string Node::backward_name(const char* op) {
  std::string result;
  bool upper = true;
  for (; *op; ++op) {
    if (*op == '_') {
      upper = true;
      continue;
    }
    const bool raise = upper && *op >= 'a' && *op <= 'z';
    result += raise ? static_cast<char>(*op - 'a' + 'A') : *op;
    upper = false;
  }
  return result + "Backward";
}

void Node::release() {
  saved.clear();
  released_ = true;
}

void Node::take_number() {
  static std::atomic<uint64_t> counter{0};
  sequence_ = counter.fetch_add(1, std::memory_order_relaxed);
#ifndef NDEBUG
  for (const Edge& edge : edges) {
    if (edge.node && edge.node->sequence_ >= sequence_) std::abort();
  }
#endif
}

NodeHooks& Node::make_hooks() {
  if (!hooks_) hooks_ = std::make_unique<NodeHooks>();
  return *hooks_;
}

std::mutex& Node::mutex_of(const Node* node) {
  // A mutex in every node would cost 40 bytes; a collision of two nodes costs a moment of waiting.
  static std::mutex mutexes[64];
  return mutexes[(reinterpret_cast<uintptr_t>(node) >> 6) % 64];
}

void Node::destroy() noexcept {
  // A chain of a million nodes must not become a million nested destructors: a node that dies while
  // another is being destroyed on this thread waits in a list, threaded through the sequence
  // numbers that nobody needs any more.
  thread_local Node* waiting = nullptr;
  thread_local bool busy = false;
  sequence_ = reinterpret_cast<uintptr_t>(waiting);
  waiting = this;
  if (busy) return;
  busy = true;
  while (waiting) {
    Node* node = waiting;
    waiting = reinterpret_cast<Node*>(node->sequence_);  // NOLINT(performance-no-int-to-ptr)
    delete node;
  }
  busy = false;
}

Tensor Node::unpack(const SavedTensor& saved_tensor) const {
  Tensor tensor = Tensor::share(saved_tensor.impl());
  if (tensor->version() != saved_tensor.version()) {
    throw GradError(core::text(
        name(),
        ": one of the variables needed for gradient computation has been modified by an inplace "
        "operation: the ",
        core::describe(tensor), " saved as ", saved_tensor.is_output() ? "output " : "input ",
        saved_tensor.index(), " is at version ", tensor->version(), "; expected version ",
        saved_tensor.version(),
        " instead. Make the change out of place, or clone() the tensor before it"));
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

namespace {

const SavedTensor& find_saved(const Node& node, bool is_output, int index) {
  for (const SavedTensor& saved : node.saved) {
    if (saved.is_output() == is_output && saved.index() == index) return saved;
  }
  if (node.released()) {
    std::string made = node.outputs.size() > 0 && node.outputs[0].defined()
                           ? core::text(" (it made the ", dtype_name(node.outputs[0].dtype()),
                                        " tensor of shape ", shape_string(node.outputs[0].sizes()),
                                        ", tape number ", node.sequence(), ")")
                           : std::string();
    throw GradError(core::text(
        "Trying to backward through the graph a second time: the tensors that ", node.name(), made,
        " had saved were freed by the first backward. If a loss is used twice, sum the losses and "
        "call backward once; if "
        "a result is carried from one step to the next, detach() it; retain_graph=True keeps the "
        "graph when two passes "
        "over it are meant"));
  }
  throw GradError(core::text(node.name(), ": reads ", is_output ? "output " : "input ", index,
                             ", which its rule did not ask to save"));
}

}  // namespace

Tensor Pull::input(int index) const { return node_.unpack(find_saved(node_, false, index)); }
Tensor Pull::output(int index) const { return node_.unpack(find_saved(node_, true, index)); }

Tensor Pull::grad_or_zeros(int output) const {
  if (grads_[output].defined()) return grads_[output];
  const OutputInfo& info = node_.outputs[output];
  return zeros(info.sizes(), info.dtype());
}

}  // namespace tapegrad::autograd
