"""Adamax."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["Adamax"]


class Adamax(FusedOptimizer):
    """Adamax: Adam with the largest recent gradient in place of the mean square.

    With m the running mean under ``betas[0]``, corrected for its start at 0, and u the larger of
    ``betas[1] * u`` and ``abs(g) + eps``, a parameter loses ``lr * m / u``. ``weight_decay`` adds
    the parameter to the gradient. ``maximize`` ascends. ``foreach`` and ``capturable`` are
    accepted: the update is fused in any case, except with ``differentiable=True``, which runs
    tensor operations that gradients flow through.

    Kingma and Ba, https://arxiv.org/abs/1412.6980, section 7.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.Adamax([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    _rule_name = "adamax"
    _shaped = frozenset({"exp_avg", "exp_inf"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_adaptive(group)

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return self._adaptive_options(group)
