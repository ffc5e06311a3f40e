"""The state of a run as nested dicts, and back."""

from __future__ import annotations

import math

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tapegrad.train.loop import _Run

__all__ = ["Best", "restore", "snapshot"]

_FORMAT = 1


class Best:
    """The best value so far, and for how many values there was none better."""

    def __init__(self, mode: str, min_delta: float) -> None:
        self.sign = 1.0 if mode == "max" else -1.0
        self.min_delta = min_delta
        self.value: float | None = None
        self.waited = 0

    def update(self, value: float) -> bool:
        """Take the value of an epoch; whether it is the best so far."""
        first = self.value is None and not math.isnan(value)
        if first or (self.value is not None and self.sign * (value - self.value) > self.min_delta):
            self.value, self.waited = value, 0
            return True
        self.waited += 1
        return False


def snapshot(run: _Run) -> dict[str, Any]:
    """All that the rest of the run depends on."""
    generator = getattr(run.loader, "generator", None)
    within = run.passing.steps > 0
    return {
        "format": _FORMAT,
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scheduler": None if run.scheduler is None else run.scheduler.state_dict(),
        "rng": _C.get_rng_state(),
        "generator": None if generator is None else generator.get_state(),
        "loader": run.loader.state_dict() if hasattr(run.loader, "state_dict") else None,
        "passing": dict(vars(run.passing)) if within else None,
        "metrics": {name: dict(vars(metric)) for name, metric in run.metrics.items()}
        if within and run.validation is None
        else {},
        "history": dict(vars(run.history)),
        "best_weights": run.best_weights,
    }


def restore(run: _Run, state: Any, path: Path) -> None:
    """Undo :func:`snapshot`; the parts are checked before the first one is taken over."""
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise RuntimeError(f"fit: {path} is not a checkpoint that fit wrote")
    if (state["scheduler"] is None) != (run.scheduler is None):
        was = "without" if state["scheduler"] is None else "with"
        raise RuntimeError(f"fit: {path} was written by a run {was} a scheduler")
    rows = state["history"]["rows"]
    if rows and run.monitor not in rows[-1]:
        raise RuntimeError(
            f"fit: {path} has no column {run.monitor!r}: its run had other metrics or no validation"
        )
    within = state["passing"] is not None
    placed = state["loader"] is not None and hasattr(run.loader, "load_state_dict")
    if within and not placed:
        raise RuntimeError(
            f"fit: {path} was written within an epoch, where this loader cannot go on"
        )
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    if run.scheduler is not None:
        run.scheduler.load_state_dict(state["scheduler"])
    vars(run.history).update(state["history"])
    run.history.interrupted = run.history.stopped_early = False
    run.best_weights = state["best_weights"]
    if placed:
        run.loader.load_state_dict(state["loader"])  # type: ignore[attr-defined]
    if within:
        vars(run.passing).update(state["passing"])
        for name, metric in run.metrics.items():
            vars(metric).update(state["metrics"].get(name, {}))
    generator = getattr(run.loader, "generator", None)
    if generator is not None and state["generator"] is not None:
        generator.set_state(state["generator"])
    _C.set_rng_state(state["rng"])
