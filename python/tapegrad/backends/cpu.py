"""The processor that the kernels run on."""

from __future__ import annotations

from tapegrad import _C

__all__ = ["get_cpu_capability"]


def get_cpu_capability() -> str:
    """The instruction-set level in use, as :func:`tapegrad.build_info` tells it."""
    return str(_C.build_info()["isa"])
