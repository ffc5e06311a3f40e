"""vmap: a function of one sample becomes a function of a batch, without a loop."""

from __future__ import annotations

from functools import wraps

from tapegrad import _C
from tapegrad.utils._pytree import broadcast_prefix, tree_flatten, tree_unflatten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor

    InDims = int | tuple[Any, ...] | list[Any] | dict[Any, Any] | None


def _flat_in_dims(
    in_dims: Any, args: tuple[Any, ...], name: str
) -> tuple[list[Any], Any, list[Any]]:
    """Leaves of the arguments, their container's shape, and the batch dimension of each leaf."""
    leaves, spec = tree_flatten(args)
    if isinstance(in_dims, list):
        in_dims = tuple(in_dims)
    if not isinstance(in_dims, (int, tuple)) or isinstance(in_dims, bool):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}): expected in_dims to be an int or a tuple with one "
            f"entry for each argument, got {type(in_dims).__name__}"
        )
    dims = broadcast_prefix(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}): in_dims does not fit the arguments: it must be an "
            f"int, or have the structure {spec} (a part of it may be one int or None)"
        )
    for i, (leaf, dim) in enumerate(zip(leaves, dims, strict=True)):
        if dim is None:
            continue
        if not isinstance(dim, int) or isinstance(dim, bool):
            raise ValueError(
                f"vmap({name}, in_dims={in_dims}): got {dim!r} for an input; an in_dim is an int "
                "or None"
            )
        if not isinstance(leaf, _C.Tensor):
            raise ValueError(
                f"vmap({name}, in_dims={in_dims}): got in_dim={dim} for an input of type "
                f"{type(leaf).__name__}; only tensors have a batch dimension, use None for it"
            )
        if not -leaf.ndim <= dim < leaf.ndim:
            raise ValueError(
                f"vmap({name}, in_dims={in_dims}): got in_dim={dim} for a tensor of shape "
                f"{tuple(leaf.shape)}, which has {leaf.ndim} dimensions"
            )
        dims[i] = dim % leaf.ndim
    return leaves, spec, dims


def _batch_size(leaves: list[Any], dims: list[Any], name: str) -> int:
    sizes = {leaf.shape[dim] for leaf, dim in zip(leaves, dims, strict=True) if dim is not None}
    if not sizes:
        raise ValueError(f"vmap({name}): no input has a batch dimension; in_dims must name one")
    if len(sizes) > 1:
        raise ValueError(
            f"vmap({name}): expected all tensors to have the same size in the mapped dimension, "
            f"got sizes {sorted(sizes)}"
        )
    return int(sizes.pop())


def _flat_out_dims(out_dims: Any, spec: Any, name: str) -> list[int]:
    if isinstance(out_dims, list):
        out_dims = tuple(out_dims)
    if isinstance(out_dims, tuple) and len(out_dims) == 1 and spec.kind is None:
        out_dims = out_dims[0]
    dims = broadcast_prefix(out_dims, spec)
    if dims is None or any(not isinstance(d, int) or isinstance(d, bool) for d in dims):
        raise ValueError(
            f"vmap({name}, out_dims={out_dims}): out_dims must be an int or have the structure of "
            f"the outputs, {spec}"
        )
    return dims


def _lower(output: Any, dim: int, level: int, size: int, name: str) -> Tensor:
    if not isinstance(output, _C.Tensor):
        raise ValueError(
            f"vmap({name}): the function must return tensors, got a {type(output).__name__}; "
            "return it as a tensor or compute it outside"
        )
    ndim = output.ndim + 1
    if not -ndim <= dim < ndim:
        raise IndexError(
            f"vmap({name}): out_dims {dim} is out of range for an output of {ndim} dimensions, "
            "the batch included"
        )
    return _C._lower_batch(output, dim % ndim, level, size)


def _call(
    func: Callable[..., Any],
    name: str,
    out_dims: Any,
    randomness: str,
    size: int,
    flat: tuple[list[Any], Any, list[Any]],
    kwargs: dict[str, Any],
) -> Any:
    leaves, spec, dims = flat
    level = _C._open_batch_level(size, randomness)
    try:
        lifted = [
            leaf if dim is None else _C._lift(leaf, dim, level)
            for leaf, dim in zip(leaves, dims, strict=True)
        ]
        outputs, out_spec = tree_flatten(func(*tree_unflatten(lifted, spec), **kwargs))
        flat_dims = _flat_out_dims(out_dims, out_spec, name)
        results = [
            _lower(output, dim, level, size, name)
            for output, dim in zip(outputs, flat_dims, strict=True)
        ]
    finally:
        _C._close_batch_level(level)
    return tree_unflatten(results, out_spec)


def _call_in_chunks(
    func: Callable[..., Any],
    name: str,
    out_dims: Any,
    randomness: str,
    size: int,
    chunk: int,
    flat: tuple[list[Any], Any, list[Any]],
    kwargs: dict[str, Any],
) -> Any:
    leaves, spec, dims = flat
    pieces = []
    for start in range(0, size, chunk):
        length = min(chunk, size - start)
        part = [
            leaf if dim is None else leaf.narrow(dim, start, length)
            for leaf, dim in zip(leaves, dims, strict=True)
        ]
        result = _call(func, name, out_dims, randomness, length, (part, spec, dims), kwargs)
        pieces.append(tree_flatten(result))
    out_spec = pieces[0][1]
    joined = [
        _C.cat([piece[0][i] for piece in pieces], dim)
        for i, dim in enumerate(_flat_out_dims(out_dims, out_spec, name))
    ]
    return tree_unflatten(joined, out_spec)


def vmap(
    func: Callable[..., Any],
    in_dims: InDims = 0,
    out_dims: int | tuple[Any, ...] = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Turn a function of one sample into a function of a batch of samples.

    Args:
        func: takes tensors, or nested containers of them; returns tensors or containers of them
        in_dims: which dimension of each argument is the batch; an int for all, or a (nested)
            tuple with None for what every sample shares
        out_dims: where the batch dimension goes in the outputs
        randomness: random operations inside are an ``"error"``, draw the ``"same"`` numbers for
            all samples, or ``"different"`` ones
        chunk_size: samples computed at once, to limit memory; None for all

    Inside ``func`` a batched tensor shows the shape of one sample. Its values cannot be read (no
    ``item()``, no branch on them), and what depends on them cannot change shapes: such operations
    raise ``UnsupportedError``.

    Errors: ``ValueError``: ``in_dims`` or ``out_dims`` do not fit, batch sizes differ, an
    output is not a tensor

    >>> import tapegrad as tg
    >>> from tapegrad.func import vmap
    >>> x, y = tg.arange(6.0).reshape(3, 2), tg.ones(2)
    >>> vmap(lambda row, other: row.dot(other), in_dims=(0, None))(x, y)
    tensor([1., 5., 9.])
    """
    if randomness not in ("error", "different", "same"):
        raise ValueError(
            f"vmap: randomness must be 'error', 'different' or 'same', got {randomness!r}"
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"vmap: chunk_size must be None or positive, got {chunk_size}")
    name = getattr(func, "__name__", type(func).__name__)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        flat = _flat_in_dims(in_dims, args, name)
        size = _batch_size(flat[0], flat[2], name)
        if chunk_size is None or size <= chunk_size:
            return _call(func, name, out_dims, randomness, size, flat, kwargs)
        return _call_in_chunks(func, name, out_dims, randomness, size, chunk_size, flat, kwargs)

    return wraps(func)(wrapped) if hasattr(func, "__name__") else wrapped
