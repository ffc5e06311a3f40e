// Products that are composed of others: trace, kron, cross, vecdot, multi_dot, vander, and the
// names that torch.linalg gives to matmul and diagonal.
#include <limits>
#include <vector>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/cross.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tapegrad {

using namespace ops;

namespace {

constexpr int kAll = kFunction | kMethod;

/// The dimension of cross(): given, or the first of size 3.
int64_t cross_dim(const Tensor& a, const Tensor& b, std::optional<int64_t> dim) {
  const Dims sizes = broadcast_shapes("cross", a.sizes(), b.sizes());
  if (dim) {
    const int64_t d = wrap_dim("cross", *dim, sizes.size());
    if (sizes[static_cast<int>(d)] == 3 && a.dim() == b.dim()) return d;
    throw ShapeError(core::text(
        "cross: expected tensors of equally many dimensions with size 3 in "
        "dimension ",
        *dim, ", got shapes ", shape_string(a.sizes()), " and ", shape_string(b.sizes())));
  }
  for (int d = 0; d < sizes.size(); ++d) {
    if (sizes[d] == 3) return d;
  }
  throw ShapeError(core::text("cross: no dimension of size 3 in shapes ", shape_string(a.sizes()),
                              " and ", shape_string(b.sizes())));
}

/// Of two tensors of one shape, float32 or float64.
struct CrossRule : autograd::Rule {
  static constexpr const char* name = "LinalgCross";
  int64_t dim;
  unsigned saves_inputs(unsigned needs) const {
    return ((needs & 1) ? 2u : 0u) | ((needs & 2) ? 1u : 0u);
  }
  CrossRule shifted() const {
    CrossRule rule = *this;
    ++rule.dim;
    return rule;
  }
  Tensor forward(autograd::Inputs in) const {
    const Tensor a = contiguous(in[0]), b = contiguous(in[1]);
    Tensor out = core::make_tensor(a.sizes(), a.dtype());
    if (out.numel() == 0) return out;
    kernels::CrossArgs args;
    args.is_double = a.dtype() == DType::Float64;
    for (int64_t d = 0; d < a.dim(); ++d) {
      if (d < dim) args.outer *= a.size(d);
      if (d > dim) args.inner *= a.size(d);
    }
    core::launch(&kernels::cross_product, {core::out(out), core::in(a), core::in(b)}, args);
    return out;
  }
  void pull(autograd::Pull& p) const {
    if (p.needs(0)) p.set(0, autograd::enter(CrossRule{{}, dim}, p.input(1), p.grad()));
    if (p.needs(1)) p.set(1, autograd::enter(CrossRule{{}, dim}, p.grad(), p.input(0)));
  }
};

Tensor cross_along(const Tensor& a, const Tensor& b, int64_t dim) {
  const Dims sizes = broadcast_shapes("cross", a.sizes(), b.sizes());
  const bool plain = a.dtype() == DType::Float32 || a.dtype() == DType::Float64;
  if (plain && a.dtype() == b.dtype())
    return autograd::enter(CrossRule{{}, dim}, expand(a, sizes), expand(b, sizes));
  const std::vector<Tensor> x = unbind(expand(a, sizes), dim), y = unbind(expand(b, sizes), dim);
  const Tensor parts[] = {x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2],
                          x[0] * y[1] - x[1] * y[0]};
  return stack(parts, dim);
}

Tensor linalg_cross(const Tensor& a, const Tensor& b, int64_t dim) {
  if (a.dim() != b.dim()) {
    throw ShapeError(
        core::text("linalg.cross: inputs must have the same number of dimensions, got "
                   "shapes ",
                   shape_string(a.sizes()), " and ", shape_string(b.sizes())));
  }
  return cross_along(a, b, cross_dim(a, b, dim));
}

}  // namespace

