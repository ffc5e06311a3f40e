"""Initial values for parameters, with PyTorch's names and distributions.

Every function fills its tensor in place, records nothing, and returns it. ``generator`` defaults
to the global one, which ``manual_seed`` sets.
"""

from __future__ import annotations

import math
from _thread import _local

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Generator, Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


class _Skips(_local):
    """How many blocks of :class:`_skipping` this thread is in."""

    depth = 0


_skips = _Skips()


class _skipping:
    """A block in which random values are not drawn: tensors stay as they are."""

    def __enter__(self) -> None:
        _skips.depth += 1

    def __exit__(self, *error: object) -> None:
        _skips.depth -= 1


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity: sqrt(2) for relu, 5/3 for tanh.

    ``param`` is the negative slope of leaky_relu (0.01 when left out).

    >>> import tapegrad as tg
    >>> tg.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity in (
        "linear",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "sigmoid",
    ):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with draws from the uniform distribution on [a, b).

    >>> import tapegrad as tg
    >>> w = tg.nn.init.uniform_(tg.empty(3, 5), -1, 1)
    >>> bool((w.abs() <= 1).all())
    True
    """
    if _skips.depth:
        return tensor
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Fill with draws from the normal distribution."""
    if _skips.depth:
        return tensor
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill with draws from the normal distribution, conditioned on [a, b].

    By inversion: the normal quantile of a uniform draw between the two bounds' probabilities.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        import warnings

        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_; "
            "the distribution of values may be incorrect",
            stacklevel=2,
        )
    if _skips.depth:
        return tensor
    low = math.erf((a - mean) / std / math.sqrt(2.0))
    high = math.erf((b - mean) / std / math.sqrt(2.0))
    with no_grad():
        drawn = _C.empty(tuple(tensor.shape), dtype=_C.float64)
        drawn.uniform_(low, high, generator=generator)
        values = _erfinv(drawn) * (std * math.sqrt(2.0)) + mean
        return tensor.copy_(values.clamp(min=a, max=b))


def _erfinv(y: Tensor) -> Tensor:
    """The inverse of erf on [-1, 1] in float64: Winitzki's approximation, then Newton steps."""
    y = y.clamp(-1 + 2.0**-53, 1 - 2.0**-53)
    c = 0.147
    log = (1 - y * y).log()
    half = 2 / (math.pi * c) + log / 2
    x = y.sign() * ((half * half - log / c).sqrt() - half).clamp(min=0).sqrt()
    for _ in range(3):
        x = x - (x.erf() - y) * (x * x).exp() * (math.sqrt(math.pi) / 2)
    return x


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    >>> import tapegrad as tg
    >>> tg.nn.init.constant_(tg.empty(2), 0.3)
    tensor([0.3000, 0.3000])
    """
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with the identity, cut off or padded with 0 when not square."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with no_grad():
        return tensor.copy_(_C.eye(tensor.shape[0], tensor.shape[1], dtype=tensor.dtype))


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.dim() < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    field = 1
    for size in tensor.shape[2:]:
        field *= size
    return tensor.shape[1] * field, tensor.shape[0] * field


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(-b, b) with b = gain sqrt(6 / (fan_in + fan_out)): Glorot and Bengio, AISTATS 2010."""
    fan_in, fan_out = _fans(tensor)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, s^2) with s = gain sqrt(2 / (fan_in + fan_out)): Glorot and Bengio, AISTATS 2010."""
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of fan_in, fan_out")
    fan_in, fan_out = _fans(tensor)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode == "fan_in" else fan_out)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-b, b) with b = gain sqrt(3 / fan): He et al., https://arxiv.org/abs/1502.01852.

    ``a`` is the negative slope of leaky_relu; ``mode`` chooses fan_in or fan_out.
    """
    if 0 in tensor.shape:
        _warn_empty()
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, gain^2 / fan): He et al., https://arxiv.org/abs/1502.01852."""
    if 0 in tensor.shape:
        _warn_empty()
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Weights of a convolution that passes its channels on: 1 in the middle of channel i to i.

    ``groups`` groups of output channels each pass on the input channels. Errors: ``ValueError``
    unless the tensor has 3 to 5 dimensions, the first of which ``groups`` divides.

    >>> import tapegrad as tg
    >>> tg.nn.init.dirac_(tg.empty(2, 2, 3))[0]
    tensor([[0., 1., 0.],
            [0., 0., 0.]])
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError(
            f"dirac_: expected a tensor of 3, 4 or 5 dimensions, got shape {tuple(tensor.shape)}"
        )
    if tensor.shape[0] % groups != 0:
        raise ValueError(
            f"dirac_: dimension 0 must be divisible by groups={groups}, got shape "
            f"{tuple(tensor.shape)}"
        )
    outputs = tensor.shape[0] // groups
    middle = tuple(size // 2 for size in tensor.shape[2:])
    with no_grad():
        tensor.zero_()
        for group in range(groups):
            for i in range(min(outputs, tensor.shape[1])):
                place = (group * outputs + i, i, *middle)
                tensor[place] = 1.0
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """``gain`` times a random orthogonal matrix (Saxe et al., https://arxiv.org/abs/1312.6120).

    Dimensions after the first count as columns; orthonormal are the rows or the columns, whichever
    are fewer. Errors: ``ValueError`` for less than 2 dimensions.

    >>> import tapegrad as tg
    >>> q = tg.nn.init.orthogonal_(tg.empty(3, 5))
    >>> tg.allclose(q @ q.T, tg.eye(3), atol=1e-5)
    True
    """
    if tensor.dim() < 2:
        raise ValueError(
            "orthogonal_: expected a tensor of 2 or more dimensions, got shape "
            f"{tuple(tensor.shape)}"
        )
    if tensor.numel() == 0 or _skips.depth:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    with no_grad():
        normal = _C.empty((rows, columns), dtype=tensor.dtype).normal_(0, 1, generator=generator)
        q, r = _C._linalg.qr(normal.t() if rows < columns else normal)
        q = q * r.diagonal().sign()
        tensor.copy_((q.t() if rows < columns else q).reshape(tensor.shape))
        return tensor.mul_(gain)


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """N(0, std^2), with a share ``sparsity`` of each column set to 0 (Martens, 2010).

    Errors: ``ValueError`` unless the tensor has 2 dimensions.

    >>> import tapegrad as tg
    >>> tg.nn.init.sparse_(tg.empty(4, 3), sparsity=0.5).count_nonzero(0)
    tensor([2, 2, 2])
    """
    if tensor.dim() != 2:
        raise ValueError(
            f"sparse_: expected a tensor of 2 dimensions, got shape {tuple(tensor.shape)}"
        )
    if _skips.depth:
        return tensor
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(columns):
            tensor[_C.randperm(rows, generator=generator)[:zeros], column] = 0
    return tensor


def _warn_empty() -> None:
    import warnings

    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
