"""generate_vmap_rule: a custom function over a batch, made from its own methods.

A function of all samples whose forward, backward and jvp run the user's methods inside a batch
level. What they save is kept outside of the level and lifted again when it is read.
"""

from __future__ import annotations

from tapegrad import _C
from tapegrad.autograd.function import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Dims = tuple[int | None, ...]


class _Context:
    """The user's ctx inside a level; the real one holds what was saved, outside of it."""

    def __init__(self, ctx: Any, size: int) -> None:
        self._ctx, self._size = ctx, size
        self._level = -1
        self._known: tuple[tuple[Any, Any, int | None], ...] = ()
        self._saved: tuple[tuple[int | None, ...], tuple[int | None, ...]] = ((), ())

    def _outside(self, tensors: tuple[Any, ...]) -> tuple[list[Any], tuple[int | None, ...]]:
        known = {id(inside): (outside, dim) for inside, outside, dim in self._known}
        pairs = [known.get(id(x)) or _lower(x, self._level) for x in tensors]
        return [x for x, _ in pairs], tuple(dim for _, dim in pairs)

    def save_for_backward(self, *tensors: Any) -> None:
        outside, dims = self._outside(tensors)
        self._saved = (dims, self._saved[1])
        self._ctx.save_for_backward(*outside)

    def save_for_forward(self, *tensors: Any) -> None:
        outside, dims = self._outside(tensors)
        self._saved = (self._saved[0], dims)
        self._ctx.save_for_forward(*outside)

    def mark_dirty(self, *tensors: Any) -> None:
        raise RuntimeError("mark_dirty is not available inside vmap; work out of place")

    def mark_non_differentiable(self, *tensors: Any) -> None:
        self._ctx.mark_non_differentiable(*self._outside(tensors)[0])

    def set_materialize_grads(self, value: bool) -> None:
        self._ctx.set_materialize_grads(value)

    @property
    def needs_input_grad(self) -> tuple[bool, ...]:
        return tuple(self._ctx.needs_input_grad)

    def _lift_saved(self, forward: bool) -> None:
        dims = self._saved[1] if forward and self._saved[1] else self._saved[0]
        saved = self._ctx.saved_tensors if dims else ()
        self.saved_tensors = tuple(
            _lift(x, dim, self._level) for x, dim in zip(saved, dims, strict=True)
        )


def _lift(x: Any, dim: int | None, level: int) -> Any:
    return _C._lift(x, -1 if dim is None else dim, level) if isinstance(x, _C.Tensor) else x


def _lower(x: Any, level: int) -> tuple[Any, int | None]:
    if not isinstance(x, _C.Tensor):
        return x, None
    inner, dim, at = _C._lifted(x)
    if at != level:
        return x, None
    return inner, None if dim < 0 else dim


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def run_generated(
    cls: type[Function], in_dims: Dims, args: tuple[Any, ...], size: int, randomness: str
) -> tuple[Any, Dims]:
    """``cls`` over ``args``, whose batch dimensions are ``in_dims``."""
    if cls.setup_context is _C._FunctionBase.setup_context:
        raise RuntimeError(
            f"To use {cls.__name__} with generate_vmap_rule=True it must override the "
            "setup_context staticmethod and have a forward without ctx"
        )
    out_dims: list[int | None] = []

    class Batched(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*outer: Any) -> Any:
            level = _C._open_batch_level(size, randomness)
            try:
                inner = tuple(_lift(x, d, level) for x, d in zip(outer, in_dims, strict=True))
                output = cls.forward(*inner)
                pairs = [_lower(y, level) for y in _tuple(output)]
            finally:
                _C._close_batch_level(level)
            out_dims[:] = [dim for _, dim in pairs]
            values = tuple(y for y, _ in pairs)
            return values if isinstance(output, tuple) else values[0]

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            level = _C._open_batch_level(size, randomness)
            try:
                inside = tuple(_lift(x, d, level) for x, d in zip(inputs, in_dims, strict=True))
                outside = _tuple(output)
                results = tuple(_lift(y, d, level) for y, d in zip(outside, out_dims, strict=True))
                inner = _Context(ctx, size)
                inner._level = level
                inner._known = tuple(
                    zip(inside + results, inputs + outside, in_dims + tuple(out_dims), strict=True)
                )
                cls.setup_context(
                    inner, inside, results if isinstance(output, tuple) else results[0]
                )
                inner._known = ()
            finally:
                _C._close_batch_level(level)
            ctx.inner = inner
            ctx.shapes = tuple(x.dim() if isinstance(x, _C.Tensor) else None for x in inputs)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            inner = ctx.inner
            level = inner._level = _C._open_batch_level(size, randomness)
            try:
                inner._lift_saved(False)
                given = tuple(_lift(g, d, level) for g, d in zip(grads, out_dims, strict=True))
                results = _tuple(cls.backward(inner, *given))
                lowered = tuple(
                    _reduce(g, d, level, size) for g, d in zip(results, in_dims, strict=False)
                )
            finally:
                inner.saved_tensors = ()
                _C._close_batch_level(level)
            return lowered + results[len(lowered) :]

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            inner = ctx.inner
            level = inner._level = _C._open_batch_level(size, randomness)
            try:
                inner._lift_saved(True)
                given = tuple(_lift(t, d, level) for t, d in zip(tangents, in_dims, strict=True))
                results = _tuple(cls.jvp(inner, *given))
                lowered = tuple(
                    t if t is None else _place(t, d, level, size)
                    for t, d in zip(results, out_dims, strict=True)
                )
            finally:
                inner.saved_tensors = ()
                _C._close_batch_level(level)
            return lowered

    Batched.__name__ = Batched.__qualname__ = cls.__name__
    outputs = Batched.apply(*args)
    return outputs, tuple(out_dims)


def _place(x: Any, dim: int | None, level: int, size: int) -> Any:
    """All samples of ``x`` along ``dim``, or the one value they share."""
    if dim is not None:
        return _C._lower_batch(x, dim, level, size)
    outside, at = _lower(x, level)
    if at is not None:
        raise RuntimeError("a tangent depends on the sample where the output does not")
    return outside


def _reduce(grad: Any, dim: int | None, level: int, size: int) -> Any:
    """The gradient of an argument: for each sample, or summed when all samples share it."""
    if not isinstance(grad, _C.Tensor):
        return grad
    if dim is not None:
        return _C._lower_batch(grad, dim, level, size)
    return _C._lower_batch(grad, 0, level, size).sum(0)
