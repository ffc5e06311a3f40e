"""Pixels, affine grids, and distances of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_row import Op, S

Array = np.ndarray
FLOATS = ("float16", "bfloat16", "float32", "float64")


def shuffle(x: Array, r: int) -> Array:
    *lead, channels, h, w = x.shape
    split = x.reshape(-1, channels // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return split.reshape(*lead, channels // r**2, h * r, w * r)


def unshuffle(x: Array, r: int) -> Array:
    *lead, channels, h, w = x.shape
    split = x.reshape(-1, channels, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4)
    return split.reshape(*lead, channels * r**2, h // r, w // r)


def interleave(x: Array, groups: int) -> Array:
    split = x.reshape(x.shape[0], groups, x.shape[1] // groups, -1)
    return split.swapaxes(1, 2).reshape(x.shape)


def affine(theta: Array, size: Any, align_corners: bool = False) -> Array:
    axes = [
        np.linspace(-1, 1, n) * (1 if align_corners else (n - 1) / n) if n > 1 else np.zeros(1)
        for n in size[2:]
    ]
    places = np.stack([*np.meshgrid(*axes, indexing="ij")][::-1], -1)
    return np.einsum("...j,nij->n...i", places, theta[:, :, :-1]) + theta[:, :, -1].reshape(
        len(theta), *[1] * len(axes), -1
    )


def pairs(x: Array, p: float = 2.0) -> Array:
    i, j = np.triu_indices(len(x), 1)
    return (np.abs(x[i] - x[j]) ** p).sum(-1) ** (1 / p)


def rows() -> list[Op]:
    return [
        Op(
            "pixel_shuffle",
            shuffle,
            lambda g: [S("two", g.normal(2, 8, 2, 3), 2), S("plain", g.normal(9, 1, 2), 3)],
            method=False,
        ),
        Op(
            "pixel_unshuffle",
            unshuffle,
            lambda g: [S("two", g.normal(2, 2, 4, 6), 2), S("plain", g.normal(1, 3, 3), 3)],
            method=False,
        ),
        Op(
            "channel_shuffle",
            interleave,
            lambda g: [S("two", g.normal(2, 6, 2, 2), 2), S("three", g.normal(1, 6, 2), 3)],
            method=False,
            aliases=("native_channel_shuffle",),
        ),
        Op(
            "pdist",
            pairs,
            lambda g: [
                S("euclid", g.normal(4, 3)),
                S("one", g.normal(3, 2), 1.0),
                S("power", g.normal(3, 2), 3.0),
            ],
            dtypes=FLOATS,
            method=False,
            oracle=False,  # PyTorch's has no second derivative
            tol=32,
        ),
        Op(
            "affine_grid",
            affine,
            lambda g: [
                S("flat", g.normal(2, 2, 3), (2, 1, 3, 2), align_corners=False),
                S("corners", g.normal(1, 2, 3), (1, 1, 2, 4), align_corners=True),
                S("deep", g.normal(1, 3, 4), (1, 1, 2, 3, 2), align_corners=False),
            ],
            dtypes=FLOATS,
            method=False,
            tol=16,
        ),
    ]
