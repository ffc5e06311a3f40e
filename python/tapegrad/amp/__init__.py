"""Automatic mixed precision, accepted and not acted on.

On this machine's CPU every operation runs in the dtype of its operands. ``autocast`` and
``GradScaler`` exist so that training loops written for a GPU run unchanged; both say in
``is_enabled`` that they are off.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, TypeVar

    from typing_extensions import Self

    from tapegrad._C import Tensor
    from tapegrad._C import dtype as _dtype
    from tapegrad.optim import Optimizer

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["GradScaler", "autocast"]


class autocast:
    """Context manager and decorator with PyTorch's signature that changes nothing.

    >>> import tapegrad as tg
    >>> with tg.autocast("cpu", dtype=tg.bfloat16):
    ...     (tg.ones(2) * 2).dtype
    tapegrad.float32
    """

    def __init__(
        self,
        device_type: str,
        dtype: _dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(
                f"autocast: expected device_type of type str, got {type(device_type).__name__}"
            )
        self.device = device_type

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def __call__(self, function: F) -> F:  # noqa: D102
        return function


class GradScaler:
    """Gradient scaling that is switched off: ``scale`` returns its input, ``step`` steps.

    >>> import tapegrad as tg
    >>> scaler = tg.amp.GradScaler("cuda")
    >>> scaler.is_enabled(), scaler.scale(tg.tensor(2.0)).item()
    (False, 2.0)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self.device = device

    def scale(self, outputs: Tensor) -> Tensor:
        """Return ``outputs``."""
        return outputs

    def unscale_(self, optimizer: Optimizer) -> None:
        """Do nothing: the gradients are not scaled."""

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Return ``optimizer.step(*args, **kwargs)``."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | None = None) -> None:
        """Do nothing."""

    def get_scale(self) -> float:
        """Always 1.0."""
        return 1.0

    def is_enabled(self) -> bool:
        """Always ``False``."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """An empty dict, as in PyTorch when scaling is off."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing."""
