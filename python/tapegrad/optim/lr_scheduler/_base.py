"""``LRScheduler``: the base of the schedules, and what they share."""

from __future__ import annotations

import math
import warnings
from types import FunctionType

from tapegrad import _C
from tapegrad.optim.optimizer import Optimizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tapegrad._C import Tensor

    Rate = float | Tensor

__all__ = ["LRScheduler"]

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler. With an epoch, the closed form "
    "of the schedule is used where there is one."
)


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    """``group[key]`` of all groups; tensors are copied, as they change in place."""
    return [_copy(group[key]) for group in optimizer.param_groups]


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, _C.Tensor) else value


def set_value(group: dict[str, Any], key: str, value: Rate) -> None:
    """``group[key] = value``; a tensor takes the value and stays the same tensor."""
    if isinstance(group[key], _C.Tensor):
        group[key].fill_(float(value))
    else:
        group[key] = value


def for_each_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each group: ``value`` is a list of them, or the same for all."""
    if isinstance(value, (list, tuple)):
        if len(value) != len(optimizer.param_groups):
            raise ValueError(
                f"{name} must have the same length as optimizer.param_groups. {name} has "
                f"{len(value)} values, param_groups has {len(optimizer.param_groups)}."
            )
    else:
        value = [value] * len(optimizer.param_groups)
    return [_copy(v) for v in value]


def is_int(value: Any) -> bool:
    """Whether it is a whole number, for the checks of arguments."""
    return isinstance(value, int)


def check_optimizer(optimizer: Any) -> None:
    """Raise unless it is one."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def functions_for_groups(optimizer: Optimizer, functions: Any) -> list[Any]:
    """One function for each group."""
    if not isinstance(functions, (list, tuple)):
        return [functions] * len(optimizer.param_groups)
    if len(functions) != len(optimizer.param_groups):
        raise ValueError(
            f"Expected {len(optimizer.param_groups)} lr_lambdas, but got {len(functions)}"
        )
    return list(functions)


def state_of_function(function: Any) -> dict[str, Any] | None:
    """What a state dict keeps of a function: the attributes of a callable object."""
    return None if isinstance(function, FunctionType) else function.__dict__.copy()


def cosine(step: float, period: float) -> float:
    """From 1 at step 0 to 0 at step ``period``."""
    return (1 + math.cos(math.pi * step / period)) / 2


class LRScheduler:
    """Base of the schedules: changes the ``lr`` of an optimizer's groups at each ``step()``.

    A subclass defines ``get_lr``, which returns the next rates, one a group. Arguments:
    ``optimizer`` whose groups are changed; ``last_epoch``, the number of steps taken before (-1: a
    new schedule; otherwise the groups must have ``initial_lr``).

    >>> import tapegrad as tg
    >>> class Halving(tg.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [lr * 0.5**self.last_epoch for lr in self.base_lrs]
    >>> optimizer = tg.optim.SGD([tg.ones(1)], lr=1.0)
    >>> scheduler = Halving(optimizer)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    optimizer: Optimizer
    last_epoch: int
    base_lrs: list[Any]
    _step_count: int
    _last_lr: list[Any]
    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _copy(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                    "scheduler with last_epoch >= 0; load the optimizer's state first, or leave "
                    "last_epoch at -1 in a new run"
                )
        self.base_lrs = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if not getattr(optimizer, "_has_scheduler", False):
            # From here on, for the warning about the order of the two steps.
            optimizer._has_scheduler = True  # type: ignore[attr-defined]
            optimizer._opt_called = False
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned. The optimizer's own state is loaded apart."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates that the last ``step`` set, one a group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The rates of ``last_epoch``, one a group; for subclasses to define."""
        raise NotImplementedError(f"{type(self).__name__}: a schedule needs a get_lr method")

    def step(self, epoch: int | None = None) -> None:
        """Move on by one step, or to step ``epoch`` (deprecated); after ``optimizer.step()``.

        Warnings: if it is called before the first ``optimizer.step()``, as the first rate would be
        skipped, or if ``optimizer.step`` was replaced.
        """
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _check_order(self) -> None:
        if not hasattr(self.optimizer.step, "hooked"):
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
                "initialization. Please, make sure to call `optimizer.step()` before "
                "`lr_scheduler.step()`.",
                UserWarning,
                stacklevel=3,
            )
        elif not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call "
                "them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`. "
                "Failure to do this will result in skipping the first value of the learning rate "
                "schedule.",
                UserWarning,
                stacklevel=3,
            )

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", None)
                values = self.get_lr() if closed is None else closed()
        finally:
            self._get_lr_called_within_step = False
        self._set_lrs(values)

    def _set_lrs(self, values: list[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", lr)
        self._last_lr = values_of(self.optimizer, "lr")

    def _lrs(self) -> list[Any]:
        """The rates as they are."""
        return values_of(self.optimizer, "lr")

    def _scaled(self, factor: float) -> list[Any]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _check_caller(self) -> None:
        """Warn unless ``get_lr`` is called by ``step``: it computes the next rates."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )


def nested_state(scheduler: Any) -> dict[str, Any]:
    """The state of a schedule of schedules."""
    state = {
        key: value
        for key, value in scheduler.__dict__.items()
        if key not in ("optimizer", "_schedulers")
    }
    state["_schedulers"] = [inner.state_dict() for inner in scheduler._schedulers]
    return state


def load_nested_state(scheduler: Any, state_dict: dict[str, Any]) -> None:
    """Take over what ``nested_state`` returned."""
    state = dict(state_dict)
    inner_states: Iterator[dict[str, Any]] = iter(state.pop("_schedulers"))
    scheduler.__dict__.update(state)
    for inner, inner_state in zip(scheduler._schedulers, inner_states, strict=True):
        inner.load_state_dict(inner_state)
