"""``Flatten``."""

from __future__ import annotations

from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = ["Flatten"]


class Flatten(Module):
    """Join the dimensions ``start_dim`` to ``end_dim`` into one; the batch stays by default.

    >>> import tapegrad as tg
    >>> tg.nn.Flatten()(tg.ones(32, 1, 5, 5)).shape
    tapegrad.Size([32, 25])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
