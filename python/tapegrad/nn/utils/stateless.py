"""The former place of :func:`tapegrad.func.functional_call`."""

from __future__ import annotations

from tapegrad import func

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.nn.modules.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """:func:`tapegrad.func.functional_call`, which see; PyTorch has moved it there.

    >>> import tapegrad as tg
    >>> layer = tg.nn.Linear(1, 1, bias=False)
    >>> weight = {"weight": tg.tensor([[3.0]])}
    >>> tg.nn.utils.stateless.functional_call(layer, weight, tg.ones(1)).item()
    3.0
    """
    return func.functional_call(
        module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict
    )
