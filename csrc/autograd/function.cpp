#include "autograd/function.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>

#include "autograd/anomaly.h"
#include "autograd/below_level.h"
#include "autograd/inplace.h"
#include "autograd/saved.h"
#include "core/text.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/function.h"
#include "tapegrad/ops.h"
#include "tapegrad/random.h"

namespace tapegrad {
namespace autograd {

namespace {

/// Pointers to tensors, as operations take them.
class Borrowed {
 public:
  explicit Borrowed(const std::vector<Tensor>& tensors) {
    for (const Tensor& tensor : tensors) pointers_.push_back(&tensor);
  }
  operator Inputs() const { return {pointers_.data(), static_cast<int>(pointers_.size())}; }

 private:
  std::vector<const Tensor*> pointers_;
};

int find(const std::vector<Tensor>& tensors, const Tensor& tensor) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].defined() && tensors[i].is_same(tensor)) return static_cast<int>(i);
  }
  return -1;
}

bool expands_to(IntSpan small, IntSpan large) {
  if (small.size() > large.size()) return false;
  for (size_t i = 1; i <= small.size(); ++i) {
    const int64_t s = small[small.size() - i];
    if (s != 1 && s != large[large.size() - i]) return false;
  }
  return true;
}

[[noreturn]] void refuse_dirty(const std::string& name) {
  throw UnsupportedError(core::text(name,
                                    ": mark_dirty is not available inside transforms (vmap, nested "
                                    "grad); work out of place"));
}

/// The same values as `input`, which forward() returned as it was.
Tensor as_view(const Tensor& input) {
  Tensor view = plain_alias(input);
  mark_view(view, input);
  return view;
}

}  // namespace

int FunctionNode::argument_of(int input) const {
  int argument = 0;
  for (int seen = -1; argument < static_cast<int>(arguments.size()); ++argument) {
    if (arguments[static_cast<size_t>(argument)] && ++seen == input) break;
  }
  return argument;
}

std::vector<Tensor> FunctionNode::saved_tensors() const {
  if (in_jvp_) return jvp_saved_;
  if (!finished_) return to_save;
  if (released()) refuse_released(*this);
  std::vector<Tensor> tensors;
  for (const SavedTensor& each : saved) tensors.push_back(each.empty() ? Tensor() : unpack(each));
  return tensors;
}

void FunctionNode::pull(Pull& pull) {
  const int count = outputs.size();
  std::vector<Tensor> gradients(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    if (pull.grad(i).defined()) {
      gradients[static_cast<size_t>(i)] = pull.grad(i);
    } else if (materialize && outputs[i].defined()) {
      gradients[static_cast<size_t>(i)] = zeros(outputs[i].sizes(), outputs[i].dtype());
    }
  }
  std::vector<Tensor> results = backward(std::move(gradients));
  for (int i = 0; i < input_count_; ++i) {
    Tensor& result = results[static_cast<size_t>(i)];
    if (!result.defined()) continue;
    if (!edges[i].node) {
      pull.set(i, std::move(result));  // for hooks to see
      continue;
    }
    if (!is_floating_point(result.dtype())) {
      throw DTypeError(core::text("Function ", name(), " returned an invalid gradient at index ",
                                  argument_of(i), " - got dtype ", dtype_name(result.dtype()),
                                  " but expected a floating-point gradient, as the input is ",
                                  dtype_name(pull.input_dtype(i))));
    }
    if (!(result.sizes() == pull.input_sizes(i)) &&
        !expands_to(pull.input_sizes(i), result.sizes())) {
      throw ShapeError(core::text("Function ", name(), " returned an invalid gradient at index ",
                                  argument_of(i), " - got ", shape_string(result.sizes()),
                                  " but expected shape compatible with ",
                                  shape_string(pull.input_sizes(i))));
    }
    pull.set(i, std::move(result));
  }
}

/// Puts functions on the tape: the steps that need what forward() said.
class FunctionRecorder {
 public:
  struct Applied {
    NodeRef node;  // empty when the function ran over a batch
    std::vector<Tensor> outputs;
  };

