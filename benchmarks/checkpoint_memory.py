"""Memory of training by depth: plain, one checkpoint a layer, and sqrt(depth) segments.

    python benchmarks/checkpoint_memory.py
    python benchmarks/checkpoint_memory.py --depths 16,64,256 --width 256 --batch 256

Peaks are those of ``tapegrad.memory_stats()`` during a forward and a backward pass, above what
parameters and gradients take, in units of one activation (``batch`` times ``width`` numbers). Time
is the best of a few steps, in units of the plain step.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import tapegrad as tg
from tapegrad.utils.checkpoint import checkpoint, checkpoint_sequential

if TYPE_CHECKING:
    from collections.abc import Callable

    Forward = Callable[[tg.nn.Sequential, tg.Tensor], tg.Tensor]


def plain(layers: tg.nn.Sequential, x: tg.Tensor) -> tg.Tensor:
    return layers(x)


def each_layer(layers: tg.nn.Sequential, x: tg.Tensor) -> tg.Tensor:
    for layer in layers:
        x = checkpoint(layer, x, use_reentrant=False)
    return x


def segments(layers: tg.nn.Sequential, x: tg.Tensor) -> tg.Tensor:
    return checkpoint_sequential(layers, round(len(layers) ** 0.5), x, use_reentrant=False)


WAYS: dict[str, Forward] = {
    "plain": plain,
    "each layer": each_layer,
    "sqrt segments": segments,
}


def build(depth: int, width: int) -> tg.nn.Sequential:
    def layer() -> tg.nn.Sequential:
        return tg.nn.Sequential(
            tg.nn.Linear(width, width), tg.nn.GELU(), tg.nn.Linear(width, width), tg.nn.Tanh()
        )

    return tg.nn.Sequential(*[layer() for _ in range(depth)])


def step(forward: Forward, layers: tg.nn.Sequential, x: tg.Tensor) -> float:
    start = time.perf_counter()
    forward(layers, x).sum().backward()
    return time.perf_counter() - start


def measure(forward: Forward, layers: tg.nn.Sequential, x: tg.Tensor) -> tuple[int, float]:
    step(forward, layers, x)  # gradients exist from here on
    tg.reset_peak_memory_stats()
    before = tg.memory_stats()["allocated_bytes"]
    seconds = min(step(forward, layers, x) for _ in range(5))
    return tg.memory_stats()["peak_allocated_bytes"] - before, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--depths", default="16,64,256", help="numbers of layers (%(default)s)")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=512)
    options = parser.parse_args()
    tg.set_num_threads(1)
    tg.manual_seed(0)
    activation = 4 * options.batch * options.width
    print("| layers | " + " | ".join(f"{way}, peak | time" for way in WAYS) + " |")
    print("|---:|" + "---:|---:|" * len(WAYS))
    for depth in map(int, options.depths.split(",")):
        layers = build(depth, options.width)
        x = tg.randn(options.batch, options.width)
        results = [measure(forward, layers, x) for forward in WAYS.values()]
        cells = [f"{peak / activation:.0f} | {t / results[0][1]:.2f}" for peak, t in results]
        print(f"| {depth} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
