"""``Linear`` and ``Identity``."""

from __future__ import annotations

import math

from tapegrad import _C
from tapegrad.nn import init
from tapegrad.nn.modules.module import Module
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor

__all__ = ["Identity", "Linear"]

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
