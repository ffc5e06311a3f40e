"""Pooling as modules; what they compute stands with :mod:`tapegrad.nn.functional`."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn import _pooling_functional as functional
from tapegrad.nn._pooling_functional import tuple_of
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tapegrad._C import Tensor

    Ints = int | tuple[int, ...]
    Sizes = int | tuple[int | None, ...] | None

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

_max_pool1d = _C._nn.max_pool1d
_max_pool2d = _C._nn.max_pool2d
_max_pool3d = _C._nn.max_pool3d
_avg_pool1d = _C._nn.avg_pool1d
_avg_pool2d = _C._nn.avg_pool2d
_avg_pool3d = _C._nn.avg_pool3d
_adaptive_avg_pool1d = _C._nn.adaptive_avg_pool1d


class _MaxPoolNd(Module):
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """The largest element of each window of an input (N, C, L) or (C, L).

    ``stride`` is ``kernel_size`` when not given; ``padding`` adds -inf, at most half of a window;
    ``dilation`` is the distance of a window's elements; with ``return_indices`` the result is a
    pair, the second of which ``MaxUnpool1d`` takes; ``ceil_mode`` also takes windows that end
    outside.

    >>> import tapegrad as tg
    >>> tg.nn.MaxPool1d(2)(tg.rand(2, 3, 8)).shape
    tapegrad.Size([2, 3, 4])
    """

    def forward(self, input: Tensor) -> Any:
        return _max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool2d(_MaxPoolNd):
    """The largest element of each window of an input (N, C, H, W) or (C, H, W).

    ``stride`` is ``kernel_size`` when not given; ``padding`` adds -inf, at most half of a window;
    ``dilation`` is the distance of a window's elements; with ``return_indices`` the result is a
    pair, the second of which ``MaxUnpool2d`` takes; ``ceil_mode`` also takes windows that end
    outside.

    >>> import tapegrad as tg
    >>> tg.nn.MaxPool2d(2)(tg.rand(2, 3, 8, 8)).shape
    tapegrad.Size([2, 3, 4, 4])
    """

    def forward(self, input: Tensor) -> Any:
        return _max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool3d(_MaxPoolNd):
    """The largest element of each window of an input (N, C, D, H, W) or (C, D, H, W).

    ``stride`` is ``kernel_size`` when not given; ``padding`` adds -inf, at most half of a window;
    ``dilation`` is the distance of a window's elements; with ``return_indices`` the result is a
    pair, the second of which ``MaxUnpool3d`` takes; ``ceil_mode`` also takes windows that end
    outside.

    >>> import tapegrad as tg
    >>> tg.nn.MaxPool3d(2)(tg.rand(2, 3, 8, 8, 8)).shape
    tapegrad.Size([2, 3, 4, 4, 4])
    """

    def forward(self, input: Tensor) -> Any:
        return _max_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class _MaxUnpoolNd(Module):
    kernel_size: Ints
    stride: Ints
    padding: Ints

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """The maxima of ``MaxPool1d(..., return_indices=True)`` where they were, between zeros.

    >>> import tapegrad as tg
    >>> y, where = tg.nn.MaxPool1d(2, return_indices=True)(tg.rand(1, 1, 4))
    >>> tg.nn.MaxUnpool1d(2)(y, where).shape
    tapegrad.Size([1, 1, 4])
    """

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        super().__init__()
        self.kernel_size = tuple_of(kernel_size, 1)
        self.stride = tuple_of(stride if stride is not None else kernel_size, 1)
        self.padding = tuple_of(padding, 1)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        args = (input, indices, self.kernel_size, self.stride, self.padding, output_size)
        return functional.max_unpool1d(*args)


class MaxUnpool2d(_MaxUnpoolNd):
    """The maxima of ``MaxPool2d(..., return_indices=True)`` where they were, between zeros.

    >>> import tapegrad as tg
    >>> y, where = tg.nn.MaxPool2d(2, return_indices=True)(tg.rand(1, 1, 4, 4))
    >>> tg.nn.MaxUnpool2d(2)(y, where).shape
    tapegrad.Size([1, 1, 4, 4])
    """

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        super().__init__()
        self.kernel_size = tuple_of(kernel_size, 2)
        self.stride = tuple_of(stride if stride is not None else kernel_size, 2)
        self.padding = tuple_of(padding, 2)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        args = (input, indices, self.kernel_size, self.stride, self.padding, output_size)
        return functional.max_unpool2d(*args)


class MaxUnpool3d(_MaxUnpoolNd):
    """The maxima of ``MaxPool3d(..., return_indices=True)`` where they were, between zeros.

    >>> import tapegrad as tg
    >>> y, where = tg.nn.MaxPool3d(2, return_indices=True)(tg.rand(1, 1, 4, 4, 4))
    >>> tg.nn.MaxUnpool3d(2)(y, where).shape
    tapegrad.Size([1, 1, 4, 4, 4])
    """

    def __init__(self, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0) -> None:
        super().__init__()
        self.kernel_size = tuple_of(kernel_size, 3)
        self.stride = tuple_of(stride if stride is not None else kernel_size, 3)
        self.padding = tuple_of(padding, 3)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        args = (input, indices, self.kernel_size, self.stride, self.padding, output_size)
        return functional.max_unpool3d(*args)


class _AvgPoolNd(Module):
    kernel_size: Ints
    stride: Ints
    padding: Ints

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The mean of each window of an input (N, C, L) or (C, L).

    ``stride`` is ``kernel_size`` when not given; ``padding`` adds zeros, which count in the means
    unless ``count_include_pad`` is false; ``ceil_mode`` also takes windows that end outside.

    >>> import tapegrad as tg
    >>> tg.nn.AvgPool1d(2)(tg.tensor([[1.0, 3.0, 5.0, 5.0]]))
    tensor([[2., 5.]])
    """

    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = tuple_of(kernel_size, 1)
        self.stride = tuple_of(stride if stride is not None else kernel_size, 1)
        self.padding = tuple_of(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return _avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


class _AvgPoolDivided(_AvgPoolNd):
    def __init__(
        self,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override


class AvgPool2d(_AvgPoolDivided):
    """The mean of each window of an input (N, C, H, W) or (C, H, W).

    As :class:`AvgPool1d`; ``divisor_override`` divides the sums instead of the number of elements.

    >>> import tapegrad as tg
    >>> tg.nn.AvgPool2d(2)(tg.ones(1, 4, 4)).shape
    tapegrad.Size([1, 2, 2])
    """

    def forward(self, input: Tensor) -> Tensor:
        return _avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool3d(_AvgPoolDivided):
    """The mean of each window of an input (N, C, D, H, W) or (C, D, H, W).

    As :class:`AvgPool1d`; ``divisor_override`` divides the sums instead of the number of elements.

    >>> import tapegrad as tg
    >>> tg.nn.AvgPool3d(2)(tg.ones(1, 4, 4, 4)).shape
    tapegrad.Size([1, 2, 2, 2])
    """

    def forward(self, input: Tensor) -> Tensor:
        return _avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class _FractionalMaxPoolNd(Module):
    _random_samples: Tensor | None
    _ndim: int

    def __init__(
        self,
        kernel_size: Ints,
        output_size: Ints | None = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = tuple_of(kernel_size, self._ndim)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else tuple_of(output_size, self._ndim)
        self.output_ratio = None if output_ratio is None else tuple_of(output_ratio, self._ndim)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError(f"{name}: only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(
                f"{name}: output_ratio must be between 0 and 1 (got {self.output_ratio})"
            )


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """The largest elements of windows at random distances, (N, C, H, W) or (C, H, W).

    Either ``output_size`` or ``output_ratio`` (between 0 and 1) says how many windows there are.

    >>> import tapegrad as tg
    >>> tg.nn.FractionalMaxPool2d(2, output_size=5)(tg.rand(1, 2, 8, 8)).shape
    tapegrad.Size([1, 2, 5, 5])
    """

    _ndim = 2

    def forward(self, input: Tensor) -> Any:
        return functional.fractional_max_pool2d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """The largest elements of windows at random distances, (N, C, D, H, W) or (C, D, H, W).

    Either ``output_size`` or ``output_ratio`` (between 0 and 1) says how many windows there are.

    >>> import tapegrad as tg
    >>> tg.nn.FractionalMaxPool3d(2, output_size=5)(tg.rand(1, 2, 8, 8, 8)).shape
    tapegrad.Size([1, 2, 5, 5, 5])
    """

    _ndim = 3

    def forward(self, input: Tensor) -> Any:
        return functional.fractional_max_pool3d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class _LPPoolNd(Module):
    def __init__(
        self,
        norm_type: float,
        kernel_size: Ints,
        stride: Ints | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """The ``norm_type``-norm of each window of an input (N, C, L) or (C, L).

    >>> import tapegrad as tg
    >>> tg.nn.LPPool1d(1, 2)(tg.ones(1, 2)).item()
    2.0
    """

    def forward(self, input: Tensor) -> Tensor:
        args = (input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)
        return functional.lp_pool1d(*args)


class LPPool2d(_LPPoolNd):
    """The ``norm_type``-norm of each window of an input (N, C, H, W) or (C, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.LPPool2d(1, 2)(tg.ones(1, 2, 2)).item()
    4.0
    """

    def forward(self, input: Tensor) -> Tensor:
        args = (input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)
        return functional.lp_pool2d(*args)


class LPPool3d(_LPPoolNd):
    """The ``norm_type``-norm of each window of an input (N, C, D, H, W) or (C, D, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.LPPool3d(1, 2)(tg.ones(1, 2, 2, 2)).item()
    8.0
    """

    def forward(self, input: Tensor) -> Tensor:
        args = (input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)
        return functional.lp_pool3d(*args)


class _AdaptiveAvgPoolNd(Module):
    def __init__(self, output_size: Sizes) -> None:
        super().__init__()
        self.output_size: Any = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveMaxPoolNd(_AdaptiveAvgPoolNd):
    def __init__(self, output_size: Sizes, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """The means of ``output_size`` windows that cover an input (N, C, L) or (C, L).

    >>> import tapegrad as tg
    >>> tg.nn.AdaptiveAvgPool1d(4)(tg.rand(2, 3, 7)).shape
    tapegrad.Size([2, 3, 4])
    """

    def forward(self, input: Tensor) -> Tensor:
        return _adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """The means of ``output_size`` windows that cover an input (N, C, H, W) or (C, H, W).

    A dimension with output size None stays as it is.

    >>> import tapegrad as tg
    >>> tg.nn.AdaptiveAvgPool2d(4)(tg.rand(2, 3, 7, 7)).shape
    tapegrad.Size([2, 3, 4, 4])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """The means of ``output_size`` windows that cover an input (N, C, D, H, W) or (C, D, H, W).

    A dimension with output size None stays as it is.

    >>> import tapegrad as tg
    >>> tg.nn.AdaptiveAvgPool3d(4)(tg.rand(2, 3, 7, 7, 7)).shape
    tapegrad.Size([2, 3, 4, 4, 4])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.adaptive_avg_pool3d(input, self.output_size)


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """The maxima of ``output_size`` windows that cover an input (N, C, L) or (C, L).

    With ``return_indices`` also where they are.

    >>> import tapegrad as tg
    >>> tg.nn.AdaptiveMaxPool1d(4)(tg.rand(2, 3, 7)).shape
    tapegrad.Size([2, 3, 4])
    """

    def forward(self, input: Tensor) -> Any:
        return functional.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """The maxima of ``output_size`` windows that cover an input (N, C, H, W) or (C, H, W).

    With ``return_indices`` also where they are.

    >>> import tapegrad as tg
    >>> tg.nn.AdaptiveMaxPool2d(4)(tg.rand(2, 3, 7, 7)).shape
    tapegrad.Size([2, 3, 4, 4])
    """

    def forward(self, input: Tensor) -> Any:
        return functional.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """The maxima of ``output_size`` windows that cover an input (N, C, D, H, W) or (C, D, H, W).

    With ``return_indices`` also where they are.

    >>> import tapegrad as tg
    >>> tg.nn.AdaptiveMaxPool3d(4)(tg.rand(2, 3, 7, 7, 7)).shape
    tapegrad.Size([2, 3, 4, 4, 4])
    """

    def forward(self, input: Tensor) -> Any:
        return functional.adaptive_max_pool3d(input, self.output_size, self.return_indices)
