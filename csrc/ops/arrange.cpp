// Other arrangements of the same elements, as copies: flips, rolls, repeats, triangles.
#include <algorithm>

#include "autograd/entry.h"
#include "core/text.h"
#include "kernels/copy.h"
#include "kernels/triangle.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using namespace ops;

constexpr int kAll = kFunction | kMethod;

// --- flips ---------------------------------------------------------------------------------------

struct FlipRule : autograd::Rule {
  static constexpr const char* name = "Flip";
  static constexpr bool linear = true;
  Dims dims;  // distinct, not negative
  FlipRule shifted() const {
    FlipRule rule = *this;
    for (int64_t& dim : rule.dims) ++dim;
    return rule;
  }
  Tensor forward(Inputs in) const {
    const Tensor& x = in[0];
    Tensor result = core::make_tensor(x.sizes(), x.dtype());
    if (result.numel() == 0) return result;
    Dims strides(x.strides());
    int64_t offset = x.storage_offset();
    for (int i = 0; i < dims.size(); ++i) {
      const auto d = static_cast<size_t>(dims[i]);
      offset += (x.sizes()[d] - 1) * x.strides()[d];
      strides[static_cast<int>(d)] = -x.strides()[d];
    }
    kernels::copy_values(result, core::make_alias(x, x.sizes(), strides, offset));
    return result;
  }
  void pull(Pull& p) const { p.set(0, flip(p.grad(), dims)); }
};

/// Moved on by `by` places along dim; those beyond the end come in at the start.
struct RollRule : autograd::Rule {
  static constexpr const char* name = "Roll";
  static constexpr bool linear = true;
  int64_t dim;
  int64_t by;  // in (0, size)
  RollRule shifted() const { return {{}, dim + 1, by}; }
  Tensor forward(Inputs in) const {
    const Tensor x = in[0].detach();
    const int64_t rest = x.size(dim) - by;
    const Tensor parts[] = {narrow(x, dim, rest, by), narrow(x, dim, 0, rest)};
    return cat(TensorList(parts, 2), dim);
  }
  void pull(Pull& p) const {
    const Tensor g = p.grad();
    p.set(0, autograd::enter(RollRule{{}, dim, g.size(dim) - by}, g));
  }
};

Dims distinct_dims(const char* op, const Tensor& input, IntSpan dims) {
  Dims result;
  for (const int64_t given : dims) {
    const int64_t dim = wrap_dim(op, given, input.dim());
    for (int i = 0; i < result.size(); ++i) {
      if (result[i] == dim) {
        throw ShapeError(core::text(
            op, ": dim ", dim, " appears multiple times in the list of dims ", shape_string(dims)));
      }
    }
    result.push_back(dim);
  }
  return result;
}

// --- triangles -----------------------------------------------------------------------------------

struct TriangleRule : autograd::Rule {
  static constexpr const char* name = "Triangle";
  static constexpr bool linear = true;
  int64_t diagonal;
  bool upper;
  static constexpr bool leading = true;
  Tensor forward(Inputs in) const {
    Tensor source = in[0];
    if (!source.is_contiguous()) {
      source = core::make_tensor(source.sizes(), source.dtype());
      kernels::copy_values(source, in[0]);
    }
    Tensor result = core::make_tensor(source.sizes(), source.dtype());
    kernels::copy_triangle(result, source, diagonal, upper);
    return result;
  }
  void pull(Pull& p) const {
    p.set(0, upper ? triu(p.grad(), diagonal) : tril(p.grad(), diagonal));
  }
};

Tensor triangle(const char* op, const Tensor& input, int64_t diagonal, bool upper) {
  if (input.dim() < 2) {
    throw ShapeError(core::text(op, ": the input must have at least 2 dimensions, got a ",
                                core::describe(input)));
  }
  return autograd::enter(TriangleRule{{}, diagonal, upper}, input);
}

