"""Convolutions and transposed convolutions."""

from __future__ import annotations

import math

from tapegrad import _C
from tapegrad.nn import init
from tapegrad.nn.modules.module import Module
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from tapegrad._C import Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
_pad = _C._nn.pad


def _each(value: int | Iterable[int], count: int) -> tuple[int, ...]:
    """One setting for every spatial dimension."""
    return (value,) * count if isinstance(value, int) else tuple(value)


class _ConvNd(Module):
    """What all convolutions share: settings, parameters, and how they are drawn and shown."""

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: Parameter
    bias: Parameter | None
    _function: Callable[..., Tensor]
    _reversed_padding_repeated_twice: list[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        _check(in_channels, out_channels, stride, padding, groups, padding_mode)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = _margins(padding, dilation, kernel_size)
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (first, second // groups, *kernel_size)
        self.weight = Parameter(_C.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(_C.empty((out_channels,), device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
            if fan_in > 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        count = len(self.kernel_size)
        parts = [
            str(self.in_channels),
            str(self.out_channels),
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        if self.padding != (0,) * count:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * count:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != (0,) * count:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = _pad(input, self._reversed_padding_repeated_twice, self.padding_mode)
            padding = (0,)
        return type(self)._function(
            input, weight, bias, self.stride, padding, self.dilation, self.groups
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)


def _check(
    in_channels: int,
    out_channels: int,
    stride: tuple[int, ...],
    padding: str | tuple[int, ...],
    groups: int,
    padding_mode: str,
) -> None:
    if groups <= 0:
        raise ValueError(f"groups must be a positive integer, got {groups}")
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups != 0:
            raise ValueError(f"{name} must be divisible by groups, got {channels} and {groups}")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"padding must be 'same', 'valid' or numbers, got {padding!r}")
        if padding == "same" and any(step != 1 for step in stride):
            raise ValueError(f"padding='same' is not supported for strides, got stride={stride}")
    if padding_mode not in _PADDING_MODES:
        raise ValueError(f"padding_mode must be one of {_PADDING_MODES}, got {padding_mode!r}")


def _margins(
    padding: str | tuple[int, ...], dilation: tuple[int, ...], kernel_size: tuple[int, ...]
) -> list[int]:
    """The padding as ``functional.pad`` takes it: before and after, from the last dimension on."""
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]
        pairs = [(total // 2, total - total // 2) for total in totals]
    elif isinstance(padding, str):
        pairs = [(0, 0)] * len(kernel_size)
    else:
        pairs = [(p, p) for p in padding]
    return [side for pair in reversed(pairs) for side in pair]


class _Conv(_ConvNd):
    """The constructor of Conv1d, Conv2d and Conv3d."""

    _spatial: int

    def __init__(
        self,
        in_channels: int,
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
        n = self._spatial
        super().__init__(
            in_channels,
            out_channels,
            _each(kernel_size, n),
            _each(stride, n),
            padding if isinstance(padding, str) else _each(padding, n),
            _each(dilation, n),
            False,
            (0,) * n,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )


class Conv1d(_Conv):
    """Convolve sequences: (N, in_channels, L) to (N, out_channels, L').

    ``kernel_size``, ``stride``, ``padding`` and ``dilation`` are numbers; ``padding`` may also be
    ``"same"`` or ``"valid"``. ``padding_mode`` is ``"zeros"``, ``"reflect"``, ``"replicate"`` or
    ``"circular"``. With ``groups`` the channels fall into groups that are convolved independently.
    ``weight`` has shape (out_channels, in_channels / groups, kernel_size), ``bias``
    (out_channels,), both drawn from U(-k, k) with k = 1/sqrt(in_channels / groups * kernel_size).
    ``bias=False`` leaves the bias out; ``device`` and ``dtype`` are those of the parameters.

    >>> import tapegrad as tg
    >>> tg.nn.Conv1d(16, 33, 3, stride=2)(tg.ones(20, 16, 50)).shape
    tapegrad.Size([20, 33, 24])
    """

    _spatial = 1
    _function = _C._nn.conv1d


class Conv2d(_Conv):
    """Convolve images: (N, in_channels, H, W) to (N, out_channels, H', W').

    ``kernel_size``, ``stride``, ``padding`` and ``dilation`` are numbers or pairs; ``padding`` may
    also be ``"same"`` or ``"valid"``. All else is as in :class:`Conv1d`.

    >>> import tapegrad as tg
    >>> m = tg.nn.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2))
    >>> m(tg.ones(20, 16, 50, 100)).shape
    tapegrad.Size([20, 33, 28, 100])
    """

    _spatial = 2
    _function = _C._nn.conv2d


class Conv3d(_Conv):
    """Convolve volumes: (N, in_channels, D, H, W) to (N, out_channels, D', H', W').

    ``kernel_size``, ``stride``, ``padding`` and ``dilation`` are numbers or triples; ``padding``
    may also be ``"same"`` or ``"valid"``. All else is as in :class:`Conv1d`.

    >>> import tapegrad as tg
    >>> tg.nn.Conv3d(4, 6, 3, padding=1)(tg.ones(2, 4, 5, 6, 7)).shape
    tapegrad.Size([2, 6, 5, 6, 7])
    """

    _spatial = 3
    _function = _C._nn.conv3d


class _ConvTransposeNd(_ConvNd):
    """The constructor of the transposed convolutions, and the choice of an output size."""

    _spatial: int

    def __init__(
        self,
        in_channels: int,
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
        if padding_mode != "zeros":
            raise ValueError(
                f"{type(self).__name__} supports padding_mode='zeros' only, got {padding_mode!r}"
            )
        n = self._spatial
        super().__init__(
            in_channels,
            out_channels,
            _each(kernel_size, n),
            _each(stride, n),
            _each(padding, n),
            _each(dilation, n),
            True,
            _each(output_padding, n),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> Sequence[int]:
        """The ``output_padding`` that gives ``output_size``; its own without one."""
        if output_size is None:
            return self.output_padding
        n = self._spatial
        others = input.dim() - n
        size = list(output_size)
        if len(size) == others + n:
            size = size[others:]
        if len(size) != n:
            raise ValueError(
                f"{type(self).__name__}: output_size must have {n} or {n + others} elements for an "
                f"input of {input.dim()} dimensions, got {len(size)}"
            )
        assert not isinstance(self.padding, str)
        least = [
            (length - 1) * step - 2 * pad + gap * (kernel - 1) + 1
            for length, step, pad, gap, kernel in zip(
                input.shape[others:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        most = [low + step - 1 for low, step in zip(least, self.stride, strict=True)]
        if any(not low <= s <= high for low, s, high in zip(least, size, most, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: output_size {size} is not possible, sizes from {least} to "
                f"{most} are (for an input of {tuple(input.shape[others:])})"
            )
        return [s - low for low, s in zip(least, size, strict=True)]

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return type(self)._function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution of sequences: (N, in_channels, L) to (N, out_channels, L').

    What takes the gradient of a :class:`Conv1d`'s output to that of its input. ``padding`` cuts the
    result on both sides, ``output_padding`` adds places after it; calling with ``output_size``
    chooses among the sizes that a stride above 1 allows. ``weight`` has shape (in_channels,
    out_channels / groups, kernel_size), ``bias`` (out_channels,), both drawn from U(-k, k) with
    k = 1/sqrt(out_channels / groups * kernel_size).

    >>> import tapegrad as tg
    >>> m = tg.nn.ConvTranspose1d(4, 2, 3, stride=2)
    >>> m(tg.ones(1, 4, 10)).shape, m(tg.ones(1, 4, 10), output_size=[22]).shape
    (tapegrad.Size([1, 2, 21]), tapegrad.Size([1, 2, 22]))
    """

    _spatial = 1
    _function = _C._nn.conv_transpose1d


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution of images: (N, in_channels, H, W) to (N, out_channels, H', W').

    Arguments as in :class:`ConvTranspose1d`, as numbers or pairs.

    >>> import tapegrad as tg
    >>> tg.nn.ConvTranspose2d(16, 33, 3, stride=2, padding=1)(tg.ones(2, 16, 12, 12)).shape
    tapegrad.Size([2, 33, 23, 23])
    """

    _spatial = 2
    _function = _C._nn.conv_transpose2d


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution of volumes: (N, in_channels, D, H, W) to (N, out_channels, ...).

    Arguments as in :class:`ConvTranspose1d`, as numbers or triples.

    >>> import tapegrad as tg
    >>> tg.nn.ConvTranspose3d(4, 2, 2, stride=2)(tg.ones(1, 4, 3, 4, 5)).shape
    tapegrad.Size([1, 2, 6, 8, 10])
    """

    _spatial = 3
    _function = _C._nn.conv_transpose3d
