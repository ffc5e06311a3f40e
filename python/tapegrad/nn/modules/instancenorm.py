"""``InstanceNorm1d``, ``InstanceNorm2d`` and ``InstanceNorm3d``."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn.modules.batchnorm import _NormBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]

_instance_norm = _C._nn.instance_norm


class _InstanceNorm(_NormBase):
    _unbatched: int  # dimensions of an input without a batch

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (self._unbatched, self._unbatched + 1):
            raise ValueError(
                f"{type(self).__name__}: expected {self._unbatched}D or {self._unbatched + 1}D "
                f"input (got {input.dim()}D input, shape {tuple(input.shape)})"
            )
        if self.affine:
            self._expect_channels(input, input.dim() - self._unbatched)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        single = input.dim() == self._unbatched
        y = _instance_norm(
            input.unsqueeze(0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum if self.momentum is not None else 0.0,
            self.eps,
        )
        return y.squeeze(0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """Instance norm (Ulyanov et al., 2016) of (N, C, L) or (C, L), C being ``num_features``.

    Each channel of each sample by its own mean and variance; with ``affine`` weights and biases for
    the channels. With ``track_running_stats`` the averages over samples and batches are kept, and
    used in evaluation mode. Raises ``ValueError`` for an input of other dimensions, or of one value
    in a channel.

    >>> import tapegrad as tg
    >>> tg.nn.InstanceNorm1d(2)(tg.rand(3, 2, 5)).shape
    tapegrad.Size([3, 2, 5])
    """

    _unbatched = 2


class InstanceNorm2d(_InstanceNorm):
    """:class:`InstanceNorm1d` for (N, C, H, W) or (C, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.InstanceNorm2d(2)(tg.rand(3, 2, 4, 4)).shape
    tapegrad.Size([3, 2, 4, 4])
    """

    _unbatched = 3


class InstanceNorm3d(_InstanceNorm):
    """:class:`InstanceNorm1d` for (N, C, D, H, W) or (C, D, H, W).

    >>> import tapegrad as tg
    >>> tg.nn.InstanceNorm3d(2)(tg.rand(3, 2, 4, 4, 4)).shape
    tapegrad.Size([3, 2, 4, 4, 4])
    """

    _unbatched = 4
