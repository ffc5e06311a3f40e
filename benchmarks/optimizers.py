"""Measures one step of every optimizer beside PyTorch's best form of it.

    python benchmarks/optimizers.py                      # 10.5M parameters and a small network
    python benchmarks/optimizers.py --threads 2
    python benchmarks/optimizers.py --only Adam,SGD --json FILE

Of PyTorch the best of `fused`, `foreach` and the plain loop counts, whichever it has. Both
libraries run in processes of their own on the same cores and take turns; times are the best of
many.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from worker import pin

if TYPE_CHECKING:
    from collections.abc import Callable

PEERS = ("tapegrad", "torch")
TURNS = 6
BUDGET = 0.08  # seconds a turn

# Shapes of the parameters: large ones measure memory, many small ones the way to them.
MODELS = {
    "10.5M": [(1024, 1024)] * 10,
    "small": [(64, 32), (64,), (64, 64), (64,), (10, 64), (10,)],
    "deep": [(128, 128), (128,)] * 50,
}
FORMS: list[dict[str, Any]] = [{"foreach": False}, {"foreach": True}, {"fused": True}, {}]
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {}),
    "SGD, momentum": ("SGD", {"momentum": 0.9}),
    "Adam": ("Adam", {}),
    "Adam, amsgrad": ("Adam", {"amsgrad": True}),
    "AdamW": ("AdamW", {}),
    "Adamax": ("Adamax", {}),
    "NAdam": ("NAdam", {}),
    "RAdam": ("RAdam", {}),
    "RMSprop": ("RMSprop", {}),
    "RMSprop, all": ("RMSprop", {"centered": True, "momentum": 0.9}),
    "Rprop": ("Rprop", {}),
    "Adagrad": ("Adagrad", {}),
    "Adadelta": ("Adadelta", {}),
    "ASGD": ("ASGD", {}),
    "Lion": ("Lion", {}),
    "Adafactor": ("Adafactor", {}),
    "Muon": ("Muon", {}),
    "clip, Adam": ("Adam", {}),
    "EMA": ("EMA", {}),
}


def parameters(torch: Any, shapes: list[tuple[int, ...]]) -> list[Any]:
    rng = np.random.default_rng(0)
    made = []
    for shape in shapes:
        p = torch.tensor(rng.standard_normal(shape).astype(np.float32)).requires_grad_()
        p.grad = torch.tensor(rng.standard_normal(shape).astype(np.float32))
        made.append(p)
    return made


def step_of(torch: Any, row: str, model: str, form: dict[str, Any]) -> Callable[[], Any]:
    name, options = OPTIMIZERS[row]
    shapes = MODELS[model]
    if name == "Muon":
        shapes = (
            [(512, 512), (256, 1024)] if model == "10.5M" else [s for s in shapes if len(s) > 1]
        )
    params = parameters(torch, shapes)
    if name == "EMA":
        average = [p.detach().clone() for p in params]
        current = [p.detach() for p in params]
        update = torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
        return lambda: update(average, current, 1)
    optimizer = getattr(torch.optim, name)(params, **options, **form)
    if not row.startswith("clip"):
        return optimizer.step
    within = {"optimizer": optimizer} if torch.__name__ == "tapegrad" else {}

    def clipped() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1.0, **within)
        optimizer.step()

    return clipped


def best_of(step: Callable[[], Any]) -> float:
    step()
    start = time.perf_counter()
    step()
    inner = max(1, math.ceil(1e-3 / (time.perf_counter() - start)))
    best, end = math.inf, time.perf_counter() + BUDGET
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(inner):
            step()
        best = min(best, (time.perf_counter() - start) / inner)
    return best


def serve(peer: str, threads: int) -> None:
    pin(threads)
    torch = import_module(peer)
    import_module(f"{peer}.optim.swa_utils")
    torch.set_num_threads(threads)
    for line in sys.stdin:
        request = json.loads(line)
        times: dict[str, float] = {}
        for form in FORMS if peer == "torch" else [{}]:
            try:
                step = step_of(torch, request["row"], request["model"], form)
                times[next(iter(form), "default")] = best_of(step)
            except (TypeError, RuntimeError, AttributeError) as error:
                times.setdefault(f"no {form}: {error}", math.inf)  # it lacks the form
        print(json.dumps(min(times.values())), flush=True)


class Lane:
    """The process of one library."""

    def __init__(self, peer: str, threads: int) -> None:
        file = str(Path(__file__).resolve())
        command = [sys.executable, file, "--serve", peer, "--threads", str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, row: str, model: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"row": row, "model": model}), file=self.process.stdin, flush=True)
        return float(json.loads(self.process.stdout.readline()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="names, or beginnings of names, with commas")
    parser.add_argument("--models", default="10.5M,small", help=", ".join(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.threads)
        return
    lanes = {peer: Lane(peer, options.threads) for peer in PEERS}
    wanted = tuple(name for name in options.only.split(",") if name)
    results = []
    print(f"{'optimizer':16}{'model':>8}{'tapegrad':>12}{'torch':>12}{'torch/ours':>12}")
    for model in options.models.split(","):
        for row in OPTIMIZERS:
            if wanted and not row.startswith(wanted):
                continue
            best = dict.fromkeys(PEERS, math.inf)
            for _ in range(TURNS):
                for peer, lane in lanes.items():
                    best[peer] = min(best[peer], lane.ask(row, model))
            ours, theirs = (best[peer] for peer in PEERS)
            results.append({"row": row, "model": model, **best})
            ratio = "" if math.isinf(theirs) else f"{theirs / ours:.2f}"
            cells = [f"{t * 1e6:.1f} us" if math.isfinite(t) else "-" for t in (ours, theirs)]
            print(f"{row:16}{model:>8}{cells[0]:>12}{cells[1]:>12}{ratio:>12}", flush=True)
    for lane in lanes.values():
        assert lane.process.stdin is not None
        lane.process.stdin.close()
        lane.process.wait()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
