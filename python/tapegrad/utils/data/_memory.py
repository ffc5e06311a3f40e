"""Batches of tensors that are in memory: indexed copies, without a look at single samples."""

from __future__ import annotations

from typing import NamedTuple

from tapegrad import _C
from tapegrad.utils.data.dataset import Subset, TensorDataset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from tapegrad._C import Tensor

__all__ = ["batches_of_lists", "batches_of_rows", "order_of", "source_of"]


class Source(NamedTuple):
    """Tensors in memory, the rows of them that are meant, and what makes a batch of such rows."""

    tensors: tuple[Tensor, ...]
    rows: Tensor | None
    finish: Callable[[list[Tensor]], Any] | None


def source_of(dataset: Any) -> Source | None:
    """Where a TensorDataset below any Subsets has its samples; None for what is not in memory.

    Another data set takes part by a method ``_in_memory``, which gives its tensors and ``finish``,
    or None.
    """
    chain = []
    while type(dataset) is Subset:
        chain.append(dataset.indices)
        dataset = dataset.dataset
    if type(dataset) is TensorDataset:
        tensors, finish = dataset.tensors, None
    else:
        give = getattr(dataset, "_in_memory", None)
        found = None if give is None else give()
        if found is None:
            return None
        tensors, finish = found
    rows: Tensor | None = None
    for indices in reversed(chain):
        count = len(dataset) if rows is None else int(rows.shape[0])
        picked = _C.as_tensor(indices, dtype=_C.int64)
        if picked.dim() != 1:
            return None
        if len(picked) and not (int(picked.min()) >= 0 and int(picked.max()) < count):
            return None  # negative or wrong: the path by samples knows what to do
        rows = picked if rows is None else rows.index_select(0, picked)
    return Source(tensors, rows, finish)


def order_of(drawn: list[Any], count: int) -> Tensor | None:
    """Indices as a tensor; None unless they are plain ints that count from 0 to ``count``."""
    if not all(type(index) is int and 0 <= index < count for index in drawn):
        return None
    return _C.tensor(drawn, dtype=_C.int64)


# Note [The next batch]
# While the step runs on a batch, the rows of the next one are gathered by a thread of the core
# (core/background_gather.h), where a processor is free for it and the batch is large enough. When
# the batch is asked for, the tensors are compared with what they were; if one has changed, or was
# no plain block of memory from the start, the batch is made anew here. So batches are the same
# either way. What comes by lists of indices is not known ahead: a sampler may look at the training.


def batches_of_rows(
    tensors: tuple[Tensor, ...],
    rows: Tensor | None,
    order: Tensor | None,
    size: int,
    drop_last: bool,
    skip: int,
) -> Iterator[list[Tensor]]:
    """Batches in the given order (``None``: as they lie), from number ``skip`` on."""
    count = int(tensors[0].shape[0] if rows is None else rows.shape[0])
    if order is not None:
        rows = order if rows is None else rows.index_select(0, order)
        count = len(rows)
    stop = count - count % size if drop_last else count
    ahead = _C._Prefetch(*tensors)
    for start in range(skip * size, stop, size):
        end = min(start + size, count)
        yield _batch_of_rows(ahead, tensors, rows, start, end, min(end + size, stop))


def _batch_of_rows(
    ahead: _C._Prefetch,
    tensors: tuple[Tensor, ...],
    rows: Tensor | None,
    start: int,
    end: int,
    next_end: int,
) -> list[Tensor]:
    """Rows from ``start`` to ``end``; those up to ``next_end`` are gathered from now on."""
    batch = ahead.take()
    if batch is None:
        if rows is None:
            # A copy: a batch changed in place must not change the data set.
            batch = [tensor[start:end].clone() for tensor in tensors]
        else:
            chosen = rows[start:end]
            batch = [tensor.index_select(0, chosen) for tensor in tensors]
    if next_end > end:
        ahead.start(rows, end, next_end)
    return batch


def batches_of_lists(
    tensors: tuple[Tensor, ...], rows: Tensor | None, lists: Iterable[Any]
) -> Iterator[list[Tensor]]:
    """The same for the index lists of a batch sampler, negative ones included."""
    count = int(tensors[0].shape[0] if rows is None else rows.shape[0])
    for indices in lists:
        for index in indices:
            if not -count <= index < count:
                raise IndexError(f"DataLoader: index {index} is out of range for {count} samples")
        chosen = _C.tensor([index % count for index in indices], dtype=_C.int64)
        if rows is not None:
            chosen = rows.index_select(0, chosen)
        yield [tensor.index_select(0, chosen) for tensor in tensors]
