"""Data sets, samplers, collation, and the loader."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)


class Squares(Dataset):
    """A data set read sample by sample."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if not -self.size <= index < self.size:
            raise IndexError(index)
        return tg.tensor(index), tg.tensor(float(index) ** 2)


def pairs(size):
    return TensorDataset(tg.arange(size), tg.arange(size).to(tg.float32) ** 2)


def values(loader):
    return [batch[0].tolist() for batch in loader]


@pytest.mark.parametrize("make", [pairs, Squares])
def test_batches_in_order(make):
    loader = DataLoader(make(7), batch_size=3)
    assert len(loader) == 3
    batches = list(loader)
    assert [b[0].tolist() for b in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [b[1].tolist() for b in batches] == [[0, 1, 4], [9, 16, 25], [36]]
    assert [type(b) for b in batches] == [list] * 3
    assert batches[0][0].dtype == tg.int64
    dropping = DataLoader(make(7), batch_size=3, drop_last=True)
    assert len(dropping) == 2
    assert values(dropping) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("make", [pairs, Squares])
def test_shuffling_follows_the_generator(make):
    def passes(seed):
        generator = tg.Generator().manual_seed(seed)
        loader = DataLoader(make(20), batch_size=6, shuffle=True, generator=generator)
        return [values(loader), values(loader)]

    first, second = passes(1)
    assert [first, second] == passes(1)
    assert first != second
    assert passes(2)[0] != first
    for one in (first, second):
        assert [len(batch) for batch in one] == [6, 6, 6, 2]
        assert sorted(index for batch in one for index in batch) == list(range(20))
    tg.manual_seed(3)
    once = values(DataLoader(make(20), shuffle=True))
    tg.manual_seed(3)
    assert values(DataLoader(make(20), shuffle=True)) == once


def test_rows_stay_together_when_shuffled():
    for x, y in DataLoader(pairs(50), batch_size=8, shuffle=True):
        assert (x.to(tg.float32) ** 2).tolist() == y.tolist()


def test_batches_are_copies():
    data = pairs(6)
    for shuffle in (False, True):
        for x, _ in DataLoader(data, batch_size=4, shuffle=shuffle):
            x.zero_()
    assert data.tensors[0].tolist() == [0, 1, 2, 3, 4, 5]


def test_fast_and_slow_paths_agree_below_subsets():
    def orders(data):
        inner = Subset(data, [9, 3, 5, 7, 1, 0])
        outer = Subset(inner, [5, 0, 2, 2])
        negative = Subset(data, [-1, 2])
        loaders = [DataLoader(s, batch_size=2) for s in (inner, outer, negative)]
        loaders.append(DataLoader(outer, batch_sampler=[[0], [3, 1]]))
        loaders.append(DataLoader(data, sampler=[4, 4, 2], batch_size=2))
        loaders.append(DataLoader(inner, batch_sampler=[[-1, 0]]))
        return [values(loader) for loader in loaders]

    expected = [
        [[9, 3], [5, 7], [1, 0]],
        [[0, 9], [5, 5]],
        [[-1, 2]],
        [[0], [5, 9]],
        [[4, 4], [2]],
        [[0, 9]],
    ]
    fast, slow = orders(pairs(10)), orders(Squares(10))
    assert slow == expected
    expected[2] = [[9, 2]]  # Squares gives the index itself, a tensor the row
    assert fast == expected
    with pytest.raises(IndexError, match="index 10 is out of range for 10 samples"):
        values(DataLoader(pairs(10), batch_sampler=[[10]]))


def test_single_samples():
    samples = list(DataLoader(pairs(2), batch_size=None))
    assert [type(s) for s in samples] == [list, list]  # as in PyTorch
    assert samples[1][1].item() == 1.0


def test_a_collate_function_gets_the_samples():
    loader = DataLoader(pairs(3), batch_size=2, collate_fn=len)
    assert list(loader) == [2, 1]


def test_streams():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(5))

    assert [b.tolist() for b in DataLoader(Stream(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader(Stream(), batch_size=2, drop_last=True)] == [
        [0, 1],
        [2, 3],
    ]
    assert list(DataLoader(Stream(), batch_size=None)) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="its own order"):
        DataLoader(Stream(), shuffle=True)
    with pytest.raises(TypeError):
        len(DataLoader(Stream()))


def test_whole_batches_may_be_fetched_at_once():
    class Bulk(Squares):
        def __getitems__(self, indices):
            return [self[i] for i in reversed(indices)]

    assert values(DataLoader(Bulk(4), batch_size=2)) == [[1, 0], [3, 2]]
    assert values(DataLoader(Subset(Bulk(4), [3, 2]), batch_size=2)) == [[2, 3]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": -1}, "num_workers option should be non-negative"),
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, "prefetch_factor option could only be specified"),
        ({"num_workers": 1, "prefetch_factor": -2}, "prefetch_factor option should be non-neg"),
        ({"persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
        ({"multiprocessing_context": "fork"}, "can only be used with multi-process loading"),
        ({"num_workers": 1, "multiprocessing_context": "thread"}, "a valid start method in"),
        ({"batch_size": 0}, "positive integer value, but got batch_size=0"),
        ({"batch_size": 2.5}, "positive integer"),
        ({"shuffle": True, "sampler": [0]}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler option is mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "disables auto-batching"),
    ],
)
def test_loader_checks_its_options(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(pairs(4), **options)


def test_tensor_dataset_checks_its_tensors():
    with pytest.raises(ValueError, match=r"size mismatch between tensors, .* \[2, 3\]"):
        TensorDataset(tg.ones(2), tg.ones(3, 1))
    with pytest.raises(TypeError, match="argument 1 is no tensor but list"):
        TensorDataset(tg.ones(2), [1, 2])
    with pytest.raises(ValueError, match="no first dimension"):
        TensorDataset(tg.tensor(1.0))
    with pytest.raises(ValueError, match="at least one"):
        TensorDataset()


def test_random_split():
    parts = random_split(pairs(10), [7, 3], generator=tg.Generator().manual_seed(0))
    again = random_split(pairs(10), [0.7, 0.3], generator=tg.Generator().manual_seed(0))
    assert [list(p.indices) for p in parts] == [list(p.indices) for p in again]
    assert sorted([*parts[0].indices, *parts[1].indices]) == list(range(10))
    assert [len(p) for p in random_split(range(11), [1 / 3] * 3)] == [4, 4, 3]
    with pytest.raises(ValueError, match="sum to 9, the data set has 10"):
        random_split(pairs(10), [7, 2])
    with pytest.raises(ValueError, match="Fraction at index 0"):
        random_split(pairs(10), [1.5, -0.5])


def test_samplers():
    assert list(SequentialSampler(range(3))) == [0, 1, 2]
    assert sorted(RandomSampler(range(5))) == list(range(5))
    assert len(list(RandomSampler(range(3), num_samples=7))) == 7
    drawn = list(RandomSampler(range(3), replacement=True, num_samples=50))
    assert set(drawn) == {0, 1, 2}
    assert len(drawn) == 50
    assert list(RandomSampler([])) == []
    assert sorted(SubsetRandomSampler([4, 2])) == [2, 4]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(range(5), 2, True)) == 2
    assert len(BatchSampler(range(5), 2, False)) == 3
    with pytest.raises(ValueError, match="num_samples"):
        RandomSampler(range(3), num_samples=0)
    with pytest.raises(ValueError, match="batch_size"):
        BatchSampler(range(3), True, False)


def test_concatenation():
    both = pairs(3) + pairs(2)
    assert isinstance(both, ConcatDataset)
    assert [int(both[i][0]) for i in range(5)] == [0, 1, 2, 0, 1]
    assert int(both[-1][0]) == 1
    with pytest.raises(IndexError, match="out of range for 5"):
        both[5]


def test_collation():
    Point = namedtuple("Point", ["x", "y"])
    batch = default_collate(
        [
            {"p": Point(1, 2.5), "a": np.zeros(2, np.float32), "n": "one", "l": [1, True]},
            {"p": Point(3, 4.5), "a": np.ones(2, np.float32), "n": "two", "l": [2, False]},
        ]
    )
    assert type(batch["p"]) is Point
    assert batch["p"].x.tolist() == [1, 3]
    assert batch["p"].y.dtype == tg.float64
    assert batch["a"].tolist() == [[0, 0], [1, 1]]
    assert batch["a"].dtype == tg.float32
    assert batch["n"] == ["one", "two"]
    assert batch["l"][1].dtype == tg.bool
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1], [1, 2]])
    with pytest.raises(TypeError, match="found <class 'object'>"):
        default_collate([object()])
    with pytest.raises(TypeError, match="cannot become tensors"):
        default_collate([np.array(["text"])])


