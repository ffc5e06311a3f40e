"""Differences, integrals, and statistics that are made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import integrate

from op_row import FLOATS, Gen, Op, S, Sample

WIDE = ("float32", "float64")


def trapezoid(y: np.ndarray, x: Any = None, dx: float = 1, dim: int = -1) -> Any:
    return integrate.trapezoid(y, x, dx, dim)


def cumulative_trapezoid(y: np.ndarray, x: Any = None, dx: float = 1, dim: int = -1) -> Any:
    return integrate.cumulative_trapezoid(y, x, dx, dim)


def trapezoid_samples(g: Gen) -> list[Sample]:
    return [
        S("dx", g.normal(3, 4)),
        S("dx-dim", g.normal(3, 4), dx=0.5, dim=0),
        S("points", g.normal(3, 4), np.sort(g.normal(4))),
        S("points-dim0", g.normal(3, 4), np.sort(g.normal(3)), dim=0),
        S("grid", g.normal(3, 4), np.sort(g.normal(3, 4)), dim=1),
        S("line", g.normal(5), g.normal(5)),
    ]


def diff(x: np.ndarray, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    parts = [p for p in (prepend, x, append) if p is not None]
    return np.diff(np.concatenate(parts, axis=dim), n=n, axis=dim)


def gradient(x: np.ndarray, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> Any:
    given = spacing if isinstance(spacing, (tuple, list)) else (spacing,)
    found = np.gradient(x, *given, axis=dim, edge_order=edge_order)
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def cov(
    x: np.ndarray, correction: int = 1, fweights: Any = None, aweights: Any = None
) -> np.ndarray:
    return np.cov(x, ddof=correction, fweights=fweights, aweights=aweights)


def renorm(x: np.ndarray, p: float, dim: int, maxnorm: float) -> np.ndarray:
    axes = tuple(d for d in range(x.ndim) if d != dim % x.ndim)
    size = (np.abs(x) ** p).sum(axis=axes, keepdims=True) ** (1 / p)
    return np.asarray(x * np.where(size > maxnorm, maxnorm / (size + 1e-7), 1))


def dist(x: np.ndarray, y: np.ndarray, p: float = 2) -> Any:
    if p == np.inf:
        return np.abs(x - y).max()
    return (np.abs(x - y) ** p).sum() ** (1 / p)


def rows() -> list[Op]:
    return [
        Op("trapezoid", trapezoid, trapezoid_samples, dtypes=FLOATS, tol=8.0, aliases=("trapz",)),
        Op("cumulative_trapezoid", cumulative_trapezoid, trapezoid_samples, dtypes=FLOATS, tol=8.0),
        Op(
            "diff",
            diff,
            lambda g: [
                S("line", g.normal(5)),
                S("dim0", g.normal(4, 3), dim=0),
                S("twice", g.normal(3, 5), n=2),
                S("none", g.normal(3, 2), n=0),
                S("too-often", g.normal(3, 2), n=4),
                S("ends", g.normal(2, 3), prepend=g.normal(2, 1), append=g.normal(2, 2)),
            ],
            out=True,
            dtypes=(*FLOATS, "int64", "int32", "int16", "int8", "bool"),
        ),
        Op(
            "gradient",
            gradient,
            lambda g: [
                S("line", g.normal(5)),
                S("all", g.normal(3, 4)),
                S("spacing", g.normal(3, 4), spacing=0.5, dim=1),
                S("dims", g.normal(3, 4), dim=(1, 0)),
                S("order2", g.normal(3, 5), edge_order=2),
                S("points", g.normal(5), spacing=(np.array([0.0, 1.0, 1.5, 3.0, 3.25]),)),
                S(
                    "points-order2",
                    g.normal(2, 4),
                    spacing=(np.array([0.0, 1.0, 1.5, 3.0]),),
                    dim=1,
                    edge_order=2,
                ),
            ],
            method=False,
            dtypes=FLOATS,
            tol=8.0,
        ),
        Op(
            "cov",
            cov,
            lambda g: [
                S("matrix", g.normal(3, 6)),
                S("line", g.normal(6)),
                S("population", g.normal(2, 4), correction=0),
                S("repeats", g.normal(2, 4), fweights=np.array([1, 3, 2, 1])),
                S("weights", g.normal(2, 4), aweights=g.positive(4)),
                S("both", g.normal(2, 4), fweights=np.array([1, 3, 2, 1]), aweights=g.positive(4)),
            ],
            dtypes=WIDE,
            tol=16.0,
        ),
        Op(
            "corrcoef",
            np.corrcoef,
            lambda g: [S("matrix", g.normal(3, 6))],
            dtypes=WIDE,
            tol=16.0,
            second=False,
            oracle=False,
        ),
        Op(
            "dist",
            dist,
            lambda g: [
                S("two", g.normal(3, 4), g.normal(3, 4)),
                S("one", g.nonzero(3, 4), np.zeros((3, 4)), 1),
                S("broadcast", g.normal(3, 4), g.normal(4), p=3),
                S("inf", g.distinct(5) + 0.03, np.zeros(5), float("inf")),
            ],
            dtypes=FLOATS,
            tol=8.0,
        ),
        Op(
            "renorm",
            renorm,
            lambda g: [
                S("rows", g.normal(3, 4), 2, 0, 1.0),
                S("columns", g.normal(3, 4), 1, 1, 2.0),
                S("middle", g.normal(2, 3, 2), 3, -2, 0.5),
                S("small", g.normal(2, 2), 2, 0, 100.0),
            ],
            inplace=True,
            out=True,
            dtypes=FLOATS,
            tol=8.0,
        ),
    ]
