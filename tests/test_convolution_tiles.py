"""3 x 3 convolutions by products of tiles: sizes at the edges of tiles, what is not finite."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from support import same_bits
from tapegrad.nn import functional as F

torch = pytest.importorskip("torch")

# batch, channels, outputs, height, width, padding; each has 16 tiles or more
CASES = [
    (8, 32, 64, 12, 12, 0),
    (8, 64, 32, 8, 8, 1),
    (5, 16, 48, 7, 9, 1),
    (9, 48, 16, 11, 6, (2, 0)),
    (70, 16, 32, 3, 3, 0),
    (64, 32, 16, 3, 4, 0),
    (4, 32, 80, 13, 20, (3, 1)),
    (33, 16, 32, 5, 1, 1),
    (3, 128, 128, 17, 15, 1),
    (2, 32, 32, 40, 40, 1),
    (1, 16, 16, 8, 8, 1),
    (2, 256, 160, 9, 9, 1),
]


def values(case, weight_scale=1.0):
    """Image, weight, bias and gradient of the result."""
    n, c, k, height, width, padding = case
    rows, columns = padding if isinstance(padding, tuple) else (padding, padding)
    rng = np.random.default_rng(n * c + k)
    shapes = (n, c, height, width), (k, c, 3, 3), (k,)
    image, weight, bias = (rng.standard_normal(s).astype(np.float32) for s in shapes)
    result = (n, k, height + 2 * rows - 2, width + 2 * columns - 2)
    seed = rng.standard_normal(result).astype(np.float32)
    return [image, weight * np.float32(weight_scale), bias], seed


def run(library, leaves, seed, padding):
    """Output and gradients of input, weight and bias."""
    tensors = [library.from_numpy(a).clone().requires_grad_() for a in leaves]
    y = library.nn.functional.conv2d(*tensors, padding=padding)
    return [y.detach(), *library.autograd.grad(y, tensors, library.from_numpy(seed))]


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_double(case):
    leaves, seed = values(case)
    ours = run(tg, leaves, seed, case[-1])
    theirs = run(torch, [a.astype(np.float64) for a in leaves], seed.astype(np.float64), case[-1])
    for got, want in zip(ours, theirs, strict=True):
        assert tuple(got.shape) == tuple(want.shape)
        exact = want.numpy()
        assert np.abs(got.numpy() - exact).max() <= 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize("case", CASES)
def test_same_bits_at_any_number_of_threads(case):
    leaves, seed = values(case)
    one, two = [], []
    for threads, to in ((1, one), (2, two)):
        tg.set_num_threads(threads)
        to += run(tg, leaves, seed, case[-1])
    for a, b in zip(one, two, strict=True):
        assert same_bits(a, b)


def test_samples_do_not_depend_on_the_batch():
    case = (8, 32, 32, 12, 12, 1)
    (image, weight, bias), _ = values(case)
    x, w, b = map(tg.from_numpy, (image, weight, bias))
    whole = F.conv2d(x, w, b, padding=1)
    part = F.conv2d(x[3:7], w, b, padding=1)
    assert same_bits(whole[3:7].contiguous(), part.contiguous())


def test_no_bias_and_strided_operands():
    case = (8, 32, 48, 9, 10, 1)
    (image, weight, _), seed = values(case)
    x = tg.from_numpy(image.transpose(1, 0, 3, 2).copy()).permute(1, 0, 3, 2).requires_grad_()
    w = tg.from_numpy(weight.transpose(3, 1, 2, 0).copy()).permute(3, 1, 2, 0).requires_grad_()
    y = F.conv2d(x, w, padding=1)
    ours = [y, *tg.autograd.grad(y, [x, w], tg.from_numpy(seed))]
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (image, weight))
    z = torch.nn.functional.conv2d(a, b, padding=1)
    theirs = [z, *torch.autograd.grad(z, [a, b], torch.tensor(seed, dtype=torch.float64))]
    for got, want in zip(ours, theirs, strict=True):
        exact = want.detach().numpy()
        assert np.abs(got.detach().numpy() - exact).max() <= 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("where", ["image", "weight", "seed"])
def test_what_is_not_finite_goes_where_it_does_in_pytorch(where, value):
    case = (8, 32, 32, 12, 12, 1)
    leaves, seed = values(case)
    {"image": leaves[0], "weight": leaves[1], "seed": seed}[where][2, 3, 1, 1] = value
    ours, theirs = run(tg, leaves, seed, 1), run(torch, leaves, seed, 1)
    for got, want in zip(ours, theirs, strict=True):
        a, b = got.numpy(), want.numpy()
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_array_equal(np.isposinf(a), np.isposinf(b))
        np.testing.assert_array_equal(np.isneginf(a), np.isneginf(b))


def test_a_pixel_reaches_nothing_that_does_not_see_it():
    """One large pixel among zeros: everything outside of its window is exactly zero."""
    for row, column in ((4, 4), (4, 5), (5, 4), (5, 5)):
        image = np.zeros((8, 32, 12, 12), np.float32)
        image[1, 7, row, column] = 1e30
        leaves, _ = values((8, 32, 32, 12, 12, 1))
        y = F.conv2d(*map(tg.from_numpy, (image, leaves[1])), padding=1).numpy().copy()
        window = np.s_[1, :, row - 1 : row + 2, column - 1 : column + 2]
        exact = leaves[1][:, 7, ::-1, ::-1] * np.float32(1e30)
        np.testing.assert_allclose(y[window], exact, rtol=0, atol=2e-6 * np.abs(exact).max())
        y[window] = 0
        assert not y.any()


def test_derivatives_of_derivatives():
    """The gradient's gradient, whose parts are the same three passes."""
    leaves, seed = values((8, 32, 32, 6, 6, 1), weight_scale=0.1)
    results = []
    for library, kind in ((tg, np.float32), (torch, np.float64)):
        x, w, b = (library.from_numpy(a.astype(kind)).requires_grad_() for a in leaves)
        y = library.nn.functional.conv2d(x, w, b, padding=1)
        dx, dw = library.autograd.grad(
            y * y, [x, w], library.from_numpy(seed.astype(kind)), create_graph=True
        )
        results.append(library.autograd.grad((dx * dx).sum() + (dw * dw).sum(), [x, w, b]))
    for got, want in zip(*results, strict=True):
        assert np.abs(got.numpy() - want.numpy()).max() <= 1e-5 * np.abs(want.numpy()).max()
