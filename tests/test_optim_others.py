"""LBFGS, Muon and Lion; hooks; averages of weights; clipping of gradients."""

from __future__ import annotations

import copy
import doctest
import gc
import math
import pathlib
import weakref
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import to_numpy
from tapegrad import optim
from tapegrad.nn import utils
from tapegrad.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

# --- LBFGS ----------------------------------------------------------------------------------------

LBFGS_OPTIONS: list[dict[str, Any]] = [
    {"lr": 1e-3},
    {"lr": 0.5, "max_iter": 4, "history_size": 2},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 3, "history_size": 3},
    {"line_search_fn": "strong_wolfe", "max_eval": 5, "tolerance_change": 1e-3},
    {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-2},
]
PROBLEMS = ("rosenbrock", "quadratic", "waves")


def objective(library: Any, problem: str, x: Any, y: Any) -> Any:
    if problem == "rosenbrock":
        return ((1 - x) ** 2).sum() + 100 * ((y - x**2) ** 2).sum()
    if problem == "quadratic":
        return (x * x * library.tensor([1.0, 10.0], dtype=x.dtype)).sum() + (y - 3).pow(2).sum()
    return (library.sin(3 * x) + x**2 / 4).sum() + (library.cos(y) + y.abs() / 3).sum()


class Minimum:
    """One problem and one LBFGS of one library."""

    def __init__(self, library: Any, problem: str, options: dict[str, Any]) -> None:
        self.library, self.problem = library, problem
        self.x = library.tensor([-1.2, 0.7], dtype=library.float64, requires_grad=True)
        self.y = library.tensor([1.0, -0.3], dtype=library.float64, requires_grad=True)
        self.optimizer = library.optim.LBFGS([self.x, self.y], **options)
        self.losses: list[float] = []

    def closure(self) -> Any:
        self.optimizer.zero_grad()
        loss = objective(self.library, self.problem, self.x, self.y)
        loss.backward()
        self.losses.append(loss.item())
        return loss

    def step(self) -> float:
        return self.optimizer.step(self.closure).item()

    def point(self) -> list[float]:
        return [*self.x.tolist(), *self.y.tolist()]


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("options", LBFGS_OPTIONS)
def test_lbfgs_takes_pytorchs_path(options: dict[str, Any], problem: str) -> None:
    torch = pytest.importorskip("torch")
    if problem != "quadratic" and options.get("lr", 1) == 0.5:
        options = {**options, "lr": 1e-3}  # it diverges, and then nothing can be compared
    ours, theirs = Minimum(tg, problem, options), Minimum(torch, problem, options)
    for step in range(5):
        # The paths are chaotic: roundings grow from step to step.
        tolerance = 1e-11 * 30**step
        assert ours.step() == pytest.approx(theirs.step(), rel=tolerance, abs=tolerance)
        assert ours.point() == pytest.approx(theirs.point(), rel=tolerance, abs=tolerance)
        mine, other = (m.optimizer.state_dict()["state"][0] for m in (ours, theirs))
        assert mine["n_iter"] == other["n_iter"]
        assert mine["func_evals"] == other["func_evals"]
    assert len(ours.losses) == len(theirs.losses)


def test_lbfgs_finds_the_minimum() -> None:
    m = Minimum(tg, "rosenbrock", {"line_search_fn": "strong_wolfe", "max_iter": 100})
    for _ in range(3):
        m.step()
    assert m.point() == pytest.approx([1, 1, 1, 1], abs=1e-4)


def test_lbfgs_keeps_pytorchs_state() -> None:
    torch = pytest.importorskip("torch")
    options = {"line_search_fn": "strong_wolfe", "max_iter": 2}
    ours, theirs = Minimum(tg, "rosenbrock", options), Minimum(torch, "rosenbrock", options)
    for m in (ours, theirs):
        m.step()
    mine, other = (m.optimizer.state_dict()["state"][0] for m in (ours, theirs))
    assert sorted(mine) == sorted(other)
    twin = Minimum(tg, "rosenbrock", options)
    twin.optimizer.load_state_dict(theirs.optimizer.state_dict())
    with tg.no_grad():
        twin.x.copy_(ours.x)
        twin.y.copy_(ours.y)
    for m in (ours, twin):
        m.step()
    assert twin.point() == pytest.approx(ours.point(), rel=1e-9)


