"""Helpers around training: :mod:`tapegrad.utils.data`, hook handles."""

from __future__ import annotations

from tapegrad.utils import hooks as hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad.utils import data as data

__all__ = ["data", "hooks"]


def __getattr__(name: str) -> Any:
    if name == "data":
        from importlib import import_module

        return import_module("tapegrad.utils.data")
    raise AttributeError(f"module 'tapegrad.utils' has no attribute '{name}'")
