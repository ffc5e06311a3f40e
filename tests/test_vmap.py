"""vmap: every row of the op table against a loop over the samples, and the transform itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from op_row import closure
from op_table import OPS
from support import assert_close
from tapegrad.func import grad, vmap

if TYPE_CHECKING:
    from collections.abc import Callable

    from op_row import Op, Sample

BATCH = 3


def table(keep: Callable[[Op], bool]) -> Any:
    chosen = [
        pytest.param(op, s, id=f"{op.name}-{s.id}")
        for op in OPS.values()
        if keep(op)
        for s in op.make_samples()
    ]
    return pytest.mark.parametrize(("op", "sample"), chosen)


def differentiable(op: Op) -> bool:
    return op.grad and "float64" in op.dtypes


def variants(op: Op, sample: Sample) -> tuple[Any, list[list[Any]]]:
    """The operation and the inputs of BATCH samples, near each other: all in its domain."""
    f, inputs = closure(op, sample)
    if sum(x.numel() for x in inputs) > 300:
        pytest.skip("large sample: the smaller ones cover it")
    return f, [[x.detach() * (1 + 1e-3 * i) for x in inputs] for i in range(BATCH)]


def check(got: Any, want: list[Any], rtol: float = 1e-9) -> None:
    assert len(got) == len(want[0])
    for k, batched in enumerate(got):
        each = np.stack([w[k].detach().numpy() for w in want])
        assert batched.shape == each.shape
        assert_close(batched, each, rtol=rtol, atol=rtol)


@table(differentiable)
@pytest.mark.parametrize("at", ["first", "last"])
def test_every_operation_equals_a_loop(op: Op, sample: Sample, at: str) -> None:
    f, each = variants(op, sample)
    stacked = [tg.stack([v[k] for v in each]) for k in range(len(each[0]))]
    dims = tuple(0 if at == "first" else x.ndim - 1 for x in stacked)
    stacked = [x.movedim(0, d) for x, d in zip(stacked, dims, strict=True)]
    check(vmap(lambda *a: tuple(f(*a)), in_dims=dims)(*stacked), [f(*v) for v in each])


@table(lambda op: differentiable(op) and len(closure(op, op.first)[1]) > 1)
def test_every_operation_with_one_batched_input(op: Op, sample: Sample) -> None:
    f, each = variants(op, sample)
    for k in range(len(each[0])):
        if op.name == "setitem" and k == 1:
            continue  # what all samples share cannot be written: an error, tested below
        mixed = [[v[k] if j == k else x for j, x in enumerate(each[0])] for v in each]
        args = [tg.stack([v[k] for v in each]) if j == k else x for j, x in enumerate(each[0])]
        dims = tuple(0 if j == k else None for j in range(len(args)))
        check(vmap(lambda *a: tuple(f(*a)), in_dims=dims)(*args), [f(*v) for v in mixed])


@table(differentiable)
def test_gradients_of_every_operation_equal_a_loop(op: Op, sample: Sample) -> None:
    f, each = variants(op, sample)

    def loss(*inputs: Any) -> Any:
        return sum(
            ((y * y).sum() for y in f(*inputs) if y.is_floating_point()),
            tg.zeros((), dtype=tg.float64),
        )

    numbers = tuple(range(len(each[0])))
    stacked = [tg.stack([v[k] for v in each]) for k in numbers]
    check(vmap(grad(loss, numbers))(*stacked), [grad(loss, numbers)(*v) for v in each], rtol=1e-8)


# --- the transform -------------------------------------------------------------------------------


def normal(*shape: int, seed: int = 0) -> Any:
    return tg.tensor(np.random.default_rng(seed).standard_normal(shape))


def test_in_dims_and_out_dims() -> None:
    x, y = normal(4, 3), normal(3, 5, seed=1)
    result = vmap(lambda a, b: (a @ b, a.sum()), in_dims=(0, None), out_dims=(1, 0))(x, y)
    assert_close(result[0], (x @ y).T)
    assert_close(result[1], x.sum(1))
    assert_close(vmap(lambda a: a * 2, in_dims=1, out_dims=-1)(x), x * 2)
    assert_close(vmap(lambda a: a * 2, in_dims=-1)(x), x.T * 2)


def test_nested_containers() -> None:
    x, y = normal(4, 3), normal(4, seed=1)
    result = vmap(lambda d: {"s": d["x"].sum() + d["p"][0], "x": [d["x"]]})({"x": x, "p": (y,)})
    assert_close(result["s"], x.sum(1) + y)
    assert_close(result["x"][0], x)
    mixed = vmap(lambda d, k: d["x"] * k, in_dims=({"x": 0, "p": None}, None))({"x": x, "p": 1}, 3)
    assert_close(mixed, x * 3)


def test_nested_vmap_is_an_outer_product() -> None:
    x, y = normal(4), normal(3, seed=1)
    product = vmap(lambda a: vmap(lambda b: a * b)(y))(x)
    assert_close(product, tg.outer(x, y))


def test_chunks_give_the_same() -> None:
    x = normal(7, 3)
    f = vmap(lambda a: (a.cumsum(0), a.max()), out_dims=(1, 0))
    g = vmap(lambda a: (a.cumsum(0), a.max()), out_dims=(1, 0), chunk_size=2)
    for a, b in zip(f(x), g(x), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_results_that_do_not_depend_on_the_sample_are_repeated(shape: tuple[int, ...]) -> None:
    shared = normal(*shape)
    assert_close(vmap(lambda _: shared)(normal(4)), tg.stack([shared] * 4))


def test_in_place_writes_reach_the_batch() -> None:
    x = normal(4, 3)

    def f(row: Any) -> Any:
        y = row.clone()
        y[0] = row[1] * 2
        y[1:] += 1
        y.mul_(2)
        return y

    assert_close(vmap(f)(x), tg.stack([f(row) for row in x]))
    before = x.clone()
    vmap(lambda row: row.add_(1))(x)
    assert_close(x, before + 1)


def test_weak_promotion_of_samples() -> None:
    numbers, vector = normal(4), normal(3).float()
    assert vmap(lambda a: a * vector)(numbers).dtype == tg.float32  # a 0-d sample is weak
    assert vmap(lambda a: a * vector)(normal(4, 1)).dtype == tg.float64


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_random_numbers(randomness: str) -> None:
    x = tg.zeros(4, 1000)

    def f(row: Any) -> Any:
        return row + tg.rand(1000), tg.nn.functional.dropout(row + 1, 0.5), tg.randint(9, (1000,))

    for result in vmap(f, randomness=randomness)(x):
        equal = bool((result[0] == result[1]).all())
        assert equal == (randomness == "same")
    assert vmap(f, randomness=randomness)(x)[0].mean().item() == pytest.approx(0.5, abs=0.03)


def test_random_numbers_are_an_error_by_default() -> None:
    for f in (tg.rand_like, tg.nn.functional.dropout, lambda x: x.clone().normal_()):
        with pytest.raises(RuntimeError, match="randomness"):
            vmap(f)(tg.zeros(3, 2))


def test_values_of_samples_cannot_be_read() -> None:
    x = normal(4, 3)
    for f in (
        lambda a: a.sum().item(),
        lambda a: a if a.sum() > 0 else -a,
        lambda a: a.numpy(),
        lambda a: a[a > 0],
    ):
        with pytest.raises(NotImplementedError, match="vmap"):
            vmap(f)(x)
    with pytest.raises(NotImplementedError, match="nonzero: has no batching rule"):
        vmap(lambda a: tg.nonzero(a))(x)


def test_shared_tensors_cannot_be_written_with_samples() -> None:
    shared = tg.zeros(3, dtype=tg.float64)
    with pytest.raises(NotImplementedError, match=r"copy_.*all samples share"):
        vmap(lambda a: shared.copy_(a))(normal(4, 3))
    assert not shared.any()


def test_a_batched_tensor_prints_what_it_is() -> None:
    seen = []
    vmap(lambda a: seen.append(repr(a)) or a)(tg.ones(2, 3))
    assert seen[0].startswith("BatchedTensor(lvl=")
    assert "bdim=0" in seen[0]
    assert "[1., 1., 1.]" in seen[0]


def test_bad_input() -> None:
    x = normal(4, 3)
    cases: list[tuple[Any, tuple[Any, ...], str]] = [
        (vmap(lambda a, b: a, in_dims=(0, 0)), (x, normal(3, 3)), "same size in the mapped"),
        (vmap(lambda a: a, in_dims=5), (x,), "5.*shape \\(4, 3\\)"),
        (vmap(lambda a: a, in_dims=(0, 0)), (x,), "in_dims"),
        (vmap(lambda a: a, in_dims=None), (x,), "in_dims"),
        (vmap(lambda a: a, in_dims=(None,)), (x,), "no input has a batch dimension"),
        (vmap(lambda a: a), (3.0,), "only tensors"),
        (vmap(lambda a: 3.0), (x,), "must return tensors"),
        (vmap(lambda a: (a, a), out_dims=(0,)), (x,), "out_dims"),
    ]
    for f, args, message in cases:
        with pytest.raises(ValueError, match=message):
            f(*args)
    with pytest.raises(ValueError, match="randomness"):
        vmap(lambda a: a, randomness="some")
    with pytest.raises(ValueError, match="chunk_size"):
        vmap(lambda a: a, chunk_size=0)
    with pytest.raises(IndexError, match="out_dims 7"):
        vmap(lambda a: a, out_dims=7)(x)
    assert not tg._C._any_level_open()


def test_an_error_inside_closes_the_level() -> None:
    def fail(row: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        vmap(fail)(normal(2, 2))
    assert not tg._C._any_level_open()
    assert_close(vmap(tg.sin)(normal(2, 2)), tg.sin(normal(2, 2)))
