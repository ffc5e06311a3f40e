"""PyTorch's old home of automatic mixed precision; see :mod:`tapegrad.amp`."""

from __future__ import annotations

from tapegrad.amp import GradScaler as GradScaler
from tapegrad.amp import autocast as _autocast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import dtype as _dtype

__all__ = ["GradScaler", "autocast"]


class autocast(_autocast):
    """``amp.autocast("cuda")``, which changes nothing on a CPU.

    >>> import tapegrad as tg
    >>> with tg.cuda.amp.autocast():
    ...     tg.ones(2).dtype
    tapegrad.float32
    """

    def __init__(
        self,
        enabled: bool = True,
        dtype: _dtype | None = None,
        cache_enabled: bool = True,
    ) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)
