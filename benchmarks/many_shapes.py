"""Memory of a process that meets ever new shapes: whatever is kept a shape must level off.

    python benchmarks/many_shapes.py                    # 100 000 shapes of convolution and product
    python benchmarks/many_shapes.py --shapes 3000 --kind conv

Every shape is new: a convolution (forward and both gradients) over a sequence of another length, or
a product of bfloat16 matrices of other sizes. Printed is the resident memory of the process at ten
points.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable

POINTS = 10


def resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS in /proc/self/status")


def convolution(i: int) -> None:
    """New by its length below 1000, then by its number of channels too."""
    length, channels = 8 + i % 1000, 1 + i // 1000
    x = tg.ones(1, channels, length, requires_grad=True)
    w = tg.ones(2, channels, 3, requires_grad=True)
    tg.nn.functional.conv1d(x, w).sum().backward()


def product(i: int) -> None:
    rows, columns = 64 + i % 1000, 64 + i // 1000
    a = tg.ones(rows, 64, dtype=tg.bfloat16)
    a @ tg.ones(64, columns, dtype=tg.bfloat16)


KINDS: dict[str, Callable[[int], None]] = {"conv": convolution, "matmul": product}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", type=int, default=100_000, help="how many (100 000)")
    parser.add_argument("--kind", choices=KINDS, help="only this one")
    options = parser.parse_args()
    tg.set_num_threads(1)
    for kind in [options.kind] if options.kind else KINDS:
        start = time.perf_counter()
        print(f"{kind}: {resident_mb():.1f} MB before", flush=True)
        for i in range(options.shapes):
            KINDS[kind](i)
            if (i + 1) % max(1, options.shapes // POINTS) == 0:
                print(f"  {i + 1:8} shapes: {resident_mb():.1f} MB", flush=True)
        print(f"  {(time.perf_counter() - start) / options.shapes * 1e3:.2f} ms a shape")


if __name__ == "__main__":
    main()
