"""Triangles large enough to be inverted in blocks: as accurate as by substitution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg


def residual(a: Any, x: Any, b: Any) -> float:
    wide = a.astype(np.float64) @ x.astype(np.float64) - b
    scale = np.abs(a).astype(np.float64) @ np.abs(x).astype(np.float64) + np.abs(b)
    return float(np.max(np.abs(wide) / scale))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize(("n", "sides"), [(20, 64), (33, 63), (70, 65), (129, 200)])
def test_triangles_of_any_size(n: int, sides: int, unit: bool, upper: bool, dtype: Any) -> None:
    rng = np.random.default_rng(n)
    a = rng.standard_normal((n, n)) * 0.5 / np.sqrt(n) + 2 * np.eye(n)
    a[:, : n // 2] *= 1e-3  # badly scaled
    a, b = a.astype(dtype), rng.standard_normal((n, sides)).astype(dtype)
    x = tg.linalg.solve_triangular(tg.tensor(a), tg.tensor(b), upper=upper, unitriangular=unit)
    own = np.triu(a) if upper else np.tril(a)
    if unit:
        np.fill_diagonal(own, 1)
    assert residual(own, x.numpy(), b) < 4 * n * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ill_conditioned_triangles_keep_a_small_residual(dtype: Any) -> None:
    n = 150
    places = np.arange(n)
    hilbert = (1 / (places[:, None] + places + 1.0) + np.eye(n) * 1e-4).astype(dtype)
    x = tg.linalg.solve(tg.tensor(hilbert), tg.eye(n, dtype=tg.tensor(hilbert).dtype)).numpy()
    assert residual(hilbert, x, np.eye(n)) < 10 * n * np.finfo(dtype).eps
    factor = tg.linalg.cholesky(tg.tensor(hilbert)).numpy().astype(np.float64)
    np.testing.assert_allclose(factor @ factor.T, hilbert, atol=10 * n * np.finfo(dtype).eps)


def test_a_zero_pivot_is_divided_by() -> None:
    a = tg.eye(80)
    a[40, 40] = 0.0
    x = tg.linalg.solve_triangular(a, tg.ones(80, 100), upper=True)
    assert tg.isinf(x[40]).all()
    assert (x[41:] == 1).all()


@pytest.mark.parametrize("shape", [(100, 60), (200, 200)])
def test_least_squares_of_nearly_deficient_matrices(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    a = rng.standard_normal(shape)
    b = rng.standard_normal((shape[0], 2))
    for small in (1e-3, 1e-9, 1e-16):
        a[:, 5] = a[:, 4] + small * rng.standard_normal(shape[0])
        result = tg.linalg.lstsq(tg.tensor(a), tg.tensor(b), rcond=1e-10)
        expected, _, rank, _ = np.linalg.lstsq(a, b, rcond=1e-10)
        assert result.rank.item() == rank
        np.testing.assert_allclose(result.solution.numpy(), expected, rtol=1e-4, atol=1e-5)
