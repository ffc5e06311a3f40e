// Cholesky factors and triangular systems.
#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/linalg_common.h"
#include "ops/registry.h"
#include "tapegrad/error.h"

namespace tapegrad {

using namespace ops;
using autograd::Inputs;
using autograd::Pull;

namespace {

constexpr int kAll = kFunction | kMethod;
constexpr const char* kNotPositive =
    "The factorization could not be completed because the input is not positive-definite (the "
    "leading minor of order # is not positive-definite); add a small multiple of the identity if "
    "it should be";

// --- triangular systems --------------------------------------------------------------------------

/// op(A) X = B for a stack A and B of the same batch shape.
struct TriangularRule : autograd::Rule {
  static constexpr const char* name = "LinalgSolveTriangular";
  bool upper, unit;

  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned needs) const { return needs & 1; }

  static constexpr bool leading = true;
  Tensor forward(Inputs in) const {
    Tensor X = column_major_copy(in[1]);
    if (X.numel() == 0) return X;
    kernels::LinalgArgs args = matrix_args(in[0]);
    Tensor A = in[0];
    args.right = X.size(-1);
    args.upper = upper;
    args.unit = unit;
    if (A.is_contiguous()) {  // rows side by side: in memory it is the transpose
      args.upper = !upper;
      args.transposed = true;
    } else if (!mT(A.detach()).is_contiguous()) {
      A = column_major_copy(A);
    }
    core::launch(&kernels::triangular_solve, {core::in(A), core::out(X)}, args);
    return X;
  }

  void pull(Pull& p) const {
    const Tensor A = p.input(0);
    const Tensor gB = autograd::enter(TriangularRule{{}, !upper, unit}, mT(A), p.grad());
    if (p.needs(1)) p.set(1, gB);
    if (!p.needs(0)) return;
    const Tensor gA = matmul(gB, mT(p.output()));
    const int64_t strict = unit ? 1 : 0;
    p.set(0, -(upper ? upper_part(gA, strict) : lower_part(gA, -strict)));
  }
};

Tensor solve_triangle(const char* op, const Tensor& A, const Tensor& B, bool upper, bool unit) {
  const auto [a, b] = broadcast_batches(op, A, B);
  return autograd::enter(TriangularRule{{}, upper, unit}, a, b);
}

void check_system(const char* op, const Tensor& A, const Tensor& B, bool left, const char* a_name,
                  const char* b_name) {
  require_square(op, A, a_name);
  require_matrices(op, B, b_name);
  require_same_dtype(op, A, B);
  if (A.size(-1) == B.size(left ? -2 : -1)) return;
  throw ShapeError(core::text(op, ": incompatible shapes of ", a_name, " and ", b_name,
                              " for the equation ", left ? "AX = B" : "XA = B", ": ",
                              shape_string(A.sizes()), " and ", shape_string(B.sizes())));
}

// --- Cholesky ------------------------------------------------------------------------------------

/// L and info of the lower triangle.
struct CholeskyRule : autograd::Rule {
  static constexpr const char* name = "LinalgCholeskyEx";
  unsigned saves_outputs(unsigned) const { return 1; }

  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    Tensor L = column_major_copy(in[0]);
    Tensor info = zeros(batch_sizes(L), DType::Int32);
    if (L.numel() > 0)
      core::launch(&kernels::cholesky_factor, {core::out(L), core::out(info)}, matrix_args(L));
    return {std::move(L), std::move(info)};
  }

  void pull(Pull& p) const {
    if (!p.grad(0).defined()) return;
    const Tensor L = p.output(0), transposed = mT(L);
    const Tensor phi = lower_part(matmul(transposed, p.grad(0)));
    const Tensor middle = phi + mT(lower_part(phi, -1));
    // L^-T middle L^-1 / 2
    const Tensor left = linalg::solve_triangular(transposed, middle, true);
    p.set(0, linalg::solve_triangular(L, left, false, false) * Scalar(0.5));
  }
};

std::vector<Tensor> factor(const char* op, const Tensor& A, bool upper, bool check) {
  require_square(op, A);
  std::vector<Tensor> result = autograd::enter(CholeskyRule{}, upper ? mT(A) : A);
  if (check) check_info(op, result[1], kNotPositive);
  if (upper) result[0] = mT(result[0]);
  return result;
}

}  // namespace

namespace linalg {

Tensor cholesky(const Tensor& A, bool upper) {
  return factor("linalg.cholesky", A, upper, true)[0];
}
std::vector<Tensor> cholesky_ex(const Tensor& A, bool upper, bool check_errors) {
  return factor("linalg.cholesky_ex", A, upper, check_errors);
}

Tensor solve_triangular(const Tensor& A, const Tensor& B, bool upper, bool left,
                        bool unitriangular) {
  constexpr const char* op = "linalg.solve_triangular";
  check_system(op, A, B, left, "A", "B");
  if (left) return solve_triangle(op, A, B, upper, unitriangular);
  return mT(solve_triangle(op, mT(A), mT(B), !upper, unitriangular));
}

Tensor cholesky_solve(const Tensor& B, const Tensor& L, bool upper) {
  constexpr const char* op = "cholesky_solve";
  check_system(op, L, B, true, "input2", "input");
  const Tensor lower = upper ? mT(L) : L;
  return solve_triangle(op, mT(lower), solve_triangle(op, lower, B, false, false), true, false);
}

}  // namespace linalg

