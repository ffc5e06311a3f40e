"""Anomaly mode: what went wrong in a backward pass, made by which operation, recorded where."""

from __future__ import annotations

import ctypes
import gc
import re
import threading
import warnings
import weakref

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import func
from tapegrad.autograd import detect_anomaly, grad, is_anomaly_enabled, set_detect_anomaly

pytestmark = pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")


def leaf(*values):
    return tg.tensor(values, dtype=tg.float64, requires_grad=True)


def line_of(function, offset):
    """``file:line`` of a line of this file, counted from the head of ``function``."""
    return f"test_anomaly.py:{function.__code__.co_firstlineno + offset}"


def message_of(call):
    with pytest.raises(RuntimeError) as caught:
        call()
    return str(caught.value)


# --- the mode -------------------------------------------------------------------------------------


def test_the_mode_nests_and_comes_back():
    assert not is_anomaly_enabled()
    with detect_anomaly():
        assert is_anomaly_enabled()
        with set_detect_anomaly(False):
            assert not is_anomaly_enabled()
        assert is_anomaly_enabled()
    with pytest.raises(KeyError), detect_anomaly():
        raise KeyError
    assert not is_anomaly_enabled()
    set_detect_anomaly(True, check_nan=False)
    assert tg.is_anomaly_enabled()
    assert not tg.is_anomaly_check_nan_enabled()
    tg.set_anomaly_enabled(True)
    assert tg.is_anomaly_check_nan_enabled()
    set_detect_anomaly(mode=False)
    assert not is_anomaly_enabled()


def test_the_mode_belongs_to_the_thread():
    seen = []
    with detect_anomaly():
        thread = threading.Thread(target=lambda: seen.append(is_anomaly_enabled()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_a_warning_says_that_it_is_slow():
    with pytest.warns(UserWarning, match="only be enabled for debugging"):
        detect_anomaly()


def test_the_names_of_pytorch():
    torch = pytest.importorskip("torch")
    x, y = leaf(0.0), torch.tensor([0.0], dtype=torch.float64, requires_grad=True)
    with detect_anomaly():
        ours = message_of(lambda: (x.sqrt() * 0).sum().backward())
    with torch.autograd.detect_anomaly(), pytest.raises(RuntimeError) as caught:
        (y.sqrt() * 0).sum().backward()
    theirs = str(caught.value).replace("Backward0", "Backward").removesuffix(".")
    assert ours.startswith(theirs)


# --- NaN ------------------------------------------------------------------------------------------


class Root(tg.nn.Module):
    def forward(self, x):
        return x.sqrt()


class Net(tg.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = tg.nn.Sequential(tg.nn.Linear(2, 3), Root())
        self.out = tg.nn.Linear(3, 1)

    def forward(self, x):
        return self.out(self.encoder(x))


def test_it_names_operation_line_module_path_and_shapes():
    net = Net()
    with tg.no_grad():
        for p in net.encoder[0].parameters():
            p.zero_()
        net.out.weight.zero_()
    with detect_anomaly():
        y = net(tg.ones(4, 2))
        message = message_of(lambda: y.sum().backward())
    assert message.startswith("Function 'SqrtBackward' returned nan values in its 0th output")
    assert "12 of 12 entries, the first at [0, 0]" in message
    assert "(float32 tensor of shape (4, 3)) -> float32 tensor of shape (4, 3)" in message
    assert "Recorded in module: Net.encoder.1 (Root)" in message
    place = line_of(Root.forward, 1).split(":")
    assert f'{place[0]}", line {place[1]}, in forward\n    return x.sqrt()' in message
    assert "inputs, its outputs and the gradient it was given are finite" in message


def test_which_input_was_not_finite_first_and_where_it_came_from():
    x, w = leaf(-1.0, 4.0), leaf(1.0, 2.0)

    def forward():
        y = x.sqrt()
        z = y + 1
        return (w * z).sum()

    with detect_anomaly():
        message = message_of(forward().backward)
    assert message.startswith("Function 'MulBackward' returned nan values in its 0th output")
    assert "(1 of 2 entries, the first at [0])" in message
    assert "Input 1 held nan when it was recorded" in message
    assert f"The first was made by SqrtBackward's operation at {line_of(forward, 1)}" in message
    assert "out of finite inputs" in message


def test_a_leaf_that_held_it_from_the_start():
    x, w = leaf(float("inf"), 4.0), leaf(0.0, 2.0)
    with detect_anomaly():
        message = message_of((x * w).sin().sum().backward)
    assert "The first was a leaf, a float64 tensor of shape (2,) that holds inf" in message


def test_a_gradient_that_arrived_broken():
    x = leaf(0.0, 4.0)
    with detect_anomaly():
        y = x * 3
        message = message_of(lambda: y.backward(tg.tensor([float("nan"), 1.0], dtype=tg.float64)))
    assert "The gradient it was given for its output 0 already holds nan" in message


def test_an_output_that_was_the_first():
    x = leaf(0.0, 4.0)
    with detect_anomaly():
        message = message_of((x.log() * 0).sum().backward)
    assert "Function 'LogBackward'" in message or "Function 'MulBackward'" in message
    x = leaf(0.0)
    with detect_anomaly():
        y = x.reciprocal()
        message = message_of(lambda: (y * 0).backward(tg.tensor([0.0], dtype=tg.float64)))
    assert "its output 0 was the first to hold inf" in message


def test_the_double_where_is_suggested():
    x = leaf(0.0, 4.0)

    def forward():
        return tg.where(x > 0, x.sqrt(), x)

    with detect_anomaly():
        message = message_of(forward().sum().backward)
    assert f"A where() at {line_of(forward, 1)}" in message
    assert "y = where(mask, f(where(mask, x, 1.0)), other)" in message
    mask = x > 0
    with detect_anomaly():
        y = tg.where(mask, tg.where(mask, x, 1.0).sqrt(), x)
        y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 0.25])


def test_no_where_no_suggestion():
    x = leaf(0.0, 4.0)
    with detect_anomaly():
        y = tg.where(x > 0, x, -x)  # before, not after
        message = message_of((y.sqrt() * 0).sum().backward)
    assert "A where()" not in message


def test_infinities_are_no_error():
    x = leaf(0.0, 4.0)
    with detect_anomaly():
        x.sqrt().sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [np.inf, 0.25])


