"""Normalisation by mean and variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_row import FLOATS, Const, Gen, Op, S, Sample

Array = np.ndarray


def channelwise(values: Any, x: Array) -> Any:
    if values is None:
        return None
    return np.asarray(values).reshape(1, -1, *([1] * (x.ndim - 2)))


def affine(unit: Array, weight: Any, bias: Any) -> Array:
    y = unit if weight is None else unit * weight
    return np.asarray(y if bias is None else y + bias)


def standardised(x: Array, axes: Any, eps: float) -> Array:
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(var + eps))


def layer_norm(
    x: Array, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Array:
    return affine(standardised(x, tuple(range(-len(shape), 0)), eps), weight, bias)


def rms_norm(x: Array, shape: Any, weight: Any = None, eps: float | None = None) -> Array:
    axes = tuple(range(-len(shape), 0))
    small = np.finfo(x.dtype if x.dtype == np.float64 else np.float32).eps if eps is None else eps
    return affine(x / np.sqrt((x * x).mean(axes, keepdims=True) + small), weight, None)


def group_norm(
    x: Array, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Array:
    rows = x.reshape(x.shape[0], groups, -1)
    unit = standardised(rows, -1, eps).reshape(x.shape)
    return affine(unit, channelwise(weight, x), channelwise(bias, x))


def instance_norm(
    x: Array, mean: Any = None, var: Any = None, weight: Any = None, bias: Any = None, **kwargs: Any
) -> Array:
    if not kwargs.get("use_input_stats", True):
        return batch_norm(x, mean, var, weight, bias)
    return group_norm(x, x.shape[1], weight, bias)


def batch_norm(
    x: Array,
    mean: Any,
    var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    w, b = channelwise(weight, x), channelwise(bias, x)
    if training:
        return affine(standardised(x, (0, *range(2, x.ndim)), eps), w, b)
    return affine((x - channelwise(mean, x)) / np.sqrt(channelwise(var, x) + eps), w, b)


def batch_samples(g: Gen) -> list[Sample]:
    given = (Const(g.normal(3)), Const(g.positive(3)))
    return [
        S("training", g.normal(4, 3, 2, 3), None, None, g.nonzero(3), g.normal(3), True),
        S("rows", g.normal(5, 3), None, None, g.nonzero(3), g.normal(3), True),
        S("plain", g.normal(3, 2, 5), None, None, training=True, eps=0.1),
        S("weight", g.normal(3, 2, 5), None, None, g.nonzero(2), training=True),
        S("bias", g.normal(3, 2, 5), None, None, None, g.normal(2), True),
        S("given", g.normal(2, 3, 4), *given, g.nonzero(3), g.normal(3)),
        S("given-plain", g.normal(2, 3), *given),
    ]


def rows() -> list[Op]:
    rest: dict[str, Any] = {"dtypes": FLOATS, "method": False, "tol": 64.0}
    return [
        Op(
            "batch_norm",
            batch_norm,
            batch_samples,
            large=lambda g: S(
                "large", g.normal(32, 16, 20, 20), None, None, g.nonzero(16), g.normal(16), True
            ),
            oracle=False,  # torch.batch_norm has other parameters
            **rest,
        ),
        Op(
            "layer_norm",
            layer_norm,
            lambda g: [
                S("affine", g.normal(3, 4), (4,), g.nonzero(4), g.normal(4)),
                S("two", g.normal(2, 3, 4), (3, 4), g.nonzero(3, 4), g.normal(3, 4)),
                S("plain", g.normal(2, 40), (40,), eps=0.1),
                S("weight", g.normal(2, 5), (5,), g.nonzero(5)),
                S("empty", np.zeros((0, 3)), (3,), g.nonzero(3), g.normal(3)),
            ],
            large=lambda g: S("large", g.normal(700, 300), (300,), g.nonzero(300), g.normal(300)),
            **rest,
        ),
        Op(
            "rms_norm",
            rms_norm,
            lambda g: [
                S("weight", g.normal(3, 4), (4,), g.nonzero(4)),
                S("two", g.normal(2, 3, 4), (3, 4), g.nonzero(3, 4), 1e-3),
                S("plain", g.nonzero(2, 40), (40,)),
            ],
            large=lambda g: S("large", g.normal(700, 300), (300,), g.nonzero(300)),
            **rest,
        ),
        Op(
            "group_norm",
            group_norm,
            lambda g: [
                S("affine", g.normal(2, 4, 3), 2, g.nonzero(4), g.normal(4)),
                S("planes", g.normal(2, 4, 2, 3), 4, g.nonzero(4), g.normal(4)),
                S("rows", g.normal(3, 6), 2, g.nonzero(6), g.normal(6)),
                S("plain", g.normal(2, 2, 20), 1, eps=0.1),
            ],
            large=lambda g: S("large", g.normal(32, 16, 20, 20), 4, g.nonzero(16), g.normal(16)),
            **rest,
        ),
        Op(
            "instance_norm",
            instance_norm,
            lambda g: [
                S("affine", g.normal(2, 3, 4), None, None, g.nonzero(3), g.normal(3)),
                S("plain", g.normal(2, 3, 2, 3)),
                S(
                    "given",
                    g.normal(2, 3, 4),
                    Const(g.normal(3)),
                    Const(g.positive(3)),
                    use_input_stats=False,
                ),
            ],
            large=lambda g: S("large", g.normal(32, 16, 20, 20)),
            oracle=False,  # torch.instance_norm has other parameters
            **rest,
        ),
    ]
