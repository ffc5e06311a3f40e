"""Convolutions and transposed convolutions."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from op_row import Gen, Op, S, Sample

Array = np.ndarray
FLOATS = ("float16", "bfloat16", "float32", "float64")


def each(value: Any, n: int) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)


def lay(
    x: Array, w: Array, out: Array, stride: Any, dilation: Any, groups: int, back: bool
) -> None:
    """For each element of the kernel: the part of (padded) x under it, times it, is added to out;
    `back`: the other way round."""
    places = out.shape[2:]
    c, o = x.shape[1] // groups, out.shape[1] // groups
    for at in product(*map(range, w.shape[2:])):
        begin = [k * d for k, d in zip(at, dilation, strict=True)]
        cut = tuple(
            slice(b, b + (p - 1) * s + 1, s) for b, p, s in zip(begin, places, stride, strict=True)
        )
        for g in range(groups):
            inputs, outputs = slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)
            kernel = w[(outputs, slice(None), *at)]
            if back:
                x[(slice(None), inputs, *cut)] += np.einsum(
                    "no...,oc->nc...", out[:, outputs], kernel
                )
            else:
                under = x[(slice(None), inputs, *cut)]
                out[:, outputs] += np.einsum("nc...,oc->no...", under, kernel)


def conv(
    x: Array,
    w: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    n = w.ndim - 2
    if x.ndim == n + 1:
        return conv(x[None], w, bias, stride, padding, dilation, groups)[0]
    stride, dilation = each(stride, n), each(dilation, n)
    reach = [d * (k - 1) for d, k in zip(dilation, w.shape[2:], strict=True)]
    if padding == "same":
        pads = [(r // 2, r - r // 2) for r in reach]
    else:
        pads = [(p, p) for p in each(0 if padding == "valid" else padding, n)]
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    places = [(s - r - 1) // t + 1 for s, r, t in zip(x.shape[2:], reach, stride, strict=True)]
    out = np.zeros((x.shape[0], w.shape[0], *places), x.dtype)
    lay(x, w, out, stride, dilation, groups, back=False)
    return out if bias is None else out + bias.reshape(-1, *[1] * n)


def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Array:
    n = w.ndim - 2
    if x.ndim == n + 1:
        return conv_transpose(x[None], w, bias, stride, padding, output_padding, groups, dilation)[
            0
        ]
    stride, dilation, padding = each(stride, n), each(dilation, n), each(padding, n)
    extra = each(output_padding, n)
    full = [
        (s - 1) * t + d * (k - 1) + 1 + e
        for s, t, d, k, e in zip(x.shape[2:], stride, dilation, w.shape[2:], extra, strict=True)
    ]
    out = np.zeros((x.shape[0], w.shape[1] * groups, *full), x.dtype)
    lay(out, w, x, stride, dilation, groups, back=True)
    cut = tuple(slice(p, s - p) for p, s in zip(padding, full, strict=True))
    out = out[(slice(None), slice(None), *cut)]
    return out if bias is None else out + bias.reshape(-1, *[1] * n)


def forward_samples(g: Gen, sizes: tuple[int, ...]) -> list[Sample]:
    n = len(sizes)
    kernel = (3, 2, 2)[:n]

    def image(batch: int | None, channels: int) -> Array:
        return g.normal(*(() if batch is None else (batch,)), channels, *sizes)

    return [
        S("bias", image(2, 2), g.normal(3, 2, *kernel), g.normal(3)),
        S("padded", image(2, 2), g.normal(2, 2, *kernel), None, 1, (1, 1, 1)[:n]),
        S("strided", image(1, 2), g.normal(2, 2, *kernel), g.normal(2), (2, 1, 2)[:n], 1),
        S("dilated", image(1, 2), g.normal(1, 2, *(2, 2, 1)[:n]), None, 1, 1, (2, 1, 1)[:n]),
        S("groups", image(2, 4), g.normal(2, 2, *kernel), g.normal(2), 1, 0, 1, 2),
        S("depthwise", image(1, 2), g.normal(4, 1, *kernel), None, 1, 1, 1, 2),
        S("same", image(1, 1), g.normal(2, 1, *(3, 1, 3)[:n]), g.normal(2), 1, "same"),
        S("unbatched", image(None, 2), g.normal(2, 2, *kernel), g.normal(2), padding="valid"),
        S("pointwise", image(2, 3), g.normal(2, 3, *(1, 1, 1)[:n]), g.normal(2)),
    ]


def transposed_samples(g: Gen, sizes: tuple[int, ...]) -> list[Sample]:
    n = len(sizes)
    kernel = (3, 2, 2)[:n]

    def image(batch: int | None, channels: int) -> Array:
        return g.normal(*(() if batch is None else (batch,)), channels, *sizes)

    return [
        S("bias", image(2, 2), g.normal(2, 3, *kernel), g.normal(3)),
        S("strided", image(2, 2), g.normal(2, 1, *kernel), g.normal(1), (2, 1, 2)[:n], 1),
        S("extra", image(1, 2), g.normal(2, 2, *kernel), None, 2, 1, (1, 1, 0)[:n]),
        S("dilated", image(1, 2), g.normal(2, 1, *kernel), g.normal(1), 1, 0, 0, 1, 2),
        S("groups", image(1, 4), g.normal(4, 1, *kernel), g.normal(2), 1, 0, 0, 2),
        S("unbatched", image(None, 2), g.normal(2, 2, *kernel), g.normal(2)),
    ]


SIZES: dict[int, tuple[int, ...]] = {1: (5,), 2: (4, 3), 3: (3, 2, 3)}
SMALLER: dict[int, tuple[int, ...]] = {1: (4,), 2: (3, 2), 3: (2, 2, 2)}


def rows() -> list[Op]:
    forward = [
        Op(
            f"conv{n}d",
            conv,
            lambda g, n=n: forward_samples(g, SIZES[n]),
            dtypes=FLOATS,
            method=False,
            tol=64,
            large=(
                lambda g: S("large", g.normal(8, 8, 24, 24), g.normal(16, 8, 3, 3), g.normal(16))
            )
            if n == 2
            else None,
        )
        for n in (1, 2, 3)
    ]
    transposed = [
        Op(
            f"conv_transpose{n}d",
            conv_transpose,
            lambda g, n=n: transposed_samples(g, SMALLER[n]),
            dtypes=FLOATS,
            method=False,
            tol=64,
        )
        for n in (1, 2, 3)
    ]
    return forward + transposed
