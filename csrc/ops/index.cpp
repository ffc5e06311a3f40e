// Reading and writing by index tensors: advanced indexing, index_select and its relatives, masks.
//
// Note [Indexed rows]
// Every read and write by index sees its tensor as (before, indexed, after): the dimensions in
// front of the indexed ones, the places that the indices name, and the rest. Where the indexed
// dimensions do not stand together, all others count as `after`, which puts the indices' shape
// first in the result, as in NumPy. A mask is one index into the joined dimensions that it covers:
// the positions of its true elements.
#include "kernels/index.h"

#include "core/launch.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "ops/indexing.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace ops {

Tensor index_values(const char* op, const Tensor& index) {
  if (index.dtype() == DType::Int64 && index.is_contiguous()) return index;
  if (index.dtype() != DType::Int64 && index.dtype() != DType::Int32) {
    throw DTypeError(core::text(op, ": index must be an int64 or int32 tensor, got a ",
                                core::describe(index), "; convert it with .long()"));
  }
  return contiguous(to(index, DType::Int64));
}

void check_range(const char* op, const Tensor& index, int64_t dim, int64_t size, bool wraps) {
  const int64_t count = index.numel();
  if (count == 0) return;
  if (index->has(TensorImpl::kBatched)) {
    check_range(op, contiguous(autograd::bottom(index)), dim, size, wraps);
    return;
  }
  const int64_t low = wraps ? -size : 0;
  const int64_t* values = static_cast<const int64_t*>(index.data());
  int64_t bad = 0;
  if (count <= 32) {
    for (int64_t i = 0; i < count; ++i) bad += values[i] < low || values[i] >= size;
  } else {
    const Tensor result = core::make_tensor({}, DType::Int64);
    core::launch(&kernels::check_indices, {core::out(result), core::in(index)},
                 kernels::CheckIndices{count, low, size - 1});
    bad = *static_cast<const int64_t*>(result.data());
  }
  if (bad == 0) return;
  int64_t first = 0;
  while (values[first] >= low && values[first] < size) ++first;
  throw IndexError(core::text(op, ": index ", values[first], " is out of bounds for dimension ",
                              dim, " with size ", size));
}

DType accumulation_dtype(DType dtype) {
  if (is_half(dtype)) return DType::Float32;
  if (is_floating_point(dtype) || dtype == DType::Int32) return dtype;
  return DType::Int64;
}

}  // namespace ops

using namespace ops;

namespace {

using autograd::Inputs;
using autograd::Pull;
using kernels::Dimensions;
using kernels::IndexRows;

constexpr int kAll = kFunction | kMethod;

/// Which dimensions the indices stand for: index k for `span[k]` joined dimensions from `dim[k]`
/// on.
struct IndexSpec {
  int8_t count = 0;
  bool distinct = false;  // one mask: no place comes twice
  int8_t dim[kMaxDims];
  int8_t span[kMaxDims];

