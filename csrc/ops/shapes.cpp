// Operations on shapes that are compositions of others: splits, diagonals, scatters into windows,
// grids.
#include <algorithm>
#include <numeric>

#include "autograd/lifted.h"
#include "core/tensor_impl.h"
#include "core/text.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {
namespace {

using namespace ops;

constexpr int kAll = kFunction | kMethod;

// --- at least so many dimensions -----------------------------------------------------------------

Tensor at_least(const Tensor& x, int64_t ndim) {
  if (x.dim() >= ndim) return x;
  if (ndim == 1) return reshape(x, {1});
  if (ndim == 2) return x.dim() == 0 ? reshape(x, {1, 1}) : unsqueeze(x, 0);
  if (x.dim() == 2) return unsqueeze(x, -1);
  return x.dim() == 0 ? reshape(x, {1, 1, 1}) : unsqueeze(unsqueeze(x, 0), -1);
}

std::vector<Tensor> all_at_least(TensorList tensors, int64_t ndim) {
  std::vector<Tensor> result;
  for (const Tensor& x : tensors) result.push_back(at_least(x, ndim));
  return result;
}

// --- writes into a copy --------------------------------------------------------------------------

void check_source(const char* op, const Tensor& window, const Tensor& src) {
  if (window.sizes() == src.sizes()) return;
  throw ShapeError(core::text(op, ": expected src to have the size of the part it replaces, ",
                              shape_string(window.sizes()), ", got ", shape_string(src.sizes())));
}

/// A copy of `input` in which the part that `window` shows is replaced by `src`.
template <class Window>
Tensor scattered(const char* op, const Tensor& input, const Tensor& src, Window window) {
  check_source(op, window(input), src);
  Tensor result = autograd::room_for(src, clone(input));
  Tensor part = window(result);
  copy_(part, src);
  return result;
}

// --- splits --------------------------------------------------------------------------------------

Dims cuts_from(const char* op, const Tensor& indices) {
  if (indices.dim() > 1 || indices.dtype() != DType::Int64) {
    throw ValueError(core::text(op,
                                ": indices or sections must be a 0-d or 1-d int64 tensor, got a ",
                                core::describe(indices)));
  }
  const Tensor flat = contiguous(indices);
  Dims cuts;
  for (int64_t i = 0; i < flat.numel(); ++i) cuts.push_back(flat.data_ptr<int64_t>()[i]);
  return cuts;
}

int64_t split_dim(const char* op, const Tensor& input, int64_t least, int64_t dim) {
  if (input.dim() < least) {
    throw ShapeError(core::text(op, ": the input must have at least ", least, " dimension",
                                least == 1 ? "" : "s", ", got a ", core::describe(input)));
  }
  return input.dim() == 1 ? 0 : dim;
}

std::vector<Tensor> equal_split(const char* op, const Tensor& input, int64_t least, int64_t at,
                                int64_t sections) {
  const int64_t dim = split_dim(op, input, least, at);
  const int64_t size = input.sizes()[static_cast<size_t>(dim)];
  if (sections <= 0 || size % sections != 0) {
    throw ShapeError(core::text(op, ": dimension ", dim, " of size ", size,
                                " cannot be split into ", sections, " equal parts"));
  }
  return tensor_split(input, sections, dim);
}

// --- grids ---------------------------------------------------------------------------------------

Tensor cartesian_prod(TensorList tensors) {
  for (const Tensor& x : tensors) {
    if (x.dim() != 1) {
      throw ShapeError(
          core::text("cartesian_prod: expects 1-d tensors, got a ", core::describe(x)));
    }
  }
  if (tensors.size() == 1) return tensors[0];
  std::vector<Tensor> columns;
  for (const Tensor& grid : meshgrid(tensors)) columns.push_back(reshape(grid, {-1}));
  return stack(columns, 1);
}

/// Numbers of the r out of n elements, one combination a row, in lexicographic order.
Tensor combination_indices(int64_t n, int64_t r, bool with_replacement) {
  std::vector<int64_t> values;
  std::vector<int64_t> now(static_cast<size_t>(r), 0);
  if (!with_replacement) std::iota(now.begin(), now.end(), int64_t{0});
  int64_t count = 0;
  if (n > 0 && (with_replacement || r <= n)) {
    for (int64_t i = r; i >= 0;) {
      values.insert(values.end(), now.begin(), now.end());
      ++count;
      // The last place that can still grow.
      for (i = r - 1; i >= 0; --i) {
        if (now[static_cast<size_t>(i)] < (with_replacement ? n - 1 : n - r + i)) break;
      }
      if (i < 0) break;
      ++now[static_cast<size_t>(i)];
      for (int64_t k = i + 1; k < r; ++k) {
        now[static_cast<size_t>(k)] = now[static_cast<size_t>(k - 1)] + (with_replacement ? 0 : 1);
      }
    }
  }
  return from_values(values, {count, r});
}

Tensor combinations(const Tensor& input, int64_t r, bool with_replacement) {
  if (input.dim() != 1) {
    throw ShapeError(
        core::text("combinations: expects a 1-d tensor, got a ", core::describe(input)));
  }
  if (r < 0) throw ShapeError(core::text("combinations: r must not be negative, got ", r));
  if (r == 0) return empty({0}, input.dtype());
  const Tensor numbers = combination_indices(input.numel(), r, with_replacement);
  return reshape(index_select(input, 0, reshape(numbers, {-1})), numbers.sizes());
}

Tensor vander(const Tensor& x, std::optional<int64_t> count, bool increasing) {
  if (x.dim() != 1)
    throw ShapeError(core::text("vander: x must be 1-d, got a ", core::describe(x)));
  const int64_t n = count.value_or(x.numel());
  if (n < 0) throw ShapeError(core::text("vander: N must not be negative, got ", n));
  const DType type = is_floating_point(x.dtype()) ? x.dtype() : DType::Int64;
  if (n == 0) return empty({x.numel(), 0}, type);
  const Tensor column = unsqueeze(to(x, type), 1);
  Tensor first = ones_like(column);
  if (n == 1) return first;
  const Tensor parts[] = {first, cumprod(expand(column, {x.numel(), n - 1}), 1)};
  const Tensor result = cat(TensorList(parts, 2), 1);
  return increasing ? result : flip(result, {1});
}

}  // namespace

