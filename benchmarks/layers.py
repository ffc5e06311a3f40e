"""Measures the layers and losses one by one beside PyTorch, forward and backward together.

    python benchmarks/layers.py                             # every layer, one thread, then two
    python benchmarks/layers.py --only Conv,LSTM            # names, or beginnings of names
    python benchmarks/layers.py --threads 1 --forward       # one thread; without the backward pass
    python benchmarks/layers.py --json FILE

Both libraries run in processes of their own on the same cores and take turns at each row. Times are
the best of many; the ratio is PyTorch's time by ours. Gradients are those of all parameters and of
every floating-point input but the targets of losses. Layers that one library lacks are named and
left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lanes import PEERS, Lane, measure, serve

Make = Callable[[Any], Any]


@dataclass
class Row:
    """One layer: how to make it and its inputs. The first `grads` inputs need a gradient."""

    name: str
    layer: Make
    inputs: Callable[[Any], list[Any]]
    grads: int = 1


def ramp(torch: Any, *shape: int, low: float = -1.0, high: float = 1.0) -> Any:
    """Numbers spread over (low, high) in no order."""
    count = 1
    for size in shape:
        count *= size
    steps = torch.arange(count, dtype=torch.float64) * 0.6180339887498949
    return ((steps - steps.floor()) * (high - low) + low).float().reshape(*shape)


def numbers(torch: Any, *shape: int, below: int) -> Any:
    return ramp(torch, *shape, low=0.0, high=float(below)).long().clamp(0, below - 1)


def row(name: str, layer: Make, *shapes: tuple[int, ...]) -> Row:
    return Row(name, layer, lambda torch: [ramp(torch, *shape) for shape in shapes], len(shapes))


def module(name: str, kind: str, *args: Any, shape: tuple[int, ...], **kwargs: Any) -> Row:
    return row(name, lambda torch: getattr(torch.nn, kind)(*args, **kwargs), shape)


# --- layers ---------------------------------------------------------------------------------------

IMAGES = (32, 64, 28, 28)
TABLE = (512, 1024)
SEQUENCE = (60, 32, 64)


def products() -> list[Row]:
    return [
        module("Linear-small", "Linear", 32, 64, shape=(32, 32)),
        module("Linear", "Linear", 512, 512, shape=(256, 512)),
        row("Bilinear", lambda torch: torch.nn.Bilinear(32, 32, 16), (64, 32), (64, 32)),
        module("Conv1d", "Conv1d", 64, 64, 3, padding=1, shape=(16, 64, 256)),
        module("Conv2d-first", "Conv2d", 1, 32, 3, shape=(64, 1, 28, 28)),
        module("Conv2d", "Conv2d", 64, 64, 3, padding=1, shape=IMAGES),
        module("Conv2d-small", "Conv2d", 16, 16, 3, padding=1, shape=(32, 16, 32, 32)),
        module("Conv2d-one", "Conv2d", 3, 8, 3, shape=(1, 3, 16, 16)),
        module("Conv2d-1x1", "Conv2d", 64, 128, 1, shape=IMAGES),
        module("Conv2d-stride", "Conv2d", 64, 128, 3, stride=2, padding=1, shape=IMAGES),
        module("Conv2d-depthwise", "Conv2d", 64, 64, 3, padding=1, groups=64, shape=IMAGES),
        module("Conv2d-dilated", "Conv2d", 64, 64, 3, padding=2, dilation=2, shape=IMAGES),
        module("Conv3d", "Conv3d", 16, 32, 3, padding=1, shape=(4, 16, 8, 28, 28)),
        module("ConvTranspose1d", "ConvTranspose1d", 64, 32, 4, stride=2, shape=(16, 64, 128)),
        module(
            "ConvTranspose2d", "ConvTranspose2d", 64, 32, 4, 2, padding=1, shape=(16, 64, 14, 14)
        ),
    ]


def pools() -> list[Row]:
    return [
        module("MaxPool1d", "MaxPool1d", 2, shape=(16, 64, 256)),
        module("MaxPool2d", "MaxPool2d", 2, shape=IMAGES),
        module("MaxPool2d-3", "MaxPool2d", 3, 2, 1, shape=IMAGES),
        module("AvgPool2d", "AvgPool2d", 2, shape=IMAGES),
        module("AdaptiveAvgPool2d-1", "AdaptiveAvgPool2d", 1, shape=IMAGES),
        module("AdaptiveAvgPool2d-5", "AdaptiveAvgPool2d", 5, shape=IMAGES),
        module("AdaptiveMaxPool2d", "AdaptiveMaxPool2d", 5, shape=IMAGES),
        module("LPPool2d", "LPPool2d", 2, 2, shape=IMAGES),
        module("MaxPool3d", "MaxPool3d", 2, shape=(4, 16, 8, 28, 28)),
    ]


def norms() -> list[Row]:
    return [
        module("BatchNorm1d", "BatchNorm1d", 256, shape=(128, 256)),
        module("BatchNorm2d", "BatchNorm2d", 64, shape=IMAGES),
        row("BatchNorm2d-eval", lambda torch: torch.nn.BatchNorm2d(64).eval(), IMAGES),
        module("LayerNorm", "LayerNorm", 128, shape=(1024, 128)),
        module("LayerNorm-wide", "LayerNorm", 1024, shape=TABLE),
        module("RMSNorm", "RMSNorm", 1024, shape=TABLE),
        module("GroupNorm", "GroupNorm", 8, 64, shape=IMAGES),
        module("InstanceNorm2d", "InstanceNorm2d", 64, shape=IMAGES),
        module("LocalResponseNorm", "LocalResponseNorm", 5, shape=IMAGES),
    ]


ACTIVATIONS = """
ReLU LeakyReLU PReLU RReLU ReLU6 ELU SELU CELU GELU SiLU Mish Sigmoid Tanh LogSigmoid Softplus
Softsign Softshrink Hardshrink Hardtanh Hardsigmoid Hardswish Tanhshrink
"""


def elementwise() -> list[Row]:
    return [
        *(module(name, name, shape=TABLE) for name in ACTIVATIONS.split()),
        module("ReLU-small", "ReLU", shape=(32, 64)),
        module("Threshold", "Threshold", 0.1, 0.2, shape=TABLE),
        module("Softmax", "Softmax", -1, shape=TABLE),
        module("Softmax-channels", "Softmax", 1, shape=IMAGES),
        module("LogSoftmax", "LogSoftmax", -1, shape=TABLE),
        module("GLU", "GLU", shape=TABLE),
        module("Dropout", "Dropout", 0.1, shape=TABLE),
        module("Dropout2d", "Dropout2d", 0.1, shape=IMAGES),
        row("CosineSimilarity", lambda torch: torch.nn.CosineSimilarity(), TABLE, TABLE),
        row("PairwiseDistance", lambda torch: torch.nn.PairwiseDistance(), TABLE, TABLE),
    ]


def shapes() -> list[Row]:
    small = (8, 16, 32, 32)

    def resized(**kwargs: Any) -> Make:
        return lambda torch: lambda x: torch.nn.functional.interpolate(x, scale_factor=2, **kwargs)

    return [
        module("Flatten", "Flatten", shape=IMAGES),
        module("PixelShuffle", "PixelShuffle", 2, shape=IMAGES),
        module("ZeroPad2d", "ZeroPad2d", 1, shape=IMAGES),
        module("ReflectionPad2d", "ReflectionPad2d", 1, shape=IMAGES),
        module("ReplicationPad2d", "ReplicationPad2d", 1, shape=IMAGES),
        module("Unfold", "Unfold", 3, padding=1, shape=small),
        module("Fold", "Fold", (32, 32), 3, padding=1, shape=(8, 144, 1024)),
        module("Upsample", "Upsample", scale_factor=2, shape=small),
        row("interpolate-nearest", resized(mode="nearest"), small),
        row("interpolate-bilinear", resized(mode="bilinear", align_corners=False), small),
        row("interpolate-bicubic", resized(mode="bicubic", align_corners=False), small),
        row(
            "grid_sample",
            lambda torch: (
                lambda x, grid: torch.nn.functional.grid_sample(x, grid, align_corners=False)
            ),
            small,
            (8, 32, 32, 2),
        ),
    ]


def tables() -> list[Row]:
    def indices(torch: Any) -> list[Any]:
        return [numbers(torch, 32, 64, below=10_000)]

    return [
        Row("Embedding", lambda torch: torch.nn.Embedding(10_000, 64), indices, 0),
        Row("EmbeddingBag", lambda torch: torch.nn.EmbeddingBag(10_000, 64), indices, 0),
        Row(
            "EmbeddingBag-max",
            lambda torch: torch.nn.EmbeddingBag(10_000, 64, mode="max"),
            indices,
            0,
        ),
    ]


def sequences() -> list[Row]:
    words = (8, 128, 128)

    def attention(torch: Any) -> Any:
        layer = torch.nn.MultiheadAttention(128, 4, batch_first=True)
        return Named(lambda x: layer(x, x, x, need_weights=False)[0], layer)

    def encoder(torch: Any) -> Any:
        return torch.nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True)

    def decoder(torch: Any) -> Any:
        return torch.nn.TransformerDecoderLayer(128, 4, 512, 0.0, batch_first=True)

    return [
        module("RNN", "RNN", 64, 256, shape=SEQUENCE),
        module("LSTM", "LSTM", 64, 256, shape=SEQUENCE),
        module("LSTM-small", "LSTM", 8, 16, shape=(20, 4, 8)),
        module("LSTM-two", "LSTM", 64, 128, 2, bidirectional=True, shape=SEQUENCE),
        module("GRU", "GRU", 64, 256, shape=SEQUENCE),
        module("LSTMCell", "LSTMCell", 64, 256, shape=(32, 64)),
        module("GRUCell", "GRUCell", 64, 256, shape=(32, 64)),
        row("MultiheadAttention", attention, words),
        row("TransformerEncoderLayer", encoder, words),
        row("TransformerDecoderLayer", decoder, words, words),
    ]


@dataclass
class Named:
    """A function of the inputs, and the module whose parameters it uses."""

    call: Callable[..., Any]
    layer: Any

    def __call__(self, *inputs: Any) -> Any:
        return self.call(*inputs)

    def parameters(self) -> Any:
        return self.layer.parameters()


# --- losses ---------------------------------------------------------------------------------------

LOSS_SIZES = {"small": (128, 10), "large": (4096, 1024)}
SIGNED = "HingeEmbeddingLoss SoftMarginLoss"
COMPARED = "MSELoss L1Loss SmoothL1Loss HuberLoss BCEWithLogitsLoss MultiLabelSoftMarginLoss"


def losses() -> list[Row]:
    return [each for tag, shape in LOSS_SIZES.items() for each in losses_of(tag, *shape)]


def losses_of(tag: str, n: int, c: int) -> list[Row]:
    def scores(torch: Any) -> Any:
        return ramp(torch, n, c, low=-2.0, high=2.0)

    def shares(torch: Any) -> Any:
        return ramp(torch, n, c, low=0.1, high=0.9)

    def signs(torch: Any, *shape: int) -> Any:
        return ramp(torch, *shape).sign()

    def labels(torch: Any) -> Any:
        few = numbers(torch, n, c, below=c)
        few[:, 3:] = -1
        return few

    def loss(kind: str, *inputs: Make, tail: str = "", grads: int = 1, **kwargs: Any) -> Row:
        return Row(
            f"{kind}{tail}-{tag}",
            lambda torch: getattr(torch.nn, kind)(**kwargs),
            lambda torch: [make(torch) for make in inputs],
            grads,
        )

    def classes(torch: Any) -> Any:
        return numbers(torch, n, below=c)

    def log_shares(torch: Any) -> Any:
        return shares(torch).log()

    def log_softmax(torch: Any) -> Any:
        return scores(torch).log_softmax(1)

    return [
        *(loss(kind, scores, shares) for kind in COMPARED.split()),
        *(loss(kind, scores, lambda torch: signs(torch, n, c)) for kind in SIGNED.split()),
        loss("CrossEntropyLoss", scores, classes),
        loss("CrossEntropyLoss", scores, classes, tail="-smooth", label_smoothing=0.1),
        loss("CrossEntropyLoss", scores, shares, tail="-soft"),
        loss("NLLLoss", log_softmax, classes),
        loss("BCELoss", shares, lambda torch: shares(torch).flip(0)),
        loss("KLDivLoss", log_shares, shares, reduction="batchmean"),
        loss("KLDivLoss", log_shares, log_shares, tail="-log", reduction="sum", log_target=True),
        loss("PoissonNLLLoss", scores, shares),
        loss("PoissonNLLLoss", shares, shares, tail="-plain", log_input=False),
        loss("GaussianNLLLoss", scores, shares, shares),
        loss("MarginRankingLoss", scores, shares, lambda torch: signs(torch, n, c), grads=2),
        loss("CosineEmbeddingLoss", scores, shares, lambda torch: signs(torch, n), grads=2),
        loss("MultiMarginLoss", scores, classes),
        loss("MultiMarginLoss", scores, classes, tail="-squared", p=2),
        loss("MultiLabelMarginLoss", scores, labels),
        loss("TripletMarginLoss", scores, shares, log_shares, grads=3),
        loss("TripletMarginWithDistanceLoss", scores, shares, log_shares, grads=3),
        ctc(tag, *((50, 16, 20, 10) if tag == "small" else (300, 32, 80, 60))),
    ]


def ctc(tag: str, steps: int, batch: int, classes: int, length: int) -> Row:
    def inputs(torch: Any) -> list[Any]:
        targets = numbers(torch, batch, length, below=classes - 1) + 1
        sizes = [torch.full((batch,), count, dtype=torch.int64) for count in (steps, length)]
        return [ramp(torch, steps, batch, classes).log_softmax(2), targets, *sizes]

    return Row(f"CTCLoss-{tag}", lambda torch: torch.nn.CTCLoss(), inputs)


# --- measuring ------------------------------------------------------------------------------------


def all_rows() -> list[Row]:
    groups = (products, pools, norms, elementwise, shapes, tables, sequences, losses)
    return [each for group in groups for each in group()]


def build(torch: Any, request: dict[str, Any]) -> Callable[[], Any]:
    chosen = next(each for each in all_rows() if each.name == request["row"])
    layer, inputs = chosen.layer(torch), chosen.inputs(torch)

    def forward() -> Any:
        result = layer(*inputs)
        return result[0] if isinstance(result, tuple) else result

    if request["forward"]:
        return forward
    leaves = [x.requires_grad_() for x in inputs[: chosen.grads]]
    leaves += list(layer.parameters()) if hasattr(layer, "parameters") else []
    seed = torch.ones_like(forward())
    return lambda: torch.autograd.grad(forward(), leaves, seed, allow_unused=True)


def report(name: str, found: dict[str, Any]) -> float | None:
    """Prints one row; the ratio, where both libraries have the layer."""
    if "error" in found:
        print(f"  {name:28}{found['error'][:90]}", flush=True)
        return None
    ratio: float = found["torch"] / found["tapegrad"]
    ours, theirs = found["tapegrad"] * 1e6, found["torch"] * 1e6
    mark = "  SLOWER" if ratio < 1 / 1.05 else ""
    print(f"  {name:28}{ours:12.1f} us {theirs:12.1f} us {ratio:8.2f}{mark}", flush=True)
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names or beginnings of names, by commas")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, by commas")
    parser.add_argument("--forward", action="store_true", help="without the backward pass")
    parser.add_argument("--json", metavar="FILE", help="write all results here")
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, int(options.threads), build)
        return
    wanted = tuple(name for name in options.only.split(",") if name) or ("",)
    names = [each.name for each in all_rows() if each.name.startswith(wanted)]
    results, slower = [], []
    for threads in map(int, options.threads.split(",")):
        print(f"threads: {threads}{'':20}ours{'':11}PyTorch    ratio")
        lanes = {peer: Lane(__file__, peer, threads) for peer in PEERS}
        ratios = []
        for name in names:
            request = {"row": name, "forward": options.forward}
            found = measure(lanes, request)
            results.append({**request, "threads": threads, **found})
            ratio = report(name, found)
            if ratio is not None:
                ratios.append(ratio)
                if ratio < 1 / 1.05:
                    slower.append(f"{name}, {threads} threads: {ratio:.2f}")
        if ratios:
            print(f"  PyTorch's time / ours: median {statistics.median(ratios):.2f}\n")
    print(f"slower than PyTorch by more than 5%: {len(slower)}")
    for text in slower:
        print("  ", text)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
