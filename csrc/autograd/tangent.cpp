// Forward mode: tangents, and how they pass through an operation.
#include <algorithm>
#include <optional>
#include <utility>

#include "autograd/anomaly.h"
#include "autograd/as_strided.h"
#include "autograd/entry.h"
#include "autograd/level.h"
#include "core/text.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace autograd {
namespace {

class GradModeGuard {
 public:
  explicit GradModeGuard(bool enabled) : previous_(set_grad_enabled(enabled)) {}
  ~GradModeGuard() { set_grad_enabled(previous_); }
  GradModeGuard(const GradModeGuard&) = delete;
  GradModeGuard& operator=(const GradModeGuard&) = delete;

 private:
  bool previous_;
};

/// Where Note [Tangents from pull] records: a grad level of its own. Nodes of it save the primal as
/// it is, batched and with the tangents of other levels, and what they give back is on no other
/// tape than the primal was.
class TrickTape {
 public:
  explicit TrickTape(bool recorded) : recorded_(recorded), level_(open_level(Level::Kind::Grad)) {}
  ~TrickTape() { close_grad_level(level_); }
  TrickTape(const TrickTape&) = delete;
  TrickTape& operator=(const TrickTape&) = delete;

  int level() const { return level_; }
  /// `tensor` as the tapes below may see it: without a place on them in no_grad mode.
  Tensor outside(const Tensor& tensor) const {
    if (recorded_) return tensor;
    Tensor alias = plain_alias(tensor);
    copy_tangents(alias, tensor);
    return alias;
  }
  /// `tensor` as a leaf or an output of this tape.
  Tensor enter(const Tensor& tensor) const { return lift(outside(tensor), -1, level_); }
  std::vector<Tensor> gradients(const std::vector<Tensor>& outputs,
                                const std::vector<Tensor>& inputs,
                                const std::vector<Tensor>& weights) const {
    // Nothing more on this level's tape; what lies below records as ever.
    const int silent = std::exchange(core::thread_state.silent_level, level_);
    std::vector<Tensor> results;
    try {
      results = grad(outputs, inputs, weights, {.retain_graph = false, .create_graph = true}, true);
    } catch (...) {
      core::thread_state.silent_level = silent;
      throw;
    }
    core::thread_state.silent_level = silent;
    for (Tensor& result : results) {
      if (result.defined()) result = lower(result, level_);
    }
    return results;
  }

