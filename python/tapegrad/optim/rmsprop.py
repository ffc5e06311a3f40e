"""RMSprop."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer
from tapegrad.optim._kernels import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim._kernels import Rule
    from tapegrad.optim.optimizer import Params

__all__ = ["RMSprop"]


class RMSprop(FusedOptimizer):
    """RMSprop: gradients divided by the root of their running mean square.

    With v the running mean of g^2 under ``alpha``, a parameter loses ``lr * g / (sqrt(v) + eps)``;
    with ``momentum`` the buffer b becomes ``momentum * b + g / (sqrt(v) + eps)`` and the parameter
    loses ``lr * b``. ``centered`` takes the square of the running mean of g from v first.
    ``weight_decay`` adds the parameter to the gradient. ``maximize`` ascends. ``foreach`` and
    ``capturable`` are accepted: the update is fused in any case, except with
    ``differentiable=True``, which runs tensor operations that gradients flow through.

    Tieleman and Hinton, lecture 6.5 of Neural Networks for Machine Learning, 2012; Graves for
    ``centered``, https://arxiv.org/abs/1308.0850.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.RMSprop([w], lr=0.05)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    _shaped = frozenset({"square_avg", "grad_avg", "momentum_buffer"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_lr(group)
        self._check_nonnegative(
            group,
            eps="epsilon value",
            momentum="momentum value",
            weight_decay="weight_decay value",
            alpha="alpha value",
        )

    def _rule(self, group: dict[str, Any]) -> Rule:
        centered = "_centered" if group["centered"] else ""
        return RULES["rmsprop" + centered + ("_momentum" if group["momentum"] > 0 else "")]

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (group["lr"], group["alpha"], group["eps"], group["momentum"])
