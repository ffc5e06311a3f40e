"""What errors say about modules: the path of the one that raised, and why a state does not fit.

Every module that an error passes through on its way out puts its name in front, so that the error
ends with the path from the outermost module to the innermost.
"""

from __future__ import annotations

import sys

from tapegrad import _C
from tapegrad.autograd.anomaly_mode import _name_within
from tapegrad.nn.parameter import is_lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.nn.modules.module import Module

_RECORD = "_tapegrad_module"  # plain data: errors are pickled on their way out of processes
_HAS_NOTES = sys.version_info >= (3, 11)
_MOST_HINTS = 10


def name_module(module: Module, error: Exception) -> None:
    """Say that ``error`` passes through ``module``, in a note (before Python 3.11: in its text)."""
    kind = type(module).__name__
    path, innermost, last, last_kind, old = getattr(error, _RECORD, ("", kind, 0, "", ""))
    if last == id(module):
        return  # a __call__ that calls that of its base class
    if last:
        name = _name_within(module, last) or last_kind
        path = f"{name}.{path}" if path else name
    note = f"In module {kind}.{path} ({innermost})" if path else f"In module {kind}"
    if _HAS_NOTES:
        _replace_note(error, old, note)
    elif not _replace_text(error, old, note):
        return
    setattr(error, _RECORD, (path, innermost, id(module), kind, note))


def _replace_note(error: Any, old: str, note: str) -> None:
    notes = getattr(error, "__notes__", [])
    if old in notes:
        notes.remove(old)
    error.add_note(note)


def _replace_text(error: Exception, old: str, note: str) -> bool:
    """Of errors whose text is their first argument; others stay as they are."""
    if not error.args or not isinstance(error.args[0], str) or str(error) != error.args[0]:
        return False
    text = error.args[0].removesuffix("\n" + old) if old else error.args[0]
    error.args = (f"{text}\n{note}", *error.args[1:])
    return True


# --- states that do not fit -----------------------------------------------------------------------


def state_errors(missing: list[str], unexpected: list[str]) -> list[str]:
    """What a strict ``load_state_dict`` says about keys that are on one side only."""
    errors = []
    if missing:
        errors.append("Missing key(s) in state_dict: " + _quoted(missing))
    if unexpected:
        errors.append("Unexpected key(s) in state_dict: " + _quoted(unexpected))
    if missing and unexpected:
        errors += _prefix_hint(missing, unexpected) or _closest(missing, unexpected)
    return errors


def mismatch(path: str, own: Tensor, value: Any) -> list[str]:
    """Why a value cannot be copied into the tensor at ``path``; empty where it can."""
    if not isinstance(value, _C.Tensor):
        return [
            f"While copying the parameter named {path}, expected a tensor from checkpoint but "
            f"received {type(value).__name__}."
        ]
    if is_lazy(own):
        return []
    if is_lazy(value):
        return [
            f"{path} in the checkpoint is uninitialized (a lazy module that was never called), but "
            f"has shape {own.shape} in the current model."
        ]
    if value.shape != own.shape:
        return [
            f"size mismatch for {path}: copying a param with shape {value.shape} from "
            f"checkpoint, the shape in current model is {own.shape}."
        ]
    return []


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names) + ". "


def _prefix_hint(missing: list[str], unexpected: list[str]) -> list[str]:
    """For states of a model that was wrapped in another one, or taken out of it."""
    for longer, shorter, change in (
        (unexpected, missing, "key.removeprefix({!r}): value"),
        (missing, unexpected, "{!r} + key: value"),
    ):
        prefix = next((longer[0].removesuffix(s) for s in shorter if longer[0].endswith(s)), "")
        if prefix.endswith(".") and {prefix + name for name in shorter} == set(longer):
            return [
                "The keys differ by a prefix; load "
                f"{{{change.format(prefix)} for key, value in state_dict.items()}}."
            ]
    return []


def _closest(missing: Collection[str], unexpected: list[str]) -> list[str]:
    from difflib import get_close_matches

    hints = []
    for name in unexpected[:_MOST_HINTS]:
        found = get_close_matches(name, missing, n=1)
        if found:
            hints.append(f'"{name}" is close to the missing "{found[0]}".')
    return hints
