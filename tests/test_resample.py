"""Resampling, sampling at places and affine grids against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

torch = pytest.importorskip("torch")
F, TF = nn.functional, torch.nn.functional

DTYPES = [("float64", 1e-12), ("float32", 3e-5)]


def pair(array, dtype="float64", grad=True):
    """The same values in both libraries."""
    a = np.asarray(array).astype(dtype)
    return tg.tensor(a, requires_grad=grad), torch.tensor(a, requires_grad=grad)


def same(ours, theirs, tol):
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    assert a.shape == b.shape
    assert str(a.dtype) == str(b.dtype)
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


def check(ours, theirs, inputs, tol):
    """Results and gradients of two functions agree on the same inputs."""
    mine, yours = zip(*inputs, strict=True)
    out, expected = ours(*mine), theirs(*yours)
    same(out, expected, tol)
    weight = np.random.default_rng(5).standard_normal(tuple(out.shape))
    a, b = pair(weight, str(out.dtype).split(".")[-1], grad=False)
    out.backward(a)
    expected.backward(b)
    for x, y in inputs:
        same(x.grad, y.grad, tol)


# --- interpolate -------------------------------------------------------------------------------

SHAPES = {3: (2, 3, 7), 4: (2, 3, 5, 7), 5: (1, 2, 3, 4, 5)}
NEW = {3: [(11,), (3,)], 4: [(8, 11), (3, 3), (9, 2)], 5: [(5, 7, 6), (2, 3, 9)]}
MODES = {
    3: ["nearest", "nearest-exact", "area", "linear"],
    4: ["nearest", "nearest-exact", "area", "bilinear", "bicubic"],
    5: ["nearest", "nearest-exact", "area", "trilinear"],
}
CASES = [(d, m) for d, modes in MODES.items() for m in modes]
LINEAR = ("linear", "bilinear", "bicubic", "trilinear")


def corners_of(mode):
    return [True, False] if mode in LINEAR else [None]


@pytest.mark.parametrize(("dtype", "tol"), DTYPES)
@pytest.mark.parametrize(("dims", "mode"), CASES)
def test_interpolate(dims, mode, dtype, tol):
    x = np.random.default_rng(1).standard_normal(SHAPES[dims])
    scales = [{"scale_factor": 2.0}, {"scale_factor": (1.7, 0.6, 1.3)[: dims - 2]}]
    scales += [{"scale_factor": 1.6, "recompute_scale_factor": True}]
    for sizes in [{"size": s} for s in NEW[dims]] + scales:
        for corners in corners_of(mode):
            kwargs = {"mode": mode, "align_corners": corners, **sizes}
            call = lambda lib, kwargs=kwargs: lambda t: lib.interpolate(t, **kwargs)  # noqa: E731
            check(call(F), call(TF), [pair(x, dtype)], tol)


@pytest.mark.parametrize(("dtype", "tol"), DTYPES)
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("corners", [True, False])
def test_antialias(mode, corners, dtype, tol):
    x = np.random.default_rng(2).standard_normal((2, 3, 12, 17))
    for sizes in ({"size": (5, 6)}, {"size": (20, 5)}, {"scale_factor": (0.4, 0.7)}):
        kwargs = {"mode": mode, "align_corners": corners, "antialias": True, **sizes}
        call = lambda lib, kwargs=kwargs: lambda t: lib.interpolate(t, **kwargs)  # noqa: E731
        check(call(F), call(TF), [pair(x, dtype)], tol)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
@pytest.mark.parametrize("channels", [5, 14])
def test_channels_last_stays_channels_last(mode, channels):
    x = np.random.default_rng(3).standard_normal((2, channels, 6, 8))
    plain = tg.tensor(x, requires_grad=True)
    last = tg.tensor(x).to(memory_format=tg.channels_last).requires_grad_()
    for size in ((9, 13), (4, 3), (3, 4)):
        expected = F.interpolate(plain, size, mode=mode)
        out = F.interpolate(last, size, mode=mode)
        assert out.is_contiguous(memory_format=tg.channels_last)
        np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=1e-12)
        (a,) = tg.autograd.grad(expected.square().sum(), plain)
        (b,) = tg.autograd.grad(out.square().sum(), last)
        assert b.is_contiguous(memory_format=tg.channels_last)
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-12)
    deep = tg.tensor(x[..., None] * np.ones(3)).to(memory_format=tg.channels_last_3d)
    out = F.interpolate(deep, scale_factor=2, mode="trilinear")
    assert out.is_contiguous(memory_format=tg.channels_last_3d)
    expected = F.interpolate(deep.contiguous(), scale_factor=2, mode="trilinear")
    np.testing.assert_allclose(out.numpy(), expected.numpy(), atol=1e-12)


def test_strided_and_large_images():
    x = np.random.default_rng(4).standard_normal((3, 70, 2, 90))
    for mode in ("nearest", "bilinear", "bicubic"):
        for size in ((33, 41), (100, 150)):
            a, b = pair(x, grad=False)
            a, b = a.transpose(1, 2), b.transpose(1, 2)
            same(F.interpolate(a, size, mode=mode), TF.interpolate(b, size, mode=mode), 1e-12)


def test_other_dtypes():
    x = np.random.default_rng(5).integers(0, 256, (1, 3, 8, 9)).astype(np.uint8)
    a, b = tg.tensor(x), torch.tensor(x)
    assert (
        F.interpolate(a, scale_factor=2).numpy() == TF.interpolate(b, scale_factor=2).numpy()
    ).all()
    out = F.interpolate(a, (5, 20), mode="bilinear").numpy().astype(int)
    assert abs(out - TF.interpolate(b, (5, 20), mode="bilinear").numpy()).max() <= 1
    half = tg.randn(1, 2, 4, 4).to(tg.bfloat16)
    assert F.interpolate(half, scale_factor=2, mode="bilinear").dtype == tg.bfloat16
    with pytest.raises(TypeError, match="float"):
        F.interpolate(tg.ones(1, 1, 2, dtype=tg.int64), 4)


@pytest.mark.parametrize(("dims", "mode"), CASES)
def test_interpolate_differentiates_twice(dims, mode):
    shape = tuple(min(n, 3) for n in SHAPES[dims])
    x = tg.randn(*shape, dtype=tg.float64, requires_grad=True)
    f = lambda t: F.interpolate(t, scale_factor=1.7, mode=mode) ** 2  # noqa: E731
    assert tg.autograd.gradcheck(f, (x,), check_forward_ad=True)
    assert tg.autograd.gradgradcheck(f, (x,))
    y = tg.func.vmap(lambda t: F.interpolate(t, scale_factor=1.7, mode=mode))(
        tg.stack([x, x * 2]).detach()
    )
    assert (y[0] == F.interpolate(x.detach(), scale_factor=1.7, mode=mode)).all()


def test_upsampling_modules():
    x = np.random.default_rng(6).standard_normal((1, 2, 3, 4))
    for name, kwargs in [
        ("Upsample", {"scale_factor": 2, "mode": "bicubic"}),
        ("Upsample", {"size": (5, 6), "mode": "bilinear", "align_corners": True}),
        ("Upsample", {"scale_factor": (2.0, 1.5)}),
        ("UpsamplingNearest2d", {"scale_factor": 2}),
        ("UpsamplingBilinear2d", {"size": 7}),
    ]:
        ours, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
        assert repr(ours) == repr(theirs)
        check(ours, theirs, [pair(x)], 1e-12)


def test_interpolate_errors():
    x = tg.ones(1, 1, 4, 4)
    for kwargs, error, match in [
        ({}, ValueError, "got neither"),
        ({"size": 2, "scale_factor": 2}, ValueError, "got both"),
        ({"size": (2,)}, ValueError, "size of 2 numbers"),
        ({"scale_factor": (2, 2, 2)}, ValueError, "scale_factor of 2 numbers"),
        ({"size": 2, "mode": "cubic"}, NotImplementedError, "'cubic' is no mode"),
        ({"size": 2, "mode": "linear"}, NotImplementedError, "of 3 dimensions"),
        ({"size": 2, "mode": "trilinear"}, NotImplementedError, "of 5 dimensions"),
        ({"size": 2, "align_corners": True}, ValueError, "align_corners"),
        ({"size": 2, "recompute_scale_factor": True}, ValueError, "recompute_scale_factor"),
        ({"size": 2, "antialias": True}, ValueError, "antialias"),
        ({"size": 0}, RuntimeError, "greater than 0"),
        ({"scale_factor": 0.1}, RuntimeError, "greater than 0"),
    ]:
        with pytest.raises(error, match=match):
            F.interpolate(x, **kwargs)


# --- grid_sample -------------------------------------------------------------------------------

GRIDS = [(2, "bilinear"), (2, "nearest"), (2, "bicubic"), (3, "bilinear"), (3, "nearest")]


def places(dims, n=2):
    """Places inside and outside of the image."""
    size = (3, 4, 5)[:dims]
    return np.random.default_rng(7).uniform(-1.6, 1.6, (n, *size, dims))


@pytest.mark.parametrize(("dtype", "tol"), DTYPES)
@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("border", ["zeros", "border", "reflection"])
@pytest.mark.parametrize(("dims", "mode"), GRIDS)
def test_grid_sample(dims, mode, border, corners, dtype, tol):
    x = np.random.default_rng(8).standard_normal((2, 3, 5, 6, 4)[: dims + 2])
    call = lambda lib: lambda a, b: lib.grid_sample(a, b, mode, border, corners)  # noqa: E731
    check(call(F), call(TF), [pair(x, dtype), pair(places(dims), dtype)], tol)


@pytest.mark.parametrize("channels", [1, 8, 9, 40])
@pytest.mark.parametrize(("dims", "mode"), GRIDS)
def test_grid_sample_of_few_and_many_channels(dims, mode, channels):
    x = np.random.default_rng(8).standard_normal((2, channels, 5, 6, 4)[: dims + 2])
    call = lambda lib: lambda a, b: lib.grid_sample(a, b, mode, align_corners=False)  # noqa: E731
    check(call(F), call(TF), [pair(x), pair(places(dims))], 1e-12)


def test_what_lies_outside_of_an_image_does_not_count():
    x = tg.full((1, 2, 2, 2), float("inf")).requires_grad_()
    grid = tg.full((1, 1, 3, 2), -3.0).requires_grad_()
    y = F.grid_sample(x, grid, align_corners=False)
    assert (y == 0).all()
    y.backward(tg.full_like(y, float("inf")))
    assert (x.grad == 0).all()
    assert (grid.grad == 0).all()


@pytest.mark.parametrize("border", ["zeros", "border", "reflection"])
@pytest.mark.parametrize(("dims", "mode"), GRIDS)
def test_grid_sample_differentiates_twice(dims, mode, border):
    x = tg.randn(*(1, 2, 3, 3, 2)[: dims + 2], dtype=tg.float64, requires_grad=True)
    grid = tg.tensor(places(dims, 1)[:, :2, :2] * 0.9, requires_grad=True)
    f = lambda a, b: F.grid_sample(a, b, mode, border, align_corners=False) ** 2  # noqa: E731
    assert tg.autograd.gradcheck(f, (x, grid), check_forward_ad=True)
    assert tg.autograd.gradgradcheck(f, (x, grid))


def test_grid_sample_vmap_and_layouts():
    x = tg.randn(2, 3, 5, 6)
    grid = tg.tensor(places(2)).float()
    f = lambda a, b: F.grid_sample(a, b, align_corners=True)  # noqa: E731
    expected = f(x, grid)
    y = tg.func.vmap(f)(x.unsqueeze(1), grid.unsqueeze(1))
    assert (y.squeeze(1) == expected).all()
    last = x.to(memory_format=tg.channels_last)
    turned = grid.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)
    assert (f(last, turned) == expected).all()
    many = tg.randn(2, 30, 40, 2) * 0.7
    a, b = (lib.tensor(x.numpy()) for lib in (tg, torch))
    same(
        F.grid_sample(a, many, align_corners=False),
        TF.grid_sample(b, torch.tensor(many.numpy()), align_corners=False),
        3e-5,
    )


def test_grid_sample_errors():
    x, grid = tg.ones(1, 1, 2, 2), tg.zeros(1, 1, 1, 2)
    with pytest.warns(UserWarning, match="align_corners"):
        F.grid_sample(x, grid)
    for args, error, match in [
        ((x, grid, "linear"), ValueError, "'bilinear', 'nearest', 'bicubic', got 'linear'"),
        ((x, grid, "nearest", "wrap"), ValueError, "padding_mode"),
        ((x, tg.zeros(1, 1, 1, 3)), RuntimeError, "size 2 in the last dimension"),
        ((x, tg.zeros(2, 1, 1, 2)), RuntimeError, "same batch size"),
        ((tg.ones(1, 2, 2), grid), RuntimeError, "expected input"),
        ((x, grid.double()), TypeError, "float32 and float64"),
        ((tg.ones(1, 1, 0, 2), grid), RuntimeError, "not empty"),
        ((tg.ones(1, 1, 2, 2, 2), tg.zeros(1, 1, 1, 1, 3), "bicubic"), NotImplementedError, "2"),
    ]:
        with pytest.raises(error, match=match):
            F.grid_sample(*args, align_corners=False)


@pytest.mark.parametrize("corners", [True, False])
def test_affine_grid(corners):
    g = np.random.default_rng(9)
    for theta, size in [((2, 2, 3), (2, 1, 3, 4)), ((2, 3, 4), (2, 1, 3, 4, 2))]:
        call = lambda lib, size=size: lambda t: lib.affine_grid(t, size, corners)  # noqa: E731
        check(call(F), call(TF), [pair(g.standard_normal(theta))], 1e-12)
    with pytest.raises(RuntimeError, match="expected theta"):
        F.affine_grid(tg.ones(1, 2, 3), (2, 1, 3, 4), corners)
    with pytest.raises(RuntimeError, match="positive size"):
        F.affine_grid(tg.ones(1, 2, 3), (1, 1, 0, 4), corners)


def test_threads_do_not_change_a_bit():
    def results():
        tg.manual_seed(3)
        x = tg.randn(4, 8, 40, 50, requires_grad=True)
        grid = (tg.rand(4, 60, 60, 2) * 2.2 - 1.1).requires_grad_()
        outs = [F.interpolate(x, (64, 33), mode=m) for m in ("nearest", "bilinear", "bicubic")]
        outs.append(F.grid_sample(x, grid, align_corners=False))
        outs.append(F.grid_sample(x[:1], grid[:1], align_corners=False))  # one plane a thread
        outs.append(F.grid_sample(tg.cat([x, x], 1), grid, align_corners=False))
        sum(out.square().sum() for out in outs).backward()
        return [t.detach().numpy().tobytes() for t in (*outs, x.grad, grid.grad)]

    before = tg.get_num_threads()
    try:
        tg.set_num_threads(1)
        one = results()
        tg.set_num_threads(2)
        assert one == results()
    finally:
        tg.set_num_threads(before)
