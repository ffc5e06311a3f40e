#include "autograd/inplace.h"

#include <algorithm>

#include "autograd/as_strided.h"
#include "autograd/entry.h"
#include "autograd/lifted.h"
#include "autograd/view_copies.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::autograd {
namespace {

bool overlaps_itself(const Tensor& tensor) {
  if (tensor->numel() == 0) return false;
  for (size_t i = 0; i < tensor->sizes().size(); ++i) {
    if (tensor->strides()[i] == 0 && tensor->sizes()[i] > 1) return true;
  }
  return false;
}

[[noreturn]] void refuse_shared_write(const char* op, const Tensor& self) {
  throw UnsupportedError(core::text(
      op,
      ": vmap: values that differ between samples cannot be written into a tensor that all "
      "samples share (",
      core::describe(self),
      "); work out of place, or make the tensor from a batched one, for example by x.new_zeros()"));
}

/// A result that was overwritten by constants: still on the tape, with nothing flowing further.
struct OverwriteRule : Rule {
  static constexpr const char* name = "Overwrite";
  Tensor forward(Inputs in) { return in[0]; }
  void pull(Pull&) const {}
};

void check_result(const char* op, const Tensor& self, const Tensor& value) {
  const Dims shape = broadcast_shapes(op, self.sizes(), value.sizes());
  if (!(IntSpan(shape) == self.sizes())) {
    throw ShapeError(core::text(op, ": output with shape ", shape_string(self.sizes()),
                                " doesn't match the broadcast shape ", shape_string(shape),
                                "; use the out-of-place form"));
  }
  if (!can_cast(value.dtype(), self.dtype())) {
    throw DTypeError(core::text(op, ": result type ", dtype_name(value.dtype()),
                                " can't be cast to the desired output type ",
                                dtype_name(self.dtype()),
                                "; use the out-of-place form or convert the tensor first"));
  }
}

/// Copies `value` into the lifted tensor `self`, sample by sample.
void write_lifted(const char* op, Tensor& self, const Tensor& value) {
  const Lifted to = lifted(self);
  const Lifted from = level_of(value) == to.level ? lifted(value) : Lifted{value, -1, -1};
  Tensor inner = to.inner, source = from.inner;
  if (from.dim >= 0) {
    const Tensor* inputs[] = {&self, &value};
    const Batch batch(Inputs{inputs, 2});
    source = batch.aligned(1, self.dim());
    if (to.dim < 0) refuse_shared_write(op, self);
    inner = batch.lead(0);  // a view
  } else if (to.dim >= 0) {
    source = unsqueeze(expand(source, self.sizes()), to.dim);
  }
  assign_inplace(op, inner, source);
}

bool needs_grad(const Tensor& tensor) {
  return (entry_flags(tensor) & TensorImpl::kNeedsGrad) != 0;
}

/// Whether a write of `value` is recorded on the tape of `level` (-1: the plain one).
bool records_at(int level, const Tensor& self, const Tensor& value) {
  if (level < 0) return true;
  if (level == core::thread_state.silent_level) return false;
  return needs_grad(self) || (level_of(value) == level && needs_grad(value));
}

}  // namespace

void check_writable(const char* op, const Tensor& self) {
  if (overlaps_itself(self)) {
    throw ShapeError(core::text(
        op, ": more than one element of the written-to ", core::describe(self),
        " refers to a single memory location (it was expanded). Please clone() the tensor "
        "before performing the operation"));
  }
  if (self->has(TensorImpl::kInference) && !core::thread_state.inference) {
    throw GradError(
        core::text(op,
                   ": in-place update to an inference tensor outside InferenceMode is not allowed; "
                   "clone() it first"));
  }
  check_view_copies(op, self);
  if (!core::thread_state.grad_enabled || !needs_grad(self)) return;
  if (meta(self).leaf) {
    throw GradError(core::text(
        op, ": a leaf Variable that requires grad is being used in an in-place operation (",
        core::describe(self), "). Wrap the update in no_grad() or work out of place"));
  }
  if (self->base) {
    const Tensor base = Tensor::share(self->base);
    if (needs_grad(base) && meta(base).leaf) {
      throw GradError(
          core::text(op,
                     ": a view of a leaf Variable that requires grad is being used in an in-place "
                     "operation (",
                     core::describe(self), "). Wrap the update in no_grad() or work out of place"));
    }
  }
}

bool must_record(const Tensor& self, const Tensor& value) {
  return core::thread_state.grad_enabled && (needs_grad(self) || needs_grad(value));
}

void record_write(Tensor& self, const Tensor& value) {
  if (self->base) {
    const Meta* m = meta_or_null(self);
    if (m && m->custom_view) {
      throw GradError(core::text(
          "a view that ", m->node ? m->node->name() : std::string("a custom Function"),
          " returned is being modified in place: the write would override the derivative of the "
          "custom Function. clone() the output of the custom Function"));
    }
    if (m && m->no_grad_view) {
      throw GradError(
          "a view that was created in no_grad mode is being modified in place with grad mode "
          "enabled: its "
          "history would be lost. Create the view with grad mode enabled, or modify it under "
          "no_grad()");
    }
    const Tensor base = Tensor::share(self->base);
    rebase_on_write(base, self, value);
    refresh_view(self);
    return;
  }
  Edge edge = gradient_edge(value);
  if (!edge.node) {
    const Tensor* inputs[] = {&self};
    NodeRef node = NodeRef::adopt(new RuleNode<OverwriteRule>(OverwriteRule{}));
    finish(node, Inputs{inputs, 1}, {0, 0}, &self, 1, level_of(self));
    return;
  }
  set_edge(self, std::move(edge.node), edge.output);
}

