// LU factors and what follows from them: systems, inverses, determinants.
#include "ops/linalg_lu.h"

#include <cmath>
#include <limits>

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/linalg_common.h"
#include "ops/reduce_geometry.h"
#include "ops/registry.h"
#include "tapegrad/error.h"

namespace tapegrad {

using namespace ops;
using autograd::Inputs;
using autograd::Pull;

namespace ops {

LuFactors factor_lu(const Tensor& A) {
  LuFactors f;
  f.LU = column_major_copy(A);
  const int64_t size = std::min(A.size(-1), A.size(-2));
  f.pivots = core::make_tensor(with_sizes(batch_sizes(A), {size}), DType::Int32);
  f.info = zeros(batch_sizes(A), DType::Int32);
  if (A.numel() > 0) {
    core::launch(&kernels::lu_factor, {core::out(f.LU), core::out(f.pivots), core::out(f.info)},
                 matrix_args(A));
  }
  return f;
}

/// Solves with the factors, in place of the column-major X; A^T X = B with `adjoint`.
void solve_lu_into(const Tensor& LU, const Tensor& pivots, const Tensor& X, bool adjoint) {
  if (X.numel() == 0) return;
  kernels::LinalgArgs args = matrix_args(LU);
  args.right = X.size(-1);
  const auto swap = [&](bool back) {
    args.transposed = back;
    core::launch(&kernels::apply_pivots, {core::out(X), core::in(pivots)}, args);
  };
  const auto solve = [&](bool upper) {
    args.upper = upper;
    args.unit = !upper;
    args.transposed = adjoint;
    core::launch(&kernels::triangular_solve, {core::in(LU), core::out(X)}, args);
  };
  if (!adjoint) swap(false);
  solve(adjoint);
  solve(!adjoint);
  if (adjoint) swap(true);
}

Tensor solve_lu(const Tensor& LU, const Tensor& pivots, const Tensor& B, bool adjoint) {
  Tensor X = column_major_copy(B);
  solve_lu_into(LU, pivots, X, adjoint);
  return X;
}

/// The order of the rows that the swaps of an LU factorisation make.
struct PermutationRule : autograd::Rule {
  static constexpr const char* name = "Permutation";
  static constexpr bool differentiable = false;
  static constexpr bool leading = true;
  int64_t rows;
  Tensor forward(Inputs in) const {
    const Tensor& pivots = in[0];
    const Dims batch(IntSpan(pivots.sizes().data(), static_cast<size_t>(pivots.dim() - 1)));
    Tensor result = core::make_tensor(with_sizes(batch, {rows}), DType::Int64);
    const Tensor dense = contiguous(pivots.detach());
    const auto* swaps = static_cast<const int32_t*>(dense.data());
    auto* order = static_cast<int64_t*>(result.data());
    const int64_t steps = pivots.size(-1), count = rows == 0 ? 0 : result.numel() / rows;
    for (int64_t b = 0; b < count; ++b, order += rows, swaps += steps) {
      for (int64_t i = 0; i < rows; ++i) order[i] = i;
      for (int64_t i = 0; i < steps; ++i) {
        if (swaps[i] < 1 || swaps[i] > rows)
          throw IndexError(core::text("linalg: pivot ", swaps[i], " is not in [1, ", rows, "]"));
        std::swap(order[i], order[swaps[i] - 1]);
      }
    }
    return result;
  }
  void pull(Pull&) const {}
};

Tensor permutation_of(const Tensor& pivots, int64_t rows) {
  return autograd::enter(PermutationRule{{}, rows}, pivots);
}

/// Rows of B in this order: row i of the result is row order[i].
Tensor take_rows(const Tensor& B, const Tensor& order) {
  const auto [b, index] = broadcast_batches("linalg", B, unsqueeze(order, -1));
  return gather(b, -2, expand(index, b.sizes()));
}

}  // namespace ops

namespace {

constexpr int kAll = kFunction | kMethod;
constexpr const char* kSingular =
    "The solver failed because the input matrix is singular (pivot # is zero); linalg.pinv and "
    "linalg.lstsq take such matrices";
constexpr const char* kNoInverse =
    "The diagonal element # is zero, the inversion could not be completed because the input matrix "
    "is singular; linalg.pinv takes such matrices";

// --- LU with its derivative ----------------------------------------------------------------------

Tensor unit_lower(const Tensor& LU, int64_t columns) {
  const Tensor strict = lower_part(narrow(LU, -1, 0, columns), -1);
  return strict + eye(LU.size(-2), columns, LU.dtype());
}
Tensor upper_of(const Tensor& LU, int64_t rows) { return upper_part(narrow(LU, -2, 0, rows)); }

/// Packed factors, pivots, info.
struct LuRule : autograd::Rule {
  static constexpr const char* name = "LinalgLuFactorEx";
  unsigned saves_outputs(unsigned) const { return 3; }

  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    LuFactors f = factor_lu(in[0]);
    return {std::move(f.LU), std::move(f.pivots), std::move(f.info)};
  }