  void add(int at, int dims) {
    dim[count] = static_cast<int8_t>(at);
    span[count++] = static_cast<int8_t>(dims);
  }
  int end(int k) const { return dim[k] + span[k]; }
  bool together() const {
    for (int k = 1; k < count; ++k) {
      if (end(k - 1) != dim[k]) return false;
    }
    return true;
  }
  bool covers(int d) const {
    for (int k = 0; k < count; ++k) {
      if (d >= dim[k] && d < end(k)) return true;
    }
    return false;
  }
};

void join_dimensions(Dimensions& d, int64_t size, int64_t stride) {
  d.numel *= size;
  if (size == 1) return;
  if (d.ndim > 0 && d.strides[d.ndim - 1] == size * stride) {
    d.sizes[d.ndim - 1] *= size;
    d.strides[d.ndim - 1] = stride;
    return;
  }
  d.sizes[d.ndim] = size;
  d.strides[d.ndim++] = stride;
}

void join_range(Dimensions& d, const Tensor& x, int from, int to) {
  for (int i = from; i < to; ++i)
    join_dimensions(d, x.sizes()[static_cast<size_t>(i)], x.strides()[static_cast<size_t>(i)]);
}

/// Shape of the indices together.
Dims index_shape(const Inputs& in, int first) {
  Dims shape(in[first].sizes());
  for (int i = first + 1; i < in.size(); ++i)
    shape = broadcast_shapes("index", shape, in[i].sizes());
  return shape;
}

Dims result_shape(IntSpan sizes, const IndexSpec& spec, IntSpan indices) {
  const bool together = spec.together();
  Dims result;
  const int first = together ? spec.dim[0] : 0;
  for (int d = 0; d < first; ++d) result.push_back(sizes[static_cast<size_t>(d)]);
  for (const int64_t size : indices) result.push_back(size);
  for (int d = first; d < static_cast<int>(sizes.size()); ++d) {
    if (!spec.covers(d)) result.push_back(sizes[static_cast<size_t>(d)]);
  }
  return result;
}

/// Element offsets of several indices, or of a mask over dimensions that do not lie in memory as
/// one.
Tensor joint_offsets(const Tensor& x, const IndexSpec& spec, Inputs in, int first, IntSpan shape) {
  const Tensor offsets = core::make_tensor(shape, DType::Int64);
  for (int k = 0; k < spec.count; ++k) {
    Tensor index = in[first + k];
    if (index.numel() != 1 && !(index.sizes() == shape)) index = contiguous(expand(index, shape));
    kernels::IndexOffsets p;
    p.first = k == 0;
    p.step = index.numel() == 1 ? 0 : 1;
    p.count = offsets.numel();
    join_range(p.dims, x, spec.dim[k], spec.end(k));
    core::launch(&kernels::index_offsets, {core::out(offsets), core::in(index)}, p);
  }
  return offsets;
}

/// The parameters of Note [Indexed rows] for `x` and the indices in[first...]; returns the index
/// operand.
Tensor set_rows(IndexRows& p, const Tensor& x, const IndexSpec& spec, Inputs in, int first,
                IntSpan shape) {
  const int ndim = static_cast<int>(x.dim());
  p.dtype = x.dtype();
  p.single = false;
  p.distinct = spec.distinct;
  const bool together = spec.together();
  if (together) join_range(p.before, x, 0, spec.dim[0]);
  for (int d = together ? spec.dim[0] : 0; d < ndim; ++d) {
    if (!spec.covers(d)) join_range(p.after, x, d, d + 1);
  }
  Dimensions indexed;
  join_range(indexed, x, spec.dim[0], spec.end(0));
  if (spec.count == 1 && indexed.ndim <= 1) {
    p.count = in[first].numel();
    p.size = indexed.numel;
    p.scale = indexed.ndim == 1 ? indexed.strides[0] : 0;
    return in[first];
  }
  p.scale = 1;
  p.size = 1;
  for (int d = 0; d < ndim; ++d) {
    const auto at = static_cast<size_t>(d);
    if (spec.covers(d)) p.size += (x.sizes()[at] - 1) * x.strides()[at];
  }
  const Tensor offsets = joint_offsets(x, spec, in, first, shape);
  p.count = offsets.numel();
  return offsets;
}

Tensor read_rows(const Tensor& x, const IndexSpec& spec, Inputs in, int first) {
  const Dims shape = index_shape(in, first);
  const Tensor result = core::make_tensor(result_shape(x.sizes(), spec, shape), x.dtype());
  if (result.numel() == 0) return result;
  IndexRows p;
  const Tensor index = set_rows(p, x, spec, in, first, shape);
  core::launch(&kernels::index_read, {core::out(result), core::in(x), core::in(index)}, p);
  return result;
}

/// Writes or adds `values` (of x's dtype) into x.
void write_rows(const Tensor& x, const Tensor& values, const IndexSpec& spec, Inputs in, int first,
                bool accumulate) {
  const Dims shape = index_shape(in, first);
  const Dims wanted = result_shape(x.sizes(), spec, shape);
  if (checked_numel("index_put", wanted) == 0) return;
  IndexRows p;
  const Tensor index = set_rows(p, x, spec, in, first, shape);
  p.single = values.numel() == 1;
  const Tensor dense = p.single || (values.is_contiguous() && values.sizes() == IntSpan(wanted))
                           ? values
                           : contiguous(expand(values, wanted));
  core::launch(accumulate ? &kernels::index_accumulate : &kernels::index_write,
               {core::out(x), core::in(dense), core::in(index)}, p);
}

void collect(Pull& p, int first, Tensor* kept, IndexInputs& inputs) {
  for (int i = first; i < p.input_count(); ++i) {
    kept[i - first] = p.input(i);
    inputs.add(&kept[i - first]);
  }
}

struct IndexBackwardRule;

/// Inputs: x, indices.
struct IndexRule : autograd::Rule {
  static constexpr const char* name = "Index";
  static constexpr bool linear = true;
  IndexSpec spec;
  unsigned saves_inputs(unsigned) const { return ~1u; }
  std::vector<Tensor> batch(const autograd::Batch& b) const;
  Tensor forward(Inputs in) const { return read_rows(in[0], spec, in, 1); }
  void pull(Pull& p) const;
};

/// Zeros of shape `sizes` (borrowed for the call) with the gradient added at the indexed places.
/// Inputs: g, indices.
struct IndexBackwardRule : autograd::Rule {
  static constexpr const char* name = "IndexBackward";
  static constexpr bool linear = true;
  IndexSpec spec;
  IntSpan sizes;
  unsigned saves_inputs(unsigned) const { return ~1u; }
  std::vector<Tensor> batch(const autograd::Batch& b) const;
  Tensor forward(Inputs in) const {
    const DType dtype = in[0].dtype();
    if (spec.distinct) {
      const Tensor result = zeros(sizes, dtype);
      write_rows(result, in[0], spec, in, 1, false);
      return result;
    }
    const Tensor total = zeros(sizes, accumulation_dtype(dtype));
    write_rows(total, to(in[0], total.dtype()), spec, in, 1, true);
    return to(total, dtype);
  }
  void pull(Pull& p) const {
    Tensor kept[kMaxDims];
    IndexInputs inputs({&p.grad()});
    collect(p, 1, kept, inputs);
    p.set(0, autograd::enter(IndexRule{{}, spec}, Inputs(inputs)));
  }
};

void IndexRule::pull(Pull& p) const {
  Tensor kept[kMaxDims];
  IndexInputs inputs({&p.grad()});
  collect(p, 1, kept, inputs);
  p.set(0, autograd::enter(IndexBackwardRule{{}, spec, p.input_sizes(0)}, Inputs(inputs)));
}

/// Inputs: x, values (of x's dtype), indices.
struct IndexPutRule : autograd::Rule {
  static constexpr const char* name = "IndexPut";
  static constexpr bool linear = true;
  IndexSpec spec;
  bool accumulate = false;
  bool in_place = false;
  unsigned saves_inputs(unsigned needs) const { return (needs & (accumulate ? 2u : 3u)) ? ~3u : 0; }
  std::vector<Tensor> batch(const autograd::Batch& b) const;
  Tensor forward(Inputs in) const {
    const Tensor& x = in[0];
    const DType sum_dtype = accumulate ? accumulation_dtype(x.dtype()) : x.dtype();
    if (sum_dtype != x.dtype()) {
      const Tensor total = to(x, sum_dtype, true);
      write_rows(total, to(in[1], sum_dtype), spec, in, 2, true);
      if (!in_place) return to(total, x.dtype());
      kernels::copy_values(x, total);
      return same_memory(x);
    }
    const Tensor result = in_place ? same_memory(x) : clone(x);
    write_rows(result, in[1], spec, in, 2, accumulate);
    return result;
  }
  void pull(Pull& p) const {
    Tensor kept[kMaxDims];
    if (p.needs(0)) {
      if (accumulate) {
        p.set(0, p.grad());
      } else {
        const Tensor zero = core::make_scalar(0, p.grad().dtype());
        IndexInputs inputs({&p.grad(), &zero});
        collect(p, 2, kept, inputs);
        p.set(0, autograd::enter(IndexPutRule{{}, spec}, Inputs(inputs)));
      }
    }
    if (p.needs(1)) {
      IndexInputs inputs({&p.grad()});
      collect(p, 2, kept, inputs);
      p.set(1, autograd::enter(IndexRule{{}, spec}, Inputs(inputs)));
    }
  }
};

// --- batches -------------------------------------------------------------------------------------

/// An indexed access to all samples at once: the batch is one more dimension in front, indexed by
/// the sample's number where the indices differ between samples.
struct BatchedIndex {
  IndexSpec spec;
  std::vector<Tensor> indices;
  Dims order;  // order[i]: where the raw result has dimension i of (batch, sample ...)