def test_check_nan_false_lets_nan_pass():
    x = leaf(0.0, 4.0)
    with detect_anomaly(check_nan=False):
        (x.sqrt() * 0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [np.nan, 0.0])


def test_forward_outside_of_the_mode():
    x = leaf(0.0)
    y = x.sqrt() * 0
    with detect_anomaly():
        message = message_of(y.sum().backward)
    assert "Function 'SqrtBackward'" in message
    assert "run the forward pass under detect_anomaly() too" in message


def test_backward_outside_of_the_mode_checks_nothing():
    x = leaf(0.0)
    with detect_anomaly():
        y = x.sqrt() * 0
    y.sum().backward()
    assert np.isnan(x.grad.numpy()).all()


def test_a_node_of_a_recorded_backward_names_its_parent():
    x = leaf(0.0, 4.0)

    def forward():
        return x**1.5

    with detect_anomaly():
        (g,) = grad(forward().sum(), x, create_graph=True)
        message = message_of((g * 0).sum().backward)
    assert re.search(
        rf"It is part of the derivative of \w+Backward at {line_of(forward, 1)}", message
    )


def test_the_state_is_good_for_the_next_pass():
    x = leaf(0.0, 4.0)
    with detect_anomaly():
        y = x.sqrt() * 0
        with pytest.raises(RuntimeError):
            y.sum().backward()
    assert tg.is_grad_enabled()
    assert x.grad is None
    (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 2.0])


def test_inside_the_transforms_of_func():
    w = tg.zeros(3, 2)
    with detect_anomaly():
        message = message_of(lambda: func.vmap(func.grad(lambda v: (v.sqrt() * 0).sum()))(w))
    assert "Function 'SqrtBackward' returned nan values" in message
    assert "6 of 6 entries" in message


# --- other errors ---------------------------------------------------------------------------------


