"""Mistakes of users: silent broadcasting in a loss, mixed precisions, a second backward."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from support import tensor
from tapegrad.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

# --- 29: (N, 1) against (N,) ---------------------------------------------------------------------

LOSSES = {
    "mse_loss": F.mse_loss,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shapes", [((5, 1), (5,)), ((5,), (5, 1)), ((1, 5), (5, 1))])
def test_a_loss_that_broadcasts_to_a_new_shape_is_an_error_with_the_fix(
    name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    prediction, target = tg.zeros(shapes[0], requires_grad=True), tg.ones(shapes[1])
    with pytest.raises((RuntimeError, ValueError)) as info:
        LOSSES[name](prediction, target)
    message = str(info.value)
    for shape in shapes:
        assert re.search(r", ?".join(map(str, shape)), message), message
    assert re.search(r"squeeze|unsqueeze|view|reshape|flatten", message), message


def test_other_broadcasts_in_mse_loss_warn() -> None:
    with pytest.warns(UserWarning, match="size|shape|broadcast"):
        loss = F.mse_loss(tg.zeros(5, 3), tg.ones(3))
    assert loss.item() == 1.0


def test_bce_requires_equal_shapes() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is tested above
        F.binary_cross_entropy_with_logits(tg.zeros(5, 3), tg.ones(3))


def test_equal_shapes_pass_without_a_warning() -> None:
    assert F.mse_loss(tg.zeros(5, 1), tg.ones(5, 1)).item() == 1.0


# --- 30: float64 from NumPy meets float32 weights ------------------------------------------------


PRODUCTS: dict[str, Callable[[Any], Any]] = {
    "matmul": lambda x: x @ tg.ones(3, 2),
    "linear": lambda x: F.linear(x, tg.ones(4, 3), tg.ones(4)),
    "addmm": lambda x: tg.addmm(tg.ones(2), x, tg.ones(3, 2)),
    "bmm": lambda x: tg.bmm(x[None], tg.ones(1, 3, 2)),
    "mv": lambda x: tg.mv(x, tg.ones(3)),
    "layer": lambda x: tg.nn.Linear(3, 4)(x),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_mixed_precision_products_name_the_operand_and_the_cast(name: str) -> None:
    with pytest.raises(RuntimeError) as info:
        PRODUCTS[name](tg.from_numpy(np.ones((2, 3))))
    message = str(info.value)
    assert re.search(r"float64|[Dd]ouble", message), message
    assert re.search(r"float32|[Ff]loat\b", message), message
    assert re.search(r"\.float\(\)|\.to\(|\.double\(\)", message), message
    assert re.search(
        r"\b(input|self|first|second|mat1|mat2|weight|operand|other|vec|tensor1|batch1)\b", message
    ), message


def test_losses_with_mixed_precision_promote_or_say_so() -> None:
    """Elementwise losses promote as PyTorch does; the gradient keeps the leaf's dtype."""
    x = tg.zeros(3, requires_grad=True)
    loss = F.mse_loss(x, tg.from_numpy(np.ones(3)))
    loss.backward()
    assert loss.dtype == tg.float64
    assert x.grad.dtype == tg.float32
    np.testing.assert_allclose(x.grad.numpy(), -2 / 3, rtol=1e-6)


# --- 31: backward a second time ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exp", "tanh", "log", "sqrt", "sin"])
def test_second_backward_says_which_operation(name: str) -> None:
    x = tensor([1.0, 2.0], grad=True)
    y = getattr(x, name)()
    y.sum().backward()
    with pytest.raises(RuntimeError, match="second time") as info:
        y.sum().backward()
    assert re.search(name, str(info.value), re.IGNORECASE), str(info.value)


def test_second_backward_through_a_shared_part_names_the_shared_operation() -> None:
    """The usual cause: part of the graph was built once, before the loop."""
    w = tensor([1.0, 2.0], grad=True)
    features = w.tanh()
    (features * 2).sum().backward()
    with pytest.raises(RuntimeError, match=r"(?i)tanh") as info:
        (features * 3).sum().backward()
    assert "detach" in str(info.value) or "again" in str(info.value) or "loop" in str(info.value)


def test_hidden_state_carried_over_steps_is_explained() -> None:
    w = tensor([0.5], grad=True)
    h = tensor([1.0])
    h = (h * w).tanh()
    h.sum().backward()
    h = (h * w).tanh()
    with pytest.raises(RuntimeError, match="second time"):
        h.sum().backward()
