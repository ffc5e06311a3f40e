"""``Optimizer``: parameter groups, state, and their saving; the rules are in the subclasses."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from functools import wraps

from tapegrad import _C
from tapegrad.utils.hooks import RemovableHandle, _HookTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from tapegrad._C import Tensor

    Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
    Hook = Callable[..., Any]

__all__ = [
    "Optimizer",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "required",
]

# Hooks of all optimizers; those of one are in tables of its own, made at the first registration.
_step_pre_hooks = _HookTable()
_step_post_hooks = _HookTable()
_HOOK_TABLES = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` of a subclass, between the hooks; also notes that it was called, for schedulers."""

    @wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._opt_called = True
        if self._in_step or not (_step_pre_hooks or _step_post_hooks or self._has_step_hooks):
            return step(self, *args, **kwargs)
        for hook in [*_step_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()]:
            result = hook(self, args, kwargs)
            if result is not None:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        f"{type(self).__name__}.step: a step pre-hook must return None or a tuple "
                        f"of (new_args, new_kwargs), but got {result}"
                    )
                args, kwargs = result
        self._in_step = True  # a step that calls the step of its base class runs hooks once
        try:
            out = step(self, *args, **kwargs)
        finally:
            del self._in_step
        for hook in [*self._optimizer_step_post_hooks.values(), *_step_post_hooks.values()]:
            hook(self, args, kwargs)
        return out

    hooked.hooked = True  # type: ignore[attr-defined]
    return hooked


def _add_hook(hooks: _HookTable, hook: Hook, prepend: bool = False) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    others = list(hooks.items()) if prepend else []
    for key, _ in others:
        del hooks[key]
    hooks[handle.id] = hook
    hooks.update(others)
    return handle


def register_optimizer_step_pre_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before every step of every optimizer.

    It returns None, or the (args, kwargs) to step with. Returns a handle that removes it.

    >>> import tapegrad as tg
    >>> from tapegrad.optim.optimizer import register_optimizer_step_pre_hook
    >>> handle = register_optimizer_step_pre_hook(lambda *_: print("a step begins"))
    >>> tg.optim.SGD([tg.ones(1)]).step()
    a step begins
    >>> handle.remove()
    """
    return _add_hook(_step_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Hook) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after every step of every optimizer.

    Returns a handle that removes it.
    """
    return _add_hook(_step_post_hooks, hook)


