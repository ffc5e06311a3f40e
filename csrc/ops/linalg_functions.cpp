// Functions of matrices: powers, the exponential, and systems of tensors as systems of matrices.
#include <algorithm>
#include <cmath>
#include <vector>

#include "autograd/entry.h"
#include "core/text.h"
#include "ops/linalg_common.h"
#include "ops/registry.h"
#include "tapegrad/error.h"

namespace tapegrad {

using namespace ops;

namespace {

constexpr int kAll = kFunction | kMethod;

Tensor power_of(const char* op, const Tensor& A, int64_t n) {
  require_square(op, A);
  if (n == 0) return clone(identity_like(A));
  Tensor base = n < 0 ? linalg::inv(A) : A;
  auto left = static_cast<uint64_t>(n < 0 ? -n : n);
  Tensor result;
  for (;; base = matmul(base, base)) {
    if (left & 1) result = result.defined() ? matmul(result, base) : base;
    left >>= 1;
    if (left == 0) break;
  }
  return n == 1 ? clone(result) : result;
}

// --- exponential ---------------------------------------------------------------------------------

/// A diagonal Pade approximant, and the largest 1-norm that it is good for (Higham 2005).
struct Pade {
  double reach;
  std::vector<double> coefficients;
};

const std::vector<Pade>& approximants(bool is_double) {
  static const std::vector<double> b3{120, 60, 12, 1}, b5{30240, 15120, 3360, 420, 30, 1};
  static const std::vector<double> b7{17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1};
  static const std::vector<double> b9{17643225600, 8821612800, 2075673600, 302702400, 30270240,
                                      2162160,     110880,     3960,       90,        1};
  static const std::vector<double> b13{64764752532480000,
                                       32382376266240000,
                                       7771770303897600,
                                       1187353796428800,
                                       129060195264000,
                                       10559470521600,
                                       670442572800,
                                       33522128640,
                                       1323241920,
                                       40840800,
                                       960960,
                                       16380,
                                       182,
                                       1};
  static const std::vector<Pade> in_double{{1.495585217958292e-2, b3},
                                           {2.539398330063230e-1, b5},
                                           {9.504178996162932e-1, b7},
                                           {2.097847961257068, b9},
                                           {5.371920351148152, b13}};
  static const std::vector<Pade> in_float{
      {4.258730016922831e-1, b3}, {1.880152677804762, b5}, {3.925724783138660, b7}};
  return is_double ? in_double : in_float;
}

/// sum over the even powers c[from], c[from + 2], ... of A, given A^2, A^4, A^6 (as far as needed).
Tensor even_polynomial(const std::vector<double>& c, size_t from, size_t to,
                       const std::vector<Tensor>& powers) {
  Tensor total;
  for (size_t i = from, k = 0; i < to; i += 2, ++k) {
    const Tensor term = powers[k] * Scalar(c[i]);
    total = total.defined() ? add_(total, term) : term;
  }
  return total;
}

/// The approximant of exp(A) for a small A.
Tensor small_exponential(const Tensor& A, const std::vector<double>& c) {
  const size_t degree = c.size() - 1;
  std::vector<Tensor> powers{identity_like(A)};
  const Tensor A2 = matmul(A, A);
  const size_t stored = degree == 13 ? 4 : (degree + 1) / 2;
  while (powers.size() < stored)
    powers.push_back(powers.size() == 1 ? A2 : matmul(powers.back(), A2));
  Tensor odd, even;
  if (degree == 13) {
    const std::vector<Tensor> high(powers.begin() + 1, powers.end());
    odd = matmul(powers[3], even_polynomial(c, 9, 14, high)) + even_polynomial(c, 1, 8, powers);
    even = matmul(powers[3], even_polynomial(c, 8, 13, high)) + even_polynomial(c, 0, 7, powers);
  } else {
    odd = even_polynomial(c, 1, c.size(), powers);
    even = even_polynomial(c, 0, c.size() - 1, powers);
  }
  const Tensor U = matmul(A, odd);
  return linalg::solve(even - U, even + U);
}

/// Scaling and squaring, each matrix with its own power of two.
Tensor exponential(const Tensor& A) {
  if (A.numel() == 0) return clone(A);
  const std::vector<Pade>& choices = approximants(A.dtype() == DType::Float64);
  const Tensor norms = to(reshape(amax(sum(abs(A), {-2}), {-1}), {-1}), DType::Float64);
  const auto* norm = static_cast<const double*>(norms.data());
  const int64_t count = norms.numel();
  const double largest = *std::max_element(norm, norm + count);
  if (!std::isfinite(largest)) return full(A.sizes(), Scalar(std::nan("")), A.dtype());
  for (const Pade& choice : choices) {
    if (largest <= choice.reach) return small_exponential(A, choice.coefficients);
  }
  Tensor exponents = core::make_tensor({count}, DType::Int64);
  Tensor factors = core::make_tensor({count}, DType::Float64);
  int64_t squarings = 0;
  for (int64_t b = 0; b < count; ++b) {
    const double ratio = norm[b] / choices.back().reach;
    const int64_t s = ratio > 1 ? static_cast<int64_t>(std::ceil(std::log2(ratio))) : 0;
    static_cast<int64_t*>(exponents.data())[b] = s;
    static_cast<double*>(factors.data())[b] = std::ldexp(1.0, -static_cast<int>(s));
    squarings = std::max(squarings, s);
  }
  const Dims each = with_sizes(batch_sizes(A), {1, 1});
  Tensor X =
      small_exponential(A * to(reshape(factors, each), A.dtype()), choices.back().coefficients);
  for (int64_t i = 0; i < squarings; ++i) {
    const Tensor squared = matmul(X, X);
    X = count == 1 ? squared : where(gt(reshape(exponents, each), Scalar(i)), squared, X);
  }
  return X;
}

struct MatrixExpRule : autograd::Rule {
  static constexpr const char* name = "LinalgMatrixExp";
  unsigned saves_inputs(unsigned) const { return 1; }
  static constexpr bool leading = true;
  Tensor forward(autograd::Inputs in) const { return exponential(in[0]); }

