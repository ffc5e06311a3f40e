// Views of a part of a tensor: select, slice, narrow, diagonal, and the lists of views of split,
// chunk and unbind.
//
// The gradient of a window is zeros with the window filled in: PutRule, for any window; its own
// gradient is the window.
#include "autograd/entry.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using namespace ops;

constexpr int kAll = kFunction | kMethod;

/// Window-shaped -> base-shaped. `W` is the rule of the window; `sizes`, the base's, is borrowed
/// for the call.
template <class W>
struct PutRule : autograd::Rule {
  static constexpr const char* name = W::backward_name;
  static constexpr bool linear = true;
  W window;
  IntSpan sizes;
  Tensor batch(const autograd::Batch& b) const {
    Dims all(sizes);
    all.insert(0, b.size());
    return autograd::enter(PutRule{{}, window.shifted(), all}, b.front(0));
  }
  Tensor forward(Inputs in) const {
    const Tensor result = zeros(sizes, in[0].dtype());
    const Tensor* base[] = {&result};
    kernels::copy_values(window.forward(Inputs{base, 1}), in[0]);
    return result;
  }
  void pull(Pull& p) const { p.set(0, autograd::enter(W(window), p.grad())); }
};

template <class W>
void pull_window(const W& window, Pull& p) {
  p.set(0, autograd::enter(PutRule<W>{{}, window, p.input_sizes(0)}, p.grad()));
}

