"""Corner cases of reductions, softmax and losses, with PyTorch's answers as literal values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.autograd.forward_ad as fwad
import tapegrad.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

nan, inf = math.nan, math.inf


def gradient(f: Callable[[tg.Tensor], tg.Tensor], values: list[float]) -> Any:
    x = tg.tensor(values, dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(f(x).sum(), [x])
    return g.tolist()


@pytest.mark.parametrize(
    ("f", "values", "expected"),
    [
        (lambda x: x.amax(), [1.0, 5.0, 5.0], [0.0, 0.5, 0.5]),
        (lambda x: x.max(), [nan, 1.0, nan], [0.5, 0.0, 0.5]),
        (lambda x: x.amax(), [nan, 1.0], [nan, nan]),
        (lambda x: x.max(0).values, [5.0, 1.0, 5.0], [1.0, 0.0, 0.0]),
        (lambda x: x.std(), [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]),
        (lambda x: x.norm(), [0.0, 0.0], [0.0, 0.0]),
        (lambda x: x.norm(3), [0.0, 0.0], [0.0, 0.0]),
        (lambda x: x.norm(1.5), [0.0, 2.0], [0.0, 1.0]),
        (lambda x: x.norm(inf), [2.0, -2.0, 1.0], [0.5, -0.5, 0.0]),
        (lambda x: x.norm(1), [0.0, -2.0], [0.0, -1.0]),
        (lambda x: x.prod(), [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
        (lambda x: x.prod(), [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        (lambda x: x.cumprod(0), [2.0, 0.0, 3.0], [1.0, 8.0, 0.0]),
        (lambda x: x.logsumexp(0), [-inf, 0.0], [0.0, 1.0]),
        (lambda x: F.l1_loss(x, tg.zeros(2, dtype=tg.float64)), [0.0, 3.0], [0.0, 0.5]),
    ],
)
def test_gradient_at_a_kink(
    f: Callable[[tg.Tensor], tg.Tensor], values: list[float], expected: list[float]
) -> None:
    np.testing.assert_allclose(gradient(f, values), expected, equal_nan=True)


def test_ignored_targets_have_no_gradient_even_when_all_are() -> None:
    x = tg.tensor([[2.0, 1.0], [1.0, 2.0]], requires_grad=True)
    loss = F.cross_entropy(x, tg.tensor([-100, -100]))
    assert math.isnan(loss.item())
    (g,) = tg.autograd.grad(loss, [x], create_graph=True)
    assert g.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_target_out_of_range_is_an_index_error_that_names_it() -> None:
    x = tg.zeros(3, 4)
    with pytest.raises(IndexError, match="target 4 at position 2 is out of bounds for 4 classes"):
        F.cross_entropy(x, tg.tensor([0, 1, 4]))
    with pytest.raises(IndexError, match="target -5 at position 0"):
        F.nll_loss(x, tg.tensor([-5, 1, 2]))


def test_loss_that_would_broadcast_to_a_new_shape_is_an_error() -> None:
    for loss in (F.mse_loss, F.l1_loss, F.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match=r"squeeze\(-1\)"):
            loss(tg.zeros(3, 1), tg.zeros(3))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: tg.zeros(0).max(), RuntimeError, "max"),
        (lambda: tg.zeros(0, 3).amax(0), IndexError, "non-zero size"),
        (lambda: tg.zeros(0, 3).argmax(), IndexError, "argmax"),
        (lambda: tg.zeros(3).sum(1), IndexError, "sum"),
        (lambda: tg.zeros(3, 3).sum((0, 0)), RuntimeError, "multiple times"),
        (lambda: tg.ones(3).long().mean(), RuntimeError, "mean"),
        (lambda: tg.ones(3).long().var(), RuntimeError, "var"),
        (lambda: tg.ones(3).long().norm(), RuntimeError, "norm"),
        (lambda: tg.ones(3).bool().argmax(), RuntimeError, "bool"),
        (lambda: tg.ones(2, 2).norm("nuc"), NotImplementedError, "nuc"),
        (lambda: F.cross_entropy(tg.zeros(3, 4), tg.ones(3).int()), RuntimeError, "long"),
        (lambda: F.cross_entropy(tg.zeros(3, 4), tg.tensor([0, 1])), ValueError, "batch_size"),
        (
            lambda: F.cross_entropy(tg.zeros(1, 4), tg.tensor([0]), weight=tg.ones(3)),
            RuntimeError,
            "4 classes",
        ),
        (lambda: F.mse_loss(tg.zeros(2), tg.zeros(2), reduction="x"), ValueError, "reduction"),
    ],
)
def test_errors_are_those_of_pytorch(
    call: Callable[[], object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        call()


def test_result_dtypes() -> None:
    assert tg.ones(3).bool().sum().dtype == tg.int64
    assert tg.ones(3).int().prod().dtype == tg.int64
    assert tg.ones(3).half().sum().dtype == tg.float16
    assert tg.ones(3).byte().any().dtype == tg.uint8
    assert tg.ones(3).int().amax().dtype == tg.int32
    assert tg.ones(3).sum(dtype=tg.int32).dtype == tg.int32
    assert tg.ones(3).int().logsumexp(0).dtype == tg.float32


def test_empty_and_scalar_inputs() -> None:
    assert tg.zeros(0, 3).sum(0).tolist() == [0.0, 0.0, 0.0]
    assert tg.zeros(0, 3).prod(0).tolist() == [1.0, 1.0, 1.0]
    assert math.isnan(tg.zeros(0).mean().item())
    assert tg.zeros(0, 2).logsumexp(0).tolist() == [-inf, -inf]
    assert bool(tg.zeros(0).all())
    assert not bool(tg.zeros(0).any())
    assert tg.tensor(3.0).max(0).indices.item() == 0
    assert tg.tensor(3.0).softmax(0).item() == 1.0


def test_float_sums_keep_their_digits() -> None:
    x = tg.full((1 << 20,), 0.1)
    assert abs(x.sum().item() / (0.1 * (1 << 20)) - 1) < 1e-6
    shifted = tg.full((1 << 16,), 1e4) + tg.arange(1 << 16) % 2
    assert abs(shifted.var().item() - 0.25) < 1e-4


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.softmax(1),
        lambda x: x.log_softmax(0),
        lambda x: x.logsumexp(1),
        lambda x: x.var(0),
        lambda x: x.std(1),
        lambda x: x.norm(),
        lambda x: x.prod(1),
        lambda x: x.cumsum(1),
        lambda x: x.cumprod(0),
        lambda x: x.mean(),
        lambda x: x.max(1).values,
        lambda x: F.cross_entropy(x, tg.tensor([1, 0])),
        lambda x: F.mse_loss(x, tg.ones(2, 3, dtype=tg.float64)),
    ],
)
def test_tangents_agree_with_differences(f: Callable[[tg.Tensor], tg.Tensor]) -> None:
    x = tg.tensor([[0.3, -1.2, 2.0], [1.1, 0.4, -0.7]], dtype=tg.float64)
    t = tg.tensor([[1.0, -0.5, 0.25], [0.5, 2.0, -1.0]], dtype=tg.float64)
    with fwad.dual_level():
        tangent = fwad.unpack_dual(f(fwad.make_dual(x, t))).tangent
    assert tangent is not None
    h = 1e-6
    difference = (f(x + t * h) - f(x - t * h)) / (2 * h)
    np.testing.assert_allclose(tangent.detach().numpy(), difference.numpy(), rtol=1e-7, atol=1e-8)


# Lines of half numbers are widened in blocks; long ones are cut besides.
@pytest.mark.parametrize("shape", [(7,), (100, 3), (5, 2048), (3, 2049), (2, 8193), (2, 20000)])
@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16])
def test_lines_of_half_numbers(dtype: Any, shape: tuple[int, ...]) -> None:
    generator = tg.Generator().manual_seed(0)
    dense = (tg.rand(*shape, generator=generator) - 0.25).to(dtype)
    every_third = (tg.rand(*shape, 3, generator=generator) - 0.25).to(dtype)[..., 1]
    expanded = dense.expand(2, *shape)
    for x in (dense, every_third, expanded):
        wide = x.double().numpy()
        for dim in (None, -1, 0):
            for name in ("sum", "mean", "amax", "amin", "prod"):
                if name == "prod" and dim is None:
                    continue
                args = [] if dim is None else [dim]
                found = getattr(x, name)(*args)
                assert found.dtype == dtype
                expected = getattr(np, name)(wide, axis=dim)
                bound = 2 * tg.finfo(dtype).eps
                np.testing.assert_allclose(
                    found.double().numpy(), expected, rtol=bound, atol=bound * np.abs(wide).mean()
                )
    assert dense.sum(dtype=tg.float32).item() == pytest.approx(
        dense.double().sum().item(), rel=1e-5
    )
    last = dense.clone()
    last[..., -1] = nan
    assert last.sum(-1).isnan().all()
    assert last.amax(-1).isnan().all()
