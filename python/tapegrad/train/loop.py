"""``fit``: epochs of steps, and what is looked after around them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tapegrad.train._interrupt import Interruption, StopTrainingError
from tapegrad.train._state import Best, restore, snapshot
from tapegrad.train.history import History
from tapegrad.train.log import CSVLog, Screen
from tapegrad.train.step import (
    NonFiniteLossError,
    batch_size,
    evaluate,
    modes_kept,
    named,
)
from tapegrad.train.step import train_step as _train_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.nn import Module
    from tapegrad.optim import Optimizer
    from tapegrad.optim.lr_scheduler import LRScheduler
    from tapegrad.train.log import Log
    from tapegrad.train.metrics import Metric
    from tapegrad.train.step import Step

__all__ = ["Checkpoint", "EarlyStopping", "fit"]


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the monitored value has not improved for ``patience`` epochs.

    Parameters
    ----------
    patience : 10
        epochs without improvement after which training ends
    min_delta : 0.0
        by how much a value must be better than the best one to count
    restore_best : True
        give the model the weights of its best epoch when training ends, unless by Ctrl-C

    Errors: ``ValueError`` for a patience below 1 or a negative ``min_delta``.
    """

    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        if self.patience < 1 or not self.min_delta >= 0:
            raise ValueError(
                "EarlyStopping: expected patience of at least 1 and min_delta of at least 0, got "
                f"patience={self.patience}, min_delta={self.min_delta}"
            )


@dataclass(frozen=True)
class Checkpoint:
    """Files that a run keeps in a folder; each appears under its name only once it is complete.

    ``last.safetensors`` is all that ``fit(resume=True)`` needs to go on as if nothing had happened,
    ``best.safetensors`` the ``state_dict`` of the model after its best epoch.

    Parameters
    ----------
    folder
        made if it is not there
    every_steps : None
        write ``last`` within epochs too, after so many steps; the loader must have ``state_dict``

    Errors: ``ValueError`` for ``every_steps`` below 1.
    """

    folder: str | os.PathLike[str]
    every_steps: int | None = None

    def __post_init__(self) -> None:
        if self.every_steps is not None and self.every_steps < 1:
            raise ValueError(f"Checkpoint: every_steps must be at least 1, got {self.every_steps}")

    @property
    def last(self) -> Path:
        """The file with the whole state."""
        return Path(self.folder) / "last.safetensors"

    @property
    def best(self) -> Path:
        """The file with the best weights."""
        return Path(self.folder) / "best.safetensors"


