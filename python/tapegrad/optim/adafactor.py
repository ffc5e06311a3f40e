"""Adafactor."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad
from tapegrad.optim.optimizer import Optimizer, run_closure, scalar_dtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Adafactor: Adam's scaling from the means of rows and columns, almost without memory.

    Of a matrix (the last two dimensions) only the mean squares of the gradient's rows and columns
    are kept; their product estimates the mean square of each element. Steps are relative to the
    size of the parameter, with ``lr`` the largest relative step, and clipped at a root mean square
    of ``d``. ``beta2_decay`` is the power of the step count that the means forget with; ``eps`` is
    the least mean square (None: that of the dtype) and the least parameter size; ``weight_decay``
    shrinks the parameter. ``maximize`` ascends; ``foreach`` is accepted and changes nothing.

    Shazeer and Stern, https://arxiv.org/abs/1804.04235, with PyTorch's rates.

    >>> import tapegrad as tg
    >>> w = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> optimizer = tg.optim.Adafactor([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> sorted(optimizer.state[w])
    ['col_var', 'row_var', 'step']
    """

    _shaped = frozenset({"variance"})

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        self._check_group(defaults)
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        if isinstance(group["lr"], _C.Tensor) and group["lr"].numel() != 1:
            raise ValueError(f"Adafactor: Tensor lr must be 1-element, got {group['lr']}")
        eps1, eps2 = group["eps"]
        for holds, text in (
            (float(group["lr"]) >= 0, f"Learning rate should be >= 0 but is: {group['lr']}"),
            (
                group["beta2_decay"] <= 0,
                f"beta2_decay should be <= 0 but is: {group['beta2_decay']}",
            ),
            (eps1 is None or eps1 >= 0, f"epsilon1 should be >= 0 but is: {eps1}"),
            (eps2 >= 0, f"epsilon2 should be >= 0 but is: {eps2}"),
            (group["d"] >= 1, f"Clipping threshold d should be >= 1 but is: {group['d']}"),
            (
                group["weight_decay"] >= 0,
                f"weight_decay should be >= 0 but is: {group['weight_decay']}",
            ),
        ):
            if not holds:
                raise ValueError(f"Adafactor: {text}")

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
                _check(param, param.grad)
            for param, group in used:
                state = self.state[param]
                if not state:
                    state.update(_new_state(param))
                _update(param, param.grad, state, group)
        return loss


def _check(param: Tensor, grad: Any) -> None:
    if grad.shape != param.shape or not param.is_floating_point():
        raise ValueError(
            f"Adafactor: a parameter is a {param.dtype} tensor of shape {tuple(param.shape)}, its "
            f"gradient has shape {tuple(grad.shape)}; only floating-point tensors with a "
            "gradient of their shape can be optimized"
        )


def _new_state(param: Tensor) -> dict[str, Tensor]:
    state = {"step": _C.zeros((), dtype=scalar_dtype())}
    if param.dim() < 2:
        return {**state, "variance": _C.zeros_like(param)}
    rows, columns = list(param.shape), list(param.shape)
    rows[-1] = columns[-2] = 1
    return {**state, "row_var": param.new_zeros(rows), "col_var": param.new_zeros(columns)}


def _update(param: Tensor, grad: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    if param.numel() == 0:
        return
    state["step"] += 1
    step = float(state["step"])
    lr = float(group["lr"])
    eps1, eps2 = group["eps"]
    least = float(_C.finfo(param.dtype).eps) if eps1 is None else eps1
    root = float(param.numel()) ** 0.5
    size = max(eps2, float(param.norm(2)) / root)
    if group["weight_decay"] != 0:
        param.mul_(1 - lr * group["weight_decay"])
    # g / sqrt(v) with v the running mean square, from its factors where there are any.
    forget = step ** group["beta2_decay"]
    if param.dim() > 1:
        rows, columns = state["row_var"], state["col_var"]
        squares = grad * grad
        rows.lerp_(squares.mean(-1, keepdim=True), forget)
        columns.lerp_(squares.mean(-2, keepdim=True), forget)
        scaled = rows / rows.mean(-2, keepdim=True).clamp_(min=least)
        mean_square = _C.mul(scaled, columns, out=squares)  # the one temporary of full size
    else:
        state["variance"].lerp_(grad * grad, forget)
        mean_square = state["variance"].clone()
    update = mean_square.clamp_(min=least * least).rsqrt_().mul_(grad)
    clipped = max(1.0, float(update.norm(2)) / (root * group["d"]))
    rate = min(lr, 1 / step**0.5) * size / clipped
    param.add_(update, alpha=rate if group["maximize"] else -rate)