  // With A = P [L U], M = L1^-1 dA1 U1^-1 of the leading square: dL = L tril(M, -1) and
  // dU = triu(M) U there, and the rest follows from the rows or columns that remain.
  void pull(Pull& p) const {
    if (!p.grad(0).defined()) return;
    const Tensor LU = p.output(0);
    const int64_t m = LU.size(-2), n = LU.size(-1), k = std::min(m, n);
    const Tensor L = unit_lower(LU, k), U = upper_of(LU, k);
    const Tensor gL = lower_part(narrow(p.grad(0), -1, 0, k), -1);
    const Tensor gU = upper_part(narrow(p.grad(0), -2, 0, k));
    const Tensor L1 = narrow(L, -2, 0, k), U1 = narrow(U, -1, 0, k);
    Tensor low = matmul(mT(L1), narrow(gL, -2, 0, k));
    Tensor high = matmul(narrow(gU, -1, 0, k), mT(U1));
    if (n > k) low = low - matmul(narrow(gU, -1, k, n - k), mT(narrow(U, -1, k, n - k)));
    if (m > k) high = high - matmul(mT(narrow(L, -2, k, m - k)), narrow(gL, -2, k, m - k));
    const Tensor middle = lower_part(low, -1) + upper_part(high);
    const auto by_u = [&](const Tensor& x) {  // x U1^-T
      return linalg::solve_triangular(mT(U1), x, false, false);
    };
    const auto by_l = [&](const Tensor& x) {  // L1^-T x
      return linalg::solve_triangular(mT(L1), x, true, true, true);
    };
    Tensor gA = by_u(by_l(middle));
    if (n > k) gA = cat(std::vector<Tensor>{gA, by_l(narrow(gU, -1, k, n - k))}, -1);
    if (m > k) gA = cat(std::vector<Tensor>{gA, by_u(narrow(gL, -2, k, m - k))}, -2);
    p.set(0, take_rows(gA, inverse_permutation(permutation_of(p.output(1), m))));
  }

  static Tensor inverse_permutation(const Tensor& order) { return argsort(order, -1); }
};

std::vector<Tensor> lu_with_info(const char* op, const Tensor& A, bool pivot, bool check) {
  require_matrices(op, A);
  if (!pivot) {
    throw UnsupportedError(
        core::text(op, ": LU without pivoting is not implemented on the CPU; leave pivot=True"));
  }
  std::vector<Tensor> result = autograd::enter(LuRule{}, A);
  if (check)
    check_info(op, result[2], "U[#,#] is zero: the matrix is singular to working precision");
  return result;
}

// --- systems -------------------------------------------------------------------------------------

/// A X = B of one batch shape: X, and for the derivative the factors.
struct SolveRule : autograd::Rule {
  static constexpr const char* name = "LinalgSolveEx";

  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned needs) const { return 6u | (needs & 1); }

  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    LuFactors f = factor_lu(in[0]);
    Tensor X = solve_lu(f.LU, f.pivots, in[1], false);
    return {std::move(X), std::move(f.LU), std::move(f.pivots), std::move(f.info)};
  }

  void pull(Pull& p) const {
    const Tensor A = p.input(0);
    const Tensor& g = p.grad(0);
    if (!g.defined()) return;
    // Differentiating again, the factors must depend on A.
    const Tensor gB = is_watched({&A, &g}) ? autograd::enter(SolveRule{}, mT(A), g)[0]
                                           : solve_lu(p.output(1), p.output(2), g, true);
    if (p.needs(1)) p.set(1, gB);
    if (p.needs(0)) p.set(0, -matmul(gB, mT(p.output(0))));
  }
};

