// Order along a dimension: sort, argsort, msort, topk, searchsorted, bucketize.
#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/search.h"
#include "ops/indexing.h"
#include "ops/ordering.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace ops {

kernels::RowShape rows_along(IntSpan sizes, int64_t dim) {
  kernels::RowShape shape;
  for (size_t d = 0; d < sizes.size(); ++d) {
    const auto at = static_cast<int64_t>(d);
    (at < dim ? shape.a : at == dim ? shape.n : shape.c) *= sizes[d];
  }
  return shape;
}

void require_rows(const char* op, const Tensor& input, int64_t dim) {
  if (input.dim() == 0 || input.size(dim) > 0) return;
  throw IndexError(core::text(op, ": expected reduction dim ", dim,
                              " to have non-zero size, got a ", core::describe(input)));
}

void pull_picked(autograd::Pull& p, int64_t dim, bool keepdim) {
  if (!p.grad(0).defined()) return;
  const IntSpan sizes = p.input_sizes(0);
  if (sizes.empty()) {
    p.set(0, p.grad(0));
    return;
  }
  const Tensor index = keepdim ? p.output(1) : unsqueeze(p.output(1), dim);
  const Tensor g = keepdim ? p.grad(0) : unsqueeze(p.grad(0), dim);
  p.set(0, placed_along(g, index, dim, sizes));
}

}  // namespace ops

using namespace ops;

namespace {

constexpr int kAll = kFunction | kMethod;

struct Sorted {
  Tensor values;
  Tensor indices;
};

/// The first k elements along dim, values and indices as asked for; unrecorded.
Sorted run_sort(const Tensor& input, int64_t dim, int64_t k, bool descending, bool ordered,
                bool values, bool indices) {
  Dims sizes(input.sizes());
  if (!sizes.empty()) sizes[static_cast<int>(dim)] = k;
  Sorted out;
  if (values) out.values = core::make_tensor(sizes, input.dtype());
  if (indices) out.indices = core::make_tensor(sizes, DType::Int64);
  if (checked_numel("sort", sizes) == 0) return out;
  const Tensor x = contiguous(input.detach());
  kernels::SortRows p;
  p.shape = rows_along(input.sizes(), dim);
  p.dtype = input.dtype();
  p.k = k;
  p.descending = descending;
  p.ordered = ordered;
  const Tensor scratch = core::make_tensor({kernels::sort_scratch(p.shape, p.dtype)}, DType::UInt8);
  core::launch(&kernels::sort_rows,
               {values ? core::out(out.values) : core::none(),
                indices ? core::out(out.indices) : core::none(), core::in(x), core::out(scratch)},
               p);
  return out;
}

struct SortRule : autograd::Rule {
  static constexpr const char* name = "Sort";
  int64_t dim;
  int64_t k;
  bool descending;
  bool ordered;

