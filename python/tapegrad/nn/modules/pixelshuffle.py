"""Channels into pixels and back, as modules."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = ["PixelShuffle", "PixelUnshuffle"]


class PixelShuffle(Module):
    """(*, C r^2, H, W) to (*, C, H r, W r), with r the ``upscale_factor``.

    Shi et al., https://arxiv.org/abs/1609.05158.

    >>> import tapegrad as tg
    >>> tg.nn.PixelShuffle(3)(tg.ones(1, 9, 4, 4)).shape
    tapegrad.Size([1, 1, 12, 12])
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return _C.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(*, C, H r, W r) to (*, C r^2, H, W), with r the ``downscale_factor``.

    >>> import tapegrad as tg
    >>> tg.nn.PixelUnshuffle(3)(tg.ones(1, 1, 12, 12)).shape
    tapegrad.Size([1, 9, 4, 4])
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return _C.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"
