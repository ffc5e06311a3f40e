"""Losses as modules beside PyTorch, at extreme values, and with arguments that do not fit."""

from __future__ import annotations

import doctest
import warnings
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import tapegrad as tg
from support import assert_close, run_in_threads, same_bits, tensor
from tapegrad import nn
from tapegrad.nn import functional as F

RNG = np.random.default_rng(7)
LOGITS = [0.0, 1e-6, 1e-3, 1.0, 10.0, 36.0, 88.0, 100.0, 710.0, 1e4, 1e38]


def normal(*shape: int) -> np.ndarray:
    return np.asarray(RNG.standard_normal(shape))


def shares(*shape: int) -> np.ndarray:
    return np.asarray(RNG.uniform(0.05, 0.95, shape))


def signs(*shape: int) -> np.ndarray:
    return np.where(RNG.random(shape) < 0.5, -1.0, 1.0)


def classes(*shape: int, count: int = 4) -> np.ndarray:
    return np.asarray(RNG.integers(0, count, shape))


def logs(*shape: int) -> np.ndarray:
    x = normal(*shape)
    return np.asarray(x - np.log(np.exp(x).sum(1, keepdims=True)))


def one(*shape: int) -> Any:
    return tg.ones(*shape)


WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])
LABELS = np.array([[3, 0, -1, 1], [2, -1, 0, 0], [-1, 0, 1, 2]])

# Name of the module, its arguments, its inputs (of which the first needs a gradient).
CASES: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
    ("L1Loss", {}, (normal(3, 4), normal(3, 4))),
    ("MSELoss", {}, (normal(3, 4), normal(3, 4))),
    ("SmoothL1Loss", {"beta": 0.5}, (normal(3, 4), normal(3, 4))),
    ("SmoothL1Loss", {"beta": 0.0}, (normal(3, 4), normal(3, 4))),
    ("HuberLoss", {"delta": 0.5}, (normal(3, 4), normal(3, 4))),
    ("CrossEntropyLoss", {}, (normal(3, 4), classes(3))),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.1}, (normal(3, 4), classes(3))),
    ("CrossEntropyLoss", {"ignore_index": 2}, (normal(3, 4), np.array([2, 0, 1]))),
    ("CrossEntropyLoss", {"ignore_index": 2, "label_smoothing": 0.2, "weight": WEIGHT},
     (normal(2, 4, 3), classes(2, 3))),
    ("CrossEntropyLoss", {}, (normal(2, 4, 3, 2), classes(2, 3, 2))),
    ("CrossEntropyLoss", {"weight": WEIGHT}, (normal(3, 4), shares(3, 4))),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, (normal(2, 4, 3), shares(2, 4, 3))),
    ("CrossEntropyLoss", {}, (normal(4), np.array(2))),
    ("NLLLoss", {"weight": WEIGHT, "ignore_index": 1}, (logs(3, 4), np.array([1, 0, 3]))),
    ("NLLLoss", {}, (logs(2, 4, 3, 2), classes(2, 3, 2))),
    ("BCELoss", {"weight": WEIGHT}, (shares(3, 4), shares(3, 4))),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": WEIGHT + 1},
     (normal(3, 4), shares(3, 4))),
    ("BCEWithLogitsLoss", {}, (normal(3, 4), shares(3, 4))),
    ("KLDivLoss", {}, (logs(3, 4), shares(3, 4))),
    ("KLDivLoss", {"log_target": True}, (logs(3, 4), logs(3, 4))),
    ("PoissonNLLLoss", {"full": True}, (normal(3, 4), 5 * shares(3, 4))),
    ("PoissonNLLLoss", {"log_input": False, "eps": 1e-3}, (shares(3, 4), 5 * shares(3, 4))),
    ("GaussianNLLLoss", {"full": True}, (normal(3, 4), normal(3, 4), shares(3, 4))),
    ("GaussianNLLLoss", {"eps": 0.4}, (normal(3, 4), normal(3, 4), shares(3, 1))),
    ("HingeEmbeddingLoss", {"margin": 0.7}, (normal(3, 4), signs(3, 4))),
    ("HingeEmbeddingLoss", {}, (normal(3), np.array([0.5, 1.0, -1.0]))),
    ("SoftMarginLoss", {}, (normal(3, 4), signs(3, 4))),
    ("MarginRankingLoss", {"margin": 0.3}, (normal(5), normal(5), signs(5))),
    ("CosineEmbeddingLoss", {"margin": 0.1}, (normal(6, 4), normal(6, 4), signs(6))),
    ("CosineEmbeddingLoss", {}, (normal(4), normal(4), np.array(-1.0))),
    ("MultiMarginLoss", {"margin": 0.5, "weight": WEIGHT}, (normal(3, 4), classes(3))),
    ("MultiMarginLoss", {"p": 2}, (normal(4), np.array(1))),
    ("MultiLabelMarginLoss", {}, (normal(3, 4), LABELS)),
    ("MultiLabelMarginLoss", {}, (normal(4), LABELS[0])),
    ("MultiLabelSoftMarginLoss", {"weight": WEIGHT}, (normal(3, 4), shares(3, 4))),
    ("MultiLabelSoftMarginLoss", {}, (normal(3, 4), shares(3, 4))),
    ("TripletMarginLoss", {"swap": True, "p": 1.0}, (normal(5, 3), normal(5, 3), normal(5, 3))),
    ("TripletMarginLoss", {"margin": 0.2}, (normal(5, 3), normal(5, 3), normal(5, 3))),
    ("TripletMarginWithDistanceLoss", {"swap": True}, (normal(5, 3), normal(5, 3), normal(5, 3))),
]  # fmt: skip
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)]


