"""One peer in a process of its own, on a fixed set of cores: reads requests, answers with times.

Separate processes keep two OpenMP runtimes apart, and let the peers take turns so that the
machine's drift hits all of them. Started by `compare.py`; one JSON object a line each way.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import workloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from workloads import Step

WARM_UP = 3  # the value after these calls is what the peers must agree on
SHORTEST_SAMPLE = 2e-3  # seconds: short steps are repeated until a sample takes this long


def pin(threads: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def sample(step: Step, inner: int, sync: Callable[[Any], Any]) -> float:
    start = time.perf_counter()
    for _ in range(inner):
        result = step()
    sync(result)
    return (time.perf_counter() - start) / inner


def turn(step: Step, sync: Callable[[Any], Any], budget: float, calls: int) -> dict[str, Any]:
    for _ in range(WARM_UP):
        result = sync(step())
    value = float(result.sum().item())
    inner = max(1, math.ceil(SHORTEST_SAMPLE / sample(step, 1, sync)))
    gc.collect()
    gc.disable()  # as `timeit` does
    samples: list[float] = []
    end = time.perf_counter() + budget
    while not samples or time.perf_counter() < end:
        samples.append(sample(step, inner, sync) / calls)
    gc.enable()
    return {"samples": samples, "value": value}


class Peer:
    """A loaded library: builds steps, and waits for results that may still be under way."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.module = importlib.import_module(name)
        self.sync: Callable[[Any], Any] = lambda result: result
        self.jax_builders: dict[str, Callable[[], Step]] = {}
        if name == "jax":
            self.sync = self.module.block_until_ready
            self.jax_builders = importlib.import_module("jax_workloads").BUILDERS
        else:
            self.module.set_num_threads(threads)

    def build(self, name: str) -> Step | None:
        if self.name == "jax":
            builder = self.jax_builders.get(name)
            return builder() if builder else None
        return workloads.WORKLOADS[name].build(self.module)

    def hello(self) -> dict[str, Any]:
        info = self.module.build_info() if hasattr(self.module, "build_info") else None
        return {"version": str(self.module.__version__), "build": info}


def answer(peer: Peer, request: dict[str, Any]) -> dict[str, Any]:
    name = request["workload"]
    try:
        step = peer.build(name)
        if step is None:
            return {"absent": True}
        return turn(step, peer.sync, request["budget"], workloads.WORKLOADS[name].calls)
    except Exception as error:  # a peer that lacks an operation must not stop the others
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    pin(options.threads)
    peer = Peer(options.peer, options.threads)
    print(json.dumps(peer.hello(), default=str), file=replies)
    for line in sys.stdin:
        print(json.dumps(answer(peer, json.loads(line))), file=replies)


if __name__ == "__main__":
    main()
