"""autograd.Function: semantics against PyTorch, errors, lifetimes, transforms."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

import tapegrad as tg
from tapegrad.autograd import Function, forward_ad, grad
from tapegrad.autograd.function import FunctionCtx, once_differentiable


def make_functions(m: Any) -> dict[str, Any]:
    """The same functions for tapegrad and for PyTorch."""
    base = m.autograd.Function

    class Cube(base):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 3 * x**2

        @staticmethod
        def jvp(ctx, t):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * t

    class Exp(base):  # saves its output
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.saved_tensors[0]

    class MulScaled(base):  # setup_context, a number, two tensors, forward mode
        @staticmethod
        def forward(x, y, scale=2.0):
            return x * y * scale

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, y, scale = inputs
            ctx.save_for_backward(x, y)
            ctx.save_for_forward(x, y)
            ctx.scale = scale

        @staticmethod
        def backward(ctx, grad):
            x, y = ctx.saved_tensors
            return grad * y * ctx.scale, grad * x * ctx.scale, None

        @staticmethod
        def jvp(ctx, xt, yt, _):
            x, y = ctx.saved_tensors
            return (xt * y + x * yt) * ctx.scale

        @staticmethod
        def vmap(info, in_dims, x, y, scale):
            lead = [
                v if d is None else v.movedim(d, 0)
                for v, d in zip((x, y), in_dims[:2], strict=True)
            ]
            return MulScaled.apply(*lead, scale), 0

    class TwoOutputs(base):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.set_materialize_grads(False)
            return x * 2, x.sin()

        @staticmethod
        def backward(ctx, g0, g1):
            (x,) = ctx.saved_tensors
            out = m.zeros_like(x)
            if g0 is not None:
                out = out + 2 * g0
            if g1 is not None:
                out = out + x.cos() * g1
            return out

    return {f.__name__: f for f in (Cube, Exp, MulScaled, TwoOutputs)}


OURS = make_functions(tg)
Cube, Exp, MulScaled, TwoOutputs = (
    OURS[name] for name in ("Cube", "Exp", "MulScaled", "TwoOutputs")
)


def values(x: Any) -> Any:
    return x.detach().numpy().tolist()


def leaf(*data: float, m: Any = tg) -> Any:
    return m.tensor(list(data), dtype=m.float64, requires_grad=True)


# --- against PyTorch --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Cube", "Exp", "TwoOutputs"])
def test_gradients_to_the_second_order(name: str) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for m, functions in ((tg, OURS), (torch, make_functions(torch))):
        x = leaf(0.3, -1.2, m=m)
        out = functions[name].apply(x)
        out = out if isinstance(out, tuple) else (out,)
        y = sum((o**2).sum() for o in out)
        (g,) = m.autograd.grad(y, x, create_graph=True)
        (gg,) = m.autograd.grad((g * x).sum(), x)
        results.append([values(y), values(g), values(gg)])
    flat = [
        [v for part in r for v in (part if isinstance(part, list) else [part])] for r in results
    ]
    assert flat[0] == pytest.approx(flat[1], rel=1e-12)


def test_names_and_graph_as_in_torch() -> None:
    x = leaf(1.0)
    y = Cube.apply(x)
    node = y.grad_fn
    assert node is y.grad_fn
    assert isinstance(node, FunctionCtx)
    assert isinstance(node, tg.autograd.graph.Node)
    assert node.name() == "CubeBackward"
    assert "CubeBackward" in repr(node)
    assert node.next_functions[0][0].variable is x
    assert node.needs_input_grad == (True,)
    assert node.saved_tensors[0] is x
    assert tg.autograd.gradcheck(Cube.apply, (x,))
    assert tg.autograd.gradgradcheck(Cube.apply, (x,))
    assert tg.autograd.gradgradcheck(Exp.apply, (x,))


def test_setup_context_with_defaults_and_keywords() -> None:
    x, y = leaf(2.0), leaf(5.0)
    assert values(MulScaled.apply(x, y)) == [20.0]
    assert values(MulScaled.apply(x, scale=3.0, y=y)) == [30.0]
    gx, gy = grad(MulScaled.apply(x, y, 4.0), (x, y))
    assert (values(gx), values(gy)) == ([20.0], [8.0])
    with pytest.raises(TypeError, match=r"Cube.apply\(\) takes no keyword arguments"):
        Cube.apply(x=x)


def test_needs_input_grad_and_none_gradients() -> None:
    seen = []

    class Mul(Function):
        @staticmethod
        def forward(ctx, x, text, y):
            ctx.save_for_backward(x, None, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            _x, nothing, y = ctx.saved_tensors
            seen.append((ctx.needs_input_grad, nothing))
            return g * y, None, None

    x = leaf(2.0)
    y = tg.tensor([3.0], dtype=tg.float64)
    Mul.apply(x, "text", y).sum().backward()
    assert seen == [((True, False, False), None)]
    assert values(x.grad) == [3.0]
    z = leaf(4.0)
    assert grad(Mul.apply(x, "", z).sum(), (x, z), allow_unused=True)[1] is None


def test_output_kinds() -> None:
    class Mixed(Function):
        @staticmethod
        def forward(ctx, x):
            order = x.argsort()
            mask = x > 0
            flat = x * 1
            ctx.mark_non_differentiable(order, flat)
            return x * 2, order, "text", [x], flat, mask

        @staticmethod
        def backward(ctx, g, g_order, g_text, g_list, g_flat, g_mask):
            assert g_text is None
            assert g_list is None
            assert values(g_flat) == [0.0, 0.0]
            return g * 2

    x = leaf(2.0, -1.0)
    y, order, text, items, flat, mask = Mixed.apply(x)
    assert text == "text"
    assert items[0] is x
    assert y.requires_grad
    assert not order.requires_grad
    assert not flat.requires_grad
    assert not mask.requires_grad
    y.sum().backward()
    assert values(x.grad) == [2.0, 2.0]


def test_without_recording() -> None:
    x = leaf(2.0)
    with tg.no_grad():
        y = Cube.apply(x)
    assert not y.requires_grad
    assert y.grad_fn is None
    z = Cube.apply(tg.tensor([2.0]))
    assert not z.requires_grad
    assert values(z) == [8.0]


# --- inputs among the outputs ----------------------------------------------------------------


class Same(Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 10


def test_an_input_returned_as_it_is() -> None:
    x = leaf(1.0, 2.0)
    y = Same.apply(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    assert x.is_leaf
    y.sum().backward()
    assert values(x.grad) == [10.0, 10.0]
    z = x * 1
    w = Same.apply(z)
    with pytest.raises(RuntimeError, match="SameBackward"):
        w.mul_(2)
    z.mul_(2)
    with pytest.raises(RuntimeError, match="SameBackward"):
        w.sum().backward()


def test_a_view_made_in_forward() -> None:
    class First(Function):
        @staticmethod
        def forward(ctx, x):
            return x[0]

        @staticmethod
        def backward(ctx, g):
            return tg.stack([g * 3, g * 0])

    x = leaf(1.0, 2.0)
    y = First.apply(x)
    y.backward()
    assert values(x.grad) == [3.0, 0.0]


class Add1(Function):
    @staticmethod
    def forward(ctx, x):
        x.add_(1)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 5


def test_mark_dirty() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    z = Add1.apply(y)
    assert z is y
    assert values(y) == [3.0, 5.0]
    z.sum().backward()
    assert values(x.grad) == [10.0, 10.0]
    with pytest.raises(RuntimeError, match="leaf"):
        Add1.apply(leaf(1.0))
    base = x * 1
    view = base[:1]
    out = Add1.apply(view)
    assert out is view
    x.grad = None
    base.sum().backward()
    assert values(x.grad) == [5.0, 1.0]

    class Forgets(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="not returned as output"):
        Forgets.apply(x * 1)


# --- errors -----------------------------------------------------------------------------------


def returning(value: Any) -> Any:
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x, n):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return value

    return Wrong


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ((tg.ones(2),), RuntimeError, r"WrongBackward.*incorrect number.*expected 2, got 1"),
        ((tg.ones(2), None, tg.ones(1)), RuntimeError, "expected 2, got 3"),
        (
            (tg.ones(2), tg.ones(2)),
            RuntimeError,
            "WrongBackward.*different from None at position 2",
        ),
        ((3.0, None), TypeError, r"WrongBackward.*got float\).*position 1"),
        ((tg.ones(3), None), RuntimeError, r"WrongBackward.*index 0 - got \(3,\).*\(2,\)"),
        ((tg.ones(2, dtype=tg.int64), None), RuntimeError, "WrongBackward.*int64.*float32"),
    ],
)
def test_wrong_gradients_name_the_function(value: Any, error: Any, message: str) -> None:
    x = tg.ones(2, requires_grad=True)
    y = returning(value).apply(x, 1)
    with pytest.raises(error, match=message):
        y.sum().backward()
    assert x.grad is None
    (x * 2).sum().backward()  # the engine is ready for the next call
    assert values(x.grad) == [2.0, 2.0]


def test_gradients_that_broadcast_and_other_dtypes() -> None:
    x = tg.ones(2, requires_grad=True)
    returning((tg.ones(3, 2, dtype=tg.float64), None, None)).apply(x, 1).sum().backward()
    assert values(x.grad) == [3.0, 3.0]
    assert x.grad.dtype == tg.float32


def test_wrong_calls() -> None:
    x = leaf(1.0)

    class SavesNumber(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)
            return x

    with pytest.raises(
        TypeError, match="can only save tensors and None, but argument 1 is of type"
    ):
        SavesNumber.apply(x)
    with pytest.raises(NotImplementedError, match="must implement the forward"):
        Function.apply(x)

    class NoBackward(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    with pytest.raises(NotImplementedError, match="backward or vjp"):
        NoBackward.apply(x).backward(tg.ones(1, dtype=tg.float64))
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, tg.ones(1, dtype=tg.float64))
        with pytest.raises(NotImplementedError, match="jvp"):
            NoBackward.apply(dual)
    ctx = Cube.apply(x).grad_fn
    with pytest.raises(RuntimeError, match="in forward or setup_context"):
        ctx.save_for_backward(x)


def test_saved_tensor_changed_in_place_and_graph_used_twice() -> None:
    x = leaf(1.0)
    y = x * 1
    z = Cube.apply(y)
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"CubeBackward.*modified by an inplace"):
        z.sum().backward()
    z = Cube.apply(x).sum()
    z.backward()
    with pytest.raises(RuntimeError, match=r"second time.*CubeBackward"):
        z.backward()


def test_exceptions_keep_their_traceback() -> None:
    import traceback

    class Fails(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise KeyError("from the rule")

    x = leaf(1.0)
    with pytest.raises(KeyError) as caught:
        Fails.apply(x).sum().backward()
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "backward"
    Cube.apply(x).sum().backward()
    assert values(x.grad) == [3.0]


def test_once_differentiable() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            assert not tg.is_grad_enabled()
            return 2 * g * ctx.saved_tensors[0]

    x = leaf(3.0)
    assert values(grad(Square.apply(x).sum(), x)[0]) == [6.0]
    (g,) = grad(Square.apply(x).sum(), x, create_graph=True)
    assert values(g) == [6.0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


# --- lifetimes and threads -------------------------------------------------------------------


class Token:
    pass


class Holds(Function):
    last: Any = None

    @staticmethod
    def forward(ctx, x):
        ctx.token = Token()
        Holds.last = weakref.ref(ctx.token)
        y = x * 2
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        ctx.token.used = True
        return g * 2


def test_everything_dies_by_reference_count() -> None:
    gc.disable()
    try:
        x = leaf(1.0)
        y = Holds.apply(x)
        node = y.grad_fn
        del y
        assert Holds.last() is not None
        assert node.next_functions[0][0].variable is x
        del node
        assert Holds.last() is None
        y = Holds.apply(x)
        (g,) = grad(y.sum(), x, create_graph=True)
        del y, g
        assert Holds.last() is None
        with tg.no_grad():
            Holds.apply(x)
        assert Holds.last() is None
        y = Holds.apply(x)
        y.grad_fn.note = "kept"
        y.sum().backward(retain_graph=True)
        assert y.grad_fn.note == "kept"
        assert y.grad_fn.token.used
    finally:
        gc.enable()


def test_a_long_chain_neither_recurses_forward_nor_when_freed() -> None:
    def work() -> None:
        x = leaf(1.0)
        y = x
        for _ in range(100_000):
            y = Same.apply(y) if _ == 0 else Pass.apply(y)
        y.sum().backward()
        assert values(x.grad) == [10.0]
        del y

    class Pass(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.kept = x
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g

    old = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(old)


def test_threads_with_shared_leaves() -> None:
    x = tg.zeros(4, requires_grad=True)

    def work() -> None:
        for _ in range(50):
            MulScaled.apply(x + 1, tg.ones(4), 0.5).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(x.grad) == [100.0] * 4


def test_backward_inside_backward() -> None:
    class Recompute(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x**2).sum()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with tg.enable_grad():
                inner = x.detach().requires_grad_()
                Cube.apply(inner).sum().backward()
            return inner.grad * g

    x = leaf(2.0)
    Recompute.apply(x * 1).backward()
    assert values(x.grad) == [12.0]


# --- forward mode and transforms ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["Cube", "MulScaled"])
def test_forward_mode(name: str) -> None:
    with forward_ad.dual_level():
        x, t = tg.tensor([2.0, 3.0]), tg.tensor([1.0, 10.0])
        dual = forward_ad.make_dual(x, t)
        y = Cube.apply(dual) if name == "Cube" else MulScaled.apply(dual, dual * dual, 0.5)
        primal, tangent = forward_ad.unpack_dual(y)
    factor = 1.0 if name == "Cube" else 0.5
    assert values(primal) == pytest.approx([factor * 8, factor * 27])
    assert values(tangent) == pytest.approx([factor * 12, factor * 270])


def test_forward_over_reverse_and_twice_forward() -> None:
    x, v = tg.tensor(2.0), tg.tensor(1.0)
    value, tangent = tg.func.jvp(tg.func.grad(lambda x: MulScaled.apply(x, x * x, 1.0)), (x,), (v,))
    assert (value.item(), tangent.item()) == (12.0, 12.0)

    def first(x: Any) -> Any:
        return tg.func.jvp(lambda x: MulScaled.apply(x, x * x, 1.0), (x,), (v,))[1]

    assert tg.func.jvp(first, (x,), (v,))[1].item() == 12.0
    assert tg.func.grad(first)(x).item() == 12.0


def test_transforms_nest() -> None:
    def f(x: Any) -> Any:
        return MulScaled.apply(x, x * x, 1.0).sum()

    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert values(tg.func.grad(tg.func.grad(f))(tg.tensor(2.0))) == 12.0
    assert tg.allclose(tg.func.vmap(f)(x), (x**3).sum(1))
    assert tg.allclose(tg.func.vmap(tg.func.grad(f))(x), 3 * x**2)
    hessian = tg.func.hessian(f)(x[0])
    assert values(hessian) == [[6.0, 0.0], [0.0, 12.0]]
    with pytest.raises(RuntimeError, match=r"Cube.*vmap support"):
        tg.func.vmap(Cube.apply)(x)


class Generated(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, w):
        return (x * w).sum() * x, x.sum()

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, w = inputs
        ctx.save_for_backward(x, w)
        ctx.save_for_forward(x, w)

    @staticmethod
    def backward(ctx, g, h):
        x, w = ctx.saved_tensors
        return g * (x * w).sum() + (g * x).sum() * w + h, (g * x).sum() * x

    @staticmethod
    def jvp(ctx, xt, wt):
        x, w = ctx.saved_tensors
        return (xt * w + x * wt).sum() * x + (x * w).sum() * xt, xt.sum()


def plain(x: Any, w: Any) -> Any:
    return (x * w).sum() * x, x.sum()


def test_generated_vmap_rule() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    w = tg.tensor([0.5, -1.0], requires_grad=True)

    def loss(f: Any) -> Any:
        a, b = tg.func.vmap(f, in_dims=(0, None))(x, w)
        return (a * tg.tensor([1.0, 2.0])).sum() + (b * b).sum()

    ours = grad(loss(Generated.apply), (x, w))
    expected = grad(loss(plain), (x, w))
    for a, b in zip(ours, expected, strict=True):
        assert tg.allclose(a, b)

    def total(f: Any) -> Any:
        return lambda x: f(x, w.detach())[0].sum()

    assert tg.allclose(
        tg.func.vmap(tg.func.grad(total(Generated.apply)))(x.detach()),
        tg.func.vmap(tg.func.grad(total(plain)))(x.detach()),
    )
    assert tg.allclose(
        tg.func.jacfwd(total(Generated.apply))(x[0].detach()),
        tg.func.jacrev(total(plain))(x[0].detach()),
    )


def test_vmap_rules_are_told_the_randomness() -> None:
    class Noise(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x + tg.rand(2)

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return g

    x = tg.zeros(3, 2)
    different = tg.func.vmap(Noise.apply, randomness="different")(x)
    assert different.shape == (3, 2)
    assert not tg.equal(different[0], different[1])
    same = tg.func.vmap(Noise.apply, randomness="same")(x)
    assert tg.equal(same[0], same[1])
    with pytest.raises(RuntimeError, match="randomness"):
        tg.func.vmap(Noise.apply)(x)


def test_taylor_mode_by_the_rule_for_tangents() -> None:
    x, v = tg.tensor(2.0), tg.tensor(1.0)
    out, derivatives = tg.func.taylor(lambda x: MulScaled.apply(x, x, 1.5), (x,), (v,), order=3)
    assert (out.item(), [d.item() for d in derivatives]) == (6.0, [6.0, 3.0, 0.0])
    with pytest.raises(RuntimeError, match="jvp"):
        tg.func.taylor(Exp.apply, (x,), (v,), order=2)
    assert not tg._C._any_level_open()


def test_an_input_written_in_place_moves_along_a_curve() -> None:
    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def jvp(ctx, tangent):
            return tangent * 2

    def f(x: Any) -> Any:
        y = x**3
        assert Twice.apply(y) is y
        return y

    out, derivatives = tg.func.taylor(f, (tg.tensor(2.0),), (tg.tensor(1.0),), order=3)
    assert (out.item(), [d.item() for d in derivatives]) == (16.0, [24.0, 24.0, 12.0])


def test_an_output_kept_as_an_attribute_is_collected() -> None:
    class Keeps(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.token = Token()
            Keeps.last = weakref.ref(ctx.token)
            ctx.y = x * 2
            return ctx.y

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(1.0)
    y = Keeps.apply(x)
    gc.collect()
    y.sum().backward()
    assert values(x.grad) == [2.0]
    assert Keeps.last() is not None
    del y
    gc.collect()
    assert Keeps.last() is None


def test_packed_saved_tensors() -> None:
    packed = []
    with tg.autograd.graph.saved_tensors_hooks(
        lambda t: packed.append(t.shape) or t.clone(), lambda t: t
    ):
        x = leaf(2.0)
        y = Cube.apply(x)
    assert len(packed) == 1
    y.sum().backward()
    assert values(x.grad) == [12.0]


def test_the_page_of_custom_functions_runs() -> None:
    import doctest
    import pathlib

    page = pathlib.Path(__file__).parents[1] / "docs" / "custom_functions.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0
