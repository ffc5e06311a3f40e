"""Measures of a model that are added up batch by batch.

Each is a :class:`Metric`: ``update`` adds a batch, ``compute`` gives the value so far, ``reset``
starts again. The sums are exact counts or float64, so that the value does not depend on how the
data were cut into batches beyond rounding.
"""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from tapegrad._C import Tensor

__all__ = ["F1", "MAE", "R2", "Accuracy", "ConfusionMatrix", "Metric", "TopK"]


class Metric:
    """The base of all metrics: a subclass adds up numbers and tensors in its attributes.

    ``name`` is that of its column in a history, ``mode`` (``"max"`` or ``"min"``) tells which
    values are better. A subclass writes ``reset``, ``update`` and ``compute``; what ``reset`` sets
    is its state.

    >>> class Bias(Metric):
    ...     name, mode = "bias", "min"
    ...
    ...     def reset(self):
    ...         self.total, self.count = 0.0, 0
    ...
    ...     def update(self, output, target):
    ...         self.total += float((output - target).sum())
    ...         self.count += target.numel()
    ...
    ...     def compute(self):
    ...         return self.total / self.count
    >>> import tapegrad as tg
    >>> bias = Bias()
    >>> bias.update(tg.tensor([1.0, 2.0]), tg.tensor([0.0, 2.0]))
    >>> bias.compute()
    0.5
    """

    name: str = "metric"
    mode: Literal["max", "min"] = "max"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__}: reset")

    def update(self, output: Any, target: Any) -> None:
        """Add a batch: what the model gave, and what it should have given."""
        raise NotImplementedError(f"{type(self).__name__}: update")

    def compute(self) -> Any:
        """The value over all batches since ``reset``: a float, or a tensor."""
        raise NotImplementedError(f"{type(self).__name__}: compute")


def classes(output: Tensor, target: Tensor, threshold: float | None, name: str) -> Tensor:
    """The predicted class of each entry of ``target``."""
    if not output.is_floating_point():
        found = output
    elif threshold is not None:
        found = output > threshold
        if found.dim() == target.dim() + 1 and found.shape[-1] == 1:
            found = found.squeeze(-1)
    else:
        found = output.argmax(1) if output.dim() > 1 else output
    if found.shape != target.shape or (found is output and output.is_floating_point()):
        hint = "(N, classes, ...) and (N, ...)" if threshold is None else "equal shapes"
        raise ValueError(
            f"{name}: output {tuple(output.shape)} and target {tuple(target.shape)} do not fit; "
            f"expected {hint}"
            + ("; for one score a sample give threshold=" if threshold is None else "")
        )
    return found


class Accuracy(Metric):
    """The share of samples whose class is right.

    Parameters
    ----------
    threshold : None
        None: outputs are scores ``(N, classes, ...)`` and the largest counts. A number: outputs
        are one score a sample, above it the class is 1 (0 for logits, 0.5 for probabilities).

    Targets are class indices ``(N, ...)``. Errors: ``ValueError`` for shapes that do not fit.

    >>> import tapegrad as tg
    >>> metric = Accuracy(threshold=0.0)
    >>> metric.update(tg.tensor([2.0, -1.0, 0.5, 3.0]), tg.tensor([1, 0, 0, 1]))
    >>> metric.compute()
    0.75
    """

    name = "accuracy"

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = threshold
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self.hits = self.count = 0

    def update(self, output: Any, target: Any) -> None:
        """Add a batch."""
        found = classes(output, target, self.threshold, "Accuracy")
        self.hits += int((found == target).sum())
        self.count += target.numel()

    def compute(self) -> float:
        """The share so far; 0 without samples."""
        return self.hits / self.count if self.count else 0.0


