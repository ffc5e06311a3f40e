"""Ctrl-C as a wish that is looked at between steps."""

from __future__ import annotations

import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any

__all__ = ["Interruption", "StopTrainingError"]


class StopTrainingError(Exception):
    """Ctrl-C was pressed during a step that has ended by now."""


class Interruption:
    """Inside the block the first Ctrl-C is noted, the second one raises ``KeyboardInterrupt``.

    Only Python's own handler is replaced, and only in the main thread: a handler that the program
    has installed, or that Ctrl-C is ignored, stays as it is.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> Interruption:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def check(self) -> None:
        """Raise :class:`StopTrainingError` if Ctrl-C was pressed."""
        if self.requested:
            raise StopTrainingError

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