Tensor diag_embed(const Tensor& input, int64_t offset, int64_t dim1, int64_t dim2) {
  if (input.dim() == 0)
    throw ShapeError("diag_embed: the input must have at least 1 dimension, got a scalar");
  const int64_t ndim = input.dim() + 1;
  const int64_t a = wrap_dim("diag_embed", dim1, ndim);
  const int64_t b = wrap_dim("diag_embed", dim2, ndim);
  if (a == b) throw ShapeError(core::text("diag_embed: the dims must differ, got ", a, " twice"));
  const IntSpan sizes = input.sizes();
  const int64_t side = sizes.back() + (offset < 0 ? -offset : offset);
  Dims shape;
  size_t next = 0;
  for (int64_t d = 0; d < ndim; ++d) shape.push_back(d == a || d == b ? side : sizes[next++]);
  Tensor result = autograd::room_for(input, zeros(shape, input.dtype()));
  // The second of the two dimensions goes to the right as the offset grows.
  Tensor part = diagonal(result, offset, a, b);
  copy_(part, input);
  return result;
}

Tensor diag(const Tensor& input, int64_t diagonal_number) {
  if (input.dim() == 1) return diag_embed(input, diagonal_number);
  if (input.dim() == 2) return clone(diagonal(input, diagonal_number));
  throw ShapeError(core::text("diag: expects a 1-d or 2-d tensor, got a ", core::describe(input),
                              "; use diagonal() or diag_embed() for batches"));
}

Tensor diagonal_scatter(const Tensor& input, const Tensor& src, int64_t offset, int64_t dim1,
                        int64_t dim2) {
  return scattered("diagonal_scatter", input, src,
                   [&](const Tensor& x) { return diagonal(x, offset, dim1, dim2); });
}

Tensor select_scatter(const Tensor& input, const Tensor& src, int64_t dim, int64_t index) {
  return scattered("select_scatter", input, src,
                   [&](const Tensor& x) { return select(x, dim, index); });
}

Tensor slice_scatter(const Tensor& input, const Tensor& src, int64_t dim,
                     std::optional<int64_t> start, std::optional<int64_t> end, int64_t step) {
  return scattered("slice_scatter", input, src,
                   [&](const Tensor& x) { return slice(x, dim, start, end, step); });
}

