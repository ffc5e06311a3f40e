"""The less common views, joins and indexed operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_row import Gen, Op, S, Sample

from .shape import flatten, gather, split, transpose


def scatter(x: np.ndarray, dim: int, index: np.ndarray, src: Any) -> np.ndarray:
    out = x.copy()
    for where in np.ndindex(*index.shape):
        to = list(where)
        to[dim] = index[where]
        out[tuple(to)] = src[where] if isinstance(src, np.ndarray) else src
    return out


def along(dim: int, index: np.ndarray, ndim: int) -> tuple[Any, ...]:
    full: list[Any] = [slice(None)] * ndim
    full[dim] = index
    return tuple(full)


def index_add(
    x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray, *, alpha: float = 1
) -> np.ndarray:
    out = x.copy()
    np.add.at(out, along(dim, index, x.ndim), alpha * src)
    return out


def index_copy(x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray) -> np.ndarray:
    out = x.copy()
    out[along(dim, index, x.ndim)] = src
    return out


def strided(x: np.ndarray, size: Any, stride: Any, offset: int = 0) -> np.ndarray:
    flat = np.ascontiguousarray(x).reshape(-1)
    grid = np.indices(size)
    return flat[offset + sum(g * s for g, s in zip(grid, stride, strict=True))]


def strided_scatter(
    x: np.ndarray, src: np.ndarray, size: Any, stride: Any, offset: int = 0
) -> np.ndarray:
    out = np.ascontiguousarray(x).reshape(-1).copy()
    grid = np.indices(size)
    out[offset + sum(g * s for g, s in zip(grid, stride, strict=True))] = src
    return out.reshape(x.shape)


def sum_to_size(x: np.ndarray, size: Any) -> np.ndarray:
    lead = x.ndim - len(size)
    x = x.sum(axis=tuple(range(lead)))
    return x.sum(axis=tuple(i for i, n in enumerate(size) if n == 1 != x.shape[i]), keepdims=True)


def unflatten(x: np.ndarray, dim: int, sizes: Any) -> np.ndarray:
    dim %= x.ndim
    return x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :])


def rows() -> list[Op]:
    return [*view_rows(), *join_rows(), *index_rows()]


def view_rows() -> list[Op]:
    view: dict[str, Any] = {"view": True}
    other = np.zeros((3, 4), dtype=np.int64)
    return [
        Op(
            "broadcast_to",
            np.broadcast_to,
            lambda g: [S("grow", g.normal(3, 1), (2, 3, 4))],
            **view,
        ),
        Op(
            "expand_as",
            lambda x, o: np.broadcast_to(x, o.shape),
            lambda g: [S("grow", g.normal(3, 1), other)],
            **view,
        ),
        Op(
            "reshape_as",
            lambda x, o: x.reshape(o.shape),
            lambda g: [S("2d", g.normal(2, 6), other)],
            **view,
        ),
        Op(
            "view_as",
            lambda x, o: x.reshape(o.shape),
            lambda g: [S("2d", g.normal(2, 6), other)],
            any_layout=False,
            **view,
        ),
        Op(
            "diagonal",
            np.diagonal,
            lambda g: [
                S("main", g.normal(3, 4)),
                S("offset", g.normal(3, 4), 1),
                S("negative", g.normal(3, 4), -1),
                S("dims", g.normal(2, 3, 2), 0, 0, 2),
            ],
            **view,
        ),
        Op(
            "movedim",
            np.moveaxis,
            lambda g: [
                S("one", g.normal(2, 3, 2), 0, 2),
                S("two", g.normal(2, 3, 1), (0, 1), (2, 0)),
            ],
            aliases=("moveaxis",),
            **view,
        ),
        Op(
            "swapaxes",
            transpose,
            lambda g: [S("3d", g.normal(2, 3, 2), 0, -1)],
            aliases=("swapdims",),
            **view,
        ),
        Op("ravel", flatten, lambda g: [S("3d", g.normal(2, 3, 2)), S("0d", g.normal())], **view),
        Op(
            "unflatten",
            unflatten,
            lambda g: [
                S("first", g.normal(6, 2), 0, (2, 3)),
                S("last", g.normal(2, 6), -1, (3, 2)),
            ],
            **view,
        ),
        Op(
            "split_with_sizes",
            split,
            lambda g: [
                S("rows", g.normal(5, 2), [1, 3, 1]),
                S("columns", g.normal(2, 4), [3, 1], 1),
            ],
            **view,
        ),
        Op(
            "as_strided",
            strided,
            lambda g: [
                S("window", g.normal(6), (4, 3), (1, 1)),
                S("offset", g.normal(3, 4), (2, 2), (4, 1), 1),
                S("repeat", g.normal(3), (2, 3), (0, 1)),
            ],
            any_layout=False,
            **view,
        ),
        Op(
            "as_strided_scatter",
            strided_scatter,
            lambda g: [S("corner", g.normal(3, 4), g.normal(2, 2), (2, 2), (4, 1), 1)],
            any_layout=False,
            oracle=False,
        ),
        Op(
            "sum_to_size",
            sum_to_size,
            lambda g: [S("rows", g.normal(3, 4), (1, 4)), S("lead", g.normal(2, 3, 4), (3, 1))],
            fn=lambda x, size: x.sum_to_size(size),
            result="sum",
        ),
    ]


def stacks(g: Gen) -> list[Sample]:
    return [S("1d", [g.normal(3), g.normal(3)]), S("2d", [g.normal(2, 2), g.normal(2, 2)])]


def join_rows() -> list[Op]:
    join: dict[str, Any] = {"method": False}
    return [
        Op("hstack", np.hstack, stacks, **join),
        Op("vstack", np.vstack, stacks, aliases=("row_stack",), **join),
        Op("dstack", np.dstack, stacks, **join),
        Op("column_stack", np.column_stack, stacks, **join),
    ]


def index_rows() -> list[Op]:
    return [
        Op(
            "scatter",
            scatter,
            lambda g: [
                S("tensor", g.normal(3, 4), 0, np.array([[2, 0, 1, 2]]), g.normal(1, 4)),
                S("value", g.normal(2, 3), 1, np.array([[0, 2], [1, 2]]), 1.5),
            ],
            inplace=True,
        ),
        Op(
            "index_add",
            index_add,
            lambda g: [
                S("rows", g.normal(3, 2), 0, np.array([2, 0, 2]), g.normal(3, 2)),
                S("alpha", g.normal(2, 3), 1, np.array([1]), g.normal(2, 1), alpha=2.5),
            ],
            inplace=True,
        ),
        Op(
            "index_copy",
            index_copy,
            lambda g: [S("rows", g.normal(3, 2), 0, np.array([2, 0]), g.normal(2, 2))],
            inplace=True,
        ),
        Op(
            "index_fill",
            index_copy,
            lambda g: [
                S("number", g.normal(3, 2), 0, np.array([2, 0]), 2.0),
                S("tensor", g.normal(2, 3), 1, np.array([1]), g.normal()),
            ],
            inplace=True,
        ),
        Op(
            "take",
            lambda x, index: x.reshape(-1)[index],
            lambda g: [S("2d", g.normal(2, 3), np.array([[0, 5], [1, 0]]))],
        ),
        Op(
            "take_along_dim",
            lambda x, index, dim: gather(x, dim, index),
            lambda g: [S("rows", g.normal(3, 2), np.array([[2, 0], [1, 1]]), 0)],
        ),
        Op(
            "masked_select",
            lambda x, mask: x[np.broadcast_to(mask, x.shape)],
            lambda g: [
                S("2d", g.normal(3, 4), g.bools(3, 4)),
                S("row", g.normal(3, 4), g.bools(4)),
            ],
        ),
        Op(
            "nonzero",
            lambda x: np.argwhere(x),
            lambda g: [S("2d", np.eye(3) + np.eye(3, k=1)), S("1d", np.array([0.0, 1.0, -1.0]))],
            result="int64",
            grad=False,
            aliases=("argwhere",),
        ),
    ]