def built(lib: Any, name: str, options: dict[str, Any], dtype: str) -> Any:
    def value(x: Any) -> Any:
        return lib.tensor(x).to(getattr(lib, dtype)) if isinstance(x, np.ndarray) else x

    return getattr(lib.nn, name)(**{key: value(x) for key, x in options.items()})


def outcome(
    lib: Any, name: str, options: dict[str, Any], inputs: tuple[Any, ...], dtype: str
) -> list[np.ndarray]:
    """Loss and gradients of the inputs that can have one."""
    module = built(lib, name, options, dtype)
    tensors = []
    for i, x in enumerate(inputs):
        t = lib.tensor(x)
        t = t.to(getattr(lib, dtype)) if x.dtype == np.float64 else t
        tensors.append(t.requires_grad_() if i == 0 else t)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = module(*tensors)
    (loss * loss + loss).sum().backward()
    return [np.array(loss.detach().numpy()), np.array(tensors[0].grad.numpy())]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "options", "inputs"), CASES, ids=IDS)
def test_modules_agree_with_pytorch(
    name: str, options: dict[str, Any], inputs: tuple[Any, ...], reduction: str, dtype: str
) -> None:
    torch = pytest.importorskip("torch")
    tol = 1e-11 if dtype == "float64" else 2e-5
    full = {**options, "reduction": reduction}
    for a, b in zip(
        outcome(tg, name, full, inputs, dtype),
        outcome(torch, name, full, inputs, dtype),
        strict=True,
    ):
        assert_close(a, b, rtol=tol, atol=tol)


@pytest.mark.parametrize(("name", "options", "inputs"), CASES, ids=IDS)
def test_representation_and_state_agree_with_pytorch(
    name: str, options: dict[str, Any], inputs: tuple[Any, ...]
) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = built(tg, name, options, "float32"), built(torch, name, options, "float32")
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())


LEGACY = [name for name, _, _ in CASES if name not in
          ("HuberLoss", "GaussianNLLLoss", "TripletMarginWithDistanceLoss")]  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(LEGACY)))
@pytest.mark.parametrize(
    ("flags", "reduction"),
    [
        ({"size_average": False}, "sum"),
        ({"reduce": False}, "none"),
        ({"size_average": True, "reduce": True}, "mean"),
        ({"size_average": False, "reduce": False}, "none"),
    ],
)
def test_older_flags_name_a_reduction(name: str, flags: dict[str, bool], reduction: str) -> None:
    assert getattr(nn, name)(**flags).reduction == reduction


def test_batchmean_is_the_divergence() -> None:
    x, t = tensor(logs(3, 4)), tensor(shares(3, 4))
    total = nn.KLDivLoss(reduction="sum")(x, t)
    assert_close(nn.KLDivLoss(reduction="batchmean")(x, t), total / 3)
    with pytest.warns(UserWarning, match="batchmean"):
        nn.KLDivLoss()(x, t)


