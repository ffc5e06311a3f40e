"""What a run of training leaves behind: one row of numbers for each epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any

__all__ = ["History"]


@dataclass
class History:
    """The rows of all complete epochs, and how the run ended.

    A row holds ``epoch`` (from 1), ``loss``, ``validation_loss`` and the metrics if there are any,
    ``lr`` of the first group, ``seconds`` of training and ``samples_per_second``.
    ``history["loss"]`` is that column over the epochs, ``history.last`` the last row.

    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    >>> history["loss"], history.last["epoch"], len(history)
    ([0.5, 0.25], 2, 2)
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False
    stopped_early: bool = False
    skipped_steps: int = 0
    best_epoch: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[Any]:
        if self.rows and not any(name in row for row in self.rows):
            raise KeyError(f"{name!r}; there are {sorted(self.rows[-1])}")
        return [row.get(name) for row in self.rows]

    @property
    def last(self) -> dict[str, Any]:
        """The row of the last complete epoch."""
        if not self.rows:
            raise IndexError("History: no epoch is complete")
        return self.rows[-1]

    @property
    def seconds(self) -> float:
        """How long the training of all epochs took, validation left out."""
        return float(sum(row.get("seconds", 0.0) for row in self.rows))

    def numbers(self) -> list[str]:
        """The columns that hold one number a row, in their order."""
        first = self.rows[0] if self.rows else {}
        return [name for name, value in first.items() if isinstance(value, (int, float))]

    def plot(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Draw the learning curves into a picture file (extra ``examples``: matplotlib).

        Losses are on the left axis; metrics, if there are any, on the right one. No display is
        needed. Errors: ``IndexError`` if no epoch is complete.
        """
        from tapegrad._extras import require

        require("examples", "matplotlib")
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        if not self.rows:
            raise IndexError("History: no epoch is complete")
        epochs = self["epoch"]
        other = {"epoch", "lr", "seconds", "samples_per_second"}
        columns = [name for name in self.numbers() if name not in other]
        figure = Figure(figsize=(7, 4), layout="constrained")
        FigureCanvasAgg(figure)
        left = figure.add_subplot()
        left.set(xlabel="epoch", ylabel="loss", title=title)
        left.grid(alpha=0.3)
        lines: list[Any] = []
        right = None
        for number, name in enumerate(columns):
            axis = left
            if not name.endswith("loss"):
                right = axis = right or left.twinx()
            label = name.replace("_", " ")
            lines += axis.plot(epochs, self[name], "o-", ms=3, color=f"C{number % 10}", label=label)
        if right is not None:
            metrics = [line.get_label() for line in lines if not line.get_label().endswith("loss")]
            right.set_ylabel(", ".join(metrics))
        left.legend(handles=lines, loc="best")
        figure.savefig(path, dpi=120)
