"""Stochastic gradient descent."""

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

__all__ = ["SGD"]

_sgd = _kernels.sgd_


class SGD(Optimizer):
    """Gradient descent with momentum, dampening, Nesterov's variant and weight decay.

    With g the gradient plus ``weight_decay`` times the parameter: the buffer b becomes
    ``momentum * b + (1 - dampening) * g`` (g itself at the first step), and the parameter loses
    ``lr * b``, or ``lr * (g + momentum * b)`` with ``nesterov``. ``maximize`` ascends.
    ``foreach`` and ``fused`` are accepted: the update is always fused. ``differentiable=True``
    is an error.

    Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.

    >>> import tapegrad as tg
    >>> w = tg.tensor([1.0], requires_grad=True)
    >>> optimizer = tg.optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.5000], requires_grad=True)
    """

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
        refuse_differentiable("SGD", differentiable)
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
        self._check_group(defaults)
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        for name, words in (
            ("lr", "learning rate"),
            ("momentum", "momentum value"),
            ("weight_decay", "weight_decay value"),
        ):
            if not float(group[name]) >= 0:
                raise ValueError(f"Invalid {words}: {group[name]}")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; returns what ``closure`` returned."""
        loss = None if closure is None else run_closure(closure)
        for group in self.param_groups:
            params = group["params"]
            momentum = group["momentum"]
            buffers: list[Tensor] | None = None
            first: list[bool] | None = None
            if momentum:
                params, buffers, first = self._buffers(params)
            _sgd(
                params,
                None,
                buffers,
                first,
                float(group["lr"]),
                momentum,
                group["dampening"],
                float(group["weight_decay"]),
                group["nesterov"],
                group["maximize"],
            )
            if first is not None and buffers is not None:
                for param, buffer in zip(params, buffers, strict=True):
                    self.state[param]["momentum_buffer"] = buffer
        return loss

    def _buffers(
        self, params: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor], list[bool] | None]:
        """The parameters to update, their buffers, and which of those are new.

        New buffers join the state only after the update, so that an error leaves no trace.
        """
        state = self.state
        used: list[Tensor] = []
        buffers: list[Tensor] = []
        first: list[bool] = []
        for param in params:
            own = state.get(param)
            buffer: Tensor | None = own.get("momentum_buffer") if own else None
            if buffer is None and param.grad is None:
                continue
            first.append(buffer is None)
            if buffer is None:
                buffer = _C.zeros_like(param)
            used.append(param)
            buffers.append(buffer)
        return used, buffers, first if True in first else None