/// B is a vector for each matrix, and no matrix.
bool is_vector(const Tensor& A, const Tensor& B) {
  if (B.dim() == 1) return true;
  return B.dim() == A.dim() - 1 &&
         B.sizes() == IntSpan(A.sizes().data(), static_cast<size_t>(A.dim() - 1));
}

/// X and info.
std::pair<Tensor, Tensor> solve_with_info(const char* op, const Tensor& A, const Tensor& B,
                                          bool left) {
  require_square(op, A);
  require_same_dtype(op, A, B);
  const bool vector = is_vector(A, B);
  if (vector && !left) {
    throw ShapeError(core::text(op,
                                ": left=False wants matrices on the right-hand side, got shape ",
                                shape_string(B.sizes())));
  }
  Tensor right = vector ? unsqueeze(B, -1) : B;
  if (right.dim() < 2 || right.size(left ? -2 : -1) != A.size(-1)) {
    throw ShapeError(core::text(op, ": incompatible shapes of A and B for the equation ",
                                left ? "AX = B" : "XA = B", ": ", shape_string(A.sizes()), " and ",
                                shape_string(B.sizes())));
  }
  const auto [a, b] = broadcast_batches(op, left ? A : mT(A), left ? right : mT(right));
  std::vector<Tensor> result = autograd::enter(SolveRule{}, a, b);
  Tensor X = left ? result[0] : mT(result[0]);
  return {vector ? squeeze(X, OptionalInts(-1)) : X, result[3]};
}

/// A^-1, info.
struct InverseRule : autograd::Rule {
  static constexpr const char* name = "LinalgInvEx";
  unsigned saves_outputs(unsigned) const { return 1; }
  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    LuFactors f = factor_lu(in[0]);
    Tensor X = solve_lu(f.LU, f.pivots, identity_like(in[0]), false);
    return {std::move(X), std::move(f.info)};
  }
  void pull(Pull& p) const {
    if (!p.grad(0).defined()) return;
    const Tensor transposed = mT(p.output(0));
    p.set(0, -matmul(transposed, matmul(p.grad(0), transposed)));
  }
};

std::vector<Tensor> inverse_with_info(const char* op, const Tensor& A, bool check) {
  require_square(op, A);
  std::vector<Tensor> result = autograd::enter(InverseRule{}, A);
  if (check) check_info(op, result[1], kNoInverse);
  return result;
}

}  // namespace

