"""Finding what went wrong in a backward pass: NaN, graphs used twice, memory written behind it."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any
    from weakref import ReferenceType

__all__ = [
    "detect_anomaly",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "set_anomaly_enabled",
    "set_detect_anomaly",
]


class set_detect_anomaly:
    """Switch anomaly mode of this thread on or off: a function, or a context manager.

    Parameters
    ----------
    mode : bool
        whether operations note where they are recorded
    check_nan : bool, default True
        whether a NaN among the gradients of a backward pass is an error

    See :class:`detect_anomaly` for what the mode does. As a context manager the previous mode
    comes back at the end of the block.

    >>> import tapegrad as tg
    >>> with tg.autograd.set_detect_anomaly(True):
    ...     tg.autograd.is_anomaly_enabled()
    True
    >>> tg.autograd.is_anomaly_enabled()
    False
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._previous = _C._set_anomaly_mode(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        _C._set_anomaly_mode(*self._previous)


class detect_anomaly:
    """Find the operation behind a NaN, or behind another error of the backward pass.

    Inside the block every operation notes where it is recorded: the Python stack, the path of the
    module in whose ``forward`` it ran, its shapes, and which of its values are finite. A backward
    pass in the block then

    - raises ``RuntimeError`` when an operation returns NaN as a gradient. The message names the
      operation, its place, and what was not finite first: an input (and the operation or the leaf
      it came from), the gradient that arrived, or the derivative itself; where a ``where`` is the
      reason, it shows the remedy;
    - raises when a saved tensor was written through memory shared with NumPy or DLPack;
    - says where the operation was recorded when its rule raises an error, or when the graph is
      used a second time.

    Parameters
    ----------
    check_nan : bool, default True
        whether NaN is an error

    The mode belongs to the thread. It reads all values again and is slow: for debugging. A warning
    says so when it is switched on.

    >>> import tapegrad as tg
    >>> x = tg.tensor([0.0, 4.0], requires_grad=True)
    >>> import warnings
    >>> warnings.simplefilter("ignore")
    >>> with tg.autograd.detect_anomaly():
    ...     y = tg.where(x > 0, x.sqrt(), x)
    ...     try:
    ...         y.sum().backward()
    ...     except RuntimeError as error:
    ...         print(str(error).split(" (")[0])
    Function 'SqrtBackward' returned nan values in its 0th output
    """

    def __init__(self, check_nan: bool = True) -> None:
        from warnings import warn

        self.check_nan = check_nan
        warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should "
            "only be enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        self._previous = _C._set_anomaly_mode(True, self.check_nan)

    def __exit__(self, *exc_info: object) -> None:
        _C._set_anomaly_mode(*self._previous)


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on for this thread."""
    return _C._anomaly_mode()[0]


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode of this thread, where it is on, makes NaN an error."""
    return _C._anomaly_mode()[1]


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Switch anomaly mode of this thread on or off; :class:`set_detect_anomaly` also undoes it.

    >>> import tapegrad as tg
    >>> tg.set_anomaly_enabled(True, check_nan=False)
    >>> tg.is_anomaly_enabled(), tg.is_anomaly_check_nan_enabled()
    (True, False)
    >>> tg.set_anomaly_enabled(False)
    """
    _C._set_anomaly_mode(mode, check_nan)


# --- for the messages: called from C++ ------------------------------------------------------------


def _is_ours(code: CodeType) -> bool:
    package = __file__.rpartition("autograd")[0]
    name = code.co_filename
    return name.startswith(package) and not name.startswith(f"{package}examples")


def _traceback(frames: list[tuple[CodeType, int]]) -> str:
    from linecache import getline

    lines = []
    for code, line in frames:
        lines.append(f'File "{code.co_filename}", line {line}, in {code.co_name}')
        source = getline(code.co_filename, line).strip()
        if source:
            lines.append(f"  {source}")
    return "\n".join(lines)


def _line(frames: list[tuple[CodeType, int]]) -> str:
    """``file:line`` of the innermost call outside of the library."""
    from pathlib import Path

    for code, line in reversed(frames):
        if not _is_ours(code):
            return f"{Path(code.co_filename).name}:{line}"
    return ""


def _module_path(modules: list[ReferenceType[Any]]) -> str:
    """The names from the outermost module to the innermost: ``Net.encoder.0 (Linear)``."""
    path, last = "", None
    for reference in modules:
        module = reference()
        if module is None or module is last:
            continue
        if last is None:
            path = type(module).__name__
        else:
            path += "." + (_name_within(last, id(module)) or type(module).__name__)
        last = module
    return f"{path} ({type(last).__name__})" if "." in path else path


def _name_within(outer: Any, inner: int) -> str:
    """The path from a module to the one of identity ``inner`` below it; empty for none."""
    return next((name for name, each in outer.named_modules() if id(each) == inner), "")
