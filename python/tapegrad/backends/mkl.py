"""Intel's MKL; not used."""

from __future__ import annotations

__all__ = ["is_available"]


def is_available() -> bool:
    """Always ``False``: float64 products run on Eigen."""
    return False
