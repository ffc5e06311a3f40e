"""The version of this installation, in PyTorch's module layout."""

from __future__ import annotations

from tapegrad._C import __version__

__all__ = ["__version__", "cuda", "hip"]

cuda: str | None = None
hip: str | None = None