/// Row and column numbers of a triangle, row by row, as a tensor of two rows.
Tensor triangle_indices(const char* op, int64_t row, int64_t col, int64_t offset, bool upper,
                        std::optional<DType> dtype) {
  if (row < 0 || col < 0) {
    throw ShapeError(core::text(op, ": row and col must be non-negative, got ", row, " and ", col));
  }
  const DType type = dtype.value_or(DType::Int64);
  if (type != DType::Int64 && type != DType::Int32)
    throw DTypeError(core::text(op, ": dtype must be int64 or int32, got ", dtype_name(type)));
  std::vector<int64_t> rows;
  std::vector<int64_t> columns;
  for (int64_t r = 0; r < row; ++r) {
    const int64_t cut = std::clamp<int64_t>(r + offset + (upper ? 0 : 1), 0, col);
    for (int64_t c = upper ? cut : 0; c < (upper ? col : cut); ++c) {
      rows.push_back(r);
      columns.push_back(c);
    }
  }
  const auto count = static_cast<int64_t>(rows.size());
  rows.insert(rows.end(), columns.begin(), columns.end());
  return to(from_values(rows, {2, count}), type);
}

/// Every dimension of `input`, after new ones in front, `repeats` times.
Tensor repeated(const Tensor& input, IntSpan repeats) {
  const auto count = static_cast<int>(repeats.size());
  const int missing = count - static_cast<int>(input.dim());
  Dims cut;
  Dims wide;
  Dims sizes;
  for (int d = 0; d < count; ++d) {
    const int64_t size = d < missing ? 1 : input.sizes()[static_cast<size_t>(d - missing)];
    const int64_t times = repeats[static_cast<size_t>(d)];
    if (times != 1) {
      cut.push_back(1);
      wide.push_back(times);
    }
    cut.push_back(size);
    wide.push_back(size);
    int64_t total = 0;
    if (__builtin_mul_overflow(size, times, &total))
      throw ShapeError(core::text("repeat: a dimension of size ", size, " cannot be repeated ",
                                  times, " times: the result is too large"));
    sizes.push_back(total);
  }
  if (wide.size() == count) {
    bool unchanged = true;
    for (int d = 0; d < count; ++d) unchanged &= repeats[static_cast<size_t>(d)] == 1;
    if (unchanged) return clone(reshape(input, sizes));
  }
  return reshape(expand(reshape(input, cut), wide), sizes);
}

void check_output_size(const Tensor& result, std::optional<int64_t> dim,
                       std::optional<int64_t> output_size) {
  if (!output_size) return;
  const int64_t size =
      dim ? result.sizes()[static_cast<size_t>(wrap_dim("repeat_interleave", *dim, result.dim()))]
          : result.numel();
  if (size != *output_size) {
    throw ShapeError(core::text("repeat_interleave: output_size is ", *output_size,
                                ", but the repeats give ", size));
  }
}

}  // namespace

Tensor flip(const Tensor& input, IntSpan dims) {
  return autograd::enter(FlipRule{{}, distinct_dims("flip", input, dims)}, input);
}

Tensor roll(const Tensor& input, IntSpan shifts, IntSpan dims) {
  if (shifts.empty()) throw ShapeError("roll: shifts must not be empty");
  if (dims.empty()) {
    if (shifts.size() != 1) {
      throw ShapeError(core::text("roll: shifts and dims must have as many entries, got ",
                                  shape_string(shifts), " and none"));
    }
    return reshape(roll(reshape(input, {-1}), shifts, {0}), input.sizes());
  }
  if (dims.size() != shifts.size()) {
    throw ShapeError(core::text("roll: shifts and dims must have as many entries, got ",
                                shape_string(shifts), " and ", shape_string(dims)));
  }
  Tensor result = input;
  for (size_t i = 0; i < dims.size(); ++i) {
    const int64_t dim = wrap_dim("roll", dims[i], input.dim());
    if (input.numel() == 0) continue;
    const int64_t size = input.sizes()[static_cast<size_t>(dim)];
    const int64_t by = ((shifts[i] % size) + size) % size;
    if (by == 0) continue;
    result = autograd::enter(RollRule{{}, dim, by}, result);
  }
  return result.impl() == input.impl() ? clone(input) : result;
}

