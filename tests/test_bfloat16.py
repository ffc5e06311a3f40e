"""Products of bfloat16 matrices that are large enough for the processor's own instructions."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg


def operands(*shapes: tuple[int, ...]) -> list[tg.Tensor]:
    rng = np.random.default_rng(3)
    return [tg.from_numpy(rng.standard_normal(s).astype(np.float32)).bfloat16() for s in shapes]


def assert_rounded(got: tg.Tensor, a: np.ndarray, b: np.ndarray, bias: float | np.ndarray) -> None:
    """Accumulated in float32 and rounded to bfloat16 once (2**-9), or next to a tie."""
    exact = a.astype(np.float64) @ b.astype(np.float64) + bias
    scale = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64) + np.abs(bias)
    bound = np.abs(exact) * 2.0**-8 + scale * 2.0**-20
    assert got.dtype == tg.bfloat16
    assert (np.abs(got.float().numpy() - exact) <= bound).all()


@pytest.mark.parametrize("left", ["rows", "columns"])
@pytest.mark.parametrize("right", ["rows", "columns"])
def test_large_products_in_every_layout(left: str, right: str) -> None:
    (a, b) = operands((300, 130), (130, 90))
    x = a if left == "rows" else a.t().contiguous().t()
    y = b if right == "rows" else b.t().contiguous().t()
    assert_rounded(x @ y, a.float().numpy(), b.float().numpy(), 0.0)


def test_linear_adds_its_bias_before_it_rounds() -> None:
    x, weight, bias = operands((257, 96), (64, 96), (64,))
    got = tg.nn.functional.linear(x, weight, bias)
    arrays = [t.float().numpy() for t in (x, weight, bias)]
    assert_rounded(got, arrays[0], arrays[1].T, arrays[2])


def test_batches_and_thread_counts_give_the_same_bits() -> None:
    a, b = operands((3, 200, 64), (3, 64, 80))
    before = tg.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            tg.set_num_threads(threads)
            results.append((a @ b).float().numpy())
    finally:
        tg.set_num_threads(before)
    for i in range(3):
        assert np.array_equal(results[0], results[i])
        assert np.array_equal(results[0][i], (a[i] @ b[i]).float().numpy())


def test_infinity_and_nan_pass_through() -> None:
    a, b = operands((128, 64), (64, 64))
    a[0, 0], a[1, 0] = float("inf"), float("nan")
    got = (a @ b).float().numpy()
    assert np.isinf(got[0]).all()
    assert np.isnan(got[1]).all()
    assert np.isfinite(got[2:]).all()