  unsigned saves_outputs(unsigned) const { return 2; }
  SortRule shifted() const {
    SortRule rule = *this;
    ++rule.dim;
    return rule;
  }
  std::vector<Tensor> forward(autograd::Inputs in) const {
    Sorted sorted = run_sort(in[0], dim, k, descending, ordered, true, true);
    std::vector<Tensor> result;
    result.reserve(2);
    result.push_back(std::move(sorted.values));
    result.push_back(std::move(sorted.indices));
    return result;
  }
  void pull(autograd::Pull& p) const { pull_picked(p, dim, true); }
};

struct ArgsortRule : autograd::Rule {
  static constexpr const char* name = "Argsort";
  static constexpr bool differentiable = false;
  int64_t dim;
  bool descending;
  ArgsortRule shifted() const {
    ArgsortRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const int64_t k = in[0].dim() == 0 ? 1 : in[0].size(dim);
    return run_sort(in[0], dim, k, descending, true, false, true).indices;
  }
  void pull(autograd::Pull&) const {}
};

Tensor msort(const Tensor& input) { return sort(input, 0)[0]; }

std::vector<Tensor> sort_stable(const Tensor& input, int64_t dim, bool descending, bool) {
  return sort(input, dim, descending);
}
Tensor argsort_stable(const Tensor& input, int64_t dim, bool descending, bool) {
  return argsort(input, dim, descending);
}

// --- binary search -------------------------------------------------------------------------------

struct SearchOptions {
  bool int32;
  bool right;
};

struct SearchRule : autograd::Rule {
  static constexpr const char* name = "SearchSorted";
  static constexpr bool differentiable = false;
  SearchOptions options;
  /// Inputs: values, boundaries, and the sorter where there is one.
  Tensor forward(autograd::Inputs in) const {
    const Tensor out =
        core::make_tensor(in[0].sizes(), options.int32 ? DType::Int32 : DType::Int64);
    if (out.numel() == 0) return out;
    DType dtype = kernel_dtype(result_type(in[0], in[1]));
    if (!is_floating_point(dtype)) dtype = DType::Int64;
    const Tensor values = contiguous(converted(in[0].detach(), dtype));
    const Tensor boundaries = contiguous(converted(in[1].detach(), dtype));
    const Tensor sorter = in.size() > 2 ? contiguous(in[2]) : Tensor();
    kernels::SearchSorted p;
    p.dtype = dtype;
    p.count = values.numel();
    p.boundaries = boundaries.dim() == 0 ? 1 : boundaries.size(boundaries.dim() - 1);
    p.per_line = boundaries.dim() <= 1 ? p.count : values.size(values.dim() - 1);
    p.right = options.right;
    p.int32 = options.int32;
    core::launch(&kernels::search_sorted,
                 {core::out(out), core::in(values), core::in(boundaries),
                  sorter.defined() ? core::in(sorter) : core::none()},
                 p);
    return out;
  }
  void pull(autograd::Pull&) const {}
};

bool is_right(const char* op, bool right, std::optional<std::string_view> side) {
  if (!side) return right;
  if (*side != "left" && *side != "right") {
    throw ValueError(core::text(op, ": side must be 'left' or 'right', got '", *side, "'"));
  }
  if (*side == "left" && right) {
    throw ValueError(core::text(op, ": side='left' contradicts right=True; give one of them"));
  }
  return *side == "right";
}

void check_sorter(const Tensor& sequence, const Tensor& sorter) {
  if (sorter.dtype() != DType::Int64) {
    throw DTypeError(
        core::text("searchsorted: sorter must be an int64 tensor, got a ", core::describe(sorter)));
  }
  if (!(sorter.sizes() == sequence.sizes())) {
    throw ShapeError(core::text("searchsorted: sorter must have the shape of sorted_sequence, got ",
                                shape_string(sorter.sizes()), " and ",
                                shape_string(sequence.sizes())));
  }
  const Tensor dense = contiguous(sorter);
  const int64_t* at = dense.data_ptr<int64_t>();
  const int64_t n = sequence.dim() == 0 ? 1 : sequence.size(sequence.dim() - 1);
  for (int64_t i = 0; i < dense.numel(); ++i) {
    if (at[i] < 0 || at[i] >= n)
      throw IndexError(core::text("searchsorted: sorter has the index ", at[i],
                                  ", out of range for ", n, " boundaries"));
  }
}

Tensor search(const char* op, const Tensor& boundaries, const Tensor& values, SearchOptions options,
              const Tensor& sorter = {}) {
  if (boundaries.dim() == 0) {
    throw ShapeError(core::text(op, ": boundaries must have at least one dimension"));
  }
  if (boundaries.dim() > 1) {
    bool fits = boundaries.dim() == values.dim();
    for (int64_t d = 0; fits && d + 1 < values.dim(); ++d)
      fits = boundaries.size(d) == values.size(d);
    if (!fits) {
      throw ShapeError(core::text(op,
                                  ": boundaries must have one dimension, or those of the values "
                                  "but for the last, got shapes ",
                                  shape_string(boundaries.sizes()), " and ",
                                  shape_string(values.sizes())));
    }
  }
  const SearchRule rule{{}, options};
  if (!sorter.defined()) return autograd::enter(rule, values, boundaries);
  check_sorter(boundaries, sorter);
  return autograd::enter(rule, values, boundaries, sorter);
}

Tensor searchsorted_with(const Tensor& sequence, const Tensor& input, bool int32, bool right,
                         std::optional<std::string_view> side, const Tensor& sorter) {
  return search("searchsorted", sequence, input, {int32, is_right("searchsorted", right, side)},
                sorter);
}

}  // namespace