# --- extreme values -------------------------------------------------------------------------------


def check(loss: Any, x: Any, exact: Any, slope: Any) -> None:
    loss.backward()
    assert loss.item() == pytest.approx(float(exact), rel=1e-14, abs=1e-300)
    assert x.grad.item() == pytest.approx(float(slope), rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("size", LOGITS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("label", [1.0, -1.0])
def test_soft_margin_is_stable(size: float, sign: float, label: float) -> None:
    z = -label * sign * size
    with mpmath.workdps(60):
        e = mpmath.exp(mpmath.mpf(z)) if z < 1000 else mpmath.inf
        exact = mpmath.log1p(e) if z < 1000 else mpmath.mpf(z)
        slope = -label * (e / (1 + e) if z < 1000 else mpmath.mpf(1))
    x = tensor([sign * size], grad=True)
    check(F.soft_margin_loss(x, tensor([label])), x, exact, slope)


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-6, 1.0, 700.0, 1e38, float("inf")])
def test_divergence_is_finite_where_the_target_is_zero(size: float) -> None:
    x = tensor([[-size, 0.0]], grad=True)
    loss = F.kl_div(x, tensor([[0.0, 1.0]]), reduction="batchmean")
    loss.backward()
    assert loss.item() == 0.0
    assert x.grad.tolist() == [[0.0, -1.0]]
    logarithms = F.kl_div(
        x.detach(), tensor([[-float("inf"), 0.0]]), reduction="sum", log_target=True
    )
    assert logarithms.item() == 0.0


@pytest.mark.parametrize("z", [-1e38, -700.0, -1e-6, 0.0, 1e-6, 1.0, 700.0])
def test_poisson_of_logarithms_is_exact(z: float) -> None:
    with mpmath.workdps(60):
        e = mpmath.exp(mpmath.mpf(z)) if z > -1000 else mpmath.mpf(0)
        exact, slope = e - 3 * mpmath.mpf(z), e - 3
    x = tensor([z], grad=True)
    check(F.poisson_nll_loss(x, tensor([3.0])), x, exact, slope)


@pytest.mark.parametrize("scale", [1e-150, 1e-3, 1.0, 1e30, 1e100])
def test_cosine_embedding_neither_overflows_nor_loses_small_vectors(scale: float) -> None:
    x, y = tensor([[3.0 * scale, 4.0 * scale]]), tensor([[4.0 * scale, 3.0 * scale]])
    expected = 1 - 0.96 * min(1.0, 25 * scale**2 / (25 * scale**2 + 1e-12))
    loss = F.cosine_embedding_loss(x, y, tg.tensor([1]))
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("far", [0.0, 1e4, 1e30])
def test_multi_margin_keeps_what_large_scores_hide(far: float) -> None:
    x = tensor([[0.0, 0.5, -far]], grad=True)
    loss = F.multi_margin_loss(x, tg.tensor([0]), reduction="sum")
    loss.backward()
    others = 1.5 + (1.0 if far == 0.0 else 0.0)
    assert loss.item() == pytest.approx(others / 3, rel=1e-15)
    assert x.grad.sum().item() == pytest.approx(0.0, abs=1e-16)


def test_variances_are_limited_and_keep_their_gradient() -> None:
    var = tensor([0.0, 4.0], grad=True)
    loss = F.gaussian_nll_loss(
        tensor([1.0, 1.0]), tensor([1.0, 3.0]), var, eps=0.5, reduction="sum"
    )
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * (np.log(0.5) + np.log(4.0) + 1.0), rel=1e-15)
    assert_close(var.grad, np.array([0.5 / 0.5, 0.5 / 4.0 - 0.5 * 4.0 / 16.0]))


# --- connectionist temporal classification --------------------------------------------------------

CTC = {
    "padded": (np.array([[1, 2, 2], [3, 1, 0]]), (7, 6), (3, 2), {}),
    "joined": (np.array([1, 2, 2, 3, 1]), (7, 6), (3, 2), {"reduction": "sum"}),
    "blank": (np.array([[0, 1, 1], [2, 0, 0]]), (7, 7), (3, 1), {"blank": 3, "reduction": "none"}),
    "empty": (np.array([[1, 2, 2], [3, 1, 0]]), (7, 4), (3, 0), {}),
    "too-long": (np.array([[1, 2, 2], [3, 1, 0]]), (3, 6), (3, 2), {"zero_infinity": True}),
}  # fmt: skip


