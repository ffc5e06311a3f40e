"""oneDNN, under the name that PyTorch kept for it."""

from __future__ import annotations

from tapegrad import _C

__all__ = ["is_available"]

enabled = True


def is_available() -> bool:
    """Whether this build runs float32 products and convolutions on oneDNN."""
    return bool(_C.build_info().get("onednn"))
