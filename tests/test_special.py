"""Special functions against mpmath, sub-gradients at kinks, and forms that take no tensor."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

import tapegrad as tg
from support import tensor
from tapegrad import special
from tapegrad.nn import functional as F

INF, NAN = float("inf"), float("nan")


def inverse_normal(p: Any) -> Any:
    """By bisection's faster cousin, from a double: mpmath has no inverse of erfc."""
    x = mpmath.mpf(float(special.ndtri(tensor(float(p))).item()))
    for _ in range(4):
        density = mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)
        x -= (mpmath.erfc(-x / mpmath.sqrt(2)) / 2 - p) / density
    return x


def inverse_erf(x: Any) -> Any:
    u = mpmath.mpf(float(tg.erfinv(tensor(float(x))).item()))
    for _ in range(4):
        u -= (mpmath.erf(u) - x) / (2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-u * u))
    return u


def erfcx(x: Any) -> Any:
    return mpmath.exp(x * x) * mpmath.erfc(x)


def log_ndtr(x: Any) -> Any:
    return mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2)


# The function, its exact value, where, and the allowed error in units of double's and float's
# epsilon. Near a root the error counts against 1.
EXACT: dict[str, tuple[Any, Any, list[tuple[float, float]], float]] = {
    "i0": (special.i0, lambda x: mpmath.besseli(0, x), [(-40.0, 40.0), (500.0, 700.0)], 10.0),
    "i0e": (
        special.i0e,
        lambda x: mpmath.besseli(0, x) * mpmath.exp(-abs(x)),
        [(-40.0, 40.0)],
        8.0,
    ),
    "i1": (special.i1, lambda x: mpmath.besseli(1, x), [(-40.0, 40.0), (500.0, 700.0)], 10.0),
    "i1e": (
        special.i1e,
        lambda x: mpmath.besseli(1, x) * mpmath.exp(-abs(x)),
        [(-40.0, 40.0)],
        8.0,
    ),
    "erfcx": (special.erfcx, erfcx, [(-20.0, 40.0), (-1.0, 1.0)], 8.0),
    "log_ndtr": (special.log_ndtr, log_ndtr, [(-60.0, 8.0)], 8.0),
    "ndtr": (special.ndtr, lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2, [(-37.0, 9.0)], 6.0),
    "ndtri": (special.ndtri, inverse_normal, [(1e-6, 1.0), (0.45, 0.55)], 8.0),
    "erfinv": (tg.erfinv, inverse_erf, [(-1.0, 1.0), (-0.01, 0.01)], 6.0),
    "digamma": (tg.digamma, mpmath.digamma, [(0.01, 30.0), (-6.9, -6.1)], 12.0),
    "trigamma": (lambda x: tg.polygamma(1, x), lambda x: mpmath.psi(1, x), [(0.01, 30.0)], 12.0),
    "tetragamma": (lambda x: tg.polygamma(2, x), lambda x: mpmath.psi(2, x), [(-3.9, 30.0)], 12.0),
    "lgamma": (tg.lgamma, lambda x: mpmath.log(abs(mpmath.gamma(x))), [(0.01, 30.0)], 6.0),
    "zeta": (lambda x: special.zeta(3.5, x), lambda x: mpmath.zeta(3.5, x), [(0.01, 30.0)], 12.0),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", EXACT)
def test_accuracy_against_mpmath(name: str, dtype: str) -> None:
    f, exact, intervals, bound = EXACT[name]
    eps = 2.0**-52 if dtype == "float64" else 2.0**-23
    rng = np.random.default_rng(5)
    for low, high in intervals:
        if dtype == "float32" and high > 100:
            low, high = 60.0, 80.0
        elif dtype == "float32":
            low, high = max(low, -9.0), high
        points = np.asarray(rng.uniform(low, high, 60), dtype=dtype)
        got = f(tg.from_numpy(points)).double().tolist()
        with mpmath.workdps(50):
            for x, g in zip(points.astype(float).tolist(), got, strict=True):
                e = exact(mpmath.mpf(x))
                assert abs(g - e) <= bound * eps * max(abs(e), min(1, abs(e) + abs(x))), (x, g, e)


def test_tails_keep_relative_accuracy() -> None:
    with mpmath.workdps(60):
        for x in (-37.0, -30.0, -20.5, -12.0):
            for f, exact in (
                (special.ndtr, mpmath.erfc(-mpmath.mpf(x) / mpmath.sqrt(2)) / 2),
                (special.log_ndtr, log_ndtr(mpmath.mpf(x))),
            ):
                assert f(tensor(x)).item() == pytest.approx(float(exact), rel=1e-14)
        for p in (1e-300, 1e-100, 1e-17, 0.3):
            assert special.ndtri(tensor(p)).item() == pytest.approx(
                float(inverse_normal(mpmath.mpf(p))), rel=1e-14
            )
    assert special.log_ndtr(tensor(-1e10)).item() == pytest.approx(-5e19, rel=1e-12)


EDGES: dict[str, tuple[Any, list[float], list[float]]] = {
    "digamma": (tg.digamma, [0.0, -0.0, -1.0, INF, NAN], [-INF, INF, NAN, INF, NAN]),
    "lgamma": (tg.lgamma, [0.0, -1.0, INF, -INF, NAN], [INF, INF, INF, INF, NAN]),
    "erfinv": (tg.erfinv, [1.0, -1.0, 0.0, 1.5, NAN], [INF, -INF, 0.0, NAN, NAN]),
    "ndtri": (special.ndtri, [0.0, 1.0, 0.5, -0.1, 1.1], [-INF, INF, 0.0, NAN, NAN]),
    "entr": (special.entr, [0.0, -1.0, 1.0, INF, NAN], [0.0, -INF, 0.0, -INF, NAN]),
    "i0": (special.i0, [0.0, INF, -INF, NAN], [1.0, INF, INF, NAN]),
    "i1": (special.i1, [0.0, INF, -INF, NAN], [0.0, INF, -INF, NAN]),
    "i0e": (special.i0e, [0.0, INF, NAN], [1.0, 0.0, NAN]),
    "erfcx": (special.erfcx, [0.0, INF, -INF, NAN], [1.0, 0.0, INF, NAN]),
    "log_ndtr": (special.log_ndtr, [INF, -INF, NAN], [0.0, -INF, NAN]),
    "ndtr": (special.ndtr, [INF, -INF, NAN], [1.0, 0.0, NAN]),
    "sinc": (tg.sinc, [0.0, 1.0, 2.0, NAN], [1.0, 0.0, 0.0, NAN]),
    "logit": (tg.logit, [0.0, 1.0, -0.5, 2.0, NAN], [-INF, INF, NAN, NAN, NAN]),
    "logit-eps": (lambda x: tg.logit(x, 0.5), [0.0, 1.0, NAN], [0.0, 0.0, NAN]),
    "logaddexp": (lambda x: tg.logaddexp(x, x), [INF, -INF, NAN], [INF, -INF, NAN]),
    "xlogy": (lambda x: tg.xlogy(tg.zeros_like(x), x), [0.0, INF, NAN], [0.0, 0.0, NAN]),
    "heaviside": (
        lambda x: tg.heaviside(x, tensor(0.25)),
        [-1.0, 0.0, -0.0, 2.0, NAN],
        [0.0, 0.25, 0.25, 1.0, 0.0],
    ),
    "zeta": (lambda x: special.zeta(x, tensor(1.0)), [1.0, 0.5, 2.0], [INF, NAN, np.pi**2 / 6]),
    "copysign": (
        lambda x: tg.copysign(tg.ones_like(x), x),
        [0.0, -0.0, -INF, 3.0],
        [1.0, -1.0, -1.0, 1.0],
    ),
    "nan_to_num": (
        tg.nan_to_num,
        [NAN, INF, -INF],
        [0.0, np.finfo(float).max, -np.finfo(float).max],
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_edges(name: str) -> None:
    f, points, expected = EDGES[name]
    for dtype in (tg.float64, tg.float32):
        if name == "nan_to_num" and dtype == tg.float32:
            continue
        got = f(tg.tensor(points, dtype=dtype)).double().tolist()
        assert got == pytest.approx(expected, rel=1e-6, nan_ok=True)


KINKS: dict[str, tuple[Any, list[float]]] = {
    "hardtanh": (lambda lib, x: lib.nn.functional.hardtanh(x), [-1.0, 1.0, 0.0]),
    "relu6": (lambda lib, x: lib.nn.functional.relu6(x), [0.0, 6.0, 3.0]),
    "hardsigmoid": (lambda lib, x: lib.nn.functional.hardsigmoid(x), [-3.0, 3.0, 0.0]),
    "hardswish": (lambda lib, x: lib.nn.functional.hardswish(x), [-3.0, 3.0, 0.0]),
    "hardshrink": (lambda lib, x: lib.nn.functional.hardshrink(x), [-0.5, 0.5, 0.0, 2.0]),
    "softshrink": (lambda lib, x: lib.nn.functional.softshrink(x), [-0.5, 0.5, 0.0, 2.0]),
    "threshold": (lambda lib, x: lib.nn.functional.threshold(x, 1.0, 5.0), [1.0, 0.0, 2.0]),
    "softsign": (lambda lib, x: lib.nn.functional.softsign(x), [0.0, -0.0]),
    "celu": (lambda lib, x: lib.nn.functional.celu(x, 2.0), [0.0, -0.0]),
    "selu": (lambda lib, x: lib.nn.functional.selu(x), [0.0, -0.0]),
    "prelu": (lambda lib, x: lib.prelu(x, lib.full((1,), 0.25, dtype=x.dtype)), [0.0, -1.0]),
    "copysign": (lambda lib, x: lib.copysign(x, -lib.ones_like(x)), [0.0, -0.0, 1.0, -1.0]),
    "xlogy": (lambda lib, x: lib.xlogy(x, lib.zeros_like(x)), [0.0]),
    "sinc": (lambda lib, x: lib.sinc(x), [0.0, 0.5, 1.0]),
    "i1": (lambda lib, x: lib.special.i1(x), [0.0, 1.0]),
    "i1e": (lambda lib, x: lib.special.i1e(x), [0.0, 1.0]),
    "i0e": (lambda lib, x: lib.special.i0e(x), [0.0, 1.0]),
    "logit": (lambda lib, x: lib.logit(x, 0.25), [0.25, 0.75, 0.5, 0.1]),
    "logit-none": (lambda lib, x: lib.logit(x), [0.0, 1.0, -1.0, 0.5]),
    "nan_to_num": (lambda lib, x: lib.nan_to_num(x), [NAN, INF, 1.0]),
    "clamp-low": (
        lambda lib, x: lib.clamp(x, lib.zeros_like(x), lib.ones_like(x)),
        [0.0, 1.0, 2.0],
    ),
    "clamp-bound": (lambda lib, x: lib.clamp(lib.ones_like(x), x, x + 1), [0.0, 1.0, 2.0, -1.0]),
    "clamp_max": (lambda lib, x: lib.clamp_max(x, lib.ones_like(x)), [0.0, 1.0, 2.0]),
    "pow-zero": (lambda lib, x: x**0, [0.0, 2.0, NAN]),
    "frac": (lambda lib, x: lib.frac(x), [0.0, 1.5]),
    "float_power": (lambda lib, x: lib.float_power(x, 0), [0.0, 2.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_subgradients_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    f, points = KINKS[name]
    results = []
    for lib in (tg, torch):
        x = lib.tensor(points, dtype=lib.float64, requires_grad=True)
        y = f(lib, x)
        y.sum().backward()
        results.append((y.tolist(), x.grad.tolist()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12, nan_ok=True)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-7, nan_ok=True)


def test_bounds_of_clamp_that_are_numbers_in_tensors_get_gradients() -> None:
    x = tensor([-1.0, 0.5, 2.0], grad=True)
    low, high = tensor(0.0, grad=True), tensor(1.0, grad=True)
    x.clamp(low, high).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]
    assert (low.grad.item(), high.grad.item()) == (1.0, 1.0)
    y = tg.clamp_min(x.detach(), low)
    (g,) = tg.autograd.grad(y.sum(), low)
    assert g.item() == 1.0


def test_derivatives_of_lgamma_to_fourth_order() -> None:
    x = tensor([0.7, 2.5], grad=True)
    y = tg.lgamma(x)
    for n in range(4):
        (y,) = tg.autograd.grad(y.sum(), x, create_graph=True)
        expected = [float(mpmath.psi(n, v)) for v in (0.7, 2.5)]
        assert y.tolist() == pytest.approx(expected, rel=1e-12)


def test_power_zero_is_one_without_a_slope() -> None:
    x = tensor([0.0, NAN, 2.0], grad=True)
    y = x**0
    assert y.tolist() == [1.0, 1.0, 1.0]
    assert y.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_undefined_derivatives_are_refused() -> None:
    x = tensor([0.5], grad=True)
    with pytest.raises(RuntimeError, match=r"heaviside.*not defined"):
        tg.heaviside(x, tensor([1.0])).sum().backward()
    s = tensor([2.5], grad=True)
    with pytest.raises(RuntimeError, match=r"zeta.*not defined"):
        special.zeta(s, tensor([1.0])).sum().backward()


def test_equal_and_allclose_return_bools() -> None:
    a = tensor([1.0, 2.0])
    assert tg.equal(a, a.clone()) is True
    assert a.equal(tensor([1.0])) is False
    assert tg.equal(tensor([NAN]), tensor([NAN])) is False
    assert tg.allclose(a, a + 1e-9) is True
    assert a.allclose(a + 1e-3) is False
    assert tg.allclose(tensor([NAN]), tensor([NAN]), equal_nan=True) is True
    with pytest.raises(RuntimeError, match="isclose: expected tensors of one dtype"):
        tg.isclose(a, a.float())


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("celu", (0.5,)),
        ("elu", (0.5,)),
        ("selu", ()),
        ("hardtanh", (-0.5, 0.5)),
        ("leaky_relu", (0.1,)),
        ("relu6", ()),
        ("hardswish", ()),
        ("hardsigmoid", ()),
        ("mish", ()),
        ("threshold", (0.0, 0.3)),
        ("rrelu", ()),
    ],
)
def test_activations_in_place(name: str, args: tuple[Any, ...]) -> None:
    f = getattr(F, name)
    written = tensor([-1.0, 0.2, 2.0])
    expected = f(written, *args)
    leaf = tensor([-1.0, 0.2, 2.0], grad=True)
    (wanted,) = tg.autograd.grad(f(leaf, *args).sum(), leaf)
    x = leaf * 1
    assert f(x, *args, inplace=True) is x
    assert x.tolist() == expected.tolist()
    (got,) = tg.autograd.grad(x.sum(), leaf)
    assert got.tolist() == wanted.tolist()
    if hasattr(F, name + "_"):
        assert getattr(F, name + "_")(written, *args) is written
        assert written.tolist() == expected.tolist()


def test_float_power_is_a_power_in_double() -> None:
    assert tg.float_power(tg.tensor([2, 3]), -1).tolist() == [0.5, 1 / 3]
    assert tg.float_power(tg.tensor([2.0]), tg.tensor([0.5])).dtype is tg.float64
    assert tg.float_power(2, tg.tensor([3, -1])).tolist() == [8.0, 0.5]
    x = tg.tensor([2.0, 3.0], requires_grad=True)
    tg.float_power(x, 3).sum().backward()
    assert x.grad.tolist() == [12.0, 27.0]
    assert x.grad.dtype is tg.float32


def test_random_slopes_and_samples() -> None:
    tg.manual_seed(0)
    x = tg.full((1000,), -1.0, requires_grad=True)
    y = F.rrelu(x, 0.25, 0.5, training=True)
    slopes = -y.detach()
    assert 0.25 <= slopes.min().item() < 0.3 < 0.45 < slopes.max().item() <= 0.5
    y.sum().backward()
    assert tg.equal(x.grad, slopes)
    logits = tg.zeros(500, 4, requires_grad=True)
    soft = F.gumbel_softmax(logits, tau=0.5)
    assert tg.allclose(soft.sum(-1), tg.ones(500))
    hard = F.gumbel_softmax(logits, hard=True)
    assert hard.detach().unique().tolist() == [0.0, 1.0] if hasattr(hard, "unique") else True
    (g,) = tg.autograd.grad((hard * tg.arange(4.0)).sum(), logits)
    assert g.abs().sum().item() > 0


def test_names_of_other_modules_are_the_same_functions() -> None:
    pairs = {"expit": "sigmoid", "psi": "digamma", "gammaln": "lgamma", "exp2": "exp2"}
    for name, original in pairs.items():
        assert getattr(special, name) is getattr(tg, original)
    assert F.softmin(tensor([0.0, 1.0]), dim=0).tolist() == pytest.approx([0.7310586, 0.2689414])


ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "polygamma": (lambda: tg.polygamma(-1, tensor(1.0)), ValueError, "n must not be negative"),
    "mvlgamma": (lambda: tg.mvlgamma(tensor(1.0), 0), ValueError, "p must be at least 1"),
    "celu": (lambda: F.celu(tensor(1.0), 0.0), ValueError, "alpha must not be 0"),
    "hardtanh": (lambda: F.hardtanh(tensor(1.0), 2.0, 1.0), ValueError, "must not exceed"),
    "softshrink": (lambda: F.softshrink(tensor(1.0), -1.0), ValueError, "not be negative"),
    "rrelu": (lambda: F.rrelu(tensor(1.0), 2.0, 1.0), ValueError, "must not exceed"),
    "glu": (lambda: F.glu(tg.ones(3)), RuntimeError, "even size"),
    "prelu": (
        lambda: tg.prelu(tg.ones(2, 3), tg.ones(2)),
        RuntimeError,
        "prelu: expected a weight",
    ),
    "lerp": (lambda: tg.lerp(tg.ones(2), tg.ones(2).double(), 0.5), TypeError, "lerp: expected"),
    "addcdiv": (
        lambda: tg.addcdiv(tg.tensor([1]), tg.tensor([1]), tg.tensor([1])),
        TypeError,
        "integer division",
    ),
    "positive": (lambda: tg.positive(tg.tensor([True])), TypeError, "positive"),
    "clamp": (lambda: tg.clamp(tg.ones(2)), ValueError, "at least one of min or max"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    call, kind, text = ERRORS[name]
    with pytest.raises((kind, RuntimeError), match=text):
        call()


def test_derivatives_of_sinc_at_zero_and_around_the_seam_of_its_series() -> None:
    mpmath = pytest.importorskip("mpmath")
    points = [0.0, 1e-9, 0.19, 0.2, 0.21, -0.5]
    x = tg.tensor(points, dtype=tg.float64, requires_grad=True)
    derivative = tg.sinc(x)
    for order in (1, 2, 3):
        (derivative,) = tg.autograd.grad(derivative.sum(), x, create_graph=True)
        with mpmath.workdps(40):
            exact = [
                float(mpmath.diff(lambda t: mpmath.sinc(mpmath.pi * t), mpmath.mpf(p), order))
                for p in points
            ]
        assert derivative.tolist() == pytest.approx(exact, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["fmod", "remainder"])
def test_remainders_are_exact_for_near_and_for_far_quotients(name: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal(4000) * 10.0 ** rng.integers(-8, 8, 4000)
    b = rng.standard_normal(4000) * 10.0 ** rng.integers(-3, 3, 4000)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5.0, -7.5, 1e38, 1e-44])
    pairs = [
        (a, b),
        (np.round(a) * b, b),
        *((x.ravel(), y.ravel()) for x, y in [np.meshgrid(special, special)]),
    ]
    for x, y in pairs:
        left, right = x.astype(dtype), y.astype(dtype)
        with np.errstate(all="ignore"):
            expected = getattr(np, name)(left, right)
        got = getattr(tg, name)(tg.from_numpy(left), tg.from_numpy(right)).numpy()
        if name == "remainder":  # PyTorch's is NaN-free differently: an infinite divisor keeps a
            finite = np.isfinite(right)
            got, expected = got[finite], expected[finite]
        assert np.array_equal(got, expected, equal_nan=True)