def ctc_outcome(lib: Any, case: str, dtype: str, lists: bool) -> list[np.ndarray]:
    targets, inputs, lengths, options = CTC[case]
    logits = np.sin(np.arange(7 * 2 * 4) * 1.7).reshape(7, 2, 4)
    x = lib.tensor(logits).to(getattr(lib, dtype)).requires_grad_()
    sizes: tuple[Any, Any] = (inputs, lengths)
    if not lists:
        sizes = lib.tensor(inputs), lib.tensor(lengths)
    loss = lib.nn.CTCLoss(**options)(x.log_softmax(2), lib.tensor(targets), *sizes)
    (loss * loss).sum().backward()
    return [np.array(loss.detach().numpy()), np.array(x.grad.numpy())]


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", list(CTC))
def test_ctc_agrees_with_pytorch(case: str, dtype: str, lists: bool) -> None:
    torch = pytest.importorskip("torch")
    tol = 1e-12 if dtype == "float64" else 2e-5
    ours, theirs = ctc_outcome(tg, case, dtype, lists), ctc_outcome(torch, case, dtype, lists)
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b, rtol=tol, atol=tol)


def test_ctc_counts_alignments() -> None:
    """With even chances every path weighs the same, so the loss counts the paths."""
    even = tg.full((6, 1, 3), -np.log(3.0), dtype=tg.float64)
    loss = F.ctc_loss(even, tg.tensor([[1, 1]]), (6,), (2,), reduction="sum")
    # a blank lies between the equal labels: choose the five borders of runs among seven places
    paths = sum(
        1 for code in range(3**6) if collapsed([code // 3**i % 3 for i in range(6)]) == [1, 1]
    )
    assert loss.item() == pytest.approx(6 * np.log(3.0) - np.log(paths), rel=1e-14)


def collapsed(path: list[int]) -> list[int]:
    runs = [label for i, label in enumerate(path) if i == 0 or path[i - 1] != label]
    return [label for label in runs if label]


def test_ctc_of_long_sequences_stays_finite() -> None:
    x = tg.zeros(2000, 1, 50, requires_grad=True)
    targets = tg.arange(1, 41).reshape(1, 40)
    loss = F.ctc_loss(x.log_softmax(2), targets, (2000,), (40,), reduction="sum")
    loss.backward()
    assert 7000 < loss.item() < 8000
    assert tg.isfinite(x.grad).all()
    assert x.grad.sum(2).abs().max().item() < 1e-4


def test_ctc_without_an_alignment_is_infinite() -> None:
    x = tg.zeros(2, 1, 3).log_softmax(2)
    assert F.ctc_loss(x, tg.tensor([[1, 1]]), (2,), (2,)).item() == float("inf")
    assert F.ctc_loss(x, tg.tensor([[1, 1]]), (2,), (2,), zero_infinity=True).item() == 0.0


def test_ctc_refuses_a_second_derivative() -> None:
    x = tg.zeros(3, 1, 3, requires_grad=True)
    loss = F.ctc_loss(x.log_softmax(2), tg.tensor([[1]]), (3,), (1,))
    (g,) = tg.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(NotImplementedError, match="ctc_loss: its second derivative"):
        g.square().sum().backward()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"targets": [[1, 4]]}, IndexError, "label 4 at place 1 of target 0 .* 4 classes"),
        ({"targets": [[1, -1]]}, IndexError, "label -1"),
        ({"blank": 4}, IndexError, "blank must be in label range"),
        ({"input_lengths": (6,)}, ValueError, r"input_lengths\[0\] = 6"),
        ({"input_lengths": (5, 5)}, RuntimeError, "one entry for each of 1 samples, got 2"),
        ({"target_lengths": (3,)}, ValueError, r"target_lengths\[0\] = 3"),
        ({"target_lengths": (-1,)}, ValueError, r"target_lengths\[0\] = -1"),
        ({"targets": [1, 2, 3]}, RuntimeError, "add up to 2"),
        ({"targets": [[1.0, 2.0]]}, TypeError, r"targets.long\(\)"),
        ({"reduction": "average"}, ValueError, "reduction must be"),
    ],
)
def test_ctc_arguments_that_do_not_fit(change: dict[str, Any], error: Any, match: str) -> None:
    arguments: dict[str, Any] = {
        "targets": [[1, 2]],
        "input_lengths": (5,),
        "target_lengths": (2,),
        **change,
    }
    arguments["targets"] = tg.tensor(arguments["targets"])
    with pytest.raises(error, match=match):
        F.ctc_loss(tg.zeros(5, 1, 4), **arguments)


