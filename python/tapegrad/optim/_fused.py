"""``FusedOptimizer``: what the optimizers share whose rule is one fused update.

A subclass says which rule of the extension module a group takes (``_rule``), with which
hyperparameters (``_options``), and from which values its state starts (``_start``).
"""

from __future__ import annotations

from functools import partial

from tapegrad import _C
from tapegrad.autograd.grad_mode import enable_grad
from tapegrad.optim._kernels import RULES, update_
from tapegrad.optim.optimizer import Optimizer, run_closure, scalar_dtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.optim._kernels import Rule
    from tapegrad.optim.optimizer import Params

    State = dict[str, Any]

__all__ = ["FusedOptimizer"]


class FusedOptimizer(Optimizer):
    """Base of the optimizers that update all parameters of a group in one call."""

    _rule_name: str
    _gradient_factor = 1.0  # of the next step alone; see nn.utils.clip_grad_norm_

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self._check_flags(defaults)
        self._check_group(defaults)
        super().__init__(params, defaults)

    def _check_flags(self, options: dict[str, Any]) -> None:
        name = type(self).__name__
        if options.get("fused") and options.get("differentiable"):
            raise RuntimeError(f"{name}: `fused` does not support `differentiable`")
        if options.get("fused") and options.get("foreach"):
            raise RuntimeError(f"{name}: `fused` and `foreach` cannot be `True` together.")

    # --- what a subclass defines ---------------------------------------------------------------

    def _rule(self, group: dict[str, Any]) -> Rule:
        """The rule that ``group`` takes."""
        return RULES[self._rule_name]

    def _options(self, group: dict[str, Any]) -> tuple[float, ...]:
        """The hyperparameters of the rule, in its order."""
        raise NotImplementedError

    def _start(self, name: str, group: dict[str, Any]) -> float:
        """The value that the state called ``name`` has before the first update."""
        return 0.0

    def _decays_apart(self, group: dict[str, Any]) -> bool:
        """Whether weight decay shrinks the parameter instead of joining the gradient."""
        return bool(group.get("decoupled_weight_decay", False))

    # --- the step ------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient, once.

        Arguments: ``closure`` computes the loss and its gradients anew; it is called first, with
        recording on. Returns what it returned, or None. Errors: a gradient or state whose shape or
        dtype is not its parameter's; nothing is changed then.
        """
        loss = None if closure is None else run_closure(closure)
        fused = [g for g in self.param_groups if not g.get("differentiable")]
        calls = [self._call(group) for group in fused]
        for call, _ in calls[1:]:  # the first one checks itself before it changes anything
            call(check_only=True)
        for call, fresh in calls:
            call()
            if fresh:
                self.state.update(fresh)
        if len(fused) != len(self.param_groups):
            for group in self.param_groups:
                if group.get("differentiable"):
                    self._update_recorded(group, self._rule(group))
        self.__dict__.pop("_gradient_factor", None)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients, and what clipping has set for the next step."""
        self.__dict__.pop("_gradient_factor", None)
        super().zero_grad(set_to_none)

    def _call(self, group: dict[str, Any]) -> tuple[partial[None], dict[Tensor, State]]:
        """The call that updates a group, and the state that is new."""
        rule = self._rule(group)
        params, states, fresh = self._gather(group, rule)
        decay = float(group.get("weight_decay", 0))
        apart = decay != 0 and self._decays_apart(group)
        try:
            columns = [[state[name] for state in states] for name in rule.states]
            scalars = [[state[name] for state in states] for name in rule.scalars]
        except KeyError as error:
            raise KeyError(
                f"{type(self).__name__}: the state of a parameter has no {error}; an option that "
                "needs it was switched on after the first step"
            ) from None
        call = partial(
            update_,
            rule.name,
            type(self).__name__,
            params,
            None,
            columns,
            scalars,
            self._options(group),
            -self._gradient_factor if group.get("maximize") else self._gradient_factor,
            0.0 if apart else decay,
            1 - float(group["lr"]) * decay if apart else 1.0,
            [param in fresh for param in params] if fresh else None,
        )
        return call, fresh

    def _update_recorded(self, group: dict[str, Any], rule: Rule) -> None:
        """The step in tensor operations, which gradients flow through."""
        from tapegrad.optim._composed import compose

        decay = group.get("weight_decay", 0.0)
        apart = self._decays_apart(group)
        options = dict(zip(rule.options, self._options(group), strict=True))
        factor = -self._gradient_factor if group.get("maximize") else self._gradient_factor
        for param in group["params"]:
            if param.grad is None:
                continue
            state = self.state.get(param)
            options["first"] = not state
            if not state:
                state = self._new_state(param, group, rule)
            shrink = 1 - group["lr"] * decay if apart else 1.0
            with enable_grad():
                compose(rule, param, state, options, factor, 0.0 if apart else decay, shrink)
            if state:
                self.state[param] = state

    def _gather(
        self, group: dict[str, Any], rule: Rule
    ) -> tuple[list[Tensor], list[State], dict[Tensor, State]]:
        """The parameters to update, their states, and those states that are new.

        New ones join the optimizer only after the update, so that an error leaves no trace.
        """
        params: list[Tensor] = group["params"]
        if not (rule.states or rule.scalars):
            return params, [], {}
        known = self.state
        found = list(map(known.get, params))
        if all(found):  # the common case: all parameters have been updated before
            return params, found, {}  # type: ignore[return-value]
        used: list[Tensor] = []
        states: list[State] = []
        fresh: dict[Tensor, State] = {}
        for param, state in zip(params, found, strict=True):
            if not state:
                if param.grad is None:
                    continue
                state = fresh[param] = self._new_state(param, group, rule)
            used.append(param)
            states.append(state)
        return used, states, fresh

    def _new_state(self, param: Tensor, group: dict[str, Any], rule: Rule) -> State:
        dtype = scalar_dtype()
        state: State = {
            name: _C.full((), self._start(name, group), dtype=dtype) for name in rule.scalars
        }
        for name in rule.states:
            value = self._start(name, group)
            state[name] = _C.full_like(param, value) if value else _C.zeros_like(param)
        return state

    # --- checks --------------------------------------------------------------------------------

    def _require(self, holds: bool, what: str, value: Any) -> None:
        """Raise ``ValueError`` naming optimizer, option and value unless ``holds``."""
        if not holds:
            raise ValueError(f"{type(self).__name__}: Invalid {what}: {value}")

    def _check_lr(self, group: dict[str, Any]) -> None:
        lr = group["lr"]
        if isinstance(lr, _C.Tensor) and lr.numel() != 1:
            raise ValueError(f"{type(self).__name__}: Tensor lr must be 1-element, got {lr}")
        self._require(float(lr) >= 0, "learning rate", lr)

    def _check_betas(self, group: dict[str, Any]) -> None:
        for i in (0, 1):
            beta = group["betas"][i]
            self._require(0 <= float(beta) < 1, f"beta parameter at index {i}", beta)

    def _check_nonnegative(self, group: dict[str, Any], **words: str) -> None:
        for name, what in words.items():
            self._require(float(group[name]) >= 0, what, group[name])

    def _check_adaptive(self, group: dict[str, Any]) -> None:
        """What the relatives of Adam have in common."""
        self._check_lr(group)
        self._check_nonnegative(group, eps="epsilon value")
        self._check_betas(group)
        self._check_nonnegative(group, weight_decay="weight_decay value")

    def _adaptive_options(self, group: dict[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return (group["lr"], beta1, beta2, group["eps"])
