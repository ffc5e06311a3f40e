"""Adadelta."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["Adadelta"]


class Adadelta(FusedOptimizer):
    """Adadelta: steps as large as recent steps were, against the size of recent gradients.

    With v and u the running means under ``rho`` of g^2 and of the squared steps, the step is
    ``sqrt(u + eps) / sqrt(v + eps) * g``, and the parameter loses ``lr`` times it. ``weight_decay``
    adds the parameter to the gradient. ``maximize`` ascends. ``foreach`` and ``capturable`` are
    accepted: the update is fused in any case, except with ``differentiable=True``, which runs
    tensor operations that gradients flow through.

    Zeiler, https://arxiv.org/abs/1212.5701.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.Adadelta([w], lr=100.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.6838], requires_grad=True)
    """

    _rule_name = "adadelta"
    _shaped = frozenset({"square_avg", "acc_delta"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_lr(group)
        self._require(0 <= group["rho"] <= 1, "rho value", group["rho"])
        self._check_nonnegative(group, eps="epsilon value", weight_decay="weight_decay value")

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (group["lr"], group["rho"], group["eps"])
