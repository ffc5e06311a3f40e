"""The default generator of random numbers, with PyTorch's names (``torch.random``)."""

from __future__ import annotations

from contextlib import contextmanager

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]

default_generator = _C.default_generator
manual_seed = _C.manual_seed
seed = _C.seed
initial_seed = _C.initial_seed
get_rng_state = _C.get_rng_state
set_rng_state = _C.set_rng_state


@contextmanager
def fork_rng(
    devices: Iterable[object] | None = None, enabled: bool = True, device_type: str = "cpu"
) -> Iterator[None]:
    """Give the default generator its state back when the block ends.

    Parameters
    ----------
    devices, device_type
        taken for PyTorch's sake; there is one generator
    enabled
        False leaves the state as the block makes it

    >>> import tapegrad as tg
    >>> before = tg.get_rng_state()
    >>> with tg.random.fork_rng():
    ...     numbers = tg.rand(3)
    >>> tg.equal(before, tg.get_rng_state())
    True
    """
    if not enabled:
        yield
        return
    state = _C.get_rng_state()
    try:
        yield
    finally:
        _C.set_rng_state(state)
