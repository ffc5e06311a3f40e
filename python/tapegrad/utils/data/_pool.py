"""The workers of a loader: started, fed, watched and ended by the parent."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from contextlib import suppress

from tapegrad.utils.data._channel import Channel, SlotReader, memory_file
from tapegrad.utils.data._protocol import BATCH, ERROR, START, STOP, TASK
from tapegrad.utils.data._worker import Settings, run_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["WorkerPool"]

_GRACE = 5.0  # seconds that a worker has to finish its batch when the pool is closed
_LOOK = 5.0  # seconds between looks at a silent worker
# A process started meanwhile would inherit the worker's ends of the pipes and keep them open.
_starting = threading.Lock()


class _VerbatimKey(str):
    """A message that KeyError shows as it is, with its lines."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Member:
    """One worker as the parent sees it."""

    def __init__(self, process: Any, channel: Channel, slots: SlotReader) -> None:
        self.process = process
        self.channel = channel
        self.slots = slots


class WorkerPool:
    """So many processes; each gets tasks and answers them in their order."""

    def __init__(self, settings: Settings, count: int, context: Any, prefetch: int) -> None:
        self._owner = os.getpid()
        self._members: list[_Member] = []
        self._epoch = 0
        self._prefetch = prefetch
        import multiprocessing

        if "numpy" in sys.modules:
            import numpy.random  # noqa: F401 - loaded lazily; workers seed it if it is there

        chosen = multiprocessing.get_context() if context is None else context
        try:
            for id in range(count):
                self._members.append(self._start(settings, id, count, chosen))
        except BaseException:
            self.close(0.0)
            raise

    def _start(self, settings: Settings, id: int, count: int, context: Any) -> _Member:
        with _starting:
            file = memory_file()
            from_parent, to_worker = context.Pipe(duplex=False)
            from_worker, to_parent = context.Pipe(duplex=False)
            channel = Channel(from_worker, to_worker)
            process = context.Process(
                target=run_worker,
                args=(settings, id, count, (from_parent, to_parent), file),
                name=f"DataLoader worker {id}",
                daemon=True,
            )
            try:
                process.start()
            except BaseException:
                channel.close()
                SlotReader(file, 0).close()
                raise
            finally:
                from_parent.close()
                to_parent.close()
        return _Member(process, channel, SlotReader(file, self._prefetch + 8))

    def begin(self, seed: int, resume: list[dict[str, Any] | None]) -> int:
        """Start a pass in all workers; returns its number."""
        self._epoch += 1
        for member, state in zip(self._members, resume, strict=True):
            self._send(member, (START, self._epoch, seed, state))
        return self._epoch

    @property
    def closed(self) -> bool:
        """Whether there are no workers any more."""
        return not self._members

    @property
    def epoch(self) -> int:
        """The number of the pass that was begun last."""
        return self._epoch

    def submit(self, worker: int, number: int, indices: Any) -> None:
        """Ask a worker for a batch."""
        member = self._members[worker]
        self._send(member, (TASK, self._epoch, number, indices, member.slots.released()))

    def _send(self, member: _Member, message: tuple[Any, ...]) -> None:
        # To a worker that has died nothing can be sent, which is told when its batch is due.
        with suppress(BrokenPipeError):
            member.channel.send(pickle.dumps(message, 5))

    def receive(self, worker: int, timeout: float) -> tuple[int, Any, dict[str, Any]]:
        """(kind, batch or error, state) of the worker's next answer.

        RuntimeError when the worker has died, or nothing comes within ``timeout`` seconds (0: wait
        for ever).
        """
        member = self._members[worker]
        deadline = time.monotonic() + timeout if timeout > 0 else None
        while True:
            frame = self._frame(worker, member, deadline)
            epoch, _, kind, skeleton, slot, state = pickle.loads(frame)
            if epoch != self._epoch:
                member.slots.drop(slot)
                continue
            if kind == ERROR:
                return kind, _error_again(worker, *skeleton), state
            return kind, member.slots.unpack(skeleton, slot) if kind == BATCH else None, state

    def _frame(self, worker: int, member: _Member, deadline: float | None) -> bytes:
        channel, sentinel = member.channel, member.process.sentinel
        ended = False
        while True:
            try:
                frame = channel.take()
            except EOFError:
                frame, ended = None, True
            if frame is not None:
                return frame
            if ended:
                self._tell_death(worker, member)
            # What it wrote before its end is still to be read.
            ended = not member.process.is_alive()
            if ended:
                continue
            seconds = _LOOK
            if deadline is not None:
                seconds = min(seconds, deadline - time.monotonic())
                if seconds <= 0:
                    raise RuntimeError(
                        f"DataLoader timed out after waiting for a batch of worker {worker} "
                        f"(pid {member.process.pid}); give a longer timeout=, or find out what its "
                        "data set waits for"
                    )
            try:
                channel.wait(seconds, also=sentinel)
            except BrokenPipeError:
                ended = True

    def _tell_death(self, worker: int, member: _Member) -> None:
        process = member.process
        process.join(_GRACE)
        code, pid = process.exitcode, process.pid
        self.close(0.0)
        if code is not None and code < 0:
            import signal

            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = "unknown"
            cause = f"it was killed by signal {-code} ({name})"
            if -code == signal.SIGKILL:
                cause += ", perhaps for lack of memory"
        else:
            cause = f"it ended with exit code {code}"
        raise RuntimeError(
            f"DataLoader worker (pid(s) {pid}) exited unexpectedly: worker {worker} owed a batch, "
            f"but {cause}"
        )

    def close(self, grace: float = _GRACE) -> None:
        """End the workers: they may finish their batch, within ``grace`` seconds."""
        if self._owner != os.getpid():  # a copy in a forked process
            return
        members, self._members = self._members, []
        for member in members:
            # The end of its input alone may not reach it: other children may hold the pipe open.
            self._send(member, (STOP,))
            member.channel.close()
        deadline = time.monotonic() + grace
        for member in members:
            member.process.join(max(0.0, deadline - time.monotonic()))
        for end in ("terminate", "kill"):
            for member in members:
                if member.process.exitcode is None:
                    getattr(member.process, end)()
            for member in members:
                member.process.join(1.0)
        for member in members:
            member.slots.close()
            if member.process.exitcode is not None:
                member.process.close()

    def __del__(self) -> None:
        self.close()


def _error_again(worker: int, kind: type[Exception], text: str) -> Exception:
    """An error of the worker's class, or of the nearest base that takes a message."""
    message = f"Caught {kind.__name__} in DataLoader worker process {worker}.\nOriginal {text}"
    for base in kind.__mro__:
        try:
            error = base(_VerbatimKey(message) if issubclass(base, KeyError) else message)
        except Exception:  # its constructor wants something else
            continue
        if isinstance(error, Exception):
            return error
    return RuntimeError(message)