Tensor unfold(const Tensor& input, int64_t dimension, int64_t size, int64_t step) {
  const int64_t dim = wrap_dim("unfold", dimension, input.dim());
  const auto at = static_cast<size_t>(dim);
  const int64_t whole = input.dim() == 0 ? 1 : input.sizes()[at];
  if (size < 0 || size > whole) {
    throw ShapeError(core::text("unfold: windows of size ", size, " do not fit dimension ", dim,
                                " of size ", whole));
  }
  if (step <= 0) throw ShapeError(core::text("unfold: step must be positive, got ", step));
  Dims sizes(input.sizes());
  Dims strides(input.strides());
  const int64_t stride = input.dim() == 0 ? 1 : input.strides()[at];
  if (input.dim() > 0) {
    sizes[static_cast<int>(dim)] = (whole - size) / step + 1;
    strides[static_cast<int>(dim)] = stride * step;
  }
  sizes.push_back(size);
  strides.push_back(stride);
  return as_strided(input, sizes, strides, input.storage_offset());
}

std::vector<Tensor> broadcast_tensors(TensorList tensors) {
  Dims shape;
  for (const Tensor& x : tensors) shape = broadcast_shapes("broadcast_tensors", shape, x.sizes());
  std::vector<Tensor> result;
  for (const Tensor& x : tensors) result.push_back(expand(x, shape));
  return result;
}

std::vector<Tensor> tensor_split(const Tensor& input, IntSpan indices, int64_t dim) {
  const int64_t at = wrap_dim("tensor_split", dim, input.dim());
  std::vector<Tensor> parts;
  std::optional<int64_t> start = 0;
  for (const int64_t cut : indices) {
    parts.push_back(slice(input, at, start, cut));
    start = cut;
  }
  parts.push_back(slice(input, at, start, std::nullopt));
  return parts;
}

std::vector<Tensor> tensor_split(const Tensor& input, int64_t sections, int64_t dim) {
  if (input.dim() == 0)
    throw ShapeError("tensor_split: the input must have at least 1 dimension, got a scalar");
  const int64_t at = wrap_dim("tensor_split", dim, input.dim());
  if (sections <= 0)
    throw ShapeError(core::text("tensor_split: sections must be positive, got ", sections));
  const int64_t size = input.sizes()[static_cast<size_t>(at)];
  Dims cuts;
  int64_t cut = 0;
  for (int64_t i = 0; i + 1 < sections; ++i)
    cuts.push_back(cut += size / sections + (i < size % sections ? 1 : 0));
  return tensor_split(input, cuts, at);
}

std::vector<Tensor> meshgrid(TensorList tensors, std::string_view indexing) {
  if (indexing != "ij" && indexing != "xy") {
    throw ShapeError(
        core::text("meshgrid: indexing must be \"xy\" or \"ij\", got \"", indexing, "\""));
  }
  if (tensors.empty()) throw ShapeError("meshgrid: expects at least one tensor");
  Dims shape;
  for (const Tensor& x : tensors) {
    if (x.dim() > 1) {
      throw ShapeError(
          core::text("meshgrid: expects 0-d or 1-d tensors, got a ", core::describe(x)));
    }
    if (x.dtype() != tensors[0].dtype()) {
      throw DTypeError(core::text("meshgrid: expects tensors of one dtype, got ",
                                  dtype_name(tensors[0].dtype()), " and ", dtype_name(x.dtype())));
    }
    shape.push_back(x.numel());
  }
  std::vector<Tensor> result;
  for (size_t i = 0; i < tensors.size(); ++i) {
    Dims own(shape.size(), 1);
    own[static_cast<int>(i)] = shape[static_cast<int>(i)];
    Tensor grid = expand(reshape(tensors[i], own), shape);
    if (indexing == "xy" && shape.size() >= 2) grid = transpose(grid, 0, 1);
    result.push_back(grid);
  }
  return result;
}

Tensor block_diag(TensorList tensors) {
  if (tensors.empty()) return empty({1, 0});
  std::vector<Tensor> blocks;
  DType type = tensors[0].dtype();
  int64_t width = 0;
  for (const Tensor& x : tensors) {
    if (x.dim() > 2) {
      throw ShapeError(core::text("block_diag: expects tensors of at most 2 dimensions, got a ",
                                  core::describe(x)));
    }
    blocks.push_back(at_least(x, 2));
    type = promote_types(type, x.dtype());
    width += blocks.back().sizes()[1];
  }
  std::vector<Tensor> rows;
  int64_t column = 0;
  for (const Tensor& block : blocks) {
    const int64_t height = block.sizes()[0];
    const int64_t own = block.sizes()[1];
    const Tensor parts[] = {zeros({height, column}, type), block,
                            zeros({height, width - column - own}, type)};
    rows.push_back(cat(TensorList(parts, 3), 1));
    column += own;
  }
  return cat(rows, 0);
}

