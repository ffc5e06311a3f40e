# Made by tools/generate_stubs.py; do not edit.
from collections.abc import Sequence

from tapegrad._C import Tensor

def update_(
    rule: str,
    name: str,
    params: Sequence[Tensor],
    grads: Sequence[Tensor | None] | None,
    states: Sequence[Sequence[Tensor]],
    scalars: Sequence[Sequence[Tensor]],
    options: Sequence[float | Tensor],
    factor: float = 1,
    weight_decay: float = 0,
    shrink: float = 1,
    first: Sequence[bool] | None = None,
    check_only: bool = False,
) -> None: ...
def rules() -> dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]: ...