  static Applied apply(FunctionCall& call, const std::vector<Tensor>& inputs) {
    unsigned flags = 0;
    for (const Tensor& input : inputs) flags |= entry_flags(input);
    if (flags & (TensorImpl::kBatched | TensorImpl::kHasTangent)) [[unlikely]] {
      if ((flags & TensorImpl::kHasTangent) &&
          (!(flags & TensorImpl::kBatched) || tangents_first(Borrowed(inputs))))
        return apply_with_tangents(call, inputs);
      if (flags & TensorImpl::kBatched) return apply_lifted(call, inputs);
    }
    Applied result{call.make_node(inputs), {}};
    {
      const NoGradGuard guard;
      result.outputs = call.forward(*result.node->as_function(), inputs);
    }
    const bool record = (flags & TensorImpl::kNeedsGrad) && core::thread_state.grad_enabled;
    finish(call, result.node, inputs, result.outputs, record, -1);
    return result;
  }

 private:
  static Applied apply_lifted(FunctionCall& call, const std::vector<Tensor>& inputs) {
    const Borrowed borrowed(inputs);
    const Batch batch(borrowed);
    if (batch.any()) {
      std::vector<int> in_dims, out_dims;
      for (int i = 0; i < batch.count(); ++i) in_dims.push_back(batch.dim(i));
      for (const Level& level : batch_levels()) {
        if (level.id == batch.level()) call.randomness = level.randomness;
      }
      Applied result;
      {
        const BelowLevel below(batch.level());
        result.outputs = call.batched(batch.inner(), in_dims, batch.size(), out_dims);
      }
      for (size_t i = 0; i < result.outputs.size(); ++i) {
        Tensor& output = result.outputs[i];
        if (output.defined()) output = lift(output, out_dims[i], batch.level());
      }
      return result;
    }
    Applied below = apply(call, batch.inner());
    Applied result;
    for (const Tensor& output : below.outputs)
      result.outputs.push_back(output.defined() ? lift(output, -1, batch.level()) : Tensor());
    prepare(call, result, inputs);
    const bool record = core::thread_state.grad_enabled &&
                        batch.level() != core::thread_state.silent_level &&
                        needs_mask(borrowed, batch.level()) != 0;
    finish(call, result.node, inputs, result.outputs, record, batch.level());
    return result;
  }

  /// A node for outputs that were made below its level.
  static void prepare(FunctionCall& call, Applied& result, const std::vector<Tensor>& inputs) {
    result.node = call.make_node(inputs);
    const NoGradGuard guard;
    FunctionNode& node = *result.node->as_function();
    call.setup(node, inputs, result.outputs);
    if (!node.dirty.empty()) refuse_dirty(call.name());
  }

  static Applied apply_with_tangents(FunctionCall& call, const std::vector<Tensor>& inputs) {
    int level = -1;
    for (const Tensor& input : inputs) level = std::max(level, highest_level(input));
    if (level < 0) return apply(call, without_tangents(inputs));
    const bool series = taylor_order(level) >= 0, laplacian = laplacian_batch(level) >= 0;
    Moving moving{call, series || laplacian, {}, {}};
    const TangentCallbacks callbacks = callbacks_of(moving);
    Applied result;
    if (series) {
      result.outputs = enter_with_series(Borrowed(inputs), level, callbacks);
    } else if (laplacian) {
      result.outputs = enter_with_laplacian(Borrowed(inputs), level, callbacks);
    } else {
      result.outputs = enter_dual(inputs, level, moving);
    }
    result.node = moving.below.node;
    give_back_dirty(moving, result, inputs, level);
    if (call.tangent_levels_ == 0) {
      FunctionNode& node = *result.node->as_function();
      for (auto* list : {&node.to_save, &node.to_save_for_forward, &node.forward_inputs_,
                         &node.forward_outputs_, &node.forward_non_differentiable_})
        list->clear();
    }
    return result;
  }

  /// Only tangents of levels that were left are with them: drops them all.
  static std::vector<Tensor> without_tangents(const std::vector<Tensor>& inputs) {
    std::vector<Tensor> stripped = inputs;
    for (Tensor& each : stripped) {
      if (!each->has(TensorImpl::kHasTangent)) continue;
      each = strip_tangent(each, -1);
      meta(each).extra->tangents.clear();
      each->set(TensorImpl::kHasTangent, false);
    }
    return stripped;
  }

