"""Known failures of graphs: depth, shared nodes, cycles, aliases, fused derivatives."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from support import assert_close, run_in_threads, run_python, tensor
from tapegrad.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

# --- 1: no recursion, however deep the graph -----------------------------------------------------

CHAIN = """
import sys, threading
import tapegrad as tg

n = int(sys.argv[1])
kind = sys.argv[2]

def build():
    x = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    c = tg.tensor(1.0, dtype=tg.float64, requires_grad=True)
    y = x * 1
    if kind == "leaf":
        for _ in range(n):
            y = y * c
    elif kind == "saved":
        for _ in range(n):
            y = y.tanh()
    elif kind == "view":
        for _ in range(n):
            y = y.view(2)
    elif kind == "slice":
        for _ in range(n):
            y = y[0:]
    elif kind == "inplace":
        for _ in range(n):
            y.mul_(1)
    elif kind == "inplace-view":
        for _ in range(n):
            y[0:1].add_(1)
    elif kind == "add":
        for _ in range(n):
            y = y + x
    return x, c, y

def work():
    x, c, y = build()          # freed without a backward pass
    del x, c, y
    x, c, y = build()
    y.sum().backward()
    first = x.grad[0].item()
    del y
    x, c, y = build()          # freed after a retained one
    y.sum().backward(retain_graph=True)
    assert x.grad[0].item() == first
    del x, c, y
    print("value", first)

if sys.argv[3] == "main":
    work()
else:
    threading.stack_size(65536)
    t = threading.Thread(target=work)
    t.start()
    t.join()
