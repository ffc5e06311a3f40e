"""``DataLoader``: batches of a data set, in order or shuffled, made here or by workers."""

from __future__ import annotations

from itertools import chain, islice
from typing import Generic, TypeVar

from tapegrad import _C
from tapegrad.utils.data._fetch import make_fetcher
from tapegrad.utils.data._memory import batches_of_lists, batches_of_rows, order_of, source_of
from tapegrad.utils.data._passes import LocalPass, PassRecord, RandomStates, WorkerPass
from tapegrad.utils.data._randomness import draw_seed
from tapegrad.utils.data.collate import default_collate, default_convert
from tapegrad.utils.data.dataset import IterableDataset
from tapegrad.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    require_positive,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from tapegrad._C import Generator, Tensor
    from tapegrad.utils.data._fetch import IndexFetcher, StreamFetcher
    from tapegrad.utils.data._memory import Source
    from tapegrad.utils.data._pool import WorkerPool
    from tapegrad.utils.data.dataset import Dataset

__all__ = ["DataLoader"]

T_co = TypeVar("T_co", covariant=True)

_OWN_SAMPLERS = (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
# Whatever draws random numbers meanwhile, and wherever training stands, cannot change their order.
_DRAWN_AT_ONCE = (
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    range,
)
_STATE_VERSION = 1


class DataLoader(Generic[T_co]):
    """Iterates over a data set in batches; each ``for`` is one pass.

    Parameters
    ----------
    dataset
        anything with ``__getitem__`` and ``__len__``, or an ``IterableDataset``
    batch_size
        samples of a batch; ``None`` gives single samples
    shuffle
        a new order for each pass, drawn from ``generator``
    sampler, batch_sampler
        give the order themselves, index by index or list by list
    num_workers
        processes that read samples and make batches; 0: the calling thread does
    collate_fn
        makes a batch of a list of samples (default: :func:`default_collate`)
    pin_memory, pin_memory_device, in_order
        accepted, without effect: there is one device, and batches always come in order
    drop_last
        leave out a last batch that is not full
    timeout
        seconds to wait for a batch of a worker before a ``RuntimeError``; 0: for ever
    worker_init_fn
        called in each worker with its number, after its random generators are seeded
    multiprocessing_context
        how workers are started: ``'fork'``, ``'spawn'``, ``'forkserver'``, or a context
    generator
        draws the order and the seed of each pass; the global one by default
    prefetch_factor
        batches that each worker prepares ahead (2)
    persistent_workers
        keep the workers from one pass to the next

    A :class:`TensorDataset` (also below ``Subset`` and ``random_split``) with the default
    collation is not read sample by sample: each batch is one indexed copy out of each tensor. That
    takes less time than to hand it over from another process, so workers are started for it only
    if there is a ``worker_init_fn``. Where ``set_num_threads`` leaves a processor free, the next
    batch is gathered while the step runs on this one.

    Batches come in the order of the sampler, and the order depends on the seed alone, not on the
    number of workers. Worker ``i`` starts each pass with the seed of the pass plus ``i`` (ours and
    Python's generators, and NumPy's if it is loaded). An error in a worker is raised here with the
    class it had there and its traceback in the message.

    :meth:`state_dict` and :meth:`load_state_dict` resume in the middle of a pass.

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
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.drop_last = drop_last
        self.batch_size = batch_size
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self._stream = isinstance(dataset, IterableDataset)
        self._check_order(shuffle, sampler, batch_sampler)
        self._own_order = sampler is None and batch_sampler is None
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
        self._record: PassRecord | None = None
        self._resume: dict[str, Any] | None = None
        self._pool: WorkerPool | None = None

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started; ``None`` means the default of ``multiprocessing``."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        if context is not None:
            import multiprocessing
            from multiprocessing.context import BaseContext

            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading "
                    f"(num_workers > 0), but got num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                known = multiprocessing.get_all_start_methods()
                if context not in known:
                    raise ValueError(
                        "multiprocessing_context option should specify a valid start method in "
                        f"{known!r}, but got multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            elif not isinstance(context, BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string "
                    f"specifying the start method, but got multiprocessing_context={context!r}"
                )
        self._context = context

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
        resume, self._resume = self._resume, None
        generators = self._generators()
        states = RandomStates(generators, self._stream or not self._known_order())
        now = states.take()
        if resume is not None:
            states.restore(resume["pass"]["start"])
        record = PassRecord(states.take() if resume is not None else now)
        try:
            started = self._start_pass(record, None if resume is None else resume["pass"])
            self._record = record
        finally:
            if resume is not None:
                # The default generator is the caller's; ours are as they were at the checkpoint.
                now["generators"][1:] = resume["generators"]
                states.restore(now)
        return started

    def _start_pass(self, record: PassRecord, saved: dict[str, Any] | None) -> Iterator[Any]:
        seed = draw_seed(self.generator)
        skip = 0 if saved is None else saved["delivered"]
        record.delivered = skip
        source = None
        if self._default_collation and not self._single and not self._stream:
            source = source_of(self.dataset)
        if source is not None and (self.num_workers == 0 or self.worker_init_fn is None):
            batches = self._batches_in_memory(source, skip)
            if source.finish is not None:
                return LocalPass(map(source.finish, batches), record)
            return LocalPass(batches, record)
        if self.num_workers > 0:
            return self._start_workers(record, seed, saved)
        stream = None if saved is None else saved["stream"]
        fetcher = make_fetcher(
            self.dataset,
            self.collate_fn,
            self._stream,
            self.batch_sampler is not None,
            self.batch_size,
            self.drop_last,
            stream,
        )
        if self._stream:
            record.fetcher = fetcher
            if stream is None:
                fetcher.skip(skip)
            return LocalPass(_until_stop(fetcher), record)
        return LocalPass(map(fetcher.fetch, _begun(self._indices(), skip)), record)

    def _batches_in_memory(self, source: Source, skip: int) -> Iterator[list[Tensor]]:
        tensors, rows, _ = source
        if self._own_order and isinstance(self.batch_size, int):
            sampler = self.sampler
            order = sampler.order() if isinstance(sampler, RandomSampler) else None
            return batches_of_rows(tensors, rows, order, self.batch_size, self.drop_last, skip)
        lists = self._indices()
        given = self.batch_sampler
        if type(given) is BatchSampler and type(given.sampler) in _DRAWN_AT_ONCE:
            drawn = list(given.sampler)
            order = order_of(drawn, len(self.dataset))  # type: ignore[arg-type]
            if order is not None:
                return batches_of_rows(
                    tensors, rows, order, given.batch_size, given.drop_last, skip
                )
            lists = iter(BatchSampler(drawn, given.batch_size, given.drop_last))
        return batches_of_lists(tensors, rows, _begun(lists, skip))

    def _start_workers(
        self, record: PassRecord, seed: int, saved: dict[str, Any] | None
    ) -> WorkerPass:
        ahead = self.prefetch_factor or 1
        pool = self._pool
        if pool is None or pool.closed:
            pool = self._make_pool(ahead)
            if self.persistent_workers:
                self._pool = pool
        started = WorkerPass(
            pool, self.persistent_workers, self._indices(), float(self.timeout), record
        )
        crew = None if saved is None else saved["workers"]
        if crew is not None and len(crew["active"]) != self.num_workers:
            crew = None
        started.start(seed, self.num_workers, ahead, crew)
        return started

    def _make_pool(self, ahead: int) -> WorkerPool:
        from tapegrad.utils.data._pool import WorkerPool
        from tapegrad.utils.data._worker import Settings

        settings = Settings(
            self.dataset,
            self.collate_fn,
            self._stream,
            self.batch_sampler is not None,
            self.batch_size,
            self.drop_last,
            self.worker_init_fn,
        )
        return WorkerPool(settings, self.num_workers, self._context, ahead)

    def _indices(self) -> Iterator[Any]:
        """What is asked for, batch by batch (of a stream: nothing, without an end)."""
        if self._stream:
            return iter(lambda: None, 0)
        return iter(self.batch_sampler if self.batch_sampler is not None else self.sampler or ())

    def _known_order(self) -> bool:
        """Whether the order is drawn from our generators alone."""
        samplers = [self.sampler, self.batch_sampler]
        if type(self.batch_sampler) is BatchSampler:
            samplers.append(self.batch_sampler.sampler)
        return all(
            s is None or type(s) in _OWN_SAMPLERS or isinstance(s, (list, tuple, range))
            for s in samplers
        )

    def _generators(self) -> list[Generator]:
        """The default generator, and those that loader and samplers were given."""
        found = [_C.default_generator]
        inner = getattr(self.batch_sampler, "sampler", None)
        for owner in (self, self.sampler, self.batch_sampler, inner):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, _C.Generator) and all(generator is not g for g in found):
                found.append(generator)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The place in the data: of numbers, strings, lists and tensors, for ``tapegrad.save``.

        In the middle of a pass it is that of the pass begun last. A loader of the same data and
        options that loads it gives the remaining batches of the pass, and the same later passes;
        with workers, that holds for random numbers drawn in them too. Restore the global generator
        by ``set_rng_state`` besides, if the order is drawn from it.

        >>> import tapegrad as tg
        >>> data = tg.utils.data.TensorDataset(tg.arange(6))
        >>> loader = tg.utils.data.DataLoader(data, batch_size=2)
        >>> first = next(iter(loader))
        >>> state = loader.state_dict()
        >>> other = tg.utils.data.DataLoader(data, batch_size=2)
        >>> other.load_state_dict(state)
        >>> [batch.tolist() for (batch,) in other]
        [[2, 3], [4, 5]]
        """
        if self._resume is not None:
            return {**self._description(), **self._resume}
        return {
            **self._description(),
            "generators": [g.get_state() for g in self._generators()[1:]],
            "pass": None if self._record is None else self._record.snapshot(),
        }

    def _description(self) -> dict[str, Any]:
        try:
            length = len(self.dataset)  # type: ignore[arg-type]
        except (TypeError, NotImplementedError):
            length = None
        return {
            "version": _STATE_VERSION,
            "length": length,
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on, with the next ``for``, where :meth:`state_dict` was called.

        Errors: ``ValueError`` when the state is of another data set length or batch size, or, for
        a stream, of another number of workers.
        """
        given: Any = state_dict
        if not isinstance(given, dict) or given.get("version") != _STATE_VERSION:
            raise ValueError(
                "DataLoader.load_state_dict: expected what DataLoader.state_dict() gave"
            )
        own = self._description()
        keys = ["length", "batch_size"]
        saved = state_dict["pass"]
        if self._stream and saved is not None:
            keys.append("num_workers")
        for key in keys:
            if state_dict[key] != own[key]:
                raise ValueError(
                    f"DataLoader.load_state_dict: the state is of a loader with {key}="
                    f"{state_dict[key]}, this one has {own[key]}"
                )
        generators = self._generators()[1:]
        if len(generators) != len(state_dict["generators"]):
            raise ValueError(
                f"DataLoader.load_state_dict: the state has {len(state_dict['generators'])} "
                f"generators, this loader {len(generators)}; give it generator= as there"
            )
        for generator, value in zip(generators, state_dict["generators"], strict=True):
            generator.set_state(value)
        self._record = None
        self._resume = None
        if saved is not None:
            self._resume = {"generators": state_dict["generators"], "pass": saved}


def _begun(indices: Iterator[Any], skip: int) -> Iterator[Any]:
    """The rest after ``skip`` items, with everything drawn that is needed for the next one."""
    return chain(list(islice(indices, skip, skip + 1)), indices)


def _until_stop(fetcher: StreamFetcher | IndexFetcher) -> Iterator[Any]:
    while True:
        try:
            batch = fetcher.fetch(None)
        except StopIteration:
            return
        yield batch


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable "
            "multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing; let "
            "num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
