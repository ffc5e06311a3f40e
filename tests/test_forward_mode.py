"""Forward mode in forward mode, and under vmap, for every operation: against reverse mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from op_row import closure
from op_table import OPS
from support import assert_close
from tapegrad import func

if TYPE_CHECKING:
    from op_row import Op, Sample

DIFFERENTIABLE = [
    pytest.param(op, op.first, id=op.name)
    for op in OPS.values()
    if op.grad and "float64" in op.dtypes and op.second
]
# Writes what differs between samples into what they share: refused.
NOT_UNDER_VMAP = ("setitem",)


def normal(*shape: int, seed: int = 0) -> Any:
    return tg.tensor(np.random.default_rng(seed).standard_normal(shape))


def scale_of(values: Any) -> float:
    return max(1.0, float(values.abs().nan_to_num().max())) if values.numel() else 1.0


@pytest.mark.parametrize(("op", "sample"), DIFFERENTIABLE)
def test_forward_over_forward_is_forward_over_reverse(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    x = tuple(i.detach() for i in inputs)
    v = tuple(normal(*i.shape, seed=k) for k, i in enumerate(x))
    argnums = tuple(range(len(x)))

    def weighted(*a: Any) -> Any:
        outputs = [y for y in f(*a) if y.is_floating_point()]
        return sum((y * normal(*y.shape, seed=9 + k)).sum() for k, y in enumerate(outputs))

    def slope(*a: Any) -> Any:
        return func.jvp(weighted, a, v)[1]

    forward = func.jvp(slope, x, v)[1]
    gradients = func.jvp(func.grad(weighted, argnums), x, v)[1]
    want = sum((g * d).sum() for g, d in zip(gradients, v, strict=True))
    assert_close(forward, want, rtol=1e-7, atol=1e-9 * scale_of(want))
    assert not forward.requires_grad


@pytest.mark.parametrize(("op", "sample"), DIFFERENTIABLE)
def test_forward_mode_under_vmap(op: Op, sample: Sample) -> None:
    if op.name in NOT_UNDER_VMAP:
        pytest.skip("refused under vmap")
    f, inputs = closure(op, sample)
    x = tuple(i.detach() for i in inputs)
    v = tuple(normal(*i.shape, seed=k) for k, i in enumerate(x))

    def slopes(*a: Any) -> Any:
        outputs = func.jvp(lambda *b: tuple(y for y in f(*b) if y.is_floating_point()), a, v)[1]
        return tuple(outputs)

    want = slopes(*x)
    batched = func.vmap(slopes)(*(tg.stack([i, i]) for i in x))
    for rows, alone in zip(batched, want, strict=True):
        for row in rows:
            assert_close(row, alone, rtol=1e-9, atol=1e-10 * scale_of(alone))
