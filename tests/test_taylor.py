"""Taylor mode: against nested forward mode for every operation, and on random programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from op_row import closure
from op_table import OPS
from support import assert_close
from tapegrad import func

if TYPE_CHECKING:
    from collections.abc import Callable

    from op_row import Op, Sample


def nested(f: Any, x: tuple[Any, ...], v: tuple[Any, ...], order: int) -> Any:
    """The derivative of this order along v, by forward mode in forward mode."""
    if order == 0:
        return f(*x)
    return func.jvp(lambda *a: nested(f, a, v, order - 1), x, v)[1]


def normal(*shape: int, seed: int = 0) -> Any:
    return tg.tensor(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize(
    ("op", "sample"),
    [
        pytest.param(op, op.first, id=op.name)
        for op in OPS.values()
        if op.grad and "float64" in op.dtypes and op.second
    ],
)
def test_every_operation_to_second_order(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    x = tuple(i.detach() for i in inputs)
    v = tuple(normal(*i.shape, seed=k) for k, i in enumerate(x))

    def outputs(*a: Any) -> Any:
        return tuple(y for y in f(*a) if y.is_floating_point())

    value, derivatives = func.taylor(outputs, x, v, order=2)
    for k in (0, 1, 2):
        want = nested(outputs, x, v, k)
        for a, b in zip(value if k == 0 else derivatives[k - 1], want, strict=True):
            scale = max(1.0, float(b.abs().nan_to_num().max())) if b.numel() else 1.0
            assert_close(a, b, rtol=1e-8, atol=1e-9 * scale, msg=f"order {k}")


def written(x: Any) -> Any:
    y = x * 1
    y[0] = x[1] * x[2]
    y[1:].mul_(x[:2])
    return y.sin()


W = normal(4, 3, seed=9)
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": lambda x: tg.tanh(W @ x),
    "quotient": lambda x: tg.exp(tg.sin(x)) * x / (1 + x * x),
    "power": lambda x: (x * x + 1) ** 1.5,
    "softmax": lambda x: tg.softmax(W @ x, -1),
    "products": lambda x: (tg.outer(x, x) @ tg.outer(x, x)).sum(0),
    "gelu": tg.nn.functional.gelu,
    "norm": lambda x: x.norm() + x.var(),
    "views": lambda x: tg.cat([x, x.flip(0) * x]).cumsum(0),
    "where": lambda x: tg.where(x > 0, x**3, x.sin()),
    "in-place": lambda x: (x * x).mul_(x).add_(x.sin()),
    "in-place-view": written,
    "linear": lambda x: tg.nn.functional.linear(x, W, W[:, 0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_fourth_order(name: str) -> None:
    f, x, v = FUNCTIONS[name], normal(3), normal(3, seed=1)
    value, derivatives = func.taylor(f, (x,), (v,), order=4)
    assert_close(value, f(x))
    for k, derivative in enumerate(derivatives, 1):
        want = nested(f, (x,), (v,), k)
        assert_close(derivative, want, rtol=1e-9, atol=1e-9 * float(want.abs().max()))


def test_several_arguments_and_outputs() -> None:
    def f(d: Any, y: Any) -> Any:
        return {"p": d["x"] * y, "q": (d["x"].sin(), y.sum())}

    x, y, v, w = (normal(3, seed=k) for k in range(4))
    value, (first, second) = func.taylor(f, ({"x": x}, y), ({"x": v}, w))
    assert_close(value["p"], x * y)
    assert_close(first["p"], v * y + x * w)
    assert_close(second["p"], 2 * v * w)
    assert_close(second["q"][0], -x.sin() * v * v)
    assert_close(second["q"][1], 0.0)


def test_laplacian() -> None:
    def f(x: Any) -> Any:
        return tg.tanh(W @ x).pow(3).sum()

    x = normal(3)
    want = func.hessian(f)(x).trace()
    assert_close(func.laplacian(f)(x), want, rtol=1e-10)
    value, result = func.laplacian(f, has_value=True)(x)
    assert_close(value, f(x))
    assert_close(result, want, rtol=1e-10)
    rows = normal(5, 3)
    batched = func.vmap(func.laplacian(f))(rows)
    assert_close(batched, tg.stack([func.hessian(f)(row).trace() for row in rows]), rtol=1e-10)
    assert_close(func.laplacian(lambda x: x**3)(x), 6 * x)


def test_gradients_of_a_laplacian() -> None:
    """A physics-informed loss: differentiated by the weights, through the Taylor pass."""
    rows, w = normal(5, 3), W.clone().requires_grad_()

    def net(x: Any) -> Any:
        return tg.tanh(w @ x).sum()

    loss = func.vmap(func.laplacian(net))(rows).square().mean()
    loss.backward()
    assert w.grad is not None
    other = W.clone().requires_grad_()

    def same(x: Any) -> Any:
        return tg.tanh(other @ x).sum()

    reference = func.vmap(lambda x: func.hessian(same)(x).trace())(rows).square().mean()
    reference.backward()
    assert_close(w.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_bad_input() -> None:
    x = normal(3)
    for order in (0, 5, 1.5, True):
        with pytest.raises(ValueError, match="order must be an int from 1 to 4"):
            func.taylor(tg.sin, (x,), (x,), order=order)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="tuple"):
        func.taylor(tg.sin, x, (x,))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"shape \(3,\), got \(2,\)"):
        func.taylor(tg.sin, (x,), (x[:2],))
    with pytest.raises(RuntimeError, match="floating-point"):
        func.taylor(tg.sin, (tg.tensor([1]),), (tg.tensor([1]),))
    assert not tg._C._any_level_open()


# --- random programs: every mode of differentiation agrees ---------------------------------------

UNARY: list[Callable[[Any], Any]] = [
    tg.sin,
    tg.tanh,
    tg.sigmoid,
    lambda x: tg.exp(-x * x),
    lambda x: tg.log(x * x + 1),
    lambda x: x**2 - x,
    lambda x: tg.sqrt(x * x + 0.5),
    tg.nn.functional.softplus,
    lambda x: x.flip(-1),
    lambda x: x.mT,
    lambda x: tg.softmax(x, -1),
    lambda x: x - x.mean(-1, keepdim=True),
    lambda x: x.cumsum(0),
    lambda x: x[[2, 0, 1]],
    lambda x: x.sum(0) + x,
]
BINARY: list[Callable[[Any, Any], Any]] = [
    tg.add,
    tg.sub,
    tg.mul,
    lambda a, b: a / (b * b + 1),
    lambda a, b: (a @ b) / 3,
    lambda a, b: tg.where(a > b, a, b),
    lambda a, b: tg.atan2(a, b * b + 1),
    lambda a, b: tg.cat([a[:1], b[1:]]),
]


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Steps (operation, operand, operand) on a growing list of 3 x 3 matrices."""
    count = draw(st.integers(5, 30))
    total = len(UNARY) + len(BINARY)
    return [
        (
            draw(st.integers(0, total - 1)),
            draw(st.integers(0, i)),
            draw(st.integers(0, i)),
        )
        for i in range(count)
    ]