Tensor trace(const Tensor& input) {
  if (input.dim() != 2) {
    throw ShapeError(core::text("trace: expected a matrix, got shape ", shape_string(input.sizes()),
                                "; diagonal(dim1=-2, dim2=-1).sum(-1) takes stacks"));
  }
  return sum(diagonal(input));
}

Tensor kron(const Tensor& input, const Tensor& other) {
  const int64_t n = std::max(input.dim(), other.dim());
  Dims a, b, result;
  for (int64_t d = 0; d < n; ++d) {
    const int64_t p = d - (n - input.dim()), q = d - (n - other.dim());
    const int64_t rows = p < 0 ? 1 : input.size(p), columns = q < 0 ? 1 : other.size(q);
    a.push_back(rows);
    a.push_back(1);
    b.push_back(1);
    b.push_back(columns);
    result.push_back(rows * columns);
  }
  if (n == 0) return input * other;
  const int last = static_cast<int>(2 * n) - 1;
  constexpr int64_t kLong = 64;
  if (b[last] >= kLong) return reshape(reshape(input, a) * reshape(other, b), result);
  // Long lines instead of many short ones: both operands are spread over the last dimension first.
  const int64_t columns = a[last - 1] * b[last];
  Dims wide_a = a, wide_b = b, line_a(IntSpan(a.data(), static_cast<size_t>(last)));
  Dims line_b(IntSpan(b.data(), static_cast<size_t>(last)));
  wide_a[last] = b[last];
  wide_b[last - 1] = a[last - 1];
  line_a.back() = line_b.back() = columns;
  const Tensor x = reshape(expand(reshape(input, a), wide_a), line_a);
  const Tensor y = reshape(expand(reshape(other, b), wide_b), line_b);
  return reshape(x * y, result);
}

Tensor cross(const Tensor& input, const Tensor& other, std::optional<int64_t> dim) {
  return cross_along(input, other, cross_dim(input, other, dim));
}

namespace {

/// Inner products along the last dimension of two tensors of one shape.
struct VecdotRule : autograd::Rule {
  static constexpr const char* name = "LinalgVecdot";
  unsigned saves_inputs(unsigned needs) const {
    return ((needs & 1) ? 2u : 0u) | ((needs & 2) ? 1u : 0u);
  }
  static constexpr bool leading = true;
  Tensor forward(autograd::Inputs in) const {
    return squeeze(matmul(unsqueeze(in[0], -2), unsqueeze(in[1], -1)), OptionalInts{-2, -1});
  }
  void pull(autograd::Pull& p) const {
    const Tensor g = unsqueeze(p.grad(), -1);
    if (p.needs(0)) p.set(0, g * p.input(1));
    if (p.needs(1)) p.set(1, g * p.input(0));
  }
};

}  // namespace

Tensor vecdot(const Tensor& x, const Tensor& y, int64_t dim) {
  const Dims sizes = broadcast_shapes("linalg.vecdot", x.sizes(), y.sizes());
  const int64_t d = wrap_dim("linalg.vecdot", dim, sizes.size());
  const bool last = d == sizes.size() - 1 && x.sizes() == y.sizes() && x.dtype() == y.dtype() &&
                    is_floating_point(x.dtype());
  return last ? autograd::enter(VecdotRule{}, x, y) : sum(x * y, {d});
}

namespace {

/// Where to cut the chain for the fewest multiplications (the textbook's dynamic program).
class Chain {
 public:
  explicit Chain(std::vector<Tensor> matrices) : matrices_(std::move(matrices)) {
    const size_t n = matrices_.size();
    cost_.assign(n * n, 0);
    cut_.assign(n * n, 0);
    for (size_t length = 1; length < n; ++length) {
      for (size_t i = 0; i + length < n; ++i) choose(i, i + length);
    }
  }
  Tensor product() const { return product(0, matrices_.size() - 1); }

