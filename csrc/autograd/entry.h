// The one function by which every operation enters: it looks at the flags of the inputs and, where
// one is set, records a node, pushes tangents or unwraps a batch. Knows rules only by their shape:
//
//   struct SinRule : autograd::Rule {
//     static constexpr const char* name = "Sin";            // node name: SinBackward
//     unsigned saves_inputs(unsigned needs) const;          // bit i: pull() reads input i
//     (default: none) unsigned saves_outputs(unsigned needs) const;         // bit i: pull() reads
//     output i     (default: none) Tensor forward(Inputs in);                            //
//     computes; may keep parameters in members void pull(Pull& p) const; // written in ops, so that
//     it can be differentiated again static constexpr bool is_view = true;                 //
//     optional: the output shares memory with input 0 static constexpr bool linear = true; //
//     optional: the tangent is forward() of the tangents Tensor push(Push& p) const; // optional:
//     the tangent by a formula of its own
//     bool curved(unsigned moving) const;                               // optional: whether the
//     second derivative along inputs `moving` (bit i: input i) can be other than 0
//     Tensor curve(Push& p, const Tensor& rows) const;                   // optional: the tangents
//     `rows` to second order in one operation, Note [Forward Laplacian]; undefined: not this case
//
//     How it runs over the samples of a batch (Note [Lifted tensors]); one of:
//     static constexpr bool broadcasts = true;  // its inputs broadcast against each other
//     static constexpr bool leading = true;     // it works on the last dimensions of its inputs
//     R shifted() const;                        // the same rule with one more dimension in front
//     batch(const Batch& b) const;              // by hand; returns what forward() returns, outside
//                                               // of the level, or an empty list: not this case
//   };
//   Tensor sin(const Tensor& x) { return autograd::enter(SinRule{}, x); }
//
// forward() may return Tensor or std::vector<Tensor>. Without `linear` or push() the tangent comes
// from pull() itself: Note [Tangents from pull].
#pragma once

#include <concepts>
#include <utility>
#include <vector>

#include "autograd/lifted.h"
#include "autograd/meta.h"
#include "autograd/node.h"
#include "core/thread_state.h"

namespace tapegrad::autograd {

/// The inputs of an operation, borrowed.
struct Inputs {
  const Tensor* const* tensors;
  int count;
  const Tensor& operator[](int i) const { return *tensors[i]; }
  int size() const { return count; }
};

/// What push() sees: primal inputs and outputs, and tangents (undefined where an input has none).
struct Push {
  Inputs inputs;
  const std::vector<Tensor>& outputs;
  const std::vector<Tensor>& tangents;
  const Tensor& input(int i) const { return inputs[i]; }
  const Tensor& output(int i = 0) const { return outputs[i]; }
  const Tensor& tangent(int i) const { return tangents[i]; }
};

/// Whether operations on `tensor` are seen by nothing but vmap.
bool only_batched(const Tensor& tensor);

struct Rule {
  static constexpr bool is_view = false;
  static constexpr bool joins = false;  // cat, stack: dimensions of the result, not of an input
  static constexpr bool linear = false;
  static constexpr bool bilinear = false;  // a product of its two inputs
  static constexpr bool differentiable = true;
  static constexpr bool broadcasts = false;
  static constexpr bool leading = false;
  unsigned saves_inputs(unsigned) const { return 0; }
  unsigned saves_outputs(unsigned) const { return 0; }
};

template <class R>
class RuleNode final : public Node {
 public:
  explicit RuleNode(R&& rule) : rule_(std::move(rule)) {}
  std::string name() const override { return backward_name(R::name); }
  void pull(Pull& pull) override { rule_.pull(pull); }