std::vector<Tensor> sort(const Tensor& input, int64_t dim, bool descending) {
  const int64_t d = wrap_dim("sort", dim, input.dim());
  const int64_t n = input.dim() == 0 ? 1 : input.size(d);
  return autograd::enter(SortRule{{}, d, n, descending, true}, input);
}

Tensor argsort(const Tensor& input, int64_t dim, bool descending) {
  return autograd::enter(ArgsortRule{{}, wrap_dim("argsort", dim, input.dim()), descending}, input);
}

std::vector<Tensor> topk(const Tensor& input, int64_t k, int64_t dim, bool largest, bool sorted) {
  const int64_t d = wrap_dim("topk", dim, input.dim());
  const int64_t n = input.dim() == 0 ? 1 : input.size(d);
  if (k < 0 || k > n) {
    throw ValueError(core::text("topk: k = ", k, " is out of range for the ", n,
                                " elements along dimension ", d, " of a ", core::describe(input)));
  }
  if (input.dim() == 0 && k == 0) {
    throw ValueError("topk: k must be 1 for a 0-d tensor");
  }
  return autograd::enter(SortRule{{}, d, k, largest, sorted}, input);
}

Tensor searchsorted(const Tensor& sorted_sequence, const Tensor& input, bool right) {
  return search("searchsorted", sorted_sequence, input, {false, right});
}

namespace ops {
Tensor sorted_values(const Tensor& input, int64_t dim) { return sort(input, dim)[0]; }
}  // namespace ops

// --- registration --------------------------------------------------------------------------------

TAPEGRAD_OP(kAll,
            "sort(Tensor input, int dim=-1, bool descending=False, *, bool stable=False, Tensor? "
            "out=None) -> (Tensor values, Tensor indices)",
            R"(The elements in order along a dimension, and where each of them was.

The sort is always stable; NaN is the greatest value.

Args:
    input: a tensor
    dim: the dimension
    descending: from the greatest to the least
    stable: accepted for compatibility
    out: a pair of tensors to write values and indices into

Returns:
    a named tuple (values, indices); gradients flow through values

Raises:
    IndexError: a dimension that does not exist

Example:
    >>> import tapegrad as tg
    >>> tg.sort(tg.tensor([3., 1., 2.])).values
    tensor([1., 2., 3.]))",
            &sort_stable);
TAPEGRAD_OP(kAll,
            "argsort(Tensor input, int dim=-1, bool descending=False, *, bool stable=False) -> "
            "Tensor",
            R"(The indices that put a tensor in order along a dimension. Arguments as of sort().

Example:
    >>> import tapegrad as tg
    >>> tg.argsort(tg.tensor([3., 1., 2.]))
    tensor([1, 2, 0]))",
            &argsort_stable);
TAPEGRAD_OP(kAll, "msort(Tensor input, *, Tensor? out=None) -> Tensor",
            R"(The elements in ascending order along the first dimension: sort(input, dim=0).values.

Example:
    >>> import tapegrad as tg
    >>> tg.msort(tg.tensor([3., 1., 2.]))
    tensor([1., 2., 3.]))",
            &msort);
