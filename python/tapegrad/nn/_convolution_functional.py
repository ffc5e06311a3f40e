"""Convolutions made of other operations."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = ["conv_tbc"]


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """A 1-d convolution whose input and output are (time, batch, channels).

    ``weight`` is (width, input channels, output channels), ``bias`` (output channels), and ``pad``
    steps of zeros go before and after the sequences. Raises ``ShapeError`` for other shapes.

    >>> import tapegrad as tg
    >>> x = tg.arange(4.0).reshape(4, 1, 1)
    >>> tg.conv_tbc(x, tg.ones(2, 1, 1), tg.zeros(1)).flatten()
    tensor([1., 3., 5.])
    """
    if input.dim() != 3 or weight.dim() != 3 or bias.dim() != 1:
        raise _C.ShapeError(
            "conv_tbc: expected input (time, batch, channels), weight (width, input channels, "
            "output channels) and bias (output channels), got shapes "
            f"{tuple(input.shape)}, {tuple(weight.shape)} and {tuple(bias.shape)}"
        )
    if input.size(2) != weight.size(1) or bias.size(0) != weight.size(2):
        raise _C.ShapeError(
            f"conv_tbc: weight {tuple(weight.shape)} is (width, input channels, output channels), "
            f"got an input with {input.size(2)} channels and a bias of {bias.size(0)}"
        )
    # Times and samples as rows and columns of one image: channels-last as it lies.
    image = input.permute(2, 0, 1).unsqueeze(0)
    kernel = weight.permute(2, 1, 0).unsqueeze(3)
    result = _C._nn.conv2d(image, kernel, bias, padding=(pad, 0))
    return result.squeeze(0).permute(1, 2, 0).contiguous()
