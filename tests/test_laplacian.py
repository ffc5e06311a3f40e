"""The forward Laplacian: against second Taylor coefficients for every operation, and nested."""

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
    from collections.abc import Callable

    from op_row import Op, Sample


def normal(*shape: int, seed: int = 0) -> Any:
    return tg.tensor(np.random.default_rng(seed).standard_normal(shape))


def by_direction(f: Callable[[Any], Any], x: Any) -> Any:
    """The sum of second derivatives, one direction after the other."""
    unit = tg.eye(x.numel(), dtype=x.dtype)
    return sum(func.taylor(f, (x,), (row.reshape(x.shape),))[1][1] for row in unit)


@pytest.mark.parametrize(
    ("op", "sample"),
    [
        pytest.param(op, op.first, id=op.name)
        for op in OPS.values()
        if op.grad and "float64" in op.dtypes and op.second
    ],
)
def test_every_operation(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    values = tuple(i.detach() for i in inputs)
    for k, x in enumerate(values):
        if not 0 < x.numel() <= 30:
            continue

        def moving(v: Any, k: int = k) -> Any:
            outputs = f(*values[:k], v, *values[k + 1 :])
            return next(y for y in outputs if y.is_floating_point())

        want = by_direction(moving, x)
        scale = max(1.0, float(want.abs().nan_to_num().max())) if want.numel() else 1.0
        assert_close(func.laplacian(moving)(x), want, rtol=1e-8, atol=1e-9 * scale)
        if op.name == "setitem":
            continue  # writes what differs between samples into what they share: refused
        batched = func.vmap(func.laplacian(moving))(tg.stack([x, x]))
        for row in batched:
            assert_close(row, want, rtol=1e-8, atol=1e-9 * scale)


W, U = normal(4, 3, seed=9), normal(2, 4, seed=8)


def network(x: Any) -> Any:
    return (U @ tg.tanh(tg.nn.functional.linear(x, W, W[:, 0]))).sigmoid()


def test_memory_layouts_of_the_tangents() -> None:
    """Elementwise functions with the batch before, behind and without the rows."""
    x = normal(5, 3)
    want = tg.stack([by_direction(network, row) for row in x])
    assert_close(func.vmap(func.laplacian(network))(x), want, rtol=1e-10)
    assert_close(func.vmap(func.laplacian(network), in_dims=1)(x.T.clone()), want, rtol=1e-10)
    square = normal(4, 3, 3)

    def twice(m: Any) -> Any:
        return tg.exp(m.T).sin().sum(0)

    want = tg.stack([by_direction(twice, m) for m in square])
    assert_close(func.vmap(func.laplacian(twice))(square), want, rtol=1e-10)
    inner = func.laplacian(lambda m: func.vmap(twice)(m.unsqueeze(0))[0])
    assert_close(inner(square[0]), want[0], rtol=1e-10)


def test_inside_other_transforms() -> None:
    x = normal(3)
    laplacian = func.laplacian(lambda v: network(v).sum())
    trace = lambda v: func.hessian(lambda u: network(u).sum())(v).trace()  # noqa: E731
    assert_close(func.grad(laplacian)(x), func.grad(trace)(x), rtol=1e-9)
    assert_close(func.hessian(laplacian)(x), func.hessian(trace)(x), rtol=1e-8)
    assert_close(func.laplacian(laplacian)(x), func.hessian(trace)(x).trace(), rtol=1e-8)
    v = normal(3, seed=1)
    assert_close(func.jvp(laplacian, (x,), (v,))[1], func.grad(trace)(x) @ v, rtol=1e-9)


def test_result_that_does_not_move() -> None:
    x = normal(3)
    assert_close(func.laplacian(lambda v: v * 2)(x), tg.zeros(3, dtype=tg.float64))
    assert_close(func.laplacian(lambda v: U.sum())(x), 0.0)
    value, result = func.laplacian(lambda v: v.floor(), has_value=True)(x)
    assert_close(value, x.floor())
    assert_close(result, tg.zeros(3, dtype=tg.float64))


def test_one_thread_and_two_agree() -> None:
    x = normal(12000, 3).float()
    w = W.float()
    f = func.vmap(func.laplacian(lambda v: tg.tanh(w @ v)))
    before = tg.get_num_threads()
    try:
        tg.set_num_threads(1)
        one = f(x)
        tg.set_num_threads(2)
        assert_close(f(x), one, rtol=0, atol=0)
    finally:
        tg.set_num_threads(before)


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize("x", [1e6, 1e12])
def test_derivatives_of_circular_functions_of_large_numbers(x: float, dtype: Any) -> None:
    at = tg.tensor([x], dtype=dtype)
    exact = float(at.item())
    tolerance = 1e-6 if dtype is tg.float32 else 1e-15
    for function, first, second in (
        (tg.sin, np.cos(exact), -np.sin(exact)),
        (tg.cos, -np.sin(exact), -np.cos(exact)),
    ):
        leaf = at.clone().requires_grad_()
        function(leaf).sum().backward()
        assert leaf.grad is not None
        assert_close(leaf.grad, [first], rtol=tolerance, atol=0)
        assert_close(func.laplacian(function)(at), [second], rtol=tolerance, atol=0)


class Cube(tg.autograd.Function):
    """x^3 s, by a rule of its own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any, scale: Any) -> Any:
        return x * x * x * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.scale = inputs[1]

    @staticmethod
    def jvp(ctx: Any, tangent: Any, _: Any) -> Any:
        return 3 * ctx.scale * ctx.saved_tensors[0] ** 2 * tangent


class Exp(tg.autograd.Function):
    """exp(x), whose rule reads the result; and a count that has no derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any) -> Any:
        return x.exp(), (x > 0).sum()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output[0])

    @staticmethod
    def jvp(ctx: Any, tangent: Any) -> Any:
        return ctx.saved_tensors[0] * tangent, None


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_a_custom_function_moves_along_curves(order: int) -> None:
    def custom(x: Any) -> Any:
        return (Cube.apply(x.sin(), 0.5) * Exp.apply(x)[0]).sum(-1)

    def plain(x: Any) -> Any:
        return (0.5 * x.sin() ** 3 * x.exp()).sum(-1)

    x, direction = normal(4, 3), normal(4, 3)
    ours = func.taylor(custom, (x,), (direction,), order)
    theirs = func.taylor(plain, (x,), (direction,), order)
    for a, b in zip(ours[1], theirs[1], strict=True):
        assert_close(a, b)