Tensor& assign_inplace(const char* op, Tensor& self, const Tensor& value) {
  check_writable(op, self);
  check_result(op, self, value);
  const int level = std::max(level_of(self), level_of(value));
  if (level_of(self) < level) {
    if (!is_grad_level(level)) refuse_shared_write(op, self);
    lift_in_place(self, level);
  }
  const bool record = must_record(self, value) && records_at(level, self, value);
  const bool tangents = ((entry_flags(self) | entry_flags(value)) & TensorImpl::kHasTangent) != 0;
  Tensor source = value;
  if (record || tangents) {
    if (source.dtype() != self.dtype()) source = to(source, self.dtype());
    if (!(source.sizes() == self.sizes())) source = expand(source, self.sizes());
    // The old edge of `self` must be read before its memory changes.
    if (self->base) entry_flags(self);
  }
  if (level >= 0) {
    write_lifted(op, self, source);
    if (record && level_of(source) < level) source = lift(source, -1, level);
  } else {
    kernels::copy_values(self, source);
    self->bump_version();
  }
  if (record) record_write(self, source);
  if (tangents) assign_tangents(self, source);
  return self;
}

Tensor& assign_out(const char* op, Tensor& out, const Tensor& result) {
  if (core::thread_state.grad_enabled && (needs_grad(out) || needs_grad(result))) {
    throw GradError(core::text(
        op,
        ": functions with out=... arguments don't support automatic differentiation, but one "
        "of the arguments requires grad"));
  }
  if (!can_cast(result.dtype(), out.dtype())) {
    throw DTypeError(core::text(op, ": result type ", dtype_name(result.dtype()),
                                " can't be cast to the desired output type ",
                                dtype_name(out.dtype())));
  }
  if (!(out.sizes() == result.sizes())) {
    const Tensor fresh = core::make_tensor(result.sizes(), out.dtype());
    fresh->storage()->retain();
    out->reset(fresh->storage(), out.dtype(), fresh.sizes(), fresh.strides(), 0);
  }
  const NoGradGuard guard;
  check_writable(op, out);
  kernels::copy_values(out, result);
  out->bump_version();
  return out;
}

void set_data(Tensor& self, const Tensor& data) {
  const bool same = data.sizes() == self.sizes() && data.dtype() == self.dtype();
  const bool tracked = needs_grad(self);
  if (self->base) {
    throw GradError(
        "data: cannot be assigned to a view; assign to its base, or copy_() into the view");
  }
  if (tracked && !is_floating_point(data.dtype())) {
    throw GradError(core::text("data: cannot assign a ", core::describe(data),
                               " to a tensor that requires grad"));
  }
  if (tracked && !self.is_leaf() && !same) {
    throw GradError(core::text("data: cannot assign a ", core::describe(data), " to the ",
                               core::describe(self), " that an operation made; detach() it first"));
  }
  const uint32_t old_version = self->version();
  core::Storage* storage = data->storage();
  storage->retain();
  self->reset(storage, data.dtype(), data.sizes(), data.strides(), data.storage_offset());
  do {
    self->bump_version();
  } while (self->version() <= old_version);
  Meta* m = meta_or_null(self);
  if (same || !m || !m->leaf || !m->node) return;
  // The accumulator knows the old shape: a new one takes over its hooks.
  AccumulateGrad* old = m->node->as_accumulator();
  NodeRef fresh = NodeRef::adopt(new AccumulateGrad(self.impl()));
  AccumulateGrad* accumulator = fresh->as_accumulator();
  accumulator->post_hooks = old->post_hooks;
  if (const NodeHooks* hooks = old->hooks()) {
    accumulator->make_hooks().tensor_hooks = hooks->tensor_hooks;
    accumulator->make_hooks().pre_hooks = hooks->pre_hooks;
    accumulator->make_hooks().post_hooks = hooks->post_hooks;
  }
  old->forget_leaf();
  m->node = std::move(fresh);
}

void cut_from_tape(const Tensor& self) {
  Meta& m = meta(self);
  if (m.node && self->has(TensorImpl::kRetainsGrad)) {
    const std::lock_guard lock(Node::mutex_of(m.node.get()));
    if (NodeHooks* hooks = m.node->hooks()) {
      std::erase_if(hooks->retainers,
                    [&self](const auto& entry) { return entry.second == self.impl(); });
    }
    self->set(TensorImpl::kRetainsGrad, false);
  }
  m.node = NodeRef();
  m.leaf = true;
  self->set(TensorImpl::kNeedsGrad, false);
}

}  // namespace tapegrad::autograd