class TopK(Metric):
    """The share of samples whose class is among the ``k`` largest scores.

    Outputs are scores ``(N, classes)``, targets class indices ``(N,)``. Errors: ``ValueError`` for
    ``k`` below 1, shapes that do not fit, or fewer classes than ``k``.

    >>> import tapegrad as tg
    >>> metric = TopK(2)
    >>> metric.update(tg.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), tg.tensor([1, 2]))
    >>> metric.compute()
    0.5
    """

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise ValueError(f"TopK: k must be at least 1, got {k}")
        self.k, self.name = k, f"top{k}"
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self.hits = self.count = 0

    def update(self, output: Any, target: Any) -> None:
        """Add a batch."""
        if output.dim() != 2 or target.shape != output.shape[:1] or output.shape[1] < self.k:
            raise ValueError(
                f"TopK: expected output (N, at least {self.k} classes) and target (N,), got "
                f"{tuple(output.shape)} and {tuple(target.shape)}"
            )
        best = output.topk(self.k, 1).indices
        self.hits += int((best == target.unsqueeze(1)).sum())
        self.count += len(target)

    def compute(self) -> float:
        """The share so far; 0 without samples."""
        return self.hits / self.count if self.count else 0.0


class ConfusionMatrix(Metric):
    """How many samples of class i (row) were taken for class j (column), an int64 tensor.

    Parameters
    ----------
    num_classes : None
        None: as many as the outputs have scores; 2 with a ``threshold``
    threshold : None
        as that of :class:`Accuracy`

    Errors: ``ValueError`` for shapes that do not fit, for classes out of range, and where the
    number of classes cannot be told.

    >>> import tapegrad as tg
    >>> metric = ConfusionMatrix()
    >>> metric.update(tg.eye(3), tg.tensor([0, 1, 1]))
    >>> metric.compute().tolist()
    [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    """

    name = "confusion"

    def __init__(self, num_classes: int | None = None, threshold: float | None = None) -> None:
        self.num_classes, self.threshold = num_classes, threshold
        super().__init__()

    def reset(self) -> None:
        """Forget all batches."""
        self.counts: Tensor | None = None

    def update(self, output: Any, target: Any) -> None:
        """Add a batch."""
        name = type(self).__name__
        found = classes(output, target, self.threshold, name).to(_C.int64).flatten()
        truth = target.to(_C.int64).flatten()
        size = self.num_classes
        if size is None and self.threshold is not None:
            size = 2
        elif size is None and output.is_floating_point():
            size = output.shape[1]
        if size is None:
            raise ValueError(f"{name}: outputs that are classes need num_classes=")
        if self.counts is None:
            self.counts = _C.zeros(size, size, dtype=_C.int64)
        if truth.numel() == 0:
            return
        lowest = min(int(truth.min()), int(found.min()))
        highest = max(int(truth.max()), int(found.max()))
        if lowest < 0 or highest >= len(self.counts):
            raise ValueError(
                f"{name}: classes from {lowest} to {highest}, expected 0 to {len(self.counts) - 1}"
            )
        size = len(self.counts)
        pairs = _C.bincount(truth * size + found, minlength=size * size)
        self.counts = self.counts + pairs.reshape(size, size)

    def compute(self) -> Any:
        """The counts so far."""
        if self.counts is None:
            size = self.num_classes or (2 if self.threshold is not None else 0)
            return _C.zeros(size, size, dtype=_C.int64)
        return self.counts.clone()


class F1(ConfusionMatrix):
    """The harmonic mean of precision and recall.

    Parameters
    ----------
    average : "macro"
        ``"macro"``: the mean over the classes that occur, in truth or prediction; ``"micro"``: of
        all counts together (the accuracy, where every sample has one class); ``"binary"``: of
        class 1 alone
    num_classes, threshold : None
        as those of :class:`ConfusionMatrix` and :class:`Accuracy`

    Errors: ``ValueError`` for an unknown average, ``"binary"`` with other than 2 classes, and as
    :class:`ConfusionMatrix`.

    >>> import tapegrad as tg
    >>> metric = F1("binary", threshold=0.0)
    >>> metric.update(tg.tensor([1.0, 1.0, -1.0, 1.0]), tg.tensor([1, 0, 0, 1]))
    >>> metric.compute()
    0.8
    """

    name = "f1"

    def __init__(
        self,
        average: Literal["macro", "micro", "binary"] = "macro",
        num_classes: int | None = None,
        threshold: float | None = None,
    ) -> None:
        if average not in ("macro", "micro", "binary"):
            raise ValueError(f"F1: average must be macro, micro or binary, got {average!r}")
        self.average = average
        super().__init__(num_classes, threshold)

    def compute(self) -> float:
        """The value so far; 0 without samples."""
        counts = super().compute().double()
        right, taken, there = counts.diagonal(), counts.sum(0), counts.sum(1)
        if self.average == "micro":
            total = float(counts.sum())
            return float(right.sum()) / total if total else 0.0
        occurs = taken + there
        scores = (2 * right / occurs.clamp(min=1)).tolist()
        if self.average == "binary":
            if len(scores) != 2:
                raise ValueError(f"F1: average='binary' needs 2 classes, there are {len(scores)}")
            return float(scores[1])
        kept = [score for score, n in zip(scores, occurs.tolist(), strict=True) if n]
        return sum(kept) / len(kept) if kept else 0.0


