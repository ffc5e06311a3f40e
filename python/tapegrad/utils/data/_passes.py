"""One pass over the data: its iterator, and the record that a checkpoint is made of.

Note [Exact resume]
The record of a pass keeps the random states from before its first draw and how many batches have
been delivered. To resume, these states are put back, the order is drawn again, the index lists of
the delivered batches (and of those that workers were preparing) are passed over without reading a
sample, and the states of now return. So nothing of the order itself is stored, and any sampler
will do. A worker sends its random states with every batch, so that a resumed one goes on
from the batch that was delivered last, however far it had read ahead.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from tapegrad import _C
from tapegrad.utils.data._protocol import END, ERROR
from tapegrad.utils.data._randomness import python_state, restore_python_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tapegrad._C import Generator
    from tapegrad.utils.data._fetch import IndexFetcher, StreamFetcher
    from tapegrad.utils.data._pool import WorkerPool

__all__ = ["LocalPass", "PassRecord", "RandomStates", "WorkerPass"]


class RandomStates:
    """The states of some generators, the default one first, and of Python's if need be."""

    def __init__(self, generators: list[Generator], with_python: bool) -> None:
        self._generators = generators
        self._with_python = with_python

    def take(self) -> dict[str, Any]:
        """All states as they are now."""
        state: dict[str, Any] = {"generators": [g.get_state() for g in self._generators]}
        if self._with_python:
            state.update(python_state())
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`take` gave."""
        for generator, value in zip(self._generators, state["generators"], strict=True):
            generator.set_state(value)
        if self._with_python and "python" in state:
            restore_python_state(state)


class PassRecord:
    """What is known of a pass from outside; it outlives the iterator."""

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.delivered = 0
        self.finished = False
        self.fetcher: IndexFetcher | StreamFetcher | None = None
        self.crew: Crew | None = None

    def snapshot(self) -> dict[str, Any] | None:
        """The place of the pass, of numbers, strings and tensors; None when it is over."""
        if self.finished:
            return None
        stream = None if self.fetcher is None else self.fetcher.state()
        if stream is not None:
            import copy

            stream = copy.deepcopy(stream)
        return {
            "start": self.start,
            "delivered": self.delivered,
            "stream": stream,
            "workers": None if self.crew is None else self.crew.snapshot(),
        }


class Crew:
    """Which worker owes which batch, and what a checkpoint needs of each."""

    def __init__(self, count: int, delivered: int, saved: dict[str, Any] | None) -> None:
        self.tasks: deque[int] = deque()
        self.next = delivered % count
        self.active = [True] * count
        self.delivered = [0] * count
        self.states: list[dict[str, Any]] = [{} for _ in range(count)]
        if saved is not None:
            self.next = saved["next"]
            self.active = list(saved["active"])
            self.delivered = list(saved["delivered"])
            self.states = [dict(state) for state in saved["states"]]

    def choose(self) -> int | None:
        """The worker whose turn it is, or None when all streams have ended."""
        count = len(self.active)
        for step in range(count):
            worker = (self.next + step) % count
            if self.active[worker]:
                self.next = (worker + 1) % count
                return worker
        return None

    def note(self, worker: int, changed: dict[str, Any]) -> None:
        """What a worker sent along with its answer."""
        if "tapegrad" in changed:
            changed["tapegrad"] = _C.tensor(list(changed["tapegrad"]), dtype=_C.uint8)
        self.states[worker].update(changed)

    def snapshot(self) -> dict[str, Any]:
        return {
            "tasks": list(self.tasks),
            "next": self.next,
            "active": list(self.active),
            "delivered": list(self.delivered),
            "states": [dict(state) for state in self.states],
        }

    def resume(self) -> list[dict[str, Any] | None]:
        """What each worker is told so that it goes on where it was."""
        return [
            {"delivered": count, **state}
            for count, state in zip(self.delivered, self.states, strict=True)
        ]


class LocalPass:
    """A pass whose batches are made in the calling thread."""

    def __init__(self, batches: Iterator[Any], record: PassRecord) -> None:
        self._batches = batches
        self._record = record

    def __iter__(self) -> LocalPass:
        return self

    def __next__(self) -> Any:
        try:
            batch = next(self._batches)
        except StopIteration:
            self._record.finished = True
            raise
        self._record.delivered += 1
        return batch


class WorkerPass:
    """A pass whose batches workers make; they come in the order of the sampler."""

    def __init__(
        self,
        pool: WorkerPool,
        keep: bool,
        indices: Iterator[Any],
        timeout: float,
        record: PassRecord,
    ) -> None:
        self._pool = pool
        self._keep = keep
        self._indices = indices
        self._timeout = timeout
        self._record = record
        self._number = 0

    def start(self, seed: int, workers: int, ahead: int, saved: dict[str, Any] | None) -> None:
        """Begin the pass in all workers and give them the first tasks."""
        record = self._record
        record.crew = self._crew = Crew(workers, record.delivered, saved)
        resume: list[dict[str, Any] | None] = [None] * workers
        if saved is not None:
            resume = self._crew.resume()
        self._epoch = self._pool.begin(seed, resume)
        for _ in islice(self._indices, record.delivered):
            pass
        if saved is not None:
            for worker in saved["tasks"]:
                self._submit(worker)
        else:
            for _ in range(max(1, ahead) * workers):
                self._submit_next()

    def __iter__(self) -> WorkerPass:
        return self

    def _submit(self, worker: int) -> None:
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        self._pool.submit(worker, self._number, indices)
        self._number += 1
        self._crew.tasks.append(worker)

    def _submit_next(self) -> None:
        worker = self._crew.choose()
        if worker is not None:
            self._submit(worker)

    def __next__(self) -> Any:
        record, crew = self._record, self._crew
        if record.finished:
            raise StopIteration
        if self._pool.epoch != self._epoch:
            raise RuntimeError(
                "DataLoader: this pass was broken off when the loader, whose persistent workers it "
                "used, began another one"
            )
        while crew.tasks:
            worker = crew.tasks[0]
            if crew.active[worker]:
                try:
                    kind, content, changed = self._pool.receive(worker, self._timeout)
                except KeyboardInterrupt:
                    self._pool.close(0.0)
                    raise
                crew.tasks.popleft()
                if kind != END:
                    crew.delivered[worker] += 1
                    crew.note(worker, changed)
                    record.delivered += 1
                    self._submit_next()
                    if kind == ERROR:
                        try:
                            raise content
                        finally:
                            del content  # its traceback holds this frame
                    return content
                crew.active[worker] = False
                self._submit_next()
            else:
                crew.tasks.popleft()
        record.finished = True
        if not self._keep:
            self._pool.close()
        raise StopIteration
