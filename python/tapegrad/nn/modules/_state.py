"""Collecting and loading the state of modules: what stands behind ``Module.state_dict``.

Besides parameters and buffers a state holds what ``get_extra_state`` returns, for modules that
define it, under "<path>._extra_state".
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple

from tapegrad.autograd.grad_mode import no_grad
from tapegrad.nn.modules._errors import mismatch, state_errors
from tapegrad.nn.parameter import Parameter, is_lazy
from tapegrad.utils.hooks import RemovableHandle, _HookTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from tapegrad._C import Tensor
    from tapegrad.nn.modules.module import Module

HOOK_TABLES = (
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_EXTRA = "_extra_state"


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What a state dict lacks and what the module does not know."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()


def add_hook(module: Module, table: str, hook: Callable[..., Any]) -> RemovableHandle:
    """Put ``hook`` into one of :data:`HOOK_TABLES`."""
    hooks = module.__dict__.setdefault(table, _HookTable())
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle


def _modules(module: Module) -> list[tuple[str, Module]]:
    """All modules with their prefixes ("" or "path.")."""
    return [
        (path + "." if path else "", each)
        for path, each in module.named_modules(remove_duplicate=False)
    ]


def _has_extra(module: Module) -> bool:
    from tapegrad.nn.modules.module import Module as Base

    kind = type(module)
    return (
        kind.get_extra_state is not Base.get_extra_state
        or kind.set_extra_state is not Base.set_extra_state
    )


def _members(module: Module) -> Iterator[tuple[str, Tensor]]:
    for name, param in module._parameters.items():
        if param is not None:
            yield name, param
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield name, buffer


def collect(module: Module, destination: Any, prefix: str, keep_vars: bool) -> dict[str, Any]:
    """The state of ``module`` and all below it, added to ``destination``."""
    result: dict[str, Any] = OrderedDict() if destination is None else destination
    modules = _modules(module)
    for lead, each in modules:
        for hook in list(each._state_dict_pre_hooks.values()):
            hook(each, prefix + lead, keep_vars)
        for name, tensor in _members(each):
            result[prefix + lead + name] = tensor if keep_vars else tensor.detach()
        if _has_extra(each):
            result[prefix + lead + _EXTRA] = each.get_extra_state()
    for lead, each in reversed(modules):
        for hook in list(each._state_dict_hooks.values()):
            hook(each, result, prefix + lead, {})
    return result


def load(module: Module, state_dict: Any, strict: bool, assign: bool) -> IncompatibleKeys:
    """Copy a state into ``module`` and all below it: all of it or nothing."""
    if not hasattr(state_dict, "keys") or not hasattr(state_dict, "__getitem__"):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    modules = _modules(module)
    state = _run_pre_hooks(modules, state_dict, strict)
    entries = [
        (lead + name, each, name, tensor)
        for lead, each in modules
        for name, tensor in _members(each)
    ]
    extras = {lead + _EXTRA: each for lead, each in modules if _has_extra(each)}
    known = {path for path, _, _, _ in entries} | extras.keys()
    missing = [path for path, _, _, _ in entries if path not in state]
    missing += [path for path in extras if path not in state]
    unexpected = [path for path in state if path not in known]
    errors = state_errors(missing, unexpected) if strict else []
    for path, _, _, tensor in entries:
        if path in state:
            errors += mismatch(path, tensor, state[path])
    if errors:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {module._get_name()}:\n\t" + "\n\t".join(errors)
        )
    with no_grad():
        for path, owner, name, tensor in entries:
            if path in state:
                _put(owner, name, tensor, state[path], assign)
    for path, owner in extras.items():
        if path in state:
            owner.set_extra_state(state[path])
    result = IncompatibleKeys(missing, unexpected)
    for _, each in reversed(modules):
        for hook in list(each._load_state_dict_post_hooks.values()):
            hook(each, result)
    return result


def _run_pre_hooks(
    modules: list[tuple[str, Module]], state_dict: Any, strict: bool
) -> Mapping[str, Any]:
    hooked = [(lead, each) for lead, each in modules if each._load_state_dict_pre_hooks]
    if not hooked:
        return state_dict  # type: ignore[no-any-return]
    changed: OrderedDict[str, Any] = OrderedDict(state_dict)
    for lead, each in hooked:
        for hook in list(each._load_state_dict_pre_hooks.values()):
            hook(each, changed, lead, {}, strict, [], [], [])
    return changed


def _put(owner: Module, name: str, tensor: Any, value: Any, assign: bool) -> None:
    if not assign:
        if is_lazy(value):
            return
        if is_lazy(tensor):
            tensor.materialize(value.shape)
        tensor.copy_(value)
    elif isinstance(tensor, Parameter):
        known = isinstance(value, Parameter)
        owner._parameters[name] = value if known else Parameter(value, tensor.requires_grad)
    else:
        owner._buffers[name] = value