 private:
  void choose(size_t i, size_t j) {
    const size_t n = matrices_.size();
    double least = std::numeric_limits<double>::infinity();
    for (size_t k = i; k < j; ++k) {
      const double here = static_cast<double>(matrices_[i].size(0)) *
                          static_cast<double>(matrices_[k].size(1)) *
                          static_cast<double>(matrices_[j].size(1));
      const double cost = cost_[i * n + k] + cost_[(k + 1) * n + j] + here;
      if (cost < least) {
        least = cost;
        cost_[i * n + j] = cost;
        cut_[i * n + j] = k;
      }
    }
  }
  Tensor product(size_t i, size_t j) const {
    if (i == j) return matrices_[i];
    const size_t k = cut_[i * matrices_.size() + j];
    return mm(product(i, k), product(k + 1, j));
  }
  std::vector<Tensor> matrices_;
  std::vector<double> cost_;
  std::vector<size_t> cut_;
};

}  // namespace

Tensor multi_dot(TensorList tensors) {
  if (tensors.size() < 2) {
    throw ShapeError(
        core::text("linalg.multi_dot: expected at least 2 tensors, got ", tensors.size()));
  }
  std::vector<Tensor> chain(tensors.begin(), tensors.end());
  const bool row = chain.front().dim() == 1, column = chain.back().dim() == 1;
  if (row) chain.front() = unsqueeze(chain.front(), 0);
  if (column) chain.back() = unsqueeze(chain.back(), 1);
  for (size_t i = 0; i < chain.size(); ++i) {
    if (chain[i].dim() != 2) {
      throw ShapeError(core::text("linalg.multi_dot: tensor ", i,
                                  " must be 2D (the first and the last may be 1D), got shape ",
                                  shape_string(tensors[i].sizes())));
    }
    if (i > 0 && chain[i - 1].size(1) != chain[i].size(0)) {
      throw ShapeError(core::text("linalg.multi_dot: tensors ", i - 1, " and ", i, " with shapes ",
                                  shape_string(tensors[i - 1].sizes()), " and ",
                                  shape_string(tensors[i].sizes()), " cannot be multiplied"));
    }
  }
  Tensor result = Chain(std::move(chain)).product();
  if (row) result = squeeze(result, OptionalInts(0));
  if (column) result = squeeze(result, OptionalInts(-1));
  return result;
}

namespace {

Tensor linalg_vander(const Tensor& x, std::optional<int64_t> count) {
  if (x.dim() == 0) throw ShapeError("linalg.vander: expected a tensor of at least one dimension");
  const int64_t n = count.value_or(x.size(-1));
  if (n < 2 && count)
    throw ValueError(core::text("linalg.vander: N must be greater than 1, got ", n));
  const DType dtype = is_floating_point(x.dtype()) ? x.dtype() : DType::Int64;
  const Tensor base = unsqueeze(to(x, dtype), -1);
  Dims one(base.sizes());
  if (n <= 0) {
    one.back() = 0;
    return empty(one, dtype);
  }
  Tensor first = ones(one, dtype);
  if (n == 1) return first;
  one.back() = n - 1;
  const Tensor parts[] = {first, cumprod(expand(base, one), -1)};
  return cat(parts, -1);
}

}  // namespace

TAPEGRAD_OP(kAll, "trace(Tensor input) -> Tensor", R"(Sum of the diagonal of a matrix.

Args:
    input: a matrix (n, m)

Raises:
    ShapeError: an input that is not a matrix

Example:
    >>> import tapegrad as tg
    >>> tg.trace(tg.tensor([[1., 2.], [3., 4.]]))
    tensor(5.))",
            &trace);
TAPEGRAD_OP(kAll, "kron(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
            R"(Kronecker product: every element of input times all of other.

The tensor with fewer dimensions is taken with leading ones.

Args:
    input: a tensor of sizes (a0, ..., an)
    other: a tensor of sizes (b0, ..., bn)
    out: a tensor to write the result into

Returns:
    a tensor of sizes (a0 * b0, ..., an * bn)

Example:
    >>> import tapegrad as tg
    >>> tg.kron(tg.tensor([1., 2.]), tg.tensor([1., 10.]))
    tensor([ 1., 10.,  2., 20.]))",
            &kron);
