"""Reading and assigning by index: every NumPy form, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tapegrad as tg
from support import assert_close, map_nested, tensor

A = np.arange(24.0).reshape(2, 3, 4)

INDICES: dict[str, Any] = {
    "int": 1,
    "negative": -1,
    "two-ints": (1, 2),
    "three-ints": (1, -1, 0),
    "slice": slice(1, 2),
    "open": slice(None),
    "step": (slice(None), slice(None, None, 2)),
    "step-offset": (0, slice(1, 3), slice(1, None, 2)),
    "negative-bounds": (slice(None), slice(-2, -1)),
    "beyond": (slice(None), slice(1, 100)),
    "nothing": slice(2, 1),
    "empty-tuple": (),
    "ellipsis": Ellipsis,
    "ellipsis-int": (Ellipsis, 1),
    "int-ellipsis-int": (1, Ellipsis, -2),
    "none": None,
    "none-middle": (slice(None), None, 1),
    "none-many": (None, Ellipsis, None),
    "array": np.array([1, 0, 1]),
    "array-2d": np.array([[1, 0], [0, 0]]),
    "array-negative": np.array([-1, 0]),
    "array-empty": np.zeros(0, dtype=np.int64),
    "array-second": (slice(None), np.array([2, 0])),
    "array-last": (Ellipsis, np.array([3, 0, 3])),
    "arrays-together": (np.array([0, 1]), np.array([2, 0])),
    "arrays-broadcast": (np.array([[0], [1]]), np.array([2, 0, 1])),
    "arrays-apart": (np.array([0, 1]), slice(None), np.array([3, 0])),
    "arrays-tail": (slice(None), np.array([2, 0]), np.array([1, 3])),
    "array-and-int": (slice(None), np.array([2, 0]), 1),
    "array-none": (np.array([0, 1]), None),
    "array-0d": np.array(1),
    "all-arrays": (np.array([0, 1]), np.array([0, 2]), np.array([3, 3])),
    "mask-full": A % 5 < 2,
    "mask-first": np.array([True, False]),
    "mask-two": np.array([[True, False, True], [False, False, True]]),
    "mask-second": (slice(None), np.array([True, False, True])),
    "mask-last": (Ellipsis, np.array([False, True, True, False])),
    "mask-none-true": np.zeros((2, 3, 4), dtype=bool),
    "mask-and-array": (np.array([True, True]), np.array([0, 2])),
    "mask-and-int": (np.array([False, True]), 1),
    "true": True,
    "false": False,
    "mixed": (None, np.array([1, 0]), slice(0, 2), None),
}


def to_index(index: Any) -> Any:
    return map_nested(lambda i: tg.tensor(i) if isinstance(i, np.ndarray) else i, index)


@pytest.mark.parametrize("name", INDICES)
def test_read(name: str) -> None:
    index = INDICES[name]
    assert_close(tensor(A)[to_index(index)], A[index])


@pytest.mark.parametrize("name", INDICES)
def test_read_with_numpy_arrays_as_indices(name: str) -> None:
    index = INDICES[name]
    assert_close(tensor(A)[index], A[index])


@pytest.mark.parametrize("name", INDICES)
def test_read_from_transposed_storage(name: str) -> None:
    index = INDICES[name]
    x = tensor(np.ascontiguousarray(A.transpose(2, 0, 1))).permute(1, 2, 0)
    assert_close(x[to_index(index)], A[index])


@pytest.mark.parametrize("name", INDICES)
def test_gradient_of_read(name: str) -> None:
    index = INDICES[name]
    x = tensor(A, grad=True)
    y = x[to_index(index)]
    w = np.arange(1.0, y.numel() + 1).reshape(tuple(y.shape))
    (y * tensor(w)).sum().backward()
    expected = np.zeros_like(A)
    np.add.at(expected, index, w)
    assert_close(x.grad, expected)


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("kind", ["number", "0d", "full", "broadcast", "numpy"])
def test_assign(name: str, kind: str) -> None:
    index = INDICES[name]
    shape = A[index].shape
    values: Any = {
        "number": -7.5,
        "0d": np.array(-7.5),
        "full": -1.0 - np.arange(float(np.prod(shape))).reshape(shape),
        "broadcast": -1.0 - np.arange(float(shape[-1] if shape else 1)).reshape(shape[-1:]),
        "numpy": -1.0 - np.arange(float(np.prod(shape))).reshape(shape),
    }[kind]
    expected = A.copy()
    expected[index] = values
    x = tensor(A)
    if kind in ("number", "numpy"):
        x[to_index(index)] = values if kind == "number" else tensor(values)
    else:
        x[to_index(index)] = tensor(values)
    duplicates = name in ("array", "array-2d", "array-last")
    if duplicates and kind in ("full", "numpy"):
        # Which of two values for one place wins is not promised; it is one of them.
        changed = x.numpy() != A
        np.testing.assert_array_equal(changed, expected != A)
        assert np.isin(x.numpy()[changed], values).all()
    else:
        assert_close(x, expected)


@pytest.mark.parametrize(
    "name", [n for n in INDICES if n not in ("array", "array-2d", "array-last")]
)
def test_gradient_of_assignment(name: str) -> None:
    index = INDICES[name]
    shape = A[index].shape
    x, v = tensor(A, grad=True), tensor(np.ones(shape), grad=True)
    y = x * 2
    y[to_index(index)] = v * 3
    w = np.arange(1.0, 25.0).reshape(A.shape)
    (y * tensor(w)).sum().backward()
    kept = 2 * w
    kept[index] = 0
    if x.grad is not None or kept.any():  # nothing of x is left where all was assigned
        assert_close(x.grad, kept)
    if v.numel():
        assert_close(v.grad, 3 * w[index])


def test_lists_and_tuples_as_indices() -> None:
    x = tensor(A)
    assert_close(x[[1, 0]], A[[1, 0]])
    assert_close(x[:, [True, False, True]], A[:, [True, False, True]])
    assert_close(x[[0, 1], [1, 2]], A[[0, 1], [1, 2]])
    assert_close(x[tg.tensor(1)], A[1])
    assert_close(x[np.int64(1), 1:], A[1, 1:])
    assert_close(x[tg.tensor([0, 1], dtype=tg.int32)], A[[0, 1]])


def test_an_int_beside_an_array_selects_first() -> None:
    """PyTorch's rule, where NumPy's would move the array's dimension to the front."""
    x = tensor(A)
    assert_close(x[0, :, tg.tensor([3, 0])], A[0][:, [3, 0]])
    assert_close(x[:, tg.tensor([2, 0]), 1], A[:, :, 1][:, [2, 0]])


