"""The next batch in memory, gathered while the step runs: the same batches, whatever happens."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import tapegrad as tg
from support import run_in_threads, run_python, same_bits
from tapegrad import _C
from tapegrad.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

DTYPES = [
    tg.bool, tg.uint8, tg.int8, tg.int16, tg.int32, tg.int64,
    tg.float16, tg.bfloat16, tg.float32, tg.float64,
]  # fmt: skip
WIDE = 512  # float32 columns: 32 rows of them are worth the handing over


def has_a_free_processor() -> bool:
    before = tg.get_num_threads()
    tg.set_num_threads(1)
    try:
        ahead = _C._Prefetch(tg.zeros(64, WIDE))
        ahead.start(None, 0, 64)
        return ahead.take() is not None
    finally:
        tg.set_num_threads(before)


free_processor = pytest.mark.skipif(not has_a_free_processor(), reason="needs two processors")


@pytest.fixture(autouse=True)
def one_thread():
    """A team that leaves a processor free."""
    before = tg.get_num_threads()
    tg.set_num_threads(1)
    yield
    tg.set_num_threads(before)


def taken(*tensors, rows=None, begin=0, end=None, between=None):
    """What a fresh _Prefetch gives for rows [begin, end), after ``between()``."""
    if end is None:
        end = len(tensors[0]) if rows is None else len(rows)
    ahead = _C._Prefetch(*tensors)
    ahead.start(rows, begin, end)
    if between is not None:
        between()
    batch = ahead.take()
    assert ahead.take() is None, "a batch is given once"
    return batch


# --- what is gathered ----------------------------------------------------------------------------


@free_processor
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_row(dtype):
    wide = (tg.rand(4000, 40) * 100).to(dtype)
    single = (tg.rand(4000) * 100).to(dtype)
    cube = (tg.rand(4000, 3, 2, 2) * 100).to(dtype)
    rows = tg.randperm(4000)[:3000]
    sources = (wide, single, cube, wide[:, :0])
    for a, b in zip(
        taken(*sources, rows=rows, begin=10, end=2900),
        [t.index_select(0, rows[10:2900]) for t in sources],
        strict=True,
    ):
        assert same_bits(a, b) if a.numel() else a.shape == b.shape
        assert a.dtype == dtype
        assert a.is_contiguous()
        assert not a.requires_grad
    for a, b in zip(taken(*sources, begin=7, end=3000), sources, strict=True):
        assert a.tolist() == b[7:3000].tolist()
        assert a.data_ptr() != b[7:3000].data_ptr() or a.numel() == 0


@free_processor
def test_views_that_lie_dense_and_foreign_memory():
    base = tg.rand(100, WIDE)
    rows = tg.arange(99, -1, -1)
    assert taken(base[20:80], rows=rows[50:])[0].tolist() == base[20:80][rows[50:]].tolist()
    array = np.random.default_rng(0).random((80, WIDE))
    assert (taken(tg.from_numpy(array))[0].numpy() == array).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: tg.rand(WIDE, 64).t(),
        lambda: tg.rand(1, WIDE).expand(64, WIDE),
        lambda: tg.rand(64, 2 * WIDE)[:, ::2],
        lambda: tg.rand(128, WIDE)[::2],
        lambda: tg.rand(64, WIDE).requires_grad_(),
        lambda: tg.rand(64, WIDE).requires_grad_() * 2,
        lambda: tg.rand(8, 16),
        lambda: tg.tensor(1.0),
    ],
    ids=["transposed", "expanded", "columns", "rows", "leaf", "recorded", "small", "0-d"],
)
def test_what_is_left_to_the_caller(make):
    source = make()
    assert taken(source, end=min(64, source.numel())) is None
    assert taken(tg.rand(64, WIDE), source, end=8) is None
    if source.dim() > 0:
        loader = DataLoader(TensorDataset(source), batch_size=32, shuffle=False)
        batches = [x for (x,) in loader]
        assert tg.cat(batches).tolist() == source.tolist()
        assert all(x.requires_grad == source.requires_grad for x in batches)


def test_under_modes_and_transforms():
    x = tg.rand(64, WIDE)
    with tg.inference_mode():
        made_there = tg.rand(64, WIDE)
        inside = taken(x)
        assert inside is None or inside[0].is_inference()
    assert taken(made_there) is None
    ahead = _C._Prefetch(x)
    ahead.start(None, 0, 64)
    with tg.inference_mode():
        assert ahead.take() is None, "a batch of another mode"
    lifted = []
    tg.func.vmap(lambda t: lifted.append(taken(t)) or t)(tg.rand(2, 64, WIDE))
    tg.func.jvp(lambda t: lifted.append(taken(t)) or t, (x,), (x,))
    tg.func.grad(lambda t: lifted.append(taken(t)) or t.sum())(x)
    assert lifted == [None] * 3
    # Data that no transform has lifted is as good inside as outside.
    loader = DataLoader(TensorDataset(x), batch_size=32)
    total = tg.func.vmap(lambda s: s * sum(b.sum() for (b,) in loader), randomness="same")
    seen = total(tg.ones(3))
    assert seen.tolist() == [sum(b.sum() for (b,) in loader).item()] * 3


def test_rows_are_checked_before_anything_is_read():
    x = tg.rand(64, WIDE)
    for wrong in (64, -1, 2**62, -(2**63)):
        assert taken(x, rows=tg.tensor([0] * 60 + [wrong])) is None
    good = tg.arange(64)
    for begin, end in ((0, 65), (-1, 60), (60, 60), (60, 2), (2**62, 2**62 + 64)):
        assert taken(x, rows=good, begin=begin, end=end) is None
        assert taken(x, begin=begin, end=end) is None
    assert taken(x, x[:32], end=33) is None
    assert taken(x, rows=good.to(tg.int32)) is None
    assert taken(x, rows=good.reshape(8, 8), end=8) is None
    for call in (
        lambda: _C._Prefetch(1),
        lambda: _C._Prefetch(x).start([0], 0, 1),
        lambda: _C._Prefetch(x).start(None, 0.5, 1),
        lambda: _C._Prefetch(x).start(None, 0),
    ):
        with pytest.raises(TypeError):
            call()


# --- what changes meanwhile ----------------------------------------------------------------------


@free_processor
def test_a_change_between_two_batches_is_seen():
    def check(change):
        x, y, rows = tg.rand(64, WIDE), tg.rand(64), tg.arange(64)
        assert taken(x, y, rows=rows) is not None
        assert taken(x, y, rows=rows, between=lambda: change(x, y, rows)) is None

    check(lambda x, y, rows: x.zero_())
    check(lambda x, y, rows: y.add_(1))
    check(lambda x, y, rows: x[3, 4:6].fill_(7))
    check(lambda x, y, rows: x.detach().mul_(2))
    check(lambda x, y, rows: rows.copy_(rows.flip(0)))
    check(lambda x, y, rows: setattr(x, "data", tg.rand(64, WIDE)))
    check(lambda x, y, rows: setattr(x, "data", tg.rand(3)))
    check(lambda x, y, rows: x.requires_grad_())
    check(lambda x, y, rows: setattr(x, "data", x.data.t()))
    check(lambda x, y, rows: setattr(x, "data", x.data.reshape(64, WIDE // 2, 2)))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loader_sees_what_its_data_are_now(shuffle):
    x = tg.rand(96, WIDE)
    loader = DataLoader(TensorDataset(x, tg.arange(96)), batch_size=32, shuffle=shuffle)
    for step, (batch, numbers) in enumerate(loader):
        assert batch.tolist() == x[numbers].tolist()
        x.fill_(step)


def test_batches_do_not_share_memory():
    x = tg.rand(96, WIDE)
    kept, before = [], x.clone()
    for (batch,) in DataLoader(TensorDataset(x), batch_size=32):
        batch.neg_()
        kept.append(batch)
    assert x.tolist() == before.tolist()
    assert tg.cat(kept).tolist() == (-before).tolist()


# --- the same batches ----------------------------------------------------------------------------


class Never:
    """In place of _Prefetch: gathers nothing."""

    def __init__(self, *tensors):
        pass

    def start(self, rows, begin, end):
        pass

    def take(self):
        return None


class Counting:
    """_Prefetch, and how many batches came from it."""

    count = 0

    def __init__(self, *tensors):
        self.ahead = REAL(*tensors)
        self.start = self.ahead.start

    def take(self):
        batch = self.ahead.take()
        Counting.count += batch is not None
        return batch


REAL = _C._Prefetch


def loaders():
    generator = tg.Generator().manual_seed(4)
    data = TensorDataset(tg.rand(300, WIDE, generator=generator), tg.arange(300))
    weights = tg.rand(300, generator=generator)
    half = Subset(data, list(range(0, 300, 2)))
    yield DataLoader(data, batch_size=64)
    yield DataLoader(data, batch_size=64, drop_last=True)
    yield DataLoader(data, batch_size=64, shuffle=True)
    yield DataLoader(data, batch_size=64, shuffle=True, generator=generator)
    yield DataLoader(half, batch_size=40)
    yield DataLoader(half, batch_size=40, shuffle=True)
    yield DataLoader(data, batch_size=64, sampler=WeightedRandomSampler(weights, 250))
    yield DataLoader(data, batch_size=64, sampler=SubsetRandomSampler(range(20, 200)))
    yield DataLoader(data, batch_size=64, sampler=range(0, 300, 3))
    yield DataLoader(half, batch_size=64, sampler=SequentialSampler(half))
    yield DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data, True, 200), 64, True))
    yield DataLoader(data, batch_sampler=[[0] * 64, [-1, 5] * 32])
    yield DataLoader(data, batch_size=64, sampler=SubsetRandomSampler([-1, *range(200)]))


def contents(batch):
    """All bits of a batch, and a random number as a step would draw one."""
    return [part.numpy().tobytes() for part in batch] + [tg.rand(1).item()]


@pytest.mark.parametrize("number", range(13))
def test_batches_are_the_same_with_and_without(monkeypatch, number):
    def passes():
        tg.manual_seed(9)
        loader = list(loaders())[number]
        found, state = [], None
        for epoch in range(2):
            for step, batch in enumerate(loader):
                found.append(contents(batch))
                if epoch == step == 1:
                    state = loader.state_dict(), tg.get_rng_state(), len(found)
        resumed = list(loaders())[number]
        resumed.load_state_dict(state[0])
        tg.set_rng_state(state[1])
        rest = [contents(batch) for batch in resumed]
        return found, rest, found[state[2] :]

    Counting.count = 0
    monkeypatch.setattr(_C, "_Prefetch", Counting)
    ahead = passes()
    if has_a_free_processor() and number not in (11, 12):
        assert Counting.count > 0
    monkeypatch.setattr(_C, "_Prefetch", Never)
    here = passes()
    assert ahead == here
    assert ahead[1] == ahead[2], "a resumed pass gives the rest of it"


def test_a_sampler_that_looks_at_the_training_is_not_asked_early():
    log = []

    class Asked:
        def __iter__(self):
            for step in range(3):
                log.append(("asked", step))
                yield list(range(64))

        def __len__(self):
            return 3

    data = TensorDataset(tg.rand(64, WIDE))
    for step, _ in enumerate(DataLoader(data, batch_sampler=Asked())):
        log.append(("step", step))
    assert log == [(what, step) for step in range(3) for what in ("asked", "step")]


def test_a_wrong_index_is_an_error_at_its_turn():
    data = TensorDataset(tg.rand(64, WIDE))
    batches = iter(DataLoader(data, batch_size=32, sampler=range(20, 80)))
    assert len(next(batches)[0]) == 32
    with pytest.raises(IndexError, match="index 64 is out of range for 64 samples"):
        next(batches)


# --- many iterators, threads, ends ---------------------------------------------------------------


def test_many_iterators_at_once_and_left_early():
    data = TensorDataset(tg.rand(256, WIDE), tg.arange(256))
    loaders = [DataLoader(data, batch_size=32, shuffle=True) for _ in range(12)]
    for batches in zip(*loaders, strict=True):
        for x, numbers in batches:
            assert same_bits(x, data.tensors[0][numbers])
    for _ in range(50):
        for loader in loaders:
            iterator = iter(loader)
            next(iterator)
            del iterator
        with pytest.raises(ZeroDivisionError):
            sum(1 / 0 for _ in loaders[0])


def test_iterators_in_several_threads():
    data = TensorDataset(tg.rand(256, WIDE), tg.arange(256))

    def body():
        for _ in range(10):
            for x, numbers in DataLoader(data, batch_size=32, shuffle=True):
                assert same_bits(x, data.tensors[0][numbers])

    run_in_threads(*[body] * 4)
    # One iterator passed from thread to thread.
    iterator, seen, turn = iter(DataLoader(data, batch_size=32)), [], threading.Lock()

    def share():
        while True:
            with turn:
                batch = next(iterator, None)
                if batch is None:
                    return
                assert same_bits(batch[0], data.tensors[0][batch[1]])
                seen.extend(batch[1].tolist())

    run_in_threads(*[share] * 4)
    assert sorted(seen) == list(range(256))


@pytest.mark.footprint
def test_a_hundred_passes_keep_memory_and_threads():
    out = run_python(
        """
        import gc, os
        import tapegrad as tg
        from tapegrad.utils.data import DataLoader, TensorDataset
        gc.disable()
        tg.set_num_threads(1)
        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * 4
        loader = DataLoader(TensorDataset(tg.rand(1024, 512)), 64, shuffle=True)
        for epoch in range(120):
            if epoch == 20:
                before = resident(), tg.memory_stats()["allocated_bytes"]
            for step, _ in enumerate(loader):
                if epoch % 2 and step == epoch % 16:
                    break
        print(tg.memory_stats()["allocated_bytes"] - before[1], resident() - before[0])
        print(len(os.listdir("/proc/self/task")))
        """
    )
    flat, resident, threads = map(int, out.split())
    assert flat <= 64 * 512 * 4  # the last batch, which a name still holds
    assert resident < 2_000
    assert threads <= 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses fork")
def test_an_iterator_from_before_a_fork():
    out = run_python(
        """
        import os
        import tapegrad as tg
        from tapegrad.utils.data import DataLoader, TensorDataset
        tg.set_num_threads(1)
        data = TensorDataset(tg.rand(512, 512), tg.arange(512))
        for round in range(30):
            batches = [iter(DataLoader(data, 64, shuffle=True)) for _ in range(3)]
            for b in batches:
                next(b)
            pid = os.fork()
            good = True
            for b in batches[:2]:
                for x, numbers in b:
                    good = good and tg.equal(x, data.tensors[0][numbers])
            for x, numbers in DataLoader(data, 64):
                good = good and tg.equal(x, data.tensors[0][numbers])
            del batches  # the third is left with a batch under way
            if pid == 0:
                os._exit(0 if good else 1)
            assert good and os.waitpid(pid, 0)[1] == 0, round
        print("ok")
        """
    )
    assert out == "ok\n"


@pytest.mark.parametrize(
    "ending",
    [
        "pass",
        "sys.exit(0)",
        "os._exit(0)",
        "threading.Thread(target=lambda: list(kept[1]), daemon=True).start()",
        "cycle = [kept]; cycle.append(cycle); del kept",
        "signal.raise_signal(signal.SIGINT)",
    ],
)
def test_the_interpreter_ends_in_the_middle(ending):
    run_python(
        f"""
        import os, signal, sys, threading
        import tapegrad as tg
        from tapegrad.utils.data import DataLoader, TensorDataset
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
        tg.set_num_threads(1)
        data = TensorDataset(tg.rand(64, 200_000))
        kept = [iter(DataLoader(data, 32, shuffle=True)) for _ in range(4)]
        for each in kept:
            next(each)
        {ending}
        """,
        timeout=60,
    )
