// Orthogonal and spectral decompositions: QR, eigenvalues of symmetric matrices, singular values,
// and what is made of them.
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

namespace {

constexpr int kAll = kFunction | kMethod;

// --- QR ------------------------------------------------------------------------------------------

enum class QrMode { kReduced, kComplete, kR };

QrMode qr_mode(std::string_view mode) {
  if (mode == "reduced") return QrMode::kReduced;
  if (mode == "complete") return QrMode::kComplete;
  if (mode == "r") return QrMode::kR;
  throw ValueError(
      core::text("linalg.qr: '", mode, "' is no mode; use 'reduced', 'complete' or 'r'"));
}

struct QrRule : autograd::Rule {
  static constexpr const char* name = "LinalgQr";
  QrMode mode;
  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned) const { return 3; }

  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    const Tensor A = column_major_copy(in[0]);
    const int64_t m = A.size(-2), n = A.size(-1);
    const int64_t k = mode == QrMode::kComplete ? m : std::min(m, n);
    Tensor R = make_column_major(with_sizes(batch_sizes(A), {k, n}), A.dtype());
    const bool vectors = mode != QrMode::kR;
    Tensor Q = vectors ? make_column_major(with_sizes(batch_sizes(A), {m, k}), A.dtype())
                       : empty({0}, A.dtype());
    kernels::LinalgArgs args = matrix_args(A);
    args.q_columns = k;
    args.vectors = vectors;
    if (A.numel() > 0) {
      core::launch(&kernels::qr_factor,
                   {core::out(A), vectors ? core::out(Q) : core::none(), core::out(R)}, args);
    } else if (vectors && Q.numel() > 0) {
      kernels_identity(Q);
    }
    return {std::move(Q), std::move(R)};
  }

  static void kernels_identity(Tensor& Q) { copy_(Q, identity_like(Q)); }

  /// The square or tall case: (gQ + Q sym(triu(gR R^T - Q^T gQ))) R^-T.
  static Tensor tall(const Tensor& Q, const Tensor& R, const Tensor& gQ, const Tensor& gR) {
    Tensor inner;
    if (gR.defined()) inner = matmul(gR, mT(R));
    if (gQ.defined()) {
      const Tensor part = matmul(mT(Q), gQ);
      inner = inner.defined() ? inner - part : -part;
    }
    const Tensor upper = upper_part(inner);
    Tensor total = matmul(Q, upper + mT(upper_part(inner, 1)));
    if (gQ.defined()) total = total + gQ;
    return linalg::solve_triangular(mT(R), total, false, false);
  }

  void pull(Pull& p) const {
    const Tensor gQ = p.grad(0), gR = p.grad(1);
    const Tensor Q = p.output(0), R = p.output(1);
    const int64_t m = p.input_sizes(0)[p.input_sizes(0).size() - 2], n = R.size(-1);
    if (mode == QrMode::kR) {
      throw GradError(
          "linalg.qr: mode='r' has no derivative, because it makes no Q; use "
          "mode='reduced'");
    }
    if (mode == QrMode::kComplete && m > n) {
      throw GradError(core::text("linalg.qr: mode='complete' of matrices with more rows (", m,
                                 ") than columns (", n, ") has no derivative; use mode='reduced'"));
    }
    if (!gQ.defined() && !gR.defined()) return;
    if (n <= m) return p.set(0, tall(Q, R, gQ, gR));
    // A = [X Y], X = Q R1, and R2 = Q^T Y.
    const Tensor R1 = narrow(R, -1, 0, m);
    if (!gR.defined()) {
      const Tensor gX = tall(Q, R1, gQ, Tensor());
      Dims rest(R.sizes());
      rest.back() = n - m;
      return p.set(0, cat(std::vector<Tensor>{gX, zeros(rest, R.dtype())}, -1));
    }
    const Tensor gR2 = narrow(gR, -1, m, n - m), Y = narrow(p.input(0), -1, m, n - m);
    Tensor whole = matmul(Y, mT(gR2));
    if (gQ.defined()) whole = whole + gQ;
    const Tensor gX = tall(Q, R1, whole, narrow(gR, -1, 0, m));
    p.set(0, cat(std::vector<Tensor>{gX, matmul(Q, gR2)}, -1));
  }
};

