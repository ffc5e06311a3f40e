"""Special functions, with PyTorch's names (``torch.special``)."""

from __future__ import annotations

from tapegrad import _C
from tapegrad._C._special import *  # noqa: F403

__all__ = [_name for _name in dir(_C._special) if not _name.startswith("_")]
