"""Loaders with workers: order, seeds, errors, ends of processes, and resuming."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from support import run_python
from tapegrad.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    TensorDataset,
    get_worker_info,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses fork")


class Noisy(Dataset):
    """Samples with random numbers of three generators in them."""

    def __init__(self, size, width=3):
        self.size, self.width = size, width

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        noise = tg.rand(1).item() + random.random() + np.random.rand()  # noqa: NPY002
        return tg.full((self.width,), float(index)), index, noise


def indices(loader):
    return [batch[1].tolist() for batch in loader]


def everything(loader):
    return [[part.tolist() for part in batch] for batch in loader]


def generator(seed):
    return tg.Generator().manual_seed(seed)


# --- order and contents --------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_the_order_does_not_depend_on_the_number_of_workers(workers):
    def passes(count):
        loader = DataLoader(Noisy(29), 4, shuffle=True, generator=generator(5), num_workers=count)
        return [indices(loader), indices(loader)]

    alone = passes(0)
    assert passes(workers) == alone
    assert alone[0] != alone[1]
    tg.manual_seed(1)
    first = indices(DataLoader(Noisy(29), 4, shuffle=True))
    tg.manual_seed(1)
    assert indices(DataLoader(Noisy(29), 4, shuffle=True, num_workers=workers)) == first


def test_a_shuffle_in_memory_is_that_of_the_workers():
    rows = TensorDataset(tg.zeros(20), tg.arange(20))
    quick = DataLoader(rows, 6, shuffle=True, generator=generator(5))
    slow = DataLoader(
        rows,
        6,
        shuffle=True,
        generator=generator(5),
        num_workers=2,
        worker_init_fn=lambda worker: None,
    )
    assert [indices(quick), indices(quick)] == [indices(slow), indices(slow)]


@pytest.mark.parametrize("width", [2, 100_000])
def test_tensors_arrive_whole_and_writable(width):
    loader = DataLoader(Noisy(12, width), 2, num_workers=2, prefetch_factor=3)
    for _ in range(2):
        for number, (x, index, _) in enumerate(loader):
            assert x.shape == (2, width)
            assert index.tolist() == [2 * number, 2 * number + 1]
            assert x.amin(1).tolist() == x.amax(1).tolist() == index.tolist()
            x.fill_(-1)


def test_batches_that_are_kept_stay_as_they_were():
    kept = list(DataLoader(Noisy(60, 5_000), 2, num_workers=1))
    assert [x[:, -1].tolist() for x, _, _ in kept] == [[2 * i, 2 * i + 1] for i in range(30)]


class Shapes(Dataset):
    """Every kind of content, large and small, of many layouts."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return {
            "transposed": tg.arange(20_000).reshape(100, 200).t() + index,
            "half": tg.full((9_000,), index).to(tg.bfloat16),
            "flags": tg.arange(40_000) % 2 == index % 2,
            "array": np.full((70, 90), index, np.int16),
            "empty": tg.empty(0, 3),
            "small": (tg.tensor(index), "name", b"raw", None, 2.5),
            "wants": tg.full((5_000,), float(index), requires_grad=True),
        }


def test_every_kind_of_content_crosses():
    loader = DataLoader(Shapes(), batch_size=None, num_workers=2)
    for index, sample in enumerate(loader):
        expected = Shapes()[index]
        for name in ("transposed", "half", "flags", "empty", "wants"):
            assert sample[name].dtype == expected[name].dtype
            assert tg.equal(sample[name], expected[name])
        assert sample["wants"].requires_grad
        assert isinstance(sample["array"], tg.Tensor)
        assert tg.equal(sample["array"], tg.from_numpy(expected["array"]))
        assert sample["small"][1:] == ["name", b"raw", None, 2.5]
    raw = DataLoader(Shapes(), batch_size=None, num_workers=1, collate_fn=lambda sample: sample)
    for index, sample in enumerate(raw):
        assert isinstance(sample["array"], np.ndarray)
        assert (sample["array"] == index).all()


class Lengthy(Dataset):
    def __len__(self):
        return 200_000

    def __getitem__(self, index):
        return "text" * 5


