"""``LayerNorm``, ``RMSNorm``, ``GroupNorm`` and ``LocalResponseNorm``."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn import _normalization_functional as functional
from tapegrad.nn import init
from tapegrad.nn.modules.module import Module
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from tapegrad._C import Tensor

__all__ = ["CrossMapLRN2d", "GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]

_layer_norm = _C._nn.layer_norm
_rms_norm = _C._nn.rms_norm
_group_norm = _C._nn.group_norm


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(Module):
    """Layer norm (Ba et al., 2016): each sample by its mean and variance over the last dimensions.

    ``normalized_shape`` are these dimensions (an int: the last one), ``eps`` is added to the
    variance. ``elementwise_affine`` gives ``weight`` (1) and, with ``bias``, ``bias`` (0) of shape
    ``normalized_shape``. Raises ``ShapeError`` for an input that does not end in these dimensions.

    >>> import tapegrad as tg
    >>> tg.nn.LayerNorm(2)(tg.tensor([[1.0, 3.0]])).detach()
    tensor([[-1.0000,  1.0000]])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            value = _C.empty(self.normalized_shape, device=device, dtype=dtype) if wanted else None
            self.register_parameter(name, None if value is None else Parameter(value))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weights to 1 and biases to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return _layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """RMS norm (Zhang and Sennrich, 2019): each sample by the root mean square of its last dims.

    ``eps`` is added to the mean square (None: the machine epsilon); ``elementwise_affine`` gives a
    ``weight`` (1) of shape ``normalized_shape``.

    >>> import tapegrad as tg
    >>> tg.nn.RMSNorm(2)(tg.tensor([[3.0, -3.0]])).detach()
    tensor([[ 1., -1.]])
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        if elementwise_affine:
            self.weight = Parameter(_C.empty(self.normalized_shape, device=device, dtype=dtype))
        else:
            self.register_parameter("weight", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weights to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return _rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    """Group norm (Wu and He, 2018): groups of channels of each sample by mean and variance.

    ``num_channels`` in dimension 1 are divided into ``num_groups``, which must divide them
    (``ValueError``). ``affine`` gives ``weight`` (1) and, with ``bias``, ``bias`` (0) for each
    channel.

    >>> import tapegrad as tg
    >>> tg.nn.GroupNorm(3, 6)(tg.rand(2, 6, 4, 4)).shape
    tapegrad.Size([2, 6, 4, 4])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups <= 0 or num_channels % num_groups != 0:
            raise ValueError(
                f"GroupNorm: num_channels ({num_channels}) must be divisible by num_groups "
                f"({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            value = _C.empty((num_channels,), device=device, dtype=dtype) if wanted else None
            self.register_parameter(name, None if value is None else Parameter(value))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weights to 1 and biases to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return _group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    """x / (k + alpha * mean of x^2 over ``size`` neighbouring channels)^beta of (N, C, ...).

    >>> import tapegrad as tg
    >>> tg.nn.LocalResponseNorm(2)(tg.rand(2, 6, 4, 4)).shape
    tapegrad.Size([2, 6, 4, 4])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return functional.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(Module):
    """:class:`LocalResponseNorm` of images (N, C, H, W) with the windows of PyTorch's module.

    Its sums run from channel to channel and never let go of the first one: every window counts it.
    Networks that were trained so need the same. ``ValueError`` for an input of other dimensions.

    >>> import tapegrad as tg
    >>> tg.nn.CrossMapLRN2d(3)(tg.rand(2, 6, 4, 4)).shape
    tapegrad.Size([2, 6, 4, 4])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() != 4:
            raise ValueError(
                f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead, shape "
                f"{tuple(input.shape)}"
            )
        reach = int((self.size - 1) / 2 + 1)
        channel = _C.arange(input.size(1))
        window = ((channel - channel.unsqueeze(1)).abs() < reach) | (channel == 0)
        sums = window.to(input.dtype) @ input.square().flatten(2)
        scale = sums * (self.alpha / self.size) + self.k
        return input * scale.pow(-self.beta).reshape(input.shape)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
