#include "autograd/anomaly.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "autograd/entry.h"
#include "autograd/lifted.h"
#include "autograd/meta.h"
#include "core/text.h"
#include "core/warning.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

AnomalyMode anomaly_mode() {
  const uint8_t watch = core::thread_state.watch;
  return {.enabled = (watch & core::kWatchAnomaly) != 0,
          .check_nan = !(watch & core::kWatchAnomaly) || (watch & core::kWatchNan) != 0};
}

AnomalyMode set_anomaly_mode(AnomalyMode mode) {
  const AnomalyMode previous = anomaly_mode();
  uint8_t watch = core::thread_state.watch & core::kWatchPack;
  if (mode.enabled) watch |= core::kWatchAnomaly;
  if (mode.enabled && mode.check_nan) watch |= core::kWatchNan;
  core::thread_state.watch = watch;
  return previous;
}

void increment_version(const Tensor& tensor) { tensor->bump_version(); }

namespace autograd {

Place::~Place() = default;

std::atomic<std::shared_ptr<const Place> (*)()> place_hook{nullptr};

namespace {

using State = AnomalyNote::State;

/// The node whose rule runs on this thread; for what create_graph records.
thread_local const Node* running = nullptr;

/// Guards looks at values: nothing is recorded, packed or noted meanwhile.
struct LookGuard {
  NoGradGuard no_grad;
  QuietGuard quiet;
};

bool holds(const Tensor& condition) {
  const Tensor found = any(condition);
  return *static_cast<const bool*>(found.data());
}

/// The same values without tangents and history; inside transforms, those of all samples.
Tensor plain(const Tensor& tensor) {
  Tensor inner = tensor;
  while (inner->has(TensorImpl::kBatched)) inner = lifted(inner).inner;
  return core::make_alias(inner, inner->sizes(), inner->strides(), inner->offset());
}

State state_of(const Tensor& tensor) {
  if (!tensor.defined() || !is_floating_point(tensor.dtype())) return State::Unknown;
  const LookGuard guard;
  const Tensor values = plain(tensor);
  if (tensor.numel() == 0 || !holds(logical_not(isfinite(values)))) return State::Finite;
  return holds(isnan(values)) ? State::Nan : State::Infinite;
}

const char* state_name(State state) { return state == State::Nan ? "nan" : "inf"; }
bool is_bad(State state) { return state == State::Nan || state == State::Infinite; }

uint64_t hash_contents(const Tensor& tensor) {
  const LookGuard guard;
  const Tensor values = contiguous(plain(tensor));
  const size_t bytes = static_cast<size_t>(values.numel()) * item_size(values.dtype());
  const char* data = static_cast<const char*>(values.data());
  uint64_t hash = 0xCBF29CE484222325u ^ bytes;
  const auto mix = [&hash](uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  };
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    uint64_t word;
    std::memcpy(&word, data + at, 8);
    mix(word);
  }
  uint64_t rest = 0;
  std::memcpy(&rest, data + at, bytes - at);
  mix(rest);
  return hash;
}

std::string indent(const std::string& lines) {
  std::string result;
  size_t at = 0;
  while (at < lines.size()) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    result += "\n  " + lines.substr(at, end - at);
    at = end + 1;
  }
  return result;
}

std::string where(const Place* place) {
  if (!place) return {};
  std::string result;
  const std::string path = place->module_path();
  if (!path.empty()) result += "\nRecorded in module: " + path;
  const std::string lines = place->traceback();
  if (!lines.empty()) result += "\nRecorded at (most recent call last):" + indent(lines);
  return result;
}

std::string list(const std::vector<AnomalyNote::Value>& values) {
  std::string result;
  for (const AnomalyNote::Value& value : values)
    result += (result.empty() ? "" : ", ") + value.what;
  return result;
}

int first_bad(const std::vector<AnomalyNote::Value>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (is_bad(values[i].state)) return static_cast<int>(i);
  }
  return -1;
}

std::string short_place(const Place* place) {
  if (!place) return {};
  const std::string line = place->line(), path = place->module_path();
  return (line.empty() ? "" : " at " + line) + (path.empty() ? "" : " in " + path);
}

/// Calls visit(node) for everything below `from`, itself included, without recursion.
template <class F>
void walk_down(Node* from, F visit) {
  std::unordered_set<Node*> seen{from};
  std::vector<Node*> waiting{from};
  while (!waiting.empty()) {
    Node* node = waiting.back();
    waiting.pop_back();
    visit(node);
    for (const Edge& edge : node->edges) {
      if (edge.node && seen.insert(edge.node.get()).second) waiting.push_back(edge.node.get());
    }
  }
}