def test_tasks_and_answers_larger_than_a_pipe_do_not_wait_for_each_other():
    loader = DataLoader(Lengthy(), 40_000, num_workers=2, collate_fn="".join)
    assert [len(text) for text in loader] == [800_000] * 5


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_ways_to_start(method):
    # The data set must have a module that a fresh process can import.
    data = tg.utils.data.StackDataset(TensorDataset(tg.rand(30, 4_000)), range(30))
    loader = DataLoader(data, 4, num_workers=2, multiprocessing_context=method)
    assert [batch[1].tolist() for batch in loader][-1] == [28, 29]
    assert loader.multiprocessing_context.get_start_method() == method


# --- seeds ---------------------------------------------------------------------------------------


class Identity(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        info = get_worker_info()
        return info.id, info.num_workers, info.seed, tg.initial_seed(), os.getpid()


def test_workers_know_who_they_are():
    assert get_worker_info() is None
    loader = DataLoader(Identity(), 2, num_workers=2, generator=generator(3))
    batches = [[part.tolist() for part in batch] for batch in loader]
    assert [b[0] for b in batches] == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert {n for b in batches for n in b[1]} == {2}
    seeds = [b[2][0] for b in batches]
    assert seeds[1] == seeds[0] + 1
    assert [b[3][0] for b in batches] == seeds
    assert len({b[4][0] for b in batches}) == 2
    assert next(iter(loader))[2][0] != seeds[0]
    assert "num_workers=2" in repr(tg.utils.data._protocol.WorkerInfo(0, 2, 1, None))


@pytest.mark.parametrize("persistent", [False, True])
def test_a_seed_repeats_what_workers_draw(persistent):
    def passes(seed, persistent):
        loader = DataLoader(
            Noisy(14),
            4,
            generator=generator(seed),
            num_workers=2,
            persistent_workers=persistent,
        )
        return [everything(loader), everything(loader)]

    once = passes(2, persistent)
    assert passes(2, False) == once
    assert once[0] != once[1]
    assert passes(3, persistent)[0] != once[0]


def test_persistent_workers_stay_and_survive_a_pass_that_was_left():
    loader = DataLoader(Identity(), 2, num_workers=2, persistent_workers=True)
    first = iter(loader)
    pids = {next(first)[4][0].item(), next(first)[4][0].item()}
    assert {pid for batch in loader for pid in batch[4].tolist()} == pids
    with pytest.raises(RuntimeError, match="broken off"):
        next(first)
    assert len(list(loader)) == 4


def test_the_init_function_runs_once_in_each_worker():
    seen = []

    def note(worker):
        seen.append((worker, get_worker_info().id))

    def collate(samples):
        return list(seen)

    loader = DataLoader(
        Identity(),
        2,
        num_workers=2,
        worker_init_fn=note,
        collate_fn=collate,
        persistent_workers=True,
    )
    for _ in range(2):
        assert list(loader) == [[(0, 0)], [(1, 1)]] * 2
    assert seen == []


# --- streams -------------------------------------------------------------------------------------


class Count(IterableDataset):
    """Numbers, each worker every so-manieth; optionally with its own state."""

    def __init__(self, stop):
        self.stop = stop

    def __iter__(self):
        info = get_worker_info()
        start, step = (info.id, info.num_workers) if info else (0, 1)
        for number in range(start, self.stop, step):
            yield number + int(tg.randint(0, 10, (1,)).item()) * 1000


class Placed(Count):
    """A stream that knows its place."""

    place = None
    read = 0

    def __iter__(self):
        start = self.place or 0
        for number in range(start, self.stop):
            self.place = number + 1
            Placed.read += 1
            yield number
        self.place = None

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place = state["place"]


def test_streams_are_shared_out():
    loader = DataLoader(Count(11), 2, num_workers=3)
    batches = [[n % 1000 for n in batch.tolist()] for batch in loader]
    assert batches == [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8]]
    whole = DataLoader(Count(11), 2, num_workers=3, drop_last=True)
    assert [n % 1000 for batch in whole for n in batch.tolist()] == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10]
    single = DataLoader(Count(5), batch_size=None, num_workers=2)
    assert sorted(n % 1000 for n in single) == [0, 1, 2, 3, 4]
    assert list(DataLoader(Count(0), num_workers=2)) == []


