"""Softmax and losses: the fused operations, with their composed references."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp

from op_row import FLOATS, Const, Gen, Op, S, Sample


def softmax(x: np.ndarray, dim: int) -> np.ndarray:
    return np.asarray(sp.softmax(x, axis=dim)) if x.size else x


def log_softmax(x: np.ndarray, dim: int) -> np.ndarray:
    return np.asarray(sp.log_softmax(x, axis=dim)) if x.size else x


def reduced(x: np.ndarray, reduction: str) -> Any:
    with np.errstate(all="ignore"):
        return {"mean": lambda: x.mean(), "sum": x.sum, "none": lambda: x}[reduction]()


def nll_loss(
    logp: np.ndarray,
    target: np.ndarray,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """Class scores on dimension 1 (0 for one sample); the mean is weighted by class."""
    single = logp.ndim == 1
    if single:
        logp, target = logp[None], target[None]
    w = np.ones(logp.shape[1]) if weight is None else weight
    valid = target != ignore_index
    safe = np.where(valid, target, 0)
    picked = np.take_along_axis(logp, safe[:, None], axis=1)[:, 0]
    scale = np.where(valid, w[safe], 0.0)
    loss = -picked * scale
    with np.errstate(all="ignore"):
        if reduction == "mean":
            return loss.sum() / scale.sum()
    if reduction == "sum":
        return loss.sum()
    return loss[0] if single else loss


def cross_entropy(
    x: np.ndarray,
    target: np.ndarray,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    axis = 0 if x.ndim == 1 else 1
    logp = log_softmax(x, axis)
    classes = x.shape[axis]
    w = np.ones(classes) if weight is None else weight
    shape = [1] * x.ndim
    shape[axis] = classes
    wide = w.reshape(shape)
    if target.dtype == np.float64:
        soft = target * (1 - label_smoothing) + label_smoothing / classes
        loss = -(soft * logp * wide).sum(axis)
        return loss.sum() / (x.size // classes) if reduction == "mean" else reduced(loss, reduction)
    hard = nll_loss(logp, target, weight, ignore_index=ignore_index, reduction="none")
    valid = target != ignore_index
    smooth = np.where(valid, -(logp * wide).sum(axis), 0.0) / classes
    loss = (1 - label_smoothing) * hard + label_smoothing * smooth
    if reduction != "mean":
        return reduced(loss, reduction)
    with np.errstate(all="ignore"):
        return loss.sum() / np.where(valid, w[np.where(valid, target, 0)], 0.0).sum()


def bce_logits(
    x: np.ndarray,
    t: np.ndarray,
    weight: Any = None,
    *,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    p = 1.0 if pos_weight is None else pos_weight
    loss = p * t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)
    return reduced(loss if weight is None else loss * weight, reduction)


def piecewise(small: Any, large: Any, limit: str, default: float) -> Any:
    """A loss that is `small` of |x - t| up to a limit and `large` beyond it."""

    def call(x: np.ndarray, t: np.ndarray, *, reduction: str = "mean", **kwargs: float) -> Any:
        c = kwargs.get(limit, default)
        d = np.abs(x - t)
        return reduced(np.where(d < c, small(d, c), large(d, c)), reduction)

    return call


def bce(x: np.ndarray, t: np.ndarray, weight: Any = None, *, reduction: str = "mean") -> Any:
    loss = -(t * np.log(x) + (1 - t) * np.log1p(-x))
    return reduced(loss if weight is None else loss * weight, reduction)


def pair_samples(**extra: Any) -> Any:
    """Input and target, nowhere nearer than 0.1 to the points where a loss changes its formula."""

    def samples(g: Gen) -> list[Sample]:
        def near() -> tuple[np.ndarray, np.ndarray]:
            t = g.normal(3, 4)
            return t + g.within(3, 4, segments=((-2.5, -1.1), (-0.4, -0.1), (0.1, 0.4))), t

        return [
            S("mean", *near()),
            S("sum", *near(), reduction="sum"),
            S("none", *near(), reduction="none"),
            *([S("limit", *near(), **extra)] if extra else []),
        ]

    return samples


def later_rows(loss: dict[str, Any]) -> list[Op]:
    half = lambda d, c: 0.5 * d * d  # noqa: E731 - the two formulas side by side
    return [
        Op(
            "l1_loss",
            lambda x, t, *, reduction="mean": reduced(np.abs(x - t), reduction),
            pair_samples(),
            **loss,
        ),
        Op(
            "huber_loss",
            piecewise(half, lambda d, c: c * (d - 0.5 * c), "delta", 1.0),
            pair_samples(delta=0.7),
            **loss,
        ),
        Op(
            "smooth_l1_loss",
            piecewise(lambda d, c: 0.5 * d * d / c, lambda d, c: d - 0.5 * c, "beta", 1.0),
            pair_samples(beta=0.7),
            **loss,
        ),
        Op(
            "binary_cross_entropy",
            bce,
            lambda g: [
                S(name, g.uniform(3, 4, lo=0.1, hi=0.9), g.uniform(3, 4, lo=0.1, hi=0.9), **kw)
                for name, kw in {
                    "mean": {},
                    "sum": {"reduction": "sum"},
                    "none": {"reduction": "none"},
                    "weight": {"weight": Const(g.positive(4))},
                }.items()
            ],
            **loss,
        ),
    ]


def mse(x: np.ndarray, t: np.ndarray, *, reduction: str = "mean") -> Any:
    return reduced((x - t) ** 2, reduction)


def class_samples(g: Gen, scores: Any) -> list[Sample]:
    """Samples that nll_loss and cross_entropy share; `scores` makes their first argument."""
    w = Const(g.positive(4))
    ignored = np.array([1, -100, 3])
    return [
        S("mean", scores(3, 4), g.ints(3, hi=4)),
        S("sum", scores(3, 4), g.ints(3, hi=4), reduction="sum"),
        S("none", scores(3, 4), g.ints(3, hi=4), reduction="none"),
        S("weight", scores(3, 4), g.ints(3, hi=4), weight=w),
        S("weight-none", scores(3, 4), g.ints(3, hi=4), weight=w, reduction="none"),
        S("ignored", scores(3, 4), ignored),
        S("ignored-weight", scores(3, 4), ignored, weight=w),
        S("ignore-index", scores(3, 4), np.array([1, 2, 1]), ignore_index=1, reduction="none"),
        S("one-sample", scores(4), np.array(2)),
        S("images", scores(2, 4, 3), g.ints(2, 3, hi=4)),
    ]


def cross_entropy_samples(g: Gen) -> list[Sample]:
    w = Const(g.positive(4))
    soft = np.asarray(sp.softmax(g.normal(3, 4), axis=1))
    return [
        *class_samples(g, g.normal),
        S("smooth", g.normal(3, 4), g.ints(3, hi=4), label_smoothing=0.1),
        S(
            "smooth-none",
            g.normal(3, 4),
            np.array([1, -100, 3]),
            label_smoothing=0.2,
            reduction="none",
        ),
        S("smooth-wide", g.normal(3, 150), g.ints(3, hi=150), label_smoothing=0.2),
        S("smooth-images", g.normal(2, 4, 3), g.ints(2, 3, hi=4), label_smoothing=0.2),
        S("smooth-one", g.normal(4), np.array(2), label_smoothing=0.2),
        S("smooth-sum", g.normal(3, 4), g.ints(3, hi=4), label_smoothing=0.3, reduction="sum"),
        S("smooth-weight", g.normal(3, 4), np.array([1, -100, 3]), weight=w, label_smoothing=0.2),
        S("soft", g.normal(3, 4), soft),
        S("soft-weight", g.normal(3, 4), soft, weight=w, reduction="none"),
        S("soft-smooth", g.normal(3, 4), soft, label_smoothing=0.1),
        S("large-logits", np.array([[1e3, -1e3, 0.0, 1.0]]), np.array([1])),
    ]


def bce_samples(g: Gen) -> list[Sample]:
    t = g.uniform(3, 4, lo=0.1, hi=0.9)
    return [
        S("mean", g.nonzero(3, 4), t),
        S("sum", g.nonzero(3, 4), t, reduction="sum"),
        S("none", g.nonzero(3, 4), t, reduction="none"),
        S("weight", g.nonzero(3, 4), t, weight=Const(g.positive(4))),
        S("pos-weight", g.nonzero(3, 4), t, pos_weight=Const(g.positive(4)), reduction="none"),
        S(
            "both",
            g.nonzero(3, 4),
            t,
            weight=Const(g.positive(3, 1)),
            pos_weight=Const(g.positive(4)),
        ),
        S("0d", g.nonzero(), np.array(0.3)),
        S("large-logits", np.array([1e3, -1e3, 50.0]), np.array([0.25, 0.5, 1.0])),
    ]


def softmax_samples(g: Gen) -> list[Sample]:
    return [
        S("last", g.normal(3, 4), dim=-1),
        S("first", g.normal(3, 4), dim=0),
        S("middle", g.normal(2, 3, 2), dim=1),
        S("1d", g.normal(5), dim=0),
        S("0d", g.normal(), dim=0),
        S("one", g.normal(3, 1), dim=1),
        S("large-values", np.array([[1e3, 1e3 - 1, -1e3]]), dim=1),
        S("empty", np.zeros((0, 3)), dim=1),
    ]


def rows() -> list[Op]:
    def large(g: Gen) -> Sample:
        return S("large", g.normal(512, 300), dim=1)

    loss: dict[str, Any] = {"dtypes": FLOATS, "method": False, "tol": 16.0}
    return [
        *later_rows(loss),
        Op("softmax", softmax, softmax_samples, dtypes=FLOATS, tol=8.0, large=large),
        Op("log_softmax", log_softmax, softmax_samples, dtypes=FLOATS, tol=8.0, large=large),
        Op(
            "nll_loss",
            nll_loss,
            lambda g: class_samples(g, lambda *shape: -g.positive(*shape)),
            large=lambda g: S("large", -g.positive(3000, 100), g.ints(3000, hi=100)),
            **loss,
        ),
        Op(
            "cross_entropy",
            cross_entropy,
            cross_entropy_samples,
            large=lambda g: S("large", g.normal(3000, 100), g.ints(3000, hi=100)),
            **loss,
        ),
        Op(
            "mse_loss",
            mse,
            lambda g: [
                S("mean", g.normal(3, 4), g.normal(3, 4)),
                S("sum", g.normal(3, 4), g.normal(3, 4), reduction="sum"),
                S("none", g.normal(3, 4), g.normal(3, 4), reduction="none"),
                S("0d", g.normal(), g.normal()),
            ],
            large=lambda g: S("large", g.normal(700, 500), g.normal(700, 500)),
            **loss,
        ),
        Op(
            "binary_cross_entropy_with_logits",
            bce_logits,
            bce_samples,
            large=lambda g: S("large", g.normal(700, 500), g.uniform(700, 500, lo=0.0)),
            **loss,
        ),
    ]
