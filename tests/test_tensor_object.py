"""Tensor as a Python object: identity, weak references, copies, pickling, repr, sharing."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import DTYPES, assert_close, dtype_of, run_in_threads, tensor

# --- identity and lifetime ------------------------------------------------------------------------


def test_grad_has_one_identity_and_keeps_attributes() -> None:
    x = tensor([1.0, 2.0], grad=True)
    (x * x).sum().backward()
    assert x.grad is x.grad
    x.grad.note = "kept"
    first = id(x.grad)
    gc.collect()
    assert x.grad.note == "kept"
    assert id(x.grad) == first


def test_attributes_survive_while_only_the_library_holds_the_tensor() -> None:
    x = tensor([1.0], grad=True)
    g = tensor([5.0])
    g.note = ["alive"]
    x.grad = g
    del g
    gc.collect()
    assert x.grad.note == ["alive"]
    ref = weakref.ref(x.grad)
    assert ref() is x.grad
    x.grad = None
    gc.collect()
    assert ref() is None


def test_weak_references_and_hash() -> None:
    x = tensor([1.0])
    ref = weakref.ref(x)
    assert ref() is x
    table = {x: "found"}
    assert table[x] == "found"
    assert hash(x) == hash(x)
    assert len({tensor([1.0]), tensor([1.0])}) == 2
    del table, x
    gc.collect()
    assert ref() is None


def test_reference_counts_do_not_drift() -> None:
    x = tensor([1.0, 2.0], grad=True)
    (x * 2).sum().backward()
    base = sys.getrefcount(x)
    for _ in range(200):
        y = x * 2 + x
        y.sum().backward()
        _ = x.grad, x.data, x.shape, x[0], x.detach()
    del y, _
    assert sys.getrefcount(x) == base


def test_self_cycle_through_an_attribute_is_collected() -> None:
    x = tensor([1.0])
    x.myself = x
    ref = weakref.ref(x)
    del x
    gc.collect()
    assert ref() is None


def test_subclass_keeps_its_type_and_attributes() -> None:
    class Named(tg.Tensor):
        pass

    x = tg.ones(2).as_subclass(Named)
    x.name_ = "w"
    assert isinstance(x, Named)
    assert isinstance(x, tg.Tensor)
    assert x.name_ == "w"
    assert x.sum().item() == 2.0


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        tensor([1.0]).nonsense
    with pytest.raises(AttributeError):
        tensor([1.0]).shape = (2,)


# --- Python protocols -----------------------------------------------------------------------------


def test_len_iter_bool_contains() -> None:
    x = tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    _a, b = x
    assert b.tolist() == [3.0, 4.0]
    assert 3.0 in x
    assert 9.0 not in x
    assert bool(tensor(1.0))
    assert not tensor([0.0])
    with pytest.raises(TypeError):
        len(tensor(1.0))
    with pytest.raises(TypeError):
        iter(tensor(1.0))
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(x)


def test_iteration_is_differentiable() -> None:
    x = tensor([1.0, 2.0, 3.0], grad=True)
    total = sum((k + 1) * v for k, v in enumerate(x))
    total.backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_item_and_tolist(dtype: str) -> None:
    x = tg.tensor([[0, 1], [1, 0]]).to(dtype_of(dtype))
    kind = bool if dtype == "bool" else float if "float" in dtype else int
    assert x.tolist() == [[0, 1], [1, 0]]
    assert all(type(v) is kind for row in x.tolist() for v in row)
    assert type(x[0, 1].item()) is kind
    assert tg.tensor(1).to(dtype_of(dtype)).tolist() == 1
    assert tg.zeros(0, 3).tolist() == []


def test_number_conversions() -> None:
    assert int(tensor(2.9)) == 2
    assert float(tg.tensor(3)) == 3.0
    assert list(range(5))[tg.tensor(3)] == 3
    assert f"{tensor(1.23456):.2f}" == "1.23"
    assert complex(tensor(2.0)) == 2 + 0j
    with pytest.raises(TypeError):
        list(range(5))[tensor(1.0)]


def test_python_operators() -> None:
    a, b = tensor([5.0, -3.0]), tensor([2.0, 2.0])
    assert (a + b).tolist() == [7.0, -1.0]
    assert (1 - a).tolist() == [-4.0, 4.0]
    assert (10 / b).tolist() == [5.0, 5.0]
    assert (a // b).tolist() == [2.0, -2.0]
    assert (a % b).tolist() == [1.0, 1.0]
    assert (7 % b).tolist() == [1.0, 1.0]
    assert (7 // b).tolist() == [3.0, 3.0]
    assert (2**b).tolist() == [4.0, 4.0]
    assert (b**-1).tolist() == [0.5, 0.5]
    assert (-a).tolist() == [-5.0, 3.0]
    assert (+a).tolist() == a.tolist()
    assert abs(a).tolist() == [5.0, 3.0]
    i, j = tg.tensor([6, 5]), tg.tensor([3, 1])
    assert (i & j).tolist() == [2, 1]
    assert (i | j).tolist() == [7, 5]
    assert (i ^ j).tolist() == [5, 4]
    assert (~i).tolist() == [-7, -6]
    assert (~tg.tensor([True, False])).tolist() == [False, True]
    assert (a > b).tolist() == [True, False]
    assert (a > 2).tolist() == [True, False]
    assert (a == 5).tolist() == [True, False]
    assert (a != b).tolist() == [True, True]
    assert (a @ b).item() == 4.0


def test_numpy_array_on_the_left() -> None:
    """NumPy must not take a tensor apart into an object array."""
    a, x = np.array([1.0, 2.0]), tensor([3.0, 4.0])
    for result in (x + a, x * a):
        assert isinstance(result, tg.Tensor)
    assert (np.float64(2.0) * x).tolist() == [6.0, 8.0]
    assert_close(np.asarray(a * x), a * np.array([3.0, 4.0]))


def test_size_object() -> None:
    x = tg.zeros(2, 3, 4)
    assert isinstance(x.shape, tg.Size)
    assert isinstance(x.shape, tuple)
    assert x.size() == x.shape == (2, 3, 4)
    assert x.size(-1) == x.shape[-1] == 4
    assert x.shape.numel() == x.numel() == x.nelement() == 24
    assert isinstance(x.shape[1:], tg.Size)
    assert repr(x.shape).endswith("Size([2, 3, 4])")
    assert x.dim() == x.ndim == x.ndimension() == 3
    assert tuple(x.stride()) == (12, 4, 1)
    assert x.stride(1) == 4
    assert x.element_size() == x.itemsize == 4
    assert x.nbytes == 96
    assert x[:, 1].storage_offset() == 4
    assert x.is_contiguous()
    assert not x.transpose(0, 1).is_contiguous()


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_copies_of_transposed_memory(dtype: Any) -> None:
    """In tiles, with edges of every width, and gaps between the rows."""
    for rows, columns in [(8, 8), (16, 64), (17, 9), (40, 31), (100, 23), (33, 128)]:
        x = np.random.default_rng(rows).integers(0, 250, (3, rows + 2, columns + 5)).astype(dtype)
        part = tg.tensor(x)[:, 1:-1, 2:-3].transpose(1, 2)
        expected = x[:, 1:-1, 2:-3].transpose(0, 2, 1)
        np.testing.assert_array_equal(part.contiguous().numpy(), expected)
        room = tg.zeros(3, columns + 1, rows + 3, dtype=part.dtype)
        room[:, 1:, 2:-1] = part
        np.testing.assert_array_equal(room[:, 1:, 2:-1].numpy(), expected)
        assert (room[:, 0] == 0).all()
        assert (room[:, :, :2] == 0).all()
        assert (room[:, :, -1] == 0).all()


# --- repr -----------------------------------------------------------------------------------------


REPRS: dict[str, tuple[Any, str]] = {
    "ints": (lambda: tg.tensor([1, 2, 30]), "tensor([ 1,  2, 30])"),
    "floats": (lambda: tg.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
    "whole": (lambda: tg.tensor([1.0, 2.0]), "tensor([1., 2.])"),
    "0d": (lambda: tg.tensor(3.5), "tensor(3.5000)"),
    "0d-int": (lambda: tg.tensor(3), "tensor(3)"),
    "bool": (lambda: tg.tensor([True, False]), "tensor([ True, False])"),
    "2d": (
        lambda: tg.tensor([[1.0, -2.0], [3.0, 4.0]]),
        "tensor([[ 1., -2.],\n        [ 3.,  4.]])",
    ),
    "double": (lambda: tensor([1.0]), "tensor([1.], dtype={lib}.float64)"),
    "empty": (lambda: tg.tensor([]), "tensor([])"),
    "empty-2d": (lambda: tg.zeros(0, 3), "tensor([], size=(0, 3))"),
    "grad": (lambda: tg.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
    "scientific": (lambda: tg.tensor([1e-8, 1.0]), "tensor([1.0000e-08, 1.0000e+00])"),
    "large": (lambda: tg.tensor([1e10]), "tensor([1.0000e+10])"),
    "nan": (lambda: tg.tensor([float("nan"), float("inf")]), "tensor([nan, inf])"),
    "summary": (
        lambda: tg.arange(2000),
        "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])",
    ),
    "half": (lambda: tg.tensor([0.5]).half(), "tensor([0.5000], dtype={lib}.float16)"),
}


@pytest.mark.parametrize("name", REPRS)
def test_repr(name: str) -> None:
    make, expected = REPRS[name]
    lib = repr(tg.float64).split(".", maxsplit=1)[0]
    assert repr(make()) == expected.format(lib=lib)
    assert str(make()) == repr(make())


def test_repr_names_the_node() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    assert "grad_fn=<" in repr(x * 2)
    assert "Mul" in repr(x * 2)


def test_repr_of_a_large_tensor_is_short() -> None:
    assert len(repr(tg.zeros(1000, 1000))) < 1000


# --- copies and pickles ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_pickle_round_trip(dtype: str) -> None:
    x = tg.tensor([[0, 1, 2], [3, 4, 5]]).to(dtype_of(dtype)).t()
    y = pickle.loads(pickle.dumps(x))
    assert y.dtype == x.dtype
    assert tuple(y.shape) == (3, 2)
    assert y.tolist() == x.tolist()


def test_pickle_keeps_requires_grad_and_refuses_nothing_silently() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = pickle.loads(pickle.dumps(x))
    assert y.requires_grad
    assert y.is_leaf


def test_deepcopy_and_copy() -> None:
    x = tensor([[1.0, 2.0], [3.0, 4.0]], grad=True)
    (x * x).sum().backward()
    deep = copy.deepcopy(x)
    assert deep.data_ptr() != x.data_ptr()
    assert deep.requires_grad
    assert deep.grad.tolist() == x.grad.tolist()
    assert deep.grad.data_ptr() != x.grad.data_ptr()
    memo = copy.deepcopy([x, x])
    assert memo[0] is memo[1]
    assert copy.copy(x).data_ptr() == x.data_ptr()
    with pytest.raises(RuntimeError, match=r"leaf|graph leaves|created explicitly"):
        copy.deepcopy(x * 2)


def test_deepcopy_keeps_shared_storage_shared() -> None:
    base = tensor([1.0, 2.0, 3.0])
    a, b = copy.deepcopy([base, base[1:]])
    a[1] = 9.0
    assert b.tolist() == [9.0, 3.0]


# --- NumPy, buffers, DLPack -----------------------------------------------------------------------

SHARED = [d for d in DTYPES if d != "bfloat16"]


@pytest.mark.parametrize("dtype", SHARED)
def test_numpy_shares_memory_both_ways(dtype: str) -> None:
    x = tg.zeros(2, 3, dtype=dtype_of(dtype))
    a = x.numpy()
    assert a.dtype == np.dtype(dtype)
    a[0, 1] = 1
    assert x[0, 1].item() == 1
    x[1, 2] = 1
    assert a[1, 2] == 1
    back = tg.from_numpy(a)
    assert back.data_ptr() == x.data_ptr()
    assert np.shares_memory(x.t().numpy(), a)
    assert x.t().numpy().strides == a.T.strides


def test_numpy_keeps_the_memory_alive() -> None:
    a = tg.arange(1000).numpy()
    gc.collect()
    noise = [tg.zeros(1000, dtype=tg.int64) for _ in range(20)]
    assert a.tolist() == list(range(1000))
    assert len(noise) == 20


def test_numpy_refuses_what_would_lose_something() -> None:
    x = tensor([1.0], grad=True)
    with pytest.raises(RuntimeError, match="detach"):
        x.numpy()
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(x)
    assert x.detach().numpy().tolist() == [1.0]
    assert x.numpy(force=True).tolist() == [1.0]
    with pytest.raises((TypeError, RuntimeError), match=r"[Bb][Ff]loat16"):
        tg.zeros(2, dtype=tg.bfloat16).numpy()


def test_array_protocol() -> None:
    x = tensor([[1.0, 2.0]])
    assert np.asarray(x).tolist() == [[1.0, 2.0]]
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert np.sum(x.numpy()) == 3.0
    assert np.array(x).base is None or not np.shares_memory(np.array(x), x.numpy())
    assert np.shares_memory(np.asarray(x), x.numpy())


def test_buffer_protocol() -> None:
    x = tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    view = memoryview(x.t())
    assert view.shape == (3, 2)
    assert view.strides == (8, 24)
    assert view.format == "d"
    assert view.tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]
    view[0, 1] = 40.0
    assert x[1, 0].item() == 40.0


@pytest.mark.parametrize("dtype", SHARED)
def test_dlpack_to_numpy(dtype: str) -> None:
    x = tg.tensor([[0, 1, 2], [3, 4, 5]]).to(dtype_of(dtype)).t()
    a = np.from_dlpack(x)
    assert a.dtype == np.dtype(dtype)
    assert a.tolist() == x.tolist()
    x[0, 0] = 1
    assert a[0, 0] == 1


@pytest.mark.parametrize("dtype", SHARED)
def test_dlpack_from_numpy(dtype: str) -> None:
    a = np.array([[0, 1], [1, 1]], dtype=dtype)
    x = tg.from_dlpack(a)
    assert x.dtype == dtype_of(dtype)
    assert x.tolist() == a.tolist()
    a[0, 0] = 1
    assert x[0, 0].item() == 1
    del a
    gc.collect()
    assert x[0, 0].item() == 1


def test_dlpack_round_trip_and_device() -> None:
    x = tensor([1.0, 2.0, 3.0])[1:]
    y = tg.from_dlpack(x)
    assert y.data_ptr() == x.data_ptr()
    assert tuple(x.__dlpack_device__()) == (1, 0)
    with pytest.raises((RuntimeError, BufferError)):
        tensor([1.0], grad=True).__dlpack__()


def test_dlpack_capsule_that_nobody_consumes_frees_its_tensor() -> None:
    x = tensor([1.0])
    ref = weakref.ref(x)
    capsule = x.__dlpack__()
    del x, capsule
    gc.collect()
    assert ref() is None


def test_dlpack_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x = tg.arange(6).reshape(2, 3).t()
    y = torch.from_dlpack(x)
    assert y.tolist() == x.tolist()
    z = tg.from_dlpack(torch.arange(4.0))
    assert z.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_scalars_and_lists_of_tensors_as_data() -> None:
    assert tg.tensor(np.float32(1.5)).dtype == tg.float32
    assert tg.tensor([tensor(1.0), tensor(2.0)]).tolist() == [1.0, 2.0]
    assert tg.as_tensor([1, 2]).tolist() == [1, 2]


def test_tensors_cross_threads() -> None:
    def make() -> Any:
        x = tensor([1.0, 2.0], grad=True)
        (x * x).sum().backward()
        x.note = "made elsewhere"
        return x

    made = run_in_threads(*[make] * 4)
    for x in made:
        assert x.grad.tolist() == [2.0, 4.0]
        assert x.note == "made elsewhere"
    del made
    gc.collect()