  /// `rank`: the dimensions of one sample's result.
  BatchedIndex(const autograd::Batch& b, const IndexSpec& sample, int first, int rank) {
    int places = 0;  // dimensions of the indices
    bool differ = false;
    for (int i = first; i < b.count(); ++i) {
      places = std::max(places, static_cast<int>(b.seen(i).dim()));
      differ |= b.is_batched(i);
    }
    spec.distinct = sample.distinct && !differ;
    if (differ) {
      spec.add(0, 1);
      Dims sizes(places + 1, 1);
      sizes[0] = b.size();
      indices.push_back(reshape(arange(0, b.size()), sizes));
    }
    for (int k = 0; k < sample.count; ++k) spec.add(sample.dim[k] + 1, sample.span[k]);
    for (int i = first; i < b.count(); ++i) indices.push_back(contiguous(b.aligned(i, places)));
    const int before = sample.together() ? sample.dim[0] : 0;
    for (int d = 0; d <= rank; ++d) order.push_back(d);
    if (!differ && !sample.together()) {  // raw: places, batch, rest
      order[0] = places;
      for (int d = 0; d < places; ++d) order[d + 1] = d;
    } else if (differ && before > 0) {  // raw: batch, places, before, rest
      for (int d = 0; d < before; ++d) order[d + 1] = 1 + places + d;
      for (int d = 0; d < places; ++d) order[1 + before + d] = 1 + d;
    }
  }
  Tensor to_samples(const Tensor& raw) const { return permute(raw, order); }
  Tensor to_raw(const Tensor& samples) const {
    Dims inverse(order.size(), 0);
    for (int d = 0; d < order.size(); ++d) inverse[static_cast<int>(order[d])] = d;
    return permute(samples, inverse);
  }
  Inputs with(std::initializer_list<const Tensor*> first, IndexInputs& list) const {
    for (const Tensor* tensor : first) list.add(tensor);
    for (const Tensor& index : indices) list.add(&index);
    return list;
  }
};

int sample_rank(const autograd::Batch& b, IntSpan sizes, const IndexSpec& spec, int first) {
  int places = 0, covered = 0;
  for (int i = first; i < b.count(); ++i)
    places = std::max(places, static_cast<int>(b.seen(i).dim()));
  for (int k = 0; k < spec.count; ++k) covered += spec.span[k];
  return static_cast<int>(sizes.size()) - covered + places;
}

std::vector<Tensor> IndexRule::batch(const autograd::Batch& b) const {
  const BatchedIndex plan(b, spec, 1, sample_rank(b, b.seen(0).sizes(), spec, 1));
  const Tensor x = b.front(0);
  IndexInputs list;
  return {plan.to_samples(autograd::enter(IndexRule{{}, plan.spec}, plan.with({&x}, list)))};
}

std::vector<Tensor> IndexBackwardRule::batch(const autograd::Batch& b) const {
  const BatchedIndex plan(b, spec, 1, static_cast<int>(b.seen(0).dim()));
  const Tensor g = contiguous(plan.to_raw(b.front(0)));
  Dims all(sizes);
  all.insert(0, b.size());
  IndexInputs list;
  return {autograd::enter(IndexBackwardRule{{}, plan.spec, all}, plan.with({&g}, list))};
}

std::vector<Tensor> IndexPutRule::batch(const autograd::Batch& b) const {
  const int rank = sample_rank(b, b.seen(0).sizes(), spec, 2);
  const BatchedIndex plan(b, spec, 2, rank);
  const Tensor x = b.front(0);
  Tensor values = b.aligned(1, rank);
  while (values.dim() <= rank) values = unsqueeze(values, 0);
  values = plan.to_raw(values);
  IndexPutRule rule = *this;
  rule.spec = plan.spec;
  IndexInputs list;
  return {autograd::enter(rule, plan.with({&x, &values}, list))};
}

// --- arguments -----------------------------------------------------------------------------------

bool is_mask(const Tensor& index) {
  return index.dtype() == DType::Bool || index.dtype() == DType::UInt8;
}

void check_mask(const char* op, const Tensor& input, const Tensor& mask, int at) {
  for (int d = 0; d < static_cast<int>(mask.dim()); ++d) {
    if (mask.sizes()[static_cast<size_t>(d)] ==
        input.sizes()[static_cast<size_t>(at) + static_cast<size_t>(d)])
      continue;
    throw IndexError(core::text(op, ": the shape of the mask ", shape_string(mask.sizes()),
                                " at index ", d, " does not match the shape of the indexed tensor ",
                                shape_string(input.sizes()), " at index ", at + d));
  }
}

/// Indices as users give them, checked and turned into a spec and dense int64 tensors.
struct Parsed {
  IndexSpec spec;
  Tensor indices[kMaxDims];

