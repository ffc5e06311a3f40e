"""Losses as modules; the formulas stand with :mod:`tapegrad.nn.functional`."""

from __future__ import annotations

import math

from tapegrad import _C
from tapegrad.nn.functional import (
    l1_loss,
    legacy_reduction,
    linear_cross_entropy,
    triplet_margin_with_distance_loss,
)
from tapegrad.nn.modules.distance import PairwiseDistance
from tapegrad.nn.modules.linear import Linear
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from tapegrad._C import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LinearCrossEntropyLoss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]

_mse_loss = _C._nn.mse_loss
_cross_entropy = _C._nn.cross_entropy
_nll_loss = _C._nn.nll_loss
_bce_with_logits = _C._nn.binary_cross_entropy_with_logits
_ctc_loss: Any = _C._nn.ctc_loss  # lengths as tensors or as numbers


class _Loss(Module):
    reduction: str

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.reduction = legacy_reduction(size_average, reduce, reduction)


class _WeightedLoss(_Loss):
    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class L1Loss(_Loss):
    """The mean absolute difference.

    >>> import tapegrad as tg
    >>> tg.nn.L1Loss()(tg.tensor([1.0, 2.0]), tg.tensor([0.0, 4.0])).item()
    1.5
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return l1_loss(input, target, reduction=self.reduction)


class MSELoss(_Loss):
    """The mean squared difference; input and target have the same shape.

    >>> import tapegrad as tg
    >>> tg.nn.MSELoss()(tg.tensor([1.0, 2.0]), tg.tensor([0.0, 4.0])).item()
    2.5
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _mse_loss(input, target, reduction=self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """Cross-entropy of logits (N, C, ...) and class indices (N, ...) or probabilities.

    ``weight`` (C,) weighs the classes, targets equal to ``ignore_index`` do not count,
    ``label_smoothing`` mixes the target with the uniform distribution.

    >>> import tapegrad as tg
    >>> loss = tg.nn.CrossEntropyLoss()(tg.zeros(1, 2), tg.tensor([0]))
    >>> f"{loss.item():.4f}"
    '0.6931'
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class LinearCrossEntropyLoss(_WeightedLoss):
    """A linear layer, ``linear``, and :class:`CrossEntropyLoss` of its logits.

    Features (N, in_features), or (in_features,), and class indices (N,) or (N, *out_features), or
    probabilities (N, num_classes, *out_features). ``ignore_index=None`` stands for -100.

    >>> import tapegrad as tg
    >>> loss = tg.nn.LinearCrossEntropyLoss(3, 4)
    >>> f"{loss(tg.zeros(2, 3), tg.tensor([0, 3])).item():.4f}"
    '1.3863'
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: None = None,
    ) -> None:
        if weight is not None and weight.shape != (num_classes,):
            raise _C.ShapeError(
                f"LinearCrossEntropyLoss: expected weight shape to be {(num_classes,)}, got "
                f"{tuple(weight.shape)}"
            )
        if not 0 <= label_smoothing <= 1:
            raise _C.ArgumentError(
                "LinearCrossEntropyLoss: expected label_smoothing to be in range [0, 1], got "
                f"{label_smoothing}"
            )
        super().__init__(weight, None, None, reduction)
        self.num_classes = num_classes
        self.out_features = out_features
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        rows = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, rows, bias, device, dtype)
        self.options = options

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        shape = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return linear_cross_entropy(
            input,
            self.linear.weight.reshape(*shape, self.linear.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(shape),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )


class NLLLoss(_WeightedLoss):
    """Minus the log-probability (N, C, ...) of the target class (N, ...).

    >>> import tapegrad as tg
    >>> tg.nn.NLLLoss()(tg.tensor([[-1.0, -2.0]]), tg.tensor([1])).item()
    2.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _nll_loss(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of sigmoid(input) and target, without overflow at large logits.

    ``weight`` weighs the entries and ``pos_weight`` the positive targets.

    >>> import tapegrad as tg
    >>> loss = tg.nn.BCEWithLogitsLoss()(tg.zeros(1), tg.ones(1))
    >>> f"{loss.item():.4f}"
    '0.6931'
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _bce_with_logits(
            input,
            target,
            weight=self.weight,
            reduction=self.reduction,
            pos_weight=self.pos_weight,
        )


class BCELoss(_WeightedLoss):
    """Binary cross-entropy of probabilities and targets in [0, 1], of the same shape.

    Logarithms are limited to -100. For logits :class:`BCEWithLogitsLoss` is exact. ``weight``
    broadcasts to the input.

    >>> import tapegrad as tg
    >>> loss = tg.nn.BCELoss()(tg.tensor([0.5]), tg.tensor([1.0]))
    >>> f"{loss.item():.4f}"
    '0.6931'
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.binary_cross_entropy(
            input, target, weight=self.weight, reduction=self.reduction
        )


class SmoothL1Loss(_Loss):
    """d**2 / (2 beta) where the difference d is smaller than ``beta``, else ``|d| - beta / 2``.

    ``beta`` must not be negative; 0 is :class:`L1Loss`.

    >>> import tapegrad as tg
    >>> tg.nn.SmoothL1Loss()(tg.tensor([1.5, 3.0]), tg.tensor([1.0, 1.0])).item()
    0.8125
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """d**2 / 2 where the difference d is at most ``delta``, else ``delta (|d| - delta / 2)``.

    ``delta`` must be positive.

    >>> import tapegrad as tg
    >>> tg.nn.HuberLoss(delta=2.0)(tg.tensor([2.0, 4.0]), tg.tensor([1.0, 1.0])).item()
    2.25
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of exp(input) from target: target (log(target) - input).

    ``input`` holds log-probabilities; so does the target with ``log_target``. ``reduction`` may
    also be ``'batchmean'``, the sum by the number of samples, which is the divergence; ``'mean'``
    is over all elements.

    >>> import tapegrad as tg
    >>> q, p = tg.tensor([[0.25, 0.75]]), tg.tensor([[0.5, 0.5]])
    >>> f"{tg.nn.KLDivLoss(reduction='batchmean')(q.log(), p).item():.4f}"
    '0.1438'
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        batchmean = reduction == "batchmean" and size_average is None and reduce is None
        super().__init__(size_average, reduce, "mean" if batchmean else reduction)
        self.reduction = reduction if batchmean else self.reduction
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """Negative log-likelihood of counts: exp(input) - target * input.

    Without ``log_input`` it is input - target * log(input + eps). ``full`` adds Stirling's
    approximation of log(target!).

    >>> import tapegrad as tg
    >>> tg.nn.PoissonNLLLoss()(tg.tensor([0.0]), tg.tensor([2.0])).item()
    1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_Loss):
    """Negative log-likelihood under normal distributions.

    (log(var) + (input - target)**2 / var) / 2 for each element.

    ``var`` has the input's shape, or a last dimension of size 1 or none, or is a number; variances
    count as ``eps`` at least. ``full`` adds the constant log(2 pi) / 2.

    >>> import tapegrad as tg
    >>> x, target, var = tg.tensor([0.0]), tg.tensor([2.0]), tg.tensor([1.0])
    >>> tg.nn.GaussianNLLLoss()(x, target, var).item()
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return _C._nn.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class HingeEmbeddingLoss(_Loss):
    """Distances where the target is 1, ``max(0, margin - input)`` where it is -1.

    >>> import tapegrad as tg
    >>> tg.nn.HingeEmbeddingLoss()(tg.tensor([2.0, 0.75]), tg.tensor([1.0, -1.0])).item()
    1.125
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.hinge_embedding_loss(
            input, target, margin=self.margin, reduction=self.reduction
        )


class SoftMarginLoss(_Loss):
    """Logistic loss of labels 1 and -1: log(1 + exp(-target * input)).

    >>> import tapegrad as tg
    >>> f"{tg.nn.SoftMarginLoss()(tg.tensor([0.0]), tg.tensor([1.0])).item():.4f}"
    '0.6931'
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.soft_margin_loss(input, target, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """``max(0, margin - target (input1 - input2))``: input1 ranks higher where the target is 1.

    >>> import tapegrad as tg
    >>> loss = tg.nn.MarginRankingLoss(margin=0.5)
    >>> loss(tg.tensor([2.0]), tg.tensor([3.0]), tg.tensor([1.0])).item()
    1.5
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return _C._nn.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class CosineEmbeddingLoss(_Loss):
    """1 - cos(input1, input2) where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Inputs (N, D) and target (N,), or (D,) and ().

    >>> import tapegrad as tg
    >>> loss = tg.nn.CosineEmbeddingLoss()
    >>> loss(tg.tensor([[1.0, 0.0]]), tg.tensor([[0.0, 1.0]]), tg.tensor([1])).item()
    1.0
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return _C._nn.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class MultiMarginLoss(_WeightedLoss):
    """Hinge loss over classes: the sum of max(0, margin - x[t] + x[j])**p over j != t, by C.

    Scores (N, C) and class indices (N,), or (C,) and (). ``p`` is 1 or 2, ``weight`` (C,) weighs
    the classes.

    >>> import tapegrad as tg
    >>> tg.nn.MultiMarginLoss()(tg.tensor([[1.0, 0.5]]), tg.tensor([0])).item()
    0.25
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: only p == 1 and p == 2 are supported, got {p}")
        if weight is not None and weight.dim() != 1:
            raise ValueError(
                f"MultiMarginLoss: weight must have one dimension, got shape {tuple(weight.shape)}"
            )
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class MultiLabelMarginLoss(_Loss):
    """Hinge loss of several targets a row: each should lead all other classes by 1.

    The target has the input's shape, (N, C) or (C,), and holds class indices up to the first -1.

    >>> import tapegrad as tg
    >>> x, target = tg.tensor([[1.0, 0.5, 0.25, 0.25]]), tg.tensor([[0, -1, -1, -1]])
    >>> tg.nn.MultiLabelMarginLoss()(x, target).item()
    0.25
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross-entropy of sigmoid(input), averaged over the classes of each sample.

    ``weight`` (C,) weighs the classes.

    >>> import tapegrad as tg
    >>> loss = tg.nn.MultiLabelSoftMarginLoss()(tg.zeros(1, 2), tg.tensor([[1.0, 0.0]]))
    >>> f"{loss.item():.4f}"
    '0.6931'
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _C._nn.multilabel_soft_margin_loss(
            input, target, weight=self.weight, reduction=self.reduction
        )


class TripletMarginLoss(_Loss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), with d the p-norm of differences.

    ``swap`` uses d(positive, negative) where that is smaller; ``eps`` is added to the differences.

    >>> import tapegrad as tg
    >>> x, y = tg.tensor([[0.0, 0.0]]), tg.tensor([[3.0, 4.0]])
    >>> f"{tg.nn.TripletMarginLoss()(x, y, x).item():.4f}"
    '6.0000'
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if margin <= 0:
            raise ValueError(
                f"TripletMarginLoss: expected margin to be greater than 0, got {margin} instead"
            )
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return _C._nn.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """:class:`TripletMarginLoss` with a distance of the user's.

    ``distance_function`` takes two batches and gives one distance for each pair; the default is
    :class:`PairwiseDistance`.

    >>> import tapegrad as tg
    >>> def cosine(x, y):
    ...     return 1 - tg.cosine_similarity(x, y)
    >>> loss = tg.nn.TripletMarginWithDistanceLoss(distance_function=cosine)
    >>> x, y = tg.tensor([[1.0, 0.0]]), tg.tensor([[0.0, 1.0]])
    >>> loss(x, y, x).item()
    2.0
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if margin <= 0:
            raise ValueError(
                "TripletMarginWithDistanceLoss: expected margin to be greater than 0, got "
                f"{margin} instead"
            )
        self.distance_function = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class CTCLoss(_Loss):
    """Connectionist temporal classification of log-probabilities (T, N, C) or (T, C).

    Targets are padded, (N, S), or stand one after the other; lengths are tensors or tuples.
    ``blank`` is the class that stands for no label; with ``zero_infinity`` targets that are too
    long for their input cost nothing.

    >>> import tapegrad as tg
    >>> log_probs = tg.zeros(2, 1, 2).log_softmax(2)
    >>> loss = tg.nn.CTCLoss()(log_probs, tg.tensor([[1]]), tg.tensor([2]), tg.tensor([1]))
    >>> f"{loss.item():.4f}"
    '0.2877'
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Tensor | Sequence[int],
        target_lengths: Tensor | Sequence[int],
    ) -> Tensor:
        loss: Tensor = _ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            blank=self.blank,
            reduction=self.reduction,
            zero_infinity=self.zero_infinity,
        )
        return loss
