"""Functions of nn.functional and random numbers that the op table does not show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

import tapegrad as tg
from tapegrad.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

# --- embedding, one_hot ---------------------------------------------------------------------------


def table() -> tg.Tensor:
    return tg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)


def test_embedding_and_its_gradient() -> None:
    weight = table()
    out = F.embedding(tg.tensor([[2, 0], [2, 2]]), weight)
    assert out.tolist() == [[[5.0, 6.0], [1.0, 2.0]], [[5.0, 6.0], [5.0, 6.0]]]
    (out * tg.tensor([1.0, 10.0])).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1.0, 10.0], [0.0, 0.0], [3.0, 30.0]]


def test_embedding_padding_and_frequency() -> None:
    weight = table()
    F.embedding(
        tg.tensor([0, -0, 2, 2]), weight, padding_idx=-1, scale_grad_by_freq=True
    ).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


def test_embedding_shortens_the_rows_it_looks_up() -> None:
    weight = tg.tensor([[3.0, 4.0], [30.0, 40.0], [0.3, 0.4]])
    out = F.embedding(tg.tensor([0, 2]), weight, max_norm=1.0)
    tg.testing.assert_close(out, tg.tensor([[0.6, 0.8], [0.3, 0.4]]))
    tg.testing.assert_close(weight, tg.tensor([[0.6, 0.8], [30.0, 40.0], [0.3, 0.4]]))


def test_embedding_twice_differentiable() -> None:
    weight = table().detach().double().requires_grad_()
    index = tg.tensor([1, 1, 0])
    assert tg.autograd.gradcheck(lambda w: F.embedding(index, w) ** 2, (weight,))
    assert tg.autograd.gradgradcheck(lambda w: F.embedding(index, w) ** 3, (weight,))


def test_one_hot() -> None:
    assert F.one_hot(tg.tensor([[0], [2]])).tolist() == [[[1, 0, 0]], [[0, 0, 1]]]
    assert F.one_hot(tg.tensor(1), 2).tolist() == [0, 1]
    assert F.one_hot(tg.tensor([], dtype=tg.int64), 3).shape == (0, 3)


# --- dropout --------------------------------------------------------------------------------------


def test_channel_dropout_drops_whole_channels() -> None:
    tg.manual_seed(1)
    for drop, shape in (
        (F.dropout1d, (8, 16, 5)),
        (F.dropout2d, (8, 16, 2, 3)),
        (F.dropout3d, (8, 16, 2, 2, 2)),
    ):
        y = drop(tg.ones(*shape), 0.25).reshape(8, 16, -1)
        assert set(y.reshape(-1).tolist()) <= {0.0, float(tg.tensor(1.0) / 0.75)}
        assert bool((y == y[:, :, :1]).all())
        assert 8 * 16 * 0.6 < (y[:, :, 0] > 0).sum().item() < 8 * 16 * 0.9


def test_channel_dropout_without_a_batch() -> None:
    tg.manual_seed(0)
    y = F.dropout1d(tg.ones(200, 3), 0.5)
    assert bool((y == y[:, :1]).all())
    assert 60 < (y[:, 0] > 0).sum().item() < 140
    with pytest.warns(UserWarning, match="expected an input of 3 or 4 dimensions"):
        F.dropout2d(tg.ones(2, 2), 0.5)


@pytest.mark.parametrize("drop", [F.alpha_dropout, F.feature_alpha_dropout])
def test_alpha_dropout_keeps_mean_and_variance(drop: Callable[..., tg.Tensor]) -> None:
    tg.manual_seed(2)
    x = tg.randn(400, 400)
    y = drop(x, 0.3, training=True)
    assert abs(y.mean().item()) < 0.02
    assert abs(y.var().item() - 1) < 0.03
    assert drop(x, 0.3) is x
    z = x.clone()
    assert drop(z, 0.3, True, True) is z
    assert not tg.equal(x, z)


# --- random numbers -------------------------------------------------------------------------------


def test_distributions_have_their_moments() -> None:
    tg.manual_seed(3)
    n = 200_000
    logs = tg.empty(n, dtype=tg.float64).log_normal_(0.5, 0.25).log()
    assert logs.mean().item() == pytest.approx(0.5, abs=0.005)
    assert logs.std().item() == pytest.approx(0.25, abs=0.005)
    trials = tg.empty(n, dtype=tg.int64).geometric_(0.25).double()
    assert trials.min().item() == 1
    assert trials.mean().item() == pytest.approx(4.0, abs=0.05)
    assert trials.var().item() == pytest.approx(0.75 / 0.0625, rel=0.05)
    cauchy = tg.empty(n).cauchy_(2.0, 3.0)
    assert (cauchy < 2.0).double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert (cauchy < 5.0).double().mean().item() == pytest.approx(0.75, abs=0.01)
    integers = tg.empty(n).random_(-2, 3)
    assert sorted(set(integers.tolist())) == [-2.0, -1.0, 0.0, 1.0, 2.0]
    assert tg.empty(100, dtype=tg.uint8).random_().max().item() <= 255
    assert set(tg.empty(100).random_(2).tolist()) == {0.0, 1.0}


def test_multinomial() -> None:
    tg.manual_seed(4)
    weights = tg.tensor([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]])
    drawn = tg.multinomial(weights, 40_000, replacement=True)
    counts = tg.stack([(drawn == i).double().mean(1) for i in range(3)], 1)
    tg.testing.assert_close(
        counts,
        tg.tensor([[0.25, 0.0, 0.75], [0.5, 0.5, 0.0]], dtype=tg.float64),
        atol=0.01,
        rtol=0.0,
    )
    for _ in range(20):
        assert sorted(tg.multinomial(weights[0], 2).tolist()) == [0, 2]
    first = tg.stack([tg.multinomial(weights[0], 2) for _ in range(2000)])[:, 0]
    assert (first == 2).double().mean().item() == pytest.approx(0.75, abs=0.04)


def test_logspace() -> None:
    got = tg.logspace(-1, 2, 4, dtype=tg.float64).tolist()
    assert got == pytest.approx([0.1, 1.0, 10.0, 100.0], rel=1e-15)
    assert tg.logspace(0, 3, 4, base=2).tolist() == [1.0, 2.0, 4.0, 8.0]


def test_the_same_numbers_on_any_number_of_threads() -> None:
    before = tg.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            tg.set_num_threads(threads)
            tg.manual_seed(5)
            numbers = [tg.empty(70_000).cauchy_(), tg.empty(70_000).geometric_(0.1)]
            numbers.append(tg.multinomial(tg.ones(70_000), 1000).float())
            found.append(tg.cat(numbers).numpy().tobytes())
    finally:
        tg.set_num_threads(before)
    assert found[0] == found[1]


def test_fork_rng() -> None:
    tg.manual_seed(6)
    with tg.random.fork_rng():
        inside = tg.rand(3).tolist()
    assert tg.rand(3).tolist() == inside
    with tg.random.fork_rng(enabled=False):
        tg.rand(3)
    assert tg.rand(3).tolist() != inside


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.embedding(tg.tensor([3]), table()), IndexError, "3"),
        (lambda: F.embedding(tg.tensor([0.5]), table()), RuntimeError, r"embedding.*\.long\(\)"),
        (lambda: F.embedding(tg.tensor([0]), table(), 3), IndexError, "padding_idx 3"),
        (lambda: F.embedding(tg.tensor([0]), table(), sparse=True), NotImplementedError, "sparse"),
        (lambda: F.embedding(tg.tensor([0]), tg.ones(3)), RuntimeError, "2 dimensions"),
        (lambda: F.one_hot(tg.tensor([-1])), ValueError, "non-negative"),
        (lambda: F.one_hot(tg.tensor([2]), 2), ValueError, "smaller than num_classes = 2"),
        (lambda: F.one_hot(tg.tensor([1.0])), RuntimeError, "int64"),
        (lambda: F.pad(tg.ones(2, 3), (1,)), RuntimeError, "pairs"),
        (lambda: F.pad(tg.ones(2, 3), (-2, -2)), RuntimeError, "negative size"),
        (lambda: F.pad(tg.ones(2, 3), (3, 0), "reflect"), RuntimeError, "of size 3 by 3"),
        (lambda: F.pad(tg.ones(3), (1, 1), "reflect"), NotImplementedError, "2 to 5 dimensions"),
        (lambda: F.pad(tg.ones(2, 3), (1, 1), "mirror"), NotImplementedError, "mirror"),
        (
            lambda: F.bilinear(tg.ones(2, 3), tg.ones(2, 3), tg.ones(1, 2, 3)),
            RuntimeError,
            "weight",
        ),
        (lambda: tg.multinomial(tg.tensor([0.0, 0.0]), 1), ValueError, "sum to zero"),
        (lambda: tg.multinomial(tg.tensor([-1.0, 2.0]), 1), ValueError, "got -1"),
        (lambda: tg.multinomial(tg.tensor([0.0, 2.0]), 2), ValueError, "too few"),
        (lambda: tg.multinomial(tg.tensor([math.nan]), 1), ValueError, "nan"),
        (lambda: tg.empty(2).geometric_(1.5), ValueError, "geometric_"),
        (lambda: tg.empty(2).cauchy_(0, -1), ValueError, "sigma"),
        (lambda: tg.empty(2).random_(3, 3), ValueError, "from < to"),
        (lambda: F.dropout1d(tg.ones(2, 3), 1.5), ValueError, r"\[0, 1\]"),
        (lambda: F.alpha_dropout(tg.ones(2, dtype=tg.int64), 0.5, True), RuntimeError, "floating"),
    ],
)
def test_bad_arguments(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
