"""Bad input: the right exception, a message that names operation and operands, and no change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from support import tensor
from tapegrad.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable


def t(*shape: int, dtype: Any = None) -> Any:
    return tg.ones(shape, dtype=dtype or tg.float32)


def i(*values: int) -> Any:
    return tg.tensor(values)


SHAPE_ERRORS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "add": (lambda: t(2, 3) + t(2, 4), ["add", "2, 3", "2, 4"]),
    "mul": (lambda: t(3) * t(4), ["mul", "3", "4"]),
    "where": (lambda: tg.where(t(2) > 0, t(2), t(3)), ["where", "3"]),
    "matmul": (lambda: t(2, 3) @ t(4, 5), ["matmul|mm", "2, 3|2x3", "4, 5|4x5"]),
    "matmul-batch": (lambda: t(2, 2, 3) @ t(3, 3, 2), ["matmul|bmm"]),
    "matmul-0d": (lambda: t() @ t(2), ["matmul|1D|0-d|dimension"]),
    "mm": (lambda: tg.mm(t(2, 3), t(2, 3)), ["mm", "2, 3|2x3"]),
    "mm-1d": (lambda: tg.mm(t(3), t(3)), ["mm|matri"]),
    "bmm": (lambda: tg.bmm(t(2, 2, 3), t(3, 3, 2)), ["bmm|batch"]),
    "dot": (lambda: tg.dot(t(3), t(4)), ["dot|size", "3", "4"]),
    "dot-2d": (lambda: tg.dot(t(2, 2), t(2, 2)), ["dot|1D"]),
    "linear": (lambda: F.linear(t(2, 3), t(4, 5)), ["linear|mat", "2, 3|2x3", "4, 5|5x4"]),
    "addmm": (lambda: tg.addmm(t(3), t(2, 3), t(3, 4)), ["addmm|expand|shape"]),
    "reshape": (lambda: t(2, 3).reshape(4), ["reshape|shape", "4"]),
    "view": (lambda: t(2, 3).view(5), ["view|shape", "5"]),
    "expand": (lambda: t(2, 3).expand(2, 4), ["expand", "3", "4"]),
    "cat": (lambda: tg.cat([t(2, 3), t(2, 4)]), ["cat|Sizes of tensors", "3", "4"]),
    "stack": (lambda: tg.stack([t(2), t(3)]), ["stack", "2", "3"]),
    "copy": (lambda: t(2).copy_(t(3)), ["copy|size", "2", "3"]),
    "mse": (lambda: F.mse_loss(t(2, 3), t(2, 4)), ["mse_loss|size", "3", "4"]),
    "split": (lambda: t(5).split([1, 2]), ["split"]),
    "masked-fill": (lambda: t(2).masked_fill(t(3) > 0, 0.0), ["masked_fill|size", "2", "3"]),
    "outer": (lambda: tg.outer(t(2, 2), t(2)), ["outer|1-D|1D"]),
    "t-3d": (lambda: t(2, 2, 2).t(), ["t\\(\\)|2"]),
    "item": (lambda: t(2).item(), ["item|scalar|element"]),
    "cross-entropy": (
        lambda: F.cross_entropy(t(3, 4), i(0, 1)),
        ["cross_entropy|nll|batch", "3", "2"],
    ),
}


@pytest.mark.parametrize("name", SHAPE_ERRORS)
def test_shape_errors_name_operation_and_shapes(name: str) -> None:
    call, parts = SHAPE_ERRORS[name]
    with pytest.raises((RuntimeError, ValueError)) as info:
        call()
    for part in parts:
        assert re.search(part, str(info.value)), (part, str(info.value))


def test_shape_error_has_its_own_class() -> None:
    assert issubclass(tg.ShapeError, RuntimeError)
    assert issubclass(tg.ShapeError, ValueError)
    with pytest.raises(tg.ShapeError):
        t(2, 3) + t(2, 4)
    with pytest.raises(tg.ShapeError):
        t(2, 3) @ t(4, 5)


DTYPE_ERRORS: dict[str, Callable[[], Any]] = {
    "matmul-mixed": lambda: t(2, 2) @ t(2, 2, dtype=tg.float64),
    "linear-mixed": lambda: F.linear(t(2, 2), t(2, 2, dtype=tg.float64)),
    "float-index": lambda: tg.index_select(t(3), 0, t(1)),
    "gather-float": lambda: tg.gather(t(3), 0, t(1)),
    "neg-bool": lambda: -tg.tensor([True]),
    "sub-bool": lambda: tg.tensor([True]) - tg.tensor([False]),
    "bitwise-float": lambda: tg.bitwise_and(t(2), t(2)),
    "mean-int": lambda: i(1, 2).mean(),
    "softmax-int": lambda: i(1, 2).softmax(0),
    "cross-entropy-float-target": lambda: F.cross_entropy(t(3, 4), t(3)),
    "where-condition": lambda: tg.where(t(2), t(2), t(2)),
    "mask": lambda: t(2).masked_fill(t(2), 0.0),
    "int-div-in-place": lambda: i(1, 2).div_(2),
}


@pytest.mark.parametrize("name", DTYPE_ERRORS)
def test_dtype_errors(name: str) -> None:
    with pytest.raises((RuntimeError, TypeError, IndexError)) as info:
        DTYPE_ERRORS[name]()
    assert re.search(r"dtype|[Ff]loat|[Dd]ouble|[Bb]ool|int|Long|type", str(info.value)), str(
        info.value
    )


def test_complex_is_reserved() -> None:
    with pytest.raises((RuntimeError, TypeError, NotImplementedError), match="complex"):
        tg.zeros(2, dtype=tg.complex64)


INDEX_ERRORS: dict[str, Callable[[], Any]] = {
    "sum-dim": lambda: t(2, 3).sum(2),
    "sum-negative": lambda: t(2, 3).sum(-3),
    "softmax-dim": lambda: t(2).softmax(1),
    "cat-dim": lambda: tg.cat([t(2), t(2)], 1),
    "transpose": lambda: t(2, 3).transpose(0, 2),
    "squeeze": lambda: t(2, 1).squeeze(2),
    "unsqueeze": lambda: t(2).unsqueeze(3),
    "select": lambda: t(2).select(0, 2),
    "index": lambda: t(2)[2],
    "too-many": lambda: t(2)[0, 0],
    "index-select": lambda: t(3).index_select(0, i(3)),
    "argmax": lambda: t(2, 3).argmax(5),
    "size": lambda: t(2).size(1),
    "flatten": lambda: t(2, 3).flatten(0, 2),
    "unbind": lambda: t(2).unbind(1),
    "target": lambda: F.cross_entropy(t(3, 4), i(0, 1, 4)),
    "target-negative": lambda: F.nll_loss(t(3, 4), i(0, 1, -1)),
}


@pytest.mark.parametrize("name", INDEX_ERRORS)
def test_index_errors(name: str) -> None:
    with pytest.raises(IndexError) as info:
        INDEX_ERRORS[name]()
    assert re.search(r"range|bounds|dimension|index", str(info.value)), str(info.value)


OUT_OF_BOUNDS: dict[str, Callable[[], Any]] = {
    "gather": lambda: t(3).gather(0, i(0, 3)),
    "gather-negative": lambda: t(3).gather(0, i(-1)),
    "scatter": lambda: t(3).scatter_add(0, i(5), t(1)),
    "narrow": lambda: t(3).narrow(0, 2, 2),
    "narrow-negative": lambda: t(3).narrow(0, 0, -1),
}


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_out_of_bounds(name: str) -> None:
    with pytest.raises((RuntimeError, IndexError)):
        OUT_OF_BOUNDS[name]()


BAD_CALLS: dict[str, Callable[[], Any]] = {
    "no-argument": lambda: tg.exp(),
    "too-many": lambda: tg.exp(t(2), t(2)),
    "unknown-keyword": lambda: tg.exp(t(2), nonsense=1),
    "wrong-type": lambda: tg.exp("text"),
    "list": lambda: tg.exp([1.0, 2.0]),
    "none": lambda: tg.add(t(2), None),
    "string-operand": lambda: t(2) + "a",
    "dim-float": lambda: t(2).sum(0.5),
    "dim-string": lambda: t(2).sum("rows"),
    "dtype-string": lambda: tg.zeros(2, dtype="float32"),
    "numpy-dtype": lambda: tg.zeros(2, dtype=np.float32),
    "object": lambda: tg.tensor(object()),
    "sizes": lambda: tg.zeros("a"),
    "cat-number": lambda: tg.cat(3),
    "cat-mixed": lambda: tg.cat([t(2), 3]),
    "twice": lambda: tg.add(t(2), t(2), other=t(2)),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_wrong_arguments_are_type_errors(name: str) -> None:
    with pytest.raises((TypeError, RuntimeError)) as info:
        BAD_CALLS[name]()
    assert isinstance(info.value, TypeError) or name == "object"
    assert str(info.value)


VALUE_ERRORS: dict[str, Callable[[], Any]] = {
    "rounding-mode": lambda: tg.div(t(2), t(2), rounding_mode="up"),
    "reduction": lambda: F.mse_loss(t(2), t(2), reduction="total"),
    "gelu": lambda: F.gelu(t(2), approximate="fast"),
    "repeated-dim": lambda: t(2, 2).sum((0, 0)),
    "permute-repeated": lambda: t(2, 2).permute(0, 0),
    "permute-short": lambda: t(2, 2).permute(0),
    "stack-nothing": lambda: tg.stack([]),
    "cat-nothing": lambda: tg.cat([]),
    "chunk-zero": lambda: t(3).chunk(0),
    "split-negative": lambda: t(3).split(-1),
    "max-of-nothing": lambda: t(0).max(),
    "amax-of-nothing": lambda: t(2, 0).amax(1),
    "argmax-of-nothing": lambda: t(0).argmax(),
    "clamp-nothing": lambda: t(2).clamp(),
    "bool-of-many": lambda: bool(t(2)),
    "int-of-many": lambda: int(t(2)),
    "dropout-p": lambda: F.dropout(t(2), p=1.5),
    "smoothing": lambda: F.cross_entropy(t(3, 4), i(0, 1, 2), label_smoothing=2.0),
    "integer-power": lambda: i(2, 3) ** -1,
    "integer-division": lambda: i(1) // i(0),
    "integer-remainder": lambda: i(1) % i(0),
}


@pytest.mark.parametrize("name", VALUE_ERRORS)
def test_wrong_values(name: str) -> None:
    with pytest.raises((RuntimeError, ValueError, IndexError, ZeroDivisionError)) as info:
        VALUE_ERRORS[name]()
    assert str(info.value)


@pytest.mark.parametrize("family", [SHAPE_ERRORS, INDEX_ERRORS, VALUE_ERRORS, BAD_CALLS])
def test_a_thousand_errors_leave_memory_flat(family: Any) -> None:
    """Nothing leaks on the way out of a failing call."""
    calls = [c[0] if isinstance(c, tuple) else c for c in family.values()]

    def round_of_errors() -> None:
        for call in calls:
            with pytest.raises(Exception):  # noqa: PT011 - the kind is tested above
                call()

    round_of_errors()
    before = tensor_count()
    for _ in range(20):
        round_of_errors()
    assert tensor_count() <= before


def tensor_count() -> int:
    import gc

    gc.collect()
    return sum(type(o) is tg.Tensor for o in gc.get_objects())


IN_PLACE: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: x.add_(t(3)),
    "copy": lambda x: x.copy_(t(5)),
    "index": lambda x: x.__setitem__(7, 1.0),
    "mask": lambda x: x.__setitem__(t(3) > 0, 1.0),
    "index-put": lambda x: x.index_put_((i(0, 9),), t(2)),
    "scatter": lambda x: x.scatter_add_(0, i(0, 9), t(2)),
    "out": lambda x: tg.add(t(2), t(3), out=x),
    "clamp": lambda x: x.clamp_(t(3)),
    "masked": lambda x: x.masked_fill_(t(5) > 0, 1.0),
    "type": lambda x: x.mul_("a"),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_failed_in_place_operations_change_nothing(name: str) -> None:
    x = tg.tensor([1.0, 2.0])
    with pytest.raises((RuntimeError, IndexError, TypeError, ValueError)):
        IN_PLACE[name](x)
    assert x.tolist() == [1.0, 2.0]
    assert x._version == 0
    assert tuple(x.shape) == (2,)


def test_nan_is_carried_and_never_hidden() -> None:
    nan = float("nan")
    x = tensor([1.0, nan, 3.0], grad=True)
    for name in ("sum", "mean", "prod", "max", "min", "amax", "amin", "var", "std", "norm"):
        assert np.isnan(getattr(x, name)().item()), name
    for name in ("exp", "tanh", "relu", "sigmoid", "floor", "square", "neg", "abs"):
        assert np.isnan(getattr(x, name)()[1].item()), name
    assert np.isnan(x.clamp(0.0, 1.0)[1].item())
    assert np.isnan(x.cumsum(0)[2].item())
    assert np.isnan(x.softmax(0).detach().numpy()).all()
    assert x.argmax().item() == 1
    assert x.argmin().item() == 1
    assert np.isnan(tg.maximum(x, tensor([2.0, 2.0, 2.0]))[1].item())
    (x * x).sum().backward()
    assert np.isnan(x.grad[1].item())
    assert x.grad[0].item() == 2.0


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("view_as_complex", "complex numbers"),
        ("view_as_real", "complex numbers"),
        ("sparse_coo_tensor", "sparse tensors"),
        ("quantize_per_tensor", "quantised tensors"),
    ],
)
def test_what_is_out_of_scope_says_so(name: str, what: str) -> None:
    with pytest.raises(AttributeError, match=f"{name}': {what} are out of scope"):
        getattr(tg, name)
    assert not hasattr(tg, name)
