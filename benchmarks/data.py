"""Measures loading and files beside PyTorch: whole passes over data, saving, reading.

    python benchmarks/data.py                # everything
    python benchmarks/data.py --only memory,samples

Both libraries run in processes of their own on the same two cores and take turns at each row. Times
are the best of many; the ratio is PyTorch's time by ours. Workers persist, but for "fresh".
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanes import PEERS, Lane, measure, serve

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 2


class Samples:
    """Samples of one shape with their numbers, made one by one."""

    def __init__(self, torch: Any, count: int, shape: tuple[int, ...]) -> None:
        self.torch, self.count, self.shape = torch, count, shape

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if index >= self.count:
            raise IndexError(index)
        return self.torch.ones(self.shape), index


def a_pass(loader: Any) -> Callable[[], None]:
    def run() -> None:
        for _ in loader:
            pass

    return run


def memory(shuffle: bool) -> Callable[[Any], Any]:
    def make(torch: Any) -> Any:
        data = torch.utils.data
        rows = data.TensorDataset(torch.rand(60_000, 784), torch.zeros(60_000))
        return a_pass(data.DataLoader(rows, 128, shuffle=shuffle))

    return make


def samples(workers: int, count: int, batch: int, *shape: int) -> Callable[[Any], Any]:
    def make(torch: Any) -> Any:
        options = {"persistent_workers": True} if workers else {}
        return a_pass(
            torch.utils.data.DataLoader(
                Samples(torch, count, shape), batch, shuffle=True, num_workers=workers, **options
            )
        )

    return make


def fresh(torch: Any) -> Any:
    return a_pass(torch.utils.data.DataLoader(Samples(torch, 64, (10,)), 16, num_workers=2))


def tensors(torch: Any, count: int, *shape: int) -> dict[str, Any]:
    return {f"layer{i}.weight": torch.rand(*shape) for i in range(count)}


def saving(count: int, *shape: int) -> Callable[[Any], Any]:
    def make(torch: Any) -> Any:
        content = {"model": tensors(torch, count, *shape), "epoch": 3}
        path = str(Path(tempfile.mkdtemp(), "file"))
        return lambda: torch.save(content, path)

    return make


def reading(count: int, *shape: int, theirs: bool = False) -> Callable[[Any], Any]:
    def make(torch: Any) -> Any:
        path = str(Path(tempfile.mkdtemp(), "file"))
        if theirs:
            import torch as peer

            peer.save({"model": tensors(peer, count, *shape), "epoch": 3}, path)
        else:
            torch.save({"model": tensors(torch, count, *shape), "epoch": 3}, path)
        return lambda: torch.load(path)

    return make


ROWS: dict[str, Callable[[Any], Any]] = {
    "memory, 60000 x 784, shuffled": memory(True),
    "memory, 60000 x 784, in order": memory(False),
    "samples 784, here": samples(0, 20_000, 128, 784),
    "samples 784, 1 worker": samples(1, 20_000, 128, 784),
    "samples 784, 2 workers": samples(2, 20_000, 128, 784),
    "samples 3 x 64 x 64, here": samples(0, 4_000, 64, 3, 64, 64),
    "samples 3 x 64 x 64, 2 workers": samples(2, 4_000, 64, 3, 64, 64),
    "samples 3 x 224 x 224, here": samples(0, 640, 32, 3, 224, 224),
    "samples 3 x 224 x 224, 2 workers": samples(2, 640, 32, 3, 224, 224),
    "fresh workers, 4 batches": fresh,
    "save 50 of 512 x 512": saving(50, 512, 512),
    "save 500 of 8 x 8": saving(500, 8, 8),
    "load 50 of 512 x 512": reading(50, 512, 512),
    "load 500 of 8 x 8": reading(500, 8, 8),
    "load a .pt, 50 of 512 x 512": reading(50, 512, 512, theirs=True),
    "load a .pt, 500 of 8 x 8": reading(500, 8, 8, theirs=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="beginnings of names, by commas")
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--threads", default=str(THREADS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(
            options.serve, int(options.threads), lambda torch, request: ROWS[request["row"]](torch)
        )
        return
    wanted = tuple(name for name in options.only.split(",") if name) or ("",)
    lanes = {peer: Lane(__file__, peer, THREADS) for peer in PEERS}
    print(f"{'':34}{'ours':>12} {'PyTorch':>12}    ratio")
    for name in ROWS:
        if not name.startswith(wanted):
            continue
        found = measure(lanes, {"row": name})
        if "error" in found:
            print(f"{name:34}{found['error'][:90]}", flush=True)
            continue
        ours, theirs = found["tapegrad"] * 1e3, found["torch"] * 1e3
        print(f"{name:34}{ours:9.2f} ms {theirs:9.2f} ms {theirs / ours:8.2f}", flush=True)


if __name__ == "__main__":
    main()
