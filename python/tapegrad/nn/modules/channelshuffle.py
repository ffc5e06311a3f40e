"""``ChannelShuffle``."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = ["ChannelShuffle"]


class ChannelShuffle(Module):
    """Interleave ``groups`` groups of channels (dimension 1): channel g n + i goes to i groups + g.

    >>> import tapegrad as tg
    >>> tg.nn.ChannelShuffle(2)(tg.arange(4.0).reshape(1, 4, 1)).flatten()
    tensor([0., 2., 1., 3.])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return _C.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
