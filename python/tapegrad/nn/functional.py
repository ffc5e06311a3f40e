"""Layers and losses as functions, with PyTorch's signatures."""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "dropout",
    "elu",
    "gelu",
    "huber_loss",
    "l1_loss",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mse_loss",
    "nll_loss",
    "relu",
    "relu_",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
]

linear = _C._nn.linear
gelu = _C._nn.gelu
silu = _C._nn.silu
softplus = _C._nn.softplus
leaky_relu = _C._nn.leaky_relu
elu = _C._nn.elu
dropout = _C._nn.dropout
cross_entropy = _C._nn.cross_entropy
nll_loss = _C._nn.nll_loss
mse_loss = _C._nn.mse_loss
l1_loss = _C._nn.l1_loss
smooth_l1_loss = _C._nn.smooth_l1_loss
huber_loss = _C._nn.huber_loss
binary_cross_entropy = _C._nn.binary_cross_entropy
binary_cross_entropy_with_logits = _C._nn.binary_cross_entropy_with_logits

sigmoid = _C.sigmoid
tanh = _C.tanh


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); the gradient at 0 is 0. ``inplace`` overwrites the input.

    >>> import tapegrad as tg
    >>> tg.nn.functional.relu(tg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return input.relu_() if inplace else _C.relu(input)


def relu_(input: Tensor) -> Tensor:
    """In-place :func:`relu`."""
    return input.relu_()


def softmax(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: _C.dtype | None = None,
) -> Tensor:
    """exp(x) / sum of exp(x) along ``dim``; ``dtype`` casts the input first.

    Without ``dim`` it is chosen as PyTorch does (0 for 0, 1 and 3 dimensions, else 1), with a
    warning.

    >>> import tapegrad as tg
    >>> tg.nn.functional.softmax(tg.zeros(2), dim=0)
    tensor([0.5000, 0.5000])
    """
    if dim is None:
        dim = _implicit_dim("softmax", input.dim(), _stacklevel)
    return _C.softmax(input, dim, dtype=dtype)


def log_softmax(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: _C.dtype | None = None,
) -> Tensor:
    """The logarithm of :func:`softmax`, computed without overflow.

    >>> import tapegrad as tg
    >>> tg.nn.functional.log_softmax(tg.zeros(2), dim=0)
    tensor([-0.6931, -0.6931])
    """
    if dim is None:
        dim = _implicit_dim("log_softmax", input.dim(), _stacklevel)
    return _C.log_softmax(input, dim, dtype=dtype)


def _implicit_dim(name: str, ndim: int, stacklevel: int) -> int:
    import warnings

    dim = 0 if ndim in (0, 1, 3) else 1
    warnings.warn(
        f"{name}: dim was not given and is taken as {dim}; pass dim= to say which dimension "
        "sums to one",
        stacklevel=stacklevel,
    )
    return dim


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """PyTorch's old pair of flags, or ``reduction`` itself after a check of its value."""
    if size_average is not None or reduce is not None:
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
    return reduction
