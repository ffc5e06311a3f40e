"""Padding, embeddings and similarities."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_row import Op, S

Array = np.ndarray
MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(x: Array, pads: Any, mode: str = "constant", value: float | None = None) -> Array:
    pairs = [(0, 0)] * (x.ndim - len(pads) // 2)
    pairs += [(pads[i], pads[i + 1]) for i in range(len(pads) - 2, -1, -2)]
    cuts = tuple(
        slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pairs, x.shape, strict=True)
    )
    grown = [(max(0, a), max(0, b)) for a, b in pairs]
    if mode != "constant":
        return np.pad(x[cuts], grown, mode=MODES[mode])  # type: ignore[call-overload, no-any-return]
    return np.pad(x[cuts], grown, constant_values=x.dtype.type(value or 0))


def unit(x: Array, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Array:
    length = (np.abs(x) ** p).sum(dim, keepdims=True) ** (1 / p)
    return x / np.maximum(length, eps)


def cosine(a: Array, b: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    a, b = np.broadcast_arrays(a, b)
    return (unit(a, 2, dim, eps) * unit(b, 2, dim, eps)).sum(dim)


def distance(a: Array, b: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    return (np.abs(a - b + eps) ** p).sum(-1, keepdims=keepdim) ** (1 / p)


def rows() -> list[Op]:
    floats = ("float16", "bfloat16", "float32", "float64")
    return [
        Op(
            "pad",
            pad,
            lambda g: [
                S("constant", g.normal(2, 3), (1, 2), value=1.5),
                S("cut", g.normal(3, 4), (-1, 2, 0, -1)),
                S("all-cut", g.normal(2, 3), (-2, -1)),
                S("reflect", g.normal(2, 2, 4), (2, 1), "reflect"),
                S("reflect-2d", g.normal(1, 2, 3, 3), (1, 2, 2, 0), "reflect"),
                S("replicate", g.normal(2, 3), (2, 1), "replicate"),
                S("circular", g.normal(2, 2, 3), (3, 1), "circular"),
                S("3d", g.normal(1, 2, 2, 3), (1, 1, 1, 0, 0, 1), "replicate"),
            ],
            method=False,
            int_range=(0, 5),
            dtype_sample="cut",
        ),
        Op(
            "normalize",
            unit,
            lambda g: [
                S("rows", g.normal(2, 3)),
                S("p", g.nonzero(2, 3), 3.0, 0),
                S("short", g.normal(1, 3) * 1e-3, 2.0, 1, 0.5),
            ],
            dtypes=floats,
            method=False,
            tol=16,
        ),
        Op(
            "cosine_similarity",
            cosine,
            lambda g: [
                S("rows", g.normal(3, 4), g.normal(3, 4)),
                S("broadcast", g.normal(2, 3, 2), g.normal(3, 1), 1),
            ],
            dtypes=floats,
            method=False,
            tol=32,
        ),
        Op(
            "pairwise_distance",
            distance,
            lambda g: [
                S("rows", g.normal(3, 4), g.normal(3, 4)),
                S("keep", g.normal(2, 3), g.normal(3), 3.0, 1e-3, True),
            ],
            dtypes=floats,
            method=False,
            tol=32,
        ),
        Op(
            "bilinear",
            lambda a, b, w, bias=0.0: np.einsum("...i,oij,...j->...o", a, w, b) + bias,
            lambda g: [
                S("bias", g.normal(3, 2), g.normal(3, 4), g.normal(2, 2, 4), g.normal(2)),
                S("plain", g.normal(2, 1, 2), g.normal(2, 1, 3), g.normal(2, 2, 3)),
            ],
            dtypes=floats,
            method=False,
            oracle=False,
            tol=32,
        ),
    ]
