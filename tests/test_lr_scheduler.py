"""Schedules beside PyTorch's: 200 steps, state dicts, warnings, errors."""

from __future__ import annotations

import gc
import math
import warnings
import weakref
from typing import Any

import pytest

import tapegrad as tg

STEPS = 200


class Halving:
    """A function of the step with state of its own."""

    def __init__(self, base: float = 0.99) -> None:
        self.base = base

    def __call__(self, step: float) -> float:
        return self.base**step


# (name, options); a function of the library where it needs one.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "lambda": ("LambdaLR", {"lr_lambda": lambda step: 0.95**step}),
    "lambdas": ("LambdaLR", {"lr_lambda": [lambda step: 1 / (1 + step), Halving()]}),
    "multiplicative": ("MultiplicativeLR", {"lr_lambda": lambda step: 1 - 1 / (step + 2)}),
    "step": ("StepLR", {"step_size": 7, "gamma": 0.7}),
    "multistep": ("MultiStepLR", {"milestones": [3, 50, 50, 120], "gamma": 0.3}),
    "constant": ("ConstantLR", {"factor": 0.3, "total_iters": 20}),
    "constant by default": ("ConstantLR", {}),
    "linear": ("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 90}),
    "linear by default": ("LinearLR", {}),
    "exponential": ("ExponentialLR", {"gamma": 0.97}),
    "polynomial": ("PolynomialLR", {"total_iters": 150, "power": 2.0}),
    "cosine": ("CosineAnnealingLR", {"T_max": 40, "eta_min": 0.01}),
    "cosine of odd length": ("CosineAnnealingLR", {"T_max": 7}),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 11, "eta_min": 0.001}),
    "growing restarts": ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2}),
    "cycle": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 13}),
    "cycle, halving": (
        "CyclicLR",
        {
            "base_lr": [0.01, 0.1],
            "max_lr": [0.5, 0.3],
            "step_size_up": 13,
            "step_size_down": 6,
            "mode": "triangular2",
            "base_momentum": [0.7, 0.6],
        },
    ),
    "cycle, exponential": (
        "CyclicLR",
        {
            "base_lr": 0.01,
            "max_lr": 0.5,
            "step_size_up": 9,
            "mode": "exp_range",
            "gamma": 0.99,
            "cycle_momentum": False,
        },
    ),
    "cycle, own scale": (
        "CyclicLR",
        {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 9, "scale_fn": Halving(0.5)},
    ),
    "one cycle": ("OneCycleLR", {"max_lr": 0.5, "total_steps": STEPS + 1}),
    "one cycle, three phases": (
        "OneCycleLR",
        {
            "max_lr": [0.5, 0.2],
            "epochs": 21,
            "steps_per_epoch": 10,
            "anneal_strategy": "linear",
            "pct_start": 0.4,
            "three_phase": True,
            "div_factor": 10,
            "final_div_factor": 100,
            "base_momentum": 0.7,
        },
    ),
    "one cycle, no momentum": (
        "OneCycleLR",
        {"max_lr": 0.5, "total_steps": STEPS + 1, "cycle_momentum": False},
    ),
    "plateau": ("ReduceLROnPlateau", {"patience": 3, "factor": 0.8, "min_lr": [0.01, 0.0]}),
    "plateau, largest": (
        "ReduceLROnPlateau",
        {"mode": "max", "patience": 2, "cooldown": 4, "threshold_mode": "abs", "threshold": 0.1},
    ),
    "plateau, relative": (
        "ReduceLROnPlateau",
        {"mode": "max", "patience": 2, "factor": 0.9, "threshold": 0.01, "eps": 0.02},
    ),
    "swa": ("SWALR", {"swa_lr": 0.05, "anneal_epochs": 30}),
    "swa, linear": ("SWALR", {"swa_lr": [0.05, 0.2], "anneal_strategy": "linear"}),
    "swa at once": ("SWALR", {"swa_lr": 0.05, "anneal_epochs": 0}),
    "sequence": ("SequentialLR", {}),
    "sequence of sequences": ("nested", {}),
    "chain": ("ChainedScheduler", {}),
}
CHAINABLE = ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine"]


