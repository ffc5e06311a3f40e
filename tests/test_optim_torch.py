"""Every optimizer beside PyTorch's: 50 steps with every option, and state dicts both ways."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from optim_cases import CASES
from support import to_numpy

torch = pytest.importorskip("torch")

SHAPES = [(3, 4), (), (257,), (2, 3, 5), (1,)]
STEPS = 50

PAIRS = [(name, options) for name, cases in CASES.items() for options in cases]
NAMES = sorted(CASES)


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]


class Side:
    """Parameters and an optimizer of one library, fed with the same gradients as the other's."""

    def __init__(self, library: Any, name: str, options: dict[str, Any], dtype: str) -> None:
        self.library = library
        self.dtype = getattr(library, dtype)
        self.params = [self.tensor(v).requires_grad_() for v in arrays(0)]
        if library is torch and name not in ("Adafactor",):
            options = {**options, "foreach": False}
        groups = [{"params": self.params[:3]}, {"params": self.params[3:], "lr": 0.003}]
        self.optimizer = getattr(library.optim, name)(groups, **options)

    def tensor(self, value: np.ndarray) -> Any:
        tensor = self.library.tensor(value.ravel(), dtype=self.dtype)
        return tensor.reshape(value.shape).detach()

    def step(self, number: int) -> None:
        for i, (p, g) in enumerate(zip(self.params, arrays(number + 1), strict=True)):
            p.grad = None if (number + i) % 7 == 3 else self.tensor(g)
        if number == STEPS // 2:
            self.optimizer.param_groups[0]["lr"] *= 0.5
        self.optimizer.step()


def values(tensor: Any) -> np.ndarray:
    if isinstance(tensor, tg.Tensor):
        return to_numpy(tensor).astype(np.float64)
    return tensor.detach().to(torch.float64).numpy()


def assert_same(ours: Any, theirs: Any, tolerance: float) -> None:
    np.testing.assert_allclose(values(ours), values(theirs), rtol=tolerance, atol=tolerance)


def assert_same_state(ours: Any, theirs: Any, tolerance: float) -> None:
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert sorted(ours["state"]) == sorted(theirs["state"])
    for key, state in theirs["state"].items():
        assert sorted(ours["state"][key]) == sorted(state)
        for name, value in state.items():
            assert_same(ours["state"][key][name], value, tolerance)
            assert tuple(ours["state"][key][name].shape) == tuple(value.shape)
    for mine, yours in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        flags = ("foreach",)
        assert [k for k in mine if k not in flags] == [k for k in yours if k not in flags]
        for key, value in yours.items():
            assert key in flags or mine[key] == value


@pytest.mark.parametrize(("name", "options"), PAIRS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_fifty_steps(name: str, options: dict[str, Any], dtype: str, tolerance: float) -> None:
    ours, theirs = (Side(library, name, options, dtype) for library in (tg, torch))
    for number in range(STEPS):
        ours.step(number)
        theirs.step(number)
    for p, q in zip(ours.params, theirs.params, strict=True):
        assert_same(p, q, tolerance)
    assert_same_state(ours.optimizer, theirs.optimizer, 10 * tolerance)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("Rprop", "Adadelta")])
def test_half_types(name: str, dtype: str) -> None:
    # The usual eps of 1e-8 is 0 in float16.
    takes_eps = "eps" in inspect.signature(getattr(tg.optim, name)).parameters
    options = {"eps": 1e-3} if takes_eps and name != "Adafactor" else {}
    ours, theirs = (Side(library, name, options, dtype) for library in (tg, torch))
    for number in range(5):
        ours.step(number)
        theirs.step(number)
    tolerance = 0.02 if dtype == "float16" else 0.1
    for p, q in zip(ours.params, theirs.params, strict=True):
        assert_same(p, q, tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_state_dicts_load_both_ways(name: str) -> None:
    sides = [Side(library, name, CASES[name][-1], "float64") for library in (tg, torch)]
    for side in sides:
        for number in range(5):
            side.step(number)

    def as_torch(value: Any) -> Any:
        if isinstance(value, tg.Tensor):
            return torch.tensor(to_numpy(value), dtype=getattr(torch, str(value.dtype)[9:]))
        if isinstance(value, dict):
            return {k: as_torch(v) for k, v in value.items()}
        return value

    ours, theirs = sides
    fresh = [Side(library, name, {}, "float64") for library in (tg, torch)]
    fresh[0].optimizer.load_state_dict(theirs.optimizer.state_dict())
    fresh[1].optimizer.load_state_dict(as_torch(ours.optimizer.state_dict()))
    for side, origin in zip(fresh, (theirs, ours), strict=True):
        for p, q in zip(side.params, origin.params, strict=True):
            with side.library.no_grad():
                p.copy_(side.tensor(values(q)))
    assert_same_state(*(side.optimizer for side in fresh), 1e-12)
    for number in range(5, 10):
        for side in (*sides, *fresh):
            side.step(number)
    for tensors in zip(*(side.params for side in (*sides, *fresh)), strict=True):
        for other in tensors[1:]:
            np.testing.assert_allclose(values(tensors[0]), values(other), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*NAMES, "LBFGS", "Muon"])
def test_signature_is_pytorchs(name: str) -> None:
    ours, theirs = (
        inspect.signature(getattr(library.optim, name)).parameters for library in (tg, torch)
    )
    assert list(ours) == list(theirs)
    for parameter, other in zip(ours.values(), theirs.values(), strict=True):
        assert (parameter.default, parameter.kind) == (other.default, other.kind)
