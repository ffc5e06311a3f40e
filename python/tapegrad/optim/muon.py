"""Muon."""

from __future__ import annotations

import math

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad
from tapegrad.optim.optimizer import Optimizer, run_closure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["Muon"]


class Muon(Optimizer):
    """Muon: momentum whose singular values are all made (nearly) 1, for weight matrices.

    The running mean of the gradient (looking ahead with ``nesterov``) is brought near the closest
    orthogonal matrix by ``ns_steps`` Newton-Schulz steps with ``ns_coefficients``, in bfloat16, and
    a parameter loses ``lr`` times that; ``weight_decay`` shrinks it. ``adjust_lr_fn`` scales the
    rate with the shape (A, B): None or "original" by ``sqrt(max(1, A / B))``, "match_rms_adamw" by
    ``0.2 * sqrt(max(A, B))``, so that rates of AdamW fit. Parameters must have 2 dimensions; give
    biases, embeddings and the like to another optimizer.

    Jordan, https://kellerjordan.github.io/posts/muon; Liu et al., https://arxiv.org/abs/2502.16982.

    >>> import tapegrad as tg
    >>> w = tg.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    >>> optimizer = tg.optim.Muon([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> bool((w.diagonal() < 0.95).all())
    True
    """

    _shaped = frozenset({"momentum_buffer"})

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        self._check_group(defaults)
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        if isinstance(group["lr"], _C.Tensor) and group["lr"].numel() != 1:
            raise ValueError(f"Muon: Tensor lr must be 1-element, got {group['lr']}")
        for name, words in (
            ("lr", "Learning rate"),
            ("momentum", "momentum"),
            ("weight_decay", "weight decay"),
        ):
            if not float(group[name]) >= 0:
                raise ValueError(f"Muon: {words} should be >= 0 but is: {group[name]}")
        if group["adjust_lr_fn"] not in (None, "original", "match_rms_adamw"):
            raise ValueError(
                f"Muon: Adjust learning rate function {group['adjust_lr_fn']} is not supported; "
                "take None, 'original' or 'match_rms_adamw'"
            )
        if len(group["ns_coefficients"]) != 3:
            raise ValueError(
                "Muon: ns_coefficients must be a tuple of exactly 3 values, got "
                f"{group['ns_coefficients']}"
            )
        if not 0 <= group["ns_steps"] < 100:
            raise ValueError(
                "Muon: Number of steps must be less than 100 for computational efficiency, got "
                f"ns_steps={group['ns_steps']}"
            )
        for param in group.get("params", ()):
            if param.dim() != 2:
                raise ValueError(
                    "Muon only supports 2D parameters whereas we found a parameter with size: "
                    f"{tuple(param.shape)}"
                )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient, once.

        Arguments: ``closure`` computes the loss and its gradients anew; it is called first. Returns
        what it returned, or None.
        """
        loss = run_closure(closure)
        with no_grad():
            used = [
                (param, group)
                for group in self.param_groups
                for param in group["params"]
                if param.grad is not None
            ]
            for param, _ in used:
                if param.dim() != 2 or param.grad.shape != param.shape:
                    raise ValueError(
                        f"Muon: a parameter has shape {tuple(param.shape)}, its gradient "
                        f"{tuple(param.grad.shape)}; both must be the same matrix"
                    )
            for param, group in used:
                self._update(param, param.grad, group)
        return loss

    def _update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = _C.zeros_like(grad)
        buffer = state["momentum_buffer"]
        momentum, lr = group["momentum"], float(group["lr"])
        buffer.lerp_(grad, 1 - momentum)
        direction = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
        direction = _orthogonal(
            direction, group["ns_coefficients"], group["ns_steps"], group["eps"]
        )
        rows, columns = param.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            rate = lr * 0.2 * math.sqrt(max(rows, columns))
        else:
            rate = lr * math.sqrt(max(1, rows / columns))
        param.mul_(1 - lr * group["weight_decay"])
        param.add_(direction.to(param.dtype), alpha=-rate)


def _orthogonal(
    matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Near the closest orthogonal matrix, by an odd polynomial applied ``steps`` times."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(_C.bfloat16)
    x = x.t() if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.t()
        x = _C.addmm(x, _C.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x