  Parsed(const char* op, const Tensor& input, TensorList list) {
    check_count(op, list, input);
    int at = 0;
    for (const Tensor& index : list) {
      if (!index.defined()) {
        ++at;
        continue;
      }
      const bool mask = is_mask(index);
      if (mask && index.dim() == 0)
        throw IndexError(core::text(op,
                                    ": a 0-d mask selects along no dimension; give input a "
                                    "dimension with unsqueeze(0), and the mask too"));
      const int span = mask ? static_cast<int>(index.dim()) : 1;
      if (mask) {
        check_mask(op, input, index, at);
        indices[spec.count] = nonzero_positions(index);
        spec.distinct = true;
      } else {
        if (index.dtype() != DType::Int64 && index.dtype() != DType::Int32) {
          throw IndexError(core::text(op,
                                      ": tensors used as indices must be int64, int32 or bool, "
                                      "got a ",
                                      core::describe(index)));
        }
        indices[spec.count] = index_values(op, index);
        check_range(op, indices[spec.count], at, input.sizes()[static_cast<size_t>(at)], true);
      }
      spec.add(at, span);
      at += span;
    }
    if (spec.count == 0) throw IndexError(core::text(op, ": at least one index is needed"));
    if (spec.count > 1) {
      spec.distinct = false;
      check_shapes(op);
    }
  }

