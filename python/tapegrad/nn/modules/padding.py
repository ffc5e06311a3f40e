"""Padding as modules; :func:`tapegrad.nn.functional.pad` does the work."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapegrad._C import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

_pad = _C._nn.pad


class _Pad(Module):
    """Margins of the last ``_dims`` dimensions: one number, or one for each side."""

    _mode = "constant"
    _dims = 1
    padding: tuple[int, ...]

    def __init__(self, padding: int | Iterable[int]) -> None:
        super().__init__()
        count = 2 * self._dims
        if isinstance(padding, int):
            self.padding = (padding,) * count
            return
        self.padding = tuple(padding)
        if len(self.padding) != count:
            raise ValueError(
                f"{self._get_name()}: padding must be one int or {count} of them, got "
                f"{self.padding}"
            )

    def forward(self, input: Tensor) -> Tensor:
        return _pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    value: float

    def __init__(self, padding: int | Iterable[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return _pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _CircularPad(_Pad):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self._dims + 1, self._dims + 2):
            raise ValueError(
                f"{self._get_name()}: expected {self._dims + 1}D or {self._dims + 2}D input, got "
                f"{input.dim()}D input of shape {tuple(input.shape)}"
            )
        return _pad(input, self.padding, "circular")


class ConstantPad1d(_ConstantPad):
    """A margin of ``value`` around (N, C, L) or (C, L).

    ``padding`` is one number, or left, right.

    >>> import tapegrad as tg
    >>> tg.nn.ConstantPad1d(1, 9.0)(tg.arange(3.0).reshape(1, 1, 3)).flatten()
    tensor([9., 0., 1., 2., 9.])
    """

    _dims = 1


class ConstantPad2d(_ConstantPad):
    """A margin of ``value`` around (N, C, H, W) or (C, H, W).

    ``padding`` is one number, or left, right, top, bottom.

    >>> import tapegrad as tg
    >>> tg.nn.ConstantPad2d(1, 9.0)(tg.ones(1, 1, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 5])
    """

    _dims = 2


class ConstantPad3d(_ConstantPad):
    """A margin of ``value`` around (N, C, D, H, W) or (C, D, H, W).

    ``padding`` is one number, or left, right, top, bottom, front, back.

    >>> import tapegrad as tg
    >>> tg.nn.ConstantPad3d(1, 9.0)(tg.ones(1, 1, 2, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 4, 5])
    """

    _dims = 3


class ZeroPad1d(ConstantPad1d):
    """A margin of zeros around (N, C, L) or (C, L).

    ``padding`` is one number, or left, right.

    >>> import tapegrad as tg
    >>> tg.nn.ZeroPad1d(1)(tg.arange(3.0).reshape(1, 1, 3)).flatten()
    tensor([0., 0., 1., 2., 0.])
    """

    _dims = 1

    def __init__(self, padding: int | Iterable[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """A margin of zeros around (N, C, H, W) or (C, H, W).

    ``padding`` is one number, or left, right, top, bottom.

    >>> import tapegrad as tg
    >>> tg.nn.ZeroPad2d(1)(tg.ones(1, 1, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 5])
    """

    _dims = 2

    def __init__(self, padding: int | Iterable[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """A margin of zeros around (N, C, D, H, W) or (C, D, H, W).

    ``padding`` is one number, or left, right, top, bottom, front, back.

    >>> import tapegrad as tg
    >>> tg.nn.ZeroPad3d(1)(tg.ones(1, 1, 2, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 4, 5])
    """

    _dims = 3

    def __init__(self, padding: int | Iterable[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _Reflect(_Pad):
    _mode = "reflect"


class ReflectionPad1d(_Reflect):
    """A margin that mirrors the tensor at its edge around (N, C, L) or (C, L).

    ``padding`` is one number, or left, right.

    >>> import tapegrad as tg
    >>> tg.nn.ReflectionPad1d(1)(tg.arange(3.0).reshape(1, 1, 3)).flatten()
    tensor([1., 0., 1., 2., 1.])
    """

    _dims = 1


class ReflectionPad2d(_Reflect):
    """A margin that mirrors the tensor at its edge around (N, C, H, W) or (C, H, W).

    ``padding`` is one number, or left, right, top, bottom.

    >>> import tapegrad as tg
    >>> tg.nn.ReflectionPad2d(1)(tg.ones(1, 1, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 5])
    """

    _dims = 2


class ReflectionPad3d(_Reflect):
    """A margin that mirrors the tensor at its edge around (N, C, D, H, W) or (C, D, H, W).

    ``padding`` is one number, or left, right, top, bottom, front, back.

    >>> import tapegrad as tg
    >>> tg.nn.ReflectionPad3d(1)(tg.ones(1, 1, 2, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 4, 5])
    """

    _dims = 3


class _Replicate(_Pad):
    _mode = "replicate"


class ReplicationPad1d(_Replicate):
    """A margin of copies of the edge around (N, C, L) or (C, L).

    ``padding`` is one number, or left, right.

    >>> import tapegrad as tg
    >>> tg.nn.ReplicationPad1d(1)(tg.arange(3.0).reshape(1, 1, 3)).flatten()
    tensor([0., 0., 1., 2., 2.])
    """

    _dims = 1


class ReplicationPad2d(_Replicate):
    """A margin of copies of the edge around (N, C, H, W) or (C, H, W).

    ``padding`` is one number, or left, right, top, bottom.

    >>> import tapegrad as tg
    >>> tg.nn.ReplicationPad2d(1)(tg.ones(1, 1, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 5])
    """

    _dims = 2


class ReplicationPad3d(_Replicate):
    """A margin of copies of the edge around (N, C, D, H, W) or (C, D, H, W).

    ``padding`` is one number, or left, right, top, bottom, front, back.

    >>> import tapegrad as tg
    >>> tg.nn.ReplicationPad3d(1)(tg.ones(1, 1, 2, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 4, 5])
    """

    _dims = 3


class CircularPad1d(_CircularPad):
    """A margin that continues with the other side around (N, C, L) or (C, L).

    ``padding`` is one number, or left, right.

    >>> import tapegrad as tg
    >>> tg.nn.CircularPad1d(1)(tg.arange(3.0).reshape(1, 1, 3)).flatten()
    tensor([2., 0., 1., 2., 0.])
    """

    _dims = 1


class CircularPad2d(_CircularPad):
    """A margin that continues with the other side around (N, C, H, W) or (C, H, W).

    ``padding`` is one number, or left, right, top, bottom.

    >>> import tapegrad as tg
    >>> tg.nn.CircularPad2d(1)(tg.ones(1, 1, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 5])
    """

    _dims = 2


class CircularPad3d(_CircularPad):
    """A margin that continues with the other side around (N, C, D, H, W) or (C, D, H, W).

    ``padding`` is one number, or left, right, top, bottom, front, back.

    >>> import tapegrad as tg
    >>> tg.nn.CircularPad3d(1)(tg.ones(1, 1, 2, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 4, 5])
    """

    _dims = 3