def run(program: list[tuple[int, int, int]], x: Any) -> Any:
    values = [x]
    for op, i, j in program:
        if op < len(UNARY):
            values.append(UNARY[op](values[i]))
        else:
            values.append(BINARY[op - len(UNARY)](values[i], values[j]))
        values[-1] = tg.tanh(values[-1])  # keeps the numbers in range
    return values[-1].sum() + sum(v.mean() for v in values[1:])


@settings(max_examples=40, deadline=None)
@given(programs(), st.integers(0, 1000))
def test_all_modes_agree_on_random_programs(program: list[tuple[int, int, int]], seed: int) -> None:
    x, v = normal(3, 3, seed=seed), normal(3, 3, seed=seed + 1)

    def f(y: Any) -> Any:
        return run(program, y)

    def along(g: Any) -> Any:
        """The directional derivative by reverse mode."""
        return lambda y: (func.grad(g)(y) * v).sum()

    _, taylor = func.taylor(f, (x,), (v,), order=3)
    g = f
    for k in (1, 2, 3):
        forward, g = nested(f, (x,), (v,), k), along(g)
        reverse = g(x)
        scale = 1 + abs(float(reverse))
        assert abs(float(taylor[k - 1] - reverse)) < 1e-8 * scale, f"Taylor, order {k}"
        assert abs(float(forward - reverse)) < 1e-8 * scale, f"forward, order {k}"
    h = 1e-5
    kinked = any(op - len(UNARY) == 5 for op, _, _ in program)
    difference = (f(x + h * v) - f(x - h * v)) / (2 * h)
    if not kinked:
        assert abs(float(difference - taylor[0])) < 1e-5 * (1 + abs(float(taylor[0])))
    batched = func.vmap(lambda y: func.taylor(f, (y,), (v,), order=2)[1][1])(tg.stack([x, x]))
    assert abs(float(batched[1] - taylor[1])) < 1e-8 * (1 + abs(float(taylor[1])))
