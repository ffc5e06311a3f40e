"""Peak memory of a training step beside PyTorch: tensors alive, and what the process holds.

    python benchmarks/peak_memory.py
    python benchmarks/peak_memory.py --only lenet,gpt --threads 2

Every row is a process of its own that builds a workload of `workloads.py` and takes five steps.
`tensors` is the most that was allocated at once while steps ran, parameters and states of the
optimizer included: by `tapegrad.memory_stats()`, and by the allocations that PyTorch's profiler
records. `process` is the peak of the resident memory above that after the import: libraries' own
buffers, generated code and caches included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker import pin
from workloads import rows

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = ("tapegrad", "torch")
NAMES = ("lenet", "resnet20", "gpt", "lstm")
STEPS = 5
MB = 1e6


def process_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no {field} in /proc/self/status")


def own_peak(torch: Any, run: Callable[[], None]) -> int:
    torch.reset_peak_memory_stats()
    run()
    return int(torch.memory_stats()["peak_allocated_bytes"])


def peak_of_pytorch(torch: Any, run: Callable[[], None]) -> int:
    """The largest sum of what the profiler saw allocated and freed, in order of time."""
    profiler = torch.profiler.profile(profile_memory=True)
    with profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    alive = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        alive += change
        peak = max(peak, alive)
    return peak


def measure(peer: str, name: str, threads: int, tensors: bool) -> float:
    pin(threads)
    torch = import_module(peer)
    torch.set_num_threads(threads)
    build = next(row.build for row in rows() if row.name == name)
    before = process_bytes("VmRSS")

    def run() -> None:
        step = build(torch)
        for _ in range(STEPS):
            step()

    if tensors:
        return (own_peak if peer == "tapegrad" else peak_of_pytorch)(torch, run) / MB
    run()
    return (process_bytes("VmHWM") - before) / MB


def ask(peer: str, name: str, threads: int, tensors: bool) -> float:
    command = [sys.executable, str(Path(__file__).resolve()), "--serve", peer, "--only", name]
    command += ["--threads", str(threads), *(["--tensors"] if tensors else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(NAMES), help="workloads, by commas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--tensors", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        print(json.dumps(measure(options.serve, options.only, options.threads, options.tensors)))
        return
    print(f"{'MB':12}{'tensors':>10}{'PyTorch':>10}{'ratio':>8}{'process':>12}{'PyTorch':>10}")
    for name in options.only.split(","):
        ours, theirs = (ask(peer, name, options.threads, True) for peer in PEERS)
        held, their_held = (ask(peer, name, options.threads, False) for peer in PEERS)
        print(
            f"{name:12}{ours:10.1f}{theirs:10.1f}{ours / theirs:8.2f}{held:12.1f}{their_held:10.1f}"
            f"{held / their_held:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
