"""Activations on disk: ``python -m tapegrad.examples.offload``.

Trains a network twice from the same seed, once plainly and once with every large tensor that the
tape keeps written to a file until the backward pass reads it again, by
``autograd.graph.saved_tensors_hooks``. Both end with the same loss to the last bit; the second
needs less memory. The files lie in a temporary folder and go with the graph.
"""

from __future__ import annotations

import argparse
import itertools
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import tapegrad as tg
from tapegrad.autograd.graph import saved_tensors_hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any

SMALL = 4096  # tensors of fewer elements stay in memory


class _File:
    """A tensor in a file, which is removed when the graph no longer needs it."""

    def __init__(self, path: Path, tensor: tg.Tensor) -> None:
        self.path = path
        tg.save({"tensor": tensor.detach()}, path)

    def read(self) -> tg.Tensor:
        state: Any = tg.load(self.path)
        tensor: tg.Tensor = state["tensor"]
        return tensor

    def __del__(self) -> None:
        self.path.unlink(missing_ok=True)


class save_on_disk(saved_tensors_hooks):
    """Keep what operations inside the block save in files of ``folder``.

    Small tensors and parameters, which are in memory anyway, stay where they are.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.numbers = itertools.count()
        self.bytes = 0
        super().__init__(self._pack, self._unpack)

    def _pack(self, tensor: tg.Tensor) -> tg.Tensor | _File:
        if tensor.numel() < SMALL or (tensor.is_leaf and tensor.requires_grad):
            return tensor
        self.bytes += tensor.numel() * tensor.element_size()
        return _File(self.folder / f"{next(self.numbers)}.safetensors", tensor)

    @staticmethod
    def _unpack(packed: tg.Tensor | _File) -> tg.Tensor:
        return packed.read() if isinstance(packed, _File) else packed


def build(depth: int, width: int) -> tg.nn.Sequential:
    """``depth`` hidden layers of ``width`` units."""
    layers: list[tg.nn.Module] = [tg.nn.Linear(16, width)]
    for _ in range(depth):
        layers += [tg.nn.Tanh(), tg.nn.Linear(width, width)]
    return tg.nn.Sequential(*layers, tg.nn.Tanh(), tg.nn.Linear(width, 1))


def train(options: argparse.Namespace, hooks: AbstractContextManager[Any]) -> tuple[float, int]:
    """The last loss, and the largest number of bytes that were in use."""
    tg.manual_seed(options.seed)
    model = build(options.depth, options.width)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.05)
    x = tg.randn(options.batch, 16)
    y = x.sin().sum(1, keepdim=True)
    tg.reset_peak_memory_stats()
    before = tg.memory_stats()["allocated_bytes"]
    loss = tg.tensor(0.0)
    for _ in range(options.steps):
        optimizer.zero_grad()
        with hooks:
            loss = tg.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item(), tg.memory_stats()["peak_allocated_bytes"] - before


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tapegrad.examples.offload",
        description="Train with the activations on disk.",
    )
    parser.add_argument("--depth", type=int, default=24, help="hidden layers (%(default)s)")
    parser.add_argument("--width", type=int, default=128, help="their units (%(default)s)")
    parser.add_argument("--batch", type=int, default=4096, help="samples (%(default)s)")
    parser.add_argument("--steps", type=int, default=5, help="training steps (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    options = parser.parse_args(arguments)
    loss, peak = train(options, nullcontext())
    print(f"in memory: loss {loss:.6f}, peak {peak / 2**20:.1f} MiB")
    with TemporaryDirectory() as folder:
        hooks = save_on_disk(folder)
        same, less = train(options, hooks)
        left = len(list(Path(folder).iterdir()))
    print(f"on disk:   loss {same:.6f}, peak {less / 2**20:.1f} MiB, {hooks.bytes} bytes written")
    print(f"{left} files left, {peak / less:.1f} times less memory, same loss: {loss == same}")
    return 0 if loss == same and left == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
