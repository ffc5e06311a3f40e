"""How hooks of modules are run.

Full backward hooks stand on an identity around what goes in and one around what comes out: the node
behind the inputs sees the gradients of the inputs, the one behind the outputs those of the
outputs, whatever the module does in between.
"""

from __future__ import annotations

from tapegrad import _C
from tapegrad.autograd.function import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad.nn.modules.module import Module

    Values = tuple[Any, ...]


class BackwardHookFunction(Function):
    """The identity; its node carries the hooks."""

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Any:
        ctx.mark_non_differentiable(*[x for x in tensors if not x.requires_grad])
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads


class BackwardHook:
    """The hooks of one call of a module."""

    def __init__(
        self,
        module: Any,
        hooks: list[Callable[..., Any]],
        pre_hooks: list[Callable[..., Any]],
    ) -> None:
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.inputs: list[int] | None = None  # places of tensors, once they are watched
        self.input_count = 0
        self.grad_outputs: Values | None = None

    def watch_inputs(self, args: Values) -> Values:
        self.input_count = len(args)
        if not self.hooks:
            return args
        places, args, node = _wrap(args)
        if node is not None:
            self.inputs = places
            node.register_hook(self._after_inputs)
        return args

    def watch_output(self, output: Any) -> Any:
        several = isinstance(output, tuple)
        places, values, node = _wrap(output if several else (output,))
        if node is not None:
            count = len(values)
            node.register_prehook(lambda grads: self._before_outputs(grads, places, count))
        return values if several else values[0]

    def _before_outputs(self, grads: Values, places: list[int], count: int) -> Values:
        given = _spread(grads, places, count)
        for hook in self.pre_hooks:
            changed = hook(self.module, given)
            if changed is not None:
                given = _checked("grad_output", changed, count)
        if self.inputs is None:
            # Nothing that went in needs a gradient: this is the last place to call the hooks from.
            for hook in self.hooks:
                if hook(self.module, (None,) * self.input_count, given) is not None:
                    raise RuntimeError(
                        "Backward hook for Modules where no input requires gradient should "
                        "always return None or None for all gradients."
                    )
        else:
            self.grad_outputs = given
        return tuple(given[i] for i in places)

    def _after_inputs(self, grads: Values, _: Values) -> Values | None:
        if self.grad_outputs is None or self.inputs is None:
            return None  # the pass did not come through the outputs
        given = _spread(grads, self.inputs, self.input_count)
        for hook in self.hooks:
            changed = hook(self.module, given, self.grad_outputs)
            if changed is not None:
                given = _checked("grad_input", changed, self.input_count)
        self.grad_outputs = None
        return tuple(given[i] for i in self.inputs)


def _wrap(values: Values) -> tuple[list[int], Values, Any]:
    """The places of tensors, the values with the tensors behind an identity, and its node."""
    places = [i for i, value in enumerate(values) if isinstance(value, _C.Tensor)]
    if not _C.is_grad_enabled() or not any(values[i].requires_grad for i in places):
        return places, values, None
    wrapped = BackwardHookFunction.apply(*[values[i] for i in places])
    result = list(values)
    node = None
    for place, tensor in zip(places, wrapped, strict=True):
        result[place] = tensor
        node = node or tensor.grad_fn
    return places, tuple(result), node


def _spread(grads: Values, places: list[int], count: int) -> Values:
    result: list[Any] = [None] * count
    for place, grad in zip(places, grads, strict=True):
        result[place] = grad
    return tuple(result)


def _checked(what: str, changed: Any, count: int) -> Values:
    values = changed if isinstance(changed, tuple) else (changed,)
    if len(values) != count:
        raise RuntimeError(
            f"Backward hook returned an invalid number of {what}, got {len(values)}, but expected "
            f"{count}"
        )
    return values


def run_pre_hook(
    module: Module, hook: Any, with_kwargs: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not with_kwargs:
        changed = hook(module, args)
        if changed is None:
            return args, kwargs
        return changed if isinstance(changed, tuple) else (changed,), kwargs
    changed = hook(module, args, kwargs)
    if changed is None:
        return args, kwargs
    if not (isinstance(changed, tuple) and len(changed) == 2):
        raise RuntimeError(
            "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
            f"but got {changed}."
        )
    return changed


def run_after_error(
    module: Module,
    hook: Any,
    with_kwargs: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Any,
) -> None:
    try:
        if with_kwargs:
            hook(module, args, kwargs, output)
        else:
            hook(module, args, output)
    except Exception as error:
        import warnings

        warnings.warn(
            f"a forward hook with always_call=True raised {error!r} after an error in forward; "
            "the first error is the one that is raised",
            stacklevel=3,
        )