struct SelectRule : autograd::Rule {
  static constexpr const char* name = "Select";
  static constexpr const char* backward_name = "SelectBackward";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  int dim = 0;
  int64_t index = 0;
  SelectRule shifted() const {
    SelectRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(Inputs in) const {
    const Tensor& x = in[0];
    Dims sizes(x.sizes()), strides(x.strides());
    const int64_t offset = x.storage_offset() + index * strides[dim];
    sizes.erase(dim);
    strides.erase(dim);
    return core::make_alias(x, sizes, strides, offset);
  }
  void pull(Pull& p) const { pull_window(*this, p); }
};

struct SliceRule : autograd::Rule {
  static constexpr const char* name = "Slice";
  static constexpr const char* backward_name = "SliceBackward";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  int dim = 0;
  int64_t start = 0;
  int64_t length = 0;
  int64_t step = 1;
  SliceRule shifted() const {
    SliceRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(Inputs in) const {
    const Tensor& x = in[0];
    Dims sizes(x.sizes()), strides(x.strides());
    const int64_t offset = x.storage_offset() + (length > 0 ? start * strides[dim] : 0);
    sizes[dim] = length;
    strides[dim] *= step;
    return core::make_alias(x, sizes, strides, offset);
  }
  void pull(Pull& p) const { pull_window(*this, p); }
};

struct DiagonalRule : autograd::Rule {
  static constexpr const char* name = "Diagonal";
  static constexpr const char* backward_name = "DiagonalBackward";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  int64_t offset = 0;
  int dim1 = 0;
  int dim2 = 1;
  DiagonalRule shifted() const {
    DiagonalRule rule = *this;
    ++rule.dim1;
    ++rule.dim2;
    return rule;
  }
  Tensor forward(Inputs in) const {
    const Tensor& x = in[0];
    Dims sizes(x.sizes()), strides(x.strides());
    const int64_t rows = sizes[dim1] + (offset < 0 ? offset : 0);
    const int64_t columns = sizes[dim2] - (offset > 0 ? offset : 0);
    const int64_t length = rows < columns ? rows : columns;
    const int64_t step = strides[dim1] + strides[dim2];
    int64_t first = x.storage_offset();
    if (length > 0) first += offset > 0 ? offset * strides[dim2] : -offset * strides[dim1];
    const int low = dim1 < dim2 ? dim1 : dim2;
    const int high = dim1 < dim2 ? dim2 : dim1;
    for (Dims* list : {&sizes, &strides}) {
      list->erase(high);
      list->erase(low);
    }
    sizes.push_back(length > 0 ? length : 0);
    strides.push_back(step);
    return core::make_alias(x, sizes, strides, first);
  }
  void pull(Pull& p) const { pull_window(*this, p); }
};

/// Consecutive pieces along a dimension. One node, so that the backward pass joins the pieces'
/// gradients once.
struct SplitRule : autograd::Rule {
  static constexpr const char* name = "Split";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  int dim = 0;
  int64_t count = 0;
  IntSpan lengths;  // of `count` pieces; borrowed for the call
  SplitRule shifted() const {
    SplitRule rule = *this;
    ++rule.dim;
    return rule;
  }
  std::vector<Tensor> forward(Inputs in) const {
    const Tensor& x = in[0];
    Dims sizes(x.sizes());
    const int64_t stride = x.strides()[static_cast<size_t>(dim)];
    int64_t offset = x.storage_offset();
    std::vector<Tensor> pieces;
    pieces.reserve(lengths.size());
    for (const int64_t length : lengths) {
      sizes[dim] = length;
      pieces.push_back(core::make_alias(x, sizes, x.strides(), offset));
      offset += length * stride;
    }
    return pieces;
  }
  void pull(Pull& p) const;
};

/// All slices of one dimension, without that dimension.
struct UnbindRule : autograd::Rule {
  static constexpr const char* name = "Unbind";
  static constexpr bool is_view = true;
  static constexpr bool linear = true;
  int dim = 0;
  UnbindRule shifted() const {
    UnbindRule rule = *this;
    ++rule.dim;
    return rule;
  }
  std::vector<Tensor> forward(Inputs in) const {
    const Tensor& x = in[0];
    Dims sizes(x.sizes()), strides(x.strides());
    const int64_t count = sizes[dim], stride = strides[dim];
    sizes.erase(dim);
    strides.erase(dim);
    std::vector<Tensor> slices;
    slices.reserve(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i)
      slices.push_back(core::make_alias(x, sizes, strides, x.storage_offset() + i * stride));
    return slices;
  }
  void pull(Pull& p) const;
};

std::vector<Tensor> all_gradients(Pull& p, int64_t count) {
  std::vector<Tensor> grads(static_cast<size_t>(count));
  for (int i = 0; i < static_cast<int>(count); ++i)
    grads[static_cast<size_t>(i)] = p.grad_or_zeros(i);
  return grads;
}

void SplitRule::pull(Pull& p) const { p.set(0, cat(all_gradients(p, count), dim)); }

void UnbindRule::pull(Pull& p) const {
  p.set(0, stack(all_gradients(p, p.input_sizes(0)[static_cast<size_t>(dim)]), dim));
}

void need_dimension(const char* op, const Tensor& input) {
  if (input.dim() == 0)
    throw ShapeError(core::text(op, ": a 0-d tensor has no dimension to look into"));
}

int64_t size_of(const Tensor& input, int dim) { return input.sizes()[static_cast<size_t>(dim)]; }

std::vector<Tensor> split_pieces(const Tensor& input, int dim, IntSpan lengths) {
  if (lengths.empty()) return {};
  return autograd::enter(SplitRule{{}, dim, static_cast<int64_t>(lengths.size()), lengths}, input);
}

/// Equal pieces of `length`; the last may be shorter.
std::vector<Tensor> split_evenly(const char* op, const Tensor& input, int64_t length, int64_t dim) {
  need_dimension(op, input);
  const auto d = static_cast<int>(wrap_dim(op, dim, input.dim()));
  const int64_t size = size_of(input, d);
  if (length < 0 || (length == 0 && size != 0)) {
    throw ShapeError(core::text(op, ": split_size must be positive, got ", length, " for the ",
                                core::describe(input)));
  }
  const int64_t count = size == 0 ? 1 : (size - 1) / length + 1;
  std::vector<int64_t> lengths(static_cast<size_t>(count), length);
  lengths.back() = size - (count - 1) * length;
  return split_pieces(input, d, lengths);
}

}  // namespace

Tensor select(const Tensor& input, int64_t dim, int64_t index) {
  if (input.dim() == 0)
    throw IndexError("select: cannot be applied to a 0-dim tensor; use .item() for its value");
  const auto d = static_cast<int>(wrap_dim("select", dim, input.dim()));
  const int64_t size = size_of(input, d);
  if (index < -size || index >= size) {
    throw IndexError(core::text("select: index ", index, " out of range for tensor of size ",
                                shape_string(input.sizes()), " at dimension ", d));
  }
  return autograd::enter(SelectRule{{}, d, index < 0 ? index + size : index}, input);
}

Tensor slice(const Tensor& input, int64_t dim, std::optional<int64_t> start,
             std::optional<int64_t> end, int64_t step) {
  if (input.dim() == 0) throw IndexError("slice: cannot be applied to a 0-dim tensor");
  const auto d = static_cast<int>(wrap_dim("slice", dim, input.dim()));
  if (step <= 0)
    throw ValueError(core::text("slice: step must be greater than zero, got ", step,
                                "; use flip() to reverse a tensor"));
  const int64_t size = size_of(input, d);
  const auto clip = [size](int64_t bound) {
    if (bound < 0) bound += size;
    return bound < 0 ? 0 : bound > size ? size : bound;
  };
  const int64_t first = clip(start.value_or(0));
  const int64_t last = end ? clip(*end) : size;
  const int64_t length = last > first ? (last - first - 1) / step + 1 : 0;
  return autograd::enter(SliceRule{{}, d, first, length, step}, input);
}

Tensor narrow(const Tensor& input, int64_t dim, int64_t start, int64_t length) {
  need_dimension("narrow", input);
  const auto d = static_cast<int>(wrap_dim("narrow", dim, input.dim()));
  const int64_t size = size_of(input, d);
  if (length < 0) throw ShapeError(core::text("narrow: length must be non-negative, got ", length));
  if (start < -size || start > size) {
    throw IndexError(core::text("narrow: start out of range (expected to be in range of [", -size,
                                ", ", size, "], but got ", start, ")"));
  }
  const int64_t first = start < 0 ? start + size : start;
  if (length > size - first) {
    throw ShapeError(core::text("narrow: start (", first, ") + length (", length,
                                ") exceeds the size ", size, " of dimension ", d, " of the ",
                                core::describe(input)));
  }
  return autograd::enter(SliceRule{{}, d, first, length, 1}, input);
}

Tensor diagonal(const Tensor& input, int64_t offset, int64_t dim1, int64_t dim2) {
  const auto a = static_cast<int>(wrap_dim("diagonal", dim1, input.dim()));
  const auto b = static_cast<int>(wrap_dim("diagonal", dim2, input.dim()));
  if (a == b) {
    throw ShapeError(
        core::text("diagonal: dimensions cannot be identical, got ", dim1, " and ", dim2));
  }
  return autograd::enter(DiagonalRule{{}, offset, a, b}, input);
}

std::vector<Tensor> split(const Tensor& input, int64_t split_size, int64_t dim) {
  return split_evenly("split", input, split_size, dim);
}

std::vector<Tensor> split_with_sizes(const Tensor& input, IntSpan split_sizes, int64_t dim) {
  need_dimension("split_with_sizes", input);
  const auto d = static_cast<int>(wrap_dim("split_with_sizes", dim, input.dim()));
  int64_t rest = size_of(input, d);
  bool fits = true;
  for (const int64_t length : split_sizes) {
    fits = fits && length >= 0 && length <= rest;
    rest -= length;
  }
  if (!fits || rest != 0) {
    throw ShapeError(core::text("split_with_sizes: split_sizes ", shape_string(split_sizes),
                                " must be non-negative and sum to the size ", size_of(input, d),
                                " of dimension ", d, " of the ", core::describe(input)));
  }
  return split_pieces(input, d, split_sizes);
}

std::vector<Tensor> chunk(const Tensor& input, int64_t chunks, int64_t dim) {
  need_dimension("chunk", input);
  if (chunks <= 0)
    throw ValueError(core::text("chunk: chunks must be greater than 0, got ", chunks));
  const auto d = static_cast<int>(wrap_dim("chunk", dim, input.dim()));
  const int64_t size = size_of(input, d);
  if (size == 0) {
    return split_pieces(input, d, std::vector<int64_t>(static_cast<size_t>(chunks), 0));
  }
  return split_evenly("chunk", input, (size - 1) / chunks + 1, dim);
}

std::vector<Tensor> unbind(const Tensor& input, int64_t dim) {
  if (input.dim() == 0) throw IndexError("unbind: a 0-d tensor has no dimension to cut");
  const auto d = static_cast<int>(wrap_dim("unbind", dim, input.dim()));
  if (size_of(input, d) == 0) return {};
  return autograd::enter(UnbindRule{{}, d}, input);
}

TAPEGRAD_OP(kAll, "select(Tensor(a) input, int dim, int index) -> Tensor(a)",
            R"(The slice at one index of a dimension, without that dimension; a view.

Raises:
    IndexError: dim or index out of range

Example:
    >>> import tapegrad as tg
    >>> tg.select(tg.tensor([[1, 2], [3, 4]]), 1, -1)
    tensor([2, 4]))",
            &select);