namespace linalg {

std::vector<Tensor> lu_factor_ex(const Tensor& A, bool pivot, bool check_errors) {
  return lu_with_info("linalg.lu_factor_ex", A, pivot, check_errors);
}

std::vector<Tensor> lu(const Tensor& A) {
  const std::vector<Tensor> f = lu_with_info("linalg.lu", A, true, false);
  const int64_t m = A.size(-2), k = std::min(m, A.size(-1));
  // P[order[i], i] = 1.
  const Tensor order = permutation_of(f[1], m);
  Tensor P = to(eq(unsqueeze(arange(0, m), -1), unsqueeze(order, -2)), A.dtype());
  return {std::move(P), unit_lower(f[0], k), upper_of(f[0], k)};
}

Tensor lu_solve(const Tensor& LU, const Tensor& pivots, const Tensor& B, bool left, bool adjoint) {
  constexpr const char* op = "linalg.lu_solve";
  require_square(op, LU, "LU");
  require_matrices(op, B, "B");
  require_same_dtype(op, LU, B);
  if (pivots.dtype() != DType::Int32 || pivots.dim() != LU.dim() - 1 ||
      pivots.size(-1) != LU.size(-1)) {
    throw DTypeError(core::text(op, ": expected int32 pivots, one for each row of LU ",
                                shape_string(LU.sizes()), ", got a ", core::describe(pivots)));
  }
  if (!left) return mT(lu_solve(LU, pivots, mT(B), true, !adjoint));
  if (B.size(-2) != LU.size(-1)) {
    throw ShapeError(core::text(op, ": incompatible shapes of LU and B: ", shape_string(LU.sizes()),
                                " and ", shape_string(B.sizes())));
  }
  const Tensor order = permutation_of(pivots, LU.size(-1));
  if (!adjoint) {
    const Tensor Y = solve_triangular(LU, take_rows(B, order), false, true, true);
    return solve_triangular(LU, Y, true);
  }
  const Tensor Y = solve_triangular(mT(LU), B, false);
  const Tensor Z = solve_triangular(mT(LU), Y, true, true, true);
  return take_rows(Z, LuRule::inverse_permutation(order));
}

Tensor solve(const Tensor& A, const Tensor& B, bool left) {
  const auto [X, info] = solve_with_info("linalg.solve", A, B, left);
  check_info("linalg.solve", info, kSingular);
  return X;
}

Tensor inv(const Tensor& A) { return inverse_with_info("linalg.inv", A, true)[0]; }

}  // namespace linalg

// --- determinants --------------------------------------------------------------------------------

namespace {

/// -1 or 1: the sign of the row swaps.
Tensor swap_sign(const Tensor& pivots, DType dtype) {
  const int64_t n = pivots.size(-1);
  const Tensor places = to(arange(1, n + 1), DType::Int32);
  const Tensor swaps = sum(ne(pivots, places), {-1});
  return to(Scalar(1) - bitwise_and(swaps, Scalar(1)) * Scalar(2), dtype);
}

Tensor adjugate_transposed(const Tensor& A);

/// det, LU, pivots.
struct DetRule : autograd::Rule {
  static constexpr const char* name = "LinalgDet";
  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned) const { return 7; }

  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    LuFactors f = factor_lu(in[0]);
    Tensor value = prod(diagonal_of(f.LU), {-1}) * swap_sign(f.pivots, in[0].dtype());
    return {std::move(value), std::move(f.LU), std::move(f.pivots)};
  }

  // det(A) A^-T where A is regular, else the transposed adjugate.
  void pull(Pull& p) const {
    if (!p.grad(0).defined()) return;
    const Tensor A = p.input(0), value = p.output(0);
    const Tensor weight = unsqueeze(unsqueeze(p.grad(0), -1), -1);
    const Tensor singular = eq(value, Scalar(0)).detach();
    const bool some = autograd::any_below(singular);
    const Tensor mask = unsqueeze(unsqueeze(singular, -1), -1);
    const Tensor scale = unsqueeze(unsqueeze(value, -1), -1) * weight;
    Tensor regular;
    if (is_watched({&A, &value, &p.grad(0)})) {
      // The factors of A again, not of its transpose: where A is nearly singular, the last pivot is
      // rounding and cancels only against itself.
      const Tensor safe = some ? where(mask, identity_like(A), A) : A;
      regular = mT(autograd::enter(SolveRule{}, safe, identity_like(A))[0]) * scale;
    } else {
      regular = solve_lu(p.output(1), p.output(2), identity_like(A) * scale, true);
    }
    p.set(0, some ? where(mask, adjugate_transposed(A) * weight, regular) : regular);
  }
};

/// det(U) det(V) U diag(products of the other singular values) V^T.
Tensor adjugate_transposed(const Tensor& A) {
  const std::vector<Tensor> f = linalg::svd(A, false);
  const Tensor others = expand(unsqueeze(f[1], -2), A.sizes());
  const Tensor rest = prod(where(diagonal_mask(A), Scalar(1.0), others), {-1});
  const Tensor sign = linalg::det(f[0]) * linalg::det(f[2]);
  return matmul(f[0] * unsqueeze(rest, -2), f[2]) * unsqueeze(unsqueeze(sign, -1), -1);
}

