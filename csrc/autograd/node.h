// Nodes of the tape: edges, saved tensors, metadata of the outputs, hooks, and the global number
// that orders them. Knows no operation; rules derive from it through autograd/entry.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor_impl.h"
#include "core/thread_state.h"
#include "tapegrad/autograd.h"
#include "tapegrad/tensor.h"

namespace tapegrad::autograd {

class Node;

/// An owning pointer to a node.
class NodeRef {
 public:
  NodeRef() = default;
  static NodeRef adopt(Node* node) {
    NodeRef ref;
    ref.node_ = node;
    return ref;
  }
  static NodeRef share(Node* node);
  NodeRef(const NodeRef& other);
  NodeRef(NodeRef&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  NodeRef& operator=(NodeRef other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~NodeRef();
  Node* get() const { return node_; }
  Node* operator->() const { return node_; }
  Node& operator*() const { return *node_; }
  explicit operator bool() const { return node_ != nullptr; }
  Node* leak() { return std::exchange(node_, nullptr); }

 private:
  Node* node_ = nullptr;
};

/// Where a gradient goes: output number `output` of `node`.
struct Edge {
  NodeRef node;
  uint32_t output = 0;
};

/// Up to N elements inline, more on the heap; sized once.
template <class T, int N>
class FixedArray {
 public:
  FixedArray() : heap_(nullptr) {}
  FixedArray(const FixedArray&) = delete;
  FixedArray& operator=(const FixedArray&) = delete;
  ~FixedArray() { clear(); }
  void resize(int count) {
    clear();
    if (count > N) {
      heap_ = new T[static_cast<size_t>(count)];
    } else {
      for (int i = 0; i < count; ++i) new (&inline_[i]) T();
    }
    count_ = count;
  }
  void clear() {
    if (count_ > N) {
      delete[] heap_;
    } else {
      for (int i = 0; i < count_; ++i) inline_[i].~T();
    }
    count_ = 0;
  }
  int size() const { return count_; }
  T* data() { return count_ > N ? heap_ : inline_; }
  const T* data() const { return count_ > N ? heap_ : inline_; }
  T& operator[](int i) { return data()[i]; }
  const T& operator[](int i) const { return data()[i]; }
  T* begin() { return data(); }
  T* end() { return data() + count_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + count_; }

 private:
  int count_ = 0;
  union {
    T inline_[N];
    T* heap_;
  };
};

/// Shape and dtype of a node's output, against which the engine checks and reduces incoming
/// gradients.
class OutputInfo {
 public:
  OutputInfo() = default;
  OutputInfo(const OutputInfo&) = delete;
  OutputInfo& operator=(const OutputInfo&) = delete;
  ~OutputInfo() {
    if (ndim_ > kInline) delete[] heap_;
  }
  void set(const Tensor& tensor);
  bool defined() const { return defined_; }
  DType dtype() const { return dtype_; }
  IntSpan sizes() const { return {ndim_ > kInline ? heap_ : inline_, ndim_}; }

 private:
  static constexpr int kInline = 3;
  DType dtype_ = DType::Float32;
  bool defined_ = false;
  uint8_t ndim_ = 0;
  union {
    int64_t inline_[kInline];
    int64_t* heap_;
  };
};

/// What a hook made of a tensor, and what it has to give back.
struct PackedSlot {
  std::unique_ptr<PackedTensor> object;
  OutputInfo info;
  Tensor tangents;  // carries those of the tensor; undefined when it had none
};

/// A tensor kept for the backward pass, with the version it had; or, where a hook was active, what
/// the hook made of it.
class SavedTensor {
 public:
  SavedTensor() = default;
  ~SavedTensor() { reset(); }
  SavedTensor(const SavedTensor&) = delete;
  SavedTensor& operator=(const SavedTensor&) = delete;
  void save_input(const Tensor& tensor, int index) {
    if (core::thread_state.watch & core::kWatchPack) [[unlikely]] {
      if (pack(tensor, index, false)) return;
    }
    core::retain(tensor.impl());
    keep(tensor.impl(), index, false);
  }
  /// Keeps a detached alias: holding the output itself would be a reference cycle.
  void save_output(const Tensor& tensor, int index);
  void reset();
  bool is_output() const { return is_output_; }
  int index() const { return index_; }
  /// Whether reset() has been called, or nothing saved yet.
  bool empty() const { return impl_ == nullptr; }
  /// The hook's, in place of the tensor; null for most.
  const PackedSlot* packed() const { return is_packed_ ? packed_ : nullptr; }
  /// The tensor; null when packed.
  TensorImpl* impl() const { return is_packed_ ? nullptr : impl_; }
  uint32_t version() const { return version_; }

 private:
  void keep(TensorImpl* owned, int index, bool is_output) {
    impl_ = owned;
    version_ = owned->version();
    index_ = static_cast<uint16_t>(index);
    is_output_ = is_output;
  }
  bool pack(const Tensor& tensor, int index, bool is_output);
  union {
    TensorImpl* impl_ = nullptr;
    PackedSlot* packed_;
  };
  uint32_t version_ = 0;
  uint16_t index_ = 0;
  bool is_output_ = false;
  bool is_packed_ = false;
};
static_assert(sizeof(SavedTensor) == 16);

using TensorHook = std::function<Tensor(const Tensor& gradient)>;
/// Before a node's rule runs: may replace the gradients of its outputs.
using NodePreHook = std::function<void(std::vector<Tensor>& gradients)>;
/// After it ran: may replace the gradients of its inputs.
using NodeHook =
    std::function<void(std::vector<Tensor>& results, const std::vector<Tensor>& gradients)>;

struct AnomalyNote;

/// Hooks of a node and other things that few nodes have; allocated when the first comes.
struct NodeHooks {
  NodeHooks();
  ~NodeHooks();
  struct Entry {
    int64_t id;
    uint32_t output;
    TensorHook hook;
  };
  std::vector<Entry> tensor_hooks;  // in order of registration
  std::vector<std::pair<int64_t, NodePreHook>> pre_hooks;
  std::vector<std::pair<int64_t, NodeHook>> post_hooks;
  std::shared_ptr<void> metadata;  // for the bindings
  std::vector<std::pair<uint32_t, TensorImpl*>>
      retainers;                      // tensors that keep their .grad; borrowed
  std::unique_ptr<AnomalyNote> note;  // recorded in anomaly mode
};

class Pull;

class TAPEGRAD_API Node : public core::Pooled {
 public:
  /// Edges are set by the constructor of derived classes or through set_edges, before number() is
  /// called.
  Node() = default;
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// "MulBackward": the operation's name in PyTorch's style (of "mul" or "Mul").
  static std::string backward_name(const char* op);
  virtual std::string name() const = 0;
  /// The vector-Jacobian product: reads pull.grad(), calls pull.set().
  virtual void pull(Pull& pull) = 0;
  /// Drops saved tensors; a second backward then fails with an explanation.
  virtual void release();

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }

  uint32_t reference_count() const { return references_.load(std::memory_order_acquire); }

  uint64_t sequence() const { return sequence_; }
  /// Takes the next global number. Precondition: all edges exist, so every edge's node has a
  /// smaller one.
  void take_number();
  bool released() const { return released_; }
  /// A node of a grad level: Note [Lifted tensors].
  void set_lifted(bool value) { lifted_ = value; }

  FixedArray<Edge, 2> edges;
  FixedArray<SavedTensor, 2> saved;
  FixedArray<OutputInfo, 1> outputs;

  NodeHooks* hooks() const { return hooks_.get(); }
  NodeHooks& make_hooks();
  /// Guards hooks_ and, in accumulators, the gradient.
  static std::mutex& mutex_of(const Node* node);

  /// Saved tensor as it was; see Pull::input and Pull::output. Throws GradError when changed since
  /// or released.
  Tensor unpack(const SavedTensor& saved) const;
  /// The leaf behind an accumulator node; null for all other nodes.
  virtual class AccumulateGrad* as_accumulator() { return nullptr; }
  /// The node of a user's function; null for all other nodes.
  virtual class FunctionNode* as_function() { return nullptr; }

 private:
  void destroy() noexcept;
  std::atomic<uint32_t> references_{1};
  bool released_ = false;
  bool lifted_ = false;
  uint64_t sequence_ = 0;
  std::unique_ptr<NodeHooks> hooks_;
};

inline NodeRef NodeRef::share(Node* node) {
  if (node) node->retain();
  return adopt(node);
}
inline NodeRef::NodeRef(const NodeRef& other) : node_(other.node_) {
  if (node_) node_->retain();
}
inline NodeRef::~NodeRef() {
  if (node_) node_->drop();
}

/// What a rule sees of the backward pass: gradients of its outputs in, gradients of its inputs out.
class TAPEGRAD_API Pull {
 public:
  /// `wanted`, when given, says per input whether its gradient was asked for.
  Pull(Node& node, Tensor* grads, Tensor* results, const bool* wanted = nullptr)
      : node_(node), grads_(grads), results_(results), wanted_(wanted) {}

