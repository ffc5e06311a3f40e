"""The textbook examples of back-propagation, to the last bit in float64 where they allow it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import assert_close, tensor

# --- two apples and three oranges, with tax: forward 671, and seven gradients -----------------

APPLE, APPLES, ORANGE, ORANGES, TAX = 100.0, 4.0, 70.0, 3.0, 1.1
TOTAL = 671.0
GRADIENTS = {
    "apple": 4.4,
    "apples": 110.00000000000001,
    "orange": 3.3000000000000003,
    "oranges": 77.0,
    "apple_total": 1.1,
    "orange_total": 1.1,
    "sum": 1.1,
    "tax": 610.0,
}


class MulLayer:
    """z = x * y, with its backward pass written by hand."""

    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x * y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        return dout * self.y, dout * self.x


class AddLayer:
    """z = x + y, with its backward pass written by hand."""

    def forward(self, x: Any, y: Any) -> Any:
        return x + y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        return dout * 1, dout * 1


def shopping(apple: Any, apples: Any, orange: Any, oranges: Any, tax: Any) -> Any:
    return (apple * apples + orange * oranges) * tax


def leaves() -> list[Any]:
    return [tensor(v, grad=True) for v in (APPLE, APPLES, ORANGE, ORANGES, TAX)]


def test_shopping_by_the_tape() -> None:
    apple, apples, orange, oranges, tax = leaves()
    apple_total = apple * apples
    orange_total = orange * oranges
    both = apple_total + orange_total
    for t in (apple_total, orange_total, both):
        t.retain_grad()
    total = both * tax
    total.backward()
    assert round(total.item(), 9) == TOTAL
    assert total.item() == (100.0 * 4.0 + 70.0 * 3.0) * 1.1
    found = {
        "apple": apple,
        "apples": apples,
        "orange": orange,
        "oranges": oranges,
        "apple_total": apple_total,
        "orange_total": orange_total,
        "sum": both,
        "tax": tax,
    }
    assert {name: t.grad.item() for name, t in found.items()} == GRADIENTS


def test_shopping_by_layer_objects() -> None:
    apple, apples, orange, oranges, tax = [t.detach() for t in leaves()]
    mul_apple, mul_orange, add, mul_tax = MulLayer(), MulLayer(), AddLayer(), MulLayer()
    total = mul_tax.forward(
        add.forward(mul_apple.forward(apple, apples), mul_orange.forward(orange, oranges)), tax
    )
    dsum, dtax = mul_tax.backward(tensor(1.0))
    dapple_total, dorange_total = add.backward(dsum)
    dorange, doranges = mul_orange.backward(dorange_total)
    dapple, dapples = mul_apple.backward(dapple_total)
    assert round(total.item(), 9) == TOTAL
    names = ("apple", "apples", "orange", "oranges", "apple_total", "orange_total", "sum", "tax")
    values = (dapple, dapples, dorange, doranges, dapple_total, dorange_total, dsum, dtax)
    assert {n: v.item() for n, v in zip(names, values, strict=True)} == GRADIENTS


def test_shopping_by_finite_differences() -> None:
    point = [APPLE, APPLES, ORANGE, ORANGES, TAX]
    inputs = leaves()
    exact = tg.autograd.grad(shopping(*inputs), inputs)
    for i, g in enumerate(exact):
        h = 1e-4
        up, down = list(point), list(point)
        up[i] += h
        down[i] -= h
        numeric = (shopping(*map(tensor, up)).item() - shopping(*map(tensor, down)).item()) / (
            2 * h
        )
        assert g.item() == pytest.approx(numeric, rel=1e-6)


def test_square_of_a_sum() -> None:
    """z = (x + y)^2: both derivatives are 2 (x + y)."""
    for x0, y0 in ((2.0, 3.0), (-1.5, 0.25), (1e8, -1.0)):
        x, y = tensor(x0, grad=True), tensor(y0, grad=True)
        z = (x + y) ** 2
        z.backward()
        assert z.item() == (x0 + y0) * (x0 + y0)
        assert x.grad.item() == y.grad.item() == 2 * (x0 + y0)


def test_one_step_of_gradient_descent() -> None:
    """y = w2 (w1 x + b1) + b2 at x = 2, weights 1, target 3, loss (y - t)^2 / 2, rate 0.1."""
    w1, b1, w2, b2 = params = [tensor(1.0, grad=True) for _ in range(4)]
    x, t, rate = tensor(2.0), tensor(3.0), 0.1

    def forward() -> tuple[Any, Any]:
        hidden = w1 * x + b1
        return hidden, w2 * hidden + b2

    hidden, y = forward()
    assert (hidden.item(), y.item()) == (3.0, 4.0)
    ((y - t) ** 2 / 2).backward()
    assert [p.grad.item() for p in params] == [2.0, 1.0, 3.0, 1.0]
    with tg.no_grad():
        for p in params:
            p -= rate * p.grad
    assert [p.item() for p in params] == [0.8, 0.9, 0.7, 0.9]
    assert all(p.is_leaf and p.requires_grad for p in params)
    hidden, y = forward()
    assert hidden.item() == 2.5
    assert y.item() == 2.65


# --- a = W x, h = sigmoid(a), y^ = v.h, J = (y^ - y)^2 + lambda (|W|^2 + |v|^2) ------------------


def test_regularised_network_against_its_hand_derived_gradients() -> None:
    rng = np.random.default_rng(5)
    w0, v0, x0 = rng.standard_normal((3, 4)), rng.standard_normal(3), rng.standard_normal(4)
    target, lam = 0.7, 0.01
    w, v, x = tensor(w0, grad=True), tensor(v0, grad=True), tensor(x0, grad=True)
    a = w @ x
    h = tg.sigmoid(a)
    y = v @ h
    for t in (a, h, y):
        t.retain_grad()
    loss = (y - target) ** 2 + lam * ((w**2).sum() + (v**2).sum())
    loss.backward()

    h0 = 1 / (1 + np.exp(-(w0 @ x0)))
    dy = 2 * (v0 @ h0 - target)
    dh = dy * v0
    da = dh * h0 * (1 - h0)
    by_hand = {
        "y": (y, dy),
        "v": (v, dy * h0 + 2 * lam * v0),
        "h": (h, dh),
        "a": (a, da),
        "W": (w, np.outer(da, x0) + 2 * lam * w0),
        "x": (x, w0.T @ da),
    }
    for name, (t, expected) in by_hand.items():
        assert_close(t.grad, np.asarray(expected), rtol=1e-13, atol=1e-15, msg=name)


def test_two_layers_against_the_product_of_their_jacobians() -> None:
    """f(x) = W2 sigma(W1 x + b1) + b2, so df/dx = W2 diag(sigma') W1."""
    rng = np.random.default_rng(6)
    w1, b1 = rng.standard_normal((5, 4)), rng.standard_normal(5)
    w2, b2 = rng.standard_normal((3, 5)), rng.standard_normal(3)
    x0 = rng.standard_normal(4)
    x = tensor(x0, grad=True)
    f = tensor(w2) @ tg.sigmoid(tensor(w1) @ x + tensor(b1)) + tensor(b2)
    rows = [tg.autograd.grad(f[i], x, retain_graph=True)[0].numpy() for i in range(3)]
    s = 1 / (1 + np.exp(-(w1 @ x0 + b1)))
    expected = w2 @ np.diag(s * (1 - s)) @ w1
    np.testing.assert_allclose(np.stack(rows), expected, rtol=1e-13, atol=1e-15)


# --- shared sub-expressions ----------------------------------------------------------------------


def test_ladder_of_doublings() -> None:
    """60 times y = y + y: 2^60 paths, 60 nodes. Walked by path, it would take centuries."""
    x = tensor(1.0, grad=True)
    y = x
    visits = 0

    def count(_: Any) -> None:
        nonlocal visits
        visits += 1

    for _ in range(60):
        y = y + y
        y.register_hook(count)
    y.backward()
    assert y.item() == 2.0**60
    assert x.grad.item() == 2.0**60
    assert visits == 60


# --- vanishing gradients -------------------------------------------------------------------------


def gradient_norms(activation: Any, gain: float, depth: int = 8, width: int = 64) -> list[float]:
    """Norm of the loss gradient at the output of each layer, from the first to the last."""
    rng = np.random.default_rng(7)
    h = tensor(rng.standard_normal((16, width)))
    outputs = []
    for _ in range(depth):
        # Orthogonal weights keep every norm, so that what changes it is the activation alone.
        q, _ = np.linalg.qr(rng.standard_normal((width, width)))
        w = tensor(q * gain, grad=True)
        h = activation(h @ w)
        h.retain_grad()
        outputs.append(h)
    h.sum().backward()
    return [float(o.grad.norm()) for o in outputs]


def test_sigmoid_networks_lose_their_gradient_and_relu_networks_do_not() -> None:
    sigmoid = gradient_norms(tg.sigmoid, gain=1.0)
    ratios = [after / before for before, after in itertools.pairwise(sigmoid)]
    assert min(ratios) >= 4.0  # sigma' is at most 1/4
    relu = gradient_norms(tg.relu, gain=np.sqrt(2.0))
    assert relu[0] > 0.2 * relu[-1]
