"""Paths that kernels take for sizes and numbers that the samples of the op table do not reach."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

torch = pytest.importorskip("torch")

INF, NAN = math.inf, math.nan


def numbers(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(dtype)


def assert_same(ours: Any, theirs: Any, rtol: float = 0, atol: float = 0) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize("place", [0, 31, 32, 511, 512, 700, 1999])
@pytest.mark.parametrize("name", ["amax", "amin"])
def test_extrema_carry_nan_from_any_place(name: str, place: int) -> None:
    x = numbers(3, 2000)
    x[1, place] = NAN
    x[2, place] = INF if name == "amax" else -INF
    assert_same(getattr(tg, name)(tg.tensor(x), 1), getattr(torch, name)(torch.tensor(x), 1))
    assert_same(getattr(tg, name)(tg.tensor(x), 0), getattr(torch, name)(torch.tensor(x), 0))
    assert math.isnan(getattr(tg, name)(tg.tensor(x)).item())


@pytest.mark.parametrize("n", [5, 64, 512, 600, 5000])
def test_nansum_of_long_lines(n: int) -> None:
    x = numbers(3, n)
    x[:, ::7] = NAN
    ours, theirs = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    assert_same(tg.nansum(ours, 1).detach(), torch.nansum(theirs, 1).detach(), rtol=1e-5)
    tg.nansum(ours).backward()
    torch.nansum(theirs).backward()
    assert_same(ours.grad, theirs.grad)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(700,), (1200,), (11, 130), (8, 64)])
def test_running_products_of_long_lines(shape: tuple[int, ...], dtype: Any) -> None:
    x = (numbers(*shape) * 0.2 + 0.9).astype(np.float64)
    x = np.round(x * 2 - 1).astype(dtype) if dtype == np.int64 else x.astype(dtype)
    assert_same(tg.cumprod(tg.tensor(x), -1), torch.cumprod(torch.tensor(x), -1), rtol=1e-5)


@pytest.mark.parametrize("factor", [0.0, 1e-30, 1e30])
def test_running_products_leave_the_range_where_the_plain_product_does(factor: float) -> None:
    x = np.ones(2048, np.float32)
    x[700:720] = factor
    x[1100:1120] = 1e30
    x[5] = 0.0
    assert_same(tg.cumprod(tg.tensor(x), 0), torch.cumprod(torch.tensor(x), 0))
    x[5] = 1.0
    ours = tg.cumprod(tg.tensor(x), 0).numpy()
    with np.errstate(over="ignore", under="ignore"):
        exact = np.cumprod(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(ours, exact, rtol=1e-6)


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("boundaries", [1, 7, 8, 100, 128, 129, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_search_among_few_and_many(boundaries: int, right: bool, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    line = np.sort(rng.integers(0, 50, boundaries)).astype(dtype)
    values = rng.integers(-2, 53, 333).astype(dtype)
    if dtype != np.int64:
        values[::50] = NAN
        values[1], values[2] = INF, -INF
    ours = tg.searchsorted(tg.tensor(line), tg.tensor(values), right=right)
    assert_same(ours, torch.searchsorted(torch.tensor(line), torch.tensor(values), right=right))
    order = np.argsort(-line, kind="stable")
    mixed = line[order]
    sorter = np.argsort(mixed, kind="stable")
    ours = tg.searchsorted(
        tg.tensor(mixed), tg.tensor(values), right=right, sorter=tg.tensor(sorter)
    )
    theirs = torch.searchsorted(
        torch.tensor(mixed), torch.tensor(values), right=right, sorter=torch.tensor(sorter)
    )
    assert_same(ours, theirs)


def test_search_puts_nan_boundaries_last() -> None:
    line = np.array([0.0, 1.0, NAN, NAN], np.float32)
    values = np.array([-1.0, 0.5, 3.0, NAN], np.float32)
    assert tg.searchsorted(tg.tensor(line), tg.tensor(values)).tolist() == [0, 1, 2, 2]
    assert tg.searchsorted(tg.tensor(line), tg.tensor(values), right=True).tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_])
def test_equal_finds_a_difference_anywhere(dtype: Any) -> None:
    x = (numbers(70000) * 2).astype(dtype)
    a = tg.tensor(x)
    assert tg.equal(a, tg.tensor(x.copy()))
    for place in (0, 1023, 1024, 69999):
        y = x.copy()
        y[place] = 1 - y[place] if dtype != np.bool_ else not y[place]
        assert not tg.equal(a, tg.tensor(y))
    assert not tg.equal(a, a[:5])
    assert tg.equal(a[::2], a[::2])


def test_equal_follows_the_numbers_not_the_bits() -> None:
    assert tg.equal(tg.tensor([0.0]), tg.tensor([-0.0]))
    assert not tg.equal(tg.tensor([NAN]), tg.tensor([NAN]))
    assert tg.equal(tg.tensor([1.0], dtype=tg.bfloat16), tg.tensor([1.0], dtype=tg.bfloat16))
    assert tg.equal(tg.zeros(0), tg.zeros(0))


def test_clamp_between_tensors() -> None:
    x = np.array([-1.0, 0.5, 2.0, 3.0, NAN, 0.0, 1.0, 5.0], np.float32)
    low = np.array([0.0, 0.0, 0.0, 4.0, 0.0, 0.0, NAN, 2.0], np.float32)
    high = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 2.0], np.float32)
    grads = []
    for module in (tg, torch):
        leaves = [module.tensor(v, requires_grad=True) for v in (x, low, high)]
        y = module.clamp(leaves[0], leaves[1], leaves[2])
        y.backward(module.tensor(np.arange(1.0, 9.0, dtype=np.float32)))
        grads.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*grads, strict=True):
        assert_same(ours, theirs)
    wide = tg.clamp(tg.arange(6).reshape(2, 3), tg.tensor([1, 1, 3]), tg.tensor([[2.5], [4.0]]))
    assert wide.tolist() == [[1.0, 1.0, 2.5], [3.0, 4.0, 4.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers_with_a_single_number_on_either_side(dtype: str) -> None:
    x = numbers(1000, dtype=dtype) * 6 - 3
    x[:9] = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 2.0, -2.0]
    rtol = 1e-6 if dtype == "float32" else 1e-14
    for number in (1.7, -2.0, 0.0, 1.0, -1.0, INF, -3.0):
        ours, theirs = tg.tensor(x), torch.tensor(x)
        assert_same(tg.pow(number, ours), torch.pow(number, theirs), rtol=rtol)
        base, other = tg.tensor(number, dtype=ours.dtype), torch.tensor(number, dtype=theirs.dtype)
        assert_same(tg.pow(ours, base), torch.pow(theirs, other), rtol=rtol)
        assert_same(tg.hypot(base, ours), torch.hypot(other, theirs), rtol=rtol)
        assert_same(tg.atan2(ours, base), torch.atan2(theirs, other), rtol=rtol)


def test_single_numbers_of_rows_broadcast() -> None:
    x, y = numbers(70, 1), numbers(70, 90, seed=1)
    a, b = tg.tensor(x), tg.tensor(y)
    np.testing.assert_array_equal((a - b).numpy(), x - y)
    np.testing.assert_array_equal((b / a).numpy(), y / x)
    np.testing.assert_array_equal((a < b).numpy(), x < y)
    both = a * tg.tensor(numbers(1, 90)).expand(70, 90)[:, :1].expand(70, 90)
    np.testing.assert_array_equal(both.numpy(), np.broadcast_to(x * numbers(1, 90)[0, 0], (70, 90)))
    np.testing.assert_array_equal((a.to(tg.float64) * b).numpy(), x.astype(np.float64) * y)


@pytest.mark.parametrize("reduce", ["amax", "amin", "prod", "mean"])
def test_scatter_without_the_target_far_apart(reduce: str) -> None:
    rng = np.random.default_rng(2)
    x, src = numbers(90000), numbers(90000, seed=3)
    index = rng.integers(0, 80000, 90000)
    ours = tg.scatter_reduce(
        tg.tensor(x), 0, tg.tensor(index), tg.tensor(src), reduce, include_self=False
    )
    theirs = torch.scatter_reduce(
        torch.tensor(x), 0, torch.tensor(index), torch.tensor(src), reduce, include_self=False
    )
    assert_same(ours, theirs, rtol=1e-5)


def test_far_places_are_read_and_written_in_order() -> None:
    rng = np.random.default_rng(4)
    x = numbers(100000)
    index = rng.integers(0, 100000, 100000)
    ours, places = tg.tensor(x), tg.tensor(index)
    np.testing.assert_array_equal(ours[places].numpy(), x[index])
    np.testing.assert_array_equal(tg.gather(ours, 0, places).numpy(), x[index])
    written = x.copy()
    written[index] = x
    np.testing.assert_array_equal(tg.scatter(ours, 0, places, ours).numpy(), written)
    table = x.reshape(-1, 4)
    few = index[:20000] % 25000
    np.testing.assert_array_equal(tg.tensor(table)[tg.tensor(few)].numpy(), table[few])


@pytest.mark.parametrize("name", ["scatter_reduce", "index_reduce"])
@pytest.mark.parametrize("reduce", ["amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.filterwarnings("ignore:index_reduce")
def test_ties_share_the_gradient_as_in_pytorch(name: str, reduce: str, include_self: bool) -> None:
    x = np.array([2.0, 1.0, 3.0, 5.0], np.float32)
    src = np.array([2.0, 2.0, 1.0, 3.0, 3.0, 0.0], np.float32)
    index = np.array([0, 0, 1, 2, 2, 2])
    grads = []
    for module in (tg, torch):
        a, b = (module.tensor(v, requires_grad=True) for v in (x, src))
        y = getattr(module, name)(a, 0, module.tensor(index), b, reduce, include_self=include_self)
        y.backward(module.tensor(np.arange(1.0, 5.0, dtype=np.float32)))
        grads.append([y.detach(), a.grad, b.grad])
    for ours, theirs in zip(*grads, strict=True):
        assert_same(ours, theirs)


ACTIVATIONS = """gelu silu elu celu selu softplus leaky_relu hardsigmoid hardswish mish hardshrink
softshrink logsigmoid glu"""


@pytest.mark.parametrize("name", ACTIVATIONS.split())
def test_activations_that_take_no_integers(name: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(torch.nn.functional, name)(torch.tensor([1, 2]))
    with pytest.raises(tg.DTypeError, match="floating-point"):
        getattr(tg.nn.functional, name)(tg.tensor([1, 2]))


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh", "softsign", "tanhshrink"])
def test_activations_that_take_integers(name: str) -> None:
    ours = getattr(tg.nn.functional, name)(tg.tensor([1, 2, -9]))
    theirs = getattr(torch.nn.functional, name)(torch.tensor([1, 2, -9]))
    assert str(ours.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1]
    assert_same(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize(
    ("start", "to"),
    [
        ("float32", "int32"),
        ("float32", "int16"),
        ("int16", "float64"),
        ("uint8", "float32"),
        ("float64", "uint8"),
        ("int64", "bfloat16"),
        ("bool", "int8"),
    ],
)
def test_view_reads_the_bits_as_another_type(start: str, to: str) -> None:
    raw = np.random.default_rng(0).integers(0, 2, (3, 8))
    ours = tg.tensor(raw).to(getattr(tg, start)).view(getattr(tg, to))
    theirs = torch.tensor(raw).to(getattr(torch, start)).view(getattr(torch, to))
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.stride() == theirs.stride()
    assert_same(ours.to(tg.float64), theirs.to(torch.float64))


def test_view_of_another_type_shares_memory_and_version() -> None:
    x = tg.ones(4, requires_grad=True)
    y = x * x
    bits = y.view(tg.int32)
    assert not bits.requires_grad
    bits.zero_()
    assert y.tolist() == [0.0] * 4
    kept = tg.ones(4, requires_grad=True)
    z = kept.exp()
    total = (z * z).sum()
    z.view(tg.int32).zero_()
    with pytest.raises(RuntimeError, match="modified"):
        total.backward()
    with pytest.raises(tg.ShapeError, match="multiples"):
        tg.zeros(3, dtype=tg.int16).view(tg.float32)
    with pytest.raises(tg.ShapeError, match="side by side"):
        tg.zeros(4, 4).t().view(tg.int16)
    with pytest.raises(tg.ShapeError, match="0-d"):
        tg.zeros(()).view(tg.int16)
    assert tg.zeros(()).view(tg.int32).item() == 0


@pytest.mark.parametrize("name", ["cummax", "cummin"])
@pytest.mark.parametrize("shape", [(1000,), (5, 77), (3, 16)])
def test_running_extrema_of_long_lines(name: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(0, 40, shape).astype(np.float32)
    for nan in (False, True):
        if nan:
            x.reshape(-1)[rng.integers(0, x.size, 3)] = NAN
        values, indices = getattr(tg, name)(tg.tensor(x), -1)
        expected = getattr(torch, name)(torch.tensor(x), -1)
        assert_same(values, expected.values)
        assert_same(indices, expected.indices)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("widths", [(1, 1), (3, 5), (16, 17), (64, 1, 130), (600, 0, 7), (2,) * 9])
def test_rows_of_any_width_are_joined(widths: tuple[int, ...], dtype: Any) -> None:
    parts = [(numbers(50, w, seed=w) * 100).astype(dtype) for w in widths]
    ours = tg.cat([tg.tensor(p) for p in parts], 1)
    np.testing.assert_array_equal(ours.numpy(), np.concatenate(parts, 1))
    mixed = [tg.tensor(p).t().contiguous().t() for p in parts]
    np.testing.assert_array_equal(tg.cat(mixed, 1).numpy(), np.concatenate(parts, 1))
    same = [parts[0]] * 3
    for dim in (0, 1, 2):
        stacked = tg.stack([tg.tensor(p) for p in same], dim)
        np.testing.assert_array_equal(stacked.numpy(), np.stack(same, dim))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "int8", "float64"])
@pytest.mark.parametrize("n", [2, 15, 16, 17, 33, 64, 159, 160, 161])
def test_short_rows_sort_stably(n: int, dtype: str) -> None:
    x = np.random.default_rng(n).integers(-6, 6, (9, n)).astype(dtype)
    if dtype.startswith("float"):
        x[3, ::2], x[4, ::3], x[5, ::4], x[6] = NAN, -0.0, INF, -INF
    elif dtype == "int32":
        x[3, ::2], x[4, 1::2] = 2**31 - 1, -(2**31)
    for descending in (False, True):
        ours = tg.sort(tg.tensor(x), 1, descending=descending)
        theirs = torch.sort(torch.tensor(x), dim=1, descending=descending, stable=True)
        assert_same(ours.indices, theirs.indices)
        assert_same(ours.values, theirs.values)
        columns = tg.sort(tg.tensor(x.T.copy()), 0, descending=descending)
        assert_same(columns.indices, theirs.indices.T)
        most = tg.topk(tg.tensor(x), n - 1, 1, largest=descending)
        assert_same(most.values, theirs.values[:, : n - 1])
    numbers_alone = np.where(np.isnan(x), 7, x).astype(dtype)
    ours, theirs = tg.mode(tg.tensor(numbers_alone), 1), torch.mode(torch.tensor(numbers_alone), 1)
    assert_same(ours.values, theirs.values)
    found = numbers_alone == theirs.values.numpy()[:, None]
    last = n - 1 - found[:, ::-1].argmax(1)
    assert np.array_equal(ours.indices.numpy(), last)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(6, 40), (1, 40), (3, 70000), (5, 17, 3), (40, 2, 1300)])
@pytest.mark.parametrize("dim", [0, 1])
def test_gradients_of_picked_elements(shape: tuple[int, ...], dim: int, dtype: Any) -> None:
    size = math.prod(shape)  # no two are equal: of those PyTorch's sort takes any
    x = (np.random.default_rng(0).permutation(size) / size).reshape(shape).astype(dtype)
    operations: list[Any] = [
        lambda lib, t: lib.cummax(t, dim).values,
        lambda lib, t: lib.max(t, dim).values,
        lambda lib, t: lib.sort(t, dim).values,
        lambda lib, t: lib.topk(t, 1, dim).values,
        lambda lib, t: lib.median(t, dim, True).values,
    ]
    for operation in operations:
        grads = []
        for lib in (tg, torch):
            leaf = lib.tensor(x, requires_grad=True)
            result = operation(lib, leaf)
            seed = lib.tensor(numbers(*result.shape, seed=1, dtype=dtype))
            grads.append(lib.autograd.grad(result, leaf, seed)[0])
        assert_same(*grads, rtol=1e-3 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.float16])
@pytest.mark.parametrize("name", ["mul", "sub", "remainder", "atan2", "gt"])
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 7, 40), (3, 7, 1)),
        ((7, 1, 40), (1, 7, 1)),
        ((3, 1, 133), (1, 5, 133)),
        ((2, 300, 33), (2, 1, 33)),
        ((4, 1), (1, 500)),
    ],
)
def test_rows_of_broadcast_operands(name: str, left: Any, right: Any, dtype: Any) -> None:
    scale = 10 if dtype == np.int64 else 1  # whole numbers from 1 on
    x = (numbers(*left) * scale).astype(dtype)
    y = (numbers(*right, seed=1) * scale).astype(dtype)
    for a, b in ((x, y), (y, x)):
        ours = getattr(tg, name)(tg.tensor(a), tg.tensor(b))
        theirs = getattr(torch, name)(torch.tensor(a), torch.tensor(b))
        assert_same(ours, theirs, rtol=2e-3 if dtype == np.float16 else 1e-6, atol=1e-6)