def test_lbfgs_resumes_from_a_file(tmp_path: Any) -> None:
    options = {"line_search_fn": "strong_wolfe", "max_iter": 2}
    first = Minimum(tg, "rosenbrock", options)
    first.step()
    second = Minimum(tg, "rosenbrock", options)
    state = copy.deepcopy(first.optimizer.state_dict())
    second.optimizer.load_state_dict(state)
    with tg.no_grad():
        second.x.copy_(first.x)
        second.y.copy_(first.y)
    for m in (first, second):
        m.step()
    assert first.point() == second.point()


def test_lbfgs_at_a_minimum_and_without_gradient_stands_still() -> None:
    x, unused = tg.zeros(2, requires_grad=True), tg.ones(3, requires_grad=True)
    optimizer = optim.LBFGS([x, unused])

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 0
    assert x.tolist() == [0, 0]
    with tg.no_grad():
        x.fill_(1.0)
    optimizer.step(closure)
    assert unused.tolist() == [1, 1, 1]
    assert float(x.detach().abs().max()) < 1


def test_lbfgs_checks_its_arguments() -> None:
    w = tg.ones(1, requires_grad=True)
    with pytest.raises(ValueError, match="parameter groups"):
        optim.LBFGS([{"params": [w]}, {"params": [tg.ones(1)]}])
    with pytest.raises(RuntimeError, match="line_search_fn='armijo'"):
        optim.LBFGS([w], line_search_fn="armijo")
    with pytest.raises(ValueError, match="LBFGS: Invalid learning rate: -1"):
        optim.LBFGS([w], lr=-1)
    optimizer = optim.LBFGS([w])
    with pytest.raises(ValueError, match="parameter groups"):
        optimizer.add_param_group({"params": [tg.ones(1)]})
    with pytest.raises(TypeError, match="closure is needed"):
        optimizer.step()

    def broken() -> Any:
        raise KeyError("from the closure")

    with pytest.raises(KeyError, match="from the closure"):
        optimizer.step(broken)
    assert w.item() == 1


def test_a_closure_that_fails_in_the_line_search_leaves_the_parameters() -> None:
    m = Minimum(tg, "rosenbrock", {"line_search_fn": "strong_wolfe"})
    before = m.point()
    calls = 0

    def closure() -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyError("too late")
        return m.closure()

    with pytest.raises(KeyError, match="too late"):
        m.optimizer.step(closure)
    assert m.point() == before


# --- Muon -----------------------------------------------------------------------------------------

