"""Normalisation against PyTorch: values, derivatives to third order, statistics and modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import nn

torch = pytest.importorskip("torch")
TF = torch.nn.functional

Make = Any


def draw(*shape: int, dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def compare(f: Any, g: Any, arrays: list[np.ndarray], last: bool = False) -> None:
    """Outputs and gradients of f in this library and g in PyTorch."""
    ours = [tg.tensor(a) for a in arrays]
    if last:
        ours[0] = ours[0].to(memory_format=tg.channels_last)
    ours = [x.detach().requires_grad_() for x in ours]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = f(*ours), g(*theirs)
    tol = 1e-11 if arrays[0].dtype == np.float64 else 2e-5
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=tol, atol=tol)
    if last:
        assert y.is_contiguous(memory_format=tg.channels_last)
    v = draw(*t.shape, dtype=arrays[0].dtype, seed=1)
    y.backward(tg.tensor(v))
    t.backward(torch.tensor(v))
    for a, b in zip(ours, theirs, strict=True):
        scale = max(1.0, float(b.grad.abs().max()))
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=tol, atol=tol * scale)


SHAPES = [(5, 3, 4, 7), (32, 16, 9, 9), (9, 70, 3, 3), (2, 5, 30, 33)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm(shape: Any, last: bool, dtype: Any) -> None:
    c = shape[1]
    x = draw(*shape, dtype=dtype) * 2 + 3
    w, b = draw(c, dtype=dtype, seed=2), draw(c, dtype=dtype, seed=3)
    mean, var = draw(c, dtype=dtype, seed=4), np.abs(draw(c, dtype=dtype, seed=5)) + 0.1
    for training in (True, False):

        def run(make: Make, f: Any, training: bool = training) -> Any:
            return lambda x, *wb: f(x, make(mean), make(var), *wb, training=training, eps=1e-3)

        ours, theirs = run(tg.tensor, F.batch_norm), run(torch.tensor, TF.batch_norm)
        compare(ours, theirs, [x, w, b], last)
        compare(ours, theirs, [x], last)
        compare(ours, theirs, [x, w], last)


@pytest.mark.parametrize("shape", [(7, 5), (300, 37), (2, 3, 9), (4, 3, 2, 3, 4)])
def test_batch_norm_in_other_dimensions(shape: Any) -> None:
    c = shape[1]
    compare(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        lambda x, w, b: TF.batch_norm(x, None, None, w, b, True),
        [draw(*shape), draw(c, seed=2), draw(c, seed=3)],
    )


@pytest.mark.parametrize("last", [False, True])
def test_statistics_far_from_zero(last: bool) -> None:
    """The mean is 10^4 deviations away, and the first elements are no guide to it."""
    x = draw(16, 4, 8, 8, dtype=np.float32) + 1e4
    x[0] = 0.0
    x[0, 1] = -1e5
    exact = x.astype(np.float64)
    mean = exact.mean((0, 2, 3))
    var = exact.var((0, 2, 3), ddof=1)
    running_mean, running_var = tg.zeros(4), tg.zeros(4)
    given = tg.tensor(x)
    if last:
        given = given.to(memory_format=tg.channels_last)
    F.batch_norm(given, running_mean, running_var, training=True, momentum=1.0)
    np.testing.assert_allclose(running_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(running_var.numpy(), var, rtol=1e-5)
    quiet = draw(16, 4, 8, 8, dtype=np.float32) + 1e4
    y = F.batch_norm(tg.tensor(quiet), None, None, training=True)
    wide = quiet.astype(np.float64)
    unit = (wide - wide.mean((0, 2, 3), keepdims=True)) / np.sqrt(
        wide.var((0, 2, 3), keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(y.numpy(), unit, atol=2e-3)


def test_rows_far_from_zero() -> None:
    x = draw(8, 300, dtype=np.float32) + 1e4
    x[:, 0] = 0.0
    wide = x.astype(np.float64)
    unit = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(F.layer_norm(tg.tensor(x), (300,)).numpy(), unit, atol=1e-4)


def test_a_constant_channel() -> None:
    x = tg.full((4, 2, 3), 7.0).requires_grad_()
    y = F.batch_norm(x, None, None, training=True)
    assert y.abs().max().item() == 0
    y.sum().backward()
    assert tg.isfinite(x.grad).all()
    assert F.layer_norm(tg.full((3, 5), 0.1), (5,)).abs().max().item() < 1e-4


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(5, 6, 7), (100, 37), (70, 768), (3, 2), (0, 4)])
def test_layer_and_rms_norm(shape: Any, dtype: Any) -> None:
    for tail in range(1, len(shape)):
        dims = shape[-tail:]
        x = draw(*shape, dtype=dtype) + 1
        w, b = draw(*dims, dtype=dtype, seed=2), draw(*dims, dtype=dtype, seed=3)
        if x.size:
            compare(
                lambda x, w, b, d=dims: F.layer_norm(x, d, w, b),
                lambda x, w, b, d=dims: TF.layer_norm(x, d, w, b),
                [x, w, b],
            )
            compare(
                lambda x, w, d=dims: F.rms_norm(x, d, w),
                lambda x, w, d=dims: TF.rms_norm(x, d, w),
                [x, w],
            )
        assert F.layer_norm(tg.tensor(x), dims).shape == shape


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("shape", "groups"), [((4, 6, 5, 5), 3), ((70, 8), 4), ((3, 6, 9), 6)])
def test_group_norm(shape: Any, groups: int, dtype: Any) -> None:
    c = shape[1]
    x = draw(*shape, dtype=dtype)
    w, b = draw(c, dtype=dtype, seed=2), draw(c, dtype=dtype, seed=3)
    if dtype == np.float32 and len(shape) == 2:
        x = x * 3  # two nearly equal numbers in a group leave few digits
    ours, theirs = F.group_norm, TF.group_norm
    compare(
        lambda x, w, b: ours(x, groups, w, b, 0.1),
        lambda x, w, b: theirs(x, groups, w, b, 0.1),
        [x, w, b],
    )
    compare(lambda x: ours(x, groups, eps=0.1), lambda x: theirs(x, groups, eps=0.1), [x])


def test_a_bias_without_a_weight() -> None:
    """Which PyTorch cannot differentiate: against the sum."""
    x, b, weights = draw(3, 4, 5), draw(4, seed=3), tg.tensor(draw(3, 4, 5, seed=4))
    for with_bias, sum_of in (
        (lambda x, b: F.group_norm(x, 2, None, b), lambda x, b: F.group_norm(x, 2) + b[:, None]),
        (
            lambda x, b: F.layer_norm(x.mT, (4,), None, b).mT,
            lambda x, b: F.layer_norm(x.mT, (4,)).mT + b[:, None],
        ),
    ):
        results = []
        for f in (with_bias, sum_of):
            inputs = [tg.tensor(a).requires_grad_() for a in (x, b)]
            y = f(*inputs)
            (y * weights).sum().backward()
            results.append([t.detach().numpy() for t in (y, *(i.grad for i in inputs))])
        for got, want in zip(*results, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
        assert tg.autograd.gradgradcheck(with_bias, inputs)


@pytest.mark.parametrize("use_input_stats", [True, False])
def test_instance_norm(use_input_stats: bool) -> None:
    x, w, b = draw(4, 3, 5, 6), draw(3, seed=2), draw(3, seed=3)
    mean, var = draw(3, seed=4), np.abs(draw(3, seed=5)) + 0.1
    stats = []

    def run(make: Make, f: Any) -> Any:
        kept = make(mean.copy()), make(var.copy())
        stats.append(kept)
        return lambda x, w, b: f(x, *kept, w, b, use_input_stats=use_input_stats)

    compare(run(tg.tensor, F.instance_norm), run(torch.tensor, TF.instance_norm), [x, w, b])
    for a, t in zip(*stats, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), t.numpy(), rtol=1e-12)


def test_local_response_norm() -> None:
    for shape in ((2, 7, 5), (2, 7, 4, 5), (1, 4, 2, 3, 4)):
        for size in (1, 2, 3, 5):
            compare(
                lambda x, n=size: F.local_response_norm(x, n, 0.3, 0.6, 1.5),
                lambda x, n=size: TF.local_response_norm(x, n, 0.3, 0.6, 1.5),
                [draw(*shape)],
            )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types(dtype: str) -> None:
    x = draw(8, 6, 5, dtype=np.float32)
    half = tg.tensor(x).to(getattr(tg, dtype))
    theirs = torch.tensor(x).to(getattr(torch, dtype))
    w = draw(6, dtype=np.float32, seed=2)
    for y, t in (
        (
            F.batch_norm(half, None, None, tg.tensor(w), training=True),
            TF.batch_norm(theirs, None, None, torch.tensor(w), training=True),
        ),
        (F.layer_norm(half, (6, 5)), TF.layer_norm(theirs, (6, 5))),
        (F.group_norm(half, 2), TF.group_norm(theirs, 2)),
    ):
        assert y.dtype == half.dtype
        np.testing.assert_allclose(y.float().numpy(), t.float().numpy(), atol=0.03)


# --- derivatives of derivatives: the fused operations against their compositions ------------------


def unit(x: Any, dims: Any, eps: float = 1e-5) -> Any:
    centre = x - x.mean(dims, keepdim=True)
    return centre / ((centre * centre).mean(dims, keepdim=True) + eps).sqrt()


def composed_group_norm(x: Any, w: Any, b: Any) -> Any:
    rows = unit(x.reshape(3, 2, -1), (2,)).reshape(x.shape)
    return rows * w.reshape(1, 4, 1) + b.reshape(1, 4, 1)


FUSED: dict[str, tuple[Any, Any, list[tuple[int, ...]]]] = {
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        lambda x, w, b: unit(x, (0, 2)) * w.reshape(1, 4, 1) + b.reshape(1, 4, 1),
        [(3, 4, 2), (4,), (4,)],
    ),
    "batch_norm_given": (
        lambda x, w, b: F.batch_norm(x, tg.arange(4.0).double(), tg.ones(4).double(), w, b),
        lambda x, w, b: (
            (x - tg.arange(4.0).double().reshape(1, 4, 1)) / (1 + 1e-5) ** 0.5 * w.reshape(1, 4, 1)
            + b.reshape(1, 4, 1)
        ),
        [(3, 4, 2), (4,), (4,)],
    ),
    "layer_norm": (
        lambda x, w, b: F.layer_norm(x, (4,), w, b),
        lambda x, w, b: unit(x, (1,)) * w + b,
        [(3, 4), (4,), (4,)],
    ),
    "rms_norm": (
        lambda x, w, b: F.rms_norm(x, (4,), w, 1e-5) + b,
        lambda x, w, b: x / ((x * x).mean(1, keepdim=True) + 1e-5).sqrt() * w + b,
        [(3, 4), (4,), (4,)],
    ),
    "group_norm": (
        lambda x, w, b: F.group_norm(x, 2, w, b),
        composed_group_norm,
        [(3, 4, 2), (4,), (4,)],
    ),
}


def derivatives(f: Any, arrays: list[np.ndarray], order: int) -> list[np.ndarray]:
    """Gradients of weighted sums, repeated: each order differentiates the one before."""
    inputs = [tg.tensor(a).requires_grad_() for a in arrays]
    outputs = [f(*inputs)]
    found = []
    for k in range(order):
        total = sum(
            (o * tg.tensor(draw(*o.shape, seed=10 * k + i))).sum() for i, o in enumerate(outputs)
        )
        grads = tg.autograd.grad(total, inputs, create_graph=True, allow_unused=True)
        outputs = [g for g in grads if g is not None and g.requires_grad]
        found += [g.detach().numpy() for g in grads if g is not None]
        if not outputs:
            break
    return found


@pytest.mark.parametrize("name", FUSED)
def test_third_derivatives(name: str) -> None:
    fused, composed, shapes = FUSED[name]
    arrays = [draw(*shape, seed=7 + i) for i, shape in enumerate(shapes)]
    got, want = derivatives(fused, arrays, 3), derivatives(composed, arrays, 3)
    # A derivative that is zero throughout may be missing on one side: compare what is not.
    got, want = ([a for a in part if np.abs(a).max() > 1e-9] for part in (got, want))
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7 * max(1.0, np.abs(b).max()))


@pytest.mark.parametrize("name", FUSED)
def test_gradchecks(name: str) -> None:
    fused, _, shapes = FUSED[name]
    inputs = [tg.tensor(draw(*s, seed=3 + i)).requires_grad_() for i, s in enumerate(shapes)]
    assert tg.autograd.gradcheck(fused, inputs)
    assert tg.autograd.gradgradcheck(fused, inputs)


@pytest.mark.parametrize("name", FUSED)
def test_forward_mode_and_vmap(name: str) -> None:
    fused, composed, shapes = FUSED[name]
    primals = tuple(tg.tensor(draw(*s, seed=3 + i)) for i, s in enumerate(shapes))
    tangents = tuple(tg.tensor(draw(*s, seed=13 + i)) for i, s in enumerate(shapes))
    for a, b in zip(
        tg.func.jvp(fused, primals, tangents), tg.func.jvp(composed, primals, tangents), strict=True
    ):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-8, atol=1e-8)
    stack = tg.tensor(draw(2, *shapes[0], seed=5))
    got = tg.func.vmap(lambda x: fused(x, *primals[1:]))(stack)
    for i in range(2):
        np.testing.assert_array_equal(got[i].numpy(), fused(stack[i], *primals[1:]).numpy())


def test_vmap_over_samples_and_parameters() -> None:
    x = tg.tensor(draw(3, 2, 4, 5))
    w, b = tg.tensor(draw(3, 4, seed=2)), tg.tensor(draw(3, 4, seed=3))
    mean, var = tg.zeros(4).double(), tg.ones(4).double()
    for f in (
        lambda x, w, b: F.group_norm(x, 2, w, b),
        lambda x, w, b: F.layer_norm(x.mT, (4,), w, b),
        lambda x, w, b: F.layer_norm(x[0, :, 0], (4,), w, b),
        lambda x, w, b: F.batch_norm(x, mean, var, w, b),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
    ):
        for dims in ((0, None, None), (0, 0, 0), (None, 0, None), (1, 0, None)):
            args = [t if d is not None else t[0] for t, d in zip((x, w, b), dims, strict=True)]
            if dims[0] == 1:
                args[0] = x.movedim(0, 1)
            got = tg.func.vmap(f, in_dims=dims)(*args)
            for i in range(3):
                sample = [
                    t[i] if d is not None else t[0] for t, d in zip((x, w, b), dims, strict=True)
                ]
                np.testing.assert_allclose(got[i].numpy(), f(*sample).numpy(), rtol=1e-12)
        grads = tg.func.vmap(
            tg.func.grad(lambda w, x, f=f: f(x, w, b[0]).pow(2).sum()), in_dims=(None, 0)
        )(w[0], x)
        for i in range(3):
            leaf = w[0].detach().requires_grad_()
            f(x[i], leaf, b[0]).pow(2).sum().backward()
            np.testing.assert_allclose(grads[i].numpy(), leaf.grad.numpy(), rtol=1e-10)


@pytest.mark.parametrize("last", [False, True])
def test_the_same_bits_on_two_threads(last: bool) -> None:
    x = tg.tensor(draw(30, 37, 13, 11, dtype=np.float32))
    if last:
        x = x.to(memory_format=tg.channels_last)
    w, rows = tg.tensor(draw(37, dtype=np.float32)), tg.tensor(draw(500, 301, dtype=np.float32))
    before, results = tg.get_num_threads(), []
    try:
        for threads in (1, 2):
            tg.set_num_threads(threads)
            for f, given, weight in (
                (lambda x, w: F.batch_norm(x, None, None, w, w, True), x, w),
                (lambda x, w: F.group_norm(x, 37, w, w), x, w),
                (lambda x, w: F.layer_norm(x, (301,), w, w), rows, rows[0]),
            ):
                leaf, scale = given.detach().requires_grad_(), weight.detach().requires_grad_()
                y = f(leaf, scale)
                (y * y * given).sum().backward()
                results.append([t.detach().numpy().tobytes() for t in (y, leaf.grad, scale.grad)])
    finally:
        tg.set_num_threads(before)
    assert results[:3] == results[3:]


# --- modules --------------------------------------------------------------------------------------

BATCH = [("BatchNorm1d", (6, 3)), ("BatchNorm1d", (4, 3, 5)), ("BatchNorm2d", (4, 3, 5, 2))]
BATCH += [("BatchNorm3d", (2, 3, 2, 3, 4))]


def pair(name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """The same module in both libraries, with the same parameters, drawn at random."""
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    for k, v in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[k].numpy(), v.numpy())
    with torch.no_grad():
        for i, p in enumerate(theirs.parameters()):
            p.copy_(torch.tensor(draw(*p.shape, dtype=np.float32, seed=i)))
    ours.load_state_dict({k: tg.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def same(ours: Any, theirs: Any, x: np.ndarray) -> None:
    a, b = tg.tensor(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    y, t = ours(a), theirs(b)
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-4, atol=1e-5)
    v = draw(*t.shape, dtype=np.float32, seed=8)
    for p in [*ours.parameters(), *theirs.parameters()]:
        p.grad = None
    y.backward(tg.tensor(v))
    t.backward(torch.tensor(v))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-5)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-4)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})


@pytest.mark.parametrize(("name", "shape"), BATCH)
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"momentum": None},
        {"momentum": 0.3, "eps": 1e-2},
        {"affine": False},
        {"bias": False},
        {"track_running_stats": False},
    ],
)
def test_batch_norm_modules(name: str, shape: Any, kwargs: dict[str, Any]) -> None:
    ours, theirs = pair(name, 3, **kwargs)
    for step in range(3):
        x = draw(*shape, dtype=np.float32, seed=step) * 2 + 1
        expected, got = theirs(torch.tensor(x)), ours(tg.tensor(x))
        np.testing.assert_allclose(
            got.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5
        )
        for k, v in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[k].numpy(), v.numpy(), rtol=1e-5)
    same(ours, theirs, x)
    same(ours.eval(), theirs.eval(), x)
    ours.reset_parameters()
    theirs.reset_parameters()
    for k, v in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[k].numpy(), v.numpy())


@pytest.mark.parametrize("kwargs", [{}, {"affine": True}, {"track_running_stats": True}])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_instance_norm_modules(ndim: int, kwargs: dict[str, Any]) -> None:
    ours, theirs = pair(f"InstanceNorm{ndim}d", 3, **kwargs)
    x = draw(4, 3, *(5, 3, 2)[:ndim], dtype=np.float32)
    for given in (x, x[0]):
        same(ours, theirs, given)
    for k, v in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[k].numpy(), v.numpy(), rtol=1e-5)
    same(ours.eval(), theirs.eval(), x)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "shape"),
    [
        ("LayerNorm", (6,), {}, (4, 5, 6)),
        ("LayerNorm", ((5, 6),), {"eps": 1e-3}, (4, 5, 6)),
        ("LayerNorm", (6,), {"bias": False}, (4, 6)),
        ("LayerNorm", (6,), {"elementwise_affine": False}, (4, 6)),
        ("RMSNorm", (6,), {}, (4, 5, 6)),
        ("RMSNorm", ([5, 6],), {"eps": 1e-3}, (4, 5, 6)),
        ("RMSNorm", (6,), {"elementwise_affine": False}, (4, 6)),
        ("GroupNorm", (2, 6), {}, (3, 6, 4)),
        ("GroupNorm", (2, 6), {"bias": False}, (3, 6, 4)),
        ("GroupNorm", (3, 6), {"affine": False, "eps": 1e-2}, (3, 6, 4, 2)),
        ("LocalResponseNorm", (2,), {}, (3, 6, 4, 2)),
        ("LocalResponseNorm", (3,), {"alpha": 0.1, "beta": 0.5, "k": 2.0}, (3, 6, 4)),
    ],
)
def test_other_modules(name: str, args: Any, kwargs: dict[str, Any], shape: Any) -> None:
    ours, theirs = pair(name, *args, **kwargs)
    same(ours, theirs, draw(*shape, dtype=np.float32))
    if hasattr(ours, "reset_parameters"):
        ours.reset_parameters()
        assert all((p == float(k == "weight")).all() for k, p in ours.named_parameters())


# --- errors ---------------------------------------------------------------------------------------


def test_errors_leave_the_statistics_alone() -> None:
    module = nn.BatchNorm2d(3)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError, match="BatchNorm2d: expected 4D input"):
        module(tg.ones(2, 3))
    with pytest.raises(
        tg.ShapeError, match=r"input with 3 channels in dimension 1.*\(2, 5, 4, 4\)"
    ):
        module(tg.ones(2, 5, 4, 4))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        module(tg.ones(1, 3, 1, 1))
    with pytest.raises(tg.DTypeError, match="weight is float32 but input is float64"):
        module(tg.ones(2, 3, 4, 4, dtype=tg.float64))
    with pytest.raises(ValueError, match="no samples to train on"):
        module(tg.ones(0, 3, 4, 4))
    for k, v in module.state_dict().items():
        assert tg.equal(v, before[k])


def test_errors() -> None:
    x = tg.ones(2, 3, 4)
    with pytest.raises(tg.DTypeError, match="layer_norm: expected a floating-point input"):
        F.layer_norm(tg.ones(2, 3, dtype=tg.int64), (3,))
    with pytest.raises(tg.ShapeError, match=r"normalized_shape = \(5,\).*\(2, 3, 4\)"):
        F.layer_norm(x, (5,))
    with pytest.raises(tg.ShapeError, match="expected weight to have the shape"):
        F.layer_norm(x, (4,), tg.ones(3))
    with pytest.raises(tg.ShapeError, match="at least one dimension"):
        F.rms_norm(x, ())
    with pytest.raises(ValueError, match="3 channels of the input must be divisible"):
        F.group_norm(x, 2)
    with pytest.raises(ValueError, match="GroupNorm: num_channels"):
        nn.GroupNorm(4, 6)
    with pytest.raises(tg.ShapeError, match=r"group_norm: expected an input of shape \(N, C"):
        F.group_norm(tg.ones(3), 1)
    with pytest.raises(ValueError, match="running_mean and running_var are needed"):
        F.batch_norm(x, None, None)
    with pytest.raises(ValueError, match="running_mean and running_var are needed"):
        F.instance_norm(x, use_input_stats=False)
    with pytest.raises(
        tg.ShapeError, match="running_mean should have one element for each of the 3"
    ):
        F.batch_norm(x, tg.zeros(4), tg.ones(4))
    with pytest.raises(tg.DTypeError, match="running statistics must be floating-point"):
        F.batch_norm(x, tg.zeros(3, dtype=tg.int64), tg.ones(3), training=True)
    with pytest.raises(ValueError, match="more than one value for each channel of a sample"):
        F.instance_norm(tg.ones(2, 3, 1))
    with pytest.raises(ValueError, match="InstanceNorm2d: expected 3D or 4D input"):
        nn.InstanceNorm2d(3)(tg.ones(2, 3))
    with pytest.raises(tg.ShapeError, match="at least 3 dimensions"):
        F.local_response_norm(tg.ones(2, 3), 2)
    with pytest.raises(ValueError, match="size must be positive"):
        F.local_response_norm(x, 0)
