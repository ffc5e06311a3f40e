"""Where the rows of a run are written while it goes on: a CSV file, TensorBoard, a terminal."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any, Protocol, TextIO

    from tapegrad.train.history import History

    class Log(Protocol):
        """What ``fit(log=...)`` takes: opened once, given each row, closed once."""

        def open(self, history: History) -> None:
            """Begin, after the rows that a resumed run already has."""

        def write(self, row: dict[str, Any]) -> None:
            """Take the row of an epoch."""

        def close(self) -> None:
            """End, whatever ended the run."""


__all__ = ["CSVLog", "TensorBoardLog"]


class CSVLog:
    """A CSV file with one line for each epoch, complete after each of them.

    ``fit(log="run.csv")`` makes one. A resumed run begins the file with the rows of its
    checkpoint. Entries that are no numbers (a confusion matrix) are left out.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: TextIO | None = None
        self._columns: list[str] = []

    def open(self, history: History) -> None:
        """Start the file with the rows so far."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("w", newline="", encoding="utf-8")
        self._columns = []
        for row in history.rows:
            self.write(row)

    def write(self, row: dict[str, Any]) -> None:
        """Add the row of an epoch."""
        if self._file is None:
            raise RuntimeError(f"CSVLog: {self.path} is not open")
        if not self._columns:
            self._columns = [k for k, v in row.items() if isinstance(v, (int, float))]
            csv.writer(self._file).writerow(self._columns)
        csv.writer(self._file).writerow([row.get(name, "") for name in self._columns])
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class TensorBoardLog:
    """Scalars for TensorBoard in a folder (extra ``tensorboard``).

    Errors: ``MissingExtraError`` when the run begins and the package ``tensorboard`` is missing.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._writer: Any = None

    def open(self, history: History) -> None:
        """Start a file of events; steps after those of ``history`` are taken back."""
        from tapegrad._extras import require

        require("tensorboard", "tensorboard")
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(self.folder))
        if history.rows:
            start = SessionLog(status=SessionLog.START)
            step = history.last["epoch"] + 1
            self._writer.add_event(Event(wall_time=time.time(), step=step, session_log=start))

    def write(self, row: dict[str, Any]) -> None:
        """Add the numbers of an epoch; its number is the step."""
        if self._writer is None:
            raise RuntimeError(f"TensorBoardLog: {self.folder} is not open")
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "epoch" and isinstance(value, (int, float))
        ]
        event = Event(wall_time=time.time(), step=row["epoch"], summary=Summary(value=values))
        self._writer.add_event(event)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Screen:
    """The progress bar, and a line for each epoch on the standard output.

    The bar needs tqdm and a terminal or notebook; elsewhere the lines are enough.
    """

    def __init__(self, enabled: bool, epochs: int, steps: int | None, done: int) -> None:
        self._enabled, self._epochs = enabled, epochs
        self._bar: Any = None
        if enabled:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            total = None if steps is None else steps * epochs
            bar = tqdm(total=total, initial=done, unit="batch", leave=False, disable=None)
            self._bar = bar

    def step(self, loss: float, seen: int) -> None:
        """One batch is done; the loss of an epoch so far is a sum over the samples seen."""
        if self._bar is not None and not self._bar.disable:
            if seen:
                self._bar.set_postfix_str(f"loss {loss / seen:.4g}", refresh=False)
            self._bar.update()

    def line(self, row: dict[str, Any]) -> None:
        """Print an epoch's row."""
        if not self._enabled:
            return
        text = f"epoch {row['epoch']:{len(str(self._epochs))}}/{self._epochs}"
        for name, value in row.items():
            if name not in {"epoch", "lr", "seconds", "samples_per_second"} and isinstance(
                value, float
            ):
                text += f"  {name.replace('_', ' ')} {value:.4g}"
        text += f"  {row['samples_per_second']:,.0f} samples/s"
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text, file=sys.stdout)
            sys.stdout.flush()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