/// sign, log|det|, LU, pivots.
struct SlogdetRule : autograd::Rule {
  static constexpr const char* name = "LinalgSlogdet";
  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned) const { return 12; }

  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    LuFactors f = factor_lu(in[0]);
    const Tensor values = diagonal_of(f.LU);
    Tensor sign_of = prod(sign(values), {-1}) * swap_sign(f.pivots, in[0].dtype());
    return {std::move(sign_of), sum(log(abs(values)), {-1}), std::move(f.LU), std::move(f.pivots)};
  }
  void pull(Pull& p) const {
    const Tensor& g = p.grad(1);
    if (!g.defined()) {
      p.set(0, zeros(p.input_sizes(0), p.input_dtype(0)));
      return;
    }
    const Tensor A = p.input(0);
    const Tensor right = identity_like(A) * unsqueeze(unsqueeze(g, -1), -1);
    p.set(0, is_watched({&A, &g}) ? autograd::enter(SolveRule{}, mT(A), right)[0]
                                  : solve_lu(p.output(2), p.output(3), right, true));
  }
};

std::vector<Tensor> sign_and_log(const char* op, const Tensor& A) {
  require_square(op, A);
  std::vector<Tensor> all = autograd::enter(SlogdetRule{}, A);
  all.resize(2);
  return all;
}

Tensor det_of(const char* op, const Tensor& A) {
  require_square(op, A);
  return autograd::enter(DetRule{}, A)[0];
}

Tensor logdet(const Tensor& A) {
  const std::vector<Tensor> parts = sign_and_log("logdet", A);
  const Tensor negative = lt(parts[0], Scalar(0)).detach();
  return where(negative, Scalar(std::numeric_limits<double>::quiet_NaN()), parts[1]);
}

std::vector<Tensor> first_two(std::vector<Tensor> all) {
  all.resize(2);
  return all;
}

std::vector<Tensor> lu_unpack(const Tensor& LU, const Tensor& pivots, bool data, bool use_pivots) {
  require_matrices("lu_unpack", LU, "LU_data");
  const int64_t m = LU.size(-2), k = std::min(m, LU.size(-1));
  Tensor P = empty({0}, LU.dtype()), L = P, U = P;
  if (use_pivots) {
    if (pivots.dtype() != DType::Int32) {
      throw DTypeError(
          core::text("lu_unpack: expected int32 pivots as lu_factor() gives them, got "
                     "a ",
                     core::describe(pivots)));
    }
    const Tensor order = permutation_of(pivots, m);
    P = to(eq(unsqueeze(arange(0, m), -1), unsqueeze(order, -2)), LU.dtype());
  }
  if (data) {
    L = unit_lower(LU, k);
    U = upper_of(LU, k);
  }
  return {P, L, U};
}

}  // namespace

namespace linalg {

Tensor det(const Tensor& A) { return det_of("linalg.det", A); }
std::vector<Tensor> slogdet(const Tensor& A) { return sign_and_log("linalg.slogdet", A); }

}  // namespace linalg

TAPEGRAD_OP(kLinalg,
            "linalg_lu_factor_ex(Tensor A, *, bool pivot=True, bool check_errors=False) -> (Tensor "
            "LU, Tensor pivots, Tensor info)",
            R"(LU factors with row swaps, in one matrix.

Args:
    A: (..., m, n), float32 or float64
    pivot: True; other factors are not implemented
    check_errors: raise LinAlgError when a pivot is zero

Returns:
    LU (U on and above the diagonal, L below it), pivots (int32, from 1: the row that row i was
    swapped with), and info: 0, or the first pivot that is zero

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.lu_factor_ex(tg.tensor([[0., 1.], [2., 3.]])).pivots
    tensor([2, 2], dtype=tapegrad.int32))",
            &linalg::lu_factor_ex);
TAPEGRAD_OP(
    kLinalg, "linalg_lu_factor(Tensor A, *, bool pivot=True) -> (Tensor LU, Tensor pivots)",
    R"(LU factors with row swaps, in one matrix; linalg.lu_solve() takes them.

Args:
    A: (..., m, n), float32 or float64
    pivot: True; other factors are not implemented

Raises:
    LinAlgError: a pivot that is zero

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.lu_factor(tg.tensor([[2., 4.], [1., 5.]])).LU
    tensor([[2.0000, 4.0000],
            [0.5000, 3.0000]]))",
    +[](const Tensor& A, bool pivot) {
      return first_two(lu_with_info("linalg.lu_factor", A, pivot, true));
    });