def build(library: Any, case: str, optimizer: Any) -> Any:
    name, options = CASES[case]
    s = library.optim.lr_scheduler
    if name == "SWALR":
        return library.optim.swa_utils.SWALR(optimizer, **options)
    if name == "SequentialLR":
        parts = [
            s.LinearLR(optimizer, 0.1, total_iters=10),
            s.CosineAnnealingLR(optimizer, T_max=60),
            s.ExponentialLR(optimizer, 0.95),
        ]
        return s.SequentialLR(optimizer, parts, milestones=[10, 90])
    if name == "nested":
        inner = [s.ConstantLR(optimizer, 0.5, total_iters=5), s.StepLR(optimizer, 10)]
        parts = [s.SequentialLR(optimizer, inner, [7]), s.ExponentialLR(optimizer, 0.9)]
        return s.SequentialLR(optimizer, parts, milestones=[40])
    if name == "ChainedScheduler":
        parts = [s.ConstantLR(optimizer, 0.1, total_iters=2), s.ExponentialLR(optimizer, 0.97)]
        return s.ChainedScheduler(parts, optimizer)
    return getattr(s, name)(optimizer, **options)


def make(library: Any, case: str, kind: str = "SGD", tensor_lr: bool = False) -> tuple[Any, Any]:
    params = [library.ones(1, requires_grad=True) for _ in range(2)]
    groups = [{"params": params[0]}, {"params": params[1], "lr": 0.3}]
    options = {"momentum": 0.5} if kind == "SGD" else {"betas": (0.5, 0.99)}
    lr = library.tensor(0.1, dtype=library.float64) if tensor_lr else 0.1
    optimizer = getattr(library.optim, kind)(groups, lr=lr, **options)
    with warnings.catch_warnings():
        if library is not tg:  # PyTorch warns of the order while it builds a nested sequence
            warnings.simplefilter("ignore")
        return optimizer, build(library, case, optimizer)


def metric(step: int) -> float:
    return math.sin(step / 9) + 1 / (1 + step)


def advance(case: str, optimizer: Any, scheduler: Any, step: int) -> None:
    optimizer.step()
    scheduler.step(*([metric(step)] if "plateau" in case else []))


def groups_of(optimizer: Any) -> list[dict[str, Any]]:
    left_out = ("params", "foreach", "fused")
    return [
        {k: v for k, v in group.items() if k not in left_out} for group in optimizer.param_groups
    ]


