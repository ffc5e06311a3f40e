// Norms of vectors and matrices, and condition numbers.
#include <cmath>
#include <limits>

#include "autograd/lifted.h"
#include "core/text.h"
#include "ops/linalg_common.h"
#include "ops/registry.h"
#include "tapegrad/error.h"

namespace tapegrad {

using namespace ops;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

void require_floating(const char* op, const Tensor& x) {
  if (is_floating_point(x.dtype())) return;
  throw DTypeError(core::text(op, ": expected a floating-point tensor, got a ", core::describe(x),
                              "; convert it with .float()"));
}

Tensor converted_to(const char* op, const Tensor& x, std::optional<DType> dtype) {
  if (!dtype) {
    require_floating(op, x);
    return x;
  }
  if (!is_floating_point(*dtype) || (x.dtype() == DType::Float64 && *dtype != DType::Float64)) {
    throw DTypeError(core::text(op, ": dtype ", dtype_name(*dtype),
                                " should be a floating-point type that holds ",
                                dtype_name(x.dtype())));
  }
  return to(x, *dtype);
}

struct MatrixDims {
  int64_t rows, columns;
};

MatrixDims matrix_dims(const char* op, const Tensor& A, IntSpan dim) {
  if (A.dim() < 2) {
    throw ShapeError(core::text(op,
                                ": the input tensor A must have at least 2 dimensions, got "
                                "shape ",
                                shape_string(A.sizes())));
  }
  if (dim.size() != 2)
    throw ShapeError(core::text(op, ": dim must be a 2-tuple, got ", dim.size(), " dimensions"));
  const MatrixDims d{wrap_dim(op, dim[0], A.dim()), wrap_dim(op, dim[1], A.dim())};
  if (d.rows == d.columns) {
    throw ShapeError(core::text(op, ": dims must be different, got (", dim[0], ", ", dim[1], ")"));
  }
  return d;
}

/// The dimensions of the matrices last, for decompositions.
Tensor matrices_last(const Tensor& A, MatrixDims d) {
  if (d.rows == A.dim() - 2 && d.columns == A.dim() - 1) return A;
  Dims order;
  for (int64_t i = 0; i < A.dim(); ++i) {
    if (i != d.rows && i != d.columns) order.push_back(i);
  }
  order.push_back(d.rows);
  order.push_back(d.columns);
  return permute(A, order);
}

/// A result without the two dimensions, with them as ones where they are kept.
Tensor with_kept(const Tensor& result, MatrixDims d, bool keepdim) {
  if (!keepdim) return result;
  const int64_t low = std::min(d.rows, d.columns), high = std::max(d.rows, d.columns);
  return unsqueeze(unsqueeze(result, low), high);
}

Tensor operator_norm(const Tensor& A, Scalar order, MatrixDims d, bool keepdim) {
  constexpr const char* op = "linalg.matrix_norm";
  const double p = order.to_double(), size = std::abs(p);
  if (size == 2) {
    require_matrices(op, A);
    const Tensor S = linalg::svdvals(matrices_last(A, d));
    return with_kept(p > 0 ? amax(S, {-1}) : amin(S, {-1}), d, keepdim);
  }
  if (size != 1 && size != kInf)
    throw ValueError(core::text(op, ": Order ", p,
                                " not supported; use 1, -1, 2, -2, inf, -inf, "
                                "'fro' or 'nuc'"));
  // Sums along one of the dimensions, the extreme along the other.
  const int64_t summed = size == 1 ? d.rows : d.columns;
  const int64_t compared = size == 1 ? d.columns : d.rows;
  const Tensor sums = norm(A, Scalar(1), summed, true);
  const Tensor extreme = p > 0 ? amax(sums, compared, true) : amin(sums, compared, true);
  return keepdim ? extreme : squeeze(extreme, OptionalInts{d.rows, d.columns});
}

}  // namespace