TAPEGRAD_OP(
    kLinalg, "linalg_lu(Tensor A, *, bool pivot=True) -> (Tensor P, Tensor L, Tensor U)",
    R"(LU decomposition: A = P L U.

Args:
    A: (..., m, n), float32 or float64
    pivot: True; other factors are not implemented

Returns:
    P: a permutation (..., m, m); L: lower triangular with ones, (..., m, k); U: upper triangular
    (..., k, n), with k the smaller of m and n

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.lu(tg.tensor([[2., 4.], [1., 5.]])).U
    tensor([[2., 4.],
            [0., 3.]]))",
    +[](const Tensor& A, bool pivot) {
      if (!pivot) lu_with_info("linalg.lu", A, pivot, false);
      return linalg::lu(A);
    });
TAPEGRAD_OP(kFunction,
            "lu_unpack(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool "
            "unpack_pivots=True) -> (Tensor P, Tensor L, Tensor U)",
            R"(P, L and U of what linalg.lu_factor() gives.

Args:
    LU_data: (..., m, n)
    LU_pivots: (..., k), int32
    unpack_data: give L and U; empty tensors otherwise
    unpack_pivots: give P; an empty tensor otherwise

Example:
    >>> import tapegrad as tg
    >>> tg.lu_unpack(*tg.linalg.lu_factor(tg.tensor([[2., 4.], [1., 5.]]))).U
    tensor([[2., 4.],
            [0., 3.]]))",
            &lu_unpack);
TAPEGRAD_OP(kLinalg,
            "linalg_lu_solve(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool "
            "adjoint=False, Tensor? out=None) -> Tensor",
            R"(Solves A X = B, where A is given by its LU factors.

Args:
    LU: (..., n, n), from linalg.lu_factor()
    pivots: (..., n), int32
    B: (..., n, k)
    left: solve X A = B when False
    adjoint: solve with the transpose of A
    out: a tensor to write the result into

Raises:
    ShapeError: sizes that do not fit

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.lu_solve(*tg.linalg.lu_factor(tg.tensor([[2.]])), tg.tensor([[4.]]))
    tensor([[2.]]))",
            &linalg::lu_solve);
TAPEGRAD_OP(
    kAll, "lu_solve(Tensor b, Tensor LU_data, Tensor LU_pivots, *, Tensor? out=None) -> Tensor",
    R"(Solves A X = b; the older form of linalg.lu_solve().

Example:
    >>> import tapegrad as tg
    >>> tg.lu_solve(tg.tensor([[4.]]), *tg.linalg.lu_factor(tg.tensor([[2.]])))
    tensor([[2.]]))",
    +[](const Tensor& B, const Tensor& LU, const Tensor& pivots) {
      return linalg::lu_solve(LU, pivots, B);
    });
TAPEGRAD_OP(kLinalg,
            "linalg_solve(Tensor A, Tensor B, *, bool left=True, Tensor? out=None) -> Tensor",
            R"(Solves the linear systems A X = B.

Args:
    A: (..., n, n), float32 or float64
    B: (..., n, k), or vectors (n,) or (..., n) with the batch dimensions of A; batch dimensions of
        matrices broadcast
    left: solve X A = B when False
    out: a tensor to write the result into

Raises:
    ShapeError: sizes that do not fit
    LinAlgError: a singular matrix

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.solve(tg.tensor([[2., 1.], [1., 3.]]), tg.tensor([3., 4.]))
    tensor([1., 1.]))",
            &linalg::solve);
