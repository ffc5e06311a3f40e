"""utils.checkpoint: the same gradients bit for bit, in less memory, with clear errors."""

from __future__ import annotations

import gc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

import tapegrad as tg
from support import run_in_threads
from tapegrad import func
from tapegrad.autograd import grad, graph
from tapegrad.nn import functional as F
from tapegrad.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)


def same(a, b):
    return a.numpy().tobytes() == b.numpy().tobytes()


def run(function, *inputs, seed=3):
    """Value and gradients of the sum, from a fixed state of the generator."""
    tg.manual_seed(seed)
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    out = function(*leaves)
    grads = grad(out.sum(), leaves)
    return out.detach(), *grads, tg.rand(1)


def dropping(x):
    return F.dropout((x.exp() * x).sin(), 0.5) @ x.tanh()


@pytest.fixture
def x():
    tg.manual_seed(1)
    return tg.randn(8, 8)


# --- the same gradients ---------------------------------------------------------------------------


@pytest.mark.parametrize("early_stop", [True, False])
@pytest.mark.parametrize("use_reentrant", [None, True, False])
def test_gradients_are_equal_bit_for_bit_with_dropout(x, use_reentrant, early_stop):
    def through(a):
        a = checkpoint(dropping, a, use_reentrant=use_reentrant, early_stop=early_stop)
        return checkpoint(dropping, a, use_reentrant=use_reentrant, early_stop=early_stop)

    plain = run(lambda a: dropping(dropping(a)), x)
    for a, b in zip(plain, run(through, x), strict=True):
        assert same(a, b)  # the last is the next random number: the state is where it was


def test_other_noise_in_the_second_run_without_the_random_state(x):
    def through(a):
        return checkpoint(dropping, a, preserve_rng_state=False)

    assert not same(run(dropping, x)[1], run(through, x)[1])


def test_nested(x):
    def inner(a):
        return checkpoint(dropping, checkpoint(dropping, a))

    def outer(a):
        return checkpoint(lambda b: inner(b) * b, checkpoint(inner, a))

    def plain(a):
        a = dropping(dropping(a))
        return dropping(dropping(a)) * a

    for a, b in zip(run(plain, x), run(outer, x), strict=True):
        assert same(a, b)


def test_nested_three_deep_runs_the_innermost_as_often_as_needed(x):
    calls = []

    def innermost(a):
        calls.append(1)
        return a.exp().sin()

    def chain(depth):
        if depth == 0:
            return innermost
        below = chain(depth - 1)
        return lambda a: checkpoint(below, a)

    got = run(chain(3), x)
    assert len(calls) == 2  # once forward, once again
    assert same(got[1], run(innermost, x)[1])


def test_keyword_arguments_and_other_values(x):
    def f(a, scale, *, b, power=2):
        return (a * b) ** power * scale

    y = tg.randn(8, 8)
    plain = run(lambda a, b: f(a, 3.0, b=b, power=3), x, y)
    got = run(lambda a, b: checkpoint(f, a, 3.0, b=b, power=3, use_reentrant=False), x, y)
    for a, b in zip(plain, got, strict=True):
        assert same(a, b)


def test_parameters_captured_by_the_function(x):
    layers = tg.nn.Sequential(tg.nn.Linear(8, 8), tg.nn.Dropout(0.3), tg.nn.Linear(8, 8))

    def gradients(call):
        tg.manual_seed(0)
        layers.zero_grad()
        call(layers, x).square().sum().backward()
        return [p.grad.clone() for p in layers.parameters()]

    plain = gradients(lambda f, a: f(a))
    for a, b in zip(plain, gradients(checkpoint), strict=True):
        assert same(a, b)


def test_several_outputs_of_which_one_is_used(x):
    def f(a):
        return a.exp(), {"other": a.sin()}, 3

    a = x.clone().requires_grad_()
    first, rest, number = checkpoint(f, a)
    assert number == 3
    (g,) = grad(rest["other"].sum(), a, retain_graph=True)
    np.testing.assert_array_equal(g.numpy(), x.cos().numpy())
    (g,) = grad(first.sum(), a)
    np.testing.assert_array_equal(g.numpy(), x.exp().numpy())


