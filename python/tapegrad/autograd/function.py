"""Functions whose derivative is written by hand.

>>> import tapegrad as tg
>>> from tapegrad.autograd import Function
>>> class Cube(Function):
...     @staticmethod
...     def forward(ctx, x):
...         ctx.save_for_backward(x)
...         return x**3
...     @staticmethod
...     def backward(ctx, grad):
...         (x,) = ctx.saved_tensors
...         return grad * 3 * x**2
>>> x = tg.tensor(2.0, requires_grad=True)
>>> y = Cube.apply(x)
>>> y.grad_fn.name()
'CubeBackward'
>>> y.backward()
>>> x.grad
tensor(12.)
"""

from __future__ import annotations

from collections import namedtuple
from functools import wraps

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NamedTuple

__all__ = ["Function", "FunctionCtx", "InplaceFunction", "VmapInfo", "once_differentiable"]

FunctionCtx = _C._FunctionCtx


if TYPE_CHECKING:

    class _VmapInfo(NamedTuple):
        batch_size: int
        randomness: str

else:  # typing would take longer to load than all of this package
    _VmapInfo = namedtuple("_VmapInfo", ("batch_size", "randomness"))


class VmapInfo(_VmapInfo):
    """What a ``vmap`` staticmethod is told: the number of samples, and how random numbers go."""

    __slots__ = ()


class Function(_C._FunctionBase):
    """Base of functions with a derivative of their own; use them through ``apply``.

    A subclass defines static methods:

    - ``forward(ctx, *args)`` computes, with recording off. ``ctx.save_for_backward`` keeps tensors;
      other values become attributes of ``ctx``. Or ``forward(*args)`` with
      ``setup_context(ctx, inputs, output)``, which transforms of functions need.
    - ``backward(ctx, *grads)`` gets one gradient for each output and returns one for each argument
      of ``forward``, ``None`` where there is none. Under ``create_graph`` it is recorded.
    - ``jvp(ctx, *tangents)``, optional, for forward mode: one tangent for each argument of
      ``forward`` (``None`` for what is no tensor), one for each output in its result.
    - ``vmap(info, in_dims, *args)``, optional: the function over all samples at once. It returns
      the outputs and where each has its batch dimension.

    ``apply(*args)`` raises what these methods raise; wrong numbers, shapes or dtypes of gradients
    are errors that name the function and the argument.

    >>> import tapegrad as tg
    >>> class Scale(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(x, factor):
    ...         return x * factor
    ...     @staticmethod
    ...     def setup_context(ctx, inputs, output):
    ...         ctx.factor = inputs[1]
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         return grad * ctx.factor, None
    >>> x = tg.ones(2, requires_grad=True)
    >>> Scale.apply(x, 3.0).sum().backward()
    >>> x.grad
    tensor([3., 3.])
    """

    generate_vmap_rule: bool = False


InplaceFunction = Function


def _bind_arguments(
    cls: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """The arguments of ``apply`` by position, with the defaults of ``forward``."""
    if cls.setup_context is _C._FunctionBase.setup_context:
        names = ", ".join(kwargs)
        raise TypeError(
            f"{cls.__name__}.apply() takes no keyword arguments ({names}) when forward takes ctx; "
            "give them by position"
        )
    code = getattr(cls.forward, "__code__", None)
    if not kwargs and code is not None and code.co_argcount <= len(args):
        return args
    from inspect import signature

    bound = signature(cls.forward).bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(f"{cls.__name__}.forward(): keyword-only arguments are not supported")
    return bound.args


def _run_batched(
    cls: type[Function],
    in_dims: tuple[int | None, ...],
    args: tuple[Any, ...],
    size: int,
    randomness: str,
) -> tuple[Any, tuple[int | None, ...]]:
    """The function over all samples of a batch: its outputs, and their batch dimensions."""
    own = cls.vmap is not _C._FunctionBase.vmap
    if own and cls.generate_vmap_rule:
        raise RuntimeError(
            f"{cls.__name__} has both a vmap staticmethod and generate_vmap_rule=True; keep one"
        )
    if not own and not cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please "
            "override and implement the vmap staticmethod or set generate_vmap_rule=True."
        )
    outputs: Any
    out_dims: Any
    if cls.generate_vmap_rule:
        from tapegrad.autograd._batched_function import run_generated

        outputs, out_dims = run_generated(cls, in_dims, args, size, randomness)
    else:
        result: Any = cls.vmap(VmapInfo(size, randomness), in_dims, *args)
        if not isinstance(result, tuple) or len(result) != 2:
            raise RuntimeError(
                f"{cls.__name__}.vmap must return a tuple (outputs, out_dims), got "
                f"{type(result).__name__}"
            )
        outputs, out_dims = result
    count = len(outputs) if isinstance(outputs, tuple) else 1
    if not isinstance(out_dims, tuple):
        out_dims = (out_dims,) * count
    if len(out_dims) != count:
        raise RuntimeError(
            f"{cls.__name__}.vmap returned {count} outputs and {len(out_dims)} out_dims"
        )
    return outputs, out_dims


class _Refusal(Function):
    """Stands behind the results of a backward that cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Any:
        return tuple(x.view_as(x) for x in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a ``backward`` that is not differentiable: it runs unrecorded.

    A second derivative through it raises a RuntimeError, instead of being wrong.

    >>> import tapegrad as tg
    >>> from tapegrad.autograd.function import once_differentiable
    >>> class Square(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, grad):
    ...         return 2 * grad * ctx.saved_tensors[0]
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> tg.autograd.grad(Square.apply(x), x)
    (tensor(6.),)
    """

    @wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        previous = _C._set_grad_enabled(False)
        try:
            outputs = fn(ctx, *args)
        finally:
            _C._set_grad_enabled(previous)
        if not previous:
            return outputs
        # Any second derivative passes here, whether the gradients need one or only what was saved.
        several = isinstance(outputs, tuple)
        values = outputs if several else (outputs,)
        tensors = [
            x.detach().requires_grad_()
            for x in values
            if isinstance(x, _C.Tensor) and x.is_floating_point()
        ]
        if not tensors:
            return outputs
        refusing = iter(_Refusal.apply(*tensors))
        result = tuple(
            next(refusing) if isinstance(x, _C.Tensor) and x.is_floating_point() else x
            for x in values
        )
        return result if several else result[0]

    return wrapper
