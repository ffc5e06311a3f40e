#include "autograd/engine.h"

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <vector>

#include "autograd/anomaly.h"
#include "autograd/meta.h"
#include "core/text.h"
#include "core/thread_state.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace autograd {

std::atomic<void (*)()> interrupt_hook{nullptr};

namespace {

constexpr uint32_t kNone = UINT32_MAX;

struct Entry {
  Node* node;
  uint32_t first_slot;  // gradients of its outputs
  uint32_t first_edge;  // numbers of its edges' nodes
  uint32_t expected;    // accumulators: contributions still to come
  bool reached;         // a gradient has arrived
  bool needed;          // leads to something that was asked for
  bool captured;
};

/// Nodes to the numbers of their entries. Belongs to one pass: marks in the nodes themselves would
/// be seen by passes inside this one and on other threads.
class NodeIndex {
 public:
  void clear() {
    if (slots_.size() > 4096) {
      slots_.assign(64, kNone);
      slots_.shrink_to_fit();
    } else {
      slots_.resize(std::max<size_t>(slots_.size(), 64));
      std::fill(slots_.begin(), slots_.end(), kNone);
    }
  }
  /// The slot that holds the node's number, or the free one where it goes.
  uint32_t& find(const Node* node, const std::vector<Entry>& entries) {
    const size_t mask = slots_.size() - 1;
    size_t at = hash(node) & mask;
    while (slots_[at] != kNone && entries[slots_[at]].node != node) at = (at + 1) & mask;
    return slots_[at];
  }
  /// Makes room for one more than `entries`.
  void reserve(const std::vector<Entry>& entries) {
    if (2 * (entries.size() + 1) <= slots_.size()) return;
    slots_.assign(std::max<size_t>(64, 4 * slots_.size()), kNone);
    for (uint32_t i = 0; i < entries.size(); ++i) find(entries[i].node, entries) = i;
  }

 private:
  /// Neighbours in memory stay neighbours in the table (a tape is walked in the order of its
  /// allocation); far apart they are scattered, so that no regular spacing of nodes piles up.
  static size_t hash(const Node* node) {
    const auto address = reinterpret_cast<uintptr_t>(node);
    return (address >> 7) + (address >> 18) * 0x9E3779B97F4A7C15u;
  }
  std::vector<uint32_t> slots_;
};

struct Capture {
  uint32_t entry;
  uint32_t output;
  size_t result;
};

/// The buffers of a pass, kept for the next one on this thread.
struct Workspace {
  NodeIndex index;
  std::vector<Entry> entries;
  std::vector<Tensor> slots;
  std::vector<uint32_t> targets;
  std::vector<uint32_t> stack;
  std::vector<std::pair<uint64_t, uint32_t>> heap;
  std::vector<Capture> captures;
  Workspace() { index.clear(); }
  void clear() {
    if (entries.capacity() > 65536) *this = Workspace();
    entries.clear();
    index.clear();
    slots.clear();
    targets.clear();
    stack.clear();
    heap.clear();
    captures.clear();
  }
};

/// Takes the thread's workspace, or a new one inside a running pass.
class WorkspaceLease {
 public:
  WorkspaceLease() : workspace_(std::move(cached())) {
    if (!workspace_) workspace_ = std::make_unique<Workspace>();
  }
  ~WorkspaceLease() {
    workspace_->clear();
    cached() = std::move(workspace_);
  }
  WorkspaceLease(const WorkspaceLease&) = delete;
  WorkspaceLease& operator=(const WorkspaceLease&) = delete;
  Workspace& get() { return *workspace_; }

 private:
  static std::unique_ptr<Workspace>& cached() {
    thread_local std::unique_ptr<Workspace> workspace;
    return workspace;
  }
  std::unique_ptr<Workspace> workspace_;
};

/// Whether nobody else can see this gradient's memory.
bool exclusively_ours(const Tensor& gradient) {
  return gradient->reference_count() == 1 && gradient->storage()->unique() &&
         !gradient->storage()->external() && !gradient->base && core::is_dense(gradient);
}

class Pass {
 public:
  Pass(Workspace& workspace, BackwardOptions options)
      : w_(workspace),
        create_graph_(options.create_graph),
        retain_(options.retain_graph || options.create_graph) {}

