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