 private:
  R rule_;
};

// The parts of entry that do not depend on the rule (entry.cpp).
struct SavedMasks {
  unsigned inputs;
  unsigned outputs;
};
/// Bit i: input i needs a gradient at `level` (all bits from input 31 on share the last).
unsigned needs_mask(Inputs inputs, int level = -1);
/// Gives a node of `level` its edges: inputs of lower levels stay on their own tapes.
void connect(Node& node, Inputs inputs, int level = -1);
/// Connects, saves and numbers a node of `level`.
void finish(const NodeRef& node, Inputs inputs, SavedMasks masks, Tensor* outputs, int count,
            int level = -1);
void mark_view(Tensor& view, const Tensor& base);
/// Whether an operation on these pushes tangents before it takes lifted tensors apart.
bool tangents_first(Inputs inputs);
/// Pushes the highest tangent level through an op given as two callbacks.
struct TangentCallbacks {
  void* rule;
  std::vector<Tensor> (*run)(void* rule, Inputs stripped);
  std::vector<Tensor> (*push)(void* rule, const Push& push);  // null: Note [Tangents from pull]
  NodeRef (*make_node)(void* rule, Inputs inputs);
  SavedMasks (*masks)(void* rule, unsigned needs);
  Tensor (*curve)(void* rule, const Push& push,
                  const Tensor& rows);  // null: no operation of its own
  bool (*curved)(void* rule, unsigned moving);
  const char* name;
  bool linear;    // forward() of the tangents
  bool bilinear;  // a product of the two inputs
};
/// The rule's push(), or Note [Tangents from pull].
std::vector<Tensor> push_tangents(const Push& push, const TangentCallbacks& callbacks);
/// The tangents with zeros where an input has none.
std::vector<Tensor> fill_tangents(const Push& push);
std::vector<Tensor> enter_with_tangents(Inputs inputs, const TangentCallbacks& callbacks);
/// The same at a Taylor level: Note [Taylor coefficients].
std::vector<Tensor> enter_with_series(Inputs inputs, int level, const TangentCallbacks& callbacks);

/// The same at a Laplacian level: Note [Forward Laplacian].
std::vector<Tensor> enter_with_laplacian(Inputs inputs, int level,
                                         const TangentCallbacks& callbacks);

/// Switches recording off for the life of the guard.
class NoGradGuard {
 public:
  NoGradGuard() : previous_(std::exchange(core::thread_state.grad_enabled, false)) {}
  ~NoGradGuard() { core::thread_state.grad_enabled = previous_; }
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;

