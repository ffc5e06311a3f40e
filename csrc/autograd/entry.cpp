#include "autograd/entry.h"

#include <algorithm>

#include "autograd/anomaly.h"
#include "core/text.h"
#include "tapegrad/error.h"

namespace tapegrad::autograd {

namespace {

bool needs_grad_at(const Tensor& input, int level) {
  return input->has(TensorImpl::kNeedsGrad) && level_of(input) == level;
}

bool in_mask(unsigned mask, int i) { return ((mask >> (i < 31 ? i : 31)) & 1u) != 0; }

void save(Node& node, Inputs inputs, SavedMasks masks, const Tensor* outputs, int count) {
  int total = 0;
  for (int i = 0; i < inputs.count; ++i) total += in_mask(masks.inputs, i);
  for (int i = 0; i < count; ++i) total += in_mask(masks.outputs, i);
  if (total == 0) return;
  node.saved.resize(total);
  int next = 0;
  for (int i = 0; i < inputs.count; ++i) {
    if (!in_mask(masks.inputs, i)) continue;
    if (inputs[i]->has(TensorImpl::kInference) && inputs[i]->has(TensorImpl::kNeedsGrad) == false &&
        is_floating_point(inputs[i].dtype())) {
      throw GradError(
          core::text(node.name(), ": inference tensors cannot be saved for backward; clone() the ",
                     core::describe(inputs[i]), " outside inference_mode to use it here"));
    }
    node.saved[next++].save_input(inputs[i], i);
  }
  for (int i = 0; i < count; ++i) {
    if (in_mask(masks.outputs, i)) node.saved[next++].save_output(outputs[i], i);
  }
}

}  // namespace

unsigned needs_mask(Inputs inputs, int level) {
  unsigned mask = 0;
  for (int i = 0; i < inputs.count; ++i) {
    if (needs_grad_at(inputs[i], level)) mask |= 1u << (i < 31 ? i : 31);
  }
  return mask;
}

void connect(Node& node, Inputs inputs, int level) {
  node.set_lifted(level >= 0);
  node.edges.resize(inputs.count);
  for (int i = 0; i < inputs.count; ++i) {
    if (needs_grad_at(inputs[i], level)) node.edges[i] = gradient_edge(inputs[i]);
  }
}

void finish(const NodeRef& node, Inputs inputs, SavedMasks masks, Tensor* outputs, int count,
            int level) {
  connect(*node, inputs, level);
  save(*node, inputs, masks, outputs, count);
  node->take_number();
  node->outputs.resize(count);
  for (int i = 0; i < count; ++i) {
    node->outputs[i].set(outputs[i]);
    if (!is_floating_point(outputs[i].dtype())) continue;
    set_edge(outputs[i], node, static_cast<uint32_t>(i));
  }
  if (core::thread_state.watch & core::kWatchAnomaly) [[unlikely]]
    note_values(*node, inputs.tensors, inputs.count, {outputs, static_cast<size_t>(count)});
}

void mark_view(Tensor& view, const Tensor& base) {
  if (view.is_same(base)) return;
  TensorImpl* root = base->base ? base->base : base.impl();
  if (view->base !=
      root) {  // another one: the base without its tangent, from which the view was made
    core::retain(root);
    TensorImpl* old = std::exchange(view->base, root);
    if (old) core::release(old);
  }
  view->view_version = view->version();
  if (!core::thread_state.grad_enabled && (entry_flags(base) & TensorImpl::kNeedsGrad)) {
    meta(view).no_grad_view = true;
  }
}

bool tangents_first(Inputs inputs) {
  int lifted_level = -1, tangent_level = -1;
  for (int i = 0; i < inputs.count; ++i) {
    lifted_level = std::max(lifted_level, level_of(inputs[i]));
    tangent_level = std::max(tangent_level, highest_level(inputs[i]));
  }
  return tangent_level > lifted_level;
}

}  // namespace tapegrad::autograd
