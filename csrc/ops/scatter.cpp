// Reading and writing along one dimension: gather, scatter, scatter_add. Each is the gradient of
// another.
#include "core/launch.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "kernels/index.h"
#include "kernels/placing.h"
#include "ops/indexing.h"
#include "ops/ordering.h"
#include "ops/registry.h"
#include "tapegrad/error.h"

namespace tapegrad {

using namespace ops;

namespace {

using autograd::Inputs;
using autograd::Pull;
using kernels::IndexAlong;

constexpr int kAll = kFunction | kMethod;

/// `dense` and `tensor` beside `index`, all but dimension `dim` as lanes. `dense` may be one
/// element for all.
void set_along(IndexAlong& p, const Tensor& dense, const Tensor& index, const Tensor& tensor,
               int dim) {
  const auto d = static_cast<size_t>(dim);
  Dims lanes(index.sizes());
  lanes.erase(dim);
  p.dtype = tensor.dtype();
  p.count = index.sizes()[d];
  p.index_stride = index.strides()[d];
  p.tensor_stride = tensor.strides()[d];
  const bool single = dense.dim() == 0 && index.dim() > 0;
  p.dense_stride = single ? 0 : dense.strides()[d];
  kernels::plan_begin(p.lanes, lanes);
  for (const Tensor* operand : {&dense, &index, &tensor}) {
    Dims strides(operand->strides());
    if (operand == &dense && single)
      strides = Dims(lanes.size(), 0);
    else
      strides.erase(dim);
    kernels::plan_add(p.lanes, lanes, strides);
  }
  kernels::plan_finish(p.lanes);
}

/// tensor[index] = or += dense, along dim. The dtypes are equal.
void write_along(const Tensor& tensor, const Tensor& dense, const Tensor& index, int dim,
                 bool add) {
  if (index.numel() == 0) return;
  IndexAlong p;
  set_along(p, dense, index, tensor, dim);
  core::launch(add ? &kernels::along_accumulate : &kernels::along_write,
               {core::out(tensor), core::in(dense), core::in(index)}, p);
}

struct GatherRule : autograd::Rule {
  static constexpr const char* name = "Gather";
  static constexpr bool linear = true;
  int dim = 0;
  unsigned saves_inputs(unsigned) const { return 2u; }
  GatherRule shifted() const {
    GatherRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(Inputs in) const {
    const Tensor result = core::make_tensor(in[1].sizes(), in[0].dtype());
    if (result.numel() == 0) return result;
    IndexAlong p;
    set_along(p, result, in[1], in[0], dim);
    core::launch(&kernels::along_read, {core::out(result), core::in(in[0]), core::in(in[1])}, p);
    return result;
  }
  void pull(Pull& p) const;
};

/// Zeros of shape `sizes` (borrowed for the call) with g added at the gathered places. Inputs: g,
/// index.
struct GatherBackwardRule : autograd::Rule {
  static constexpr const char* name = "GatherBackward";
  static constexpr bool linear = true;
  int dim = 0;
  IntSpan sizes;
  unsigned saves_inputs(unsigned) const { return 2u; }
  Tensor batch(const autograd::Batch& b) const {
    Dims all(sizes);
    all.insert(0, b.size());
    return autograd::enter(GatherBackwardRule{{}, dim + 1, all}, b.front(0), b.front(1));
  }
  Tensor forward(Inputs in) const {
    const DType dtype = in[0].dtype(), sum_dtype = accumulation_dtype(dtype);
    const Tensor g = to(in[0], sum_dtype);
    if (!covers_lanes(in[1])) {
      const Tensor total = zeros(sizes, sum_dtype);
      write_along(total, g, in[1], dim, true);
      return to(total, dtype);
    }
    const Tensor total = core::make_tensor(sizes, sum_dtype);
    if (total.numel() == 0) return to(total, dtype);
    const kernels::PlaceAlong p{rows_along(sizes, dim), sum_dtype, in[1].size(dim)};
    const Tensor dense = contiguous(g), index = contiguous(in[1]);
    core::launch(&kernels::place_along, {core::out(total), core::in(dense), core::in(index)}, p);
    return to(total, dtype);
  }
  void pull(Pull& p) const { p.set(0, autograd::enter(GatherRule{{}, dim}, p.grad(), p.input(1))); }