#define TAPEGRAD_AT_LEAST(name, count, shape)                                                \
  TAPEGRAD_OP(                                                                               \
      kFunction, #name "(Tensor input) -> Tensor",                                           \
      "The tensor with dimensions of size 1 added until it has " #count                      \
      "; of several tensors, a tuple of\nsuch.\n\nExample:\n    >>> import tapegrad as tg\n" \
      "    >>> tg." #name "(tg.tensor(1.)).shape\n    tapegrad.Size(" shape ")",             \
      +[](const Tensor& input) { return at_least(input, count); });                          \
  TAPEGRAD_OP(                                                                               \
      kFunction, #name "(Tensor[*] tensors) -> Tensor[]", "",                                \
      +[](TensorList tensors) { return all_at_least(tensors, count); })
TAPEGRAD_AT_LEAST(atleast_1d, 1, "[1]");
TAPEGRAD_AT_LEAST(atleast_2d, 2, "[1, 1]");
TAPEGRAD_AT_LEAST(atleast_3d, 3, "[1, 1, 1]");

TAPEGRAD_OP(
    kAll, "diag(Tensor input, int diagonal=0, *, Tensor? out=None) -> Tensor",
    R"(The diagonal of a matrix as a vector, or the matrix with a vector as its diagonal; a copy.

Args:
    input: a tensor of one or two dimensions
    diagonal: which: 0 the main one, positive above it, negative below it
    out: a tensor to write the result into

Raises:
    ShapeError: another number of dimensions

Example:
    >>> import tapegrad as tg
    >>> tg.diag(tg.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]]))",
    &diag);
TAPEGRAD_OP(kAll, "diag_embed(Tensor input, int offset=0, int dim1=-2, int dim2=-1) -> Tensor",
            R"(Matrices whose diagonals are the vectors of the last dimension.

Args:
    input: a tensor of at least one dimension
    offset: which diagonal: 0 the main one, positive above it, negative below it
    dim1: first dimension of the matrices in the result
    dim2: second dimension of the matrices in the result

Raises:
    ShapeError: dim1 and dim2 are the same

Example:
    >>> import tapegrad as tg
    >>> tg.diag_embed(tg.tensor([[1, 2]]))
    tensor([[[1, 0],
             [0, 2]]]))",
            &diag_embed);
TAPEGRAD_OP(
    kAll, "diagflat(Tensor input, int offset=0) -> Tensor",
    R"(The matrix whose diagonal is the flattened input.

Example:
    >>> import tapegrad as tg
    >>> tg.diagflat(tg.tensor([[1], [2]]))
    tensor([[1, 0],
            [0, 2]]))",
    +[](const Tensor& input, int64_t offset) { return diag_embed(reshape(input, {-1}), offset); });
TAPEGRAD_OP(
    kAll,
    "diagonal_scatter(Tensor input, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor",
    R"(A copy of the input whose diagonal is replaced by src.

Raises:
    ShapeError: src does not have the diagonal's shape

Example:
    >>> import tapegrad as tg
    >>> tg.diagonal_scatter(tg.zeros(2, 2), tg.tensor([1., 2.]))
    tensor([[1., 0.],
            [0., 2.]]))",
    &diagonal_scatter);
TAPEGRAD_OP(
    kAll, "select_scatter(Tensor input, Tensor src, int dim, int index) -> Tensor",
    R"(A copy of the input in which the slice that select(dim, index) shows is replaced by src.

Raises:
    ShapeError: src does not have the slice's shape

Example:
    >>> import tapegrad as tg
    >>> tg.select_scatter(tg.zeros(2, 2), tg.ones(2), 0, 1)
    tensor([[0., 0.],
            [1., 1.]]))",
    &select_scatter);
