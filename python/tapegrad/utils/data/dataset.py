"""Data sets: things with a length whose samples are read by index."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import Any, Generic, TypeVar

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tapegrad._C import Generator, Tensor

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Base class: a subclass defines ``__getitem__`` and ``__len__``.

    It may define ``__getitems__(indices)``, which a loader then calls once for each batch.
    """

    def __getitem__(self, index: int) -> T_co:
        raise NotImplementedError(f"{type(self).__name__}: a data set needs __getitem__")

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Base class of streams: a subclass defines ``__iter__``; there is no indexing.

    In a loader with workers every worker iterates over its own copy: ``__iter__`` asks
    :func:`~tapegrad.utils.data.get_worker_info` for its share. A stream with ``state_dict()`` and
    ``load_state_dict(state)`` is put back to its place by ``DataLoader.load_state_dict``; any other
    is read again from its start up to there.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}: a stream needs __iter__")

    def __add__(self, other: Dataset[T_co]) -> ChainDataset[T_co]:  # type: ignore[override]
        return ChainDataset([self, other])


class ChainDataset(IterableDataset[T_co]):
    """Several streams one after another.

    >>> import tapegrad as tg
    >>> class Count(tg.utils.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(2))
    >>> list(Count() + Count())
    [0, 1, 0, 1]
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = datasets

    def _streams(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError(
                    "ChainDataset only supports IterableDataset, got "
                    f"{type(dataset).__name__}; ConcatDataset joins those with an index"
                )
            yield dataset

    def __iter__(self) -> Iterator[T_co]:
        for dataset in self._streams():
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self._streams())


class TensorDataset(Dataset["tuple[Tensor, ...]"]):
    """Tensors of equal first dimension; sample i is the tuple of their rows i.

    A loader with the default collation takes whole batches out of the tensors at once.

    >>> import tapegrad as tg
    >>> data = tg.utils.data.TensorDataset(tg.arange(6).reshape(3, 2), tg.arange(3))
    >>> len(data), data[1]
    (3, (tensor([2, 3]), tensor(1)))
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: needs at least one tensor")
        for i, tensor in enumerate(tensors):
            if not isinstance(tensor, _C.Tensor):
                raise TypeError(
                    f"TensorDataset: argument {i} is no tensor but {type(tensor).__name__}; "
                    "convert it with as_tensor"
                )
            if tensor.dim() == 0:
                raise ValueError(f"TensorDataset: tensor {i} has no first dimension to index")
        sizes = [tensor.shape[0] for tensor in tensors]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"TensorDataset: size mismatch between tensors, first dimensions are {sizes}"
            )
        self.tensors = tensors

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class StackDataset(Dataset[Any]):
    """Data sets of one length side by side: sample i is the tuple of their samples i.

    Given by keywords, sample i is a dict instead.

    >>> import tapegrad as tg
    >>> tg.utils.data.StackDataset([1, 2], ["a", "b"])[1]
    (2, 'b')
    >>> tg.utils.data.StackDataset(x=[1, 2], y=["a", "b"])[0]
    {'x': 1, 'y': 'a'}
    """

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise ValueError(
                "StackDataset: data sets come either all in order or all by keyword, not both"
            )
        if not args and not kwargs:
            raise ValueError("StackDataset: needs at least one data set")
        self.datasets = args or kwargs
        sizes = [len(dataset) for dataset in self._parts()]
        if len(set(sizes)) > 1:
            raise ValueError(
                f"StackDataset: size mismatch between datasets, their sizes are {sizes}"
            )
        self._length = sizes[0]

    def _parts(self) -> list[Any]:
        parts = self.datasets
        return list(parts.values()) if isinstance(parts, dict) else list(parts)

    def _sample(self, values: Iterable[Any]) -> Any:
        if isinstance(self.datasets, dict):
            return dict(zip(self.datasets, values, strict=True))
        return tuple(values)

    def __getitem__(self, index: int) -> Any:
        return self._sample([dataset[index] for dataset in self._parts()])

    def __getitems__(self, indices: list[int]) -> list[Any]:
        columns = []
        for dataset in self._parts():
            fetch = getattr(dataset, "__getitems__", None)
            column = [dataset[i] for i in indices] if fetch is None else list(fetch(indices))
            if len(column) != len(indices):
                raise ValueError(
                    f"StackDataset: __getitems__ of {type(dataset).__name__} gave {len(column)} "
                    f"samples for {len(indices)} indices"
                )
            columns.append(column)
        return [self._sample(row) for row in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """Several data sets one after another.

    >>> import tapegrad as tg
    >>> len(tg.utils.data.ConcatDataset([[1, 2], [3]]))
    3
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: datasets should not be an empty iterable")
        for dataset in self.datasets:
            if isinstance(dataset, IterableDataset):
                raise ValueError(
                    "ConcatDataset does not support IterableDataset; ChainDataset joins streams"
                )
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"ConcatDataset: index out of range for {len(self)} samples")
        which = bisect_right(self.cumulative_sizes, index)
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - start]


class Subset(Dataset[T_co]):
    """The samples of ``dataset`` at ``indices``.

    >>> import tapegrad as tg
    >>> tg.utils.data.Subset(["a", "b", "c"], [2, 0])[0]
    'c'
    """

    dataset: Dataset[T_co]
    indices: Sequence[int]

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: int) -> T_co:
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        chosen = [self.indices[i] for i in indices]
        fetch = getattr(self.dataset, "__getitems__", None)
        if fetch is not None:
            return list(fetch(chosen))
        return [self.dataset[i] for i in chosen]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[T_co],
    lengths: Sequence[int | float],
    generator: Generator | None = None,
) -> list[Subset[T_co]]:
    """Split into random parts of the given lengths, or of fractions that sum to 1.

    The remainder of fractions goes to the parts in turn. Lengths that do not sum to the size of
    the data set are a ``ValueError``.

    >>> import tapegrad as tg
    >>> parts = tg.utils.data.random_split(range(10), [0.75, 0.25])
    >>> [len(part) for part in parts]
    [8, 2]
    """
    total = len(dataset)  # type: ignore[arg-type]
    sizes = list(lengths)
    if math.isclose(sum(sizes), 1) and sum(sizes) <= 1.0 + 1e-9:
        for i, fraction in enumerate(sizes):
            if not 0 <= fraction <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1")
        counts = [math.floor(total * fraction) for fraction in sizes]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = [int(size) for size in sizes]
    if sum(counts) != total:
        raise ValueError(
            f"random_split: the lengths sum to {sum(counts)}, the data set has {total} samples"
        )
    order = _C.randperm(total, generator=generator).tolist()
    ends = list(accumulate(counts))
    return [
        Subset(dataset, order[end - count : end]) for end, count in zip(ends, counts, strict=True)
    ]
