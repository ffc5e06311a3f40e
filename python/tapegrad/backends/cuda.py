"""CUDA's flags; there is no GPU, so they are kept and have no effect."""

from __future__ import annotations

__all__ = ["is_built", "matmul"]


class _Matmul:
    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True


matmul = _Matmul()


def is_built() -> bool:
    """Always ``False``."""
    return False
