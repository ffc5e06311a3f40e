"""Handwritten digits: ``python -m tapegrad.examples.digits``.

Trains a network of three layers on scikit-learn's 1,797 images of 8x8 pixels (from the Optical
Recognition of Handwritten Digits data set, E. Alpaydin and C. Kaynak), a quarter of which is held
out for testing. Writes ``digits.safetensors`` and ``digits.png``.
"""

from __future__ import annotations

import random

import tapegrad as tg
from tapegrad._extras import require
from tapegrad.examples import _training
from tapegrad.utils.data import DataLoader, TensorDataset

SPLIT_SEED = 1
TEST_SHARE = 0.25


def load() -> tuple[tuple[tg.Tensor, tg.Tensor], tuple[tg.Tensor, tg.Tensor]]:
    """(images, labels) for training and for testing; pixels are scaled to [0, 1]."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = tg.tensor(data.data, dtype=tg.float32) / 16
    labels = tg.tensor(data.target, dtype=tg.int64)
    # Python's generator: the split is the same whatever the seed of the training.
    order = list(range(len(labels)))
    random.Random(SPLIT_SEED).shuffle(order)
    held_out = round(TEST_SHARE * len(order))
    test, train = tg.tensor(order[:held_out]), tg.tensor(order[held_out:])
    return (images[train], labels[train]), (images[test], labels[test])


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    options = _training.parser("Train on handwritten digits.", "digits", epochs=50).parse_args(
        arguments
    )
    require("examples", "sklearn", "tqdm", "matplotlib")
    _training.prepare(options)
    train, test = load()
    model = _training.mlp([64, 256, 128, 10], dropout=0.4)
    loader = DataLoader(TensorDataset(*train), batch_size=64, shuffle=True)
    history = _training.fit(model, loader, test, epochs=options.epochs, lr=4e-3, weight_decay=0.05)
    return _training.finish("digits", "Handwritten digits", model, history, test, options.out)


if __name__ == "__main__":
    _training.run(main)
