"""A language model of characters: ``python -m tapegrad.examples.chargpt``.

Trains a small GPT (Radford et al., 2019; the recipe follows Karpathy's nanoGPT) to continue a text,
character by character: by default the help texts that Python carries, with ``--text FILE`` any
other. Writes ``chargpt.png``, the loss over the steps, and ``chargpt.safetensors``, prints a sample
of what the model writes and, last, the loss on the tenth of the text that it has not seen.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import tapegrad as tg
from tapegrad import nn
from tapegrad._extras import require
from tapegrad.examples import _training
from tapegrad.examples._training import ExampleError
from tapegrad.nn import functional as F

# --- the model ----------------------------------------------------------------------------------


@dataclass
class Shape:
    """Of a model."""

    vocabulary: int
    block: int = 64
    layers: int = 4
    heads: int = 4
    width: int = 128


class Attention(nn.Module):
    """Every position looks at itself and those before it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """(batch, length, width), and so is the result."""
        batch, length, width = x.shape
        q, k, v = (
            t.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for t in self.qkv(x).split(width, 2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """Attention, then two linear layers at every position; each adds to its input."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, bias=False)
        self.attention = Attention(shape)
        self.norm2 = nn.LayerNorm(shape.width, bias=False)
        self.inner = nn.Linear(shape.width, 4 * shape.width, bias=False)
        self.out = nn.Linear(4 * shape.width, shape.width, bias=False)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """(batch, length, width), and so is the result."""
        x = x + self.attention(self.norm1(x))
        return x + self.out(F.gelu(self.inner(self.norm2(x))))  # type: ignore[no-any-return]


class GPT(nn.Module):
    """From character numbers (batch, length) to logits of each next one (batch, length, all)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.block, shape.width)
        self.layers = nn.Sequential(*(Layer(shape) for _ in range(shape.layers)))
        self.norm = nn.LayerNorm(shape.width, bias=False)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        for name, parameter in self.named_parameters():
            if name.startswith(("tokens", "positions")):
                nn.init.normal_(parameter, std=0.2)
            elif name.endswith("out.weight"):
                nn.init.zeros_(parameter)  # at first every layer passes on what it gets

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        """The logits."""
        y = self.tokens(x) + self.positions(tg.arange(x.shape[1]))
        return self.head(self.norm(self.layers(y)))  # type: ignore[no-any-return]


def loss_of(model: GPT, x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
    """The mean cross-entropy of the next characters."""
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


# --- the text -----------------------------------------------------------------------------------


@dataclass
class Text:
    """A text as numbers of its characters: nine tenths to learn, the rest to test."""

    characters: str
    learn: tg.Tensor
    test: tg.Tensor


def read(path: Path | None) -> str:
    """The file's content, or all help texts of Python."""
    if path is None:
        from pydoc_data.topics import topics

        return "\n\n".join(topics[name] for name in sorted(topics))
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExampleError(f"--text {path}: cannot be read: {error}") from None


def encode(text: str, block: int) -> Text:
    """Each character as its place in the sorted list of all."""
    characters = "".join(sorted(set(text)))
    number = {character: i for i, character in enumerate(characters)}
    everything = tg.tensor([number[character] for character in text])
    cut = len(text) * 9 // 10
    if len(text) - cut < block + 2:
        raise ExampleError(
            f"the text has {len(text)} characters, too few for blocks of {block}; give a longer "
            "one, or a smaller --block"
        )
    return Text(characters, everything[:cut], everything[cut:])


def windows(data: tg.Tensor, starts: tg.Tensor, block: int) -> tuple[tg.Tensor, tg.Tensor]:
    """Blocks of the text, and the same one character further."""
    places = starts.unsqueeze(1) + tg.arange(block + 1)
    both = data[places]
    return both[:, :-1], both[:, 1:]


# --- training -----------------------------------------------------------------------------------


@dataclass
class Recipe:
    """How to train."""

    steps: int = 2000
    batch: int = 12
    lr: float = 1e-3
    least_lr: float = 1e-4
    warm_up: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0

    def rate(self, step: int) -> float:
        """Up in a line, then down along a cosine."""
        if step < self.warm_up:
            return self.lr * (step + 1) / (self.warm_up + 1)
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.least_lr + (self.lr - self.least_lr) * (1 + math.cos(math.pi * done)) / 2


@dataclass
class History:
    """(step, loss) of the batches and of the test text; seconds of training alone."""

    learnt: list[tuple[int, float]] = field(default_factory=list)
    tested: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def make_optimizer(model: GPT, recipe: Recipe) -> tg.optim.AdamW:
    """AdamW; matrices alone decay."""
    groups = [
        {
            "params": [p for p in model.parameters() if p.dim() >= 2],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    return tg.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.99))


def train_step(
    model: GPT, optimizer: tg.optim.AdamW, recipe: Recipe, step: int, text: Text
) -> tg.Tensor:
    """One batch of random blocks; the loss before the step."""
    block = model.shape.block
    starts = tg.randint(len(text.learn) - block, (recipe.batch,))
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate(step)
    optimizer.zero_grad()
    loss = loss_of(model, *windows(text.learn, starts, block))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    return loss.detach()


def unseen_loss(model: GPT, text: Text, most: int | None = None) -> float:
    """Over the test text in blocks side by side, or over ``most`` of them."""
    block = model.shape.block
    starts = tg.arange(0, len(text.test) - block, block)
    if most is not None:
        starts = starts[:: max(1, len(starts) // most)]
    total = 0.0
    with tg.no_grad():
        for part in starts.split(64):
            total += loss_of(model, *windows(text.test, part, block)).item() * len(part)
    return total / len(starts)


def fit(model: GPT, recipe: Recipe, text: Text) -> History:
    """Train; Ctrl-C ends it early and keeps what was learnt."""
    from tqdm import tqdm

    optimizer = make_optimizer(model, recipe)
    history = History()
    often = max(1, recipe.steps // 10)
    # Without a terminal (disable=None) the lines are enough.
    with tqdm(total=recipe.steps, unit="step", leave=False, disable=None) as bar:
        try:
            start = time.perf_counter()
            for step in range(recipe.steps):
                loss = train_step(model, optimizer, recipe, step, text)
                history.learnt.append((step + 1, loss.item()))
                bar.update()
                if (step + 1) % often == 0 or step + 1 == recipe.steps:
                    history.seconds += time.perf_counter() - start
                    history.tested.append((step + 1, unseen_loss(model, text, most=256)))
                    mean = sum(value for _, value in history.learnt[-often:]) / often
                    bar.write(
                        f"step {step + 1:5}/{recipe.steps}  loss {mean:.4f}  "
                        f"on unseen text {history.tested[-1][1]:.4f}",
                        file=sys.stdout,
                    )
                    start = time.perf_counter()
        except KeyboardInterrupt:
            history.interrupted = True
    return history


def write(model: GPT, characters: str, length: int, temperature: float = 0.8) -> str:
    """A text of the model's own: each character drawn from what it expects next."""
    numbers = [characters.find("\n") if "\n" in characters else 0]
    with tg.no_grad():
        for _ in range(length):
            last = tg.tensor([numbers[-model.shape.block :]])
            chances = F.softmax(model(last)[0, -1] / temperature, dim=-1)
            numbers.append(int(tg.multinomial(chances, 1)))
    return "".join(characters[i] for i in numbers[1:])


def save_curve(history: History, path: Path) -> None:
    """Draw the losses over the steps into a PNG file; no display is needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*zip(*history.learnt, strict=True), lw=0.6, label="batches")
    if history.tested:
        axes.plot(*zip(*history.tested, strict=True), "o-", ms=3, label="unseen text")
    axes.set(xlabel="step", ylabel="cross-entropy of a character", title="Character GPT")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tapegrad.examples.chargpt")
    parser.description = "Train a GPT on characters."
    _training.common_options(parser)
    parser.add_argument("--text", type=Path, metavar="FILE", help="what to learn (Python's help)")
    for name, default, what in (
        ("steps", 2000, "batches to learn from"),
        ("batch", 12, "blocks of text in a batch"),
        ("block", 64, "characters in a block"),
        ("layers", 4, "layers of the model"),
        ("heads", 4, "heads of attention"),
        ("width", 128, "features of a character"),
        ("sample", 400, "characters to write in the end"),
    ):
        parser.add_argument(
            f"--{name}", type=_training.positive, default=default, help=f"{what} ({default})"
        )
    options = parser.parse_args(arguments)
    if options.width % options.heads:
        parser.error(f"--width {options.width} is no multiple of --heads {options.heads}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    options = options_of(arguments)
    require("examples", "tqdm", "matplotlib")
    text = encode(read(options.text), options.block)
    _training.prepare(options)
    shape = Shape(len(text.characters), options.block, options.layers, options.heads, options.width)
    model = GPT(shape)
    parameters = sum(p.numel() for p in model.parameters())
    print(
        f"{len(text.learn) + len(text.test):,} characters, {shape.vocabulary} different ones; "
        f"{parameters:,} parameters"
    )
    recipe = Recipe(steps=options.steps, batch=options.batch)
    history = fit(model, recipe, text)
    weights, curve = options.out / "chargpt.safetensors", options.out / "chargpt.png"
    tg.save(model.state_dict(), weights)
    print(f"weights: {weights}")
    if history.learnt:
        save_curve(history, curve)
        print(f"loss curve: {curve}")
    print(f"--- a sample ---\n{write(model, text.characters, options.sample)}\n---")
    if history.interrupted:
        print(f"interrupted after {len(history.learnt)} steps; the weights so far are saved")
    print(
        f"loss on unseen text: {unseen_loss(model, text):.4f} "
        f"({len(history.learnt)} steps, {history.seconds:.1f} s of training)",
        flush=True,
    )
    return 130 if history.interrupted else 0


if __name__ == "__main__":
    _training.run(main)