TAPEGRAD_OP(kAll, "narrow(Tensor(a) input, int dim, int start, int length) -> Tensor(a)",
            R"(The part start .. start + length of a dimension; a view.

Args:
    input: a tensor
    dim: the dimension
    start: first index; negative counts from the end
    length: how many indices

Raises:
    IndexError: dim or start out of range
    ShapeError: start + length beyond the end

Example:
    >>> import tapegrad as tg
    >>> tg.narrow(tg.arange(5), 0, 1, 3)
    tensor([1, 2, 3]))",
            &narrow);
TAPEGRAD_OP(
    kAll, "narrow(Tensor(a) input, int dim, Tensor start, int length) -> Tensor(a)", "",
    +[](const Tensor& x, int64_t dim, const Tensor& start, int64_t length) {
      if (start.dim() != 0 || !is_integer(start.dtype())) {
        throw DTypeError(core::text("narrow: start must be an int or a 0-d integer tensor, got a ",
                                    core::describe(start)));
      }
      return narrow(x, dim, start.item().to_int(), length);
    });
TAPEGRAD_OP(kAll, "diagonal(Tensor(a) input, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)",
            R"(The diagonal of the planes of two dimensions, as a new last dimension; a view.

Args:
    input: a tensor of at least two dimensions
    offset: 0 for the main diagonal, positive above it, negative below it
    dim1: first dimension of the planes
    dim2: second dimension of the planes

Raises:
    ShapeError: dim1 and dim2 are the same
    IndexError: a dimension out of range

Example:
    >>> import tapegrad as tg
    >>> tg.diagonal(tg.tensor([[1, 2], [3, 4]]))
    tensor([1, 4]))",
            &diagonal);