class Letters(IterableDataset):
    def __init__(self, text):
        self.text = text

    def __iter__(self):
        return iter(self.text)

    def __len__(self):
        return len(self.text)


def test_chains_of_streams():
    both = Letters("ab") + Letters("c")
    assert isinstance(both, ChainDataset)
    assert list(both) == ["a", "b", "c"]
    assert len(both) == 3
    assert list(DataLoader(both, batch_size=2)) == [["a", "b"], ["c"]]
    with pytest.raises(TypeError, match="only supports IterableDataset, got Squares"):
        list(ChainDataset([Letters("a"), Squares(2)]))
    with pytest.raises(ValueError, match="does not support IterableDataset"):
        ConcatDataset([Squares(2), Letters("a")])


def test_stacks():
    class Bulk(Squares):
        def __getitems__(self, indices):
            return [self[i] for i in indices]

    rows = StackDataset(Bulk(3), ["a", "b", "c"])
    assert rows[1][0][0].item() == 1
    assert rows[1][1] == "b"
    assert [r[1] for r in rows.__getitems__([2, 0])] == ["c", "a"]
    named = StackDataset(x=[1, 2], y=["a", "b"])
    assert named.__getitems__([1, 0]) == [{"x": 2, "y": "b"}, {"x": 1, "y": "a"}]
    assert len(named) == 2
    (batch,) = DataLoader(named, batch_size=2)
    assert batch["x"].tolist() == [1, 2]
    assert batch["y"] == ["a", "b"]
    with pytest.raises(ValueError, match=r"size mismatch .* \[2, 3\]"):
        StackDataset([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="not both"):
        StackDataset([1], x=[1])
    with pytest.raises(ValueError, match="at least one"):
        StackDataset()

    class Short(Bulk):
        def __getitems__(self, indices):
            return []

    with pytest.raises(ValueError, match="__getitems__ of Short gave 0 samples for 1 indices"):
        StackDataset(Short(2)).__getitems__([0])


def test_weighted_draws():
    generator = tg.Generator().manual_seed(0)
    sampler = WeightedRandomSampler([0.0, 1.0, 3.0], 4000, generator=generator)
    drawn = list(sampler)
    assert len(sampler) == len(drawn) == 4000
    assert drawn.count(0) == 0
    assert drawn.count(2) / 4000 == pytest.approx(0.75, abs=0.03)
    without = WeightedRandomSampler(tg.ones(5), 5, replacement=False)
    assert sorted(without) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="num_samples"):
        WeightedRandomSampler([1.0], 0)
    with pytest.raises(ValueError, match="replacement should be a boolean"):
        WeightedRandomSampler([1.0], 1, replacement=1)
    with pytest.raises(ValueError, match=r"1d sequence but given weights have shape \(1, 2\)"):
        WeightedRandomSampler([[1.0, 2.0]], 1)


