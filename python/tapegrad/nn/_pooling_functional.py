"""Pooling functions made of other operations: Lp, fractional and the inverse of max pooling."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tapegrad._C import Tensor

    Ints = int | Sequence[int]
    Sizes = int | Sequence[int | None] | None

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d_with_indices",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

_nn = _C._nn


def tuple_of(value: Ints, count: int) -> tuple[int, ...]:
    """``value`` for each of ``count`` dimensions, or the sequence that it is."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * count  # type: ignore[return-value]


def _sizes(output_size: Any) -> Any:
    """Output sizes as the operation takes them: None is -1, the size of the input."""
    if output_size is None:
        return -1
    if isinstance(output_size, (tuple, list)) and None in output_size:
        return [-1 if size is None else size for size in output_size]
    return output_size


def adaptive_avg_pool2d(input: Tensor, output_size: Sizes) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the input evenly.

    ``input`` is (N, C, H, W) or (C, H, W); ``output_size`` one number or two, None for a dimension
    that stays as it is. Raises ``ShapeError`` for an input of another shape.

    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_avg_pool2d(tg.arange(16.0).reshape(1, 4, 4), (1, None))
    tensor([[[6., 7., 8., 9.]]])
    """
    return _nn.adaptive_avg_pool2d(input, _sizes(output_size))


def adaptive_avg_pool3d(input: Tensor, output_size: Sizes) -> Tensor:
    """As :func:`adaptive_avg_pool2d`, for (N, C, D, H, W) or (C, D, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_avg_pool3d(tg.arange(8.0).reshape(1, 2, 2, 2), 1).item()
    3.5
    """
    return _nn.adaptive_avg_pool3d(input, _sizes(output_size))


def adaptive_max_pool1d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """The largest element of each of ``output_size`` windows that cover the input evenly.

    ``input`` is (N, C, L) or (C, L). With ``return_indices`` also where they are.

    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_max_pool1d(tg.arange(4.0).reshape(1, 4), 2)
    tensor([[1., 3.]])
    """
    return _nn.adaptive_max_pool1d(input, _sizes(output_size), return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """As :func:`adaptive_max_pool1d`, for (N, C, H, W) or (C, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_max_pool2d(tg.arange(16.0).reshape(1, 4, 4), (1, None))
    tensor([[[12., 13., 14., 15.]]])
    """
    return _nn.adaptive_max_pool2d(input, _sizes(output_size), return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Sizes, return_indices: bool = False) -> Any:
    """As :func:`adaptive_max_pool1d`, for (N, C, D, H, W) or (C, D, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.functional.adaptive_max_pool3d(tg.arange(8.0).reshape(1, 2, 2, 2), 1).item()
    7.0
    """
    return _nn.adaptive_max_pool3d(input, _sizes(output_size), return_indices)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """``max_pool1d`` with ``return_indices=True``."""
    args = (input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return _nn.max_pool1d(*args)  # type: ignore[no-any-return]


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """``max_pool2d`` with ``return_indices=True``."""
    args = (input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return _nn.max_pool2d(*args)  # type: ignore[no-any-return]


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """``max_pool3d`` with ``return_indices=True``."""
    args = (input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return _nn.max_pool3d(*args)  # type: ignore[no-any-return]


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: Sizes, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """:func:`adaptive_max_pool1d` with ``return_indices=True``."""
    return adaptive_max_pool1d(input, output_size, True)  # type: ignore[no-any-return]


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: Sizes, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """:func:`adaptive_max_pool2d` with ``return_indices=True``."""
    return adaptive_max_pool2d(input, output_size, True)  # type: ignore[no-any-return]


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: Sizes, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """:func:`adaptive_max_pool3d` with ``return_indices=True``."""
    return adaptive_max_pool3d(input, output_size, True)  # type: ignore[no-any-return]


# --- norms of windows -----------------------------------------------------------------------------


def _root(mean: Tensor, count: int, norm_type: float) -> Tensor:
    return (mean.sign() * mean.abs().relu() * count).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The ``norm_type``-norm of each window of an input (N, C, L) or (C, L).

    Powers keep the sign of the sum, as in PyTorch. ``stride`` is ``kernel_size`` when not given.

    >>> import tapegrad as tg
    >>> tg.nn.functional.lp_pool1d(tg.tensor([[3.0, 4.0]]), 2, 2)
    tensor([[5.]])
    """
    (size,) = tuple_of(kernel_size, 1)
    mean = _nn.avg_pool1d(input.pow(norm_type), size, stride, 0, ceil_mode)
    return _root(mean, size, norm_type)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """As :func:`lp_pool1d`, for (N, C, H, W) or (C, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.functional.lp_pool2d(tg.ones(1, 2, 2), 2, 2).item()
    2.0
    """
    height, width = tuple_of(kernel_size, 2)
    mean = _nn.avg_pool2d(input.pow(norm_type), (height, width), stride, 0, ceil_mode)
    return _root(mean, height * width, norm_type)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """As :func:`lp_pool1d`, for (N, C, D, H, W) or (C, D, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.functional.lp_pool3d(tg.ones(1, 2, 2, 2), 1, 2).item()
    8.0
    """
    depth, height, width = tuple_of(kernel_size, 3)
    mean = _nn.avg_pool3d(input.pow(norm_type), (depth, height, width), stride, 0, ceil_mode)
    return _root(mean, depth * height * width, norm_type)


# --- windows at random places ---------------------------------------------------------------------


def _interval_starts(sample: Tensor, size: int, count: int, window: int) -> Tensor:
    """Where `count` windows begin, for each number in `sample` (N, C): Graham, 1412.6071."""
    last = _C.full((*sample.shape, 1), size - window, dtype=_C.int64)
    if count == 1:
        return last
    alpha = (size - window) / (count - 1)
    sample = sample.unsqueeze(-1)
    steps = _C.arange(count - 1, dtype=sample.dtype)
    starts = ((steps + sample) * alpha).long() - (sample * alpha).long()
    return _C.cat([starts, last], -1)


def _fractional(
    name: str,
    ndim: int,
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None,
    output_ratio: Any,
    samples: Tensor | None,
) -> tuple[Tensor, Tensor]:
    from tapegrad import ShapeError

    if input.dim() not in (ndim + 1, ndim + 2):
        raise ShapeError(
            f"{name}: expected an input of {ndim + 1} or {ndim + 2} dimensions, "
            f"got shape {tuple(input.shape)}"
        )
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    x = input if input.dim() == ndim + 2 else input.unsqueeze(0)
    spatial = tuple(x.shape)[2:]
    if output_size is None:
        ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * ndim
        output_size = [int(s * r) for s, r in zip(spatial, ratios, strict=True)]
    out, window = tuple_of(output_size, ndim), tuple_of(kernel_size, ndim)
    for size, count, length in zip(spatial, out, window, strict=True):
        if count < 1 or length < 1 or count + length - 1 > size:
            raise ShapeError(
                f"{name}: {count} windows of {length} do not fit into a dimension of {size}"
            )
    if samples is None:
        samples = _C.rand(*tuple(x.shape)[:2], ndim, dtype=x.dtype)
    # PyTorch's samples are ordered (W, H) in two dimensions, (D, H, W) in three.
    order = (1, 0) if ndim == 2 else tuple(range(ndim))
    flat = _C.zeros(1, dtype=_C.int64)
    for d in range(ndim):
        starts = _interval_starts(samples[..., order[d]], spatial[d], out[d], window[d])
        positions = starts.unsqueeze(-1) + _C.arange(window[d])
        shape = [*tuple(x.shape)[:2], *([1] * (2 * ndim))]
        shape[2 + d], shape[2 + ndim + d] = out[d], window[d]
        flat = flat * spatial[d] + positions.reshape(shape)
    flat = flat.reshape(*tuple(x.shape)[:2], -1)
    lines = x.flatten(2)
    with _no_grad():
        seen = lines.detach().gather(2, flat).unflatten(2, (-1, _product(window)))
        best = seen.argmax(-1, keepdim=True)
    indices = flat.unflatten(2, (-1, _product(window))).gather(3, best).squeeze(3)
    values = lines.gather(2, indices).unflatten(2, out)
    indices = indices.unflatten(2, out)
    return (values, indices) if x is input else (values.squeeze(0), indices.squeeze(0))


def _no_grad() -> Any:
    from tapegrad.autograd.grad_mode import no_grad

    return no_grad()


def _product(numbers: Sequence[int]) -> int:
    import math

    return math.prod(numbers)


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`fractional_max_pool2d` with ``return_indices=True``."""
    name = "fractional_max_pool2d"
    return _fractional(name, 2, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`fractional_max_pool3d` with ``return_indices=True``."""
    name = "fractional_max_pool3d"
    return _fractional(name, 3, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest elements of windows at random distances (Graham, 2014).

    ``input`` is (N, C, H, W) or (C, H, W). Either ``output_size`` says how many windows there are,
    or ``output_ratio``, between 0 and 1, which part of the input's size. ``_random_samples``
    (N, C, 2) in [0, 1) takes the place of random numbers. With ``return_indices`` also where the
    maxima are.

    >>> import tapegrad as tg
    >>> x = tg.rand(1, 2, 8, 8)
    >>> tg.nn.functional.fractional_max_pool2d(x, 2, output_size=(5, 4)).shape
    tapegrad.Size([1, 2, 5, 4])
    """
    args = (input, kernel_size, output_size, output_ratio, True, _random_samples)
    found = fractional_max_pool2d_with_indices(*args)
    return found if return_indices else found[0]


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """As :func:`fractional_max_pool2d`, for (N, C, D, H, W) or (C, D, H, W).

    >>> import tapegrad as tg
    >>> x = tg.rand(1, 2, 8, 8, 8)
    >>> tg.nn.functional.fractional_max_pool3d(x, 2, output_ratio=0.5).shape
    tapegrad.Size([1, 2, 4, 4, 4])
    """
    args = (input, kernel_size, output_size, output_ratio, True, _random_samples)
    found = fractional_max_pool3d_with_indices(*args)
    return found if return_indices else found[0]


# --- back to where the maxima were ----------------------------------------------------------------


def _unpooled_size(
    name: str,
    input: Tensor,
    window: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    output_size: Sequence[int] | None,
) -> list[int]:
    from tapegrad import ShapeError

    ndim = len(window)
    spatial = tuple(input.shape)[-ndim:]
    parts = zip(spatial, window, stride, padding, strict=True)
    default = [(size - 1) * step + k - 2 * pad for size, k, step, pad in parts]
    if output_size is None:
        return default
    wanted = list(output_size)
    if len(wanted) == ndim + 2:
        wanted = wanted[2:]
    if len(wanted) != ndim:
        raise ShapeError(
            f"{name}: output_size should have {ndim} or {ndim + 2} entries, got {len(wanted)}"
        )
    for d in range(ndim):
        if not default[d] - stride[d] < wanted[d] < default[d] + stride[d]:
            least, most = default[d] - stride[d], default[d] + stride[d]
            raise ValueError(
                f"{name}: output_size of dimension {d} must lie between {least} and {most}, "
                f"both excluded, got {wanted[d]}"
            )
    return wanted


def _unpool(
    name: str,
    ndim: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    output_size: Sequence[int] | None,
) -> Tensor:
    from tapegrad import ShapeError

    if input.dim() not in (ndim + 1, ndim + 2) or input.shape != indices.shape:
        raise ShapeError(
            f"{name}: expected input and indices of one shape of {ndim + 1} or {ndim + 2} "
            f"dimensions, got {tuple(input.shape)} and {tuple(indices.shape)}"
        )
    window = tuple_of(kernel_size, ndim)
    steps = window if stride is None else tuple_of(stride, ndim)
    size = _unpooled_size(name, input, window, steps, tuple_of(padding, ndim), output_size)
    lead = tuple(input.shape)[:-ndim]
    flat = _C.zeros(*lead, _product(size), dtype=input.dtype)
    placed = flat.scatter(-1, indices.flatten(-ndim), input.flatten(-ndim))
    return placed.reshape(*lead, *size)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Put the maxima of ``max_pool1d`` back to where they were, between zeros.

    ``input`` and ``indices`` are what ``max_pool1d(..., return_indices=True)`` returned;
    ``output_size`` chooses among the sizes that would have been pooled to this one. Raises
    ``IndexError`` for an index outside of the output.

    >>> import tapegrad as tg
    >>> F = tg.nn.functional
    >>> y, where = F.max_pool1d(tg.tensor([[1.0, 3.0, 4.0, 2.0]]), 2, return_indices=True)
    >>> F.max_unpool1d(y, where, 2)
    tensor([[0., 3., 4., 0.]])
    """
    args = (input, indices, kernel_size, stride, padding, output_size)
    return _unpool("max_unpool1d", 1, *args)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """As :func:`max_unpool1d`, for ``max_pool2d``.

    >>> import tapegrad as tg
    >>> F = tg.nn.functional
    >>> y, where = F.max_pool2d(tg.arange(4.0).reshape(1, 2, 2), 2, return_indices=True)
    >>> F.max_unpool2d(y, where, 2)
    tensor([[[0., 0.],
             [0., 3.]]])
    """
    args = (input, indices, kernel_size, stride, padding, output_size)
    return _unpool("max_unpool2d", 2, *args)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """As :func:`max_unpool1d`, for ``max_pool3d``.

    >>> import tapegrad as tg
    >>> F = tg.nn.functional
    >>> y, where = F.max_pool3d(tg.arange(8.0).reshape(1, 2, 2, 2), 2, return_indices=True)
    >>> F.max_unpool3d(y, where, 2).sum().item()
    7.0
    """
    args = (input, indices, kernel_size, stride, padding, output_size)
    return _unpool("max_unpool3d", 3, *args)
