"""Whether operations are recorded: context managers that also work as decorators."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]

_GENERATOR_FLAG = 0x20  # inspect.CO_GENERATOR, without importing inspect


class _GradMode:
    """Sets the thread's grad mode to ``mode`` inside ``with`` and puts the old one back after."""

    __slots__ = ("_previous", "mode")

    mode: bool
    _previous: bool

    def __enter__(self) -> None:
        self._previous = _C._set_grad_enabled(self.mode)

    def __exit__(self, *exc_info: object) -> None:
        _C._set_grad_enabled(self._previous)

    def clone(self) -> _GradMode:
        """A fresh context of the same mode, as each call of a decorated function needs."""
        other = _GradMode.__new__(_GradMode)
        other.mode = self.mode
        return other

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        return _decorate(self.clone, function)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _decorate(make: Callable[[], Any], function: Callable[P, R]) -> Callable[P, R]:
    from functools import wraps

    if isinstance(function, type):
        raise TypeError(f"a grad mode decorates functions, not the class {function.__name__}")
    code = getattr(function, "__code__", None)
    if code is not None and code.co_flags & _GENERATOR_FLAG:

        @wraps(function)
        def generator_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
            return _drive(make, function(*args, **kwargs))  # type: ignore[arg-type]

        return generator_wrapper

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with make():
            return function(*args, **kwargs)

    return wrapper


def _drive(make: Callable[[], Any], inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a generator with the mode set while it computes and the caller's mode at each yield."""
    try:
        with make():
            item = next(inner)
        while True:
            try:
                sent = yield item
            except GeneratorExit:
                with make():
                    inner.close()
                raise
            except BaseException as error:
                with make():
                    item = inner.throw(error)
            else:
                with make():
                    item = inner.send(sent)
    except StopIteration as stop:
        return stop.value


class no_grad(_GradMode):
    """Operations inside are not recorded; results do not require gradients.

    Works as ``with no_grad():``, ``@no_grad()`` and ``@no_grad``, on generator functions too. The
    mode belongs to the thread.

    >>> import tapegrad as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    __slots__ = ()

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:  # noqa: D102
        self = super().__new__(cls)
        self.mode = False
        return self if function is None else self(function)


class enable_grad(_GradMode):
    """Operations inside are recorded, also below :class:`no_grad`.

    >>> import tapegrad as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    __slots__ = ()

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:  # noqa: D102
        self = super().__new__(cls)
        self.mode = True
        return self if function is None else self(function)


class set_grad_enabled(_GradMode):
    """Set recording to ``mode`` at once; as a context manager, until the block ends.

    >>> import tapegrad as tg
    >>> with tg.set_grad_enabled(False):
    ...     tg.is_grad_enabled()
    False
    >>> tg.is_grad_enabled()
    True
    """

    __slots__ = ()

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_grad_enabled: expected a bool, got {type(mode).__name__}")
        self.mode = mode
        self._previous = _C._set_grad_enabled(mode)

    def __enter__(self) -> None:
        _C._set_grad_enabled(self.mode)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:  # noqa: D102
        _C._set_grad_enabled(self._previous)  # decorating must not change the mode of the caller
        return _decorate(self.clone, function)

    def __repr__(self) -> str:
        return f"set_grad_enabled({self.mode})"


class inference_mode:
    """Like :class:`no_grad`, and the results can never be used in recorded operations.

    ``inference_mode(False)`` inside ``inference_mode()`` restores ordinary tensors and recording.

    >>> import tapegrad as tg
    >>> with tg.inference_mode():
    ...     y = tg.ones(2) * 2
    >>> y.is_inference(), y.requires_grad
    (True, False)
    """

    __slots__ = ("_previous", "mode")

    mode: bool
    _previous: tuple[bool, bool]

    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:  # noqa: D102
        self = super().__new__(cls)
        if isinstance(mode, bool):
            self.mode = mode
            return self
        if not callable(mode):
            raise TypeError(f"inference_mode: expected a bool, got {type(mode).__name__}")
        self.mode = True
        return self(mode)

    def __enter__(self) -> None:
        inference = _C._set_inference_mode(self.mode)
        self._previous = inference, _C._set_grad_enabled(not self.mode)

    def __exit__(self, *exc_info: object) -> None:
        inference, grad = self._previous
        _C._set_inference_mode(inference)
        _C._set_grad_enabled(grad)

    def clone(self) -> inference_mode:
        """A fresh context of the same mode."""
        other: inference_mode = inference_mode(self.mode)
        return other

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:  # noqa: D102
        return _decorate(self.clone, function)
