"""PyTorch's old constructors by dtype: ``FloatTensor``, ``LongTensor`` and their kin.

They build tensors of one dtype and answer ``isinstance``; they are no types of their own, since
every tensor is a :class:`tapegrad.Tensor`.

>>> import tapegrad as tg
>>> tg.LongTensor([1, 2, 3])
tensor([1, 2, 3])
>>> isinstance(tg.ones(2), tg.FloatTensor), isinstance(tg.ones(2), tg.LongTensor)
(True, False)
"""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
]


class _TypedConstructor(type):
    dtype: _C.dtype

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _C.Tensor) and instance.dtype == cls.dtype

    def __call__(cls, *args: Any) -> _C.Tensor:
        """``T(data)`` copies data; ``T(2, 3)`` and ``T(Size)`` give zeros of that shape."""
        if not args:
            return _C.zeros((0,), dtype=cls.dtype)
        if len(args) == 1 and isinstance(args[0], _C.Size):
            return _C.zeros(args[0], dtype=cls.dtype)
        if all(isinstance(arg, int) and not isinstance(arg, bool) for arg in args):
            return _C.zeros(args, dtype=cls.dtype)
        if len(args) > 1:
            raise TypeError(f"{cls.__name__}: expected data, or sizes as int, got {args!r}")
        return _C.tensor(args[0], dtype=cls.dtype)


class FloatTensor(metaclass=_TypedConstructor):
    """Constructor of float32 tensors."""

    dtype = _C.float32


class DoubleTensor(metaclass=_TypedConstructor):
    """Constructor of float64 tensors."""

    dtype = _C.float64


class HalfTensor(metaclass=_TypedConstructor):
    """Constructor of float16 tensors."""

    dtype = _C.float16


class BFloat16Tensor(metaclass=_TypedConstructor):
    """Constructor of bfloat16 tensors."""

    dtype = _C.bfloat16


class ByteTensor(metaclass=_TypedConstructor):
    """Constructor of uint8 tensors."""

    dtype = _C.uint8


class CharTensor(metaclass=_TypedConstructor):
    """Constructor of int8 tensors."""

    dtype = _C.int8


class ShortTensor(metaclass=_TypedConstructor):
    """Constructor of int16 tensors."""

    dtype = _C.int16


class IntTensor(metaclass=_TypedConstructor):
    """Constructor of int32 tensors."""

    dtype = _C.int32


class LongTensor(metaclass=_TypedConstructor):
    """Constructor of int64 tensors."""

    dtype = _C.int64


class BoolTensor(metaclass=_TypedConstructor):
    """Constructor of bool tensors."""

    dtype = _C.bool
