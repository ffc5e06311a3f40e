"""Measures tapegrad beside PyTorch and JAX, in one run, and prints how they compare.

    python benchmarks/compare.py                          # everything, one thread
    python benchmarks/compare.py --threads 1,2            # both, and how well two threads scale
    python benchmarks/compare.py --only exp,matmul --quick

Every peer runs in its own process on the same cores; they take turns, so that the machine's drift
hits all of them. Times are the best of many samples; the JSON file holds the medians too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import footprint
from report import (
    Result,
    Run,
    arithmetic,
    print_footprint,
    print_scaling,
    print_table,
    traffic,
    verdicts,
)
from workloads import WORKLOADS, Workload

HERE = Path(__file__).resolve().parent
PEERS = ("tapegrad", "torch", "jax")
SETTLE = 0.02  # seconds: idle threads of the peer that ran last stop spinning


@dataclass(frozen=True)
class Pace:
    rounds: int
    budget: float
    imports: int


FULL, QUICK = Pace(10, 0.12, 7), Pace(3, 0.03, 2)


class Lane:
    """A peer at a number of threads: its worker process, and what it has answered so far."""

    def __init__(self, peer: str, threads: int) -> None:
        self.peer, self.threads = peer, threads
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
        }
        command = [
            sys.executable,
            str(HERE / "worker.py"),
            "--peer",
            peer,
            "--threads",
            str(threads),
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.hello = self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"The {self.peer} worker ended (exit status {self.process.wait()}).")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def turn(self, workload: str, budget: float) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"workload": workload, "budget": budget}) + "\n")
        self.process.stdin.flush()
        return self._reply()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def measure(workload: Workload, lanes: list[Lane], pace: Pace) -> list[Result]:
    """All lanes take turns at one workload; a lane that fails, or does not have it, drops out."""
    samples: dict[Lane, list[float]] = {lane: [] for lane in lanes}
    last: dict[Lane, dict[str, Any]] = {}
    for _ in range(pace.rounds):
        for lane in lanes:
            if lane in last and "samples" not in last[lane]:
                continue
            time.sleep(SETTLE)
            last[lane] = lane.turn(workload.name, pace.budget)
            samples[lane] += last[lane].get("samples", [])
    results = []
    for lane in lanes:
        times, reply = samples[lane], last[lane]
        if reply.get("absent"):
            continue
        result = Result(workload.name, lane.peer, lane.threads, error=reply.get("error"))
        if times and not result.error:
            result.best, result.median = min(times), statistics.median(times)
            result.samples, result.value = len(times), reply["value"]
        results.append(result)
    return results


def limits(threads: list[int]) -> dict[int, dict[str, float]]:
    found = {}
    for count in threads:
        command = [sys.executable, str(HERE / "kernel_limits.py"), "--threads", str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[count] = json.loads(done.stdout)
    return found


def best_limits(
    first: dict[int, dict[str, float]], second: dict[int, dict[str, float]], results: list[Result]
) -> dict[int, dict[str, float]]:
    """The better of before and after; no limit lies below a rate that a peer reached."""
    best = {n: {key: max(value, second[n][key]) for key, value in first[n].items()} for n in first}
    for result in results:
        if result.best:
            workload, rates = WORKLOADS[result.workload], best[result.threads]
            for key, amount in (
                (arithmetic(workload), workload.flops),
                (traffic(workload), workload.traffic),
            ):
                rates[key] = max(rates[key], amount / result.best)
    return best


def weigh(peers: list[str], count: int) -> dict[str, dict[str, Any]]:
    times: dict[str, list[float]] = {peer: [] for peer in peers}
    for turn in range(count + 1):
        for peer in peers:
            seconds = footprint.import_time(peer)
            if turn:  # the first import warms the file cache
                times[peer].append(seconds)
    return {
        peer: {
            "import_best": min(values),
            "import_median": statistics.median(values),
            "sizes": footprint.sizes(peer),
        }
        for peer, values in times.items()
    }


def machine() -> dict[str, Any]:
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        names = ("model name", "cpu family", "model")
        model = ", ".join(f"{name} {fields[name]}" for name in names if name in fields)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(WORKLOADS)
    parser.add_argument("--only", default="", help=f"names or beginnings of names, of: {names}")
    parser.add_argument("--threads", default="1", help="1, 2, or several: 1,2 (default 1)")
    parser.add_argument("--peers", default=",".join(PEERS), help="those installed of: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results here")
    parser.add_argument(
        "--quick", action="store_true", help="few samples: a look, not a measurement"
    )
    options = parser.parse_args()
    options.threads = [int(count) for count in options.threads.split(",")]
    if not all(1 <= count <= (os.cpu_count() or 1) for count in options.threads):
        parser.error(f"--threads: this machine has {os.cpu_count()} cores")
    prefixes = tuple(filter(None, options.only.split(",")))
    options.workloads = [
        w for w in WORKLOADS.values() if not prefixes or w.name.startswith(prefixes)
    ]
    if not options.workloads:
        parser.error(f"--only: no workload is named so; there are {names}")
    asked = options.peers.split(",")
    if unknown := set(asked) - set(PEERS):
        parser.error(f"--peers: {', '.join(sorted(unknown))} unknown; there are {', '.join(PEERS)}")
    options.peers = [peer for peer in asked if importlib.util.find_spec(peer)]
    if not options.peers:
        parser.error(f"--peers: none of {', '.join(asked)} is installed for {sys.executable}")
    return options


def execute(options: argparse.Namespace) -> Run:
    pace = QUICK if options.quick else FULL
    run = Run(machine(), options.peers, options.threads)
    before = limits(options.threads)
    lanes: list[Lane] = []
    try:
        for threads in options.threads:
            for peer in options.peers:
                lanes.append(Lane(peer, threads))
                run.versions[peer] = lanes[-1].hello
        for i, workload in enumerate(options.workloads, 1):
            print(f"\r[{i}/{len(options.workloads)}] {workload.title:<40}", end="", file=sys.stderr)
            run.results += measure(workload, lanes, pace)
    finally:
        for lane in lanes:
            lane.close()
        print(file=sys.stderr)
    run.limits = best_limits(before, limits(options.threads), run.results)
    if not options.only:
        run.footprint = weigh(options.peers, pace.imports)
    return run


def main() -> None:
    options = arguments()
    run = execute(options)
    for threads in options.threads:
        print_table(run, threads)
    print_scaling(run)
    print_footprint(run)
    checks = verdicts(run)
    if checks:
        met = sum(check.met for check in checks)
        print(f"\nTargets met: {met} of {len(checks)}.")
        for check in checks:
            if not check.met:
                print(f"  missed: {check.what}: {check.measured:.3g}, asked {check.asked:.3g}")
    if options.json:
        record = {**asdict(run), "verdicts": [asdict(check) for check in checks]}
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