  void add_to(IndexInputs& inputs) const {
    for (int k = 0; k < spec.count; ++k) inputs.add(&indices[k]);
  }

 private:
  static void check_count(const char* op, TensorList list, const Tensor& input) {
    int64_t dims = 0;
    for (const Tensor& index : list) dims += index.defined() && is_mask(index) ? index.dim() : 1;
    if (dims > input.dim()) {
      throw IndexError(
          core::text(op, ": too many indices (", dims, ") for the ", core::describe(input)));
    }
  }
  void check_shapes(const char* op) const {
    Dims shape(indices[0].sizes());
    for (int k = 1; k < spec.count; ++k) {
      try {
        shape = broadcast_shapes(op, shape, indices[k].sizes());
      } catch (const ShapeError&) {
        std::string shapes;
        for (int i = 0; i < spec.count; ++i)
          shapes += (i ? ", " : "") + shape_string(indices[i].sizes());
        throw IndexError(core::text(
            op, ": shape mismatch: indexing tensors could not be broadcast together with shapes ",
            shapes));
      }
    }
  }
};

bool all_undefined(TensorList indices) {
  for (const Tensor& index : indices) {
    if (index.defined()) return false;
  }
  return true;
}

/// `values` in x's dtype, checked to broadcast to the shape that the indices select.
Tensor checked_values(const char* op, const Tensor& x, const Tensor& values, const Parsed& parsed) {
  IndexInputs inputs;
  parsed.add_to(inputs);
  const Dims wanted = result_shape(x.sizes(), parsed.spec, index_shape(inputs, 0));
  const IntSpan from = values.sizes();
  bool fits = true;
  for (size_t i = 0; i < from.size(); ++i) {
    const int64_t size = from[from.size() - 1 - i];
    const int at = wanted.size() - 1 - static_cast<int>(i);
    fits = fits && (size == 1 || (at >= 0 && size == wanted[at]));
  }
  if (!fits) {
    throw ShapeError(core::text(op, ": shape mismatch: values of shape ", shape_string(from),
                                " cannot be broadcast to the indexed shape ",
                                shape_string(wanted)));
  }
  Tensor result = to(values, x.dtype());
  // Leading dimensions of size 1 beyond the target's.
  if (static_cast<int>(from.size()) > wanted.size())
    result = reshape(result, from.subspan(from.size() - static_cast<size_t>(wanted.size())));
  return result;
}

}  // namespace