// --- symmetric eigenvalues -----------------------------------------------------------------------

constexpr const char* kNoConvergence =
    "The algorithm failed to converge because the input matrix is ill-conditioned or has "
    "non-finite values; look for NaN and inf in it";

/// Differences between all pairs, with ones on the diagonal: to divide by.
Tensor pair_differences(const Tensor& values) {
  const Tensor d = unsqueeze(values, -2) - unsqueeze(values, -1);
  return where(diagonal_mask(d), Scalar(1.0), d);
}

struct EighRule : autograd::Rule {
  static constexpr const char* name = "LinalgEigh";
  const char* op;
  bool vectors;
  unsigned saves_outputs(unsigned) const { return 3; }

  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    const Tensor A = column_major_copy(in[0]);
    Tensor values = core::make_tensor(with_sizes(batch_sizes(A), {A.size(-1)}), A.dtype());
    Tensor V = vectors ? make_column_major(A.sizes(), A.dtype()) : empty({0}, A.dtype());
    const Tensor info = zeros(batch_sizes(A), DType::Int32);
    kernels::LinalgArgs args = matrix_args(A);
    args.vectors = vectors;
    if (A.numel() > 0) {
      core::launch(
          &kernels::eigh_solve,
          {core::in(A), core::out(values), vectors ? core::out(V) : core::none(), core::out(info)},
          args);
    }
    check_info(op, info, kNoConvergence);
    return {std::move(values), std::move(V)};
  }

  void pull(Pull& p) const {
    const Tensor &gL = p.grad(0), &gV = p.grad(1);
    if (!gL.defined() && !gV.defined()) return;
    const Tensor values = p.output(0), V = p.output(1);
    if (!gV.defined()) return p.set(0, matmul(V * unsqueeze(gL, -2), mT(V)));
    Tensor inner = matmul(mT(V), gV) / pair_differences(values);
    const Tensor on = gL.defined() ? unsqueeze(gL, -2) : zeros_like(unsqueeze(values, -2));
    inner = where(diagonal_mask(inner), on, inner);
    p.set(0, matmul(V, matmul(inner, mT(V))));
  }
};

std::vector<Tensor> symmetric_eigen(const char* op, const Tensor& A, std::string_view uplo,
                                    bool vectors) {
  require_square(op, A);
  const char triangle = uplo.size() == 1 ? uplo[0] : '?';
  const bool upper = triangle == 'U' || triangle == 'u';
  if (!upper && triangle != 'L' && triangle != 'l')
    throw ValueError(core::text(op, ": UPLO must be 'L' or 'U', got '", uplo, "'"));
  return autograd::enter(EighRule{{}, op, vectors}, upper ? mT(A) : A);
}

// --- singular values -----------------------------------------------------------------------------

/// X - X^T.
Tensor skew(const Tensor& X) { return X - mT(X); }