namespace {

Tensor cholesky_inverse(const Tensor& L, bool upper) {
  require_square("cholesky_inverse", L, "input");
  return linalg::cholesky_solve(identity_like(L), L, upper);
}

std::vector<Tensor> triangular_solve(const Tensor& B, const Tensor& A, bool upper, bool transpose_A,
                                     bool unitriangular) {
  constexpr const char* op = "triangular_solve";
  check_system(op, A, B, true, "A", "b");
  Tensor X = transpose_A ? solve_triangle(op, mT(A), B, !upper, unitriangular)
                         : solve_triangle(op, A, B, upper, unitriangular);
  return {std::move(X), clone(A)};
}

}  // namespace

TAPEGRAD_OP(
    kLinalg, "linalg_cholesky(Tensor A, *, bool upper=False, Tensor? out=None) -> Tensor",
    R"(Cholesky factor of symmetric positive-definite matrices: A = L L^T with L lower triangular.

Only one triangle of A is read. The gradient is symmetric.

Args:
    A: (..., n, n), float32 or float64
    upper: give U = L^T, and read the upper triangle
    out: a tensor to write the result into

Raises:
    ShapeError: matrices that are not square
    DTypeError: other dtypes
    LinAlgError: a matrix that is not positive definite

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.cholesky(tg.tensor([[4., 2.], [2., 5.]]))
    tensor([[2., 0.],
            [1., 2.]]))",
    &linalg::cholesky);
TAPEGRAD_OP(kLinalg,
            "linalg_cholesky_ex(Tensor A, *, bool upper=False, bool check_errors=False) -> (Tensor "
            "L, Tensor info)",
            R"(Cholesky factor, without an error for matrices that are not positive definite.

Args:
    A: (..., n, n), float32 or float64
    upper: give U = L^T
    check_errors: raise all the same

Returns:
    the factor, and info: 0, or the order of the leading minor that is not positive

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.cholesky_ex(tg.tensor([[-1.]])).info.item()
    1)",
            &linalg::cholesky_ex);
TAPEGRAD_OP(
    kAll, "cholesky(Tensor input, bool upper=False, *, Tensor? out=None) -> Tensor",
    R"(Cholesky factor; the older name of linalg.cholesky().

Example:
    >>> import tapegrad as tg
    >>> tg.cholesky(tg.tensor([[4.]]))
    tensor([[2.]]))",
    +[](const Tensor& A, bool upper) { return factor("cholesky", A, upper, true)[0]; });
TAPEGRAD_OP(
    kAll,
    "cholesky_solve(Tensor input, Tensor input2, bool upper=False, *, Tensor? out=None) -> Tensor",
    R"(Solves A X = B, where A is given by its Cholesky factor.

Args:
    input: B, (..., n, k)
    input2: the factor L, (..., n, n); the batch dimensions broadcast
    upper: the factor is U = L^T
    out: a tensor to write the result into

Raises:
    ShapeError: sizes that do not fit

Example:
    >>> import tapegrad as tg
    >>> tg.cholesky_solve(tg.tensor([[8.]]), tg.tensor([[2.]]))
    tensor([[2.]]))",
    &linalg::cholesky_solve);
TAPEGRAD_OP(kAll, "cholesky_inverse(Tensor L, bool upper=False, *, Tensor? out=None) -> Tensor",
            R"(Inverse of a matrix that is given by its Cholesky factor.

Args:
    L: the factor, (..., n, n)
    upper: the factor is U = L^T
    out: a tensor to write the result into

Example:
    >>> import tapegrad as tg
    >>> tg.cholesky_inverse(tg.tensor([[2.]]))
    tensor([[0.2500]]))",
            &cholesky_inverse);
TAPEGRAD_OP(kLinalg,
            "linalg_solve_triangular(Tensor A, Tensor B, *, bool upper, bool left=True, bool "
            "unitriangular=False, Tensor? out=None) -> Tensor",
            R"(Solves A X = B for triangular A. Only that triangle is read.

Nothing is checked: a zero on the diagonal gives infinities or NaN.

Args:
    A: (..., n, n), float32 or float64
    B: (..., n, k); the batch dimensions broadcast
    upper: which triangle
    left: solve X A = B with B (..., k, n) when False
    unitriangular: take the diagonal as ones
    out: a tensor to write the result into

Raises:
    ShapeError: sizes that do not fit

Example:
    >>> import tapegrad as tg
    >>> A = tg.tensor([[2., 0.], [1., 1.]])
    >>> tg.linalg.solve_triangular(A, tg.tensor([[2.], [3.]]), upper=False)
    tensor([[1.],
            [2.]]))",
            &linalg::solve_triangular);
TAPEGRAD_OP(kAll,
            "triangular_solve(Tensor b, Tensor A, bool upper=True, bool transpose=False, bool "
            "unitriangular=False) -> (Tensor solution, Tensor cloned_coefficient)",
            R"(Solves A X = b for triangular A; the older form of linalg.solve_triangular().

Args:
    b: (..., n, k)
    A: (..., n, n)
    upper: which triangle
    transpose: solve A^T X = b
    unitriangular: take the diagonal as ones

Example:
    >>> import tapegrad as tg
    >>> tg.triangular_solve(tg.tensor([[4.]]), tg.tensor([[2.]])).solution
    tensor([[2.]]))",
            &triangular_solve);

}  // namespace tapegrad