TAPEGRAD_OP(
    kAll,
    "slice_scatter(Tensor input, Tensor src, int dim=0, int? start=None, int? end=None, "
    "int step=1) -> Tensor",
    R"(A copy of the input in which input[..., start:end:step] of a dimension is replaced by src.

Raises:
    ShapeError: src does not have the part's shape

Example:
    >>> import tapegrad as tg
    >>> tg.slice_scatter(tg.zeros(4), tg.ones(2), start=1, end=4, step=2)
    tensor([0., 1., 0., 1.]))",
    &slice_scatter);
TAPEGRAD_OP(kMethod, "unfold(Tensor(a) input, int dimension, int size, int step) -> Tensor(a)",
            R"(Windows along a dimension, as a new last dimension; a view.

Args:
    input: a tensor
    dimension: the dimension that the windows move along
    size: length of a window
    step: distance from one window to the next

Raises:
    ShapeError: a window larger than the dimension, or a step that is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]]))",
            &unfold);
TAPEGRAD_OP(kFunction, "broadcast_tensors(Tensor[*] tensors) -> Tensor[]",
            R"(The tensors expanded to their common shape; views.

Raises:
    ShapeError: shapes that do not broadcast

Example:
    >>> import tapegrad as tg
    >>> tg.broadcast_tensors(tg.tensor([1, 2]), tg.tensor([[3]]))
    (tensor([[1, 2]]), tensor([[3, 3]])))",
            &broadcast_tensors);
constexpr const char* kTensorSplitDoc =
    R"(Pieces along a dimension, of sizes that differ by one at most, or cut at given places; views.

Args:
    input: a tensor
    indices_or_sections (sections, indices in the method): how many pieces, or where they begin
    dim: the dimension

Raises:
    ShapeError: a number of pieces that is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.tensor_split(tg.arange(3), 2)
    (tensor([0, 1]), tensor([2]))
    >>> tg.tensor_split(tg.arange(3), (1,))
    (tensor([0]), tensor([1, 2])))";
std::vector<Tensor> split_by_tensor(const Tensor& input, const Tensor& indices, int64_t dim) {
  const Dims cuts = cuts_from("tensor_split", indices);
  return indices.dim() == 0 ? tensor_split(input, cuts[0], dim) : tensor_split(input, cuts, dim);
}
using Sections = std::vector<Tensor> (*)(const Tensor&, int64_t, int64_t);
using Indices = std::vector<Tensor> (*)(const Tensor&, IntSpan, int64_t);
TAPEGRAD_OP(kFunction,
            "tensor_split(Tensor(a) input, int indices_or_sections, int dim=0) -> Tensor[]",
            kTensorSplitDoc, static_cast<Sections>(&tensor_split));
TAPEGRAD_OP(kFunction,
            "tensor_split(Tensor(a) input, int[] indices_or_sections, int dim=0) -> Tensor[]", "",
            static_cast<Indices>(&tensor_split));
TAPEGRAD_OP(
    kAll, "tensor_split(Tensor(a) input, Tensor tensor_indices_or_sections, int dim=0) -> Tensor[]",
    "", &split_by_tensor);
TAPEGRAD_OP(kMethod, "tensor_split(Tensor(a) input, int sections, int dim=0) -> Tensor[]",
            kTensorSplitDoc, static_cast<Sections>(&tensor_split));
TAPEGRAD_OP(kMethod, "tensor_split(Tensor(a) input, int[] indices, int dim=0) -> Tensor[]", "",
            static_cast<Indices>(&tensor_split));