Tensor index(const Tensor& input, TensorList indices) {
  if (all_undefined(indices)) return clone(input);
  const Parsed parsed("index", input, indices);
  IndexInputs inputs({&input});
  parsed.add_to(inputs);
  return autograd::enter(IndexRule{{}, parsed.spec}, Inputs(inputs));
}

Tensor index_put(const Tensor& input, TensorList indices, const Tensor& values, bool accumulate) {
  if (all_undefined(indices)) {
    const Tensor full = expand(to(values, input.dtype()), input.sizes());
    return accumulate ? input + full : clone(full);
  }
  const Parsed parsed("index_put", input, indices);
  const Tensor converted = checked_values("index_put", input, values, parsed);
  IndexInputs inputs({&input, &converted});
  parsed.add_to(inputs);
  return autograd::enter(IndexPutRule{{}, parsed.spec, accumulate}, Inputs(inputs));
}

Tensor& index_put_(Tensor& self, TensorList indices, const Tensor& values, bool accumulate) {
  if (all_undefined(indices)) return accumulate ? add_(self, values) : copy_(self, values);
  autograd::check_writable("index_put_", self);
  Parsed parsed("index_put_", self, indices);
  const Tensor converted = apart_from(self, checked_values("index_put_", self, values, parsed));
  for (int k = 0; k < parsed.spec.count; ++k)
    parsed.indices[k] = apart_from(self, parsed.indices[k]);
  IndexInputs inputs({&self, &converted});
  parsed.add_to(inputs);
  return enter_inplace("index_put_", self, IndexPutRule{{}, parsed.spec, accumulate}, inputs);
}

// --- index_select and its relatives --------------------------------------------------------------