 private:
  bool previous_;
};

namespace detail {

inline std::vector<Tensor> as_vector(Tensor&& tensor) {
  std::vector<Tensor> list;
  list.push_back(std::move(tensor));
  return list;
}
inline std::vector<Tensor> as_vector(std::vector<Tensor>&& tensors) { return std::move(tensors); }
inline void from_vector(std::vector<Tensor>&& list, Tensor& result) { result = std::move(list[0]); }
inline void from_vector(std::vector<Tensor>&& list, std::vector<Tensor>& result) {
  result = std::move(list);
}
inline Tensor* pointer(Tensor& tensor) { return &tensor; }
inline Tensor* pointer(std::vector<Tensor>& tensors) { return tensors.data(); }
inline int count(const Tensor&) { return 1; }
inline int count(const std::vector<Tensor>& tensors) { return static_cast<int>(tensors.size()); }

inline void mark_views(Tensor& result, const Tensor& base) { mark_view(result, base); }
inline void mark_views(std::vector<Tensor>& results, const Tensor& base) {
  for (Tensor& result : results) mark_view(result, base);
}

template <class R>
concept HasPush = requires(const R& rule, Push& push) { rule.push(push); };

template <class R>
concept HasCurve =
    requires(const R& rule, Push& push, const Tensor& rows) { rule.curve(push, rows); };

template <class R>
concept HasCurved = requires(const R& rule) { rule.curved(0u); };

template <class R>
concept HasShifted = requires(const R& rule) { rule.shifted(); };

template <class R>
concept HasBatch = requires(const R& rule, const Batch& batch) { rule.batch(batch); };

template <class R>
concept ReducesMask = requires(R& rule) { rule.mask; };

template <class R>
concept ForwardIsConst = requires(const R& rule, Inputs in) { rule.forward(in); };

}  // namespace detail

template <class R>
auto enter(R rule, Inputs inputs) -> decltype(rule.forward(inputs));

namespace detail {

template <class R>
TangentCallbacks tangent_callbacks(R& rule) {
  TangentCallbacks callbacks;
  callbacks.rule = &rule;
  callbacks.run = [](void* r, Inputs in) { return as_vector(enter(R(*static_cast<R*>(r)), in)); };
  callbacks.name = R::name;
  callbacks.linear = R::linear;
  callbacks.bilinear = R::bilinear;
  callbacks.push = nullptr;
  if constexpr (HasPush<R>) {
    callbacks.push = [](void* r, const Push& push) {
      return as_vector(static_cast<R*>(r)->push(const_cast<Push&>(push)));
    };
  } else if constexpr (R::linear) {
    callbacks.push = [](void* r, const Push& push) {
      const std::vector<Tensor> full = fill_tangents(push);
      std::vector<const Tensor*> pointers;
      for (const Tensor& tangent : full) pointers.push_back(&tangent);
      const Inputs in{pointers.data(), static_cast<int>(pointers.size())};
      return as_vector(enter(R(*static_cast<R*>(r)), in));
    };
  }
  callbacks.curve = nullptr;
  if constexpr (HasCurve<R>) {
    callbacks.curve = [](void* r, const Push& push, const Tensor& rows) {
      return static_cast<R*>(r)->curve(const_cast<Push&>(push), rows);
    };
  }
  callbacks.curved = [](void* r, unsigned moving) {
    if constexpr (HasCurved<R>) return static_cast<R*>(r)->curved(moving);
    return !R::linear && !(R::bilinear && moving != 3u);
  };
  callbacks.make_node = [](void* r, [[maybe_unused]] Inputs in) {
    R copy(*static_cast<R*>(r));
    // A forward() that is not const keeps something in the rule that pull() reads, or does without.
    if constexpr (!ForwardIsConst<R>) {
      bool plain = true;
      for (int i = 0; i < in.count; ++i) plain &= level_of(in[i]) < 0;
      NoGradGuard guard;
      if (plain) copy.forward(in);
    }
    return NodeRef::adopt(new RuleNode<R>(std::move(copy)));
  };
  callbacks.masks = [](void* r, unsigned needs) {
    return SavedMasks{static_cast<R*>(r)->saves_inputs(needs),
                      static_cast<R*>(r)->saves_outputs(needs)};
  };
  return callbacks;
}

/// Outside of the level, over all samples at once; an empty list where the rule does not say how.
template <class R>
std::vector<Tensor> run_batch(const R& rule, const Batch& batch) {
  if constexpr (HasBatch<R>) {
    return as_vector(rule.batch(batch));
  } else if constexpr (R::broadcasts) {
    std::vector<Tensor> inputs;
    if (batch.count() == 1) {
      batch.out_dim = batch.dim(0);
      inputs.push_back(batch.inner(0));
    } else {
      inputs = batch.aligned();
    }
    return as_vector(enter(R(rule), TensorList(inputs)));
  } else if constexpr (R::leading || HasShifted<R>) {
    std::vector<Tensor> inputs;
    for (int i = 0; i < batch.count(); ++i)
      inputs.push_back(R::is_view ? batch.front(i) : batch.dense_front(i));
    if constexpr (R::leading) {
      return as_vector(enter(R(rule), TensorList(inputs)));
    } else {
      R shifted = rule.shifted();
      if (batch.max_dim() == 0 && !R::is_view) {
        // A 0-d tensor has no dimension to reduce, scan or sort along, though it may be named.
        if constexpr (ReducesMask<R>)
          shifted.mask = 0;
        else if constexpr (!R::joins)
          return {};
      }
      return as_vector(enter(std::move(shifted), TensorList(inputs)));
    }
  } else {
    return {};
  }
}

template <class R>
std::vector<Tensor> run_samples(const R& rule, const Batch& batch) {
  std::vector<std::vector<Tensor>> samples;
  for (int64_t i = 0; i < batch.size(); ++i)
    samples.push_back(as_vector(enter(R(rule), TensorList(sample(batch, i)))));
  return join_samples(R::name, std::move(samples));
}

/// The operation at the highest level among its inputs: Note [Levels], Note [Lifted tensors].
template <class R>
auto enter_lifted(R rule, Inputs inputs) {
  decltype(rule.forward(inputs)) result;
  const Batch batch(inputs);
  std::vector<Tensor> outputs;
  if (!batch.any()) {
    outputs = as_vector(enter(R(rule), TensorList(batch.inner())));
  } else {
    outputs = run_batch(rule, batch);
    if (outputs.empty()) outputs = run_samples(rule, batch);
  }
  for (Tensor& output : outputs)
    output = lift(output, batch.any() ? batch.out_dim : -1, batch.level());
  from_vector(std::move(outputs), result);
  if constexpr (R::is_view) mark_views(result, inputs[0]);
  if constexpr (R::differentiable) {
    if (!core::thread_state.grad_enabled || batch.level() == core::thread_state.silent_level)
      return result;
    const unsigned needs = needs_mask(inputs, batch.level());
    if (needs == 0) return result;
    const SavedMasks masks{rule.saves_inputs(needs), rule.saves_outputs(needs)};
    finish(NodeRef::adopt(new RuleNode<R>(std::move(rule))), inputs, masks, pointer(result),
           count(result), batch.level());
  }
  return result;
}

template <class R>
auto enter_tracked(R rule, Inputs inputs, unsigned flags) {
  decltype(rule.forward(inputs)) result;
  if ((flags & TensorImpl::kBatched) &&
      !(R::differentiable && (flags & TensorImpl::kHasTangent) && tangents_first(inputs)))
    return enter_lifted(std::move(rule), inputs);
  if constexpr (R::differentiable) {
    if (flags & TensorImpl::kHasTangent) {
      from_vector(enter_with_tangents(inputs, tangent_callbacks(rule)), result);
      if constexpr (R::is_view) mark_views(result, inputs[0]);
      return result;
    }
  }
  const bool record =
      R::differentiable && (flags & TensorImpl::kNeedsGrad) && core::thread_state.grad_enabled;
  if (!record) {
    result = rule.forward(inputs);
    if constexpr (R::is_view) mark_views(result, inputs[0]);
    return result;
  }
  {
    NoGradGuard guard;
    result = rule.forward(inputs);
  }
  if constexpr (R::is_view) mark_views(result, inputs[0]);
  const unsigned needs = needs_mask(inputs);
  const SavedMasks masks{rule.saves_inputs(needs), rule.saves_outputs(needs)};
  finish(NodeRef::adopt(new RuleNode<R>(std::move(rule))), inputs, masks, pointer(result),
         count(result));
  return result;
}

}  // namespace detail

/// Enters an operation. See the head of this file.
template <class R>
auto enter(R rule, Inputs inputs) -> decltype(rule.forward(inputs)) {
  unsigned flags = 0;
  for (int i = 0; i < inputs.count; ++i) flags |= entry_flags(inputs[i]);
  if (flags == 0) [[likely]] {
    auto result = rule.forward(inputs);
    if constexpr (R::is_view) detail::mark_views(result, inputs[0]);
    return result;
  }
  return detail::enter_tracked(std::move(rule), inputs, flags);
}

template <class R, std::same_as<Tensor>... Ts>
auto enter(R rule, const Ts&... inputs) {
  const Tensor* list[] = {&inputs...};
  return enter(std::move(rule), Inputs{list, static_cast<int>(sizeof...(inputs))});
}

template <class R>
auto enter(R rule, TensorList inputs) {
  std::vector<const Tensor*> list(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) list[i] = &inputs[i];
  return enter(std::move(rule), Inputs{list.data(), static_cast<int>(list.size())});
}

}  // namespace tapegrad::autograd