  void add_root(const Edge& edge, Tensor gradient) {
    roots_.push_back({enter(edge.node.get()), edge.output, std::move(gradient)});
  }

  void discover() {
    while (!w_.stack.empty()) {
      const uint32_t at = w_.stack.back();
      w_.stack.pop_back();
      Node* node = w_.entries[at].node;
      w_.entries[at].first_edge = static_cast<uint32_t>(w_.targets.size());
      for (const Edge& edge : node->edges) {
        // enter() may move the entries, so nothing may point into them here.
        w_.targets.push_back(edge.node ? enter(edge.node.get()) : kNone);
      }
    }
  }

  /// Asks for the gradient at `edge`; false when no root depends on it.
  bool capture(const Edge& edge, size_t result) {
    const uint32_t entry = want(edge);
    if (entry == kNone) return false;
    w_.captures.push_back({entry, edge.output, result});
    return true;
  }

  /// Prunes the pass to what leads to `edge` or others that were asked for; kNone when no root
  /// depends on it.
  uint32_t want(const Edge& edge) {
    const uint32_t entry = w_.index.find(edge.node.get(), w_.entries);
    if (!pruned_) {
      pruned_ = true;
      for (Entry& each : w_.entries) each.needed = false;
    }
    if (entry != kNone) w_.entries[entry].captured = true;
    return entry;
  }

  void run(std::vector<Tensor>* captured, bool accumulate) {
    captured_ = captured;
    accumulate_ = accumulate;
    mark_needed();
    for (Root& root : roots_) {
      if (w_.entries[root.entry].needed) ++w_.entries[root.entry].expected;
    }
    const bool previous = std::exchange(core::thread_state.grad_enabled, create_graph_);
    const Running running(this);
    try {
      for (Root& root : roots_) {
        if (w_.entries[root.entry].needed)
          deliver(root.entry, root.output, std::move(root.gradient), nullptr, 0);
      }
      drain();
    } catch (...) {
      core::thread_state.grad_enabled = previous;
      throw;
    }
    core::thread_state.grad_enabled = previous;
  }

  static uint64_t current_number() { return current_ ? current_->number_ : 0; }
  static bool current_needs(const Node& node) {
    if (!current_) return false;
    const uint32_t entry = current_->w_.index.find(&node, current_->w_.entries);
    return entry != kNone && current_->w_.entries[entry].needed;
  }

 private:
  /// Makes a pass the current one of this thread while it runs.
  class Running {
   public:
    explicit Running(Pass* pass) : previous_(std::exchange(current_, pass)) {
      static std::atomic<uint64_t> counter{0};
      pass->number_ = counter.fetch_add(1, std::memory_order_relaxed) + 1;
    }
    ~Running() { current_ = previous_; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    Pass* previous_;
  };
  struct Root {
    uint32_t entry;
    uint32_t output;
    Tensor gradient;
  };

  uint32_t enter(Node* node) {
    w_.index.reserve(w_.entries);
    uint32_t& slot = w_.index.find(node, w_.entries);
    if (slot == kNone) {
      slot = static_cast<uint32_t>(w_.entries.size());
      w_.entries.push_back(
          {node, static_cast<uint32_t>(w_.slots.size()), 0, 0, false, true, false});
      w_.slots.resize(w_.slots.size() + static_cast<size_t>(std::max(1, node->outputs.size())));
      w_.stack.push_back(slot);
    }
    return slot;
  }

  /// Prunes to what leads to a captured edge, and counts what every accumulator has to wait for.
  void mark_needed() {
    if (pruned_) {
      std::vector<uint32_t> order(w_.entries.size());
      for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
      std::sort(order.begin(), order.end(), [this](uint32_t a, uint32_t b) {
        return w_.entries[a].node->sequence() < w_.entries[b].node->sequence();
      });
      for (const uint32_t at : order) {
        Entry& entry = w_.entries[at];
        entry.needed = entry.captured;
        for_targets(entry, [&](uint32_t target) { entry.needed |= w_.entries[target].needed; });
      }
    }
    for (Entry& entry : w_.entries) {
      if (entry.needed) for_targets(entry, [&](uint32_t target) { ++w_.entries[target].expected; });
    }
  }

