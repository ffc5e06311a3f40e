"""Adam and AdamW."""

from __future__ import annotations

from tapegrad.optim._fused import FusedOptimizer
from tapegrad.optim._kernels import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim._kernels import Rule
    from tapegrad.optim.optimizer import Params

__all__ = ["Adam", "AdamW"]


class Adam(FusedOptimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    With m and v the running means under ``betas``, corrected for their start at 0, a parameter
    loses ``lr * m / (sqrt(v) + eps)``. ``weight_decay`` adds the parameter to the gradient, or with
    ``decoupled_weight_decay`` shrinks it directly (AdamW); ``amsgrad`` uses the largest v so far;
    ``maximize`` ascends. ``foreach``, ``fused`` and ``capturable`` are accepted: the update is
    fused in any case, except with ``differentiable=True``, which runs tensor operations that
    gradients flow through.

    Kingma and Ba, https://arxiv.org/abs/1412.6980; Reddi et al. for ``amsgrad``,
    https://arxiv.org/abs/1904.09237.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

    _shaped = frozenset({"exp_avg", "exp_avg_sq", "max_exp_avg_sq"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        self._check_adaptive(group)

    def _rule(self, group: dict[str, Any]) -> Rule:
        return RULES["adam_amsgrad" if group["amsgrad"] else "adam"]

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        return self._adaptive_options(group)


class AdamW(Adam):
    """Adam whose ``weight_decay`` (0.01 by default) shrinks the parameters directly.

    Loshchilov and Hutter, https://arxiv.org/abs/1711.05101. The arguments are those of
    :class:`Adam`.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> tg.optim.AdamW([w]).defaults["weight_decay"]
    0.01
    """

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict, as :meth:`Optimizer.load_state_dict`, also one of Adam."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
