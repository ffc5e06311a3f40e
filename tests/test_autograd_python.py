"""The tape as Python sees it: graphs, hooks, modes, backward."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref

import pytest

import tapegrad as tg
from tapegrad import _C

# --- autograd from Python -------------------------------------------------------------------------


def test_graph_can_be_looked_at():
    x = tg.ones(2, requires_grad=True)
    y = x * 2
    assert x.grad_fn is None
    assert y.grad_fn.name() == "MulBackward"
    assert repr(y.grad_fn).startswith("<MulBackward object at 0x")
    assert y.grad_fn == y.grad_fn
    ((node, output),) = [pair for pair in y.grad_fn.next_functions if pair[0] is not None]
    assert node.name() == "AccumulateGrad"
    assert output == 0
    assert node.variable is x


def test_hooks():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    seen = []
    handle = x.register_hook(lambda grad: seen.append(grad.tolist()))
    double = x.register_hook(lambda grad: grad * 2)
    (x * 3).sum().backward()
    assert seen == [[3.0, 3.0]]
    assert x.grad.tolist() == [6.0, 6.0]
    handle.remove()
    handle.remove()
    double.remove()
    x.grad = None
    y = x * 3
    with y.register_hook(lambda grad: grad * 10):
        y.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [30.0, 30.0]
    y.sum().backward()
    assert x.grad.tolist() == [33.0, 33.0]
    assert len(seen) == 1
    x.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf is x))
    x.sum().backward()
    assert seen[-1] is True
    with pytest.raises(RuntimeError, match="doesn't require grad"):
        tg.ones(1).register_hook(print)
    with pytest.raises(TypeError, match="expected a function"):
        x.register_hook(3)


def test_exceptions_of_hooks_come_through_unchanged():
    class Mine(Exception):
        pass

    def fail(grad):
        raise Mine("from the hook")

    x = tg.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(fail)
    with pytest.raises(Mine, match="from the hook") as caught:
        y.sum().backward()
    assert any(entry.name == "fail" for entry in caught.traceback)
    x.register_hook(lambda grad: "text")
    with pytest.raises(TypeError, match="must return a Tensor or None, got str"):
        (x * 2).sum().backward()


def test_requires_grad_and_leaves():
    x = tg.ones(2)
    assert not x.requires_grad
    assert x.requires_grad_() is x
    y = x * 2
    assert x.is_leaf
    assert not y.is_leaf
    with pytest.raises(RuntimeError, match="leaf"):
        y.requires_grad = False
    with pytest.raises(RuntimeError, match="floating-point"):
        tg.ones(2, dtype=tg.int64).requires_grad = True
    y.retain_grad()
    assert y.retains_grad
    y.sum().backward()
    assert y.grad.tolist() == [1.0, 1.0]
    del x.grad
    assert x.grad is None
    with pytest.raises(tg.ShapeError):
        x.grad = tg.ones(3)
    with pytest.raises(TypeError):
        x.grad = 3
    z = y * 1
    assert z.detach_() is z
    assert z.grad_fn is None
    assert not z.requires_grad


def test_data():
    x = tg.ones(2, requires_grad=True)
    x.data.mul_(3)
    assert x.tolist() == [3.0, 3.0]
    x.data = tg.zeros(3, dtype=tg.float64)
    assert x.shape == (3,)
    assert x.requires_grad
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    assert x.grad.dtype is tg.float64
    y = tg.ones(2, requires_grad=True)
    loss = (y * y).sum()
    y.data = tg.zeros(2)
    with pytest.raises(RuntimeError, match=r"modified|changed"):
        loss.backward()


def test_backward_arguments():
    x = tg.ones(2, requires_grad=True)
    y = tg.ones(2, requires_grad=True)
    z = x * y * 2
    z.backward(tg.tensor([1.0, 10.0]), retain_graph=True, inputs=[x])
    assert x.grad.tolist() == [2.0, 20.0]
    assert y.grad is None
    z.backward(gradient=tg.ones(2))
    assert y.grad.tolist() == [2.0, 2.0]
    (g,) = _C._engine_grad((x**3).sum(), x, None, False, True, False)
    (h,) = _C._engine_grad((g.sum(),), (x,))
    assert h.tolist() == [6.0, 6.0]
    assert _C._engine_grad([x.sum()], [x, y], None, False, False, True)[1] is None


def test_modes():
    assert tg.is_grad_enabled()
    assert _C._set_grad_enabled(False) is True
    assert not tg.is_grad_enabled()
    assert _C._set_grad_enabled(True) is False
    with tg.inference_mode():
        assert tg.is_inference_mode_enabled()
        assert tg.ones(1).is_inference()
    with pytest.raises(TypeError, match="bool"):
        _C._set_grad_enabled(1)


def test_forward_mode():
    level = _C._enter_dual_level()
    try:
        x = _C._make_dual(tg.tensor([2.0]), tg.tensor([1.0]), level)
        primal, tangent = _C._unpack_dual(x * x, level)
        assert primal.tolist() == [4.0]
        assert tangent.tolist() == [4.0]
        assert _C._unpack_dual(tg.ones(1), level)[1] is None
    finally:
        _C._exit_dual_level(level)


def test_threads_run_backward_with_hooks():
    results = [None] * 8

    def work(i):
        x = tg.full((100,), float(i), requires_grad=True)
        x.register_hook(lambda grad: grad + 1)
        for _ in range(20):
            x.grad = None
            (x * x).sum().backward()
        results[i] = x.grad[0].item()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [2.0 * i + 1 for i in range(8)]


def test_objects_owned_by_tensors_die_on_other_threads():
    class Noted(tg.Tensor):
        pass

    died = []
    for _ in range(20):
        p = tg.ones(2, requires_grad=True)
        saved = Noted([1.0, 2.0])
        weakref.finalize(saved, died.append, 1)
        out = (p * saved).sum()
        del saved
        thread = threading.Thread(target=out.backward)
        thread.start()
        thread.join()
        del out, p
    tg.ones(1) + 1
    gc.collect()
    assert len(died) == 20


def test_interpreter_exits_cleanly_with_tensors_alive():
    code = (
        "import tapegrad as tg, threading\n"
        "x = tg.ones(3, requires_grad=True); x.note = x\n"
        "y = (x * 2).exp(); y.register_hook(lambda g: g); y.tag = 1\n"
        "def work():\n"
        "    while True: (tg.ones(1000, requires_grad=True) * 2).sum().backward()\n"
        "threading.Thread(target=work, daemon=True).start()\n"
    )
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
