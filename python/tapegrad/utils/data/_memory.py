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

__all__ = ["batches_of_lists", "batches_of_rows", "source_of"]


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
    for start in range(skip * size, stop, size):
        end = min(start + size, count)
        if rows is None:
            # A copy: a batch changed in place must not change the data set.
            yield [tensor[start:end].clone() for tensor in tensors]
        else:
            chosen = rows[start:end]
            yield [tensor.index_select(0, chosen) for tensor in tensors]


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
