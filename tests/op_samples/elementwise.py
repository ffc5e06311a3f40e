"""Unary, binary and ternary elementwise operations, comparisons and logic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.special as sp

from op_row import DTYPES, FLOATS, Gen, Op, S, Sample
from support import INTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDE = ((-2.5, -0.15), (0.15, 2.5))
POSITIVE = ((0.4, 2.5),)
INT_OR_BOOL = ("bool", *INTS)


def quiet(f: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's warnings about 0/0 and the like are no news: those values are what we compare."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(*args, **kwargs)

    return call


def unary(
    name: str,
    ref: Callable[..., Any],
    segments: Sequence[tuple[float, float]] = WIDE,
    extra: Callable[[Gen], list[Sample]] | None = None,
    **flags: Any,
) -> Op:
    def samples(g: Gen) -> list[Sample]:
        out = [
            S("2d", g.within(3, 4, segments=segments)),
            S("1d", g.within(5, segments=segments)),
            S("0d", g.within(segments=segments)),
            S("3d", g.within(2, 1, 3, segments=segments)),
            S("empty", np.zeros((0, 3)) + segments[0][0]),
        ]
        return out + (extra(g) if extra else [])

    def large(g: Gen) -> Sample:
        return S("large", g.within(301, 977, segments=segments))

    flags.setdefault("inplace", True)
    flags.setdefault("out", True)
    flags.setdefault("special", True)
    return Op(name, quiet(ref), samples, large=large, **flags)


def binary(
    name: str,
    ref: Callable[..., Any],
    a: Sequence[tuple[float, float]] = WIDE,
    b: Sequence[tuple[float, float]] = WIDE,
    extra: Callable[[Gen], list[Sample]] | None = None,
    scalar: float | None = 1.7,
    **flags: Any,
) -> Op:
    def samples(g: Gen) -> list[Sample]:
        out = [
            S("same", g.within(3, 4, segments=a), g.within(3, 4, segments=b)),
            S("broadcast", g.within(3, 1, segments=a), g.within(1, 4, segments=b)),
            S("rank", g.within(2, 2, 3, segments=a), g.within(3, segments=b)),
            S("grow", g.within(3, segments=a), g.within(2, 1, 3, segments=b)),
            S("0d-left", g.within(segments=a), g.within(4, segments=b)),
            S("0d-both", g.within(segments=a), g.within(segments=b)),
            S("empty", np.ones((2, 0)), np.ones((1, 1))),
        ]
        if scalar is not None:
            out.append(S("scalar", g.within(3, 2, segments=a), scalar))
        return out + (extra(g) if extra else [])

    def large(g: Gen) -> Sample:
        return S("large", g.within(301, 977, segments=a), g.within(977, segments=b))

    flags.setdefault("inplace", True)
    flags.setdefault("out", True)
    flags.setdefault("special", True)
    return Op(name, quiet(ref), samples, large=large, **flags)


def gelu(x: np.ndarray, approximate: str = "none") -> np.ndarray:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x * sp.ndtr(x)


def sign(x: np.ndarray) -> np.ndarray:
    """PyTorch's: 0 for NaN."""
    return np.where(np.isnan(x), 0, np.sign(x)).astype(np.asarray(x).dtype)


def softplus(x: np.ndarray, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(x))


def round_ref(x: np.ndarray, *, decimals: int = 0) -> np.ndarray:
    return np.round(x, decimals)


def clamp(x: np.ndarray, min: Any = None, max: Any = None) -> np.ndarray:
    if min is not None:
        x = np.maximum(x, min)
    return x if max is None else np.minimum(x, max)


def divide(a: Any, b: Any, *, rounding_mode: str | None = None) -> np.ndarray:
    if rounding_mode == "floor":
        return np.floor_divide(a, b)
    q = np.true_divide(a, b)
    if rounding_mode == "trunc":
        whole = np.asarray(a).dtype.kind in "iu" and np.asarray(b).dtype.kind in "iu"
        return np.trunc(q).astype(np.int64) if whole else np.trunc(q)
    return q


def power(a: Any, b: Any) -> np.ndarray:
    return np.power(a, b)


