#include "autograd/lifted.h"

#include <algorithm>

#include "autograd/entry.h"
#include "core/text.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad::autograd {

namespace {

Tensor moved(const Tensor& tensor, int from, int to) {
  if (from == to) return tensor;
  Dims order;
  for (int d = 0; d < static_cast<int>(tensor.dim()); ++d) {
    if (d != from) order.push_back(d);
  }
  order.insert(to, from);
  return permute(tensor, order);
}

}  // namespace

int level_of(const Tensor& tensor) {
  return tensor->has(TensorImpl::kBatched) ? meta(tensor).extra->batch_level : -1;
}

Lifted lifted(const Tensor& tensor) {
  if (!tensor->has(TensorImpl::kBatched)) return {tensor, -1, -1};
  const MetaExtra& extra = *meta(tensor).extra;
  return {extra.batch_inner, extra.batch_dim, extra.batch_level};
}

Tensor lift(const Tensor& inner, int dim, int level) {
  Dims sizes(inner.sizes()), strides(inner.strides());
  if (dim >= 0) {
    sizes.erase(dim);
    strides.erase(dim);
  }
  Tensor result = core::make_alias(inner, sizes, strides, inner.storage_offset());
  Meta& m = meta(result);
  m.extra = std::make_unique<MetaExtra>();
  m.extra->batch_inner = inner;
  m.extra->batch_dim = dim;
  m.extra->batch_level = level;
  result->set(TensorImpl::kBatched, true);
  result->set(TensorImpl::kWrappedNumber, inner->has(TensorImpl::kWrappedNumber));
  return result;
}

Tensor lower(const Tensor& tensor, int level) {
  const Lifted record = lifted(tensor);
  if (record.level < level) return tensor;
  if (record.level == level) return record.inner;
  const Tensor inner = lower(record.inner, level);
  return inner.is_same(record.inner) ? tensor : lift(inner, record.dim, record.level);
}

Tensor lower_batch(const Tensor& tensor, int dim, int level, int64_t size) {
  const Lifted record = lifted(tensor);
  if (record.level > level) {
    throw GradError(core::text("vmap: a result is a tensor of a transform that was left: a ",
                               core::describe(tensor), "; return it from that transform instead"));
  }
  if (record.level == level && record.dim >= 0) {
    return moved(record.inner, record.dim, dim);
  }
  const Tensor repeated = unsqueeze(record.level == level ? record.inner : tensor, dim);
  Dims sizes(repeated.sizes());
  sizes[dim] = size;
  return expand(repeated, sizes);
}

namespace {

struct LiftedInPlace {
  int level;
  Tensor tensor;
};
thread_local std::vector<LiftedInPlace> lifted_in_place;

void take_edge(const Tensor& to, const Tensor& from) {
  Edge edge = gradient_edge(from);
  Meta& m = meta(to);
  m.node = NodeRef();
  m.leaf = true;
  to->set(TensorImpl::kNeedsGrad, false);
  if (edge.node) set_edge(to, std::move(edge.node), edge.output);
}

}  // namespace

void lift_in_place(const Tensor& tensor, int level) {
  if (tensor->base && level_of(Tensor::share(tensor->base)) < level)
    lift_in_place(Tensor::share(tensor->base), level);
  Tensor inner = plain_alias(tensor);
  take_edge(inner, tensor);
  if (tensor->base) mark_view(inner, lifted(Tensor::share(tensor->base)).inner);
  Meta& m = meta(tensor);
  m.node = NodeRef();
  m.leaf = true;
  tensor->set(TensorImpl::kNeedsGrad, false);
  if (!m.extra) m.extra = std::make_unique<MetaExtra>();
  m.extra->batch_inner = std::move(inner);
  m.extra->batch_dim = -1;
  m.extra->batch_level = level;
  tensor->set(TensorImpl::kBatched, true);
  lifted_in_place.push_back({level, tensor});
}

void close_grad_level(int level) {
  close_level("grad", level);
  while (!lifted_in_place.empty() && lifted_in_place.back().level >= level) {
    const Tensor tensor = std::move(lifted_in_place.back().tensor);
    lifted_in_place.pop_back();
    MetaExtra& extra = *meta(tensor).extra;
    const Tensor inner = std::move(extra.batch_inner);
    const bool lifted_below = inner->has(TensorImpl::kBatched);
    if (lifted_below) {
      const Lifted below = lifted(inner);
      extra.batch_inner = below.inner;
      extra.batch_dim = below.dim;
      extra.batch_level = below.level;
    }
    tensor->set(TensorImpl::kBatched, lifted_below);
    take_edge(tensor, inner);
  }
}

Tensor plain_alias(const Tensor& tensor) {
  if (tensor->has(TensorImpl::kBatched)) {
    const Lifted record = lifted(tensor);
    return lift(record.inner, record.dim, record.level);
  }
  return core::make_alias(tensor, tensor.sizes(), tensor.strides(), tensor.storage_offset());
}

Batch::Batch(Inputs inputs) {
  for (int i = 0; i < inputs.size(); ++i) level_ = std::max(level_, level_of(inputs[i]));
  for (int i = 0; i < inputs.size(); ++i) {
    seen_.push_back(&inputs[i]);
    parts_.push_back(level_of(inputs[i]) == level_ ? lifted(inputs[i]) : Lifted{inputs[i], -1, -1});
    const Lifted& part = parts_.back();
    if (part.dim < 0) continue;
    any_ = true;
    size_ = part.inner.size(part.dim);
  }
}

