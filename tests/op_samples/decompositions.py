"""Decompositions, systems and functions of matrices.

Where a result is determined up to signs, or only one triangle of a symmetric matrix is read, the
row tests a function of it that has a definite value and derivative.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg

from op_row import Gen, Op, S, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

REAL = ("float32", "float64")
INF = float("inf")


def library(x: Any) -> Any:
    """tapegrad or torch, whichever made the tensor."""
    return sys.modules[type(x).__module__.split(".")[0]]


def T(a: Any) -> Any:
    return a.transpose(-1, -2) if not isinstance(a, np.ndarray) else np.swapaxes(a, -1, -2)


def sym(a: Any) -> Any:
    return (a + T(a)) * 0.5


def on_symmetric(name: str, pick: Callable[[Any], Any] = lambda x: x) -> Callable[..., Any]:
    """The operation of that name on the symmetric part of its first argument."""

    def call(a: Any, **kwargs: Any) -> Any:
        owner = library(a)
        if name.startswith("linalg_"):
            owner = owner.linalg
        return pick(getattr(owner, name.removeprefix("linalg_"))(sym(a), **kwargs))

    return call


def batched(f: Callable[..., Any], a: np.ndarray, *rest: Any) -> Any:
    """f over the matrices of a stack; its results stacked."""
    flat = a.reshape((-1, *a.shape[-2:]))
    results = [f(m, *rest) for m in flat]
    if isinstance(results[0], tuple):
        return tuple(
            np.stack([r[i] for r in results]).reshape(a.shape[:-2] + results[0][i].shape)
            for i in range(len(results[0]))
        )
    return np.stack(results).reshape(a.shape[:-2] + results[0].shape)


def near_identity(g: Gen, *shape: int) -> np.ndarray:
    n = min(shape[-1], shape[-2])
    return g.normal(*shape) * 0.4 + 1.5 * np.eye(shape[-2], shape[-1]) * (
        1 + np.arange(n)[-1] * 0.1
    )


def positive(g: Gen, *shape: int) -> np.ndarray:
    a = g.normal(*shape)
    return np.asarray(a @ T(a) + np.eye(shape[-1]))


def spread(g: Gen, *shape: int) -> np.ndarray:
    """Symmetric, with eigenvalues that lie apart."""
    q = np.linalg.qr(g.normal(*shape))[0]
    values = np.arange(shape[-1]) * 1.3 - 0.9
    return np.asarray(q * values @ T(q))


def singular_apart(g: Gen, *shape: int) -> np.ndarray:
    u, s, v = np.linalg.svd(g.normal(*shape), full_matrices=False)
    values = 0.7 + 0.9 * np.arange(s.shape[-1])
    return np.asarray(u * values @ v)


def each(
    make: Callable[..., np.ndarray], *shapes: tuple[int, ...], **kwargs: Any
) -> Callable[[Gen], list[Sample]]:
    def samples(g: Gen) -> list[Sample]:
        return [S("x".join(map(str, s)), make(g, *s), **kwargs) for s in shapes]

    return samples


SQUARE: tuple[tuple[int, ...], ...] = ((3, 3), (1, 1), (2, 2, 2))


def empty_or(g: Gen, make: Callable[..., np.ndarray], shapes: Any, **kwargs: Any) -> list[Sample]:
    found = [S("x".join(map(str, s)), make(g, *s), **kwargs) for s in shapes]
    return [
        *found,
        S("empty", g.normal(0, 0), **kwargs),
        S("no-batch", g.normal(0, 2, 2), **kwargs),
    ]


# --- Cholesky and triangular systems --------------------------------------------------------------


def cholesky(a: np.ndarray, upper: bool = False) -> np.ndarray:
    factor = np.linalg.cholesky(sym(a)) if a.size else a
    return np.asarray(T(factor) if upper else factor)


def cholesky_samples(g: Gen) -> list[Sample]:
    found = empty_or(g, positive, SQUARE)
    return [*found, S("upper", positive(g, 3, 3), upper=True)]


def product_solve(b: np.ndarray, factor: np.ndarray, upper: bool = False) -> np.ndarray:
    lower = T(np.triu(factor)) if upper else np.tril(factor)
    return np.asarray(np.linalg.solve(lower @ T(lower), b))


def triangular(
    a: np.ndarray, b: np.ndarray, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> np.ndarray:
    m = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        m = m - m * np.eye(a.shape[-1]) + np.eye(a.shape[-1])
    return np.asarray(np.linalg.solve(m, b) if left else T(np.linalg.solve(T(m), T(b))))


def old_triangular(
    b: Any, a: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    if transpose:
        return triangular(T(a), b, upper=not upper, unitriangular=unitriangular), a
    return triangular(a, b, upper=upper, unitriangular=unitriangular), a


def triangular_samples(g: Gen) -> list[Sample]:
    def a(*s: int) -> np.ndarray:
        return near_identity(g, *s)

    return [
        S("lower", a(3, 3), g.normal(3, 2), upper=False),
        S("upper", a(3, 3), g.normal(3, 1), upper=True),
        S("right", a(3, 3), g.normal(2, 3), upper=True, left=False),
        S("unit", a(3, 3), g.normal(3, 2), upper=False, unitriangular=True),
        S("unit-upper", a(3, 3), g.normal(3, 2), upper=True, unitriangular=True),
        S("batch", a(2, 1, 2, 2), g.normal(2, 2, 1), upper=False),
        S("empty", g.normal(0, 0), g.normal(0, 2), upper=False),
        S("no-right", a(2, 2), g.normal(2, 0), upper=False),
    ]


def cholesky_rows() -> list[Op]:
    flags: dict[str, Any] = {"tol": 400.0, "dtypes": REAL}
    lower = near_identity
    return [
        Op(
            "linalg_cholesky",
            cholesky,
            cholesky_samples,
            fn=on_symmetric("linalg_cholesky"),
            method=False,
            out=True,
            **flags,
        ),
        Op(
            "cholesky",
            cholesky,
            cholesky_samples,
            fn=on_symmetric("cholesky"),
            method=False,
            oracle=False,  # PyTorch's warns that it is deprecated
            **flags,
        ),
        Op(
            "linalg_cholesky_ex",
            lambda a: (cholesky(a), np.zeros(a.shape[:-2], dtype=np.int32)),
            each(positive, (3, 3), (2, 2, 2)),
            fn=on_symmetric("linalg_cholesky_ex"),
            method=False,
            **flags,
        ),
        Op(
            "cholesky_solve",
            product_solve,
            lambda g: [
                S("lower", g.normal(3, 2), lower(g, 3, 3)),
                S("upper", g.normal(2, 1), lower(g, 2, 2), upper=True),
                S("batch", g.normal(2, 2, 1), lower(g, 2, 2)),
            ],
            oracle=False,  # PyTorch's gradient of the factor is not that of one triangle
            **flags,
        ),
        Op(
            "cholesky_inverse",
            lambda a, upper=False: product_solve(np.eye(a.shape[-1]), a, upper),
            lambda g: [S("lower", lower(g, 3, 3)), S("upper", lower(g, 2, 2, 2), upper=True)],
            oracle=False,
            **flags,
        ),
        Op(
            "linalg_solve_triangular",
            triangular,
            triangular_samples,
            method=False,
            out=True,
            **flags,
        ),
        Op(
            "triangular_solve",
            old_triangular,
            lambda g: [
                S("upper", g.normal(3, 2), lower(g, 3, 3)),
                S("lower-transposed", g.normal(2, 2), lower(g, 2, 2), False, True),
                S("unit", g.normal(2, 1), lower(g, 2, 2), unitriangular=True),
            ],
            oracle=False,  # PyTorch's warns that it is deprecated
            **flags,
        ),
    ]


# --- LU, systems, determinants --------------------------------------------------------------------


def lu_packed(a: np.ndarray) -> Any:
    def one(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        packed, pivots = scipy.linalg.lu_factor(m)
        return packed, np.asarray(pivots + 1, dtype=np.int32)

    return batched(one, a)


def lu_with_info(a: np.ndarray) -> Any:
    return (*lu_packed(a), np.zeros(a.shape[:-2], dtype=np.int32))


def lu_solve(lu: np.ndarray, p: np.ndarray, b: np.ndarray, **flags: bool) -> np.ndarray:
    n = lu.shape[-1]
    lower, upper = np.tril(lu, -1) + np.eye(n), np.triu(lu)
    a = lower @ upper
    for i in range(n - 1, -1, -1):
        a[[i, p[i] - 1]] = a[[p[i] - 1, i]]
    if flags.get("adjoint"):
        a = a.T
    if not flags.get("left", True):
        return np.asarray(np.linalg.solve(a.T, b.T).T)
    return np.asarray(np.linalg.solve(a, b))


PIVOTS = np.array([3, 2, 3], dtype=np.int32)


def solve(a: np.ndarray, b: np.ndarray, left: bool = True) -> np.ndarray:
    vector = b.ndim == 1 or b.shape == a.shape[:-1]
    if not left:
        return np.asarray(T(np.linalg.solve(T(a), T(b))))
    return np.asarray(np.linalg.solve(a, b[..., None])[..., 0] if vector else np.linalg.solve(a, b))


def solve_samples(g: Gen) -> list[Sample]:
    def a(*s: int) -> np.ndarray:
        return near_identity(g, *s)

    return [
        S("matrix", a(3, 3), g.normal(3, 2)),
        S("vector", a(3, 3), g.normal(3)),
        S("vectors", a(2, 2, 2), g.normal(2, 2)),
        S("right", a(2, 2), g.normal(3, 2), left=False),
        S("broadcast", a(2, 1, 2, 2), g.normal(2, 2, 1)),
        S("empty", g.normal(0, 0), g.normal(0, 1)),
    ]


def no_info(a: np.ndarray) -> np.ndarray:
    return np.zeros(a.shape[:-2], dtype=np.int32)


def system_rows() -> list[Op]:
    flags: dict[str, Any] = {"tol": 1000.0, "dtypes": REAL}
    loose: dict[str, Any] = {"method": False, **flags}
    rectangular = ((3, 3), (2, 3), (3, 2), (2, 2, 2))
    inverse_samples = lambda g: empty_or(g, near_identity, SQUARE)  # noqa: E731
    return [
        Op("linalg_lu_factor", lu_packed, each(near_identity, *rectangular), **loose),
        Op("linalg_lu_factor_ex", lu_with_info, each(near_identity, *rectangular), **loose),
        Op(
            "linalg_lu",
            lambda a: batched(lambda m: scipy.linalg.lu(m), a),
            each(near_identity, *rectangular),
            **loose,
        ),
        Op(
            "lu_unpack",
            lambda a, p: (
                np.eye(3)[:, [2, 1, 0]],
                np.tril(a, -1) + np.eye(3),
                np.triu(a),
            ),
            lambda g: [S("square", near_identity(g, 3, 3), PIVOTS)],
            **loose,
        ),
        Op(
            "linalg_lu_solve",
            lu_solve,
            lambda g: [
                S("plain", near_identity(g, 3, 3), PIVOTS, g.normal(3, 2)),
                S("adjoint", near_identity(g, 3, 3), PIVOTS, g.normal(3, 2), adjoint=True),
                S("right", near_identity(g, 3, 3), PIVOTS, g.normal(2, 3), left=False),
            ],
            out=True,
            **loose,
        ),
        Op(
            "lu_solve",
            lambda b, lu, p: lu_solve(lu, p, b),
            lambda g: [S("plain", g.normal(3, 2), near_identity(g, 3, 3), PIVOTS)],
            oracle=False,  # PyTorch's warns that it is deprecated
            **flags,
        ),
        Op(
            "linalg_solve",
            solve,
            solve_samples,
            large=lambda g: S("large", near_identity(g, 5, 70, 70), g.normal(5, 70, 7)),
            out=True,
            **loose,
        ),
        Op(
            "linalg_solve_ex",
            lambda a, b: (solve(a, b), no_info(a)),
            lambda g: [S("matrix", near_identity(g, 3, 3), g.normal(3, 2))],
            **loose,
        ),
        Op("linalg_inv", np.linalg.inv, inverse_samples, out=True, **loose),
        Op("inverse", np.linalg.inv, inverse_samples, **flags),
        Op(
            "linalg_inv_ex",
            lambda a: (np.linalg.inv(a), no_info(a)),
            each(near_identity, (3, 3), (2, 2, 2)),
            **loose,
        ),
        Op("linalg_det", np.linalg.det, each(near_identity, *SQUARE), out=True, **loose),
        Op("det", np.linalg.det, each(near_identity, *SQUARE), **flags),
        Op("linalg_slogdet", np.linalg.slogdet, each(near_identity, *SQUARE), **loose),
        Op("slogdet", np.linalg.slogdet, each(near_identity, *SQUARE), **flags),
        Op(
            "logdet",
            lambda a: np.log(np.linalg.det(a)),
            each(positive, *SQUARE),
            **flags,
        ),
    ]


# --- QR, eigenvalues, singular values -------------------------------------------------------------


def qr(a: np.ndarray, mode: str = "reduced") -> Any:
    q, r = batched(lambda m: tuple(np.linalg.qr(m, mode=mode)), a)
    return q, r


def eigen_parts(result: Any) -> Any:
    """Eigenvalues, and the eigenvectors as squares: without their signs."""
    return result[0], result[1] * result[1]


def singular_parts(f: Callable[..., Any], vh: bool = True) -> Callable[..., Any]:
    """S, the squares of the singular vectors, and a product that couples their signs."""

    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        u, s, v = f(a, *args, **kwargs)
        v = v if vh else T(v)
        k = s.shape[-1]
        u, v = u[..., :, :k], v[..., :k, :]
        return s, u * u, v * v, u[..., :, :1] @ v[..., :1, :]

    return call


def least_squares(a: np.ndarray, b: np.ndarray, rcond: Any = None, driver: Any = None) -> Any:
    vector = b.ndim == a.ndim - 1
    x = np.linalg.pinv(a) @ (b[..., None] if vector else b)
    return x[..., 0] if vector else x


def solution(a: Any, b: Any, **kwargs: Any) -> Any:
    return library(a).linalg.lstsq(a, b, **kwargs)[0]


def deficient(g: Gen, *shape: int) -> np.ndarray:
    """Of rank one."""
    return np.asarray(g.normal(*shape[:-1], 1) @ g.normal(*shape[:-2], 1, shape[-1]))


def spectral_rows() -> list[Op]:
    flags: dict[str, Any] = {"tol": 2000.0, "dtypes": REAL, "method": False}
    shapes = ((3, 3), (3, 2), (2, 3), (2, 2, 2))

    def on(name: str) -> Callable[..., Any]:
        def call(a: Any, *args: Any, **kwargs: Any) -> Any:
            owner = library(a).linalg if name.startswith("linalg_") else library(a)
            return getattr(owner, name.removeprefix("linalg_"))(a, *args, **kwargs)

        return call

    return [
        Op(
            "linalg_qr",
            qr,
            lambda g: [
                *each(near_identity, *shapes)(g),
                S("complete", near_identity(g, 2, 3), mode="complete"),
            ],
            **flags,
        ),
        Op(
            "qr",
            qr,
            each(near_identity, (3, 2)),
            oracle=False,  # PyTorch's warns that it is deprecated
            **{**flags, "method": True},
        ),
        Op(
            "linalg_eigh",
            lambda a, UPLO="L": eigen_parts(np.linalg.eigh(sym(a))),
            lambda g: [
                *each(spread, (3, 3), (1, 1), (2, 2, 2))(g),
                S("upper", spread(g, 3, 3), UPLO="U"),
            ],
            fn=on_symmetric("linalg_eigh", eigen_parts),
            **flags,
        ),
        Op(
            "linalg_eigvalsh",
            lambda a: np.linalg.eigvalsh(sym(a)),
            each(spread, (3, 3), (2, 2, 2), (0, 0)),
            fn=on_symmetric("linalg_eigvalsh"),
            **flags,
        ),
        Op(
            "linalg_svd",
            singular_parts(lambda a, full_matrices=True: np.linalg.svd(a, full_matrices)),
            lambda g: [
                *each(singular_apart, *shapes)(g),
                S("thin", singular_apart(g, 2, 4), full_matrices=False),
            ],
            fn=singular_parts(on("linalg_svd")),
            **flags,
        ),
        Op(
            "svd",
            singular_parts(lambda a: np.linalg.svd(a, full_matrices=False)),
            each(singular_apart, (3, 2)),
            fn=singular_parts(on("svd"), vh=False),
            oracle=False,
            **flags,
        ),
        Op(
            "linalg_svdvals",
            lambda a: np.linalg.svd(a, compute_uv=False),
            each(singular_apart, *shapes, (0, 2)),
            out=True,
            **flags,
        ),
        Op(
            "linalg_pinv",
            lambda a, **_: np.linalg.pinv(a, rcond=1e-6),
            lambda g: [
                *each(singular_apart, *shapes)(g),
                S("hermitian", spread(g, 3, 3), hermitian=True),
                S("number", singular_apart(g, 2, 2), rtol=1e-3),
                S("empty", g.normal(0, 2)),
            ],
            fn=lambda a, **k: library(a).linalg.pinv(sym(a) if k.get("hermitian") else a, **k),
            **flags,
        ),
        Op(
            "pinverse",
            lambda a: np.linalg.pinv(a),
            each(singular_apart, (3, 2)),
            **{**flags, "method": True},
        ),
        Op(
            "linalg_matrix_rank",
            lambda a, **_: np.asarray(np.linalg.matrix_rank(a)),
            lambda g: [
                S("full", near_identity(g, 3, 3)),
                S("batch", near_identity(g, 2, 3, 2)),
                S("hermitian", spread(g, 3, 3), hermitian=True),
            ],
            result="int64",
            grad=False,
            **flags,
        ),
        Op(
            "linalg_lstsq",
            least_squares,
            lambda g: [
                S("tall", near_identity(g, 3, 2), g.normal(3, 2)),
                S("wide", near_identity(g, 2, 3), g.normal(2, 1)),
                S("square", near_identity(g, 2, 2), g.normal(2, 1)),
                S("vectors", near_identity(g, 2, 3, 2), g.normal(2, 3)),
            ],
            fn=solution,
            **flags,
        ),
    ]


# --- norms and functions --------------------------------------------------------------------------


def numpy_norm(a: Any, ord: Any = None, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    axis = tuple(dim) if isinstance(dim, (list, tuple)) else dim
    if ord is None and axis is None:
        result = np.asarray(np.sqrt((a * a).sum()))
        return result.reshape((1,) * a.ndim) if keepdim else result
    return np.asarray(np.linalg.norm(a, ord, axis, keepdim))


def matrix_norm(a: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False) -> np.ndarray:
    return numpy_norm(a, ord, dim, keepdim)


def vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    axis = tuple(range(x.ndim)) if dim is None else dim
    size = np.abs(x)
    if ord == INF:
        return np.asarray(size.max(axis, keepdims=keepdim))
    if ord == -INF:
        return np.asarray(size.min(axis, keepdims=keepdim))
    return np.asarray((size**ord).sum(axis, keepdims=keepdim) ** (1 / ord))


def norm_rows() -> list[Op]:
    flags: dict[str, Any] = {"tol": 500.0, "dtypes": REAL, "method": False}
    apart = singular_apart

    def vectors(g: Gen) -> list[Sample]:
        x = g.distinct(2, 3) + 0.05
        return [
            S("plain", x),
            S("one", x, 1, dim=1),
            S("three", x, 3.0, dim=-1, keepdim=True),
            S("half", x, 0.5),
            S("largest", x, INF, dim=0),
            S("smallest", x, -INF, dim=0),
            S("two-dims", x, 2, dim=(0, 1)),
        ]

    def matrices(g: Gen) -> list[Sample]:
        return [S("fro", apart(g, 3, 2))] + [
            S(str(p), apart(g, 3, 2), p, **extra)
            for p, extra in (
                ("nuc", {}),
                (2, {}),
                (-2, {"keepdim": True}),
                (1, {}),
                (-1, {}),
                (INF, {"dim": (1, 0)}),
                (-INF, {"keepdim": True}),
            )
        ]

    def norms(g: Gen) -> list[Sample]:
        return [
            S("all", apart(g, 2, 3)),
            S("vector", g.normal(3), 3),
            S("matrix", apart(g, 2, 3), 2),
            S("dim", g.nonzero(2, 3), 1, dim=1),
            S("dims", apart(g, 2, 3), "nuc", dim=(0, 1)),
            S("kept", apart(g, 2, 3), "fro", keepdim=True),
        ]

    return [
        Op("linalg_vector_norm", vector_norm, vectors, out=True, **flags),
        Op(
            "linalg_matrix_norm",
            matrix_norm,
            matrices,
            out=True,
            **flags,
        ),
        Op("linalg_norm", numpy_norm, norms, out=True, **flags),
        Op(
            "linalg_cond",
            lambda a, p=None: np.asarray(np.linalg.cond(a, p)),
            lambda g: [
                S("default", apart(g, 3, 2)),
                S("smallest", apart(g, 2, 2), -2),
                S("one", apart(g, 2, 2, 2), 1),
                S("fro", apart(g, 3, 3), "fro"),
                S("nuc", apart(g, 3, 3), "nuc"),
                S("inf", apart(g, 3, 3), INF),
            ],
            oracle=False,  # PyTorch's has no second derivative where it needs an inverse
            **flags,
        ),
    ]


def exponential(a: np.ndarray) -> np.ndarray:
    return np.asarray(batched(scipy.linalg.expm, a) if a.size else a)


def power(a: np.ndarray, n: int) -> np.ndarray:
    return np.asarray(np.linalg.matrix_power(a, n))


def function_rows() -> list[Op]:
    flags: dict[str, Any] = {"tol": 1000.0, "dtypes": REAL}
    loose: dict[str, Any] = {"method": False, **flags}

    def exponents(g: Gen) -> list[Sample]:
        scales = {"tiny": 0.004, "small": 0.05, "below-one": 0.3, "one": 0.7, "large": 3.0}
        return [S(name, g.uniform(3, 3) * scale) for name, scale in scales.items()] + [
            S("batch", g.normal(2, 2, 2) * np.array([0.1, 5.0]).reshape(2, 1, 1)),
            S("empty", g.normal(0, 0)),
        ]

    def powers(g: Gen) -> list[Sample]:
        return [
            S(str(n), near_identity(g, *s), n)
            for n, s in ((3, (2, 2)), (0, (2, 2)), (1, (2, 2)), (5, (2, 2, 2)), (-2, (2, 2)))
        ]

    return [
        Op("linalg_matrix_exp", exponential, exponents, **loose),
        Op("matrix_exp", exponential, exponents, **flags),
        Op("linalg_matrix_power", power, powers, out=True, **loose),
        Op("matrix_power", power, powers, **flags),
        Op(
            "linalg_tensorinv",
            lambda a, ind=2: np.linalg.tensorinv(a, ind),
            lambda g: [
                S("one", near_identity(g, 4, 4).reshape(4, 2, 2), ind=1),
                S("two", near_identity(g, 4, 4).reshape(2, 2, 4)),
            ],
            out=True,
            **loose,
        ),
        Op(
            "linalg_tensorsolve",
            lambda a, b, dims=None: np.linalg.tensorsolve(a, b, dims),
            lambda g: [
                S("plain", near_identity(g, 4, 4).reshape(2, 2, 4), g.normal(2, 2)),
                S("moved", near_identity(g, 4, 4).reshape(4, 2, 2), g.normal(2, 2), dims=(0,)),
            ],
            out=True,
            **loose,
        ),
    ]


def rows() -> list[Op]:
    return [
        *cholesky_rows(),
        *system_rows(),
        *spectral_rows(),
        *norm_rows(),
        *function_rows(),
    ]
