"""Flags of cuDNN; there is no GPU, so they are kept and have no effect."""

from __future__ import annotations

__all__ = ["is_available", "version"]

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Always ``False``."""
    return False


def version() -> int | None:
    """Always ``None``."""
    return None