def plain(value: Any) -> Any:
    """A state without what differs: functions, and the types of containers."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return float(value) if hasattr(value, "item") else value


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("case", sorted(CASES))
def test_two_hundred_steps_equal_pytorchs(case: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = make(tg, case, kind), make(torch, case, kind)
    for step in range(STEPS):
        assert groups_of(ours[0]) == groups_of(theirs[0]), step
        assert ours[1].get_last_lr() == theirs[1].get_last_lr()
        for pair in (ours, theirs):
            advance(case, *pair, step)
    assert plain(ours[1].state_dict()) == plain(theirs[1].state_dict())


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_tensor_as_rate_changes_in_place(case: str) -> None:
    numbers, tensors = make(tg, case), make(tg, case, tensor_lr=True)
    rate = tensors[0].param_groups[0]["lr"]
    for step in range(30):
        for pair in (numbers, tensors):
            advance(case, *pair, step)
        assert tensors[0].param_groups[0]["lr"] is rate
        assert float(rate) == pytest.approx(numbers[0].param_groups[0]["lr"], rel=1e-12)
    assert tensors[1].get_last_lr()[0] is not rate


@pytest.mark.parametrize("case", sorted(CASES))
def test_schedules_resume_from_state_dicts(case: str) -> None:
    optimizer, scheduler = make(tg, case)
    for step in range(33):
        advance(case, optimizer, scheduler, step)
    saved = plain(scheduler.state_dict()), optimizer.state_dict()
    state = scheduler.state_dict()
    again = make(tg, case)
    again[1].load_state_dict(state)
    again[0].load_state_dict(saved[1])
    assert plain(state) == saved[0], "loading must leave the dict alone"
    for step in range(33, 80):
        for pair in ((optimizer, scheduler), again):
            advance(case, *pair, step)
        assert groups_of(optimizer) == groups_of(again[0])


@pytest.mark.parametrize("case", sorted(CASES))
def test_pytorchs_state_loads(case: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = make(tg, case), make(torch, case)
    for step in range(21):
        advance(case, *theirs, step)
    ours[1].load_state_dict(theirs[1].state_dict())
    ours[0].load_state_dict(theirs[0].state_dict())
    back = make(torch, case)
    back[1].load_state_dict(ours[1].state_dict())
    for mine, other in zip(ours[0].param_groups, back[0].param_groups, strict=True):
        other.update({k: v for k, v in mine.items() if k != "params"})
    for step in range(21, 60):
        for pair in (ours, theirs, back):
            advance(case, *pair, step)
        assert groups_of(ours[0]) == groups_of(theirs[0]) == groups_of(back[0])


@pytest.mark.parametrize("case", CHAINABLE)
def test_an_epoch_takes_the_closed_form(case: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = make(tg, case), make(torch, case)
    for epoch in (0, 3, 17, 16, 100, 180):
        rates = []
        for optimizer, scheduler in (ours, theirs):
            optimizer.step()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scheduler.step(epoch)
            rates.append(scheduler.get_last_lr())
        assert rates[0] == rates[1]


def test_restarts_take_fractions() -> None:
    torch = pytest.importorskip("torch")
    for case in ("restarts", "growing restarts"):
        ours, theirs = make(tg, case), make(torch, case)
        for epoch in (0.5, 4.75, 5, 11.25, 40.5):
            for optimizer, scheduler in (ours, theirs):
                optimizer.step()
                scheduler.step(epoch)
            assert groups_of(ours[0]) == groups_of(theirs[0])


@pytest.mark.parametrize("case", CHAINABLE)
def test_resuming_by_last_epoch(case: str) -> None:
    torch = pytest.importorskip("torch")
    rates = []
    for library in (tg, torch):
        optimizer, scheduler = make(library, case)
        for step in range(15):
            advance(case, optimizer, scheduler, step)
        name, options = CASES[case]
        resumed = getattr(library.optim.lr_scheduler, name)(
            optimizer, **options, last_epoch=scheduler.last_epoch
        )
        optimizer.step()
        resumed.step()
        rates.append(resumed.get_last_lr())
    assert rates[0] == rates[1]
    fresh = tg.optim.SGD([tg.ones(1)], lr=0.1)
    with pytest.raises(KeyError, match=r"'initial_lr' is not specified in param_groups\[0\]"):
        build_with_epoch(fresh)


def build_with_epoch(optimizer: Any) -> Any:
    return tg.optim.lr_scheduler.StepLR(optimizer, 3, last_epoch=4)


def test_the_order_of_the_two_steps_is_watched() -> None:
    optimizer, scheduler = make(tg, "step")
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()  # said once
    optimizer, scheduler = make(tg, "step")
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="has been overridden"):
        scheduler.step()
    optimizer = tg.optim.SGD([tg.ones(1)])
    optimizer.step()
    scheduler = tg.optim.lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
        scheduler.step()


def test_get_lr_is_not_for_users() -> None:
    for case in ("step", "cycle", "restarts", "one cycle", "swa", "lambda"):
        _, scheduler = make(tg, case)
        with pytest.warns(UserWarning, match="please use `get_last_lr"):
            scheduler.get_lr()


def test_an_epoch_is_deprecated() -> None:
    optimizer, scheduler = make(tg, "step")
    optimizer.step()
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(3)
    _, scheduler = make(tg, "plateau")
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(1.0, 3)


def test_a_group_added_late_needs_its_rate_bound() -> None:
    optimizer, scheduler = make(tg, "plateau")
    optimizer.add_param_group({"params": [tg.ones(1)], "lr": 1.0})
    for _ in range(4):
        scheduler.step(1.0)
    with pytest.raises(RuntimeError, match=r"groups in the `optimizer` \(3\).*\(2\)"):
        scheduler.step(1.0)
    optimizer, scheduler = make(tg, "plateau, largest")
    optimizer.add_param_group({"params": [tg.ones(1)], "lr": 1.0})
    for _ in range(4):
        scheduler.step(1.0)
    assert scheduler.get_last_lr()[2] == pytest.approx(0.1)


def test_optimizers_and_schedules_die_by_reference_count() -> None:
    gc.disable()
    try:
        for case in CASES:
            optimizer, scheduler = make(tg, case)
            advance(case, optimizer, scheduler, 0)
            dead = weakref.ref(optimizer), weakref.ref(scheduler)
            del optimizer, scheduler
            assert dead[0]() is None, case
            assert dead[1]() is None, case
    finally:
        gc.enable()


S = tg.optim.lr_scheduler
SGD = tg.optim.SGD([tg.ones(1)], momentum=0.9)
RPROP = tg.optim.Rprop([tg.ones(1)])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: S.StepLR(1, 2), TypeError, "int is not an Optimizer"),
        (lambda: S.CyclicLR(None, 0, 1), TypeError, "NoneType is not an Optimizer"),
        (lambda: S.StepLR(SGD, 0), ValueError, "step_size must be positive, got 0"),
        (lambda: S.LambdaLR(SGD, [len, len]), ValueError, "Expected 1 lr_lambdas, but got 2"),
        (lambda: S.MultiplicativeLR(SGD, 3), TypeError, "should be a function, but got int"),
        (lambda: S.ConstantLR(SGD, 1.5), ValueError, "between 0 and 1, got factor=1.5"),
        (lambda: S.LinearLR(SGD, 0), ValueError, "start_factor=0"),
        (lambda: S.LinearLR(SGD, 0.5, 2.0), ValueError, "end_factor=2.0"),
        (lambda: S.CyclicLR(SGD, [0, 0], 1), ValueError, "base_lr has 2 values"),
        (lambda: S.CyclicLR(SGD, 0, 1, mode="square"), ValueError, "mode='square'"),
        (lambda: S.CyclicLR(SGD, 0, 1, 0), ValueError, "step_size_up=0"),
        (lambda: S.CyclicLR(RPROP, 0, 1), ValueError, "Rprop has neither"),
        (lambda: S.CosineAnnealingWarmRestarts(SGD, 0), ValueError, "positive integer T_0"),
        (lambda: S.CosineAnnealingWarmRestarts(SGD, 2, 0), ValueError, "T_mult >= 1, but got 0"),
        (lambda: S.CosineAnnealingWarmRestarts(SGD, 2, 1, "x"), ValueError, "int eta_min"),
        (lambda: S.CosineAnnealingWarmRestarts(SGD, 2).step(-1), ValueError, "Expected non-neg"),
        (lambda: S.OneCycleLR(SGD, 1.0), ValueError, "either total_steps OR"),
        (lambda: S.OneCycleLR(SGD, 1.0, 0), ValueError, "total_steps, but got 0"),
        (lambda: S.OneCycleLR(SGD, 1.0, None, 2, 0), ValueError, "steps_per_epoch, but got 0"),
        (lambda: S.OneCycleLR(SGD, 1.0, 9, pct_start=1.5), ValueError, "pct_start, but got 1.5"),
        (lambda: S.OneCycleLR(SGD, 1.0, 9, anneal_strategy="x"), ValueError, "instead got x"),
        (lambda: S.ReduceLROnPlateau(SGD, factor=1.0), ValueError, "factor=1.0"),
        (lambda: S.ReduceLROnPlateau(SGD, "least"), ValueError, "mode least is unknown"),
        (lambda: S.ReduceLROnPlateau(SGD, threshold_mode="x"), ValueError, "mode x is unknown"),
        (lambda: S.ReduceLROnPlateau(SGD, min_lr=[0, 0]), ValueError, "expected 1 min_lrs, got 2"),
        (lambda: S.SequentialLR(SGD, [], []), ValueError, "at least one scheduler"),
        (lambda: S.SequentialLR(SGD, [S.StepLR(SGD, 2)], [3]), ValueError, "one more than"),
        (lambda: S.SequentialLR(SGD, [3], []), TypeError, "index 0 should have `optimizer`"),
        (lambda: S.SequentialLR(RPROP, [S.StepLR(SGD, 2)], []), ValueError, "same optimizer"),
        (lambda: S.ChainedScheduler([]), ValueError, "at least one scheduler"),
        (
            lambda: S.ChainedScheduler([S.ReduceLROnPlateau(SGD)]),
            ValueError,
            "does not support `ReduceLROnPlateau`",
        ),
        (lambda: S.LRScheduler(SGD), NotImplementedError, "needs a get_lr"),
        (lambda: tg.optim.swa_utils.SWALR(SGD, [1, 2]), ValueError, "swa_lr has 2 values"),
        (lambda: tg.optim.swa_utils.SWALR(SGD, 1, 1.5), ValueError, "anneal_epochs must be"),
        (lambda: tg.optim.swa_utils.SWALR(SGD, 1, 1, "x"), ValueError, "instead got x"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_one_cycle_ends() -> None:
    optimizer, scheduler = make(tg, "one cycle")
    for _ in range(STEPS + 1):
        optimizer.step()
        scheduler.step()
    with pytest.raises(ValueError, match=f"Tried to step {STEPS + 2} times"):
        scheduler.step()


def test_a_factor_of_zero_comes_back() -> None:
    optimizer = tg.optim.SGD([tg.ones(1)], lr=0.5)
    scheduler = S.ConstantLR(optimizer, 0.0, total_iters=2)
    rates = []
    for _ in range(3):
        rates += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert rates == [0.0, 0.0, 0.5]
