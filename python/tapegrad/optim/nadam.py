"""NAdam."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["NAdam"]


class NAdam(FusedOptimizer):
    """NAdam: Adam with Nesterov's look ahead, its momentum rising over the steps.

    Step t has the momentum ``betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay))``.
    ``weight_decay`` adds the parameter to the gradient, or with ``decoupled_weight_decay`` shrinks
    it directly. ``maximize`` ascends. ``foreach`` and ``capturable`` are accepted: the update is
    fused in any case, except with ``differentiable=True``, which runs tensor operations that
    gradients flow through.

    Dozat, Incorporating Nesterov momentum into Adam, 2016.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.NAdam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.4718], requires_grad=True)
    """

    _rule_name = "nadam"
    _shaped = frozenset({"exp_avg", "exp_avg_sq"})
    _scalar = frozenset({"step", "mu_product"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_adaptive(group)
        self._check_nonnegative(group, momentum_decay="momentum_decay value")

    def _start(self, name: str, group: dict[str, Any]) -> float:
        return 1.0 if name == "mu_product" else 0.0

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (*self._adaptive_options(group), group["momentum_decay"])
