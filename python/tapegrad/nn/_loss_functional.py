"""Losses that are compositions of operations."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tapegrad._C import Tensor

__all__ = ["triplet_margin_with_distance_loss"]


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
