"""Helpers around training: :mod:`tapegrad.utils.data`, checkpoints, hook handles."""

from __future__ import annotations

from tapegrad.utils import hooks as hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad.utils import checkpoint as checkpoint
    from tapegrad.utils import data as data

__all__ = ["checkpoint", "data", "hooks"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return import_module(f"tapegrad.utils.{name}")
    raise AttributeError(f"module 'tapegrad.utils' has no attribute '{name}'")
