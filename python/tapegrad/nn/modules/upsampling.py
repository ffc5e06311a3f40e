"""Images of another size, as modules."""

from __future__ import annotations

from tapegrad.nn import functional
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

    _Size = int | tuple[int, ...]
    _Ratio = float | tuple[float, ...]

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]


class Upsample(Module):
    """:func:`tapegrad.nn.functional.interpolate` as a module, with its arguments.

    >>> import tapegrad as tg
    >>> tg.nn.Upsample(scale_factor=2, mode="bilinear")(tg.ones(1, 1, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 6])
    """

    def __init__(
        self,
        size: _Size | None = None,
        scale_factor: _Ratio | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        self.scale_factor: _Ratio | None
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return functional.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """:class:`Upsample` with mode "nearest".

    >>> import tapegrad as tg
    >>> tg.nn.UpsamplingNearest2d(scale_factor=2)(tg.ones(1, 1, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 6])
    """

    def __init__(self, size: _Size | None = None, scale_factor: _Ratio | None = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """:class:`Upsample` with mode "bilinear" and aligned corners.

    >>> import tapegrad as tg
    >>> tg.nn.UpsamplingBilinear2d(size=(4, 6))(tg.ones(1, 1, 2, 3)).shape
    tapegrad.Size([1, 1, 4, 6])
    """

    def __init__(self, size: _Size | None = None, scale_factor: _Ratio | None = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
