"""What loader and workers say to each other, and who a worker is: what every loader needs."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "BATCH",
    "END",
    "ERROR",
    "START",
    "STOP",
    "TASK",
    "WorkerInfo",
    "enter_worker",
    "get_worker_info",
]

START, TASK, STOP = 0, 1, 2  # to a worker
BATCH, END, ERROR = 0, 1, 2  # from a worker

_current: WorkerInfo | None = None


class WorkerInfo:
    """Which worker this is: ``id`` of ``num_workers``, its ``seed``, its copy of ``dataset``."""

    def __init__(self, id: int, num_workers: int, seed: int, dataset: Any) -> None:
        self.id = id
        self.num_workers = num_workers
        self.seed = seed
        self.dataset = dataset

    def __repr__(self) -> str:
        return (
            f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed}, "
            f"dataset={self.dataset!r})"
        )


def get_worker_info() -> WorkerInfo | None:
    """In a worker of a loader, which one it is; in the main process None.

    The result has ``id``, ``num_workers``, ``seed`` (that of the pass plus ``id``) and ``dataset``
    (the copy of this worker). A stream uses it to give each worker its share.

    >>> import tapegrad as tg
    >>> tg.utils.data.get_worker_info() is None
    True
    """
    return _current


def enter_worker(info: WorkerInfo) -> None:
    """Note that the process is that worker."""
    global _current
    _current = info
