"""Views, in-place changes and what they mean for gradients and saved values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from support import assert_close, tensor
from tapegrad.autograd import forward_ad

if TYPE_CHECKING:
    from collections.abc import Callable

VIEWS: dict[str, Callable[[Any], Any]] = {
    "slice": lambda x: x[1:3],
    "step": lambda x: x[:, ::2],
    "int": lambda x: x[1],
    "select": lambda x: x.select(1, 2),
    "narrow": lambda x: x.narrow(0, 1, 2),
    "t": lambda x: x.t(),
    "T": lambda x: x.T,
    "transpose": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(1, 0),
    "view": lambda x: x.view(2, 6),
    "reshape": lambda x: x.reshape(-1),
    "flatten": lambda x: x.flatten(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(0),
    "none": lambda x: x[None, :, 1],
    "split": lambda x: x.split(2, dim=1)[1],
    "chunk": lambda x: x.chunk(2)[0],
    "chain": lambda x: x.t()[1:, ::2].unsqueeze(0),
    "detach": lambda x: x.detach(),
}
DIFFERENTIABLE = [name for name in VIEWS if name != "detach"]
# Views with several outputs forbid in-place changes through one of them, as in PyTorch.
SINGLE = [name for name in DIFFERENTIABLE if name not in ("split", "chunk")]


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory_and_version(name: str) -> None:
    base = tensor(np.arange(12.0).reshape(3, 4))
    v = VIEWS[name](base)
    assert np.shares_memory(v.numpy(), base.numpy())
    before = base._version
    v.fill_(-1.0)
    assert base._version > before
    assert base._version == v._version
    assert int((base == -1).sum()) == v.numel()
    base.zero_()
    assert not v.any()


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_through_a_view(name: str) -> None:
    x = tensor(np.arange(12.0).reshape(3, 4), grad=True)
    v = VIEWS[name](x)
    w = tensor(np.arange(1.0, 1.0 + v.numel()).reshape(tuple(v.shape)))
    (v * w).sum().backward()
    expected = tensor(np.zeros((3, 4)))
    VIEWS[name](expected).copy_(w)
    assert_close(x.grad, expected)


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("change", ["mul", "copy", "setitem", "relu"])
def test_in_place_on_a_view_changes_the_graph_of_the_base(name: str, change: str) -> None:
    """The base after the change, with its gradients, as by an out-of-place computation."""
    values = np.linspace(-2.0, 3.0, 12).reshape(3, 4) + 0.01
    x = tensor(values, grad=True)
    base = x * 2
    v = VIEWS[name](base)
    other = tensor(np.linspace(1.0, 2.0, v.numel()).reshape(tuple(v.shape)), grad=True)
    if change == "mul":
        v.mul_(other)
    elif change == "copy":
        v.copy_(other)
    elif change == "setitem":
        v[...] = other
    else:
        v.relu_()
    weights = tensor(np.arange(1.0, 13.0).reshape(3, 4))
    (base * weights).sum().backward()

    mask = tensor(np.zeros((3, 4)))
    VIEWS[name](mask).fill_(1.0)
    inside = 2 * values
    spread = tensor(np.zeros((3, 4)))
    VIEWS[name](spread).copy_(other.detach())
    factor = {
        "mul": spread.numpy(),
        "copy": np.zeros((3, 4)),
        "setitem": np.zeros((3, 4)),
        "relu": (inside > 0).astype(float),
    }[change]
    m, w = mask.numpy(), weights.numpy()
    assert_close(x.grad, 2 * w * np.where(m == 1, factor, 1.0), rtol=1e-14)
    if change == "relu":
        assert other.grad is None
    else:
        at_view = VIEWS[name](tensor(w * (inside if change == "mul" else 1.0)))
        assert_close(other.grad, at_view, rtol=1e-14)


@pytest.mark.parametrize("name", SINGLE)
def test_in_place_on_the_base_changes_the_graph_of_its_views(name: str) -> None:
    x = tensor(np.linspace(-2.0, 3.0, 12).reshape(3, 4), grad=True)
    base = x * 1
    v = VIEWS[name](base)
    base.mul_(3)
    v.sum().backward()
    expected = tensor(np.zeros((3, 4)))
    VIEWS[name](expected).fill_(3.0)
    assert_close(x.grad, expected)
    assert v.grad_fn is not None


def test_two_views_of_one_base() -> None:
    x = tensor(np.ones(4), grad=True)
    base = x * 1
    a, b = base[:2], base[2:]
    a.mul_(2)
    b.mul_(5)
    a.mul_(3)
    base.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0, 5.0, 5.0]


def test_overlapping_views() -> None:
    x = tensor(np.ones(4), grad=True)
    base = x * 1
    base[:3].mul_(2)
    base[1:].mul_(5)
    base.sum().backward()
    assert x.grad.tolist() == [2.0, 10.0, 10.0, 5.0]


def test_buffer_filled_row_by_row() -> None:
    x = tensor([1.0, 2.0, 3.0], grad=True)
    out = tg.zeros(3, 2, dtype=tg.float64)
    for i in range(3):
        out[i] = x[i] * tensor([1.0, 10.0])
    assert out.requires_grad
    out.sum().backward()
    assert x.grad.tolist() == [11.0, 11.0, 11.0]


def test_in_place_makes_a_plain_tensor_part_of_the_graph() -> None:
    x = tensor([1.0, 2.0], grad=True)
    y = tensor([3.0, 4.0])
    y.mul_(x)
    assert y.requires_grad
    assert not y.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]


def test_in_place_through_a_view_of_a_plain_tensor() -> None:
    x = tensor([1.0, 2.0], grad=True)
    base = tg.zeros(2, 2, dtype=tg.float64)
    row = base[1]
    row.add_(x)
    assert base.requires_grad
    (base * tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]


def test_chain_of_in_place_operations() -> None:
    x = tensor([0.5, 1.5], grad=True)
    y = x.clone()
    y.mul_(2).add_(1).exp_()
    y.sum().backward()
    assert_close(x.grad, 2 * np.exp(2 * np.array([0.5, 1.5]) + 1), rtol=1e-15)


def test_in_place_operators() -> None:
    x = tensor([4.0, 9.0], grad=True)
    y = x * 1
    alias = y
    y += 1
    y -= 3
    y *= 2
    y /= 4
    y **= 2
    assert y is alias
    y.sum().backward()
    assert_close(x.grad, (np.array([4.0, 9.0]) - 2) / 2)


def test_view_of_a_leaf_changed_in_place_is_an_error() -> None:
    x = tensor(np.ones((2, 2)), grad=True)
    for change in (lambda: x[0].add_(1), lambda: x.t().mul_(2), lambda: x.view(4).zero_()):
        with pytest.raises(RuntimeError, match="leaf"):
            change()
    assert x.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_expanded_tensors_refuse_in_place_changes() -> None:
    x = tensor([1.0]).expand(3)
    with pytest.raises(RuntimeError, match=r"clone|single memory location|overlap"):
        x.add_(1)
    with pytest.raises(RuntimeError):
        x.add_(tensor([1.0, 2.0, 3.0]))
    assert x.tolist() == [1.0, 1.0, 1.0]


def test_output_overlapping_its_input_is_an_error_or_exact() -> None:
    """Never the result of reading what was just written."""
    for write in (
        lambda x: tg.add(x[:-1], x[1:], out=x[1:]),
        lambda x: x[1:].add_(x[:-1]),
    ):
        x = tensor([1.0, 2.0, 3.0, 4.0])
        try:
            write(x)
        except RuntimeError:
            assert x.tolist() == [1.0, 2.0, 3.0, 4.0]
        else:
            assert x.tolist() == [1.0, 3.0, 5.0, 7.0]
    x = tensor([1.0, 2.0])
    x.add_(x)
    assert x.tolist() == [2.0, 4.0]


def test_assignment_between_overlapping_slices_reads_before_it_writes() -> None:
    x = tensor([1.0, 2.0, 3.0, 4.0])
    x[1:] = x[:-1].clone()
    assert x.tolist() == [1.0, 1.0, 2.0, 3.0]


def test_in_place_result_must_fit_shape_and_dtype() -> None:
    x = tensor([1.0, 2.0])
    with pytest.raises(RuntimeError):
        x.add_(tensor([[1.0, 2.0], [3.0, 4.0]]))
    i = tg.tensor([1, 2])
    with pytest.raises(RuntimeError):
        i.add_(tensor([0.5, 0.5]))
    with pytest.raises(RuntimeError):
        i.div_(2)
    assert x.tolist() == [1.0, 2.0]
    assert i.tolist() == [1, 2]
    assert x._version == 0


def test_copy_fill_zero() -> None:
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.copy_(tensor([5.0, 6.0])) is x
    assert x.tolist() == [[5.0, 6.0], [5.0, 6.0]]
    x.copy_(tg.tensor([1, 2]))
    assert x.tolist() == [[1.0, 2.0], [1.0, 2.0]]
    x.t().copy_(tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert x.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert x.fill_(7).tolist() == [[7.0, 7.0], [7.0, 7.0]]
    assert x.fill_(tensor(2.0)).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert x.zero_().tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(RuntimeError):
        x.copy_(tensor([1.0, 2.0, 3.0]))


def test_copy_fill_and_zero_gradients() -> None:
    x, src = tensor([1.0, 2.0], grad=True), tensor([3.0], grad=True)
    y = x * 2
    y.copy_(src)
    y.sum().backward()
    assert src.grad.tolist() == [2.0]
    assert x.grad is None or x.grad.tolist() == [0.0, 0.0]
    for clear in (lambda t: t.zero_(), lambda t: t.fill_(4.0)):
        x.grad = None
        z = x * 2
        clear(z)
        (z * 3).sum().backward()
        assert x.grad is None or x.grad.tolist() == [0.0, 0.0]


def test_requires_grad_and_detach_in_place() -> None:
    x = tensor([1.0])
    assert x.requires_grad_() is x
    assert x.requires_grad
    assert not x.requires_grad_(False).requires_grad
    y = x.requires_grad_() * 2
    assert y.detach_() is y
    assert y.is_leaf


def test_view_and_reshape_rules() -> None:
    x = tensor(np.arange(6.0).reshape(2, 3))
    with pytest.raises(RuntimeError, match=r"reshape|contiguous|stride"):
        x.t().view(6)
    assert x.t().reshape(6).tolist() == [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    assert x.view(3, 2).data_ptr() == x.data_ptr()
    for bad in ((4,), (-1, -1), (-1, 4), (7, -1)):
        with pytest.raises(RuntimeError):
            x.view(bad)
        with pytest.raises(RuntimeError):
            x.reshape(bad)
    assert tuple(x.view_as(tg.zeros(3, 2)).shape) == (3, 2)


def test_is_view_and_base() -> None:
    x = tensor(np.ones((2, 2)))
    assert x._base is None
    assert x[0]._base is x
    assert x[0][0]._base is x
    assert (x * 1)._base is None


# --- the same in forward mode: the tangent after the change is exact, or there is an error --------

WRITES: dict[str, tuple[Callable[[Any, Any], Any], list[float]]] = {
    # what is done to x = [1, 2, 3, 4] with tangent [10, 20, 30, 40] (v = 7 with tangent 0.5),
    # and the tangent of x afterwards
    "slice = dual": (lambda x, v: x.__setitem__(slice(1, 2), v), [10.0, 0.5, 30.0, 40.0]),
    "slice = number": (lambda x, v: x.__setitem__(slice(1, 2), 5.0), [10.0, 0.0, 30.0, 40.0]),
    "array = dual": (lambda x, v: x.__setitem__(tg.tensor([1]), v), [10.0, 0.5, 30.0, 40.0]),
    "copy_": (lambda x, v: x[1:2].copy_(v), [10.0, 0.5, 30.0, 40.0]),
    "mul_": (lambda x, v: x[1:3].mul_(2.0), [10.0, 40.0, 60.0, 40.0]),
    "zero_": (lambda x, v: x[1:3].zero_(), [10.0, 0.0, 0.0, 40.0]),
    "mul_ dual": (lambda x, v: x[1:2].mul_(v), [10.0, 141.0, 30.0, 40.0]),
    "view of a view": (lambda x, v: x[1:][1:].mul_(2.0), [10.0, 20.0, 60.0, 80.0]),
    "twice": (lambda x, v: x[:1].mul_(2.0) + x[:1].mul_(3.0), [60.0, 20.0, 30.0, 40.0]),
    "whole": (lambda x, v: x.mul_(2.0), [20.0, 40.0, 60.0, 80.0]),
}


def exact_or_error(change: Callable[[], Any], expected: list[float]) -> None:
    try:
        tangent = change()
    except RuntimeError as error:
        message = str(error)
    else:
        assert tangent is not None
        assert tangent.tolist() == expected
        return
    assert "forward mode" in message


@pytest.mark.parametrize("name", WRITES)
def test_forward_mode_through_an_in_place_write(name: str) -> None:
    write, expected = WRITES[name]
    with forward_ad.dual_level():
        x = forward_ad.make_dual(tensor([1.0, 2.0, 3.0, 4.0]), tensor([10.0, 20.0, 30.0, 40.0]))
        v = forward_ad.make_dual(tensor([7.0]), tensor([0.5]))
        y = x.clone()

        def change() -> Any:
            write(y, v)
            return forward_ad.unpack_dual(y).tangent

        exact_or_error(change, expected)


def test_forward_mode_of_a_view_whose_base_was_changed() -> None:
    with forward_ad.dual_level():
        x = forward_ad.make_dual(tensor([1.0, 2.0]), tensor([10.0, 20.0]))
        y = x.clone()
        view = y[1:]

        def change() -> Any:
            y.mul_(2.0)
            return forward_ad.unpack_dual(view).tangent

        exact_or_error(change, [40.0])
