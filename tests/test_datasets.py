"""Data sets from files: formats, sizes, checksums, and what is said when something is wrong."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.datasets import (
    CIFAR10,
    CIFAR100,
    KMNIST,
    MNIST,
    DatasetError,
    FashionMNIST,
    read_csv,
    read_idx,
    read_npz,
)
from tapegrad.utils.data import DataLoader, TensorDataset

INSTALLED = Path("/usr/share/datasets/fashion-mnist")


def idx(array, code):
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


# --- IDX -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(8, "uint8"), (9, "int8"), (11, "int16"), (12, "int32"), (13, "float32"), (14, "float64")],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_type_of_idx(code, dtype, packed, tmp_path):
    array = (np.arange(24).reshape(2, 3, 4) - (0 if code == 8 else 5)).astype(dtype)
    path = tmp_path / "f"
    path.write_bytes(gzip.compress(idx(array, code)) if packed else idx(array, code))
    tensor = read_idx(str(path))
    assert tensor.dtype == getattr(tg, dtype)
    assert tensor.tolist() == array.tolist()


def test_empty_idx(tmp_path):
    (tmp_path / "f").write_bytes(idx(np.zeros((0, 28, 28), np.uint8), 8))
    assert read_idx(tmp_path / "f").shape == (0, 28, 28)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file: it begins with nothing"),
        (b"\x89PNG\r\n", "not an IDX file: it begins with 89 50 4e 47"),
        (b"\x00\x00\x07\x01", "not an IDX file"),
        (b"\x00\x00\x08\x03\x00\x00\x00\x05", "its header is cut off"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x05abc", "promises 5 bytes of data, there are 3"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01abc", "promises 4 bytes of data, there are 3"),
        (b"\x00\x00\x08\x04" + b"\xff" * 16, "promises 340282"),
        (b"\x1f\x8b damaged", "cannot be read"),
        (gzip.compress(b"\x00\x00\x08\x01" * 99, mtime=0)[:-20], "cannot be read"),
    ],
)
def test_damaged_idx_is_told(content, message, tmp_path):
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"train-labels-idx1-ubyte: .*{message}"):
        read_idx(path)
    with pytest.raises(DatasetError, match="nowhere: cannot be read: No such file"):
        read_idx(tmp_path / "nowhere")


# --- the family of MNIST -------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels, 8))
        packed = gzip.compress(idx(labels, 8))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(packed)
    return tmp_path


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, KMNIST])
def test_pictures_and_labels(kind, folder):
    data = kind(folder, verify=False)
    assert len(data) == 30
    assert len(kind(folder, train=False, verify=False)) == 10
    assert (data.data.dtype, data.targets.dtype) == (tg.uint8, tg.int64)
    assert len(data.classes) == 10
    picture, target = data[3]
    assert picture.shape == (1, 28, 28)
    assert tg.equal((picture * 255).round()[0].to(tg.uint8), data.data[3])
    assert target == data.targets[3].item()
    assert repr(data) == f"{kind.__name__}(30 pictures to train, 10 classes)"
    changed = kind(folder, transform=tg.sum, target_transform=lambda t: t + 100, verify=False)
    assert changed[3] == (picture.sum(), target + 100)
    whole = data.tensors(flat=True)
    assert type(whole) is TensorDataset
    assert whole.tensors[0].shape == (30, 784)
    assert tg.equal(whole[3][0], picture.flatten())
    images, labels = next(iter(DataLoader(data, batch_size=4)))
    assert images.shape == (4, 1, 28, 28)
    assert labels.tolist() == data.targets[:4].tolist()


def test_a_loader_gives_the_same_batches_at_once_and_one_by_one(folder):
    quick = KMNIST(folder, verify=False)
    slow = KMNIST(folder, target_transform=lambda t: t, verify=False)

    class Own(KMNIST):
        def __getitem__(self, index):
            picture, target = super().__getitem__(index)
            return picture, target + 1

    def batches(data, **options):
        generator = tg.Generator().manual_seed(1)
        loader = DataLoader(data, 8, shuffle=True, generator=generator, **options)
        return [[t.tolist() for t in batch] for batch in loader]

    assert batches(quick) == batches(slow) == batches(slow, num_workers=2)
    assert [b[0] for b in batches(Own(folder, verify=False))] == [b[0] for b in batches(quick)]
    assert batches(Own(folder, verify=False)) != batches(quick)
    part = tg.utils.data.Subset(quick, [5, 2])
    (batch,) = DataLoader(part, 2)
    assert batch[1].tolist() == quick.targets[[5, 2]].tolist()


def test_layouts_of_folders(folder, tmp_path):
    below = tmp_path / "data" / "FashionMNIST" / "raw"
    below.mkdir(parents=True)
    for path in folder.glob("*ubyte*"):
        path.rename(below / path.name)
    assert len(FashionMNIST(tmp_path / "data", verify=False)) == 30


def test_what_is_missing_is_told(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DatasetError, match=r"no t10k-labels-idx1-ubyte or .*apt-get install"):
        FashionMNIST(folder, train=False, verify=False)
    with pytest.raises(DatasetError, match=r"MNIST: no train-images.* in /nowhere .*download the"):
        MNIST("/nowhere")
    with pytest.raises(
        DatasetError, match=r"no train-images-idx3-ubyte.* in /usr/share/datasets/k"
    ):
        KMNIST()
    with pytest.raises(ValueError, match="nothing is downloaded here"):
        MNIST(folder, download=True)


def test_files_that_are_not_the_published_ones(folder):
    with pytest.raises(DatasetError, match=r"images-idx3-ubyte: is not the published .* sha256"):
        FashionMNIST(folder)
    (folder / "train-images-idx3-ubyte").rename(folder / "x")
    images = gzip.compress((folder / "x").read_bytes())
    (folder / "train-images-idx3-ubyte.gz").write_bytes(images)
    with pytest.raises(DatasetError, match=r"gz: is not the published file: its md5 is .*verify=F"):
        MNIST(folder)
    with pytest.raises(DatasetError, match=r"md5|10 pictures, expected 10000"):
        MNIST(folder, train=False)


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((3, 28, 28), np.uint8), np.zeros(2, np.uint8), "3 pictures, but 2 labels"),
        (np.zeros((2, 28, 20), np.uint8), np.zeros(2, np.uint8), "28 by 20, expected 28"),
        (np.zeros((2, 28, 28), np.uint8), np.array([0, 10], np.uint8), "only 10 classes"),
        (np.zeros((2, 28), np.uint8), np.zeros(2, np.uint8), "3 dimension"),
    ],
)
def test_pictures_and_labels_that_do_not_fit(pixels, labels, message, tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(pixels, 8))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels, 8))
    with pytest.raises(DatasetError, match=message):
        MNIST(tmp_path, verify=False)


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="needs the package dataset-fashion-mnist")
def test_the_installed_fashion_mnist():
    test = FashionMNIST(train=False)
    assert test.data.shape == (10_000, 28, 28)
    assert test.targets.bincount().tolist() == [1000] * 10
    assert test.targets[:5].tolist() == [9, 2, 1, 1, 6]
    assert round(test.data.to(tg.float64).mean().item(), 3) == 73.147


# --- CIFAR ---------------------------------------------------------------------------------------


def records(count, labels, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (count, labels + 3072), dtype=np.uint8)
    rows[:, :labels] = rng.integers(0, 10, (count, labels), dtype=np.uint8)
    return rows


def test_cifar(tmp_path):
    batches = [records(4, 1, i) for i in range(5)]
    for i, rows in enumerate(batches):
        (tmp_path / f"data_batch_{i + 1}.bin").write_bytes(rows.tobytes())
    data = CIFAR10(tmp_path, verify=False)
    rows = np.concatenate(batches)
    assert data.data.tolist() == rows[:, 1:].reshape(-1, 3, 32, 32).tolist()
    assert data.targets.tolist() == rows[:, 0].tolist()
    assert data[0][0].shape == (3, 32, 32)
    assert data.tensors().tensors[0].shape == (20, 3, 32, 32)
    with pytest.raises(DatasetError, match="20 pictures, expected 50000"):
        CIFAR10(tmp_path)
    with pytest.raises(
        DatasetError, match=r"no test_batch.bin or cifar-10-binary.tar.gz.*binary v"
    ):
        CIFAR10(tmp_path, train=False)
    (tmp_path / "data_batch_2.bin").write_bytes(bytes(3000))
    with pytest.raises(DatasetError, match=r"data_batch_2.bin has 3000 bytes, .* 3073"):
        CIFAR10(tmp_path, verify=False)


def test_cifar_in_its_archive(tmp_path):
    rows = records(5, 2)
    path = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("cifar-100-binary/test.bin")
        member.size = rows.size
        archive.addfile(member, io.BytesIO(rows.tobytes()))
    data = CIFAR100(tmp_path, train=False, verify=False)
    assert data.targets.tolist() == rows[:, 1].tolist()
    assert len(data.classes) == 100
    assert data.classes == sorted(data.classes)
    with pytest.raises(DatasetError, match=r"there is no train\.bin in it"):
        CIFAR100(tmp_path, verify=False)
    with pytest.raises(DatasetError, match="its md5 is"):
        CIFAR100(tmp_path, train=False)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match="cannot be read"):
        CIFAR100(tmp_path, train=False, verify=False)


# --- tables --------------------------------------------------------------------------------------


def test_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('\ufefflength, kind ,"n, m"\n1.5,rose,1e3\n\n,lily,-2\n2,rose, 7 \n', "utf-8")
    table = read_csv(path, dtype=tg.float64)
    assert table.columns == ["length", "kind", "n, m"]
    assert table.categories == {"kind": ["lily", "rose"]}
    np.testing.assert_array_equal(table.data.numpy(), [[1.5, 1, 1000], [np.nan, 0, -2], [2, 1, 7]])
    path.write_text("1;2\n3;4\n")
    plain = read_csv(path, delimiter=";")
    assert plain.data.tolist() == [[1, 2], [3, 4]]
    assert plain.data.dtype == tg.float32
    assert plain.columns == ["0", "1"]
    assert read_csv(path, delimiter=";", header=True).columns == ["1", "2"]
    path.write_text("a,b\n")
    assert read_csv(path, header=True).data.shape == (0, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no lines"),
        (b"1,2\n3\n", "line 2: 1 fields, the first has 2"),
        (b"\xff\xfe\x00", "not a CSV file"),
    ],
)
def test_damaged_csv_is_told(content, message, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"t\.csv.*{message}"):
        read_csv(path)


def test_npz(tmp_path):
    path = tmp_path / "a.npz"
    arrays = {
        "x": np.arange(6, dtype=np.float32).reshape(2, 3),
        "big": np.arange(3, dtype=">i4"),
        "flags": np.array([True, False]),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    }
    np.savez_compressed(path, **arrays)
    loaded = read_npz(path)
    assert {name: t.tolist() for name, t in loaded.items()} == {
        name: a.tolist() for name, a in arrays.items()
    }
    assert loaded["x"].dtype == tg.float32
    assert loaded["big"].dtype == tg.int32
    np.save(tmp_path / "b.npy", arrays["x"])
    assert read_npz(tmp_path / "b.npy")["arr_0"].shape == (2, 3)


def test_npz_runs_no_code(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.mkdir, (tmp_path / "executed",)

    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([Bomb()], dtype=object))
    with pytest.raises(DatasetError, match=r"a\.npz: "):
        read_npz(path)
    path.write_bytes(b"\x80\x04N.")
    with pytest.raises(DatasetError, match=r"a\.npz: "):
        read_npz(path)
    np.savez(path, x=np.array(["text"]))
    with pytest.raises(DatasetError, match=r"the array 'x' is of dtype <U4"):
        read_npz(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"a\.npz: "):
        read_npz(path)
    assert not (tmp_path / "executed").exists()
