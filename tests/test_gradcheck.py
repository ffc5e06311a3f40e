"""The numerical checks: they pass what is right and catch what is wrong, and say where."""

from __future__ import annotations

import pytest

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck
from tapegrad.autograd.gradcheck import GradcheckError


def point(*values):
    return tg.tensor(values, dtype=tg.float64, requires_grad=True)


def wrong(x):
    """x^2 whose derivative the tape believes to be 2x + 2c where the value says 2x."""
    return x * x + (x - x.detach()) * 0.3


@pytest.mark.parametrize("fast", [False, True])
def test_right_derivatives_pass(fast):
    x, y = point(0.5, -1.5), point(2.0)
    assert gradcheck(lambda x, y: (x.exp() * y, (x * x).sum()), (x, y), fast_mode=fast)
    assert gradgradcheck(lambda x, y: x.exp() * y, (x, y), fast_mode=fast)
    assert gradcheck(lambda x: x.sum(), point(1.0))
    assert x.tolist() == [0.5, -1.5]
    assert x.grad is None


@pytest.mark.parametrize("fast", [False, True])
def test_wrong_derivatives_fail(fast):
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda y, x: y * wrong(x), (point(1.0, 2.0), point(0.5, 2.0)), fast_mode=fast)
    message = str(caught.value)
    assert message.startswith("Jacobian mismatch for output 0 with respect to input 1")
    assert "2 of 4 entries differ (input shape (2,), output shape (2,))" in message
    assert "d output[1] / d input[1]: analytical 8.6, numerical 8" in message
    assert "d output[0] / d input[0]: analytical 1.3, numerical 1" in message
    assert message.index("output[1]") < message.index("output[0]")  # the worst first
    assert gradcheck(wrong, point(0.5), raise_exception=False, fast_mode=fast) is False


def test_wrong_second_derivatives_fail():
    def shallow(x):  # right to first order only: the slope is taken for a constant
        return x * (x * x).detach() * 3 - 2 * (x * x * x).detach()

    x = point(0.7, -1.2)
    assert gradcheck(shallow, x)
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradgradcheck(shallow, x)


def test_an_output_cut_from_the_graph_fails():
    with pytest.raises(GradcheckError, match="does not require a gradient, yet it changes"):
        gradcheck(lambda x: (x * 2, (x * 3).detach()), point(1.0))


def test_integer_and_constant_outputs_are_allowed():
    assert gradcheck(lambda x: (x * 2, x.argmax(), tg.ones(2, dtype=tg.float64)), point(1.0, 3.0))


def test_parameters_may_be_reached_from_outside():
    layer = tg.nn.Linear(2, 1, dtype=tg.float64)
    x = tg.tensor([[1.0, 2.0]], dtype=tg.float64)
    assert gradcheck(lambda *params: layer(x).tanh(), tuple(layer.parameters()))


def test_layouts():
    base = tg.arange(12, dtype=tg.float64).reshape(3, 4)
    transposed = base.t().detach().requires_grad_(True)
    sliced = base.clone()[:, ::2].detach().requires_grad_(True)
    assert gradcheck(lambda a, b: (a.sum(0) ** 2, b * 3), (transposed, sliced))
    assert gradcheck(lambda x: x * x, tg.tensor(3.0, dtype=tg.float64, requires_grad=True))
    assert gradcheck(lambda x: x * 2, tg.zeros(0, 3, dtype=tg.float64, requires_grad=True))
    expanded = tg.ones(1, dtype=tg.float64).expand(3).detach().requires_grad_(True)
    with pytest.raises(RuntimeError, match="share memory"):
        gradcheck(lambda x: x * 2, expanded)


def test_inputs_are_checked():
    with pytest.raises(ValueError, match="no input is a floating point tensor"):
        gradcheck(lambda x: x, tg.ones(1))
    with pytest.raises(ValueError, match="must return tensors, got float"):
        gradcheck(lambda x: 1.0, point(1.0))
    single = tg.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="only trustworthy in float64"):
        gradcheck(lambda x: x * 1, single, eps=1e-2, atol=1e-2)


def test_a_function_that_changes_its_mind_fails():
    calls = []

    def fickle(x):
        calls.append(1)
        return x * len(calls)

    with pytest.raises(GradcheckError):
        gradcheck(fickle, point(1.0))


def test_infinite_slopes_that_agree_pass_and_nan_fails():
    with pytest.raises(GradcheckError, match="nan"):
        gradcheck(lambda x: x * float("nan"), point(1.0))


def test_a_backward_that_writes_into_its_gradient_fails():
    def meddling(x):
        y = x * 1.0
        y.register_hook(lambda g: _overwrite(x))
        return y

    with pytest.raises(GradcheckError, match="changed tensor input 0 in place"):
        gradcheck(meddling, point(1.0))


def _overwrite(x):
    with tg.no_grad():
        x.detach().add_(1)


def test_forward_mode():
    assert gradcheck(lambda x: (x * x).sin(), point(0.5, 1.5), check_forward_ad=True)
    assert gradcheck(
        lambda x, y: x * y, (point(2.0), point(3.0)), check_forward_ad=True, check_backward_ad=False
    )


def test_given_grad_outputs():
    x = point(0.5, 2.0)
    assert gradgradcheck(lambda x: x**3, x, tg.ones(2, dtype=tg.float64))
    assert gradgradcheck(lambda x: x**3, x, gen_non_contig_grad_outputs=True)


def test_the_users_random_numbers_are_untouched():
    tg.manual_seed(0)
    expected = tg.rand(2).tolist()
    tg.manual_seed(0)
    gradgradcheck(lambda x: x * x, point(1.0), fast_mode=True)
    assert tg.rand(2).tolist() == expected