  /// A call whose inputs move along tangents of one level: what it got and gave below that level.
  struct Moving {
    FunctionCall& call;
    bool higher;  // jvp is differentiated in turn
    std::vector<Tensor> inputs;
    Applied below;
  };

  static TangentCallbacks callbacks_of(Moving& moving) {
    TangentCallbacks callbacks{};
    callbacks.rule = &moving;
    callbacks.run = [](void* self, Inputs stripped) {
      return run_below(*static_cast<Moving*>(self), stripped);
    };
    callbacks.push = [](void* self, const Push& push) {
      return tangents_of(*static_cast<Moving*>(self), push);
    };
    callbacks.masks = [](void*, unsigned) { return SavedMasks{~0u, ~0u}; };
    callbacks.curved = [](void*, unsigned) { return true; };
    callbacks.name = "a custom function";
    return callbacks;
  }

  static std::vector<Tensor> run_below(Moving& moving, Inputs stripped) {
    FunctionCall& call = moving.call;
    moving.inputs.clear();
    for (int i = 0; i < stripped.size(); ++i) moving.inputs.push_back(stripped[i]);
    ++call.tangent_levels_;
    moving.below = apply(call, moving.inputs);
    --call.tangent_levels_;
    if (!moving.below.node) {
      prepare(call, moving.below, moving.inputs);
      FunctionNode& node = *moving.below.node->as_function();
      node.forward_inputs_ = moving.inputs;
      node.forward_outputs_ = moving.below.outputs;
    }
    return moving.below.outputs;
  }

  static std::vector<Tensor> enter_dual(const std::vector<Tensor>& inputs, int level,
                                        Moving& moving) {
    std::vector<Tensor> stripped, tangents;
    for (const Tensor& input : inputs) {
      tangents.push_back(tangent_at(input, level));
      stripped.push_back(tangents.back().defined() ? strip_tangent(input, level) : input);
    }
    const Borrowed primal(stripped);
    std::vector<Tensor> outputs = run_below(moving, primal);
    const std::vector<Tensor> pushed = tangents_of(moving, Push{primal, outputs, tangents});
    for (size_t i = 0; i < pushed.size(); ++i) {
      if (pushed[i].defined()) set_tangent(outputs[i], level, pushed[i]);
    }
    return outputs;
  }

  /// What the function's jvp makes of tangents, at the levels of what `push` holds.
  static std::vector<Tensor> tangents_of(Moving& moving, const Push& push) {
    FunctionCall& call = moving.call;
    FunctionNode& node = *moving.below.node->as_function();
    node.jvp_saved_.clear();
    for (const Tensor& each :
         node.to_save_for_forward.empty() ? node.to_save : node.to_save_for_forward) {
      const int input = each.defined() ? find(node.forward_inputs_, each) : -1;
      const int output = each.defined() ? find(node.forward_outputs_, each) : -1;
      if (moving.higher && input < 0 && output < 0 && each.defined() &&
          is_floating_point(each.dtype())) {
        throw UnsupportedError(core::text(
            call.name(), ": saves a ", core::describe(each),
            " that is neither an input nor an output, so that the derivatives of its jvp, which "
            "taylor() and laplacian() take, would lack a part; return it as an output"));
      }
      node.jvp_saved_.push_back(output >= 0  ? push.output(output)
                                : input >= 0 ? push.input(input)
                                             : each);
    }
    std::vector<Tensor> tangents = node.materialize ? fill_tangents(push) : push.tangents;
    for (int i = 0; i < push.inputs.size(); ++i) {
      if (!is_floating_point(push.input(i).dtype())) tangents[static_cast<size_t>(i)] = Tensor();
    }
    node.in_jvp_ = true;
    std::vector<Tensor> pushed = call.jvp(node, std::move(tangents));
    node.in_jvp_ = false;
    node.jvp_saved_.clear();
    if (pushed.size() != push.outputs.size()) {
      throw GradError(core::text(call.name(),
                                 ": jvp returned an incorrect number of tangents "
                                 "(expected ",
                                 push.outputs.size(), ", got ", pushed.size(), ")"));
    }
    for (size_t i = 0; i < pushed.size(); ++i) {
      const Tensor& output = push.outputs[i];
      Tensor& tangent = pushed[i];
      if (!tangent.defined()) continue;
      if (!output.defined() || !is_floating_point(output.dtype()) ||
          find(node.forward_non_differentiable_, node.forward_outputs_[i]) >= 0) {
        tangent = Tensor();
        continue;
      }
      if (!(tangent.sizes() == output.sizes()) || tangent.dtype() != output.dtype()) {
        throw ShapeError(core::text(call.name(), ": jvp returned a ", core::describe(tangent),
                                    " as the tangent of output ", i, ", a ",
                                    core::describe(output)));
      }
    }
    return pushed;
  }

