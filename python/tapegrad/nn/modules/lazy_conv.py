"""Convolutions that take the number of input channels from their first input."""

from __future__ import annotations

from tapegrad.nn.modules.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from tapegrad.nn.modules.lazy import LazyModuleMixin
from tapegrad.nn.parameter import UninitializedParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tapegrad import _C
    from tapegrad._C import Tensor

__all__ = [
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
]


class _LazyConvNd(LazyModuleMixin):
    """What all lazy convolutions share; the other base class is the ordinary convolution."""

    def _leave_open(self, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        module: Any = self
        if out_channels % module.groups != 0:
            raise ValueError(
                f"out_channels must be divisible by groups, got {out_channels} and {module.groups}"
            )
        module.out_channels = out_channels
        module.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            module.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw the parameters anew, once they have a shape."""
        module: Any = self
        if not self.has_uninitialized_params() and module.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take ``in_channels`` from ``input``: (N, C, ...) or (C, ...)."""
        module: Any = self
        spatial = len(module.kernel_size)
        if not self.has_uninitialized_params():
            if module.in_channels == 0:  # loaded from a state dict
                first, second = module.weight.shape[:2]
                module.in_channels = first if module.transposed else second * module.groups
            return
        if input.dim() not in (spatial + 1, spatial + 2):
            raise RuntimeError(
                f"{type(self).__name__}: expected {spatial + 1}D (unbatched) or {spatial + 2}D "
                f"(batched) input, got input of shape {tuple(input.shape)}"
            )
        channels, groups = input.shape[-spatial - 1], module.groups
        if channels % groups != 0:
            raise ValueError(
                f"{type(self).__name__}: in_channels must be divisible by groups, got input of "
                f"shape {tuple(input.shape)} with {channels} channels and groups={groups}"
            )
        module.in_channels = channels
        shape = (
            (channels, module.out_channels // groups)
            if module.transposed
            else (module.out_channels, channels // groups)
        )
        module.weight.materialize((*shape, *module.kernel_size))
        if module.bias is not None:
            module.bias.materialize((module.out_channels,))
        self.reset_parameters()


class _LazyConv(_LazyConvNd):
    def __init__(
        self,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(  # type: ignore[call-arg]
            0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype
        )
        self._leave_open(out_channels, bias, device, dtype)


class _LazyConvTranspose(_LazyConvNd):
    def __init__(
        self,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(  # type: ignore[call-arg]
            0,
            0,
            kernel_size,
            stride,
            padding,
            output_padding,
            groups,
            False,
            dilation,
            padding_mode,
            device,
            dtype,
        )
        self._leave_open(out_channels, bias, device, dtype)


class LazyConv1d(_LazyConv, Conv1d):
    """A :class:`Conv1d` that takes ``in_channels`` from its first input and then is one.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyConv1d(6, 3)
    >>> layer(tg.ones(2, 4, 8)).shape, layer.in_channels
    (tapegrad.Size([2, 6, 6]), 4)
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """A :class:`Conv2d` that takes ``in_channels`` from its first input and then is one.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyConv2d(6, 3)
    >>> layer(tg.ones(2, 4, 8, 8)).shape, layer.in_channels
    (tapegrad.Size([2, 6, 6, 6]), 4)
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """A :class:`Conv3d` that takes ``in_channels`` from its first input and then is one.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyConv3d(6, 3)
    >>> layer(tg.ones(2, 4, 5, 5, 5)).shape, layer.in_channels
    (tapegrad.Size([2, 6, 3, 3, 3]), 4)
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A :class:`ConvTranspose1d` that takes ``in_channels`` from its first input and then is one.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyConvTranspose1d(6, 3)
    >>> layer(tg.ones(2, 4, 8)).shape, layer.in_channels
    (tapegrad.Size([2, 6, 10]), 4)
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A :class:`ConvTranspose2d` that takes ``in_channels`` from its first input and then is one.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyConvTranspose2d(6, 3)
    >>> layer(tg.ones(2, 4, 8, 8)).shape, layer.in_channels
    (tapegrad.Size([2, 6, 10, 10]), 4)
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A :class:`ConvTranspose3d` that takes ``in_channels`` from its first input and then is one.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyConvTranspose3d(6, 3)
    >>> layer(tg.ones(2, 4, 5, 5, 5)).shape, layer.in_channels
    (tapegrad.Size([2, 6, 7, 7, 7]), 4)
    """

    cls_to_become = ConvTranspose3d
