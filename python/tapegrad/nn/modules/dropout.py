"""Dropout: of entries, of whole channels, and for self-normalizing networks."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn.modules.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
]

_dropout = _C._nn.dropout


class _DropoutNd(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """In training, set each entry to 0 with probability ``p`` and scale the others by 1/(1-p).

    In evaluation mode it returns its input. ``p`` outside [0, 1] is a ``ValueError``.

    >>> import tapegrad as tg
    >>> tg.nn.Dropout(0.2).eval()(tg.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return _dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """:class:`Dropout` of whole channels: of (N, C, L) or (C, L).

    >>> import tapegrad as tg
    >>> y = tg.nn.Dropout1d()(tg.ones(4, 3, 5))
    >>> bool((y == y[:, :, :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return _C._nn.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """:class:`Dropout` of whole channels: of (N, C, H, W), or (N, C, L).

    >>> import tapegrad as tg
    >>> y = tg.nn.Dropout2d()(tg.ones(4, 3, 5, 5))
    >>> bool((y == y[:, :, :1, :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return _C._nn.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """:class:`Dropout` of whole channels: of (N, C, D, H, W) or (C, D, H, W).

    >>> import tapegrad as tg
    >>> y = tg.nn.Dropout3d()(tg.ones(4, 3, 2, 2, 2))
    >>> bool((y == y[:, :, :1, :1, :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return _C._nn.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Dropout that keeps mean 0 and variance 1, for networks of :class:`SELU`.

    Klambauer et al., https://arxiv.org/abs/1706.02515. ``inplace`` is kept for the signature's
    sake: as in PyTorch the result is a new tensor.

    >>> import tapegrad as tg
    >>> tg.nn.AlphaDropout(0.2).eval()(tg.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return _C._nn.alpha_dropout(input, self.p, self.training)


class FeatureAlphaDropout(_DropoutNd):
    """:class:`AlphaDropout` of whole channels (dimension 1).

    >>> import tapegrad as tg
    >>> y = tg.nn.FeatureAlphaDropout()(tg.randn(4, 3, 1).expand(4, 3, 5))
    >>> bool((y == y[:, :, :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return _C._nn.feature_alpha_dropout(input, self.p, self.training)