 private:
  bool recorded_;
  int level_;
};

/// Note [Tangents from pull]
/// pull is linear in the gradients u of the outputs: pull(u) = J^T u. So the tangent J t is the
/// gradient of <pull(u), t> with respect to u, at any u; u = 0 will do. An operation that gives
/// pull in differentiable form thereby has its forward mode, at the cost of a reverse pass, and the
/// two cannot disagree. (Townsend, "A new trick for calculating Jacobian vector products", 2017.)
std::vector<Tensor> tangents_from_pull(const Push& push, const TangentCallbacks& callbacks) {
  const bool recorded = core::thread_state.grad_enabled;
  const GradModeGuard guard(true);
  const int input_count = push.inputs.count;
  // Nothing recorded here outlives the function, unless the tangents are on the tape themselves.
  const QuietGuard quiet(recorded ? 0 : kWatchAll);
  const TrickTape tape(recorded);
  NodeRef node = callbacks.make_node(callbacks.rule, push.inputs);

  // Every input with a tangent needs an edge to receive its part of J^T u.
  std::vector<Tensor> stand_ins(static_cast<size_t>(input_count));
  std::vector<const Tensor*> connected(static_cast<size_t>(input_count));
  std::vector<char> wanted(static_cast<size_t>(input_count));
  for (int i = 0; i < input_count; ++i) {
    const auto k = static_cast<size_t>(i);
    wanted[k] = push.tangent(i).defined();
    stand_ins[k] = wanted[k] ? tape.enter(push.input(i)) : tape.outside(push.input(i));
    if (wanted[k]) stand_ins[k].set_requires_grad(true);
    connected[k] = &stand_ins[k];
  }
  std::vector<Tensor> outputs;
  for (const Tensor& output : push.outputs) outputs.push_back(tape.enter(output));
  const Inputs inputs{connected.data(), input_count};
  const SavedMasks masks = callbacks.masks(callbacks.rule, needs_mask(inputs, tape.level()));
  {
    const QuietGuard quiet_node;
    finish(node, inputs, masks, outputs.data(), static_cast<int>(outputs.size()), tape.level());
  }

  std::vector<Tensor> seeds, results(static_cast<size_t>(input_count));
  for (const Tensor& output : outputs) {
    seeds.emplace_back();
    if (!is_floating_point(output.dtype())) continue;
    seeds.back() = tape.enter(zeros(output.sizes(), output.dtype()));
    seeds.back().set_requires_grad(true);
  }
  static_assert(sizeof(bool) == sizeof(char));
  Pull pull(*node, seeds.data(), results.data(), reinterpret_cast<const bool*>(wanted.data()));
  node->pull(pull);

  std::vector<Tensor> pulled, directions;
  for (int i = 0; i < input_count; ++i) {
    Tensor& result = results[static_cast<size_t>(i)];
    if (!wanted[static_cast<size_t>(i)] || !result.defined() || !result.requires_grad()) continue;
    pulled.push_back(sum_to_size(result, push.input(i).sizes()));
    // Of the level too: a rule that looks whether anything watches must not find bare tensors.
    directions.push_back(to(tape.enter(push.tangent(i)), result.dtype()));
  }
  std::vector<Tensor> targets;
  for (const Tensor& seed : seeds) {
    if (seed.defined()) targets.push_back(seed);
  }
  std::vector<Tensor> gradients(targets.size());
  if (!pulled.empty()) gradients = tape.gradients(pulled, targets, directions);
  std::vector<Tensor> tangents(outputs.size());
  size_t next = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!seeds[i].defined()) continue;
    tangents[i] =
        gradients[next].defined() ? gradients[next] : zeros(outputs[i].sizes(), outputs[i].dtype());
    ++next;
  }
  return tangents;
}

}  // namespace

std::vector<Tensor> push_tangents(const Push& push, const TangentCallbacks& callbacks) {
  return callbacks.push ? callbacks.push(callbacks.rule, push)
                        : tangents_from_pull(push, callbacks);
}

Tensor tangent_at(const Tensor& tensor, int level) {
  const Meta* m = meta_or_null(tensor);
  if (!m || !m->extra) return {};
  for (const MetaExtra::Tangent& tangent : m->extra->tangents) {
    if (tangent.level == level) return tangent.value;
  }
  return {};
}

int highest_level(const Tensor& tensor) {
  const Meta* m = meta_or_null(tensor);
  if (!m || !m->extra) return -1;
  int level = -1;
  for (const MetaExtra::Tangent& tangent : m->extra->tangents) {
    if (tangent.level > level && is_open(tangent.level)) level = tangent.level;
  }
  return level;
}

void set_tangent(const Tensor& tensor, int level, const Tensor& value) {
  Meta& m = meta(tensor);
  if (!m.extra) m.extra = std::make_unique<MetaExtra>();
  std::erase_if(m.extra->tangents, [level](const auto& tangent) { return tangent.level == level; });
  if (value.defined()) m.extra->tangents.push_back({level, value, {}});
  tensor->set(TensorImpl::kHasTangent, !m.extra->tangents.empty());
}

namespace {

void add_tangent(const Tensor& tensor, const MetaExtra::Tangent& tangent) {
  Meta& m = meta(tensor);
  if (!m.extra) m.extra = std::make_unique<MetaExtra>();
  std::erase_if(m.extra->tangents, [&](const auto& each) { return each.level == tangent.level; });
  m.extra->tangents.push_back(tangent);
  tensor->set(TensorImpl::kHasTangent, true);
}

}  // namespace