def contents(data):
    """Nested containers with every leaf as its type's name and values."""
    if isinstance(data, dict):
        return type(data).__name__, {k: contents(v) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data).__name__, [contents(v) for v in data]
    if hasattr(data, "tolist"):
        return str(data.dtype).split(".")[-1], tuple(data.shape), data.tolist()
    return type(data).__name__, data


def test_batches_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.utils.data
    Point = namedtuple("Point", ["x", "y"])
    ordered = OrderedDict(b=1, a=[1.5, True])
    samples = [
        [1, 2, 3],
        [1.5, 2.5],
        [True, False],
        ["a", "b"],
        [b"a", b"b"],
        [(1, "a"), (2, "b")],
        [[1, 2.0], [3, 4.0]],
        [Point(1, 2.0), Point(3, 4.0)],
        [ordered, ordered],
        [np.float32(1), np.float32(2)],
        [np.arange(3), np.arange(3)],
        [{"a": {"b": [np.ones((2, 2), np.int8)]}}] * 2,
    ]
    for batch in samples:
        assert contents(default_collate(batch)) == contents(theirs.default_collate(batch))
        assert contents(default_convert(batch)) == contents(theirs.default_convert(batch))
    for sizes in ([7, 3], [0.5, 0.5], [0.33, 0.33, 0.34], [1 / 3] * 3):
        ours = random_split(range(10), sizes)
        assert [len(p) for p in ours] == [len(p) for p in theirs.random_split(range(10), sizes)]
    for options in (
        {"batch_size": 4},
        {"batch_size": 4, "drop_last": True},
        {"batch_size": None},
        {"batch_size": 3, "num_workers": 2},
        {"batch_sampler": [[3, 1], [2]]},
        {"sampler": [5, 5, 0], "batch_size": 2},
    ):
        ours, other = DataLoader(range(10), **options), theirs.DataLoader(range(10), **options)
        assert len(ours) == len(other)
        assert [contents(b) for b in ours] == [contents(b) for b in other]
    for replacement, number in ((False, None), (False, 25), (True, 4)):
        ours = RandomSampler(range(10), replacement, number)
        assert len(ours) == len(theirs.RandomSampler(range(10), replacement, number))
        assert len(list(ours)) == len(ours)


