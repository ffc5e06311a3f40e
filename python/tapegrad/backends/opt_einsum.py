"""The order in which einsum contracts three and more operands, found by opt_einsum."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["get_opt_einsum", "is_available"]

enabled = True
#: "auto", "greedy", "optimal", ... as opt_einsum names them; None is "auto".
strategy: str | None = "auto"


def is_available() -> bool:
    """Whether opt_einsum is installed."""
    return find_spec("opt_einsum") is not None


def get_opt_einsum() -> Any:
    """The package, or None where it is not installed."""
    return import_module("opt_einsum") if is_available() else None
