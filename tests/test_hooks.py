"""Hooks of nodes, leaves, several tensors and modules: order, values, removal, against PyTorch."""

from __future__ import annotations

import gc
import signal
import threading
import time
import traceback
import weakref
from typing import Any

import pytest

import tapegrad as tg
from tapegrad.autograd import graph


def values(x: Any) -> Any:
    return None if x is None else x.detach().numpy().tolist()


def both() -> list[Any]:
    return [tg, pytest.importorskip("torch")]


def short(m: Any, tensors: tuple[Any, ...]) -> list[Any]:
    return [values(t) for t in tensors]


# --- nodes ------------------------------------------------------------------------------------


def test_order_of_all_hooks_is_that_of_torch() -> None:
    logs = []
    for m in both():
        log: list[Any] = []
        x = m.tensor([1.0, 2.0], requires_grad=True)
        y = x * 3
        z = y.sum()
        node = y.grad_fn
        node.register_prehook(lambda g, log=log, m=m: log.append(("pre", short(m, g))))
        node.register_hook(
            lambda gi, go, log=log, m=m: log.append(("post", values(gi[0]), short(m, go)))
        )
        y.retain_grad()
        y.register_hook(lambda g, log=log: log.append(("tensor", values(g))) or g * 2)
        x.register_hook(lambda g, log=log: log.append(("leaf", values(g))))
        x.register_post_accumulate_grad_hook(lambda p, log=log: log.append(("acc", values(p.grad))))
        accumulator = node.next_functions[0][0]
        accumulator.register_prehook(lambda g, log=log, m=m: log.append(("acc pre", short(m, g))))
        accumulator.register_hook(
            lambda gi, go, log=log, m=m: log.append(("acc post", len(gi), short(m, go)))
        )
        z.backward()
        log.append(("retained", values(y.grad)))
        logs.append(log)
    assert logs[0] == logs[1]
    assert [entry[0] for entry in logs[0]] == [
        "tensor", "pre", "post", "leaf", "acc pre", "acc", "acc post", "retained",
    ]  # fmt: skip


def test_node_hooks_replace_gradients() -> None:
    for m in both():
        x = m.tensor([1.0, 2.0], requires_grad=True)
        w = m.tensor([3.0, 4.0], requires_grad=True)
        y = x * w
        pre = y.grad_fn.register_prehook(lambda g: (g[0] * 10,))
        y.grad_fn.register_hook(lambda gi, go: (gi[0] + 1, None))
        y.sum().backward(retain_graph=True)
        assert values(x.grad) == [31.0, 41.0]
        assert w.grad is None
        pre.remove()
        pre.remove()
        x.grad = None
        y.sum().backward()
        assert values(x.grad) == [4.0, 5.0]


def test_wrong_results_of_node_hooks() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    cases: list[tuple[Any, Any, str]] = [
        (lambda gi, go: (gi[0], gi[0]), RuntimeError, "incorrect number of values.*got 2"),
        (lambda gi, go: 3, TypeError, "must return tensors or None, got int"),
        (lambda gi, go: tg.ones(5), tg.ShapeError, r"ExpBackward.*\(5,\).*\(2,\)"),
    ]
    for hook, error, message in cases:
        y = x.exp()
        y.grad_fn.register_hook(hook)
        with pytest.raises(error, match=message):
            y.sum().backward()
        assert x.grad is None
    with pytest.raises(TypeError, match=r"register_hook\(\): expected a function, got int"):
        x.exp().grad_fn.register_hook(3)


def test_metadata_and_walking_the_graph() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    y = (x * x).exp()
    node = y.grad_fn
    node.metadata["where"] = "here"
    assert y.grad_fn.metadata == {"where": "here"}
    assert isinstance(node, graph.Node)
    assert y.grad_fn == node
    names = []
    while node is not None:
        names.append(node.name())
        node = node.next_functions[0][0] if node.next_functions else None
    assert names == ["ExpBackward", "MulBackward", "AccumulateGrad"]


def test_exceptions_in_hooks_arrive_with_their_traceback() -> None:
    def failing(*_: Any) -> None:
        raise KeyError("from the hook")

    for register in ("register_hook", "register_prehook"):
        x = tg.tensor(2.0, requires_grad=True)
        y = x * x
        getattr(y.grad_fn, register)(failing)
        with pytest.raises(KeyError) as caught:
            y.backward()
        assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "failing"
        assert x.grad is None
        (x * 3).backward()
        assert x.grad.item() == 3.0


def test_backward_inside_hooks() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    w = tg.tensor(5.0, requires_grad=True)
    y = x * x

    def inner(gi: Any, go: Any) -> None:
        with tg.enable_grad():
            (w * w).backward()

    y.grad_fn.register_hook(inner)
    y.backward()
    assert (x.grad.item(), w.grad.item()) == (4.0, 10.0)


