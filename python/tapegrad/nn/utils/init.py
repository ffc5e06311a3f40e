"""Modules whose parameters are left as the memory had them."""

from __future__ import annotations

from tapegrad.nn import init
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    M = TypeVar("M", bound=Module)

__all__ = ["skip_init"]


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """``module_cls(*args, **kwargs)`` without the random numbers of its parameters.

    They are whatever the memory holds, as those of :func:`tapegrad.empty`, and the random number
    generator stays where it was: for weights that are loaded or drawn anew anyway. The constructor
    must take ``device``, and set its parameters by functions of :mod:`tapegrad.nn.init`.

    Errors: ``RuntimeError`` for what is no class of modules or takes no ``device``.

    >>> import tapegrad as tg
    >>> tg.nn.utils.skip_init(tg.nn.Linear, 5, 1).weight.shape
    tapegrad.Size([1, 5])
    """
    from inspect import signature

    kind: Any = module_cls
    if not isinstance(kind, type) or not issubclass(kind, Module):
        raise RuntimeError(f"skip_init: expected a class of modules, got {module_cls!r}")
    if "device" not in signature(module_cls).parameters:
        raise RuntimeError(
            f"skip_init: {module_cls.__name__} must take a 'device' argument, as modules do whose "
            "parameters are made in the constructor alone"
        )
    with init._skipping():
        return module_cls(*args, **kwargs)
