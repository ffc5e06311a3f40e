"""Losses of distributions, margins and sequences, with references in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_row import FLOATS, Const, Gen, Op, S, Sample
from op_samples.loss import reduced

REDUCTIONS: tuple[dict[str, Any], ...] = ({}, {"reduction": "sum"}, {"reduction": "none"})


def signs(g: Gen, *shape: int) -> Const:
    return Const(np.where(g.bools(*shape), 1.0, -1.0))


# --- distributions --------------------------------------------------------------------------------


def kl_div(
    x: np.ndarray, t: np.ndarray, *, reduction: str = "mean", log_target: bool = False
) -> Any:
    loss = np.exp(t) * (t - x) if log_target else t * (np.log(t) - x)
    return loss.sum() / len(loss) if reduction == "batchmean" else reduced(loss, reduction)


def poisson(
    x: np.ndarray,
    t: np.ndarray,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    loss = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    if full:
        stirling = t * np.log(t) - t + 0.5 * np.log(2 * np.pi * t)
        loss = loss + np.where(t > 1, stirling, 0.0)
    return reduced(loss, reduction)


def gaussian(
    x: np.ndarray,
    t: np.ndarray,
    var: np.ndarray,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    if np.ndim(var) and var.ndim < x.ndim:
        var = var[..., None]
    var = np.maximum(var, eps)
    loss = 0.5 * (np.log(var) + (x - t) ** 2 / var) + (0.5 * np.log(2 * np.pi) if full else 0.0)
    return reduced(loss, reduction)


def kl_samples(g: Gen) -> list[Sample]:
    def pair() -> tuple[np.ndarray, np.ndarray]:
        return -g.positive(3, 4), g.uniform(3, 4, lo=0.1, hi=0.9)

    return [
        S("batchmean", *pair(), reduction="batchmean"),
        S("sum", *pair(), reduction="sum"),
        S("none", *pair(), reduction="none"),
        S("log-target", g.normal(3, 4), g.normal(3, 4), reduction="sum", log_target=True),
        S("log-each", g.normal(3, 4), g.normal(3, 4), reduction="none", log_target=True),
    ]


def poisson_samples(g: Gen) -> list[Sample]:
    counts = g.within(3, 4, segments=((0.3, 0.9), (1.2, 5.0)))
    return [
        *(S(f"log-{i}", g.normal(3, 4), counts, **kw) for i, kw in enumerate(REDUCTIONS)),
        S("plain", g.positive(3, 4), counts, log_input=False, eps=0.1),
        S("full", g.normal(3, 4), counts, full=True),
        S("both", g.positive(3, 4), counts, log_input=False, full=True, reduction="none"),
    ]


def gaussian_samples(g: Gen) -> list[Sample]:
    def pair() -> tuple[np.ndarray, np.ndarray]:
        return g.normal(3, 4), g.normal(3, 4)

    return [
        *(S(f"each-{i}", *pair(), g.positive(3, 4), **kw) for i, kw in enumerate(REDUCTIONS)),
        S("rows", *pair(), g.positive(3)),
        S("column", *pair(), g.positive(3, 1), full=True),
        S("number", *pair(), 0.7, reduction="none"),
        S("limited", *pair(), Const(g.positive(3, 4)), eps=1.1),
    ]


# --- margins --------------------------------------------------------------------------------------


def soft_margin(x: np.ndarray, t: np.ndarray, *, reduction: str = "mean") -> Any:
    return reduced(np.logaddexp(0, -t * x), reduction)


def hinge(x: np.ndarray, t: np.ndarray, *, margin: float = 1.0, reduction: str = "mean") -> Any:
    return reduced(np.where(t == 1, x, np.maximum(0, margin - x)), reduction)


def ranking(
    x: np.ndarray, y: np.ndarray, t: np.ndarray, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    return reduced(np.maximum(0, margin - t * (x - y)), reduction)


def cosine(
    x: np.ndarray, y: np.ndarray, t: np.ndarray, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    lengths = np.sqrt(((x * x).sum(-1) + 1e-12) * ((y * y).sum(-1) + 1e-12))
    c = (x * y).sum(-1) / lengths
    return reduced(np.where(t == 1, 1 - c, np.maximum(0, c - margin)), reduction)


def triplet(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    *,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
    **kwargs: float,
) -> Any:
    order, eps = kwargs.get("p", 2.0), kwargs.get("eps", 1e-6)

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(a - b + eps, order, axis=-1))

    far = np.minimum(distance(x, z), distance(y, z)) if swap else distance(x, z)
    return reduced(np.maximum(0, distance(x, y) - far + margin), reduction)


def multi_margin(
    x: np.ndarray,
    target: np.ndarray,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
) -> Any:
    rows, t = np.atleast_2d(x), np.atleast_1d(target)
    at = np.take_along_axis(rows, t[:, None], 1)
    gaps = np.maximum(0, margin - at + rows) ** p
    np.put_along_axis(gaps, t[:, None], 0.0, 1)
    loss = gaps.sum(1) / rows.shape[1] * (1 if weight is None else weight[t])
    return reduced(loss if x.ndim == 2 else loss.reshape(()), reduction)


def multilabel_margin(x: np.ndarray, target: np.ndarray, *, reduction: str = "mean") -> Any:
    rows, labels = np.atleast_2d(x), np.atleast_2d(target)
    losses = []
    for row, line in zip(rows, labels, strict=True):
        own = list(line[: list(line).index(-1)] if -1 in line else line)
        rest = [j for j in range(len(row)) if j not in own]
        losses.append(sum(max(0.0, 1 - row[t] + row[j]) for t in own for j in rest) / len(row))
    loss = np.array(losses)
    return reduced(loss if x.ndim == 2 else loss.reshape(()), reduction)


def multilabel_soft_margin(
    x: np.ndarray, t: np.ndarray, weight: Any = None, *, reduction: str = "mean"
) -> Any:
    loss = t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)
    return reduced((loss if weight is None else loss * weight).mean(-1), reduction)


def far_from_kinks(g: Gen, rows: int, classes: int) -> np.ndarray:
    """Scores no two of which differ by anything near a margin of 0.5 or 1."""
    values = np.arange(rows * classes) * 0.37
    return np.asarray(g.rng.permutation(values).reshape(rows, classes))


def multi_margin_samples(g: Gen) -> list[Sample]:
    t = g.ints(3, hi=5)
    return [
        *(S(f"one-{i}", far_from_kinks(g, 3, 5), t, **kw) for i, kw in enumerate(REDUCTIONS)),
        S("squared", far_from_kinks(g, 3, 5), t, p=2),
        S("margin", far_from_kinks(g, 3, 5), t, margin=0.5, reduction="none"),
        S("weight", far_from_kinks(g, 3, 5), t, p=2, weight=Const(g.positive(5))),
        S("vector", far_from_kinks(g, 1, 5)[0], np.array(2), reduction="none"),
    ]


def multilabel_samples(g: Gen) -> list[Sample]:
    t = np.array([[3, 0, -1, 1, 2], [4, -1, 0, 0, 0], [-1, 0, 1, 2, 3]])
    return [
        *(S(f"rows-{i}", far_from_kinks(g, 3, 5), t, **kw) for i, kw in enumerate(REDUCTIONS)),
        S("full", far_from_kinks(g, 1, 3), np.array([[2, 0, 1]])),
        S("vector", far_from_kinks(g, 1, 5)[0], t[0], reduction="none"),
    ]


def soft_label_samples(g: Gen) -> list[Sample]:
    t = g.uniform(3, 4, lo=0.1, hi=0.9)
    return [
        *(S(f"rows-{i}", g.normal(3, 4), t, **kw) for i, kw in enumerate(REDUCTIONS)),
        S("weight", g.normal(3, 4), t, weight=Const(g.positive(4))),
        S("vector", g.normal(4), t[0], reduction="none"),
    ]


def triplet_samples(g: Gen) -> list[Sample]:
    def three() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return g.normal(4, 3), g.normal(4, 3) + 2.0, g.normal(4, 3)

    return [
        *(S(f"rows-{i}", *three(), **kw) for i, kw in enumerate(REDUCTIONS)),
        S("swap", *three(), swap=True, reduction="none"),
        S("cube", *three(), p=3.0, margin=0.3, eps=1e-3),
        S("vector", g.normal(3), g.normal(3) + 2.0, g.normal(3)),
    ]


# --- sequences ------------------------------------------------------------------------------------


def ctc(
    log_probs: np.ndarray,
    targets: np.ndarray,
    inputs: Any,
    lengths: Any,
    *,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """The forward recursion in probabilities."""
    one = log_probs.ndim == 2
    x = np.exp(log_probs[:, None] if one else log_probs)
    losses, begin = [], 0
    for b, (steps, length) in enumerate(zip(inputs, lengths, strict=True)):
        own = targets[b, :length] if targets.ndim == 2 else targets[begin : begin + length]
        begin += length
        states = [blank]
        for label in own:
            states += [int(label), blank]
        alpha = np.zeros(len(states) + 2)
        alpha[2] = x[0, b, blank]
        alpha[3:4] = x[0, b, states[1]] if length else 0.0
        for t in range(1, steps):
            before, alpha = alpha, np.zeros_like(alpha)
            for s, label in enumerate(states):
                skips = s > 1 and label != blank and label != states[s - 2]
                paths = before[s + 2] + before[s + 1] + (before[s] if skips else 0.0)
                alpha[s + 2] = paths * x[t, b, label]
        with np.errstate(divide="ignore"):
            losses.append(-np.log(alpha[-1] + (alpha[-2] if length else 0.0)))
    loss = np.array(losses)
    if zero_infinity:
        loss = np.where(np.isinf(loss), 0.0, loss)
    if reduction == "mean":
        return (loss / np.maximum(1, lengths)).mean()
    return reduced(loss[0] if one else loss, reduction)


def ctc_samples(g: Gen) -> list[Sample]:
    def log_probs(*shape: int) -> np.ndarray:
        x = g.normal(*shape)
        return np.asarray(x - np.log(np.exp(x).sum(-1, keepdims=True)))

    padded = np.array([[1, 2, 2], [3, 1, 0]])
    joined = np.array([1, 2, 2, 3, 1])
    lengths = {"mean": {}, "sum": {"reduction": "sum"}, "none": {"reduction": "none"}}
    return [
        *(S(k, log_probs(6, 2, 4), padded, (6, 5), (3, 2), **kw) for k, kw in lengths.items()),
        S("joined", log_probs(6, 2, 4), joined, (6, 5), (3, 2)),
        S("blank", log_probs(5, 2, 4), np.array([[0, 1], [2, 2]]), (5, 5), (2, 2), blank=3),
        S("one", log_probs(4, 3), np.array([1, 2]), (4,), (2,), reduction="none"),
        S("empty-target", log_probs(4, 2, 3), np.array([[1], [0]]), (4, 3), (1, 0)),
        S("too-long", log_probs(3, 2, 4), padded, (3, 3), (3, 2), zero_infinity=True),
    ]


def rows() -> list[Op]:
    loss: dict[str, Any] = {"dtypes": FLOATS, "method": False, "tol": 16.0}

    def large(g: Gen) -> Sample:
        return S("large", g.normal(700, 500), signs(g, 700, 500))

    return [
        Op("kl_div", kl_div, kl_samples, **loss),
        Op("poisson_nll_loss", poisson, poisson_samples, **loss),
        Op("gaussian_nll_loss", gaussian, gaussian_samples, **loss),
        Op(
            "soft_margin_loss",
            soft_margin,
            lambda g: [
                S(f"rows-{i}", g.normal(3, 4), signs(g, 3, 4), **kw)
                for i, kw in enumerate(REDUCTIONS)
            ],
            large=large,
            **loss,
        ),
        Op(
            "hinge_embedding_loss",
            hinge,
            lambda g: [
                S(
                    f"rows-{i}",
                    g.within(3, 4, segments=((0.1, 0.6), (1.2, 3.0))),
                    signs(g, 3, 4),
                    **kw,
                )
                for i, kw in enumerate((*REDUCTIONS, {"margin": 0.9}))
            ],
            large=large,
            **loss,
        ),
        Op(
            "margin_ranking_loss",
            ranking,
            lambda g: [
                S(f"rows-{i}", g.distinct(3, 4), g.distinct(3, 4) + 0.08, signs(g, 3, 4), **kw)
                for i, kw in enumerate((*REDUCTIONS, {"margin": 0.1}))
            ],
            **loss,
        ),
        Op(
            "cosine_embedding_loss",
            cosine,
            lambda g: [
                *(
                    S(f"rows-{i}", g.nonzero(6, 4), g.nonzero(6, 4), signs(g, 6), **kw)
                    for i, kw in enumerate((*REDUCTIONS, {"margin": 0.3}))
                ),
                S("pair", g.nonzero(4), g.nonzero(4), signs(g), margin=-0.9),
            ],
            **loss,
        ),
        Op("triplet_margin_loss", triplet, triplet_samples, **loss),
        Op(
            "multi_margin_loss",
            multi_margin,
            multi_margin_samples,
            oracle=False,  # PyTorch has no second derivative
            large=lambda g: S("large", far_from_kinks(g, 300, 200), g.ints(300, hi=200)),
            **loss,
        ),
        Op(
            "multilabel_margin_loss",
            multilabel_margin,
            multilabel_samples,
            oracle=False,
            large=lambda g: S(
                "large", far_from_kinks(g, 300, 200), g.ints(300, 200, lo=-1, hi=200)
            ),
            **loss,
        ),
        Op("multilabel_soft_margin_loss", multilabel_soft_margin, soft_label_samples, **loss),
        # PyTorch's gradient is that of log_softmax and the loss together.
        Op(
            "ctc_loss",
            ctc,
            ctc_samples,
            second=False,
            oracle=False,
            large=lambda g: S(
                "large", -g.positive(60, 8, 20), g.ints(8, 12, lo=1, hi=20), (60,) * 8, (12,) * 8
            ),
            **loss,
        ),
    ]