struct SvdRule : autograd::Rule {
  static constexpr const char* name = "LinalgSvd";
  const char* op;
  bool vectors, full;
  unsigned saves_outputs(unsigned) const { return 7; }

  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    const Tensor A = column_major_copy(in[0]);
    const Dims batch = batch_sizes(A);
    kernels::LinalgArgs args = matrix_args(A);
    const int64_t m = args.rows, n = args.columns, k = std::min(m, n);
    args.vectors = vectors;
    args.q_columns = full ? m : k;
    args.v_columns = full ? n : k;
    Tensor S = core::make_tensor(with_sizes(batch, {k}), A.dtype());
    Tensor U = empty({0}, A.dtype()), V = U;
    if (vectors) {
      U = make_column_major(with_sizes(batch, {m, args.q_columns}), A.dtype());
      V = make_column_major(with_sizes(batch, {n, args.v_columns}), A.dtype());
    }
    const Tensor info = zeros(batch, DType::Int32);
    if (A.numel() > 0) {
      core::launch(&kernels::svd_solve,
                   {core::in(A), vectors ? core::out(U) : core::none(), core::out(S),
                    vectors ? core::out(V) : core::none(), core::out(info)},
                   args);
    } else if (vectors) {
      copy_(U, identity_like(U));
      copy_(V, identity_like(V));
    }
    check_info(op, info, kNoConvergence);
    return {std::move(U), std::move(S), vectors ? mT(V) : V};
  }

  void pull(Pull& p) const {
    const Tensor S = p.output(1);
    const int64_t k = S.size(-1);
    // Columns of a full basis beyond the k-th have no derivative of their own.
    const auto thin = [&](const Tensor& t, int64_t dim) {
      return t.defined() ? narrow(t, dim, 0, k) : t;
    };
    const Tensor U = thin(p.output(0), -1), Vh = thin(p.output(2), -2);
    const Tensor gU = thin(p.grad(0), -1), gVh = thin(p.grad(2), -2);
    const Tensor& gS = p.grad(1);
    if (!gU.defined() && !gVh.defined()) {
      if (gS.defined()) p.set(0, matmul(U * unsqueeze(gS, -2), Vh));
      return;
    }
    const Tensor row = unsqueeze(S, -2), column = unsqueeze(S, -1);
    const Tensor gaps = pair_differences(square(S));
    Tensor inner = gS.defined() ? diagonal_matrix(gS) : Tensor();
    const auto include = [](Tensor& total, const Tensor& part) {
      total = total.defined() ? total + part : part;
    };
    if (gU.defined()) include(inner, skew(matmul(mT(U), gU)) / gaps * row);
    if (gVh.defined()) include(inner, column * (skew(matmul(Vh, mT(gVh))) / gaps));
    Tensor left = matmul(U, inner);
    if (gU.defined() && U.size(-2) > k) left = left + (gU - matmul(U, matmul(mT(U), gU))) / row;
    Tensor total = matmul(left, Vh);
    if (gVh.defined() && Vh.size(-1) > k) {
      const Tensor rest = (gVh - matmul(matmul(gVh, mT(Vh)), Vh)) / column;
      total = total + matmul(U, rest);
    }
    p.set(0, total);
  }
};

std::vector<Tensor> singular(const char* op, const Tensor& A, bool vectors, bool full) {
  require_matrices(op, A);
  return autograd::enter(SvdRule{{}, op, vectors, full}, A);
}

}  // namespace

namespace linalg {

std::vector<Tensor> qr(const Tensor& A, std::string_view mode) {
  require_matrices("linalg.qr", A);
  return autograd::enter(QrRule{{}, qr_mode(mode)}, A);
}

std::vector<Tensor> eigh(const Tensor& A, std::string_view UPLO) {
  return symmetric_eigen("linalg.eigh", A, UPLO, true);
}
Tensor eigvalsh(const Tensor& A, std::string_view UPLO) {
  return symmetric_eigen("linalg.eigvalsh", A, UPLO, is_watched({&A}))[0];
}

std::vector<Tensor> svd(const Tensor& A, bool full_matrices) {
  return singular("linalg.svd", A, true, full_matrices);
}
Tensor svdvals(const Tensor& A) {
  return singular("linalg.svdvals", A, is_watched({&A}), false)[1];
}

}  // namespace linalg

// --- what is made of them ------------------------------------------------------------------------

