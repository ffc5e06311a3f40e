"""Losses that are compositions of operations."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor

__all__ = ["linear_cross_entropy", "triplet_margin_with_distance_loss"]


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) for a distance d.

    Args:
        anchor, positive, negative: batches with the same number of dimensions
        distance_function: one distance for each pair; the default is :func:`pairwise_distance`
        margin: how much nearer the positive one should be, greater than 0
        swap: use d(positive, negative) where that is smaller
        reduction: 'mean', 'sum' or 'none'

    Raises
    ------
        ValueError: a margin that is not positive, another reduction
        RuntimeError: different numbers of dimensions

    >>> import tapegrad as tg
    >>> x, y = tg.tensor([[0.0, 0.0]]), tg.tensor([[3.0, 4.0]])
    >>> def absolute(a, b):
    ...     return (a - b).abs().sum(-1)
    >>> loss = tg.nn.functional.triplet_margin_with_distance_loss
    >>> loss(x, y, x, distance_function=absolute).item()
    8.0
    """
    name = "triplet_margin_with_distance_loss"
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{name}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
    if margin <= 0:
        raise ValueError(f"{name}: margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise _C.ShapeError(
            f"{name}: the three tensors must have the same number of dimensions, got anchor "
            f"{tuple(anchor.shape)}, positive {tuple(positive.shape)} and negative "
            f"{tuple(negative.shape)}"
        )
    distance = _C._nn.pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = _C.minimum(far, distance(positive, negative))
    losses = (near - far + margin).clamp(min=0)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """:func:`cross_entropy` of the logits ``linear(input, linear_weight, linear_bias)``.

    Args:
        input: features of shape (N, F) or (F,)
        linear_weight: of shape (C, F), or (C, d1, ..., F) for a loss in more dimensions
        target: class indices (N, d1, ...) or probabilities (N, C, d1, ...)
        linear_bias: of linear_weight's shape without the last dimension
        weight, reduction, ignore_index, label_smoothing: as of :func:`cross_entropy`; None stands
            for an ignore_index of -100
        options: must be None

    Errors: ``RuntimeError`` for shapes that do not fit and for ignore_index with probabilities,
    ``NotImplementedError`` for options.

    >>> import tapegrad as tg
    >>> x, w = tg.ones(2, 3), tg.zeros(4, 3)
    >>> tg.nn.functional.linear_cross_entropy(x, w, tg.tensor([0, 3]))
    tensor(1.3863)
    """
    name = "linear_cross_entropy"
    if options is not None:
        raise _C.UnsupportedError(f"{name}: options for work in chunks are not supported")
    classes, *places = linear_weight.shape[:-1] if linear_weight.dim() > 1 else (0,)
    if (
        input.dim() not in (1, 2)
        or linear_weight.dim() < 2
        or input.shape[-1] != linear_weight.shape[-1]
        or (places and input.dim() == 1)
    ):
        raise _C.ShapeError(
            f"{name}: expected input (N, F) or, for a weight (C, F), (F,), and linear_weight "
            f"(C, ..., F), got {tuple(input.shape)} and {tuple(linear_weight.shape)}"
        )
    if linear_bias is not None:
        if linear_bias.shape != linear_weight.shape[:-1]:
            raise _C.ShapeError(
                f"{name}: expected linear_bias shape {tuple(linear_weight.shape[:-1])}, got "
                f"{tuple(linear_bias.shape)}"
            )
        linear_bias = linear_bias.reshape(-1)
    rows = linear_weight.reshape(-1, linear_weight.shape[-1])
    logits = _C._nn.linear(input, rows, linear_bias)
    logits = logits.reshape(*input.shape[:-1], classes, *places)
    if ignore_index is not None and target.shape == logits.shape:
        raise _C.ArgumentError(
            f"{name}: ignore_index cannot be specified when target contains probabilities"
        )
    return _C._nn.cross_entropy(
        logits,
        target,
        weight=weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
