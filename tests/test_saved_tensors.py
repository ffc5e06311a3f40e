"""Hooks for saved tensors, what nodes keep, and what the modes without recording do not keep."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import tapegrad as tg
from support import run_python
from tapegrad.autograd import graph

torch = pytest.importorskip("torch")


def identity(x):
    return x


def leaf(*values, dtype=tg.float64):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


# --- saved_tensors_hooks --------------------------------------------------------------------------


def test_pack_sees_what_is_saved_and_unpack_gives_the_gradient():
    x = leaf(1.0, 2.0)
    packed, unpacked = [], []

    def pack(tensor):
        packed.append(tensor)
        return len(packed) - 1

    def unpack(number):
        unpacked.append(number)
        return packed[number]

    with graph.saved_tensors_hooks(pack, unpack):
        y = (x * x).exp()
    assert [p is x for p in packed] == [True, True, False]
    assert packed[2].grad_fn is None  # outputs come detached: no cycle
    y.sum().backward()
    assert sorted(unpacked) == [0, 1, 2]
    xt = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    (xt * xt).exp().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), xt.grad.numpy(), rtol=1e-15)


@pytest.mark.parametrize("scale", [2.0, 0.5])
def test_what_unpack_returns_is_what_the_rule_reads(scale):
    x, xt = leaf(1.0, 2.0), torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    with graph.saved_tensors_hooks(identity, lambda t: t * scale):
        y = x.sin()
    with torch.autograd.graph.saved_tensors_hooks(identity, lambda t: t * scale):
        yt = xt.sin()
    y.sum().backward()
    yt.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), xt.grad.numpy(), rtol=1e-15)


def test_the_innermost_hooks_count_and_the_outer_come_back():
    x, seen = leaf(1.0), []

    def hooks(name):
        return graph.saved_tensors_hooks(lambda t: (seen.append(name), t)[1], identity)

    with hooks("outer"):
        x.exp()
        with hooks("inner"):
            x.exp()
        x.exp()
    x.exp()
    assert seen == ["outer", "inner", "outer"]


def test_hooks_are_taken_out_when_the_block_raises():
    x, seen = leaf(1.0), []
    with pytest.raises(KeyError), graph.saved_tensors_hooks(seen.append, identity):
        raise KeyError
    x.exp()
    assert seen == []


def test_hooks_belong_to_the_thread():
    x, seen = leaf(1.0), []
    with graph.saved_tensors_hooks(lambda t: (seen.append(1), t)[1], identity):
        thread = threading.Thread(target=lambda: x.exp().backward())
        thread.start()
        thread.join()
    assert seen == []
    assert x.grad.item() == pytest.approx(np.e)


def test_graph_recorded_under_hooks_may_be_walked_on_another_thread():
    x = leaf(1.0, 2.0)
    with graph.saved_tensors_hooks(lambda t: t.detach().numpy(), tg.from_numpy):
        y = x.exp().exp().sum()
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    want = np.exp([1.0, 2.0]) * np.exp(np.exp([1.0, 2.0]))
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-14)


def test_unpack_runs_again_in_each_pass_over_a_retained_graph():
    x, calls = leaf(3.0), []
    with graph.saved_tensors_hooks(identity, lambda t: (calls.append(1), t)[1]):
        y = x.exp()
    y.backward(retain_graph=True)
    y.backward()
    assert len(calls) == 2
    assert x.grad.item() == pytest.approx(2 * np.exp(3.0))


def test_a_rule_that_reads_twice_unpacks_once():
    x, calls = tg.randn(4, 3, requires_grad=True), []
    with graph.saved_tensors_hooks(identity, lambda t: (calls.append(1), t)[1]):
        y = tg.nn.functional.softmax(x, 1)
        kept = len(y.grad_fn.saved_tensors)
    calls.clear()
    y.square().sum().backward()
    assert len(calls) == kept


def test_double_backward_through_packed_tensors():
    x = leaf(0.3, 1.2)
    with graph.saved_tensors_hooks(lambda t: t.detach().numpy().copy(), tg.from_numpy):
        y = (x.sin() * x.exp()).sum()
    (first,) = tg.autograd.grad(y, x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = tg.autograd.grad(second.sum(), x)
    v = np.array([0.3, 1.2])
    s, c, e = np.sin(v), np.cos(v), np.exp(v)
    np.testing.assert_allclose(first.detach().numpy(), (s + c) * e, rtol=1e-14)
    np.testing.assert_allclose(second.detach().numpy(), 2 * c * e, rtol=1e-14)
    np.testing.assert_allclose(third.numpy(), 2 * (c - s) * e, rtol=1e-14)


def test_numbers_are_not_packed_and_hooks_see_no_recording():
    x, seen = leaf(1.0), []
    with graph.saved_tensors_hooks(lambda t: (seen.append(tg.is_grad_enabled()), t)[1], identity):
        y = x * 2.0
    assert seen == []
    with graph.saved_tensors_hooks(lambda t: (seen.append(tg.is_grad_enabled()), t)[1], identity):
        y = x * x
    assert seen == [False, False]
    assert tg.is_grad_enabled()
    y.backward()


def test_operations_inside_a_pack_hook_are_not_packed_in_turn():
    x = leaf(1.0)

    def pack(t):
        with tg.enable_grad():
            return (t * t).detach().sqrt()

    with graph.saved_tensors_hooks(pack, identity):
        y = x.exp()
    y.backward()
    assert x.grad.item() == pytest.approx(np.e)


def test_views_and_in_place_operations_pass_through_hooks():
    x, xt = leaf(1.0, 2.0, 3.0), torch.tensor([1.0, 2, 3], dtype=torch.float64, requires_grad=True)

    def f(t):
        y = t * 2
        y[1:].mul_(t[:2])
        return (y.exp() * y).sum()

    copy = graph.saved_tensors_hooks(lambda t: t.detach().clone(), identity)
    with copy:
        y = f(x)
    y.backward()
    f(xt).backward()
    np.testing.assert_allclose(x.grad.numpy(), xt.grad.numpy(), rtol=1e-14)


@pytest.mark.parametrize("pack", [identity, tg.Tensor.detach, lambda t: t.view(-1)])
def test_changes_in_place_of_what_a_hook_keeps_as_it_is_are_noticed(pack):
    x = leaf(1.0, 2.0)
    y = x * 1
    with graph.saved_tensors_hooks(pack, lambda t: t.view(2)):
        z = y.sin()
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*that a pack hook"):
        z.sum().backward()
    with graph.saved_tensors_hooks(lambda t: t.detach().clone(), identity):
        z = y.sin()
    y.add_(1)
    z.sum().backward()  # the hook's copy is as it was
    np.testing.assert_allclose(x.grad.numpy(), np.cos([2.0, 3.0]))


# --- errors ---------------------------------------------------------------------------------------


def test_an_exception_in_pack_arrives_at_the_operation_with_its_traceback():
    x = leaf(1.0)

    def pack(_):
        raise ZeroDivisionError("in pack")

    with graph.saved_tensors_hooks(pack, identity):
        with pytest.raises(ZeroDivisionError, match="in pack") as caught:
            x.exp()
        with pytest.raises(ZeroDivisionError):
            x.clone().exp_()
    assert caught.traceback[-1].name == "pack"
    y = x.exp()
    y.backward()
    assert x.grad.item() == pytest.approx(np.e)


def test_an_in_place_operation_whose_pack_fails_leaves_the_tensor_alone():
    x = leaf(1.0)
    y = x * 1.0

    def pack(_):
        raise ZeroDivisionError

    with graph.saved_tensors_hooks(pack, identity), pytest.raises(ZeroDivisionError):
        y.exp_()
    assert y.item() == 1.0
    assert y._version == 0


def test_an_exception_in_unpack_arrives_at_backward_and_the_next_pass_works():
    x, fail = leaf(1.0), [True]

    def unpack(t):
        if fail[0]:
            raise ZeroDivisionError("in unpack")
        return t

    with graph.saved_tensors_hooks(identity, unpack):
        y = x.exp()
    with pytest.raises(ZeroDivisionError, match="in unpack") as caught:
        y.backward()
    assert caught.traceback[-1].name == "unpack"
    fail[0] = False
    y.backward()
    assert x.grad.item() == pytest.approx(np.e)


@pytest.mark.parametrize(
    ("unpack", "error", "words"),
    [
        (lambda t: 3, TypeError, "expected to be a Tensor but got result of type int"),
        (lambda t: t[:1], RuntimeError, r"shape \(1,\) for the float64 tensor of shape \(2,\)"),
        (lambda t: t.float(), RuntimeError, "ExpBackward: the unpack hook returned float32"),
    ],
)
def test_unpack_has_to_give_back_the_same_kind_of_tensor(unpack, error, words):
    x = leaf(1.0, 2.0)
    with graph.saved_tensors_hooks(identity, unpack):
        y = x.exp()
    with pytest.raises(error, match=words):
        y.sum().backward()


def test_pack_must_not_change_its_tensor():
    x = leaf(1.0)
    with (
        graph.saved_tensors_hooks(lambda t: t.mul_(2), identity),
        pytest.raises(RuntimeError, match="modifying its input in place"),
    ):
        x.clone().exp()


def test_hooks_must_be_callable():
    with pytest.raises(TypeError, match="unpack_hook must be callable, got int"):
        graph.saved_tensors_hooks(identity, 3)


def refuses_hooks(message):
    try:
        with graph.save_on_cpu():
            return False
    except RuntimeError as error:
        return str(error) == message


def test_disabled_hooks():
    with graph.disable_saved_tensors_hooks("outer"):
        assert refuses_hooks("outer")
        with graph.disable_saved_tensors_hooks("inner"):
            assert refuses_hooks("inner")
        assert refuses_hooks("outer")
    assert not refuses_hooks("")
    active, disabled = graph.save_on_cpu(), graph.disable_saved_tensors_hooks("hooks are active")
    with active:
        with pytest.raises(RuntimeError, match="hooks are active"):
            disabled.__enter__()
        assert leaf(1.0).exp().grad_fn.saved_tensors[0].item() == pytest.approx(np.e)


def test_save_on_cpu_gives_the_same_gradient():
    x = leaf(1.0, 2.0)
    with graph.save_on_cpu(pin_memory=True):
        y = (x.exp() * x).sum()
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]) * [2.0, 3.0], rtol=1e-14)


# --- lifetimes ------------------------------------------------------------------------------------


class Box:
    def __init__(self, tensor):
        self.tensor = tensor


def boxes_alive(make_graph_die):
    """References to packed objects, before and after `make_graph_die(y)`."""
    x, alive = leaf(1.0, 2.0), []

    def pack(tensor):
        box = Box(tensor)
        alive.append(weakref.ref(box))
        return box

    gc.disable()
    try:
        with graph.saved_tensors_hooks(pack, lambda box: box.tensor):
            y = [(x.exp() * x).sum()]
        before = sum(ref() is not None for ref in alive)
        make_graph_die(y)
        return before, sum(ref() is not None for ref in alive)
    finally:
        gc.enable()


def test_packed_objects_die_with_the_pass_or_the_graph_by_reference_count():
    assert boxes_alive(lambda y: y[0].backward()) == (3, 0)
    assert boxes_alive(list.clear) == (3, 0)
    assert boxes_alive(lambda y: y[0].backward(retain_graph=True)) == (3, 3)


def test_the_hooks_themselves_die_with_the_graph():
    class Hook:
        def __call__(self, value):
            return value

    hook = Hook()
    ref = weakref.ref(hook)
    x = leaf(1.0)
    with graph.saved_tensors_hooks(hook, hook):
        y = x.exp()
    del hook
    assert ref() is not None
    y.backward()
    assert ref() is None


def test_a_deep_graph_of_packed_tensors_is_walked_and_freed_without_recursion():
    out = run_python(
        """
        import threading
        import tapegrad as tg
        from tapegrad.autograd import graph

        def work():
            x = tg.tensor([1.0], requires_grad=True)
            with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
                y = x
                for _ in range(100_000):
                    y = y.sin()
            y.backward()
            del y
            with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
                y = x
                for _ in range(100_000):
                    y = y.sin()
            del y

        threading.stack_size(256 * 1024)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        print("done")
        """
    )
    assert out.strip() == "done"


# --- saved_tensors of a node ----------------------------------------------------------------------


def test_saved_tensors_of_a_node():
    x = leaf(1.0, 2.0)
    y = x * x
    assert [t is x for t in y.grad_fn.saved_tensors] == [True, True]
    assert y.grad_fn._saved_self is x
    assert y.grad_fn._saved_other is x
    z = y.exp()
    np.testing.assert_array_equal(z.grad_fn._saved_result.detach().numpy(), z.detach().numpy())
    assert z.grad_fn._saved_result.grad_fn == z.grad_fn
    with pytest.raises(AttributeError, match="ExpBackward has not saved"):
        z.grad_fn._saved_self
    assert z.sum().grad_fn.saved_tensors == ()
    z.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        z.grad_fn.saved_tensors
    with pytest.raises(RuntimeError, match="a second time"):
        z.grad_fn._saved_result


def test_saved_tensors_of_a_node_check_versions():
    x = leaf(1.0)
    y = x * 1.0
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.grad_fn.saved_tensors


# --- modes that keep nothing ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", [tg.no_grad, tg.inference_mode])
def test_modes_without_recording_keep_nothing(mode):
    w = tg.randn(256, 256, requires_grad=True)
    seen = []

    def run(x):
        for _ in range(20):
            x = (x @ w).tanh()
        return x

    x = tg.randn(256, 256)
    with mode():
        run(x)
        tg.reset_peak_memory_stats()
        before = tg.memory_stats()
        with graph.saved_tensors_hooks(lambda t: (seen.append(t), t)[1], identity):
            y = run(x)
        after = tg.memory_stats()
    one = 256 * 256 * 4
    assert seen == []
    assert y.grad_fn is None
    assert after["allocated_bytes"] - before["allocated_bytes"] <= one + 4096
    assert (
        after["peak_allocated_bytes"] - before["allocated_bytes"] <= 3 * one + 4096
    )  # x, x @ w and its tanh
    assert sys.getrefcount(x) == 2
    assert sys.getrefcount(w) == 2
    ref = weakref.ref(y)
    del y
    assert ref() is None
    assert tg.memory_stats()["allocated_bytes"] <= before["allocated_bytes"]


def test_recording_does_keep():
    w = tg.randn(256, 256, requires_grad=True)
    before = tg.memory_stats()["allocated_bytes"]
    x = tg.randn(256, 256)
    for _ in range(5):
        x = (x @ w).tanh()
    assert tg.memory_stats()["allocated_bytes"] - before >= 5 * 256 * 256 * 4


# --- increment_version ----------------------------------------------------------------------------


def test_increment_version_makes_writes_known():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    z = (x * y).sum()
    x.detach().numpy()[0] = 7
    graph.increment_version([x, y])
    assert (x._version, y._version) == (1, 1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
    graph.increment_version(x)
    assert x._version == 2
    with pytest.raises(TypeError):
        graph.increment_version(3)


def test_recording_without_hooks_asks_nobody():
    """A process that never uses hooks imports nothing of them."""
    code = (
        "import sys, tapegrad as tg; x = tg.ones(2, requires_grad=True); (x * x).sum().backward();"
        "print('tapegrad.autograd.graph' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "False"
