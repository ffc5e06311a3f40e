"""The process of a worker: it waits for tasks, makes batches, and sends them."""

from __future__ import annotations

import os
import pickle
from collections import deque
from contextlib import suppress

from tapegrad import _C
from tapegrad.utils.data._channel import Channel, SlotWriter, close_inherited_channels
from tapegrad.utils.data._fetch import make_fetcher
from tapegrad.utils.data._protocol import (
    BATCH,
    END,
    ERROR,
    START,
    STOP,
    WorkerInfo,
    enter_worker,
)
from tapegrad.utils.data._randomness import python_state, restore_python_state, seed_everything

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad.utils.data._channel import Descriptor

__all__ = ["Settings", "run_worker"]

_PARENT_CHECK = 5.0  # seconds between looks at whether the parent lives


class Settings:
    """What a worker is told once: how samples become batches."""

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[Any], Any],
        stream: bool,
        batched: bool,
        batch_size: int | None,
        drop_last: bool,
        init: Callable[[int], None] | None,
    ) -> None:
        self.dataset = dataset
        self.collate = collate
        self.stream = stream
        self.batched = batched
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.init = init


class _Worker:
    def __init__(
        self, settings: Settings, id: int, workers: int, channel: Channel, file: Descriptor | None
    ) -> None:
        self._settings = settings
        self._id = id
        self._workers = workers
        self._channel = channel
        self._slots = SlotWriter(file)
        self._parent = os.getppid()
        self._inbox: deque[Any] = deque()
        self._started = False
        self._fetcher: Any = None
        self._failure: tuple[Any, str] | None = None
        self._ended = False
        self._sent: dict[str, Any] = {}

    def run(self) -> None:
        """Until the parent says so (EOFError), or is gone."""
        while True:
            while not self._inbox:
                self._channel.wait(_PARENT_CHECK)
                self._listen()
            message = self._inbox.popleft()
            if message[0] == START:
                self._start(*message[1:])
                continue
            reply = self._work(*message[1:])
            if reply is not None:
                self._channel.send(reply)
            self._listen()
            while not self._channel.flush():
                self._channel.wait(_PARENT_CHECK)
                self._listen()

    def _listen(self) -> None:
        """Take in all messages, so that an order to stop is never overlooked."""
        while (frame := self._channel.take()) is not None:
            message = pickle.loads(frame)
            if message[0] == STOP:
                raise EOFError
            self._inbox.append(message)
        if os.getppid() != self._parent:
            raise EOFError

    def _start(self, epoch: int, seed: int, resume: dict[str, Any] | None) -> None:
        """A new pass, or the rest of one that a checkpoint was taken of."""
        self._epoch = epoch
        self._failure, self._fetcher, self._ended = None, None, False
        self._sent = {}
        settings = self._settings
        seed_everything(seed, self._id)
        enter_worker(WorkerInfo(self._id, self._workers, seed + self._id, settings.dataset))
        try:
            if settings.init is not None and not self._started:
                settings.init(self._id)
            self._started = True
            stream = resume.get("stream") if resume else None
            self._fetcher = make_fetcher(
                settings.dataset,
                settings.collate,
                settings.stream,
                settings.batched,
                settings.batch_size,
                settings.drop_last,
                stream,
            )
            if resume:
                if stream is None:
                    self._fetcher.skip(resume["delivered"])
                if "tapegrad" in resume:
                    _C.set_rng_state(resume["tapegrad"])
                if "python" in resume:
                    restore_python_state(resume)
        except Exception as error:
            self._failure = _described(error)

    def _work(self, epoch: int, number: int, indices: Any, released: list[int]) -> bytes | None:
        self._slots.release(released)
        if epoch != self._epoch:
            return None  # of a pass that was broken off
        kind, skeleton, slot = self._answer(indices)
        return pickle.dumps((epoch, number, kind, skeleton, slot, self._changed_state()), 5)

    def _answer(self, indices: Any) -> tuple[int, Any, Any]:
        if self._failure is not None:
            return ERROR, self._failure, None
        if self._ended:
            return END, b"", None
        try:
            try:
                batch = self._fetcher.fetch(indices)
            except StopIteration:
                if not self._settings.stream:
                    raise
                self._ended = True
                return END, b"", None
            return (BATCH, *self._slots.pack(batch))
        except Exception as error:
            return ERROR, _described(error), None

    def _changed_state(self) -> dict[str, Any]:
        """What a checkpoint after this batch needs of this worker, as far as it is new."""
        state = python_state()
        state["tapegrad"] = bytes(_C.get_rng_state().tolist())
        stream = None if self._fetcher is None else self._fetcher.state()
        if stream is not None:
            state["stream"] = stream
        changed = {key: value for key, value in state.items() if self._sent.get(key) != value}
        if "stream" in changed:
            # A copy: the stream may go on changing the object it gave.
            changed["stream"] = pickle.loads(pickle.dumps(stream))
        self._sent.update(changed)
        return changed


def _described(error: Exception) -> tuple[Any, str]:
    """The classes of an error that the parent can name too, and the traceback as text."""
    import traceback

    text = traceback.format_exc()
    for kind in type(error).__mro__:
        try:
            if issubclass(kind, Exception) and pickle.loads(pickle.dumps(kind)) is kind:
                return kind, text
        except Exception:  # a class that cannot be pickled; its base may be
            continue
    return RuntimeError, text


def run_worker(
    settings: Settings,
    id: int,
    workers: int,
    ends: tuple[Any, Any],
    file: Descriptor | None,
) -> None:
    """The main function of the process."""
    import signal

    # Ctrl-C reaches the whole group; the parent handles it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    close_inherited_channels()
    _C.set_num_threads(1)
    with suppress(BrokenPipeError, EOFError):  # the parent has ended, or wants no more
        _Worker(settings, id, workers, Channel(*ends), file).run()
