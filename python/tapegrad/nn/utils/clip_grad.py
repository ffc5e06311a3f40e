"""Clipping of gradients, by their total norm or element by element."""

from __future__ import annotations

import math
import types
import warnings

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapegrad._C import Tensor
    from tapegrad.optim import Optimizer

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, _C.Tensor) else list(tensors)


def _gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [grad for parameter in parameters if (grad := parameter.grad) is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of ``tensors`` together, a 0-d tensor.

    Arguments: ``norm_type=2.0``, the order (``inf``: the largest magnitude);
    ``error_if_nonfinite=False``; ``foreach`` is accepted and changes nothing. Errors:
    ``RuntimeError`` if the norm is NaN or infinite and ``error_if_nonfinite`` is set; it names the
    first tensor at fault.

    >>> import tapegrad as tg
    >>> tg.nn.utils.get_total_norm([tg.tensor([3.0]), tg.tensor([0.0, 4.0])])
    tensor(5.)
    """
    tensors = _listed(tensors)
    order = float(norm_type)
    if not tensors:
        return _C.tensor(0.0)
    with no_grad():
        norms = [_C._linalg.vector_norm(tensor, order) for tensor in tensors]
        total = norms[0] if len(norms) == 1 else _C._linalg.vector_norm(_C.stack(norms), order)
    if error_if_nonfinite and not math.isfinite(float(total)):
        faulty = next((i for i, n in enumerate(norms) if not math.isfinite(float(n))), None)
        where = "" if faulty is None else f" (the first such gradient is number {faulty})"
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is "
            f"non-finite{where}, so it cannot be clipped. To disable this error and scale the "
            "gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def _coefficient(max_norm: float, total_norm: Tensor) -> float:
    """What gradients are multiplied with: at most 1, NaN if the norm is."""
    with no_grad():
        return float(_C.clamp(float(max_norm) / (total_norm + 1e-6), max=1.0))


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Multiply all gradients by ``max_norm / (total_norm + 1e-6)``, in place, if that is below 1.

    Arguments: ``total_norm`` from ``get_total_norm``; ``foreach`` is accepted and changes nothing.
    Gradients that need no clipping are not touched.

    >>> import tapegrad as tg
    >>> w = tg.zeros(1, requires_grad=True)
    >>> w.grad = tg.tensor([4.0])
    >>> tg.nn.utils.clip_grads_with_norm_(w, 1.0, tg.tensor(4.0))
    >>> w.grad
    tensor([1.0000])
    """
    grads = _gradients(_listed(parameters))
    if not grads:
        return
    coefficient = _coefficient(max_norm, total_norm)
    if coefficient != 1.0:
        with no_grad():
            for grad in grads:
                grad.mul_(coefficient)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
    *,
    optimizer: Optimizer | None = None,
) -> Tensor:
    """Scale the gradients of ``parameters`` so that their total norm is at most ``max_norm``.

    Arguments: as those of :func:`get_total_norm`. With ``optimizer`` the gradients stay as they
    are: its next ``step`` multiplies them as it reads them, which saves a pass over memory;
    ``parameters`` must be all that it would update. Returns the norm before clipping. Errors:
    ``RuntimeError`` for a NaN or infinite norm with ``error_if_nonfinite``; ``ValueError`` if
    ``optimizer`` has other parameters, ``TypeError`` if its update is not a fused one. Nothing is
    changed then.

    >>> import tapegrad as tg
    >>> w = tg.zeros(2, requires_grad=True)
    >>> w.grad = tg.tensor([3.0, 4.0])
    >>> tg.nn.utils.clip_grad_norm_(w, 1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    generated = isinstance(parameters, types.GeneratorType)
    parameters = _listed(parameters)
    if generated and not parameters:
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3
        )
    if optimizer is not None:
        _check_optimizer(optimizer, parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite, foreach)
    if optimizer is None:
        clip_grads_with_norm_(parameters, max_norm, total, foreach)
    else:
        optimizer._gradient_factor = _coefficient(max_norm, total)  # type: ignore[attr-defined]
    return total


def _check_optimizer(optimizer: Optimizer, parameters: list[Tensor]) -> None:
    if not hasattr(optimizer, "_gradient_factor"):
        raise TypeError(
            f"clip_grad_norm_: {type(optimizer).__name__} cannot clip within its step; leave out "
            "optimizer="
        )
    own = {id(p) for g in optimizer.param_groups for p in g["params"] if p.grad is not None}
    given = {id(p) for p in parameters if p.grad is not None}
    if own != given:
        raise ValueError(
            f"clip_grad_norm_: with optimizer=, the parameters must be those of the optimizer; "
            f"{len(given - own)} of those given are not, {len(own - given)} of its own are missing"
            ". Leave out optimizer= to clip a part of them"
        )


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The former name of :func:`clip_grad_norm_`, with a ``FutureWarning``."""
    warnings.warn(
        "`tapegrad.nn.utils.clip_grad_norm` is now deprecated in favor of "
        "`tapegrad.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamp all elements of the gradients to [-clip_value, clip_value], in place.

    ``foreach`` is accepted and changes nothing.

    >>> import tapegrad as tg
    >>> w = tg.zeros(2, requires_grad=True)
    >>> w.grad = tg.tensor([-3.0, 0.5])
    >>> tg.nn.utils.clip_grad_value_(w, 1.0)
    >>> w.grad
    tensor([-1.0000,  0.5000])
    """
    bound = float(clip_value)
    with no_grad():
        for grad in _gradients(_listed(parameters)):
            grad.clamp_(min=-bound, max=bound)