 private:
  /// Whether the index has an entry for each lane: it may be smaller than what was gathered from.
  bool covers_lanes(const Tensor& index) const {
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (static_cast<int>(d) != dim && index.sizes()[d] != sizes[d]) return false;
    }
    return true;
  }
};

void GatherRule::pull(Pull& p) const {
  p.set(0, autograd::enter(GatherBackwardRule{{}, dim, p.input_sizes(0)}, p.grad(), p.input(1)));
}

/// Inputs: x, src (of x's dtype and index's shape, or 0-d), index.
struct ScatterRule : autograd::Rule {
  static constexpr const char* name = "Scatter";
  static constexpr bool linear = true;
  int dim = 0;
  bool add = false;
  bool in_place = false;
  unsigned saves_inputs(unsigned needs) const { return (needs & (add ? 2u : 3u)) ? 4u : 0; }
  Tensor batch(const autograd::Batch& b) const {
    ScatterRule rule = *this;
    ++rule.dim;
    const Tensor index = b.dense_front(2);
    Tensor src = b.dense_front(1);
    if (b.seen(1).dim() == 0) {
      if (!b.is_batched(1)) {
        src = b.inner(1);
      } else {
        while (src.dim() < index.dim()) src = unsqueeze(src, -1);
        src = contiguous(expand(src, index.sizes()));
      }
    }
    return autograd::enter(rule, b.front(0), src, index);
  }
  Tensor forward(Inputs in) const {
    const Tensor& x = in[0];
    const DType sum_dtype = add ? accumulation_dtype(x.dtype()) : x.dtype();
    if (sum_dtype != x.dtype()) {
      const Tensor total = to(x, sum_dtype, true);
      write_along(total, to(in[1], sum_dtype), in[2], dim, true);
      if (!in_place) return to(total, x.dtype());
      kernels::copy_values(x, total);
      return same_memory(x);
    }
    const Tensor result = in_place ? same_memory(x) : clone(x);
    write_along(result, in[1], in[2], dim, add);
    return result;
  }
  void pull(Pull& p) const {
    if (p.needs(0)) {
      if (add) {
        p.set(0, p.grad());
      } else {
        const Tensor zero = core::make_scalar(0, p.grad().dtype());
        p.set(0, autograd::enter(ScatterRule{{}, dim}, p.grad(), zero, p.input(2)));
      }
    }
    if (p.needs(1)) p.set(1, autograd::enter(GatherRule{{}, dim}, p.grad(), p.input(2)));
  }
};

}  // namespace

Tensor ops::placed_along(const Tensor& g, const Tensor& index, int64_t dim, IntSpan sizes) {
  return autograd::enter(GatherBackwardRule{{}, static_cast<int>(dim), sizes}, g, index);
}
Tensor ops::fill_places(const Tensor& x, int dim, const Tensor& index, const Tensor& number) {
  return autograd::enter(ScatterRule{{}, dim}, x, number, index);
}

namespace {

// --- arguments -----------------------------------------------------------------------------------

/// A 0-d tensor counts as one of one dimension.
Tensor at_least_1d(const Tensor& x) { return x.dim() == 0 ? reshape(x, {1}) : x; }

struct Along {
  int dim;
  Tensor index;

