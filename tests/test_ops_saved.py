"""What the operations of the table keep: changes, hooks, checkpoints, anomaly mode, freeing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from op_row import Op, Sample, closure, floats, for_library, with_inputs
from op_table import OPS
from support import flatten, same_bits
from tapegrad.autograd import graph
from tapegrad.utils.checkpoint import checkpoint

OPS_WITH_GRADIENTS = [
    pytest.param(op, s, id=f"{op.name}-{s.id}")
    for op in OPS.values()
    if op.grad and "float64" in op.dtypes
    for s in op.make_samples()
]
each_op = pytest.mark.parametrize(("op", "sample"), OPS_WITH_GRADIENTS)


def weights_for(outputs: Any) -> list[Any]:
    return [tg.tensor(np.cos(np.arange(float(o.numel())))).reshape(o.shape) for o in outputs]


def pull(outputs: Any, inputs: Any, **options: Any) -> tuple[Any, ...]:
    outputs = [o for o in outputs if o.requires_grad]
    if not outputs:
        return ()
    weights = weights_for(outputs)
    return tg.autograd.grad(outputs, inputs, weights, allow_unused=True, **options)


def equal(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    return same_bits(first, second)


def all_equal(first: Any, second: Any) -> bool:
    return len(first) == len(second) and all(map(equal, first, second))


# --- 4: no tensor that an operation reads or returns changes unnoticed ----------------------------


def change(tensor: Any) -> None:
    """Other values that are valid where the old ones were: indices stay in range."""
    with tg.no_grad():
        if tensor.dtype == tg.bool:
            tensor.logical_not_()
        elif tensor.is_floating_point():
            tensor.mul_(0.9).add_(0.01)
        else:
            tensor.copy_(tensor.flatten().flip(0).reshape(tensor.shape))


def recorded(op: Op, sample: Sample) -> tuple[list[Any], list[Any], list[Any]]:
    """The floating results of a call, its differentiable inputs, and every tensor in sight."""
    leaves = for_library(sample, "float64", grad=True)[2]
    values = [x * 1 for x in leaves]  # leaves themselves cannot be written
    args, kwargs = with_inputs(sample, values)
    result = op.resolve()(*args, **kwargs)
    seen = [t for t in flatten([args, list(kwargs.values()), result]) if isinstance(t, tg.Tensor)]
    return list(floats(result)), leaves, seen


def pull_or_message(outputs: Any, inputs: Any) -> tuple[Any, str]:
    try:
        return pull(outputs, inputs), ""
    except RuntimeError as error:
        return None, str(error)


@each_op
def test_no_change_of_an_argument_or_result_is_unnoticed(op: Op, sample: Sample) -> None:
    outputs, leaves, seen = recorded(op, sample)
    if not any(o.requires_grad for o in outputs):
        return
    expected = pull(outputs, leaves)
    for number in range(len(seen)):
        outputs, leaves, seen = recorded(op, sample)
        kept = outputs
        if any(seen[number] is o for o in outputs):
            # The write takes the result's place on the tape: pull from another name of it.
            kept = [o.view_as(o) if op.view else o * 1 for o in outputs]
        try:
            change(seen[number])
        except RuntimeError:
            continue  # an expanded tensor, or one of several views, cannot be written
        if op.view and seen[number].requires_grad:
            continue  # a write through a view is recorded: other gradients are right
        got, message = pull_or_message(kept, leaves)
        if got is None:
            assert "inplace operation" in message
        else:
            assert all_equal(expected, got), f"tensor {number} was changed"


# --- hooks and checkpoints ------------------------------------------------------------------------


@each_op
def test_packed_tensors_give_the_same_gradients_to_second_order(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)

    def pack(tensor: Any) -> Any:
        return tensor.detach().clone(memory_format=tg.preserve_format)

    def both(outputs: Any) -> tuple[Any, ...]:
        first = pull(outputs, inputs, create_graph=True)
        slopes = [g for g in first if op.second and g is not None and g.requires_grad]
        return (*first, *pull(slopes, inputs))

    plain = both(f(*inputs))
    with graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = f(*inputs)
    assert all_equal(plain, both(outputs))


@each_op
def test_a_checkpoint_gives_the_same_bits(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    outputs = f(*inputs)
    again = checkpoint(f, *inputs)
    assert all_equal([o.detach() for o in outputs], [o.detach() for o in again])
    assert all_equal(pull(outputs, inputs), pull(again, inputs))


@each_op
def test_what_was_kept_is_freed_by_the_pass(op: Op, sample: Sample) -> None:
    """The graph stays reachable through its results; the memory does not stay with it."""
    f, inputs = closure(op, sample)
    outputs = [o for o in f(*inputs) if o.requires_grad]
    if not outputs:
        return
    nodes = {o.grad_fn for o in outputs if o.grad_fn is not None}  # some return their input
    pull(outputs, inputs)
    for node in nodes:
        with pytest.raises(RuntimeError, match="a second time"):
            node.saved_tensors


@each_op
def test_anomaly_mode_changes_no_gradient(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    plain = pull(f(*inputs), inputs)
    with tg.autograd.set_detect_anomaly(True):
        outputs = f(*inputs)
        lines = graph.tape(outputs).splitlines()
        assert all_equal(plain, pull(outputs, inputs))
    assert all(".py:" in line for line in lines[1:-1] if line.split()[1] != "leaf"), lines