  template <class F>
  void for_targets(const Entry& entry, F f) {
    if (entry.node->as_accumulator()) return;
    for (int i = 0; i < entry.node->edges.size(); ++i) {
      const uint32_t target = w_.targets[entry.first_edge + static_cast<uint32_t>(i)];
      if (target != kNone) f(target);
    }
  }

  void drain() {
    while (!w_.heap.empty()) {
      std::pop_heap(w_.heap.begin(), w_.heap.end());
      const uint32_t at = w_.heap.back().second;
      w_.heap.pop_back();
      if (auto hook = interrupt_hook.load(std::memory_order_relaxed)) hook();
      execute(at);
    }
    // Accumulators that waited for a contribution which never came (a rule left it out).
    for (uint32_t at = 0; at < w_.entries.size(); ++at) {
      const Entry& entry = w_.entries[at];
      if (entry.reached && entry.expected > 0 && entry.node->as_accumulator()) finish_leaf(at);
    }
  }

  /// Adds `gradient` to what has arrived at `output` of entry `at`. `from` and `input` name the
  /// source in errors.
  void deliver(uint32_t at, uint32_t output, Tensor gradient, const Node* from, int input) {
    Entry& entry = w_.entries[at];
    const bool leaf = entry.node->as_accumulator() != nullptr;
    if (gradient.defined()) {
      fit(gradient, entry.node->outputs[static_cast<int>(output)], from, input);
      accumulate(w_.slots[entry.first_slot + output], std::move(gradient));
      if (!entry.reached) {
        entry.reached = true;
        if (!leaf) {
          w_.heap.emplace_back(entry.node->sequence(), at);
          std::push_heap(w_.heap.begin(), w_.heap.end());
        }
      }
    }
    --entry.expected;
    if (leaf && entry.reached && entry.expected == 0) finish_leaf(at);
  }

  static void fit(Tensor& gradient, const OutputInfo& info, const Node* from, int input) {
    if (!(gradient.sizes() == info.sizes())) {
      if (!broadcasts_from(info.sizes(), gradient.sizes())) {
        throw ShapeError(core::text(from ? from->name() : "backward", ": returned gradient ", input,
                                    " of shape ", shape_string(gradient.sizes()),
                                    " for an input of shape ", shape_string(info.sizes())));
      }
      gradient = sum_to_size(gradient, info.sizes());
    }
    if (gradient.dtype() != info.dtype()) gradient = to(gradient, info.dtype());
  }

  static bool broadcasts_from(IntSpan small, IntSpan large) {
    if (small.size() > large.size()) return false;
    for (size_t i = 1; i <= small.size(); ++i) {
      const int64_t s = small[small.size() - i];
      if (s != 1 && s != large[large.size() - i]) return false;
    }
    return true;
  }

  void accumulate(Tensor& slot, Tensor gradient) const {
    if (!slot.defined()) {
      slot = std::move(gradient);
    } else if ((slot->flags() | gradient->flags()) & TensorImpl::kBatched) {
      slot = add(slot, gradient);
    } else if (!create_graph_ && exclusively_ours(slot)) {
      add_(slot, gradient);
    } else if (!create_graph_ && exclusively_ours(gradient) &&
               gradient.strides() == slot.strides()) {
      add_(gradient, slot);
      slot = std::move(gradient);
    } else {
      slot = add(slot, gradient);
    }
  }

