"""``DataLoader``: batches of a data set, in order or shuffled."""

from __future__ import annotations

from typing import Generic, TypeVar

from tapegrad import _C
from tapegrad.utils.data.collate import default_collate, default_convert
from tapegrad.utils.data.dataset import IterableDataset, Subset, TensorDataset
from tapegrad.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    require_positive,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from tapegrad._C import Generator, Tensor
    from tapegrad.utils.data.dataset import Dataset

__all__ = ["DataLoader"]

T_co = TypeVar("T_co", covariant=True)


class DataLoader(Generic[T_co]):
    """Iterates over a data set in batches; each ``for`` is one pass.

    ``shuffle`` draws a new order for each pass, from ``generator`` or the global one; ``drop_last``
    leaves out a last batch that is not full; ``sampler`` or ``batch_sampler`` give the order
    themselves; ``collate_fn`` makes a batch of a list of samples (default:
    :func:`default_collate`); ``batch_size=None`` gives single samples.

    A :class:`TensorDataset` (also below ``Subset`` and ``random_split``) with the default
    collation is not read sample by sample: each batch is one indexed copy out of each tensor.

    Batches are made in the calling thread: ``num_workers`` must be 0. ``pin_memory``, ``timeout``,
    ``worker_init_fn``, ``multiprocessing_context``, ``prefetch_factor``, ``persistent_workers``,
    ``pin_memory_device`` and ``in_order`` are accepted and have no effect.

    >>> import tapegrad as tg
    >>> data = tg.utils.data.TensorDataset(tg.arange(5))
    >>> for (batch,) in tg.utils.data.DataLoader(data, batch_size=2):
    ...     print(batch.tolist())
    [0, 1]
    [2, 3]
    [4]
    """

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: object = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers != 0:
            raise ValueError(
                f"DataLoader: num_workers={num_workers} is not supported, batches are made in "
                "the calling thread; leave it at 0"
            )
        self.dataset = dataset
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.generator = generator
        self.drop_last = drop_last
        self.batch_size = batch_size
        self._stream = isinstance(dataset, IterableDataset)
        self._check_order(shuffle, sampler, batch_sampler)
        self._own_order = sampler is None and batch_sampler is None
        self._shuffle = bool(shuffle)
        if batch_sampler is not None:
            self.batch_size = None
        elif sampler is None and not self._stream:
            if shuffle:
                sampler = RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]
            else:
                sampler = SequentialSampler(dataset)  # type: ignore[arg-type]
        if batch_sampler is None and batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self._default_collation = collate_fn is None
        if collate_fn is None:
            collate_fn = default_convert if self._single else default_collate
        self.collate_fn = collate_fn

    @property
    def _single(self) -> bool:
        """Whether single samples come out rather than batches."""
        return self.batch_size is None and self.batch_sampler is None

    def _check_order(self, shuffle: bool | None, sampler: Any, batch_sampler: Any) -> None:
        if self._stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader: an IterableDataset gives its own order; leave out shuffle, sampler "
                "and batch_sampler"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None and (
            self.batch_size != 1 or shuffle or sampler is not None or self.drop_last
        ):
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                "and drop_last"
            )
        size = self.batch_size
        if size is None:
            if self.drop_last:
                raise ValueError(
                    "batch_size=None option disables auto-batching and is mutually "
                    "exclusive with drop_last"
                )
        else:
            require_positive("batch_size", size)

    def __len__(self) -> int:
        """The number of batches of one pass (``TypeError`` where that is unknown)."""
        if self._stream:
            samples = len(self.dataset)  # type: ignore[arg-type]
            if self.batch_size is None:
                return samples
            if self.drop_last:
                return samples // self.batch_size
            return -(-samples // self.batch_size)
        order = self.batch_sampler if self.batch_sampler is not None else self.sampler
        return len(order)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        if self._stream:
            return self._iterate_stream()
        if self._default_collation and not self._single:
            source = _in_memory(self.dataset)
            if source is not None:
                tensors, rows = source
                if self._own_order and isinstance(self.batch_size, int):
                    return self._iterate_rows(tensors, rows, self.batch_size)
                return self._iterate_index_lists(tensors, rows)
        return self._iterate_samples()

    def _iterate_samples(self) -> Iterator[Any]:
        if self.batch_sampler is None:
            for index in self.sampler or ():
                yield self.collate_fn(self.dataset[index])  # type: ignore[arg-type]
            return
        fetch = getattr(self.dataset, "__getitems__", None)
        for indices in self.batch_sampler:
            if fetch is not None:
                yield self.collate_fn(fetch(indices))
            else:
                yield self.collate_fn([self.dataset[i] for i in indices])

    def _iterate_stream(self) -> Iterator[Any]:
        stream: Iterator[Any] = iter(self.dataset)
        if self.batch_size is None:
            for sample in stream:
                yield self.collate_fn(sample)
            return
        batch: list[Any] = []
        for sample in stream:
            batch.append(sample)
            if len(batch) == self.batch_size:
                yield self.collate_fn(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.collate_fn(batch)

    def _iterate_rows(
        self, tensors: tuple[Tensor, ...], rows: Tensor | None, size: int
    ) -> Iterator[list[Tensor]]:
        """Batches of tensors in memory: copies of slices, or of rows picked by index."""
        count = int(tensors[0].shape[0] if rows is None else rows.shape[0])
        if self._shuffle:
            order = _C.randperm(count, generator=self.generator)
            rows = order if rows is None else rows.index_select(0, order)
        stop = count - count % size if self.drop_last else count
        for start in range(0, stop, size):
            end = min(start + size, count)
            if rows is None:
                # A copy: a batch changed in place must not change the data set.
                yield [tensor[start:end].clone() for tensor in tensors]
            else:
                chosen = rows[start:end]
                yield [tensor.index_select(0, chosen) for tensor in tensors]

    def _iterate_index_lists(
        self, tensors: tuple[Tensor, ...], rows: Tensor | None
    ) -> Iterator[list[Tensor]]:
        """The same for the index lists of a batch sampler, negative ones included."""
        count = int(tensors[0].shape[0] if rows is None else rows.shape[0])
        for indices in self.batch_sampler or ():
            for index in indices:
                if not -count <= index < count:
                    raise IndexError(
                        f"DataLoader: index {index} is out of range for {count} samples"
                    )
            chosen = _C.tensor([index % count for index in indices], dtype=_C.int64)
            if rows is not None:
                chosen = rows.index_select(0, chosen)
            yield [tensor.index_select(0, chosen) for tensor in tensors]


def _in_memory(dataset: Any) -> tuple[tuple[Tensor, ...], Tensor | None] | None:
    """The tensors of a TensorDataset below any Subsets, and the rows these leave of it."""
    chain = []
    while type(dataset) is Subset:
        chain.append(dataset.indices)
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset:
        return None
    rows: Tensor | None = None
    for indices in reversed(chain):
        count = len(dataset) if rows is None else int(rows.shape[0])
        picked = _C.as_tensor(indices, dtype=_C.int64)
        if picked.dim() != 1:
            return None
        if len(picked) and not (int(picked.min()) >= 0 and int(picked.max()) < count):
            return None  # negative or wrong: the path by samples knows what to do
        rows = picked if rows is None else rows.index_select(0, picked)
    return dataset.tensors, rows
