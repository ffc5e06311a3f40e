"""Contractions and products composed of others: einsum, tensordot, kron, cross, cdist."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_row import DTYPES, FLOATS, Gen, Op, S, Sample

NUMERIC = tuple(d for d in DTYPES if d != "bool")
REAL = ("float32", "float64")


def reference_einsum(*args: Any) -> np.ndarray:
    if len(args) == 2 and isinstance(args[1], list):
        args = (args[0], *args[1])
    return np.asarray(np.einsum(*args))


def einsum_samples(g: Gen) -> list[Sample]:
    equations: dict[str, tuple[tuple[int, ...], ...]] = {
        "ij,jk->ik": ((2, 3), (3, 2)),
        "ij,jk": ((2, 3), (3, 2)),
        "ba,cb": ((2, 3), (2, 2)),
        "i,j->ij": ((2,), (3,)),
        "i,i->": ((3,), (3,)),
        "i,i->i": ((3,), (3,)),
        "bij,bjk->bik": ((2, 2, 3), (2, 3, 2)),
        "bij,bkj->kbi": ((2, 2, 3), (2, 2, 3)),
        "...ij,...jk->...ik": ((2, 2, 3), (3, 2)),
        "...i,...i->...": ((2, 1, 3), (4, 3)),
        "i...,j": ((2, 3), (2,)),
        "ii->i": ((3, 3),),
        "ii": ((3, 3),),
        "iij->ji": ((2, 2, 3),),
        "ijk->kj": ((2, 2, 3),),
        "ij->": ((2, 3),),
        "ij,ij->j": ((1, 3), (2, 3)),
        "ij,jk->ik ": ((2, 1), (3, 2)),
        "bn,anm,bm->ba": ((2, 2), (2, 2, 3), (2, 3)),
        "ij,kj,lk,l": ((2, 2), (3, 2), (2, 3), (2,)),
        "a,b,c->cab": ((2,), (1,), (2,)),
        ", i->i": ((), (2,)),
        "ij,jk->k": ((0, 3), (3, 2)),
    }
    return [
        S(text.replace(" ", "_"), text.replace(" ", ""), *[g.normal(*s) for s in shapes])
        for text, shapes in equations.items()
    ] + [
        S("sublists", g.normal(2, 3), [0, 1], g.normal(3, 2), [1, 2], [0, 2]),
        S("sublist-ellipsis", g.normal(2, 3), [..., 1], g.normal(3), [1], [...]),
        S("list", "ij,j->i", [g.normal(2, 3), g.normal(3)]),
    ]


def reference_tensordot(a: Any, b: Any, dims: Any = 2) -> np.ndarray:
    return np.asarray(np.tensordot(a, b, axes=dims))


def tensordot_samples(g: Gen) -> list[Sample]:
    return [
        S("one", g.normal(2, 3), g.normal(3, 2), dims=1),
        S("two", g.normal(2, 2, 3), g.normal(2, 3, 1)),
        S("none", g.normal(2), g.normal(3), dims=0),
        S("lists", g.normal(2, 3, 2), g.normal(2, 2, 3), dims=([1, 0], [2, 1])),
        S("negative", g.normal(2, 3), g.normal(2, 3), dims=([-1], [-1])),
        S("empty", g.normal(2, 0), g.normal(0, 2), dims=1),
    ]


def cross(a: Any, b: Any, dim: int = -1) -> np.ndarray:
    a, b = np.broadcast_arrays(a, b)
    return np.asarray(np.cross(a, b, axis=dim))


def distances(x: Any, y: Any, p: float = 2.0, compute_mode: str = "") -> np.ndarray:
    d = np.abs(x[..., :, None, :] - y[..., None, :, :])
    if p == 0:
        return np.asarray((d != 0).sum(-1), dtype=d.dtype)
    if p == np.inf:
        return np.asarray(d.max(-1, initial=0.0))
    return np.asarray((d**p).sum(-1) ** (1 / p))


def cdist_samples(g: Gen) -> list[Sample]:
    def pair(*lead: int) -> tuple[np.ndarray, np.ndarray]:
        return g.distinct(*lead, 3, 2), g.distinct(2, 2) + 0.05

    by_products = "use_mm_for_euclid_dist"
    return [
        S("euclid", *pair()),
        S("batch", *pair(2)),
        S("products", *pair(), compute_mode=by_products),
        S("taxi", *pair(), 1.0),
        S("largest", *pair(), p=float("inf")),
        S("cubic", *pair(), p=3.0),
        S("below-one", *pair(), p=0.5),
        S("one-and-a-half", *pair(2), p=1.5),
        S("no-rows", g.normal(0, 2), g.normal(2, 2)),
        S("no-depth", g.normal(2, 0), g.normal(2, 0), p=1.0),
    ]


def multi_dot(arrays: list[np.ndarray]) -> np.ndarray:
    result = arrays[0]
    for array in arrays[1:]:
        result = result @ array
    return np.asarray(result)


def chain(g: Gen, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [g.normal(*s) for s in shapes]


def linalg_rows() -> list[Op]:
    """The names of torch.linalg among the products."""
    tol: dict[str, Any] = {"tol": 32.0, "method": False}
    return [
        Op(
            "linalg_matmul",
            np.matmul,
            lambda g: [S("plain", g.normal(2, 3), g.normal(3, 2))],
            dtypes=NUMERIC,
            **tol,
        ),
        Op(
            "linalg_diagonal",
            lambda a, offset=0, dim1=-2, dim2=-1: np.diagonal(a, offset, dim1, dim2),
            lambda g: [
                S("plain", g.normal(2, 3, 3)),
                S("offset", g.normal(3, 3, 2), offset=1, dim1=0, dim2=1),
            ],
            method=False,
            view=True,
        ),
        Op(
            "linalg_cross",
            cross,
            lambda g: [
                S("last", g.normal(2, 3), g.normal(2, 3)),
                S("first", g.normal(3, 2), g.normal(3, 1), dim=0),
            ],
            out=True,
            dtypes=NUMERIC,
            **tol,
        ),
        Op(
            "linalg_vecdot",
            lambda x, y, dim=-1: np.asarray((x * y).sum(dim)),
            lambda g: [
                S("last", g.normal(2, 3), g.normal(2, 3)),
                S("broadcast", g.normal(2, 3), g.normal(3)),
                S("first", g.normal(3, 2), g.normal(3, 2), dim=0),
                S("empty", g.normal(2, 0), g.normal(2, 0)),
            ],
            out=True,
            dtypes=FLOATS,
            **tol,
        ),
        Op(
            "linalg_multi_dot",
            multi_dot,
            lambda g: [
                S("three", chain(g, (2, 3), (3, 1), (1, 2))),
                S("vectors", chain(g, (2,), (2, 3), (3, 2), (2,))),
                S("row", chain(g, (3,), (3, 2))),
                S("four", chain(g, (1, 2), (2, 2), (2, 2), (2, 2))),
            ],
            dtypes=FLOATS,
            out=True,
            **tol,
        ),
        Op(
            "linalg_vander",
            lambda x, N=None: x[..., None] ** np.arange(x.shape[-1] if N is None else N),
            lambda g: [
                S("square", g.normal(3)),
                S("more", g.normal(2, 2), N=4),
                S("zero", np.array([0.0, 1.5])),
            ],
            dtypes=FLOATS,
            **tol,
        ),
    ]


def rows() -> list[Op]:
    tol: dict[str, Any] = {"tol": 32.0}
    return [
        Op(
            "einsum",
            reference_einsum,
            einsum_samples,
            dtypes=FLOATS,
            method=False,
            **tol,
        ),
        Op(
            "tensordot",
            reference_tensordot,
            tensordot_samples,
            dtypes=FLOATS,
            method=False,
            out=True,
            **tol,
        ),
        Op(
            "chain_matmul",
            lambda *arrays: multi_dot(list(arrays)),
            lambda g: [S("three", *chain(g, (2, 3), (3, 1), (1, 2))), S("one", g.normal(2, 2))],
            dtypes=FLOATS,
            method=False,
            oracle=False,  # PyTorch's warns that it is deprecated
            **tol,
        ),
        Op(
            "trace",
            lambda a: np.asarray(np.trace(a)),
            lambda g: [S("square", g.normal(3, 3)), S("wide", g.normal(2, 3))],
            result="sum",
            dtypes=NUMERIC,
        ),
        Op(
            "kron",
            np.kron,
            lambda g: [
                S("vectors", g.normal(2), g.normal(3)),
                S("matrices", g.normal(2, 2), g.normal(2, 1)),
                S("fewer", g.normal(2), g.normal(2, 2)),
                S("scalar", g.normal(), g.normal(2)),
                S("empty", g.normal(0, 2), g.normal(2, 1)),
            ],
            out=True,
            dtypes=NUMERIC,
        ),
        Op(
            "cross",
            cross,
            lambda g: [
                S("vectors", g.normal(3), g.normal(3), dim=0),
                S("rows", g.normal(2, 3), g.normal(2, 3), dim=1),
                S("columns", g.normal(3, 2), g.normal(3, 2), dim=-2),
                S("broadcast", g.normal(2, 3), g.normal(1, 3), dim=-1),
                S("empty", g.normal(0, 3), g.normal(0, 3), dim=1),
            ],
            out=True,
            dtypes=NUMERIC,
            **tol,
        ),
        Op(
            "cdist",
            distances,
            cdist_samples,
            dtypes=REAL,
            method=False,
            oracle=False,  # PyTorch's has no second derivative; compared in test_linalg.py
            large=lambda g: S("large", g.normal(150, 20), g.normal(300, 20), 1.0),
            **tol,
        ),
        *linalg_rows(),
    ]
