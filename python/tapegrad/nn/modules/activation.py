"""Activation functions as modules; the formulas stand with :mod:`tapegrad.nn.functional`."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn import functional, init
from tapegrad.nn.modules.attention import MultiheadAttention as MultiheadAttention
from tapegrad.nn.modules.module import Module
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]

_relu = _C.relu
_sigmoid = _C.sigmoid
_tanh = _C.tanh
_gelu = _C._nn.gelu
_silu = _C._nn.silu
_softplus = _C._nn.softplus
_elu = _C._nn.elu
_leaky_relu = _C._nn.leaky_relu
_prelu = _C._nn.prelu


class _InPlace(Module):
    """What activations with nothing but ``inplace`` share."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """max(x, 0), in place when asked.

    >>> import tapegrad as tg
    >>> tg.nn.ReLU()(tg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return input.relu_() if self.inplace else _relu(input)


class Sigmoid(Module):
    """1 / (1 + exp(-x)).

    >>> import tapegrad as tg
    >>> tg.nn.Sigmoid()(tg.zeros(1))
    tensor([0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return _sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent.

    >>> import tapegrad as tg
    >>> tg.nn.Tanh()(tg.zeros(1))
    tensor([0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return _tanh(input)


class GELU(Module):
    """x P(X <= x) with X normal; ``approximate="tanh"`` is the faster approximation.

    Hendrycks and Gimpel, https://arxiv.org/abs/1606.08415.

    >>> import tapegrad as tg
    >>> tg.nn.GELU()(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8413])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return _gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(_InPlace):
    """x sigmoid(x), in place when asked.

    >>> import tapegrad as tg
    >>> tg.nn.SiLU()(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7311])
    """

    def forward(self, input: Tensor) -> Tensor:
        return _silu(input, inplace=self.inplace)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta; x itself where beta x is above ``threshold``.

    >>> import tapegrad as tg
    >>> tg.nn.Softplus()(tg.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.0000])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return _softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """exp(x) / sum of exp(x) along ``dim``.

    >>> import tapegrad as tg
    >>> tg.nn.Softmax(dim=0)(tg.zeros(2))
    tensor([0.5000, 0.5000])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return functional.softmax(input, self.dim, _stacklevel=5)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of softmax along ``dim``, without overflow.

    >>> import tapegrad as tg
    >>> tg.nn.LogSoftmax(dim=0)(tg.zeros(2))
    tensor([-0.6931, -0.6931])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return functional.log_softmax(input, self.dim, _stacklevel=5)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class SELU(_InPlace):
    """scale * (x where positive, alpha (exp(x) - 1) elsewhere), in place when asked.

    Its constants keep mean 0 and variance 1.
    Klambauer et al., https://arxiv.org/abs/1706.02515.

    >>> import tapegrad as tg
    >>> tg.nn.SELU()(tg.tensor([-1.0, 1.0]))
    tensor([-1.1113,  1.0507])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.selu(input, inplace=self.inplace)


