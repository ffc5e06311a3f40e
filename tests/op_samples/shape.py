"""Views, joins, splits and indexed reads and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from op_row import Gen, Op, S, Sample

if TYPE_CHECKING:
    import tapegrad as tg


def transpose(x: np.ndarray, a: int, b: int) -> np.ndarray:
    return np.swapaxes(x, a, b) if x.ndim else x


def squeeze(x: np.ndarray, dim: Any = None) -> np.ndarray:
    if dim is None:
        return np.squeeze(x)
    dims = dim if isinstance(dim, tuple) else (dim,)
    dims = tuple(d % x.ndim for d in dims)
    return np.squeeze(x, axis=tuple(d for d in dims if x.shape[d] == 1))


def expand(x: np.ndarray, shape: Any) -> np.ndarray:
    offset = len(shape) - x.ndim
    full = [x.shape[i - offset] if n == -1 else n for i, n in enumerate(shape)]
    return np.broadcast_to(x, full)


def flatten(x: np.ndarray, start_dim: int = 0, end_dim: int = -1) -> np.ndarray:
    if x.ndim == 0:
        return x.reshape(1)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    size = int(np.prod(x.shape[start : end + 1]))
    return x.reshape(*x.shape[:start], size, *x.shape[end + 1 :])


def narrow(x: np.ndarray, dim: int, start: int, length: int) -> np.ndarray:
    index: list[Any] = [slice(None)] * x.ndim
    start = start if start >= 0 else start + x.shape[dim]
    index[dim] = slice(start, start + length)
    return x[tuple(index)]


def split(x: np.ndarray, size: Any, dim: int = 0) -> tuple[np.ndarray, ...]:
    n = x.shape[dim]
    cuts = list(range(size, n, size)) if isinstance(size, int) else list(np.cumsum(size)[:-1])
    return tuple(np.split(x, cuts, axis=dim))


def chunk(x: np.ndarray, chunks: int, dim: int = 0) -> tuple[np.ndarray, ...]:
    return split(x, max(-(-x.shape[dim] // chunks), 1), dim)


def scatter_add(x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray) -> np.ndarray:
    out = x.copy()
    for where in np.ndindex(*index.shape):
        to = list(where)
        to[dim] = index[where]
        out[tuple(to)] += src[where]
    return out


def gather(x: np.ndarray, dim: int, index: np.ndarray) -> np.ndarray:
    out = np.zeros(index.shape, dtype=x.dtype)
    for where in np.ndindex(*index.shape):
        source = list(where)
        source[dim] = index[where]
        out[where] = x[tuple(source)]
    return out


def index_put(x: np.ndarray, indices: Any, values: Any, accumulate: bool = False) -> np.ndarray:
    out = x.copy()
    if accumulate:
        np.add.at(out, tuple(indices), values)
    else:
        out[tuple(indices)] = values
    return out


def masked_fill(x: np.ndarray, mask: np.ndarray, value: Any) -> np.ndarray:
    return np.where(mask, np.asarray(value).astype(x.dtype), x)


def rows() -> list[Op]:
    return [*view_rows(), *join_rows(), *index_rows()]


def view_rows() -> list[Op]:
    view: dict[str, Any] = {"view": True}
    return [
        Op(
            "reshape",
            lambda x, shape: x.reshape(shape),
            lambda g: [
                S("split", g.normal(4, 3), (2, 2, 3)),
                S("merge", g.normal(2, 3, 2), (6, 2)),
                S("infer", g.normal(4, 3), (-1, 2)),
                S("0d", g.normal(), (1, 1)),
                S("to-0d", g.normal(1, 1), ()),
                S("empty", np.zeros((0, 3)), (3, 0)),
            ],
            **view,
        ),
        Op(
            "view",
            lambda x, shape: x.reshape(shape),
            lambda g: [
                S("split", g.normal(4, 3), (2, 2, 3)),
                S("infer", g.normal(4, 3), (2, -1)),
                S("empty", np.zeros((0, 3)), (3, 0)),
            ],
            fn=lambda x, shape: x.view(shape),
            any_layout=False,
            **view,
        ),
        Op(
            "transpose",
            transpose,
            lambda g: [
                S("2d", g.normal(2, 3), 0, 1),
                S("3d", g.normal(2, 3, 2), 0, -1),
                S("0d", g.normal(), 0, -1),
            ],
            **view,
        ),
        Op(
            "permute",
            np.transpose,
            lambda g: [S("3d", g.normal(2, 3, 2), (2, 0, 1)), S("2d", g.normal(2, 3), (-1, 0))],
            **view,
        ),
        Op(
            "t",
            lambda x: x.T,
            lambda g: [S("2d", g.normal(2, 3)), S("1d", g.normal(3)), S("0d", g.normal())],
            **view,
        ),
        Op(
            "T",
            lambda x: x.T,
            lambda g: [S("2d", g.normal(2, 3))],
            fn=lambda x: x.T,
            method=False,
            **view,
        ),
        Op(
            "mT",
            lambda x: np.swapaxes(x, -1, -2),
            lambda g: [S("3d", g.normal(2, 3, 2))],
            fn=lambda x: x.mT,
            method=False,
            **view,
        ),
        Op(
            "squeeze",
            squeeze,
            lambda g: [
                S("all", g.normal(1, 3, 1, 2)),
                S("one", g.normal(1, 3, 1), 0),
                S("not-one", g.normal(2, 3), 1),
                S("tuple", g.normal(1, 3, 1), (0, 2)),
            ],
            **view,
        ),
        Op(
            "unsqueeze",
            np.expand_dims,
            lambda g: [
                S("first", g.normal(3, 2), 0),
                S("last", g.normal(3, 2), -1),
                S("0d", g.normal(), 0),
            ],
            **view,
        ),
        Op(
            "expand",
            expand,
            lambda g: [
                S("grow", g.normal(3, 1), (3, 4)),
                S("new", g.normal(3), (2, 3)),
                S("keep", g.normal(3, 1), (2, -1, 2)),
                S("0d", g.normal(), (2, 2)),
            ],
            fn=lambda x, shape: x.expand(shape),
            **view,
        ),
        Op(
            "flatten",
            flatten,
            lambda g: [
                S("all", g.normal(2, 3, 2)),
                S("tail", g.normal(2, 3, 2), 1),
                S("head", g.normal(2, 3, 2), 0, 1),
                S("0d", g.normal()),
            ],
            **view,
        ),
        Op(
            "narrow",
            narrow,
            lambda g: [S("middle", g.normal(5, 2), 0, 1, 3), S("last", g.normal(2, 4), -1, -2, 2)],
            **view,
        ),
        Op(
            "select",
            lambda x, dim, index: np.take(x, index, axis=dim),
            lambda g: [S("first", g.normal(3, 2), 0, 1), S("negative", g.normal(3, 2), 1, -1)],
            **view,
        ),
    ]


def join_rows() -> list[Op]:
    return [
        Op(
            "cat",
            lambda xs, dim=0: np.concatenate([x for x in xs if x.shape != (0,)], axis=dim),
            lambda g: [
                S("rows", [g.normal(2, 3), g.normal(1, 3)]),
                S("columns", [g.normal(2, 1), g.normal(2, 2), g.normal(2, 3)], dim=1),
                S("negative", [g.normal(2, 1, 2), g.normal(2, 2, 2)], -2),
                S("empty", [np.zeros((0, 3)), g.normal(2, 3)]),
                S("one", [g.normal(2)]),
            ],
            method=False,
            aliases=("concat", "concatenate"),
            large=lambda g: S("large", [g.normal(300, 500), g.normal(300, 501)], dim=1),
        ),
        Op(
            "stack",
            lambda xs, dim=0: np.stack(xs, axis=dim),
            lambda g: [
                S("first", [g.normal(2, 3), g.normal(2, 3)]),
                S("last", [g.normal(2), g.normal(2), g.normal(2)], dim=-1),
                S("0d", [g.normal(), g.normal()]),
            ],
            method=False,
        ),
        Op(
            "split",
            split,
            lambda g: [
                S("even", g.normal(4, 2), 2),
                S("rest", g.normal(2, 5), 2, dim=1),
                S("sizes", g.normal(6), [1, 3, 2]),
            ],
            view=True,
        ),
        Op(
            "chunk",
            chunk,
            lambda g: [S("even", g.normal(4, 2), 2), S("rest", g.normal(2, 5), 3, dim=1)],
            view=True,
        ),
        Op(
            "unbind",
            lambda x, dim=0: tuple(np.moveaxis(x, dim, 0)),
            lambda g: [S("first", g.normal(3, 2)), S("last", g.normal(2, 3), dim=-1)],
            view=True,
        ),
    ]


def index_rows() -> list[Op]:
    return [
        Op(
            "gather",
            gather,
            lambda g: [
                S("dim0", g.normal(3, 4), 0, g.ints(2, 4, hi=3)),
                S("dim1", g.normal(3, 4), 1, g.ints(3, 6, hi=4)),
                S("smaller", g.normal(3, 4, 2), -1, g.ints(2, 3, 3, hi=2)),
            ],
            large=lambda g: S("large", g.normal(300, 1000), 1, g.ints(300, 700, hi=1000)),
        ),
        Op(
            "scatter_add",
            scatter_add,
            lambda g: [
                S("dim0", g.normal(3, 4), 0, g.ints(2, 4, hi=3), g.normal(2, 4)),
                S("dim1", g.normal(2, 3), 1, g.ints(2, 5, hi=3), g.normal(2, 5)),
                S("same-target", g.normal(2), 0, np.zeros(4, dtype=np.int64), g.normal(4)),
            ],
            inplace=True,
            large=lambda g: S(
                "large", g.normal(300, 50), 1, g.ints(300, 900, hi=50), g.normal(300, 900)
            ),
        ),
        Op(
            "index_select",
            lambda x, dim, index: np.take(x, index, axis=dim),
            lambda g: [
                S("rows", g.normal(3, 2), 0, np.array([2, 0, 2])),
                S("columns", g.normal(2, 4), -1, np.array([1, 3])),
                S("none", g.normal(2, 4), 0, np.zeros(0, dtype=np.int64)),
            ],
            large=lambda g: S("large", g.normal(900, 300), 0, g.ints(1200, hi=900)),
        ),
        Op(
            "index_put",
            index_put,
            lambda g: [
                S("rows", g.normal(4, 3), (np.array([0, 2]),), g.normal(2, 3)),
                S("points", g.normal(4, 3), (np.array([0, 2]), np.array([1, 1])), g.normal(2)),
                S("accumulate", g.normal(3), (np.array([1, 1, 0]),), g.normal(3), accumulate=True),
                S("mask", g.normal(4), (np.array([True, False, True, False]),), g.normal(2)),
            ],
            inplace=True,
            large=lambda g: S(
                "large",
                g.normal(500, 300),
                (g.ints(900, hi=500),),
                g.normal(900, 300),
                accumulate=True,
            ),
        ),
        Op(
            "masked_fill",
            masked_fill,
            lambda g: [
                S("number", g.normal(3, 4), g.bools(3, 4), 2.0),
                S("broadcast", g.normal(3, 4), g.bools(4), 0.0),
                S("tensor", g.normal(3, 4), g.bools(3, 1), g.normal()),
            ],
            inplace=True,
            large=lambda g: S("large", g.normal(301, 977), g.bools(301, 977), -1.0),
        ),
        Op(
            "clone",
            lambda x: x.copy(),
            lambda g: [S("2d", g.normal(2, 3)), S("0d", g.normal()), S("empty", np.zeros((0,)))],
        ),
        Op(
            "contiguous",
            lambda x: x.copy(),
            lambda g: [S("2d", g.normal(2, 3)), S("0d", g.normal())],
            fn=lambda x: x.contiguous(),
            view=True,
        ),
        Op(
            "detach",
            lambda x: x,
            lambda g: [S("2d", g.normal(2, 3))],
            fn=lambda x: x.detach(),
            grad=False,
            view=True,
        ),
        Op(
            "getitem",
            lambda x, index: x[index],
            getitem_samples,
            fn=lambda x, index: x[index],
            method=False,
            aliases=("index", "slice", "__getitem__"),
            large=lambda g: S("large", g.normal(700, 300), g.ints(900, hi=700)),
        ),
        Op(
            "setitem",
            setitem_ref,
            lambda g: [
                S("row", g.normal(3, 2), 1, g.normal(2)),
                S("slice", g.normal(5), slice(0, 5, 2), g.normal(3)),
                S("number", g.normal(4), slice(1, 3), 2.5),
                S("array", g.normal(4, 2), np.array([3, 0]), g.normal(2, 2)),
                S("mask", g.normal(4), np.array([True, False, True, True]), g.normal()),
            ],
            fn=setitem,
            method=False,
            aliases=("__setitem__",),
        ),
    ]


def setitem_ref(x: np.ndarray, index: Any, value: Any) -> np.ndarray:
    out = x.copy()
    out[index] = value
    return out


def setitem(x: tg.Tensor, index: Any, value: Any) -> tg.Tensor:
    out = x.clone()
    out[index] = value
    return out


def getitem_samples(g: Gen) -> list[Sample]:
    x = g.normal(3, 4)
    return [
        S("int", x, 1),
        S("negative", x, -1),
        S("slice", x, slice(0, 2)),
        S("step", x, (slice(None), slice(0, 4, 2))),
        S("none", x, (None, slice(None), 1)),
        S("ellipsis", g.normal(2, 3, 2), (Ellipsis, 1)),
        S("array", x, np.array([2, 0, 2])),
        S("two-arrays", x, (np.array([2, 0]), np.array([1, 3]))),
        S("array-and-slice", x, (slice(1, 3), np.array([0, 0, 3]))),
        S("mask", x, x > 0),
        S("mask-rows", x, np.array([True, False, True])),
    ]
