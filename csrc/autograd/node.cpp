#include "autograd/node.h"

#include <pthread.h>

#include <mutex>
#include <new>

#include "autograd/anomaly.h"
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

NodeHooks::NodeHooks() = default;
NodeHooks::~NodeHooks() = default;

void Node::take_number() {
  static std::atomic<uint64_t> counter{0};
  sequence_ = counter.fetch_add(1, std::memory_order_relaxed);
#ifndef NDEBUG
  for (const Edge& edge : edges) {
    if (edge.node && edge.node->sequence_ >= sequence_) std::abort();
  }
#endif
  if (core::thread_state.watch & core::kWatchAnomaly) [[unlikely]]
    note_recording(*this);
}

NodeHooks& Node::make_hooks() {
  if (!hooks_) hooks_ = std::make_unique<NodeHooks>();
  return *hooks_;
}

namespace {

// A mutex in every node would cost 40 bytes; a collision of two nodes costs a moment of waiting.
std::mutex mutexes[64];

// In a forked child, those held by threads that do not exist there are made anew.
void after_fork_in_child() {
  for (std::mutex& mutex : mutexes) new (&mutex) std::mutex;
}
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);

}  // namespace

std::mutex& Node::mutex_of(const Node* node) {
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

Tensor Pull::grad_or_zeros(int output) const {
  if (grads_[output].defined()) return grads_[output];
  const OutputInfo& info = node_.outputs[output];
  return zeros(info.sizes(), info.dtype());
}

}  // namespace tapegrad::autograd
