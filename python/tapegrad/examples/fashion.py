"""Fashion-MNIST: ``python -m tapegrad.examples.fashion``.

Trains a multilayer perceptron 784-256-128-100-10 on 60,000 images of clothes and tests it on
10,000 others (Xiao, Rasul and Vollgraf, https://arxiv.org/abs/1708.07747). The data comes from a
folder with its four IDX files, or from the Debian package ``dataset-fashion-mnist``. Writes
``fashion.safetensors`` and ``fashion.png``.
"""

from __future__ import annotations

from pathlib import Path

import tapegrad as tg
from tapegrad._extras import require
from tapegrad.datasets import DatasetError, FashionMNIST
from tapegrad.examples import _training
from tapegrad.examples._training import ExampleError
from tapegrad.utils.data import DataLoader, TensorDataset

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
# Of the training images, after scaling to [0, 1].
MEAN, DEVIATION = 0.2860, 0.3530


def load(folder: Path, part: str) -> tuple[tg.Tensor, tg.Tensor]:
    """(images, labels) of ``train`` or ``t10k``; the images flat and standardised."""
    try:
        found = FashionMNIST(folder, train=part == "train", verify=folder == DEBIAN_FOLDER)
    except DatasetError as error:
        raise ExampleError(f"{error} (--data FOLDER)") from None
    images = found.data.flatten(1).to(tg.float32)
    return images.div_(255).sub_(MEAN).div_(DEVIATION), found.targets


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
    _training.prepare(options)
    train, test = load(options.data, "train"), load(options.data, "t10k")
    model = _training.mlp([784, 256, 128, 100, 10], dropout=0.1)
    loader = DataLoader(TensorDataset(*train), batch_size=128, shuffle=True)
    history = _training.fit(model, loader, test, epochs=options.epochs, lr=2e-3, weight_decay=0.01)
    return _training.finish("fashion", "Fashion-MNIST", model, history, test, options.out)


if __name__ == "__main__":
    _training.run(main)
