"""Layers and losses as functions, with PyTorch's signatures."""

from __future__ import annotations

from tapegrad import _C
from tapegrad._C._nn import *  # noqa: F403
from tapegrad.nn import _pooling_functional
from tapegrad.nn._attention_functional import (
    multi_head_attention_forward as multi_head_attention_forward,
)
from tapegrad.nn._convolution_functional import conv_tbc as conv_tbc
from tapegrad.nn._loss_functional import linear_cross_entropy as linear_cross_entropy
from tapegrad.nn._loss_functional import (
    triplet_margin_with_distance_loss as triplet_margin_with_distance_loss,
)
from tapegrad.nn._normalization_functional import local_response_norm as local_response_norm
from tapegrad.nn._pooling_functional import *  # type: ignore[assignment]  # noqa: F403
from tapegrad.nn._resample_functional import *  # noqa: F403
from tapegrad.nn._resample_functional import __all__ as _resample_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = [_name for _name in dir(_C._nn) if not _name.startswith("_")]
__all__ += [_name for _name in _pooling_functional.__all__ if _name not in __all__]
__all__ += [
    "gumbel_softmax",
    "local_response_norm",
    "log_softmax",
    "relu_",
    "sigmoid",
    "softmax",
    "softmin",
    "tanh",
]
__all__ += ["conv_tbc", "local_response_norm", "multi_head_attention_forward"]
__all__ += ["linear_cross_entropy", "triplet_margin_with_distance_loss"]
__all__ += _resample_all

sigmoid = _C.sigmoid
tanh = _C.tanh


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


def softmin(
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: _C.dtype | None = None,
) -> Tensor:
    """:func:`softmax` of ``-input``.

    >>> import tapegrad as tg
    >>> tg.nn.functional.softmin(tg.tensor([0.0, 1.0]), dim=0)
    tensor([0.7311, 0.2689])
    """
    if dim is None:
        dim = _implicit_dim("softmin", input.dim(), _stacklevel)
    return _C.softmax(-input, dim, dtype=dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the Gumbel-softmax distribution (Jang et al., 2017) along ``dim``.

    With ``hard`` the result is one-hot, and the gradient is that of the soft sample. ``eps`` has no
    effect, as in PyTorch.

    >>> import tapegrad as tg
    >>> tg.nn.functional.gumbel_softmax(tg.zeros(2, 3), hard=True).sum().item()
    2.0
    """
    noise = -_C.empty_like(logits).exponential_().log()
    soft = _C.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.argmax(dim, keepdim=True)
    one_hot = _C.zeros_like(logits).scatter_(dim, index, 1.0)
    return one_hot - soft.detach() + soft


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
