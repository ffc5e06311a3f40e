"""Special functions, activations and the smaller arithmetic of PyTorch's library."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp

from op_row import DTYPES, FLOATS, Op, S
from op_samples.elementwise import binary, quiet, unary
from support import INTS

NUMERIC = tuple(d for d in DTYPES if d != "bool")
REAL: dict[str, Any] = {"result": "float"}
FLOAT: dict[str, Any] = {"dtypes": FLOATS}
UNIT = ((0.05, 0.45), (0.55, 0.95))
INNER = ((-0.9, -0.1), (0.1, 0.9))


def rows() -> list[Op]:
    return [
        *unary_rows(),
        *special_rows(),
        *gamma_rows(),
        *binary_rows(),
        *ternary_rows(),
        *comparison_rows(),
        *activation_rows(),
        *shrink_rows(),
        *gate_rows(),
    ]


def nan_to_num(
    x: np.ndarray, nan: Any = None, posinf: Any = None, neginf: Any = None
) -> np.ndarray:
    top = np.finfo(x.dtype).max if x.dtype.kind == "f" else 0
    return np.nan_to_num(
        x,
        nan=0.0 if nan is None else nan,
        posinf=top if posinf is None else posinf,
        neginf=-top if neginf is None else neginf,
    )


def logit(x: np.ndarray, eps: float | None = None) -> np.ndarray:
    z = x if eps is None else np.clip(x, eps, 1 - eps)
    return np.where((x < 0) | (x > 1), np.nan, sp.logit(z)) if eps is None else sp.logit(z)


def unary_rows() -> list[Op]:
    bools: dict[str, Any] = {"result": "bool", "grad": False, "inplace": False, "out": False}
    return [
        unary("deg2rad", lambda x: x * (np.pi / 180), **REAL),
        unary("rad2deg", lambda x: x * (180 / np.pi), **REAL),
        unary(
            "frac", lambda x: x - np.trunc(x), ((0.1, 0.9), (-2.9, -2.1)), special=False, **FLOAT
        ),
        unary("signbit", np.signbit, dtypes=(*FLOATS, *INTS), **bools),
        unary("isposinf", lambda x: np.isinf(x) & (x > 0), **bools),
        unary("isneginf", lambda x: np.isinf(x) & (x < 0), **bools),
        unary("sinc", np.sinc, **REAL, special=False),
        unary("erfinv", sp.erfinv, INNER, **REAL),
        Op(
            "positive",
            lambda x: x,
            lambda g: [S("2d", g.normal(2, 3)), S("0d", g.normal()), S("empty", np.zeros((0,)))],
            dtypes=NUMERIC,
            view=True,
        ),
        unary(
            "nan_to_num",
            nan_to_num,
            extra=lambda g: [
                S("edges", np.array([1.5, np.nan, np.inf, -np.inf]), 2.0, 3.0, -4.0),
                S("posinf", np.array([0.25, np.inf]), posinf=1.0),
            ],
            special=False,
            **FLOAT,
        ),
        unary(
            "logit",
            logit,
            UNIT,
            extra=lambda g: [S("eps", np.array([0.02, 0.3, 0.98, 0.6]), eps=0.1)],
            tol=8.0,
            special=False,
            aliases=("special_logit",),
            **FLOAT,
        ),
    ]


def special_rows() -> list[Op]:
    one: dict[str, Any] = {"method": False, "inplace": False, "result": "float", "special": False}
    wide = ((-12.0, -8.5), (-7.5, -0.2), (0.2, 7.5), (8.5, 12.0))
    return [
        unary("i0", sp.i0, wide, tol=8.0, **REAL, special=False),
        unary("special_i0e", sp.i0e, wide, **{**one, "tol": 8.0}),
        unary("special_i1", sp.i1, wide, **{**one, "tol": 8.0}),
        unary("special_i1e", sp.i1e, wide, **{**one, "tol": 8.0}),
        unary("special_entr", sp.entr, ((0.2, 2.5),), **{**one, "special": True}),
        unary("special_erfcx", sp.erfcx, ((-2.0, 3.0),), **{**one, "tol": 16.0}),
        unary("special_ndtr", sp.ndtr, ((-4.0, 4.0),), **one),
        unary("special_ndtri", sp.ndtri, UNIT, **{**one, "tol": 8.0}),
        unary("special_log_ndtr", sp.log_ndtr, ((-6.0, 4.0),), **{**one, "tol": 8.0}),
    ]


def polygamma(n: Any, x: Any) -> np.ndarray:
    return np.asarray(sp.polygamma(n, x) if n else sp.digamma(x))


def gamma_rows() -> list[Op]:
    whole: dict[str, Any] = {"special": False, "tol": 16.0}
    spread = ((-1.8, -1.2), (0.3, 0.9), (1.2, 6.0), (11.0, 20.0))
    return [
        unary("lgamma", sp.gammaln, ((0.2, 6.0), (-1.8, -1.2)), **REAL, **whole),
        unary("digamma", sp.digamma, spread, dtypes=FLOATS, oracle=False, **whole),
        Op(
            "polygamma",
            polygamma,
            lambda g: [
                S("trigamma", 1, g.within(3, 4, segments=((0.4, 6.0), (11.0, 14.0)))),
                S("second", 2, g.within(4, segments=((0.4, 6.0),))),
                S("third", 3, g.within(2, 2, segments=((0.8, 6.0),))),
                S("digamma", 0, g.positive(3)),
                S("0d", 1, g.positive()),
                S("empty", 1, np.ones((0, 2))),
            ],
            method=False,
            out=True,
            tol=64.0,
            aliases=("special_polygamma",),
            oracle=False,  # the trigamma of PyTorch has nine digits
            large=lambda g: S("large", 1, g.within(40, 977, segments=((0.4, 6.0),))),
            **FLOAT,
        ),
        Op(
            "mvlgamma",
            lambda x, p: (
                sp.multigammaln(x, p)
                if np.ndim(x) == 0
                else sum(sp.gammaln(x - 0.5 * i) for i in range(p))
                + p * (p - 1) / 4 * np.log(np.pi)
            ),
            lambda g: [
                S("three", g.within(3, 2, segments=((1.6, 5.0),)), 3),
                S("one", g.positive(3), 1),
                S("0d", g.within(segments=((1.6, 5.0),)), 2),
            ],
            inplace=True,
            out=True,
            tol=32.0,
            aliases=("special_multigammaln",),
            **FLOAT,
        ),
        Op(
            "special_zeta",
            lambda s, q: sp.zeta(s, q),
            lambda g: [
                S("number", 2.5, g.within(3, 4, segments=((0.4, 6.0), (11.0, 14.0)))),
                S("whole", 3, g.positive(4)),
                S("0d", 4, g.positive()),
                S("empty", 2, np.ones((0, 2))),
            ],
            method=False,
            out=True,
            tol=64.0,
            oracle=False,  # PyTorch takes the derivative at another, lower accuracy
            **FLOAT,
        ),
    ]


def heaviside(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.heaviside(a, b)


def binary_rows() -> list[Op]:
    ints: dict[str, Any] = {"special": False, "grad": False, "scalar": None}
    gamma: dict[str, Any] = {"method": False, "inplace": False, "special": False}
    small = ((-2.0, 2.0),)
    positive = ((0.4, 2.5),)
    return [
        binary("copysign", np.copysign, extra=lambda g: [S("number", g.nonzero(3), -1.0)], **REAL),
        binary("heaviside", heaviside, scalar=None, special=False, grad=False, dtypes=NUMERIC),
        binary(
            "nextafter", np.nextafter, special=False, scalar=None, second=False, dtypes=("float64",)
        ),
        binary("logaddexp", np.logaddexp, small, small, scalar=None, special=False, **FLOAT),
        binary("logaddexp2", np.logaddexp2, small, small, scalar=None, special=False, **FLOAT),
        binary("xlogy", sp.xlogy, b=positive, aliases=("special_xlogy",), **REAL, special=False),
        binary("special_xlog1py", sp.xlog1py, b=positive, result="float", **gamma),
        binary("gcd", np.gcd, dtypes=INTS, int_range=(-12, 12), **ints),
        binary("lcm", np.lcm, dtypes=INTS, int_range=(-7, 7), **ints),
        binary(
            "ldexp",
            lambda a, b: a * np.exp2(b),
            small,
            small,
            scalar=None,
            special=False,
            **FLOAT,
        ),
    ]


def ternary_rows() -> list[Op]:
    return [
        Op(
            "addcmul",
            lambda x, a, b, value=1: x + value * a * b,
            lambda g: [
                S("same", g.normal(3, 4), g.normal(3, 4), g.normal(3, 4)),
                S("value", g.normal(3, 4), g.normal(4), g.normal(3, 1), value=-1.5),
                S("grow", g.normal(), g.normal(2, 3), g.normal(3), value=2.0),
                S("0d", g.normal(), g.normal(), g.normal()),
                S("empty", np.ones((0, 2)), np.ones((0, 2)), np.ones((1, 2))),
            ],
            inplace=True,
            out=True,
            dtypes=NUMERIC,
            large=lambda g: S("large", g.normal(301, 977), g.normal(301, 977), g.normal(977)),
        ),
        Op(
            "addcdiv",
            lambda x, a, b, value=1: x + value * a / b,
            lambda g: [
                S("same", g.normal(3, 4), g.normal(3, 4), g.nonzero(3, 4)),
                S("value", g.normal(3, 4), g.normal(4), g.nonzero(3, 1), value=-1.5),
                S("0d", g.normal(), g.normal(), g.nonzero()),
                S("empty", np.ones((0, 2)), np.ones((0, 2)), np.ones((1, 2))),
            ],
            inplace=True,
            out=True,
            large=lambda g: S("large", g.normal(301, 977), g.normal(301, 977), g.nonzero(977)),
            **FLOAT,
        ),
        Op(
            "lerp",
            lambda a, b, w: a + w * (b - a),
            lambda g: [
                S("number", g.normal(3, 4), g.normal(3, 4), 0.3),
                S("far", g.normal(3, 4), g.normal(4), 1.7),
                S("tensor", g.normal(3, 4), g.normal(3, 4), g.uniform(3, 4)),
                S("broadcast", g.normal(3, 1), g.normal(4), g.uniform(2, 1, 1)),
                S("0d", g.normal(), g.normal(), g.uniform()),
                S("empty", np.ones((0, 2)), np.ones((0, 2)), 0.5),
            ],
            inplace=True,
            out=True,
            large=lambda g: S("large", g.normal(301, 977), g.normal(977), 0.25),
            **FLOAT,
        ),
    ]


def comparison_rows() -> list[Op]:
    close: dict[str, Any] = {"result": "bool", "grad": False}
    near = np.array([1.0, 1.0 + 1e-7, 1.1, np.nan, np.inf, -np.inf])
    return [
        Op(
            "isclose",
            quiet(np.isclose),
            lambda g: [
                S("edges", near, np.array([1.0, 1.0, 1.0, np.nan, np.inf, np.inf])),
                S("nan", near, near, equal_nan=True),
                S("tolerance", g.normal(3, 4), g.normal(4), rtol=0.5, atol=0.1),
                S("empty", np.ones((0, 2)), np.ones((1, 2))),
            ],
            dtypes=FLOATS,
            dtype_sample="tolerance",
            **close,
        ),
        Op(
            "isin",
            lambda x, t, invert=False: np.isin(x, t, invert=invert),
            lambda g: [
                S("floats", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([2.0, 9.0, 4.0])),
                S("ints", g.ints(3, 4), g.ints(2)),
                S("invert", g.ints(3, 4), g.ints(2), invert=True),
                S("number", np.array([1.0, 2.0]), 2.0),
                S("empty", np.ones((0, 2)), np.ones((1,))),
                S("nothing", np.ones((2,)), np.ones((0,))),
            ],
            method=False,
            **close,
        ),
    ]


def selu(x: np.ndarray) -> np.ndarray:
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return scale * np.where(x > 0, x, alpha * np.expm1(x))


def hardswish(x: np.ndarray) -> np.ndarray:
    return x * np.clip(x + 3, 0, 6) / 6


def activation_rows() -> list[Op]:
    base: dict[str, Any] = {"inplace": False, "out": False, "method": False, "special": False}
    real = {**base, "dtypes": FLOATS}
    pieces = ((-5.0, -3.2), (-2.8, -0.2), (0.2, 2.8), (3.2, 5.0), (6.2, 7.0))
    return [
        unary(
            "celu",
            lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x / alpha)),
            extra=lambda g: [S("alpha", g.nonzero(3, 4), alpha=0.5)],
            **real,
        ),
        unary("selu", selu, **real),
        unary("mish", lambda x: x * np.tanh(np.logaddexp(0, x)), ((-8.0, 25.0),), **real),
        unary("softsign", lambda x: x / (1 + np.abs(x)), **real),
        unary("tanhshrink", lambda x: x - np.tanh(x), **real),
        unary("logsigmoid", lambda x: -np.logaddexp(0, -x), ((-30.0, 30.0),), **real),
        # PyTorch has no second derivative here.
        unary("hardsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6, pieces, oracle=False, **real),
        unary("hardswish", hardswish, pieces, **real),
        unary("relu6", lambda x: np.clip(x, 0, 6), pieces, **real),
        unary(
            "hardtanh",
            lambda x, lo=-1.0, hi=1.0: np.clip(x, lo, hi),
            pieces,
            extra=lambda g: [S("bounds", g.within(3, 4, segments=pieces), -3.0, 3.0)],
            **real,
        ),
    ]


def shrink_rows() -> list[Op]:
    base: dict[str, Any] = {"inplace": False, "out": False, "special": False, "dtypes": FLOATS}
    apart = ((-2.5, -0.8), (-0.4, -0.1), (0.1, 0.4), (0.8, 2.5))
    return [
        unary(
            "hardshrink",
            lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, 0, x),
            apart,
            extra=lambda g: [S("lambd", g.within(3, segments=apart), 0.6)],
            **base,
        ),
        unary(
            "softshrink",
            lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
            apart,
            extra=lambda g: [S("lambd", g.within(3, segments=apart), 0.6)],
            **{**base, "method": False},
        ),
        Op(
            "threshold",
            lambda x, t, v: np.where(x <= t, v, x),
            lambda g: [
                S("2d", g.within(3, 4, segments=apart), 0.6, -7.0),
                S("0d", g.nonzero(), 0.0, 3.0),
                S("empty", np.zeros((0, 3)), 0.0, 1.0),
            ],
            method=False,
            **FLOAT,
        ),
    ]


def prelu(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    if x.ndim > 1:
        w = w.reshape(1, -1, *([1] * (x.ndim - 2)))
    return np.where(x > 0, x, w.reshape(()) * x if w.size == 1 else w * x)


def glu(x: np.ndarray, dim: int = -1) -> np.ndarray:
    a, b = np.split(x, 2, axis=dim)
    return np.asarray(a * sp.expit(b))


def gate_rows() -> list[Op]:
    return [
        Op(
            "prelu",
            prelu,
            lambda g: [
                S("one", g.nonzero(3, 4), g.uniform(1)),
                S("channels", g.nonzero(2, 3, 4), g.uniform(3)),
                S("1d", g.nonzero(5), g.uniform(1)),
                S("0d", g.nonzero(), g.uniform()),
                S("empty", np.zeros((0, 2)), g.uniform(2)),
            ],
            **FLOAT,
        ),
        Op(
            "glu",
            glu,
            lambda g: [
                S("last", g.normal(3, 4)),
                S("first", g.normal(4, 3), 0),
                S("negative", g.normal(2, 6, 3), dim=-2),
                S("1d", g.normal(2)),
                S("empty", np.zeros((0, 4))),
            ],
            method=False,
            **FLOAT,
        ),
        Op(
            "rrelu",
            lambda x, lower=1 / 8, upper=1 / 3: np.where(x > 0, x, x * (lower + upper) / 2),
            lambda g: [S("2d", g.nonzero(3, 4)), S("bounds", g.nonzero(5), 0.2, 0.4)],
            method=False,
            **FLOAT,
        ),
    ]
