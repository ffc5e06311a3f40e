"""What the examples share: networks, training, the command line."""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tapegrad as tg
from tapegrad import nn, train
from tapegrad._extras import MissingExtraError
from tapegrad.utils.data import DataLoader, TensorDataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class ExampleError(Exception):
    """Something the user can put right; shown without a traceback."""


def mlp(sizes: Iterable[int], dropout: float) -> nn.Sequential:
    """Linear layers of the given widths, with ReLU and dropout between them."""
    widths = list(sizes)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def batches(data: tuple[tg.Tensor, tg.Tensor]) -> DataLoader[Any]:
    """Large batches in the order of the data, for testing."""
    return DataLoader(TensorDataset(*data), batch_size=1000)


def accuracy(model: nn.Module, images: tg.Tensor, labels: tg.Tensor) -> float:
    """The share of images whose largest output is at the label."""
    share = train.evaluate(model, batches((images, labels)), [train.Accuracy()])["accuracy"]
    return float(share)


def fit(
    model: nn.Module,
    loader: DataLoader[Any],
    test: tuple[tg.Tensor, tg.Tensor],
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    warmup: float = 0.0,
) -> train.History:
    """Train with AdamW under a cosine schedule, after a rise for the share ``warmup`` of steps."""
    optimizer = tg.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    steps = epochs * len(loader)
    schedule = (
        tg.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=warmup)
        if warmup
        else tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    )
    return train.fit(
        model,
        nn.CrossEntropyLoss(),
        loader,
        optimizer,
        epochs=epochs,
        validation=batches(test),
        metrics=[train.Accuracy()],
        scheduler=schedule,
        scheduler_interval="step",
    )


def parser(description: str, name: str, epochs: int) -> argparse.ArgumentParser:
    """The options of an example that trains on images."""
    result = argparse.ArgumentParser(prog=f"python -m tapegrad.examples.{name}")
    result.description = description
    result.add_argument(
        "--epochs", type=positive, default=epochs, help=f"passes over the data ({epochs})"
    )
    common_options(result)
    return result


def common_options(result: argparse.ArgumentParser, *, files: bool = True) -> None:
    """Seed and threads, and the folder if there are files, which :func:`prepare` reads."""
    result.add_argument("--seed", type=int, default=0, help="of weights, order and dropout (0)")
    result.add_argument("--threads", type=positive, help="how many threads compute (all)")
    if files:
        result.add_argument(
            "--out", type=Path, default=Path(), metavar="DIR", help="where the files go (here)"
        )


def positive(text: str) -> int:
    """A whole number above 0, as an option."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return value


def prepare(options: argparse.Namespace) -> None:
    """Make the output folder if there is one, set threads and seed."""
    if "out" in options:
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExampleError(f"--out {options.out}: {error.strerror}") from None
    if options.threads is not None:
        tg.set_num_threads(options.threads)
    tg.manual_seed(options.seed)


def finish(
    name: str,
    title: str,
    model: nn.Module,
    history: train.History,
    test: tuple[tg.Tensor, tg.Tensor],
    out: Path,
) -> int:
    """Save weights and curve, state the accuracy in the last line; returns the exit status."""
    weights, curve = out / f"{name}.safetensors", out / f"{name}.png"
    tg.save(model.state_dict(), weights)
    print(f"weights: {weights}")
    if len(history):
        history.plot(curve, title)
        print(f"learning curve: {curve}")
    if history.interrupted:
        print(f"interrupted after {len(history)} full epochs; the weights so far are saved")
    print(
        f"test accuracy: {accuracy(model, *test):.2%} "
        f"({len(test[1])} images, {history.seconds:.1f} s of training)",
        flush=True,
    )
    return 130 if history.interrupted else 0


def run(main: Callable[[], int]) -> None:
    """Exit with the status of ``main``; errors of the user's making in one line."""
    try:
        sys.exit(main())
    except (ExampleError, MissingExtraError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted before training began", file=sys.stderr)
        sys.exit(130)