MUON_OPTIONS: list[dict[str, Any]] = [
    {},
    {"nesterov": False, "momentum": 0.5, "weight_decay": 0.0},
    {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 3},
    {"adjust_lr_fn": "original", "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3},
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("options", MUON_OPTIONS)
def test_muon_follows_pytorch(options: dict[str, Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    if dtype == "bfloat16" and not options.get("nesterov", True):
        options = {**options, "nesterov": True}  # PyTorch's iteration overwrites its buffer there
    rng = np.random.default_rng(0)
    starts = [rng.standard_normal(s) for s in ((8, 5), (5, 8), (6, 6), (1, 4))]
    sides = []
    for library in (tg, torch):
        kind = getattr(library, dtype)
        params = [library.tensor(s, dtype=kind).requires_grad_() for s in starts]
        sides.append((library, kind, params, library.optim.Muon(params, lr=0.05, **options)))
    for _ in range(10):
        grads = [rng.standard_normal(s.shape) for s in starts]
        for library, kind, params, optimizer in sides:
            for p, g in zip(params, grads, strict=True):
                p.grad = library.tensor(g, dtype=kind)
            optimizer.step()
    # The iteration runs in bfloat16, whose roundings differ with the order of sums.
    tolerance = 0.05 if dtype == "bfloat16" else 0.02
    for p, q in zip(sides[0][2], sides[1][2], strict=True):
        np.testing.assert_allclose(
            to_numpy(p), q.detach().float().numpy(), rtol=tolerance, atol=tolerance
        )
    mine, other = (side[3].state_dict() for side in sides)
    assert mine["param_groups"] == other["param_groups"]
    for key, state in other["state"].items():
        np.testing.assert_allclose(
            to_numpy(mine["state"][key]["momentum_buffer"]),
            state["momentum_buffer"].float().numpy(),
            rtol=1e-2 if dtype == "bfloat16" else 1e-5,
            atol=1e-2 if dtype == "bfloat16" else 1e-6,
        )


def test_muon_makes_the_singular_values_equal() -> None:
    w = tg.zeros(20, 12, requires_grad=True)
    tg.manual_seed(0)
    w.grad = tg.randn(20, 12)
    optim.Muon([w], lr=1.0, weight_decay=0, momentum=0, nesterov=False).step()
    singular = tg.linalg.svdvals(w.detach()) / math.sqrt(20 / 12)
    assert float(singular.min()) > 0.6
    assert float(singular.max()) < 1.3


def test_muon_checks_its_options() -> None:
    w = [tg.ones(2, 2, requires_grad=True)]
    for options, message in (
        ({"lr": -1}, "Muon: Learning rate should be >= 0 but is: -1"),
        ({"momentum": -1}, "Muon: momentum should be >= 0 but is: -1"),
        ({"weight_decay": -1}, "weight decay should be >= 0 but is: -1"),
        ({"adjust_lr_fn": "x"}, "Adjust learning rate function x is not supported"),
        ({"ns_steps": 100}, "ns_steps=100"),
        ({"ns_coefficients": (1, 2)}, r"exactly 3 values, got \(1, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            optim.Muon(w, **options)
    with pytest.raises(ValueError, match=r"only supports 2D.*\(2,\)"):
        optim.Muon([tg.ones(2)])


# --- Lion -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"maximize": True}, {"betas": (0.5, 0.7)}])
def test_lion_follows_the_paper(options: dict[str, Any]) -> None:
    beta1, beta2 = options.get("betas", (0.9, 0.99))
    sign = -1 if options.get("maximize") else 1
    rng = np.random.default_rng(0)
    w = rng.standard_normal(50)
    m = np.zeros(50)
    ours = tg.tensor(w, requires_grad=True)
    optimizer = optim.Lion([ours], lr=0.1, weight_decay=0.3, **options)
    for _ in range(50):
        g = rng.standard_normal(50)
        ours.grad = tg.tensor(g)
        optimizer.step()
        g = sign * g
        w = w - 0.1 * (np.sign(beta1 * m + (1 - beta1) * g) + 0.3 * w)
        m = beta2 * m + (1 - beta2) * g
    np.testing.assert_allclose(ours.detach().numpy(), w, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(optimizer.state[ours]["exp_avg"].numpy(), m, rtol=1e-12)


# --- hooks ----------------------------------------------------------------------------------------


def make_sgd() -> Any:
    w = tg.ones(1, requires_grad=True)
    w.grad = tg.ones(1)
    return optim.SGD([w], lr=0.5)


def test_step_hooks_run_in_pytorchs_order() -> None:
    optimizer, seen = make_sgd(), []

    def note(name: str) -> Any:
        return lambda *args: seen.append((name, args[0] is optimizer, len(args)))

    handles = [
        register_optimizer_step_pre_hook(note("all before")),
        register_optimizer_step_post_hook(note("all after")),
        optimizer.register_step_pre_hook(note("before")),
        optimizer.register_step_post_hook(note("after")),
    ]
    optimizer.step()
    names = ["all before", "before", "after", "all after"]
    assert seen == [(name, True, 3) for name in names]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(seen) == 4


def test_a_pre_hook_changes_the_arguments() -> None:
    optimizer = make_sgd()
    optimizer.register_step_pre_hook(lambda *_: ((lambda: 7.0,), {}))
    assert optimizer.step() == 7.0
    optimizer.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step()


def test_hooks_run_once_where_a_step_calls_that_of_its_base() -> None:
    class Loud(optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    w = tg.ones(1, requires_grad=True)
    optimizer, seen = Loud([w]), []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    optimizer.step()
    optimizer.step()
    assert seen == [1, 1]


def test_state_dict_hooks() -> None:
    optimizer, seen = make_sgd(), []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("second"))
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "note": 1})
    optimizer.register_load_state_dict_pre_hook(
        lambda o, state: {k: v for k, v in state.items() if k != "note"}
    )
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    state = optimizer.state_dict()
    assert seen == ["first", "second"]
    assert state["note"] == 1
    optimizer.load_state_dict(state)
    assert seen[-1] == "loaded"


def test_copies_have_no_hooks() -> None:
    optimizer, seen = make_sgd(), []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    copy.deepcopy(optimizer).step()
    assert seen == []


@pytest.mark.parametrize("name", [n for n in optim.__all__ if n[0].isupper() and n != "Optimizer"])
def test_every_optimizer_dies_by_reference_count(name: str) -> None:
    gc.disable()
    try:
        w = tg.ones(2, 2, requires_grad=True)
        optimizer = getattr(optim, name)([w])

        def closure(w: Any = w) -> Any:
            w.grad = None
            loss = (w * w).sum()
            loss.backward()
            return loss

        assert optimizer.step(closure).item() == 4
        dead = weakref.ref(optimizer), weakref.ref(w)
        del optimizer, w, closure
        assert dead[0]() is None
        assert dead[1]() is None
    finally:
        gc.enable()


# --- averages of weights --------------------------------------------------------------------------


class Net(tg.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = tg.nn.Parameter(tg.arange(6, dtype=tg.float64).reshape(2, 3))
        self.small = tg.nn.Parameter(tg.ones(3))
        self.register_buffer("mean", tg.zeros(2))
        self.register_buffer("count", tg.tensor(0))

    def forward(self, x: Any) -> Any:
        return x @ self.weight


def drift(net: Any, step: int) -> None:
    with tg.no_grad():
        net.weight.copy_((net.weight + step).sin())
        net.small.copy_((net.small * step).cos())
        net.mean.fill_(step)
        net.count.fill_(step)


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("kind", ["default", "swa", "ema", "swa_multi", "ema_multi", "own"])
def test_averaged_model_follows_the_formula(kind: str, use_buffers: bool) -> None:
    swa_utils = optim.swa_utils
    options: dict[str, Any] = {
        "default": {},
        "swa": {"avg_fn": swa_utils.get_swa_avg_fn()},
        "ema": {"avg_fn": swa_utils.get_ema_avg_fn(0.7)},
        "swa_multi": {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()},
        "ema_multi": {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.7)},
        "own": {"avg_fn": lambda average, new, n: average.maximum(new)},
    }[kind]
    net = Net()
    average = swa_utils.AveragedModel(net, use_buffers=use_buffers, **options)
    expected: dict[str, np.ndarray] = {}
    for step in range(1, 8):
        drift(net, step)
        average.update_parameters(net)
        for name, value in (*net.named_parameters(), *net.named_buffers()):
            new = to_numpy(value)
            old = expected.get(name)
            copied = old is None or (name in ("mean", "count") and not use_buffers)
            if copied:
                expected[name] = new
            elif kind == "own":
                expected[name] = np.maximum(old, new)
            elif "ema" in kind:
                expected[name] = old + (new - old) * 0.3
            else:
                expected[name] = old + (new - old) / step
            if name == "count":
                expected[name] = expected[name].astype(np.int64)
    assert int(average.n_averaged) == 7
    for name, value in (*average.module.named_parameters(), *average.module.named_buffers()):
        np.testing.assert_allclose(to_numpy(value), expected[name], rtol=1e-5, err_msg=name)
        assert value.requires_grad == (name in ("weight", "small"))
    x = tg.ones(1, 2, dtype=tg.float64)
    assert tg.equal(average(x), average.module(x))
    again = swa_utils.AveragedModel(Net())
    again.load_state_dict(average.state_dict())
    assert int(again.n_averaged) == 7


@pytest.mark.parametrize("kind", ["default", "ema"])
def test_averaged_model_equals_pytorchs(kind: str) -> None:
    torch = pytest.importorskip("torch")
    results = []
    for library in (tg, torch):
        swa_utils = library.optim.swa_utils
        fn = None if kind == "default" else swa_utils.get_ema_multi_avg_fn(0.9)
        layer = library.nn.Linear(3, 2)
        average = swa_utils.AveragedModel(layer, multi_avg_fn=fn)
        for step in range(5):
            with library.no_grad():
                layer.weight.fill_(1 / (step + 3))
                layer.bias.fill_(step * 0.3)
            average.update_parameters(layer)
        results.append([*average.module.weight.ravel().tolist(), *average.module.bias.tolist()])
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def test_averaged_model_checks_its_arguments() -> None:
    swa_utils = optim.swa_utils
    with pytest.raises(AssertionError, match="Only one of"):
        swa_utils.AveragedModel(
            Net(), avg_fn=swa_utils.get_swa_avg_fn(), multi_avg_fn=swa_utils.get_swa_multi_avg_fn()
        )
    for make in (swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn):
        with pytest.raises(ValueError, match=r"Invalid decay value 1\.5"):
            make(1.5)
    with pytest.raises(ValueError, match="has 1 tensors to average, the average 2"):
        swa_utils.AveragedModel(Net()).update_parameters(tg.nn.Linear(1, 1, bias=False))


class Norm(tg.nn.Module):
    """Keeps the mean of what passes, as batch normalisation does."""

    def __init__(self) -> None:
        super().__init__()
        self.momentum: float | None = 0.1
        self.register_buffer("running_mean", tg.ones(1))
        self.seen = 0

    def reset_running_stats(self) -> None:
        self.running_mean.zero_()
        self.seen = 0

    def forward(self, x: Any) -> Any:
        assert self.training
        assert not tg.is_grad_enabled()
        self.seen += 1
        factor = 1 / self.seen if self.momentum is None else self.momentum
        self.running_mean.lerp_(x.mean().reshape(1), factor)
        return x


def test_update_bn_averages_over_all_batches() -> None:
    norm = Norm()
    model = tg.nn.Sequential(tg.nn.Identity(), norm).eval()
    batches = [tg.full((2,), float(v)) for v in (1, 2, 6)]
    optim.swa_utils.update_bn([batches[0], (batches[1], 0), [batches[2]]], model, device="cpu")
    assert norm.running_mean.item() == pytest.approx(3)
    assert norm.momentum == 0.1
    assert not model.training
    optim.swa_utils.update_bn(iter([]), tg.nn.Identity())
    with pytest.raises(RuntimeError):
        optim.swa_utils.update_bn([tg.ones(2), "x"], tg.nn.Sequential(norm, tg.nn.Linear(3, 1)))
    assert norm.momentum == 0.1


# --- clipping -------------------------------------------------------------------------------------


def parameters(library: Any, dtype: str = "float32", scale: float = 1.0) -> list[Any]:
    rng = np.random.default_rng(0)
    params = []
    for shape in ((3, 4), (), (100,), (2, 1, 5)):
        kind = getattr(library, dtype)
        p = library.tensor(rng.standard_normal(shape), dtype=kind).requires_grad_()
        p.grad = library.tensor(scale * rng.standard_normal(shape), dtype=kind)
        params.append(p)
    params[1].grad = None
    return params


def grads_of(params: list[Any]) -> list[np.ndarray]:
    grads = [p.grad for p in params if p.grad is not None]
    return [to_numpy(g) if isinstance(g, tg.Tensor) else g.numpy() for g in grads]


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 0.5, 3, math.inf])
@pytest.mark.parametrize("max_norm", [0.1, 5.0, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clip_grad_norm_equals_pytorchs(dtype: str, max_norm: float, norm_type: float) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = parameters(tg, dtype), parameters(torch, dtype)
    norm = utils.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    assert norm.item() == pytest.approx(expected.item(), rel=tolerance)
    for g, h in zip(grads_of(ours), grads_of(theirs), strict=True):
        np.testing.assert_allclose(g, h, rtol=tolerance)
    again = utils.get_total_norm([p.grad for p in ours if p.grad is not None], norm_type)
    assert again.item() <= max_norm * (1 + 1e-5)


def test_gradients_within_the_norm_are_not_touched() -> None:
    params = parameters(tg)
    versions = [p.grad._version for p in params if p.grad is not None]
    utils.clip_grad_norm_(params, 1e6)
    assert [p.grad._version for p in params if p.grad is not None] == versions


def test_clip_grad_norm_of_one_none_and_nothing() -> None:
    (single, *_), none = parameters(tg), tg.ones(2, requires_grad=True)
    assert utils.clip_grad_norm_(single, 0.5).item() > 0.5
    assert single.grad.norm().item() == pytest.approx(0.5, rel=1e-5)
    assert utils.clip_grad_norm_(none, 1.0).item() == 0
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    assert utils.get_total_norm([]).item() == 0
    with pytest.warns(UserWarning, match="empty generator"):
        utils.clip_grad_norm_((p for p in []), 1.0)
    utils.clip_grads_with_norm_([none], 1.0, tg.tensor(5.0))
    utils.clip_grad_value_(none, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_gradients_under_clipping(bad: float) -> None:
    params = parameters(tg)
    params[2].grad[7] = bad
    before = grads_of(params)
    with pytest.raises(RuntimeError, match=r"order 2.0 .* non-finite .*number 1\)"):
        utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    for g, h in zip(grads_of(params), before, strict=True):
        np.testing.assert_array_equal(g, h)
    norm = utils.clip_grad_norm_(params, 1.0)
    assert not math.isfinite(norm.item())
    assert np.isnan(grads_of(params)[1][7])


def test_clip_grad_value() -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = parameters(tg), parameters(torch)
    utils.clip_grad_value_(ours, 0.3)
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    for g, h in zip(grads_of(ours), grads_of(theirs), strict=True):
        np.testing.assert_array_equal(g, h)


FUSED = sorted(
    n for n in optim.__all__
    if n[0].isupper() and issubclass(getattr(optim, n), optim._fused.FusedOptimizer)
)  # fmt: skip


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_within_the_step_gives_the_same_bits(name: str, max_norm: float) -> None:
    sides = []
    for within in (False, True):
        params = parameters(tg)
        optimizer = getattr(optim, name)(params, lr=0.01)
        for step in range(3):
            for p in params[2:]:
                p.grad = (p.detach() * (step + 2)).sin()
            before = grads_of(params)
            utils.clip_grad_norm_(params, max_norm, optimizer=optimizer if within else None)
            for g, h in zip(grads_of(params), before, strict=True):
                assert np.array_equal(g, h) == (within or max_norm == 100)
            optimizer.step()
            params[0].grad = None
        sides.append(params)
    for p, q in zip(*sides, strict=True):
        assert tg.equal(p, q)


def test_clipping_within_the_step_lasts_for_one_step() -> None:
    w = tg.zeros(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)
    w.grad = tg.tensor([4.0])
    utils.clip_grad_norm_([w], 1.0, optimizer=optimizer)
    optimizer.step()
    assert w.item() == pytest.approx(-1.0)
    optimizer.step()
    assert w.item() == pytest.approx(-5.0)
    utils.clip_grad_norm_([w], 1.0, optimizer=optimizer)
    optimizer.zero_grad()
    w.grad = tg.tensor([4.0])
    optimizer.step()
    assert w.item() == pytest.approx(-9.0)


def test_clipping_within_the_step_checks_the_optimizer() -> None:
    a, b = (tg.zeros(1, requires_grad=True) for _ in range(2))
    a.grad, b.grad = tg.ones(1), tg.ones(1)
    with pytest.raises(ValueError, match="0 of those given are not, 1 of its own are missing"):
        utils.clip_grad_norm_([a], 0.1, optimizer=optim.SGD([a, b]))
    with pytest.raises(TypeError, match="LBFGS cannot clip within its step"):
        utils.clip_grad_norm_([a], 0.1, optimizer=optim.LBFGS([a]))
    assert a.grad.item() == 1


# --- parameters as one vector ---------------------------------------------------------------------


def test_parameters_to_vector_and_back() -> None:
    params = parameters(tg)
    vector = utils.parameters_to_vector(params)
    assert vector.shape == (123,)
    assert vector.requires_grad
    vector.sum().backward()
    assert params[1].grad.item() == 1
    new = tg.arange(123.0)
    utils.vector_to_parameters(new, params)
    assert params[0].tolist() == new[:12].reshape(3, 4).tolist()
    assert params[3].requires_grad
    assert utils.parameters_to_vector(params).tolist() == new.tolist()
    with pytest.raises(TypeError, match="expected a Tensor, but got: list"):
        utils.vector_to_parameters([1.0], params)
    with pytest.raises(ValueError, match="have 123 elements, the vector of shape"):
        utils.vector_to_parameters(tg.zeros(5), params)
    with pytest.raises(ValueError, match="no parameters"):
        utils.parameters_to_vector([])
    assert params[0].tolist() == new[:12].reshape(3, 4).tolist()


def test_the_page_of_optimizers_runs_and_names_them_all() -> None:
    page = pathlib.Path(__file__).parents[1] / "docs" / "optimizers.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0
    names = [n for n in (*optim.__all__, *optim.lr_scheduler.__all__) if n[0].isupper()]
    text = page.read_text(encoding="utf-8")
    assert [n for n in names if f"`{n}`" not in text] == ["Optimizer", "LRScheduler"]
