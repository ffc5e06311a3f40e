"""The rules as tensor operations, which are recorded: what ``differentiable=True`` runs.

A formula takes the parameter, the gradient (with weight decay and sign in it), the state, the
hyperparameters and the number of the step, and returns the new parameter and the new state. Nothing
is changed in place, so that steps before this one can still be differentiated.
"""

from __future__ import annotations

import math

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor

    State = dict[str, Any]
    Options = dict[str, Any]
    Result = tuple[Tensor, State]
    Formula = Callable[[Tensor, Tensor, State, Options, float], Result]

__all__ = ["FORMULAS", "compose"]


def compose(
    rule: Any,
    param: Tensor,
    state: State,
    options: Options,
    factor: float,
    weight_decay: Any,
    shrink: Any,
) -> None:
    """One recorded step of ``rule`` for ``param``; ``state`` gets the new tensors."""
    grad = param.grad
    assert grad is not None
    step = 0.0
    if "step" in state:
        with no_grad():
            state["step"] += 1
        step = float(state["step"])
    old = param.clone() * shrink
    grad = grad * factor
    if not (isinstance(weight_decay, float) and weight_decay == 0):
        grad = grad + old * weight_decay
    new, changed = FORMULAS[rule.name](old, grad, state, options, step)
    param.copy_(new)
    state.update(changed)


def _sgd(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    return w - o["lr"] * g, {}


def _sgd_momentum(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    b = g if o["first"] else s["momentum_buffer"] * o["momentum"] + (1 - o["dampening"]) * g
    return w - o["lr"] * (g + o["momentum"] * b if o["nesterov"] else b), {"momentum_buffer": b}


def _moments(g: Tensor, s: State, o: Options) -> State:
    return {
        "exp_avg": s["exp_avg"] + (1 - o["beta1"]) * (g - s["exp_avg"]),
        "exp_avg_sq": s["exp_avg_sq"] * o["beta2"] + (1 - o["beta2"]) * g * g,
    }


def _adam(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    new = _moments(g, s, o)
    square = new["exp_avg_sq"]
    if "max_exp_avg_sq" in s:
        square = new["max_exp_avg_sq"] = s["max_exp_avg_sq"].maximum(square)
    root = (1 - o["beta2"] ** t) ** 0.5
    rate = o["lr"] / (1 - o["beta1"] ** t)
    return w - rate * new["exp_avg"] / (square.sqrt() / root + o["eps"]), new


def _adamax(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    mean = _moments(g, {**s, "exp_avg_sq": 0}, o)["exp_avg"]
    top = (s["exp_inf"] * o["beta2"]).maximum(g.abs() + o["eps"])
    return w - o["lr"] / (1 - o["beta1"] ** t) * mean / top, {"exp_avg": mean, "exp_inf": top}


def _nadam(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    def momentum(step: float) -> Any:
        return o["beta1"] * (1 - 0.5 * 0.96 ** (step * o["momentum_decay"]))

    new = _moments(g, s, o)
    now, following = momentum(t), momentum(t + 1)
    with no_grad():
        s["mu_product"] *= now
    product = float(s["mu_product"])
    root = (new["exp_avg_sq"] / (1 - o["beta2"] ** t)).sqrt() + o["eps"]
    ahead = (1 - now) / (1 - product) * g + following / (1 - product * following) * new["exp_avg"]
    return w - o["lr"] * ahead / root, new


def _radam(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    new = _moments(g, s, o)
    mean = new["exp_avg"] / (1 - o["beta1"] ** t)
    beta2 = float(o["beta2"])
    correction = 1 - beta2**t
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / correction
    if length <= 5:
        return w - o["lr"] * mean, new
    rectified = math.sqrt(
        (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    )
    scale = rectified * correction**0.5 / (new["exp_avg_sq"].sqrt() + o["eps"])
    return w - o["lr"] * scale * mean, new


def _rmsprop(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    keep = o["alpha"]
    new = {"square_avg": s["square_avg"] * keep + (1 - keep) * g * g}
    square = new["square_avg"]
    if "grad_avg" in s:
        mean = new["grad_avg"] = s["grad_avg"] + (1 - keep) * (g - s["grad_avg"])
        square = square - mean * mean
    way = g / (square.sqrt() + o["eps"])
    if "momentum_buffer" in s:
        way = new["momentum_buffer"] = s["momentum_buffer"] * o["momentum"] + way
    return w - o["lr"] * way, new


def _rprop(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    turn = (g * s["prev"]).sign()
    grown = _C.where(turn > 0, s["step_size"] * o["eta_plus"], s["step_size"])
    size = _C.where(turn < 0, s["step_size"] * o["eta_minus"], grown)
    size = size.clamp(o["smallest_step"], o["largest_step"])
    kept = _C.where(turn < 0, _C.zeros_like(g), g)
    return w - kept.sign() * size, {"prev": kept, "step_size": size}


def _adagrad(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    total = s["sum"] + g * g
    rate = o["lr"] / (1 + (t - 1) * o["lr_decay"])
    return w - rate * g / (total.sqrt() + o["eps"]), {"sum": total}


def _adadelta(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    keep, eps = o["rho"], o["eps"]
    square = s["square_avg"] * keep + (1 - keep) * g * g
    way = (s["acc_delta"] + eps).sqrt() / (square + eps).sqrt() * g
    moved = s["acc_delta"] * keep + (1 - keep) * way * way
    return w - o["lr"] * way, {"square_avg": square, "acc_delta": moved}


def _asgd(w: Tensor, g: Tensor, s: State, o: Options, t: float) -> Result:
    eta, mu = float(s["eta"]), float(s["mu"])
    new = w * (1 - o["lambd"] * eta) - eta * g
    average = new if mu == 1 else s["ax"] + (new - s["ax"]) * mu
    lr = float(o["lr"])
    with no_grad():
        s["eta"].fill_(lr / (1 + o["lambd"] * lr * t) ** o["alpha"])
        s["mu"].fill_(1 / max(1.0, t - o["t0"]))
    return new, {"ax": average}


FORMULAS: dict[str, Formula] = {
    "sgd": _sgd,
    "sgd_momentum": _sgd_momentum,
    "adam": _adam,
    "adam_amsgrad": _adam,
    "adamax": _adamax,
    "nadam": _nadam,
    "radam": _radam,
    "rmsprop": _rmsprop,
    "rmsprop_momentum": _rmsprop,
    "rmsprop_centered": _rmsprop,
    "rmsprop_centered_momentum": _rmsprop,
    "rprop": _rprop,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "asgd": _asgd,
}