constexpr const char* kSplitDoc =
    R"(Consecutive pieces along a dimension; views.

Args:
    tensor: a tensor
    split_size_or_sections (split_size in the method): length of the pieces (the last may be shorter), or a list of lengths
    dim: the dimension

Raises:
    ShapeError: lengths that do not sum to the size of dim

Example:
    >>> import tapegrad as tg
    >>> tg.split(tg.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4])))";
TAPEGRAD_OP(kFunction, "split(Tensor(a) tensor, int split_size_or_sections, int dim=0) -> Tensor[]",
            kSplitDoc, &split);
TAPEGRAD_OP(kFunction,
            "split(Tensor(a) tensor, int[] split_size_or_sections, int dim=0) -> Tensor[]", "",
            &split_with_sizes);
TAPEGRAD_OP(kMethod, "split(Tensor(a) tensor, int split_size, int dim=0) -> Tensor[]", kSplitDoc,
            &split);
TAPEGRAD_OP(kMethod, "split(Tensor(a) tensor, int[] split_size, int dim=0) -> Tensor[]", "",
            &split_with_sizes);
TAPEGRAD_OP(kAll, "split_with_sizes(Tensor(a) input, int[] split_sizes, int dim=0) -> Tensor[]",
            R"(Consecutive pieces of the given lengths along a dimension; views.

Raises:
    ShapeError: lengths that do not sum to the size of dim

Example:
    >>> import tapegrad as tg
    >>> tg.split_with_sizes(tg.arange(3), [1, 2])
    (tensor([0]), tensor([1, 2])))",
            &split_with_sizes);
TAPEGRAD_OP(
    kAll, "chunk(Tensor(a) input, int chunks, int dim=0) -> Tensor[]",
    R"(At most chunks pieces of equal length (the last may be shorter) along a dimension; views.

Raises:
    ValueError: chunks is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.chunk(tg.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4])))",
    &chunk);
TAPEGRAD_OP(kAll, "unbind(Tensor(a) input, int dim=0) -> Tensor[]",
            R"(All slices of a dimension, without that dimension; views.

Example:
    >>> import tapegrad as tg
    >>> tg.unbind(tg.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4])))",
            &unbind);

}  // namespace tapegrad