def rows() -> list[Op]:
    return [*unary_rows(), *activation_rows(), *binary_rows(), *logic_rows()]


def unary_rows() -> list[Op]:
    numeric = tuple(d for d in DTYPES if d != "bool")
    real = {"result": "float"}
    away = ((-2.4, -2.1), (-0.9, -0.6), (0.1, 0.4), (1.1, 1.4), (1.6, 1.9))
    steps: dict[str, Any] = {"dtypes": numeric, "second": False}
    return [
        unary("neg", np.negative, dtypes=numeric, aliases=("negative",)),
        unary("abs", np.abs, dtypes=numeric, aliases=("absolute",)),
        unary("sign", sign, dtypes=numeric, second=False, aliases=("sgn",)),
        unary("exp", np.exp, **real),
        unary("expm1", np.expm1, **real),
        unary("log", np.log, POSITIVE, **real),
        unary("log1p", np.log1p, ((-0.7, 2.5),), **real),
        unary("log2", np.log2, POSITIVE, **real),
        unary("log10", np.log10, POSITIVE, **real),
        unary("sqrt", np.sqrt, POSITIVE, **real),
        unary("rsqrt", lambda x: 1 / np.sqrt(x), POSITIVE, **real),
        unary("square", np.square, dtypes=numeric),
        unary("reciprocal", lambda x: 1 / x, ((-2.5, -0.4), (0.4, 2.5)), **real),
        unary("sin", np.sin, **real),
        unary("cos", np.cos, **real),
        unary("tan", np.tan, ((-1.2, 1.2),), **real),
        unary("asin", np.arcsin, ((-0.9, 0.9),), aliases=("arcsin",), **real),
        unary("acos", np.arccos, ((-0.9, 0.9),), aliases=("arccos",), **real),
        unary("atan", np.arctan, aliases=("arctan",), **real),
        unary("sinh", np.sinh, **real),
        unary("cosh", np.cosh, **real),
        unary("tanh", np.tanh, **real),
        unary("erf", sp.erf, **real),
        unary("erfc", sp.erfc, tol=32.0, **real),
        unary("exp2", np.exp2, **real),
        unary("asinh", np.arcsinh, aliases=("arcsinh",), **real),
        unary("acosh", np.arccosh, ((1.2, 3.0),), aliases=("arccosh",), **real),
        unary("atanh", np.arctanh, ((-0.8, 0.8),), aliases=("arctanh",), **real),
        unary("floor", np.floor, away, **steps),
        unary("ceil", np.ceil, away, **steps),
        unary("trunc", np.trunc, away, aliases=("fix",), **steps),
        unary(
            "round",
            round_ref,
            away,
            extra=lambda g: [
                S("ties", np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]) + 1e-3),
                S("decimals", g.within(4, segments=((0.11, 0.14), (0.16, 0.19))), decimals=1),
            ],
            **steps,
        ),
        unary("isnan", np.isnan, result="bool", grad=False, inplace=False, out=False),
        unary("isinf", np.isinf, result="bool", grad=False, inplace=False, out=False),
        unary("isfinite", np.isfinite, result="bool", grad=False, inplace=False, out=False),
    ]


def activation_rows() -> list[Op]:
    real: dict[str, Any] = {"dtypes": FLOATS}
    functional: dict[str, Any] = {"inplace": False, "out": False, "method": False, **real}
    return [
        unary("sigmoid", sp.expit, result="float"),
        unary(
            "relu",
            lambda x: np.where(np.isnan(x), x, np.maximum(x, 0)).astype(np.asarray(x).dtype),
            out=False,
            dtypes=tuple(d for d in DTYPES if d != "bool"),
        ),
        unary(
            "gelu",
            gelu,
            extra=lambda g: [
                S("tanh", g.normal(3, 4), approximate="tanh"),
                S("none", g.normal(4), approximate="none"),
            ],
            **{**functional, "special": False},
        ),
        unary(
            "elu",
            elu,
            extra=lambda g: [S("alpha", g.nonzero(3, 4), alpha=0.3)],
            **functional,
        ),
        unary(
            "leaky_relu",
            lambda x, negative_slope=0.01: np.where(x > 0, x, x * negative_slope),
            extra=lambda g: [S("slope", g.nonzero(3, 4), negative_slope=0.3)],
            **functional,
        ),
        unary("silu", lambda x: x * sp.expit(x), **{**functional, "special": False}),
        unary(
            "softplus",
            softplus,
            extra=lambda g: [
                S("beta", g.normal(3, 4), beta=2.0, threshold=5.0),
                S("linear", np.array([25.0, 30.0, -30.0, 19.0])),
            ],
            **functional,
        ),
    ]


