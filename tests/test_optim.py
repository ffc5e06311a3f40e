"""Optimizers: update rules against their formulas, groups, state."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import optim
from tapegrad.testing import assert_close

START = [[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]]


def gradient(step, i, j):
    return math.sin(1.0 + step + 2 * i + 3 * j)


def run(make, steps=5):
    """Parameters after ``steps`` updates with fixed gradients, in float64."""
    params = [tg.tensor(row, dtype=tg.float64, requires_grad=True) for row in START]
    optimizer = make(params)
    for step in range(steps):
        for i, p in enumerate(params):
            p.grad = tg.tensor([gradient(step, i, j) for j in range(3)], dtype=tg.float64)
        optimizer.step()
    return [p.tolist() for p in params]


def reference(update, steps=5):
    """The same with ``update(w, g, state, t)`` on plain numbers."""
    rows = [list(row) for row in START]
    states = [[{} for _ in row] for row in rows]
    for step in range(steps):
        for i, row in enumerate(rows):
            for j, w in enumerate(row):
                row[j] = update(w, gradient(step, i, j), states[i][j], step + 1)
    return rows


def sgd(lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    def update(w, g, state, t):
        g = (-g if maximize else g) + weight_decay * w
        if momentum:
            state["b"] = g if t == 1 else momentum * state["b"] + (1 - dampening) * g
            g = g + momentum * state["b"] if nesterov else state["b"]
        return w - lr * g

    return update


def adam(lr, betas, eps, weight_decay=0.0, amsgrad=False, maximize=False, decoupled=False):
    def update(w, g, state, t):
        g = -g if maximize else g
        if decoupled:
            w *= 1 - lr * weight_decay
        else:
            g += weight_decay * w
        m = state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
        v = state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g * g
        if amsgrad:
            v = state["max"] = max(state.get("max", 0), v)
        m_hat = m / (1 - betas[0] ** t)
        return w - lr * m_hat / (math.sqrt(v) / math.sqrt(1 - betas[1] ** t) + eps)

    return update


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "dampening": 0.3},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"weight_decay": 0.1, "maximize": True},
    ],
)
def test_sgd(options):
    ours = run(lambda params: optim.SGD(params, lr=0.1, **options))
    assert_close(ours, reference(sgd(0.1, **options)), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True, "weight_decay": 0.2}],
)
@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
def test_adam(kind, options):
    betas, eps = (0.8, 0.95), 1e-6
    ours = run(lambda params: kind(params, lr=0.1, betas=betas, eps=eps, **options))
    options = dict(options)
    if kind is optim.AdamW:
        options = {"weight_decay": 0.01, "decoupled": True, **options}
    assert_close(ours, reference(adam(0.1, betas, eps, **options)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_minimises(kind):
    w = tg.tensor([3.0, -2.0], requires_grad=True)
    optimizer = kind([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        losses = [optimizer.step(closure).item() for _ in range(200)]
    assert losses[0] == 13
    assert losses[-1] < 1e-2


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    ],
)
def test_parameters_without_gradient_are_left_alone(make):
    a, b = (tg.ones(2, requires_grad=True) for _ in range(2))
    optimizer = make([a, b])
    optimizer.step()
    assert a.tolist() == b.tolist() == [1, 1]
    assert optimizer.state_dict()["state"] == {}
    for with_a, known in ((False, [1]), (False, [1]), (True, [0, 1])):
        a.grad = tg.ones(2) if with_a else None
        b.grad = tg.ones(2)
        optimizer.step()
        assert sorted(optimizer.state_dict()["state"]) == known
    assert b[0].item() < a[0].item() < 1
    b.grad = None
    before = b.tolist()
    optimizer.step()
    assert b.tolist() == before


def test_defaults_are_pytorchs():
    w = [tg.ones(1, requires_grad=True)]
    assert optim.SGD(w).state_dict()["param_groups"] == [
        {
            "lr": 0.001,
            "momentum": 0,
            "dampening": 0,
            "weight_decay": 0,
            "nesterov": False,
            "maximize": False,
            "foreach": None,
            "differentiable": False,
            "fused": None,
            "params": [0],
        }
    ]
    adam_group = optim.Adam(w).param_groups[0]
    assert (adam_group["lr"], adam_group["betas"], adam_group["eps"]) == (1e-3, (0.9, 0.999), 1e-8)
    assert (adam_group["weight_decay"], optim.AdamW(w).param_groups[0]["weight_decay"]) == (0, 0.01)


def test_groups_have_their_own_options():
    a, b, c = (tg.zeros(1, requires_grad=True) for _ in range(3))
    optimizer = optim.SGD([{"params": a}, {"params": [b], "lr": 1.0}], lr=0.5)
    optimizer.add_param_group({"params": [c], "lr": tg.tensor(2.0)})
    for p in (a, b, c):
        p.grad = tg.ones(1)
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == [-0.5, -1.0, -2.0]
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert a.item() == -0.5
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]


def test_named_parameters():
    model = tg.nn.Linear(1, 1)
    optimizer = optim.SGD(model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    with pytest.raises(ValueError, match="with/without names"):
        optimizer.add_param_group({"params": [tg.ones(1, requires_grad=True)]})


def test_zero_grad():
    w = tg.ones(2, requires_grad=True)
    optimizer = optim.SGD([w])
    w.grad = w * 2
    assert w.grad.requires_grad
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0, 0]
    assert not w.grad.requires_grad
    optimizer.zero_grad()
    assert w.grad is None


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
        lambda p: optim.AdamW(p, lr=0.1),
    ],
)
@pytest.mark.parametrize("through_a_file", [False, True])
def test_training_resumes_from_a_state_dict(make, through_a_file, tmp_path):
    def loss(w):
        return ((w - 1) ** 2 * tg.tensor([1.0, 10.0])).sum()

    def train(w, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss(w).backward()
            optimizer.step()

    first = tg.tensor([3.0, -2.0], requires_grad=True)
    optimizer = make([first])
    train(first, optimizer, 3)
    state = optimizer.state_dict()
    if through_a_file:
        tg.save(state, tmp_path / "optimizer.safetensors")
        state = tg.load(tmp_path / "optimizer.safetensors")
    second = first.detach().clone().requires_grad_(True)
    resumed = make([second])
    resumed.load_state_dict(state)
    train(first, optimizer, 3)
    train(second, resumed, 3)
    assert first.tolist() == second.tolist()
    assert resumed.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_state_is_cast_to_the_parameter_and_copied():
    single = tg.ones(2, requires_grad=True)
    single.grad = tg.ones(2)
    optimizer = optim.Adam([single])
    optimizer.step()
    double = tg.ones(2, dtype=tg.float64, requires_grad=True)
    other = optim.Adam([double], lr=1.0)
    other.load_state_dict(optimizer.state_dict())
    state = other.state[double]
    assert state["exp_avg"].dtype == tg.float64
    assert state["step"].dtype == tg.float32
    assert state["step"].item() == 1
    assert other.param_groups[0]["lr"] == 1e-3
    state["exp_avg"].zero_()
    assert optimizer.state[single]["exp_avg"][0].item() > 0


def test_a_state_dict_that_does_not_fit_changes_nothing():
    a = tg.ones(2, requires_grad=True)
    a.grad = tg.ones(2)
    optimizer = optim.Adam([a])
    optimizer.step()
    state = optimizer.state_dict()
    other = optim.Adam([tg.ones(3, requires_grad=True)], lr=0.5)
    with pytest.raises(ValueError, match=r"'exp_avg' of parameter 0 has shape \(2,\)"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="different number of parameter groups: 2 instead of 1"):
        other.load_state_dict({"state": {}, "param_groups": state["param_groups"] * 2})
    with pytest.raises(ValueError, match="group 0 has 2 parameters instead of 1"):
        other.load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]})
    with pytest.raises(ValueError, match="no entry 'state'"):
        other.load_state_dict({})
    assert other.state_dict()["state"] == {}
    assert other.param_groups[0]["lr"] == 0.5


def test_step_counts_are_doubles_where_tensors_are() -> None:
    w = tg.ones(1, requires_grad=True)
    w.grad = tg.ones(1)
    tg.set_default_dtype(tg.float64)
    try:
        optimizer = optim.NAdam([w])
        optimizer.step()
    finally:
        tg.set_default_dtype(tg.float32)
    state = optimizer.state[w]
    assert state["step"].dtype == state["mu_product"].dtype == tg.float64
    assert state["exp_avg"].dtype == tg.float32
    optimizer.step()
    assert state["step"].item() == 2


def test_early_checkpoints_hold_numbers_and_none() -> None:
    w = tg.ones(1, requires_grad=True)
    w.grad = tg.ones(1)
    optimizer = optim.Adam([w])
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"] = {0: {**saved["state"][0], "step": 7, "max_exp_avg_sq": None}}
    del saved["param_groups"][0]["decoupled_weight_decay"]
    optimizer.load_state_dict(saved)
    assert optimizer.state[w]["step"].item() == 7
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is False
    optimizer.step()
    assert optimizer.state[w]["step"].item() == 8
    assert "max_exp_avg_sq" not in optimizer.state[w]


def test_adamw_loads_a_state_of_adam_and_keeps_its_decay() -> None:
    w = tg.ones(1, requires_grad=True)
    optimizer = optim.AdamW([w])
    optimizer.load_state_dict(optim.Adam([w]).state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


def test_deepcopy_goes_with_its_parameters():
    w = tg.ones(2, requires_grad=True)
    w.grad = tg.ones(2)
    optimizer = optim.Adam([w], lr=0.1)
    optimizer.step()
    twin_w, twin = copy.deepcopy((w, optimizer))
    assert twin.param_groups[0]["params"][0] is twin_w
    twin_w.grad = tg.ones(2)
    twin.step()
    assert twin.state[twin_w]["step"].item() == 2
    assert optimizer.state[w]["step"].item() == 1
    assert twin_w[0].item() < w[0].item()


DECAY = [({"weight_decay": -1}, "Invalid weight_decay value: -1")]
ADAPTIVE = [
    ({"lr": -1.0}, "Invalid learning rate: -1.0"),
    ({"lr": math.nan}, "Invalid learning rate: nan"),
    ({"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
    ({"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
    ({"eps": -1e-8}, "Invalid epsilon value: -1e-08"),
    *DECAY,
]
BAD_OPTIONS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "SGD": [
        ({"lr": -1.0}, "Invalid learning rate: -1.0"),
        ({"lr": tg.tensor([1.0, 2.0])}, "Tensor lr must be 1-element"),
        ({"momentum": -0.1}, "Invalid momentum value: -0.1"),
        ({"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        *DECAY,
    ],
    "Adam": ADAPTIVE,
    "AdamW": ADAPTIVE,
    "Adamax": ADAPTIVE,
    "RAdam": ADAPTIVE,
    "NAdam": [*ADAPTIVE, ({"momentum_decay": -2}, "Invalid momentum_decay value: -2")],
    "RMSprop": [
        ({"momentum": -0.1}, "Invalid momentum value: -0.1"),
        ({"alpha": -0.1}, "Invalid alpha value: -0.1"),
        ({"eps": -0.1}, "Invalid epsilon value: -0.1"),
        *DECAY,
    ],
    "Rprop": [
        ({"lr": -1}, "Invalid learning rate: -1"),
        ({"etas": (0.5, 0.9)}, "Invalid eta values: 0.5, 0.9"),
    ],
    "Adagrad": [
        ({"lr_decay": -1}, "Invalid lr_decay value: -1"),
        ({"initial_accumulator_value": -1}, "Invalid initial_accumulator_value value: -1"),
        ({"eps": -1}, "Invalid epsilon value: -1"),
        *DECAY,
    ],
    "Adadelta": [
        ({"rho": 1.5}, "Invalid rho value: 1.5"),
        ({"eps": -1}, "Invalid epsilon value: -1"),
        *DECAY,
    ],
    "ASGD": [({"lr": -1}, "Invalid learning rate: -1"), *DECAY],
    "Lion": [
        ({"lr": -1}, "Invalid learning rate: -1"),
        ({"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        *DECAY,
    ],
    "Adafactor": [
        ({"lr": -1}, "Learning rate should be >= 0 but is: -1"),
        ({"beta2_decay": 1}, "beta2_decay should be <= 0 but is: 1"),
        ({"eps": (-1, 0)}, "epsilon1 should be >= 0 but is: -1"),
        ({"eps": (None, -1)}, "epsilon2 should be >= 0 but is: -1"),
        ({"d": 0.5}, "Clipping threshold d should be >= 1 but is: 0.5"),
        ({"weight_decay": -1}, "weight_decay should be >= 0 but is: -1"),
    ],
}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [(name, *case) for name, cases in BAD_OPTIONS.items() for case in cases],
)
def test_options_are_checked(name: str, options: dict[str, Any], message: str) -> None:
    kind = getattr(optim, name)
    message = "^" + re.escape(f"{name}: {message}")
    with pytest.raises(ValueError, match=message):
        kind([tg.ones(1, requires_grad=True)], **options)
    optimizer = kind([tg.ones(1, requires_grad=True)])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [tg.ones(1, requires_grad=True)], **options})
    assert len(optimizer.param_groups) == 1


def test_an_option_that_needs_state_cannot_come_late() -> None:
    w = tg.ones(1, requires_grad=True)
    w.grad = tg.ones(1)
    optimizer = optim.Adam([w])
    optimizer.step()
    optimizer.param_groups[0]["amsgrad"] = True
    before = w.item()
    with pytest.raises(KeyError, match="Adam: the state of a parameter has no 'max_exp_avg_sq'"):
        optimizer.step()
    assert w.item() == before
    assert optimizer.state[w]["step"].item() == 1


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", sorted(BAD_OPTIONS))
def test_a_gradient_that_does_not_fit_changes_nothing(name: str, grouped: bool) -> None:
    a, b = (tg.ones(2, requires_grad=True) for _ in range(2))
    a.grad = tg.ones(2)
    optimizer = getattr(optim, name)([{"params": a}, {"params": b}] if grouped else [a, b])
    before = len(optimizer.state)
    b.grad = tg.ones(2)
    b.data = tg.ones(3)
    with pytest.raises(ValueError, match=rf"^{name}: "):
        optimizer.step()
    assert a.tolist() == [1, 1]
    assert len(optimizer.state) == before


def test_parameters_are_checked():
    w = tg.ones(1, requires_grad=True)
    with pytest.raises(TypeError, match="iterable of Tensors or dicts"):
        optim.SGD(w)
    with pytest.raises(ValueError, match="empty parameter list"):
        optim.SGD([])
    with pytest.raises(ValueError, match="non-leaf"):
        optim.SGD([w * 2])
    with pytest.raises(TypeError, match="can only optimize Tensors, but got float"):
        optim.SGD([1.0])
    with pytest.raises(ValueError, match="more than one parameter group"):
        optim.SGD([{"params": w}, {"params": w}])
    with pytest.raises(ValueError, match=r"SGD: .*appears twice .* number 0 and number 1"):
        optim.SGD([w, w])
    with pytest.raises(ValueError, match="Some param names are missing"):
        optim.SGD([("w", w), tg.ones(1)])
    with pytest.raises(KeyError, match="SGD: a parameter group needs an entry 'params'"):
        optim.SGD([{"lr": 1.0}])
    with pytest.raises(TypeError, match="SGD: param_group must be a dict, but got list"):
        optim.SGD([w]).add_param_group([w])
    with pytest.raises(TypeError, match="sets"):
        optim.SGD([{"params": {w}}])


def test_repr():
    text = repr(optim.SGD([tg.ones(1, requires_grad=True)], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n")
    assert "    lr: 0.5\n" in text
    assert text.endswith(")")


def test_a_base_optimizer_has_no_rule():
    optimizer = optim.Optimizer([tg.ones(1, requires_grad=True)], {"lr": 1})
    with pytest.raises(NotImplementedError, match="needs a step method"):
        optimizer.step()
    needed = optim.optimizer.required
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        optim.Optimizer([tg.ones(1, requires_grad=True)], {"lr": needed})