#define TAPEGRAD_NAMED_SPLIT(name, least, dim, text, example, result)                             \
  TAPEGRAD_OP(                                                                                    \
      kFunction, #name "(Tensor(a) input, int indices_or_sections) -> Tensor[]",                  \
      "Equal pieces, or pieces cut at given places, " text                                        \
      "; views.\n\nRaises:\n    ShapeError: a size that the number of pieces does not divide\n\n" \
      "Example:\n    >>> import tapegrad as tg\n    >>> tg." #name "(" example ")\n    " result,  \
      +[](const Tensor& input, int64_t sections) {                                                \
        return equal_split(#name, input, least, dim, sections);                                   \
      });                                                                                         \
  TAPEGRAD_OP(                                                                                    \
      kMethod, #name "(Tensor(a) input, int sections) -> Tensor[]", "",                           \
      +[](const Tensor& input, int64_t sections) {                                                \
        return equal_split(#name, input, least, dim, sections);                                   \
      });                                                                                         \
  TAPEGRAD_OP(                                                                                    \
      kFunction, #name "(Tensor(a) input, int[] indices_or_sections) -> Tensor[]", "",            \
      +[](const Tensor& input, IntSpan indices) {                                                 \
        return tensor_split(input, indices, split_dim(#name, input, least, dim));                 \
      });                                                                                         \
  TAPEGRAD_OP(                                                                                    \
      kMethod, #name "(Tensor(a) input, int[] indices) -> Tensor[]", "",                          \
      +[](const Tensor& input, IntSpan indices) {                                                 \
        return tensor_split(input, indices, split_dim(#name, input, least, dim));                 \
      })
TAPEGRAD_NAMED_SPLIT(hsplit, 1, 1, "along dimension 1 (0 of a vector)", "tg.arange(4), 2",
                     "(tensor([0, 1]), tensor([2, 3]))");
TAPEGRAD_NAMED_SPLIT(vsplit, 2, 0, "along dimension 0", "tg.tensor([[1], [2]]), 2",
                     "(tensor([[1]]), tensor([[2]]))");
TAPEGRAD_NAMED_SPLIT(dsplit, 3, 2, "along dimension 2", "tg.tensor([[[1, 2]]]), 2",
                     "(tensor([[[1]]]), tensor([[[2]]]))");

TAPEGRAD_OP(kFunction, "meshgrid(Tensor[*] tensors, *, str indexing='ij') -> Tensor[]",
            R"(Grids of coordinates from one vector for each dimension; views.

Args:
    tensors: 1-d tensors of one dtype (0-d ones count as of one element)
    indexing: "ij": the first vector runs along dimension 0; "xy": along dimension 1

Raises:
    ShapeError: a tensor of more dimensions
    DTypeError: dtypes that differ

Example:
    >>> import tapegrad as tg
    >>> tg.meshgrid(tg.tensor([1, 2]), tg.tensor([3, 4]), indexing="ij")
    (tensor([[1, 1],
            [2, 2]]), tensor([[3, 4],
            [3, 4]])))",
            &meshgrid);
TAPEGRAD_OP(kFunction, "block_diag(Tensor[*] tensors) -> Tensor",
            R"(The matrix that has the given matrices along its diagonal and zeros elsewhere.

Args:
    tensors: tensors of at most two dimensions; vectors count as rows. Dtypes promote

Example:
    >>> import tapegrad as tg
    >>> tg.block_diag(tg.tensor([[1]]), tg.tensor([[2, 3]]))
    tensor([[1, 0, 0],
            [0, 2, 3]]))",
            &block_diag);
TAPEGRAD_OP(kFunction, "cartesian_prod(Tensor[*] tensors) -> Tensor",
            R"(All ways to take one element of each vector, one a row.

Example:
    >>> import tapegrad as tg
    >>> tg.cartesian_prod(tg.tensor([1, 2]), tg.tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]]))",
            &cartesian_prod);
TAPEGRAD_OP(kFunction, "combinations(Tensor input, int r=2, bool with_replacement=False) -> Tensor",
            R"(All ways to take r elements of a vector in its order, one a row.

Args:
    input: a 1-d tensor
    r: how many elements
    with_replacement: whether an element may be taken again

Example:
    >>> import tapegrad as tg
    >>> tg.combinations(tg.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]]))",
            &combinations);
TAPEGRAD_OP(kFunction, "vander(Tensor x, int? N=None, bool increasing=False) -> Tensor",
            R"(The matrix of the powers of a vector's elements (Vandermonde).

Args:
    x: a 1-d tensor
    N: number of columns; as many as elements by default
    increasing: whether the powers grow to the right

Example:
    >>> import tapegrad as tg
    >>> tg.vander(tg.tensor([1., 2., 3.]))
    tensor([[1., 1., 1.],
            [4., 2., 1.],
            [9., 3., 1.]]))",
            &vander);
TAPEGRAD_OP(
    kMethod, "adjoint(Tensor(a) input) -> Tensor(a)",
    R"(The last two dimensions exchanged; a view. (The conjugate too, for complex numbers, which there are none of.)

Example:
    >>> import tapegrad as tg
    >>> tg.tensor([[1., 2.]]).adjoint()
    tensor([[1.],
            [2.]]))",
    +[](const Tensor& input) {
      if (input.dim() < 2)
        throw ShapeError(
            core::text("adjoint: expects at least 2 dimensions, got a ", core::describe(input)));
      return transpose(input, -2, -1);
    });

}  // namespace tapegrad
