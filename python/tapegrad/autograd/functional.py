"""Derivatives of functions, as in ``torch.autograd.functional``; see also ``tapegrad.func``."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.autograd import grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor

    Tensors = Tensor | tuple[Tensor, ...]

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _as_tuple(op: str, what: str, value: Any) -> tuple[tuple[Tensor, ...], bool]:
    single = isinstance(value, _C.Tensor)
    values = (value,) if single else value
    if not isinstance(values, tuple) or not all(isinstance(v, _C.Tensor) for v in values):
        raise TypeError(
            f"{op}: {what} must be a Tensor or a tuple of Tensors, got {type(value).__name__}"
        )
    return values, not single


def _prepare(values: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    if create_graph:
        return tuple(
            v.view_as(v) if v.requires_grad else v.detach().requires_grad_() for v in values
        )
    return tuple(v.detach().requires_grad_() for v in values)


def _finish(values: tuple[Tensor, ...], is_tuple: bool, create_graph: bool) -> Any:
    if not create_graph:
        values = tuple(v.detach() for v in values)
    return values if is_tuple else values[0]


def _run(
    op: str, func: Callable[..., Any], inputs: Any, create_graph: bool
) -> tuple[tuple[Tensor, ...], bool, tuple[Tensor, ...], bool]:
    given, inputs_tuple = _as_tuple(op, "the inputs", inputs)
    prepared = _prepare(given, create_graph)
    outputs, outputs_tuple = _as_tuple(op, "the outputs of the function", func(*prepared))
    return prepared, inputs_tuple, outputs, outputs_tuple


def _vectors(op: str, v: Any, like: tuple[Tensor, ...], needed: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                f"{op}: the vector v can only be None if {needed} is a single tensor of one element"
            )
        return (_C.ones_like(like[0]),)
    vectors, _ = _as_tuple(op, "v", v)
    if len(vectors) != len(like):
        raise RuntimeError(f"{op}: v has {len(vectors)} tensors for {len(like)} of {needed}")
    for i, (vector, tensor) in enumerate(zip(vectors, like, strict=True)):
        if tuple(vector.shape) != tuple(tensor.shape):
            raise RuntimeError(
                f"{op}: entry {i} of v has shape {tuple(vector.shape)}, expected "
                f"{tuple(tensor.shape)}"
            )
    return vectors


def _gradients(
    op: str,
    outputs: tuple[Tensor, ...],
    inputs: tuple[Tensor, ...],
    weights: tuple[Tensor | None, ...],
    create_graph: bool,
    strict: bool,
) -> tuple[Tensor, ...]:
    roots = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
    if strict and len(roots) < len(outputs):
        raise RuntimeError(f"{op}: with strict=True every output must depend on the inputs")
    found: Any = [None] * len(inputs)
    if roots:
        ys, ws = zip(*roots, strict=True)
        found = grad(
            ys, inputs, ws, retain_graph=True, create_graph=create_graph, allow_unused=True
        )
    if strict and any(g is None for g in found):
        raise RuntimeError(f"{op}: with strict=True the outputs must depend on every input")
    return tuple(_C.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True))


def vjp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``(outputs, v^T J)``.

    ``v`` has the shape of the outputs; it may be left out for a single output of one element.
    ``create_graph`` makes the result differentiable, ``strict`` raises where something does not
    depend on the inputs.

    >>> import tapegrad as tg
    >>> tg.autograd.functional.vjp(lambda x: (x**2).sum(), tg.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """
    with _enabled():
        prepared, inputs_tuple, outputs, outputs_tuple = _run("vjp", func, inputs, create_graph)
        weights = _vectors("vjp", v, outputs, "the output")
        found = _gradients("vjp", outputs, prepared, weights, create_graph, strict)
    return (
        _finish(outputs, outputs_tuple, create_graph),
        _finish(found, inputs_tuple, create_graph),
    )


def jvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``(outputs, J v)``; ``v`` has the shape of the inputs.

    Computed in forward mode: one pass.

    >>> import tapegrad as tg
    >>> tg.autograd.functional.jvp(lambda x: x**2, tg.tensor([1.0, 2.0]), tg.tensor([1.0, 0.0]))
    (tensor([1., 4.]), tensor([2., 0.]))
    """
    from tapegrad.func import jvp as push

    with _enabled():
        given, _ = _as_tuple("jvp", "the inputs", inputs)
        primals = tuple(x if create_graph else x.detach() for x in given)
        tangents = _vectors("jvp", v, primals, "the input")
        values, derivative = push(func, primals, tangents, strict=strict)
        outputs, outputs_tuple = _as_tuple("jvp", "the outputs of the function", values)
        pushed, _ = _as_tuple("jvp", "the outputs of the function", derivative)
    return (
        _finish(outputs, outputs_tuple, create_graph),
        _finish(pushed, outputs_tuple, create_graph),
    )


def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Return the Jacobian, of shape ``output.shape + input.shape``; tuples for several of them.

    ``vectorize`` computes all rows at once by :func:`tapegrad.vmap`; ``strategy`` is
    ``"reverse-mode"`` or, with ``vectorize``, ``"forward-mode"``.

    >>> import tapegrad as tg
    >>> tg.autograd.functional.jacobian(lambda x: x**2, tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(
            f"jacobian: strategy must be 'reverse-mode' or 'forward-mode', got {strategy!r}"
        )
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError("jacobian: strategy='forward-mode' needs vectorize=True")
    if vectorize:
        return _vectorized(func, inputs, create_graph, strategy)
    with _enabled():
        prepared, inputs_tuple, outputs, outputs_tuple = _run(
            "jacobian", func, inputs, create_graph
        )
        result = []
        for y in outputs:
            rows = [
                _gradients("jacobian", (each,), prepared, (None,), create_graph, strict)
                for each in y.reshape(-1)
            ]
            blocks = tuple(
                _C.stack([row[i] for row in rows]).reshape(*y.shape, *x.shape)
                if rows
                else x.new_zeros((*y.shape, *x.shape))
                for i, x in enumerate(prepared)
            )
            result.append(_finish(blocks, inputs_tuple, create_graph))
    return tuple(result) if outputs_tuple else result[0]


def _vectorized(func: Callable[..., Any], inputs: Any, create_graph: bool, strategy: str) -> Any:
    from tapegrad.func import jacfwd, jacrev
    from tapegrad.utils._pytree import tree_map

    given, inputs_tuple = _as_tuple("jacobian", "the inputs", inputs)
    primals = tuple(x if create_graph else x.detach() for x in given)
    argnums = tuple(range(len(primals))) if inputs_tuple else 0
    transform = jacrev if strategy == "reverse-mode" else jacfwd
    with _enabled():
        result = transform(func, argnums)(*primals)
    return result if create_graph else tree_map(lambda t: t.detach(), result)


def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the Hessian of a function with one output element, ``input.shape + input.shape``.

    >>> import tapegrad as tg
    >>> tg.autograd.functional.hessian(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    _, inputs_tuple = _as_tuple("hessian", "the inputs", inputs)

    def gradient(*values: Tensor) -> Any:
        output = func(*values)
        if not isinstance(output, _C.Tensor) or output.numel() != 1:
            shape = tuple(output.shape) if isinstance(output, _C.Tensor) else type(output).__name__
            raise RuntimeError(
                f"hessian: the function must return a single tensor of one element, got {shape}"
            )
        if vectorize:
            from tapegrad.func import grad as transform

            numbers = tuple(range(len(values)))
            found = transform(lambda *xs: func(*xs).reshape(()), numbers)(*values)
        else:
            found = _gradients("hessian", (output.reshape(()),), values, (None,), True, strict)
        return found if inputs_tuple else found[0]

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def vhp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``(output, v^T H)`` of a function with one output element.

    >>> import tapegrad as tg
    >>> f = lambda x: (x**3).sum()
    >>> tg.autograd.functional.vhp(f, tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with _enabled():
        prepared, inputs_tuple, outputs, outputs_tuple = _run("vhp", func, inputs, create_graph)
        if len(outputs) != 1 or outputs[0].numel() != 1:
            raise RuntimeError("vhp: the function must return a single tensor of one element")
        vectors = _vectors("vhp", v, prepared, "the input")
        first = _gradients("vhp", outputs, prepared, (None,), True, strict)
        found = _gradients("vhp", first, prepared, vectors, create_graph, strict)
    return (
        _finish(outputs, outputs_tuple, create_graph),
        _finish(found, inputs_tuple, create_graph),
    )


def hvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``(output, H v)``: the same numbers as :func:`vhp`, because Hessians are symmetric.

    >>> import tapegrad as tg
    >>> f = lambda x: (x**3).sum()
    >>> tg.autograd.functional.hvp(f, tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    return vhp(func, inputs, v, create_graph, strict)


def _enabled() -> Any:
    from tapegrad.autograd import enable_grad

    return enable_grad()