/// The oldest node on the way to `node` that turned finite inputs into something else, or a leaf
/// that held it from the start.
std::string origin_of(const Node& node) {
  const Node* oldest = nullptr;
  const AccumulateGrad* leaf = nullptr;
  walk_down(const_cast<Node*>(&node), [&](Node* each) {
    if (AccumulateGrad* accumulator = each->as_accumulator()) {
      const Tensor tensor = accumulator->leaf();
      if (!leaf && tensor.defined() && is_bad(state_of(tensor))) leaf = accumulator;
      return;
    }
    const AnomalyNote* note = note_of(*each);
    if (!note || first_bad(note->outputs) < 0) return;
    if (!oldest || each->sequence() < oldest->sequence()) oldest = each;
  });
  if (leaf) {
    const Tensor tensor = leaf->leaf();
    return core::text("The first was a leaf, a ", core::describe(tensor), " that holds ",
                      state_name(state_of(tensor)), ".");
  }
  if (!oldest) return {};
  const AnomalyNote& note = *note_of(*oldest);
  const int input = first_bad(note.inputs);
  return core::text(
      "The first was made by ", oldest->name(), "'s operation", short_place(note.place.get()),
      ": (", list(note.inputs), ") -> ", list(note.outputs), ", ",
      input < 0
          ? std::string("out of finite inputs")
          : core::text("which got ", state_name(note.inputs[static_cast<size_t>(input)].state),
                       " as input ", input),
      ".");
}

/// A where() among `pass` that hands its gradient on towards the node; null for none.
const Node* where_above(const Node& node, std::vector<Node*> pass) {
  std::erase_if(pass, [&](Node* each) { return each->sequence() <= node.sequence(); });
  std::sort(pass.begin(), pass.end(),
            [](Node* a, Node* b) { return a->sequence() < b->sequence(); });
  std::unordered_set<const Node*> leading{&node};
  for (Node* each : pass) {
    const bool leads = std::any_of(each->edges.begin(), each->edges.end(), [&](const Edge& edge) {
      return leading.contains(edge.node.get());
    });
    if (!leads) continue;
    if (each->name() == "WhereBackward") return each;
    leading.insert(each);
  }
  return nullptr;
}

std::string first_nan_at(const Tensor& gradient) {
  const LookGuard guard;
  const Tensor values = plain(gradient);
  const Tensor places = nonzero(isnan(values));
  const auto* rows = static_cast<const int64_t*>(places.data());
  std::string index;
  for (int64_t d = 0; d < values.dim(); ++d) {
    index += (d ? ", " : "") + std::to_string(rows[d]);
  }
  return core::text(places.sizes()[0], " of ", values.numel(), " entries, the first at [", index,
                    "]");
}

bool has_zero(const Tensor& tensor) {
  if (!tensor.defined() || tensor.numel() == 0) return false;
  const LookGuard guard;
  return holds(eq(plain(tensor), Scalar(0)));
}

/// Which of the things that went into the gradient was not finite first.
std::string explain_inputs(const Node& node, const Tensor* incoming) {
  const AnomalyNote* note = note_of(node);
  if (note) {
    const int input = first_bad(note->inputs);
    if (input >= 0) {
      return core::text("\nInput ", input, " held ",
                        state_name(note->inputs[static_cast<size_t>(input)].state),
                        " when it was recorded. ", origin_of(node));
    }
  }
  for (int i = 0; i < node.outputs.size(); ++i) {
    const State state = state_of(incoming[i]);
    if (is_bad(state)) {
      return core::text("\nThe gradient it was given for its output ", i, " already holds ",
                        state_name(state), ".");
    }
  }
  if (!note) {
    return "\nIt was not recorded in anomaly mode: run the forward pass under detect_anomaly() "
           "too, "
           "to see where.";
  }
  const int output = first_bad(note->outputs);
  if (output >= 0) {
    return core::text("\nIts inputs were finite; its output ", output, " was the first to hold ",
                      state_name(note->outputs[static_cast<size_t>(output)].state), ".");
  }
  return "\nIts inputs, its outputs and the gradient it was given are finite: the derivative "
         "itself "
         "has no value there.";
}

