"""Linear algebra beyond the op table: argument forms, errors, kinks, and agreement with PyTorch.

What Python's einsum() and tensordot() call is in the table of the extension as linalg__einsum and
linalg__tensordot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import assert_close
from tapegrad.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(7))


def normal(*shape: int) -> Any:
    return tg.tensor(RNG.standard_normal(shape))


# --- einsum and tensordot ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_random_equations_agree_with_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = dict(zip("abcdef", rng.integers(1, 4, 6), strict=True))
    terms = ["".join(rng.choice(list("abcdef"), rng.integers(0, 4))) for _ in range(3)]
    known = sorted(set("".join(terms)))
    output = "".join(rng.permutation([c for c in known if rng.random() < 0.5]))
    equation = ",".join(terms) + "->" + output
    arrays = [rng.standard_normal([sizes[c] for c in term]) for term in terms]
    result = tg.einsum(equation, *[tg.tensor(a) for a in arrays])
    assert_close(result, np.einsum(equation, *arrays), rtol=1e-12, atol=1e-12, msg=equation)


def test_einsum_takes_any_path() -> None:
    arrays = [normal(2, 3), normal(3, 4), normal(4, 2), normal(2, 2)]
    want = tg.einsum("ab,bc,cd,de->ae", *arrays)
    for path in ([0, 1, 0, 1, 0, 1], [2, 3, 1, 2, 0, 1], [0, 3, 1, 0, 1, 0]):
        assert_close(tg._C._linalg._einsum("ab,bc,cd,de->ae", arrays, path), want)
    with pytest.raises(ValueError, match="path"):
        tg._C._linalg._einsum("ab,bc,cd,de->ae", arrays, [0, 1])


def test_einsum_without_opt_einsum(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [normal(2, 3), normal(3, 4), normal(4, 2)]
    want = tg.einsum("ab,bc,cd->ad", *arrays)
    monkeypatch.setattr(tg.backends.opt_einsum, "enabled", False)
    assert_close(tg.einsum("ab,bc,cd->ad", *arrays), want)


@pytest.mark.parametrize(
    ("equation", "shapes", "match"),
    [
        ("ij,jk->ik", [(2, 3)], "names 2 operands"),
        ("ij->ij", [(2, 3, 4)], "subscripts for operand 0"),
        ("i.j->ij", [(2, 3)], "ellipsis"),
        ("i1->i", [(2, 3)], "not a letter"),
        ("ij->ijj", [(2, 3)], "more than once"),
        ("ij->ik", [(2, 3)], "does not appear"),
        ("ii->i", [(2, 3)], "repeated"),
        ("ij,jk->ik", [(2, 3), (4, 2)], "operands do not fit"),
    ],
)
def test_einsum_refuses(equation: str, shapes: list[tuple[int, ...]], match: str) -> None:
    with pytest.raises(RuntimeError, match=match):
        tg.einsum(equation, *[tg.zeros(*s) for s in shapes])


def test_tensordot_refuses() -> None:
    with pytest.raises(RuntimeError, match="match"):
        tg.tensordot(tg.zeros(2, 3), tg.zeros(2, 3), dims=1)
    with pytest.raises(RuntimeError, match="dims >= 0"):
        tg.tensordot(tg.zeros(2, 3), tg.zeros(2, 3), dims=-1)
    with pytest.raises(RuntimeError, match="same length"):
        tg.tensordot(tg.zeros(2, 3), tg.zeros(2, 3), dims=([0], [0, 1]))


def test_the_first_dimension_of_three_is_crossed() -> None:
    a, b = normal(3, 2, 3), normal(3, 2, 3)
    assert_close(tg.cross(a, b), np.cross(a.numpy(), b.numpy(), axis=0))
    with pytest.raises(RuntimeError, match="size 3"):
        tg.cross(tg.zeros(2), tg.zeros(2))
    with pytest.raises(RuntimeError, match="number of dimensions"):
        tg.linalg.cross(tg.zeros(2, 3), tg.zeros(3))


def test_products_name_the_shapes_that_do_not_fit() -> None:
    with pytest.raises(RuntimeError, match=r"\(2, 3\) and \(4, 2\)"):
        tg.linalg.multi_dot([tg.zeros(2, 3), tg.zeros(4, 2)])
    with pytest.raises(RuntimeError, match="at least 2"):
        tg.linalg.multi_dot([tg.zeros(2, 3)])
    with pytest.raises(RuntimeError, match="matrix"):
        tg.trace(tg.zeros(2))
    with pytest.raises(RuntimeError, match=r"\(2, 3\) and \(2, 4\)"):
        tg.cdist(tg.zeros(2, 3), tg.zeros(2, 4))
    with pytest.raises(RuntimeError, match="compute_mode"):
        tg.cdist(tg.zeros(2, 3), tg.zeros(2, 3), compute_mode="fast")


# --- distances -----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf")])
def test_coinciding_points_have_the_gradient_of_pytorch(p: float) -> None:
    torch = pytest.importorskip("torch")
    x = np.array([[0.0, 1.0], [2.0, 2.0], [2.0, 1.0]])
    grads = []
    for lib in (tg, torch):
        a, b = lib.tensor(x, requires_grad=True), lib.tensor(x, requires_grad=True)
        (lib.cdist(a, b, p=p) * lib.tensor(np.arange(9.0).reshape(3, 3))).sum().backward()
        grads += [a.grad.numpy(), b.grad.numpy()]
    assert_close(grads[0], grads[2])
    assert_close(grads[1], grads[3])


def test_many_distances_by_products() -> None:
    a, b = normal(40, 3), normal(30, 3)
    exact = tg.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    assert_close(tg.cdist(a, b), exact, rtol=1e-9, atol=1e-9)
    small = [normal(3, 2).requires_grad_(), normal(2, 2).requires_grad_()]
    assert gradcheck(tg.cdist, tuple(small))
    assert gradgradcheck(tg.cdist, tuple(small))


# --- decompositions of larger matrices: the blocked paths ----------------------------------------


def close(a: Any, b: Any, dtype: Any, magnitude: float | None = None) -> bool:
    """Pass as `magnitude` what the rounding of `a` is proportional to, if not the size of `b`."""
    eps = 2.0**-52 if dtype == tg.float64 else 2.0**-23
    scale = (magnitude or float(b.abs().max())) * max(b.shape[-1], 10)
    return float((a - b).abs().max()) <= 30 * eps * scale


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("n", [64, 65, 130, 300])
def test_large_systems(n: int, dtype: Any) -> None:
    a = (normal(n, n) + n**0.5 * tg.eye(n)).to(dtype)
    spd = a @ a.mT + tg.eye(n, dtype=dtype)
    b = normal(n, 70).to(dtype)
    factor = tg.linalg.cholesky(spd)
    assert close(factor @ factor.mT, spd, dtype)
    assert not factor.numpy()[np.triu_indices(n, 1)].any()
    for shape in ((n, n), (n, n // 2), (n // 2, n)):
        part = a[: shape[0], : shape[1]]
        p, low, up = tg.linalg.lu(part)
        assert close(p @ low @ up, part, dtype)
    x = tg.linalg.solve(a, b)
    magnitude = float(a.abs().max() * x.abs().max())
    assert close(a @ x, b, dtype, magnitude)
    x = tg.linalg.solve(a, b.mT, left=False)
    assert close(x @ a, b.mT, dtype, float(a.abs().max() * x.abs().max()))
    for upper in (False, True):
        t = factor.mT if upper else factor
        assert close(t @ tg.linalg.solve_triangular(t, b, upper=upper), b, dtype)
        assert close(
            t.contiguous() @ tg.linalg.solve_triangular(t.contiguous(), b, upper=upper), b, dtype
        )


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("shape", [(100, 100), (150, 60), (60, 150), (3, 40, 20)])
def test_large_orthogonal_factors(shape: tuple[int, ...], dtype: Any) -> None:
    a = normal(*shape).to(dtype)
    for mode in ("reduced", "complete"):
        q, r = tg.linalg.qr(a, mode=mode)
        assert close(q @ r, a, dtype)
        assert close(q.mT @ q, tg.eye(q.shape[-1], dtype=dtype), dtype)
    assert close(tg.linalg.qr(a, mode="r").R, tg.linalg.qr(a).R, dtype)
    for full in (False, True):
        u, s, vh = tg.linalg.svd(a, full_matrices=full)
        k = s.shape[-1]
        assert close((u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :], a, dtype)
        assert close(u.mT @ u, tg.eye(u.shape[-1], dtype=dtype), dtype)
        assert close(vh @ vh.mT, tg.eye(vh.shape[-2], dtype=dtype), dtype)
        assert bool((s[..., :-1] >= s[..., 1:]).all())
    assert close(tg.linalg.svdvals(a), s, dtype)
    spd = a @ a.mT
    values, vectors = tg.linalg.eigh(spd)
    assert close((vectors * values.unsqueeze(-2)) @ vectors.mT, spd, dtype)
    assert close(tg.linalg.eigvalsh(spd), values, dtype)


def test_an_exponential_scales_each_matrix_alone() -> None:
    small, large = normal(3, 3) * 0.1, normal(3, 3) * 30
    both = tg.linalg.matrix_exp(tg.stack([small, large]))
    assert_close(both[0], tg.linalg.matrix_exp(small), rtol=1e-13, atol=1e-13)
    assert_close(both[1], tg.linalg.matrix_exp(large), rtol=1e-9, atol=0)
    assert bool(tg.linalg.matrix_exp(tg.full((2, 2), float("nan"))).isnan().all())


# --- singular and impossible matrices ------------------------------------------------------------


def test_a_singular_matrix_is_named() -> None:
    batch = tg.stack([tg.eye(2), tg.ones(2, 2)])
    assert issubclass(tg.linalg.LinAlgError, RuntimeError)
    for call in (
        lambda: tg.linalg.inv(batch),
        lambda: tg.linalg.solve(batch, tg.ones(2, 2, 1)),
        lambda: tg.linalg.lu_factor(batch),
        lambda: tg.linalg.cholesky(-batch + 2 * tg.stack([tg.eye(2), tg.zeros(2, 2)])),
    ):
        with pytest.raises(tg.linalg.LinAlgError, match=r"linalg\.\w+: \(batch element 1\)"):
            call()
    with pytest.raises(tg.linalg.LinAlgError, match="leading minor of order 2"):
        tg.linalg.cholesky(tg.tensor([[1.0, 2.0], [2.0, 1.0]]))
    assert tg.linalg.inv_ex(batch).info.tolist() == [0, 2]
    assert tg.linalg.cond(tg.ones(2, 2), 1).item() == float("inf")


@pytest.mark.parametrize("name", ["eigh", "eigvalsh", "svd", "svdvals"])
def test_nan_does_not_converge(name: str) -> None:
    with pytest.raises(tg.linalg.LinAlgError, match="non-finite"):
        getattr(tg.linalg, name)(tg.full((3, 3), float("nan")))


def test_general_eigenvalues_are_refused() -> None:
    for name in ("eig", "eigvals"):
        with pytest.raises(NotImplementedError, match="complex"):
            getattr(tg.linalg, name)(tg.eye(2))


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_the_gradient_of_a_singular_determinant_is_the_adjugate(rank: int) -> None:
    torch = pytest.importorskip("torch")
    a = RNG.standard_normal((3, rank)) @ RNG.standard_normal((rank, 3))
    batch = np.stack([a, np.eye(3)])
    grads = []
    for lib in (tg, torch):
        x = lib.tensor(batch, requires_grad=True)
        (g,) = lib.autograd.grad(lib.linalg.det(x).sum(), x, create_graph=True)
        grads.append(g.detach().numpy())
    assert_close(grads[0], grads[1], rtol=1e-8, atol=1e-8)
    exact = tg.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=tg.float64, requires_grad=True)
    tg.linalg.det(exact).backward()
    assert_close(exact.grad, [[4.0, -2.0], [-2.0, 1.0]])


def test_logdet_outside_its_domain() -> None:
    assert tg.logdet(tg.tensor([[-1.0]])).isnan().item()
    assert tg.logdet(tg.tensor([[0.0]])).item() == float("-inf")
    sign, value = tg.linalg.slogdet(tg.zeros(2, 2))
    assert (sign.item(), value.item()) == (0.0, float("-inf"))


def test_least_squares_reports_what_pytorch_reports() -> None:
    torch = pytest.importorskip("torch")
    a, b = RNG.standard_normal((5, 3)), RNG.standard_normal((5, 2))
    for driver in (None, "gels", "gelsy", "gelsd", "gelss"):
        got = tg.linalg.lstsq(tg.tensor(a), tg.tensor(b), driver=driver)
        want = torch.linalg.lstsq(torch.tensor(a), torch.tensor(b), driver=driver)
        for field in ("solution", "residuals", "rank", "singular_values"):
            assert_close(getattr(got, field), getattr(want, field).numpy(), msg=f"{driver} {field}")
    deficient = np.outer([1.0, 2.0, 3.0], [1.0, 1.0])
    got = tg.linalg.lstsq(tg.tensor(deficient), tg.ones(3, 1, dtype=tg.float64))
    assert got.rank.item() == 1
    assert_close(got.solution, np.linalg.pinv(deficient) @ np.ones((3, 1)))
    with pytest.raises(ValueError, match="driver"):
        tg.linalg.lstsq(tg.eye(2), tg.eye(2), driver="fast")


def test_ranks_and_tolerances() -> None:
    a = tg.tensor([[1.0, 0.0, 0.0], [0.0, 1e-3, 0.0], [0.0, 0.0, 0.0]])
    assert tg.linalg.matrix_rank(a).item() == 2
    assert tg.linalg.matrix_rank(a, atol=0.01).item() == 1
    assert tg.linalg.matrix_rank(a, rtol=tg.tensor(0.01)).item() == 1
    assert tg.linalg.matrix_rank(a, 0.01, hermitian=True).item() == 1
    assert_close(tg.linalg.pinv(a, rtol=0.01), np.diag([1.0, 0.0, 0.0]))
    assert_close(tg.linalg.pinv(a, 0.01), np.diag([1.0, 0.0, 0.0]))


def test_the_derivative_of_a_deficient_pseudo_inverse() -> None:
    left, right = normal(4, 2).requires_grad_(), normal(2, 3).requires_grad_()
    assert gradcheck(lambda u, v: tg.linalg.pinv(u @ v, rtol=1e-6), (left, right))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: tg.linalg.inv(tg.zeros(2, 3)), "square"),
        (lambda: tg.linalg.det(tg.zeros(3)), "at least 2 dimensions"),
        (lambda: tg.linalg.cholesky(tg.zeros(2, 2, dtype=tg.int64)), "float32 or float64"),
        (lambda: tg.linalg.solve(tg.eye(2), tg.ones(3)), "incompatible shapes"),
        (lambda: tg.linalg.solve(tg.eye(2), tg.ones(2, dtype=tg.float64)), "same dtype"),
        (lambda: tg.linalg.solve_triangular(tg.eye(2), tg.ones(3, 1), upper=True), "AX = B"),
        (lambda: tg.linalg.qr(tg.eye(2), mode="full"), "mode"),
        (lambda: tg.linalg.eigh(tg.eye(2), "X"), "UPLO"),
        (lambda: tg.linalg.matrix_norm(tg.eye(2), 3), "not supported"),
        (lambda: tg.linalg.matrix_norm(tg.eye(2), "max"), "not supported"),
        (lambda: tg.linalg.norm(tg.zeros(2, 2, 2), 2), "1D or 2D"),
        (lambda: tg.linalg.tensorsolve(tg.zeros(2, 3), tg.zeros(2)), "requirement"),
        (lambda: tg.linalg.tensorinv(tg.zeros(2, 3), 1), "equal"),
        (lambda: tg.linalg.lu(tg.eye(2), pivot=False), "pivot"),
    ],
)
def test_impossible_arguments(call: Any, match: str) -> None:
    with pytest.raises(RuntimeError, match=match):
        call()


def test_qr_without_a_derivative_says_so() -> None:
    x = normal(3, 2).requires_grad_()
    with pytest.raises(RuntimeError, match="mode='r'"):
        tg.linalg.qr(x, mode="r").R.sum().backward()
    with pytest.raises(RuntimeError, match="complete"):
        tg.linalg.qr(x, mode="complete").R.sum().backward()


def awkward(kind: str, m: int, n: int, rng: Any) -> np.ndarray:
    a = rng.standard_normal((m, n))
    return {
        "zero": lambda: a * 0,
        "rank-one": lambda: a[:, :1] @ a[:1],
        "graded": lambda: a * 10.0 ** rng.integers(-12, 12, (1, n)),
        "sparse": lambda: np.tril(a) * (rng.random((m, n)) < 0.3),
        "repeated": lambda: np.eye(m, n) * rng.choice([0.0, 1.0, 2.0], (m, 1)),
        "bidiagonal": lambda: (np.triu(a) - np.triu(a, 2)) * (np.arange(n) != n // 2),
        "nearly singular": lambda: a * 10.0 ** -rng.integers(3, 9, (1, n)),
        "huge": lambda: a,
        "tiny": lambda: a,
    }[kind]()


AWKWARD = ["zero", "rank-one", "graded", "sparse", "repeated", "bidiagonal", "nearly singular"]


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize("kind", [*AWKWARD, "huge", "tiny"])
def test_singular_values_of_awkward_matrices(kind: str, dtype: Any) -> None:
    rng = np.random.default_rng(7)
    unit = 45 * tg.finfo(dtype).eps
    ends = {"huge": tg.finfo(dtype).max ** 0.97, "tiny": tg.finfo(dtype).tiny ** 0.97}
    for size in [12] * 25 + [70]:
        m, n = rng.integers(1, size, 2)
        x = tg.tensor(awkward(kind, m, n, rng) * ends.get(kind, 1.0), dtype=dtype)
        u, s, vh = (t.double().numpy() for t in tg.linalg.svd(x))
        alone, a = tg.linalg.svdvals(x).double().numpy(), x.double().numpy()
        expected = np.linalg.svd(a)[1]
        scale = expected[0] or 1.0
        k = len(s)
        assert_close((u[:, :k] * (s / scale)) @ vh[:k], a / scale, rtol=0, atol=unit)
        assert_close(u.T @ u, np.eye(m), rtol=0, atol=unit)
        assert_close(vh @ vh.T, np.eye(n), rtol=0, atol=unit)
        assert_close(alone / scale, s / scale, rtol=0, atol=unit)
        assert_close(s / scale, expected / scale, rtol=0, atol=unit)
        for values in (s, alone):
            assert (values[:-1] >= values[1:]).all()
            assert (values >= 0).all()
        u, s, vh = (t.double().numpy() for t in tg.linalg.svd(x, full_matrices=False))
        assert_close((u * (s / scale)) @ vh, a / scale, rtol=0, atol=unit)
        assert_close(u.T @ u, np.eye(k), rtol=0, atol=unit)
        assert_close(vh @ vh.T, np.eye(k), rtol=0, atol=unit)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("m", "n"), [(280, 280), (320, 270), (270, 320)])
def test_singular_vectors_of_large_float_matrices(m: int, n: int, full: bool) -> None:
    x = tg.tensor(np.random.default_rng(3).standard_normal((m, n)), dtype=tg.float32)
    u, s, vh = (t.double().numpy() for t in tg.linalg.svd(x, full_matrices=full))
    a, k, unit = x.double().numpy(), min(m, n), 45 * tg.finfo(tg.float32).eps
    expected = np.linalg.svd(a)[1]
    assert_close(s / s[0], expected / s[0], rtol=0, atol=unit)
    assert_close((u[:, :k] * s) @ vh[:k] / s[0], a / s[0], rtol=0, atol=unit)
    assert_close(u.T @ u, np.eye(m if full else k), rtol=0, atol=unit)
    assert_close(vh @ vh.T, np.eye(n if full else k), rtol=0, atol=unit)


SYMMETRIC = {
    "random": lambda n: RNG.standard_normal((n, n)),
    "graded": lambda n: np.diag(10.0 ** np.linspace(0, -30, n)) + np.diag(np.full(n - 1, 1e-25), 1),
    "neighbours": lambda n: np.diag(np.abs(np.arange(n) - n / 2)) + np.diag(np.ones(n - 1), 1),
    "blocks": lambda n: np.kron(np.eye(n // 4), RNG.standard_normal((4, 4))),
    "one value": lambda n: np.eye(n),
    "no value": lambda n: np.zeros((n, n)),
}


# Single precision must not lose lengths by the thousands of rotations that a column goes through.
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize("n", [4, 64, 300])
@pytest.mark.parametrize("kind", SYMMETRIC)
def test_eigenvalues_of_awkward_matrices(kind: str, n: int, dtype: Any) -> None:
    matrix = SYMMETRIC[kind](n)
    a = tg.tensor(matrix + matrix.T, dtype=dtype)
    double = a.double().numpy()
    unit = 96 * tg.finfo(dtype).eps
    values, vectors = (t.double().numpy() for t in tg.linalg.eigh(a))
    expected = np.linalg.eigvalsh(double)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(values, expected, rtol=0, atol=unit * largest)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), rtol=0, atol=unit)
    np.testing.assert_allclose(double @ vectors, vectors * values, rtol=0, atol=unit * largest)
    alone = tg.linalg.eigvalsh(a).double().numpy()
    np.testing.assert_allclose(alone, expected, rtol=0, atol=max(unit, 2e-13) * largest)
    assert (np.diff(values) >= 0).all()
    assert (np.diff(alone) >= 0).all()


def test_eigenvectors_have_the_same_bits_on_two_threads() -> None:
    a = normal(200, 200).float()
    results = []
    for threads in (1, 2):
        tg.set_num_threads(threads)
        results.append(tg.linalg.eigh(a + a.T)[1])
    assert tg.equal(*results)


@pytest.mark.parametrize("rank", [60, 30])
def test_least_squares_of_many_rows(rank: int) -> None:
    a, b = normal(150, rank) @ normal(rank, 60), normal(150, 3)
    found = tg.linalg.lstsq(a, b)
    assert found.rank.item() == rank
    assert_close(found.solution, np.linalg.pinv(a.numpy()) @ b.numpy(), rtol=1e-8, atol=1e-8)
