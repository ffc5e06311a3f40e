"""Reading samples and making a batch of them, in the calling process or in a worker."""

from __future__ import annotations

from itertools import islice

from tapegrad import _C
from tapegrad.utils.data.collate import UnequalSamplesError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["IndexFetcher", "StreamFetcher", "make_fetcher"]


class IndexFetcher:
    """Batches of a data set that is read by index."""

    def __init__(self, dataset: Any, collate: Callable[[Any], Any], batched: bool) -> None:
        self._dataset = dataset
        self._collate = collate
        self._batched = batched

    def fetch(self, indices: Any) -> Any:
        """The batch of a list of indices, or the sample at one index."""
        if not self._batched:
            return self._collate(self._dataset[indices])
        fetch = getattr(self._dataset, "__getitems__", None)
        samples = [self._dataset[i] for i in indices] if fetch is None else fetch(indices)
        try:
            return self._collate(samples)
        except UnequalSamplesError as error:
            first, second = (indices[entry] for entry in error.entries)
            raise _C.ShapeError(
                f"{error} (these are the items {first} and {second} of the data set)"
            ) from None

    def skip(self, batches: int) -> None:
        """Nothing to do: indices that are not asked for are not read."""

    def state(self) -> Any:
        """Of the data set: none, its samples depend on their index alone."""
        return None


class StreamFetcher:
    """Batches of a stream, in the order in which it gives its samples."""

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[Any], Any],
        batch_size: int | None,
        drop_last: bool,
        state: Any = None,
    ) -> None:
        self._dataset = dataset
        self._ended = False
        if state is not None:
            dataset.load_state_dict(state["dataset"])
            self._ended = state["ended"]
        self._samples: Iterator[Any] = iter(() if self._ended else dataset)
        self._collate = collate
        self._batch_size = batch_size
        self._drop_last = drop_last

    def fetch(self, _: Any = None) -> Any:
        """The next batch; StopIteration at the end of the stream."""
        if self._batch_size is None:
            return self._collate(next(self._samples))
        batch = list(islice(self._samples, self._batch_size))
        self._ended = len(batch) < self._batch_size
        if not batch or (self._drop_last and len(batch) < self._batch_size):
            raise StopIteration
        return self._collate(batch)

    def skip(self, batches: int) -> None:
        """Read the samples of so many batches and drop them."""
        for _ in islice(self._samples, batches * (self._batch_size or 1)):
            pass

    def state(self) -> Any:
        """What the stream itself says about its place, if it can.

        One that has ended may already be back at its start, so that is kept beside.
        """
        give = getattr(self._dataset, "state_dict", None)
        if give is None or not hasattr(self._dataset, "load_state_dict"):
            return None
        return {"dataset": give(), "ended": self._ended}


def make_fetcher(
    dataset: Any,
    collate: Callable[[Any], Any],
    stream: bool,
    batched: bool,
    batch_size: int | None,
    drop_last: bool,
    state: Any = None,
) -> IndexFetcher | StreamFetcher:
    """The fetcher for a data set; ``state`` is that of the stream at a checkpoint."""
    if stream:
        return StreamFetcher(dataset, collate, batch_size, drop_last, state)
    return IndexFetcher(dataset, collate, batched)
