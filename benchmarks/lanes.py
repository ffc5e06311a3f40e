"""Libraries that take turns: each measures in a process of its own, on the same cores.

A script that measures serves requests when it is started with `--serve LIBRARY --threads N`:
`serve` reads one JSON object a line and answers with the best time, or with what went wrong.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = ("tapegrad", "torch")
TURNS = 3
BUDGET = 0.03  # seconds a turn


def best_of(step: Callable[[], Any]) -> float:
    step()
    begin = time.perf_counter()
    step()
    calls = max(1, int(BUDGET / 5 / max(1e-9, time.perf_counter() - begin)))
    best = math.inf
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(calls):
            step()
        best = min(best, (time.perf_counter() - begin) / calls)
    return best


def serve(peer: str, threads: int, build: Callable[[Any, dict[str, Any]], Any]) -> None:
    """Answers requests until the input ends; `build` makes the step of one for a library."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch = import_module(peer)
    torch.set_num_threads(threads)
    last: tuple[str, Any] = ("", None)
    for line in sys.stdin:
        try:
            if line != last[0]:
                last = ("", None)
                last = (line, build(torch, json.loads(line)))
            answer: dict[str, Any] = {"best": best_of(last[1])}
        except Exception as error:  # the other library may do what this one cannot
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


class Lane:
    """The process of one library at one number of threads."""

    def __init__(self, script: str, peer: str, threads: int = 1) -> None:
        command = [sys.executable, str(Path(script).resolve())]
        command += ["--serve", peer, "--threads", str(threads)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended (exit status {self.process.wait()}) at {request}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(lanes: dict[str, Lane], request: dict[str, Any]) -> dict[str, Any]:
    """The best time of each lane, which take turns; or the first error."""
    found: dict[str, Any] = {}
    for _ in range(TURNS):
        for peer, lane in lanes.items():
            answer = lane.ask(request)
            if "error" in answer:
                return {"error": f"{peer}: {answer['error']}"}
            found[peer] = min(found.get(peer, math.inf), answer["best"])
    return found