TAPEGRAD_OP(kAll,
            "topk(Tensor input, int k, int dim=-1, bool largest=True, bool sorted=True, *, Tensor? "
            "out=None) -> (Tensor values, Tensor indices)",
            R"(The k greatest (or least) elements along a dimension, and where they are.

Of equal elements the first ones are taken; NaN is the greatest value.

Args:
    input: a tensor
    k: how many
    dim: the dimension
    largest: the greatest ones, else the least
    sorted: in order, else in any order
    out: a pair of tensors to write values and indices into

Raises:
    ValueError: k is greater than the size of the dimension

Example:
    >>> import tapegrad as tg
    >>> tg.topk(tg.tensor([3., 1., 4., 1., 5.]), 2).indices
    tensor([4, 2]))",
            &topk);
TAPEGRAD_OP(kFunction,
            "searchsorted(Tensor sorted_sequence, Tensor input, *, bool out_int32=False, bool "
            "right=False, str? side=None, Tensor? sorter=None, Tensor? out=None) -> Tensor",
            R"(Where values belong in a sorted sequence: boundaries[i - 1] < value <= boundaries[i].

Args:
    sorted_sequence: boundaries in ascending order along the last dimension: one line, or one for
        each line of input
    input (self): values, or a number
    out_int32: an int32 result
    right: boundaries[i - 1] <= value < boundaries[i] instead
    side: 'left' or 'right', the same by name
    sorter: indices that sort sorted_sequence, which then may be in any order
    out: a tensor to write the result into

Raises:
    ShapeError: boundaries of several lines that do not fit the values
    ValueError: side contradicts right

Example:
    >>> import tapegrad as tg
    >>> tg.searchsorted(tg.tensor([1., 3., 5.]), tg.tensor([3., 4.]))
    tensor([1, 2]))",
            &searchsorted_with);
TAPEGRAD_OP(
    kFunction,
    "searchsorted(Tensor sorted_sequence, Scalar self, *, bool out_int32=False, bool "
    "right=False, str? side=None, Tensor? sorter=None, Tensor? out=None) -> Tensor",
    "",
    +[](const Tensor& sequence, Scalar value, bool int32, bool right,
        std::optional<std::string_view> side, const Tensor& sorter) {
      const Tensor number = core::make_scalar(value, value.natural_dtype(), true);
      return searchsorted_with(sequence, number, int32, right, side, sorter);
    });
TAPEGRAD_OP(
    kFunction,
    "bucketize(Tensor input, Tensor boundaries, *, bool out_int32=False, bool right=False, "
    "Tensor? out=None) -> Tensor",
    R"(The bucket of each value: boundaries[i - 1] < value <= boundaries[i].

Args:
    input (self): values, or a number
    boundaries: a tensor of one dimension in ascending order
    out_int32: an int32 result
    right: boundaries[i - 1] <= value < boundaries[i] instead
    out: a tensor to write the result into

Raises:
    ShapeError: boundaries that are not one-dimensional

Example:
    >>> import tapegrad as tg
    >>> tg.bucketize(tg.tensor([3, 6, 9]), tg.tensor([1, 3, 5, 7, 9]))
    tensor([1, 3, 4]))",
    +[](const Tensor& input, const Tensor& boundaries, bool int32, bool right) {
      if (boundaries.dim() != 1) {
        throw ShapeError(core::text("bucketize: boundaries must have one dimension, got a ",
                                    core::describe(boundaries)));
      }
      return search("bucketize", boundaries, input, {int32, right});
    });
TAPEGRAD_OP(
    kFunction,
    "bucketize(Scalar self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> "
    "Tensor",
    "", +[](Scalar value, const Tensor& boundaries, bool int32, bool right) {
      const Tensor number = core::make_scalar(value, value.natural_dtype(), true);
      return search("bucketize", boundaries, number, {int32, right});
    });

}  // namespace tapegrad