def test_a_custom_function_has_a_laplacian() -> None:
    def custom(x: Any) -> Any:
        return (Cube.apply(x.sin(), 0.5) * Exp.apply(x)[0]).sum(-1)

    def plain(x: Any) -> Any:
        return (0.5 * x.sin() ** 3 * x.exp()).sum(-1)

    x = normal(3)
    assert_close(func.laplacian(custom)(x), func.laplacian(plain)(x))
    both = func.vmap(func.laplacian(custom))(normal(4, 3))
    assert_close(both, func.vmap(func.laplacian(plain))(normal(4, 3)))
    nested = func.jvp(func.laplacian(custom), (x,), (normal(3),))[1]
    assert_close(nested, func.jvp(func.laplacian(plain), (x,), (normal(3),))[1])


def test_a_custom_function_that_saves_what_it_computed_is_refused() -> None:
    """The derivative of that is not known: jvp alone is right, not what it would be there."""

    class Square(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_forward(2 * x)
            return x * x

        @staticmethod
        def jvp(ctx: Any, tangent: Any) -> Any:
            return ctx.saved_tensors[0] * tangent

    x = normal(3)
    assert_close(func.jvp(Square.apply, (x,), (x,))[1], 2 * x * x)
    with pytest.raises(NotImplementedError, match="neither an input nor an output"):
        func.laplacian(Square.apply)(x)
    with pytest.raises(NotImplementedError, match="return it as an output"):
        func.taylor(Square.apply, (x,), (x,), 2)
    assert not tg._C._any_level_open()