namespace {

double epsilon_of(DType dtype) {
  return dtype == DType::Float64 ? std::numeric_limits<double>::epsilon()
                                 : static_cast<double>(std::numeric_limits<float>::epsilon());
}

/// The smallest singular value that counts, for each matrix: max(atol, rtol * largest).
Tensor threshold(const Tensor& A, const Tensor& largest, const Tensor& atol, const Tensor& rtol) {
  const Scalar usual(epsilon_of(A.dtype()) * static_cast<double>(std::max(A.size(-1), A.size(-2))));
  Tensor relative;
  if (rtol.defined()) {
    relative = largest * rtol;
  } else if (!atol.defined()) {
    relative = largest * usual;
  } else {  // rtol is 0 where atol is given and positive
    relative = where(gt(atol, Scalar(0)), Scalar(0.0), largest * usual);
  }
  return unsqueeze(atol.defined() ? maximum(to(atol, A.dtype()), relative) : relative, -1);
}

Tensor largest_of(const Tensor& magnitudes) {
  if (magnitudes.size(-1) > 0) return amax(magnitudes, {-1});
  return zeros(IntSpan(magnitudes.sizes().data(), magnitudes.sizes().size() - 1),
               magnitudes.dtype());
}

struct PinvRule : autograd::Rule {
  static constexpr const char* name = "LinalgPinv";
  bool hermitian;
  unsigned saves_inputs(unsigned) const { return 1; }
  unsigned saves_outputs(unsigned) const { return 1; }

  // Inputs: A, and the tolerances (0-d or batch).
  Tensor batch(const autograd::Batch& b) const {
    const int64_t stack = b.seen(0).dim() - 2;
    return autograd::enter(*this, b.front(0), b.aligned(1, stack), b.aligned(2, stack));
  }
  Tensor forward(Inputs in) const {
    const Tensor& A = in[0];
    if (A.numel() == 0)
      return zeros(with_sizes(batch_sizes(A), {A.size(-1), A.size(-2)}), A.dtype());
    const Tensor &atol = in[1], &rtol = in[2];
    const auto inverted = [&](const Tensor& values) {
      const Tensor size = abs(values);
      const Tensor kept = gt(size, threshold(A, largest_of(size), atol, rtol));
      return unsqueeze(where(kept, reciprocal(values), Scalar(0.0)), -2);
    };
    if (hermitian) {
      const std::vector<Tensor> f = linalg::eigh(A);
      return matmul(f[1] * inverted(f[0]), mT(f[1]));
    }
    const std::vector<Tensor> f = linalg::svd(A, false);
    return matmul(mT(f[2]) * inverted(f[1]), mT(f[0]));
  }

  // Golub and Pereyra's derivative of the pseudo-inverse at constant rank.
  void pull(Pull& p) const {
    const Tensor A = p.input(0), P = p.output();
    const Tensor g = mT(p.grad()), Pt = mT(P);
    if (A.size(-2) <= A.size(-1)) {
      const Tensor K = matmul(g, P), KPt = matmul(K, Pt);
      p.set(0, KPt - mT(matmul(P, K)) - matmul(matmul(A, P), KPt) +
                   matmul(matmul(Pt, P), g - matmul(K, A)));
    } else {
      const Tensor K = matmul(P, g), PtK = matmul(Pt, K);
      p.set(0, PtK - mT(matmul(K, P)) + matmul(matmul(g - matmul(A, K), P), Pt) -
                   matmul(matmul(PtK, P), A));
    }
  }
};

Tensor as_tolerance(std::optional<double> value, const Tensor& A) {
  return value ? full({}, Scalar(*value), A.dtype()) : Tensor();
}

Tensor pinv_of(const char* op, const Tensor& A, const Tensor& atol, const Tensor& rtol,
               bool hermitian) {
  hermitian ? require_square(op, A) : require_matrices(op, A);
  // Tolerances as tensors, so that the rule has its inputs whatever was given.
  const Tensor absolute = atol.defined() ? atol.detach() : full({}, Scalar(0.0), A.dtype());
  Tensor relative = rtol.defined() ? rtol.detach() : Tensor();
  if (!relative.defined()) {
    const Scalar usual(epsilon_of(A.dtype()) *
                       static_cast<double>(std::max(A.size(-1), A.size(-2))));
    relative = where(gt(absolute, Scalar(0)), Scalar(0.0), full({}, usual, A.dtype()));
  }
  return autograd::enter(PinvRule{{}, hermitian}, A, absolute, relative);
}

Tensor rank_of(const Tensor& A, const Tensor& atol, const Tensor& rtol, bool hermitian) {
  constexpr const char* op = "linalg.matrix_rank";
  hermitian ? require_square(op, A) : require_matrices(op, A);
  const Tensor plain = A.detach();
  const Tensor S = hermitian ? abs(linalg::eigvalsh(plain)) : linalg::svdvals(plain);
  return sum(gt(S, threshold(A, largest_of(S), atol, rtol)), {-1});
}

// --- least squares -------------------------------------------------------------------------------

/// The solution of least norm and the rank.
struct LstsqRule : autograd::Rule {
  static constexpr const char* name = "LinalgLstsq";
  double rcond;
  unsigned saves_inputs(unsigned) const { return 3; }