# --- errors --------------------------------------------------------------------------------------


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


class Failing(Dataset):
    def __init__(self, fail):
        self.fail = fail

    def __len__(self):
        return 6

    def __getitem__(self, index):
        if index == 3:
            self.fail()
        return index


def raising(error):
    def fail():
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ValueError("broken sample"), ValueError, "broken sample"),
        (KeyError("name"), KeyError, r"in fail\n.*raise error\nKeyError: 'name'"),
        (FileNotFoundError("a.png"), FileNotFoundError, "a.png"),
        (OddError(1, 2), Exception, r"Caught OddError in DataLoader worker process 1"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), UnicodeError, "UnicodeDecodeError"),
    ],
)
def test_an_error_comes_with_its_class_and_its_traceback(error, kind, text):
    batches = iter(DataLoader(Failing(raising(error)), 2, num_workers=2))
    assert next(batches).tolist() == [0, 1]
    with pytest.raises(kind, match=f"(?s){text}") as caught:
        next(batches)
    assert "Traceback (most recent call last)" in str(caught.value)
    assert type(caught.value) is kind
    assert next(batches).tolist() == [4, 5]  # the loader goes on, as in PyTorch


def test_an_error_at_the_start_of_a_worker():
    def fail(worker):
        raise LookupError("no such disk")

    loader = DataLoader(Identity(), 2, num_workers=1, worker_init_fn=fail)
    starting = iter(loader)
    for _ in range(2):  # not a shorter pass after the error
        with pytest.raises(LookupError, match="no such disk"):
            next(starting)
    batches = iter(DataLoader(Failing(int), 2, num_workers=1, collate_fn=lambda s: lambda: s))
    with pytest.raises(Exception, match=r"(?s)worker process 0.*pickle"):
        next(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_of_unequal_shape_are_named(workers):
    class Ragged(Dataset):
        def __len__(self):
            return 9

        def __getitem__(self, index):
            return tg.zeros(2, 3 if index < 7 else 4), np.zeros(index // 8)

    loader = DataLoader(Ragged(), batch_sampler=[[0, 1], [2, 5, 7]], num_workers=workers)
    message = r"\[2, 3\] at entry 0 and \[2, 4\] at entry 2.*items 2 and 7 of the data set"
    with pytest.raises(RuntimeError, match=message) as caught:
        list(loader)
    assert isinstance(caught.value, tg._C.ShapeError)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda: os._exit(3), r"worker 1 owed a batch, but it ended with exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"killed by signal 9 \(SIGKILL\)"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), r"killed by signal 15 \(SIGTERM\)"),
    ],
)
@pytest.mark.parametrize("persistent", [False, True])
def test_a_worker_that_dies_is_named(end, message, persistent):
    loader = DataLoader(Failing(end), 2, num_workers=2, persistent_workers=persistent)
    batches = iter(loader)
    next(batches)
    with pytest.raises(RuntimeError, match=rf"DataLoader worker \(pid\(s\) \d+\).*{message}"):
        next(batches)
    assert next(iter(loader)).tolist() == [0, 1]  # a new pass has new workers


def test_a_timeout():
    batches = iter(DataLoader(Failing(lambda: time.sleep(1.0)), 2, num_workers=1, timeout=0.3))
    next(batches)
    with pytest.raises(RuntimeError, match=r"timed out after waiting .* of worker 0"):
        next(batches)


# --- the ends of processes -----------------------------------------------------------------------

PROCESSES = """
import os
def children():
    me, found = str(os.getpid()), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == me and fields[0] != "Z":
            found.append(int(pid))
    return found
def files():
    return len(os.listdir("/proc/self/fd"))
"""


