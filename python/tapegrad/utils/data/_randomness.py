"""The random states that a pass over the data depends on: taken, put back, kept in a checkpoint."""

from __future__ import annotations

import sys

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Generator

__all__ = ["draw_seed", "python_state", "restore_python_state", "seed_everything"]


def draw_seed(generator: Generator | None) -> int:
    """The seed of a pass: a draw, so that each pass has its own and a seed repeats them all."""
    return int(_C.randint(0, 2**63 - 1, (1,), generator=generator).item())


def _numpy_random() -> Any:
    # Only when somebody uses it: importing NumPy takes longer than many a pass.
    return sys.modules.get("numpy.random")


def seed_everything(seed: int, worker: int) -> None:
    """Seed the global generators of a worker: ours, Python's, and NumPy's if it is loaded."""
    import random

    random.seed(seed + worker)
    _C.manual_seed(seed + worker)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(  # noqa: NPY002 - samples that use the old interface are meant
            [seed & 0xFFFFFFFF, seed >> 32, worker]
        )


def python_state() -> dict[str, Any]:
    """The states of Python's and NumPy's global generators, as plain numbers."""
    import random

    state: dict[str, Any] = {"python": random.getstate()}
    numpy = _numpy_random()
    if numpy is not None:
        name, keys, position, has_gauss, gauss = numpy.get_state()
        state["numpy"] = (str(name), keys.tolist(), int(position), int(has_gauss), float(gauss))
    return state


def restore_python_state(state: dict[str, Any]) -> None:
    """Put back what :func:`python_state` gave."""
    import random

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    numpy_state = state.get("numpy")
    if numpy_state is not None:
        import numpy as np

        name, keys, position, has_gauss, cached = numpy_state
        np.random.set_state(  # noqa: NPY002 - the state of the old interface is meant
            (name, np.array(keys, np.uint32), position, has_gauss, cached)
        )