  static constexpr bool leading = true;
  std::vector<Tensor> forward(Inputs in) const {
    const Tensor A = column_major_copy(in[0]), B = column_major_copy(in[1]);
    kernels::LinalgArgs args = matrix_args(A);
    args.right = B.size(-1);
    args.rcond = rcond;
    Tensor X = make_column_major(with_sizes(batch_sizes(A), {args.columns, args.right}), A.dtype());
    Tensor rank = zeros(batch_sizes(A), DType::Int64);
    if (A.numel() > 0) {
      core::launch(&kernels::least_squares,
                   {core::in(A), core::in(B), core::out(X), core::out(rank)}, args);
    } else {
      zero_(X);
    }
    return {std::move(X), std::move(rank)};
  }

  // X = pinv(A) B.
  void pull(Pull& p) const {
    const Tensor& g = p.grad(0);
    if (!g.defined()) return;
    const Tensor A = p.input(0), B = p.input(1);
    const Tensor tolerance = full({}, Scalar(rcond), A.dtype());
    const Tensor P = pinv_of("linalg.lstsq", A, Tensor(), tolerance, false);
    const Tensor Pt = mT(P), gB = matmul(Pt, g);
    if (p.needs(1)) p.set(1, gB);
    if (!p.needs(0)) return;
    // <g, dP B> with dP of the pseudo-inverse.
    const Tensor X = matmul(P, B), residual = B - matmul(A, X);
    const Tensor null = g - matmul(mT(A), gB);
    p.set(0, -matmul(gB, mT(X)) + matmul(residual, mT(matmul(P, gB))) +
                 matmul(matmul(Pt, X), mT(null)));
  }
};

std::vector<Tensor> lstsq(const Tensor& A, const Tensor& B, std::optional<double> rcond,
                          std::optional<std::string_view> driver) {
  constexpr const char* op = "linalg.lstsq";
  require_matrices(op, A);
  require_same_dtype(op, A, B);
  const std::string_view how = driver.value_or("gelsy");
  if (how != "gels" && how != "gelsy" && how != "gelsd" && how != "gelss") {
    throw ValueError(core::text(op,
                                ": parameter `driver` should be one of 'gels', 'gelsy', "
                                "'gelsd', 'gelss', got '",
                                how, "'"));
  }
  const bool vector = B.dim() + 1 == A.dim();
  const Tensor right = vector ? unsqueeze(B, -1) : B;
  if (right.dim() < 2 || right.size(-2) != A.size(-2)) {
    throw ShapeError(core::text(op, ": input.size(-2) should match other.size(-2), got shapes ",
                                shape_string(A.sizes()), " and ", shape_string(B.sizes())));
  }
  const auto [a, b] = broadcast_batches(op, A, right);
  const int64_t m = A.size(-2), n = A.size(-1);
  const double usual = epsilon_of(A.dtype()) * static_cast<double>(std::max(m, n));
  std::vector<Tensor> found = autograd::enter(LstsqRule{{}, rcond.value_or(usual)}, a, b);
  const Tensor none = empty({0}, A.dtype());
  Tensor residuals = none, S = none;
  const bool full_rank = m > n && !autograd::any_below(ne(found[1], Scalar(n)));
  if (full_rank && how != "gelsy") residuals = sum(square(matmul(a, found[0]) - b), {-2});
  if (how == "gelsd" || how == "gelss") S = linalg::svdvals(a.detach());
  Tensor X = vector ? squeeze(found[0], OptionalInts(-1)) : found[0];
  return {X, residuals, how == "gels" ? empty({0}, DType::Int64) : found[1], S};
}

}  // namespace

