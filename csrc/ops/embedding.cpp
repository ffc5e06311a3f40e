// Tables of vectors looked up by number, and the vectors and products around them.
#include "ops/embedding.h"

#include "autograd/entry.h"
#include "autograd/inplace.h"
#include "core/tensor_impl.h"
#include "core/text.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

void ops::shorten_rows(const Tensor& weight, const Tensor& rows, double max_norm,
                       double norm_type) {
  const autograd::NoGradGuard guard;
  Tensor table = weight.detach();
  const Tensor found = index_select(table, 0, rows);
  const Tensor lengths = norm(found, norm_type, 1, true);
  const Tensor factor =
      where(gt(lengths, Scalar(max_norm)), reciprocal(lengths + Scalar(1e-7)) * Scalar(max_norm),
            ones_like(lengths));
  const Tensor list[] = {rows};
  index_put_(table, TensorList(list, 1), found * factor);
}

namespace {

using autograd::Inputs;
using autograd::Pull;
using namespace ops;

struct EmbeddingRule : autograd::Rule {
  static constexpr const char* name = "Embedding";
  static constexpr bool linear = true;
  Tensor flat;           // 1-d, int64
  int64_t padding = -1;  // a row that gets no gradient
  bool by_frequency = false;

  Tensor forward(Inputs in) const { return index_select(in[0], 0, flat); }
  void pull(Pull& p) const {
    Tensor gradient = p.grad();
    if (padding >= 0) {
      const Tensor hit = unsqueeze(eq(flat, Scalar(padding)), 1);
      gradient = masked_fill(gradient, hit, scalar_tensor(0, gradient.dtype()));
    }
    const IntSpan sizes = p.input_sizes(0);
    if (by_frequency) {
      const Tensor one = ones(flat.sizes(), gradient.dtype());
      const Tensor counts = index_add(zeros({sizes[0]}, gradient.dtype()), 0, flat, one);
      gradient = gradient / unsqueeze(index_select(counts, 0, flat), 1);
    }
    p.set(0, index_add(zeros(sizes, gradient.dtype()), 0, flat, gradient));
  }
};

/// Says which index is out of range, and where it stands.
void name_bad_index(const Tensor& input, const Tensor& flat, int64_t count) {
  if (flat->has(TensorImpl::kBatched)) return;
  const Tensor values = contiguous(flat);
  const auto* value = values.data_ptr<int64_t>();
  for (int64_t k = 0; k < values.numel(); ++k) {
    if (value[k] >= 0 && value[k] < count) continue;
    Dims place(input.sizes());
    int64_t rest = k;
    for (int d = place.size() - 1; d >= 0; --d) {
      const int64_t size = input.sizes()[static_cast<size_t>(d)];
      place[d] = rest % size;
      rest /= size;
    }
    throw IndexError(core::text("embedding: index ", value[k], " at position ", shape_string(place),
                                " is out of range for a table of ", count,
                                " embeddings; valid are 0 to ", count - 1));
  }
}

Tensor embedding(const Tensor& input, const Tensor& weight, std::optional<int64_t> padding_idx,
                 std::optional<double> max_norm, double norm_type, bool scale_grad_by_freq,
                 bool sparse) {
  if (sparse)
    throw UnsupportedError("embedding: sparse gradients are not supported; leave sparse=False");
  if (weight.dim() != 2) {
    throw ShapeError(
        core::text("embedding: weight must have 2 dimensions, got a ", core::describe(weight)));
  }
  if (input.dtype() != DType::Int64 && input.dtype() != DType::Int32) {
    throw DTypeError(core::text("embedding: expected int64 or int32 indices, got a ",
                                core::describe(input), "; convert them with .long()"));
  }
  const int64_t count = weight.sizes()[0];
  int64_t padding = padding_idx.value_or(0);
  if (padding_idx && (padding < -count || padding >= count)) {
    throw IndexError(core::text("embedding: padding_idx ", padding, " is out of range for ", count,
                                " embeddings"));
  }
  if (padding < 0) padding += count;
  EmbeddingRule rule;
  rule.flat = reshape(to(input.detach(), DType::Int64), {-1});
  rule.padding = padding_idx ? padding : -1;
  rule.by_frequency = scale_grad_by_freq;
  Dims sizes(input.sizes());
  sizes.push_back(weight.sizes()[1]);
  try {
    if (max_norm) shorten_rows(weight, rule.flat, *max_norm, norm_type);
    return reshape(autograd::enter(rule, weight), sizes);
  } catch (const IndexError&) {
    name_bad_index(input, rule.flat, count);
    throw;
  }
}

Tensor one_hot(const Tensor& tensor, int64_t num_classes) {
  if (tensor.dtype() != DType::Int64) {
    throw DTypeError(core::text("one_hot: expected an int64 tensor, got a ", core::describe(tensor),
                                "; convert it with .long()"));
  }
  if (tensor.numel() == 0 && num_classes <= 0) {
    throw ShapeError("one_hot: cannot infer the number of classes of an empty tensor; give it");
  }
  const Tensor values = contiguous(tensor);
  const auto* value = values.data_ptr<int64_t>();
  int64_t top = -1;
  for (int64_t i = 0; i < values.numel(); ++i) {
    if (value[i] < 0)
      throw ValueError(core::text("one_hot: class values must be non-negative, got ", value[i]));
    if (value[i] > top) top = value[i];
  }
  if (num_classes == -1) num_classes = top + 1;
  if (num_classes < 1)
    throw ValueError(core::text("one_hot: num_classes must be positive, got ", num_classes));
  if (top >= num_classes) {
    throw ValueError(core::text(
        "one_hot: class values must be smaller than num_classes = ", num_classes, ", got ", top));
  }
  Dims sizes(tensor.sizes());
  sizes.push_back(num_classes);
  Tensor result = zeros(sizes, DType::Int64);
  auto* out = result.data_ptr<int64_t>();
  for (int64_t i = 0; i < values.numel(); ++i) out[i * num_classes + value[i]] = 1;
  return result;
}

/// (..., i) and (..., j) by weight (o, i, j) to (..., o).
Tensor bilinear(const Tensor& input1, const Tensor& input2, const Tensor& weight,
                const Tensor& bias) {
  const auto mismatch = [&] {
    throw ShapeError(core::text(
        "bilinear: expected inputs (*, I) and (*, J), weight (O, I, J) and "
        "bias (O,), got ",
        shape_string(input1.sizes()), ", ", shape_string(input2.sizes()), ", ",
        shape_string(weight.sizes()), bias.defined() ? ", " + shape_string(bias.sizes()) : ""));
  };
  if (weight.dim() != 3 || input1.dim() == 0 || input1.dim() != input2.dim()) mismatch();
  const int64_t o = weight.sizes()[0];
  const int64_t i = weight.sizes()[1];
  const int64_t j = weight.sizes()[2];
  for (int64_t d = 0; d + 1 < input1.dim(); ++d) {
    if (input1.sizes()[static_cast<size_t>(d)] != input2.sizes()[static_cast<size_t>(d)])
      mismatch();
  }
  if (input1.sizes().back() != i || input2.sizes().back() != j) mismatch();
  if (bias.defined() && (bias.dim() != 1 || bias.sizes()[0] != o)) mismatch();
  const Tensor left = reshape(input1, {-1, i});
  const Tensor right = reshape(input2, {-1, j, 1});
  const Tensor table = reshape(permute(weight, {1, 0, 2}), {i, o * j});
  Tensor result = squeeze(bmm(reshape(matmul(left, table), {-1, o, j}), right), 2);
  if (bias.defined()) result = result + bias;
  Dims sizes(input1.sizes());
  sizes[sizes.size() - 1] = o;
  return reshape(result, sizes);
}

// --- distances between vectors -------------------------------------------------------------------

/// `length` where it is at least `eps`, else `eps`; its derivative is that of `length` throughout.
Tensor at_least(const Tensor& length, double eps) {
  const Tensor value = length.detach();
  return length + (clamp(value, Scalar(eps)) - value);
}

Tensor normalize(const Tensor& input, double p, int64_t dim, double eps) {
  const Tensor length = norm(input, p, dim, true);
  return input / clamp(length, Scalar(eps));
}

Tensor cosine_similarity(const Tensor& x1, const Tensor& x2, int64_t dim, double eps) {
  const Dims shape = broadcast_shapes("cosine_similarity", x1.sizes(), x2.sizes());
  const DType type = result_type(x1, x2);
  if (!is_floating_point(type)) {
    throw DTypeError(core::text("cosine_similarity: expected floating-point tensors, got a ",
                                core::describe(x1), " and a ", core::describe(x2)));
  }
  const Tensor a = expand(to(x1, type), shape);
  const Tensor b = expand(to(x2, type), shape);
  const OptionalInts along(dim);
  const Tensor left = a / at_least(norm(a, 2.0, along, true), eps);
  const Tensor right = b / at_least(norm(b, 2.0, along, true), eps);
  return sum(left * right, along);
}

Tensor pairwise_distance(const Tensor& x1, const Tensor& x2, double p, double eps, bool keepdim) {
  return norm(x1 - x2 + Scalar(eps), p, -1, keepdim);
}

TAPEGRAD_OP(kNN,
            "embedding(Tensor input, Tensor weight, int? padding_idx=None, float? max_norm=None, "
            "float norm_type=2.0, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor",
            R"(The rows of a table, by their numbers.

Args:
    input: numbers of rows, int64 or int32, of any shape
    weight: the table, of shape (rows, features)
    padding_idx: a row whose gradient stays zero
    max_norm: rows that are looked up and longer are scaled to this length, in weight itself
    norm_type: the p of that norm
    scale_grad_by_freq: divide gradients by how often their row was looked up
    sparse: not supported

Returns:
    a tensor of input's shape and one more dimension, of the features

Raises:
    IndexError: a number outside of the table
    DTypeError: numbers that are not int64 or int32

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.embedding(tg.tensor([1, 0]), tg.tensor([[1., 2.], [3., 4.]]))
    tensor([[3., 4.],
            [1., 2.]]))",
            &embedding);