  /// Gradient of output i; undefined when nothing flowed into it (only in nodes with several
  /// outputs).
  const Tensor& grad(int output = 0) const { return grads_[output]; }
  /// The same, zeros when nothing flowed in.
  Tensor grad_or_zeros(int output) const;
  /// Whether anybody asked for the gradient of input i.
  bool needs(int input) const {
    return wanted_ ? wanted_[input] : static_cast<bool>(node_.edges[input].node);
  }
  int input_count() const { return node_.edges.size(); }
  /// A saved input, on the tape as it was (Rule::saves_inputs decides what is saved).
  Tensor input(int index) const;
  /// A saved output.
  Tensor output(int index = 0) const;
  /// Shape and dtype of an input whose gradient is needed; nothing is saved for this.
  IntSpan input_sizes(int input) const { return info(input).sizes(); }
  DType input_dtype(int input) const { return info(input).dtype(); }
  const OutputInfo& output_info(int output = 0) const { return node_.outputs[output]; }
  /// Result for input i. May be of a shape that the input's broadcasts to, and of another floating
  /// dtype: the engine reduces and converts. May be left out (a zero gradient).
  void set(int input, Tensor gradient) { results_[input] = std::move(gradient); }

 private:
  const OutputInfo& info(int input) const {
    const Edge& edge = node_.edges[input];
    return edge.node->outputs[static_cast<int>(edge.output)];
  }
  Tensor saved(bool is_output, int index) const;
  Node& node_;
  Tensor* grads_;
  Tensor* results_;
  const bool* wanted_;
  // Hooks are asked once a pass, however often the rule reads.
  mutable std::vector<std::pair<const SavedTensor*, Tensor>> unpacked_;
};

}  // namespace tapegrad::autograd
