"""Reductions and scans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp

from op_row import DTYPES, FLOATS, Gen, Op, S, Sample

Values = Callable[..., np.ndarray]
NUMERIC = tuple(d for d in DTYPES if d != "bool")

NOT_UINT8 = tuple(d for d in DTYPES if d != "uint8")  # any and all keep uint8, as in PyTorch


def axis_of(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, list) else dim


def over(f: Callable[..., Any]) -> Callable[..., Any]:
    """A reference with PyTorch's names (dim, keepdim) from one with NumPy's (axis, keepdims)."""

    def call(x: np.ndarray, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Any:
        if isinstance(dim, (list, tuple)) and len(dim) == 0:
            dim = None
        return f(x, axis=axis_of(dim), keepdims=keepdim, **kwargs)

    return call


def reductions(
    values: str = "normal", multi: bool = True, empty: bool = True, **fixed: Any
) -> Callable[[Gen], list[Sample]]:
    def samples(g: Gen) -> list[Sample]:
        v: Values = getattr(g, values)
        out = [
            S("all", v(3, 4), **fixed),
            S("dim0", v(3, 4), dim=0, **fixed),
            S("dim-last", v(2, 3, 2), dim=-1, **fixed),
            S("middle-keepdim", v(2, 3, 2), dim=1, keepdim=True, **fixed),
            S("0d", v(), **fixed),
            S("1d-dim", v(5), dim=0, **fixed),
            S("long", v(41), dim=0, **fixed),
        ]
        if multi:
            out += [
                S("two-dims", v(2, 3, 2), dim=(0, 2), **fixed),
                S("two-dims-keepdim", v(2, 3, 2), dim=(-1, 1), keepdim=True, **fixed),
            ]
        if empty:
            out += [S("empty-dim", np.zeros((2, 0)), dim=1, **fixed)]
        out += [S("empty-rest", np.zeros((0, 3)), dim=1, **fixed)]
        return out

    return samples


def large(values: str = "normal", **kwargs: Any) -> Callable[[Gen], Sample]:
    return lambda g: S("large", getattr(g, values)(257, 1031), **kwargs)


def spread(power: float) -> Callable[..., Any]:
    def call(
        x: np.ndarray,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Any:
        ddof = correction if correction is not None else int(unbiased)
        with np.errstate(all="ignore"):
            axis = axis_of(dim)
            mean = x.mean(axis=axis, keepdims=True)
            n = x.size // max(mean.size, 1)
            total = ((x - mean) ** 2).sum(axis=axis, keepdims=keepdim)
            return (total / max(n - ddof, 0)) ** power

    return call


def spread_samples(g: Gen) -> list[Sample]:
    return [
        S("all", g.normal(3, 4)),
        S("dim0", g.normal(3, 4), dim=0),
        S("two-dims", g.normal(2, 3, 2), dim=(0, 2), keepdim=True),
        S("biased", g.normal(2, 5), dim=1, unbiased=False),
        S("correction0", g.normal(2, 5), dim=1, correction=0),
        S("correction2", g.normal(2, 5), dim=-1, correction=2),
        S("shifted", g.normal(6) + 1e4, dim=0),
    ]


def norm(x: np.ndarray, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    axis = axis_of(dim)
    a = np.abs(x)
    if p == "fro":
        p = 2
    if p == np.inf:
        return a.max(axis=axis, keepdims=keepdim)
    if p == -np.inf:
        return a.min(axis=axis, keepdims=keepdim)
    if p == 0:
        return (a != 0).sum(axis=axis, keepdims=keepdim).astype(np.float64)
    return (a**p).sum(axis=axis, keepdims=keepdim) ** (1 / p)


def norm_samples(g: Gen) -> list[Sample]:
    return [
        S("all", g.normal(3, 4)),
        S("fro", g.normal(3, 4), p="fro"),
        S("dim", g.normal(3, 4), dim=1),
        S("keepdim", g.normal(2, 3, 2), 2, dim=(0, 2), keepdim=True),
        S("p1", g.nonzero(3, 4), p=1, dim=0),
        S("p3", g.nonzero(3, 4), p=3, dim=0),
        S("p2.5", g.nonzero(5), p=2.5),
        S("inf", g.distinct(3, 3) + 0.03, p=float("inf"), dim=1),
        S("-inf", g.distinct(3, 3) + 0.03, p=float("-inf"), dim=1),
        S("0d", g.normal()),
        S("empty-rest", np.zeros((0, 3)), dim=1),
    ]


def extremum(reduce: Any, arg: Any, pair: Any) -> Callable[..., Any]:
    """max and min: everything, along a dim with indices, or elementwise with a second tensor."""

    def call(x: np.ndarray, other: Any = None, dim: Any = None, keepdim: bool = False) -> Any:
        if other is not None:
            return pair(x, other)
        if dim is None:
            return reduce(x)
        return reduce(x, axis=dim, keepdims=keepdim), arg(x, axis=dim, keepdims=keepdim)

    return call


def extremum_samples(g: Gen) -> list[Sample]:
    return [
        S("all", g.distinct(3, 4)),
        S("dim", g.distinct(3, 4), dim=1),
        S("keepdim", g.distinct(2, 3, 2), dim=-2, keepdim=True),
        S("0d", g.normal()),
        S("0d-dim", g.normal(), dim=0),
        S("binary", g.distinct(3, 4), g.distinct(4) + 0.05),
        S("empty-rest", np.zeros((0, 3)), dim=1),
    ]


def arg_ref(f: Any) -> Callable[..., Any]:
    def call(x: np.ndarray, dim: Any = None, keepdim: bool = False) -> Any:
        return f(x, axis=dim, keepdims=keepdim)

    return call


def arg_samples(g: Gen) -> list[Sample]:
    return [
        S("all", g.distinct(3, 4)),
        S("dim", g.distinct(3, 4), dim=1),
        S("keepdim", g.distinct(2, 3, 2), dim=0, keepdim=True),
        S("0d", g.normal()),
        S("ties", np.array([1.0, 3.0, 3.0, 0.5])),
    ]


def logsumexp(x: np.ndarray, dim: Any, keepdim: bool = False) -> Any:
    return sp.logsumexp(x, axis=axis_of(dim), keepdims=keepdim)


def bool_samples(g: Gen) -> list[Sample]:
    def v(*shape: int) -> np.ndarray:
        return np.where(g.bools(*shape), g.nonzero(*shape), 0.0)

    return [
        S("all", v(3, 4)),
        S("dim", v(3, 4), dim=1),
        S("keepdim", v(2, 3, 2), dim=0, keepdim=True),
        S("zeros", np.zeros((2, 3)), dim=0),
        S("ones", np.ones((2, 3)), dim=0),
        S("empty", np.zeros((0,))),
        S("empty-dim", np.zeros((2, 0)), dim=1),
    ]


def prod_samples(g: Gen) -> list[Sample]:
    one_zero = g.nonzero(2, 4)
    one_zero[0, 2] = 0.0
    two_zeros = one_zero.copy()
    two_zeros[0, 3] = 0.0
    return [
        *reductions("nonzero", multi=False)(g)[:-1],
        S("one-zero", one_zero, dim=1),
        S("two-zeros", two_zeros, dim=1),
        S("one-zero-all", one_zero[0]),
        S("empty-rest", np.zeros((0, 3)), dim=1),
    ]


def with_nans(g: Gen) -> list[Sample]:
    x = g.normal(3, 4)
    x[0, 1] = x[2, 2] = np.nan
    return [S("all", x), S("dim", x, dim=1), S("keepdim", x, dim=0, keepdim=True)]


def pair(power: float) -> Callable[..., Any]:
    f = spread(power)

    def call(x: np.ndarray, dim: Any = None, unbiased: bool = True, **kwargs: Any) -> Any:
        mean = x.mean(axis=axis_of(dim), keepdims=kwargs.get("keepdim", False))
        return f(x, dim, unbiased, **kwargs), mean

    return call


def later_rows() -> list[Op]:
    spread_flags: dict[str, Any] = {"dtypes": FLOATS, "tol": 16.0, "method": False}
    return [
        Op("std_mean", pair(0.5), spread_samples, **spread_flags),
        Op("var_mean", pair(1.0), spread_samples, **spread_flags),
        Op(
            "aminmax",
            lambda x, *, dim=None, keepdim=False: (
                x.min(axis=dim, keepdims=keepdim),
                x.max(axis=dim, keepdims=keepdim),
            ),
            lambda g: [
                S("all", g.distinct(3, 4)),
                S("dim", g.distinct(3, 4), dim=1),
                S("keepdim", g.distinct(2, 3, 2), dim=-2, keepdim=True),
            ],
        ),
        Op(
            "count_nonzero",
            lambda x, dim=None: np.count_nonzero(x, axis=axis_of(dim)),
            lambda g: [S("all", np.sign(g.normal(3, 4)) + 1), S("dim", np.eye(3), dim=1)],
            result="int64",
            grad=False,
        ),
        Op("nansum", over(np.nansum), with_nans, dtypes=FLOATS, second=False),
        Op("nanmean", over(np.nanmean), with_nans, dtypes=FLOATS, second=False),
        Op(
            "cumprod",
            lambda x, dim: np.cumprod(x, axis=dim),
            lambda g: [
                S("dim0", g.nonzero(3, 4), dim=0),
                S("last", g.nonzero(2, 3), dim=-1),
                S("zero", np.array([2.0, 0.0, 3.0, 1.5]), dim=0),
                S("two-zeros", np.array([2.0, 0.0, 3.0, 0.0, 1.5]), dim=0),
            ],
            result="sum",
            tol=16.0,
        ),
    ]


def rows() -> list[Op]:
    both: dict[str, Any] = {"out": False}
    return [
        *later_rows(),
        Op("sum", over(np.sum), reductions(), result="sum", large=large(dim=1), **both),
        Op("mean", over(np.mean), reductions(empty=False), dtypes=FLOATS, large=large(dim=0)),
        Op(
            "prod",
            over(np.prod),
            prod_samples,
            result="sum",
            tol=8.0,
            large=large("nonzero", dim=1),
        ),
        Op("var", spread(1.0), spread_samples, dtypes=FLOATS, tol=16.0, large=large(dim=1)),
        Op("std", spread(0.5), spread_samples, dtypes=FLOATS, tol=16.0, large=large(dim=0)),
        Op("amax", over(np.max), reductions("distinct", empty=False), large=large("distinct")),
        Op("amin", over(np.min), reductions("distinct", empty=False), large=large("distinct")),
        Op(
            "max",
            extremum(np.max, np.argmax, np.maximum),
            extremum_samples,
            large=large("distinct", dim=1),
        ),
        Op(
            "min",
            extremum(np.min, np.argmin, np.minimum),
            extremum_samples,
            large=large("distinct", dim=0),
        ),
        Op(
            "argmax",
            arg_ref(np.argmax),
            arg_samples,
            result="int64",
            grad=False,
            dtypes=NUMERIC,
            large=large(),
        ),
        Op(
            "argmin",
            arg_ref(np.argmin),
            arg_samples,
            result="int64",
            grad=False,
            dtypes=NUMERIC,
            large=large(),
        ),
        Op(
            "any",
            over(np.any),
            bool_samples,
            result="bool",
            grad=False,
            dtypes=NOT_UINT8,
            large=large(dim=1),
        ),
        Op(
            "all",
            over(np.all),
            bool_samples,
            result="bool",
            grad=False,
            dtypes=NOT_UINT8,
            large=large(dim=1),
        ),
        Op("norm", norm, norm_samples, dtypes=FLOATS, tol=8.0, large=large(dim=1)),
        Op(
            "logsumexp",
            logsumexp,
            lambda g: [
                S("dim", g.normal(3, 4), dim=1),
                S("keepdim", g.normal(2, 3, 2), dim=(0, 2), keepdim=True),
                S("large-values", np.array([[1000.0, 999.0, 0.0]]), dim=1),
                S("0d", g.normal(), dim=0),
                S("empty-rest", np.zeros((0, 3)), dim=1),
            ],
            dtypes=FLOATS,
            tol=8.0,
            large=large(dim=1),
        ),
        Op(
            "cumsum",
            lambda x, dim: np.cumsum(x, axis=dim),
            lambda g: [
                S("dim0", g.normal(3, 4), dim=0),
                S("dim-last", g.normal(2, 3, 2), dim=-1),
                S("1d", g.normal(7), dim=0),
                S("empty", np.zeros((2, 0)), dim=1),
            ],
            result="sum",
            tol=8.0,
            large=large(dim=1),
        ),
    ]
