"""Answers for scripts that ask for a GPU: there is none.

>>> import tapegrad as tg
>>> tg.device("cuda" if tg.cuda.is_available() else "cpu")
device(type='cpu')
"""

from __future__ import annotations

from tapegrad.cuda import amp as amp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
    "reset_peak_memory_stats",
    "set_device",
    "synchronize",
]


def is_available() -> bool:
    """Always ``False``: tapegrad computes on the CPU."""
    return False


def is_initialized() -> bool:
    """Always ``False``."""
    return False


def is_bf16_supported() -> bool:
    """Always ``False``: the question is about a GPU."""
    return False


def device_count() -> int:
    """Always 0."""
    return 0


def manual_seed(seed: int) -> None:
    """Do nothing: there is no generator of a GPU to seed (PyTorch ignores the call as well)."""


def manual_seed_all(seed: int) -> None:
    """Do nothing: see :func:`manual_seed`."""


def empty_cache() -> None:
    """Do nothing: there is no memory of a GPU to give back."""


def memory_allocated(device: object = None) -> int:
    """Always 0."""
    return 0


def max_memory_allocated(device: object = None) -> int:
    """Always 0."""
    return 0


def reset_peak_memory_stats(device: object = None) -> None:
    """Do nothing."""


def _no_gpu(operation: str) -> NoReturn:
    raise RuntimeError(
        f"cuda.{operation}: tapegrad computes on the CPU only; "
        "guard the call with `if cuda.is_available():`"
    )


def synchronize(device: object = None) -> None:
    """Raise ``RuntimeError``: there is no GPU to wait for."""
    _no_gpu("synchronize")


def current_device() -> int:
    """Raise ``RuntimeError``: there is no GPU."""
    _no_gpu("current_device")


def set_device(device: object) -> None:
    """Raise ``RuntimeError``: there is no GPU."""
    _no_gpu("set_device")


def get_device_name(device: object = None) -> str:
    """Raise ``RuntimeError``: there is no GPU."""
    _no_gpu("get_device_name")