TAPEGRAD_OP(
    kFunction,
    "embedding(Tensor weight, Tensor indices, int padding_idx=-1, bool scale_grad_by_freq=False, "
    "bool sparse=False) -> Tensor",
    "The rows of a table, by their numbers; see nn.functional.embedding().",
    +[](const Tensor& weight, const Tensor& indices, int64_t padding_idx, bool scale_grad_by_freq,
        bool sparse) {
      const std::optional<int64_t> padding =
          padding_idx >= 0 ? std::optional(padding_idx) : std::nullopt;
      return embedding(indices, weight, padding, {}, 2.0, scale_grad_by_freq, sparse);
    });
TAPEGRAD_OP(kNN, "one_hot(Tensor tensor, int num_classes=-1) -> Tensor",
            R"(For each class number, a vector of zeros with a one at its place.

Args:
    tensor: class numbers, int64
    num_classes: length of the vectors; -1: one more than the largest number

Returns:
    an int64 tensor of one more dimension

Raises:
    ValueError: a negative number, or one not below num_classes

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.one_hot(tg.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]]))",
            &one_hot);
TAPEGRAD_OP(kFunction | kNN,
            "bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor",
            R"(x1 . W_o . x2 + bias_o for each output o.

Args:
    input1: tensor of shape (*, I)
    input2: tensor of shape (*, J)
    weight: tensor of shape (O, I, J)
    bias: tensor of shape (O,)

Raises:
    ShapeError: shapes that do not fit

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.bilinear(tg.ones(1, 2), tg.ones(1, 3), tg.ones(1, 2, 3))
    tensor([[6.]]))",
            &bilinear);
