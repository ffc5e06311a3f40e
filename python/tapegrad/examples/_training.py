"""What the examples share: the training loop, the learning curve, the command line."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tapegrad as tg
from tapegrad import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tapegrad.utils.data import DataLoader

INSTALL = "pip install 'tapegrad[examples]'"


class ExampleError(Exception):
    """Something the user can put right; shown without a traceback."""


def require(*modules: str) -> None:
    """Raise, naming the command that installs them, unless all modules can be imported."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ExampleError(f"{', '.join(missing)} not installed; run: {INSTALL}")


@dataclass
class Epoch:
    """What one line of the log tells."""

    number: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass
class History:
    """The epochs so far, the seconds spent on training, and whether Ctrl-C ended it."""

    epochs: list[Epoch] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def mlp(sizes: Iterable[int], dropout: float) -> nn.Sequential:
    """Linear layers of the given widths, with ReLU and dropout between them."""
    widths = list(sizes)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def accuracy(model: nn.Module, images: tg.Tensor, labels: tg.Tensor) -> float:
    """The share of images whose largest output is at the label."""
    model.eval()
    with tg.no_grad():
        hits = sum(
            int((model(x).argmax(1) == y).sum())
            for x, y in zip(images.split(1000), labels.split(1000), strict=True)
        )
    return hits / len(labels)


def fit(
    model: nn.Module,
    loader: DataLoader[Any],
    test: tuple[tg.Tensor, tg.Tensor],
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
) -> History:
    """Train with AdamW under a cosine schedule; Ctrl-C ends it early and keeps what was learnt."""
    from tqdm import tqdm

    optimizer = tg.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    criterion = nn.CrossEntropyLoss()
    history = History()
    total, step = epochs * len(loader), 0
    # Without a terminal (disable=None) the lines of the epochs are enough.
    with tqdm(total=total, unit="batch", leave=False, disable=None) as bar:
        try:
            for number in range(1, epochs + 1):
                start = time.perf_counter()
                model.train()
                loss_sum, seen = 0.0, 0
                for images, labels in loader:
                    for group in optimizer.param_groups:
                        group["lr"] = lr * (1 + math.cos(math.pi * step / total)) / 2
                    optimizer.zero_grad()
                    loss = criterion(model(images), labels)
                    loss.backward()
                    optimizer.step()
                    loss_sum += loss.item() * len(labels)
                    seen += len(labels)
                    step += 1
                    bar.update()
                seconds = time.perf_counter() - start
                history.seconds += seconds
                epoch = Epoch(number, loss_sum / seen, accuracy(model, *test), seen / seconds)
                history.epochs.append(epoch)
                bar.write(
                    f"epoch {number:3}/{epochs}  loss {epoch.loss:.4f}  "
                    f"accuracy {epoch.accuracy:.2%}  {epoch.images_per_second:,.0f} images/s",
                    file=sys.stdout,
                )
        except KeyboardInterrupt:
            history.interrupted = True
    return history


def save_curve(history: History, title: str, path: Path) -> None:
    """Draw loss and test accuracy over the epochs into a PNG file; no display is needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    numbers = [epoch.number for epoch in history.epochs]
    left = figure.add_subplot()
    right = left.twinx()
    lines = [
        *left.plot(numbers, [e.loss for e in history.epochs], "o-", ms=3, label="training loss"),
        *right.plot(
            numbers,
            [100 * e.accuracy for e in history.epochs],
            "s-",
            ms=3,
            color="tab:orange",
            label="test accuracy",
        ),
    ]
    left.set(xlabel="epoch", ylabel="training loss", title=title)
    right.set(ylabel="test accuracy (%)")
    left.grid(alpha=0.3)
    left.legend(handles=lines, loc="center right")
    figure.savefig(path, dpi=120)


def parser(description: str, name: str, epochs: int) -> argparse.ArgumentParser:
    """The options that every example has."""
    result = argparse.ArgumentParser(prog=f"python -m tapegrad.examples.{name}")
    result.description = description
    result.add_argument(
        "--epochs", type=_positive, default=epochs, help=f"passes over the data ({epochs})"
    )
    result.add_argument("--seed", type=int, default=0, help="of weights, order and dropout (0)")
    result.add_argument("--threads", type=_positive, help="how many threads compute (all)")
    result.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="where the files go (here)"
    )
    return result


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return value


def prepare(options: argparse.Namespace) -> None:
    """Make the output folder, set threads and seed."""
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
    history: History,
    test: tuple[tg.Tensor, tg.Tensor],
    out: Path,
) -> int:
    """Save weights and curve, state the accuracy in the last line; returns the exit status."""
    weights, curve = out / f"{name}.safetensors", out / f"{name}.png"
    tg.save(model.state_dict(), weights)
    print(f"weights: {weights}")
    if history.epochs:
        save_curve(history, title, curve)
        print(f"learning curve: {curve}")
    if history.interrupted:
        print(f"interrupted after {len(history.epochs)} full epochs; the weights so far are saved")
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
    except ExampleError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted before training began", file=sys.stderr)
        sys.exit(130)
