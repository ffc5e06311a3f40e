"""grad, vjp, jvp and what is made of them.

At the top a gradient is taken on the plain tape. Inside another transform the inputs are lifted to
a grad level of their own, so that the tape of this gradient and the tapes around it stay apart.
"""

from __future__ import annotations

from functools import wraps

from tapegrad import _C
from tapegrad.utils._pytree import tree_flatten, tree_map, tree_unflatten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.utils._pytree import TreeSpec

    Argnums = int | tuple[int, ...]


def _check_tensors(op: str, what: str, leaves: list[Any]) -> None:
    for leaf in leaves:
        if not isinstance(leaf, _C.Tensor):
            raise RuntimeError(
                f"{op}: expected {what} to be tensors (or containers of them), got a "
                f"{type(leaf).__name__}"
            )


def _check_floating(op: str, leaves: list[Any]) -> None:
    _check_tensors(op, "the inputs to differentiate", leaves)
    for leaf in leaves:
        if not leaf.is_floating_point():
            raise RuntimeError(
                f"{op}: only floating-point inputs can be differentiated, got {leaf.dtype} of "
                f"shape {tuple(leaf.shape)}; convert it, for example by .float()"
            )


def _split_aux(op: str, result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(
            f"{op}: with has_aux=True the function must return a tuple (output, aux), got a "
            f"{type(result).__name__}"
        )
    return result


class _Tape:
    """The tape of one gradient: a grad level inside another transform, else the plain tape."""

    def __init__(self, inputs: list[Tensor]) -> None:
        self.level = _C._open_grad_level() if _C._any_level_open() else -1
        self.grad_enabled = _C._set_grad_enabled(True)
        if self.level >= 0:
            self.inputs = [_C._lift(x, -1, self.level) for x in inputs]
        else:
            # Views, so that gradients by the caller's own tensors still flow through.
            self.inputs = [x.view_as(x) if x.requires_grad else x.detach() for x in inputs]
        for x in self.inputs:
            if not x.requires_grad:
                x.requires_grad_()

    def close(self) -> None:
        _C._set_grad_enabled(self.grad_enabled)
        if self.level >= 0:
            _C._close_grad_level(self.level)

    def lower(self, value: Any) -> Any:
        """What a result is outside of this tape."""
        if not isinstance(value, _C.Tensor):
            return value
        if self.level >= 0:
            return _C._lower(value, self.level)
        return value if self.watched else value.detach()

    def pull(
        self, outputs: list[Tensor], weights: list[Tensor | None], retain: bool
    ) -> list[Tensor]:
        """Gradients of the inputs; zeros where nothing depends on one."""
        roots = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
        if self.level >= 0:
            roots = [(y, w) for y, w in roots if _C._level_of(y) == self.level]
        found: Any = [None] * len(self.inputs)
        if roots:
            ys, ws = zip(*roots, strict=True)
            silent = _C._set_silent_level(self.level if self.level >= 0 else -2)
            enabled = _C._set_grad_enabled(True)
            create = self.level >= 0 or self.watched or self._recorded(ws)
            try:
                found = _C._engine_grad(ys, tuple(self.inputs), ws, retain or create, create, True)
            finally:
                _C._set_grad_enabled(enabled)
                _C._set_silent_level(silent)
        return [
            _C.zeros_like(x) if g is None else (_C._lower(g, self.level) if self.level >= 0 else g)
            for g, x in zip(found, map(self.lower_input, self.inputs), strict=True)
        ]

    def _recorded(self, weights: tuple[Tensor | None, ...]) -> bool:
        return self.grad_enabled and any(
            w is not None and _C._requires_grad_below(w) for w in weights
        )

    def lower_input(self, x: Tensor) -> Tensor:
        return _C._lower(x, self.level) if self.level >= 0 else x.detach()

    watched = False

    def watch(self, outputs: list[Any]) -> None:
        """Find out whether gradients of this gradient may be asked for: by other leaves below."""
        if self.level >= 0 or not self.grad_enabled:
            return
        own = {id(x.grad_fn) for x in self.inputs if x.grad_fn is not None}
        self.watched = bool(own) or _C._has_other_leaves(
            tuple(y for y in outputs if isinstance(y, _C.Tensor)), tuple(self.inputs)
        )


def _argnums(op: str, argnums: Any, args: tuple[Any, ...]) -> tuple[int, ...]:
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers:
        raise RuntimeError(f"{op}: argnums must not be empty")
    result = []
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise RuntimeError(f"{op}: argnums must be an int or a tuple of ints, got {argnums!r}")
        if not -len(args) <= number < len(args):
            raise RuntimeError(
                f"{op}: argnums names argument {number}, the function was called with {len(args)} "
                "positional arguments"
            )
        result.append(number % len(args))
    if len(set(result)) != len(result):
        raise RuntimeError(f"{op}: argnums names an argument twice: {argnums!r}")
    return tuple(result)


def _replace(args: tuple[Any, ...], numbers: tuple[int, ...], values: tuple[Any, ...]) -> list[Any]:
    full = list(args)
    for number, value in zip(numbers, values, strict=True):
        full[number] = value
    return full


def grad_and_value(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """As :func:`grad`; the new function returns ``(gradient, value)``.

    With ``has_aux`` it returns ``(gradient, (value, aux))``.

    >>> import tapegrad as tg
    >>> from tapegrad.func import grad_and_value
    >>> grad_and_value(lambda x: x * x)(tg.tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = _argnums("grad", argnums, args)
        leaves, spec = tree_flatten(tuple(args[n] for n in numbers))
        _check_floating("grad", leaves)
        tape = _Tape(leaves)
        try:
            output = func(*_replace(args, numbers, tree_unflatten(tape.inputs, spec)), **kwargs)
            aux = None
            if has_aux:
                output, aux = _split_aux("grad", output)
            if not isinstance(output, _C.Tensor):
                raise RuntimeError(
                    "grad: expected the function to return a tensor, got a "
                    f"{type(output).__name__}; return extra results with has_aux=True"
                )
            if output.dim() != 0:
                raise RuntimeError(
                    "grad: expected the function to return a scalar tensor, got one of shape "
                    f"{tuple(output.shape)}; reduce it (for example by .sum()), or use jacrev"
                )
            tape.watch([output])
            gradients = tape.pull([output], [None], retain=False)
            output, aux = tape.lower(output), tree_map(tape.lower, aux)
        finally:
            tape.close()
        result = tree_unflatten(gradients, spec)
        if not isinstance(argnums, tuple):
            result = result[0]
        return result, ((output, aux) if has_aux else output)

    return wraps(func)(wrapped) if hasattr(func, "__name__") else wrapped


def grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that computes the gradient of ``func``.

    Args:
        func: returns a scalar tensor, or ``(scalar, aux)`` with ``has_aux``
        argnums: the argument, or arguments, to differentiate by; each may be a container of
            tensors
        has_aux: whether ``func`` returns something besides, passed through

    Returns a gradient with the structure of the argument, a tuple of them when ``argnums`` is a
    tuple, and ``(gradient, aux)`` with ``has_aux``. Calls nest: the result is differentiable.

    Errors: ``RuntimeError``: the output is no scalar tensor, an input is not floating point

    >>> import tapegrad as tg
    >>> from tapegrad.func import grad
    >>> grad(grad(tg.sin))(tg.tensor(0.5)) + tg.sin(tg.tensor(0.5))
    tensor(0.)
    """
    both = grad_and_value(func, argnums, has_aux)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wraps(func)(wrapped) if hasattr(func, "__name__") else wrapped


def value_and_grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """As :func:`grad_and_value` in the order of JAX: ``(value, gradient)``.

    >>> import tapegrad as tg
    >>> from tapegrad.func import value_and_grad
    >>> value_and_grad(lambda x: x * x)(tg.tensor(3.0))
    (tensor(9.), tensor(6.))
    """
    both = grad_and_value(func, argnums, has_aux)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return value, gradient

    return wraps(func)(wrapped) if hasattr(func, "__name__") else wrapped


def _matching(op: str, what: str, tree: Any, spec: TreeSpec, like: list[Tensor]) -> list[Tensor]:
    leaves, given = tree_flatten(tree)
    if given != spec:
        raise RuntimeError(f"{op}: expected {what} with the structure {spec}, got {given}")
    _check_tensors(op, what, leaves)
    for leaf, other in zip(leaves, like, strict=True):
        if tuple(leaf.shape) != tuple(other.shape):
            raise RuntimeError(
                f"{op}: expected {what} of shape {tuple(other.shape)}, got {tuple(leaf.shape)}"
            )
    return leaves


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of ``func`` and a function that pulls gradients back through it.

    Args:
        func: returns a tensor or a container of tensors; ``(output, aux)`` with ``has_aux``
        primals: where to evaluate it; each may be a container of tensors

    Returns ``(output, pull)``, with ``has_aux`` ``(output, pull, aux)``. ``pull(cotangents)`` takes
    what has the structure and shapes of the output and returns one gradient for each primal.

    >>> import tapegrad as tg
    >>> from tapegrad.func import vjp
    >>> y, pull = vjp(lambda x: x**2, tg.tensor([1.0, 2.0]))
    >>> pull(tg.tensor([1.0, 10.0]))
    (tensor([ 2., 40.]),)
    """
    leaves, spec = tree_flatten(primals)
    _check_floating("vjp", leaves)
    tape = _Tape(leaves)
    try:
        output = func(*tree_unflatten(tape.inputs, spec))
        aux = None
        if has_aux:
            output, aux = _split_aux("vjp", output)
        outputs, out_spec = tree_flatten(output)
        _check_tensors("vjp", "the outputs of the function", outputs)
        tape.watch(outputs)
        lowered = [tape.lower(y) for y in outputs]
        aux = tree_map(tape.lower, aux)
    finally:
        tape.close()

    def pull(*cotangents: Any, retain_graph: bool = True) -> tuple[Any, ...]:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        weights: Any = _matching("vjp", "cotangents", given, out_spec, lowered)
        gradients: tuple[Any, ...] = tree_unflatten(tape.pull(outputs, weights, retain_graph), spec)
        return gradients

    result = tree_unflatten(lowered, out_spec)
    return (result, pull, aux) if has_aux else (result, pull)


def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """The value of ``func`` and its derivative along ``tangents``, in one forward pass.

    Args:
        func: returns a tensor or a container of tensors; ``(output, aux)`` with ``has_aux``
        primals: its arguments, a tuple
        tangents: a tuple of the same structure and shapes
        strict: raise when an output does not depend on the inputs, instead of returning zeros

    Returns ``(output, tangent)``, with ``has_aux`` ``(output, tangent, aux)``.

    >>> import tapegrad as tg
    >>> from tapegrad.func import jvp
    >>> jvp(tg.sin, (tg.tensor(0.0),), (tg.tensor(2.0),))
    (tensor(0.), tensor(2.))
    """
    given: tuple[tuple[str, Any], ...] = (("primals", primals), ("tangents", tangents))
    for what, value in given:
        if not isinstance(value, tuple) or not value:
            raise RuntimeError(f"jvp: expected {what} to be a tuple with one entry an argument")
    leaves, spec = tree_flatten(primals)
    _check_floating("jvp", leaves)
    directions = _matching("jvp", "tangents", tangents, spec, leaves)
    level = _C._enter_dual_level()
    try:
        duals = [
            _C._make_dual(x, t.to(x.dtype), level) for x, t in zip(leaves, directions, strict=True)
        ]
        output = func(*tree_unflatten(duals, spec))
        aux = None
        if has_aux:
            output, aux = _split_aux("jvp", output)
        outputs, out_spec = tree_flatten(output)
        _check_tensors("jvp", "the outputs of the function", outputs)
        pairs = [_C._unpack_dual(y, level) for y in outputs]
        aux = tree_map(
            lambda v: _C._unpack_dual(v, level)[0] if isinstance(v, _C.Tensor) else v, aux
        )
    finally:
        _C._exit_dual_level(level)
    if strict and any(t is None for _, t in pairs):
        raise RuntimeError("jvp: with strict=True every output must depend on the inputs")
    values = tree_unflatten([y for y, _ in pairs], out_spec)
    derivative = tree_unflatten([_C.zeros_like(y) if t is None else t for y, t in pairs], out_spec)
    return (values, derivative, aux) if has_aux else (values, derivative)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of ``func`` and the function of its derivative there.

    The derivative is evaluated once, as a vector-Jacobian product; the returned function of
    tangents is linear and may be called many times.

    >>> import tapegrad as tg
    >>> from tapegrad.func import linearize
    >>> y, along = linearize(lambda x: x**3, tg.tensor(2.0))
    >>> along(tg.tensor(1.0)), along(tg.tensor(0.5))
    (tensor(12.), tensor(6.))
    """
    leaves, spec = tree_flatten(primals)
    _check_floating("linearize", leaves)
    output, pull = vjp(func, *primals)
    outputs, out_spec = tree_flatten(output)
    # The transpose of the transpose: pull() is linear in its cotangents.
    zeros = [_C.zeros_like(y).requires_grad_() for y in outputs]
    with_graph = _C._set_grad_enabled(True)
    try:
        _, push = vjp(lambda *weights: pull(tree_unflatten(weights, out_spec)), *zeros)
    finally:
        _C._set_grad_enabled(with_graph)

    def along(*tangents: Any) -> Any:
        directions = _matching("linearize", "tangents", tangents, spec, leaves)
        pushed = push(tree_unflatten(directions, spec))
        if not any(y.requires_grad for y in outputs):
            pushed = tuple(t.detach() for t in pushed)
        return tree_unflatten(pushed, out_spec)

    return output, along


def hvp(func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    """The value of a scalar function and its Hessian times ``tangents``: forward over reverse.

    Returns ``(value, product)``; the product has the structure of ``primals``.

    >>> import tapegrad as tg
    >>> from tapegrad.func import hvp
    >>> value, product = hvp(lambda x: (x**3).sum(), (tg.tensor([1.0, 2.0]),), (tg.ones(2),))
    >>> product
    (tensor([ 6., 12.]),)
    """
    numbers = tuple(range(len(primals)))
    (_, value), (product, _) = jvp(grad_and_value(func, argnums=numbers), primals, tangents)
    return value, product


def vhp(func: Callable[..., Any], primals: tuple[Any, ...], vectors: tuple[Any, ...]) -> Any:
    """The value of a scalar function and ``vectors`` times its Hessian: reverse over reverse.

    Returns ``(value, product)``; the product has the structure of ``primals``.

    >>> import tapegrad as tg
    >>> from tapegrad.func import vhp
    >>> value, product = vhp(lambda x: (x**3).sum(), (tg.tensor([1.0, 2.0]),), (tg.ones(2),))
    >>> product
    (tensor([ 6., 12.]),)
    """
    numbers = tuple(range(len(primals)))
    (_, value), pull = vjp(grad_and_value(func, argnums=numbers), *primals)
    return value, pull((vectors, _C.zeros_like(value)))