std::string suggest_where(const Node& node, const Tensor* incoming,
                          const std::vector<Node*>& pass) {
  bool zero = false;
  for (int i = 0; i < node.outputs.size(); ++i) zero |= has_zero(incoming[i]);
  const Node* selector = zero ? where_above(node, pass) : nullptr;
  if (!selector) return {};
  const AnomalyNote* note = note_of(*selector);
  return core::text(
      "\nA where()", note ? short_place(note->place.get()) : "",
      " comes after it: entries that it does not select get the gradient 0, and 0 times an "
      "infinite "
      "derivative is nan. Select before the operation too, so that it never sees the values it "
      "cannot take: y = where(mask, f(where(mask, x, 1.0)), other).");
}

}  // namespace

const AnomalyNote* note_of(const Node& node) {
  return node.hooks() ? node.hooks()->note.get() : nullptr;
}

void note_recording(Node& node) {
  auto note = std::make_unique<AnomalyNote>();
  if (auto hook = place_hook.load(std::memory_order_relaxed)) note->place = hook();
  if (running) {
    note->parent = running->name();
    if (const AnomalyNote* parent = note_of(*running)) note->parent_place = parent->place;
  }
  for (const SavedTensor& saved : node.saved) {
    const bool held = saved.impl() != nullptr;
    const Tensor tensor = held ? Tensor::share(saved.impl()) : Tensor();
    note->contents.push_back(held ? hash_contents(tensor) : 0);
  }
  node.make_hooks().note = std::move(note);
}

void note_values(Node& node, const Tensor* const* inputs, int input_count, TensorList outputs) {
  if (!node.hooks() || !node.hooks()->note) return;
  AnomalyNote& note = *node.hooks()->note;
  const auto value = [](const Tensor& tensor) {
    return AnomalyNote::Value{core::describe(tensor), state_of(tensor)};
  };
  for (int i = 0; i < input_count; ++i) note.inputs.push_back(value(*inputs[i]));
  for (const Tensor& output : outputs) note.outputs.push_back(value(output));
}

void check_contents(const Node& node, const SavedTensor& saved) {
  const AnomalyNote* note = note_of(node);
  const auto at = static_cast<size_t>(&saved - node.saved.data());
  if (!note || at >= note->contents.size() || note->contents[at] == 0) return;
  const Tensor tensor = Tensor::share(saved.impl());
  if (hash_contents(tensor) == note->contents[at]) return;
  throw GradError(core::text(
      node.name(), ": the ", core::describe(tensor), " saved as ",
      saved.is_output() ? "output " : "input ", saved.index(),
      " was written after it was saved, through memory shared with NumPy, DLPack or another "
      "library. "
      "Write before the operation, clone() the tensor, or call autograd.graph.increment_version "
      "after such writes",
      recorded_where(node)));
}

std::string recorded_where(const Node& node) {
  const AnomalyNote* note = note_of(node);
  if (!note) return {};
  std::string result = where(note->place.get());
  if (!note->parent.empty()) {
    result += core::text("\nIt is part of the derivative of ", note->parent,
                         short_place(note->parent_place.get()), ".");
  }
  return result;
}

void pull_watched(Node& node, Pull& pull) {
  struct Running {
    const Node* previous;
    ~Running() { running = previous; }
  };
  const Running restore{std::exchange(running, &node)};
  try {
    node.pull(pull);
  } catch (const GradError&) {
    throw;  // those of the tape itself say where
  } catch (const std::exception&) {
    const std::string place = recorded_where(node);
    core::warn(core::text("Error detected in ", node.name(), ".",
                          place.empty() ? "\nNo forward pass information available: enable detect "
                                          "anomaly during forward pass for more information."
                                        : place));
    throw;
  }
}

int first_nan(const Tensor* tensors, int count) {
  const LookGuard guard;
  for (int i = 0; i < count; ++i) {
    const Tensor& tensor = tensors[i];
    if (tensor.defined() && is_floating_point(tensor.dtype()) && tensor.numel() > 0 &&
        holds(isnan(plain(tensor)))) {
      return i;
    }
  }
  return -1;
}

std::string explain_nan(const Node& node, int bad, const Tensor& gradient, const Tensor* incoming,
                        const std::vector<Node*>& pass) {
  const AnomalyNote* note = note_of(node);
  std::string message = core::text("Function '", node.name(), "' returned nan values in its ", bad,
                                   "th output (", first_nan_at(gradient), ").");
  if (note && !note->inputs.empty()) {
    message += core::text("\nIt was recorded for (", list(note->inputs), ") -> ",
                          list(note->outputs), ".");
  }
  message += explain_inputs(node, incoming);
  message += suggest_where(node, incoming, pass);
  return message + recorded_where(node);
}

}  // namespace autograd
}  // namespace tapegrad