TAPEGRAD_OP(kNN,
            "normalize(Tensor input, float p=2.0, int dim=1, float eps=1e-12, Tensor? out=None) -> "
            "Tensor",
            R"(Vectors of length 1: input / max(norm(input, p, dim), eps).

Args:
    input: a floating-point tensor
    p: the exponent of the norm
    dim: the dimension of the vectors
    eps: the least divisor
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.normalize(tg.tensor([[3., 4.]]))
    tensor([[0.6000, 0.8000]]))",
            &normalize);
TAPEGRAD_OP(kFunction | kNN,
            "cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-8) -> Tensor",
            R"(The cosine of the angle between vectors: x1 . x2 / (max(|x1|, eps) max(|x2|, eps)).

Args:
    x1: a floating-point tensor
    x2: a floating-point tensor of a shape that broadcasts to x1's
    dim: the dimension of the vectors
    eps: the least length

Raises:
    ShapeError: shapes that do not broadcast

Example:
    >>> import tapegrad as tg
    >>> tg.cosine_similarity(tg.tensor([[1., 0.]]), tg.tensor([[1., 1.]]))
    tensor([0.7071]))",
            &cosine_similarity);
TAPEGRAD_OP(kFunction | kNN,
            "pairwise_distance(Tensor x1, Tensor x2, float p=2.0, float eps=1e-6, bool "
            "keepdim=False) -> Tensor",
            R"(The distance between vectors along the last dimension: norm(x1 - x2 + eps, p).

Args:
    x1: a floating-point tensor
    x2: a floating-point tensor of a shape that broadcasts to x1's
    p: the exponent of the norm
    eps: added to each difference, so that equal vectors have a gradient
    keepdim: keep the last dimension with size 1

Example:
    >>> import tapegrad as tg
    >>> tg.pairwise_distance(tg.tensor([[3., 0.]]), tg.tensor([[0., 4.]]))
    tensor([5.]))",
            &pairwise_distance);

}  // namespace
}  // namespace tapegrad
