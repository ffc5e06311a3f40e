"""Random numbers: reproducible from a seed, independent of threads, rightly distributed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

import tapegrad as tg
from support import run_in_threads, same_bits
from tapegrad.nn import functional as F

DRAWS: dict[str, Any] = {
    "rand": lambda g=None: tg.rand(1000, generator=g),
    "rand64": lambda g=None: tg.rand(1000, dtype=tg.float64, generator=g),
    "randn": lambda g=None: tg.randn(1000, generator=g),
    "randn-odd": lambda g=None: tg.randn(7, 13, generator=g),
    "randint": lambda g=None: tg.randint(0, 100, (1000,), generator=g),
    "randperm": lambda g=None: tg.randperm(1000, generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_same_seed_same_numbers(name: str) -> None:
    draw = DRAWS[name]
    tg.manual_seed(1234)
    first, second = draw(), draw()
    tg.manual_seed(1234)
    assert same_bits(draw(), first)
    assert same_bits(draw(), second)
    assert not same_bits(first, second)
    tg.manual_seed(1235)
    assert not same_bits(draw(), first)


@pytest.mark.parametrize("name", DRAWS)
def test_generator_objects_are_independent_of_the_default_one(name: str) -> None:
    draw = DRAWS[name]
    g, h = tg.Generator().manual_seed(7), tg.Generator()
    h.manual_seed(7)
    first = draw(g)
    tg.rand(10)
    assert same_bits(draw(h), first)
    assert g.initial_seed() == 7


@pytest.mark.parametrize("name", DRAWS)
def test_state_can_be_saved_and_restored(name: str) -> None:
    draw = DRAWS[name]
    tg.manual_seed(3)
    draw()
    state = tg.get_rng_state()
    first = draw()
    tg.set_rng_state(state)
    assert same_bits(draw(), first)
    g = tg.Generator().manual_seed(5)
    draw(g)
    inner = g.get_state()
    expected = draw(g)
    g.set_state(inner)
    assert same_bits(draw(g), expected)


@pytest.mark.parametrize("name", ["rand", "randn", "randint"])
def test_numbers_do_not_depend_on_threads(name: str) -> None:
    sizes = {
        "rand": lambda: tg.rand(513, 1021),
        "randn": lambda: tg.randn(513, 1021),
        "randint": lambda: tg.randint(-50, 1000, (513, 1021)),
    }
    results = []
    for threads in (1, 2):
        tg.set_num_threads(threads)
        tg.manual_seed(11)
        results.append(sizes[name]())
    assert same_bits(*results)


def test_uniform_distribution() -> None:
    for dtype in (tg.float32, tg.float64):
        x = tg.rand(200_000, dtype=dtype).double().numpy()
        assert x.min() >= 0.0
        assert x.max() < 1.0
        assert scipy.stats.kstest(x, "uniform").pvalue > 1e-4
    half = tg.rand(100_000, dtype=tg.float16)
    assert half.max().item() < 1.0


def test_normal_distribution() -> None:
    for dtype in (tg.float32, tg.float64):
        x = tg.randn(200_000, dtype=dtype).double().numpy()
        assert np.isfinite(x).all()
        assert scipy.stats.kstest(x, "norm").pvalue > 1e-4
        assert abs(np.corrcoef(x[::2], x[1::2])[0, 1]) < 0.02


def test_randint_covers_its_range_evenly() -> None:
    x = tg.randint(-3, 5, (80_000,))
    assert x.dtype == tg.int64
    values, counts = np.unique(x.numpy(), return_counts=True)
    assert values.tolist() == list(range(-3, 5))
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
    assert tg.randint(5, (3,)).max().item() < 5
    with pytest.raises(RuntimeError):
        tg.randint(5, 5, (2,))


def test_randperm_is_a_permutation_and_fair() -> None:
    for n in (0, 1, 2, 1000):
        assert sorted(tg.randperm(n).tolist()) == list(range(n))
    counts = np.zeros((4, 4))
    for _ in range(4000):
        counts[np.arange(4), tg.randperm(4).numpy()] += 1
    assert scipy.stats.chisquare(counts.ravel()).pvalue > 1e-5


def test_like_functions() -> None:
    x = tg.zeros(3, 2, dtype=tg.float64)
    for made in (tg.rand_like(x), tg.randn_like(x), tg.randint_like(x, 0, 9)):
        assert made.dtype == tg.float64
        assert tuple(made.shape) == (3, 2)


def test_in_place_draws() -> None:
    x = tg.empty(50_000)
    assert x.uniform_(-2.0, 3.0) is x
    assert -2.0 <= x.min().item() <= x.max().item() <= 3.0
    assert abs(x.mean().item() - 0.5) < 0.05
    x.normal_(4.0, 0.5)
    assert abs(x.mean().item() - 4.0) < 0.02
    assert abs(x.std().item() - 0.5) < 0.02


def test_randint_refuses_what_the_dtype_cannot_hold() -> None:
    assert set(tg.randint(254, 256, (50,), dtype=tg.uint8).tolist()) == {254, 255}
    for low, high, dtype in ((0, 257, tg.uint8), (-129, 0, tg.int8), (0, 2**32, tg.int32)):
        with pytest.raises(ValueError, match="without overflow"):
            tg.randint(low, high, (2,), dtype=dtype)


def test_half_precision_uniform_numbers_stay_below_one() -> None:
    for dtype, step in ((tg.float16, 2.0**-11), (tg.bfloat16, 2.0**-8)):
        x = tg.rand(100_000, dtype=dtype).double()
        assert x.max().item() == 1 - step
        assert abs(x.mean().item() - 0.5) < 0.01


def test_normal_takes_tensors() -> None:
    mean = tg.tensor([0.0, 10.0, -5.0], dtype=tg.float64).requires_grad_()
    std = tg.tensor([[1.0], [0.0]], dtype=tg.float64)
    x = tg.normal(mean, std)
    assert tuple(x.shape) == (2, 3)
    assert not x.requires_grad
    assert x[1].tolist() == [0, 10, -5]
    assert tg.normal(mean, 0.0).tolist() == [0, 10, -5]
    assert tg.normal(3.0, std[1:]).tolist() == [[3]]
    many = tg.normal(tg.full((100_000,), 2.0), 3.0).double().numpy()
    assert scipy.stats.kstest(many, "norm", args=(2, 3)).pvalue > 1e-4
    with pytest.raises(ValueError, match="std >= 0"):
        tg.normal(0.0, tg.tensor([1.0, -1.0]))


def test_exponential_distribution() -> None:
    x = tg.empty(100_000)
    assert x.exponential_(2.0) is x
    assert scipy.stats.kstest(x.double().numpy(), "expon", args=(0, 0.5)).pvalue > 1e-4
    with pytest.raises(ValueError, match="lambd > 0"):
        x.exponential_(0.0)
    with pytest.raises(tg.DTypeError):
        tg.empty(2, dtype=tg.int64).exponential_()


def test_bernoulli() -> None:
    p = tg.tensor([0.0, 0.25, 1.0]).expand(50_000, 3)
    x = tg.bernoulli(p)
    assert x.dtype == tg.float32
    assert set(x.flatten().tolist()) == {0.0, 1.0}
    np.testing.assert_allclose(x.mean(0).numpy(), [0, 0.25, 1], atol=0.01)
    assert abs(tg.empty(50_000).bernoulli_(0.7).mean().item() - 0.7) < 0.01
    with pytest.raises(ValueError, match="probability"):
        tg.bernoulli(tg.tensor([1.5]))


def test_normal_and_bernoulli() -> None:
    x = tg.normal(2.0, 3.0, (50_000,))
    assert abs(x.mean().item() - 2.0) < 0.08
    assert abs(x.std().item() - 3.0) < 0.06
    y = tg.bernoulli(tg.full((40_000,), 0.3))
    assert sorted(set(y.tolist())) == [0.0, 1.0]
    assert abs(y.mean().item() - 0.3) < 0.02
    assert y.bernoulli_(1.0).min().item() == 1.0
    assert y.bernoulli_(0.0).max().item() == 0.0


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_dropout(p: float) -> None:
    x = tg.ones(100, 1000, requires_grad=True)
    y = F.dropout(x, p)
    kept = y.detach() != 0
    assert abs(kept.float().mean().item() - (1 - p)) < 0.02
    if p < 1:
        assert y.detach()[kept].eq(1 / (1 - p)).all()
    y.sum().backward()
    assert same_bits(x.grad, y.detach())
    assert same_bits(F.dropout(x, p, training=False).detach(), x.detach())


def test_dropout_is_reproducible_on_any_number_of_threads() -> None:
    x = tg.ones(700, 900)
    results = []
    for threads in (1, 2):
        tg.set_num_threads(threads)
        tg.manual_seed(3)
        results.append(F.dropout(x, 0.5))
    assert same_bits(*results)


def test_drawing_in_threads_gives_every_number_once() -> None:
    tg.manual_seed(0)
    drawn = run_in_threads(*[lambda: tg.rand(4096, dtype=tg.float64).tolist()] * 4)
    together = [v for part in drawn for v in part]
    assert len(set(together)) == len(together)


def test_seed_functions() -> None:
    assert isinstance(tg.seed(), int)
    assert isinstance(tg.manual_seed(2**63 - 1), tg.Generator)
    assert tg.initial_seed() == 2**63 - 1
    assert not math.isnan(tg.rand(1).item())
