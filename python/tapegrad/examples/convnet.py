"""Two convolutions: ``python -m tapegrad.examples.convnet``.

Trains a network of two convolutions with pooling on scikit-learn's 1,797 handwritten digits, or,
with ``--data fashion``, on Fashion-MNIST (``python -m tapegrad.examples.fashion --help`` says where
it is found). While the network learns, images are turned and moved a little; clothes are mirrored
too. Writes ``convnet.safetensors`` and ``convnet.png``.
"""

from __future__ import annotations

from pathlib import Path

import tapegrad as tg
from tapegrad import nn
from tapegrad._extras import require
from tapegrad.examples import _training, digits, fashion
from tapegrad.nn import functional
from tapegrad.utils.data import DataLoader, TensorDataset


class Disturb(nn.Module):
    """While training, a random affine map of each image: turned, scaled and moved a little.

    ``strength`` is the standard deviation of the map's six numbers, in units of half the image;
    with ``mirror`` every second image, by chance, has left and right exchanged.
    """

    def __init__(self, strength: float, mirror: bool) -> None:
        super().__init__()
        self.strength = strength
        self.mirror = mirror

    def forward(self, images: tg.Tensor) -> tg.Tensor:
        """The images as they are, or, while training, disturbed."""
        if not self.training:
            return images
        count = len(images)
        maps = tg.eye(2, 3) + self.strength * tg.randn(count, 2, 3)
        if self.mirror:
            sides = tg.rand(count, 1).lt(0.5) * 2.0 - 1.0
            maps[:, :, 0] *= sides
        places = functional.affine_grid(maps, images.shape, align_corners=False)
        # Beyond the border its own values go on: the background, whatever the scale.
        return functional.grid_sample(images, places, padding_mode="border", align_corners=False)


def network(size: int, *, strength: float, mirror: bool) -> nn.Sequential:
    """Two convolutions with pooling, for images of ``size`` x ``size`` pixels."""
    early = 2 if size >= 16 else 1  # small images are halved once only
    return nn.Sequential(
        Disturb(strength, mirror),
        nn.Conv2d(1, 32, 5, padding=2),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(early),
        nn.Conv2d(32, 112, 3, padding=1),
        nn.BatchNorm2d(112),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(112 * (size // early // 2) ** 2, 10),
    )


def load(data: str) -> tuple[tuple[tg.Tensor, tg.Tensor], tuple[tg.Tensor, tg.Tensor]]:
    """Training and test data of the name or folder, as images of one channel."""
    if data == "digits":
        train, test = digits.load()
    else:
        folder = fashion.DEBIAN_FOLDER if data == "fashion" else Path(data)
        train, test = fashion.load(folder, "train"), fashion.load(folder, "t10k")
    size = round(train[0].shape[1] ** 0.5)

    def as_images(part: tuple[tg.Tensor, tg.Tensor]) -> tuple[tg.Tensor, tg.Tensor]:
        return part[0].reshape(-1, 1, size, size), part[1]

    return as_images(train), as_images(test)


def main(arguments: list[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    parser = _training.parser("Train two convolutions on small images.", "convnet", epochs=40)
    parser.add_argument(
        "--data",
        default="digits",
        metavar="NAME",
        help="digits, fashion, or the folder of Fashion-MNIST's four files (digits)",
    )
    options = parser.parse_args(arguments)
    is_digits = options.data == "digits"
    require("examples", *(["sklearn"] if is_digits else ["numpy"]), "tqdm", "matplotlib")
    _training.prepare(options)
    train, test = load(options.data)
    model = network(train[0].shape[2], strength=0.06 if is_digits else 0.03, mirror=not is_digits)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    loader = DataLoader(TensorDataset(*train), batch_size=64 if is_digits else 128, shuffle=True)
    history = _training.fit(
        model, loader, test, epochs=options.epochs, lr=4e-3, weight_decay=0.01, warmup=0.2
    )
    title = "Handwritten digits" if is_digits else "Fashion-MNIST"
    return _training.finish("convnet", title, model, history, test, options.out)


if __name__ == "__main__":
    _training.run(main)