void set_series(const Tensor& tensor, int level, std::vector<Tensor> coefficients) {
  while (!coefficients.empty() && !coefficients.back().defined()) coefficients.pop_back();
  if (coefficients.empty()) return;
  MetaExtra::Tangent tangent{level, std::move(coefficients[0]), {}};
  coefficients.erase(coefficients.begin());
  tangent.higher = std::move(coefficients);
  add_tangent(tensor, tangent);
}

std::vector<Tensor> series_at(const Tensor& tensor, int level) {
  const Meta* m = meta_or_null(tensor);
  if (!m || !m->extra) return {};
  for (const MetaExtra::Tangent& tangent : m->extra->tangents) {
    if (tangent.level != level) continue;
    std::vector<Tensor> series{tangent.value};
    series.insert(series.end(), tangent.higher.begin(), tangent.higher.end());
    return series;
  }
  return {};
}

void copy_tangents(const Tensor& to, const Tensor& from) {
  if (!from->has(TensorImpl::kHasTangent)) return;
  for (const MetaExtra::Tangent& tangent : meta(from).extra->tangents) add_tangent(to, tangent);
}

Tensor strip_tangent(const Tensor& tensor, int level) {
  Edge edge = gradient_edge(tensor);
  Tensor alias = plain_alias(tensor);
  if (edge.node) set_edge(alias, std::move(edge.node), edge.output);
  copy_tangents(alias, tensor);
  if (alias->has(TensorImpl::kHasTangent)) set_tangent(alias, level, {});
  return alias;
}

std::vector<Tensor> fill_tangents(const Push& push) {
  std::vector<Tensor> full;
  for (int i = 0; i < push.inputs.count; ++i) {
    const Tensor& input = push.input(i);
    if (push.tangent(i).defined()) {
      full.push_back(push.tangent(i));
    } else {
      full.push_back(is_floating_point(input.dtype()) ? zeros(input.sizes(), input.dtype())
                                                      : input);
    }
  }
  return full;
}

void refresh_tangents(const Tensor& view, const Tensor& base) {
  if (Meta* m = meta_or_null(view); m && m->extra) m->extra->tangents.clear();
  view->set(TensorImpl::kHasTangent, false);
  if (!base->has(TensorImpl::kHasTangent)) return;
  const std::vector<MetaExtra::Tangent> tangents = meta(base).extra->tangents;
  for (MetaExtra::Tangent tangent : tangents) {
    const auto shown = [&](Tensor& value) {
      if (value.defined()) value = take_window(value, base, view);
    };
    shown(tangent.value);
    for (Tensor& value : tangent.higher) shown(value);
    add_tangent(view, tangent);
  }
}

std::vector<Tensor> enter_with_tangents(Inputs inputs, const TangentCallbacks& callbacks) {
  int level = -1;
  for (int i = 0; i < inputs.count; ++i) level = std::max(level, highest_level(inputs[i]));
  if (taylor_order(level) >= 0) return enter_with_series(inputs, level, callbacks);
  if (laplacian_batch(level) >= 0) return enter_with_laplacian(inputs, level, callbacks);
  std::vector<Tensor> stripped(static_cast<size_t>(inputs.count)),
      tangents(static_cast<size_t>(inputs.count));
  std::vector<const Tensor*> pointers(static_cast<size_t>(inputs.count));
  for (int i = 0; i < inputs.count; ++i) {
    const auto k = static_cast<size_t>(i);
    tangents[k] = level >= 0 ? tangent_at(inputs[i], level) : Tensor();
    if (level < 0 && inputs[i]->has(TensorImpl::kHasTangent)) {
      // Only tangents of levels that were left: drop them all.
      stripped[k] = strip_tangent(inputs[i], -1);
      meta(stripped[k]).extra->tangents.clear();
      stripped[k]->set(TensorImpl::kHasTangent, false);
    } else {
      stripped[k] = tangents[k].defined() ? strip_tangent(inputs[i], level) : inputs[i];
    }
    pointers[k] = &stripped[k];
  }
  const Inputs primal{pointers.data(), inputs.count};
  std::vector<Tensor> outputs = callbacks.run(callbacks.rule, primal);
  if (level < 0) return outputs;
  const Push push{primal, outputs, tangents};
  const std::vector<Tensor> results = push_tangents(push, callbacks);
  for (size_t i = 0; i < outputs.size() && i < results.size(); ++i) {
    if (results[i].defined() && is_floating_point(outputs[i].dtype()))
      set_tangent(outputs[i], level, results[i]);
  }
  return outputs;
}

