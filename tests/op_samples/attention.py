"""Scaled dot-product attention against its formula."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_row import FLOATS, Const, Gen, Op, S, Sample

Array = np.ndarray


def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Array:
    if enable_gqa:
        groups = q.shape[-3] // k.shape[-3]
        k, v = np.repeat(k, groups, -3), np.repeat(v, groups, -3)
    scores = q @ np.swapaxes(k, -2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        mask = np.tri(q.shape[-2], k.shape[-2], dtype=bool)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    top = scores.max(-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isinf(top), 0.0, top))
    total = weights.sum(-1, keepdims=True)
    return np.asarray(weights / np.where(total == 0, 1.0, total) @ v)


def samples(g: Gen) -> list[Sample]:
    def qkv(*lead: int, queries: int = 3, keys: int = 4, value: int = 2) -> list[Array]:
        return [
            g.normal(*lead, queries, 2),
            g.normal(*lead, keys, 2),
            g.normal(*lead, keys, value),
        ]

    seen = np.array([[True, False, True, True], [False, True, False, True], [True] * 4])
    blind = seen.copy()
    blind[1] = False
    return [
        S("plain", *qkv()),
        S("batch", *qkv(2, 2, value=3)),
        S("causal", *qkv(1, 1, queries=4), is_causal=True),
        S("causal-wide", *qkv(1, 1, queries=2), is_causal=True),
        S("bool-mask", *qkv(2), seen),
        S("no-key", *qkv(2), blind),
        S("float-mask", *qkv(2), Const(g.normal(3, 4))),
        S("mask-of-keys", *qkv(2, 1), np.array([[[[True, True, False, True]]]] * 2)),
        S("mask-gradient", *qkv(2), g.normal(2, 3, 4)),
        S("scale", *qkv(2), scale=0.3),
        S("groups", g.normal(1, 4, 3, 2), *qkv(1, 2)[1:], enable_gqa=True),
        S("broadcast", g.normal(2, 1, 3, 2), *qkv(3)[1:]),
    ]


def rows() -> list[Op]:
    return [
        Op(
            "scaled_dot_product_attention",
            attention,
            samples,
            dtypes=FLOATS,
            method=False,
            tol=32.0,
            oracle=False,  # cannot be differentiated twice there; see test_attention.py
            large=lambda g: S(
                "large", g.normal(4, 300, 16), g.normal(4, 600, 16), g.normal(4, 600, 16)
            ),
        )
    ]