  void run_hooks(Node& node, Tensor* grads) const {
    if (!node.hooks()) return;
    std::vector<NodeHooks::Entry> hooks;
    std::vector<std::pair<uint32_t, Tensor>> retainers;
    {
      const std::lock_guard lock(Node::mutex_of(&node));
      hooks = node.hooks()->tensor_hooks;
      for (const auto& [output, impl] : node.hooks()->retainers)
        retainers.emplace_back(output, Tensor::share(impl));
    }
    for (const NodeHooks::Entry& entry : hooks) {
      Tensor& grad = grads[entry.output];
      if (!grad.defined()) continue;
      Tensor replaced = entry.hook(grad);
      if (!replaced.defined()) continue;
      if (!(replaced.sizes() == grad.sizes())) {
        throw ShapeError(core::text(node.name(), ": a hook returned a gradient of shape ",
                                    shape_string(replaced.sizes()), " for one of shape ",
                                    shape_string(grad.sizes())));
      }
      grad = std::move(replaced);
    }
    for (const auto& [output, tensor] : retainers) {
      if (grads[output].defined()) add_to_grad(tensor, grads[output]);
    }
  }

  /// Hooks of the node itself, not of a tensor it made. `grads` may be replaced.
  static void run_pre_hooks(Node& node, Tensor* grads, int count) {
    if (!node.hooks()) return;
    std::vector<std::pair<int64_t, NodePreHook>> hooks;
    {
      const std::lock_guard lock(Node::mutex_of(&node));
      hooks = node.hooks()->pre_hooks;
    }
    for (const auto& [id, hook] : hooks) {
      std::vector<Tensor> values(grads, grads + count);
      hook(values);
      for (int i = 0; i < count; ++i) {
        Tensor& value = values[static_cast<size_t>(i)];
        if (value.defined() && !value.is_same(grads[i]) && node.outputs[i].defined())
          fit(value, node.outputs[i], &node, i);
        grads[i] = std::move(value);
      }
    }
  }

  static void run_post_hooks(Node& node, Tensor* results, int result_count, const Tensor* grads,
                             int count) {
    if (!node.hooks()) return;
    std::vector<std::pair<int64_t, NodeHook>> hooks;
    {
      const std::lock_guard lock(Node::mutex_of(&node));
      hooks = node.hooks()->post_hooks;
    }
    if (hooks.empty()) return;
    const auto fit_results = [&](Tensor* list) {
      for (int i = 0; i < result_count; ++i) {
        const Edge& edge = node.edges[i];
        if (list[i].defined() && edge.node)
          fit(list[i], edge.node->outputs[static_cast<int>(edge.output)], &node, i);
      }
    };
    fit_results(results);
    std::vector<Tensor> values(results, results + result_count);
    const std::vector<Tensor> given(grads, grads + count);
    for (const auto& [id, hook] : hooks) {
      hook(values, given);
      fit_results(values.data());
    }
    std::move(values.begin(), values.end(), results);
  }

  void execute(uint32_t at) {
    Node& node = *w_.entries[at].node;
    const uint32_t first_edge = w_.entries[at].first_edge;
    Tensor* grads = &w_.slots[w_.entries[at].first_slot];
    run_hooks(node, grads);
    if (w_.entries[at].captured) take_captures(at, grads);

    const int count = node.edges.size();
    bool any = false;
    bool wanted_inline[8];
    std::unique_ptr<bool[]> wanted_heap;
    bool* wanted = wanted_inline;
    if (count > 8)
      wanted = (wanted_heap = std::make_unique<bool[]>(static_cast<size_t>(count))).get();
    for (int i = 0; i < count; ++i) {
      const uint32_t target = w_.targets[first_edge + static_cast<uint32_t>(i)];
      wanted[i] = target != kNone && w_.entries[target].needed;
      any |= wanted[i];
    }
    if (any) {
      Tensor results_inline[4];
      std::vector<Tensor> results_heap;
      Tensor* results = results_inline;
      if (count > 4) {
        results_heap.resize(static_cast<size_t>(count));
        results = results_heap.data();
      }
      run_pre_hooks(node, grads, node.outputs.size());
      Pull pull(node, grads, results, wanted);
      if (core::thread_state.watch & core::kWatchAnomaly) [[unlikely]]
        pull_watched(node, pull, grads, results);
      else
        node.pull(pull);
      if (!retain_) node.release();
      run_post_hooks(node, results, count, grads, node.outputs.size());
      drop_grads(node, grads);
      for (int i = 0; i < count; ++i) {
        const uint32_t target = w_.targets[first_edge + static_cast<uint32_t>(i)];
        if (wanted[i]) deliver(target, node.edges[i].output, std::move(results[i]), &node, i);
      }
    }
    drop_grads(node, grads);
  }

