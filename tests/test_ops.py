"""The generic suites: each runs over every row (and sample) of the op table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from op_row import (
    Gen,
    Op,
    Sample,
    cast_sample,
    closure,
    find_function,
    floats,
    for_library,
    for_library_int,
    for_reference,
    is_float,
    with_inputs,
)
from op_table import OPS, TESTED_ELSEWHERE
from support import EPS, FLOATS, assert_close, dtype_name, flatten, layouts, same_bits, to_numpy
from tapegrad.autograd import forward_ad, gradcheck, gradgradcheck


def cases(keep: Any, first: bool = False, keep_sample: Any = lambda s: True) -> Any:
    """Parametrise over (op, sample) of the rows and samples that are kept."""
    chosen = [
        pytest.param(op, s, id=f"{op.name}-{s.id}")
        for op in OPS.values()
        if keep(op)
        for s in ([op.first] if first else op.make_samples())
        if keep_sample(s)
    ]
    return pytest.mark.parametrize(("op", "sample"), chosen)


def smooth(op: Op) -> bool:
    return op.grad and "float64" in op.dtypes


def has_float(op: Op) -> bool:
    return "float64" in op.dtypes


def compare(op: Op, result: Any, expected: Any, dtype: str, msg: str = "") -> None:
    got, want = flatten(result), flatten(expected)
    assert len(got) == len(want)
    eps = EPS.get(dtype, EPS["float32"])
    for a, b in zip(got, want, strict=True):
        b = np.asarray(b)
        finite = np.abs(b[np.isfinite(b)]) if b.dtype.kind == "f" else np.zeros(0)
        scale = max(1.0, float(finite.max(initial=0.0)))
        assert_close(a, b, rtol=op.tol * eps, atol=op.tol * eps * scale, msg=msg)


def reference(op: Op, s: Sample) -> Any:
    args, kwargs = for_reference(s)
    return op.ref(*args, **kwargs)


def weights_like(outputs: Any, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [tg.tensor(np.asarray(rng.standard_normal(tuple(o.shape)))).to(o.dtype) for o in outputs]


def gradients(f: Any, inputs: list[Any], seed: int = 0) -> list[Any]:
    results = [o for o in f(*inputs) if o.is_floating_point()]
    weighted = zip(results, weights_like(results, seed), strict=True)
    pairs = [(o, w) for o, w in weighted if o.requires_grad]
    if not pairs:
        return [None for _ in inputs]
    outputs, weights = map(list, zip(*pairs, strict=True))
    needed = [x for x in inputs if x.requires_grad]
    found = iter(tg.autograd.grad(outputs, needed, weights, allow_unused=True))
    return [next(found) if x.requires_grad else None for x in inputs]


# --- the table itself -------------------------------------------------------------------------


def test_every_registered_op_has_a_row() -> None:
    known = set(OPS) | {a for op in OPS.values() for a in op.aliases} | set(TESTED_ELSEWHERE)
    missing = [n for n in tg._C._op_names() if n not in known and n.rstrip("_") not in known]
    assert not missing, f"operations without a row in op_table.py: {sorted(missing)}"


def test_operations_outside_the_table_are_named_by_their_test_file() -> None:
    for name, file in TESTED_ELSEWHERE.items():
        text = (Path(__file__).parent / file).read_text()
        assert name.rstrip("_") in text, f"{file} does not mention {name}"


@cases(lambda op: bool(op.aliases) and has_float(op) and op.fn is None, first=True)
def test_other_names_are_the_same_operation(op: Op, sample: Sample) -> None:
    args, kwargs, _ = for_library(sample)
    expected = flatten(op.resolve()(*args, **kwargs))
    for name in op.aliases:
        got = flatten(find_function(tg, name)(*args, **kwargs))
        assert all(same_bits(a, b) for a, b in zip(got, expected, strict=True)), name


# --- values -----------------------------------------------------------------------------------


@cases(has_float)
def test_forward_matches_reference(op: Op, sample: Sample) -> None:
    args, kwargs, _ = for_library(sample, "float64")
    compare(op, op.resolve()(*args, **kwargs), reference(op, sample), "float64")


@cases(has_float)
def test_float32_matches_reference(op: Op, sample: Sample) -> None:
    s = cast_sample(sample, "float32", op)
    args, kwargs, _ = for_library(s, "float32")
    result = op.resolve()(*args, **kwargs)
    for t in floats(result):
        assert t.dtype == tg.float32
    compare(op, result, reference(op, s), "float32")


@cases(lambda op: op.any_layout and has_float(op))
def test_result_does_not_depend_on_strides(op: Op, sample: Sample) -> None:
    _, _, inputs = for_library(sample)

    def run(tensors: list[Any]) -> list[Any]:
        args, kwargs = with_inputs(sample, tensors)
        return flatten(op.resolve()(*args, **kwargs))

    base = run(inputs)
    for i, x in enumerate(inputs):
        for kind, moved in layouts(x).items():
            tensors = [moved if j == i else y for j, y in enumerate(inputs)]
            for a, b in zip(run(tensors), base, strict=True):
                assert_close(a, b, rtol=1e-13, atol=1e-13, msg=f"input {i} {kind}")


@cases(lambda op: op.any_layout and smooth(op), first=True)
def test_gradient_does_not_depend_on_strides(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    base = gradients(f, inputs)
    for i, x in enumerate(inputs):
        for kind, moved in layouts(x).items():
            tensors = [
                moved.requires_grad_() if j == i else y.detach().clone().requires_grad_()
                for j, y in enumerate(inputs)
            ]
            for a, b in zip(gradients(f, tensors), base, strict=True):
                assert (a is None) == (b is None)
                if a is not None:
                    assert_close(a, b, rtol=1e-12, atol=1e-12, msg=f"input {i} {kind}")


def expected_dtype(op: Op, dtype: str) -> str:
    if op.result == "float":
        return dtype if dtype in FLOATS else "float32"
    if op.result == "sum":
        return dtype if dtype in FLOATS else "int64"
    return {"same": dtype, "bool": "bool", "int64": "int64"}[op.result]


@pytest.mark.parametrize(
    ("op", "dtype"),
    [pytest.param(op, d, id=f"{op.name}-{d}") for op in OPS.values() for d in op.dtypes],
)
def test_dtypes(op: Op, dtype: str) -> None:
    s = cast_sample(op.first, dtype, op)
    if dtype in FLOATS:
        args, kwargs, _ = for_library(s, dtype)
        expected = reference(op, s)
    else:
        args, kwargs = for_library_int(op.first, dtype, op)
        as_float = op.result == "float"
        expected = reference(op, _as_float(s) if as_float else s)
    result = flatten(op.resolve()(*args, **kwargs))
    name = expected_dtype(op, dtype)
    assert dtype_name(result[0].dtype) == name
    kind = name if name in FLOATS else dtype
    for a, b in zip(result, flatten(expected), strict=True):
        b = np.asarray(b)
        if dtype_name(a.dtype) not in FLOATS:
            b = b.astype(dtype_name(a.dtype))
        compare(op, a, b, kind)


def _as_float(s: Sample) -> Sample:
    def cast(x: Any) -> Any:
        return x.astype(np.float64) if isinstance(x, np.ndarray) else x

    return Sample(s.id, tuple(cast(x) for x in s.args), {k: cast(v) for k, v in s.kwargs.items()})


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-310, -5e-310, 1e300, -1e300, 1.0, -1.0, 0.5, -2.5]


@pytest.mark.parametrize("op", [o for o in OPS.values() if o.special], ids=lambda o: o.name)
def test_special_values_follow_ieee(op: Op) -> None:
    """NaN is carried, infinities and zeros give what NumPy gives."""
    values = np.array(SPECIAL)
    tensors = sum(isinstance(a, np.ndarray) for a in op.first.args)
    grid = np.meshgrid(*[values] * tensors, indexing="ij")
    expected = np.asarray(op.ref(*grid))
    result = to_numpy(op.resolve()(*[tg.tensor(a.copy()) for a in grid]))
    bad = ~np.isclose(result, expected, rtol=1e-12, atol=0.0, equal_nan=True)
    found = [
        (*(a[i] for a in grid), result[i], expected[i]) for i in zip(*np.nonzero(bad), strict=True)
    ]
    assert not found, f"(inputs, result, expected): {found[:8]}"


# --- forms: method, in-place, out= --------------------------------------------------------------


@cases(lambda op: op.method and has_float(op), first=True)
def test_method_equals_function(op: Op, sample: Sample) -> None:
    args, kwargs, _ = for_library(sample)
    by_function = flatten(op.resolve()(*args, **kwargs))
    by_method = flatten(getattr(args[0], op.name)(*args[1:], **kwargs))
    assert len(by_function) == len(by_method)
    assert all(same_bits(a, b) for a, b in zip(by_function, by_method, strict=True))


@cases(lambda op: op.inplace and has_float(op))
def test_inplace_equals_out_of_place(op: Op, sample: Sample) -> None:
    args, kwargs, _ = for_library(sample)
    expected = op.resolve()(*args, **kwargs)
    if not isinstance(args[0], tg.Tensor) or expected.shape != args[0].shape:
        pytest.skip("the result does not fit the first operand")
    for kind, x in layouts(args[0]).items():
        version = x._version
        result = getattr(x, op.name + "_")(*args[1:], **kwargs)
        assert result is x
        assert x._version > version
        assert same_bits(x, expected.to(x.dtype)), kind


@cases(lambda op: op.inplace and smooth(op), first=True)
def test_inplace_gradient_equals_out_of_place(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    if tuple(f(*inputs)[0].shape) != tuple(inputs[0].shape):
        pytest.skip("the result does not fit the first operand")

    def inplace(first: Any, *rest: Any) -> tuple[Any, ...]:
        args, kwargs = with_inputs(sample, [first.clone(), *rest])
        return (getattr(args[0], op.name + "_")(*args[1:], **kwargs),)

    for a, b in zip(gradients(inplace, inputs), gradients(f, inputs), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_close(a, b, rtol=1e-14, atol=1e-14)


@cases(lambda op: op.out and has_float(op), first=True)
def test_out_argument(op: Op, sample: Sample) -> None:
    args, kwargs, _ = for_library(sample)
    expected = op.resolve()(*args, **kwargs)
    for kind, target in layouts(tg.zeros_like(expected)).items():
        assert op.resolve()(*args, **kwargs, out=target) is target
        assert_close(target, expected, rtol=1e-14, atol=1e-14, msg=kind)
    leaf = tg.zeros_like(expected)
    if leaf.is_floating_point():
        args, kwargs, _ = for_library(sample, grad=True)
        leaf.requires_grad_()
        with pytest.raises(RuntimeError, match="out"):
            op.resolve()(*args, **kwargs, out=leaf)


# --- derivatives --------------------------------------------------------------------------------


def is_empty(s: Sample) -> bool:
    arrays = flatten([list(s.args), list(s.kwargs.values())])
    return any(is_float(x) and x.size == 0 for x in arrays)


@cases(smooth, keep_sample=is_empty)
def test_gradient_of_empty_inputs(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    outputs = [o for o in f(*inputs) if o.requires_grad]
    for x, g in zip(inputs, tg.autograd.grad(outputs, inputs, outputs), strict=True):
        assert tuple(g.shape) == tuple(x.shape)
        assert bool(tg.isfinite(g).all())


@cases(smooth, keep_sample=lambda s: not is_empty(s))
def test_gradcheck(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    assert gradcheck(f, tuple(inputs))


@cases(lambda op: smooth(op) and op.second, keep_sample=lambda s: not is_empty(s))
def test_gradgradcheck(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    if sum(x.numel() for x in inputs) > 24:
        pytest.skip("large sample: the smaller ones cover it")
    assert gradgradcheck(f, tuple(inputs))


@cases(lambda op: smooth(op) and op.second, first=True, keep_sample=lambda s: not is_empty(s))
def test_third_derivative(op: Op, sample: Sample) -> None:
    """Differences of the second derivative, which test_gradgradcheck holds against the first."""
    f, inputs = closure(op, sample)

    def slope(*values: Any) -> tuple[Any, ...]:
        outputs = [out for out in f(*values) if out.requires_grad]
        grads = tg.autograd.grad(
            outputs, values, weights_like(outputs), create_graph=True, allow_unused=True
        )
        return tuple(g for g in grads if g is not None and g.requires_grad)

    if slope(*inputs):
        assert gradgradcheck(slope, tuple(inputs), fast_mode=True)


@cases(smooth)
def test_forward_mode_agrees_with_reverse_mode(op: Op, sample: Sample) -> None:
    """<u, J v> by a dual number equals <J^T u, v> by the tape."""
    f, inputs = closure(op, sample)
    outputs = f(*inputs)
    u, v = weights_like(outputs, 1), weights_like(inputs, 2)
    needed = [(o, w) for o, w in zip(outputs, u, strict=True) if o.requires_grad]
    grads = tg.autograd.grad(
        [o for o, _ in needed], inputs, [w for _, w in needed], allow_unused=True
    )
    reverse = sum(float((g * t).sum()) for g, t in zip(grads, v, strict=True) if g is not None)
    forward = 0.0
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(x.detach(), t) for x, t in zip(inputs, v, strict=True)]
        for o, w, plain in zip(f(*duals), u, outputs, strict=True):
            primal, tangent = forward_ad.unpack_dual(o)
            assert_close(primal, plain, rtol=1e-14, atol=1e-14)
            if tangent is not None:
                assert tuple(tangent.shape) == tuple(plain.shape)
                forward += float((tangent * w).sum())
    assert forward == pytest.approx(reverse, rel=1e-10, abs=1e-10)


@cases(lambda op: smooth(op) and len(for_library(op.first)[2]) > 1, first=True)
def test_forward_mode_of_each_input_alone(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    outputs = f(*inputs)
    u, v = weights_like(outputs, 1), weights_like(inputs, 2)
    needed = [(o, w) for o, w in zip(outputs, u, strict=True) if o.requires_grad]
    grads = tg.autograd.grad(
        [o for o, _ in needed], inputs, [w for _, w in needed], allow_unused=True
    )
    for i, g in enumerate(grads):
        with forward_ad.dual_level():
            duals = [x.detach() for x in inputs]
            duals[i] = forward_ad.make_dual(duals[i], v[i])
            tangents = [forward_ad.unpack_dual(o).tangent for o in f(*duals)]
        forward = sum(
            float((t * w).sum()) for t, w in zip(tangents, u, strict=True) if t is not None
        )
        reverse = 0.0 if g is None else float((g * v[i]).sum())
        assert forward == pytest.approx(reverse, rel=1e-10, abs=1e-10), f"input {i}"


@cases(smooth)
def test_upstream_of_stride_zero_equals_a_dense_one(op: Op, sample: Sample) -> None:
    """The gradient that arrives from a sum has one element in memory, repeated."""
    f, inputs = closure(op, sample)
    results = []
    for dense in (True, False):
        outputs = [o for o in f(*inputs) if o.requires_grad]
        upstream = [tg.tensor(1.5, dtype=tg.float64).expand(o.shape) for o in outputs]
        if dense:
            upstream = [w.clone().contiguous() for w in upstream]
        results.append(tg.autograd.grad(outputs, inputs, upstream, allow_unused=True))
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_close(a, b, rtol=1e-14, atol=1e-14)


@cases(smooth)
def test_nothing_is_mutated(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    before = [x.detach().clone() for x in inputs]
    outputs = [o for o in f(*inputs) if o.requires_grad]
    assert all(same_bits(x.detach(), b) for x, b in zip(inputs, before, strict=True))
    if not outputs:
        return
    values = [o.detach().clone() for o in outputs]
    upstream = weights_like(outputs)
    kept = [w.clone() for w in upstream]
    tg.autograd.backward(outputs, upstream)
    assert all(same_bits(x.detach(), b) for x, b in zip(inputs, before, strict=True))
    assert all(same_bits(w, k) for w, k in zip(upstream, kept, strict=True))
    assert all(same_bits(o.detach(), k) for o, k in zip(outputs, values, strict=True))


@cases(smooth, first=True)
def test_each_input_alone_gets_the_same_gradient(op: Op, sample: Sample) -> None:
    """A rule may skip what nobody asked for; what it returns must not depend on that."""
    f, inputs = closure(op, sample)
    base = gradients(f, inputs)
    for i in range(len(inputs)):
        alone = [x.detach().clone().requires_grad_(j == i) for j, x in enumerate(inputs)]
        got = gradients(f, alone)[i]
        assert (got is None) == (base[i] is None)
        if got is not None:
            assert_close(got, base[i], rtol=1e-14, atol=1e-14)


@cases(lambda op: op.grad and "float32" in op.dtypes, first=True)
def test_gradient_has_dtype_and_shape_of_its_input(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, cast_sample(sample, "float32", op), "float32")
    for x, g in zip(inputs, gradients(f, inputs), strict=True):
        if g is not None:
            assert g.dtype == tg.float32
            assert tuple(g.shape) == tuple(x.shape)


@cases(
    lambda op: not op.grad and has_float(op) and op.name not in ("floor_divide", "heaviside"),
    first=True,
)
def test_non_differentiable_results_need_no_gradient(op: Op, sample: Sample) -> None:
    args, kwargs, _ = for_library(sample, grad=True)
    assert not any(t.requires_grad for t in flatten(op.resolve()(*args, **kwargs)))


@cases(smooth, first=True)
def test_no_graph_under_no_grad(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    with tg.no_grad():
        outputs = [o for o in f(*inputs) if all(o is not x for x in inputs)]
    assert all(o.grad_fn is None and not o.requires_grad for o in outputs)


# --- a wrong derivative must not pass (the checker is tested, too) -------------------------------


def tamper(f: Any, order: int) -> Any:
    """f with a slightly wrong derivative of the given order, and all lower ones right."""

    def wrong(*inputs: Any) -> tuple[Any, ...]:
        delta = sum((x - x.detach()).sum() for x in inputs)
        return tuple(o + (0.02 * delta if order == 1 else 0.02 * delta * delta) for o in f(*inputs))

    return wrong


@cases(smooth, first=True)
def test_gradcheck_catches_a_wrong_derivative(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    assert not gradcheck(tamper(f, 1), tuple(inputs), raise_exception=False)


@cases(lambda op: smooth(op) and op.second, first=True)
def test_gradgradcheck_catches_a_wrong_second_derivative(op: Op, sample: Sample) -> None:
    f, inputs = closure(op, sample)
    wrong = tamper(f, 2)
    assert gradcheck(wrong, tuple(inputs))
    assert not gradgradcheck(wrong, tuple(inputs), raise_exception=False)


# --- threads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [o for o in OPS.values() if o.large], ids=lambda o: o.name)
def test_one_thread_and_two_give_the_same_bits(op: Op) -> None:
    assert op.large is not None
    dtype = "float32" if "float32" in op.dtypes else op.dtypes[-1]
    s = cast_sample(op.large(Gen(op.name)), dtype, op)
    results = []
    for threads in (1, 2):
        tg.set_num_threads(threads)
        if not op.grad:
            args, kwargs = (
                for_library(s, dtype)[:2]
                if dtype in FLOATS
                else for_library_int(op.large(Gen(op.name)), dtype, op)
            )
            results.append([to_numpy(t).tobytes() for t in flatten(op.resolve()(*args, **kwargs))])
            continue
        f, inputs = closure(op, s, dtype)
        outputs = f(*inputs)
        grads = tg.autograd.grad(outputs, inputs, weights_like(outputs))
        results.append([to_numpy(t).tobytes() for t in [*outputs, *grads]])
    assert results[0] == results[1]


# --- PyTorch, where it is installed ---------------------------------------------------------------


def pairs(a: Any, b: Any) -> list[tuple[Any, Any]]:
    return list(zip(a, b, strict=True))


@cases(lambda op: has_float(op) and op.oracle)
def test_agrees_with_pytorch(op: Op, sample: Sample) -> None:
    """Values and, to second order, gradients in double."""
    torch = pytest.importorskip("torch")
    outcome = []
    for lib in (tg, torch):
        args, kwargs, inputs = for_library(sample, "float64", grad=op.grad, library=lib)
        fn = op.fn or find_function(lib, op.name)
        result = flatten(fn(*args, **kwargs))
        collected = list(result)
        needing = [o for o in floats(result) if o.requires_grad]
        if op.grad and not needing:
            collected += [lib.zeros_like(x) for x in inputs] * (1 + op.second)
        if needing:
            loss = sum((o * o * 0.5 + o).sum() for o in needing)
            first = lib.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
            collected += [lib.zeros_like(x) if g is None else g for x, g in pairs(inputs, first)]
            again = sum((g * g).sum() for g in first if g is not None)
            if op.second and again.requires_grad:
                second = lib.autograd.grad(again, inputs, allow_unused=True)
                collected += [
                    lib.zeros_like(x) if g is None else g for x, g in pairs(inputs, second)
                ]
            elif op.second:
                collected += [lib.zeros_like(x) for x in inputs]
        outcome.append([np.array(t.detach().numpy()) for t in collected])
    assert len(outcome[0]) == len(outcome[1])
    for a, b in zip(*outcome, strict=True):
        assert_close(a, b, rtol=1e-9, atol=1e-9)
