"""Fashion-MNIST: ``python -m tapegrad.examples.fashion``.

Trains a multilayer perceptron 784-256-128-100-10 on 60,000 images of clothes and tests it on
10,000 others (Xiao, Rasul and Vollgraf, https://arxiv.org/abs/1708.07747). The data comes from a
folder with its four IDX files, or from the Debian package ``dataset-fashion-mnist``. Writes
``fashion.safetensors`` and ``fashion.png``.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import tapegrad as tg
from tapegrad._extras import require
from tapegrad.examples import _training
from tapegrad.examples._training import ExampleError
from tapegrad.utils.data import DataLoader, TensorDataset

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
HELP = (
    "install it with `apt-get install dataset-fashion-mnist`, or download the four IDX files from "
    "https://github.com/zalandoresearch/fashion-mnist and give their folder with --data FOLDER"
)
# Of the training images, after scaling to [0, 1].
MEAN, DEVIATION = 0.2860, 0.3530


def read_idx(folder: Path, name: str, dimensions: int) -> tg.Tensor:
    """One IDX file of unsigned bytes, raw or compressed: a big-endian header, then the data."""
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise ExampleError(f"Fashion-MNIST: no {name} or {name}.gz in {folder}; {HELP}")
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ExampleError(f"{path}: cannot be read: {error}") from None
    start = 4 + 4 * dimensions
    if raw[:4] != bytes([0, 0, 8, dimensions]) or len(raw) < start:
        raise ExampleError(f"{path}: not an IDX file of bytes with {dimensions} dimension(s)")
    shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4)]
    expected = 1
    for size in shape:
        expected *= size
    if len(raw) - start != expected:
        raise ExampleError(
            f"{path}: the header promises {expected} bytes of data, there are {len(raw) - start}"
        )
    import numpy as np

    return tg.tensor(np.frombuffer(raw, np.uint8, offset=start).reshape(shape))


def load(folder: Path, part: str) -> tuple[tg.Tensor, tg.Tensor]:
    """(images, labels) of ``train`` or ``t10k``; the images flat and standardised."""
    images = read_idx(folder, f"{part}-images-idx3-ubyte", 3).flatten(1).to(tg.float32)
    labels = read_idx(folder, f"{part}-labels-idx1-ubyte", 1).to(tg.int64)
    if images.shape[1] != 784 or len(images) != len(labels):
        raise ExampleError(
            f"{folder}: {part} has images of {images.shape[1]} pixels (784 expected), "
            f"{len(images)} of them, and {len(labels)} labels"
        )
    return images.div_(255).sub_(MEAN).div_(DEVIATION), labels


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    parser = _training.parser("Train on Fashion-MNIST.", "fashion", epochs=10)
    parser.add_argument(
        "--data",
        type=Path,
        default=DEBIAN_FOLDER,
        metavar="FOLDER",
        help=f"folder of the four IDX files, raw or .gz ({DEBIAN_FOLDER})",
    )
    options = parser.parse_args(arguments)
    require("examples", "numpy", "tqdm", "matplotlib")
    if not options.data.is_dir():
        raise ExampleError(f"Fashion-MNIST: there is no folder {options.data}; {HELP}")
    _training.prepare(options)
    train, test = load(options.data, "train"), load(options.data, "t10k")
    model = _training.mlp([784, 256, 128, 100, 10], dropout=0.1)
    loader = DataLoader(TensorDataset(*train), batch_size=128, shuffle=True)
    history = _training.fit(model, loader, test, epochs=options.epochs, lr=2e-3, weight_decay=0.01)
    return _training.finish("fashion", "Fashion-MNIST", model, history, test, options.out)


if __name__ == "__main__":
    _training.run(main)