def test_retained_graph_and_higher_derivatives(x):
    a = x.clone().requires_grad_()

    def f(b):
        return (b.sin() * b.exp()).tanh()

    def derivatives(y):
        (first,) = grad(y.sum(), a, create_graph=True)
        (second,) = grad(first.sum(), a, create_graph=True)
        (third,) = grad(second.sum(), a, retain_graph=True)
        (again,) = grad(y.sum(), a)
        return first.detach(), second.detach(), third, again

    for p, q in zip(derivatives(f(a)), derivatives(checkpoint(f, a)), strict=True):
        assert same(p, q)


def test_functions_that_differentiate_inside(x):
    def f(a):
        b = a.sin()
        (inner,) = grad(b.exp().sum(), b, create_graph=True)
        return inner * a.cos()

    for a, b in zip(run(f, x), run(lambda a: checkpoint(f, a), x), strict=True):
        assert same(a, b)


def test_in_place_operations_and_views_inside(x):
    def f(a):
        b = a * 2
        b[1:].mul_(a[:-1])
        return b.relu_().t().exp()

    for a, b in zip(run(f, x), run(lambda a: checkpoint(f, a), x), strict=True):
        assert same(a, b)


def test_inside_other_hooks_and_around_them(x):
    moved = []

    def disk():
        def pack(t):
            moved.append(t.shape)
            return t.detach().numpy().copy()

        return graph.saved_tensors_hooks(pack, tg.from_numpy)

    def f(a):
        with disk():
            return dropping(a)

    def around(a):
        with disk():
            return checkpoint(dropping, a)

    plain = run(dropping, x)
    for a, b in zip(plain, run(lambda a: checkpoint(f, a), x), strict=True):
        assert same(a, b)
    moved.clear()
    for a, b in zip(plain, run(around, x), strict=True):
        assert same(a, b)
    assert moved == [x.shape]  # the argument went through the outer hooks


def test_without_recording_nothing_is_kept_and_the_result_is_the_same(x):
    with tg.no_grad():
        assert same(checkpoint(dropping_without_noise, x), dropping_without_noise(x))
    assert same(checkpoint(dropping_without_noise, x), dropping_without_noise(x))


def dropping_without_noise(a):
    return a.exp().sin()


def test_context_fn_wraps_both_runs(x):
    log = []

    @contextmanager
    def context(name):
        log.append(f"{name} in")
        yield
        log.append(f"{name} out")

    a = x.clone().requires_grad_()
    y = checkpoint(lambda b: b.exp().sin(), a, context_fn=lambda: (context("1"), context("2")))
    assert log == ["1 in", "1 out"]
    y.sum().backward()
    assert log[:3] == ["1 in", "1 out", "2 in"]


# --- inside the transforms of func ----------------------------------------------------------------


def model(w, a):
    return (a @ w).tanh().exp()


def model_in_checkpoint(w, a):
    return checkpoint(lambda b, c: model(c, b), a, w)


def test_inside_func(x):
    w, samples = tg.randn(8, 3), x.unsqueeze(1)

    def loss(f):
        return lambda w, a: f(w, a).square().sum()

    want = func.grad(loss(model))(w, x)
    assert same(func.grad(loss(model_in_checkpoint))(w, x), want)
    for transform in (func.jacrev, lambda f: func.vmap(func.grad(f), in_dims=(None, 0))):
        want = transform(loss(model))(w, samples)
        got = transform(loss(model_in_checkpoint))(w, samples)
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)


