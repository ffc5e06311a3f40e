"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_row import DTYPES, FLOATS, Gen, Op, S, Sample

NUMERIC = tuple(d for d in DTYPES if d != "bool")


def matmul_samples(g: Gen) -> list[Sample]:
    shapes = {
        "1d-1d": ((3,), (3,)),
        "1d-2d": ((3,), (3, 2)),
        "2d-1d": ((2, 3), (3,)),
        "2d-2d": ((2, 3), (3, 4)),
        "1d-3d": ((3,), (2, 3, 2)),
        "3d-1d": ((2, 2, 3), (3,)),
        "3d-2d": ((2, 2, 3), (3, 2)),
        "2d-3d": ((2, 3), (2, 3, 2)),
        "3d-3d": ((2, 2, 3), (2, 3, 2)),
        "batch-broadcast": ((2, 1, 2, 3), (3, 3, 1)),
        "batch-one": ((1, 2, 3), (4, 3, 2)),
        "row-column": ((1, 4), (4, 1)),
        "inner-zero": ((2, 0), (0, 3)),
        "outer-zero": ((0, 3), (3, 2)),
        "batch-zero": ((0, 2, 3), (3, 2)),
    }
    return [S(name, g.normal(*a), g.normal(*b)) for name, (a, b) in shapes.items()]


def pair(*shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> Any:
    def samples(g: Gen) -> list[Sample]:
        return [
            S("x".join(map(str, a)) + "-" + "x".join(map(str, b)), g.normal(*a), g.normal(*b))
            for a, b in shapes
        ]

    return samples


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    y = x @ w.T
    return y if b is None else y + b


def addmm(c: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> np.ndarray:
    product = alpha * (a @ b)
    return product if beta == 0 else beta * c + product


def fused(product: Any) -> Any:
    """beta * c + alpha * product(a, b); c is not read where beta is 0."""

    def call(c: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> np.ndarray:
        scaled = alpha * product(a, b)
        return np.asarray(scaled if beta == 0 else beta * c + scaled)

    return call


def fused_rows() -> list[Op]:
    flags: dict[str, Any] = {"tol": 16.0, "dtypes": FLOATS}
    shapes: dict[str, Any] = {
        "addmv": (np.matmul, ((2,), (2, 3), (3,))),
        "addr": (np.outer, ((2, 3), (2,), (3,))),
        "baddbmm": (np.matmul, ((2, 2, 2), (2, 2, 3), (2, 3, 2))),
        "addbmm": (lambda a, b: (a @ b).sum(0), ((2, 2), (3, 2, 2), (3, 2, 2))),
    }

    def samples(c: Any, a: Any, b: Any) -> Any:
        return lambda g: [
            S("plain", g.normal(*c), g.normal(*a), g.normal(*b)),
            S("scaled", g.normal(*c), g.normal(*a), g.normal(*b), beta=0.5, alpha=2.0),
            S("no-beta", g.normal(*c), g.normal(*a), g.normal(*b), beta=0),
        ]

    return [Op(name, fused(f), samples(*s), **flags) for name, (f, s) in shapes.items()]


def rows() -> list[Op]:
    tol: dict[str, Any] = {"tol": 16.0, "dtypes": NUMERIC}
    return [
        Op(
            "matmul",
            np.matmul,
            matmul_samples,
            out=True,
            large=lambda g: S("large", g.normal(193, 130), g.normal(130, 257)),
            **tol,
        ),
        Op(
            "mm",
            np.matmul,
            pair(((2, 3), (3, 4)), ((1, 5), (5, 1)), ((2, 0), (0, 2))),
            out=True,
            large=lambda g: S("large", g.normal(512, 64), g.normal(64, 128)),
            **tol,
        ),
        Op(
            "bmm",
            np.matmul,
            pair(((2, 2, 3), (2, 3, 2)), ((1, 1, 4), (1, 4, 2)), ((0, 2, 3), (0, 3, 2))),
            out=True,
            large=lambda g: S("large", g.normal(16, 33, 65), g.normal(16, 65, 31)),
            **tol,
        ),
        Op(
            "mv",
            np.matmul,
            pair(((2, 3), (3,)), ((0, 3), (3,))),
            large=lambda g: S("large", g.normal(512, 513), g.normal(513)),
            **tol,
        ),
        Op(
            "dot",
            np.dot,
            pair(((3,), (3,)), ((41,), (41,)), ((0,), (0,))),
            large=lambda g: S("large", g.normal(300001), g.normal(300001)),
            **tol,
        ),
        Op("vdot", np.dot, pair(((3,), (3,)), ((0,), (0,))), **tol),
        Op("inner", np.inner, pair(((3,), (3,)), ((2, 3), (4, 3)), ((2, 2, 3), (3,))), **tol),
        *fused_rows(),
        Op("outer", np.outer, pair(((3,), (2,)), ((0,), (2,))), aliases=("ger",)),
        Op(
            "addmm",
            addmm,
            lambda g: [
                S("plain", g.normal(2, 4), g.normal(2, 3), g.normal(3, 4)),
                S("row", g.normal(4), g.normal(2, 3), g.normal(3, 4)),
                S("column", g.normal(2, 1), g.normal(2, 3), g.normal(3, 4)),
                S("scaled", g.normal(2, 2), g.normal(2, 3), g.normal(3, 2), beta=0.5, alpha=2.0),
                S("inner-zero", g.normal(2, 2), g.normal(2, 0), g.normal(0, 2)),
            ],
            large=lambda g: S("large", g.normal(128), g.normal(512, 64), g.normal(64, 128)),
            tol=16.0,
            dtypes=FLOATS,
            out=True,
        ),
        Op(
            "linear",
            linear,
            lambda g: [
                S("bias", g.normal(2, 3), g.normal(4, 3), g.normal(4)),
                S("no-bias", g.normal(2, 3), g.normal(4, 3)),
                S("vector", g.normal(3), g.normal(2, 3), g.normal(2)),
                S("batch", g.normal(2, 2, 3), g.normal(2, 3), g.normal(2)),
                S("empty", g.normal(0, 3), g.normal(2, 3), g.normal(2)),
            ],
            large=lambda g: S("large", g.normal(256, 200), g.normal(130, 200), g.normal(130)),
            tol=16.0,
            dtypes=FLOATS,
            method=False,
        ),
    ]
