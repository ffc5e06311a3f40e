"""Other arrangements of the same elements, and shapes made from other shapes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from op_row import Op, S

Array = np.ndarray


def roll(x: Array, shifts: Any, dims: Any = None) -> Array:
    return np.roll(x, shifts, dims)


def repeat(x: Array, repeats: Any) -> Array:
    return np.tile(x, repeats)


def tile(x: Array, dims: Any) -> Array:
    return np.tile(x, dims)


def repeat_interleave(x: Array, repeats: Any, dim: int | None = None) -> Array:
    return np.repeat(x, repeats, dim)


def diag_embed(x: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    side = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], side, side), x.dtype)
    i = np.arange(x.shape[-1])
    out[..., i + max(0, -offset), i + max(0, offset)] = x
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


def diagonal_scatter(x: Array, src: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    out = x.copy()
    where = np.diagonal(np.arange(x.size).reshape(x.shape), offset, dim1, dim2)
    out.reshape(-1)[where] = src
    return out


def select_scatter(x: Array, src: Array, dim: int, index: int) -> Array:
    out = x.copy()
    np.moveaxis(out, dim, 0)[index] = src
    return out


def slice_scatter(
    x: Array,
    src: Array,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Array:
    out = x.copy()
    np.moveaxis(out, dim, 0)[start:end:step] = np.moveaxis(src, dim, 0)
    return out


def unfold(x: Array, dimension: int, size: int, step: int) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x, size, dimension)
    return np.moveaxis(np.moveaxis(windows, dimension, 0)[::step], 0, dimension)


def block_diag(blocks: Any) -> Array:
    blocks = [np.atleast_2d(b) for b in blocks]
    out = np.zeros(tuple(sum(b.shape[i] for b in blocks) for i in (0, 1)), blocks[0].dtype)
    row = column = 0
    for b in blocks:
        out[row : row + b.shape[0], column : column + b.shape[1]] = b
        row, column = row + b.shape[0], column + b.shape[1]
    return out


def cartesian_prod(vectors: Any) -> Array:
    if len(vectors) == 1:
        return np.asarray(vectors[0])
    return np.array(list(itertools.product(*vectors)))


def combinations(x: Array, r: int = 2, with_replacement: bool = False) -> Array:
    ways = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return np.array(list(ways(x, r)), x.dtype).reshape(-1, r)


def rows() -> list[Op]:
    return [*moved_rows(), *repeated_rows(), *split_rows(), *written_rows(), *grid_rows()]


def moved_rows() -> list[Op]:
    return [
        Op(
            "flip",
            np.flip,
            lambda g: [
                S("inner", g.normal(2, 3), [1]),
                S("both", g.normal(2, 3, 2), [0, -1]),
                S("none", g.normal(3), []),
                S("empty", np.zeros((0, 2)), [0]),
            ],
            large=lambda g: S("large", g.normal(300, 700), [0, 1]),
        ),
        Op("fliplr", np.fliplr, lambda g: [S("2d", g.normal(2, 3))]),
        Op("flipud", np.flipud, lambda g: [S("2d", g.normal(2, 3)), S("1d", g.normal(3))]),
        Op(
            "roll",
            roll,
            lambda g: [
                S("flat", g.normal(2, 3), 2),
                S("dim", g.normal(2, 5), -2, 1),
                S("dims", g.normal(3, 4), (1, 7), (0, 1)),
                S("still", g.normal(3), 3, 0),
                S("empty", np.zeros((0, 2)), 1, 0),
            ],
        ),
        Op(
            "rot90",
            np.rot90,
            lambda g: [
                S("once", g.normal(2, 3)),
                S("twice", g.normal(2, 3), 2),
                S("back", g.normal(2, 3, 2), -1, [1, 2]),
                S("whole", g.normal(2, 2), 4),
            ],
        ),
        Op("adjoint", lambda x: np.swapaxes(x, -1, -2), lambda g: [S("3d", g.normal(2, 3, 2))],
           fn=lambda x: x.adjoint(), view=True),
        Op(
            "tril",
            np.tril,
            lambda g: [
                S("square", g.normal(3, 3)),
                S("above", g.normal(2, 2, 3), 1),
                S("below", g.normal(4, 3), -2),
                S("far", g.normal(2, 3), -(2**62)),
                S("empty", np.zeros((0, 3))),
            ],
            inplace=True,
            out=True,
            large=lambda g: S("large", g.normal(400, 500), 3),
        ),
        Op(
            "triu",
            np.triu,
            lambda g: [
                S("square", g.normal(3, 3)),
                S("above", g.normal(2, 2, 3), 1),
                S("below", g.normal(4, 3), -2),
                S("far", g.normal(2, 3), 2**62),
            ],
            inplace=True,
            out=True,
        ),
    ]  # fmt: skip


def repeated_rows() -> list[Op]:
    return [
        Op(
            "repeat",
            repeat,
            lambda g: [
                S("grow", g.normal(2, 3), (2, 1)),
                S("lead", g.normal(3), (2, 2)),
                S("once", g.normal(2, 3), (1, 1)),
                S("never", g.normal(2, 3), (0, 1)),
            ],
            fn=lambda x, repeats: x.repeat(repeats),
        ),
        Op(
            "tile",
            tile,
            lambda g: [
                S("last", g.normal(2, 3), (2,)),
                S("lead", g.normal(3), (2, 1, 2)),
            ],
        ),
        Op(
            "repeat_interleave",
            repeat_interleave,
            lambda g: [
                S("flat", g.normal(2, 3), 2),
                S("dim", g.normal(2, 3), 3, 1),
                S("once", g.normal(2, 3), 1, 0),
                S("each", g.normal(2, 3), np.array([2, 0, 1]), 1),
                S("one", g.normal(2, 3), np.array([2]), 0),
                S("flat-each", g.normal(3), np.array([1, 2, 0])),
            ],
        ),
        Op(
            "unfold",
            unfold,
            lambda g: [
                S("overlap", g.normal(6), 0, 3, 1),
                S("step", g.normal(2, 5), 1, 2, 2),
                S("rows", g.normal(4, 2), 0, 2, 1),
            ],
            fn=lambda x, *args: x.unfold(*args),
            view=True,
        ),
    ]


def split_rows() -> list[Op]:
    def at_least(count: int) -> Any:
        return lambda x: {1: np.atleast_1d, 2: np.atleast_2d, 3: np.atleast_3d}[count](x)

    samples = lambda g: [S("0d", g.normal()), S("1d", g.normal(3)), S("3d", g.normal(2, 1, 2))]  # noqa: E731
    return [
        *(Op(f"atleast_{n}d", at_least(n), samples, method=False) for n in (1, 2, 3)),
        Op(
            "tensor_split",
            lambda x, cuts, dim=0: np.array_split(x, cuts, dim),
            lambda g: [
                S("sections", g.normal(5, 2), 3),
                S("cuts", g.normal(2, 5), (1, 3), 1),
                S("beyond", g.normal(3), (2, 9)),
            ],
            view=True,
        ),
        Op(
            "hsplit",
            np.hsplit,
            lambda g: [S("equal", g.normal(2, 4), 2), S("1d", g.normal(4), [1, 3])],
            view=True,
        ),
        Op(
            "vsplit",
            np.vsplit,
            lambda g: [S("equal", g.normal(4, 2), 2), S("cuts", g.normal(4, 2), [1])],
            view=True,
        ),
        Op("dsplit", np.dsplit, lambda g: [S("equal", g.normal(2, 1, 4), 2)], view=True),
        Op(
            "broadcast_tensors",
            lambda xs: np.broadcast_arrays(*xs),
            lambda g: [S("two", [g.normal(3, 1), g.normal(4)])],
            method=False,
            oracle=False,
        ),
    ]


def written_rows() -> list[Op]:
    return [
        Op(
            "diag",
            np.diag,
            lambda g: [
                S("make", g.normal(3)),
                S("make-above", g.normal(3), 1),
                S("take", g.normal(3, 4)),
                S("take-below", g.normal(3, 4), -1),
            ],
            out=True,
        ),
        Op(
            "diag_embed",
            diag_embed,
            lambda g: [
                S("plain", g.normal(2, 3)),
                S("offset", g.normal(3), -1),
                S("dims", g.normal(2, 3), 1, 0, 2),
            ],
        ),
        Op("diagflat", np.diagflat, lambda g: [S("2d", g.normal(2, 2)), S("off", g.normal(2), 1)]),
        Op(
            "diagonal_scatter",
            diagonal_scatter,
            lambda g: [
                S("main", g.normal(3, 3), g.normal(3)),
                S("above", g.normal(3, 4), g.normal(3), 1),
            ],
        ),
        Op(
            "select_scatter",
            select_scatter,
            lambda g: [
                S("row", g.normal(3, 4), g.normal(4), 0, 1),
                S("column", g.normal(3, 4), g.normal(3), 1, -1),
            ],
        ),
        Op(
            "slice_scatter",
            slice_scatter,
            lambda g: [
                S("rows", g.normal(4, 2), g.normal(2, 2), 0, 1, 3),
                S("step", g.normal(2, 5), g.normal(2, 2), 1, 1, None, 2),
            ],
        ),
    ]


def grid_rows() -> list[Op]:
    return [
        Op(
            "meshgrid",
            lambda xs, indexing="ij": np.meshgrid(*xs, indexing=indexing),
            lambda g: [
                S("ij", [g.normal(2), g.normal(3)], indexing="ij"),
                S("xy", [g.normal(2), g.normal(3), g.normal(2)], indexing="xy"),
            ],
            method=False,
        ),
        Op(
            "block_diag",
            block_diag,
            lambda g: [S("two", [g.normal(2, 3), g.normal(1, 2)]), S("vector", [g.normal(3)])],
            method=False,
            oracle=False,
        ),
        Op(
            "cartesian_prod",
            cartesian_prod,
            lambda g: [S("two", [g.normal(2), g.normal(3)]), S("one", [g.normal(2)])],
            method=False,
            oracle=False,
        ),
        Op(
            "combinations",
            combinations,
            lambda g: [
                S("pairs", g.normal(4)),
                S("triples", g.normal(4), 3),
                S("again", g.normal(3), 2, True),
                S("too-few", g.normal(1)),
            ],
            method=False,
        ),
        Op(
            "vander",
            lambda x, N=None, increasing=False: np.vander(x, N, increasing),
            lambda g: [
                S("square", g.normal(3)),
                S("wide", g.normal(2), 4, True),
                S("one", g.normal(2), 1),
            ],
            method=False,
            int_range=(0, 3),
            result="sum",
            oracle=False,
        ),
    ]
