"""Forward mode: numbers that carry a tangent along.

>>> import tapegrad as tg
>>> import tapegrad.autograd.forward_ad as fwAD
>>> with fwAD.dual_level():
...     x = fwAD.make_dual(tg.tensor(3.0), tg.tensor(1.0))
...     fwAD.unpack_dual(x * x).tangent.item()
6.0
"""

from __future__ import annotations

import threading
from collections import namedtuple

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class UnpackedDualTensor(NamedTuple):
        """The value of a dual tensor and its tangent, or None."""

        primal: _C.Tensor
        tangent: _C.Tensor | None

else:
    UnpackedDualTensor = namedtuple("UnpackedDualTensor", ["primal", "tangent"])
    UnpackedDualTensor.__doc__ = "The value of a dual tensor and its tangent, or None."

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]


class _Open(threading.local):
    """The numbers of the open levels of this thread, innermost last."""

    def __init__(self) -> None:
        self.levels: list[int] = []


_open = _Open()


def _innermost() -> int:
    return _open.levels[-1] if _open.levels else -1


def enter_dual_level() -> int:
    """Open a level of forward mode and return its number; :class:`dual_level` closes it safely."""
    level = int(_C._enter_dual_level())
    _open.levels.append(level)
    return level


def exit_dual_level(*, level: int | None = None) -> None:
    """Close the innermost level (``level``, when given, must be it); its tangents are dropped."""
    innermost = _innermost()
    if level is None:
        level = innermost
    if level != innermost or level < 0:
        raise RuntimeError(
            f"exit_dual_level: level {level} is not the innermost open level ({innermost}); "
            "close levels in the reverse of the order they were opened in"
        )
    _C._exit_dual_level(level)
    _open.levels.pop()


class dual_level:
    """Context manager: one level of forward mode, in which tangents live.

    Errors: closing levels out of order is a ``RuntimeError``.
    """

    __slots__ = ("_level",)

    def __enter__(self) -> int:
        self._level = enter_dual_level()
        return self._level

    def __exit__(self, *exc_info: object) -> None:
        exit_dual_level(level=self._level)


def make_dual(tensor: _C.Tensor, tangent: _C.Tensor, *, level: int | None = None) -> _C.Tensor:
    """A tensor with the value of ``tensor`` and the derivative ``tangent``.

    ``tangent`` must have the shape and dtype of ``tensor``, which must be floating point.
    """
    if level is None:
        level = _innermost()
    if level < 0:
        raise RuntimeError("make_dual: no level is open; call it inside `with dual_level():`")
    return _C._make_dual(tensor, tangent, level)


def unpack_dual(tensor: _C.Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value of a dual tensor and its tangent (``None`` when it carries none)."""
    if level is None:
        level = _innermost()
    if level < 0:
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(*_C._unpack_dual(tensor, level))