@pytest.mark.parametrize(
    "make",
    [
        lambda d: d.DataLoader([1], num_workers=-1),
        lambda d: d.DataLoader([1], timeout=-1),
        lambda d: d.DataLoader([1], prefetch_factor=2),
        lambda d: d.DataLoader([1], persistent_workers=True),
        lambda d: d.DataLoader([1], batch_size=None, drop_last=True),
        lambda d: d.DataLoader([1], shuffle=True, sampler=[0]),
        lambda d: d.DataLoader([1], batch_sampler=[[0]], shuffle=True),
        lambda d: d.DataLoader([1], multiprocessing_context="fork"),
        lambda d: d.DataLoader([1], num_workers=1, multiprocessing_context="x"),
        lambda d: d.DataLoader([1], num_workers=1, multiprocessing_context=3),
        lambda d: d.StackDataset(),
        lambda d: d.StackDataset([1], [1, 2]),
        lambda d: d.RandomSampler([1], replacement=1),
        lambda d: d.RandomSampler([1], num_samples=0),
        lambda d: d.WeightedRandomSampler([1.0], -1),
        lambda d: d.BatchSampler([1], 0, False),
        lambda d: d.BatchSampler([1], 1, 1),
        lambda d: d.random_split([1, 2], [3]),
        lambda d: d.default_collate([object()]),
        lambda d: d.default_collate([[1], [1, 2]]),
    ],
)
def test_errors_are_of_the_classes_of_pytorch(make):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - compared below
        make(torch.utils.data)
    with pytest.raises(theirs.type):
        make(tg.utils.data)