  /// forward() wrote into an input without its tangent: the caller's own tensor follows.
  static void give_back_dirty(const Moving& moving, Applied& result,
                              const std::vector<Tensor>& inputs, int level) {
    for (size_t i = 0; i < result.outputs.size(); ++i) {
      const Tensor& written = moving.below.outputs[i];
      const int input = written.defined() ? find(moving.inputs, written) : -1;
      Tensor& output = result.outputs[i];
      if (input < 0 || output.is_same(inputs[static_cast<size_t>(input)])) continue;
      const Tensor& original = inputs[static_cast<size_t>(input)];
      if (original->base) {
        throw UnsupportedError(core::text(
            result.node->name(), ": mark_dirty of a view is not available in forward mode"));
      }
      Edge edge = gradient_edge(output);
      if (edge.node) set_edge(original, std::move(edge.node), edge.output);
      set_tangent(original, level, {});
      set_series(original, level, series_at(output, level));
      output = original;
    }
  }

  static void finish(FunctionCall& call, const NodeRef& ref, const std::vector<Tensor>& inputs,
                     std::vector<Tensor>& outputs, bool record, int level) {
    FunctionNode& node = *ref->as_function();
    node.input_count_ = static_cast<int>(inputs.size());
    if (call.tangent_levels_ > 0) {
      node.forward_inputs_ = inputs;
      node.forward_outputs_ = outputs;
      node.forward_non_differentiable_ = node.non_differentiable;
    }
    check_dirty(node, inputs, outputs, record);
    if (record) {
      connect_and_save(node, inputs, outputs, level);
      node.take_number();
      node.outputs.resize(static_cast<int>(outputs.size()));
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].defined()) place(ref, inputs, outputs[i], static_cast<int>(i), record);
    }
    if (record && (core::thread_state.watch & core::kWatchAnomaly)) [[unlikely]] {
      std::vector<Tensor> made;
      for (const Tensor& output : outputs) {
        if (output.defined()) made.push_back(output);
      }
      const Borrowed borrowed(inputs);
      note_values(node, Inputs(borrowed).tensors, Inputs(borrowed).count, made);
    }
    node.finished_ = true;
    node.dirty.clear();
    node.non_differentiable.clear();
    if (call.tangent_levels_ > 0) return;
    node.to_save.clear();
    node.to_save_for_forward.clear();
  }

  static void check_dirty(const FunctionNode& node, const std::vector<Tensor>& inputs,
                          const std::vector<Tensor>& outputs, bool record) {
    for (const Tensor& each : node.dirty) {
      if (find(outputs, each) < 0) {
        throw GradError(core::text(
            node.name(), ": a tensor marked as dirty in forward (", core::describe(each),
            ") was not returned as output. The inputs that are modified inplace must all be "
            "outputs of the Function"));
      }
      if (record && find(inputs, each) >= 0) check_writable(node.name().c_str(), each);
    }
  }

  /// Edges, and saved tensors: an input or output is found again through the node's edges; anything
  /// else gets an edge of its own behind them, so that it stays where it is on the tape.
  static void connect_and_save(FunctionNode& node, const std::vector<Tensor>& inputs,
                               const std::vector<Tensor>& outputs, int level) {
    std::vector<int> others;
    for (const Tensor& each : node.to_save) {
      const bool own = !each.defined() || find(inputs, each) >= 0 || find(outputs, each) >= 0;
      if (!own) others.push_back(0);
    }
    const int count = node.input_count_;
    node.set_lifted(level >= 0);
    node.edges.resize(count + static_cast<int>(others.size()));
    for (int i = 0; i < count; ++i) {
      const Tensor& input = inputs[static_cast<size_t>(i)];
      if (input->has(TensorImpl::kNeedsGrad) && level_of(input) == level)
        node.edges[i] = gradient_edge(input);
    }
    node.saved.resize(static_cast<int>(node.to_save.size()));
    int next_other = count;
    for (int k = 0; k < node.saved.size(); ++k) {
      const Tensor& each = node.to_save[static_cast<size_t>(k)];
      if (!each.defined()) continue;
      check_saveable(node, each);
      const int input = find(inputs, each), output = find(outputs, each);
      if (output >= 0 && (input < 0 || find(node.dirty, each) >= 0)) {
        node.saved[k].save_output(each, output);
      } else if (input >= 0) {
        node.saved[k].save_input(each, input);
      } else {
        if (level_of(each) == level) node.edges[next_other] = gradient_edge(each);
        node.saved[k].save_input(each, next_other++);
      }
    }
  }

  static void check_saveable(const FunctionNode& node, const Tensor& tensor) {
    if (tensor->has(TensorImpl::kInference) && !tensor->has(TensorImpl::kNeedsGrad) &&
        is_floating_point(tensor.dtype()) && !core::thread_state.inference) {
      throw GradError(core::text(node.name(),
                                 ": inference tensors cannot be saved for backward; clone() the ",
                                 core::describe(tensor), " outside inference_mode to use it here"));
    }
  }

  /// Makes `output` a result of the node, as far as it is one.
  static void place(const NodeRef& ref, const std::vector<Tensor>& inputs, Tensor& output, int i,
                    bool record) {
    FunctionNode& node = *ref->as_function();
    const int input = find(inputs, output);
    const bool modified = input >= 0 && find(node.dirty, output) >= 0;
    const bool differentiable =
        record && is_floating_point(output.dtype()) && find(node.non_differentiable, output) < 0;
    if (record) node.outputs[i].set(output);
    if (modified) {
      if (!differentiable) return;
      Tensor value = plain_alias(output);
      set_edge(value, ref, static_cast<uint32_t>(i));
      record_write(output, value);
      return;
    }
    if (input >= 0) {
      const NoGradGuard guard;
      output = as_view(output);
    } else if (record && output.requires_grad() && (!differentiable || output.is_leaf())) {
      output = plain_alias(output);  // recorded inside forward(), or somebody's parameter
    }
    if (!differentiable) return;
    set_edge(output, ref, static_cast<uint32_t>(i));
    if (output->base) meta(output).custom_view = true;
  }
};