namespace {

/// The index of index_select, index_add, ...: at most one dimension, checked.
Tensor vector_index(const char* op, const Tensor& index, int dim, int64_t size) {
  if (index.dim() > 1) {
    throw IndexError(
        core::text(op, ": index must have at most one dimension, got a ", core::describe(index)));
  }
  Tensor values = index_values(op, index);
  check_range(op, values, dim, size, false);
  return values.dim() == 0 ? reshape(values, {1}) : values;
}

IndexSpec one_dimension(int dim) {
  IndexSpec spec;
  spec.add(dim, 1);
  return spec;
}

/// Arguments of index_add and index_copy.
struct Rows {
  int dim;
  Tensor index;
  Tensor source;
  Rows(const char* op, const Tensor& x, int64_t dim_, const Tensor& index_, const Tensor& source_)
      : dim(static_cast<int>(wrap_dim(op, dim_, x.dim()))), source(source_) {
    if (source.dtype() != x.dtype()) {
      throw DTypeError(core::text(op, ": input and source must have one dtype, got a ",
                                  core::describe(x), " and a ", core::describe(source)));
    }
    if (x.dim() == 0) throw ShapeError(core::text(op, ": a 0-d tensor has no dimension to index"));
    index = vector_index(op, index_, dim, x.sizes()[static_cast<size_t>(dim)]);
    Dims wanted(x.sizes());
    wanted[dim] = index.numel();
    if (!(source.sizes() == IntSpan(wanted))) {
      throw ShapeError(core::text(op, ": source must have the shape ", shape_string(wanted),
                                  " for an index of ", index.numel(), " elements and the ",
                                  core::describe(x), ", got ", shape_string(source.sizes())));
    }
  }
};

Tensor scaled(const Tensor& source, Scalar alpha) {
  return alpha.to_double() == 1.0 ? source : source * alpha;
}

Tensor put_rows(const Tensor& x, const Rows& rows, const Tensor& source, bool accumulate) {
  const IndexInputs inputs({&x, &source, &rows.index});
  return autograd::enter(IndexPutRule{{}, one_dimension(rows.dim), accumulate}, Inputs(inputs));
}

Tensor& put_rows_(const char* op, Tensor& self, const Rows& rows, const Tensor& source,
                  bool accumulate) {
  const Tensor values = apart_from(self, source);
  const Tensor index = apart_from(self, rows.index);
  const IndexInputs inputs({&self, &values, &index});
  return enter_inplace(op, self, IndexPutRule{{}, one_dimension(rows.dim), accumulate}, inputs);
}

Tensor index_add_scaled(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source,
                        Scalar alpha) {
  const Rows rows("index_add", input, dim, index, source);
  return put_rows(input, rows, scaled(source, alpha), true);
}

Tensor index_add_in_place(const Tensor& self, int64_t dim, const Tensor& index,
                          const Tensor& source, Scalar alpha) {
  Tensor written = self;
  const Rows rows("index_add_", self, dim, index, source);
  return put_rows_("index_add_", written, rows, scaled(source, alpha), true);
}

Tensor index_copy(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source) {
  return put_rows(input, Rows("index_copy", input, dim, index, source), source, false);
}

Tensor index_fill(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& value) {
  if (value.dim() != 0) {
    throw ShapeError(core::text("index_fill: value must be a number or a 0-d tensor, got a ",
                                core::describe(value)));
  }
  if (input.dim() == 0) throw ShapeError("index_fill: a 0-d tensor has no dimension to index");
  const auto d = static_cast<int>(wrap_dim("index_fill", dim, input.dim()));
  const Tensor at = vector_index("index_fill", index, d, input.sizes()[static_cast<size_t>(d)]);
  const Tensor converted = to(value, input.dtype());
  const IndexInputs inputs({&input, &converted, &at});
  return autograd::enter(IndexPutRule{{}, one_dimension(d)}, Inputs(inputs));
}

}  // namespace

Tensor index_select(const Tensor& input, int64_t dim, const Tensor& index) {
  const auto d = static_cast<int>(wrap_dim("index_select", dim, input.dim()));
  if (input.dim() == 0) {
    const Tensor line = reshape(input, {1});
    return reshape(index_select(line, 0, index), {});
  }
  const Tensor at = vector_index("index_select", index, d, input.sizes()[static_cast<size_t>(d)]);
  return autograd::enter(IndexRule{{}, one_dimension(d)}, input, at);
}

Tensor index_add(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source) {
  return index_add_scaled(input, dim, index, source, 1);
}

namespace {

Tensor take(const Tensor& input, const Tensor& index) {
  const Tensor line = reshape(input, {-1});
  const Tensor at = index_values("take", index);
  check_range("take", at, 0, line.numel(), true);
  return autograd::enter(IndexRule{{}, one_dimension(0)}, line, at);
}

}  // namespace

TAPEGRAD_OP(kAll,
            "index_select(Tensor input, int dim, Tensor index, *, Tensor? out=None) -> Tensor",
            R"(The slices of a dimension that index names, as a new tensor.

Args:
    input: a tensor
    dim: the dimension
    index: an int32 or int64 tensor of at most one dimension, with values in [0, size of dim)
    out: a tensor to write the result into

Raises:
    IndexError: dim or a value of index out of range

Example:
    >>> import tapegrad as tg
    >>> tg.index_select(tg.tensor([[1, 2], [3, 4], [5, 6]]), 0, tg.tensor([2, 0]))
    tensor([[5, 6],
            [1, 2]]))",
            &index_select);
