"""Tools for tests: comparison of tensors with tolerances, random tensors.

:func:`gradcheck` and :func:`gradgradcheck` stand in :mod:`tapegrad.autograd` and are offered here
as well.
"""

from __future__ import annotations

from tapegrad import _C
from tapegrad.autograd.gradcheck import gradcheck as gradcheck
from tapegrad.autograd.gradcheck import gradgradcheck as gradgradcheck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from tapegrad._C import Tensor

__all__ = ["assert_close", "gradcheck", "gradgradcheck", "make_tensor"]

# (rtol, atol) by dtype, as in PyTorch.
_TOLERANCES = {
    _C.float16: (1e-3, 1e-5),
    _C.bfloat16: (1.6e-2, 1e-5),
    _C.float32: (1.3e-6, 1e-5),
    _C.float64: (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    allow_subclasses: bool = True,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise ``AssertionError`` unless ``|actual - expected| <= atol + rtol * |expected|``.

    Takes tensors, numbers, NumPy arrays, and sequences and dicts of them. The tolerances, given
    both or neither, default to PyTorch's for the dtype (exact for integers). Shapes and, with
    ``check_dtype``, dtypes must be equal; infinities agree with themselves, NaN with
    ``equal_nan``.

    >>> import tapegrad as tg
    >>> tg.testing.assert_close(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.0 + 1e-7]))
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: give both rtol and atol, or neither")
    options = (rtol, atol, equal_nan, check_dtype, check_stride, msg)
    _compare(actual, expected, "", options)


def _fail(text: str, msg: Any) -> NoReturn:
    if msg is not None:
        text = msg(text) if callable(msg) else msg
    raise AssertionError(text)


def _compare(actual: Any, expected: Any, where: str, options: tuple[Any, ...]) -> None:
    msg = options[-1]
    at = f" at {where}" if where else ""
    if isinstance(expected, dict) and isinstance(actual, dict):
        if actual.keys() != expected.keys():
            _fail(f"The keys differ{at}: {list(actual)} and {list(expected)}", msg)
        for key in expected:
            _compare(actual[key], expected[key], f"{where}[{key!r}]", options)
    elif isinstance(expected, (list, tuple)) and isinstance(actual, (list, tuple)):
        if len(actual) != len(expected):
            _fail(f"The lengths differ{at}: {len(actual)} and {len(expected)}", msg)
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            _compare(a, e, f"{where}[{i}]", options)
    else:
        _compare_tensors(_C.as_tensor(actual), _C.as_tensor(expected), at, options)


def _compare_tensors(actual: Tensor, expected: Tensor, at: str, options: tuple[Any, ...]) -> None:
    rtol, atol, equal_nan, check_dtype, check_stride, msg = options
    if actual.shape != expected.shape:
        _fail(f"The shapes differ{at}: {tuple(actual.shape)} and {tuple(expected.shape)}", msg)
    if check_dtype and actual.dtype != expected.dtype:
        _fail(f"The dtypes differ{at}: {actual.dtype} and {expected.dtype}", msg)
    if check_stride and actual.stride() != expected.stride():
        _fail(f"The strides differ{at}: {actual.stride()} and {expected.stride()}", msg)
    if rtol is None:
        pairs = [_TOLERANCES.get(t.dtype, (0.0, 0.0)) for t in (actual, expected)]
        rtol, atol = max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    a, e = actual.detach(), expected.detach()
    exact = not (a.is_floating_point() or e.is_floating_point())
    a, e = (a.to(_C.int64), e.to(_C.int64)) if exact else (a.to(_C.float64), e.to(_C.float64))
    if exact and rtol == 0 and atol == 0:
        close = a == e
    else:
        close = ((a - e).abs() <= atol + rtol * e.abs()) | (a == e)
        close = close & (e.isfinite() | (a == e))  # infinity is close to nothing but itself
    if equal_nan:
        close = close | ((a != a) & (e != e))
    if bool(close.all()):
        return
    wrong = int((~close).sum())
    indices = [tuple(index) for index in (~close).nonzero().tolist()]
    gaps = sorted(
        ((abs(a[index].item() - e[index].item()), index) for index in indices[:1000]),
        key=lambda pair: -pair[0] if pair[0] == pair[0] else float("-inf"),
    )
    lines = [
        f"  {list(index)}: {a[index].item()!r} and {e[index].item()!r}, difference {gap:.4g}"
        for gap, index in gaps[:5]
    ]
    _fail(
        f"The values are not close{at}: {wrong} of {a.numel()} entries differ "
        f"(rtol={rtol}, atol={atol}), the largest differences:\n" + "\n".join(lines),
        msg,
    )


def make_tensor(
    *shape: Any,
    dtype: _C.dtype,
    device: Any = None,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
) -> Tensor:
    """A tensor of random values in [low, high).

    The defaults are PyTorch's: [-9, 9] for floating point, [0, 10) for uint8, [-9, 10) for the
    other integers, both values for bool. ``noncontiguous`` gives every second entry of the last
    dimension of a larger tensor; ``exclude_zero`` replaces zeros by ones.

    >>> import tapegrad as tg
    >>> tg.testing.make_tensor(2, 3, dtype=tg.float64, low=0, high=1).shape
    tapegrad.Size([2, 3])
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    grown = (*sizes[:-1], 2 * sizes[-1]) if noncontiguous and sizes else sizes
    if dtype == _C.bool:
        result = _C.randint(0, 2, grown).to(dtype)
    elif dtype.is_floating_point:
        first, last = -9.0 if low is None else low, 9.0 if high is None else high
        result = (_C.rand(grown, dtype=_C.float64) * (last - first) + first).to(dtype)
    else:
        floor = 0 if dtype == _C.uint8 else -9
        first, last = floor if low is None else int(low), 10 if high is None else int(high)
        result = _C.randint(first, last, grown).to(dtype)
    if noncontiguous and sizes:
        result = result[..., ::2]
    if exclude_zero:
        result[result == 0] = 1
    if device is not None:
        result = result.to(device=device)
    return result.requires_grad_(True) if requires_grad else result
