"""Small functions of PyTorch's top level that scripts call before any mathematics."""

from __future__ import annotations

from tapegrad._C import Tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeGuard

__all__ = [
    "are_deterministic_algorithms_enabled",
    "compile",
    "get_float32_matmul_precision",
    "is_tensor",
    "set_float32_matmul_precision",
    "typename",
    "use_deterministic_algorithms",
]

_PRECISIONS = ("highest", "high", "medium")
_precision = "highest"


def is_tensor(obj: object, /) -> TypeGuard[Tensor]:
    """Whether ``obj`` is a tensor.

    >>> import tapegrad as tg
    >>> tg.is_tensor(tg.ones(2)), tg.is_tensor(1.0)
    (True, False)
    """
    return isinstance(obj, Tensor)


def typename(obj: object, /) -> str:
    """The qualified name of an object's type, as error messages show it.

    >>> import tapegrad as tg
    >>> tg.typename(1.5)
    'float'
    """
    kind = obj if isinstance(obj, type) else type(obj)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def compile(model: Callable[..., Any] | None = None, **options: object) -> Any:
    """Return ``model`` unchanged; there is nothing to compile.

    Scripts that call ``torch.compile(model)`` or decorate a function with it run as they are. All
    keyword options of PyTorch are accepted and have no effect.

    >>> import tapegrad as tg
    >>> @tg.compile
    ... def double(x):
    ...     return 2 * x
    >>> double(tg.tensor(3.0)).item()
    6.0
    """
    if model is None:
        return lambda function: function
    if not callable(model):
        raise TypeError(f"compile: expected a function or a module, got {typename(model)}")
    return model


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accept PyTorch's request for reproducible results, which always holds here.

    Every operation gives the same bits on each run and with any number of threads, so there is no
    other mode: ``use_deterministic_algorithms(False)`` changes nothing.
    """


def are_deterministic_algorithms_enabled() -> bool:
    """Always true: see :func:`use_deterministic_algorithms`."""
    return True


def set_float32_matmul_precision(precision: str) -> None:
    """Set how float32 products may be rounded: ``"highest"``, ``"high"`` or ``"medium"``.

    All three compute in full float32 here, which satisfies each of them; the value is kept for
    :func:`get_float32_matmul_precision`. Any other value is a ``ValueError``.
    """
    global _precision
    if precision not in _PRECISIONS:
        raise ValueError(
            f"set_float32_matmul_precision: expected one of {', '.join(_PRECISIONS)}, "
            f"got {precision!r}"
        )
    _precision = precision


def get_float32_matmul_precision() -> str:
    """The value last given to :func:`set_float32_matmul_precision`; at first ``"highest"``."""
    return _precision
