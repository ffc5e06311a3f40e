"""Accuracy and conventions: sub-gradients, limits, stable losses, sums, ULP bounds."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special as sp

import tapegrad as tg
from support import assert_close, tensor, to_numpy
from tapegrad.nn import functional as F

INF, NAN = float("inf"), float("nan")


def gradient(f: Any, *values: Any) -> list[Any]:
    inputs = [tensor(v, grad=True) for v in values]
    f(*inputs).sum().backward()
    return [x.grad.tolist() for x in inputs]


# --- one table of sub-gradients -------------------------------------------------------------------

SUBGRADIENTS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "relu(0)": (lambda x: x.relu(), [[0.0]], [[0.0]]),
    "abs(0)": (lambda x: x.abs(), [[0.0]], [[0.0]]),
    "sign(0)": (lambda x: x.sign(), [[0.0]], [[0.0]]),
    "amax ties": (lambda x: x.amax(), [[1.0, 3.0, 3.0]], [[0.0, 0.5, 0.5]]),
    "amin ties": (lambda x: x.amin(0), [[1.0, 1.0, 3.0, 1.0]], [[1 / 3, 1 / 3, 0.0, 1 / 3]]),
    "max ties": (lambda x: x.max(), [[3.0, 1.0, 3.0]], [[0.5, 0.0, 0.5]]),
    "min ties": (lambda x: x.min(), [[1.0, 1.0]], [[0.5, 0.5]]),
    "max dim picks one": (lambda x: x.max(0).values, [[3.0, 3.0]], [[1.0, 0.0]]),
    "maximum ties": (tg.maximum, [[2.0], [2.0]], [[0.5], [0.5]]),
    "minimum ties": (tg.minimum, [[2.0], [2.0]], [[0.5], [0.5]]),
    "clamp bounds": (
        lambda x: x.clamp(0.0, 1.0),
        [[-1.0, 0.0, 0.5, 1.0, 2.0]],
        [[0.0, 1.0, 1.0, 1.0, 0.0]],
    ),
    "norm(0)": (lambda x: x.norm(), [[0.0, 0.0]], [[0.0, 0.0]]),
    "norm rows": (lambda x: x.norm(dim=1), [[[0.0, 0.0], [3.0, 4.0]]], [[[0.0, 0.0], [0.6, 0.8]]]),
    "pow(0, 0)": (lambda x: x**0, [[0.0]], [[0.0]]),
    "pow(0, 1)": (lambda x: x**1, [[0.0]], [[1.0]]),
    "pow(0, 2)": (lambda x: x**2, [[0.0]], [[0.0]]),
    "pow(0, 0) base and exponent": (tg.pow, [[0.0], [0.0]], [[0.0], [0.0]]),
    "pow(0, 2) base and exponent": (tg.pow, [[0.0], [2.0]], [[0.0], [0.0]]),
    "sqrt(0)": (lambda x: x.sqrt(), [[0.0]], [[INF]]),
    "prod one zero": (lambda x: x.prod(), [[2.0, 0.0, 5.0]], [[0.0, 10.0, 0.0]]),
    "prod two zeros": (lambda x: x.prod(), [[0.0, 0.0, 5.0]], [[0.0, 0.0, 0.0]]),
    "std of a constant": (lambda x: x.std(), [[1.0, 1.0]], [[0.0, 0.0]]),
    "where": (lambda x: tg.where(x > 0, x * 2, x * 3), [[-1.0, 1.0]], [[3.0, 2.0]]),
}


@pytest.mark.parametrize("name", SUBGRADIENTS)
def test_subgradients(name: str) -> None:
    f, values, expected = SUBGRADIENTS[name]
    assert_close(np.array(gradient(f, *values)), np.array(expected), rtol=1e-15)


def test_masked_operations_select_and_never_multiply() -> None:
    """Infinity and NaN upstream stay out of the positions that were masked away."""
    for upstream in (INF, NAN):
        x = tensor([-1.0, 2.0], grad=True)
        x.relu().backward(tensor([upstream, 1.0]))
        assert x.grad.tolist() == [0.0, 1.0]
        x.grad = None
        x.clamp(0.0, 3.0).backward(tensor([upstream, 1.0]))
        assert x.grad.tolist() == [0.0, 1.0]
        x.grad = None
        tg.where(tg.tensor([False, True]), x, tensor(0.0)).backward(tensor([upstream, 1.0]))
        assert x.grad.tolist() == [0.0, 1.0]
        x.grad = None
        x.masked_fill(tg.tensor([True, False]), 0.0).backward(tensor([upstream, 1.0]))
        assert x.grad.tolist() == [0.0, 1.0]


def test_nan_made_before_a_where_stays_as_in_pytorch_and_the_double_where_cures_it() -> None:
    x = tensor([0.0, 4.0], grad=True)
    tg.where(x > 0, x.sqrt(), tensor(0.0)).sum().backward()
    assert np.isnan(x.grad[0].item())
    assert x.grad[1].item() == 0.25
    x.grad = None
    safe = tg.where(x > 0, x, tensor(1.0))
    tg.where(x > 0, safe.sqrt(), tensor(0.0)).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


# --- losses at extreme inputs, against 60 digits -------------------------------------------------

LOGITS = [0.0, 1e-6, 1e-3, 1.0, 10.0, 36.0, 88.0, 100.0, 710.0, 1e4, 1e38]


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_bce_with_logits_is_stable(sign: float, target: float) -> None:
    with mpmath.workdps(60):
        for size in LOGITS:
            z = sign * size
            x = tensor(z, grad=True)
            loss = F.binary_cross_entropy_with_logits(x, tensor(target))
            loss.backward()
            t = -z if target == 1 else z
            if t > 1000:
                exact, slope = mpmath.mpf(t), mpmath.mpf(1)
            else:
                e = mpmath.exp(mpmath.mpf(t))
                exact, slope = mpmath.log1p(e), e / (1 + e)
            slope = -slope if target == 1 else slope
            assert loss.item() == pytest.approx(float(exact), rel=1e-14, abs=1e-300), z
            assert x.grad.item() == pytest.approx(float(slope), rel=1e-13, abs=2e-16), z


@pytest.mark.parametrize("gap", LOGITS)
def test_cross_entropy_is_stable(gap: float) -> None:
    for winner in (0, 1):
        x = tensor([[gap, 0.0]], grad=True)
        loss = F.cross_entropy(x, tg.tensor([winner]))
        loss.backward()
        with mpmath.workdps(60):
            t = gap if winner == 1 else -gap
            exact = mpmath.mpf(t) if t > 1000 else mpmath.log1p(mpmath.exp(mpmath.mpf(t)))
            p = mpmath.mpf(1) if t > 1000 else 1 / (1 + mpmath.exp(-mpmath.mpf(t)))
        assert loss.item() == pytest.approx(float(exact), rel=1e-14, abs=1e-15)
        expected = [-float(p), float(p)] if winner == 0 else [float(p), -float(p)]
        assert_close(x.grad, np.array([expected]), rtol=1e-13, atol=1e-16)


def test_infinite_logits() -> None:
    x = tensor([[-INF, 0.0, 0.0]], grad=True)
    loss = F.cross_entropy(x, tg.tensor([1]))
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2.0), rel=1e-15)
    assert x.grad.tolist() == [[0.0, -0.5, 0.5]]


def test_softmax_follows_ieee_for_rows_of_minus_infinity() -> None:
    x = tensor([[-INF, -INF], [-INF, 0.0]])
    y = to_numpy(x.softmax(1))
    assert np.isnan(y[0]).all()
    assert y[1].tolist() == [0.0, 1.0]
    assert tg.logsumexp(x, 1).tolist() == [-INF, 0.0]
    assert tg.logsumexp(tensor([INF, 1.0]), 0).item() == INF


@pytest.mark.parametrize(
    "name", ["softplus", "silu", "gelu", "sigmoid", "tanh", "erf", "expm1", "log1p"]
)
def test_saturation_and_tiny_arguments(name: str) -> None:
    f = getattr(tg, name, None) or getattr(F, name)
    values = [1e-300, -1e-300, 1e-20, -1e-20, 1e-9, -1e-9, 0.0]
    if name != "log1p":
        values += [50.0, -50.0, 700.0, -700.0, 1e300, -1e300]
    with mpmath.workdps(50):
        exact = {
            "softplus": lambda v: v if v > 1000 else mpmath.log1p(mpmath.exp(v)),
            "silu": lambda v: v / (1 + mpmath.exp(-v)) if abs(v) < 1000 else max(v, 0),
            "gelu": lambda v: v * mpmath.ncdf(v) if abs(v) < 1000 else max(v, 0),
            "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)) if abs(v) < 1000 else (v > 0) * 1,
            "tanh": mpmath.tanh,
            "erf": mpmath.erf,
            "expm1": lambda v: mpmath.expm1(v) if v < 1000 else mpmath.inf,
            "log1p": mpmath.log1p,
        }[name]
        expected = [float(exact(mpmath.mpf(v))) for v in values]
    got = f(tensor(values)).tolist()
    for v, g, e in zip(values, got, expected, strict=True):
        assert g == pytest.approx(e, rel=2e-14, abs=1e-300), v


# --- accuracy of the vector formulas -------------------------------------------------------------

ULP: dict[str, tuple[Any, tuple[float, float], float]] = {
    "exp": (np.exp, (-87.0, 88.0), 2.0),
    "log": (np.log, (1e-30, 1e30), 2.0),
    "log2": (np.log2, (1e-30, 1e30), 3.0),
    "log10": (np.log10, (1e-30, 1e30), 3.0),
    "log1p": (np.log1p, (-0.999, 1e6), 3.0),
    "expm1": (np.expm1, (-20.0, 80.0), 3.0),
    "tanh": (np.tanh, (-12.0, 12.0), 3.0),
    "sigmoid": (sp.expit, (-80.0, 80.0), 3.0),
    "sin": (np.sin, (-1000.0, 1000.0), 2.0),
    "cos": (np.cos, (-1000.0, 1000.0), 2.0),
    "tan": (np.tan, (-100.0, 100.0), 4.0),
    "erf": (sp.erf, (-4.0, 4.0), 3.0),
    "sqrt": (np.sqrt, (0.0, 1e30), 0.51),
    "rsqrt": (lambda x: 1 / np.sqrt(x), (1e-30, 1e30), 2.0),
    "reciprocal": (lambda x: 1 / x, (1e-30, 1e30), 0.51),
    "sinh": (np.sinh, (-80.0, 80.0), 4.0),
    "cosh": (np.cosh, (-80.0, 80.0), 4.0),
    "asin": (np.arcsin, (-1.0, 1.0), 4.0),
    "acos": (np.arccos, (-1.0, 1.0), 4.0),
    "atan": (np.arctan, (-1e3, 1e3), 4.0),
}


@pytest.mark.parametrize("name", ULP)
def test_float32_functions_within_a_few_ulp(name: str) -> None:
    """Error against double, in units of the last place of the float32 result."""
    ref, (lo, hi), bound = ULP[name]
    rng = np.random.default_rng(1)
    if lo > 0 and hi > 1e20:
        x = np.exp(rng.uniform(np.log(lo), np.log(hi), 60_000))
    else:
        x = np.concatenate([rng.uniform(lo, hi, 40_000), rng.normal(0, 1e-3, 20_000)])
        x = x[(x >= lo) & (x <= hi)]
    x = x.astype(np.float32)
    exact = ref(x.astype(np.float64))
    got = getattr(tg, name)(tg.from_numpy(x)).double().numpy()
    ulp = np.abs(np.spacing(np.abs(exact).astype(np.float32))).astype(np.float64)
    error = np.abs(got - exact) / ulp
    worst = int(np.argmax(error))
    assert error[worst] <= bound, f"{name}({x[worst]!r}) = {got[worst]!r}, exact {exact[worst]!r}"


def test_gelu_is_as_exact_as_its_type() -> None:
    """float32: an ulp of 1 times x; float64: relative accuracy, also in the lower tail."""
    x = np.concatenate([np.linspace(-9, 9, 40_001), np.linspace(-0.1, 0.1, 5_001)])
    x = x.astype(np.float32).astype(np.float64)
    got = F.gelu(tg.from_numpy(x).float()).double().numpy()
    exact = x * sp.ndtr(x)
    assert (np.abs(got - exact) <= 2.0**-22 * np.abs(x)).all()
    assert (np.abs(got - exact)[x > 0] <= 2.0**-22 * exact[x > 0]).all()
    assert F.gelu(tensor([-1e30, -100.0, 100.0, 1e30]).float()).tolist() == pytest.approx(
        [0, 0, 100, 1e30]
    )
    with mpmath.workdps(40):
        for v in np.linspace(-37.0, 9.0, 301):
            e = mpmath.mpf(v) * mpmath.erfc(-mpmath.mpf(v) / mpmath.sqrt(2)) / 2
            assert abs(float((mpmath.mpf(F.gelu(tensor(v)).item()) - e) / e)) < 8 * 2.0**-52, v


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sin", "sigmoid", "erf", "expm1", "log1p"])
def test_float64_functions_within_a_few_ulp(name: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(0.01, 5.0, 300) if name == "log" else rng.uniform(-0.9, 5.0, 300)
    got = getattr(tg, name)(tensor(x)).numpy()
    exact = {"sigmoid": lambda v: 1 / (1 + mpmath.exp(-v))}.get(name) or getattr(mpmath, name, None)
    with mpmath.workdps(40):
        for v, g in zip(x, got, strict=True):
            e = exact(mpmath.mpf(float(v)))
            assert abs(float((mpmath.mpf(float(g)) - e) / e)) < 4 * 2.0**-52, (name, v)


# --- sums ----------------------------------------------------------------------------------------


def test_long_sums_stay_accurate_in_float32() -> None:
    rng = np.random.default_rng(3)
    x = rng.random(1_000_003).astype(np.float32)
    exact = x.astype(np.float64).sum()
    assert tg.from_numpy(x).sum().item() == pytest.approx(exact, rel=2e-6)
    assert tg.from_numpy(x).mean().item() == pytest.approx(exact / len(x), rel=2e-6)
    wide = np.full((4, 1_000_000), 0.1, dtype=np.float32)
    np.testing.assert_allclose(
        tg.from_numpy(wide).sum(1).numpy(), 1e6 * np.float64(np.float32(0.1)), rtol=1e-5
    )
    np.testing.assert_allclose(
        tg.from_numpy(wide.T.copy()).sum(0).numpy(), 1e6 * np.float64(np.float32(0.1)), rtol=1e-5
    )


def test_variance_is_shifted() -> None:
    x = np.array([1e8, 1e8 + 1, 1e8 + 2])
    assert tensor(x).var().item() == 1.0
    y = (np.arange(10_000) % 7 + 4096.0).astype(np.float32)
    assert tg.from_numpy(y).var().item() == pytest.approx(
        y.astype(np.float64).var(ddof=1), rel=1e-4
    )


def test_log_sum_exp_of_extreme_values() -> None:
    assert tg.logsumexp(tensor([-1e4, -1e4]), 0).item() == -1e4 + np.log(2.0)
    assert tg.logsumexp(tensor([1e300, 0.0]), 0).item() == 1e300
    assert tg.exp(tensor(-720.0)).item() == pytest.approx(float(mpmath.exp(-720)), rel=1e-2)


def test_degrees_of_freedom_that_are_not_there_give_nan_with_one_sample() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(tensor([1.0]).var().item())
        assert np.isnan(tensor([1.0]).std().item())
    assert tensor([1.0]).var(correction=0).item() == 0.0


def test_empty_reductions() -> None:
    x = tg.zeros(0)
    assert x.sum().item() == 0.0
    assert x.prod().item() == 1.0
    assert np.isnan(x.mean().item())
    assert x.all().item() is True
    assert x.any().item() is False


def test_constants_of_the_floating_point_mode_are_left_alone() -> None:
    import sys

    tg.randn(1000).exp().sum()
    assert sys.float_info.min / 2 != 0.0