namespace linalg {

Tensor vector_norm(const Tensor& x, Scalar ord, OptionalInts dim, bool keepdim,
                   std::optional<DType> dtype) {
  constexpr const char* op = "linalg.vector_norm";
  const Tensor input = converted_to(op, x, dtype);
  const bool all = !dim.has_value() || dim.value().empty();
  return norm(input, ord, all ? OptionalInts() : dim, keepdim);
}

Tensor matrix_norm(const Tensor& A, Scalar ord, IntSpan dim, bool keepdim,
                   std::optional<DType> dtype) {
  constexpr const char* op = "linalg.matrix_norm";
  const MatrixDims d = matrix_dims(op, A, dim);
  return operator_norm(converted_to(op, A, dtype), ord, d, keepdim);
}

Tensor matrix_norm(const Tensor& A, std::string_view ord, IntSpan dim, bool keepdim,
                   std::optional<DType> dtype) {
  constexpr const char* op = "linalg.matrix_norm";
  const MatrixDims d = matrix_dims(op, A, dim);
  const Tensor input = converted_to(op, A, dtype);
  if (ord == "fro") return norm(input, Scalar(2), {d.rows, d.columns}, keepdim);
  if (ord == "nuc") {
    require_matrices(op, input);
    return with_kept(sum(svdvals(matrices_last(input, d)), {-1}), d, keepdim);
  }
  throw ValueError(
      core::text(op, ": Order '", ord, "' not supported; use 'fro', 'nuc' or a number"));
}

}  // namespace linalg

namespace {

Tensor norm_by_number(const Tensor& A, std::optional<Scalar> ord, OptionalInts dim, bool keepdim,
                      std::optional<DType> dtype) {
  if (!ord) return linalg::vector_norm(A, Scalar(2), dim, keepdim, dtype);
  if (dim.has_value() && dim.value().size() == 2)
    return linalg::matrix_norm(A, *ord, dim.value(), keepdim, dtype);
  if (dim.has_value() || A.dim() == 1) return linalg::vector_norm(A, *ord, dim, keepdim, dtype);
  if (A.dim() == 2) return linalg::matrix_norm(A, *ord, {0, 1}, keepdim, dtype);
  throw ShapeError(
      core::text("linalg.norm: If dim is not specified but ord is, the input must be "
                 "1D or 2D, got shape ",
                 shape_string(A.sizes())));
}

Tensor norm_by_name(const Tensor& A, std::string_view ord, OptionalInts dim, bool keepdim,
                    std::optional<DType> dtype) {
  if (dim.has_value()) return linalg::matrix_norm(A, ord, dim.value(), keepdim, dtype);
  if (A.dim() != 2) {
    throw ShapeError(core::text("linalg.norm: the norm '", ord, "' wants a matrix, got shape ",
                                shape_string(A.sizes()), "; name the dimensions with dim="));
  }
  return linalg::matrix_norm(A, ord, {0, 1}, keepdim, dtype);
}

/// norm(A) norm(A^-1); infinity where a matrix has no inverse.
template <class Measure>
Tensor condition(const Tensor& A, const Measure& measure) {
  require_square("linalg.cond", A);
  const std::vector<Tensor> f = linalg::lu_factor_ex(A.detach());
  const Tensor singular = ne(f[2], Scalar(0));
  if (!autograd::any_below(singular)) return measure(A) * measure(linalg::inv(A));
  const Tensor mask = unsqueeze(unsqueeze(singular, -1), -1);
  const Tensor safe = where(mask, identity_like(A), A);
  return where(singular, Scalar(kInf), measure(safe) * measure(linalg::inv(safe)));
}

Tensor cond_by_number(const Tensor& A, std::optional<Scalar> p) {
  const double order = p ? p->to_double() : 2;
  if (std::abs(order) == 2) {
    require_matrices("linalg.cond", A);
    const Tensor S = linalg::svdvals(A);
    if (S.size(-1) == 0) return sum(S, {-1});
    const Tensor largest = select(S, -1, 0), smallest = select(S, -1, -1);
    return order > 0 ? largest / smallest : smallest / largest;
  }
  return condition(A, [&](const Tensor& M) { return linalg::matrix_norm(M, Scalar(order)); });
}

Tensor cond_by_name(const Tensor& A, std::string_view p) {
  return condition(A, [&](const Tensor& M) { return linalg::matrix_norm(M, p); });
}

}  // namespace