def test_hooks_die_with_their_tensor() -> None:
    class Owner:
        def hook(self, *_: Any) -> None: ...

    gc.disable()
    try:
        owner = Owner()
        gone = weakref.ref(owner)
        y = tg.ones(2, requires_grad=True) * 2
        handle = y.grad_fn.register_hook(owner.hook)
        del owner
        assert gone() is not None
        handle.remove()
        assert gone() is None
    finally:
        gc.enable()
    owner = Owner()
    gone = weakref.ref(owner)
    y = tg.ones(2, requires_grad=True) * 2
    owner.y = y  # type: ignore[attr-defined]
    y.grad_fn.register_hook(owner.hook)
    y.register_hook(owner.hook)
    del owner, y
    gc.collect()
    assert gone() is None


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_reaches_a_backward_of_python_rules() -> None:
    class Slow(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            time.sleep(0.002)
            return g

    x = tg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(2000):
        y = Slow.apply(y)
    timer = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        y.backward()
    assert time.perf_counter() - start < 2.0
    timer.join()
    (x * 2).backward()
    assert x.grad.item() == 2.0


# --- edges and several tensors -----------------------------------------------------------------


def test_gradient_edges() -> None:
    for m in both():
        edges = m.autograd.graph.get_gradient_edge
        x = m.tensor([1.0, 2.0], requires_grad=True)
        y = x * x
        z = y.exp().sum()
        edge = edges(y)
        assert edge.output_nr == 0
        assert edge.node.name().startswith("MulBackward")
        del y
        (g,) = m.autograd.grad(z, edge, retain_graph=True)
        assert values(g) == pytest.approx([2.718281828, 54.59815], rel=1e-5)
        m.autograd.backward(edges(z), inputs=[edges(x)])
        assert values(x.grad) == pytest.approx([5.436563, 218.3926], rel=1e-5)
        with pytest.raises(RuntimeError, match="gradient edge"):
            edges(m.ones(2))
    x = tg.tensor([1.0], requires_grad=True)
    y = x * 2
    with pytest.raises(RuntimeError, match="GradientEdge of a result"):
        tg.autograd.backward(y, inputs=graph.get_gradient_edge(y))


@pytest.mark.parametrize("mode", ["all", "any"])
def test_multi_grad_hooks(mode: str) -> None:
    logs = []
    for m in both():
        log: list[Any] = []
        a, b, c = (m.tensor(v, requires_grad=True) for v in (2.0, 3.0, 4.0))

        def hook(grads: Any, log: list[Any] = log) -> None:
            log.append([values(g) for g in grads] if isinstance(grads, list) else values(grads))

        register = m.autograd.graph.register_multi_grad_hook
        handle = register((a, b, c), hook, mode=mode)
        (a * b).backward()
        (a * b * c).backward(inputs=[a])
        handle.remove()
        (a * b * c).backward()
        logs.append(log)
    assert logs[0] == logs[1]
    assert len(logs[0]) == 2


# --- backward(inputs=) ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*create_graph:UserWarning", "ignore:Full backward hook")
def test_backward_inputs_as_in_torch() -> None:
    results = []
    for m in both():
        log: list[Any] = []
        x, w = (m.tensor(v, requires_grad=True) for v in (2.0, 3.0))
        h = x * w
        y = h * h
        x.register_post_accumulate_grad_hook(lambda p, log=log: log.append(values(p.grad)))
        y.backward(inputs=[x], retain_graph=True)
        log.append((values(x.grad), values(w.grad)))
        y.backward(inputs=[h, w], retain_graph=True)
        log.append((values(x.grad), values(w.grad), values(h.grad), h.retains_grad))
        y.backward(inputs=x, create_graph=True)
        log.append((values(x.grad), x.grad.requires_grad))
        with pytest.raises(RuntimeError):
            y.backward(inputs=[])
        with pytest.raises(RuntimeError):
            y.backward(inputs=[m.ones(1)])
        results.append(log)
    assert results[0] == results[1]


# --- modules -----------------------------------------------------------------------------------


def make_module(m: Any) -> Any:
    class Block(m.nn.Module):
        def forward(self, x: Any, text: Any, y: Any) -> Any:
            return (x * 2 + y, x * y)

    return Block()


def test_full_backward_hooks_as_in_torch() -> None:
    results = []
    for m in both():
        log: list[Any] = []
        block = make_module(m)
        block.register_full_backward_pre_hook(
            lambda mod, go, log=log, m=m: log.append(("pre", short(m, go)))
        )
        block.register_full_backward_pre_hook(lambda mod, go: (go[0] * 2, go[1]))
        block.register_full_backward_hook(
            lambda mod, gi, go, log=log, m=m: log.append(("full", short(m, gi), short(m, go)))
        )
        handle = block.register_full_backward_hook(
            lambda mod, gi, go: tuple(None if g is None else g * 10 for g in gi), prepend=True
        )
        x = m.tensor([1.0, 2.0], requires_grad=True)
        y = m.tensor([3.0, 4.0])
        a, b = block(x, "text", y)
        (a.sum() + 3 * b.sum()).backward()
        log.append(values(x.grad))
        handle.remove()
        a, b = block(m.ones(2), "text", m.ones(2))  # nothing needs a gradient
        assert not a.requires_grad
        results.append(log)
    assert results[0] == results[1]


@pytest.mark.filterwarnings("ignore:.*create_graph:UserWarning", "ignore:Full backward hook")
def test_module_hook_where_no_input_needs_a_gradient() -> None:
    results = []
    for m in both():
        log: list[Any] = []
        layer = m.nn.Linear(2, 2, bias=False)
        with m.no_grad():
            layer.weight.copy_(m.ones(2, 2))
        layer.register_full_backward_hook(
            lambda mod, gi, go, log=log, m=m: log.append((short(m, gi), short(m, go)))
        )
        layer(m.ones(1, 2)).sum().backward()
        log.append(values(layer.weight.grad))
        results.append(log)
    assert results[0] == results[1]


def test_wrong_results_of_module_hooks() -> None:
    layer = tg.nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda mod, gi, go: (gi[0], gi[0]))
    x = tg.ones(1, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2, but expected 1"):
        layer(x).sum().backward()
    layer = tg.nn.Linear(2, 2)
    layer.register_full_backward_pre_hook(lambda mod, go: ())
    with pytest.raises(RuntimeError, match="invalid number of grad_output, got 0"):
        layer(x).sum().backward()
