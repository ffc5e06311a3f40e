"""OpenMP, the thread runtime."""

from __future__ import annotations

from tapegrad import _C

__all__ = ["is_available"]


def is_available() -> bool:
    """Whether this build runs its loops on OpenMP threads."""
    return bool(_C.build_info()["threads_by"] == "OpenMP")
