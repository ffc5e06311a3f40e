"""Pooling: windows written out one by one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from op_row import FLOATS, Gen, Op, S, Sample

Array = np.ndarray


def each(value: Any, ndim: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * ndim


def even_windows(size: int, out: int) -> list[range]:
    return [range(o * size // out, -(-(o + 1) * size // out)) for o in range(out)]


def windows(size: int, k: int, step: int, pad: int, dilation: int, ceil: bool) -> list[range]:
    """Positions that each window covers, those in the padding included."""
    reach = dilation * (k - 1) + 1
    starts = itertools.takewhile(
        lambda s: s + reach <= size + pad or (ceil and s < size and s + reach - step < size + pad),
        itertools.count(-pad, step),
    )
    return [range(s, s + reach, dilation) for s in starts]


def over_windows(x: Array, per_dim: list[list[range]], take: Any) -> Array:
    """`take` of the elements inside each window, with all its positions, padding included."""
    ndim = len(per_dim)
    spatial = x.shape[-ndim:]
    out = np.zeros((*x.shape[:-ndim], *map(len, per_dim)), dtype=x.dtype)
    for place in itertools.product(*(range(len(w)) for w in per_dim)):
        spans = [w[i] for w, i in zip(per_dim, place, strict=True)]
        inside = [[p for p in s if 0 <= p < n] for s, n in zip(spans, spatial, strict=True)]
        block = x[(..., *np.ix_(*inside))].reshape(*x.shape[:-ndim], -1)
        out[(..., *place)] = take(block, spans, spatial)
    return out


def max_pool(ndim: int) -> Any:
    def call(
        x: Array,
        kernel: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> Array:
        steps = each(kernel if stride is None else stride, ndim)
        sizes = zip(
            x.shape[-ndim:],
            each(kernel, ndim),
            steps,
            each(padding, ndim),
            each(dilation, ndim),
            strict=True,
        )
        spans = [windows(*size, ceil_mode) for size in sizes]
        return over_windows(x, spans, lambda block, *_: block.max(-1))

    return call


def avg_pool(ndim: int) -> Any:
    def call(
        x: Array,
        kernel: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Array:
        pads = each(padding, ndim)
        steps = each(kernel if stride is None else stride, ndim)
        sizes = zip(x.shape[-ndim:], each(kernel, ndim), steps, pads, strict=True)
        spans = [windows(*size, 1, ceil_mode) for size in sizes]

        def mean(block: Array, positions: list[range], spatial: Any) -> Array:
            count = block.shape[-1]
            if count_include_pad:
                inner = zip(positions, spatial, pads, strict=True)
                count = int(np.prod([sum(p < n + pad for p in s) for s, n, pad in inner]))
            return np.asarray(block.sum(-1) / (divisor_override or count))

        return over_windows(x, spans, mean)

    return call


def adaptive(ndim: int, take: Any) -> Any:
    def call(x: Array, output_size: Any) -> Array:
        sizes = zip(x.shape[-ndim:], each(output_size, ndim), strict=True)
        spans = [even_windows(n, n if out in (None, -1) else out) for n, out in sizes]
        return over_windows(x, spans, lambda block, *_: take(block, -1))

    return call


SIZES = {1: (11,), 2: (7, 6), 3: (4, 5, 4)}


def max_samples(ndim: int) -> Any:
    def samples(g: Gen) -> list[Sample]:
        x = SIZES[ndim]
        return [
            S("pairs", g.distinct(2, 2, *x), 2),
            S("overlap", g.distinct(1, 2, *x), 3, 1, 1),
            S("strided", g.distinct(1, 2, *x), 3, 2, 1),
            S("dilated", g.distinct(2, *x), 2, 3, 1, 2),
            S("ceil", g.distinct(1, 1, *x), 2, 3, ceil_mode=True),
        ]

    return samples


def avg_samples(ndim: int) -> Any:
    def samples(g: Gen) -> list[Sample]:
        x = SIZES[ndim]
        divided = [S("divisor", g.normal(1, 2, *x), 2, divisor_override=3)] if ndim > 1 else []
        return [
            S("pairs", g.normal(2, 2, *x), 2),
            S("overlap", g.normal(2, *x), 3, 1, 1),
            S("strided", g.normal(1, 2, *x), 3, 2, 1, count_include_pad=False),
            S("ceil", g.normal(1, 1, *x), 2, 3, ceil_mode=True),
            S("ceil-pad", g.normal(1, 1, *x), 3, 2, 1, True),
            *divided,
        ]

    return samples


def adaptive_samples(ndim: int) -> Any:
    def samples(g: Gen) -> list[Sample]:
        x = SIZES[ndim]
        return [
            S("uneven", g.distinct(2, 2, *x), 3),
            S("one", g.distinct(2, *x), 1),
            S("even", g.distinct(1, 2, *(2 * n for n in x)), list(x)),
        ]

    return samples


def rows() -> list[Op]:
    found = []
    for n in (1, 2, 3):
        rest: dict[str, Any] = {"dtypes": FLOATS, "method": False, "tol": 8.0}
        big = {1: (8, 16, 999), 2: (8, 16, 34, 33), 3: (2, 8, 10, 12, 11)}[n]
        large: dict[str, Any] = {
            "large": lambda g, big=big: S("large", g.normal(*big), 2),
        }
        found += [
            Op(f"max_pool{n}d", max_pool(n), max_samples(n), **large, **rest),
            Op(f"avg_pool{n}d", avg_pool(n), avg_samples(n), **large, **rest),
            Op(
                f"adaptive_max_pool{n}d",
                adaptive(n, np.max),
                adaptive_samples(n),
                oracle=n > 1,  # torch.adaptive_max_pool1d returns the indices too
                **large,
                **rest,
            ),
            Op(
                f"adaptive_avg_pool{n}d",
                adaptive(n, np.mean),
                adaptive_samples(n),
                **large,
                **rest,
            ),
        ]
    return found