def test_an_error_in_a_hook_of_the_pass_comes_with_the_place():
    x = leaf(1.0)

    def unpack(_):
        raise ZeroDivisionError("broken")

    def forward():
        with tg.autograd.graph.saved_tensors_hooks(lambda t: t, unpack):
            return x.exp()

    with detect_anomaly():
        y = forward()
        with (
            pytest.warns(UserWarning, match="Error detected in ExpBackward") as caught,
            pytest.raises(ZeroDivisionError, match="broken"),
        ):
            y.backward()
    assert "return x.exp()" in str(caught[0].message)


def test_a_graph_used_twice_says_which_operation_and_where():
    x = leaf(1.0, 2.0)

    def forward():
        return (x.exp() * x).sum()

    with detect_anomaly():
        y = forward()
    y.backward()
    message = message_of(y.backward)
    assert "the tensors that MulBackward (it made the float64 tensor of shape (2,)" in message
    assert "return (x.exp() * x).sum()" in message
    y = forward()
    y.backward()
    message = message_of(y.backward)
    assert "MulBackward" in message
    assert "Under autograd.detect_anomaly() this message says where it was made" in message


def test_a_saved_tensor_changed_in_place_says_where_it_was_saved():
    x = leaf(1.0, 2.0)
    with detect_anomaly():
        y = x * 1
        z = y.sin()
        y.add_(1)
    message = message_of(z.sum().backward)
    assert "SinBackward: one of the variables" in message
    assert "z = y.sin()" in message


# --- memory shared with others --------------------------------------------------------------------


@pytest.mark.parametrize("way", ["array of ours", "array of NumPy", "dlpack", "later"])
def test_writes_through_shared_memory_are_noticed(way):
    array = np.array([1.0, 2.0])
    x = tg.from_numpy(array) if way == "array of NumPy" else tg.tensor(array)
    w = leaf(3.0, 4.0)
    if way == "array of ours":
        array = x.numpy()
    elif way == "dlpack":
        array = np.ctypeslib.as_array((ctypes.c_double * 2).from_address(x.data_ptr()))
        assert np.shares_memory(array, np.from_dlpack(x))  # which NumPy makes read-only
    with detect_anomaly():
        y = (w * x).sum()
    if way == "later":
        array = x.numpy()
    array[0] = 7
    message = message_of(y.backward)
    assert "MulBackward: the float64 tensor of shape (2,) saved as input 1 was written" in message
    assert "NumPy, DLPack" in message
    assert "y = (w * x).sum()" in message
    array[0] = 1
    y.backward()  # as it was
    np.testing.assert_array_equal(w.grad.numpy(), [1.0, 2.0])


def test_strided_and_half_tensors_are_compared_too():
    x = tg.arange(12.0).reshape(3, 4)[:, 1::2].bfloat16()
    view = tg.arange(12.0).reshape(3, 4)[:, 1::2]
    w = tg.ones(3, 2, requires_grad=True)
    with detect_anomaly():
        y = (w * view * x).sum()
    y.backward(retain_graph=True)
    view.numpy()[2, 1] = -5
    assert "was written after it was saved" in message_of(y.backward)


# --- lifetimes and cost ---------------------------------------------------------------------------


def test_notes_make_no_reference_cycles():
    gc.disable()
    try:
        net = Net()
        with detect_anomaly():
            net.kept = net(tg.ones(4, 2))
            net.kept.sum().backward(retain_graph=True)
        ref = weakref.ref(net.kept)
        del net.kept
        assert ref() is None
    finally:
        gc.enable()


def test_deep_graphs_are_explained_without_recursion():
    x = leaf(0.0)
    with set_detect_anomaly(True):
        y = x.sqrt()
        for _ in range(3000):
            y = y * 1.0
        y = tg.where(y > 1, y, 0.0)
        message = message_of(y.sum().backward)
    assert "Function 'SqrtBackward'" in message
    assert "A where()" in message


def test_nothing_is_noted_outside_of_the_mode():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = leaf(0.0)
        (x.sqrt() * 0).sum().backward()
    assert "line" not in repr(tg.autograd.graph.tape(x.sqrt())).splitlines()[0]
