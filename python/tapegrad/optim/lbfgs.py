"""L-BFGS with an optional line search."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.autograd.grad_mode import enable_grad, no_grad
from tapegrad.optim._line_search import strong_wolfe
from tapegrad.optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Params

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Limited-memory BFGS: steps along an estimate of the Newton direction, for full batches.

    Arguments: ``params``, one group; ``lr=1``; at most ``max_iter=20`` iterations and ``max_eval``
    evaluations of the closure (None: ``max_iter * 5 // 4``) in a step; it ends when the largest
    gradient is at most ``tolerance_grad=1e-7``, or parameters or loss change by less than
    ``tolerance_change=1e-9``; ``history_size=100`` pairs kept, each as large as all parameters;
    ``line_search_fn``: None or "strong_wolfe". ``step`` needs a closure that clears the gradients,
    computes the loss, calls ``backward`` and returns the loss.

    Nocedal and Wright, Numerical optimization, chapters 3 and 7.

    >>> import tapegrad as tg
    >>> w = tg.tensor([3.0, -2.0], requires_grad=True)
    >>> optimizer = tg.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 2 * tg.tensor([1.0, 10.0])).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    94.0
    >>> w.detach().round(decimals=3)
    tensor([1., 1.])
    """

    _scalar = frozenset()

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        self._check_group(defaults)
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def _check_group(self, group: dict[str, Any]) -> None:
        if isinstance(group["lr"], _C.Tensor) and group["lr"].numel() != 1:
            raise ValueError(f"LBFGS: Tensor lr must be 1-element, got {group['lr']}")
        if not float(group["lr"]) >= 0:
            raise ValueError(f"LBFGS: Invalid learning rate: {group['lr']}")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(
                "LBFGS: only 'strong_wolfe' is supported, got "
                f"line_search_fn={group['line_search_fn']!r}"
            )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add the one group there can be; a second one is a ``ValueError``."""
        if self.param_groups:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        super().add_param_group(param_group)

    @property
    def _params(self) -> list[Tensor]:
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    # --- all parameters as one vector -------------------------------------------------------------

    def _flat_grad(self) -> Tensor:
        parts = [
            p.detach().new_zeros(p.numel()) if p.grad is None else p.grad.detach().reshape(-1)
            for p in self._params
        ]
        return _C.cat(parts)

    def _move(self, size: float, direction: Tensor) -> None:
        start = 0
        for p in self._params:
            end = start + p.numel()
            p.add_(direction[start:end].view_as(p), alpha=size)
            start = end

    def _evaluate(
        self, closure: Callable[[], Any], start: list[Tensor], size: float, direction: Tensor
    ) -> tuple[float, Tensor]:
        """Loss and gradient ``size`` along ``direction``; the parameters go back to ``start``."""
        self._move(size, direction)
        try:
            loss = float(closure())
            return loss, self._flat_grad()
        finally:
            for p, value in zip(self._params, start, strict=True):
                p.copy_(value)

    # --- the step ---------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Iterate until a tolerance or a limit is met.

        Arguments: ``closure`` clears the gradients, computes the loss, calls ``backward`` and
        returns the loss; it is needed. Returns the loss before the step.
        """
        if closure is None:
            raise TypeError("LBFGS.step: a closure is needed that computes the loss anew")
        with no_grad():
            return self._step(enable_grad()(closure))

    def _step(self, evaluate: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = evaluate()
        state["func_evals"] += 1
        grad = self._flat_grad()
        if float(grad.abs().max()) <= group["tolerance_grad"]:
            return first_loss
        self._iterate(evaluate, group, state, float(first_loss), grad)
        return first_loss

    def _iterate(
        self,
        closure: Callable[[], Any],
        group: dict[str, Any],
        state: dict[str, Any],
        loss: float,
        grad: Tensor,
    ) -> None:
        evaluations = 1
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, grad, group["history_size"])
            state["prev_flat_grad"] = grad
            state["prev_loss"] = previous_loss = loss
            size = float(group["lr"])
            if state["n_iter"] == 1:
                size *= min(1.0, 1.0 / float(grad.abs().sum()))
            state["d"], state["t"] = direction, size
            slope = float(grad.dot(direction))
            if slope > -group["tolerance_change"]:
                break
            used = 0
            if group["line_search_fn"] is not None:
                start = [p.clone() for p in self._params]

                def along(
                    size: float, start: list[Tensor] = start, direction: Tensor = direction
                ) -> tuple[float, Tensor]:
                    return self._evaluate(closure, start, size, direction)

                most = group["max_eval"] - evaluations
                loss, grad, size, used = strong_wolfe(
                    along, size, direction, loss, grad, slope, max_ls=most
                )
                self._move(size, direction)
            else:
                self._move(size, direction)
                if iteration != group["max_iter"]:
                    loss = float(closure())
                    grad = self._flat_grad()
                    used = 1
            state["t"] = size
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or float(grad.abs().max()) <= group["tolerance_grad"]
                or float(direction.abs().max()) * abs(size) <= group["tolerance_change"]
                or abs(loss - previous_loss) < group["tolerance_change"]
            ):
                break

    def _direction(self, state: dict[str, Any], grad: Tensor, history_size: int) -> Tensor:
        """Minus the gradient times the estimate of the inverse Hessian (two loops)."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return grad.neg()
        changes, steps, inverse = state["old_dirs"], state["old_stps"], state["ro"]
        change = grad - state["prev_flat_grad"]
        step = state["d"] * state["t"]
        curvature = change.dot(step)
        if float(curvature) > 1e-10:
            if len(changes) == history_size:
                for history in (changes, steps, inverse):
                    history.pop(0)
            changes.append(change)
            steps.append(step)
            inverse.append(1.0 / curvature)
            state["H_diag"] = curvature / change.dot(change)
        weights = state.setdefault("al", [None] * history_size)
        direction = grad.neg()
        for i in reversed(range(len(changes))):
            weights[i] = steps[i].dot(direction) * inverse[i]
            direction.add_(changes[i], alpha=-float(weights[i]))
        direction = _C.mul(direction, state["H_diag"])
        for i in range(len(changes)):
            beta = changes[i].dot(direction) * inverse[i]
            direction.add_(steps[i], alpha=float(weights[i] - beta))
        return direction
