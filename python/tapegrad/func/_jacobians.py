"""Jacobians and Hessians: one batched pull, or one batched push, along a basis."""

from __future__ import annotations

from functools import wraps

from tapegrad import _C
from tapegrad.func._derivatives import _argnums, _check_floating, _replace, jvp, vjp
from tapegrad.func._vmap import vmap
from tapegrad.utils._pytree import tree_flatten, tree_map, tree_unflatten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.func._derivatives import Argnums


def _basis(leaves: list[Tensor]) -> list[Tensor]:
    """For each leaf of n_i elements a tensor (n, *shape_i): the unit vectors of them all."""
    sizes = [leaf.numel() for leaf in leaves]
    total = sum(sizes)
    result = []
    start = 0
    for leaf, size in zip(leaves, sizes, strict=True):
        columns = _C.eye(total, dtype=leaf.dtype).narrow(1, start, size)
        result.append(columns.reshape(total, *leaf.shape))
        start += size
    return result


def _check_chunk(chunk_size: int | None) -> None:
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"jacrev: chunk_size must be None or positive, got {chunk_size}")


def _arrange(structure: Any, argnums: Argnums) -> Any:
    return structure if isinstance(argnums, tuple) else structure[0]


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that computes the Jacobian of ``func``, one reverse pass for each output element.

    Args:
        func: returns a tensor or a container of tensors; ``(output, aux)`` with ``has_aux``
        argnums: the argument, or arguments, to differentiate by
        has_aux: whether ``func`` returns something besides, passed through
        chunk_size: rows computed at once, to limit memory; None for all

    The result has the structure of the output, in each place the structure of the argument, and
    shapes ``output.shape + argument.shape``.

    >>> import tapegrad as tg
    >>> from tapegrad.func import jacrev
    >>> jacrev(lambda x: x**2)(tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    _check_chunk(chunk_size)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = _argnums("jacrev", argnums, args)
        primals = tuple(args[n] for n in numbers)
        inputs, in_spec = tree_flatten(primals)
        _check_floating("jacrev", inputs)

        def partial(*values: Any) -> Any:
            return func(*_replace(args, numbers, values), **kwargs)

        output, pull, *aux = vjp(partial, *primals, has_aux=has_aux)
        outputs, out_spec = tree_flatten(output)
        basis = _basis(outputs)
        rows = basis[0].shape[0] if basis else 0

        def pull_flat(*cotangents: Tensor) -> tuple[Tensor, ...]:
            return tuple(tree_flatten(pull(tree_unflatten(cotangents, out_spec)))[0])

        if rows == 1:
            gradients = [g.unsqueeze(0) for g in pull_flat(*(b.squeeze(0) for b in basis))]
        else:
            gradients = list(vmap(pull_flat, chunk_size=chunk_size)(*basis))
        result, start = [], 0
        for y in outputs:
            parts = [
                g.narrow(0, start, y.numel()).reshape(*y.shape, *x.shape)
                for g, x in zip(gradients, inputs, strict=True)
            ]
            start += y.numel()
            result.append(_arrange(tree_unflatten(parts, in_spec), argnums))
        jacobian = tree_unflatten(result, out_spec)
        return (jacobian, aux[0]) if has_aux else jacobian

    return wraps(func)(wrapped) if hasattr(func, "__name__") else wrapped


jacobian = jacrev


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that computes the Jacobian of ``func``, one forward pass for each input element.

    Arguments and result are those of :func:`jacrev`; ``randomness`` is that of :func:`vmap`.

    >>> import tapegrad as tg
    >>> from tapegrad.func import jacfwd
    >>> jacfwd(lambda x: x.sum() * x)(tg.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """
    _check_chunk(chunk_size)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = _argnums("jacfwd", argnums, args)
        primals = tuple(args[n] for n in numbers)
        inputs, in_spec = tree_flatten(primals)
        _check_floating("jacfwd", inputs)

        def partial(*values: Any) -> Any:
            return func(*_replace(args, numbers, values), **kwargs)

        specs = []

        def push(*tangents: Tensor) -> Any:
            direction = tree_unflatten(tangents, in_spec)
            _, derivative, *aux = jvp(partial, primals, direction, has_aux=has_aux)
            columns, out_spec = tree_flatten(derivative)
            specs.append(out_spec)
            return (tuple(columns), aux[0]) if has_aux else tuple(columns)

        basis = _basis(inputs)
        columns = vmap(push, randomness=randomness, chunk_size=chunk_size)(*basis)
        if has_aux:
            columns, aux = columns
            aux = tree_map(lambda value: value[0], aux)
        result = []
        for column in columns:
            parts, start = [], 0
            for x in inputs:
                part = column.narrow(0, start, x.numel()).movedim(0, -1)
                parts.append(part.reshape(*column.shape[1:], *x.shape))
                start += x.numel()
            result.append(_arrange(tree_unflatten(parts, in_spec), argnums))
        jacobian = tree_unflatten(result, specs[0])
        return (jacobian, aux) if has_aux else jacobian

    return wraps(func)(wrapped) if hasattr(func, "__name__") else wrapped


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that computes the Hessian of ``func``: forward over reverse.

    The result has the structure of the output, then twice that of the argument.

    >>> import tapegrad as tg
    >>> from tapegrad.func import hessian
    >>> hessian(lambda x: (x**3).sum())(tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
