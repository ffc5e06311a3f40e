"""Linear algebra, with PyTorch's names (``torch.linalg``)."""

from __future__ import annotations

from tapegrad import _C
from tapegrad._C._linalg import *  # noqa: F403

__all__ = [_name for _name in dir(_C._linalg) if not _name.startswith("_")]
