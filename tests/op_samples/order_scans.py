"""Running extrema, sets and counts, and writing with a reduction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from op_row import DTYPES, FLOATS, Gen, Op, S, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

WIDE = ("float32", "float64")
NUMERIC = tuple(d for d in DTYPES if d != "bool")


def running(f: Any) -> Callable[..., Any]:
    def call(x: np.ndarray, dim: int) -> Any:
        if np.ndim(x) == 0:
            return x, np.zeros((), np.int64)
        values = f.accumulate(x, axis=dim)
        shape = [1] * x.ndim
        shape[dim] = -1
        places = np.where(x == values, np.arange(x.shape[dim]).reshape(shape), 0)
        return values, np.maximum.accumulate(places, axis=dim)

    return call


def scans(values: str) -> Callable[[Gen], list[Sample]]:
    def samples(g: Gen) -> list[Sample]:
        v = getattr(g, values)
        return [
            S("dim0", v(4, 3), dim=0),
            S("last", v(2, 5), dim=-1),
            S("middle", v(2, 4, 2), dim=1),
            S("0d", v(), dim=0),
            S("empty", np.zeros((2, 0)), dim=1),
        ]

    return samples


def unique(
    x: np.ndarray, return_inverse: bool = False, return_counts: bool = False, **k: Any
) -> Any:
    dim = k.get("dim")
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True, axis=dim)
    inverse = inverse.reshape(x.shape if dim is None else -1)
    asked = [values, *([inverse] * return_inverse), *([counts] * return_counts)]
    return asked[0] if len(asked) == 1 else tuple(asked)


def unique_consecutive(
    x: np.ndarray, return_inverse: bool = False, return_counts: bool = False, dim: Any = None
) -> Any:
    line = x.reshape(-1) if dim is None or x.ndim == 0 else np.moveaxis(x, dim, 0)
    change = (line[1:] != line[:-1]).any(axis=tuple(range(1, line.ndim)))
    first = np.concatenate([[True], change]) if len(line) else np.zeros(0, bool)
    group = np.cumsum(first) - 1
    values = line[first]
    asked = [values if dim is None else np.moveaxis(values, 0, dim)]
    if return_inverse:
        asked.append(group.reshape(x.shape) if dim is None else group)
    if return_counts:
        asked.append(np.bincount(group))
    return asked[0] if len(asked) == 1 else tuple(asked)


def unique_samples(g: Gen) -> list[Sample]:
    x = np.round(g.normal(4, 5))
    slices = np.array([[1.0, 2.0], [0.5, 2.0], [1.0, 2.0], [1.0, -2.0], [1.0, -2.0]])
    return [
        S("values", x),
        S("all", x, return_inverse=True, return_counts=True),
        S("counts", x[0], return_counts=True),
        S("slices", slices, dim=0, return_inverse=True, return_counts=True),
        S("columns", slices.T.copy(), dim=1, return_inverse=True),
        S("0d", g.normal(), return_inverse=True),
        S("none", np.zeros(0)),
    ]


def join(x: np.ndarray, at: Any, src: np.ndarray, reduce: str, include_self: bool) -> np.ndarray:
    """Reduces src[k] into x[at[k]] for every k, where `at` are full coordinates."""
    met: dict[tuple[int, ...], list[float]] = {}
    for place, value in zip(at, src.reshape(-1), strict=True):
        met.setdefault(place, []).append(value)
    f = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}[reduce]
    out = x.copy()
    for place, values in met.items():
        total = f([x[place], *values] if include_self else values)
        out[place] = np.floor(total) if x.dtype.kind in "iu" else total
    return out


def scatter_reduce(
    x: np.ndarray,
    dim: int,
    index: np.ndarray,
    src: np.ndarray,
    reduce: str,
    include_self: bool = True,
) -> Any:
    if x.ndim == 0:
        whole = scatter_reduce(x[None], 0, index[None], src[None], reduce, include_self)
        return whole.reshape(())
    at = []
    for place in np.ndindex(*index.shape):
        moved = list(place)
        moved[dim] = int(index[place])
        at.append(tuple(moved))
    return join(x, at, src, reduce, include_self)


def index_reduce(
    x: np.ndarray,
    dim: int,
    index: np.ndarray,
    src: np.ndarray,
    reduce: str,
    include_self: bool = True,
) -> Any:
    shape = [1] * x.ndim
    shape[dim] = -1
    return scatter_reduce(
        x, dim, np.broadcast_to(index.reshape(shape), src.shape), src, reduce, include_self
    )


def scatter_reduce_samples(g: Gen) -> list[Sample]:
    index = np.array([[0, 1, 0], [2, 1, 0]])
    one_zero = g.nonzero(2, 3)
    one_zero[0, 1] = 0.0
    return [
        *(
            S(
                f"{how}-{'self' if own else 'alone'}",
                g.distinct(3, 3) + 0.05,
                0,
                index,
                g.distinct(2, 3),
                how,
                include_self=own,
            )
            for how in ("sum", "prod", "mean", "amax", "amin")
            for own in (True, False)
        ),
        S("smaller-index", g.distinct(3, 4), 1, index[:, :2].copy(), g.distinct(2, 2), "amax"),
        S("single-zero", g.nonzero(3, 3), 0, index, one_zero, "prod"),
        S("0d", g.normal(), 0, np.array(0), g.normal(), "prod"),
    ]


def index_reduce_samples(g: Gen) -> list[Sample]:
    index = np.array([2, 0, 2])
    return [
        S(
            f"{how}-{'self' if own else 'alone'}",
            g.distinct(3, 2) + 0.05,
            0,
            index,
            g.distinct(3, 2),
            how,
            include_self=own,
        )
        for how in ("prod", "mean", "amax", "amin")
        for own in (True, False)
    ] + [S("dim1", g.distinct(2, 4), 1, np.array([3, 3]), g.distinct(2, 2), "amin")]


def histc(x: np.ndarray, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    if min == max:
        min, max = x.min(), x.max()
    return np.histogram(x, bins, (min, max))[0].astype(np.float64)


def rows() -> list[Op]:
    plain: dict[str, Any] = {"grad": False, "oracle": True}
    return [
        Op("cummax", running(np.maximum), scans("distinct"), dtypes=NUMERIC),
        Op(
            "cummin",
            running(np.minimum),
            scans("distinct"),
            dtypes=NUMERIC,
            large=lambda g: S("large", g.distinct(300, 101), dim=0),
        ),
        Op(
            "logcumsumexp",
            lambda x, dim: np.logaddexp.accumulate(x, axis=dim) if np.ndim(x) else x,
            lambda g: [
                *scans("normal")(g),
                S("large-values", np.array([1000.0, 999.0, -2000.0, 1001.0]), dim=0),
            ],
            dtypes=FLOATS,
            out=True,
            tol=8.0,
            large=lambda g: S("large", g.normal(300, 101), dim=0),
        ),
        Op("unique", unique, unique_samples, **plain),
        Op("unique_consecutive", unique_consecutive, unique_samples, **plain),
        Op(
            "bincount",
            lambda x, weights=None, minlength=0: np.bincount(x, weights, minlength),
            lambda g: [
                S("counts", g.ints(9)),
                S("weights", g.ints(9), g.normal(9)),
                S("minlength", g.ints(4), minlength=8),
                S("none", np.zeros(0, np.int64), minlength=2),
            ],
            grad=False,
            dtypes=WIDE,
            result="int64",
        ),
        Op(
            "histc",
            histc,
            lambda g: [
                S("range", g.normal(4, 5), bins=6, min=-1, max=1),
                S("own-range", g.normal(30), bins=7),
            ],
            grad=False,
            dtypes=WIDE,
            out=True,
        ),
        Op(
            "scatter_reduce",
            scatter_reduce,
            scatter_reduce_samples,
            inplace=True,
            out=True,
            tol=8.0,
            dtypes=(*FLOATS, "int64", "int32"),
            int_range=(-3, 3),
        ),
        Op(
            "index_reduce",
            index_reduce,
            index_reduce_samples,
            inplace=True,
            out=True,
            tol=8.0,
            dtypes=(*FLOATS, "int64", "int32"),
            int_range=(-3, 3),
        ),
    ]
