# Made by tools/generate_stubs.py; do not edit.
import os

from tapegrad._C import Tensor

def save_safetensors(
    tensors: dict[str, Tensor],
    path: str | bytes | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None: ...
def load_safetensors(
    path: str | bytes | os.PathLike[str],
) -> tuple[dict[str, Tensor], dict[str, str]]: ...
