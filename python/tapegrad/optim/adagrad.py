"""Adagrad."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["Adagrad"]


class Adagrad(FusedOptimizer):
    """Adagrad: gradients divided by the root of the sum of their squares so far.

    With s the sum of g^2, which starts at ``initial_accumulator_value``, step t takes ``lr / (1 +
    (t - 1) * lr_decay) * g / (sqrt(s) + eps)`` from a parameter. ``weight_decay`` adds the
    parameter to the gradient. ``maximize`` ascends. ``foreach`` and ``fused`` are accepted: the
    update is fused in any case, except with ``differentiable=True``, which runs tensor operations
    that gradients flow through.

    Duchi et al., Adaptive subgradient methods for online learning, 2011.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    _rule_name = "adagrad"
    _shaped = frozenset({"sum"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:  # PyTorch's layout has the state from the start
            for param in group["params"]:
                self.state[param] = self._new_state(param, group, self._rule(group))

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_lr(group)
        self._check_nonnegative(
            group,
            lr_decay="lr_decay value",
            weight_decay="weight_decay value",
            initial_accumulator_value="initial_accumulator_value value",
            eps="epsilon value",
        )

    def _start(self, name: str, group: dict[str, Any]) -> float:
        return group["initial_accumulator_value"] if name == "sum" else 0.0

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return (group["lr"], group["lr_decay"], group["eps"])