def test_passes_left_early_leave_nothing_behind():
    out = run_python(
        PROCESSES
        + textwrap.dedent(
            """
            import gc, threading
            gc.disable()
            import tapegrad as tg
            from tapegrad.utils.data import DataLoader, Dataset
            tg.rand(400_000).exp().sum()                 # the team of the parent is up
            class Large(Dataset):
                def __len__(self):
                    return 40
                def __getitem__(self, index):
                    return tg.rand(10_000)
            for epoch in range(100):
                for batch in DataLoader(Large(), 4, num_workers=2):
                    break
                del batch
                if epoch == 1:
                    before = files(), threading.active_count()
            print(children(), files() - before[0], threading.active_count() - before[1])
            loader = DataLoader(Large(), 4, num_workers=2, persistent_workers=True)
            for _ in range(5):
                next(iter(loader))
            print(len(children()))
            del loader
            print(children(), files() - before[0])
            """
        )
    )
    assert out.splitlines() == ["[] 0 0", "2", "[] 0"]


@pytest.mark.footprint
def test_many_passes_keep_memory_flat():
    out = run_python(
        """
        import gc
        import tapegrad as tg
        from tapegrad.utils.data import DataLoader
        gc.disable()
        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * 4
        class Rows:
            def __len__(self):
                return 40
            def __getitem__(self, index):
                return tg.rand(5_000)
        quick = tg.utils.data.TensorDataset(tg.rand(1000, 10))
        loaders = [
            DataLoader(Rows(), 4, num_workers=2, persistent_workers=True),
            DataLoader(Rows(), 4, shuffle=True),
            DataLoader(quick, 10, shuffle=True),
        ]
        for epoch in range(220):
            if epoch == 20:
                before = resident()
            for loader in loaders:
                for batch in loader:
                    loader.state_dict()
        print(resident() - before)
        """
    )
    assert int(out) < 4_000  # KiB; one leaked batch a pass would be 16,000


ENDLESS = textwrap.dedent(
    """
    import os, sys, time
    import tapegrad as tg
    from tapegrad.utils.data import DataLoader, Dataset
    class Slow(Dataset):
        def __len__(self):
            return 10**9
        def __getitem__(self, index):
            time.sleep(0.01)
            return os.getpid()
    loader = DataLoader(Slow(), 2, num_workers=2)
    for number, pids in enumerate(loader):
        if number < 2:
            print(pids[0].item(), flush=True)
    """
)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(number):
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    workers = [int(process.stdout.readline()) for _ in range(2)]
    assert all(map(alive, workers))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as the terminal does: to parent and workers
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert out == ""
    if number == signal.SIGINT:
        assert err.count("Traceback") == 1, err
        assert err.rstrip().endswith("KeyboardInterrupt")
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, workers))


def test_a_fork_of_the_parent_does_not_end_the_workers():
    out = run_python(
        """
        import os
        from tapegrad.utils.data import DataLoader
        batches = iter(DataLoader(range(40), 2, num_workers=2))
        next(batches)
        pid = os.fork()
        if pid == 0:
            del batches
            os._exit(0)
        os.waitpid(pid, 0)
        print(sum(len(b) for b in batches))
        """
    )
    assert out.strip() == "38"


def test_an_iterator_that_lives_until_the_interpreter_ends():
    run_python(
        """
        from tapegrad.utils.data import DataLoader
        loader = DataLoader(range(40), 2, num_workers=2, persistent_workers=True)
        batches = iter(loader)
        next(batches)
        """
    )


# --- resuming ------------------------------------------------------------------------------------


class Python(Sampler):
    """A sampler of the user's, shuffled by Python's generator."""

    def __init__(self, size):
        self.size = size

    def __iter__(self):
        order = list(range(self.size))
        random.shuffle(order)
        return iter(order)

    def __len__(self):
        return self.size