def test_basic_indexing_gives_views_and_advanced_gives_copies() -> None:
    x = tensor(A)
    assert np.shares_memory(x[1, ::2].numpy(), x.numpy())
    assert not np.shares_memory(x[tg.tensor([1])].numpy(), x.numpy())


def test_in_place_arithmetic_on_an_indexed_part() -> None:
    x = tensor(A)
    x[0, 1] += 100
    x[:, tg.tensor([0, 2])] *= 2
    x[x > 100] = 0
    expected = A.copy()
    expected[0, 1] += 100
    expected[:, [0, 2]] *= 2
    expected[expected > 100] = 0
    assert_close(x, expected)


def test_assignment_casts_to_the_target_dtype() -> None:
    x = tg.zeros(3, dtype=tg.int64)
    x[0] = 2.9
    x[1:] = tg.tensor([1.5, -1.5])
    assert x.tolist() == [2, 1, -1]


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (2, IndexError),
        (-3, IndexError),
        ((0, 3), IndexError),
        ((0, 0, 0, 0), IndexError),
        (np.array([0, 2]), IndexError),
        (np.array([-3]), IndexError),
        (np.array([True, False, True]), IndexError),
        (np.array([0.5]), IndexError),
        ("text", (TypeError, IndexError)),
        (1.5, (TypeError, IndexError)),
        (slice(None, None, -1), ValueError),
        (slice(None, None, 0), ValueError),
        ((np.array([0, 1]), np.array([0, 1, 2])), IndexError),
    ],
)
def test_bad_index_is_an_error_and_changes_nothing(index: Any, error: Any) -> None:
    x = tensor(A)
    with pytest.raises(error):
        x[to_index(index)]
    with pytest.raises(error):
        x[to_index(index)] = 0.0
    assert_close(x, A)


def test_assigned_shape_must_broadcast() -> None:
    x = tensor(A)
    with pytest.raises(RuntimeError):
        x[0] = tensor([1.0, 2.0])
    with pytest.raises((RuntimeError, IndexError)):
        x[tg.tensor([0, 1])] = tensor([1.0, 2.0])
    assert_close(x, A)


def test_indexing_a_0d_tensor() -> None:
    x = tensor(3.0)
    assert x[...].item() == 3.0
    assert tuple(x[None].shape) == (1,)
    with pytest.raises(IndexError):
        x[0]
    x[...] = 4.0
    assert x.item() == 4.0


@st.composite
def array_and_index(draw: Any) -> tuple[np.ndarray, Any]:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    index = draw(hnp.basic_indices(shape, allow_newaxis=True))
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(
        slice(p.start, p.stop, abs(p.step)) if isinstance(p, slice) and p.step else p for p in parts
    )
    return np.arange(float(np.prod(shape))).reshape(shape), parts


@settings(max_examples=150, deadline=None, derandomize=True)
@given(array_and_index())
def test_basic_indices_like_numpy(case: tuple[np.ndarray, Any]) -> None:
    a, index = case
    assert_close(tensor(a)[index], a[index])
    x, expected = tensor(a), a.copy()
    x[index] = -1.0
    expected[index] = -1.0
    assert_close(x, expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_integer_array_indices_like_numpy(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    index = data.draw(hnp.integer_array_indices(shape, dtype=np.dtype(np.int64)))
    a = np.arange(float(np.prod(shape))).reshape(shape)
    assert_close(tensor(a)[to_index(index)], a[index])


def test_scatter_with_a_reduction_adds_or_multiplies() -> None:
    index = tg.tensor([0, 0, 1])
    src = tg.tensor([2.0, 3.0, 4.0])
    assert tg.scatter(tg.ones(2), 0, index, src, reduce="add").tolist() == [6.0, 5.0]
    assert tg.scatter(tg.ones(2), 0, index, src, reduce="multiply").tolist() == [6.0, 4.0]
    assert tg.ones(2).scatter_(0, index, 2.0, reduce="multiply").tolist() == [4.0, 2.0]
    with pytest.raises(ValueError, match="reduce"):
        tg.scatter(tg.ones(2), 0, index, src, reduce="mean")


def test_nonzero_as_a_tuple_indexes() -> None:
    x = tg.tensor([[0.0, 1.0], [2.0, 0.0]])
    found = tg.nonzero(x, as_tuple=True)
    assert [i.tolist() for i in found] == [[0, 1], [1, 0]]
    assert x[found].tolist() == [1.0, 2.0]
    assert len(tg.nonzero(tg.tensor([0, 3]), as_tuple=True)) == 1