Tensor rot90(const Tensor& input, int64_t k, IntSpan dims) {
  if (dims.size() != 2) {
    throw ShapeError(
        core::text("rot90: expected two dims of the plane to turn, got ", shape_string(dims)));
  }
  if (input.dim() < 2) {
    throw ShapeError(core::text("rot90: the input must have at least 2 dimensions, got a ",
                                core::describe(input)));
  }
  const int64_t a = wrap_dim("rot90", dims[0], input.dim());
  const int64_t b = wrap_dim("rot90", dims[1], input.dim());
  if (a == b) throw ShapeError(core::text("rot90: the dims must differ, got ", a, " twice"));
  switch (((k % 4) + 4) % 4) {
    case 1:
      return transpose(flip(input, {b}), a, b);
    case 2:
      return flip(input, {a, b});
    case 3:
      return transpose(flip(input, {a}), a, b);
    default:
      return clone(input);
  }
}

Tensor repeat(const Tensor& input, IntSpan repeats) {
  if (static_cast<int64_t>(repeats.size()) < input.dim()) {
    throw ShapeError(
        core::text("repeat: needs at least as many repeats as the tensor has dimensions, got ",
                   shape_string(repeats), " for a ", core::describe(input)));
  }
  for (const int64_t times : repeats) {
    if (times < 0)
      throw ShapeError(core::text("repeat: negative number of repeats in ", shape_string(repeats)));
  }
  return repeated(input, repeats);
}

Tensor tile(const Tensor& input, IntSpan dims) {
  Dims repeats;
  for (int64_t d = static_cast<int64_t>(dims.size()); d < input.dim(); ++d) repeats.push_back(1);
  for (const int64_t times : dims) repeats.push_back(times);
  return repeat(input, repeats);
}

Tensor repeat_interleave(const Tensor& input, int64_t repeats, std::optional<int64_t> dim) {
  if (repeats < 0)
    throw ShapeError(core::text("repeat_interleave: repeats must not be negative, got ", repeats));
  if (!dim) return repeat_interleave(reshape(input, {-1}), repeats, 0);
  const int64_t at = wrap_dim("repeat_interleave", *dim, input.dim());
  Dims sizes(input.sizes());
  Dims wide;
  for (int64_t d = 0; d < input.dim(); ++d) {
    wide.push_back(sizes[static_cast<int>(d)]);
    if (d == at) wide.push_back(repeats);
  }
  sizes[static_cast<int>(at)] *= repeats;
  const Tensor result = reshape(expand(unsqueeze(input, at + 1), wide), sizes);
  return repeats == 1 ? clone(result) : result;
}

Tensor repeat_interleave(const Tensor& repeats) {
  if (repeats.dim() > 1) {
    throw ShapeError(core::text("repeat_interleave: repeats must have 0 or 1 dimensions, got a ",
                                core::describe(repeats)));
  }
  if (repeats.dtype() != DType::Int64 && repeats.dtype() != DType::Int32) {
    throw DTypeError(core::text("repeat_interleave: repeats must be int64 or int32, got a ",
                                core::describe(repeats)));
  }
  const Tensor counts = contiguous(to(repeats, DType::Int64));
  const auto* count = counts.data_ptr<int64_t>();
  int64_t total = 0;
  for (int64_t i = 0; i < counts.numel(); ++i) {
    if (count[i] < 0) {
      throw ShapeError(
          core::text("repeat_interleave: repeats must not be negative, got ", count[i], " at ", i));
    }
    if (__builtin_add_overflow(total, count[i], &total))
      throw ShapeError("repeat_interleave: the result is too large");
  }
  Tensor result = empty({total}, DType::Int64);
  auto* out = result.data_ptr<int64_t>();
  for (int64_t i = 0; i < counts.numel(); ++i) out = std::fill_n(out, count[i], i);
  return to(result, repeats.dtype());
}

Tensor repeat_interleave(const Tensor& input, const Tensor& repeats, std::optional<int64_t> dim) {
  if (!dim) return repeat_interleave(reshape(input, {-1}), repeats, 0);
  const int64_t at = wrap_dim("repeat_interleave", *dim, input.dim());
  const int64_t size = input.sizes()[static_cast<size_t>(at)];
  if (repeats.numel() != 1 && repeats.numel() != size) {
    throw ShapeError(
        core::text("repeat_interleave: repeats must have one entry or as many as the "
                   "dimension, got ",
                   repeats.numel(), " for size ", size, " of dim ", at));
  }
  const Tensor each =
      repeats.numel() == size ? reshape(repeats, {size}) : expand(reshape(repeats, {1}), {size});
  return index_select(input, at, repeat_interleave(each));
}

