"""What tensors print."""

from __future__ import annotations

import pytest

import tapegrad as tg


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tg.tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (lambda: tg.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (lambda: tg.tensor([-1.0, 2.5]), "tensor([-1.0000,  2.5000])"),
        (lambda: tg.tensor(3), "tensor(3)"),
        (lambda: tg.tensor(1.5), "tensor(1.5000)"),
        (lambda: tg.tensor([True, False]), "tensor([ True, False])"),
        (lambda: tg.tensor([1e10, 1.0]), "tensor([1.0000e+10, 1.0000e+00])"),
        (lambda: tg.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
        (lambda: tg.tensor([float("inf"), 1.5]), "tensor([   inf, 1.5000])"),
        (lambda: tg.tensor([float("nan"), 1.0]), "tensor([nan, 1.])"),
        (lambda: tg.tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
        (lambda: tg.tensor([1, 2], dtype=tg.int8), "tensor([1, 2], dtype=tapegrad.int8)"),
        (lambda: tg.tensor([1.0], dtype=tg.float64), "tensor([1.], dtype=tapegrad.float64)"),
        (lambda: tg.zeros(2, 0), "tensor([], size=(2, 0))"),
        (lambda: tg.zeros(0, dtype=tg.int64), "tensor([], dtype=tapegrad.int64)"),
        (lambda: tg.ones(2, requires_grad=True), "tensor([1., 1.], requires_grad=True)"),
        (lambda: tg.ones(2, requires_grad=True) * 2, "tensor([2., 2.], grad_fn=<MulBackward>)"),
        (
            lambda: tg.arange(2000),
            "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])",
        ),
        (
            lambda: tg.zeros(2, 1, 2),
            "tensor([[[0., 0.]],\n\n        [[0., 0.]]])",
        ),
        (
            lambda: tg.zeros(40, 40)[:, :],
            "tensor([[0., 0., 0.,  ..., 0., 0., 0.],\n"
            + "        [0., 0., 0.,  ..., 0., 0., 0.],\n" * 2
            + "        ...,\n"
            + "        [0., 0., 0.,  ..., 0., 0., 0.],\n" * 2
            + "        [0., 0., 0.,  ..., 0., 0., 0.],\n"
            + "        [0., 0., 0.,  ..., 0., 0., 0.]])",
        ),
    ],
)
def test_text(make, text):
    lines = text.replace(
        "        [0., 0., 0.,  ..., 0., 0., 0.],\n        [0., 0., 0.,  ..., 0., 0., 0.]])",
        "        [0., 0., 0.,  ..., 0., 0., 0.]])",
    )
    assert repr(make()) == lines


def test_text_options_and_formats():
    assert f"{tg.tensor(1.23456):.2f}" == "1.23"
    assert f"{tg.tensor(2.5)}" == "2.5"
    assert f"{tg.ones(2)}" == "tensor([1., 1.])"
    with pytest.raises(TypeError, match="format"):
        f"{tg.ones(2):.2f}"
    tg.set_printoptions(precision=2, sci_mode=True)
    try:
        assert repr(tg.tensor([1.5])) == "tensor([1.50e+00])"
    finally:
        tg.set_printoptions(profile="default")
    assert repr(tg.tensor([1.5])) == "tensor([1.5000])"