"""


def run_chain(n: int, kind: str, where: str) -> float:
    out = run_python(
        CHAIN,
        args=[str(n), kind, where],
        stack_kb=256 if where == "main" else None,
        timeout=200,
    )
    return float(out.split("value")[1])


@pytest.mark.footprint
@pytest.mark.parametrize("where", ["main", "thread"])
def test_chain_of_a_million_operations_on_a_small_stack(where: str) -> None:
    assert run_chain(1_000_000, "leaf", where) == 1.0


@pytest.mark.footprint
@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("kind", ["saved", "view", "slice", "inplace", "inplace-view", "add"])
def test_other_deep_chains_on_a_small_stack(kind: str, where: str) -> None:
    n = 20_000 if kind == "inplace-view" else 100_000
    first = run_chain(n, kind, where)
    assert {"saved": 0 < first < 1e-3, "add": first == n + 1}.get(kind, first == 1.0)


def test_deep_graph_of_a_gradient() -> None:
    """create_graph doubles the depth; the second derivative walks and frees it all."""
    out = run_python(
        """
        import tapegrad as tg
        x = tg.tensor(0.5, dtype=tg.float64, requires_grad=True)
        y = x
        for _ in range(50_000):
            y = y * 1.0000001
        z = y * y
        (g,) = tg.autograd.grad(z, x, create_graph=True)
        (h,) = tg.autograd.grad(g, x)
        del y, z, g
        print(h.item())
        """,
        stack_kb=256,
    )
    assert float(out) == pytest.approx(2 * 1.0000001**100_000, rel=1e-9)


def test_deep_chain_of_tensors_held_by_attributes_of_hooks() -> None:
    """Each hook owns the previous tensor, so freeing the last one frees them all in turn."""
    run_python(
        """
        import tapegrad as tg
        x = tg.tensor([1.0], requires_grad=True)
        y = x * 1
        for _ in range(20_000):
            z = y * 1
            z.register_hook(lambda g, keep=y: None)
            y = z
        y.sum().backward()
        del y, z
        assert x.grad.tolist() == [1.0]
        """,
        stack_kb=512,
    )


def test_repr_of_a_deep_graph() -> None:
    y = tensor([1.0], grad=True)
    for _ in range(5000):
        y = y * 1
    assert len(repr(y)) < 200
    assert len(repr(y.grad_fn)) < 200


# --- 2: shared nodes are visited once ------------------------------------------------------------


@pytest.mark.parametrize("depth", [60, 900])
def test_diamond_ladder(depth: int) -> None:
    x = tensor(1.0, grad=True)
    y, visits = x, [0]

    def count(_: Any) -> None:
        visits[0] += 1

    for _ in range(depth):
        left, right = y * 1, y * 1
        y = left + right
        y.register_hook(count)
    y.backward()
    assert x.grad.item() == 2.0**depth
    assert visits[0] == depth


def test_diamond_ladder_of_second_order() -> None:
    x = tensor(1.0, grad=True)
    y = x * x
    for _ in range(40):
        y = y * 0.5 + y * 0.5
    (g,) = tg.autograd.grad(y, x, create_graph=True)
    (h,) = tg.autograd.grad(g, x)
    assert (g.item(), h.item()) == (2.0, 2.0)


# --- 3: everything dies by reference count -------------------------------------------------------

LIVES: dict[str, Callable[[], list[Any]]] = {}


def life(f: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
    LIVES[f.__name__] = f
    return f


@life
def saves_its_output() -> list[Any]:
    x = tensor([1.0, 2.0], grad=True)
    y = x.exp()
    z = y.tanh().sigmoid().softmax(0)
    return [x, y, z]


@life
def after_backward() -> list[Any]:
    x = tensor([1.0, 2.0], grad=True)
    y = x.exp()
    y.sum().backward()
    return [x, y, x.grad]


@life
def grad_with_create_graph() -> list[Any]:
    x = tensor([1.0, 2.0], grad=True)
    y = (x.exp() * x).sum()
    (g,) = tg.autograd.grad(y, x, create_graph=True)
    (h,) = tg.autograd.grad(g.sum(), x, create_graph=True)
    return [x, y, g, h]


@life
def backward_with_create_graph() -> list[Any]:
    x = tensor([1.0, 2.0], grad=True)
    y = (x.exp() * x).sum()
    y.backward(create_graph=True)
    return [x, y, x.grad]


@life
def with_hooks() -> list[Any]:
    x = tensor([1.0, 2.0], grad=True)
    y = x.exp()
    y.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: g * 2)
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    return [x, y, y.grad]


@life
def views_and_in_place() -> list[Any]:
    x = tensor([1.0, 2.0, 3.0], grad=True)
    base = x * 1
    view = base[1:]
    view.exp_()
    base.mul_(2)
    return [x, base, view]


@life
def indexing() -> list[Any]:
    x = tensor([1.0, 2.0, 3.0], grad=True)
    y = x[tg.tensor([0, 1])]
    z = x[x > 0]
    z[0] = y[1]
    return [x, y, z]


@pytest.mark.parametrize("name", LIVES)
def test_nothing_needs_the_garbage_collector(name: str) -> None:
    gc.collect()
    gc.disable()
    try:
        made = LIVES[name]()
        refs = [weakref.ref(t) for t in made]
        del made
        assert [r() for r in refs] == [None] * len(refs)
    finally:
        gc.enable()


def test_training_loop_without_garbage_collector_keeps_memory_flat() -> None:
    out = run_python(
        """
        import gc, resource
        import tapegrad as tg
        gc.disable()
        w = tg.randn(64, 64, requires_grad=True)
        x = tg.randn(32, 64)
        def step():
            h = tg.tanh(x @ w)
            (g,) = tg.autograd.grad((h * h).sum(), w, create_graph=True)
            (g * g).sum().backward()
            w.grad = None
        for _ in range(50):
            step()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(500):
            step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """
    )
    assert int(out) < 8_000  # KiB; one leaked step of these shapes holds about 150


# --- 4: a saved tensor changed in place, by any alias --------------------------------------------

ALIASES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda t: t,
    "view": lambda t: t.view(-1),
    "slice": lambda t: t[:1],
    "transposed": lambda t: t.t(),
    "detach": lambda t: t.detach(),
    "data": lambda t: t.data,
    "detach-view": lambda t: t.detach()[1:],
    "data-view": lambda t: t.data.t(),
}
CHANGES: dict[str, Callable[[Any], Any]] = {
    "mul": lambda t: t.mul_(3),
    "fill": lambda t: t.fill_(0.3),
    "setitem": lambda t: t.__setitem__(0, 0.7),
    "copy": lambda t: t.copy_(tg.full_like(t, 0.9)),
    "out": lambda t: tg.add(t, 1.0, out=t),
    "zero": lambda t: t.zero_(),
}
SAVERS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    # the result, and the tensor that its derivative needs
    "mul": lambda x: (lambda h: (h * h.cos().detach(), h))(x * 1),
    "exp": lambda x: (lambda y: (y, y))((x * 1).exp()),
    "tanh": lambda x: (lambda y: (y, y))((x * 1).tanh()),
    "sigmoid": lambda x: (lambda y: (y, y))((x * 1).sigmoid()),
    "log": lambda x: (lambda h: (h.log(), h))(x * 1),
    "sin": lambda x: (lambda h: (h.sin(), h))(x * 1),
    "pow": lambda x: (lambda h: (h**3, h))(x * 1),
    "div": lambda x: (lambda h: (1 / h, h))(x * 1),
    "matmul": lambda x: (lambda h: (h @ h, h))(x * 1),
    "softmax": lambda x: (lambda y: (y, y))((x * 1).softmax(1)),
    "prod": lambda x: (lambda h: (h.prod(1), h))(x * 1),
    "norm": lambda x: (lambda h: (h.norm(dim=1), h))(x * 1),
    "var": lambda x: (lambda h: (h.var(1), h))(x * 1),
    "logsumexp": lambda x: (lambda h: (h.logsumexp(1), h))(x * 1),
    "mse": lambda x: (lambda h: (F.mse_loss(h, tg.zeros_like(h)), h))(x * 1),
    "relu": lambda x: (lambda y: (y, y))((x - 0.8).relu()),
    "square": lambda x: (lambda h: (h.square(), h))(x * 1),
    "sum": lambda x: (lambda h: (h.sum(1), h))(x * 1),
    "add": lambda x: (lambda h: (h + 2, h))(x * 1),
}


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("op", SAVERS)
def test_change_of_a_saved_tensor_is_an_error_or_harmless(op: str, change: str, alias: str) -> None:
    """The gradient of the values before the change, or an error: nothing between."""
    values = [[0.5, 1.5], [1.1, 0.6]]

    def run(changed: bool) -> Any:
        x = tensor(values, grad=True)
        y, saved = SAVERS[op](x)
        w = tensor(np.arange(1.0, 1.0 + y.numel()).reshape(tuple(y.shape)))
        loss = (y * w).sum()
        if changed:
            with tg.no_grad():
                CHANGES[change](ALIASES[alias](saved))
        loss.backward()
        return x.grad

    expected = run(False)
    try:
        got, message = run(True), ""
    except RuntimeError as error:
        got, message = None, str(error)
    if got is None:
        assert re.search("in.?place", message), message
    else:
        assert_close(got, expected, rtol=1e-14)


def test_the_error_names_the_operation_and_the_versions() -> None:
    x = tensor([1.0, 2.0], grad=True)
    y = x.exp()
    y.add_(1)
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"(?is)exp.*version|version.*exp") as info:
        y.sum().backward()
    assert "2" in str(info.value)
    assert "0" in str(info.value)


# --- 5: fused operations against their compositions, to third order ------------------------------


def sigmoid(x: Any) -> Any:
    return 1 / (1 + (-x).exp())


def log_softmax(x: Any, dim: int) -> Any:
    return x - x.exp().sum(dim, keepdim=True).log()


def mean_square(x: Any, dim: int) -> Any:
    d = x - x.sum(dim, keepdim=True) / x.shape[dim]
    return (d * d).sum(dim) / (x.shape[dim] - 1)


T = np.array([[0.2, 0.9, 0.4], [0.7, 0.1, 0.5]])
W = np.array([0.5, 1.5, 2.0])
CLASSES = np.array([2, 0])
ONE_HOT = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
SQRT_2_OVER_PI = float(np.sqrt(2 / np.pi))


def weighted_ce(x: Any) -> Any:
    picked = (log_softmax(x, 1) * tensor(ONE_HOT * W)).sum(1)
    return -picked.sum() / float(W[CLASSES].sum())


def smoothed_ce(x: Any) -> Any:
    soft = ONE_HOT * 0.9 + 0.1 / 3
    return -(log_softmax(x, 1) * tensor(soft)).sum(1).mean()


def spd(x: Any) -> Any:
    """A symmetric positive definite matrix of 2 x 2."""
    return x @ x.t() + tensor([[1.0, 0.2], [0.2, 2.0]])


def general(x: Any) -> Any:
    """A regular matrix of 2 x 2 without symmetry."""
    return x[:, :2].sin() + tensor([[3.0, 0.4], [-0.7, 2.0]])


def det(a: Any) -> Any:
    return a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]


def matrix(a: Any, b: Any, c: Any, d: Any) -> Any:
    return tg.stack([tg.stack([a, b]), tg.stack([c, d])])


def inverse(a: Any) -> Any:
    return matrix(a[1, 1], -a[0, 1], -a[1, 0], a[0, 0]) / det(a)


def eigenvalues(a: Any) -> Any:
    middle, half = (a[0, 0] + a[1, 1]) / 2, (a[0, 0] - a[1, 1]) / 2
    reach = (half * half + a[0, 1] * a[1, 0]) ** 0.5
    return tg.stack([middle - reach, middle + reach])


def cholesky(a: Any) -> Any:
    first = a[0, 0] ** 0.5
    below = a[1, 0] / first
    return matrix(first, first * 0, below, (a[1, 1] - below * below) ** 0.5)


def length(x: Any, dim: int) -> Any:
    return (x * x).sum(dim, keepdim=True) ** 0.5


FUSED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "softmax": (lambda x: x.softmax(1), lambda x: x.exp() / x.exp().sum(1, keepdim=True)),
    "softmax-dim0": (lambda x: x.softmax(0), lambda x: x.exp() / x.exp().sum(0, keepdim=True)),
    "log_softmax": (lambda x: x.log_softmax(1), lambda x: log_softmax(x, 1)),
    "logsumexp": (lambda x: x.logsumexp(1), lambda x: x.exp().sum(1).log()),
    "sigmoid": (tg.sigmoid, sigmoid),
    "tanh": (tg.tanh, lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())),
    "silu": (F.silu, lambda x: x * sigmoid(x)),
    "softplus": (F.softplus, lambda x: (1 + x.exp()).log()),
    "softplus-beta": (lambda x: F.softplus(x, beta=2.0), lambda x: (1 + (2 * x).exp()).log() / 2),
    "gelu": (F.gelu, lambda x: 0.5 * x * (1 + tg.erf(x / float(np.sqrt(2))))),
    "gelu-tanh": (
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: 0.5 * x * (1 + tg.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x))),
    ),
    "rsqrt": (lambda x: (x * x + 1).rsqrt(), lambda x: 1 / (x * x + 1).sqrt()),
    "square": (tg.square, lambda x: x * x),
    "reciprocal": (tg.reciprocal, lambda x: x**-1),
    "expm1": (tg.expm1, lambda x: x.exp() - 1),
    "log1p": (lambda x: (x * x).log1p(), lambda x: (1 + x * x).log()),
    "tan": (tg.tan, lambda x: x.sin() / x.cos()),
    "sinh": (tg.sinh, lambda x: (x.exp() - (-x).exp()) / 2),
    "cosh": (tg.cosh, lambda x: (x.exp() + (-x).exp()) / 2),
    "pow": (lambda x: x**3, lambda x: x * x * x),
    "div": (lambda x: (x + 1) / (x * x + 1), lambda x: (x + 1) * (x * x + 1) ** -1),
    "mean": (lambda x: (x**3).mean(1), lambda x: (x * x * x).sum(1) / 3),
    "var": (lambda x: x.var(1), lambda x: mean_square(x, 1)),
    "std": (lambda x: x.std(1), lambda x: mean_square(x, 1).sqrt()),
    "norm": (lambda x: x.norm(dim=1), lambda x: (x * x).sum(1).sqrt()),
    "norm-3": (lambda x: x.norm(p=3, dim=1), lambda x: (x.abs() ** 3).sum(1) ** (1 / 3)),
    "prod": (lambda x: x.prod(1), lambda x: x[:, 0] * x[:, 1] * x[:, 2]),
    "cumprod": (
        lambda x: x.cumprod(1),
        lambda x: tg.stack([x[:, 0], x[:, 0] * x[:, 1], x[:, 0] * x[:, 1] * x[:, 2]], 1),
    ),
    "cumprod-zero": (
        lambda x: (x * tensor([1.0, 0.0, 1.0])).cumprod(1).sum(1),
        lambda x: x[:, 0] + x[:, 0] * (x[:, 1] * 0) * (1 + x[:, 2]),
    ),
    "logcumsumexp": (
        lambda x: x.logcumsumexp(1),
        lambda x: tg.stack([x[:, : i + 1].exp().sum(1).log() for i in range(3)], 1),
    ),
    "mish": (F.mish, lambda x: x * tg.tanh((1 + x.exp()).log())),
    "elu": (F.elu, lambda x: tg.where(x > 0, x, x.exp() - 1)),
    "celu": (
        lambda x: F.celu(x, alpha=1.5),
        lambda x: tg.where(x > 0, x, 1.5 * ((x / 1.5).exp() - 1)),
    ),
    "logsigmoid": (F.logsigmoid, lambda x: -(1 + (-x).exp()).log()),
    "softsign": (F.softsign, lambda x: x / (1 + (x * x) ** 0.5)),
    "tanhshrink": (F.tanhshrink, lambda x: x - (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())),
    "hardswish": (F.hardswish, lambda x: x * (x + 3) / 6),
    "glu": (
        lambda x: F.glu(x.t() * x.t()[:, :1], 1),
        lambda x: (x.t() * x.t()[:, :1])[:, :1] * sigmoid((x.t() * x.t()[:, :1])[:, 1:]),
    ),
    "atan2": (
        lambda x: tg.atan2(x + 2, x * x + 1),
        lambda x: tg.atan((x + 2) / (x * x + 1)),
    ),
    "hypot": (
        lambda x: tg.hypot(x, x * x + 1),
        lambda x: (x * x + (x * x + 1) * (x * x + 1)) ** 0.5,
    ),
    "logaddexp": (
        lambda x: tg.logaddexp(x, x * x),
        lambda x: (x.exp() + (x * x).exp()).log(),
    ),
    "xlogy": (lambda x: tg.xlogy(x, x * x + 1), lambda x: x * (x * x + 1).log()),
    "lerp": (lambda x: tg.lerp(x, x * x, x.sin()), lambda x: x + x.sin() * (x * x - x)),
    "addcmul": (
        lambda x: tg.addcmul(x, x.sin(), x.exp(), value=0.5),
        lambda x: x + 0.5 * x.sin() * x.exp(),
    ),
    "addcdiv": (
        lambda x: tg.addcdiv(x, x.sin(), x.exp(), value=0.5),
        lambda x: x + 0.5 * x.sin() * (-x).exp(),
    ),
    "logit": (
        lambda x: tg.logit(sigmoid(x) * 0.5 + 0.1),
        lambda x: ((sigmoid(x) * 0.5 + 0.1) / (0.9 - sigmoid(x) * 0.5)).log(),
    ),
    "normalize": (lambda x: F.normalize(x, dim=1), lambda x: x / length(x, 1)),
    "cosine_similarity": (
        lambda x: F.cosine_similarity(x, x.sin() + 1, dim=1),
        lambda x: ((x / length(x, 1)) * ((x.sin() + 1) / length(x.sin() + 1, 1))).sum(1),
    ),
    "cdist": (
        lambda x: tg.cdist(x, x.sin() + 1),
        lambda x: ((x[:, None, :] - (x.sin() + 1)[None]) ** 2).sum(-1) ** 0.5,
    ),
    "bmm": (
        lambda x: tg.bmm(x.sin()[None], x.t().exp()[None])[0],
        lambda x: (x.sin()[:, None, :] * x.exp()[None]).sum(-1),
    ),
    "baddbmm": (
        lambda x: tg.baddbmm(spd(x)[None], x.sin()[None], x.t().cos()[None], beta=0.5, alpha=2.0),
        lambda x: (0.5 * spd(x) + 2.0 * (x.sin()[:, None, :] * x.cos()[None]).sum(-1))[None],
    ),
    "einsum": (
        lambda x: tg.einsum("ij,kj,k->i", x, x.sin(), x[:, 0]),
        lambda x: (x[:, None, :] * x.sin()[None] * x[None, :, :1]).sum((1, 2)),
    ),
    "det": (lambda x: tg.linalg.det(general(x)), lambda x: det(general(x))),
    "slogdet": (lambda x: tg.linalg.slogdet(spd(x))[1], lambda x: det(spd(x)).log()),
    "inv": (lambda x: tg.linalg.inv(general(x)), lambda x: inverse(general(x))),
    "solve": (
        lambda x: tg.linalg.solve(general(x), x),
        lambda x: (inverse(general(x))[:, :, None] * x[None]).sum(1),
    ),
    "matrix_power": (
        lambda x: tg.linalg.matrix_power(general(x), -2),
        lambda x: inverse(general(x)) @ inverse(general(x)),
    ),
    "cholesky": (lambda x: tg.linalg.cholesky(spd(x)), lambda x: cholesky(spd(x))),
    "eigvalsh": (lambda x: tg.linalg.eigvalsh(spd(x)), lambda x: eigenvalues(spd(x))),
    "eigh": (
        lambda x: (lambda w, v: (v * w.sin()) @ v.t())(*tg.linalg.eigh(spd(x))),
        # A function of a 2 x 2 matrix is linear in it, with coefficients from its eigenvalues.
        lambda x: (
            lambda a, w: (
                (w[1].sin() - w[0].sin()) / (w[1] - w[0]) * a
                + (w[1] * w[0].sin() - w[0] * w[1].sin()) / (w[1] - w[0]) * tensor(np.eye(2))
            )
        )(spd(x), eigenvalues(spd(x))),
    ),
    "svdvals": (
        lambda x: tg.linalg.svdvals(x),
        lambda x: tg.flip(eigenvalues(x @ x.t()), (0,)) ** 0.5,
    ),
    "matrix_norm": (lambda x: tg.linalg.matrix_norm(x), lambda x: (x * x).sum() ** 0.5),
    "cumsum": (
        lambda x: (x**2).cumsum(1),
        lambda x: tg.stack([(x[:, : i + 1] ** 2).sum(1) for i in range(3)], 1),
    ),
    "addmm": (
        lambda x: tg.addmm(x.sum(0)[:2], x.sin(), x.t().cos(), beta=0.5, alpha=2.0),
        lambda x: 0.5 * x.sum(0)[:2] + 2.0 * (x.sin() @ x.t().cos()),
    ),
    "linear": (
        lambda x: F.linear(x.sin(), x.cos(), x.sum(0)[:2]),
        lambda x: (x.sin()[:, None, :] * x.cos()[None]).sum(-1) + x.sum(0)[:2],
    ),
    "matmul": (
        lambda x: x.sin() @ x.t().exp(),
        lambda x: (x.sin()[:, None, :] * x.exp()[None]).sum(-1),
    ),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, tg.tensor(CLASSES)),
        lambda x: -(log_softmax(x, 1) * tensor(ONE_HOT)).sum(1).mean(),
    ),
    "cross_entropy-weight": (
        lambda x: F.cross_entropy(x, tg.tensor(CLASSES), weight=tensor(W)),
        weighted_ce,
    ),
    "cross_entropy-smooth": (
        lambda x: F.cross_entropy(x, tg.tensor(CLASSES), label_smoothing=0.1),
        smoothed_ce,
    ),
    "cross_entropy-soft": (
        lambda x: F.cross_entropy(x, tensor(T), reduction="sum"),
        lambda x: -(log_softmax(x, 1) * tensor(T)).sum(),
    ),
    "nll_loss": (
        lambda x: F.nll_loss(x.sin(), tg.tensor(CLASSES)),
        lambda x: -(x.sin() * tensor(ONE_HOT)).sum(1).mean(),
    ),
    "mse_loss": (
        lambda x: F.mse_loss(x.sin(), tensor(T)),
        lambda x: ((x.sin() - tensor(T)) ** 2).mean(),
    ),
    "huber_loss": (
        lambda x: F.huber_loss(x * x, tensor(T - 0.6), delta=2.5),
        lambda x: (0.5 * (x * x - tensor(T - 0.6)) ** 2).mean(),
    ),
    "smooth_l1_loss": (
        lambda x: F.smooth_l1_loss(x * x, tensor(T + 9), beta=2.0),
        lambda x: (tensor(T + 9) - x * x - 1.0).mean(),
    ),
    "binary_cross_entropy": (
        lambda x: F.binary_cross_entropy(sigmoid(x), tensor(T)),
        lambda x: (-tensor(T) * sigmoid(x).log() - tensor(1 - T) * (1 - sigmoid(x)).log()).mean(),
    ),
    "bce_with_logits": (
        lambda x: F.binary_cross_entropy_with_logits(x, tensor(T)),
        lambda x: ((1 + x.exp()).log() - x * tensor(T)).mean(),
    ),
    "bce_with_logits-pos_weight": (
        lambda x: F.binary_cross_entropy_with_logits(x, tensor(T), pos_weight=tensor(W)),
        lambda x: (
            tensor(W * T) * (1 + (-x).exp()).log() + tensor(1 - T) * (1 + x.exp()).log()
        ).mean(),
    ),
}


@pytest.mark.parametrize("name", FUSED)
def test_fused_operation_equals_its_composition_to_third_order(name: str) -> None:
    rng = np.random.default_rng(8)
    x0 = rng.uniform(0.3, 1.4, (2, 3)) * np.where(rng.random((2, 3)) < 0.4, -1.0, 1.0)
    directions = [rng.standard_normal((2, 3)) for _ in range(2)]

    def orders(f: Callable[[Any], Any]) -> list[Any]:
        x = tensor(x0, grad=True)
        y = f(x)
        weights = np.cos(np.arange(float(y.numel()))).reshape(tuple(y.shape)) + 1.5
        (g1,) = tg.autograd.grad((y * tensor(weights)).sum(), x, create_graph=True)
        found = [y, g1]
        g = g1
        for v in directions:
            if not g.requires_grad:
                g = tg.zeros_like(g)
            else:
                (g,) = tg.autograd.grad(
                    (g * tensor(v)).sum(), x, create_graph=True, allow_unused=True
                )
                g = tg.zeros_like(x) if g is None else g
            found.append(g)
        return found

    fused, composed = (orders(f) for f in FUSED[name])
    for order, (a, b) in enumerate(zip(fused, composed, strict=True)):
        assert_close(a, b, rtol=1e-9, atol=1e-10, msg=f"order {order}")


# --- 8: concurrent backward over shared leaves ---------------------------------------------------


def test_concurrent_backward_loses_no_update() -> None:
    w = tg.zeros(100, dtype=tg.float64, requires_grad=True)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(200):
            (w * 1.0).sum().backward()

    run_in_threads(*[work] * 4)
    assert w.grad.tolist() == [800.0] * 100


def test_concurrent_backward_with_a_retained_shared_graph() -> None:
    x = tg.ones(50, dtype=tg.float64, requires_grad=True)
    shared = (x * 2).exp()
    loss = shared.sum()

    def work() -> Any:
        return [tg.autograd.grad(loss, x, retain_graph=True)[0].sum().item() for _ in range(50)]

    expected = 50 * 2 * float(np.exp(2.0))
    for values in run_in_threads(*[work] * 4):
        assert values == pytest.approx([expected] * 50, rel=1e-12)


def test_threads_with_hooks_and_hooks_that_take_the_lock() -> None:
    lock = threading.Lock()
    count = [0]
    w = tg.zeros(10, dtype=tg.float64, requires_grad=True)

    def hook(_: Any) -> None:
        with lock:
            count[0] += 1

    w.register_hook(hook)

    def work() -> None:
        for _ in range(50):
            (w * 3).sum().backward()

    run_in_threads(*[work] * 4)
    assert count[0] == 200
    assert w.grad.tolist() == [600.0] * 10
