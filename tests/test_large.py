"""Paths that kernels take for long rows and large results, held against NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

NAN = math.nan


@pytest.mark.parametrize("threads", [1, 2])
def test_results_that_pass_the_caches(threads: int) -> None:
    """Larger than half of most caches; the last elements do not fill a line of memory."""
    n = (9 << 20) + 5
    x = np.arange(n, dtype=np.float32)
    before = tg.get_num_threads()
    tg.set_num_threads(threads)
    try:
        ours = tg.tensor(x)
        for result, expected in (
            (-ours, -x),
            (ours + ours, x + x),
            (ours - 1, x - 1),
            (ours / 4, x / 4),
            (ours.clone(), x),
            (ours[1:].neg(), -x[1:]),
            (ours[3:] * ours[:-3], x[3:] * x[:-3]),
        ):
            assert np.array_equal(result.numpy(), expected)
        copied = tg.zeros(n + 3)
        copied[3:].copy_(ours)
        assert np.array_equal(copied[3:].numpy(), x)
        assert copied[:3].tolist() == [0.0, 0.0, 0.0]
        ours.add_(ours)
        assert np.array_equal(ours.numpy(), x + x)
    finally:
        tg.set_num_threads(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.int8, np.uint8])
@pytest.mark.parametrize("order", ["random", "rising", "falling", "equal", "few", "misleading"])
@pytest.mark.parametrize("n", [1024, 5000, 70001])
def test_selection_in_long_rows(n: int, order: str, dtype: Any) -> None:
    places = np.arange(n)
    plain = {
        "random": np.random.default_rng(n).permutation(n),
        "rising": places,
        "falling": -places,
        "equal": np.full(n, 7),
        "few": places % 3,
        # Those of the sample, which is taken at equal distances, are all alike.
        "misleading": np.where(places % (n // min(max(n // 16, 128), 4096)) == 0, 100, places % 97),
    }[order]
    x = (plain % 120).astype(dtype) if np.dtype(dtype).itemsize < 4 else plain.astype(dtype)
    ours, in_order = tg.tensor(x), np.sort(x)
    for k in (1, 2, n // 3, n // 2, n - 1, n):
        value, place = tg.kthvalue(ours, k)
        assert value.item() == in_order[k - 1]
        assert x[place.item()] == in_order[k - 1]
    assert tg.median(ours).item() == in_order[(n - 1) // 2]
    if np.issubdtype(dtype, np.floating):
        x[:: n // 50] = NAN
        assert math.isnan(tg.median(tg.tensor(x)).item())
        numbers_left = np.sort(x[~np.isnan(x)])
        middle = numbers_left[(len(numbers_left) - 1) // 2]
        assert tg.nanmedian(tg.tensor(x)).item() == middle


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.uint8])
@pytest.mark.parametrize("with_nan", [False, True])
@pytest.mark.parametrize("n", [15, 16, 40, 1000])
def test_running_extrema_of_rows(n: int, with_nan: bool, dtype: Any) -> None:
    """In blocks of a row that are filled as a whole, and in those around a new extremum."""
    rng = np.random.default_rng(n)
    x = rng.integers(0, 90, (20, n)).astype(dtype)
    if with_nan and np.issubdtype(dtype, np.floating):
        x[::2][rng.random((10, n)) < 2 / n] = NAN
        x[::3, n // 2] = -math.inf
    for ours, extremum, reaches in (
        (tg.cummax(tg.tensor(x), 1), np.maximum, np.greater_equal),
        (tg.cummin(tg.tensor(x), 1), np.minimum, np.less_equal),
    ):
        values = extremum.accumulate(x, 1)
        takes_over = reaches(x, values) | (x != x)
        assert np.array_equal(ours.values.double().numpy(), values.astype(float), equal_nan=True)
        places = np.maximum.accumulate(np.where(takes_over, np.arange(n), 0), 1)
        assert np.array_equal(ours.indices.numpy(), places)