def fit(
    model: Module,
    loss: Callable[[Any, Any], Tensor],
    loader: Iterable[Any],
    optimizer: Optimizer,
    *,
    epochs: int,
    validation: Iterable[Any] | None = None,
    metrics: Mapping[str, Metric] | Sequence[Metric] = (),
    scheduler: LRScheduler | None = None,
    scheduler_interval: Literal["epoch", "step"] = "epoch",
    clip_grad_norm: float | None = None,
    monitor: str | None = None,
    early_stopping: EarlyStopping | int | bool | None = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    resume: bool = False,
    log: Log | str | os.PathLike[str] | Sequence[Log] = (),
    progress: bool = True,
    on_nonfinite: Literal["raise", "skip"] = "raise",
    train_step: Callable[..., Step] = _train_step,
) -> History:
    """Train ``model`` for ``epochs`` passes over ``loader``; returns a row of numbers for each.

    Parameters
    ----------
    model
        put into training mode if it is not (then modules in evaluation mode stay so); all modules
        get the mode back that they had
    loss
        called with output and targets, gives their mean; the loss of an epoch is weighted by the
        samples of the batches
    loader
        gives batches, pairs of inputs and targets, at each pass
    optimizer
        updates the weights
    epochs
        how many passes, those before a resumed checkpoint included
    validation : None
        batches on which loss and metrics are computed after each epoch
    metrics : ()
        a list of :class:`Metric` or a dict that names them; of the validation batches, or, if
        there are none, of the training batches as they pass
    scheduler : None
        of the learning rate; ``ReduceLROnPlateau`` is given the monitored value
    scheduler_interval : "epoch"
        whether the scheduler steps after each ``"epoch"`` or each ``"step"``
    clip_grad_norm : None
        the norm above which gradients are scaled down
    monitor : None
        the column that says which epoch is best; None: ``validation_loss``, or ``loss``
    early_stopping : None
        an :class:`EarlyStopping`, its patience, or True for its defaults
    checkpoint : None
        a :class:`Checkpoint`, or its folder
    resume : False
        go on from the last checkpoint if there is one, with the same bits as without the break
    log : ()
        a path for a CSV file, a :class:`CSVLog`, a :class:`TensorBoardLog`, or a list of these
    progress : True
        a line for each epoch, and a progress bar where tqdm (extra ``progress``) and a terminal
        or notebook are there
    on_nonfinite : "raise"
        what a loss that is NaN or infinite does: ``"raise"``, or ``"skip"`` the step and count it
        (averages that a forward pass updates, as in batch norm, have seen the batch)
    train_step
        what happens to a batch, called as :func:`train_step` is and returning a :class:`Step`

    Ctrl-C lets the running step end; then ``fit`` returns with the weights so far and
    ``history.interrupted`` set (a second Ctrl-C raises ``KeyboardInterrupt`` at once).

    Errors: ``ValueError`` for options that contradict each other and for a loader without batches;
    :class:`NonFiniteLossError` with the weights as before the step; ``RuntimeError`` for a
    checkpoint that does not fit.
    """
    if isinstance(early_stopping, bool):
        early_stopping = EarlyStopping() if early_stopping else None
    elif isinstance(early_stopping, int):
        early_stopping = EarlyStopping(early_stopping)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    run = _Run(
        model=model,
        loss=loss,
        loader=loader,
        optimizer=optimizer,
        epochs=epochs,
        validation=validation,
        metrics=named(metrics),
        scheduler=scheduler,
        scheduler_interval=scheduler_interval,
        clip_grad_norm=clip_grad_norm,
        monitor=monitor or ("loss" if validation is None else "validation_loss"),
        early_stopping=early_stopping,
        checkpoint=checkpoint,
        logs=_logs(log),
        progress=progress,
        on_nonfinite=on_nonfinite,
        train_step=train_step,
    )
    run.check_options(resume)
    if resume and run.checkpoint is not None and run.checkpoint.last.exists():
        run.resume(run.checkpoint.last)
    return run.go()


def _logs(log: Any) -> list[Log]:
    entries = log if isinstance(log, (list, tuple)) else [log]
    return [CSVLog(e) if isinstance(e, (str, os.PathLike)) else e for e in entries]


@dataclass
class Passing:
    """What an epoch has added up so far."""

    steps: int = 0
    seen: int = 0
    loss: float = 0.0
    seconds: float = 0.0