class Optimizer:
    """Base class of optimizers, with PyTorch's interface and state layout.

    ``params`` is an iterable of tensors, of (name, tensor) pairs, or of dicts, each of which is a
    parameter group: ``{"params": [...], "lr": 0.1}``. What a group leaves out comes from
    ``defaults``. A subclass defines ``step``.
    """

    param_groups: list[dict[str, Any]]
    state: defaultdict[Tensor, dict[str, Any]]
    defaults: dict[str, Any]
    # State that has the shape of its parameter, and state of one element that keeps its dtype.
    _shaped: frozenset[str] = frozenset()
    _scalar: frozenset[str] = frozenset({"step"})
    _has_step_hooks = False
    _in_step = False
    _opt_called = False
    _optimizer_step_pre_hooks: _HookTable
    _optimizer_step_post_hooks: _HookTable
    _optimizer_state_dict_pre_hooks: _HookTable
    _optimizer_state_dict_post_hooks: _HookTable
    _optimizer_load_state_dict_pre_hooks: _HookTable
    _optimizer_load_state_dict_post_hooks: _HookTable

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if callable(step) and not hasattr(step, "hooked"):
            cls.step = _with_hooks(step)  # type: ignore[method-assign]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, _C.Tensor):
            raise TypeError(
                f"{type(self).__name__}: params argument given to the optimizer should be an "
                f"iterable of Tensors or dicts, but got {type(params).__name__}; put it in a list: "
                "[param]"
            )
        self.defaults = defaults
        self.state = defaultdict(dict)
        self.param_groups = []
        self._make_hook_tables()
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with its own options, for example layers unfrozen late.

        Errors: a parameter that is no tensor, not a leaf, or in another group already; an option
        without a value. The optimizer is unchanged then.
        """
        owner = type(self).__name__
        if not isinstance(param_group, dict):
            raise TypeError(
                f"{owner}: param_group must be a dict, but got {type(param_group).__name__}"
            )
        if "params" not in param_group:
            raise KeyError(f"{owner}: a parameter group needs an entry 'params'")
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, _C.Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                f"{owner}: optimizer parameters need to be organized in ordered collections, but "
                "the ordering of tensors in sets will change between runs. Use a list instead."
            )
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple) and len(p) == 2]
        if names:
            if len(names) != len(params):
                raise ValueError(
                    f"{owner}: all optimizer params should be with/without names. Some param "
                    "names are missing"
                )
            group = {"params": None, "param_names": names, **param_group}
            params = [param for _, param in params]
        for param in params:
            self._check_param(param)
        self._check_unique(params)
        named = ["param_names" in known for known in self.param_groups]
        if named and named[0] != ("param_names" in group):
            raise ValueError(
                f"{owner}: all optimizer param groups should be with/without names. cannot add "
                f"param group {'without' if named[0] else 'with'} names to the optimizer"
            )
        group["params"] = params
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(
                    f"{owner}: parameter group didn't specify a value of required optimization "
                    f"parameter {name}"
                )
            group.setdefault(name, default)
        self._check_group(group)
        self.param_groups.append(group)

    def _check_unique(self, params: list[Any]) -> None:
        taken = {id(p): k for k, known in enumerate(self.param_groups) for p in known["params"]}
        seen: dict[int, int] = {}
        for i, param in enumerate(params):
            if id(param) in taken:
                raise ValueError(
                    f"{type(self).__name__}: some parameters appear in more than one parameter "
                    f"group: number {i} of the new group is in group {taken[id(param)]} already"
                )
            if id(param) in seen:
                raise ValueError(
                    f"{type(self).__name__}: a parameter appears twice in one parameter group, as "
                    f"number {seen[id(param)]} and number {i}; list every parameter once"
                )
            seen[id(param)] = i

    def _check_param(self, param: Any) -> None:
        if not isinstance(param, _C.Tensor):
            raise TypeError(
                f"{type(self).__name__}: optimizer can only optimize Tensors, but got "
                f"{type(param).__name__}"
            )
        if not (self.defaults.get("differentiable") or param.is_leaf or param.retains_grad):
            raise ValueError(
                f"{type(self).__name__}: can't optimize a non-leaf Tensor; give the optimizer the "
                "tensor that was created with requires_grad=True, not one computed from it"
            )

    def _check_group(self, group: dict[str, Any]) -> None:
        """Raise where an option of a group is out of range; for subclasses to define."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters; with ``set_to_none=False`` fill them with 0."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad = param.grad.detach()
                    param.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters once; every subclass defines its own."""
        raise NotImplementedError(f"{type(self).__name__}: an optimizer needs a step method")

    # --- hooks ----------------------------------------------------------------------------------

    def _make_hook_tables(self) -> None:
        for name in _HOOK_TABLES:
            self.__dict__[name] = _HookTable(self.__dict__.get(name, {}))

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before ``step``; it may return (args, kwargs)."""
        self._has_step_hooks = True
        return _add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after ``step``."""
        self._has_step_hooks = True
        return _add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer)`` before ``state_dict``; with ``prepend`` before other hooks."""
        return _add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)``; what it returns, if not None, is the result."""
        return _add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)``; what it returns, if not None, is loaded instead."""
        return _add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Hook, prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` after ``load_state_dict``."""
        return _add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # --- saving ---------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        left_out = {*_HOOK_TABLES, "_has_step_hooks", "_opt_called"}
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_hook_tables()

    def state_dict(self) -> dict[str, Any]:
        """State and groups in PyTorch's layout, parameters named by their position.

        ``{"state": {0: {...}, ...}, "param_groups": [{..., "params": [0, 1, ...]}, ...]}``; the
        tensors are those of the optimizer, not copies.
        """
        for hook in list(self._optimizer_state_dict_pre_hooks.values()):
            hook(self)
        order: dict[Any, int] = {}
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                order.setdefault(id(param), len(order))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [order[id(param)] for param in group["params"]]
            groups.append(packed)
        state = {order.get(id(key), key): value for key, value in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in list(self._optimizer_state_dict_post_hooks.values()):
            replaced = hook(self, result)
            result = result if replaced is None else replaced
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict; it is copied, and cast to the dtypes of the parameters.

        Errors: ``ValueError`` where the groups or the shapes of the state do not fit; the optimizer
        is unchanged then.
        """
        state_dict = dict(state_dict)
        for hook in list(self._optimizer_load_state_dict_pre_hooks.values()):
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        for key in ("state", "param_groups"):
            if key not in state_dict:
                raise ValueError(f"{type(self).__name__}.load_state_dict: no entry '{key}'")
        saved_groups = deepcopy(state_dict["param_groups"])
        if len(saved_groups) != len(self.param_groups):
            raise ValueError(
                f"{type(self).__name__}: loaded state dict has a different number of parameter "
                f"groups: {len(saved_groups)} instead of {len(self.param_groups)}"
            )
        by_id: dict[Any, Tensor] = {}
        for i, (own, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            if len(own["params"]) != len(saved["params"]):
                raise ValueError(
                    f"{type(self).__name__}: loaded state dict contains a parameter group that "
                    f"doesn't match the size of optimizer's group: group {i} has "
                    f"{len(saved['params'])} parameters instead of {len(own['params'])}"
                )
            by_id.update(zip(saved["params"], own["params"], strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in by_id:
                param = by_id[key]
                state[param] = {
                    n: self._fit(key, n, v, param) for n, v in value.items() if v is not None
                }
            else:
                state[key] = deepcopy(value)
        for own, saved in zip(self.param_groups, saved_groups, strict=True):
            saved["params"] = own["params"]
            if "param_names" in own and "param_names" not in saved:
                saved["param_names"] = own["param_names"]
            for name, default in self.defaults.items():  # saved before there was such an option
                saved.setdefault(name, default)
        self.state = state
        self.param_groups = saved_groups
        for hook in list(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)

    def _fit(self, key: Any, name: str, value: Any, param: Tensor) -> Any:
        """A copy of one state entry that suits ``param``; scalars keep their precision."""
        if isinstance(value, dict):
            return {n: self._fit(key, name, v, param) for n, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)([self._fit(key, name, v, param) for v in value])
        if hasattr(value, "__dlpack__") and not isinstance(value, _C.Tensor):
            value = _C.from_dlpack(value.detach() if hasattr(value, "detach") else value)
        if name in self._scalar and not isinstance(value, _C.Tensor):
            # Early checkpoints of PyTorch hold plain numbers.
            return _C.tensor(float(value), dtype=scalar_dtype())
        if not isinstance(value, _C.Tensor):
            return deepcopy(value)
        value = value.detach()
        if name in self._scalar:
            return value.clone()
        if name in self._shaped and value.shape != param.shape:
            raise ValueError(
                f"{type(self).__name__}: loaded state dict does not fit: '{name}' of parameter "
                f"{key} has shape {tuple(value.shape)}, the parameter {tuple(param.shape)}"
            )
        return value.to(dtype=param.dtype).clone() if param.is_floating_point() else value.clone()

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"


def scalar_dtype() -> _C.dtype:
    """The dtype of step counts and the like."""
    return _C.float64 if _C.get_default_dtype() == _C.float64 else _C.float32


def run_closure(closure: Callable[[], Any] | None) -> Any:
    """What ``step`` does first: evaluate the closure, if any, with recording on."""
    if closure is None:
        return None
    from tapegrad.autograd.grad_mode import enable_grad

    with enable_grad():
        return closure()
