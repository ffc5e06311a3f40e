"""Data sets from files that are there already: nothing is ever downloaded.

``FashionMNIST``, ``MNIST``, ``KMNIST``, ``CIFAR10`` and ``CIFAR100`` find their files in a folder
(or where a Debian package puts them), check sizes and checksums, and say how to get what is
missing. ``read_idx``, ``read_csv`` and ``read_npz`` read files of one's own.
"""

from __future__ import annotations

from tapegrad.datasets._files import DatasetError as DatasetError
from tapegrad.datasets._files import read_idx as read_idx
from tapegrad.datasets._images import CIFAR10 as CIFAR10
from tapegrad.datasets._images import CIFAR100 as CIFAR100
from tapegrad.datasets._images import KMNIST as KMNIST
from tapegrad.datasets._images import MNIST as MNIST
from tapegrad.datasets._images import FashionMNIST as FashionMNIST
from tapegrad.datasets._images import ImageDataset as ImageDataset
from tapegrad.datasets._tables import Table as Table
from tapegrad.datasets._tables import read_csv as read_csv
from tapegrad.datasets._tables import read_npz as read_npz

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "KMNIST",
    "MNIST",
    "DatasetError",
    "FashionMNIST",
    "ImageDataset",
    "Table",
    "read_csv",
    "read_idx",
    "read_npz",
]
