"""Recurrent networks and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from op_row import Op, S

if TYPE_CHECKING:
    from op_row import Gen, Sample

Array = np.ndarray
FLOATS = ("float32", "float64")


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def linear(x: Array, w: Array, b: Array | None) -> Array:
    return np.asarray(x @ w.T if b is None else x @ w.T + b)


def lstm_cell(
    x: Array, hx: Any, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Any = None
) -> tuple[Array, Array]:
    h, c = hx
    i, f, g, o = np.split(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh), 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_cell(
    x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Any = None
) -> Array:
    ar, az, an = np.split(linear(x, w_ih, b_ih), 3, -1)
    br, bz, bn = np.split(linear(h, w_hh, b_hh), 3, -1)
    n = np.tanh(an + sigmoid(ar + br) * bn)
    z = sigmoid(az + bz)
    return np.asarray((1 - z) * n + z * h)


def rnn_tanh_cell(
    x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Any = None
) -> Array:
    return np.asarray(np.tanh(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh)))


def rnn_relu_cell(
    x: Array, h: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Any = None
) -> Array:
    return np.asarray(np.maximum(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh), 0))


CELLS = {"lstm": lstm_cell, "gru": gru_cell, "rnn_tanh": rnn_tanh_cell, "rnn_relu": rnn_relu_cell}


def network(kind: str) -> Any:
    def call(x: Array, hx: Any, params: Any, has_biases: bool, *options: Any) -> Any:
        # One layer in one direction; the last option is batch_first.
        state = tuple(s[0] for s in hx) if kind == "lstm" else hx[0]
        outputs = []
        for step in np.swapaxes(x, 0, 1) if options[-1] else x:
            state = CELLS[kind](step, state, *params)
            outputs.append(state[0] if kind == "lstm" else state)
        output = np.stack(outputs, 1 if options[-1] else 0)
        return (output, *(s[None] for s in (state if kind == "lstm" else (state,))))

    return call


def cell_samples(kind: str) -> Any:
    gates = {"lstm": 4, "gru": 3}.get(kind, 1)

    def weights(g: Gen, biases: bool) -> list[Array]:
        shapes = [(gates * 4, 3), (gates * 4, 4)] + ([(gates * 4,)] * 2 if biases else [])
        return [g.uniform(*shape) for shape in shapes]

    def state(g: Gen, *shape: int) -> Any:
        return (g.uniform(*shape), g.uniform(*shape)) if kind == "lstm" else g.uniform(*shape)

    def samples(g: Gen) -> list[Sample]:
        return [
            S("batch", g.normal(2, 3), state(g, 2, 4), *weights(g, True)),
            S("no-bias", g.normal(2, 3), state(g, 2, 4), *weights(g, False)),
        ]

    def network_samples(g: Gen) -> list[Sample]:
        rest = (1, 0.0, False, False)
        return [
            S("steps", g.normal(3, 2, 3), state(g, 1, 2, 4), weights(g, True), True, *rest, False),
            S("first", g.normal(2, 2, 3), state(g, 1, 2, 4), weights(g, False), False, *rest, True),
        ]

    return samples, network_samples


def rows() -> list[Op]:
    result = []
    for kind in CELLS:
        samples, network_samples = cell_samples(kind)
        result += [
            Op(f"{kind}_cell", CELLS[kind], samples, dtypes=FLOATS, method=False, tol=16),
            Op(kind, network(kind), network_samples, dtypes=FLOATS, method=False, tol=16),
        ]
    return result