Tensor tril(const Tensor& input, int64_t diagonal) {
  return triangle("tril", input, diagonal, false);
}
Tensor triu(const Tensor& input, int64_t diagonal) {
  return triangle("triu", input, diagonal, true);
}

TAPEGRAD_OP(kAll, "flip(Tensor input, int[] dims) -> Tensor",
            R"(The elements in reverse order along the given dimensions; a copy.

Args:
    input: a tensor
    dims: the dimensions to reverse

Raises:
    ShapeError: a dimension that is named twice
    IndexError: a dimension out of range

Example:
    >>> import tapegrad as tg
    >>> tg.flip(tg.tensor([[1, 2], [3, 4]]), [1])
    tensor([[2, 1],
            [4, 3]]))",
            &flip);
TAPEGRAD_OP(
    kAll, "fliplr(Tensor input) -> Tensor",
    R"(The columns in reverse order: flip() along dimension 1.

Example:
    >>> import tapegrad as tg
    >>> tg.fliplr(tg.tensor([[1, 2], [3, 4]]))
    tensor([[2, 1],
            [4, 3]]))",
    +[](const Tensor& input) {
      if (input.dim() < 2)
        throw ShapeError(core::text("fliplr: the input must have at least 2 dimensions, got a ",
                                    core::describe(input)));
      return flip(input, {1});
    });
TAPEGRAD_OP(
    kAll, "flipud(Tensor input) -> Tensor",
    R"(The rows in reverse order: flip() along dimension 0.

Example:
    >>> import tapegrad as tg
    >>> tg.flipud(tg.tensor([[1, 2], [3, 4]]))
    tensor([[3, 4],
            [1, 2]]))",
    +[](const Tensor& input) {
      if (input.dim() < 1)
        throw ShapeError("flipud: the input must have at least 1 dimension, got a scalar");
      return flip(input, {0});
    });
TAPEGRAD_OP(
    kAll, "roll(Tensor input, int[1] shifts, int[1] dims=[]) -> Tensor",
    R"(The elements moved along dimensions; those that leave at the end come back at the beginning.

Args:
    input: a tensor
    shifts: by how many places, for each dimension
    dims: the dimensions; without any, the flattened tensor is rolled and its shape restored

Raises:
    ShapeError: shifts and dims of different lengths

Example:
    >>> import tapegrad as tg
    >>> tg.roll(tg.arange(4), 1)
    tensor([3, 0, 1, 2]))",
    &roll);
TAPEGRAD_OP(
    kAll, "rot90(Tensor input, int k=1, int[] dims=[0, 1]) -> Tensor",
    R"(The plane of two dimensions turned by 90 degrees, k times, from the first towards the second.

Example:
    >>> import tapegrad as tg
    >>> tg.rot90(tg.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]]))",
    &rot90);
TAPEGRAD_OP(kMethod, "repeat(Tensor input, int[] repeats) -> Tensor",
            R"(The tensor repeated along its dimensions; a copy.

Args:
    input: a tensor
    repeats: how often along each dimension; more entries than dimensions add dimensions in front

Raises:
    ShapeError: fewer entries than dimensions, or a negative one

Example:
    >>> import tapegrad as tg
    >>> tg.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]]))",
            &repeat);
TAPEGRAD_OP(
    kAll, "tile(Tensor input, int[] dims) -> Tensor",
    R"(Like Tensor.repeat(), but dims of fewer entries than dimensions leave the first ones as they are.

Example:
    >>> import tapegrad as tg
    >>> tg.tile(tg.tensor([1, 2]), (2,))
    tensor([1, 2, 1, 2]))",
    &tile);
