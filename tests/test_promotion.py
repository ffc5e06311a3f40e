"""Result dtypes: categories, weak Python scalars and 0-d tensors, casts, default dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import DTYPES, FLOATS, INTS, dtype_name, dtype_of

ORDER = {"bool": 0, **dict.fromkeys(INTS, 1), **dict.fromkeys(FLOATS, 2)}


def promoted(a: str, b: str) -> str:
    """The table of PyTorch, written out."""
    if a == b:
        return a
    if ORDER[a] != ORDER[b]:
        return a if ORDER[a] > ORDER[b] else b
    if ORDER[a] == 2:
        if {a, b} == {"float16", "bfloat16"}:
            return "float32"
        return max(a, b, key=lambda d: {"float16": 1, "bfloat16": 1, "float32": 2, "float64": 3}[d])
    size = {"uint8": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8}
    if {a, b} == {"uint8", "int8"}:
        return "int16"
    return a if size[a] > size[b] else b


def ones(dtype: str, *shape: int) -> Any:
    return tg.ones(shape, dtype=dtype_of(dtype))


@pytest.mark.parametrize("a", DTYPES)
@pytest.mark.parametrize("b", DTYPES)
def test_pairs(a: str, b: str) -> None:
    x, y = ones(a, 2), ones(b, 2)
    name = promoted(a, b)
    assert dtype_name(tg.promote_types(x.dtype, y.dtype)) == name
    assert dtype_name(tg.result_type(x, y)) == name
    for result in (x + y, x * y, tg.maximum(x, y), tg.where(tg.tensor([True, False]), x, y)):
        assert dtype_name(result.dtype) == name
        assert result.tolist() in ([1, 1], [2, 2])
    assert (x == y).dtype == tg.bool
    quotient = x / y
    assert dtype_name(quotient.dtype) == (name if name in FLOATS else "float32")
    assert dtype_name(tg.cat([x, y]).dtype) == name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scalar", [True, 2, 2.5])
def test_python_scalars_are_weak(dtype: str, scalar: Any) -> None:
    kind = {bool: 0, int: 1, float: 2}[type(scalar)]
    expected = dtype if kind <= ORDER[dtype] else {1: "int64", 2: "float32"}[kind]
    x = ones(dtype, 3)
    assert dtype_name((x * scalar).dtype) == expected
    assert dtype_name((scalar * x).dtype) == expected
    assert dtype_name(tg.result_type(x, scalar)) == expected
    np.testing.assert_array_equal((x * scalar).float().numpy(), np.full(3, float(scalar)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("other", DTYPES)
def test_0d_tensors_count_only_by_category(dtype: str, other: str) -> None:
    dimensioned, zero_d = ones(dtype, 3), ones(other)
    expected = dtype if ORDER[other] <= ORDER[dtype] else other
    for result in (dimensioned + zero_d, zero_d + dimensioned):
        assert dtype_name(result.dtype) == expected
    assert dtype_name((ones(dtype) + zero_d).dtype) == promoted(dtype, other)


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_casts(source: str, target: str) -> None:
    values = [0.0, 1.0, 3.0, 5.0] if source != "bool" else [0.0, 1.0, 1.0, 0.0]
    x = tg.tensor(values, dtype=tg.float64).to(dtype_of(source))
    y = x.to(dtype_of(target))
    assert dtype_name(y.dtype) == target
    expected = [bool(v) for v in values] if target == "bool" else values
    assert y.tolist() == expected
    assert (y is x) == (source == target)
    assert x.to(dtype_of(target), copy=True) is not x


@pytest.mark.parametrize(
    ("method", "dtype"),
    [
        ("float", "float32"),
        ("double", "float64"),
        ("half", "float16"),
        ("bfloat16", "bfloat16"),
        ("int", "int32"),
        ("long", "int64"),
        ("short", "int16"),
        ("char", "int8"),
        ("byte", "uint8"),
        ("bool", "bool"),
    ],
)
def test_cast_methods(method: str, dtype: str) -> None:
    x = tg.tensor([0.0, 1.0, 2.0], dtype=tg.float64)
    y = getattr(x, method)()
    assert dtype_name(y.dtype) == dtype
    assert dtype_name(x.type(dtype_of(dtype)).dtype) == dtype
    assert getattr(y, method)() is y


def test_to_forms() -> None:
    x = tg.tensor([1.5])
    assert x.to("cpu") is x
    assert x.to(tg.device("cpu"), tg.float64).dtype == tg.float64
    assert x.to(tg.zeros(1, dtype=tg.int32)).dtype == tg.int32
    assert x.type_as(tg.zeros(1, dtype=tg.float16)).dtype == tg.float16
    assert x.cpu() is x


def test_float_to_integer_truncates_towards_zero() -> None:
    x = tg.tensor([-2.9, -0.5, 0.5, 2.9])
    assert x.to(tg.int64).tolist() == [-2, 0, 0, 2]
    assert x.to(tg.int8).tolist() == [-2, 0, 0, 2]
    assert x.bool().tolist() == [True, True, True, True]


@pytest.mark.parametrize("dtype", INTS)
def test_integers_wrap(dtype: str) -> None:
    info = np.iinfo(dtype)
    x = tg.tensor([info.max], dtype=dtype_of(dtype))
    assert (x + 1).tolist() == [info.min]
    assert (x * 2).tolist() == [
        np.array([info.max], dtype=dtype).__mul__(np.array(2, dtype)).item()
    ]


@pytest.mark.parametrize("source", [d for d in DTYPES if d not in ("bfloat16",)])
@pytest.mark.parametrize("target", INTS)
def test_integer_casts_like_numpy(source: str, target: str) -> None:
    values = np.array([0, 1, 100, 127, 3], dtype=source)
    assert tg.from_numpy(values).to(dtype_of(target)).tolist() == values.astype(target).tolist()


def test_half_types_round_to_nearest_even() -> None:
    x = tg.tensor([1 + 2.0**-11, 1 + 3 * 2.0**-11, 65519.0, 65520.0, 2.0**-25, 6e-8])
    with np.errstate(over="ignore"):
        expected = x.numpy().astype(np.float16)
    np.testing.assert_array_equal(x.half().numpy(), expected)
    y = tg.tensor([1 + 2.0**-8, 1 + 3 * 2.0**-8, 3.3895314e38, 3.4e38])
    assert y.bfloat16().float().tolist() == [1.0, 1 + 2.0**-6, 3.3895313892515355e38, float("inf")]


def test_every_half_converts_exactly() -> None:
    bits = np.arange(65536, dtype=np.uint16)
    halves = bits.view(np.float16)
    np.testing.assert_array_equal(tg.from_numpy(halves).double().numpy(), halves.astype(np.float64))
    back = tg.from_numpy(halves.astype(np.float32)).half().numpy()
    np.testing.assert_array_equal(back, halves)


def test_default_dtype_decides_integer_division_and_functions() -> None:
    i = tg.tensor([1, 2])
    assert (i / 2).dtype == tg.float32
    assert tg.exp(i).dtype == tg.float32
    tg.set_default_dtype(tg.float64)
    assert (i / 2).dtype == tg.float64
    assert tg.exp(i).dtype == tg.float64
    assert (i * 1.5).dtype == tg.float64
    tg.set_default_dtype(tg.float32)
    with pytest.raises((TypeError, RuntimeError)):
        tg.set_default_dtype(tg.int64)


@pytest.mark.parametrize("name", ["sum", "prod", "cumsum"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32"])
def test_integer_reductions_widen(name: str, dtype: str) -> None:
    x = ones(dtype, 300)
    result = getattr(x, name)(0)
    assert result.dtype == tg.int64
    assert result.reshape(-1)[-1].item() == (1 if name == "prod" else 300)


def test_reductions_take_a_dtype() -> None:
    x = ones("float32", 3)
    assert x.sum(dtype=tg.float64).dtype == tg.float64
    assert x.mean(dtype=tg.float64).dtype == tg.float64
    assert ones("int32", 4).sum(dtype=tg.float32).dtype == tg.float32
    assert ones("int32", 4).sum(0, dtype=tg.int32).dtype == tg.int32
    assert tg.softmax(ones("int64", 2), dim=0, dtype=tg.float32).tolist() == [0.5, 0.5]


def test_sums_of_halves_do_not_saturate() -> None:
    for dtype in ("float16", "bfloat16"):
        assert ones(dtype, 4096).sum().item() == 4096.0
        assert ones(dtype, 70000).mean().item() == 1.0


@pytest.mark.parametrize("name", ["finfo", "iinfo"])
def test_numeric_limits(name: str) -> None:
    dtypes = INTS if name == "iinfo" else ("float16", "float32", "float64")
    for d in dtypes:
        ours, theirs = getattr(tg, name)(dtype_of(d)), getattr(np, name)(d)
        assert ours.max == theirs.max
        assert ours.min == theirs.min
        assert ours.bits == theirs.bits
        if name == "finfo":
            assert ours.eps == theirs.eps
            assert ours.tiny == theirs.tiny
    if name == "finfo":
        assert tg.finfo(tg.bfloat16).eps == 2.0**-7
        assert tg.finfo().max == np.finfo("float32").max


def test_dtype_properties() -> None:
    for d in DTYPES:
        dtype = dtype_of(d)
        assert dtype.is_floating_point == (d in FLOATS)
        assert not dtype.is_complex
        assert repr(dtype).endswith("." + d)
        assert dtype.itemsize == (2 if d == "bfloat16" else np.dtype(d).itemsize)
    assert tg.float is tg.float32
    assert tg.double is tg.float64
    assert tg.long is tg.int64
    assert tg.half is tg.float16
