"""Batch and instance norms that take the number of channels from their first input."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn.modules.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from tapegrad.nn.modules.instancenorm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from tapegrad.nn.modules.lazy import LazyModuleMixin
from tapegrad.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]


class _LazyNorm(LazyModuleMixin):
    """What all lazy norms share; the other base class is the ordinary norm."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        module: Any = self
        super().__init__(  # type: ignore[call-arg]
            0, eps, momentum, False, False, device, dtype, bias=False
        )
        module.affine = affine
        module.track_running_stats = track_running_stats
        if affine:
            module.weight = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                module.bias = UninitializedParameter(device=device, dtype=dtype)
        if track_running_stats:
            module.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            module.running_var = UninitializedBuffer(device=device, dtype=dtype)
            module.num_batches_tracked = _C.tensor(0, dtype=_C.int64)

    def reset_parameters(self) -> None:
        """Forget the statistics, and set weights to 1 and biases to 0, once they have a shape."""
        module: Any = self
        if not self.has_uninitialized_params() and module.num_features != 0:
            super().reset_parameters()  # type: ignore[misc]

    def initialize_parameters(self, input: Tensor) -> None:
        """Take ``num_features`` from the channels of ``input``."""
        module: Any = self
        unbatched = getattr(module, "_unbatched", None)
        known = [t for t in (module.weight, module.running_mean) if t is not None]
        lazy = self.has_uninitialized_params()
        if known and not lazy:  # loaded from a state dict
            module.num_features = known[0].shape[0]
            return
        dim = 1 if unbatched is None else input.dim() - unbatched
        try:
            module.num_features = input.shape[dim] if 0 <= dim < input.dim() else 0
            module._check_input_dim(input)
        except Exception:
            module.num_features = 0
            raise
        for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
            if is_lazy(tensor):
                tensor.materialize((module.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A :class:`BatchNorm1d` that takes ``num_features`` from its first input and then is one.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyBatchNorm1d()
    >>> layer(tg.rand(2, 4, 8)).shape, layer.num_features
    (tapegrad.Size([2, 4, 8]), 4)
    """

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A :class:`BatchNorm2d` that takes ``num_features`` from its first input and then is one.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyBatchNorm2d()
    >>> layer(tg.rand(2, 4, 8, 8)).shape, layer.num_features
    (tapegrad.Size([2, 4, 8, 8]), 4)
    """

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A :class:`BatchNorm3d` that takes ``num_features`` from its first input and then is one.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyBatchNorm3d()
    >>> layer(tg.rand(2, 4, 5, 5, 5)).shape, layer.num_features
    (tapegrad.Size([2, 4, 5, 5, 5]), 4)
    """

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """A :class:`InstanceNorm1d` that takes ``num_features`` from its first input and then is one.

    As in PyTorch ``affine`` and ``track_running_stats`` are on here unless said otherwise.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyInstanceNorm1d()
    >>> layer(tg.rand(2, 4, 8)).shape, layer.num_features
    (tapegrad.Size([2, 4, 8]), 4)
    """

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """A :class:`InstanceNorm2d` that takes ``num_features`` from its first input and then is one.

    As in PyTorch ``affine`` and ``track_running_stats`` are on here unless said otherwise.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyInstanceNorm2d()
    >>> layer(tg.rand(2, 4, 8, 8)).shape, layer.num_features
    (tapegrad.Size([2, 4, 8, 8]), 4)
    """

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """A :class:`InstanceNorm3d` that takes ``num_features`` from its first input and then is one.

    As in PyTorch ``affine`` and ``track_running_stats`` are on here unless said otherwise.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyInstanceNorm3d()
    >>> layer(tg.rand(2, 4, 5, 5, 5)).shape, layer.num_features
    (tapegrad.Size([2, 4, 5, 5, 5]), 4)
    """

    cls_to_become = InstanceNorm3d
