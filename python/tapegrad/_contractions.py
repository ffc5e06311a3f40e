"""Products whose arguments come in several forms: einsum, tensordot, chain_matmul."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tapegrad import _C
from tapegrad._C import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _text_of(sublist: Sequence[Any]) -> str:
    """A sublist such as [0, 1, ...] as subscripts."""
    text = ""
    for item in sublist:
        if item is Ellipsis:
            text += "..."
        elif isinstance(item, int) and 0 <= item < len(_LETTERS):
            text += _LETTERS[item]
        else:
            raise _C.ArgumentError(
                f"einsum: a sublist holds integers in [0, {len(_LETTERS)}) and Ellipsis, "
                f"got {item!r}"
            )
    return text


def _from_sublists(args: tuple[Any, ...]) -> tuple[str, list[Tensor]]:
    """The equation and operands of einsum(a, [0, 1], b, [1, 2], [0, 2])."""
    pairs = len(args) // 2
    equation = ",".join(_text_of(args[2 * i + 1]) for i in range(pairs))
    if len(args) % 2:
        equation += "->" + _text_of(args[-1])
    return equation, [args[2 * i] for i in range(pairs)]


def _path_of(equation: str, operands: Sequence[Tensor]) -> list[int] | None:
    """opt_einsum's path for three and more operands, where it is installed and switched on."""
    from tapegrad.backends import opt_einsum as backend

    if len(operands) < 3 or not backend.enabled or not backend.is_available():
        return None
    shapes = [tuple(t.shape) for t in operands]
    steps = backend.get_opt_einsum().contract_path(
        equation, *shapes, shapes=True, optimize=backend.strategy or "auto"
    )[0]
    # A step of more than two terms is taken two at a time.
    path: list[int] = []
    count = len(operands)
    for step in steps:
        rest = sorted(step)
        while len(rest) > 1:
            i, j = rest[0], rest[1]
            path += [i, j]
            count -= 1
            rest = [k - (k > i) - (k > j) for k in rest[2:]] + [count - 1]
    return path


def einsum(*args: Any) -> Tensor:
    """Sum of products by Einstein's convention.

    Args:
        args: an equation such as ``"bij,bjk->bik"`` and the operands, one by one or in a list; or
            operands and sublists of integers in turn: ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.
            Letters that the result does not name are summed over, ``...`` stands for dimensions
            that are not named, a letter that one operand repeats takes the diagonal. Without
            ``->`` the result has the ellipsis and then, sorted, the letters that appear once.

    Three and more operands are contracted in the order that opt_einsum finds, where it is
    installed, and from left to right where it is not.

    Operands that do not fit the equation or each other raise a ShapeError, an equation that cannot
    be read an ArgumentError.

    Example:
        >>> import tapegrad as tg
        >>> tg.einsum("ij,jk->ik", tg.tensor([[1.0, 2.0]]), tg.tensor([[3.0], [4.0]]))
        tensor([[11.]])
    """
    if len(args) < 2:
        raise _C.ArgumentError(
            "einsum: expected an equation and at least one operand, or operands and their sublists"
        )
    equation, operands = (
        (args[0], list(args[1:])) if isinstance(args[0], str) else _from_sublists(args)
    )
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    return _C._linalg._einsum(equation, operands, _path_of(equation, operands))


def _dims_of(dims: Any, first: Tensor) -> tuple[list[int], list[int]]:
    if isinstance(dims, Tensor):
        dims = dims.tolist() if dims.numel() > 1 else int(dims.item())
    if isinstance(dims, int):
        if dims < 0:
            raise _C.ShapeError(f"tensordot: expected dims >= 0, got {dims}")
        if dims > first.dim():
            raise _C.ShapeError(
                f"tensordot: dims={dims} is more than the {first.dim()} dimensions of the first "
                f"tensor, of shape {tuple(first.shape)}"
            )
        return list(range(first.dim() - dims, first.dim())), list(range(dims))
    left, right = dims
    return [left] if isinstance(left, int) else list(left), (
        [right] if isinstance(right, int) else list(right)
    )


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """Product of two tensors, summed over pairs of dimensions.

    Args:
        a: the first tensor
        b: the second
        dims: how many of the last dimensions of `a` meet the first ones of `b`; or two lists,
            the dimensions of `a` and those of `b` that they meet
        out: a tensor to write the result into

    Sizes or lists that do not fit raise a ShapeError.

    Example:
        >>> import tapegrad as tg
        >>> tg.tensordot(tg.ones(2, 3), tg.ones(3, 4), dims=1).shape
        tapegrad.Size([2, 4])
    """
    result = _C._linalg._tensordot(a, b, *_dims_of(dims, a))
    return result if out is None else _C.mul(result, 1, out=out)


def chain_matmul(*matrices: Any, out: Tensor | None = None) -> Tensor:
    """Product of a chain of matrices; linalg.multi_dot() takes vectors at the ends too.

    Args:
        matrices: one or more matrices
        out: a tensor to write the result into

    No matrix at all, or sizes that do not fit, raise a ShapeError.

    Example:
        >>> import tapegrad as tg
        >>> tg.chain_matmul(tg.ones(1, 2), tg.ones(2, 3), tg.ones(3, 1))
        tensor([[6.]])
    """
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    if not matrices:
        raise _C.ShapeError("chain_matmul: expected at least one matrix")
    result: Tensor = matrices[0]
    if len(matrices) > 1:
        result = _C._linalg.multi_dot(list(matrices))
    return result if out is None else _C.mul(result, 1, out=out)