Tensor Batch::lead(int i) const {
  const Lifted& p = part(i);
  return p.dim < 0 ? p.inner : moved(p.inner, p.dim, 0);
}

Tensor Batch::front(int i) const {
  const Lifted& p = part(i);
  if (p.dim >= 0) return lead(i);
  Dims sizes(p.inner.sizes());
  sizes.insert(0, size_);
  return expand(p.inner, sizes);
}

Tensor Batch::dense_front(int i) const {
  const Tensor tensor = front(i);
  return seen(i).is_contiguous() ? contiguous(tensor) : tensor;
}

Tensor Batch::aligned(int i, int64_t ndim) const {
  const Lifted& p = part(i);
  if (p.dim < 0) return p.inner;
  Tensor tensor = lead(i);
  if (tensor.dim() - 1 == ndim) return tensor;
  Dims sizes;
  sizes.push_back(size_);
  for (int64_t d = tensor.dim() - 1; d < ndim; ++d) sizes.push_back(1);
  for (const int64_t size : tensor.sizes().subspan(1)) sizes.push_back(size);
  return reshape(tensor, sizes);
}

std::vector<Tensor> Batch::aligned() const {
  const int64_t ndim = max_dim();
  std::vector<Tensor> inputs;
  for (int i = 0; i < count(); ++i) {
    Tensor input = aligned(i, ndim);
    // A 0-d sample is weaker in promotion than a tensor with dimensions; the batch of them is not.
    if (is_batched(i) && ndim > 0 && seen(i).dim() == 0) {
      for (int k = 0; k < count(); ++k) {
        const DType dtype = seen(k).dtype();
        if (seen(k).dim() > 0 && is_floating_point(dtype) == is_floating_point(input.dtype()) &&
            dtype != DType::Bool && input.dtype() != DType::Bool)
          input = to(input, dtype);
      }
    }
    inputs.push_back(std::move(input));
  }
  return inputs;
}

std::vector<Tensor> Batch::inner() const {
  std::vector<Tensor> inputs;
  for (const Lifted& each : parts_) inputs.push_back(each.inner);
  return inputs;
}

int64_t Batch::max_dim() const {
  int64_t result = 0;
  for (const Tensor* tensor : seen_) result = std::max(result, tensor->dim());
  return result;
}

Tensor bottom(const Tensor& tensor) {
  Lifted record = lifted(tensor);
  while (record.level >= 0) record = lifted(record.inner);
  return record.inner;
}

bool any_below(const Tensor& flags) {
  const Tensor all = bottom(flags).detach();
  return any(all).item().to_bool();
}

namespace {

Tensor match_levels(const Tensor& tensor, const Tensor& like) {
  const Lifted record = lifted(like);
  if (record.level <= level_of(tensor)) return tensor;
  const Tensor inner = match_levels(tensor, record.inner);
  if (record.dim < 0) return lift(inner, -1, record.level);
  Dims sizes(inner.sizes());
  sizes.insert(0, record.inner.size(record.dim));
  return lift(expand(inner, sizes), 0, record.level);
}

}  // namespace

Tensor room_for(const Tensor& source, const Tensor& target) {
  return level_of(source) <= level_of(target) ? target : clone(match_levels(target, source));
}

std::vector<Tensor> sample(const Batch& batch, int64_t i) {
  std::vector<Tensor> inputs;
  for (int k = 0; k < batch.count(); ++k) {
    inputs.push_back(batch.is_batched(k) ? select(batch.inner(k), batch.dim(k), i)
                                         : batch.inner(k));
  }
  return inputs;
}

std::vector<Tensor> join_samples(const char* op, std::vector<std::vector<Tensor>> samples) {
  if (samples.empty()) {
    throw UnsupportedError(
        core::text("vmap: ", op,
                   " runs sample by sample, which needs at least one sample; the batch is empty"));
  }
  for (const std::vector<Tensor>& outputs : samples) {
    if (outputs.size() != samples[0].size()) {
      throw UnsupportedError(core::text("vmap: ", op, " gave ", samples[0].size(),
                                        " results for one sample and ", outputs.size(),
                                        " for another; they cannot be stacked"));
    }
  }
  std::vector<Tensor> results;
  for (size_t k = 0; k < samples[0].size(); ++k) {
    std::vector<Tensor> parts;
    for (const std::vector<Tensor>& outputs : samples) {
      if (!outputs[k].defined()) {
        throw UnsupportedError(core::text("vmap: result ", k, " of ", op,
                                          " is an undefined tensor, which cannot be stacked; give "
                                          "the function a vmap rule, or return an empty tensor"));
      }
      if (!(outputs[k].sizes() == samples[0][k].sizes())) {
        throw UnsupportedError(
            core::text("vmap: the results of ", op, " differ in shape between samples, ",
                       shape_string(samples[0][k].sizes()), " and ",
                       shape_string(outputs[k].sizes()), "; they cannot be stacked"));
      }
      parts.push_back(outputs[k]);
    }
    results.push_back(stack(parts));
  }
  return results;
}

}  // namespace tapegrad::autograd