namespace linalg {

Tensor pinv(const Tensor& A, const Tensor& atol, const Tensor& rtol, bool hermitian) {
  return pinv_of("linalg.pinv", A, atol, rtol, hermitian);
}
Tensor matrix_rank(const Tensor& A, const Tensor& atol, const Tensor& rtol, bool hermitian) {
  return rank_of(A, atol, rtol, hermitian);
}

}  // namespace linalg

TAPEGRAD_OP(kLinalg, "linalg_qr(Tensor A, str mode='reduced') -> (Tensor Q, Tensor R)",
            R"(QR decomposition: A = Q R with orthonormal columns of Q and upper triangular R.

The derivative exists for matrices whose first min(m, n) columns are independent, and not for mode
'r', nor for 'complete' when there are more rows than columns.

Args:
    A: (..., m, n), float32 or float64
    mode: 'reduced' (Q is (..., m, k) with k the smaller of m and n), 'complete' (Q is (..., m, m)),
        or 'r' (Q is empty)

Raises:
    DTypeError: other dtypes
    ArgumentError: an unknown mode

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.qr(tg.tensor([[3., 1.], [4., 2.]])).R.abs()
    tensor([[5.0000, 2.2000],
            [0.0000, 0.4000]]))",
            &linalg::qr);
TAPEGRAD_OP(
    kAll, "qr(Tensor input, bool some=True) -> (Tensor Q, Tensor R)",
    R"(QR decomposition; the older form of linalg.qr().

Args:
    input: (..., m, n)
    some: mode 'reduced'; 'complete' when False

Example:
    >>> import tapegrad as tg
    >>> tg.qr(tg.tensor([[3.], [4.]])).R.abs()
    tensor([[5.]]))",
    +[](const Tensor& A, bool some) { return linalg::qr(A, some ? "reduced" : "complete"); });
TAPEGRAD_OP(kLinalg,
            "linalg_eigh(Tensor A, str UPLO='L') -> (Tensor eigenvalues, Tensor eigenvectors)",
            R"(Eigenvalues, ascending, and eigenvectors of symmetric matrices.

Eigenvectors are determined up to their sign, and where eigenvalues are equal up to a rotation: a
function that depends on these choices has no meaningful gradient. It is infinite or NaN at equal
eigenvalues when the eigenvectors are used.

Args:
    A: (..., n, n), float32 or float64
    UPLO: the triangle that is read: 'L' or 'U'

Returns:
    eigenvalues (..., n), and eigenvectors (..., n, n) as columns

Raises:
    LinAlgError: no convergence, NaN or infinities

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.eigh(tg.tensor([[2., 0.], [0., 1.]])).eigenvalues
    tensor([1., 2.]))",
            &linalg::eigh);
TAPEGRAD_OP(kLinalg, "linalg_eigvalsh(Tensor A, str UPLO='L', *, Tensor? out=None) -> Tensor",
            R"(Eigenvalues of symmetric matrices, ascending.

Args:
    A: (..., n, n), float32 or float64
    UPLO: the triangle that is read: 'L' or 'U'
    out: a tensor to write the result into

Raises:
    LinAlgError: no convergence, NaN or infinities

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.eigvalsh(tg.tensor([[2., 0.], [0., 1.]]))
    tensor([1., 2.]))",
            &linalg::eigvalsh);