TAPEGRAD_OP(
    kAll,
    "index_add(Tensor input, int dim, Tensor index, Tensor source, *, Scalar alpha=1, Tensor? "
    "out=None) -> Tensor",
    R"(A copy of input in which alpha * source[i] is added to slice index[i] of dimension dim, in the order of i.

Args:
    input: a tensor
    dim: the dimension
    index: an int32 or int64 tensor of at most one dimension
    source: a tensor of input's dtype and shape, except for len(index) in dim
    alpha: factor of source
    out: a tensor to write the result into

Raises:
    IndexError: dim or a value of index out of range
    ShapeError: source of another shape

Example:
    >>> import tapegrad as tg
    >>> tg.index_add(tg.zeros(3), 0, tg.tensor([0, 2, 0]), tg.tensor([1., 2., 3.]))
    tensor([4., 0., 2.]))",
    &index_add_scaled);
TAPEGRAD_OP(kMethod,
            "index_add_(Tensor(a!) input, int dim, Tensor index, Tensor source, *, Scalar alpha=1) "
            "-> Tensor(a!)",
            "In-place version of index_add().", &index_add_in_place);
TAPEGRAD_OP(
    kAll | kInplace,
    "index_copy(Tensor input, int dim, Tensor index, Tensor source, *, Tensor? out=None) -> "
    "Tensor",
    R"(A copy of input in which slice index[i] of dimension dim is source[i].

Raises:
    IndexError: dim or a value of index out of range
    ShapeError: source of another shape

Example:
    >>> import tapegrad as tg
    >>> tg.index_copy(tg.zeros(3), 0, tg.tensor([2, 0]), tg.tensor([1., 2.]))
    tensor([2., 0., 1.]))",
    &index_copy);
TAPEGRAD_OP(kAll | kInplace,
            "index_fill(Tensor input, int dim, Tensor index, Tensor value) -> Tensor",
            R"(A copy of input in which the slices of dimension dim that index names are value.

Raises:
    IndexError: dim or a value of index out of range

Example:
    >>> import tapegrad as tg
    >>> tg.index_fill(tg.zeros(3), 0, tg.tensor([0, 2]), 1)
    tensor([1., 0., 1.]))",
            &index_fill);
TAPEGRAD_OP(
    kAll | kInplace, "index_fill(Tensor input, int dim, Tensor index, Scalar value) -> Tensor", "",
    +[](const Tensor& x, int64_t dim, const Tensor& at, Scalar value) {
      return index_fill(x, dim, at, number_like("index_fill", x, value));
    });
TAPEGRAD_OP(kAll,
            "index_put(Tensor input, Tensor[] indices, Tensor values, bool accumulate=False) -> "
            "Tensor",
            R"(A copy of input in which input[indices] is values, or is increased by them.

Args:
    input: a tensor
    indices: integer tensors (negative values count from the end) and masks, as in input[indices]
    values: the values; they broadcast to the shape of input[indices]
    accumulate: add to the elements, in the order of the indices; repeated ones count each time

Raises:
    IndexError: an index out of range, or too many
    ShapeError: values that do not broadcast

Example:
    >>> import tapegrad as tg
    >>> tg.index_put(tg.zeros(3), (tg.tensor([0, 0]),), tg.tensor([1., 2.]), accumulate=True)
    tensor([3., 0., 0.]))",
            &index_put);
TAPEGRAD_OP(
    kAll,
    "index_put_(Tensor(a!) input, Tensor[] indices, Tensor values, bool accumulate=False) -> "
    "Tensor(a!)",
    "In-place version of index_put().",
    +[](const Tensor& self, TensorList indices, const Tensor& values, bool accumulate) {
      Tensor written = self;
      return index_put_(written, indices, values, accumulate);
    });
TAPEGRAD_OP(kAll, "take(Tensor input, Tensor index, *, Tensor? out=None) -> Tensor",
            R"(The elements of input, seen in one dimension, at the places index; of index's shape.

Args:
    input: a tensor
    index: an int32 or int64 tensor; negative values count from the end
    out: a tensor to write the result into

Raises:
    IndexError: a value of index out of range

Example:
    >>> import tapegrad as tg
    >>> tg.take(tg.tensor([[4, 3, 5], [6, 7, 8]]), tg.tensor([0, 2, 5]))
    tensor([4, 5, 8]))",
            &take);
}  // namespace tapegrad
