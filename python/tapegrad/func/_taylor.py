"""Higher directional derivatives in one forward pass, and the Laplacian made of them."""

from __future__ import annotations

from functools import wraps

from tapegrad import _C
from tapegrad.func._derivatives import (
    _argnums,
    _check_floating,
    _check_tensors,
    _matching,
    _replace,
)
from tapegrad.utils._pytree import tree_flatten, tree_unflatten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_ORDER = 4


def taylor(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    directions: tuple[Any, ...],
    order: int = 2,
) -> tuple[Any, list[Any]]:
    """The value of ``func`` and its derivatives along a direction up to ``order``.

    Taylor coefficients of ``func(primals + t * directions)`` pass through the function together,
    in one forward pass.

    Args:
        func: returns a tensor or a container of tensors
        primals: its arguments, a tuple
        directions: a tuple of the same structure and shapes
        order: the highest derivative, 1 to 4

    Returns ``(output, [d1, d2, ...])`` where ``dk`` is the k-th derivative by ``t`` at 0.

    Errors: ``RuntimeError`` when structures or shapes differ, ``ValueError`` for another order,
    ``NotImplementedError`` naming an operation that has no rule.

    Source: Griewank and Walther, "Evaluating Derivatives" (2008), chapter 13.

    >>> import tapegrad as tg
    >>> from tapegrad.func import taylor
    >>> value, derivatives = taylor(tg.exp, (tg.tensor(0.0),), (tg.tensor(2.0),), order=3)
    >>> [d.item() for d in derivatives]
    [2.0, 4.0, 8.0]
    """
    if type(order) is not int or not 1 <= order <= MAX_ORDER:
        raise ValueError(f"taylor: order must be an int from 1 to {MAX_ORDER}, got {order!r}")
    given: tuple[tuple[str, Any], ...] = (("primals", primals), ("directions", directions))
    for what, value in given:
        if not isinstance(value, tuple) or not value:
            raise RuntimeError(f"taylor: expected {what} to be a tuple with one entry an argument")
    leaves, spec = tree_flatten(primals)
    _check_floating("taylor", leaves)
    slopes = _matching("taylor", "directions", directions, spec, leaves)
    level = _C._open_taylor_level(order)
    try:
        curves = [
            _C._make_curve(x, (v.to(x.dtype),), level) for x, v in zip(leaves, slopes, strict=True)
        ]
        outputs, out_spec = tree_flatten(func(*tree_unflatten(curves, spec)))
        _check_tensors("taylor", "the outputs of the function", outputs)
        parts = [_C._unpack_curve(y, level) for y in outputs]
    finally:
        _C._close_taylor_level(level)
    derivatives = []
    factorial = 1
    for k in range(1, order + 1):
        factorial *= k
        column = []
        for y, series in parts:
            c = series[k - 1] if k <= len(series) else None
            column.append(_C.zeros_like(y) if c is None else c * factorial if k > 1 else c)
        derivatives.append(tree_unflatten(column, out_spec))
    return tree_unflatten([y for y, _ in parts], out_spec), derivatives


def laplacian(
    func: Callable[..., Any], argnums: int = 0, *, has_value: bool = False
) -> Callable[..., Any]:
    """A function that computes the Laplacian of ``func``: the trace of its Hessian.

    One forward pass, in which every tensor carries its derivatives along the unit vectors and the
    sum of its second derivatives along them: no reverse pass, no Hessian.

    Args:
        func: takes a tensor at ``argnums``, returns a tensor; the Laplacian is taken of each of
            its elements
        argnums: the argument to differentiate by
        has_value: whether to return ``(value, laplacian)``

    Source: Li et al., "A computational framework for neural network-based variational Monte Carlo
    with Forward Laplacian" (2024).

    >>> import tapegrad as tg
    >>> from tapegrad.func import laplacian
    >>> laplacian(lambda x: (x**3).sum())(tg.tensor([1.0, 2.0]))
    tensor(18.)
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        (number,) = _argnums("laplacian", argnums, args)
        x = args[number]
        _check_floating("laplacian", [x])
        directions = x.numel()
        # One row a direction, and one for the sum of second derivatives, which is 0 at the start.
        rows = _C.eye(directions + 1, directions, dtype=x.dtype).reshape(-1, *x.shape)
        batch = _C._open_batch_level(directions + 1, "error")
        level = _C._open_laplacian_level(batch)
        try:
            curve = _C._make_curve(x, (_C._lift(rows, 0, batch),), level)
            output = func(*_replace(args, (number,), (curve,)), **kwargs)
            if not isinstance(output, _C.Tensor):
                raise RuntimeError(
                    f"laplacian: the function must return a tensor, got a {type(output).__name__}"
                )
            value, series = _C._unpack_curve(output, level)
            moved = series[0] if series else None
            total = (
                _C.zeros_like(value)
                if moved is None
                else _C._lower_batch(moved, 0, batch, directions + 1)[directions]
            )
        finally:
            _C._close_taylor_level(level)
            _C._close_batch_level(batch)
        return (value, total) if has_value else total

    return wraps(func)(wrapped) if hasattr(func, "__name__") else wrapped
