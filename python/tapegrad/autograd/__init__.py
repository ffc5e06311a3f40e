"""Differentiation: ``backward``, ``grad``, grad modes, numerical checks, forward mode."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.autograd._edges import GradientEdge
from tapegrad.autograd.anomaly_mode import detect_anomaly as detect_anomaly
from tapegrad.autograd.anomaly_mode import is_anomaly_enabled as is_anomaly_enabled
from tapegrad.autograd.anomaly_mode import set_detect_anomaly as set_detect_anomaly
from tapegrad.autograd.function import Function as Function
from tapegrad.autograd.grad_mode import enable_grad as enable_grad
from tapegrad.autograd.grad_mode import inference_mode as inference_mode
from tapegrad.autograd.grad_mode import no_grad as no_grad
from tapegrad.autograd.grad_mode import set_grad_enabled as set_grad_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from tapegrad._C import Tensor
    from tapegrad.autograd import forward_ad as forward_ad
    from tapegrad.autograd import functional as functional
    from tapegrad.autograd import graph as graph

__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_anomaly_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    if name in ("forward_ad", "functional", "graph"):
        from importlib import import_module

        return import_module(f"tapegrad.autograd.{name}")
    raise AttributeError(f"module 'tapegrad.autograd' has no attribute '{name}'")


def _type_error(function: str, argument: str, value: object) -> NoReturn:
    raise TypeError(
        f"{function}: {argument} must be a tensor or a sequence of tensors, "
        f"got {type(value).__name__}"
    )


def _tensors(function: str, argument: str, value: Any) -> tuple[Tensor, ...]:
    if isinstance(value, _C.Tensor):
        return (value,)
    if isinstance(value, GradientEdge):
        value = (value,)
    if not isinstance(value, (list, tuple)):
        try:
            value = tuple(value)
        except TypeError:
            _type_error(function, argument, value)
    tensors = tuple(
        _C._edge_tensor(*item) if isinstance(item, GradientEdge) else item for item in value
    )
    for item in tensors:
        if not isinstance(item, _C.Tensor):
            _type_error(function, argument, item)
    return tensors


def _gradients(
    function: str, argument: str, value: Any, count: int
) -> tuple[Tensor | None, ...] | None:
    if value is None:
        return None
    gradients = (value,) if isinstance(value, _C.Tensor) else tuple(value)
    for item in gradients:
        if item is not None and not isinstance(item, _C.Tensor):
            _type_error(function, argument, item)
    if len(gradients) != count:
        raise RuntimeError(
            f"{function}: got {count} tensors to differentiate but {len(gradients)} {argument}; "
            "give one for each (None for a scalar)"
        )
    return gradients


def backward(
    tensors: Tensor | GradientEdge | Sequence[Tensor | GradientEdge],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | dict[str, Tensor] | None = None,
) -> None:
    """Add the gradients of ``tensors`` to the ``.grad`` of the leaves they were computed from.

    ``grad_tensors`` weighs each tensor (same shape); a tensor of one element needs none.
    ``retain_graph`` (default: the value of ``create_graph``) keeps the graph for another pass,
    ``create_graph`` records the gradient computation itself, ``inputs`` limits which leaves
    receive gradients.

    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> tg.autograd.backward(x * x, tg.tensor([1.0, 10.0]))
    >>> x.grad
    tensor([ 2., 40.])
    """
    outputs = _tensors("backward", "tensors", tensors)
    weights = _gradients("backward", "grad_tensors", grad_tensors, len(outputs))
    if retain_graph is None:
        retain_graph = create_graph
    wanted = None
    if inputs is not None:
        values: Any = inputs.values() if isinstance(inputs, dict) else inputs
        several = isinstance(values, (list, tuple)) and not isinstance(values, GradientEdge)
        for item in values if several else (values,):
            if isinstance(item, GradientEdge) and item.node.name() != "AccumulateGrad":
                raise RuntimeError(
                    "backward: inputs holds the GradientEdge of a result, which has no .grad to "
                    "add to; give the tensor, or use autograd.grad"
                )
        wanted = _tensors("backward", "inputs", values)
        if not wanted:
            raise RuntimeError("backward: inputs is empty; leave it out to reach every leaf")
    _C._engine_backward(outputs, weights, retain_graph, create_graph, wanted)


def _batched_grad(
    roots: tuple[Tensor, ...],
    wanted: tuple[Tensor, ...],
    weights: tuple[Tensor | None, ...] | None,
    retain_graph: bool,
    create_graph: bool,
    allow_unused: bool,
) -> tuple[Tensor | None, ...]:
    from tapegrad.func import vmap

    if weights is None or any(w is None for w in weights):
        raise RuntimeError("grad: is_grads_batched=True needs grad_outputs for every output")
    used: list[int] = []

    def pull(*each: Tensor) -> tuple[Tensor, ...]:
        found = _C._engine_grad(roots, wanted, each, retain_graph, create_graph, allow_unused)
        used[:] = [i for i, g in enumerate(found) if g is not None]
        return tuple(g for g in found if g is not None)

    gradients = iter(vmap(pull)(*weights))
    return tuple(next(gradients) if i in used else None for i in range(len(wanted)))


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor] | dict[str, Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """Return the gradients of the sum of ``outputs`` by ``inputs``; no ``.grad`` is touched.

    The result is a tuple with one tensor for each input, or a dict when ``inputs`` is one. An
    input that the outputs do not depend on is an error, unless ``allow_unused`` gives ``None``
    or ``materialize_grads`` gives zeros for it. ``create_graph`` makes the result differentiable.
    ``only_inputs`` must stay true. With ``is_grads_batched`` the first dimension of each of
    ``grad_outputs`` counts gradients, which are all pulled back at once by :func:`tapegrad.vmap`.

    >>> import tapegrad as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> (first,) = tg.autograd.grad(x**3, x, create_graph=True)
    >>> (second,) = tg.autograd.grad(first, x)
    >>> first.item(), second.item()
    (12.0, 12.0)
    """
    if not only_inputs:
        raise ValueError("grad: only_inputs=False is not supported; call backward instead")
    if materialize_grads:
        if allow_unused is False:
            raise ValueError(
                "grad: materialize_grads=True allows unused inputs, so allow_unused cannot be False"
            )
        allow_unused = True
    if isinstance(inputs, dict):
        values = grad(
            outputs,
            tuple(inputs.values()),
            grad_outputs,
            retain_graph,
            create_graph,
            allow_unused=allow_unused,
            is_grads_batched=is_grads_batched,
            materialize_grads=materialize_grads,
        )
        return dict(zip(inputs, values, strict=True))
    roots = _tensors("grad", "outputs", outputs)
    wanted = _tensors("grad", "inputs", inputs)
    weights = _gradients("grad", "grad_outputs", grad_outputs, len(roots))
    if retain_graph is None:
        retain_graph = create_graph
    if is_grads_batched:
        result = _batched_grad(
            roots, wanted, weights, retain_graph, create_graph, bool(allow_unused)
        )
    else:
        result = _C._engine_grad(
            roots, wanted, weights, retain_graph, create_graph, bool(allow_unused)
        )
    if materialize_grads:
        return tuple(
            _C.zeros_like(x, requires_grad=create_graph) if g is None else g
            for g, x in zip(result, wanted, strict=True)
        )
    return tuple(result)


# Last, because the checks call grad; it also keeps the function, not the module of the same name,
# bound to autograd.gradcheck.
from tapegrad.autograd.gradcheck import gradcheck as gradcheck  # noqa: E402
from tapegrad.autograd.gradcheck import gradgradcheck as gradgradcheck  # noqa: E402