TAPEGRAD_OP(kAll, "cross(Tensor input, Tensor other, int? dim=None, *, Tensor? out=None) -> Tensor",
            R"(Cross product of vectors of three elements.

Args:
    input: a tensor
    other: a tensor that broadcasts with it
    dim: the dimension of size 3; the first such dimension when absent
    out: a tensor to write the result into

Raises:
    ShapeError: no dimension of size 3, or another size in dim

Example:
    >>> import tapegrad as tg
    >>> tg.cross(tg.tensor([1., 0., 0.]), tg.tensor([0., 1., 0.]))
    tensor([0., 0., 1.]))",
            &cross);
TAPEGRAD_OP(kLinalg,
            "linalg_cross(Tensor input, Tensor other, *, int dim=-1, Tensor? out=None) -> Tensor",
            R"(Cross product of vectors of three elements, which lie along one dimension.

Args:
    input: a tensor
    other: a tensor of as many dimensions that broadcasts with it
    dim: the dimension of size 3
    out: a tensor to write the result into

Raises:
    ShapeError: another size in dim, or different numbers of dimensions

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.cross(tg.tensor([1., 0., 0.]), tg.tensor([0., 1., 0.]))
    tensor([0., 0., 1.]))",
            &linalg_cross);
TAPEGRAD_OP(kLinalg, "linalg_vecdot(Tensor x, Tensor y, *, int dim=-1, Tensor? out=None) -> Tensor",
            R"(Inner products of vectors that lie along one dimension.

Args:
    x: a tensor
    y: a tensor that broadcasts with it
    dim: the dimension of the vectors
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.vecdot(tg.tensor([[1., 2.], [3., 4.]]), tg.tensor([1., 1.]))
    tensor([3., 7.]))",
            &vecdot);
TAPEGRAD_OP(kLinalg, "linalg_multi_dot(Tensor[] tensors, *, Tensor? out=None) -> Tensor",
            R"(Product of a chain of matrices, in the order that takes the fewest multiplications.

Args:
    tensors: two or more matrices; the first may be a row vector and the last a column vector,
        of one dimension
    out: a tensor to write the result into

Raises:
    ShapeError: fewer than two tensors, or sizes that do not fit

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.multi_dot([tg.ones(2, 3), tg.ones(3, 4), tg.ones(4)])
    tensor([12., 12.]))",
            &multi_dot);
TAPEGRAD_OP(kLinalg, "linalg_matmul(Tensor input, Tensor other, *, Tensor? out=None) -> Tensor",
            R"(Matrix product; another name of matmul().

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.matmul(tg.tensor([[1., 2.]]), tg.tensor([1., 1.]))
    tensor([3.]))",
            &matmul);
TAPEGRAD_OP(kLinalg,
            "linalg_diagonal(Tensor A, *, int offset=0, int dim1=-2, int dim2=-1) -> Tensor(a)",
            R"(Diagonals of a stack of matrices, as a view: diagonal() on the last two dimensions.

Args:
    A: a tensor of at least two dimensions
    offset: which diagonal; above the main one when positive
    dim1: the rows
    dim2: the columns

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.diagonal(tg.tensor([[1., 2.], [3., 4.]]))
    tensor([1., 4.]))",
            &diagonal);
TAPEGRAD_OP(
    kLinalg, "linalg_vander(Tensor x, *, int? N=None) -> Tensor",
    R"(Vandermonde matrix: the powers 0 to N - 1 of each element, along a new last dimension.

Args:
    x: a tensor of at least one dimension
    N: how many powers; as many as the last dimension has elements when absent

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.vander(tg.tensor([1., 2., 3.]))
    tensor([[1., 1., 1.],
            [1., 2., 4.],
            [1., 3., 9.]]))",
    &linalg_vander);

}  // namespace tapegrad
