"""The fused updates below the optimizers: formulas against NumPy and PyTorch, layouts, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import run_in_threads, same_bits
from tapegrad.optim._kernels import adam_, sgd_

SHAPES = [(3, 4), (), (0, 2), (257,), (2, 3, 5), (1,), (9,)]
STEPS = 6

SGD_OPTIONS: list[dict[str, Any]] = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.4, "weight_decay": 0.05},
    {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    {"weight_decay": 0.1, "maximize": True},
]
ADAM_OPTIONS: list[dict[str, Any]] = [
    {},
    {"weight_decay": 0.05},
    {"weight_decay": 0.05, "decoupled": True},
    {"amsgrad": True, "beta2": 0.6},
    {"beta1": 0.3, "maximize": True},
    {"beta1": 0.0, "eps": 1e-3},
]


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]


def sgd_reference(w: np.ndarray, g: np.ndarray, s: dict[str, Any], o: dict[str, Any]) -> np.ndarray:
    g = (-g if o.get("maximize") else g) + o.get("weight_decay", 0) * w
    momentum = o.get("momentum", 0)
    if momentum:
        s["b"] = momentum * s["b"] + (1 - o.get("dampening", 0)) * g if "b" in s else g
        g = g + momentum * s["b"] if o.get("nesterov") else s["b"]
    return w - o["lr"] * g


def adam_reference(
    w: np.ndarray, g: np.ndarray, s: dict[str, Any], o: dict[str, Any]
) -> np.ndarray:
    beta1, beta2 = o.get("beta1", 0.9), o.get("beta2", 0.999)
    decay = o.get("weight_decay", 0)
    g = -g if o.get("maximize") else g
    if o.get("decoupled"):
        w = w * (1 - o["lr"] * decay)
    else:
        g = g + decay * w
    t = s["t"] = s.get("t", 0) + 1
    m = s["m"] = beta1 * s.get("m", 0) + (1 - beta1) * g
    v = s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * g * g
    if o.get("amsgrad"):
        v = s["top"] = np.maximum(s.get("top", 0), v)
    scale = np.sqrt(v) / np.sqrt(1 - beta2**t) + o.get("eps", 1e-8)
    return np.asarray(w - o["lr"] / (1 - beta1**t) * m / scale)


class Sgd:
    """Calls of ``sgd_`` with the state that it needs."""

    def __init__(self, params: list[tg.Tensor], **options: Any) -> None:
        self.params, self.options = params, options
        self.buffers = [tg.full_like(p.detach(), 99) for p in params]
        self.first = [True] * len(params)

    def step(self, grads: list[tg.Tensor | None] | None) -> None:
        o = self.options
        momentum = o.get("momentum", 0)
        sgd_(
            self.params,
            grads,
            self.buffers if momentum else None,
            self.first if any(self.first) else None,
            o["lr"],
            momentum,
            o.get("dampening", 0),
            o.get("weight_decay", 0),
            o.get("nesterov", False),
            o.get("maximize", False),
        )
        done = [p.grad is not None for p in self.params] if grads is None else grads
        for i, g in enumerate(done):
            self.first[i] &= g is None or g is False


class Adam:
    """Calls of ``adam_`` with the state that it needs."""

    def __init__(self, params: list[tg.Tensor], **options: Any) -> None:
        self.params, self.options = params, options
        detached = [p.detach() for p in params]
        self.exp_avgs = [tg.zeros_like(p) for p in detached]
        self.exp_avg_sqs = [tg.zeros_like(p) for p in detached]
        self.tops = [tg.zeros_like(p) for p in detached] if options.get("amsgrad") else None
        self.steps = [tg.zeros((), dtype=tg.float32) for _ in params]

    def step(self, grads: list[tg.Tensor | None] | None) -> None:
        o = self.options
        adam_(
            self.params,
            grads,
            self.exp_avgs,
            self.exp_avg_sqs,
            self.tops,
            self.steps,
            o["lr"],
            o.get("beta1", 0.9),
            o.get("beta2", 0.999),
            o.get("eps", 1e-8),
            o.get("weight_decay", 0),
            o.get("amsgrad", False),
            o.get("maximize", False),
            o.get("decoupled", False),
        )


CASES = [(Sgd, sgd_reference, {"lr": 0.1, **o}) for o in SGD_OPTIONS] + [
    (Adam, adam_reference, {"lr": 0.01, **o}) for o in ADAM_OPTIONS
]
KINDS = [(Sgd, {"lr": 0.1, "momentum": 0.9}), (Adam, {"lr": 0.01, "amsgrad": True})]


def tensors(values: list[np.ndarray], dtype: Any = tg.float64) -> list[tg.Tensor]:
    return [tg.tensor(v.tolist(), dtype=dtype).reshape(v.shape) for v in values]


@pytest.mark.parametrize(("kind", "reference", "options"), CASES)
def test_formula_against_numpy(kind: Any, reference: Any, options: dict[str, Any]) -> None:
    for dtype, rtol, atol in (
        (tg.float64, 1e-12, 1e-13),
        (tg.float32, 1e-4, 1e-5),
        (tg.bfloat16, 0.1, 0.1),
        (tg.float16, 0.02, 0.02),
    ):
        expected = arrays(0)
        params = tensors(expected, dtype)
        updater = kind(params, **options)
        states: list[dict[str, Any]] = [{} for _ in SHAPES]
        for step in range(STEPS):
            grads = arrays(step + 1)
            updater.step(tensors(grads, dtype))
            expected = [
                reference(w, g, s, options) for w, g, s in zip(expected, grads, states, strict=True)
            ]
        for p, w in zip(params, expected, strict=True):
            np.testing.assert_allclose(p.double().numpy(), w, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("kind", "reference", "options"), CASES)
def test_formula_against_pytorch(
    kind: Any, reference: Any, options: dict[str, Any], dtype: str
) -> None:
    torch = pytest.importorskip("torch")
    theirs = [torch.tensor(v, dtype=getattr(torch, dtype)) for v in arrays(0)]
    named = dict(options)
    if kind is Sgd:
        optimizer = torch.optim.SGD(theirs, foreach=False, **named)
    else:
        named["betas"] = (named.pop("beta1", 0.9), named.pop("beta2", 0.999))
        named["decoupled_weight_decay"] = named.pop("decoupled", False)
        optimizer = torch.optim.Adam(theirs, foreach=False, **named)
    params = tensors(arrays(0), getattr(tg, dtype))
    updater = kind(params, **options)
    for step in range(STEPS):
        grads = arrays(step + 1)
        for p, g in zip(theirs, grads, strict=True):
            p.grad = torch.tensor(g, dtype=p.dtype)
        optimizer.step()
        updater.step(tensors(grads, getattr(tg, dtype)))
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for p, q in zip(params, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_every_layout_gives_the_same_bits(kind: Any, options: dict[str, Any]) -> None:
    def run(parameter: Any, gradient: Any) -> tg.Tensor:
        start = tg.arange(12, dtype=tg.float32).reshape(3, 4).sin()
        p = parameter(start)
        updater = kind([p], **options)
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


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_an_expanded_gradient_is_read_element_by_element(
    kind: Any, options: dict[str, Any]
) -> None:
    a, b = tg.ones(4, 3), tg.ones(4, 3)
    row = tg.tensor([1.0, -2.0, 3.0])
    kind([a], **options).step([row.expand(4, 3)])
    kind([b], **options).step([row.expand(4, 3).clone()])
    assert same_bits(a, b)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_elements_around_a_view_are_left_alone(kind: Any, options: dict[str, Any]) -> None:
    base = tg.zeros(4, 4)
    kind([base[1:3, 1:3]], **options).step([tg.ones(2, 2)])
    changed = base != 0
    assert changed.sum().item() == 4
    assert changed[1:3, 1:3].all()


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_gradients_of_the_parameters_are_read_when_none_are_given(
    kind: Any, options: dict[str, Any]
) -> None:
    given = tensors(arrays(0))
    held = [p.clone().requires_grad_() for p in given]
    left, right = kind(given, **options), kind(held, **options)
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
    adam = Adam(params, lr=0.1)
    before = [p.tolist() for p in params]
    grads: list[Any] = [None] * len(params)
    grads[3] = tg.ones(257, dtype=tg.float64)
    adam.step(grads)
    adam.step(grads)
    assert [s.item() for s in adam.steps] == [0, 0, 0, 2, 0, 0, 0]
    for i, p in enumerate(params):
        assert (p.tolist() == before[i]) == (i != 3)
        assert (adam.exp_avgs[i] != 0).any().item() == (i == 3)
    adam.step([None] * len(params))
    assert adam.steps[3].item() == 2


def test_steps_far_on_have_no_bias_correction_left() -> None:
    p = tg.zeros(1, dtype=tg.float64)
    adam = Adam([p], lr=0.5)
    adam.steps[0].fill_(10_000_000)
    adam.exp_avg_sqs[0].fill_(4.0)
    adam.step([tg.full((1,), 2.0, dtype=tg.float64)])
    assert adam.steps[0].item() == 10_000_001
    assert p.item() == pytest.approx(-0.5 * 0.2 / 2.0, rel=1e-7)


def test_writes_are_seen_by_the_tape() -> None:
    w = tg.tensor([2.0], requires_grad=True)
    y = w * w
    version = w._version
    w.grad = tg.ones(1)
    adam = Adam([w], lr=0.1)
    adam.step(None)
    assert w._version == version + 1
    assert adam.steps[0]._version == adam.exp_avgs[0]._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_nan_and_infinity_stay_where_they_are() -> None:
    for kind, options in KINDS:
        p = tg.zeros(4)
        kind([p], **options).step([tg.tensor([1.0, float("nan"), float("inf"), 2.0])])
        assert p.isnan().tolist() == [False, True, kind is Adam, False]
    # Without weight decay an infinite parameter does not reach its gradient.
    p = tg.tensor([float("inf")])
    sgd = Sgd([p], lr=0.1, momentum=0.9)
    sgd.step([tg.ones(1)])
    assert sgd.buffers[0].item() == 1.0


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_same_bits_on_any_number_of_threads(kind: Any, options: dict[str, Any]) -> None:
    results = []
    for threads in (1, 2, 3):
        tg.set_num_threads(threads)
        params = [tg.arange(n, dtype=tg.float32).sin() for n in (50_001, 17, 40_000, 3, 70_003)]
        updater = kind(params, **options)
        for step in range(3):
            updater.step([(p * (step + 1)).cos() for p in params])
        results.append(tg.cat(params))
    assert same_bits(results[0], results[1])
    assert same_bits(results[0], results[2])


def test_groups_may_be_updated_by_several_threads_at_once() -> None:
    def work() -> tg.Tensor:
        p = tg.ones(100_000)
        adam = Adam([p], lr=0.1)
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
            adam = Adam([a, b], lr=0.1, amsgrad=True)
            given = changes.pop("grads", grads)
            for name, value in changes.items():
                setattr(adam, name, value)
            adam.step(given)

        return call

    four = tg.ones(4)
    integer = tg.ones(3, dtype=tg.int64)
    cases: list[tuple[Any, type[Exception], str]] = [
        (adam_with(grads=[grads[0], four]), tg.ShapeError, r"parameter 1 .*\(2, 2\).*gradient"),
        (adam_with(grads=[grads[0], grads[1].double()]), tg.DTypeError, "parameter 1 .*float64"),
        (adam_with(grads=[grads[0]]), ValueError, "1 gradients for 2 parameters"),
        (adam_with(exp_avgs=[a.clone(), four]), tg.ShapeError, "parameter 1 .* exp_avg "),
        (adam_with(exp_avg_sqs=[a.clone()]), ValueError, "exp_avg_sq has 1 entries"),
        (adam_with(tops=None), ValueError, "max_exp_avg_sq has 0 entries"),
        (adam_with(steps=[tg.zeros(()), four]), tg.DTypeError, "step of parameter 1"),
        (adam_with(steps=[tg.zeros(()), integer]), tg.DTypeError, "step of parameter 1"),
        (adam_with(steps=[]), ValueError, "steps has 0 entries"),
        (adam_with(params=[a, integer]), tg.DTypeError, "parameter 1 is a int64"),
        (adam_with(params=[a, 3]), TypeError, "params"),
        (adam_with(grads=[grads[0], 3]), TypeError, "grads"),
        (adam_with(params=[a, tg.ones(1).expand(2, 2)]), tg.ShapeError, "clone"),
        (lambda: Sgd([a, b], lr="x").step(grads), TypeError, "str"),
        (lambda: sgd_([a], grads[:1], None), TypeError, "sgd_"),
        (
            lambda: sgd_([a], grads[:1], None, [True] * 3, 0.1, 0, 0, 0, False, False),
            ValueError,
            "first has 3 entries",
        ),
        (lambda: sgd_(a, None, None, None, 0.1, 0, 0, 0, False, False), TypeError, "params"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
        assert a.tolist() == [1, 1, 1]
        assert b.tolist() == [[1, 1], [1, 1]]
        assert a._version == b._version == 0


def test_nothing_to_update_is_no_error() -> None:
    sgd_([], [], None, None, 0.1, 0, 0, 0, False, False)
    sgd_([tg.ones(2)], None, None, None, 0.1, 0, 0, 0, False, False)
    Adam([], lr=0.1).step(None)
