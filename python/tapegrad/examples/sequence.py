"""Text, character by character: ``python -m tapegrad.examples.sequence``.

Trains an LSTM to foretell the next character of Python's own language reference, as it comes with
every Python (``pydoc_data.topics``), and compares it with an n-gram model of the same text on
topics that neither has seen. Writes ``sequence.safetensors`` and ``sequence.png``, and a few
invented lines.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import tapegrad as tg
from tapegrad import nn, train
from tapegrad._extras import require
from tapegrad.examples import _training
from tapegrad.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPLIT_SEED = 1
TEST_SHARE = 0.1
BATCH, STEPS = 32, 64  # parallel places in the text, characters between two updates
ORDER = 5  # of the n-gram model: a character from the four before it


def load(share: float = 1.0) -> tuple[str, str]:
    """The text for training and for testing; of the topics in ``share`` of all.

    Topics repeat each other: a paragraph is taken where it comes first, so that nothing of the
    test text has been seen in training.
    """
    from pydoc_data.topics import topics

    names = sorted(topics)
    random.Random(SPLIT_SEED).shuffle(names)
    names = names[: max(2, round(share * len(names)))]
    seen: set[str] = set()

    def join(some: list[str]) -> str:
        kept = []
        for paragraph in "\n\n".join(topics[name] for name in some).split("\n\n"):
            words = " ".join(paragraph.split())
            if words not in seen:
                kept.append(paragraph)
                seen.add(words)
        text = "\n\n".join(kept)
        return "".join(c if c == "\n" or " " <= c <= "~" else "?" for c in text)

    held_out = max(1, round(TEST_SHARE * len(names)))
    known = join(names[held_out:])
    return known, join(names[:held_out])


def ngram_bits(known: str, unseen: str, order: int) -> float:
    """Bits a character of ``unseen`` under an n-gram model of ``known``.

    Each order is interpolated with the next lower one by Witten and Bell's method, the lowest with
    equal chances for all characters.
    """
    counts: list[dict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(order)]
    for length in range(order):
        for i in range(length, len(known)):
            counts[length][known[i - length : i]][known[i]] += 1
    even = 1 / len(set(known) | set(unseen))
    total = 0.0
    for i, character in enumerate(unseen):
        chance = even
        for length in range(min(order, i + 1)):
            seen = counts[length].get(unseen[i - length : i])
            if seen is None:
                break
            kinds = len(seen)
            chance = (seen[character] + kinds * chance) / (seen.total() + kinds)
        total -= math.log2(chance)
    return total / len(unseen)


class Writer(nn.Module):
    """Characters (batch, steps) to logits (batch, steps, characters) of the next one.

    The text of one call goes on where that of the call before ended, unless ``state`` was set to
    None in between.
    """

    def __init__(self, characters: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, 64)
        self.lstm = nn.LSTM(64, hidden, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(hidden, characters)
        self.state: tuple[tg.Tensor, tg.Tensor] | None = None

    def forward(self, text: tg.Tensor) -> tg.Tensor:
        """Go on from the state, and keep the new one."""
        output, (h, c) = self.lstm(self.embedding(text), self.state)
        self.state = (h.detach(), c.detach())
        logits: tg.Tensor = self.linear(self.dropout(output))
        return logits


class Windows:
    """A text in parallel columns, window after window: pairs of characters and the next ones."""

    def __init__(self, model: Writer, text: tg.Tensor, columns: int, steps: int) -> None:
        length = len(text) // columns
        self.model, self.steps = model, min(steps, length - 1)
        self.columns = text[: columns * length].reshape(columns, length)

    def __len__(self) -> int:
        return (self.columns.size(1) - 1) // self.steps

    def __iter__(self) -> Iterator[tuple[tg.Tensor, tg.Tensor]]:
        self.model.state = None
        for i in range(len(self)):
            first, last = i * self.steps, (i + 1) * self.steps
            yield self.columns[:, first:last], self.columns[:, first + 1 : last + 1]


def bits(logits: tg.Tensor, targets: tg.Tensor) -> tg.Tensor:
    """The mean cross-entropy in bits a character."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / math.log(2)


def invent(model: Writer, characters: str, length: int) -> str:
    """A text drawn from the model, character by character."""
    model.eval()
    model.state, text = None, "\n"
    with tg.no_grad():
        for _ in range(length):
            logits = model(tg.tensor([[characters.index(text[-1])]]))
            chances = F.softmax(logits.flatten() / 0.7, dim=0)
            text += characters[int(tg.multinomial(chances, 1))]
    return text.strip()


def save_curve(history: train.History, baseline: float, path: Path) -> None:
    """Draw the bits a character over the passes into a PNG file; no display is needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(history["epoch"], history["loss"], "o-", ms=3, label="LSTM, training")
    axes.plot(history["epoch"], history["validation_loss"], "s-", ms=3, label="LSTM, unseen topics")
    axes.axhline(baseline, color="gray", ls="--", label=f"{ORDER}-gram model, unseen topics")
    axes.set(xlabel="epoch", ylabel="bits a character", title="Python's language reference")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    parser = _training.parser("Foretell the next character of a text.", "sequence", epochs=15)
    parser.add_argument(
        "--hidden", type=_training.positive, default=256, help="width of the LSTM (256)"
    )
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the topics that are read, up to 1 (1)"
    )
    options = parser.parse_args(arguments)
    if not 0 < options.share <= 1:
        raise _training.ExampleError(f"--share {options.share}: expected a number in (0, 1]")
    require("examples", "tqdm", "matplotlib")
    _training.prepare(options)
    texts = load(options.share)
    characters = "".join(sorted(set("".join(texts)) | {"\n"}))
    places = {character: i for i, character in enumerate(characters)}
    known, unseen = (tg.tensor([places[c] for c in text]) for text in texts)
    baseline = ngram_bits(*texts, ORDER)
    print(f"{len(known):,} characters; a {ORDER}-gram model: {baseline:.3f} bits a character")
    model = Writer(len(characters), options.hidden)
    windows = Windows(model, known, BATCH, STEPS)
    validation = Windows(model, unseen, 8, STEPS)
    optimizer = tg.optim.Adam(model.parameters(), lr=4e-3)
    history = train.fit(
        model,
        bits,
        windows,
        optimizer,
        epochs=options.epochs,
        validation=validation,
        scheduler=tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs * len(windows)),
        scheduler_interval="step",
    )
    weights, curve = options.out / "sequence.safetensors", options.out / "sequence.png"
    tg.save(model.state_dict(), weights)
    print(f"weights: {weights}")
    if len(history):
        save_curve(history, baseline, curve)
        print(f"learning curve: {curve}")
    if history.interrupted:
        print(f"interrupted after {len(history)} full epochs; the weights so far are saved")
    print("invented:", *invent(model, characters, 400).splitlines(), sep="\n  ")
    found = train.evaluate(model, validation, loss=bits)["loss"]
    print(
        f"test: {found:.3f} bits a character, {ORDER}-gram model: {baseline:.3f} "
        f"({len(unseen):,} characters of unseen topics, {history.seconds:.1f} s of training)",
        flush=True,
    )
    return 130 if history.interrupted else 0


if __name__ == "__main__":
    _training.run(main)