  // exp([[A^T, G], [0, A^T]]) has the derivative of exp at A^T along G in its corner (Najfeld and
  // Havel 1995).
  void pull(autograd::Pull& p) const {
    const Tensor At = mT(p.input(0));
    const int64_t n = At.size(-1);
    if (At.numel() == 0) return p.set(0, p.grad());
    const Tensor above = cat(std::vector<Tensor>{At, p.grad()}, -1);
    const Tensor below = cat(std::vector<Tensor>{zeros(At.sizes(), At.dtype()), At}, -1);
    const Tensor whole =
        autograd::enter(MatrixExpRule{}, cat(std::vector<Tensor>{above, below}, -2));
    p.set(0, narrow(narrow(whole, -2, 0, n), -1, n, n));
  }
};

Tensor exp_of(const char* op, const Tensor& A) {
  require_square(op, A);
  return autograd::enter(MatrixExpRule{}, A);
}

// --- tensors as matrices -------------------------------------------------------------------------

int64_t product_of(IntSpan sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return count;
}

Tensor tensorinv(const Tensor& A, int64_t ind) {
  if (ind <= 0) {
    throw ValueError(
        core::text("linalg.tensorinv: Expected a strictly positive integer for 'ind', got ", ind));
  }
  const IntSpan sizes = A.sizes();
  const size_t split = std::min(static_cast<size_t>(ind), sizes.size());
  const IntSpan left(sizes.data(), split), right(sizes.data() + split, sizes.size() - split);
  if (product_of(left) != product_of(right)) {
    throw ShapeError(
        core::text("linalg.tensorinv: Expected the products of the sizes before and "
                   "after dimension ",
                   ind, " to be equal, got shape ", shape_string(sizes)));
  }
  Dims result(right);
  for (const int64_t size : left) result.push_back(size);
  return reshape(linalg::inv(reshape(A, {product_of(left), product_of(right)})), result);
}

Tensor tensorsolve(const Tensor& A, const Tensor& B, OptionalInts dims) {
  Tensor moved = A;
  if (dims.has_value()) {  // these dimensions go to the end
    Dims order, last;
    for (const int64_t d : dims.value()) last.push_back(wrap_dim("linalg.tensorsolve", d, A.dim()));
    for (int64_t d = 0; d < A.dim(); ++d) {
      if (std::find(last.begin(), last.end(), d) == last.end()) order.push_back(d);
    }
    for (const int64_t d : last) order.push_back(d);
    moved = permute(A, order);
  }
  const IntSpan sizes = moved.sizes();
  const auto lead = static_cast<size_t>(B.dim());
  if (sizes.size() < lead) {
    throw ShapeError(core::text("linalg.tensorsolve: A of shape ", shape_string(A.sizes()),
                                " has fewer dimensions than B of shape ", shape_string(B.sizes())));
  }
  const IntSpan result(sizes.data() + lead, sizes.size() - lead);
  if (product_of(result) != B.numel() || A.numel() != B.numel() * B.numel()) {
    throw ShapeError(
        core::text("linalg.tensorsolve: Expected self to satisfy the requirement "
                   "prod(A.shape[B.ndim:]) == prod(A.shape[:B.ndim]), got shapes ",
                   shape_string(moved.sizes()), " and ", shape_string(B.sizes())));
  }
  const int64_t n = B.numel();
  return reshape(linalg::solve(reshape(moved, {n, n}), reshape(B, {n})), Dims(result));
}

}  // namespace

namespace linalg {

Tensor matrix_power(const Tensor& A, int64_t n) { return power_of("linalg.matrix_power", A, n); }
Tensor matrix_exp(const Tensor& A) { return exp_of("linalg.matrix_exp", A); }

}  // namespace linalg

TAPEGRAD_OP(kLinalg, "linalg_matrix_power(Tensor A, int n, *, Tensor? out=None) -> Tensor",
            R"(Power of square matrices, by repeated squaring; of the inverse for a negative n.

Args:
    A: (..., n, n), float32 or float64
    n: the exponent
    out: a tensor to write the result into

Raises:
    ShapeError: matrices that are not square
    LinAlgError: a singular matrix and a negative n

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.matrix_power(tg.tensor([[1., 1.], [0., 1.]]), 5)
    tensor([[1., 5.],
            [0., 1.]]))",
            &linalg::matrix_power);