TAPEGRAD_OP(
    kLinalg,
    "linalg_svd(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, "
    "Tensor Vh)",
    R"(Singular value decomposition: A = U diag(S) Vh.

Singular vectors are determined up to a common sign, and where singular values are equal up to a
rotation: a function that depends on these choices has no meaningful gradient.

Args:
    A: (..., m, n), float32 or float64
    full_matrices: U is (..., m, m) and Vh (..., n, n); else (..., m, k) and (..., k, n) with k the
        smaller of m and n
    driver: ignored

Returns:
    U, S (descending), Vh

Raises:
    LinAlgError: no convergence, NaN or infinities

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.svd(tg.tensor([[3., 0.], [0., -4.]])).S
    tensor([4., 3.]))",
    +[](const Tensor& A, bool full, std::optional<std::string_view>) {
      return linalg::svd(A, full);
    });
TAPEGRAD_OP(
    kAll,
    "svd(Tensor input, bool some=True, bool compute_uv=True) -> (Tensor U, Tensor S, Tensor "
    "V)",
    R"(Singular value decomposition A = U diag(S) V^T; the older form of linalg.svd().

Args:
    input: (..., m, n)
    some: only as many singular vectors as singular values
    compute_uv: False gives zeros for U and V

Example:
    >>> import tapegrad as tg
    >>> tg.svd(tg.tensor([[3., 0.], [0., -4.]])).S
    tensor([4., 3.]))",
    +[](const Tensor& A, bool some, bool compute_uv) -> std::vector<Tensor> {
      if (!compute_uv) {
        const int64_t m = A.size(-2), n = A.size(-1);
        return {zeros(with_sizes(batch_sizes(A), {m, m}), A.dtype()), linalg::svdvals(A),
                zeros(with_sizes(batch_sizes(A), {n, n}), A.dtype())};
      }
      std::vector<Tensor> f = linalg::svd(A, !some);
      f[2] = mT(f[2]);
      return f;
    });
TAPEGRAD_OP(
    kLinalg, "linalg_svdvals(Tensor A, *, str? driver=None, Tensor? out=None) -> Tensor",
    R"(Singular values, descending.

Args:
    A: (..., m, n), float32 or float64
    driver: ignored
    out: a tensor to write the result into

Raises:
    LinAlgError: no convergence, NaN or infinities

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.svdvals(tg.tensor([[3., 0.], [0., -4.]]))
    tensor([4., 3.]))",
    +[](const Tensor& A, std::optional<std::string_view>) { return linalg::svdvals(A); });

#define TAPEGRAD_TOLERANCES_                                                                      \
  "Args:\n    A: (..., m, n), float32 or float64\n    atol: singular values up to this count as " \
  "zero; a number or a tensor\n    rtol: the same, relative to the largest; max(m, n) times the " \
  "dtype's epsilon when neither is\n        given\n    hermitian: take A as symmetric\n    out: " \
  "a "                                                                                            \
  "tensor to write the result into\n\nExample:\n    >>> import tapegrad as tg\n    "

TAPEGRAD_OP(kLinalg,
            "linalg_pinv(Tensor A, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False, "
            "Tensor? out=None) -> Tensor",
            "Pseudo-inverse (Moore and Penrose's) of matrices.\n\nThe derivative holds where the "
            "rank is constant.\n\n" TAPEGRAD_TOLERANCES_
            ">>> tg.linalg.pinv(tg.tensor([[2.], [0.]]))\n    tensor([[0.5000, 0.0000]])",
            &linalg::pinv);
