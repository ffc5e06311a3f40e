"""Pooling against PyTorch: values, gradients, memory orders, indices, modules and errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

torch = pytest.importorskip("torch")
TF = torch.nn.functional

SIZES = {1: (13,), 2: (9, 12), 3: (5, 6, 7)}
LAST = {2: tg.channels_last, 3: tg.channels_last_3d}


def draw(*shape: int, dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def both(name: str, x: np.ndarray, *args: Any, last: bool = False, **kwargs: Any) -> None:
    """Outputs and gradients of one functional in both libraries."""
    ours = tg.tensor(x)
    if last:
        ours = ours.to(memory_format=LAST[x.ndim - 2])
    ours = ours.detach().requires_grad_()
    theirs = torch.tensor(x, requires_grad=True)
    y, t = getattr(F, name)(ours, *args, **kwargs), getattr(TF, name)(theirs, *args, **kwargs)
    if isinstance(t, tuple):
        np.testing.assert_array_equal(y[1].numpy(), t[1].numpy())
        y, t = y[0], t[0]
    tol = 1e-12 if x.dtype == np.float64 else 2e-6
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=tol, atol=tol)
    g = draw(*t.shape, dtype=x.dtype, seed=1)
    y.backward(tg.tensor(g))
    t.backward(torch.tensor(g))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=tol, atol=tol)
    if last:
        assert y.is_contiguous(memory_format=LAST[x.ndim - 2])
        assert ours.grad.is_contiguous(memory_format=LAST[x.ndim - 2])


WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": 3},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 2, "stride": 3, "ceil_mode": True},
    {"kernel_size": 4, "stride": 2, "padding": 2, "ceil_mode": True},
    {"kernel_size": 1, "stride": 4},
    {"kernel_size": 5, "stride": 4, "padding": 1},
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("last", [False, True])
def test_max_pool(ndim: int, dtype: Any, last: bool) -> None:
    if last and ndim == 1:
        pytest.skip("no such memory order")
    for channels in (1, 3, 35) if last else (3,):
        x = draw(2, channels, *SIZES[ndim], dtype=dtype)
        for window in WINDOWS:
            both(f"max_pool{ndim}d", x, **window, last=last and channels > 1)
            both(f"max_pool{ndim}d", x, **window, return_indices=True, last=last and channels > 1)
        both(f"max_pool{ndim}d", x, 2, 2, 1, 2, last=last and channels > 1)
        both(f"max_pool{ndim}d", x, 3, 1, 1, 2, True, last=last and channels > 1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("last", [False, True])
def test_avg_pool(ndim: int, dtype: Any, last: bool) -> None:
    if last and ndim == 1:
        pytest.skip("no such memory order")
    for channels in (2, 35):
        x = draw(2, channels, *SIZES[ndim], dtype=dtype)
        for window, counted in itertools.product(WINDOWS, (True, False)):
            both(f"avg_pool{ndim}d", x, **window, count_include_pad=counted, last=last)
            if ndim > 1:
                both(f"avg_pool{ndim}d", x, **window, divisor_override=5, last=last)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("last", [False, True])
def test_adaptive_pools(ndim: int, dtype: Any, last: bool) -> None:
    if last and ndim == 1:
        pytest.skip("no such memory order")
    x = draw(2, 18, *SIZES[ndim], dtype=dtype)
    sizes = [1, 3, 4] + ([tuple([None] + [2] * (ndim - 1)), SIZES[ndim]] if ndim > 1 else [13])
    for size in sizes:
        both(f"adaptive_avg_pool{ndim}d", x, size, last=last)
        both(f"adaptive_max_pool{ndim}d", x, size, last=last)
        both(f"adaptive_max_pool{ndim}d", x, size, return_indices=True, last=last)


@pytest.mark.parametrize("shape", [(2, 3, 24, 24), (3, 2, 7, 5), (1, 1, 2, 2), (2, 2, 33, 70)])
def test_windows_of_two_by_two_at_every_width(shape: Any) -> None:
    for width in range(2, 40, 5):
        x = draw(*shape[:3], width, dtype=np.float32)
        both("max_pool2d", x, 2)
        both("avg_pool2d", x, 2)
    both("max_pool2d", draw(*shape), 2)


def test_global_and_long_windows() -> None:
    for shape in ((2, 3, 16, 40), (2, 3, 9, 100)):
        x = draw(*shape)
        for kernel in ((shape[2], shape[3]), (3, 20), (5, shape[3])):
            both("max_pool2d", x, kernel, return_indices=True)
            both("avg_pool2d", x, kernel)


def test_an_input_without_batch() -> None:
    x = draw(3, 8, 8)
    both("max_pool2d", x, 2, return_indices=True)
    both("avg_pool2d", x, 3, 1, 1)
    both("adaptive_avg_pool2d", x, 3)


def test_nan_and_infinity() -> None:
    x = draw(2, 3, 8, 8)
    x[0, 0, 1, 1] = x[0, 0, 0, 1] = np.nan
    x[0, 1] = -np.inf
    x[1, 0, 3, 3] = np.inf
    for kernel, stride, pad in ((2, 2, 0), (3, 2, 1), (8, 8, 0)):
        for last in (False, True):
            both("max_pool2d", x, kernel, stride, pad, return_indices=True, last=last)
    both("adaptive_max_pool2d", x, 3, return_indices=True)


@pytest.mark.parametrize("size", [(13, 11), (5, 70), (9, 300)])
def test_adaptive_maxima_of_equal_elements(size: tuple[int, int]) -> None:
    g = np.random.default_rng(11)
    x = g.integers(0, 3, (2, 3, *size)).astype(np.float64)
    x[1, 0][g.random(size) < 0.2] = np.nan
    x[1, 1] = -np.inf
    for out in ((3, 4), (5, 7), (1, 1)):
        both("adaptive_max_pool2d", x, out, return_indices=True)
    deep = x[:, :, None].repeat(4, 2)
    both("adaptive_max_pool3d", deep, (3, 4, 5), return_indices=True)
    both("max_pool2d", x, (4, 9), (1, 3), (2, 4), return_indices=True)


def test_no_samples() -> None:
    y = F.max_pool2d(tg.ones(0, 3, 4, 4).requires_grad_(), 2)
    assert y.shape == (0, 3, 2, 2)
    y.sum().backward()
    assert F.avg_pool2d(tg.ones(0, 3, 4, 4), 2).shape == (0, 3, 2, 2)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "adaptive_max_pool2d"])
@pytest.mark.parametrize("last", [False, True])
def test_second_derivatives(name: str, last: bool) -> None:
    x = tg.tensor(np.random.default_rng(3).permutation(200).reshape(2, 4, 5, 5) * 0.1)
    if last:
        x = x.to(memory_format=tg.channels_last)
    x = x.detach().requires_grad_()

    def f(x: Any) -> Any:
        return getattr(F, name)(x, 3)

    assert tg.autograd.gradcheck(f, (x,))
    assert tg.autograd.gradgradcheck(f, (x,))


@pytest.mark.parametrize("last", [False, True])
def test_the_same_bits_on_two_threads(last: bool) -> None:
    x = tg.tensor(draw(5, 37, 30, 31, dtype=np.float32))
    if last:
        x = x.to(memory_format=tg.channels_last)
    before = tg.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            tg.set_num_threads(threads)
            for f in (
                lambda x: F.max_pool2d(x, 2),
                lambda x: F.max_pool2d(x, 3, 2, 1),
                lambda x: F.avg_pool2d(x, 2),
                lambda x: F.avg_pool2d(x, 3, 1, 1),
                lambda x: F.adaptive_avg_pool2d(x, 7),
            ):
                leaf = x.detach().requires_grad_()
                y = f(leaf)
                (y * y).sum().backward()
                results.append((y.detach().numpy().tobytes(), leaf.grad.numpy().tobytes()))
    finally:
        tg.set_num_threads(before)
    half = len(results) // 2
    assert results[:half] == results[half:]


def test_under_vmap_and_forward_mode() -> None:
    x = tg.tensor(draw(3, 2, 2, 6, 6))
    for f in (
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 3, 1, 1),
        lambda x: F.max_pool2d(x, 2, return_indices=True)[1].double(),
    ):
        expected = tg.stack([f(s) for s in x])
        np.testing.assert_array_equal(tg.func.vmap(f)(x).numpy(), expected.numpy())
    v = tg.tensor(draw(3, 2, 2, 6, 6, seed=9))
    f = lambda x: F.max_pool2d(x[0], 3, 2)  # noqa: E731
    _, tangent = tg.func.jvp(f, (x,), (v,))
    _, pull = tg.func.vjp(f, x)
    w = tg.tensor(draw(*tangent.shape, seed=4))
    np.testing.assert_allclose((tangent * w).sum().item(), (pull(w)[0] * v).sum().item())


# --- what is made of other operations -------------------------------------------------------------


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_lp_pool(ndim: int) -> None:
    x = np.abs(draw(2, 3, *SIZES[ndim])) + 0.1
    both(f"lp_pool{ndim}d", x, 2, 3, stride=2)
    both(f"lp_pool{ndim}d", x, 3.0, 2, ceil_mode=True)
    both(f"lp_pool{ndim}d", draw(2, 3, *SIZES[ndim]), 1, 2)


@pytest.mark.parametrize("ndim", [2, 3])
def test_fractional_max_pool(ndim: int) -> None:
    x = draw(2, 3, *SIZES[ndim])
    samples = np.random.default_rng(5).random((2, 3, ndim))
    name = f"fractional_max_pool{ndim}d"
    for kwargs in ({"output_size": 3}, {"output_ratio": 0.6}, {"output_size": 1}):
        ours, theirs = tg.tensor(x).requires_grad_(), torch.tensor(x, requires_grad=True)
        y, i = getattr(F, name)(
            ours, 2, **kwargs, return_indices=True, _random_samples=tg.tensor(samples)
        )
        if "output_ratio" in kwargs:  # PyTorch takes no single ratio
            kwargs = {"output_ratio": (0.6,) * ndim}
        t, j = getattr(TF, name)(
            theirs, 2, **kwargs, return_indices=True, _random_samples=torch.tensor(samples)
        )
        np.testing.assert_array_equal(i.numpy(), j.numpy())
        np.testing.assert_array_equal(y.detach().numpy(), t.detach().numpy())
        y.square().sum().backward()
        t.square().sum().backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())


def test_random_windows_follow_the_seed() -> None:
    x = tg.rand(1, 2, 12, 12)
    tg.manual_seed(1)
    first = F.fractional_max_pool2d(x, 3, output_size=5)
    tg.manual_seed(1)
    assert tg.equal(first, F.fractional_max_pool2d(x, 3, output_size=5))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_max_unpool(ndim: int) -> None:
    x = draw(2, 3, *(2 * (n // 2) for n in SIZES[ndim]))
    pool, unpool = f"max_pool{ndim}d", f"max_unpool{ndim}d"
    y, i = getattr(F, pool)(tg.tensor(x), 2, return_indices=True)
    t, j = getattr(TF, pool)(torch.tensor(x), 2, return_indices=True)
    y, t = y.requires_grad_(), t.requires_grad_()
    for size in (None, x.shape):
        a = getattr(F, unpool)(y, i, 2, output_size=size)
        b = getattr(TF, unpool)(t, j, 2, output_size=size)
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    (a * a).sum().backward()
    (b * b).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), t.grad.numpy())


# --- modules --------------------------------------------------------------------------------------

MODULES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("MaxPool{}d", (2,), {}),
    ("MaxPool{}d", (3,), {"stride": 2, "padding": 1, "dilation": 1, "ceil_mode": True}),
    ("AvgPool{}d", (2,), {}),
    ("AvgPool{}d", (3, 2, 1), {"ceil_mode": True, "count_include_pad": False}),
    ("LPPool{}d", (2, 3), {"stride": 2}),
    ("LPPool{}d", (2, 2), {}),
    ("AdaptiveAvgPool{}d", (3,), {}),
    ("AdaptiveMaxPool{}d", (3,), {}),
]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(("name", "args", "kwargs"), MODULES)
def test_modules(name: str, args: Any, kwargs: Any, ndim: int) -> None:
    name = name.format(ndim)
    ours = getattr(nn, name)(*args, **kwargs)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    x = np.abs(draw(2, 3, *SIZES[ndim]))
    np.testing.assert_allclose(ours(tg.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy())


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_unpooling_modules(ndim: int) -> None:
    x = draw(2, 3, *SIZES[ndim])
    results = []
    for lib, make in ((nn, tg.tensor), (torch.nn, torch.tensor)):
        y, i = getattr(lib, f"MaxPool{ndim}d")(2, return_indices=True)(make(x))
        module = getattr(lib, f"MaxUnpool{ndim}d")(2)
        results.append((repr(module), module(y, i, output_size=x.shape).numpy()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("ndim", [2, 3])
def test_fractional_modules(ndim: int) -> None:
    x, samples = draw(2, 3, *SIZES[ndim]), np.random.default_rng(5).random((2, 3, ndim))
    name = f"FractionalMaxPool{ndim}d"
    ours = getattr(nn, name)(2, output_ratio=0.5, _random_samples=tg.tensor(samples))
    theirs = getattr(torch.nn, name)(2, output_ratio=0.5, _random_samples=torch.tensor(samples))
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["_random_samples"]
    np.testing.assert_array_equal(ours(tg.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy())
    for wrong in ({}, {"output_size": 2, "output_ratio": 0.5}, {"output_ratio": 1.5}):
        with pytest.raises(ValueError, match=name):
            getattr(nn, name)(2, **wrong)


# --- errors ---------------------------------------------------------------------------------------


def test_errors() -> None:
    x = tg.ones(1, 2, 6, 6)
    with pytest.raises(tg.ShapeError, match=r"max_pool2d: .*\(N, C, H, W\).*\(6,\)"):
        F.max_pool2d(tg.ones(6), 2)
    with pytest.raises(tg.ShapeError, match="without empty dimensions"):
        F.max_pool2d(tg.ones(1, 0, 6, 6), 2)
    with pytest.raises(tg.DTypeError, match=r"avg_pool2d: .*int64.*\.float\(\)"):
        F.avg_pool2d(tg.ones(1, 2, 6, 6, dtype=tg.int64), 2)
    with pytest.raises(tg.ShapeError, match="a window of 7 does not fit into dimension 2"):
        F.max_pool2d(x, 7)
    with pytest.raises(ValueError, match="padding should be at most half"):
        F.max_pool2d(x, 2, padding=2)
    with pytest.raises(ValueError, match="stride should be greater than zero, got 0"):
        F.avg_pool2d(x, 2, stride=0)
    with pytest.raises(ValueError, match="kernel_size should be greater than zero, got -1"):
        F.max_pool2d(x, -1)
    with pytest.raises(ValueError, match="kernel_size must be a single int, or a tuple of 2 ints"):
        F.max_pool2d(x, (1, 2, 3))
    with pytest.raises(ValueError, match="divisor_override must not be zero"):
        F.avg_pool2d(x, 2, divisor_override=0)
    with pytest.raises(ValueError, match="output_size should be greater than zero"):
        F.adaptive_avg_pool2d(x, 0)
    with pytest.raises(tg.ShapeError, match="lies in the padding alone"):
        F.max_pool1d(tg.ones(1, 1, 1), 2, 1, 1, 2)
    with pytest.raises(tg.ShapeError, match="do not fit"):
        F.fractional_max_pool2d(x, 4, output_size=5)
    with pytest.raises(ValueError, match="output_size or an output_ratio"):
        F.fractional_max_pool2d(x, 2)
    with pytest.raises(tg.ShapeError, match="fractional_max_pool2d: expected an input of 3 or 4"):
        F.fractional_max_pool2d(tg.ones(3), 2, output_size=2)
    y, i = F.max_pool2d(x, 2, return_indices=True)
    with pytest.raises(tg.ShapeError, match="input and indices of one shape"):
        F.max_unpool2d(y, i[:, :1], 2)
    with pytest.raises(ValueError, match="must lie between"):
        F.max_unpool2d(y, i, 2, output_size=(20, 20))
    with pytest.raises(tg.ShapeError, match="output_size should have 2 or 4 entries"):
        F.max_unpool2d(y, i, 2, output_size=(20,))
    with pytest.raises(IndexError):
        F.max_unpool2d(y, i + 100, 2)