def binary_rows() -> list[Op]:
    numeric = tuple(d for d in DTYPES if d != "bool")
    apart_a, apart_b = ((0.6, 2.5),), ((-2.5, 0.4),)
    return [
        binary(
            "add",
            lambda a, b, alpha=1: np.add(a, b if alpha == 1 else alpha * b),
            extra=lambda g: [S("alpha", g.normal(3, 2), g.normal(2), alpha=2.5)],
        ),
        binary(
            "sub",
            lambda a, b, alpha=1: a - alpha * b,
            extra=lambda g: [S("alpha", g.normal(3, 2), g.normal(2), alpha=-1.5)],
            dtypes=numeric,
            int_range=(-4, 5),
            aliases=("subtract",),
        ),
        binary("mul", np.multiply, aliases=("multiply",)),
        binary(
            "div",
            divide,
            extra=lambda g: [
                S(
                    "trunc",
                    g.uniform(3, lo=5.1, hi=5.4),
                    np.array([2.0, -3.0, 1.5]),
                    rounding_mode="trunc",
                ),
                S(
                    "floor",
                    g.uniform(3, lo=5.1, hi=5.4),
                    np.array([2.0, -3.0, 1.5]),
                    rounding_mode="floor",
                ),
            ],
            result="float",
            int_range=(1, 5),
            aliases=("divide", "true_divide"),
        ),
        binary(
            "floor_divide",
            np.floor_divide,
            ((5.1, 5.4),),
            ((1.1, 1.2), (-3.2, -3.1)),
            grad=False,
            dtypes=numeric,
            int_range=(1, 5),
            special=False,
        ),
        binary(
            "remainder",
            np.remainder,
            ((5.1, 5.4), (-5.4, -5.1)),
            ((1.9, 2.0), (-3.2, -3.1)),
            dtypes=numeric,
            int_range=(1, 5),
            special=False,
        ),
        binary(
            "pow",
            power,
            POSITIVE,
            WIDE,
            extra=lambda g: [
                S("square", g.nonzero(3, 2), 2),
                S("cube", g.nonzero(3), 3),
                S("root", g.positive(3), 0.5),
                S("inverse", g.nonzero(3), -1),
                S("zero", g.nonzero(3), 0),
                S("one", g.nonzero(3), 1),
                S("int-exponents", g.nonzero(4), np.array([0, 1, 2, 3])),
                S("scalar-base", 2.5, g.normal(4)),
            ],
            dtypes=numeric,
            tol=8.0,
        ),
        binary("atan2", np.arctan2, result="float", aliases=("arctan2",), scalar=None),
        binary("maximum", np.maximum, apart_a, apart_b, scalar=None, inplace=False),
        binary("minimum", np.minimum, apart_a, apart_b, scalar=None, inplace=False),
        binary("fmax", np.fmax, apart_a, apart_b, scalar=None, inplace=False),
        binary("fmin", np.fmin, apart_a, apart_b, scalar=None, inplace=False),
        binary(
            "fmod",
            np.fmod,
            ((5.1, 5.4), (-5.4, -5.1)),
            ((1.9, 2.0), (-3.2, -3.1)),
            dtypes=numeric,
            int_range=(1, 5),
        ),
        binary("hypot", np.hypot, dtypes=FLOATS, scalar=None),
        binary(
            "rsub",
            lambda a, b, alpha=1: b - alpha * a,
            extra=lambda g: [S("alpha", g.normal(3, 2), g.normal(2), alpha=2.5)],
            dtypes=numeric,
            int_range=(-4, 5),
            inplace=False,
            out=False,
            method=False,
        ),
        Op(
            "where",
            quiet(np.where),
            lambda g: [
                S("same", g.bools(3, 4), g.normal(3, 4), g.normal(3, 4)),
                S("broadcast", g.bools(3, 1), g.normal(1, 4), g.normal()),
                S("scalar", g.bools(3, 2), g.normal(3, 2), 0.5),
                S("0d", np.array(True), g.normal(), g.normal()),
                S("empty", np.zeros((0, 2), dtype=bool), np.ones((0, 2)), np.ones((1, 2))),
            ],
            method=False,
            large=lambda g: S("large", g.bools(301, 977), g.normal(301, 977), g.normal(977)),
        ),
        Op(
            "clamp",
            quiet(clamp),
            lambda g: [
                S("both", g.distinct(3, 4), -0.55, 0.65),
                S("min", g.distinct(5), min=0.02),
                S("max", g.distinct(5), max=0.02),
                S("tensors", g.distinct(3, 4), g.uniform(4) - 5, g.uniform(3, 1) + 5),
                S("tensor-min", g.distinct(4), min=g.uniform(4) / 100),
                S("0d", g.uniform(), -2.0, 2.0),
                S("empty", np.zeros((0,)), 0.0, 1.0),
            ],
            inplace=True,
            out=True,
            dtypes=numeric,
            aliases=("clip",),
            dtype_sample="tensors",
            large=lambda g: S("large", g.normal(301, 977), -0.5, 0.7),
        ),
        Op(
            "clamp_min",
            lambda x, m: np.maximum(x, m),
            lambda g: [S("scalar", g.distinct(3, 3), 0.11), S("0d", g.uniform(), -2.0)],
            inplace=True,
            out=True,
            dtypes=FLOATS,
        ),
        Op(
            "clamp_max",
            lambda x, m: np.minimum(x, m),
            lambda g: [S("scalar", g.distinct(3, 3), 0.11), S("0d", g.uniform(), 2.0)],
            inplace=True,
            out=True,
            dtypes=FLOATS,
        ),
    ]


