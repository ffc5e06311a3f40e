"""``Linear``, ``LazyLinear``, ``Bilinear`` and ``Identity``."""

from __future__ import annotations

import math

from tapegrad import _C
from tapegrad.nn import init
from tapegrad.nn.modules.lazy import LazyModuleMixin
from tapegrad.nn.modules.module import Module
from tapegrad.nn.parameter import Parameter, UninitializedParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor

__all__ = ["Bilinear", "Identity", "LazyLinear", "Linear"]

_linear = _C._nn.linear


class Identity(Module):
    """Return the input; any constructor arguments are ignored.

    >>> import tapegrad as tg
    >>> tg.nn.Identity(54, unused=True)(tg.ones(1))
    tensor([1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """``y = x W^T + b`` on the last dimension: (..., in_features) to (..., out_features).

    ``weight`` has shape (out_features, in_features) and ``bias`` (out_features,), both drawn from
    U(-k, k) with k = 1/sqrt(in_features). ``bias=False`` leaves the bias out; ``device`` and
    ``dtype`` are those of the parameters.

    >>> import tapegrad as tg
    >>> tg.nn.Linear(20, 30)(tg.ones(128, 20)).shape
    tapegrad.Size([128, 30])
    """

    in_features: int
    out_features: int
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        shape = (out_features, in_features)
        self.weight = Parameter(_C.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(_C.empty((out_features,), device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return _linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """``y_o = x1 W_o x2 + b_o`` on the last dimension of (*, in1) and (*, in2), to (*, out).

    ``weight`` has shape (out_features, in1_features, in2_features) and ``bias`` (out_features,),
    both drawn from U(-k, k) with k = 1/sqrt(in1_features). ``bias=False`` leaves the bias out.
    ``in1_features`` below 1 is a ``ValueError``.

    >>> import tapegrad as tg
    >>> tg.nn.Bilinear(20, 30, 40)(tg.ones(128, 20), tg.ones(128, 30)).shape
    tapegrad.Size([128, 40])
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if in1_features <= 0:
            raise ValueError(f"Bilinear: in1_features must be positive, got {in1_features}")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(_C.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(_C.empty((out_features,), device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return _C.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class LazyLinear(LazyModuleMixin, Linear):
    """A :class:`Linear` that takes ``in_features`` from its first input, and is one from then on.

    >>> import tapegrad as tg
    >>> layer = tg.nn.LazyLinear(3)
    >>> layer.weight
    <UninitializedParameter>
    >>> layer(tg.ones(2, 5)).shape, layer.weight.shape
    (tapegrad.Size([2, 3]), tapegrad.Size([3, 5]))
    """

    cls_to_become = Linear

    def __init__(
        self,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(0, 0, False, device, dtype)
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw the parameters anew, once they have a shape."""
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Take ``in_features`` from the last dimension of ``input``."""
        features = input.shape[-1]
        if self.has_uninitialized_params():
            self.in_features = features
            for param, shape in (
                (self.weight, (self.out_features, features)),
                (self.bias, (self.out_features,)),
            ):
                if isinstance(param, UninitializedParameter):
                    param.materialize(shape)
            self.reset_parameters()
        if self.in_features == 0:  # loaded from a state dict
            self.in_features = self.weight.shape[-1]
