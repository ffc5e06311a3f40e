"""Arrangements of elements: what the op table does not show (errors, views, index makers)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("offset", [-2, 0, 1, 9])
def test_triangle_indices_are_those_of_numpy(offset: int) -> None:
    lower = tg.tril_indices(3, 4, offset)
    upper = tg.triu_indices(3, 4, offset, dtype=tg.int32)
    assert lower.tolist() == np.array(np.tril_indices(3, offset, 4)).tolist()
    assert upper.tolist() == np.array(np.triu_indices(3, offset, 4)).tolist()
    assert (lower.dtype, upper.dtype) == (tg.int64, tg.int32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tg.flip(x, [0, -2]), RuntimeError, "dim 0 appears multiple times"),
        (lambda x: tg.flip(x, [2]), IndexError, "flip"),
        (lambda x: tg.fliplr(x[0]), RuntimeError, "fliplr.*at least 2"),
        (lambda x: tg.roll(x, (1, 2)), RuntimeError, "roll: shifts and dims"),
        (lambda x: tg.roll(x, (1, 2), (0,)), RuntimeError, r"\(1, 2\) and \(0,\)"),
        (lambda x: tg.rot90(x, 1, [0, 0]), RuntimeError, "rot90: the dims must differ"),
        (lambda x: x.repeat(2), RuntimeError, "at least as many repeats"),
        (lambda x: x.repeat(2, -1), RuntimeError, "negative"),
        (lambda x: x.repeat(2**40, 2**40), RuntimeError, "more elements than memory"),
        (lambda x: x.repeat_interleave(-1), RuntimeError, "must not be negative"),
        (lambda x: x.repeat_interleave(tg.tensor([1, 2, 3]), 0), RuntimeError, "got 3 for size 2"),
        (lambda x: x.repeat_interleave(2, 0, output_size=3), RuntimeError, "output_size is 3"),
        (lambda x: tg.tril(x[0]), RuntimeError, "tril.*at least 2"),
        (lambda x: x.unfold(1, 4, 1), RuntimeError, "unfold: windows of size 4"),
        (lambda x: x.unfold(1, 2, 0), RuntimeError, "step must be positive"),
        (lambda x: tg.diag(x[None]), RuntimeError, "diag: expects a 1-d or 2-d"),
        (lambda x: tg.diag_embed(x, 0, 1, 1), RuntimeError, "must differ"),
        (lambda x: x.select_scatter(tg.ones(2), 0, 1), RuntimeError, "select_scatter.*src"),
        (lambda x: x.diagonal_scatter(tg.ones(3)), RuntimeError, "diagonal_scatter.*src"),
        (lambda x: x.slice_scatter(tg.ones(3)), RuntimeError, "slice_scatter.*src"),
        (lambda x: x.vsplit(3), RuntimeError, "cannot be split into 3 equal parts"),
        (lambda x: x.dsplit(1), RuntimeError, "at least 3 dimensions"),
        (lambda x: tg.meshgrid(x), RuntimeError, "meshgrid: expects 0-d or 1-d"),
        (lambda x: tg.meshgrid(x[0], indexing="no"), RuntimeError, "indexing"),
        (lambda x: tg.cartesian_prod(x), RuntimeError, "cartesian_prod: expects 1-d"),
        (lambda x: tg.block_diag(x[None]), RuntimeError, "block_diag: expects tensors of at most"),
        (lambda x: tg.broadcast_tensors(x, tg.ones(5)), RuntimeError, "broadcast_tensors"),
        (lambda x: tg.broadcast_tensors(x, 1), TypeError, "tuple of Tensors"),
    ],
)
def test_bad_arguments(
    call: Callable[[tg.Tensor], object], error: type[Exception], message: str
) -> None:
    x = tg.arange(6.0).reshape(2, 3)
    with pytest.raises(error, match=message):
        call(x)
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_tensors_as_separate_arguments_or_as_a_list() -> None:
    a, b = tg.tensor([1.0, 2.0]), tg.tensor([3.0])
    expected = [[1.0, 2.0], [3.0, 3.0]]
    assert [x.tolist() for x in tg.broadcast_tensors(a, b)] == expected
    assert [x.tolist() for x in tg.broadcast_tensors([a, b])] == expected
    assert [x.shape for x in tg.atleast_2d(a, tg.tensor(1.0))] == [(1, 2), (1, 1)]
    assert tg.atleast_2d(a).shape == (1, 2)


def test_views_share_memory_and_copies_do_not() -> None:
    x = tg.zeros(4)
    windows = x.unfold(0, 2, 1)
    x[1] = 5.0
    assert windows.tolist() == [[0.0, 5.0], [5.0, 0.0], [0.0, 0.0]]
    for copy in (x.flip(0), x.roll(0), x.repeat(1), x.rot90(0) if x.dim() > 1 else x.tile((1,))):
        copy.fill_(-1.0)
        assert x.tolist() == [0.0, 5.0, 0.0, 0.0]


def test_repeats_alone_make_indices() -> None:
    assert tg.repeat_interleave(tg.tensor([2, 0, 1])).tolist() == [0, 0, 2]


def test_split_points_in_a_tensor() -> None:
    x = tg.arange(5)
    assert [p.tolist() for p in x.tensor_split(tg.tensor([1, 3]))] == [[0], [1, 2], [3, 4]]
    assert [p.tolist() for p in x.tensor_split(tg.tensor(2))] == [[0, 1, 2], [3, 4]]
    with pytest.raises(ValueError, match="int64"):
        x.tensor_split(tg.tensor([1.0]))
