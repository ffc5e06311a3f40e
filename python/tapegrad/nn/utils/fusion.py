"""Batch normalisation in evaluation is an affine map: it can be folded into the layer before it."""

from __future__ import annotations

import copy

from tapegrad import _C
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from tapegrad._C import Tensor
    from tapegrad.nn.modules.conv import _ConvNd
    from tapegrad.nn.modules.linear import Linear

    ConvT = TypeVar("ConvT", bound=_ConvNd)
    LinearT = TypeVar("LinearT", bound=Linear)

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]


def fuse_conv_bn_eval(conv: ConvT, bn: Any, transpose: bool = False) -> ConvT:
    """A copy of ``conv`` that computes what ``bn`` makes of its output.

    Both must be in evaluation mode, and ``bn`` must have its running statistics (else
    AssertionError). ``transpose``: ``conv`` is a transposed convolution.

    >>> import tapegrad as tg
    >>> conv = tg.nn.Conv1d(2, 3, 3).eval()
    >>> class Norm(tg.nn.Module):
    ...     eps, weight, bias = 0.0, tg.full((3,), 2.0), None
    ...     running_mean, running_var = tg.zeros(3), tg.ones(3)
    >>> fused = tg.nn.utils.fuse_conv_bn_eval(conv, Norm().eval())
    >>> x = tg.randn(1, 2, 5)
    >>> tg.allclose(fused(x), 2 * conv(x), atol=1e-6)
    True
    """
    _check_modes(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
        transpose,
    )
    return fused


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution followed by a batch normalisation.

    ``bn_rm`` and ``bn_rv`` are the running mean and variance, ``bn_w`` and ``bn_b`` weight and
    bias of the normalisation, or None; the output channels are dimension 1 of ``conv_w`` with
    ``transpose``, else dimension 0.

    >>> import tapegrad as tg
    >>> mean, variance = tg.tensor([1.0]), tg.tensor([4.0])
    >>> w, b = tg.nn.utils.fuse_conv_bn_weights(
    ...     tg.ones(1, 1, 1), None, mean, variance, 0.0, None, None
    ... )
    >>> w.item(), b.item()
    (0.5, -0.5)
    """
    shape = [1] * conv_w.dim()
    shape[1 if transpose else 0] = -1
    scale, bias = _affine(conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    fused = (conv_w * scale.reshape(shape)).to(conv_w.dtype)
    bias = bias.to(conv_w.dtype if conv_b is None else conv_b.dtype)
    return (
        Parameter(fused.detach(), conv_w.requires_grad),
        Parameter(bias.detach(), conv_b is not None and conv_b.requires_grad),
    )


def fuse_linear_bn_eval(linear: LinearT, bn: Any) -> LinearT:
    """A copy of ``linear`` that computes what ``bn`` makes of its output.

    Both must be in evaluation mode, ``bn`` must have its running statistics and as many features
    as ``linear`` has outputs, or one (else AssertionError).

    >>> import tapegrad as tg
    >>> linear = tg.nn.Linear(2, 3).eval()
    >>> class Norm(tg.nn.Module):
    ...     eps, weight, bias, num_features = 0.0, tg.full((3,), 2.0), tg.ones(3), 3
    ...     running_mean, running_var = tg.zeros(3), tg.ones(3)
    >>> fused = tg.nn.utils.fuse_linear_bn_eval(linear, Norm().eval())
    >>> x = tg.randn(4, 2)
    >>> tg.allclose(fused(x), 2 * linear(x) + 1, atol=1e-6)
    True
    """
    _check_modes(linear, bn)
    if bn.num_features not in (linear.out_features, 1):
        raise AssertionError(
            "fusion needs as many features in bn as outputs of linear, or one, got "
            f"bn.num_features={bn.num_features} and linear.out_features={linear.out_features}"
        )
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        linear.weight, linear.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear layer followed by a batch normalisation.

    >>> import tapegrad as tg
    >>> mean, variance = tg.tensor([1.0]), tg.tensor([4.0])
    >>> w, b = tg.nn.utils.fusion.fuse_linear_bn_weights(
    ...     tg.ones(1, 1), tg.ones(1), mean, variance, 0.0, None, None
    ... )
    >>> w.item(), b.item()
    (0.5, 0.0)
    """
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _check_modes(layer: Any, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("fusion is for evaluation only; call .eval() on both modules first")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError(
            "fusion needs bn.running_mean and bn.running_var, one of which is None"
        )


def _affine(
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    weight: Tensor | None,
    shift: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The factor of the layer's weight, and its new bias."""
    scale = _C.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    moved = -mean if bias is None else bias - mean
    moved = moved * scale
    return scale, moved if shift is None else moved + shift