LOADERS = {
    "rows": lambda: DataLoader(
        TensorDataset(tg.zeros(23), tg.arange(23)), 4, shuffle=True, generator=generator(1)
    ),
    "rows-in-order": lambda: DataLoader(TensorDataset(tg.zeros(23), tg.arange(23)), 4),
    "rows-global": lambda: DataLoader(
        TensorDataset(tg.zeros(23), tg.arange(23)), 4, shuffle=True, drop_last=True
    ),
    "samples": lambda: DataLoader(Noisy(23), 4, shuffle=True, generator=generator(1)),
    "singles": lambda: DataLoader(Noisy(9), None, shuffle=True),
    "custom": lambda: DataLoader(Noisy(23), 4, sampler=Python(23)),
    "draws": lambda: DataLoader(
        Noisy(23), 4, sampler=RandomSampler(range(23), True, 40, generator=generator(8))
    ),
    "workers": lambda: DataLoader(
        Noisy(23), 2, shuffle=True, generator=generator(1), num_workers=2
    ),
    "workers-global": lambda: DataLoader(Noisy(23), 2, shuffle=True, num_workers=3),
    "workers-persistent": lambda: DataLoader(
        Noisy(23), 2, shuffle=True, num_workers=2, persistent_workers=True
    ),
    "stream": lambda: DataLoader(Count(23), 3),
    "stream-workers": lambda: DataLoader(Count(23), 2, num_workers=3, generator=generator(1)),
    "placed": lambda: DataLoader(Placed(23), 3),
    "placed-workers": lambda: DataLoader(
        Placed(23), 3, num_workers=2, persistent_workers=True, generator=generator(1)
    ),
}


def flat(batch):
    return [t.tolist() if isinstance(t, tg.Tensor) else t for t in batch]


def globals_now():
    return tg.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002


def restore_globals(state):
    tg.set_rng_state(state[0])
    random.setstate(state[1])
    np.random.set_state(state[2])  # noqa: NPY002


@pytest.mark.parametrize("left", [0, 1, 3, 7, 8, 9, 99])
@pytest.mark.parametrize("name", LOADERS)
def test_a_resumed_loader_gives_the_same_rest_and_the_same_later_passes(name, left, tmp_path):
    tg.manual_seed(4)
    random.seed(4)
    np.random.seed(4)  # noqa: NPY002
    loader = LOADERS[name]()
    list(loader)
    batches = iter(loader)
    delivered = 0
    for _ in range(left):
        delivered += next(batches, None) is not None
        tg.rand(3)  # training draws too
    over = delivered < left
    path = tmp_path / "loader"
    tg.save(loader.state_dict(), path)
    outside = globals_now()
    expected = [*(flat(b) for b in batches), *(flat(b) for b in loader)]
    tg.manual_seed(99)
    random.seed(99)
    del loader, batches
    twin = LOADERS[name]()
    restore_globals(outside)
    twin.load_state_dict(tg.load(path))
    again = twin.state_dict()["pass"]
    assert again is None if over else again["delivered"] == left
    got = [flat(b) for _ in range(1 if over else 2) for b in twin]
    assert got == expected


def test_a_stream_with_a_state_is_not_read_again():
    loader = DataLoader(Placed(1000), 10)
    batches = iter(loader)
    for _ in range(50):
        next(batches)
    state = loader.state_dict()
    Placed.read = 0
    twin = DataLoader(Placed(1000), 10)
    twin.load_state_dict(state)
    assert next(iter(twin)).tolist() == list(range(500, 510))
    assert Placed.read < 30


def test_the_number_of_workers_may_change_for_data_read_by_index():
    make = lambda n: DataLoader(Noisy(23), 2, shuffle=True, generator=generator(1), num_workers=n)  # noqa: E731
    loader = make(2)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    rest = [b[1].tolist() for b in batches]
    for count in (0, 3):
        twin = make(count)
        twin.load_state_dict(state)
        assert indices(twin) == rest


def test_a_state_that_does_not_fit_is_refused():
    loader = DataLoader(Noisy(8), 2)
    next(iter(loader))
    state = loader.state_dict()
    for other, message in [
        (DataLoader(Noisy(9), 2), "length=8, this one has 9"),
        (DataLoader(Noisy(8), 4), "batch_size=2, this one has 4"),
        (DataLoader(Noisy(8), 2, generator=generator(1)), "0 generators, this loader 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(state)
        assert len(list(other)) == len(other)
    with pytest.raises(ValueError, match="expected what"):
        loader.load_state_dict({})
    stream = DataLoader(Count(8), 2)
    next(iter(stream))
    with pytest.raises(ValueError, match="num_workers=0, this one has 2"):
        DataLoader(Count(8), 2, num_workers=2).load_state_dict(stream.state_dict())
