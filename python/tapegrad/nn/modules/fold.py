"""Blocks of an image as columns, and back."""

from __future__ import annotations

from tapegrad.nn import functional
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

    _Pair = int | tuple[int, ...]

__all__ = ["Fold", "Unfold"]


class Fold(Module):
    """Add blocks up to an image: (N, C kh kw, L) to (N, C, output_size).

    ``output_size``, ``kernel_size``, ``dilation``, ``padding`` and ``stride`` are numbers or pairs.
    Where blocks overlap their entries add up, so that Fold is the adjoint of :class:`Unfold`.

    >>> import tapegrad as tg
    >>> tg.nn.Fold(output_size=(4, 5), kernel_size=2)(tg.ones(1, 12, 12)).shape
    tapegrad.Size([1, 3, 4, 5])
    """

    def __init__(
        self,
        output_size: _Pair,
        kernel_size: _Pair,
        dilation: _Pair = 1,
        padding: _Pair = 0,
        stride: _Pair = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return functional.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )


class Unfold(Module):
    """The blocks of an image as columns: (N, C, H, W) to (N, C kh kw, L).

    ``kernel_size``, ``dilation``, ``padding`` and ``stride`` are numbers or pairs; L is the number
    of positions of the block.

    >>> import tapegrad as tg
    >>> tg.nn.Unfold(kernel_size=(2, 3))(tg.ones(2, 5, 3, 4)).shape
    tapegrad.Size([2, 30, 4])
    """

    def __init__(
        self,
        kernel_size: _Pair,
        dilation: _Pair = 1,
        padding: _Pair = 0,
        stride: _Pair = 1,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return functional.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
