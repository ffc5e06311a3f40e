"""Data sets, samplers and the loader that makes batches of them."""

from __future__ import annotations

from tapegrad.utils.data._protocol import get_worker_info as get_worker_info
from tapegrad.utils.data.collate import default_collate as default_collate
from tapegrad.utils.data.collate import default_convert as default_convert
from tapegrad.utils.data.dataloader import DataLoader as DataLoader
from tapegrad.utils.data.dataset import ChainDataset as ChainDataset
from tapegrad.utils.data.dataset import ConcatDataset as ConcatDataset
from tapegrad.utils.data.dataset import Dataset as Dataset
from tapegrad.utils.data.dataset import IterableDataset as IterableDataset
from tapegrad.utils.data.dataset import StackDataset as StackDataset
from tapegrad.utils.data.dataset import Subset as Subset
from tapegrad.utils.data.dataset import TensorDataset as TensorDataset
from tapegrad.utils.data.dataset import random_split as random_split
from tapegrad.utils.data.sampler import BatchSampler as BatchSampler
from tapegrad.utils.data.sampler import RandomSampler as RandomSampler
from tapegrad.utils.data.sampler import Sampler as Sampler
from tapegrad.utils.data.sampler import SequentialSampler as SequentialSampler
from tapegrad.utils.data.sampler import SubsetRandomSampler as SubsetRandomSampler
from tapegrad.utils.data.sampler import WeightedRandomSampler as WeightedRandomSampler

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]