TAPEGRAD_OP(
    kLinalg,
    "linalg_pinv(Tensor A, *, float? atol=None, float? rtol=None, bool hermitian=False, "
    "Tensor? out=None) -> Tensor",
    "",
    +[](const Tensor& A, std::optional<double> atol, std::optional<double> rtol, bool hermitian) {
      return linalg::pinv(A, as_tolerance(atol, A), as_tolerance(rtol, A), hermitian);
    });
TAPEGRAD_OP(
    kLinalg,
    "linalg_pinv(Tensor A, float rcond, bool hermitian=False, *, Tensor? out=None) -> "
    "Tensor",
    "", +[](const Tensor& A, double rcond, bool hermitian) {
      return linalg::pinv(A, Tensor(), as_tolerance(rcond, A), hermitian);
    });
TAPEGRAD_OP(
    kAll, "pinverse(Tensor input, float rcond=1e-15) -> Tensor",
    R"(Pseudo-inverse; the older form of linalg.pinv().

Args:
    input: (..., m, n)
    rcond: singular values up to this times the largest count as zero

Example:
    >>> import tapegrad as tg
    >>> tg.pinverse(tg.tensor([[2.]]))
    tensor([[0.5000]]))",
    +[](const Tensor& A, double rcond) {
      return pinv_of("pinverse", A, Tensor(), as_tolerance(rcond, A), false);
    });
TAPEGRAD_OP(kLinalg,
            "linalg_matrix_rank(Tensor A, *, Tensor? atol=None, Tensor? rtol=None, bool "
            "hermitian=False, Tensor? out=None) -> Tensor",
            "Rank of matrices: how many singular values are above a "
            "tolerance.\n\n" TAPEGRAD_TOLERANCES_
            ">>> tg.linalg.matrix_rank(tg.tensor([[1., 2.], [2., 4.]]))\n    tensor(1)",
            &linalg::matrix_rank);
TAPEGRAD_OP(
    kLinalg,
    "linalg_matrix_rank(Tensor A, *, float? atol=None, float? rtol=None, bool "
    "hermitian=False, Tensor? out=None) -> Tensor",
    "",
    +[](const Tensor& A, std::optional<double> atol, std::optional<double> rtol, bool hermitian) {
      return linalg::matrix_rank(A, as_tolerance(atol, A), as_tolerance(rtol, A), hermitian);
    });
TAPEGRAD_OP(
    kLinalg,
    "linalg_matrix_rank(Tensor A, float tol, bool hermitian=False, *, Tensor? out=None) -> "
    "Tensor",
    "", +[](const Tensor& A, double tol, bool hermitian) {
      return linalg::matrix_rank(A, as_tolerance(tol, A), as_tolerance(0.0, A), hermitian);
    });
#undef TAPEGRAD_TOLERANCES_
TAPEGRAD_OP(
    kLinalg,
    "linalg_lstsq(Tensor input, Tensor b, float? rcond=None, *, str? driver=None) -> (Tensor "
    "solution, Tensor residuals, Tensor rank, Tensor singular_values)",
    R"(Least squares: the X for which |A X - B| is smallest, and of several the one of least norm.

All drivers use a complete orthogonal decomposition; they differ in what they report.

Args:
    input: A, (..., m, n), float32 or float64
    b: B, (..., m, k), or vectors (..., m); batch dimensions broadcast
    rcond: pivots up to this times the largest count as zero; max(m, n) times the dtype's epsilon
        when absent
    driver: 'gelsy' (the default), 'gels', 'gelsd' or 'gelss'

Returns:
    solution; residuals: the squared residuals, for m > n and full rank (not for 'gelsy'); rank (not
    for 'gels'); singular_values (for 'gelsd' and 'gelss'). What is not computed is empty

Raises:
    ShapeError: sizes that do not fit

Example:
    >>> import tapegrad as tg
    >>> tg.linalg.lstsq(tg.tensor([[1.], [1.]]), tg.tensor([[1.], [3.]])).solution.round(decimals=3)
    tensor([[2.]]))",
    &lstsq);

}  // namespace tapegrad
