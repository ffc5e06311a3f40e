"""The metrics of the training loop, beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import train


def chunks(*tensors):
    return zip(*(t.split([1, 20, 0, 19]) for t in tensors), strict=True)


def test_classes_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = tg.Generator().manual_seed(0)
    scores = tg.randn(40, 5, generator=generator)
    truth = tg.randint(0, 4, (40,), generator=generator)  # the last class does not occur
    found = scores.argmax(1)
    pairs = [
        (train.Accuracy(), metrics.accuracy_score(truth, found)),
        (train.TopK(2), metrics.top_k_accuracy_score(truth, scores, k=2, labels=range(5))),
        (train.F1(), metrics.f1_score(truth, found, average="macro")),
        (train.F1("micro"), metrics.f1_score(truth, found, average="micro")),
        (train.ConfusionMatrix(), metrics.confusion_matrix(truth, found, labels=range(5))),
    ]
    for metric, expected in pairs:
        for _ in range(2):
            metric.reset()
            for output, target in chunks(scores, truth):
                metric.update(output, target)
            np.testing.assert_allclose(metric.compute(), expected, rtol=1e-12)
    counts = train.ConfusionMatrix(5)
    counts.update(found, truth)
    assert counts.compute().tolist() == pairs[-1][1].tolist()


def test_two_classes_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = tg.Generator().manual_seed(1)
    logits = tg.randn(40, 1, generator=generator)
    truth = tg.randint(0, 2, (40,), generator=generator)
    found = (logits[:, 0] > 0).long()
    for metric, expected in [
        (train.Accuracy(threshold=0.0), metrics.accuracy_score(truth, found)),
        (train.F1("binary", threshold=0.0), metrics.f1_score(truth, found)),
        (train.F1("macro", threshold=0.0), metrics.f1_score(truth, found, average="macro")),
        (train.ConfusionMatrix(threshold=0.0), metrics.confusion_matrix(truth, found)),
    ]:
        for output, target in chunks(logits, truth):
            metric.update(output, target)
        np.testing.assert_allclose(metric.compute(), expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(40,), (40, 3)])
def test_numbers_against_scikit_learn(shape):
    metrics = pytest.importorskip("sklearn.metrics")
    generator = tg.Generator().manual_seed(2)
    output = tg.randn(*shape, generator=generator)
    truth = 1e4 + output + tg.randn(*shape, generator=generator) / 4
    output = output + 1e4
    for metric, expected in [
        (train.MAE(), metrics.mean_absolute_error(truth.double(), output.double())),
        (train.R2(), metrics.r2_score(truth.double(), output.double())),
    ]:
        assert metric.compute() == 0.0
        for part in chunks(output, truth):
            metric.update(*part)
        assert metric.compute() == pytest.approx(expected, rel=1e-9)


def test_metrics_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"Accuracy: .*\(4,\).*give threshold="):
        train.Accuracy().update(tg.zeros(4), tg.zeros(4, dtype=tg.int64))
    with pytest.raises(ValueError, match=r"R2: output \(4, 1\) and target \(4,\)"):
        train.R2().update(tg.zeros(4, 1), tg.zeros(4))
    with pytest.raises(ValueError, match="at least 5 classes"):
        train.TopK().update(tg.zeros(4, 3), tg.zeros(4, dtype=tg.int64))
    with pytest.raises(ValueError, match="classes from 0 to 7, expected 0 to 2"):
        train.ConfusionMatrix().update(tg.zeros(1, 3), tg.tensor([7]))
    metric = train.F1("binary")
    metric.update(tg.zeros(1, 3), tg.tensor([0]))
    with pytest.raises(ValueError, match="needs 2 classes"):
        metric.compute()
    with pytest.raises(ValueError, match="average must be"):
        train.F1("mean")
    with pytest.raises(ValueError, match="num_classes="):
        train.ConfusionMatrix().update(tg.tensor([1]), tg.tensor([1]))