class MAE(Metric):
    """The mean of the distances between outputs and targets.

    Output and target have the same shape. Errors: ``ValueError`` if they do not.

    >>> import tapegrad as tg
    >>> metric = MAE()
    >>> metric.update(tg.tensor([1.0, 3.0]), tg.tensor([1.0, 2.0]))
    >>> metric.compute()
    0.5
    """

    name = "mae"
    mode = "min"

    def reset(self) -> None:
        """Forget all batches."""
        self.total, self.count = 0.0, 0

    def update(self, output: Any, target: Any) -> None:
        """Add a batch."""
        _same_shape(output, target, "MAE")
        self.total += float((output.double() - target.double()).abs().sum())
        self.count += target.numel()

    def compute(self) -> float:
        """The mean so far; 0 without samples."""
        return self.total / self.count if self.count else 0.0


class R2(Metric):
    """The share of the variance of the targets that the outputs explain.

    1 minus the squared errors over the squared distances from the mean; for targets ``(N, K)`` the
    mean over the K columns. A column of equal targets counts 1 if it is met exactly, else 0.
    Errors: ``ValueError`` if output and target differ in shape.

    >>> import tapegrad as tg
    >>> metric = R2()
    >>> metric.update(tg.tensor([1.0, 2.0, 4.0]), tg.tensor([1.0, 2.0, 3.0]))
    >>> metric.compute()
    0.5
    """

    name = "r2"

    def reset(self) -> None:
        """Forget all batches."""
        self.count = 0
        self.errors: Tensor | None = None
        self.mean: Tensor | None = None
        self.spread: Tensor | None = None

    def update(self, output: Any, target: Any) -> None:
        """Add a batch."""
        _same_shape(output, target, "R2")
        if target.numel() == 0:
            return
        truth = target.detach().double().reshape(len(target), -1)
        errors = (output.detach().double().reshape(len(target), -1) - truth).square().sum(0)
        mean = truth.mean(0)
        spread = (truth - mean).square().sum(0)
        if self.errors is None or self.mean is None or self.spread is None:
            self.errors, self.mean, self.spread = errors, mean, spread
            self.count = len(target)
            return
        # Two groups of samples put together: the squares of sums would cancel.
        total = self.count + len(target)
        apart = mean - self.mean
        self.errors = self.errors + errors
        self.spread = self.spread + spread + apart.square() * (self.count * len(target) / total)
        self.mean = self.mean + apart * (len(target) / total)
        self.count = total

    def compute(self) -> float:
        """The value so far; 0 without samples."""
        if self.errors is None or self.spread is None:
            return 0.0
        values = [
            1 - e / s if s > 0 else float(e == 0)
            for e, s in zip(self.errors.tolist(), self.spread.tolist(), strict=True)
        ]
        return float(sum(values) / len(values))


def _same_shape(output: Tensor, target: Tensor, name: str) -> None:
    if output.shape != target.shape:
        raise ValueError(
            f"{name}: output {tuple(output.shape)} and target {tuple(target.shape)} differ in "
            "shape; reshape one of them, such as target.unsqueeze(1)"
        )
