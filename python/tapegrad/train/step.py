"""One step of training, and passes over a loader that train nothing."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import NamedTuple

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad
from tapegrad.nn.utils.clip_grad import clip_grad_norm_
from tapegrad.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.nn import Module
    from tapegrad.optim import Optimizer
    from tapegrad.train.metrics import Metric

__all__ = ["NonFiniteLossError", "Step", "evaluate", "predict", "train_step"]


class NonFiniteLossError(FloatingPointError):
    """The loss of a training step is NaN or infinite; the weights are those before the step."""


class Step(NamedTuple):
    """What a step tells the loop: its loss, and what metrics compare (may be left out)."""

    loss: Tensor
    output: Any = None
    target: Any = None


def train_step(
    model: Module,
    loss: Callable[[Any, Any], Tensor],
    batch: Any,
    optimizer: Optimizer,
    *,
    clip_grad_norm: float | None = None,
) -> Step:
    """Forward, backward and update for one batch of inputs and targets.

    Parameters
    ----------
    model
        called with the inputs
    loss
        called with the output of the model and the targets; gives a scalar
    batch
        a pair of inputs and targets, each a tensor or what model and loss take
    optimizer
        what updates the weights
    clip_grad_norm : None
        the norm above which the gradients of the optimizer's parameters are scaled down

    Errors: ``TypeError`` if the batch is no pair; :class:`NonFiniteLossError` before the backward
    pass, so that the weights are as they were.

    >>> import tapegrad as tg
    >>> model = tg.nn.Linear(2, 1)
    >>> optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    >>> step = train_step(model, tg.nn.MSELoss(), (tg.ones(4, 2), tg.ones(4, 1)), optimizer)
    >>> step.output.shape
    tapegrad.Size([4, 1])
    """
    inputs, target = pair(batch, "train_step")
    optimizer.zero_grad()
    output = model(inputs)
    value = loss(output, target)
    require_finite(value)
    value.backward()
    if clip_grad_norm is not None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        clip_grad_norm_(parameters, clip_grad_norm)
    optimizer.step()
    return Step(value.detach(), _detached(output), target)


def evaluate(
    model: Module,
    loader: Iterable[Any],
    metrics: Mapping[str, Metric] | Sequence[Metric] = (),
    *,
    loss: Callable[[Any, Any], Tensor] | None = None,
) -> dict[str, Any]:
    """The metrics, and the mean ``loss`` if one is given, over all batches of ``loader``.

    The model runs in evaluation mode and without gradients; every module's mode is put back.

    Parameters
    ----------
    model
        called with the inputs of each batch
    loader
        an iterable of pairs of inputs and targets
    metrics : ()
        a list (entries are named by the metrics) or a dict that names them; they start from zero
    loss : None
        a mean over the samples of a batch; its value is under ``"loss"``

    Errors: ``ValueError`` if the loader gives no batch; ``TypeError`` if a batch is no pair.

    >>> import tapegrad as tg
    >>> from tapegrad import train
    >>> batches = [(tg.eye(3), tg.tensor([0, 1, 1]))]
    >>> train.evaluate(tg.nn.Identity(), batches, [train.Accuracy()])
    {'accuracy': 0.6666666666666666}
    """
    table = named(metrics)
    for metric in table.values():
        metric.reset()
    total, seen = 0.0, 0
    with evaluating(model):
        for batch in loader:
            inputs, target = pair(batch, "evaluate")
            output = model(inputs)
            count = batch_size(target)
            if loss is not None:
                total += float(loss(output, target)) * count
            seen += count
            for metric in table.values():
                metric.update(output, target)
    if seen == 0:
        raise ValueError("evaluate: the loader gave no samples")
    result: dict[str, Any] = {} if loss is None else {"loss": total / seen}
    return result | {name: metric.compute() for name, metric in table.items()}


def predict(model: Module, loader: Iterable[Any]) -> Any:
    """The outputs of the model for all batches of ``loader``, joined along the first dimension.

    The model runs in evaluation mode and without gradients; every module's mode is put back.

    Parameters
    ----------
    model
        gives a tensor, or a container of tensors, whose first dimension is that of the batch
    loader
        an iterable of batches: inputs alone, or lists and tuples that begin with the inputs

    Errors: ``ValueError`` if the loader gives no batch.

    >>> import tapegrad as tg
    >>> predict(tg.nn.Identity(), [tg.ones(2, 1), tg.zeros(1, 1)]).tolist()
    [[1.0], [1.0], [0.0]]
    """
    parts: list[list[Any]] = []
    with evaluating(model):
        for batch in loader:
            leaves, spec = tree_flatten(
                model(batch[0] if isinstance(batch, (list, tuple)) else batch)
            )
            parts.append(leaves)
    if not parts:
        raise ValueError("predict: the loader gave no batches")
    return tree_unflatten([_C.cat(list(column)) for column in zip(*parts, strict=True)], spec)


@contextmanager
def modes_kept(model: Module) -> Iterator[None]:
    """Give every module back the mode, training or evaluation, that it had."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside; modes as they were afterwards."""
    with modes_kept(model), no_grad():
        model.eval()
        yield


def pair(batch: Any, function: str) -> tuple[Any, Any]:
    """Inputs and targets of a batch."""
    if isinstance(batch, (list, tuple)) and len(batch) == 2:
        return batch[0], batch[1]
    kind = type(batch).__name__
    if isinstance(batch, (list, tuple)):
        kind += f" of {len(batch)}"
    raise TypeError(
        f"{function}: expected batches of two entries, inputs and targets, got a {kind}; "
        "make pairs in the loader's collate_fn, or give fit a train_step= that reads such batches"
    )


def named(metrics: Mapping[str, Metric] | Sequence[Metric]) -> dict[str, Metric]:
    """Metrics under the names that results have."""
    if not isinstance(metrics, (list, tuple)):
        return dict(metrics)  # type: ignore[arg-type]
    table = {metric.name: metric for metric in metrics}
    if len(table) != len(metrics):
        names = [metric.name for metric in metrics]
        raise ValueError(f"metrics: the names {names} are not unique; give a dict that names them")
    return table


def batch_size(data: Any) -> int:
    """The number of samples in inputs or targets."""
    if type(data) in (list, tuple) and data and isinstance(data[0], _C.Tensor):
        data = data[0]
    if isinstance(data, _C.Tensor):  # nearly always; the rest is for containers within
        return data.shape[0] if data.dim() else 1
    for leaf in tree_leaves(data):
        if isinstance(leaf, _C.Tensor):
            return leaf.shape[0] if leaf.dim() else 1
    return 1


def require_finite(loss: Tensor) -> None:
    """Raise :class:`NonFiniteLossError` for NaN and infinities."""
    value = loss.item()
    if not math.isfinite(value):
        raise NonFiniteLossError(
            f"the loss is {value}; the weights are those before this step. Lower the learning "
            "rate, clip gradients (clip_grad_norm=), look for NaN in the data, or find the "
            "operation with autograd.set_detect_anomaly(True)"
        )


def _detached(output: Any) -> Any:
    if isinstance(output, _C.Tensor):
        return output.detach()
    leaves, spec = tree_flatten(output)
    return tree_unflatten(
        [leaf.detach() if isinstance(leaf, _C.Tensor) else leaf for leaf in leaves], spec
    )
