"""Averaged stochastic gradient descent."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["ASGD"]


class ASGD(FusedOptimizer):
    """Gradient descent with decaying rate, and the average of the parameters beside it.

    Step t has the rate ``lr / (1 + lambd * lr * t) ** alpha``; the average ``ax`` in the state of a
    parameter follows it until step ``t0`` and averages from then on. ``lambd`` and ``weight_decay``
    pull parameters towards 0. ``maximize`` ascends. ``foreach`` and ``capturable`` are accepted:
    the update is fused in any case, except with ``differentiable=True``, which runs tensor
    operations that gradients flow through.

    Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.ASGD([w], lr=0.25, lambd=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    _rule_name = "asgd"
    _shaped = frozenset({"ax"})
    _scalar = frozenset({"step", "eta", "mu"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_lr(group)
        self._check_nonnegative(group, weight_decay="weight_decay value")

    def _start(self, name: str, group: dict[str, Any]) -> float:
        return {"eta": float(group["lr"]), "mu": 1.0}.get(name, 0.0)

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (group["lr"], group["lambd"], group["alpha"], group["t0"])
