"""Layers, losses and the module that holds them together."""

from __future__ import annotations

from tapegrad.nn import modules as modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad.nn import functional as functional
    from tapegrad.nn import init as init
    from tapegrad.nn import parameter as parameter
    from tapegrad.nn import utils as utils
    from tapegrad.nn.modules import *  # noqa: F403
    from tapegrad.nn.parameter import Buffer as Buffer
    from tapegrad.nn.parameter import Parameter as Parameter
    from tapegrad.nn.parameter import UninitializedBuffer as UninitializedBuffer
    from tapegrad.nn.parameter import UninitializedParameter as UninitializedParameter

_PARTS = ("functional", "init", "modules", "parameter", "utils")
_PARAMETERS = ("Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter")

if not TYPE_CHECKING:  # type checkers take the imports above
    __all__ = [*_PARAMETERS, *_PARTS, *modules.__all__]


def __getattr__(name: str) -> Any:
    """Everything is loaded when it is first used, so that a program pays for what it takes."""
    if name in _PARTS:
        from importlib import import_module

        value: Any = import_module(f"{__name__}.{name}")
    elif name in _PARAMETERS:
        from tapegrad.nn import parameter

        value = getattr(parameter, name)
    elif name in modules._HOMES:
        value = getattr(modules, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS, *_PARAMETERS, *modules._HOMES})