FunctionCall::~FunctionCall() = default;

std::vector<Tensor> FunctionCall::run(const std::vector<Tensor>& inputs) {
  return FunctionRecorder::apply(*this, inputs).outputs;
}

}  // namespace autograd

// --- functions written in C++
// ----------------------------------------------------------------------------------------

namespace {

std::string readable_name(const detail::FunctionTable& table) {
  if (table.name) return table.name;
  int status = 0;
  char* text = abi::__cxa_demangle(table.type_name, nullptr, nullptr, &status);
  std::string name = status == 0 && text ? text : table.type_name;
  std::free(text);
  const size_t scope = name.rfind("::");
  return scope == std::string::npos ? name : name.substr(scope + 2);
}

/// Stands behind the gradients of a backward() that cannot be differentiated.
struct Refusal : Function<Refusal> {
  static Tensor forward(AutogradContext*, const Tensor& gradient) { return gradient; }
  // NOLINTNEXTLINE(performance-unnecessary-value-param): the signature of every backward()
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor>) {
    throw GradError(
        "trying to differentiate twice a function that is once_differentiable; write its backward "
        "in operations and take the mark away");
  }
};

class CppNode final : public autograd::FunctionNode {
 public:
  explicit CppNode(const detail::FunctionTable& table) : table_(table), context(this) {}
  std::string name() const override { return backward_name(readable_name(table_).c_str()); }