  /// Anomaly mode: errors say where the node was recorded, and a NaN is one.
  void pull_watched(Node& node, Pull& pull, const Tensor* grads, const Tensor* results) const {
    autograd::pull_watched(node, pull);
    if (!(core::thread_state.watch & core::kWatchNan)) return;
    const int bad = first_nan(results, node.edges.size());
    if (bad < 0) return;
    std::vector<Node*> nodes;
    for (const Entry& entry : w_.entries) nodes.push_back(entry.node);
    throw GradError(explain_nan(node, bad, results[bad], grads, nodes));
  }

  static void drop_grads(const Node& node, Tensor* grads) {
    for (int i = 0; i < node.outputs.size(); ++i) grads[i] = Tensor();
  }

  void take_captures(uint32_t at, const Tensor* grads) {
    for (const Capture& capture : w_.captures) {
      if (capture.entry == at) (*captured_)[capture.result] = grads[capture.output];
    }
  }

  void finish_leaf(uint32_t at) {
    Entry& entry = w_.entries[at];
    entry.reached = false;
    AccumulateGrad& accumulator = *entry.node->as_accumulator();
    Tensor& slot = w_.slots[entry.first_slot];
    run_hooks(accumulator, &slot);
    if (entry.captured) take_captures(at, &slot);
    if (!accumulate_) {
      slot = Tensor();
      return;
    }
    run_pre_hooks(accumulator, &slot, 1);
    const Tensor leaf = accumulator.leaf();
    if (leaf.defined() && slot.defined()) {
      const bool has_post_hooks = accumulator.hooks() && !accumulator.hooks()->post_hooks.empty();
      const Tensor given = has_post_hooks ? slot : Tensor();
      {
        const std::lock_guard lock(Node::mutex_of(&accumulator));
        add_to_grad(leaf, std::move(slot));
      }
      const auto hooks = accumulator.post_hooks;  // a hook may remove itself
      for (const auto& [id, hook] : hooks) hook(leaf);
      if (has_post_hooks) run_post_hooks(accumulator, nullptr, 0, &given, 1);
    }
    slot = Tensor();
  }

  /// .grad += gradient. Steals a gradient that nobody else can see; one that the caller supplied is
  /// copied.
  void add_to_grad(const Tensor& tensor, Tensor gradient) const {
    Tensor& grad = meta(tensor).grad;
    if (!grad.defined()) {
      if (create_graph_) {
        grad = std::move(gradient);
      } else if (exclusively_ours(gradient) && gradient.strides() == tensor.strides()) {
        grad = std::move(gradient);
      } else {
        grad = core::is_dense(tensor) ? core::make_like(tensor, gradient.dtype())
                                      : core::make_tensor(gradient.sizes(), gradient.dtype());
        copy_(grad, gradient);
      }
    } else if (create_graph_) {
      grad = add(grad, gradient);
    } else {
      add_(grad, gradient);
    }
  }

