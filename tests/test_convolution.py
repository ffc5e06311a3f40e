"""Convolutions against PyTorch: functions, modules, derivatives, layouts, threads, transforms."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest

import tapegrad as tg
from support import run_python, same_bits
from tapegrad import nn
from tapegrad.nn import functional as F

torch = pytest.importorskip("torch")

CHANNELS_LAST = (0, 2, 3, 1)


def pair(rng, *shape, dtype="float64"):
    """The same leaf in both libraries."""
    values = rng.standard_normal(shape)
    ours = tg.tensor(values).to(getattr(tg, dtype)).requires_grad_()
    theirs = torch.tensor(values).to(getattr(torch, dtype)).requires_grad_()
    return ours, theirs


def close(ours, theirs, dtype="float64", scale=1.0):
    tolerance = {"float64": 1e-11, "float32": 2e-5}[dtype] * scale
    want = theirs.detach().numpy()
    np.testing.assert_allclose(
        ours.detach().numpy(), want, rtol=tolerance, atol=tolerance * max(1, np.abs(want).max())
    )


def compare(name, shapes, dtype, *args, **kwargs):
    """Output and gradients of input, weight and bias."""
    rng = np.random.default_rng(sum(map(sum, shapes)))
    pairs = [pair(rng, *s, dtype=dtype) for s in shapes]
    ours = getattr(F, name)(*[a for a, _ in pairs], *args, **kwargs)
    theirs = getattr(torch.nn.functional, name)(*[b for _, b in pairs], *args, **kwargs)
    assert tuple(ours.shape) == tuple(theirs.shape)
    close(ours, theirs, dtype)
    seed = rng.standard_normal(tuple(theirs.shape))
    ours.backward(tg.tensor(seed).to(ours.dtype))
    theirs.backward(torch.tensor(seed).to(theirs.dtype))
    for a, b in pairs:
        close(a.grad, b.grad, dtype, scale=4.0)


# input, weight, stride, padding, dilation, groups
CASES = [
    ((2, 3, 9, 8), (4, 3, 3, 3), 1, 0, 1, 1),
    ((2, 16, 9, 8), (32, 16, 3, 3), 1, 1, 1, 1),
    ((3, 8, 12, 7), (16, 8, 3, 2), (2, 1), (1, 0), 1, 1),
    ((2, 16, 10, 10), (24, 16, 3, 3), 2, 2, 2, 1),
    ((4, 16, 6, 6), (32, 16, 1, 1), 1, 0, 1, 1),
    ((2, 16, 7, 7), (8, 16, 1, 1), 2, 0, 1, 1),
    ((2, 16, 8, 8), (16, 1, 3, 3), 1, 1, 1, 16),
    ((2, 6, 8, 8), (12, 1, 3, 3), 2, 1, 1, 6),
    ((2, 32, 8, 8), (48, 8, 3, 3), 1, 1, 1, 4),
    ((2, 6, 8, 8), (4, 3, 3, 3), 1, (2, 3), 1, 2),
    ((5, 1, 14, 14), (8, 1, 5, 5), 1, 2, 1, 1),
    ((1, 3, 5, 5), (2, 3, 5, 5), 1, 0, 1, 1),
    ((1, 2, 4, 4), (3, 2, 2, 2), 3, 4, 1, 1),
    ((7, 17, 6, 5), (19, 17, 3, 3), 1, 1, 1, 1),
    # Few images with much work each: cut into strips of rows.
    ((1, 32, 24, 24), (48, 32, 3, 3), 1, 1, 1, 1),
    ((2, 24, 40, 33), (48, 24, 3, 3), 2, 1, 1, 1),
    ((1, 16, 61, 40), (32, 16, 5, 3), (3, 1), (2, 0), (2, 1), 1),
    ((1, 32, 40, 40), (64, 32, 2, 2), 2, 0, 1, 1),
    ((1, 32, 37, 37), (64, 32, 1, 1), 2, 0, 1, 1),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_conv2d_is_pytorch_s(case, dtype):
    x, w, *settings = case
    compare("conv2d", [x, w, (w[0],)], dtype, *settings)
    compare("conv2d", [x, w], dtype, None, *settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_conv1d_and_conv3d_are_pytorch_s(dtype):
    compare("conv1d", [(3, 4, 20), (8, 4, 3), (8,)], dtype, 2, 1, 2)
    compare("conv1d", [(2, 16, 33), (16, 1, 5), (16,)], dtype, 1, 2, 1, 16)
    compare("conv3d", [(2, 4, 5, 6, 7), (8, 4, 3, 2, 3), (8,)], dtype, (1, 2, 1), (1, 0, 2))
    compare("conv3d", [(2, 16, 4, 5, 6), (32, 8, 3, 3, 3), (32,)], dtype, 1, 1, 1, 2)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_padding_by_name(dtype):
    for kernel in ((3, 3), (2, 5), (4, 1)):
        for dilation in (1, (2, 3)):
            shapes = [(2, 4, 9, 13), (6, 4, *kernel), (6,)]
            compare("conv2d", shapes, dtype, padding="same", dilation=dilation)
    compare("conv1d", [(2, 4, 9), (6, 4, 4)], dtype, padding="same")
    compare("conv3d", [(1, 2, 4, 5, 6), (3, 2, 2, 3, 4)], dtype, padding="same")
    compare("conv2d", [(2, 4, 9, 9), (6, 4, 3, 3)], dtype, padding="valid", stride=2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "shapes", "settings"),
    [
        ("conv_transpose1d", [(2, 3, 7), (3, 4, 3), (4,)], (2, 1, 1)),
        ("conv_transpose2d", [(2, 16, 6, 5), (16, 8, 3, 3), (8,)], (2, 1, 1)),
        ("conv_transpose2d", [(2, 8, 6, 5), (8, 2, 3, 2), (8,)], (1, 0, 0, 4)),
        ("conv_transpose2d", [(3, 4, 4, 4), (4, 6, 3, 3), (6,)], ((3, 2), 1, (2, 1), 1, (2, 1))),
        ("conv_transpose2d", [(2, 32, 5, 5), (32, 16, 2, 2)], (None, 2)),
        ("conv_transpose3d", [(1, 4, 3, 4, 5), (4, 2, 2, 3, 2), (2,)], (2, (0, 1, 0), 1)),
    ],
    ids=str,
)
def test_transposed_is_pytorch_s(name, shapes, settings, dtype):
    compare(name, shapes, dtype, *settings)


def test_unbatched():
    for dtype in ("float32", "float64"):
        compare("conv1d", [(3, 8), (4, 3, 3), (4,)], dtype)
        compare("conv2d", [(3, 8, 7), (4, 3, 3, 3), (4,)], dtype, padding=1)
        compare("conv3d", [(3, 4, 5, 4), (4, 3, 3, 3, 2)], dtype)
        compare("conv_transpose2d", [(3, 4, 5), (3, 2, 3, 3), (2,)], dtype, stride=2)


def test_no_samples_and_no_channels():
    x = tg.ones(0, 3, 5, 5, requires_grad=True)
    w = tg.ones(4, 3, 3, 3, requires_grad=True)
    b = tg.ones(4, requires_grad=True)
    y = F.conv2d(x, w, b)
    assert y.shape == (0, 4, 3, 3)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert w.grad.tolist() == tg.zeros_like(w).tolist()
    assert b.grad.tolist() == [0.0] * 4
    y = F.conv2d(tg.ones(2, 0, 5, 5), tg.ones(4, 0, 3, 3), tg.tensor([1.0, 2.0, 3.0, 4.0]))
    assert y[1, :, 1, 1].tolist() == [1.0, 2.0, 3.0, 4.0]
    y = F.conv_transpose2d(tg.ones(0, 2, 3, 3), tg.ones(2, 5, 3, 3))
    assert y.shape == (0, 5, 5, 5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "shapes", "settings"),
    [
        ("conv2d", [(2, 64, 6, 6), (8, 64, 3, 3), (8,)], {}),
        ("conv2d", [(8, 32, 14, 14), (48, 32, 3, 3)], {"padding": 1, "stride": 2}),
        ("conv2d", [(4, 3, 9, 9), (5, 3, 3, 3), (5,)], {"dilation": 2}),
        ("conv2d", [(4, 32, 9, 9), (32, 1, 3, 3), (32,)], {"groups": 32}),
        ("conv2d", [(1, 32, 40, 40), (64, 32, 3, 3), (64,)], {"padding": 1}),
        ("conv1d", [(3, 32, 40), (16, 32, 3), (16,)], {"padding": "same"}),
        ("conv3d", [(2, 16, 5, 6, 7), (16, 16, 3, 3, 3), (16,)], {}),
        ("conv_transpose2d", [(4, 32, 9, 9), (32, 16, 3, 3), (16,)], {"stride": 2}),
        ("conv_transpose2d", [(4, 32, 9, 9), (32, 16, 3, 3)], {}),
    ],
    ids=str,
)
def test_half_types_accumulate_in_single_precision(name, shapes, settings, dtype):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(s) for s in shapes]
    ours = [tg.tensor(v).to(getattr(tg, dtype)).requires_grad_() for v in values]
    wide = [x.detach().double().requires_grad_() for x in ours]
    y, exact = (getattr(F, name)(*xs, **settings) for xs in (ours, wide))
    assert y.dtype is getattr(tg, dtype)
    g = tg.tensor(rng.standard_normal(tuple(y.shape))).to(y.dtype)
    got, wanted = tg.autograd.grad(y, ours, g), tg.autograd.grad(exact, wide, g.double())
    for a, b in zip((y, *got), (exact, *wanted), strict=True):
        assert a.dtype is getattr(tg, dtype)
        error = (a.double() - b).abs().max().item() / b.abs().max().item()
        assert error < {"float16": 6e-4, "bfloat16": 4.5e-3}[dtype]


def test_the_result_lies_channels_last():
    x, w = tg.randn(2, 3, 6, 5), tg.randn(8, 3, 3, 3)
    y = F.conv2d(x, w, padding=1)
    assert y.is_contiguous(memory_format=tg.channels_last)
    assert not y.is_contiguous()
    assert y.stride() == (6 * 5 * 8, 1, 5 * 8, 8)
    assert F.conv3d(x.unsqueeze(2), w.unsqueeze(2)).is_contiguous(memory_format=tg.channels_last_3d)
    again = x.to(memory_format=tg.channels_last)
    assert again.is_contiguous(memory_format=tg.channels_last)
    assert same_bits(F.conv2d(again, w, padding=1), y)
    assert y.contiguous().is_contiguous()
    assert same_bits(y.contiguous(), y)
    # Elementwise results keep the order.
    assert (y.relu() + 1).is_contiguous(memory_format=tg.channels_last)


def test_any_layout_of_the_operands():
    rng = np.random.default_rng(1)
    for dtype in (tg.float32, tg.float64):
        x = tg.tensor(rng.standard_normal((2, 12, 9, 8))).to(dtype)
        w = tg.tensor(rng.standard_normal((6, 12, 3, 3))).to(dtype)
        wanted = F.conv2d(x, w)
        for order in itertools.permutations(range(4)):
            back = np.argsort(order).tolist()
            x2 = x.permute(*order).contiguous().permute(*back)
            w2 = w.permute(*order).contiguous().permute(*back)
            assert same_bits(F.conv2d(x2, w2), wanted)
        wide = tg.zeros(4, 24, 9, 16, dtype=dtype)
        wide[::2, ::2, :, 1::2] = x
        assert same_bits(F.conv2d(wide[::2, ::2, :, 1::2], w), wanted)
        # A gradient that is expanded from one number.
        w.requires_grad_()
        w.grad = None
        F.conv2d(x, w).sum().backward()
        first, w.grad = w.grad, None
        F.conv2d(x, w).backward(tg.ones(2, 6, 7, 6, dtype=dtype))
        assert same_bits(first, w.grad)
        assert first.is_contiguous()


def test_view_of_a_result_is_a_recorded_copy():
    x = tg.randn(2, 3, 6, 6, requires_grad=True)
    w = tg.randn(4, 3, 3, 3, requires_grad=True)
    y = F.conv2d(x, w)
    flat = y.view(2, -1)
    assert same_bits(flat, y.contiguous().view(2, -1))
    assert same_bits(flat, y.flatten(1))
    assert same_bits(flat, y.reshape(2, -1))
    one = F.conv2d(x[0], w)
    assert same_bits(one.view(-1), y[0].reshape(-1))
    weights = tg.randn(2, 64)
    (flat * weights).sum().backward()
    got, w.grad = w.grad, None
    (F.conv2d(x, w).contiguous().view(2, -1) * weights).sum().backward()
    assert same_bits(got, w.grad)
    # What is permuted by hand is viewed as PyTorch does it.
    with pytest.raises(RuntimeError, match="reshape"):
        tg.randn(2, 6, 6, 3).permute(0, 3, 1, 2).view(2, -1)


def test_a_write_to_one_of_view_and_source_is_refused_while_both_live():
    def pair_of():
        y = F.conv2d(tg.ones(1, 2, 4, 4), tg.ones(3, 2, 3, 3))
        return y, y.view(1, -1)

    for write in (
        lambda t: t.add_(1),
        lambda t: t.zero_(),
        lambda t: t.mul_(2),
        lambda t: t.copy_(tg.zeros_like(t)),
        lambda t: t.__setitem__(0, 1.0),
        lambda t: tg.add(tg.zeros_like(t), 1, out=t),
    ):
        y, flat = pair_of()
        for tensor in (y, flat):
            with pytest.raises(tg.GradError, match=r"\.contiguous\(\)"):
                write(tensor)
        assert y.tolist() == tg.full((1, 3, 2, 2), 18.0).tolist()
        assert flat.tolist() == [[18.0] * 12]
        # Alone, each may be written.
        del tensor, y
        write(flat)
        y, flat = pair_of()
        del flat
        write(y)
    y, flat = pair_of()
    tg.ones(3).add_(1)
    copy = y.reshape(1, -1)
    del flat
    copy.add_(1)
    assert y.tolist() == tg.full((1, 3, 2, 2), 18.0).tolist()


def by_threads(f):
    results = []
    before = tg.get_num_threads()
    try:
        for threads in (1, 2, 3):
            tg.set_num_threads(threads)
            results.append(f())
    finally:
        tg.set_num_threads(before)
    return results


BIT_CASES = [
    ((32, 64, 8, 8), (64, 64, 3, 3), 1, 1, 1, 1),
    ((16, 1, 28, 28), (32, 1, 3, 3), 1, 0, 1, 1),
    ((9, 32, 16, 16), (32, 32, 3, 3), 1, 1, 1, 1),
    ((1, 32, 24, 24), (48, 32, 3, 3), 1, 1, 1, 1),
    ((2, 24, 40, 33), (48, 24, 3, 3), 2, 1, 1, 1),
    ((1, 16, 61, 40), (32, 16, 5, 3), (3, 1), (2, 0), (2, 1), 1),
    ((3, 16, 40, 40), (32, 16, 2, 2), 2, 0, 1, 1),
    ((2, 16, 32, 32), (32, 16, 3, 3), 2, 1, 1, 1),
    ((16, 64, 10, 10), (64, 1, 3, 3), 1, 1, 1, 64),
    ((8, 96, 12, 12), (64, 96, 1, 1), 1, 0, 1, 1),
    ((5, 24, 12, 12), (36, 6, 3, 3), 1, 1, 1, 4),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("case", BIT_CASES, ids=str)
def test_same_bits_at_any_number_of_threads(case, dtype):
    rng = np.random.default_rng(2)
    shape, kernel, *settings = case
    if dtype == "float64":
        shape = (min(shape[0], 5), *shape[1:])
    x, _ = pair(rng, *shape, dtype=dtype)
    w, _ = pair(rng, *kernel, dtype=dtype)
    b, _ = pair(rng, kernel[0], dtype=dtype)

    def step():
        y = F.conv2d(x, w, b, *settings)
        return (y, *tg.autograd.grad(y.tanh().sum(), [x, w, b]))

    one, *others = by_threads(step)
    for other in others:
        assert all(same_bits(a, b) for a, b in zip(one, other, strict=True))


def test_memory_levels_off_over_many_shapes():
    """What is prepared for a shape is kept for few shapes: some tens of KB each."""
    code = """
        import tapegrad as tg

        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4 // 1024

        def run(begin, end):
            for k in range(begin, end):
                x = tg.ones(1, 16, 3 + k % 40, 3 + k // 40 % 40)
                tg.nn.functional.conv2d(x, tg.ones(16 + 16 * (k // 1600), 16, 3, 3))

        tg.set_num_threads(1)
        run(0, 1100)
        before = resident()
        run(1100, 2300)
        print(resident() - before)
    """
    assert int(run_python(code)) < 25


def f64(*shape, seed=0):
    return tg.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "padding": (2, 1)},
        {"groups": 2, "stride": (1, 2)},
        {"padding": "same"},
    ],
    ids=str,
)
def test_second_and_third_order(settings):
    groups = settings.get("groups", 1)
    x, w, b = f64(2, 2, 5, 4), f64(2, 2 // groups, 3, 2, seed=1), f64(2, seed=2)

    def f(x, w, b):
        return F.conv2d(x, w, b, **settings)

    assert tg.autograd.gradcheck(f, (x, w, b))
    assert tg.autograd.gradgradcheck(f, (x, w, b))

    def first(x, w):
        y = F.conv2d(x, w, **settings)
        return tg.autograd.grad((y**3).sum(), [x, w], create_graph=True)

    small = f64(1, 2, 4, 3), f64(2, 2 // groups, 2, 2, seed=1)
    assert tg.autograd.gradgradcheck(first, small)


@pytest.mark.parametrize(
    "settings",
    [{}, {"stride": 2, "padding": 1, "output_padding": 1}, {"groups": 2, "dilation": 2}],
    ids=str,
)
def test_second_order_of_transposed(settings):
    x, w, b = f64(1, 2, 3, 2), f64(2, 1, 3, 2, seed=1), f64(settings.get("groups", 1), seed=2)

    def f(x, w, b):
        return F.conv_transpose2d(x, w, b, **settings)

    assert tg.autograd.gradcheck(f, (x, w, b))
    assert tg.autograd.gradgradcheck(f, (x, w, b))


def test_single_precision_second_order_is_double_s():
    """oneDNN's results in derivatives of second order, against our own in double."""
    results = []
    for dtype in (tg.float32, tg.float64):
        rng = np.random.default_rng(3)
        x = tg.tensor(rng.standard_normal((3, 16, 8, 8))).to(dtype).requires_grad_()
        w = tg.tensor(rng.standard_normal((32, 16, 3, 3)) / 12).to(dtype).requires_grad_()
        y = F.conv2d(x, w, padding=1)
        gx, gw = tg.autograd.grad(y.tanh().sum(), [x, w], create_graph=True)
        loss = (gx**2).sum() + (gw**2).mean()
        results.append(tg.autograd.grad(loss, [x, w]))
    for single, double in zip(*results, strict=True):
        close(single, torch.tensor(double.numpy()), "float32", scale=4)


def test_gradients_nobody_asked_for_are_left_out():
    x, w = tg.randn(2, 3, 5, 5), tg.randn(4, 3, 3, 3, requires_grad=True)
    F.conv2d(x, w).sum().backward()
    assert x.grad is None
    got, w.grad = w.grad, None
    x.requires_grad_()
    F.conv2d(x, w).sum().backward()
    assert same_bits(w.grad, got)
    both = x.grad
    (alone,) = tg.autograd.grad(F.conv2d(x, w.detach()).sum(), [x])
    assert same_bits(both, alone)


# --- transforms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "dims", list(itertools.product((0, 1, None), (0, None), (0, None))), ids=str
)
def test_vmap_is_a_loop(dims, groups):
    if all(d is None for d in dims):
        return
    x = f64(3, 3, 2, 5, 4) if dims[0] is not None else f64(3, 2, 5, 4)
    w = f64(3, 4, 2 // groups, 2, 3, seed=1) if dims[1] is not None else f64(4, 2 // groups, 2, 3)
    b = f64(3, 4, seed=2) if dims[2] is not None else f64(4, seed=2)

    def f(x, w, b):
        return F.conv2d(x, w, b, padding=1, groups=groups)

    def take(t, d, i):
        return t if d is None else t.select(d, i)

    def each(g):
        return [g(*(take(t, d, i) for t, d in zip((x, w, b), dims, strict=True))) for i in range(3)]

    got = tg.func.vmap(f, in_dims=dims)(x, w, b)
    np.testing.assert_allclose(got.detach().numpy(), tg.stack(each(f)).detach().numpy(), rtol=1e-12)

    def loss(x, w, b):
        return f(x, w, b).tanh().sum()

    gradients = tg.func.vmap(tg.func.grad(loss, argnums=(0, 1, 2)), in_dims=dims)(x, w, b)
    for k, one in enumerate(zip(*each(tg.func.grad(loss, argnums=(0, 1, 2))), strict=True)):
        np.testing.assert_allclose(
            gradients[k].detach().numpy(), tg.stack(one).detach().numpy(), rtol=1e-10, atol=1e-12
        )


def test_vmap_of_transposed():
    x, w = f64(3, 2, 2, 4, 3), f64(3, 2, 3, 2, 2, seed=1)
    for dims in ((0, None), (None, 0), (0, 0)):
        a = x if dims[0] == 0 else x[0]
        b = w if dims[1] == 0 else w[0]
        got = tg.func.vmap(lambda x, w: F.conv_transpose2d(x, w, stride=2), in_dims=dims)(a, b)
        for i in range(3):
            one = F.conv_transpose2d(
                a[i] if dims[0] == 0 else a, b[i] if dims[1] == 0 else b, stride=2
            )
            np.testing.assert_allclose(got[i].detach().numpy(), one.detach().numpy(), rtol=1e-12)


def test_tangents():
    x, w, b = f64(2, 2, 5, 4), f64(3, 2, 2, 3, seed=1), f64(3, seed=2)
    tangents = f64(2, 2, 5, 4, seed=3), f64(3, 2, 2, 3, seed=4), f64(3, seed=5)
    y, t = tg.func.jvp(F.conv2d, (x, w, b), tangents)
    dx, dw, db = tangents
    assert same_bits(y, F.conv2d(x, w, b))
    wanted = F.conv2d(dx, w) + F.conv2d(x, dw) + db.reshape(3, 1, 1)
    np.testing.assert_allclose(t.detach().numpy(), wanted.detach().numpy(), rtol=1e-12, atol=1e-12)
    _, t = tg.func.jvp(lambda b: F.conv2d(x, w, b), (b,), (db,))
    np.testing.assert_allclose(
        t.detach().numpy(), db.reshape(3, 1, 1).expand(2, 3, 4, 2).detach().numpy()
    )


# --- modules -------------------------------------------------------------------------------------

MODULES = [
    ("Conv1d", (4, 8, 3), {}, (2, 4, 9)),
    ("Conv1d", (4, 8, 3), {"padding": "same", "padding_mode": "circular"}, (2, 4, 9)),
    ("Conv2d", (4, 8, 3), {"stride": 2, "padding": 1}, (2, 4, 9, 8)),
    ("Conv2d", (4, 8, (3, 2)), {"padding": (1, 2), "padding_mode": "reflect"}, (2, 4, 9, 8)),
    ("Conv2d", (4, 8, 3), {"padding": 2, "padding_mode": "replicate", "groups": 4}, (2, 4, 9, 8)),
    ("Conv2d", (4, 8, (2, 3)), {"padding": "same", "padding_mode": "reflect"}, (2, 4, 9, 8)),
    ("Conv2d", (4, 8, 3), {"dilation": (2, 1), "bias": False, "groups": 2}, (2, 4, 9, 8)),
    ("Conv2d", (4, 8, 3), {"padding": "valid"}, (4, 9, 8)),
    ("Conv3d", (2, 4, 3), {"padding": 1, "padding_mode": "circular"}, (1, 2, 4, 5, 6)),
    ("Conv3d", (2, 4, (1, 2, 3)), {"stride": (1, 2, 1)}, (1, 2, 4, 5, 6)),
    ("ConvTranspose1d", (4, 2, 3), {"stride": 2, "padding": 1}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 2, 3), {"stride": 2, "output_padding": 1}, (2, 4, 5, 6)),
    ("ConvTranspose2d", (4, 6, 3), {"groups": 2, "bias": False, "dilation": 2}, (2, 4, 5, 6)),
    ("ConvTranspose3d", (4, 2, 2), {"stride": 2}, (1, 4, 2, 3, 4)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", MODULES, ids=str)
def test_modules_are_pytorch_s(case, dtype):
    name, args, kwargs, shape = case
    ours = getattr(nn, name)(*args, **kwargs, dtype=getattr(tg, dtype))
    theirs = getattr(torch.nn, name)(*args, **kwargs, dtype=getattr(torch, dtype))
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    ours.load_state_dict({k: tg.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x, tx = pair(np.random.default_rng(0), *shape, dtype=dtype)
    for mode in (True, False):
        ours.train(mode)
        theirs.train(mode)
        y, ty = ours(x), theirs(tx)
        close(y, ty, dtype)
    (y**2).sum().backward()
    (ty**2).sum().backward()
    close(x.grad, tx.grad, dtype, scale=8)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad, dtype, scale=8)
    assert copy.deepcopy(ours)(x).tolist() == y.tolist()


@pytest.mark.parametrize(
    ("make", "shape", "fan_in"),
    [
        (lambda: nn.Conv2d(16, 64, 5, groups=2), (64, 8, 5, 5), 200),
        (lambda: nn.Conv1d(64, 64, 3), (64, 64, 3), 192),
        (lambda: nn.ConvTranspose2d(16, 64, 5), (16, 64, 5, 5), 1600),
    ],
)
def test_initial_values(make, shape, fan_in):
    tg.manual_seed(0)
    module = make()
    assert module.weight.shape == shape
    bound = 1 / fan_in**0.5
    for p in (module.weight, module.bias):
        assert p.abs().max().item() <= bound
    assert module.weight.abs().max().item() > 0.99 * bound
    assert abs(module.weight.std().item() - bound / 3**0.5) < 0.02 * bound
    assert module.bias.abs().max().item() > 0.8 * bound


def test_output_size():
    for n, size in ((1, [13]), (2, [13, 14]), (3, [13, 14, 13])):
        ours = getattr(nn, f"ConvTranspose{n}d")(2, 3, 3, stride=2, padding=1, dtype=tg.float64)
        theirs = getattr(torch.nn, f"ConvTranspose{n}d")(2, 3, 3, stride=2, padding=1).double()
        theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
        x, tx = pair(np.random.default_rng(0), 1, 2, *[7] * n)
        close(ours(x, output_size=size), theirs(tx, output_size=size))
        close(ours(x, output_size=[1, 3, *size]), theirs(tx, output_size=[1, 3, *size]))
        for bad in ([15] * n, [12] * n, [13] * (n + 1)):
            with pytest.raises(ValueError, match="output_size"):
                ours(x, output_size=bad)


def test_a_step_of_training_is_pytorch_s():
    """Convolutions, a view and a loss, in both libraries, over some steps."""
    rng = np.random.default_rng(0)
    ours = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten()
    )
    ours.append(nn.Linear(16 * 25, 10))
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 25, 10),
    )
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    a = tg.optim.SGD(ours.parameters(), lr=0.05, momentum=0.9)
    b = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    for _ in range(5):
        images = rng.standard_normal((16, 1, 14, 14)).astype(np.float32)
        labels = rng.integers(0, 10, 16)
        a.zero_grad()
        b.zero_grad()
        loss = F.cross_entropy(ours(tg.tensor(images)), tg.tensor(labels))
        other = torch.nn.functional.cross_entropy(
            theirs(torch.tensor(images)), torch.tensor(labels)
        )
        assert abs(loss.item() - other.item()) < 1e-4
        loss.backward()
        other.backward()
        a.step()
        b.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p, q, "float32", scale=20)


# --- errors --------------------------------------------------------------------------------------


def t(*shape, dtype=None):
    return tg.ones(*shape, dtype=dtype)


IMAGE, KERNEL = t(1, 2, 8, 8), t(3, 2, 3, 3)


@pytest.mark.parametrize(
    ("call", "error", "parts"),
    [
        (
            lambda: F.conv2d(t(1, 4, 8, 8), t(2, 3, 3, 3)),
            "ShapeError",
            ["3 channels", "4 channels"],
        ),
        (lambda: F.conv2d(t(1, 4, 8, 8), KERNEL, groups=2), "ShapeError", ["groups=2", "(3, 2"]),
        (lambda: F.conv2d(t(8, 8), KERNEL), "ShapeError", ["(N, C, H, W)", "(8, 8)"]),
        (lambda: F.conv2d(IMAGE, t(3, 2, 3)), "ShapeError", ["4 dimensions", "(3, 2, 3)"]),
        (lambda: F.conv2d(IMAGE, KERNEL, t(4)), "ShapeError", ["(3,)", "(4,)"]),
        (lambda: F.conv2d(t(1, 2, 2, 8), KERNEL), "ShapeError", ["kernel", "(1, 2, 2, 8)"]),
        (lambda: F.conv2d(IMAGE, t(3, 2, 0, 3)), "ShapeError", ["empty", "(3, 2, 0, 3)"]),
        (lambda: F.conv2d(IMAGE, KERNEL, stride=0), "ValueError", ["stride", "0"]),
        (lambda: F.conv2d(IMAGE, KERNEL, padding=-1), "ValueError", ["padding", "-1"]),
        (lambda: F.conv2d(IMAGE, KERNEL, dilation=0), "ValueError", ["dilation"]),
        (lambda: F.conv2d(IMAGE, KERNEL, groups=0), "ValueError", ["groups", "0"]),
        (lambda: F.conv2d(IMAGE, KERNEL, stride=(1, 1, 1)), "ShapeError", ["stride"]),
        (
            lambda: F.conv2d(IMAGE, KERNEL, stride=2, padding="same"),
            "ValueError",
            ["same", "stride"],
        ),
        (lambda: F.conv2d(IMAGE, KERNEL, padding="full"), "ValueError", ["'full'"]),
        (
            lambda: F.conv2d(t(1, 2, 8, 8, dtype=tg.float64), KERNEL),
            "DTypeError",
            ["float64", "float32", "weight"],
        ),
        (
            lambda: F.conv2d(t(1, 2, 8, 8, dtype=tg.int64), t(3, 2, 3, 3, dtype=tg.int64)),
            "DTypeError",
            ["int64", ".float()"],
        ),
        (
            lambda: F.conv2d(IMAGE, KERNEL, dilation=2**31 - 1, padding=9),
            "ShapeError",
            ["padded input"],
        ),
        (lambda: F.conv2d(IMAGE, KERNEL, dilation=2**62), "ValueError", ["dilation"]),
        (lambda: F.conv_transpose2d(IMAGE, KERNEL), "ShapeError", ["3 channels", "2 channels"]),
        (
            lambda: F.conv_transpose2d(IMAGE, t(2, 2, 3, 3), output_padding=1),
            "ValueError",
            ["output_padding"],
        ),
        (
            lambda: F.conv_transpose2d(t(1, 2, 1, 8), t(2, 2, 3, 3), padding=2),
            "ShapeError",
            ["positive"],
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "ValueError", ["in_channels", "3", "2"]),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "ValueError", ["out_channels"]),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), "ValueError", ["groups"]),
        (lambda: nn.Conv2d(4, 4, 3, padding="full"), "ValueError", ["'full'"]),
        (lambda: nn.Conv2d(4, 4, 3, padding="same", stride=2), "ValueError", ["stride"]),
        (lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror"), "ValueError", ["'mirror'"]),
        (lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"), "ValueError", ["'reflect'"]),
    ],
)
def test_errors_name_the_argument(call, error, parts):
    expected = getattr(tg, error, None) or {"ValueError": ValueError}[error]
    with pytest.raises(expected) as info:
        call()
    for part in parts:
        assert part in str(info.value)


# --- fusion --------------------------------------------------------------------------------------


class Norm(nn.Module):
    """What fusion reads of a batch normalisation."""

    def __init__(self, theirs):
        super().__init__()
        self.eps, self.num_features = theirs.eps, theirs.num_features
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(theirs, name)
            setattr(self, name, None if value is None else tg.tensor(value.detach().numpy()))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_fusion_is_pytorch_s(affine, bias, transpose):
    name = "ConvTranspose2d" if transpose else "Conv2d"
    theirs = getattr(torch.nn, name)(3, 4, 3, bias=bias).eval()
    bn = torch.nn.BatchNorm2d(4, affine=affine).eval()
    with torch.no_grad():
        bn.running_mean.uniform_(-1, 1)
        bn.running_var.uniform_(0.5, 2)
        if affine:
            bn.weight.uniform_(-2, 2)
            bn.bias.uniform_(-1, 1)
    ours = getattr(nn, name)(3, 4, 3, bias=bias).eval()
    ours.load_state_dict({k: tg.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    fused = nn.utils.fuse_conv_bn_eval(ours, Norm(bn).eval(), transpose)
    wanted = torch.nn.utils.fuse_conv_bn_eval(theirs, bn, transpose)
    close(fused.weight, wanted.weight, "float32")
    close(fused.bias, wanted.bias, "float32")
    assert fused.bias.requires_grad == wanted.bias.requires_grad
    x, tx = pair(np.random.default_rng(0), 2, 3, 6, 6, dtype="float32")
    close(fused(x), bn(theirs(tx)), "float32")
    with pytest.raises(AssertionError, match="evaluation"):
        nn.utils.fuse_conv_bn_eval(ours.train(), Norm(bn).eval(), transpose)


def test_fusion_of_linear():
    theirs, bn = torch.nn.Linear(3, 4).eval(), torch.nn.BatchNorm1d(4).eval()
    bn.running_mean.uniform_(-1, 1)
    bn.running_var.uniform_(0.5, 2)
    ours = nn.Linear(3, 4).eval()
    ours.load_state_dict({k: tg.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    fused = nn.utils.fuse_linear_bn_eval(ours, Norm(bn).eval())
    x, tx = pair(np.random.default_rng(0), 5, 3, dtype="float32")
    close(fused(x), bn(theirs(tx)), "float32")
    with pytest.raises(AssertionError, match="num_features=3"):
        nn.utils.fuse_linear_bn_eval(ours, Norm(torch.nn.BatchNorm1d(3)).eval())
