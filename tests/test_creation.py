"""Making tensors: values, dtypes, defaults, sharing with NumPy, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import DTYPES, assert_close, dtype_name, dtype_of


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (True, "bool", ()),
        (3, "int64", ()),
        (2.5, "float32", ()),
        ([1, 2, 3], "int64", (3,)),
        ([1, 2.5], "float32", (2,)),
        ([True, False], "bool", (2,)),
        ([[1.0, 2.0], [3.0, 4.0]], "float32", (2, 2)),
        ([], "float32", (0,)),
        ([[], []], "float32", (2, 0)),
        (np.float64(2.0), "float64", ()),
        (np.arange(3, dtype=np.int16), "int16", (3,)),
        (np.zeros((2, 0)), "float64", (2, 0)),
        ((1, (2)), "int64", (2,)),
    ],
)
def test_tensor_infers_dtype_and_shape(value: Any, dtype: str, shape: tuple[int, ...]) -> None:
    t = tg.tensor(value)
    assert (dtype_name(t.dtype), tuple(t.shape)) == (dtype, shape)
    np.testing.assert_array_equal(t.numpy(), np.asarray(value, dtype=t.numpy().dtype))


def test_tensor_copies_as_tensor_and_from_numpy_share() -> None:
    a = np.array([1.0, 2.0])
    copied, shared, aliased = tg.tensor(a), tg.as_tensor(a), tg.from_numpy(a)
    a[0] = 9.0
    assert copied.tolist() == [1.0, 2.0]
    assert shared.tolist() == [9.0, 2.0]
    assert aliased.tolist() == [9.0, 2.0]
    aliased[1] = 7.0
    assert a.tolist() == [9.0, 7.0]
    t = tg.ones(2)
    assert tg.as_tensor(t) is t
    assert tg.as_tensor(a, dtype=tg.float32).tolist() == [9.0, 7.0]


def test_from_numpy_keeps_strides_and_the_array_alive() -> None:
    a = np.arange(12.0).reshape(3, 4)[:, ::2].T
    t = tg.from_numpy(a)
    assert tuple(t.shape) == (2, 3)
    assert tuple(t.stride()) == tuple(s // 8 for s in a.strides)
    expected = a.tolist()
    del a
    assert t.tolist() == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_fill_functions(dtype: str, shape: tuple[int, ...]) -> None:
    d = dtype_of(dtype)
    for made, value in (
        (tg.zeros(shape, dtype=d), 0),
        (tg.ones(shape, dtype=d), 1),
        (tg.full(shape, 1, dtype=d), 1),
    ):
        assert made.dtype == d
        assert tuple(made.shape) == shape
        assert (
            made.tolist()
            == np.full(shape, value).astype(bool if dtype == "bool" else float).tolist()
        )
        like = (tg.zeros_like if value == 0 else tg.ones_like)(made)
        assert like.dtype == d
        assert like.tolist() == made.tolist()
        assert like.data_ptr() != made.data_ptr() or made.numel() == 0
    assert tg.full_like(tg.zeros(shape, dtype=d), 1).tolist() == tg.ones(shape, dtype=d).tolist()
    assert tuple(tg.empty(shape, dtype=d).shape) == shape
    assert tg.empty_like(tg.zeros(shape, dtype=d)).dtype == d


def test_sizes_may_be_given_one_by_one() -> None:
    assert tuple(tg.zeros(2, 3).shape) == (2, 3)
    assert tuple(tg.ones([2, 3]).shape) == (2, 3)
    assert tuple(tg.empty(4).shape) == (4,)
    assert tuple(tg.rand(tg.Size([2, 1])).shape) == (2, 1)


def test_full_takes_the_dtype_of_its_value() -> None:
    assert tg.full((2,), 1).dtype == tg.int64
    assert tg.full((2,), True).dtype == tg.bool
    assert tg.full((2,), 0.5).dtype == tg.float32


@pytest.mark.parametrize(
    ("args", "dtype"),
    [
        ((5,), "int64"),
        ((2, 7), "int64"),
        ((2, 9, 3), "int64"),
        ((5, 0, -2), "int64"),
        ((0.5, 3.0), "float32"),
        ((0, 1, 0.25), "float32"),
        ((3, 3), "int64"),
        ((1.0, 0.0, -0.3), "float32"),
    ],
)
def test_arange(args: tuple[Any, ...], dtype: str) -> None:
    t = tg.arange(*args)
    assert dtype_name(t.dtype) == dtype
    assert_close(t, np.arange(*args, dtype=np.float64).astype(dtype), rtol=1e-6, atol=1e-6)
    assert tg.arange(3, dtype=tg.float64).tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "args", [(0, 1, 5), (-1, 1, 2), (3, 3, 4), (2, -2, 9), (0, 1, 1), (0, 1, 0)]
)
def test_linspace(args: tuple[Any, ...]) -> None:
    t = tg.linspace(*args, dtype=tg.float64)
    assert_close(t, np.linspace(*args), rtol=1e-15, atol=1e-15)
    if args[2] > 1:
        assert t[-1].item() == args[1]
    assert tg.linspace(*args).dtype == tg.float32


@pytest.mark.parametrize("shape", [(3,), (2, 3), (3, 2), (0,)])
def test_eye(shape: tuple[int, ...]) -> None:
    assert tg.eye(*shape).tolist() == np.eye(*shape).tolist()
    assert tg.eye(*shape, dtype=tg.int32).dtype == tg.int32


def test_requires_grad_and_device_arguments() -> None:
    t = tg.zeros(2, requires_grad=True, device="cpu")
    assert t.requires_grad
    assert t.is_leaf
    assert t.device == tg.device("cpu")
    assert tg.tensor(1.0, requires_grad=True).requires_grad
    assert not tg.ones_like(t).requires_grad


def test_scalar_tensor_and_empty_strided() -> None:
    assert tg.scalar_tensor(2).dtype == tg.float32
    assert tg.scalar_tensor(2.5, dtype=tg.float64).item() == 2.5
    x = tg.empty_strided((2, 3), (1, 2), dtype=tg.float64)
    assert tuple(x.stride()) == (1, 2)
    x.copy_(tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    assert x.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    with pytest.raises(RuntimeError):
        tg.empty_strided((2, 3), (1, 2, 3))


def test_default_dtype_rules_creation() -> None:
    tg.set_default_dtype(tg.float64)
    assert tg.get_default_dtype() == tg.float64
    assert tg.zeros(2).dtype == tg.float64
    assert tg.tensor([1.5]).dtype == tg.float64
    assert tg.tensor([1]).dtype == tg.int64
    assert (tg.tensor([1]) / 2).dtype == tg.float64


@pytest.mark.parametrize(
    "call",
    [
        lambda: tg.zeros(2, dtype=tg.int64, requires_grad=True),
        lambda: tg.zeros(-1),
        lambda: tg.zeros(2, -3),
        lambda: tg.arange(0, 5, -1),
        lambda: tg.arange(0, 1, 0),
        lambda: tg.arange(0, math.inf),
        lambda: tg.linspace(0, 1, -2),
        lambda: tg.eye(-1),
        lambda: tg.tensor([[1, 2], [3]]),
        lambda: tg.tensor("text"),
        lambda: tg.tensor(np.array(["a"])),
        lambda: tg.from_numpy(np.array([1 + 2j])[::-1]),
        lambda: tg.from_numpy([1.0]),
        lambda: tg.zeros(2, device="cuda:0"),
    ],
)
def test_bad_arguments_raise(call: Any) -> None:
    with pytest.raises((RuntimeError, ValueError, TypeError, AssertionError)) as info:
        call()
    assert str(info.value)


def test_negative_strides_are_refused_with_the_fix() -> None:
    with pytest.raises(ValueError, match="copy"):
        tg.from_numpy(np.arange(3.0)[::-1])