  Workspace& w_;
  std::vector<Root> roots_;
  std::vector<Tensor>* captured_ = nullptr;
  bool create_graph_;
  bool retain_;
  bool accumulate_ = true;
  bool pruned_ = false;
  uint64_t number_ = 0;
  static thread_local Pass* current_;
};

thread_local Pass* Pass::current_ = nullptr;

Tensor seed_gradient(const char* op, const Tensor& output, const Tensor& given, size_t index) {
  if (!given.defined()) {
    if (output.numel() != 1) {
      throw GradError(
          core::text(op, ": grad can be implicitly created only for scalar outputs, output ", index,
                     " is a ", core::describe(output),
                     "; reduce it (for example with .sum()) or pass its "
                     "gradient"));
    }
    return ones(output.sizes(), output.dtype());
  }
  if (!(given.sizes() == output.sizes())) {
    throw ShapeError(core::text(op, ": Mismatch in shape: grad_output[", index, "] has a shape of ",
                                shape_string(given.sizes()), " and output[", index,
                                "] has a shape of ", shape_string(output.sizes())));
  }
  if (!is_floating_point(given.dtype())) {
    throw DTypeError(core::text(op, ": grad_output[", index, "] must be floating point, got ",
                                core::describe(given)));
  }
  return given;
}

void add_roots(const char* op, Pass& pass, TensorList outputs, TensorList gradients) {
  if (!gradients.empty() && gradients.size() != outputs.size()) {
    throw ValueError(
        core::text(op, ": got ", outputs.size(), " tensors and ", gradients.size(), " gradients"));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Edge edge = gradient_edge(outputs[i]);
    if (!edge.node) {
      throw GradError(core::text(op, ": element ", i, " of tensors (a ", core::describe(outputs[i]),
                                 ") does not require grad and does not have a grad_fn"));
    }
    pass.add_root(edge,
                  seed_gradient(op, outputs[i], gradients.empty() ? Tensor() : gradients[i], i));
  }
  pass.discover();
}

}  // namespace

uint64_t current_pass() { return Pass::current_number(); }
bool runs_in_current_pass(const Node& node) { return Pass::current_needs(node); }

Tensor edge_tensor(Node& node, int output) {
  const OutputInfo& info = node.outputs[output];
  Dims strides;
  for (size_t i = 0; i < info.sizes().size(); ++i) strides.push_back(0);
  const Tensor result = core::make_alias(zeros({}, info.dtype()), info.sizes(), strides, 0);
  set_edge(result, NodeRef::share(&node), static_cast<uint32_t>(output));
  return result;
}

bool reaches_other_leaves(TensorList outputs, TensorList inputs) {
  std::unordered_set<Node*> seen;
  std::vector<Node*> waiting;
  const auto visit = [&](Node* node) {
    if (node && seen.insert(node).second) waiting.push_back(node);
  };
  for (const Tensor& input : inputs) seen.insert(gradient_edge(input).node.get());
  for (const Tensor& output : outputs) visit(gradient_edge(output).node.get());
  while (!waiting.empty()) {
    Node* node = waiting.back();
    waiting.pop_back();
    if (node->as_accumulator()) return true;
    for (const Edge& edge : node->edges) visit(edge.node.get());
  }
  return false;
}

}  // namespace autograd

void backward(TensorList outputs, TensorList gradients, BackwardOptions options,
              TensorList inputs) {
  using namespace autograd;
  WorkspaceLease lease;
  Pass pass(lease.get(), options);
  // The roots hold the graph while the pass runs, whatever hooks do to the caller's tensors.
  const std::vector<Tensor> held(outputs.begin(), outputs.end());
  add_roots("backward", pass, outputs, gradients);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!gradient_edge(inputs[i]).node) {
      throw GradError(core::text("backward: element ", i, " of inputs does not require grad"));
    }
  }
  // Leaves accumulate as without `inputs`, hooks included; results do so because they retain.
  for (const Tensor& input : inputs) {
    retain_grad(input);
    pass.want(gradient_edge(input));
  }
  pass.run(nullptr, true);
}

std::vector<Tensor> grad(TensorList outputs, TensorList inputs, TensorList gradients,
                         BackwardOptions options, bool allow_unused) {
  using namespace autograd;
  WorkspaceLease lease;
  Pass pass(lease.get(), options);
  const std::vector<Tensor> held(outputs.begin(), outputs.end());
  add_roots("grad", pass, outputs, gradients);
  std::vector<Tensor> captured(inputs.size());
  const auto unused = [](size_t i) {
    return GradError(core::text(
        "grad: one of the differentiated tensors (input ", i,
        ") appears to not have been used in the graph. Set allow_unused=True if this is the "
        "desired behavior"));
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Edge edge = gradient_edge(inputs[i]);
    if (!edge.node) throw GradError(core::text("grad: input ", i, " does not require grad"));
    if (!pass.capture(edge, i) && !allow_unused) throw unused(i);
  }
  pass.run(&captured, false);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!captured[i].defined() && !allow_unused) throw unused(i);
  }
  return captured;
}

}  // namespace tapegrad
