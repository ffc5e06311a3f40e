"""Adam and AdamW."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.optim import _kernels
from tapegrad.optim.optimizer import Optimizer, refuse_differentiable, run_closure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["Adam", "AdamW"]

_adam = _kernels.adam_


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    With m and v the running means under ``betas``, corrected for their start at 0, a parameter
    loses ``lr * m / (sqrt(v) + eps)``. ``weight_decay`` adds the parameter to the gradient, or
    with ``decoupled_weight_decay`` shrinks it directly (AdamW); ``amsgrad`` uses the largest v so
    far; ``maximize`` ascends. ``foreach``, ``fused`` and ``capturable`` are accepted: the update
    is always fused. ``differentiable=True`` is an error.

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

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
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
        refuse_differentiable(type(self).__name__, differentiable)
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
        self._check_group(defaults)
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        if not float(group["lr"]) >= 0:
            raise ValueError(f"Invalid learning rate: {group['lr']}")
        if not group["eps"] >= 0:
            raise ValueError(f"Invalid epsilon value: {group['eps']}")
        for i in (0, 1):
            if not 0 <= float(group["betas"][i]) < 1:
                raise ValueError(f"Invalid beta parameter at index {i}: {group['betas'][i]}")
        if not group["weight_decay"] >= 0:
            raise ValueError(f"Invalid weight_decay value: {group['weight_decay']}")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; returns what ``closure`` returned."""
        loss = None if closure is None else run_closure(closure)
        for group in self.param_groups:
            amsgrad = group["amsgrad"]
            beta1, beta2 = group["betas"]
            params, states, fresh = self._states(group["params"], amsgrad)
            _adam(
                params,
                None,
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [state["max_exp_avg_sq"] for state in states] if amsgrad else None,
                [state["step"] for state in states],
                float(group["lr"]),
                float(beta1),
                float(beta2),
                group["eps"],
                group["weight_decay"],
                amsgrad,
                group["maximize"],
                group["decoupled_weight_decay"],
            )
            if fresh:
                self.state.update(fresh)
        return loss

    def _states(
        self, params: list[Tensor], amsgrad: bool
    ) -> tuple[list[Tensor], list[dict[str, Any]], dict[Tensor, dict[str, Any]]]:
        """The parameters to update, their states, and those states that are new.

        New ones join the optimizer only after the update, so that an error leaves no trace.
        """
        known = self.state
        found = list(map(known.get, params))
        if all(found):  # the common case: all parameters have been updated before
            return params, found, {}  # type: ignore[return-value]
        used: list[Tensor] = []
        states: list[dict[str, Any]] = []
        fresh: dict[Tensor, dict[str, Any]] = {}
        for param in params:
            state = known.get(param)
            if not state:
                if param.grad is None:
                    continue
                state = fresh[param] = _new_state(param, amsgrad)
            used.append(param)
            states.append(state)
        return used, states, fresh


def _new_state(param: Tensor, amsgrad: bool) -> dict[str, Any]:
    state = {
        "step": _C.zeros((), dtype=_C.float32),
        "exp_avg": _C.zeros_like(param),
        "exp_avg_sq": _C.zeros_like(param),
    }
    if amsgrad:
        state["max_exp_avg_sq"] = _C.zeros_like(param)
    return state


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
        betas: tuple[float, float] = (0.9, 0.999),
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