# --- a linear layer and cross-entropy -------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("options", "x", "target"),
    [
        ({"bias": True}, normal(5, 6), classes(5)),
        ({"ignore_index": 2, "reduction": "sum"}, normal(3, 6), np.array([2, 0, 1])),
        ({"label_smoothing": 0.1, "weight": WEIGHT}, normal(5, 6), classes(5)),
        ({"out_features": (3, 2), "bias": True}, normal(5, 6), classes(5, 3, 2)),
        ({"out_features": (3,), "reduction": "none"}, normal(5, 6), shares(5, 4, 3)),
        ({}, normal(6), np.array(1)),
    ],
)
def test_linear_cross_entropy_agrees_with_pytorch(
    options: dict[str, Any], x: np.ndarray, target: np.ndarray, dtype: str
) -> None:
    torch = pytest.importorskip("torch")
    if not hasattr(torch.nn, "LinearCrossEntropyLoss"):
        pytest.skip("this PyTorch has none")
    results = []
    for lib in (tg, torch):
        kind = getattr(lib, dtype)
        chosen = dict(options)
        if "weight" in options:
            chosen["weight"] = lib.tensor(options["weight"]).to(kind)
        layer = lib.nn.LinearCrossEntropyLoss(6, 4, dtype=kind, **chosen)
        with lib.no_grad():
            for p in layer.parameters():
                p.copy_(lib.tensor(np.sin(np.arange(p.numel())).reshape(tuple(p.shape))))
        t = lib.tensor(target)
        inputs = lib.tensor(x).to(kind).requires_grad_()
        loss = layer(inputs, t.to(kind) if t.is_floating_point() else t)
        loss.sum().backward()
        values = [loss, inputs.grad, *(p.grad for p in layer.parameters())]
        results.append(([np.array(v.detach().numpy()) for v in values], repr(layer)))
    tol = 1e-12 if dtype == "float64" else 2e-5
    assert results[0][1] == results[1][1]
    for a, b in zip(results[0][0], results[1][0], strict=True):
        assert_close(a, b, rtol=tol, atol=tol)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda f: f(one(2, 3), one(4, 2), tg.tensor([0, 1])),
            ValueError,
            r"\(2, 3\) and \(4, 2\)",
        ),
        (lambda f: f(one(3), one(4, 2, 3), tg.tensor([0, 1])), ValueError, "expected input"),
        (lambda f: f(one(3), one(3), tg.tensor(0)), ValueError, "expected input"),
        (
            lambda f: f(one(2, 3), one(4, 3), tg.tensor([0, 1]), linear_bias=one(3)),
            ValueError,
            r"linear_bias shape \(4,\), got \(3,\)",
        ),
        (
            lambda f: f(one(2, 3), one(4, 3), one(2, 4), ignore_index=1),
            RuntimeError,
            "cannot be specified",
        ),
        (
            lambda f: f(one(2, 3), one(4, 3), tg.tensor([0, 1]), options="chunks"),
            NotImplementedError,
            "options",
        ),
        (lambda f: nn.LinearCrossEntropyLoss(2, 3, weight=one(2)), ValueError, r"\(3,\), got"),
        (lambda f: nn.LinearCrossEntropyLoss(2, 3, label_smoothing=2.0), ValueError, "got 2.0"),
    ],
)
def test_linear_cross_entropy_of_what_does_not_fit(call: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        call(F.linear_cross_entropy)


# --- adaptive softmax -----------------------------------------------------------------------------


def adaptive(lib: Any, dtype: str, **options: Any) -> Any:
    layer = lib.nn.AdaptiveLogSoftmaxWithLoss(
        12, 20, [4, 9, 15], div_value=1.7, dtype=getattr(lib, dtype), **options
    )
    for i, parameter in enumerate(layer.parameters()):
        values = np.sin(np.arange(parameter.numel()) * (i + 1.3)).reshape(tuple(parameter.shape))
        with lib.no_grad():
            parameter.copy_(lib.tensor(values))
    return layer


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("target", [[0, 5, 14, 19, 3, 9], [1, 2, 3, 0, 1, 2]])
@pytest.mark.parametrize("head_bias", [False, True])
def test_adaptive_softmax_agrees_with_pytorch(
    dtype: str, target: list[int], head_bias: bool
) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for lib in (tg, torch):
        layer = adaptive(lib, dtype, head_bias=head_bias)
        x = lib.tensor(np.cos(np.arange(72.0)).reshape(6, 12)).to(getattr(lib, dtype))
        x.requires_grad_()
        output, loss = layer(x, lib.tensor(target))
        loss.backward()
        one = layer(x[0], lib.tensor(target[0]))
        values = [output, loss, x.grad, layer.log_prob(x), layer.predict(x), *one]
        values += [p.grad for p in layer.parameters() if p.grad is not None]
        results.append([np.array(v.detach().numpy()) for v in values])
        results[-1].append(np.array([len(repr(layer))]))
    assert len(results[0]) == len(results[1])
    tol = 1e-12 if dtype == "float64" else 2e-5
    for a, b in zip(*results, strict=True):
        assert_close(a, b, rtol=tol, atol=tol)


def test_adaptive_softmax_of_arguments_that_do_not_fit() -> None:
    for cutoffs in ([], [0, 3], [3, 3], [5, 2], [3, 10], [2.5]):
        with pytest.raises(ValueError, match="cutoffs should be a sequence"):
            nn.AdaptiveLogSoftmaxWithLoss(4, 10, cutoffs)
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 10, [3, 6])
    for bad in (10, -1):
        with pytest.raises(IndexError, match=rf"in \[0, 9\], but values .*{bad}"):
            layer(one(2, 16), tg.tensor([1, bad]))
    with pytest.raises(ValueError, match="batch dimension"):
        layer(one(2, 16), tg.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="expected input"):
        layer(one(2, 16), tg.tensor(1))


