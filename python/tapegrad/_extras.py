"""Optional packages: which extra of this one brings them, said in the error when one is missing."""

from __future__ import annotations

import importlib.util

__all__ = ["MissingExtraError", "require"]


class MissingExtraError(ImportError):
    """A package that an extra installs is not there; the message names the command."""


def require(extra: str, *modules: str) -> None:
    """Raise, naming the command that installs them, unless all ``modules`` can be imported.

    >>> require("examples", "os")
    >>> require("examples", "no_such_package")
    Traceback (most recent call last):
        ...
    tapegrad._extras.MissingExtraError: no_such_package not installed; run: pip install \
'tapegrad[examples]'
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"{', '.join(missing)} not installed; run: pip install 'tapegrad[{extra}]'",
            name=missing[0],
        )
