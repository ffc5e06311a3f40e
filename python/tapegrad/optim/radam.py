"""RAdam."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["RAdam"]


class RAdam(FusedOptimizer):
    """RAdam: Adam that waits with its adaptive steps until the mean square is worth something.

    While the variance of the mean square cannot be bounded (the first steps), a parameter loses
    ``lr * m``, afterwards Adam's step times a factor that rises to 1. ``weight_decay`` adds the
    parameter to the gradient, or with ``decoupled_weight_decay`` shrinks it directly. ``maximize``
    ascends. ``foreach`` and ``capturable`` are accepted: the update is fused in any case, except
    with ``differentiable=True``, which runs tensor operations that gradients flow through.

    Liu et al., https://arxiv.org/abs/1908.03265.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.RAdam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    _rule_name = "radam"
    _shaped = frozenset({"exp_avg", "exp_avg_sq"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
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
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_adaptive(group)

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return self._adaptive_options(group)
