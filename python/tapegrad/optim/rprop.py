"""Rprop."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["Rprop"]


class Rprop(FusedOptimizer):
    """Resilient backpropagation: each element has a step size of its own, steered by signs alone.

    Where the gradient keeps its sign the size grows by ``etas[1]``, where it turns it shrinks by
    ``etas[0]`` and the element waits for one step; sizes start at ``lr`` and stay within
    ``step_sizes``. For full batches. ``maximize`` ascends. ``foreach`` and ``capturable`` are
    accepted: the update is fused in any case, except with ``differentiable=True``, which runs
    tensor operations that gradients flow through.

    Riedmiller and Braun, 1993.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.Rprop([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    _rule_name = "rprop"
    _shaped = frozenset({"prev", "step_size"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_lr(group)
        low, high = group["etas"]
        self._require(0 < low < 1 < high, "eta values", f"{low}, {high}")

    def _start(self, name: str, group: dict[str, Any]) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (*group["etas"], *group["step_sizes"])