def logic_rows() -> list[Op]:
    compare: dict[str, Any] = {"result": "bool", "grad": False, "inplace": True}

    def ties(g: Gen) -> list[Sample]:
        a = g.normal(6)
        return [S("ties", a, np.where(g.bools(6), a, g.normal(6))), S("zeros", a * 0, -a * 0)]

    rows = [
        binary("eq", np.equal, extra=ties, **compare),
        binary("ne", np.not_equal, extra=ties, aliases=("not_equal",), **compare),
        binary("lt", np.less, extra=ties, aliases=("less",), **compare),
        binary("le", np.less_equal, extra=ties, aliases=("less_equal",), **compare),
        binary("gt", np.greater, extra=ties, aliases=("greater",), **compare),
        binary("ge", np.greater_equal, extra=ties, aliases=("greater_equal",), **compare),
        binary("logical_and", np.logical_and, extra=ties, scalar=None, **compare),
        binary("logical_or", np.logical_or, extra=ties, scalar=None, **compare),
        binary("logical_xor", np.logical_xor, extra=ties, scalar=None, **compare),
        unary("logical_not", np.logical_not, **compare),
    ]
    bits: dict[str, Any] = {
        "dtypes": INT_OR_BOOL,
        "grad": False,
        "special": False,
        "int_range": (-7, 7),
    }
    shifts = {**bits, "dtypes": INTS, "int_range": (0, 3)}
    rows += [
        binary("bitwise_and", np.bitwise_and, scalar=None, **bits),
        binary("bitwise_or", np.bitwise_or, scalar=None, **bits),
        binary("bitwise_xor", np.bitwise_xor, scalar=None, **bits),
        unary("bitwise_not", np.bitwise_not, **bits),
        binary("bitwise_left_shift", np.left_shift, scalar=None, **shifts),
        binary("bitwise_right_shift", np.right_shift, scalar=None, **shifts),
    ]
    return rows