TAPEGRAD_OP(
    kLinalg,
    "linalg_vector_norm(Tensor x, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, dtype? "
    "dtype=None, Tensor? out=None) -> Tensor",
    R"(Norm of the elements as a vector: (sum of |x|**ord)**(1/ord).

The derivative at a norm of 0 is 0; ties of an extreme magnitude share it.

Args:
    x: a floating-point tensor
    ord: a number, 0 (counts what is not zero), inf or -inf (largest or smallest magnitude)
    dim: a dimension, or several; all when absent
    keepdim: keep the reduced dimensions with size 1
    dtype: to which the input is converted first
    out: a tensor to write the result into

Raises:
    DTypeError: an integer or bool input

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.vector_norm(tg.tensor([3., 4.]))
    tensor(5.))",
    &linalg::vector_norm);
TAPEGRAD_OP(
    kLinalg,
    "linalg_matrix_norm(Tensor A, str ord='fro', int[] dim=[-2, -1], bool keepdim=False, *, dtype? "
    "dtype=None, Tensor? out=None) -> Tensor",
    R"(Norm of matrices.

Args:
    A: a floating-point tensor of at least two dimensions
    ord: 'fro' (of the elements), 'nuc' (sum of the singular values), 2 and -2 (largest and smallest
        singular value), 1 and -1 (largest and smallest sum of a column's magnitudes), inf and -inf
        (of a row's)
    dim: rows and columns
    keepdim: keep the two dimensions with size 1
    dtype: to which the input is converted first
    out: a tensor to write the result into

Raises:
    ShapeError: dimensions that do not fit
    ArgumentError: an unknown ord

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.matrix_norm(tg.tensor([[3., 0.], [0., 4.]]))
    tensor(5.))",
    +[](const Tensor& A, std::string_view ord, IntSpan dim, bool keepdim,
        std::optional<DType> dtype) { return linalg::matrix_norm(A, ord, dim, keepdim, dtype); });
TAPEGRAD_OP(
    kLinalg,
    "linalg_matrix_norm(Tensor A, Scalar ord, int[] dim=[-2, -1], bool keepdim=False, *, dtype? "
    "dtype=None, Tensor? out=None) -> Tensor",
    "", +[](const Tensor& A, Scalar ord, IntSpan dim, bool keepdim, std::optional<DType> dtype) {
      return linalg::matrix_norm(A, ord, dim, keepdim, dtype);
    });
TAPEGRAD_OP(
    kLinalg,
    "linalg_norm(Tensor A, Scalar? ord=None, int[1]? dim=None, bool keepdim=False, *, dtype? "
    "dtype=None, Tensor? out=None) -> Tensor",
    R"(Norm of vectors or matrices.

Without ord, that of all elements (or those along dim) as a vector. With ord, a vector's norm for one
dimension and a matrix' for two.

Args:
    A: a floating-point tensor
    ord: as for linalg.vector_norm() or linalg.matrix_norm()
    dim: one dimension for vectors, two for matrices
    keepdim: keep the reduced dimensions with size 1
    dtype: to which the input is converted first
    out: a tensor to write the result into

Raises:
    ShapeError: an ord for more than two dimensions without dim

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.norm(tg.tensor([[3., 0.], [0., -4.]]), 1)
    tensor(4.))",
    &norm_by_number);
TAPEGRAD_OP(
    kLinalg,
    "linalg_norm(Tensor A, str ord, int[1]? dim=None, bool keepdim=False, *, dtype? dtype=None, "
    "Tensor? out=None) -> Tensor",
    "", &norm_by_name);
TAPEGRAD_OP(kLinalg, "linalg_cond(Tensor A, Scalar? p=None, *, Tensor? out=None) -> Tensor",
            R"(Condition number of matrices: norm(A) * norm(A^-1).

Args:
    A: (..., m, n) for p None, 2 and -2 (from the singular values), else (..., n, n)
    p: an ord of linalg.matrix_norm(); None is 2
    out: a tensor to write the result into

Returns:
    infinity for a singular matrix

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.cond(tg.tensor([[2., 0.], [0., 4.]]))
    tensor(2.))",
            &cond_by_number);
TAPEGRAD_OP(kLinalg, "linalg_cond(Tensor A, str p, *, Tensor? out=None) -> Tensor", "",
            &cond_by_name);

}  // namespace tapegrad