namespace {

/// As assign_tangents does for the tangent of a dual level, for each coefficient.
void assign_series(const Tensor& self, const Tensor& value, int level) {
  const std::vector<Tensor> written = series_at(value, level);
  if (self->base) {
    const Tensor base = Tensor::share(self->base);
    std::vector<Tensor> series = series_at(base, level);
    series.resize(std::max(series.size(), written.size()));
    for (size_t k = 0; k < series.size(); ++k) {
      const bool moves = k < written.size() && written[k].defined();
      const Tensor part = moves ? written[k] : zeros(self.sizes(), self.dtype());
      const Tensor all = series[k].defined() ? series[k] : zeros(base.sizes(), base.dtype());
      series[k] = put_window(all, part, base, self);
    }
    set_tangent(base, level, {});
    set_series(base, level, std::move(series));
  }
  set_tangent(self, level, {});
  set_series(self, level, written);
}

}  // namespace

void assign_tangents(Tensor& self, const Tensor& value) {
  std::vector<int> levels;
  for (const Tensor* tensor : {static_cast<const Tensor*>(&self), &value}) {
    const Meta* m = meta_or_null(*tensor);
    if (!m || !m->extra) continue;
    for (const MetaExtra::Tangent& tangent : m->extra->tangents) levels.push_back(tangent.level);
  }
  for (const int level : levels) {
    if (taylor_order(level) >= 0) {
      assign_series(self, value, level);
      continue;
    }
    const Tensor written = tangent_at(value, level);
    if (!self->base) {
      set_tangent(self, level, written);
      continue;
    }
    // The base's tangent changes in the window that `self` shows; the caller's own tensor stays as
    // it was.
    const Tensor base = Tensor::share(self->base);
    const Tensor before = tangent_at(base, level);
    const Tensor all = before.defined() ? before : zeros(base.sizes(), base.dtype());
    const Tensor part = written.defined() ? written : zeros(self.sizes(), self.dtype());
    set_tangent(base, level, put_window(all, part, base, self));
    set_tangent(self, level, part);
  }
}

}  // namespace autograd

int enter_dual_level() { return autograd::open_level(autograd::Level::Kind::Dual); }

void exit_dual_level(int level) { autograd::close_level("exit_dual_level", level); }

Tensor make_dual(const Tensor& primal, const Tensor& tangent, int level) {
  if (!is_floating_point(primal.dtype())) {
    throw DTypeError(
        core::text("make_dual: the primal must be floating point, got ", core::describe(primal)));
  }
  if (!(primal.sizes() == tangent.sizes()) || primal.dtype() != tangent.dtype()) {
    throw ShapeError(
        core::text("make_dual: the tangent must have the primal's shape and dtype, got ",
                   core::describe(tangent), " for ", core::describe(primal)));
  }
  if (!autograd::is_open(level))
    throw GradError(core::text("make_dual: level ", level, " is not open"));
  const Tensor dual = autograd::strip_tangent(primal, level);
  autograd::set_tangent(dual, level, tangent);
  return dual;
}

std::pair<Tensor, Tensor> unpack_dual(const Tensor& tensor, int level) {
  return {autograd::strip_tangent(tensor, level), autograd::tangent_at(tensor, level)};
}

}  // namespace tapegrad
