"""Resampling with PyTorch's choice of arguments; :mod:`tapegrad.nn.functional` re-exports it."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapegrad._C import Tensor

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

_MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area")
_ALIGNING = ("linear", "bilinear", "bicubic", "trilinear")


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Images of another size: (N, C, d1, ...) to (N, C, *size), up to three dimensions d.

    Either ``size`` or ``scale_factor`` is given, as one number or one for each dimension. ``mode``
    is "nearest", "nearest-exact" or "area" for any number of dimensions, "linear" for one,
    "bilinear" and "bicubic" for two, "trilinear" for three. With ``align_corners`` (the last four
    only) the corner pixels of both images lie at the same places. Places correspond by
    ``scale_factor``, or, with ``recompute_scale_factor``, by the ratio of the sizes. ``antialias``
    ("bilinear" and "bicubic") widens the filter where the image shrinks.

    Errors: ``ValueError`` for arguments that do not go together, ``NotImplementedError`` for a mode
    that does not take so many dimensions.

    >>> import tapegrad as tg
    >>> x = tg.tensor([[[0.0, 2.0]]])
    >>> tg.nn.functional.interpolate(x, scale_factor=2, mode="linear", align_corners=False)
    tensor([[[0.0000, 0.5000, 1.5000, 2.0000]]])
    """
    if mode not in _MODES:
        raise NotImplementedError(
            f"interpolate: {mode!r} is no mode; use one of {', '.join(_MODES)}"
        )
    if align_corners is not None and mode not in _ALIGNING:
        raise ValueError(
            f"interpolate: align_corners goes with the modes {', '.join(_ALIGNING)}, got "
            f"mode={mode!r}; leave it out"
        )
    dims = input.dim() - 2
    if (size is None) == (scale_factor is None):
        given = "neither" if size is None else "both"
        raise ValueError(
            f"interpolate: only one of size and scale_factor should be defined, got {given}"
        )
    scales: list[float] = []
    if size is not None:
        if recompute_scale_factor:
            raise ValueError(
                "interpolate: recompute_scale_factor goes with scale_factor, got a size"
            )
        sizes = [int(n) for n in _per_dimension("size", size, dims)]
    else:
        scales = [float(s) for s in _per_dimension("scale_factor", scale_factor, dims)]
        sizes = [int(float(n) * s) for n, s in zip(input.shape[2:], scales, strict=True)]
        if recompute_scale_factor or mode == "area":
            scales = []
    if antialias and (mode not in ("bilinear", "bicubic") or dims != 2):
        raise ValueError(
            "interpolate: antialias goes with mode='bilinear' or 'bicubic' and a 4-d input, got "
            f"mode={mode!r} and shape {tuple(input.shape)}"
        )
    return _C._nn._interpolate(input, sizes, mode, bool(align_corners), antialias, *scales)


def _per_dimension(name: str, value: object, dims: int) -> Sequence[float]:
    if not isinstance(value, (tuple, list)):
        return [value] * dims  # type: ignore[list-item]
    if len(value) != dims:
        raise ValueError(
            f"interpolate: expected {name} of {dims} numbers, one for each spatial dimension, got "
            f"{tuple(value)}"
        )
    return value


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """An older name of :func:`interpolate`.

    >>> import tapegrad as tg
    >>> tg.nn.functional.upsample(tg.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """:func:`interpolate` with mode "nearest".

    >>> import tapegrad as tg
    >>> tg.nn.functional.upsample_nearest(tg.tensor([[[1.0, 2.0]]]), size=4)
    tensor([[[1., 1., 2., 2.]]])
    """
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """:func:`interpolate` with mode "bilinear" and aligned corners.

    >>> import tapegrad as tg
    >>> tg.nn.functional.upsample_bilinear(tg.tensor([[[[0.0, 2.0]]]]), size=(1, 3))
    tensor([[[[0., 1., 2.]]]])
    """
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
