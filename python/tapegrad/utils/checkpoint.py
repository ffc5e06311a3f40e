"""Memory for time: the backward pass runs parts of a model again instead of keeping values."""

from __future__ import annotations

import weakref
from contextlib import contextmanager, nullcontext
from threading import get_ident

from tapegrad import _C
from tapegrad.autograd.grad_mode import enable_grad
from tapegrad.autograd.graph import saved_tensors_hooks
from tapegrad.random import fork_rng

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.nn import Module

    Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]

__all__ = [
    "CheckpointError",
    "checkpoint",
    "checkpoint_sequential",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]

_NO_LEVEL = -2
_early_stop: bool | None = None  # None: what each call says
_debug: bool | None = None


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function did not do what the first did."""


class _Stop(BaseException):
    """Everything needed has been computed again. Passes ``except Exception`` of user code."""


def noop_context_fn() -> Contexts:
    """Two contexts that do nothing: the default of ``context_fn``."""
    return nullcontext(), nullcontext()


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Inside the block, say for all checkpoints whether recomputation stops as early as it can.

    >>> import tapegrad as tg
    >>> from tapegrad.utils.checkpoint import checkpoint, set_checkpoint_early_stop
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> with set_checkpoint_early_stop(False):
    ...     y = checkpoint(tg.exp, x, use_reentrant=False)
    """
    global _early_stop
    previous, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = previous


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Inside the block, override the ``debug`` argument of all checkpoints; ``None`` leaves it."""
    global _debug
    previous, _debug = _debug, enabled
    try:
        yield
    finally:
        _debug = previous


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call ``function(*args, **kwargs)`` and keep only its arguments for the backward pass.

    When the backward pass needs a value from inside of ``function``, the function runs again.
    Gradients are those of a plain call, bit for bit, also by ``grad()``, with ``retain_graph``,
    ``create_graph`` and checkpoints inside of checkpoints.

    Parameters
    ----------
    function : callable
        must compute the same whenever it is called with the same arguments
    *args, **kwargs
        its arguments. Tensors among them must not be changed in place before the backward pass.
    use_reentrant : bool, optional
        there is one implementation, without PyTorch's restrictions on the reentrant one; every
        value is accepted and means it
    context_fn : callable
        returns two context managers, for the first run and for the second
    determinism_check : {"default", "none"}
        whether shape and dtype of everything the second run saves are compared with the first
    debug : bool, default False
        let errors list the lines at which tensors were saved, in both runs
    early_stop : bool, default True
        stop the second run after the last value that is needed
    preserve_rng_state : bool, default True
        start the second run with the random state of the first, so that dropout drops the same

    Returns what ``function`` returns. Raises ``CheckpointError`` in the backward pass when the
    second run saves another number of tensors, or other shapes; ``ValueError`` for an unknown
    ``determinism_check``. Exceptions of ``function`` arrive as they are.

    >>> import tapegrad as tg
    >>> from tapegrad.utils.checkpoint import checkpoint
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x.exp() * x).sin(), x, use_reentrant=False).sum().backward()
    >>> tg.equal(x.grad, tg.autograd.grad((x.exp() * x).sin().sum(), x)[0])
    True
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"checkpoint: determinism_check must be 'default' or 'none', got {determinism_check!r}"
        )
    if not _C.is_grad_enabled():
        with context_fn()[0]:
            return function(*args, **kwargs)
    first, second = context_fn()
    frame = _Frame(function, args, kwargs, second)
    frame.rng = _C.get_rng_state() if preserve_rng_state else None
    frame.early_stop = early_stop if _early_stop is None else _early_stop
    frame.check = determinism_check == "default"
    frame.debug = debug if _debug is None else _debug
    with first, saved_tensors_hooks(frame.pack, frame.unpack):
        result = function(*args, **kwargs)
    frame.complete = True
    return result


def checkpoint_sequential(
    functions: Module | Sequence[Callable[..., Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Run ``functions`` one after the other, checkpointed in ``segments`` parts of equal length.

    Only the inputs of the parts are kept, and the values of one part at a time in the backward
    pass; the last part runs plainly. The memory of ``n`` equal layers is the least with about
    ``sqrt(n)`` segments.

    Parameters
    ----------
    functions : nn.Sequential or sequence of callables
        each takes what the one before returned
    segments : int
        from 1 to the number of functions
    input : Tensor
        for the first function
    use_reentrant, preserve_rng_state
        as in :func:`checkpoint`

    Raises ``ValueError`` for an impossible number of segments or an unknown keyword.

    >>> import tapegrad as tg
    >>> from tapegrad.utils.checkpoint import checkpoint_sequential
    >>> model = tg.nn.Sequential(*[tg.nn.Linear(3, 3) for _ in range(9)])
    >>> out = checkpoint_sequential(model, 3, tg.ones(2, 3), use_reentrant=False)
    >>> out.shape
    tapegrad.Size([2, 3])
    """
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    from tapegrad.nn import Sequential

    parts: list[Any] = list(
        functions.children() if isinstance(functions, Sequential) else functions
    )
    if not 1 <= segments <= max(1, len(parts)):
        raise ValueError(
            f"checkpoint_sequential: cannot divide {len(parts)} functions into {segments} segments"
        )
    size = len(parts) // segments
    for start in range(0, size * (segments - 1), size):
        chain = _Chain(parts[start : start + size])
        input = checkpoint(
            chain, input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state
        )
    return _Chain(parts[size * (segments - 1) :])(input)


