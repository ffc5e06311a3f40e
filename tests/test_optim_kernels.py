"""The fused updates below the optimizers: layouts, threads, half types, errors, for every rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import run_in_threads, same_bits
from tapegrad.optim._kernels import RULES, update_

SHAPES = [(3, 4), (), (0, 2), (257,), (2, 3, 5), (1,), (9,)]
OPTIONS = {
    "lr": 0.01,
    "momentum": 0.9,
    "dampening": 0.1,
    "nesterov": 1,
    "beta1": 0.9,
    "beta2": 0.99,
    "eps": 1e-3,
    "momentum_decay": 0.004,
    "alpha": 0.9,
    "eta_minus": 0.5,
    "eta_plus": 1.2,
    "smallest_step": 1e-6,
    "largest_step": 50,
    "lr_decay": 0.1,
    "rho": 0.9,
    "lambd": 1e-3,
    "t0": 2,
    "weight": 0.25,
}
NAMES = sorted(RULES)


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]


class Updater:
    """Calls of one rule with the state that it needs."""

    def __init__(self, name: str, params: list[tg.Tensor], **common: Any) -> None:
        self.rule, self.params, self.common = RULES[name], params, common
        self.options = tuple(OPTIONS[o] for o in self.rule.options)
        detached = [p.detach() for p in params]
        start = 0.01 if name == "rprop" else 0.0
        self.states = [[tg.full_like(p, start) for p in detached] for _ in self.rule.states]
        first = {"mu_product": 1.0, "eta": 0.01, "mu": 1.0}
        self.scalars = [[tg.tensor(first.get(s, 0.0)) for _ in params] for s in self.rule.scalars]

    def step(self, grads: list[tg.Tensor | None] | None) -> None:
        update_(
            self.rule.name,
            "Test",
            self.params,
            grads,
            self.states,
            self.scalars,
            self.options,
            **self.common,
        )


def tensors(values: list[np.ndarray], dtype: Any = tg.float64) -> list[tg.Tensor]:
    return [tg.tensor(v.tolist(), dtype=dtype).reshape(v.shape) for v in values]


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_gives_the_same_bits(name: str) -> None:
    def run(parameter: Any, gradient: Any) -> tg.Tensor:
        start = tg.arange(12, dtype=tg.float32).reshape(3, 4).sin()
        p = parameter(start)
        updater = Updater(name, [p])
        for step in range(3):
            updater.step([gradient((start * (step + 2)).cos())])
        return p.clone().contiguous()

    def plain(x: tg.Tensor) -> tg.Tensor:
        return x.clone()

    def transposed(x: tg.Tensor) -> tg.Tensor:
        return x.t().contiguous().t()

    def gaps(x: tg.Tensor) -> tg.Tensor:
        wide = tg.zeros(6, 8)
        wide[::2, ::2] = x
        return wide[::2, ::2]

    expected = run(plain, plain)
    for parameter in (plain, transposed, gaps):
        for gradient in (plain, transposed, gaps):
            assert same_bits(run(parameter, gradient), expected)


@pytest.mark.parametrize("name", NAMES)
def test_an_expanded_gradient_is_read_element_by_element(name: str) -> None:
    a, b = tg.ones(4, 3), tg.ones(4, 3)
    row = tg.tensor([1.0, -2.0, 3.0])
    Updater(name, [a]).step([row.expand(4, 3)])
    Updater(name, [b]).step([row.expand(4, 3).clone()])
    assert same_bits(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_elements_around_a_view_are_left_alone(name: str) -> None:
    base = tg.zeros(4, 4)
    Updater(name, [base[1:3, 1:3]]).step([tg.ones(2, 2)])
    changed = base != 0
    assert changed.sum().item() == 4
    assert changed[1:3, 1:3].all()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_parameters_are_read_when_none_are_given(name: str) -> None:
    given = tensors(arrays(0))
    held = [p.clone().requires_grad_() for p in given]
    left, right = Updater(name, given), Updater(name, held)
    for step in range(3):
        grads: list[Any] = tensors(arrays(step + 1))
        grads[step] = None
        for p, g in zip(held, grads, strict=True):
            p.grad = g
        left.step(grads)
        right.step(None)
    for p, q in zip(given, held, strict=True):
        assert same_bits(p, q.detach())
        assert not p.requires_grad
        assert q.is_leaf


def test_skipped_parameters_keep_value_state_and_step() -> None:
    params = tensors(arrays(0))
    adam = Updater("adam", params)
    (steps,), exp_avgs = adam.scalars, adam.states[0]
    before = [p.tolist() for p in params]
    grads: list[Any] = [None] * len(params)
    grads[3] = tg.ones(257, dtype=tg.float64)
    adam.step(grads)
    adam.step(grads)
    assert [s.item() for s in steps] == [0, 0, 0, 2, 0, 0, 0]
    for i, p in enumerate(params):
        assert (p.tolist() == before[i]) == (i != 3)
        assert (exp_avgs[i] != 0).any().item() == (i == 3)
    adam.step([None] * len(params))
    assert steps[3].item() == 2


def test_parameters_at_different_steps_are_corrected_apart() -> None:
    together, alone = (tensors(arrays(0)) for _ in range(2))
    grads: list[Any] = tensors(arrays(1))
    adam = Updater("adam", together)
    adam.step([g if i % 2 else None for i, g in enumerate(grads)])
    adam.step(grads)
    for i, (p, g) in enumerate(zip(alone, grads, strict=True)):
        single = Updater("adam", [p])
        for _ in range(1 + i % 2):
            single.step([g])
        assert same_bits(together[i], p)


def test_steps_far_on_have_no_bias_correction_left() -> None:
    p = tg.zeros(1, dtype=tg.float64)
    adam = Updater("adam", [p])
    adam.options = (0.5, 0.9, 0.999, 1e-8)
    adam.scalars[0][0].fill_(10_000_000)
    adam.states[1][0].fill_(4.0)
    adam.step([tg.full((1,), 2.0, dtype=tg.float64)])
    assert adam.scalars[0][0].item() == 10_000_001
    assert p.item() == pytest.approx(-0.5 * 0.2 / 2.0, rel=1e-7)


def test_writes_are_seen_by_the_tape() -> None:
    w = tg.tensor([2.0], requires_grad=True)
    y = w * w
    version = w._version
    w.grad = tg.ones(1)
    adam = Updater("adam", [w])
    before = [t._version for t in (adam.scalars[0][0], adam.states[0][0])]
    adam.step(None)
    assert w._version == version + 1
    after = [t._version for t in (adam.scalars[0][0], adam.states[0][0])]
    assert after == [v + 1 for v in before]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_stays_where_it_is(name: str) -> None:
    p, q = tg.full((4,), 0.5), tg.full((4,), 0.5)
    Updater(name, [p]).step([tg.tensor([1.0, float("nan"), -1.0, 2.0])])
    Updater(name, [q]).step([tg.tensor([1.0, 3.0, -1.0, 2.0])])
    # The sign of NaN is 0, as in PyTorch.
    assert p.isnan().tolist() == [False, name not in ("lion", "rprop"), False, False]
    assert [p[i].item() for i in (0, 2, 3)] == [q[i].item() for i in (0, 2, 3)]


def test_without_weight_decay_an_infinite_parameter_does_not_reach_its_gradient() -> None:
    sgd = Updater("sgd_momentum", [tg.tensor([float("inf")])], first=[True])
    sgd.step([tg.ones(1)])
    assert sgd.states[0][0].item() == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_factor_decay_and_shrinking_come_before_the_rule(name: str) -> None:
    together, apart = (tensors(arrays(0), tg.float32) for _ in range(2))
    grads: list[Any] = tensors(arrays(1), tg.float32)
    Updater(name, together, factor=-0.5, weight_decay=0.25, shrink=0.875).step(grads)
    changed: list[Any] = []
    for p, g in zip(apart, grads, strict=True):
        p.mul_(0.875)
        changed.append(g * -0.5 + 0.25 * p)
    Updater(name, apart).step(changed)
    for p, q in zip(together, apart, strict=True):
        assert same_bits(p, q)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_half_types_are_rounded_once(name: str, dtype: str) -> None:
    kind = getattr(tg, dtype)
    half = [tg.arange(n, dtype=tg.float32).sin().to(kind) for n in (700, 3, 512)]
    single = [p.float() for p in half]
    grads: list[Any] = [p.cos().to(kind) for p in half]
    low, high = Updater(name, half), Updater(name, single)
    for ours, wide in zip(low.states, high.states, strict=True):
        for p, q in zip(ours, wide, strict=True):
            q.copy_(p)
    low.step(grads)
    high.step([g.float() for g in grads])
    for p, q in zip(half, single, strict=True):
        assert same_bits(p, q.to(kind))
    for ours, wide in zip(low.states, high.states, strict=True):
        for p, q in zip(ours, wide, strict=True):
            assert same_bits(p, q.to(kind))


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_on_any_number_of_threads(name: str) -> None:
    results = []
    for threads in (1, 2, 3):
        tg.set_num_threads(threads)
        params = [tg.arange(n, dtype=tg.float32).sin() for n in (50_001, 17, 40_000, 3, 70_003)]
        updater = Updater(name, params)
        for step in range(3):
            updater.step([(p * (step + 1)).cos() for p in params])
        results.append(tg.cat(params))
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], results[2])


def test_groups_may_be_updated_by_several_threads_at_once() -> None:
    def work() -> tg.Tensor:
        p = tg.ones(100_000)
        adam = Updater("adam", [p])
        for _ in range(5):
            adam.step([p * 2])
        return p

    results = run_in_threads(work, work, work)
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], results[2])


def test_errors_name_the_operand_and_change_nothing() -> None:
    a, b = tg.ones(3), tg.ones(2, 2)
    grads: list[Any] = [tg.ones(3), tg.ones(2, 2)]

    def adam_with(**changes: Any) -> Any:
        def call() -> None:
            adam = Updater("adam_amsgrad", changes.get("params", [a, b]), **changes.get("more", {}))
            for name, value in changes.items():
                if name in adam.rule.states:
                    adam.states[adam.rule.states.index(name)] = value
                elif name not in ("params", "grads", "more"):
                    setattr(adam, name, value)
            adam.step(changes.get("grads", grads))

        return call

    four = tg.ones(4)
    integer = tg.ones(3, dtype=tg.int64)
    two = [tg.zeros(()), tg.zeros(())]
    cases: list[tuple[Any, type[Exception], str]] = [
        (adam_with(grads=[grads[0], four]), tg.ShapeError, r"parameter 1 .*\(2, 2\).*gradient"),
        (adam_with(grads=[grads[0], grads[1].double()]), tg.DTypeError, "parameter 1 .*float64"),
        (adam_with(grads=[grads[0]]), ValueError, "1 gradients for 2 parameters"),
        (adam_with(exp_avg=[a.clone(), four]), tg.ShapeError, "parameter 1 .* exp_avg "),
        (adam_with(exp_avg_sq=[a.clone()]), ValueError, "exp_avg_sq has 1 entries"),
        (adam_with(max_exp_avg_sq=()), ValueError, "max_exp_avg_sq has 0 entries"),
        (adam_with(states=[[], []]), ValueError, "'states' must have 3 lists"),
        (adam_with(scalars=[two, two]), ValueError, "'scalars' must have 1 lists"),
        (adam_with(scalars=[[tg.zeros(()), four]]), tg.DTypeError, "step of parameter 1"),
        (adam_with(scalars=[[tg.zeros(()), integer]]), tg.DTypeError, "step of parameter 1"),
        (adam_with(scalars=[[]]), ValueError, "step has 0 entries"),
        (adam_with(options=(0.1,)), ValueError, "takes 4 hyperparameters, got 1"),
        (adam_with(options=("x", 0.9, 0.9, 0.1)), TypeError, "lr must be a number, not str"),
        (adam_with(more={"first": [True] * 3}), ValueError, "first has 3 entries"),
        (adam_with(more={"factor": "x"}), TypeError, "str"),
        (adam_with(params=[a, integer]), tg.DTypeError, "parameter 1 is a int64"),
        (adam_with(grads=[grads[0], 3]), TypeError, "grads"),
        (adam_with(params=[a, tg.ones(1).expand(2, 2)]), tg.ShapeError, "clone"),
        (lambda: update_("adam", "Test", [a, 3], None, (), (), ()), TypeError, "params"),
        (lambda: update_("adam", "Test", a, None, (), (), ()), TypeError, "params"),
        (lambda: update_("adam", "Test", [a]), TypeError, "update_"),
        (lambda: update_("eve", "Test", [a], None, (), (), ()), ValueError, "'eve'"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
        assert a.tolist() == [1, 1, 1]
        assert b.tolist() == [[1, 1], [1, 1]]
        assert a._version == b._version == 0


def test_nothing_to_update_is_no_error() -> None:
    Updater("sgd", []).step([])
    Updater("sgd", [tg.ones(2)]).step(None)
    Updater("adam", []).step(None)
