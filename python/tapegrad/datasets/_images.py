"""Small pictures with labels: the family of MNIST, and CIFAR."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tapegrad import _C
from tapegrad.datasets._files import DatasetError, check_content, parse_idx, read_bytes
from tapegrad.utils.data.dataset import Dataset, TensorDataset

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tapegrad._C import Tensor

__all__ = ["CIFAR10", "CIFAR100", "KMNIST", "MNIST", "FashionMNIST", "ImageDataset"]


class ImageDataset(Dataset[Any]):
    """Pictures and the numbers of their classes, all in memory.

    Parameters
    ----------
    root
        the folder of the files, or one that has it in it; ``None``: the places where packages of
        the system put it
    train
        the part to learn from; otherwise the part to test with
    transform, target_transform
        applied to a picture (a float32 tensor of channels, height and width, from 0 to 1) and to
        the number of its class
    download
        must be False: nothing is downloaded
    verify
        compare the files with the published ones; sizes are checked in any case

    ``data`` are all pictures in uint8, ``targets`` the classes in int64, ``classes`` their names.
    Sample i is the pair of picture and class; :meth:`tensors` gives all of them as a
    ``TensorDataset``. Without transforms a loader makes its batches at once, not sample by sample.

    Errors: :class:`DatasetError`, which says how to get what is missing, or what is wrong with
    which file.
    """

    title: str
    help: str
    folders: tuple[str, ...]
    system: tuple[str, ...] = ()
    classes: ClassVar[list[str]]

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
        *,
        verify: bool = True,
    ) -> None:
        if download:
            raise ValueError(f"{self.title}: nothing is downloaded here; {self.help}")
        self.train = train
        self.transform = transform
        self.target_transform = target_transform
        self.data, self.targets = self._read(root, verify)
        if len(self.data) != len(self.targets):
            raise DatasetError(
                f"{self.title}: {len(self.data)} pictures, but {len(self.targets)} labels"
            )
        if len(self.targets) and int(self.targets.max()) >= len(self.classes):
            raise DatasetError(
                f"{self.title}: a label is {int(self.targets.max())}, but there are only "
                f"{len(self.classes)} classes"
            )

    def _read(self, root: str | os.PathLike[str] | None, verify: bool) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _places(self, root: str | os.PathLike[str] | None) -> list[Path]:
        if root is None:
            return [Path(place) for place in self.system]
        return [Path(root), *(Path(root, folder) for folder in self.folders)]

    def _missing(self, root: str | os.PathLike[str] | None, what: str) -> DatasetError:
        where = " or ".join(str(place) for place in self._places(root)) or "any place of packages"
        return DatasetError(f"{self.title}: no {what} in {where}; {self.help}")

    def _pictures(self) -> Tensor:
        return self.data if self.data.dim() == 4 else self.data.unsqueeze(1)

    def tensors(self, flat: bool = False) -> TensorDataset:
        """All pictures as float32 from 0 to 1 (``flat``: one row each), and the classes."""
        pictures = self._pictures().to(_C.float32).div_(255)
        return TensorDataset(pictures.flatten(1) if flat else pictures, self.targets)

    def _in_memory(self) -> Any:
        """For loaders: the tensors to take rows of, and what makes a batch of the rows."""
        own = type(self).__getitem__ is ImageDataset.__getitem__
        if not own or self.transform is not None or self.target_transform is not None:
            return None
        return (self._pictures(), self.targets), _scaled

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        picture: Any = self._pictures()[index].to(_C.float32).div_(255)
        target: Any = int(self.targets[index])
        if self.transform is not None:
            picture = self.transform(picture)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return picture, target

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        part = "train" if self.train else "test"
        return f"{type(self).__name__}({len(self)} pictures to {part}, {len(self.classes)} classes)"


def _scaled(batch: list[Tensor]) -> list[Tensor]:
    pictures, targets = batch
    return [pictures.to(_C.float32).div_(255), targets]


class MNIST(ImageDataset):
    """Handwritten digits, 28 by 28 (LeCun, Cortes and Burges): 60,000 to train, 10,000 to test.

    See :class:`ImageDataset` for the arguments. The folder has ``train-images-idx3-ubyte``,
    ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, raw or
    with ``.gz``.
    """

    title = "MNIST"
    help = (
        "download the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz from "
        "https://ossci-datasets.s3.amazonaws.com/mnist/ and give their folder"
    )
    folders: tuple[str, ...] = ("MNIST/raw", "MNIST", "mnist")
    system = ("/usr/share/datasets/mnist",)
    classes: ClassVar[list[str]] = [
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four",
        "5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine",
    ]  # fmt: skip
    # Of the packed files as they are published.
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    # Of their contents, which does not depend on who packed them.
    sha256: ClassVar[dict[str, str]] = {}

    def _read(self, root: str | os.PathLike[str] | None, verify: bool) -> tuple[Tensor, Tensor]:
        part, count = ("train", 60_000) if self.train else ("t10k", 10_000)
        images = self._file(root, f"{part}-images-idx3-ubyte", 3, verify)
        labels = self._file(root, f"{part}-labels-idx1-ubyte", 1, verify)
        if tuple(images.shape[1:]) != (28, 28):
            raise DatasetError(
                f"{self.title}: pictures of {images.shape[1]} by {images.shape[2]}, expected 28 "
                "by 28"
            )
        if verify and len(images) != count:
            raise DatasetError(
                f"{self.title}: {len(images)} pictures, expected {count}; pass verify=False to "
                "read them as they are"
            )
        return images, labels.to(_C.int64)

    def _file(
        self, root: str | os.PathLike[str] | None, name: str, dimensions: int, verify: bool
    ) -> Tensor:
        paths = [place / file for place in self._places(root) for file in (name, f"{name}.gz")]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise self._missing(root, f"{name} or {name}.gz")
        packed = verify and name not in self.sha256 and path.suffix == ".gz"
        raw = read_bytes(path, self.md5.get(name) if packed else None)
        if verify and name in self.sha256:
            check_content(path, raw, "sha256", self.sha256[name])
        tensor = parse_idx(path, raw)
        if tensor.dtype != _C.uint8 or tensor.dim() != dimensions:
            raise DatasetError(
                f"{path}: not an IDX file of bytes with {dimensions} dimension(s), but of "
                f"{tensor.dtype} with {tensor.dim()}"
            )
        return tensor


class FashionMNIST(MNIST):
    """Articles of clothing, 28 by 28 (Xiao, Rasul and Vollgraf), in the format of :class:`MNIST`.

    Without ``root`` it is read from where the Debian package ``dataset-fashion-mnist`` puts it.
    """

    title = "Fashion-MNIST"
    help = (
        "install it with `apt-get install dataset-fashion-mnist`, or download the four IDX files "
        "from https://github.com/zalandoresearch/fashion-mnist and give their folder"
    )
    folders = ("FashionMNIST/raw", "FashionMNIST", "fashion-mnist", "fashion_mnist")
    system = ("/usr/share/datasets/fashion-mnist",)
    classes: ClassVar[list[str]] = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]  # fmt: skip
    md5: ClassVar[dict[str, str]] = {}
    sha256: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    }


class KMNIST(MNIST):
    """Handwritten Japanese characters, 28 by 28 (Clanuwat and others), as :class:`MNIST`."""

    title = "Kuzushiji-MNIST"
    help = (
        "download the four IDX files from https://github.com/rois-codh/kmnist and give their folder"
    )
    folders = ("KMNIST/raw", "KMNIST", "kmnist")
    system = ("/usr/share/datasets/kmnist",)
    classes: ClassVar[list[str]] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte": "7320c461ea6c1c855c0b718fb2a4b134",
    }


class CIFAR10(ImageDataset):
    """Colour photographs, 32 by 32 (Krizhevsky): 50,000 to train, 10,000 to test.

    See :class:`ImageDataset` for the arguments. It is read from the folder
    ``cifar-10-batches-bin`` or straight from ``cifar-10-binary.tar.gz``: the binary version, as the
    one for Python is made of pickles.
    """

    title = "CIFAR-10"
    folders = ("cifar-10-batches-bin",)
    system = ("/usr/share/datasets/cifar-10",)
    archive = "cifar-10-binary.tar.gz"
    md5 = "c32a1d4ab5d03f1284b67883e8d87530"
    help = (
        "download https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz (the binary version) and "
        "give its folder"
    )
    train_files: tuple[str, ...] = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
    test_files: tuple[str, ...] = ("test_batch.bin",)
    labels_of_sample = 1
    counts = (50_000, 10_000)
    classes: ClassVar[list[str]] = [
        "airplane", "automobile", "bird", "cat", "deer",
        "dog", "frog", "horse", "ship", "truck",
    ]  # fmt: skip

    def _read(self, root: str | os.PathLike[str] | None, verify: bool) -> tuple[Tensor, Tensor]:
        files = self.train_files if self.train else self.test_files
        contents = self._contents(root, files, verify)
        width = self.labels_of_sample + 3 * 32 * 32
        parts = []
        for name, content in contents.items():
            if len(content) == 0 or len(content) % width:
                raise DatasetError(
                    f"{self.title}: {name} has {len(content)} bytes, which is no multiple of the "
                    f"{width} that a picture takes"
                )
            parts.append(_C.frombuffer(bytearray(content), dtype=_C.uint8).reshape(-1, width))
        rows = _C.cat(parts)
        expected = self.counts[0 if self.train else 1]
        if verify and len(rows) != expected:
            raise DatasetError(
                f"{self.title}: {len(rows)} pictures, expected {expected}; pass verify=False to "
                "read them as they are"
            )
        pictures = rows[:, self.labels_of_sample :].reshape(-1, 3, 32, 32)
        return pictures.contiguous(), rows[:, self.labels_of_sample - 1].to(_C.int64)

    def _contents(
        self, root: str | os.PathLike[str] | None, files: tuple[str, ...], verify: bool
    ) -> dict[str, bytes]:
        for place in self._places(root):
            if all((place / name).is_file() for name in files):
                return {name: read_bytes(place / name) for name in files}
            if (place / self.archive).is_file():
                return self._unpacked(place / self.archive, files, verify)
        raise self._missing(root, f"{files[0]} or {self.archive}")

    def _unpacked(self, path: Path, files: tuple[str, ...], verify: bool) -> dict[str, bytes]:
        import io
        import tarfile

        raw = read_bytes(path, self.md5 if verify else None)
        found: dict[str, bytes] = {}
        try:
            with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    if name in files and member.isfile():
                        stream = archive.extractfile(member)
                        if stream is not None:
                            found[name] = stream.read()
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise DatasetError(f"{path}: cannot be read: {error}") from None
        for name in files:
            if name not in found:
                raise DatasetError(f"{path}: there is no {name} in it; {self.help}")
        return {name: found[name] for name in files}


class CIFAR100(CIFAR10):
    """As :class:`CIFAR10`, with 100 classes; the folder is ``cifar-100-binary``."""

    title = "CIFAR-100"
    folders = ("cifar-100-binary",)
    system = ("/usr/share/datasets/cifar-100",)
    archive = "cifar-100-binary.tar.gz"
    md5 = "03b5dce01913d631647c71ecec9e9cb8"
    help = (
        "download https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz (the binary version) "
        "and give its folder"
    )
    train_files = ("train.bin",)
    test_files = ("test.bin",)
    labels_of_sample = 2  # the coarse class, which is left out, and the fine one
    classes: ClassVar[list[str]] = [
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
        "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle",
        "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch",
        "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox",
        "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard",
        "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse",
        "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck",
        "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray",
        "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail",
        "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
        "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle",
        "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
    ]  # fmt: skip