@contextmanager
def _recording() -> Iterator[None]:
    """Record whatever the pass does that is going on, also one of a transform in ``func``."""
    silent = _C._set_silent_level(_NO_LEVEL)
    try:
        with enable_grad():
            yield
    finally:
        _C._set_silent_level(silent)


class _Chain:
    """One function after the other."""

    def __init__(self, functions: Sequence[Callable[[Any], Any]]) -> None:
        self.functions = functions

    def __call__(self, value: Any) -> Any:
        for function in self.functions:
            value = function(value)
        return value


class _Holder:
    """Stands in the graph for a tensor that can be computed again. Alive while that is needed."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


class _Frame:
    """A checkpointed call: its arguments, and what is known of the tensors it saved.

    The graph holds holders and, by the unpack hook, this; this knows the holders weakly. The
    tensors among the arguments are kept by a node of their own, so that outer hooks (of another
    checkpoint) get them and their versions are checked.
    """

    rng: Tensor | None
    early_stop: bool
    check: bool
    debug: bool

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: AbstractContextManager[Any],
    ) -> None:
        self.function = function
        self.context = context
        values = (*args, *kwargs.values())
        where = [i for i, value in enumerate(values) if isinstance(value, _C.Tensor)]
        self.kept = _C._keep_tensors([values[i] for i in where])
        self.where = where
        self.others = [None if isinstance(v, _C.Tensor) else v for v in values]
        self.count, self.names = len(args), tuple(kwargs)
        self.holders: list[weakref.ref[_Holder]] = []
        self.saved: list[tuple[tuple[int, ...], Any]] = []  # shape and dtype, by number
        self.lines: list[str] = []
        self.again: dict[tuple[int, int], Tensor] = {}  # by thread and number
        self.complete = False

    # --- the first run ------------------------------------------------------------------------

    def pack(self, tensor: Tensor) -> _Holder:
        holder = _Holder(len(self.holders))
        self.holders.append(weakref.ref(holder))
        self.saved.append((tuple(tensor.shape), tensor.dtype))
        if self.debug:
            self.lines.append(_caller())
        return holder

    def unpack(self, holder: _Holder) -> Tensor:
        key = get_ident(), holder.number
        if key not in self.again:
            self.recompute()
        try:
            return self.again.pop(key)
        except KeyError:
            raise CheckpointError(
                "checkpoint: the second run of the function did not compute tensor "
                f"{holder.number} again; does it do the same whenever it is called?"
            ) from None

    # --- the second run -----------------------------------------------------------------------

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        values = list(self.others)
        for i, tensor in zip(self.where, self.kept.saved_tensors, strict=True):
            values[i] = tensor
        return values[: self.count], dict(zip(self.names, values[self.count :], strict=True))

    def recompute(self) -> None:
        run = _Run(self)
        rng = self.rng
        with _recording(), fork_rng(enabled=rng is not None):
            args, kwargs = self.arguments()
            if rng is not None:
                _C.set_rng_state(rng)
            try:
                with self.context, saved_tensors_hooks(run.pack, run.unpack):
                    self.function(*args, **kwargs)
            except _Stop as stop:
                if stop.args[0] is not run:
                    raise
        run.compare()
        thread = get_ident()
        self.again.update(((thread, number), t) for number, t in run.tensors.items())


class _Run:
    """One recomputation: numbers the tensors as the first run did, and keeps those still wanted."""

    def __init__(self, frame: _Frame) -> None:
        self.frame = frame
        self.expected = len(frame.holders)
        self.saved: list[tuple[tuple[int, ...], Any]] = []
        self.lines: list[str] = []
        self.tensors: dict[int, Tensor] = {}

    def pack(self, tensor: Tensor) -> Tensor:
        frame, number = self.frame, len(self.saved)
        self.saved.append((tuple(tensor.shape), tensor.dtype))
        if frame.debug:
            self.lines.append(_caller())
        tensor = tensor.detach()
        if number < self.expected and frame.holders[number]() is not None:
            self.tensors[number] = tensor
        if frame.early_stop and number + 1 == self.expected:
            raise _Stop(self)
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        return tensor

    def compare(self) -> None:
        frame = self.frame
        expected, got = frame.saved[: self.expected], self.saved
        # A function that differentiates inside asks for its tensors before its first run is over.
        if len(got) < len(expected) or (frame.complete and len(got) > len(expected)):
            raise CheckpointError(
                "checkpoint: A different number of tensors was saved during the original forward "
                f"and recomputation.\nNumber of tensors saved during forward: {len(expected)}\n"
                f"Number of tensors saved during recomputation: {len(got)}."
                + self.explain(len(got))
            )
        if not frame.check:
            return
        for number, (first, second) in enumerate(zip(expected, got, strict=False)):
            if first != second and frame.holders[number]() is not None:
                raise CheckpointError(
                    "checkpoint: Recomputed values for the following tensors have different "
                    "metadata than during the forward pass.\n"
                    f"tensor at position {number}:\n"
                    f"saved metadata: {_describe(*first)}\n"
                    f"recomputed metadata: {_describe(*second)}" + self.explain(number)
                )

    def explain(self, number: int) -> str:
        if not self.frame.debug:
            return (
                "\nThe function must do the same in both runs: look for state that it changes, or "
                "for conditions on it. debug=True lists where tensors were saved."
            )
        parting = next(
            (
                i
                for i, (a, b) in enumerate(zip(self.frame.lines, self.lines, strict=False))
                if a != b
            ),
            number,
        )
        first, second = self.frame.lines[: parting + 3], self.lines[: parting + 3]
        listed = ["", "Tensors were saved by:", "  in the forward pass", *_numbered(first)]
        return "\n".join([*listed, "  in the recomputation", *_numbered(second)])


def _numbered(lines: list[str]) -> list[str]:
    return [f"  {number:4}  {line}" for number, line in enumerate(lines)]


def _describe(shape: tuple[int, ...], dtype: Any) -> str:
    return f"{{'shape': {shape}, 'dtype': {dtype}}}"


def _caller() -> str:
    """``file:line in function`` of the operation that saves a tensor."""
    import sys

    frame = sys._getframe(2)
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}"
