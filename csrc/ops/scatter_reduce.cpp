// Writing with a reduction: scatter_reduce and index_reduce.
#include "autograd/lifted.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/index.h"
#include "ops/indexing.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"

namespace tapegrad {

using namespace ops;
using kernels::JoinOp;

namespace {

constexpr int kAll = kFunction | kMethod;

/// tensor[index] joined with dense, along dim; all of one kernel dtype, index no larger than dense.
void join_along(const Tensor& tensor, const Tensor& dense, const Tensor& index, int dim,
                JoinOp op) {
  const auto d = static_cast<size_t>(dim);
  Dims lanes(index.sizes());
  lanes.erase(dim);
  kernels::ReduceAlong p;
  p.op = op;
  p.along.dtype = tensor.dtype();
  p.along.count = index.sizes()[d];
  p.along.index_stride = index.strides()[d];
  p.along.tensor_stride = tensor.strides()[d];
  p.along.dense_stride = dense.strides()[d];
  kernels::plan_begin(p.along.lanes, lanes);
  for (const Tensor* operand : {&dense, &index, &tensor}) {
    Dims strides(operand->strides());
    strides.erase(dim);
    kernels::plan_add(p.along.lanes, lanes, strides);
  }
  kernels::plan_finish(p.along.lanes);
  core::launch(&kernels::along_reduce, {core::out(tensor), core::in(dense), core::in(index)}, p);
}

/// Where two zeros or more meet, the derivative of their product is not the one computed below.
void refuse_second_order(const Tensor& zeros_met) {
  if (autograd::any_below(gt(zeros_met, Scalar(1)))) {
    throw UnsupportedError(
        "scatter_reduce: the second derivative of a product is not supported where more than one "
        "zero of src meets in one place");
  }
}

/// What changes nothing in a join.
Scalar identity_of(JoinOp op, DType dtype) {
  if (op == JoinOp::Prod) return 1;
  const bool largest = op == JoinOp::Max;
  if (is_floating_point(dtype)) {
    const double infinity = std::numeric_limits<double>::infinity();
    return largest ? -infinity : infinity;
  }
  switch (dtype) {
    case DType::Bool:
      return Scalar(!largest);
    case DType::UInt8:
      return largest ? 0 : 255;
    case DType::Int8:
      return largest ? -128 : 127;
    case DType::Int16:
      return largest ? -32768 : 32767;
    case DType::Int32:
      return largest ? int64_t{INT32_MIN} : int64_t{INT32_MAX};
    default:
      return largest ? INT64_MIN : INT64_MAX;
  }
}

/// Inputs: x, src (of x's dtype), index (of src's shape).
struct ScatterJoinRule : autograd::Rule {
  static constexpr const char* name = "ScatterReduce";
  int dim;
  JoinOp op;
  bool apart = false;  // places that are written start from nothing, not from x

  unsigned saves_inputs(unsigned) const { return 7; }
  unsigned saves_outputs(unsigned) const { return 1; }
  ScatterJoinRule shifted() const {
    ScatterJoinRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const DType dtype = accumulation_dtype(in[0].dtype());
    Tensor dense;
    if (apart) {
      const Tensor nothing = core::make_scalar(identity_of(op, in[0].dtype()), in[0].dtype());
      dense = contiguous(to(fill_places(in[0].detach(), dim, in[2], nothing), dtype));
    } else {
      dense = contiguous(to(in[0].detach(), dtype, true));
    }
    join_along(dense, to(in[1].detach(), dtype), in[2], dim, op);
    return to(dense, in[0].dtype());
  }
  void pull(autograd::Pull& p) const {
    const Tensor x = p.input(0), src = p.input(1), index = p.input(2), y = p.output();
    if (op == JoinOp::Prod)
      pull_product(p, x, src, index, y);
    else
      pull_extremum(p, x, src, index, y);
  }