 protected:
  std::vector<Tensor> backward(std::vector<Tensor> gradients) override {
    if (!table_.once_differentiable || !is_grad_enabled())
      return select("backward", "gradients", table_.backward(&context, std::move(gradients)));
    std::vector<Tensor> results;
    {
      const NoGrad guard;
      results = select("backward", "gradients", table_.backward(&context, std::move(gradients)));
    }
    // Any second derivative passes here, whether it comes by the gradients or by what was saved.
    for (Tensor& result : results) {
      if (result.defined()) result = Refusal::apply(result.detach().set_requires_grad(true));
    }
    return results;
  }

 private:
  /// From one for each argument to one for each tensor.
  std::vector<Tensor> select(const char* function, const char* what,
                             std::vector<Tensor> all) const {
    if (all.size() != arguments.size()) {
      throw GradError(core::text("function ", name(), ": ", function,
                                 " returned an incorrect number of ", what, " (expected ",
                                 arguments.size(), ", got ", all.size(), ")"));
    }
    std::vector<Tensor> result;
    for (size_t i = 0; i < all.size(); ++i) {
      if (arguments[i]) {
        result.push_back(std::move(all[i]));
      } else if (all[i].defined()) {
        throw GradError(core::text("function ", name(), " returned a defined gradient at index ", i,
                                   ", but that argument of forward is not a tensor"));
      }
    }
    return result;
  }
  const detail::FunctionTable& table_;

 public:
  AutogradContext context;
};

bool batched_anywhere(const Tensor& tensor) {
  autograd::Lifted record = autograd::lifted(tensor);
  while (record.level >= 0 && record.dim < 0) record = autograd::lifted(record.inner);
  return record.level >= 0;
}

class CppCall final : public autograd::FunctionCall {
 public:
  CppCall(const detail::FunctionTable& table, std::vector<bool> is_tensor,
          const detail::FunctionBody& body)
      : table_(table), is_tensor_(std::move(is_tensor)), body_(body) {}

  std::string name() const override { return readable_name(table_); }

  autograd::NodeRef make_node(const std::vector<Tensor>& inputs) override {
    auto* node = new CppNode(table_);
    size_t next = 0;
    for (const bool tensor : is_tensor_)
      node->arguments.push_back(tensor ? (inputs[next++].requires_grad() ? 2 : 1) : 0);
    return autograd::NodeRef::adopt(node);
  }

  std::vector<Tensor> forward(autograd::FunctionNode& node,
                              const std::vector<Tensor>& inputs) override {
    AutogradContext* context = &static_cast<CppNode&>(node).context;
    std::vector<Tensor> outputs = body_.forward(context, inputs);
    if (table_.has_setup_context) body_.setup_context(context, inputs, outputs);
    writes_ |= !node.dirty.empty();
    return outputs;
  }

  void setup(autograd::FunctionNode& node, const std::vector<Tensor>& inputs,
             const std::vector<Tensor>& outputs) override {
    if (table_.has_setup_context) {
      body_.setup_context(&static_cast<CppNode&>(node).context, inputs, outputs);
      return;
    }
    // forward() runs once more for what it tells the context: on memory that it may read, unless it
    // would see another shape there. What it saves are other tensors, with the same values.
    std::vector<Tensor> given = inputs;
    if (std::none_of(inputs.begin(), inputs.end(), batched_anywhere)) {
      for (Tensor& each : given) each = autograd::bottom(each).detach();
    }
    const std::vector<Tensor> again = forward(node, given);
    const auto follow = [](Tensor& each, const std::vector<Tensor>& from,
                           const std::vector<Tensor>& to) {
      const int place = each.defined() ? autograd::find(from, each) : -1;
      if (place >= 0) each = to[static_cast<size_t>(place)];
      return place >= 0;
    };
    for (auto* list : {&node.to_save, &node.non_differentiable}) {
      for (Tensor& each : *list) {
        if (!follow(each, again, outputs)) follow(each, given, inputs);
      }
    }
  }

