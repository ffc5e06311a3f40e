"""Normalisation made of other operations."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = ["local_response_norm"]


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """X / (k + alpha * mean of x^2 over ``size`` neighbouring channels)^beta.

    ``input`` is (N, C, ...) of at least three dimensions; ``size`` channels around each one, those
    that do not exist counting as 0. Raises ``ShapeError`` for fewer dimensions and ``ValueError``
    for a ``size`` that is not positive.

    >>> import tapegrad as tg
    >>> tg.nn.functional.local_response_norm(tg.ones(1, 3, 1), 2, alpha=1.0, beta=1.0).squeeze()
    tensor([0.6667, 0.5000, 0.5000])
    """
    if input.dim() < 3:
        from tapegrad import ShapeError

        raise ShapeError(
            "local_response_norm: expected an input of at least 3 dimensions, "
            f"got shape {tuple(input.shape)}"
        )
    if size < 1:
        raise ValueError(f"local_response_norm: size must be positive, got {size}")
    if input.numel() == 0:
        return input
    squares = (input * input).reshape(input.size(0), 1, input.size(1), -1)
    padded = _C._nn.pad(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = _C._nn.avg_pool2d(padded, (size, 1), 1).reshape(input.shape)
    return input / (mean * alpha + k).pow(beta)
