"""Stochastic gradient descent."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer
from tapegrad.optim._kernels import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim._kernels import Rule
    from tapegrad.optim.optimizer import Params

__all__ = ["SGD"]


class SGD(FusedOptimizer):
    """Gradient descent with momentum, dampening, Nesterov's variant and weight decay.

    With g the gradient plus ``weight_decay`` times the parameter: the buffer b becomes
    ``momentum * b + (1 - dampening) * g`` (g itself at the first step), and the parameter loses
    ``lr * b``, or ``lr * (g + momentum * b)`` with ``nesterov``. ``maximize`` ascends. ``foreach``
    and ``fused`` are accepted: the update is fused in any case, except with
    ``differentiable=True``, which runs tensor operations that gradients flow through.

    Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    _shaped = frozenset({"momentum_buffer"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_lr(group)
        self._check_nonnegative(group, momentum="momentum value", weight_decay="weight_decay value")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"{type(self).__name__}: Nesterov momentum requires a momentum and zero dampening, "
                f"got momentum={group['momentum']}, dampening={group['dampening']}"
            )

    def _rule(self, group: dict[str, Any]) -> Rule:
        return RULES["sgd_momentum" if group["momentum"] else "sgd"]

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (group["lr"], group["momentum"], group["dampening"], group["nesterov"])