# --- arguments that do not fit --------------------------------------------------------------------

PAIRS = [
    F.mse_loss,
    F.l1_loss,
    F.smooth_l1_loss,
    F.huber_loss,
    F.kl_div,
    F.poisson_nll_loss,
    F.soft_margin_loss,
    F.hinge_embedding_loss,
]


@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
def test_columns_against_rows_are_an_error_with_the_remedy(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"\(4, 1\) .*\(4,\) .*\(4, 4\).*input.squeeze\(-1\)"):
        loss(tg.ones(4, 1), tg.ones(4), reduction="sum")
    with pytest.raises(ValueError, match=r"target.squeeze\(-1\)"):
        loss(tg.ones(4), tg.ones(4, 1), reduction="sum")
    with pytest.warns(UserWarning, match="broadcast"):
        loss(tg.ones(4, 3), tg.ones(3), reduction="sum")


LONG = tg.int64


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: F.gaussian_nll_loss(one(4, 1), one(4), one(4)), ValueError, "gaussian_nll_loss"),
        (lambda: F.gaussian_nll_loss(one(4), one(4), -one(4)), ValueError, "negative"),
        (lambda: F.gaussian_nll_loss(one(4), one(4), -1.0), ValueError, "negative"),
        (lambda: F.gaussian_nll_loss(one(4, 3), one(4, 3), one(2, 3)), ValueError, "var of shape"),
        (lambda: F.gaussian_nll_loss(one(4), one(4), one(4), eps=0.0), ValueError, "eps"),
        (lambda: F.margin_ranking_loss(one(4, 1), one(4), one(4)), ValueError, "squeeze"),
        (lambda: F.margin_ranking_loss(one(4, 1), one(1, 4), one(4, 4)), ValueError, "broadcast"),
        (lambda: F.cosine_embedding_loss(one(4, 2), one(4, 2), one(4, 1)), ValueError, "one dim"),
        (lambda: F.cosine_embedding_loss(one(4, 2), one(3, 2), one(4)), ValueError, r"\(3, 2\)"),
        (lambda: F.triplet_margin_loss(one(4, 2), one(2), one(4, 2)), ValueError, "anchor"),
        (lambda: F.triplet_margin_loss(one(2), one(2), one(2), margin=0.0), ValueError, "margin"),
        (
            lambda: F.multi_margin_loss(one(2, 3), tg.tensor([0, 3])),
            IndexError,
            "3 in row 1 .* 3 cl",
        ),
        (lambda: F.multi_margin_loss(one(2, 3), tg.tensor([0, -1])), IndexError, "-1 in row 1"),
        (lambda: F.multi_margin_loss(one(2, 3), tg.tensor([0])), ValueError, "one target for each"),
        (lambda: F.multi_margin_loss(one(2, 3), tg.tensor([0, 1]), p=3), ValueError, "p == 1"),
        (lambda: F.multi_margin_loss(one(2, 3), one(2)), TypeError, r"target.long\(\)"),
        (
            lambda: F.multi_margin_loss(one(2, 3), tg.tensor([0, 1]), weight=one(2)),
            ValueError,
            "all 3 classes",
        ),
        (
            lambda: F.multilabel_margin_loss(one(2, 3), tg.tensor([[0, 1, -1], [3, -1, 0]])),
            IndexError,
            "3 in row 1",
        ),
        (
            lambda: F.multilabel_margin_loss(one(2, 3), tg.zeros(2, 2, dtype=LONG)),
            ValueError,
            "same shape",
        ),
        (lambda: F.multilabel_soft_margin_loss(one(2, 3), one(2)), ValueError, "must be the same"),
        (lambda: F.soft_margin_loss(one(2), one(2), reduction="all"), ValueError, "'all'"),
        (lambda: nn.TripletMarginLoss(margin=0.0), ValueError, "greater than 0"),
        (lambda: nn.TripletMarginWithDistanceLoss(margin=-1.0), ValueError, "greater than 0"),
        (lambda: nn.MultiMarginLoss(p=3), ValueError, "p == 1"),
        (lambda: nn.MultiMarginLoss(weight=one(2, 2)), ValueError, "one dimension"),
        (
            lambda: F.triplet_margin_with_distance_loss(one(2, 2), one(2), one(2, 2)),
            ValueError,
            "anchor",
        ),
    ],
)
def test_arguments_that_do_not_fit(call: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("bad", [4, -1, 2**40, -(2**63)])
def test_a_class_that_does_not_exist_is_named(loss: Any, bad: int) -> None:
    with pytest.raises(IndexError, match=rf"target {bad} at position 1 .* 4 classes"):
        loss(tg.zeros(3, 4), tg.tensor([0, bad, 1]))


# --- other properties -----------------------------------------------------------------------------


def test_losses_are_the_same_bits_in_every_thread() -> None:
    x, t = tg.tensor(normal(300, 200)).float(), tg.tensor(classes(300, count=200))
    labels = tg.tensor(RNG.integers(-1, 200, (300, 200)))

    def body() -> list[Any]:
        own = x.clone().requires_grad_()
        total = F.multi_margin_loss(own, t) + F.multilabel_margin_loss(own, labels)
        total.backward()
        return [total.detach(), own.grad]

    results = run_in_threads(body, body)
    assert all(same_bits(a, b) for a, b in zip(*results, strict=True))


def test_triplet_with_a_distance_of_the_users() -> None:
    def chebyshev(x: Any, y: Any) -> Any:
        return (x - y).abs().amax(-1)

    a, p, n = (tensor(normal(4, 3)) for _ in range(3))
    loss = nn.TripletMarginWithDistanceLoss(distance_function=chebyshev, margin=0.5)
    expected = (chebyshev(a, p) - chebyshev(a, n) + 0.5).clamp(min=0).mean()
    assert_close(loss(a, p, n), expected)


def test_half_types_compute_in_float32() -> None:
    x, t = tensor(normal(8, 4)), tg.tensor(classes(8))
    for dtype in (tg.float16, tg.bfloat16):
        low = x.to(dtype)
        loss = F.multi_margin_loss(low, t)
        assert loss.dtype == dtype
        assert_close(loss.double(), F.multi_margin_loss(low.double(), t), rtol=1e-2, atol=1e-2)


def test_the_page_of_losses_runs_and_names_them_all() -> None:
    page = Path(__file__).parents[1] / "docs" / "losses.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0
    text = page.read_text(encoding="utf-8")
    assert [n for n in nn.modules.loss.__all__ if f"`{n}`" not in text] == []
