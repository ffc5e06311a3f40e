"""The order in memory of the weights of convolutions."""

from __future__ import annotations

from tapegrad.nn.modules.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from tapegrad import _C
    from tapegrad.nn.modules.module import Module

    M = TypeVar("M", bound=Module)

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]


def _convert(module: Module, kinds: tuple[type, ...], memory_format: _C.memory_format) -> None:
    for part in module.modules():
        if isinstance(part, kinds):
            weight = part.weight
            weight.data = weight.detach().contiguous(memory_format=memory_format)


def convert_conv2d_weight_memory_format(module: M, memory_format: _C.memory_format) -> M:
    """Give the weights of all 2-d convolutions in ``module`` that order in memory; returns it.

    The results stay the same. Convolutions here bring weights into the order that is fastest by
    themselves, so there is nothing to gain but the strides that another program expects.

    >>> import tapegrad as tg
    >>> net = tg.nn.Sequential(tg.nn.Conv2d(2, 3, 3))
    >>> net = tg.nn.utils.convert_conv2d_weight_memory_format(net, tg.channels_last)
    >>> net[0].weight.is_contiguous(memory_format=tg.channels_last)
    True
    """
    _convert(module, (Conv2d, ConvTranspose2d), memory_format)
    return module


def convert_conv3d_weight_memory_format(module: M, memory_format: _C.memory_format) -> M:
    """:func:`convert_conv2d_weight_memory_format` for 3-d convolutions.

    >>> import tapegrad as tg
    >>> net = tg.nn.Conv3d(2, 3, 3)
    >>> net = tg.nn.utils.convert_conv3d_weight_memory_format(net, tg.channels_last_3d)
    >>> net.weight.is_contiguous(memory_format=tg.channels_last_3d)
    True
    """
    _convert(module, (Conv3d, ConvTranspose3d), memory_format)
    return module