TAPEGRAD_OP(
    kAll, "matrix_power(Tensor input, int n, *, Tensor? out=None) -> Tensor",
    R"(Power of square matrices; another name of linalg.matrix_power().

Example:
    >>> import tapegrad as tg
    >>> tg.matrix_power(tg.tensor([[2.]]), 3)
    tensor([[8.]]))",
    +[](const Tensor& A, int64_t n) { return power_of("matrix_power", A, n); });
TAPEGRAD_OP(kLinalg, "linalg_matrix_exp(Tensor A) -> Tensor",
            R"(Exponential of square matrices: I + A + A^2 / 2! + ...

By scaling and squaring of a Pade approximant.

Args:
    A: (..., n, n), float32 or float64

Raises:
    ShapeError: matrices that are not square

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.matrix_exp(tg.tensor([[0., 1.], [0., 0.]]))
    tensor([[1., 1.],
            [0., 1.]]))",
            &linalg::matrix_exp);
TAPEGRAD_OP(
    kAll, "matrix_exp(Tensor input) -> Tensor",
    R"(Exponential of square matrices; another name of linalg.matrix_exp().

Example:
    >>> import tapegrad as tg
    >>> tg.matrix_exp(tg.zeros(1, 1))
    tensor([[1.]]))",
    +[](const Tensor& A) { return exp_of("matrix_exp", A); });
TAPEGRAD_OP(kLinalg, "linalg_tensorinv(Tensor A, int ind=2, *, Tensor? out=None) -> Tensor",
            R"(Inverse of a tensor as a map: tensordot(tensorinv(A), B, B.dim()) solves for X.

Args:
    A: a tensor whose first `ind` sizes have the product of the others
    ind: how many dimensions are the result of the map
    out: a tensor to write the result into

Raises:
    ShapeError: sizes that do not fit
    LinAlgError: a map that is singular

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.tensorinv(tg.eye(4).reshape(2, 2, 4)).shape
    tapegrad.Size([4, 2, 2]))",
            &tensorinv);
TAPEGRAD_OP(
    kLinalg,
    "linalg_tensorsolve(Tensor A, Tensor B, int[]? dims=None, *, Tensor? out=None) -> Tensor",
    R"(Solves tensordot(A, X, X.dim()) = B.

Args:
    A: a tensor of B's sizes followed by those of X
    B: the right-hand side
    dims: dimensions of A that are moved to its end first
    out: a tensor to write the result into

Raises:
    ShapeError: sizes that do not fit
    LinAlgError: a map that is singular

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.tensorsolve(tg.eye(4).reshape(2, 2, 4), tg.ones(2, 2))
    tensor([1., 1., 1., 1.]))",
    &tensorsolve);

}  // namespace tapegrad
