"""The machine's limits, measured here and now: multiply-add rate and memory bandwidth on N cores.

The arithmetic peak comes from independent multiply-adds in registers, compiled on the spot (without
a C compiler it is 0, and the best rate that a peer reaches stands in). The bandwidths count bytes
read plus bytes written by NumPy's `a += b` (nothing is fetched there only to be overwritten):
`cached` over arrays of 4M floats (the size of the elementwise workloads, which a large last-level
cache may hold), `memory` over arrays of 32M floats.

    python benchmarks/kernel_limits.py --threads 2
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from worker import pin

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 15
CHAINS = 16  # independent accumulators: enough to hide the latency of a multiply-add
ROUNDS = 400_000
SOURCE = """
typedef TYPE vector __attribute__((vector_size(LANES * sizeof(TYPE))));
TYPE spin(long rounds) {
  vector a[CHAINS], scale, shift;
  for (unsigned j = 0; j < LANES; ++j) { scale[j] = (TYPE)0.999; shift[j] = (TYPE)0.001; }
  for (int i = 0; i < CHAINS; ++i) a[i] = shift * (TYPE)i;
  for (long r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; ++i) a[i] = a[i] * scale + shift;
  }
  TYPE sum = 0;
  for (int i = 0; i < CHAINS; ++i) for (unsigned j = 0; j < LANES; ++j) sum += a[i][j];
  return sum;
}
"""


def best_time(work: Callable[[int], object], threads: int) -> float:
    """Best time in which `threads` threads run `work(index)` once each, without the GIL."""
    times = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(REPEATS):
            start = time.perf_counter()
            list(pool.map(work, range(threads)))
            times.append(time.perf_counter() - start)
    return min(times)


def call(spin: Callable[[int], float], _: int) -> float:
    return spin(ROUNDS)


def peak_flops(kind: str, threads: int) -> float:
    """Operations a second over the vector widths tried, 0 without a compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return 0.0
    itemsize = 4 if kind == "float" else 8
    best = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for width in (16, 32, 64):
            source, library = Path(folder, "spin.c"), Path(folder, f"spin{width}.so")
            source.write_text(SOURCE)
            defines = [f"-DTYPE={kind}", f"-DLANES={width // itemsize}", f"-DCHAINS={CHAINS}"]
            flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
            command = [compiler, *flags, *defines, str(source), "-o", str(library)]
            if subprocess.run(command, capture_output=True).returncode:
                continue
            spin = ctypes.CDLL(str(library)).spin
            spin.argtypes = [ctypes.c_long]
            spin.restype = ctypes.c_float if kind == "float" else ctypes.c_double
            work = 2.0 * ROUNDS * CHAINS * (width // itemsize) * threads
            best = max(best, work / best_time(partial(call, spin), threads))
    return best


def bandwidth(count: int, threads: int) -> float:
    """Bytes a second, read and written, while threads share an addition in place."""
    targets = np.array_split(np.zeros(count, np.float32), threads)
    sources = np.array_split(np.ones(count, np.float32), threads)
    return (
        12.0 * count / best_time(lambda i: np.add(targets[i], sources[i], out=targets[i]), threads)
    )


def measure(threads: int) -> dict[str, float]:
    return {
        "flops_f32": peak_flops("float", threads),
        "flops_f64": peak_flops("double", threads),
        "cached": bandwidth(1 << 22, threads),
        "memory": bandwidth(1 << 25, threads),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    pin(threads)
    print(json.dumps(measure(threads)))


if __name__ == "__main__":
    main()
