"""``Dropout``."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = ["Dropout"]

_dropout = _C._nn.dropout


class Dropout(Module):
    """In training, set each entry to 0 with probability ``p`` and scale the others by 1/(1-p).

    In evaluation mode it returns its input. ``p`` outside [0, 1] is a ``ValueError``.

    >>> import tapegrad as tg
    >>> tg.nn.Dropout(0.2).eval()(tg.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return _dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
