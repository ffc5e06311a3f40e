"""The engine: backward and grad, grad modes, hooks, leaves, errors, higher orders."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import assert_close, run_in_threads, tensor


def leaf(*values: float) -> Any:
    return tensor(list(values), grad=True)


# --- backward and grad -------------------------------------------------------------------------


def test_backward_fills_leaves_only() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert y.is_leaf is False
    assert y.grad_fn is not None
    assert x.grad_fn is None


def test_backward_accumulates_and_grad_does_not() -> None:
    x = leaf(1.0, 2.0)
    for n in (1, 2, 3):
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0 * n, 4.0 * n]
    (g,) = tg.autograd.grad((x * x).sum(), x)
    assert g.tolist() == [2.0, 4.0]
    assert x.grad.tolist() == [6.0, 12.0]
    x.grad = None
    assert x.grad is None


def test_grad_buffer_is_kept_and_earlier_references_see_the_sum() -> None:
    x = leaf(1.0)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad is first
    assert first.tolist() == [5.0]


def test_two_leaves_never_share_a_gradient_buffer() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    upstream = tensor([1.0, 10.0])
    (x + y).backward(upstream)
    x.grad.mul_(100)
    assert y.grad.tolist() == [1.0, 10.0]
    assert upstream.tolist() == [1.0, 10.0]


def test_backward_with_vector_and_with_inputs() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x * y).backward(tensor([1.0, 10.0]), inputs=[x])
    assert x.grad.tolist() == [3.0, 40.0]
    assert y.grad is None


def test_inputs_may_be_inner_tensors() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    z = (y * y).sum()
    (gy,) = tg.autograd.grad(z, y, retain_graph=True)
    assert gy.tolist() == [4.0, 8.0]
    gx, gy = tg.autograd.grad(z, [x, y])
    assert gx.tolist() == [8.0, 16.0]
    assert gy.tolist() == [4.0, 8.0]
    z2 = (y.detach().requires_grad_() * 1).sum()
    with pytest.raises(RuntimeError):
        tg.autograd.grad(z2, x)


def test_grad_of_several_outputs_is_the_sum() -> None:
    x = leaf(1.0, 2.0)
    a, b = x * 2, x * x
    (g,) = tg.autograd.grad([a, b], x, [tensor([1.0, 1.0]), tensor([10.0, 10.0])])
    assert g.tolist() == [22.0, 42.0]
    (g,) = tg.autograd.grad([(x * 2).sum(), (x * x).sum()], [x])
    assert g.tolist() == [4.0, 6.0]


def test_the_output_itself_as_input() -> None:
    x = leaf(1.0, 2.0)
    (g,) = tg.autograd.grad(x, x, tensor([3.0, 4.0]))
    assert g.tolist() == [3.0, 4.0]
    y = (x * 2).sum()
    (g,) = tg.autograd.grad(y, y)
    assert g.item() == 1.0


def test_backward_of_a_leaf() -> None:
    x = tensor(2.0, grad=True)
    x.backward()
    assert x.grad.item() == 1.0


def test_duplicate_inputs_and_duplicate_outputs() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    a, b = tg.autograd.grad(y, [x, x], retain_graph=True)
    assert a.tolist() == b.tolist() == [2.0, 4.0]
    (g,) = tg.autograd.grad([y, y], x)
    assert g.tolist() == [4.0, 8.0]


def test_allow_unused_and_materialize() -> None:
    x, y = leaf(1.0), leaf(2.0, 3.0)
    z = (x * 2).sum()
    with pytest.raises(RuntimeError, match="allow_unused"):
        tg.autograd.grad(z, [x, y], retain_graph=True)
    gx, gy = tg.autograd.grad(z, [x, y], allow_unused=True, retain_graph=True)
    assert gx.tolist() == [2.0]
    assert gy is None
    gx, gy = tg.autograd.grad(z, [x, y], materialize_grads=True)
    assert gy.tolist() == [0.0, 0.0]


def test_only_what_was_asked_for_is_visited() -> None:
    x, y = leaf(1.0), leaf(2.0)
    visited: list[str] = []
    a, b = x * 2, y * 3
    a.register_hook(lambda g: visited.append("a"))
    b.register_hook(lambda g: visited.append("b"))
    tg.autograd.grad((a + b).sum(), x)
    assert visited == ["a"]


def test_second_backward_names_the_operation() -> None:
    x = leaf(1.0, 2.0)
    y = (x.exp() * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    assert x.grad is not None


def test_retain_graph_keeps_saved_tensors() -> None:
    x = leaf(1.0, 2.0)
    y = (x.exp() * x).sum()
    y.backward(retain_graph=True)
    first = x.grad.clone()
    y.backward()
    assert_close(x.grad, 2 * first)
    with pytest.raises(RuntimeError):
        y.backward()


def test_backward_needs_a_scalar_or_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="scalar"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="scalar"):
        tg.autograd.grad(x * 2, x)
    assert x.grad is None


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1,), ()])
def test_gradient_of_the_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape|size"):
        (x * 2).backward(tg.ones(shape, dtype=tg.float64))
    assert x.grad is None


def test_no_graph_no_backward() -> None:
    x = tensor([1.0])
    with pytest.raises(RuntimeError, match="does not require grad"):
        x.sum().backward()
    with pytest.raises(RuntimeError, match="require"):
        tg.autograd.grad(leaf(1.0).sum(), tensor([1.0]))


def test_only_floating_tensors_require_grad() -> None:
    for make in (
        lambda: tg.tensor([1, 2], requires_grad=True),
        lambda: tg.tensor([1, 2]).requires_grad_(),
        lambda: setattr(tg.tensor([True]), "requires_grad", True),
    ):
        with pytest.raises(RuntimeError, match="float"):
            make()


def test_requires_grad_of_an_inner_tensor_cannot_be_turned_off() -> None:
    y = leaf(1.0) * 2
    with pytest.raises(RuntimeError):
        y.requires_grad_(False)
    with pytest.raises(RuntimeError):
        y.requires_grad = False
    assert y.requires_grad


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.ones(2), TypeError),
        (tg.ones(3, dtype=tg.float64), RuntimeError),
        (tg.ones(2, dtype=tg.float32), RuntimeError),
        (1.0, TypeError),
    ],
)
def test_assigning_a_wrong_grad(value: Any, error: type[Exception]) -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(error):
        x.grad = value
    assert x.grad is None
    x.grad = tensor([5.0, 6.0])
    x.sum().backward()
    assert x.grad.tolist() == [6.0, 7.0]


def test_gradient_dtype_follows_the_leaf_through_casts() -> None:
    x = tg.tensor([1.0, 2.0], dtype=tg.float32, requires_grad=True)
    y = x.to(tg.float64) * tensor([2.0, 3.0])
    y.sum().backward()
    assert x.grad.dtype == tg.float32
    assert x.grad.tolist() == [2.0, 3.0]


def test_mixed_dtypes_give_each_leaf_its_own() -> None:
    x = tg.tensor([1.0, 2.0], dtype=tg.float32, requires_grad=True)
    y = leaf(3.0, 4.0)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (tg.float32, tg.float64)


# --- grad modes ---------------------------------------------------------------------------------


def test_no_grad_enable_grad_and_set_grad_enabled() -> None:
    x = leaf(1.0)
    assert tg.is_grad_enabled()
    with tg.no_grad():
        assert not tg.is_grad_enabled()
        assert not (x * 2).requires_grad
        with tg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    with tg.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    tg.set_grad_enabled(False)
    assert not tg.is_grad_enabled()
    tg.set_grad_enabled(True)
    assert tg.is_grad_enabled()


def test_modes_as_decorators() -> None:
    x = leaf(1.0)

    @tg.no_grad()
    def off() -> Any:
        """Doc."""
        return x * 2

    @tg.no_grad()
    def outer() -> Any:
        return inner()

    @tg.enable_grad()
    def inner() -> Any:
        return x * 2

    assert not off().requires_grad
    assert outer().requires_grad
    assert off.__name__ == "off"
    assert off.__doc__ == "Doc."


def test_mode_is_restored_after_an_exception() -> None:
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert tg.is_grad_enabled()
    with pytest.raises(KeyError), tg.inference_mode():
        raise KeyError
    assert tg.is_grad_enabled()
    assert not tg.is_inference_mode_enabled()


def test_mode_belongs_to_the_thread() -> None:
    with tg.no_grad():
        (seen,) = run_in_threads(tg.is_grad_enabled)
    assert seen is True


def test_inference_mode() -> None:
    x = leaf(1.0, 2.0)
    with tg.inference_mode():
        y = x * 2
        assert not y.requires_grad
        assert y.is_inference()
        y.add_(1)
    assert not (x * 2).is_inference()
    assert y.tolist() == [3.0, 5.0]
    with pytest.raises(RuntimeError, match=r"[Ii]nference"):
        x * y
    z = x * y.clone()
    z.sum().backward()
    assert x.grad.tolist() == [3.0, 5.0]


def test_backward_works_under_no_grad() -> None:
    x = leaf(2.0)
    y = (x * x).sum()
    with tg.no_grad():
        y.backward()
    assert x.grad.tolist() == [4.0]
    assert not x.grad.requires_grad


# --- detach, retain_grad, leaves ------------------------------------------------------------------


def test_detach_shares_memory_but_not_the_graph() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    d = y.detach()
    assert not d.requires_grad
    assert d.is_leaf
    assert d.data_ptr() == y.data_ptr()
    (x * d).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_retain_grad() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    assert not y.retains_grad
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [4.0, 8.0]
    x.retain_grad()  # a leaf: nothing to do
    assert x.grad.tolist() == [8.0, 16.0]
    with pytest.raises(RuntimeError):
        tensor([1.0]).retain_grad()


def test_detach_inplace() -> None:
    y = leaf(1.0) * 2
    y.detach_()
    assert y.is_leaf
    assert not y.requires_grad


def test_leaf_changed_in_place_is_an_error_unless_no_grad() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="leaf"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="leaf"):
        x[0] = 5.0
    assert x.tolist() == [1.0, 2.0]
    with tg.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0]
    assert x.is_leaf
    assert x.requires_grad


def test_data_changes_a_leaf_without_a_trace() -> None:
    x = leaf(1.0, 2.0)
    x.data.mul_(10)
    assert x.tolist() == [10.0, 20.0]
    assert not x.data.requires_grad
    (x * x).sum().backward()
    assert x.grad.tolist() == [20.0, 40.0]


# --- hooks ----------------------------------------------------------------------------------------


def test_hooks_run_in_order_and_may_replace_the_gradient() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    order: list[Any] = []
    y.register_hook(lambda g: order.append(("first", g.tolist())))
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: order.append(("last", g.tolist())))
    y.sum().backward()
    assert order == [("first", [1.0, 1.0]), ("last", [10.0, 10.0])]
    assert x.grad.tolist() == [30.0, 30.0]


def test_leaf_hook_sees_the_complete_gradient_of_the_call() -> None:
    x = leaf(1.0)
    seen: list[list[float]] = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * 2 + x * 3 + x).sum().backward()
    assert seen == [[6.0]]
    (x * 5).sum().backward()
    assert seen == [[6.0], [5.0]]
    assert x.grad.tolist() == [11.0]


def test_leaf_hook_changes_what_is_accumulated() -> None:
    x = leaf(1.0)
    x.register_hook(lambda g: -g)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [-2.0]
    (g,) = tg.autograd.grad((x * 2).sum(), x)
    assert g.tolist() == [-2.0]


def test_hook_removal() -> None:
    x = leaf(1.0)
    calls: list[int] = []
    first = x.register_hook(lambda g: calls.append(1))
    second = x.register_hook(lambda g: calls.append(2))
    first.remove()
    first.remove()
    (x * 2).sum().backward()
    assert calls == [2]
    second.remove()
    (x * 2).sum().backward()
    assert calls == [2]


def test_a_hook_may_remove_itself() -> None:
    x = leaf(1.0)
    calls: list[int] = []
    handles: list[Any] = []

    def once(_: Any) -> None:
        calls.append(1)
        handles[0].remove()

    handles.append(x.register_hook(once))
    for _ in range(3):
        (x * 2).sum().backward()
    assert calls == [1]
    assert x.grad.tolist() == [6.0]


def test_hook_on_a_tensor_without_grad_is_refused() -> None:
    with pytest.raises(RuntimeError):
        tensor([1.0]).register_hook(lambda g: g)


@pytest.mark.parametrize("bad", ["shape", "type"])
def test_hook_that_returns_nonsense(bad: str) -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    handle = y.register_hook(lambda g: tg.ones(5, dtype=tg.float64) if bad == "shape" else "no")
    with pytest.raises((RuntimeError, TypeError)):
        y.sum().backward()
    handle.remove()
    assert x.grad is None


def test_exception_in_a_hook_leaves_the_engine_ready() -> None:
    x = leaf(1.0, 2.0)
    y = x.exp()

    def explode(_: Any) -> None:
        raise KeyError("from the hook")

    handle = y.register_hook(explode)
    for _ in range(3):
        with pytest.raises(KeyError, match="from the hook"):
            y.sum().backward(retain_graph=True)
    assert x.grad is None
    handle.remove()
    y.sum().backward()
    assert_close(x.grad, y.detach())


def test_post_accumulate_grad_hook() -> None:
    x = leaf(1.0)
    seen: list[float] = []
    handle = x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.item()))
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert seen == [2.0, 5.0]
    handle.remove()
    (x * 3).sum().backward()
    assert seen == [2.0, 5.0]


def test_backward_inside_a_hook() -> None:
    x, other = leaf(1.0), leaf(3.0)
    y = x * 2

    def nested(g: Any) -> None:
        with tg.enable_grad():
            (other * other).sum().backward()

    y.register_hook(nested)
    y.sum().backward()
    assert x.grad.tolist() == [2.0]
    assert other.grad.tolist() == [6.0]


def test_inner_grad_over_the_same_nodes_does_not_see_partial_sums() -> None:
    """Slots belong to the call: a grad() within backward gives the full answer of its own."""
    x = leaf(3.0)
    y = x * x
    z = y * 2 + y * 5
    total = z.sum()
    found: list[float] = []
    busy: list[int] = []

    def hook(_: Any) -> None:
        if not busy:  # the inner call runs this hook again
            busy.append(1)
            found.append(tg.autograd.grad(total, x, retain_graph=True)[0].item())

    y.register_hook(hook)
    total.backward(retain_graph=True)
    assert found == [42.0]
    assert x.grad.item() == 42.0


# --- higher orders --------------------------------------------------------------------------------


def test_derivatives_to_fifth_order_of_a_power() -> None:
    x = leaf(1.5, -2.0)
    g = (x**6).sum()
    factor = 1.0
    for order in range(1, 6):
        (g,) = tg.autograd.grad(g.sum(), x, create_graph=True)
        factor *= 7 - order
        assert_close(g, factor * np.array([1.5, -2.0]) ** (6 - order), rtol=1e-12)


@pytest.mark.parametrize("name", ["exp", "sin", "tanh", "sigmoid", "log", "sqrt", "reciprocal"])
def test_derivatives_to_fourth_order(name: str) -> None:
    """Each order against central differences of the order below."""
    x0, h = 0.7, 1e-4

    def nth(order: int, at: float) -> float:
        x = tensor(at, grad=True)
        y = getattr(tg, name)(x)
        for _ in range(order):
            (y,) = tg.autograd.grad(y, x, create_graph=True)
        return float(y.item())

    for order in range(1, 5):
        numeric = (nth(order - 1, x0 + h) - nth(order - 1, x0 - h)) / (2 * h)
        assert nth(order, x0) == pytest.approx(numeric, rel=1e-5, abs=1e-6), order


def test_create_graph_accumulates_with_a_graph() -> None:
    x = leaf(2.0)
    y = (x**3).sum()
    (g,) = tg.autograd.grad(y, x, create_graph=True)
    assert g.requires_grad
    (g**2).sum().backward()
    assert x.grad.tolist() == [2 * 12.0 * 12.0]


def test_without_create_graph_gradients_need_no_grad() -> None:
    x = leaf(2.0)
    (g,) = tg.autograd.grad((x**3).sum(), x)
    assert not g.requires_grad
    assert g.grad_fn is None


def test_gradient_penalty() -> None:
    """d/dw of |df/dx|^2 for f = sum(tanh(w x)), against its closed form."""
    x, w = leaf(0.3, -0.8), leaf(1.2, 0.4)
    (gx,) = tg.autograd.grad(tg.tanh(w * x).sum(), x, create_graph=True)
    (gx**2).sum().backward()
    xn, wn = x.detach().numpy(), w.detach().numpy()
    t = np.tanh(wn * xn)
    s = 1 - t**2
    expected = 2 * wn * s**2 + 2 * wn * s * wn * (-2 * t * s * xn)
    assert_close(w.grad, expected, rtol=1e-12)


def test_hessian_vector_product() -> None:
    a = np.array([[2.0, 1.0], [1.0, 5.0]])
    x = leaf(0.5, -1.0)
    f = 0.5 * (x @ tensor(a) @ x)
    (g,) = tg.autograd.grad(f, x, create_graph=True)
    (hv,) = tg.autograd.grad(g, x, tensor([1.0, 2.0]))
    assert_close(hv, a @ np.array([1.0, 2.0]))


def test_double_backward_reaches_grad_outputs() -> None:
    x, v = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (g,) = tg.autograd.grad(x * x, x, v, create_graph=True)
    (dv,) = tg.autograd.grad(g.sum(), v)
    assert dv.tolist() == [2.0, 4.0]


# --- shapes of graphs -----------------------------------------------------------------------------


def test_shared_subexpression_is_visited_once() -> None:
    x = leaf(2.0)
    shared = x * x
    count: list[int] = []
    shared.register_hook(lambda g: count.append(1))
    total = shared * 1
    for k in range(2, 30):
        total = total + shared * k
    total.sum().backward()
    assert count == [1]
    assert x.grad.item() == 4.0 * sum(range(1, 30))


def test_unused_part_of_a_multiple_output_gets_zeros() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    a, b = x.split(2)
    (a * 10).sum().backward()
    assert x.grad.tolist() == [10.0, 10.0, 0.0, 0.0]
    assert b.requires_grad


def test_new_graph_over_old_tensors() -> None:
    x = leaf(1.0)
    y = x * 2
    y.sum().backward(retain_graph=True)
    (y * 3).sum().backward()
    assert x.grad.tolist() == [8.0]


def test_random_graphs_match_forward_differences() -> None:
    """Graphs of 40 random operations over shared tensors, against central differences."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        plan = [
            (rng.choice(["add", "mul", "tanh", "sin", "sub"]), *rng.integers(0, 3 + k, 2))
            for k in range(40)
        ]

        def run(x: Any, plan: Any = plan) -> Any:
            pool = [x[0], x[1], x[2]]
            for kind, i, j in plan:
                a, b = pool[i], pool[j]
                if kind in ("tanh", "sin"):
                    pool.append(getattr(tg, kind)(a))
                else:
                    pool.append(getattr(tg, kind)(tg.tanh(a), tg.sin(b)))
            total = pool[-1]
            for p in pool[:-1]:
                total = total + p
            return total

        x0 = rng.standard_normal(3)
        x = tensor(x0, grad=True)
        run(x).backward()
        for i in range(3):
            h = np.eye(3)[i] * 1e-6
            numeric = (run(tensor(x0 + h)).item() - run(tensor(x0 - h)).item()) / 2e-6
            assert x.grad[i].item() == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_graph_memory_returns_after_backward() -> None:
    """Saved tensors are released by backward, not only with the graph."""
    import weakref

    x = leaf(1.0, 2.0)
    inner = x.exp()
    gone = weakref.ref(inner)
    y = (inner * inner).sum()
    del inner
    y.backward()
    gc.collect()
    assert gone() is None
