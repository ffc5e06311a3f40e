"""Averages of weights over training: stochastic weight averaging and exponential means."""

from __future__ import annotations

import itertools
import math
from copy import deepcopy

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad
from tapegrad.nn import Module
from tapegrad.optim._kernels import update_
from tapegrad.optim.lr_scheduler import LRScheduler
from tapegrad.optim.lr_scheduler._base import for_each_group, is_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Literal

    from tapegrad._C import Tensor
    from tapegrad.optim.optimizer import Optimizer

    AverageFn = Callable[[Tensor, Tensor, Tensor | int], Tensor]
    MultiAverageFn = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def _lerp_all(averages: Sequence[Tensor], current: Sequence[Tensor], weight: float) -> None:
    """``average += weight * (current - average)`` for all, in one call."""
    update_("lerp", "AveragedModel", averages, current, (), (), (weight,))


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverageFn:
    """The function for ``multi_avg_fn`` that keeps ``decay`` of each average at an update.

    >>> import tapegrad as tg
    >>> average, current = [tg.zeros(1)], [tg.ones(1)]
    >>> tg.optim.swa_utils.get_ema_multi_avg_fn(0.75)(average, current, 1)
    >>> average
    [tensor([0.2500])]
    """
    _check_decay(decay)

    def ema_update(
        averages: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int
    ) -> None:
        if averages[0].is_floating_point():
            _lerp_all(averages, current, 1 - decay)
            return
        with no_grad():
            for average, new in zip(averages, current, strict=True):
                average.copy_(average * decay + new * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> MultiAverageFn:
    """The function for ``multi_avg_fn`` that gives all updates the same weight.

    >>> import tapegrad as tg
    >>> average, current = [tg.zeros(1)], [tg.ones(1)]
    >>> tg.optim.swa_utils.get_swa_multi_avg_fn()(average, current, 3)
    >>> average
    [tensor([0.2500])]
    """

    def swa_update(
        averages: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int
    ) -> None:
        count = int(num_averaged) + 1
        if averages[0].is_floating_point():
            _lerp_all(averages, current, 1 / count)
            return
        with no_grad():
            for average, new in zip(averages, current, strict=True):
                average.copy_(average + (new - average) / count)

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> AverageFn:
    """The function for ``avg_fn`` that keeps ``decay`` of the average at an update.

    >>> import tapegrad as tg
    >>> tg.optim.swa_utils.get_ema_avg_fn(0.75)(tg.zeros(1), tg.ones(1), 1)
    tensor([0.2500])
    """
    _check_decay(decay)

    def ema_update(average: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        with no_grad():
            return decay * average + (1 - decay) * current

    return ema_update


def get_swa_avg_fn() -> AverageFn:
    """The function for ``avg_fn`` that gives all updates the same weight.

    >>> import tapegrad as tg
    >>> tg.optim.swa_utils.get_swa_avg_fn()(tg.zeros(1), tg.ones(1), 3)
    tensor([0.2500])
    """

    def swa_update(average: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        with no_grad():
            return average + (current - average) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of ``model`` that holds a running average of its parameters.

    Arguments: ``model``; ``device`` for the copy (None: the model's); ``avg_fn(average, current,
    number averaged)`` returns the new average of one tensor, ``multi_avg_fn`` changes lists of
    averages in place (None for both: all updates count the same); ``use_buffers=False``: buffers
    are copied from the model instead of averaged. Call ``update_parameters`` after steps; the first
    call copies. Averages of floating-point parameters take one pass over memory.

    Izmailov et al., https://arxiv.org/abs/1803.05407.

    >>> import tapegrad as tg
    >>> model = tg.nn.Linear(1, 1)
    >>> average = tg.optim.swa_utils.AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = tg.nn.init.constant_(model.weight, value)
    ...     average.update_parameters(model)
    >>> average.module.weight
    Parameter containing:
    tensor([[3.]], requires_grad=True)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: AverageFn | None = None,
        multi_avg_fn: MultiAverageFn | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", _C.tensor(0, dtype=_C.int64))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the parameters of ``model`` into the average."""
        averages, current = self._pairs(model)
        count = int(self.n_averaged)
        with no_grad():
            if count == 0:
                for average, new in zip(averages, current, strict=True):
                    average.copy_(new)
            else:
                self._average(averages, current)
            if not self.use_buffers:
                buffers = zip(self.module.buffers(), model.buffers(), strict=True)
                for own, new in buffers:
                    own.detach().copy_(new.detach())
            self.n_averaged += 1

    def _pairs(self, model: Module) -> tuple[list[Tensor], list[Tensor]]:
        own: Iterable[Tensor] = self.module.parameters()
        others: Iterable[Tensor] = model.parameters()
        if self.use_buffers:
            own = itertools.chain(own, self.module.buffers())
            others = itertools.chain(others, model.buffers())
        averages, current = [p.detach() for p in own], [p.detach() for p in others]
        if len(averages) != len(current):
            raise ValueError(
                f"AveragedModel: the model has {len(current)} tensors to average, the average "
                f"{len(averages)}; give the model that the average was made of"
            )
        return averages, current

    def _average(self, averages: list[Tensor], current: list[Tensor]) -> None:
        if self.avg_fn is not None:
            for average, new in zip(averages, current, strict=True):
                average.copy_(self.avg_fn(average, new, self.n_averaged))
            return
        update = self.multi_avg_fn or get_swa_multi_avg_fn()
        groups: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
        for average, new in zip(averages, current, strict=True):
            group = groups.setdefault((average.dtype, new.dtype), ([], []))
            group[0].append(average)
            group[1].append(new.to(average.dtype))
        for own, others in groups.values():
            update(own, others, self.n_averaged)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of batch normalisation anew, by one pass over ``loader``.

    Arguments: ``loader`` yields batches, tensors or lists and tuples that begin with one;
    ``model``, whose modules with ``running_mean``, ``reset_running_stats`` and ``momentum``
    are updated (the others, and a model without such modules, are left alone); ``device`` for the
    batches.
    """
    momenta: dict[Any, Any] = {}
    for module in model.modules():
        if hasattr(module, "running_mean") and hasattr(module, "reset_running_stats"):
            module.reset_running_stats()
            momenta[module] = getattr(module, "momentum", None)
    if not momenta:
        return
    was_training = model.training
    model.train()
    try:
        for module in momenta:
            module.momentum = None  # an average over all batches
        with no_grad():
            for batch in loader:
                inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(inputs if device is None else inputs.to(device))
    finally:
        for module, momentum in momenta.items():
            module.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """The rate from where it is to ``swa_lr``, and then constant.

    Arguments: ``swa_lr``, a number or one a group; ``anneal_epochs=10`` steps on the way;
    ``anneal_strategy``: "cos" or "linear"; ``last_epoch=-1``.

    >>> import tapegrad as tg
    >>> optimizer = tg.optim.SGD([tg.ones(1)], lr=1.0)
    >>> scheduler = tg.optim.swa_utils.SWALR(optimizer, 0.5, anneal_epochs=2)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     print(round(scheduler.get_last_lr()[0], 6))
    0.75
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = for_each_group("swa_lr", optimizer, swa_lr)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not is_int(anneal_epochs) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _part(self, step: int) -> float:
        """How much of the way is done before step ``step``."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[Any]:
        """The next rates."""
        self._check_caller()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        rates = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates
