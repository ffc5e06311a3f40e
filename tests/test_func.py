"""tapegrad.func: transforms against PyTorch's, against each other, and nested in any order."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from support import assert_close
from tapegrad import func
from tapegrad.autograd import functional
from tapegrad.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 3))
Y = RNG.standard_normal((5, 3))
W = RNG.standard_normal((4, 3))
CLASSES = np.array([0, 2, 1, 3, 0])


def numbers(result: Any) -> list[np.ndarray]:
    return [np.asarray(leaf.detach().numpy()) for leaf in tree_leaves(result)]


def same(a: Any, b: Any, tol: float = 1e-9) -> None:
    left, right = numbers(a), numbers(b)
    assert len(left) == len(right)
    for x, y in zip(left, right, strict=True):
        assert x.shape == y.shape
        assert_close(x, y, rtol=tol, atol=tol)


# --- against PyTorch -----------------------------------------------------------------------------


def written_in_place(lib: Any) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        buffer = lib.zeros(3, dtype=lib.float64)
        buffer[0] = x[1] * 2
        buffer[1:] = x[:2] ** 2
        y = x.clone()
        y[0] = x[1] * 2
        y += 1
        y.mul_(x)
        return (buffer * y).sum()

    return f


def layer(lib: Any, w: Any, x: Any) -> Any:
    return lib.tanh(lib.nn.functional.linear(x, w))


def classify(lib: Any, w: Any, x: Any, t: Any) -> Any:
    return lib.nn.functional.cross_entropy(lib.nn.functional.linear(x, w), t)


# Each a function of the library and its func module.
PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda t, f: f.grad(lambda x: (t.tanh(x) ** 2).sum())(t.tensor(X)),
    "grad-argnums": lambda t, f: f.grad(lambda a, b: (a * b.sin()).sum(), (1, 0))(
        t.tensor(X), t.tensor(Y)
    ),
    "grad-of-dict": lambda t, f: f.grad(lambda d: (d["a"] * d["b"][0].exp()).sum())(
        {"a": t.tensor(X), "b": [t.tensor(Y)]}
    ),
    "grad-has-aux": lambda t, f: f.grad(lambda x: ((x**2).sum(), x * 3), has_aux=True)(t.tensor(X)),
    "grad-and-value": lambda t, f: f.grad_and_value(lambda x: (x**3).sum())(t.tensor(X)),
    "third-derivative": lambda t, f: f.grad(f.grad(f.grad(lambda x: t.exp(t.sin(x)))))(
        t.tensor(0.3, dtype=t.float64)
    ),
    "vjp": lambda t, f: f.vjp(lambda x: (x.sin(), x.sum(0)), t.tensor(X))[1](
        (t.tensor(Y), t.tensor(Y[0]))
    ),
    "jvp": lambda t, f: f.jvp(
        lambda x, y: (x * y).sin(), (t.tensor(X), t.tensor(Y)), (t.tensor(Y), t.tensor(X))
    ),
    "linearize": lambda t, f: f.linearize(lambda x: t.sin(x) ** 2, t.tensor(X))[1](t.tensor(Y)),
    "jacrev": lambda t, f: f.jacrev(lambda x: layer(t, t.tensor(W), x))(t.tensor(X[0])),
    "jacrev-chunks": lambda t, f: f.jacrev(lambda x: layer(t, t.tensor(W), x), chunk_size=3)(
        t.tensor(X[0])
    ),
    "jacfwd": lambda t, f: f.jacfwd(lambda x: layer(t, t.tensor(W), x))(t.tensor(X[0])),
    "jacrev-several": lambda t, f: f.jacrev(lambda a, b: (a * b, {"s": b.sum()}), (0, 1))(
        t.tensor(X[0]), t.tensor(Y[0])
    ),
    "jacfwd-several": lambda t, f: f.jacfwd(lambda a, b: (a * b, {"s": b.sum()}), (0, 1))(
        t.tensor(X[0]), t.tensor(Y[0])
    ),
    "hessian": lambda t, f: f.hessian(lambda x: (layer(t, t.tensor(W), x) ** 3).sum())(
        t.tensor(X[0])
    ),
    "hessian-several": lambda t, f: f.hessian(lambda a, b: (a * a * b).sum(), (0, 1))(
        t.tensor(X[0]), t.tensor(Y[0])
    ),
    "per-sample": lambda t, f: f.vmap(
        f.grad(lambda w, x, c: classify(t, w, x, c)), in_dims=(None, 0, 0)
    )(t.tensor(W), t.tensor(X), t.tensor(CLASSES)),
    "gradient-of-a-batch": lambda t, f: f.grad(
        lambda w: f.vmap(lambda x: (layer(t, w, x) ** 2).sum())(t.tensor(X)).sum()
    )(t.tensor(W)),
    "penalty": lambda t, f: f.grad(
        lambda w: f.vmap(f.grad(lambda x: (layer(t, w, x) ** 2).sum()))(t.tensor(X)).pow(2).sum()
    )(t.tensor(W)),
    "batched-hessian": lambda t, f: f.vmap(
        f.hessian(lambda x: (layer(t, t.tensor(W), x) ** 3).sum())
    )(t.tensor(X)),
    "written-in-place": lambda t, f: f.grad(written_in_place(t))(t.tensor(X[0])),
    "written-in-place-twice": lambda t, f: f.jacfwd(f.grad(written_in_place(t)))(t.tensor(X[0])),
    "softmax-jacobian": lambda t, f: f.vmap(f.jacrev(lambda x: t.softmax(x, -1)))(t.tensor(X)),
    "norms": lambda t, f: f.vmap(f.grad(lambda x: x.norm() + x.std() + x.max()))(t.tensor(X)),
    "solve": lambda t, f: f.vmap(f.jacrev(lambda b: t.linalg.solve(t.tensor(W[:3]), b)))(
        t.tensor(X)
    ),
}


# PyTorch's own imports and its vmap of constants warn.
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@quiet
@pytest.mark.parametrize("name", PROGRAMS)
def test_agrees_with_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    from torch import func as torch_func

    same(PROGRAMS[name](tg, func), PROGRAMS[name](torch, torch_func))


# --- nesting -------------------------------------------------------------------------------------


def power(x: Any) -> Any:
    return (tg.sin(x) * x**2).sum()


def derivative_by_jvp(f: Any) -> Any:
    """The gradient of a function of a vector, column by column, in forward mode."""

    def columns(x: Any) -> Any:
        parts = []
        for i in range(x.shape[0]):
            direction = tg.zeros_like(x).index_fill(0, tg.tensor([i]), 1.0)
            parts.append(func.jvp(f, (x,), (direction,))[1])
        return tg.stack(parts, -1)

    return columns


def derivative_by_vjp(f: Any) -> Any:
    def rows(x: Any) -> Any:
        y, pull = func.vjp(f, x)
        if y.dim() == 0:
            return pull(tg.ones_like(y))[0]
        flat = tg.eye(y.numel(), dtype=y.dtype).reshape(y.numel(), *y.shape)
        parts = [pull(direction)[0] for direction in flat]
        return tg.stack(parts).reshape(*y.shape, *x.shape)

    return rows


DERIVATIVES: dict[str, Any] = {
    "jacrev": func.jacrev,
    "jacfwd": func.jacfwd,
    "jvp": derivative_by_jvp,
    "vjp": derivative_by_vjp,
}


@pytest.mark.parametrize("names", list(itertools.product(DERIVATIVES, repeat=3)), ids="-".join)
def test_derivatives_nest_in_any_order(names: tuple[str, ...]) -> None:
    x = tg.tensor(X[0])
    f = power
    for name in names:
        f = DERIVATIVES[name](f)
    diagonal = 6 * tg.cos(x) - 6 * x * tg.sin(x) - x**2 * tg.cos(x)
    want = tg.zeros(3, 3, 3, dtype=tg.float64)
    for i in range(3):
        want[i, i, i] = diagonal[i]
    same(f(x), want)
    batched = tg.tensor(X)
    same(func.vmap(f)(batched), tg.stack([f(row) for row in batched]))


@pytest.mark.parametrize("names", list(itertools.product(DERIVATIVES, repeat=2)), ids="-".join)
def test_vmap_between_derivatives(names: tuple[str, ...]) -> None:
    """The outer derivative of a function that maps the inner one over a batch."""
    inner, outer = (DERIVATIVES[name] for name in names)
    rows = tg.tensor(X)

    def scaled(s: Any) -> Any:
        return func.vmap(inner(lambda x: (tg.sin(x * s)).sum()))(rows).sum()

    s = tg.tensor(Y[0])
    want = (tg.cos(rows * s) - rows * s * tg.sin(rows * s)).sum(0)
    same(outer(scaled)(s), want)


def test_the_tapes_of_nested_gradients_stay_apart() -> None:
    """The classic confusion of perturbations: d/dx (x * d/dy (x + y)) = 1."""
    one = func.grad(lambda x: x * func.grad(lambda y: x + y)(tg.tensor(1.0)))(tg.tensor(3.0))
    assert one.item() == 1.0
    forward = func.jvp(
        lambda x: x * func.jvp(lambda y: x + y, (tg.tensor(1.0),), (tg.tensor(1.0),))[1],
        (tg.tensor(3.0),),
        (tg.tensor(1.0),),
    )[1]
    assert forward.item() == 1.0


def test_results_are_on_the_plain_tape_only_when_it_reaches_them() -> None:
    x = tg.tensor(2.0)
    assert not func.grad(lambda v: v**3)(x).requires_grad
    w = tg.tensor(3.0, requires_grad=True)
    g = func.grad(lambda v: w * v**3)(x)
    g.backward()
    assert w.grad is not None
    assert w.grad.item() == 12.0
    (second,) = tg.autograd.grad(func.grad(lambda v: v**3)(w), w)
    assert second.item() == 18.0


def test_no_grad_inside_is_respected() -> None:
    def f(x: Any) -> Any:
        with tg.no_grad():
            c = x**2
        return (x**2 - c).sum()

    same(func.grad(f)(tg.tensor(X)), 2 * tg.tensor(X))
    with tg.no_grad():
        same(func.grad(lambda x: (x**2).sum())(tg.tensor(X)), 2 * tg.tensor(X))


# --- modules -------------------------------------------------------------------------------------


def test_per_sample_gradients_of_a_network_in_one_line() -> None:
    tg.manual_seed(0)
    net = tg.nn.Sequential(tg.nn.Linear(3, 8), tg.nn.Tanh(), tg.nn.Linear(8, 4))
    params = dict(net.named_parameters())
    x, t = tg.tensor(X).float(), tg.tensor(CLASSES)

    def loss(p: Any, sample: Any, target: Any) -> Any:
        return tg.nn.functional.cross_entropy(func.functional_call(net, p, sample), target)

    each = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(params, x, t)
    for i in range(len(x)):
        net.zero_grad()
        loss(params, x[i], t[i]).backward()
        for name, p in net.named_parameters():
            assert p.grad is not None
            assert_close(each[name][i], p.grad, rtol=1e-5, atol=1e-6)


def test_an_ensemble_trains_at_once() -> None:
    tg.manual_seed(0)
    models = [tg.nn.Linear(3, 2) for _ in range(6)]
    params, buffers = func.stack_module_state(models)
    assert buffers == {}
    assert params["weight"].shape == (6, 2, 3)
    assert params["weight"].requires_grad
    x = tg.tensor(X).float()
    base = models[0]

    def call(p: Any, inputs: Any) -> Any:
        return func.functional_call(base, p, (inputs,))

    out = func.vmap(call, in_dims=(0, None))(params, x)
    assert_close(out, tg.stack([m(x) for m in models]), rtol=1e-6, atol=1e-6)
    out.square().sum().backward()
    models[3](x).square().sum().backward()
    assert_close(params["weight"].grad[3], models[3].weight.grad, rtol=1e-5, atol=1e-5)


def test_functional_call_restores_the_module() -> None:
    layer = tg.nn.Linear(3, 2)
    weight = layer.weight
    state = {"weight": tg.zeros(2, 3), "bias": tg.ones(2)}
    assert_close(func.functional_call(layer, state, tg.ones(3)), [1.0, 1.0])
    assert layer.weight is weight
    with pytest.raises(RuntimeError, match="linear"):
        func.functional_call(layer, {"weight": tg.zeros(2, 5)}, tg.ones(3))
    assert layer.weight is weight
    assert layer._parameters["weight"] is weight
    with pytest.raises(RuntimeError, match=r"unexpected \['wight'\]"):
        func.functional_call(layer, {"wight": weight}, tg.ones(3))
    with pytest.raises(RuntimeError, match=r"missing \['bias'\]"):
        func.functional_call(layer, {"weight": weight}, tg.ones(3), strict=True)


def test_tied_weights_are_replaced_together() -> None:
    class Tied(tg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = tg.nn.Linear(2, 2, bias=False)
            self.b = tg.nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Any) -> Any:
            return self.b(self.a(x))

    net = Tied()
    twice = {"a.weight": 2 * tg.eye(2)}
    assert_close(func.functional_call(net, twice, tg.ones(2)), [4.0, 4.0])


# --- autograd.functional and is_grads_batched ----------------------------------------------------


@quiet
def test_functional_agrees_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    f, theirs = functional, torch.autograd.functional
    x, y = tg.tensor(X[0]), tg.tensor(Y[0])
    a, b = torch.tensor(X[0]), torch.tensor(Y[0])

    def two(p: Any, q: Any) -> Any:
        return p * q.sin(), (p**2).sum()

    def scalar(p: Any, q: Any) -> Any:
        return (p**2 * q.sin()).sum()

    same(f.jacobian(two, (x, y)), theirs.jacobian(two, (a, b)))
    for strategy in ("reverse-mode", "forward-mode"):
        same(
            f.jacobian(two, (x, y), vectorize=True, strategy=strategy),
            theirs.jacobian(two, (a, b), vectorize=True, strategy=strategy),
        )
    for vectorize in (False, True):
        same(
            f.hessian(scalar, (x, y), vectorize=vectorize),
            theirs.hessian(scalar, (a, b)),
        )
    same(f.vjp(scalar, (x, y)), theirs.vjp(scalar, (a, b)))
    same(f.jvp(scalar, (x, y), (y, x)), theirs.jvp(scalar, (a, b), (b, a)))
    same(f.vhp(scalar, (x, y), (y, x)), theirs.vhp(scalar, (a, b), (b, a)))
    same(f.hvp(scalar, (x, y), (y, x)), theirs.hvp(scalar, (a, b), (b, a)))


def test_functional_create_graph_and_strict() -> None:
    x = tg.tensor(X[0], requires_grad=True)
    jacobian = functional.jacobian(lambda v: v**3, x, create_graph=True)
    (second,) = tg.autograd.grad(jacobian.sum(), x)
    assert_close(second, 6 * tg.tensor(X[0]))
    with pytest.raises(RuntimeError, match="strict"):
        functional.jacobian(lambda v: tg.ones(2), x, strict=True)
    with pytest.raises(RuntimeError, match="one element"):
        functional.hessian(lambda v: v, x)
    with pytest.raises(RuntimeError, match="shape"):
        functional.vjp(lambda v: v, x, tg.ones(2))


def test_batched_gradients() -> None:
    x = tg.tensor(X[0], requires_grad=True)
    y = x**2
    (rows,) = tg.autograd.grad(y, x, tg.eye(3, dtype=tg.float64), is_grads_batched=True)
    assert_close(rows, tg.diag(2 * x.detach()))


def test_products_with_the_hessian() -> None:
    x, v = tg.tensor(X[0]), tg.tensor(Y[0])
    value, product = func.hvp(power, (x,), (v,))
    want = func.hessian(power)(x) @ v
    assert_close(product[0], want)
    assert_close(value, power(x))
    assert_close(func.vhp(power, (x,), (v,))[1][0], want)


# --- bad input -----------------------------------------------------------------------------------


def test_bad_input() -> None:
    x = tg.tensor(X)
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: func.grad(lambda v: v)(x), r"scalar tensor.*\(5, 3\).*jacrev"),
        (lambda: func.grad(lambda v: 3.0)(x), "return a tensor, got a float"),
        (lambda: func.grad(lambda v: v.sum())(3.0), "tensors.*float"),
        (lambda: func.grad(lambda v: v.sum())(tg.tensor([1, 2])), "floating-point.*int64"),
        (lambda: func.grad(lambda v: v.sum(), argnums=2)(x), "argument 2"),
        (lambda: func.grad(lambda v: v.sum(), argnums=(0, 0))(x), "twice"),
        (lambda: func.grad(lambda v: v.sum(), has_aux=True)(x), "has_aux"),
        (lambda: func.vjp(lambda v: v, x)[1](tg.ones(2)), r"\(5, 3\), got \(2,\)"),
        (lambda: func.vjp(lambda v: v, x)[1]((x, x)), "structure"),
        (lambda: func.vjp(lambda v: "text", x), "outputs.*str"),
        (lambda: func.jvp(lambda v: v, x, (x,)), "tuple"),
        (lambda: func.jvp(lambda v: v, (x,), (tg.ones(2),)), r"\(5, 3\), got \(2,\)"),
        (lambda: func.jvp(lambda v: tg.ones(1), (x,), (x,), strict=True), "depend"),
    ]
    for call, message in cases:
        with pytest.raises(RuntimeError, match=message):
            call()
    assert not tg._C._any_level_open()
    assert tg.is_grad_enabled()


def test_unused_inputs_have_zero_gradients() -> None:
    x, y = tg.tensor(X), tg.tensor(Y)
    unused = func.grad(lambda a, b: a.sum(), argnums=1)(x, y)
    assert_close(unused, tg.zeros(5, 3))
    assert_close(func.jvp(lambda a: tg.ones(2), (x,), (y,))[1], tg.zeros(2))