def test_nested_derivatives_of_func_are_right_or_refused(x):
    w = tg.randn(8, 3)

    def twice(f):
        def slope(v):
            return func.grad(lambda u: f(u, x).sum())(v).square().sum()

        return func.grad(slope)(w)

    np.testing.assert_allclose(
        twice(model_in_checkpoint).numpy(), twice(model).numpy(), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(NotImplementedError, match="not inside nested ones"):
        func.hessian(lambda w: model_in_checkpoint(w, x).sum())(w)


def test_threads_that_walk_one_retained_graph(x):
    a = x.clone().requires_grad_()

    def f(b):
        for _ in range(20):
            b = (b.sin() * b.cos()).tanh()
        return b

    y = checkpoint(f, checkpoint(f, a)).sum()
    (want,) = grad(f(f(a)).sum(), a)

    def walk():
        return [grad(y, a, retain_graph=True)[0] for _ in range(20)]

    for grads in run_in_threads(walk, walk, walk):
        assert all(same(g, want) for g in grads)


# --- early stop -----------------------------------------------------------------------------------


def test_early_stop_leaves_out_what_nothing_saves(x):
    calls = []

    def f(a):
        b = a.exp()
        calls.append(1)
        b = b + 1
        calls.append(2)
        return b

    a = x.clone().requires_grad_()
    checkpoint(f, a).sum().backward()
    assert calls == [1, 2]
    calls.clear()
    checkpoint(f, a, early_stop=False).sum().backward()
    assert calls == [1, 2, 1, 2]
    calls.clear()
    with set_checkpoint_early_stop(False):
        y = checkpoint(f, a)
    y.sum().backward()
    assert calls == [1, 2, 1, 2]


def test_early_stop_passes_handlers_of_the_function(x):
    def f(a):
        try:
            return a.exp()
        except Exception:
            pytest.fail("the stop was caught")

    a = x.clone().requires_grad_()
    checkpoint(f, a).sum().backward()
    assert same(a.grad, x.exp())


# --- memory ---------------------------------------------------------------------------------------


def test_arguments_and_values_die_with_the_pass_by_reference_count(x):
    gc.disable()
    try:
        a = x.clone().requires_grad_()
        b = a * 1
        ref = weakref.ref(b)

        def f(c):
            return c.exp().sin()

        function = weakref.ref(f)
        y = checkpoint(f, b)
        del b, f
        assert ref() is not None
        before = tg.memory_stats()["allocated_bytes"]
        y.sum().backward()
        assert ref() is None
        assert function() is None
        assert tg.memory_stats()["allocated_bytes"] <= before
    finally:
        gc.enable()


def peak(call):
    tg.reset_peak_memory_stats()
    before = tg.memory_stats()["allocated_bytes"]
    call()
    return tg.memory_stats()["peak_allocated_bytes"] - before


def test_peak_grows_with_the_square_root_of_the_depth():
    width = 128
    one = width * width * 4

    def layer(a):
        return (a * 1.01).tanh().exp().sin()

    a = tg.randn(width, width, requires_grad=True)

    def plain(depth):
        y = a
        for _ in range(depth):
            y = layer(y)
        y.sum().backward()

    def sequential(depth):
        checkpoint_sequential([layer] * depth, round(depth**0.5), a).sum().backward()

    plain(4)  # .grad exists from here on
    assert peak(lambda: plain(64)) >= 2 * 64 * one
    small, large = peak(lambda: sequential(16)), peak(lambda: sequential(64))
    assert large <= 4 * 8 * one
    assert large <= 2.3 * small  # four times as deep


# --- errors ---------------------------------------------------------------------------------------


def test_version_of_an_argument_is_checked(x):
    a = x.clone().requires_grad_()
    b = a * 1
    y = checkpoint(lambda c: c.exp(), b)
    b.add_(1)
    with pytest.raises(RuntimeError, match=r"CheckpointBackward: .* modified by an inplace"):
        y.sum().backward()


@pytest.mark.parametrize("early_stop", [True, False])
def test_fewer_tensors_in_the_second_run(x, early_stop):
    runs = []

    def f(a):
        runs.append(1)
        return a.exp() if len(runs) > 1 else a.exp().exp()

    a = x.clone().requires_grad_()
    y = checkpoint(f, a, early_stop=early_stop)
    words = r"different number of tensors.*\n.*forward: 2\n.*recomputation: 1"
    with pytest.raises(CheckpointError, match=words):
        y.sum().backward()
    assert tg.is_grad_enabled()
    checkpoint(lambda b: b.exp(), a).sum().backward()  # the next pass is as any other
    assert same(a.grad, x.exp())


def test_more_tensors_in_the_second_run(x):
    runs = []

    def f(a):
        runs.append(1)
        return a.exp() if len(runs) == 1 else a.exp().exp()

    y = checkpoint(f, x.clone().requires_grad_(), early_stop=False)
    with pytest.raises(CheckpointError, match=r"forward: 1\n.*recomputation: 2"):
        y.sum().backward()


def test_other_shapes_and_dtypes_in_the_second_run(x):
    runs = []

    def f(a):
        runs.append(1)
        return (a if len(runs) == 1 else a[:2]).exp()

    y = checkpoint(f, x.clone().requires_grad_())
    with pytest.raises(CheckpointError, match=r"position 0:\n.*\(8, 8\).*\n.*\(2, 8\)"):
        y.sum().backward()

    def g(a):
        runs.append(1)
        return (a if len(runs) == 3 else a.double()).exp()

    y = checkpoint(g, x.clone().requires_grad_(), determinism_check="none")
    with pytest.raises(RuntimeError, match="unpack hook returned float64"):
        y.sum().backward()


def test_debug_lists_the_lines_that_saved(x):
    runs = []

    def f(a):
        runs.append(1)
        if len(runs) == 1:
            return a.exp().sin()
        return a.exp()

    with set_checkpoint_debug_enabled(True):
        y = checkpoint(f, x.clone().requires_grad_())
    with pytest.raises(CheckpointError) as caught:
        y.sum().backward()
    message = str(caught.value)
    first = f.__code__.co_firstlineno
    assert f"test_checkpoint.py:{first + 3} in f" in message
    assert f"test_checkpoint.py:{first + 4} in f" in message
    assert message.index("in the forward pass") < message.index("in the recomputation")


def test_exceptions_of_the_function_arrive_as_they_are(x):
    runs = []

    def f(a):
        runs.append(1)
        if len(runs) > 1:
            raise ZeroDivisionError("the second run")
        return a.exp()

    a = x.clone().requires_grad_()
    y = checkpoint(f, a)
    with pytest.raises(ZeroDivisionError, match="the second run") as caught:
        y.sum().backward()
    assert caught.traceback[-1].name == "f"
    state = tg.get_rng_state()
    runs.clear()
    runs.append(1)
    with pytest.raises(ZeroDivisionError):
        checkpoint(f, a)
    assert tg.equal(state, tg.get_rng_state())


def test_bad_arguments(x):
    with pytest.raises(ValueError, match="determinism_check must be 'default' or 'none'"):
        checkpoint(dropping, x, determinism_check="shape")
    with pytest.raises(ValueError, match="cannot divide 3 functions into 4 segments"):
        checkpoint_sequential([tg.exp] * 3, 4, x)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: colour"):
        checkpoint_sequential([tg.exp] * 3, 2, x, colour=1)


# --- against PyTorch ------------------------------------------------------------------------------


def test_sequential_against_pytorch():
    torch = pytest.importorskip("torch")
    from torch.utils.checkpoint import checkpoint_sequential as torch_sequential

    def build(lib):
        return lib.nn.Sequential(
            *[part for _ in range(5) for part in (lib.nn.Linear(4, 4), lib.nn.Tanh())]
        )

    model, other = build(tg).double(), build(torch).double()
    with torch.no_grad():
        for p, q in zip(other.parameters(), model.parameters(), strict=True):
            p.copy_(torch.from_numpy(q.detach().numpy()))
    data = np.random.default_rng(0).standard_normal((3, 4))
    a = tg.tensor(data, requires_grad=True)
    b = torch.tensor(data, requires_grad=True)
    for segments in (1, 2, 3, 10):
        model.zero_grad()
        other.zero_grad()
        a.grad = b.grad = None
        checkpoint_sequential(model, segments, a, use_reentrant=False).square().sum().backward()
        torch_sequential(other, segments, b, use_reentrant=False).square().sum().backward()
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12)
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12, atol=1e-15)
