"""The handle that every ``register_*_hook`` returns."""

from __future__ import annotations

import itertools
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

__all__ = ["RemovableHandle"]

_ids = itertools.count()


class _HookTable(dict[int, "Any"]):
    """Hooks in the order they run; a plain dict cannot be referred to weakly."""

    __slots__ = ("__weakref__",)


class RemovableHandle:
    """Takes a hook out again: by ``remove()``, or at the end of a ``with`` block.

    >>> import tapegrad as tg
    >>> layer = tg.nn.Identity()
    >>> handle = layer.register_forward_hook(lambda module, args, output: output + 1)
    >>> layer(tg.tensor(1.0)).item()
    2.0
    >>> handle.remove()
    >>> layer(tg.tensor(1.0)).item()
    1.0
    """

    def __init__(self, hooks: _HookTable) -> None:
        self._hooks = weakref.ref(hooks)
        self.id = next(_ids)

    def remove(self) -> None:
        """Remove the hook; a second call, or one after the owner is gone, does nothing."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()