  /// Checks index against `input` (both at least 1-d).
  Along(const char* op, const Tensor& input, int64_t dim_, const Tensor& index_)
      : dim(static_cast<int>(wrap_dim(op, dim_, input.dim()))),
        index(at_least_1d(index_values(op, index_))) {
    if (index.numel() == 0) return;
    bool fits = index.dim() == input.dim();
    for (int d = 0; fits && d < static_cast<int>(input.dim()); ++d) {
      const auto at = static_cast<size_t>(d);
      fits = d == dim || index.sizes()[at] <= input.sizes()[at];
    }
    if (!fits) {
      throw ShapeError(core::text(op, ": index of shape ", shape_string(index_.sizes()),
                                  " must have the dimensions of the ", core::describe(input),
                                  " and be no larger, apart from dimension ", dim));
    }
    check_range(op, index, dim, input.sizes()[static_cast<size_t>(dim)], false);
  }
};

/// src in x's dtype, cut to the index's shape.
Tensor checked_source(const char* op, const Tensor& x, const Tensor& src, const Along& along) {
  if (src.dtype() != x.dtype()) {
    throw DTypeError(core::text(op, ": input and src must have one dtype, got a ",
                                core::describe(x), " and a ", core::describe(src)));
  }
  Tensor result = at_least_1d(src);
  const IntSpan wanted = along.index.sizes();
  bool fits = result.dim() == along.index.dim() || along.index.numel() == 0;
  for (int d = 0; fits && along.index.numel() > 0 && d < static_cast<int>(wanted.size()); ++d) {
    const auto at = static_cast<size_t>(d);
    fits = wanted[at] <= result.sizes()[at];
    if (fits && wanted[at] < result.sizes()[at]) result = narrow(result, d, 0, wanted[at]);
  }
  if (!fits) {
    throw ShapeError(core::text(op, ": index of shape ", shape_string(wanted),
                                " must be no larger than src of shape ",
                                shape_string(src.sizes())));
  }
  return result;
}

Tensor scatter_into(const char* op, const Tensor& input, int64_t dim, const Tensor& index,
                    const Tensor& src, bool add) {
  if (input.dim() == 0)
    return reshape(scatter_into(op, reshape(input, {1}), dim, index, src, add), {});
  const Along along(op, input, dim, index);
  if (along.index.numel() == 0) return clone(input);
  return autograd::enter(ScatterRule{{}, along.dim, add}, input,
                         checked_source(op, input, src, along), along.index);
}

Tensor scatter_in_place(const char* op, const Tensor& self, int64_t dim, const Tensor& index,
                        const Tensor& src, bool add) {
  Tensor written = self;
  if (self.dim() == 0)
    return autograd::assign_inplace(op, written, scatter_into(op, self, dim, index, src, add));
  autograd::check_writable(op, self);
  const Along along(op, self, dim, index);
  if (along.index.numel() == 0) return written;
  const Tensor values = apart_from(self, checked_source(op, self, src, along));
  const Tensor at = apart_from(self, along.index);
  const Tensor* inputs[] = {&self, &values, &at};
  return enter_inplace(op, written, ScatterRule{{}, along.dim, add}, Inputs{inputs, 3});
}

/// A number as the source of scatter: one element for all places.
Tensor scatter_number(const char* op, const Tensor& self, int64_t dim, const Tensor& index,
                      Scalar value, bool in_place) {
  const Tensor number = number_like(op, self, value);
  Tensor written = self;
  if (self.dim() == 0) {
    const Tensor line = reshape(self, {1});
    const Tensor result = reshape(scatter_number(op, line, dim, index, value, false), {});
    return in_place ? autograd::assign_inplace(op, written, result) : result;
  }
  if (in_place) autograd::check_writable(op, self);
  const Along along(op, self, dim, index);
  if (!in_place) return autograd::enter(ScatterRule{{}, along.dim}, self, number, along.index);
  const Tensor at = apart_from(self, along.index);
  const Tensor* inputs[] = {&self, &number, &at};
  return enter_inplace(op, written, ScatterRule{{}, along.dim}, Inputs{inputs, 3});
}

Tensor take_along_dim(const Tensor& input, const Tensor& indices, std::optional<int64_t> dim) {
  if (!dim) return gather(reshape(input, {-1}), 0, reshape(indices, {-1}));
  if (input.dim() != indices.dim()) {
    throw ShapeError(
        core::text("take_along_dim: input and indices must have as many dimensions, "
                   "got a ",
                   core::describe(input), " and a ", core::describe(indices)));
  }
  if (input.dim() == 0) return gather(input, *dim, indices);
  const auto d = static_cast<int>(wrap_dim("take_along_dim", *dim, input.dim()));
  Dims for_input(input.sizes()), for_indices(indices.sizes());
  for_input[d] = for_indices[d] = 1;
  const Dims common = broadcast_shapes("take_along_dim", for_input, for_indices);
  for_input = for_indices = common;
  for_input[d] = input.sizes()[static_cast<size_t>(d)];
  for_indices[d] = indices.sizes()[static_cast<size_t>(d)];
  return gather(expand(input, for_input), d, expand(indices, for_indices));
}

}  // namespace

Tensor gather(const Tensor& input, int64_t dim, const Tensor& index) {
  if (input.dim() == 0 || index.dim() == 0) {
    const Tensor result = gather(at_least_1d(input), dim, at_least_1d(index));
    return index.dim() == 0 ? reshape(result, {}) : result;
  }
  const Along along("gather", input, dim, index);
  return autograd::enter(GatherRule{{}, along.dim}, input, along.index);
}

Tensor scatter_add(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& src) {
  return scatter_into("scatter_add", input, dim, index, src, true);
}

TAPEGRAD_OP(
    kAll,
    "gather(Tensor input, int dim, Tensor index, *, bool sparse_grad=False, Tensor? out=None) -> "
    "Tensor",
    R"(Elements of input picked along a dimension: for dim=0 and 3 dimensions
result[i, j, k] = input[index[i, j, k], j, k].

Args:
    input: a tensor
    dim: the dimension
    index: an int32 or int64 tensor of as many dimensions, no larger than input apart from dim
    sparse_grad: accepted for compatibility
    out: a tensor to write the result into

Raises:
    IndexError: dim or a value of index out of range
    ShapeError: an index of a shape that does not fit

Example:
    >>> import tapegrad as tg
    >>> tg.gather(tg.tensor([[1, 2], [3, 4]]), 1, tg.tensor([[0, 0], [1, 0]]))
    tensor([[1, 1],
            [4, 3]]))",
    +[](const Tensor& x, int64_t dim, const Tensor& index, bool) { return gather(x, dim, index); });