 private:
  /// Those that equal the result share its gradient: an x that stood apart takes its share of the
  /// ties, as in PyTorch, but does not receive it.
  void pull_extremum(autograd::Pull& p, const Tensor& x, const Tensor& src, const Tensor& index,
                     const Tensor& y) const {
    const DType dtype = p.grad().dtype();
    const Tensor own = to(eq(x, y), dtype).detach();
    const Tensor theirs = to(eq(src, gather(y, dim, index)), dtype).detach();
    const Tensor share = p.grad() / scatter_add(own, dim, index, theirs);
    if (p.needs(0)) {
      const Tensor g = where(gt(own, Scalar(0)), share, Scalar(0.0));
      p.set(0, apart ? fill_places(g, dim, index, core::make_scalar(0, dtype)) : g);
    }
    if (p.needs(1)) p.set(1, where(gt(theirs, Scalar(0)), gather(share, dim, index), Scalar(0.0)));
  }
  /// The product of the others: by division, but where the element is the only zero that meets.
  void pull_product(autograd::Pull& p, const Tensor& x, const Tensor& src, const Tensor& index,
                    const Tensor& y) const {
    const auto product = [&](const Tensor& start, const Tensor& factors) {
      return autograd::enter(ScatterJoinRule{{}, dim, JoinOp::Prod}, start, factors, index);
    };
    const Tensor& g = p.grad();
    if (p.needs(0)) p.set(0, g * product(ones_like(x.detach()), src));
    if (!p.needs(1)) return;
    const Tensor zero = eq(src, Scalar(0)).detach();
    const Tensor met =
        scatter_add(zeros(x.sizes(), DType::Int64), dim, index, to(zero, DType::Int64));
    if (is_watched({&src, &g})) refuse_second_order(met);
    const Tensor single = logical_and(zero, eq(gather(met, dim, index), Scalar(1)));
    const Tensor without_zero = product(x, where(single, Scalar(1.0), src));
    const Tensor divided = gather(g * y, dim, index) / where(zero, Scalar(1.0), src);
    p.set(1, where(single, gather(g * without_zero, dim, index), divided));
  }
};

// --- arguments -----------------------------------------------------------------------------------

/// An index and a source of one shape along a dimension of x, all at least one-dimensional.
struct Arguments {
  int dim;
  Tensor x;
  Tensor index;
  Tensor src;
};

Tensor at_least_1d(const Tensor& x) { return x.dim() == 0 ? reshape(x, {1}) : x; }

Arguments checked(const char* op, const Tensor& input, int64_t dim, const Tensor& index,
                  const Tensor& src, bool in_range = false) {
  if (src.dtype() != input.dtype()) {
    throw DTypeError(core::text(op, ": input and src must have one dtype, got a ",
                                core::describe(input), " and a ", core::describe(src)));
  }
  Arguments a{static_cast<int>(wrap_dim(op, dim, input.dim())), at_least_1d(input),
              at_least_1d(in_range ? index : index_values(op, index)), at_least_1d(src)};
  if (a.index.numel() == 0) return a;
  bool fits = a.index.dim() == a.x.dim() && a.src.dim() == a.x.dim();
  for (int64_t d = 0; fits && d < a.x.dim(); ++d) {
    fits = (d == a.dim || a.index.size(d) <= a.x.size(d)) && a.index.size(d) <= a.src.size(d);
    if (fits && a.index.size(d) < a.src.size(d)) a.src = narrow(a.src, d, 0, a.index.size(d));
  }
  if (!fits) {
    throw ShapeError(core::text(op, ": index of shape ", shape_string(index.sizes()),
                                " must be no larger than src of shape ", shape_string(src.sizes()),
                                ", nor than the ", core::describe(input), " apart from dimension ",
                                a.dim));
  }
  if (!in_range) check_range(op, a.index, a.dim, a.x.size(a.dim), false);
  return a;
}

/// x with `value` at the places of the index.
Tensor with_places(const Arguments& a, Scalar value) {
  return fill_places(a.x, a.dim, a.index, core::make_scalar(value, a.x.dtype()));
}

Tensor mean_of(const Arguments& a, bool include_self) {
  const Tensor total = scatter_add(include_self ? a.x : with_places(a, 0), a.dim, a.index, a.src);
  const bool floating = is_floating_point(a.x.dtype());
  const DType dtype = floating ? accumulation_dtype(a.x.dtype()) : DType::Int64;
  const Tensor one = expand(core::make_scalar(1, dtype), a.index.sizes());
  const Tensor start = full(a.x.sizes(), Scalar(include_self ? 1 : 0), dtype);
  const Tensor counted = scatter_add(start, a.dim, a.index, one);
  const Tensor count = include_self ? counted : clamp(counted, Scalar(1), {});
  if (floating) return total / to(count, a.x.dtype());
  return to(div(total, count, "floor"), a.x.dtype());
}

Tensor reduce_into(const char* op, const Arguments& a, std::string_view reduce, bool include_self,
                   bool with_sum) {
  const bool known = reduce == "prod" || reduce == "mean" || reduce == "amax" || reduce == "amin" ||
                     (with_sum && reduce == "sum");
  if (!known) {
    throw ValueError(core::text(op, ": reduce must be one of ", with_sum ? "sum, " : "",
                                "prod, mean, amax and amin, got '", reduce, "'"));
  }
  if (a.index.numel() == 0) return clone(a.x);
  if (reduce == "mean") return mean_of(a, include_self);
  if (reduce == "sum")
    return scatter_add(include_self ? a.x : with_places(a, 0), a.dim, a.index, a.src);
  const JoinOp join = reduce == "prod"   ? JoinOp::Prod
                      : reduce == "amax" ? JoinOp::Max
                                         : JoinOp::Min;
  if (join != JoinOp::Prod)
    return autograd::enter(ScatterJoinRule{{}, a.dim, join, !include_self}, a.x, a.src, a.index);
  const Tensor start = include_self ? a.x : with_places(a, 1);
  return autograd::enter(ScatterJoinRule{{}, a.dim, join}, start, a.src, a.index);
}

Tensor index_reduce(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& source,
                    std::string_view reduce, bool include_self) {
  const auto d = static_cast<int>(wrap_dim("index_reduce", dim, input.dim()));
  if (index.dim() > 1) {
    throw IndexError(core::text("index_reduce: index must have at most one dimension, got a ",
                                core::describe(index)));
  }
  Dims wanted(input.sizes());
  if (!wanted.empty()) wanted[d] = index.numel();
  if (!(source.sizes() == IntSpan(wanted))) {
    throw ShapeError(core::text("index_reduce: source must have the shape ", shape_string(wanted),
                                ", got ", shape_string(source.sizes())));
  }
  Dims line(wanted.size(), 1);
  if (!wanted.empty()) line[d] = index.numel();
  // Checked once for all lanes, which read the same line.
  const Tensor values = index_values("index_reduce", index);
  if (!wanted.empty()) check_range("index_reduce", values, d, input.size(d), false);
  const Tensor places = expand(reshape(values, line), wanted);
  const Arguments a = checked("index_reduce", input, d, places, source, true);
  return reshape(reduce_into("index_reduce", a, reduce, include_self, false), input.sizes());
}

}  // namespace

Tensor scatter_reduce(const Tensor& input, int64_t dim, const Tensor& index, const Tensor& src,
                      std::string_view reduce, bool include_self) {
  const Arguments a = checked("scatter_reduce", input, dim, index, src);
  const Tensor result = reduce_into("scatter_reduce", a, reduce, include_self, true);
  return input.dim() == 0 ? reshape(result, {}) : result;
}

TAPEGRAD_OP(
    kAll | kInplace,
    "scatter_reduce(Tensor input, int dim, Tensor index, Tensor src, str reduce, *, bool "
    "include_self=True, Tensor? out=None) -> Tensor",
    R"(A copy of input into which elements of src are reduced along a dimension: for dim=0 and 3 dimensions
result[index[i, j, k], j, k] is reduced with src[i, j, k].

Of equal extrema (amax, amin) all share the gradient, elements of input that take no part among them.

Args:
    input: a tensor
    dim: the dimension
    index: an int32 or int64 tensor of as many dimensions, no larger than src, nor than input apart from dim
    src: a tensor of input's dtype
    reduce: 'sum', 'prod', 'mean', 'amax' or 'amin'
    include_self: whether the elements of input take part
    out: a tensor to write the result into

Raises:
    IndexError: dim or a value of index out of range
    ShapeError: an index of a shape that does not fit
    ValueError: another reduction

Example:
    >>> import tapegrad as tg
    >>> tg.scatter_reduce(tg.ones(2), 0, tg.tensor([0, 0, 1]), tg.tensor([3., 2., 0.]), 'amax')
    tensor([3., 1.]))",
    &scatter_reduce);
TAPEGRAD_OP(kAll | kInplace,
            "index_reduce(Tensor input, int dim, Tensor index, Tensor source, str reduce, *, bool "
            "include_self=True, Tensor? out=None) -> Tensor",
            R"(A copy of input in which slice index[i] of dimension dim is reduced with source[i].

Args:
    input: a tensor
    dim: the dimension
    index: an int32 or int64 tensor of at most one dimension
    source: a tensor of input's dtype and shape, except for len(index) in dim
    reduce: 'prod', 'mean', 'amax' or 'amin'
    include_self: whether the elements of input take part
    out: a tensor to write the result into

Raises:
    IndexError: dim or a value of index out of range
    ShapeError: source of another shape
    ValueError: another reduction

Example:
    >>> import tapegrad as tg
    >>> tg.index_reduce(tg.ones(2), 0, tg.tensor([0, 0]), tg.tensor([3., 2.]), 'prod')
    tensor([6., 1.]))",
            &index_reduce);

}  // namespace tapegrad