TAPEGRAD_OP(
    kLinalg,
    "linalg_solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> "
    "(Tensor result, Tensor info)",
    R"(Solves linear systems, without an error for singular matrices.

Args:
    A: (..., n, n), float32 or float64
    B: as for linalg.solve()
    left: solve X A = B when False
    check_errors: raise all the same

Returns:
    the solution, and info: 0, or the first pivot that is zero

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.solve_ex(tg.tensor([[2.]]), tg.tensor([4.])).result
    tensor([2.]))",
    +[](const Tensor& A, const Tensor& B, bool left, bool check) -> std::vector<Tensor> {
      auto [X, info] = solve_with_info("linalg.solve_ex", A, B, left);
      if (check) check_info("linalg.solve_ex", info, kSingular);
      return {std::move(X), std::move(info)};
    });
TAPEGRAD_OP(
    kLinalg, "linalg_inv(Tensor A, *, Tensor? out=None) -> Tensor",
    R"(Inverse of square matrices. For A^-1 B, linalg.solve(A, B) is faster and more accurate.

Args:
    A: (..., n, n), float32 or float64
    out: a tensor to write the result into

Raises:
    ShapeError: matrices that are not square
    LinAlgError: a singular matrix

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.inv(tg.tensor([[2., 0.], [0., 4.]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]]))",
    &linalg::inv);
TAPEGRAD_OP(
    kLinalg, "linalg_inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)",
    R"(Inverse of square matrices, without an error for singular ones.

Args:
    A: (..., n, n), float32 or float64
    check_errors: raise all the same

Returns:
    the inverse, and info: 0, or the first pivot that is zero

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.inv_ex(tg.zeros(1, 1)).info.item()
    1)",
    +[](const Tensor& A, bool check) { return inverse_with_info("linalg.inv_ex", A, check); });
TAPEGRAD_OP(
    kAll, "inverse(Tensor input, *, Tensor? out=None) -> Tensor",
    R"(Inverse of square matrices; another name of linalg.inv().

Example:
    >>> import tapegrad as tg
    >>> tg.inverse(tg.tensor([[2.]]))
    tensor([[0.5000]]))",
    +[](const Tensor& A) { return inverse_with_info("inverse", A, true)[0]; });
TAPEGRAD_OP(kLinalg, "linalg_det(Tensor A, *, Tensor? out=None) -> Tensor",
            R"(Determinant of square matrices.

The gradient is that of the polynomial: at a singular matrix it is the transposed adjugate.

Args:
    A: (..., n, n), float32 or float64
    out: a tensor to write the result into

Raises:
    ShapeError: matrices that are not square

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.det(tg.tensor([[2., 1.], [1., 3.]]))
    tensor(5.))",
            &linalg::det);
TAPEGRAD_OP(
    kAll, "det(Tensor input) -> Tensor",
    R"(Determinant of square matrices; another name of linalg.det().

Example:
    >>> import tapegrad as tg
    >>> tg.det(tg.tensor([[2.]]))
    tensor(2.))",
    +[](const Tensor& A) { return det_of("det", A); });
TAPEGRAD_OP(kLinalg, "linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)",
            R"(Sign and logarithm of the absolute value of determinants, without overflow.

Args:
    A: (..., n, n), float32 or float64

Returns:
    sign: -1, 0 or 1; logabsdet: -inf for a singular matrix

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.slogdet(tg.tensor([[0., 1.], [1., 0.]])).sign
    tensor(-1.))",
            &linalg::slogdet);
TAPEGRAD_OP(
    kAll, "slogdet(Tensor input) -> (Tensor sign, Tensor logabsdet)",
    R"(Sign and logarithm of determinants; another name of linalg.slogdet().

Example:
    >>> import tapegrad as tg
    >>> tg.slogdet(tg.tensor([[1.]])).logabsdet
    tensor(0.))",
    +[](const Tensor& A) { return sign_and_log("slogdet", A); });
TAPEGRAD_OP(kAll, "logdet(Tensor input) -> Tensor",
            R"(Logarithm of determinants: -inf where the determinant is 0, NaN where it is negative.

Args:
    input: (..., n, n), float32 or float64

Example:
    >>> import tapegrad as tg
    >>> tg.logdet(tg.tensor([[1., 0.], [0., 1.]]))
    tensor(0.))",
            &logdet);

}  // namespace tapegrad