TAPEGRAD_OP(
    kAll, "scatter(Tensor input, int dim, Tensor index, Tensor src, *, Tensor? out=None) -> Tensor",
    R"(A copy of input with elements replaced along a dimension: for dim=0 and 3 dimensions
result[index[i, j, k], j, k] = src[i, j, k]. Where a place is named twice, the later one in row-major order stays.

Args:
    input: a tensor
    dim: the dimension
    index: an int32 or int64 tensor of as many dimensions, no larger than src, nor than input apart from dim
    src (value): a tensor of input's dtype, or a number
    out: a tensor to write the result into

Raises:
    IndexError: dim or a value of index out of range
    ShapeError: an index of a shape that does not fit

Example:
    >>> import tapegrad as tg
    >>> tg.scatter(tg.zeros(2, 2), 1, tg.tensor([[1], [0]]), tg.tensor([[5.], [6.]]))
    tensor([[0., 5.],
            [6., 0.]]))",
    +[](const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
      return scatter_into("scatter", x, dim, index, src, false);
    });
TAPEGRAD_OP(
    kAll,
    "scatter(Tensor input, int dim, Tensor index, Scalar value, *, Tensor? out=None) -> Tensor", "",
    +[](const Tensor& x, int64_t dim, const Tensor& index, Scalar value) {
      return scatter_number("scatter", x, dim, index, value, false);
    });
TAPEGRAD_OP(
    kMethod, "scatter_(Tensor(a!) input, int dim, Tensor index, Tensor src) -> Tensor(a!)",
    "In-place version of scatter().",
    +[](const Tensor& self, int64_t dim, const Tensor& index, const Tensor& src) {
      return scatter_in_place("scatter_", self, dim, index, src, false);
    });
TAPEGRAD_OP(
    kMethod, "scatter_(Tensor(a!) input, int dim, Tensor index, Scalar value) -> Tensor(a!)", "",
    +[](const Tensor& self, int64_t dim, const Tensor& index, Scalar value) {
      return scatter_number("scatter_", self, dim, index, value, true);
    });
TAPEGRAD_OP(
    kAll,
    "scatter_add(Tensor input, int dim, Tensor index, Tensor src, *, Tensor? out=None) -> Tensor",
    R"(A copy of input with elements increased along a dimension: for dim=0 and 3 dimensions
result[index[i, j, k], j, k] += src[i, j, k], in the order of i: the same bits on any number of threads.

Args:
    input: a tensor
    dim: the dimension
    index: an int32 or int64 tensor of as many dimensions, no larger than src, nor than input apart from dim
    src: a tensor of input's dtype
    out: a tensor to write the result into

Raises:
    IndexError: dim or a value of index out of range
    ShapeError: an index of a shape that does not fit

Example:
    >>> import tapegrad as tg
    >>> tg.scatter_add(tg.zeros(2), 0, tg.tensor([0, 1, 0]), tg.tensor([1., 2., 3.]))
    tensor([4., 2.]))",
    &scatter_add);
TAPEGRAD_OP(
    kMethod, "scatter_add_(Tensor(a!) input, int dim, Tensor index, Tensor src) -> Tensor(a!)",
    "In-place version of scatter_add().",
    +[](const Tensor& self, int64_t dim, const Tensor& index, const Tensor& src) {
      return scatter_in_place("scatter_add_", self, dim, index, src, true);
    });
TAPEGRAD_OP(
    kAll,
    "take_along_dim(Tensor input, Tensor indices, int? dim=None, *, Tensor? out=None) -> Tensor",
    R"(Elements of input picked along a dimension, as gather(), with shapes broadcast apart from dim.

Args:
    input: a tensor
    indices: an int32 or int64 tensor, such as argsort gives
    dim: the dimension; None picks from input in one dimension
    out: a tensor to write the result into

Raises:
    IndexError: dim or a value of indices out of range

Example:
    >>> import tapegrad as tg
    >>> tg.take_along_dim(tg.tensor([[3, 1, 2]]), tg.tensor([[1, 2, 0]]), dim=1)
    tensor([[1, 2, 3]]))",
    &take_along_dim);

}  // namespace tapegrad