TAPEGRAD_OP(
    kAll,
    "repeat_interleave(Tensor input, int repeats, int? dim=None, *, int? output_size=None) -> "
    "Tensor",
    R"(Each element (or each slice of dim) repeated in place.

Args:
    input: a tensor
    repeats: how often: a number, or a tensor of one for each slice
    dim: the dimension; None flattens first
    output_size: checked against the size of the result

Raises:
    ShapeError: a negative repeat, or a tensor of repeats that does not fit

Example:
    >>> import tapegrad as tg
    >>> tg.repeat_interleave(tg.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    >>> tg.repeat_interleave(tg.tensor([1, 2]), tg.tensor([1, 3]))
    tensor([1, 2, 2, 2]))",
    +[](const Tensor& input, int64_t repeats, std::optional<int64_t> dim,
        std::optional<int64_t> output_size) {
      Tensor result = repeat_interleave(input, repeats, dim);
      check_output_size(result, dim, output_size);
      return result;
    });
TAPEGRAD_OP(
    kAll,
    "repeat_interleave(Tensor input, Tensor repeats, int? dim=None, *, int? output_size=None) -> "
    "Tensor",
    "",
    +[](const Tensor& input, const Tensor& repeats, std::optional<int64_t> dim,
        std::optional<int64_t> output_size) {
      Tensor result = repeat_interleave(input, repeats, dim);
      check_output_size(result, dim, output_size);
      return result;
    });
TAPEGRAD_OP(
    kFunction, "repeat_interleave(Tensor repeats, *, int? output_size=None) -> Tensor", "",
    +[](const Tensor& repeats, std::optional<int64_t> output_size) {
      Tensor result = repeat_interleave(repeats);
      check_output_size(result, {}, output_size);
      return result;
    });
TAPEGRAD_OP(kAll | kInplace, "tril(Tensor input, int diagonal=0, *, Tensor? out=None) -> Tensor",
            R"(The lower triangle of the planes of the last two dimensions; the rest becomes zero.

Args:
    input: a tensor of at least two dimensions
    diagonal: the last diagonal that stays: 0 the main one, positive above it, negative below it
    out: a tensor to write the result into

Raises:
    ShapeError: fewer than two dimensions

Example:
    >>> import tapegrad as tg
    >>> tg.tril(tg.ones(2, 2))
    tensor([[1., 0.],
            [1., 1.]]))",
            &tril);
TAPEGRAD_OP(kAll | kInplace, "triu(Tensor input, int diagonal=0, *, Tensor? out=None) -> Tensor",
            R"(The upper triangle of the planes of the last two dimensions; the rest becomes zero.

Args:
    input: a tensor of at least two dimensions
    diagonal: the first diagonal that stays: 0 the main one, positive above it, negative below it
    out: a tensor to write the result into

Raises:
    ShapeError: fewer than two dimensions

Example:
    >>> import tapegrad as tg
    >>> tg.triu(tg.ones(2, 2))
    tensor([[1., 1.],
            [0., 1.]]))",
            &triu);
TAPEGRAD_OP(
    kFunction,
    "tril_indices(int row, int col, int offset=0, *, dtype? dtype=None, device? device=None, "
    "layout? layout=None) -> Tensor",
    R"(Rows and columns of the lower triangle of a matrix, as a tensor of two rows.

Args:
    row: number of rows of the matrix
    col: number of columns
    offset: the last diagonal that counts
    dtype: int64 (default) or int32

Example:
    >>> import tapegrad as tg
    >>> tg.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]]))",
    +[](int64_t row, int64_t col, int64_t offset, std::optional<DType> dtype) {
      return triangle_indices("tril_indices", row, col, offset, false, dtype);
    });
TAPEGRAD_OP(
    kFunction,
    "triu_indices(int row, int col, int offset=0, *, dtype? dtype=None, device? device=None, "
    "layout? layout=None) -> Tensor",
    R"(Rows and columns of the upper triangle of a matrix, as a tensor of two rows.

Args:
    row: number of rows of the matrix
    col: number of columns
    offset: the first diagonal that counts
    dtype: int64 (default) or int32

Example:
    >>> import tapegrad as tg
    >>> tg.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]]))",
    +[](int64_t row, int64_t col, int64_t offset, std::optional<DType> dtype) {
      return triangle_indices("triu_indices", row, col, offset, true, dtype);
    });

}  // namespace tapegrad