@dataclass
class _Run:
    """One call of ``fit``."""

    model: Module
    loss: Callable[[Any, Any], Tensor]
    loader: Iterable[Any]
    optimizer: Optimizer
    epochs: int
    validation: Iterable[Any] | None
    metrics: dict[str, Metric]
    scheduler: LRScheduler | None
    scheduler_interval: str
    clip_grad_norm: float | None
    monitor: str
    early_stopping: EarlyStopping | None
    checkpoint: Checkpoint | None
    logs: list[Log]
    progress: bool
    on_nonfinite: str
    train_step: Callable[..., Step]
    history: History = field(default_factory=History)
    passing: Passing = field(default_factory=Passing)
    best_weights: dict[str, Tensor] | None = None

    def check_options(self, resume: bool) -> None:
        """Everything that can be known to be wrong before the first step."""
        if self.epochs < 0:
            raise ValueError(f"fit: epochs must be at least 0, got {self.epochs}")
        if self.scheduler_interval not in ("epoch", "step"):
            raise ValueError(
                "fit: scheduler_interval must be 'epoch' or 'step', got "
                f"{self.scheduler_interval!r}"
            )
        if self.on_nonfinite not in ("raise", "skip"):
            raise ValueError(
                f"fit: on_nonfinite must be 'raise' or 'skip', got {self.on_nonfinite!r}"
            )
        if self.clip_grad_norm is not None and not self.clip_grad_norm > 0:
            raise ValueError(f"fit: clip_grad_norm must be above 0, got {self.clip_grad_norm}")
        if resume and self.checkpoint is None:
            raise ValueError("fit: resume=True needs checkpoint=, the folder to go on from")
        within = self.checkpoint is not None and self.checkpoint.every_steps is not None
        if within and not hasattr(self.loader, "state_dict"):
            raise ValueError(
                "fit: Checkpoint(every_steps=) needs a loader with state_dict() and "
                f"load_state_dict(), which {type(self.loader).__name__} has not"
            )
        prefix = "" if self.validation is None else "validation_"
        columns = ["loss", *(f"{prefix}{name}" for name in self.metrics)]
        if self.validation is not None:
            columns.append("validation_loss")
        if self.monitor not in columns:
            raise ValueError(f"fit: there is no column {self.monitor!r} to monitor; {columns} are")
        metric = self.metrics.get(self.monitor.removeprefix(prefix))
        mode = "min" if metric is None else metric.mode
        self.best = Best(mode, 0.0)
        self.stopping = Best(mode, self.early_stopping.min_delta if self.early_stopping else 0.0)

    def go(self) -> History:
        """All epochs that are left."""
        with modes_kept(self.model), Interruption() as interruption, self._outputs():
            try:
                while len(self.history) < self.epochs and not self._patience_is_over():
                    self._epoch(interruption)
            except StopTrainingError:
                self.history.interrupted = True
            except KeyboardInterrupt:
                # By another handler than ours, so it is the first one; after ours the user insists.
                if interruption.requested:
                    raise
                self.history.interrupted = True
        if self.best_weights is not None and not self.history.interrupted:
            self.model.load_state_dict(self.best_weights)
        return self.history

    def _patience_is_over(self) -> bool:
        if self.early_stopping is None or self.stopping.waited < self.early_stopping.patience:
            return False
        self.history.stopped_early = True
        return True

    @contextmanager
    def _outputs(self) -> Iterator[None]:
        steps = _length(self.loader)
        done = len(self.history) * (steps or 0) + self.passing.steps
        self.screen = Screen(self.progress, self.epochs, steps, done)
        opened: list[Log] = []
        try:
            for log in self.logs:
                log.open(self.history)
                opened.append(log)
            yield
        finally:
            self.screen.close()
            for log in opened:
                log.close()

    def _epoch(self, interruption: Interruption) -> None:
        if not self.model.training:
            self.model.train()
        if self.passing.steps == 0:
            for metric in self.metrics.values():
                metric.reset()
        start = time.perf_counter() - self.passing.seconds
        for batch in self.loader:
            self._step(batch)
            self.passing.seconds = time.perf_counter() - start
            self.screen.step(self.passing.loss, self.passing.seen)
            self._within_epoch(interruption)
        row = self._row(interruption)
        if self.scheduler is not None and self.scheduler_interval == "epoch":
            self._schedule(row)
        self.history.rows.append(row)
        self.passing = Passing()
        self._keep(row)
        self.screen.line(row)
        for log in self.logs:
            log.write(row)

    def _step(self, batch: Any) -> None:
        try:
            step = self.train_step(
                self.model, self.loss, batch, self.optimizer, clip_grad_norm=self.clip_grad_norm
            )
            value = step.loss.item()
            if not math.isfinite(value):
                raise NonFiniteLossError(f"the loss that train_step= returned is {value}")
        except NonFiniteLossError as error:
            if self.on_nonfinite == "raise":
                where = f"epoch {len(self.history) + 1}, step {self.passing.steps + 1}"
                raise NonFiniteLossError(f"{where}: {error}") from None
            self.history.skipped_steps += 1
        else:
            count = batch_size(batch)
            self.passing.seen += count
            self.passing.loss += value * count
            if self.validation is None:
                for metric in self.metrics.values():
                    metric.update(step.output, step.target)
        self.passing.steps += 1
        if self.scheduler is not None and self.scheduler_interval == "step":
            self.scheduler.step()

    def _within_epoch(self, interruption: Interruption) -> None:
        """Write a checkpoint if it is due, or if Ctrl-C ends the run here."""
        checkpoint = self.checkpoint
        if checkpoint is not None and hasattr(self.loader, "state_dict"):
            every = checkpoint.every_steps
            if interruption.requested or (every and self.passing.steps % every == 0):
                self._save_last(checkpoint)
        interruption.check()

    def _row(self, interruption: Interruption) -> dict[str, Any]:
        passing = self.passing
        number = len(self.history) + 1
        if passing.steps == 0:
            raise ValueError(
                f"fit: the loader gave no batches in epoch {number}; a generator is used up after "
                "one pass, and drop_last=True leaves out a batch that is not full"
            )
        if passing.seen == 0:
            raise NonFiniteLossError(f"fit: no step of epoch {number} had a finite loss")
        row: dict[str, Any] = {"epoch": number, "loss": passing.loss / passing.seen}
        if self.validation is None:
            found = {name: metric.compute() for name, metric in self.metrics.items()}
            row |= {name: _plain(value) for name, value in found.items()}
        else:
            batches = _until(interruption, self.validation)
            found = evaluate(self.model, batches, self.metrics, loss=self.loss)
            row |= {f"validation_{name}": _plain(value) for name, value in found.items()}
        row["lr"] = float(self.optimizer.param_groups[0]["lr"])
        row["seconds"] = passing.seconds
        row["samples_per_second"] = passing.seen / max(passing.seconds, 1e-9)
        return row

    def _schedule(self, row: dict[str, Any]) -> None:
        from tapegrad.optim.lr_scheduler import ReduceLROnPlateau

        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(row[self.monitor])
        elif self.scheduler is not None:
            self.scheduler.step()

    def _keep(self, row: dict[str, Any]) -> None:
        """Remember and write the weights that an epoch has led to."""
        value = row[self.monitor]
        better = self.best.update(value)
        if better:
            self.history.best_epoch = row["epoch"]
        options = self.early_stopping
        if self.stopping.update(value) and options is not None and options.restore_best:
            state = self.model.state_dict()
            self.best_weights = {name: tensor.clone() for name, tensor in state.items()}
        if self.checkpoint is not None:
            if better:
                from tapegrad.serialization import save

                Path(self.checkpoint.folder).mkdir(parents=True, exist_ok=True)
                save(self.model.state_dict(), self.checkpoint.best)
            self._save_last(self.checkpoint)

    def _save_last(self, checkpoint: Checkpoint) -> None:
        from tapegrad.serialization import save

        Path(checkpoint.folder).mkdir(parents=True, exist_ok=True)
        save(snapshot(self), checkpoint.last)

    def resume(self, path: Path) -> None:
        """Take over the state in a checkpoint."""
        from tapegrad.serialization import load

        restore(self, load(path), path)
        for row in self.history.rows:
            self.best.update(row[self.monitor])
            self.stopping.update(row[self.monitor])


def _length(loader: object) -> int | None:
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a loader over a stream has the method, and nothing to answer
        return None


def _until(interruption: Interruption, batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        interruption.check()
        yield batch


def _plain(value: Any) -> Any:
    """What a history keeps and a checkpoint can store."""
    return value.tolist() if hasattr(value, "tolist") else value
