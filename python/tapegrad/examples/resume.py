"""Killed and resumed, the same bits: ``python -m tapegrad.examples.resume``.

Trains a network with dropout, momentum, a schedule and shuffled batches twice: once in peace, once
in processes that are killed (SIGKILL: no chance to tidy up) at random steps and started again. Each
goes on from the last checkpoint. The SHA-256 of the weights tells whether the kills can be seen in
the result.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import tapegrad as tg
from tapegrad import nn, train
from tapegrad.examples import _training
from tapegrad.utils.data import DataLoader, TensorDataset

ROWS, BATCH = 1024, 32
STEPS_A_CHECKPOINT = 5


def digest(model: nn.Module) -> str:
    """SHA-256 of all weights."""
    bits = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        bits.update(name.encode())
        bits.update(tensor.numpy().tobytes())
    return bits.hexdigest()


def work(epochs: int, folder: Path) -> None:
    """Train, from the checkpoint in the folder if there is one; tells each step and the digest."""
    x = tg.randn(ROWS, 16)
    y = tg.sin(x.sum(1, keepdim=True)) + 0.1 * tg.randn(ROWS, 1)
    loader = DataLoader(TensorDataset(x, y), BATCH, shuffle=True)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1))
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = tg.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=epochs * len(loader))

    def step(*args: object, **options: object) -> train.Step:
        result = train.train_step(*args, **options)  # type: ignore[arg-type]
        print("step", flush=True)
        return result

    train.fit(
        model,
        nn.MSELoss(),
        loader,
        optimizer,
        epochs=epochs,
        scheduler=schedule,
        scheduler_interval="step",
        checkpoint=train.Checkpoint(folder, every_steps=STEPS_A_CHECKPOINT),
        resume=True,
        progress=False,
        train_step=step,
    )
    print(digest(model), flush=True)


def start(options: argparse.Namespace, folder: Path) -> subprocess.Popen[str]:
    """A process that trains in the folder."""
    command = [sys.executable, "-m", "tapegrad.examples.resume", "--work", str(folder)]
    command += ["--epochs", str(options.epochs), "--seed", str(options.seed)]
    if options.threads is not None:
        command += ["--threads", str(options.threads)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def follow(process: subprocess.Popen[str], kill_after: int | None) -> tuple[int, str | None]:
    """Count its steps, kill it after so many; the digest if it came to its end."""
    steps = 0
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line != "step\n":
                return steps, line.strip()
            steps += 1
            if steps == kill_after:
                process.kill()
    if kill_after is None or process.returncode >= 0:
        raise _training.ExampleError(f"a training process ended with status {process.returncode}")
    return steps, None


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tapegrad.examples.resume")
    parser.description = "Kill a training at random steps, resume it, compare the bits."
    parser.add_argument("--epochs", type=_training.positive, default=10, help="10")
    parser.add_argument("--kills", type=_training.positive, default=4, help="how often (4)")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    _training.common_options(parser, files=False)
    options = parser.parse_args(arguments)
    _training.prepare(options)
    if options.work is not None:
        work(options.epochs, options.work)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        total, expected = follow(start(options, Path(folder, "peace")), None)
        print(f"in peace: {total} steps, weights {expected}")
        draw = random.Random(options.seed)
        done, kills, found = 0, 0, None
        while found is None:
            last = (
                draw.randint(1, max(1, total // options.kills)) if kills < options.kills else None
            )
            steps, found = follow(start(options, Path(folder, "killed")), last)
            done += steps
            if found is None:
                kills += 1
                print(f"killed after {steps} steps of process {kills}")
    print(f"killed {kills} times: {done} steps ({done - total} repeated), weights {found}")
    print(f"same bits: {found == expected}", flush=True)
    return 0 if found == expected else 1


if __name__ == "__main__":
    _training.run(main)
