"""Order and order statistics: sort, topk, kthvalue, median, mode, quantile, searchsorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from op_row import DTYPES, FLOATS, Gen, Op, S, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

NUMERIC = tuple(d for d in DTYPES if d != "bool")
WIDE = ("float32", "float64")


def order(x: np.ndarray, dim: int, descending: bool) -> np.ndarray:
    """Stable argsort along dim: of NumPy, from the back where it descends."""
    x = np.atleast_1d(x)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    n = x.shape[dim]
    found = np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)
    return np.asarray(n - 1 - found)


def sort(x: np.ndarray, dim: int = -1, descending: bool = False, **_: Any) -> Any:
    at = order(x, dim, descending).reshape(np.shape(x))
    if np.ndim(x) == 0:
        return x, at
    return np.take_along_axis(x, at, dim), at


def topk(x: np.ndarray, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    values, at = sort(x, dim, largest)
    if np.ndim(x) == 0:
        return values, at
    first = range(k)
    return values.take(first, axis=dim), at.take(first, axis=dim)


def at_rank(x: np.ndarray, k: Any, dim: int, keepdim: bool) -> Any:
    values, at = sort(x, dim)
    if np.ndim(x) == 0:
        return values, at
    places = np.expand_dims(np.broadcast_to(k, np.delete(x.shape, dim)), dim)
    picked = [np.take_along_axis(a, places, dim) for a in (values, at)]
    return tuple(p if keepdim else p.squeeze(dim) for p in picked)


def kthvalue(x: np.ndarray, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    return at_rank(x, k - 1, dim, keepdim)


def median(x: np.ndarray, dim: int | None = None, keepdim: bool = False) -> Any:
    if dim is None:
        return np.sort(x.reshape(-1))[(x.size - 1) // 2]
    n = x.shape[dim] if x.ndim else 1
    return at_rank(x, (n - 1) // 2, dim, keepdim)


def nanmedian(x: np.ndarray, dim: int | None = None, keepdim: bool = False) -> Any:
    if dim is None:
        return median(x[~np.isnan(x)])
    numbers = (~np.isnan(x)).sum(axis=dim)
    return at_rank(x, np.maximum(numbers - 1, 0) // 2, dim, keepdim)


def mode(x: np.ndarray, dim: int = -1, keepdim: bool = False) -> Any:
    def one(row: np.ndarray) -> np.ndarray:
        values, counts = np.unique(row, return_counts=True)
        best = values[counts.argmax()]
        return np.array([best, np.flatnonzero(row == best)[-1]], dtype=np.float64)

    found = np.apply_along_axis(one, dim, x)
    value, at = np.split(found, 2, axis=dim)
    if not keepdim:
        value, at = value.squeeze(dim), at.squeeze(dim)
    return value.astype(x.dtype), at.astype(np.int64)


def quantile(f: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        x: np.ndarray,
        q: Any,
        dim: int | None = None,
        keepdim: bool = False,
        interpolation: str = "linear",
    ) -> Any:
        return f(x, q, axis=dim, keepdims=keepdim, method=interpolation)

    return call


def quantile_samples(g: Gen) -> list[Sample]:
    q = np.array([0.2, 0.55, 0.9])
    return [
        S("all", g.distinct(3, 4), 0.3),
        S("dim", g.distinct(3, 4), q, dim=1),
        S("dim0-keepdim", g.distinct(4, 3), q, dim=0, keepdim=True),
        S("keepdim-all", g.distinct(2, 3), 0.7, keepdim=True),
        S("lower", g.distinct(3, 4), q, dim=1, interpolation="lower"),
        S("higher", g.distinct(3, 4), 0.45, dim=0, interpolation="higher"),
        S("nearest", g.distinct(7), q, interpolation="nearest"),
        S("midpoint", g.distinct(3, 4), q, dim=1, interpolation="midpoint"),
        S("1d", g.distinct(7), q),
    ]


def nan_samples(g: Gen) -> list[Sample]:
    x = g.distinct(3, 5)
    x[0, 1] = x[2, 2] = x[2, 3] = np.nan
    return [S("all", x), S("dim", x, dim=1), S("keepdim", x[:, :3], dim=0, keepdim=True)]


def nan_quantile_samples(g: Gen) -> list[Sample]:
    x = g.distinct(3, 5)
    x[0, 1] = x[2, 2] = x[2, 3] = np.nan
    return [
        S("dim", x, 0.3, dim=1),
        S("several", x, np.array([0.1, 0.6]), dim=1, keepdim=True),
        S("all", x, 0.5),
    ]


def sort_samples(g: Gen) -> list[Sample]:
    return [
        S("1d", g.distinct(7)),
        S("dim0", g.distinct(4, 3), dim=0),
        S("middle-descending", g.distinct(2, 4, 2), dim=1, descending=True),
        S("stable", g.distinct(3, 4), stable=True),
        S("0d", g.normal()),
        S("empty", np.zeros((0, 3)), dim=0),
        S("empty-rest", np.zeros((0, 3)), dim=1),
    ]


def search_samples(g: Gen) -> list[Sample]:
    line = np.sort(g.normal(6))
    lines = np.sort(g.normal(2, 5), axis=-1)
    return [
        S("line", line, g.normal(3, 4)),
        S("right", np.array([1.0, 2.0, 2.0, 3.0]), np.array([2.0, 0.0, 5.0]), right=True),
        S("left", np.array([1.0, 2.0, 2.0, 3.0]), np.array([2.0, 0.0, 5.0]), side="left"),
        S("int32", line, g.normal(9), out_int32=True),
        S("lines", lines, g.normal(2, 20)),
        S("empty", np.zeros(0), g.normal(3)),
        S("none", line, np.zeros((0, 2))),
    ]


def searchsorted(
    line: np.ndarray,
    x: np.ndarray,
    right: bool = False,
    side: str | None = None,
    out_int32: bool = False,
) -> Any:
    how: Any = side or ("right" if right else "left")
    if line.ndim == 1:
        return np.searchsorted(line, x, how)
    return np.stack([np.searchsorted(a, b, how) for a, b in zip(line, x, strict=True)])


def bucketize(x: np.ndarray, line: np.ndarray, right: bool = False, out_int32: bool = False) -> Any:
    return np.searchsorted(line, x, "right" if right else "left")


def rows() -> list[Op]:
    index: dict[str, Any] = {"result": "int64", "grad": False}
    return [
        Op("sort", sort, sort_samples, large=lambda g: S("large", g.distinct(300, 101), dim=0)),
        Op(
            "argsort",
            lambda x, **k: sort(x, **k)[1],
            sort_samples,
            large=lambda g: S("large", g.distinct(200000)),
            **index,
        ),
        Op("msort", lambda x: np.sort(x, axis=0), lambda g: [S("2d", g.distinct(4, 3))], out=True),
        Op(
            "topk",
            topk,
            lambda g: [
                S("1d", g.distinct(7), 3),
                S("dim0-least", g.distinct(4, 3), 2, dim=0, largest=False),
                S("all", g.distinct(2, 4), 4, dim=-1),
                S("none", g.distinct(2, 4), 0, dim=-1),
                S("0d", g.normal(), 1),
            ],
            dtypes=NUMERIC,
            int_range=(-100, 100),
            large=lambda g: S("large", g.distinct(3, 20000), 100),
        ),
        Op(
            "kthvalue",
            kthvalue,
            lambda g: [
                S("1d", g.distinct(7), 3),
                S("dim0", g.distinct(4, 3), 2, dim=0),
                S("keepdim", g.distinct(2, 4, 2), 4, dim=1, keepdim=True),
                S("0d", g.normal(), 1),
            ],
            dtypes=NUMERIC,
            int_range=(-100, 100),
            large=lambda g: S("large", g.distinct(3, 20000), 7000),
        ),
        Op(
            "median",
            median,
            lambda g: [
                S("all", g.distinct(3, 4)),
                S("dim", g.distinct(3, 5), dim=1),
                S("keepdim", g.distinct(2, 4, 2), dim=-2, keepdim=True),
                S("0d", g.normal()),
                S("0d-dim", g.normal(), dim=0),
            ],
            dtypes=NUMERIC,
            large=lambda g: S("large", g.distinct(2000, 21), dim=1),
        ),
        Op("nanmedian", nanmedian, nan_samples, dtypes=FLOATS, second=False),
        Op(
            "mode",
            mode,
            lambda g: [
                S("unique", g.distinct(7)),
                S("keepdim", g.distinct(3, 4), dim=0, keepdim=True),
            ],
            dtypes=("float64", "float32", "int64", "uint8"),
        ),
        Op("quantile", quantile(np.quantile), quantile_samples, dtypes=WIDE, out=True, tol=8.0),
        Op(
            "nanquantile",
            quantile(np.nanquantile),
            nan_quantile_samples,
            dtypes=WIDE,
            second=False,
            out=True,
            tol=8.0,
        ),
        Op(
            "searchsorted",
            searchsorted,
            search_samples,
            method=False,
            out=True,
            large=lambda g: S("large", np.sort(g.normal(100)), g.normal(9000)),
            **index,
        ),
        Op(
            "bucketize",
            bucketize,
            lambda g: [
                S("line", g.normal(3, 4), np.sort(g.normal(6))),
                S("right", np.array([2.0, 0.0, 5.0]), np.array([1.0, 2.0, 3.0]), right=True),
            ],
            method=False,
            out=True,
            **index,
        ),
    ]
