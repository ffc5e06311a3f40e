"""Writing to places named by a mask or by positions."""

from __future__ import annotations

import numpy as np

from op_row import DTYPES, Op, S


def masked_scatter(x: np.ndarray, mask: np.ndarray, source: np.ndarray) -> np.ndarray:
    shape = np.broadcast_shapes(x.shape, mask.shape)
    out = np.broadcast_to(x, shape).copy()
    mask = np.broadcast_to(mask, shape)
    out[mask] = source.reshape(-1)[: mask.sum()]
    return out


def put(
    x: np.ndarray, index: np.ndarray, source: np.ndarray, accumulate: bool = False
) -> np.ndarray:
    out = x.reshape(-1).copy()
    if accumulate:
        np.add.at(out, index.reshape(-1), source.reshape(-1))
    else:
        out[index.reshape(-1)] = source.reshape(-1)
    return out.reshape(x.shape)


def rows() -> list[Op]:
    return [
        Op(
            "masked_scatter",
            masked_scatter,
            lambda g: [
                S("same", g.normal(3, 4), g.bools(3, 4), g.normal(3, 4)),
                S("row", g.normal(3, 4), np.array([True, False, True, True]), g.normal(10)),
                S("grows", g.normal(3), g.bools(2, 3), g.normal(6)),
                S("none", g.normal(3), np.zeros(3, bool), g.normal(2)),
            ],
            inplace=True,
        ),
        Op(
            "put",
            put,
            lambda g: [
                S("places", g.normal(2, 3), np.array([4, -6]), g.normal(2)),
                S("adds", g.normal(2, 3), np.array([[1, 1], [5, 0]]), g.normal(2, 2), True),
            ],
            inplace=True,
            dtypes=tuple(d for d in DTYPES if d != "bool"),
        ),
        Op(
            "unravel_index",
            np.unravel_index,
            lambda g: [S("two", np.array([4, 1, 5]), (2, 3)), S("line", np.array([3]), (7,))],
            method=False,
            grad=False,
            dtypes=(),
        ),
    ]