  std::vector<Tensor> batched(const std::vector<Tensor>& inputs, const std::vector<int>& in_dims,
                              int64_t size, std::vector<int>& out_dims) override {
    if (!table_.has_vmap) return by_samples(inputs, in_dims, size, out_dims);
    VmapInfo info{size, static_cast<VmapInfo::Randomness>(randomness), {}};
    size_t next = 0;
    for (const bool tensor : is_tensor_) info.in_dims.push_back(tensor ? in_dims[next++] : -1);
    auto [outputs, dims] = body_.vmap(info, inputs);
    bool fits = outputs.size() == dims.size();
    for (size_t i = 0; fits && i < dims.size(); ++i) {
      fits = !outputs[i].defined() || dims[i] < 0 ||
             (dims[i] < outputs[i].dim() && outputs[i].size(dims[i]) == size);
    }
    if (!fits) {
      throw ShapeError(core::text(name(),
                                  ": vmap must return a batch dimension for each output, of size ",
                                  size, ", or -1 where there is none"));
    }
    out_dims = dims;
    return outputs;
  }

  std::vector<Tensor> jvp(autograd::FunctionNode& node, std::vector<Tensor> tangents) override {
    if (!table_.jvp) {
      throw UnsupportedError(
          core::text(name(),
                     ": forward mode needs a jvp function; add `static std::vector<Tensor> "
                     "jvp(AutogradContext*, std::vector<Tensor> tangents)`"));
    }
    std::vector<Tensor> all;
    size_t next = 0;
    for (const bool tensor : is_tensor_) all.push_back(tensor ? tangents[next++] : Tensor());
    return table_.jvp(&static_cast<CppNode&>(node).context, std::move(all));
  }

 private:
  std::vector<Tensor> by_samples(const std::vector<Tensor>& inputs, const std::vector<int>& in_dims,
                                 int64_t size, std::vector<int>& out_dims) const {
    std::vector<std::vector<Tensor>> samples;
    Generator& generator = default_generator();
    const uint64_t seed = generator.initial_seed(), offset = generator.offset();
    for (int64_t i = 0; i < size; ++i) {
      if (randomness == autograd::Randomness::Same) generator.set_state(seed, offset);
      std::vector<Tensor> given;
      for (size_t k = 0; k < inputs.size(); ++k) {
        given.push_back(in_dims[k] < 0 ? inputs[k] : select(inputs[k], in_dims[k], i));
        // Whether forward() writes into its inputs is known after the first sample.
        if (i == 0) given.back() = clone(given.back());
      }
      CppCall call(table_, is_tensor_, body_);
      samples.push_back(call.run(given));
      if (call.writes_) autograd::refuse_dirty(name());
      if (randomness == autograd::Randomness::Error && generator.offset() != offset) {
        throw Error(core::text(name(),
                               ": vmap: drew random numbers while in randomness error mode; say "
                               "randomness='same' or 'different'"));
      }
    }
    std::vector<Tensor> outputs = autograd::join_samples(name().c_str(), std::move(samples));
    out_dims.assign(outputs.size(), 0);
    return outputs;
  }

  const detail::FunctionTable& table_;
  std::vector<bool> is_tensor_;
  const detail::FunctionBody& body_;
  bool writes_ = false;
};

}  // namespace

namespace detail {

std::vector<Tensor> apply_function(const FunctionTable& table, std::vector<bool> is_tensor,
                                   const std::vector<Tensor>& inputs, const FunctionBody& body) {
  for (const Tensor& input : inputs) {
    if (!input.defined())
      throw ValueError(core::text(readable_name(table), ": an argument is an undefined tensor"));
  }
  return CppCall(table, std::move(is_tensor), body).run(inputs);
}

}  // namespace detail

void AutogradContext::save_for_backward(std::vector<Tensor> tensors) {
  node_->to_save = std::move(tensors);
}
std::vector<Tensor> AutogradContext::get_saved_variables() const { return node_->saved_tensors(); }
void AutogradContext::mark_dirty(const std::vector<Tensor>& inputs) { node_->dirty = inputs; }
void AutogradContext::mark_non_differentiable(const std::vector<Tensor>& outputs) {
  node_->non_differentiable = outputs;
}
void AutogradContext::set_materialize_grads(bool value) { node_->materialize = value; }
bool AutogradContext::needs_input_grad(size_t argument) const {
  return argument < node_->arguments.size() && node_->arguments[argument] == 2;
}

}  // namespace tapegrad
