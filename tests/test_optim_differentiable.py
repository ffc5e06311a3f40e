"""``differentiable=True``: the same values as the fused updates, and gradients through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from optim_cases import CASES
from support import to_numpy
from tapegrad import optim
from tapegrad.autograd import grad, gradcheck

PAIRS = [(n, o) for n, cases in CASES.items() for o in cases if n != "Adafactor"]
SMOOTH = [
    ("SGD", {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"betas": (0.5, 0.7)}),
    ("Adamax", {}),
    ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("RAdam", {"betas": (0.5, 0.7)}),
    ("RMSprop", {"momentum": 0.9}),
    ("Adagrad", {"lr_decay": 0.1}),
    ("Adadelta", {"weight_decay": 0.1}),
    ("ASGD", {"t0": 1.0}),
]


def double(seed: int, size: int = 5) -> Any:
    return tg.tensor(np.random.default_rng(seed).standard_normal(size))


@pytest.mark.parametrize(("name", "options"), PAIRS)
def test_values_are_those_of_the_fused_update(name: str, options: dict[str, Any]) -> None:
    leaf = double(0).requires_grad_()
    param = double(0).requires_grad_().clone()
    fused = getattr(optim, name)([leaf], **options)
    recorded = getattr(optim, name)([param], **options, differentiable=True)
    for step in range(8):
        leaf.grad = double(step + 1)
        param.grad = double(step + 1)
        fused.step()
        recorded.step()
    assert param.requires_grad
    np.testing.assert_allclose(to_numpy(param), to_numpy(leaf), rtol=1e-12, atol=1e-12)
    mine, other = (o.state_dict()["state"] for o in (recorded, fused))
    assert [sorted(s) for s in mine.values()] == [sorted(s) for s in other.values()]
    for key, state in other.items():
        for what, value in state.items():
            np.testing.assert_allclose(
                to_numpy(mine[key][what]), to_numpy(value), rtol=1e-11, atol=1e-13
            )


@pytest.mark.parametrize(("name", "options"), SMOOTH)
def test_gradients_flow_through_steps(name: str, options: dict[str, Any]) -> None:
    def train(start: Any, gradient: Any) -> Any:
        w = start.clone()
        optimizer = getattr(optim, name)([w], lr=0.1, differentiable=True, **options)
        for step in range(3):
            w.grad = gradient * (1.5 - step) + 0.3
            optimizer.step()
        return w

    start, gradient = double(0).requires_grad_(), double(1).requires_grad_()
    assert gradcheck(train, (start, gradient), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_rate_can_be_learned(name: str) -> None:
    def train(rate: Any) -> Any:
        w = double(0).requires_grad_().clone()
        optimizer = getattr(optim, name)([w], lr=rate, weight_decay=0.1, differentiable=True)
        for step in range(3):
            (w.grad,) = grad((w**2).sum() * (step + 1), w, create_graph=True)
            optimizer.step()
        return (w**2).sum()

    assert gradcheck(train, (tg.tensor(0.1, dtype=tg.float64, requires_grad=True),))


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad"])
def test_gradients_equal_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for library in (tg, torch):
        start = library.tensor([1.0, -2.0], dtype=library.float64, requires_grad=True)
        w = start.clone()
        optimizer = getattr(library.optim, name)([w], lr=0.1, differentiable=True)
        w.grad = start * 2  # one step: PyTorch cannot differentiate through several
        optimizer.step()
        found.append(library.autograd.grad(w.sum(), start)[0].tolist())
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_a_leaf_cannot_be_recorded() -> None:
    w = tg.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], differentiable=True)
    w.grad = tg.ones(1)
    with pytest.raises(RuntimeError, match="leaf"):
        optimizer.step()
    assert w.item() == 1
    with pytest.raises(RuntimeError, match="Adam: `fused` does not support `differentiable`"):
        optim.Adam([w], fused=True, differentiable=True)
    with pytest.raises(RuntimeError, match="SGD: `fused` and `foreach` cannot be `True` together"):
        optim.SGD([w], fused=True, foreach=True)