class Mish(_InPlace):
    """x tanh(softplus(x)), in place when asked.

    Misra, https://arxiv.org/abs/1908.08681.

    >>> import tapegrad as tg
    >>> tg.nn.Mish()(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 0.8651])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.mish(input, inplace=self.inplace)


class Hardsigmoid(_InPlace):
    """relu6(x + 3) / 6, in place when asked.

    >>> import tapegrad as tg
    >>> tg.nn.Hardsigmoid()(tg.tensor([-3.0, 0.0, 3.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.hardsigmoid(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return ""


class Hardswish(_InPlace):
    """x relu6(x + 3) / 6, in place when asked.

    Howard et al., https://arxiv.org/abs/1905.02244.

    >>> import tapegrad as tg
    >>> tg.nn.Hardswish()(tg.tensor([0.0, 3.0]))
    tensor([0., 3.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.hardswish(input, inplace=self.inplace)

    def extra_repr(self) -> str:
        return ""


class ELU(Module):
    """x where positive, alpha (exp(x) - 1) elsewhere; in place when asked.

    Clevert et al., https://arxiv.org/abs/1511.07289.

    >>> import tapegrad as tg
    >>> tg.nn.ELU()(tg.tensor([-1.0, 1.0]))
    tensor([-0.6321,  1.0000])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return _elu(input, self.alpha, inplace=self.inplace)

    def extra_repr(self) -> str:
        inplace = ", inplace=True" if self.inplace else ""
        return f"alpha={self.alpha}{inplace}"


class CELU(Module):
    """x where positive, alpha (exp(x / alpha) - 1) elsewhere; in place when asked.

    Barron, https://arxiv.org/abs/1704.07483.

    >>> import tapegrad as tg
    >>> tg.nn.CELU(2.0)(tg.tensor([-2.0, 1.0]))
    tensor([-1.2642,  1.0000])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.celu(input, self.alpha, inplace=self.inplace)

    def extra_repr(self) -> str:
        inplace = ", inplace=True" if self.inplace else ""
        return f"alpha={self.alpha}{inplace}"


class LeakyReLU(Module):
    """x where positive, negative_slope x elsewhere; in place when asked.

    >>> import tapegrad as tg
    >>> tg.nn.LeakyReLU(0.1)(tg.tensor([-1.0, 1.0]))
    tensor([-0.1000,  1.0000])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return _leaky_relu(input, self.negative_slope, inplace=self.inplace)

    def extra_repr(self) -> str:
        inplace = ", inplace=True" if self.inplace else ""
        return f"negative_slope={self.negative_slope}{inplace}"


class Threshold(Module):
    """x where above ``threshold``, ``value`` elsewhere; in place when asked.

    >>> import tapegrad as tg
    >>> tg.nn.Threshold(0.1, 20.0)(tg.tensor([0.0, 1.0]))
    tensor([20.,  1.])
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.threshold(input, self.threshold, self.value, inplace=self.inplace)

    def extra_repr(self) -> str:
        inplace = ", inplace=True" if self.inplace else ""
        return f"threshold={self.threshold}, value={self.value}{inplace}"


class Hardtanh(Module):
    """x limited to [min_val, max_val], in place when asked.

    ``min_value`` and ``max_value`` are older names of the bounds. A ``max_val`` that is not above
    ``min_val`` is an ``AssertionError``, as in PyTorch.

    >>> import tapegrad as tg
    >>> tg.nn.Hardtanh()(tg.tensor([-2.0, 0.5]))
    tensor([-1.0000,  0.5000])
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        self.min_val = min_val if min_value is None else _renamed("min", min_value)
        self.max_val = max_val if max_value is None else _renamed("max", max_value)
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise AssertionError(
                f"Hardtanh: max_val ({self.max_val}) must be greater than min_val ({self.min_val})"
            )

    def forward(self, input: Tensor) -> Tensor:
        return functional.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        inplace = ", inplace=True" if self.inplace else ""
        return f"min_val={self.min_val}, max_val={self.max_val}{inplace}"


def _renamed(bound: str, value: float) -> float:
    import warnings

    warnings.warn(
        f"Hardtanh: {bound}_value is an older name; pass {bound}_val=",
        FutureWarning,
        stacklevel=3,
    )
    return value


class ReLU6(Hardtanh):
    """x limited to [0, 6], in place when asked.

    >>> import tapegrad as tg
    >>> tg.nn.ReLU6()(tg.tensor([-2.0, 8.0]))
    tensor([0., 6.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class RReLU(Module):
    """x where positive, a x elsewhere, in place when asked.

    a is drawn from U(lower, upper) for each entry in training, and is their mean in evaluation.

    Xu et al., https://arxiv.org/abs/1505.00853.

    >>> import tapegrad as tg
    >>> tg.nn.RReLU(0.1, 0.3).eval()(tg.tensor([-1.0, 1.0]))
    tensor([-0.2000,  1.0000])
    """

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        inplace = ", inplace=True" if self.inplace else ""
        return f"lower={self.lower}, upper={self.upper}{inplace}"


class PReLU(Module):
    """x where positive, weight x elsewhere; ``weight`` is trained and starts as ``init``.

    ``num_parameters`` is 1, or the number of channels (dimension 1 of the input).

    >>> import tapegrad as tg
    >>> tg.nn.PReLU()(tg.tensor([-1.0, 1.0])).detach()
    tensor([-0.2500,  1.0000])
    """

    weight: Parameter

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(_C.empty((num_parameters,), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to ``init`` again."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return _prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class GLU(Module):
    """a sigmoid(b), with a and b the halves of the input along ``dim``.

    Dauphin et al., https://arxiv.org/abs/1612.08083.

    >>> import tapegrad as tg
    >>> tg.nn.GLU()(tg.tensor([2.0, 0.0]))
    tensor([1.])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return functional.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Hardshrink(Module):
    """x where |x| is above ``lambd``, 0 elsewhere.

    >>> import tapegrad as tg
    >>> tg.nn.Hardshrink()(tg.tensor([-1.0, 0.3]))
    tensor([-1.,  0.])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return functional.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Softshrink(Module):
    """x brought nearer to 0 by ``lambd``, 0 where |x| is not above it.

    >>> import tapegrad as tg
    >>> tg.nn.Softshrink()(tg.tensor([-1.0, 0.3]))
    tensor([-0.5000,  0.0000])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return functional.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class LogSigmoid(Module):
    """log(sigmoid(x)), without overflow.

    >>> import tapegrad as tg
    >>> tg.nn.LogSigmoid()(tg.zeros(1))
    tensor([-0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.logsigmoid(input)


class Softsign(Module):
    """x / (1 + |x|).

    >>> import tapegrad as tg
    >>> tg.nn.Softsign()(tg.tensor([1.0, -3.0]))
    tensor([ 0.5000, -0.7500])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.softsign(input)


class Tanhshrink(Module):
    """x - tanh(x).

    >>> import tapegrad as tg
    >>> tg.nn.Tanhshrink()(tg.tensor([0.0, 1.0]))
    tensor([0.0000, 0.2384])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.tanhshrink(input)


class Softmin(Module):
    """Softmax of -x along ``dim``.

    >>> import tapegrad as tg
    >>> tg.nn.Softmin(dim=0)(tg.tensor([0.0, 1.0]))
    tensor([0.7311, 0.2689])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return functional.softmin(input, self.dim, _stacklevel=5)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax2d(Module):
    """Softmax over the channels of images: (N, C, H, W) or (C, H, W).

    Another number of dimensions is a ``ValueError``.

    >>> import tapegrad as tg
    >>> tg.nn.Softmax2d()(tg.zeros(1, 2, 1, 1)).flatten()
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D of shape "
                f"{tuple(input.shape)}"
            )
        return _C.softmax(input, -3)
