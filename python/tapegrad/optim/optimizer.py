"""``Optimizer``: parameter groups, state, and their saving; the rules are in the subclasses."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from tapegrad._C import Tensor

    Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

__all__ = ["Optimizer", "required"]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Base class of optimizers, with PyTorch's interface and state layout.

    ``params`` is an iterable of tensors, of (name, tensor) pairs, or of dicts, each of which is a
    parameter group: ``{"params": [...], "lr": 0.1}``. What a group leaves out comes from
    ``defaults``. A subclass defines ``step``.
    """

    param_groups: list[dict[str, Any]]
    state: defaultdict[Tensor, dict[str, Any]]
    defaults: dict[str, Any]

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, _C.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or "
                f"dicts, but got {type(params).__name__}; put it in a list: [param]"
            )
        self.defaults = defaults
        self.state = defaultdict(dict)
        self.param_groups = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with its own options, for example layers unfrozen late.

        Errors: a parameter that is no tensor, not a leaf, or in another group already; an option
        without a value. The optimizer is unchanged then.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, _C.Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Use a list instead."
            )
        params = list(params)
        if params and all(isinstance(p, tuple) and len(p) == 2 for p in params):
            group = {"params": None, "param_names": [name for name, _ in params], **param_group}
            params = [param for _, param in params]
        for param in params:
            _check_param(param)
        if len({id(p) for p in params}) != len(params):
            raise ValueError(
                "a parameter appears twice in one parameter group; list every parameter once"
            )
        taken = {id(p) for known in self.param_groups for p in known["params"]}
        if not taken.isdisjoint(id(p) for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        named = ["param_names" in known for known in self.param_groups]
        if named and named[0] != ("param_names" in group):
            raise ValueError("all param groups should be with/without names.")
        group["params"] = params
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization "
                    f"parameter {name}"
                )
            group.setdefault(name, default)
        self._check_group(group)
        self.param_groups.append(group)

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

    # --- saving ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """State and groups in PyTorch's layout, parameters named by their position.

        ``{"state": {0: {...}, ...}, "param_groups": [{..., "params": [0, 1, ...]}, ...]}``; the
        tensors are those of the optimizer, not copies.
        """
        order: dict[Any, int] = {}
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                order.setdefault(id(param), len(order))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [order[id(param)] for param in group["params"]]
            groups.append(packed)
        state = {order.get(id(key), key): value for key, value in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict; it is copied, and cast to the dtypes of the parameters.

        Errors: ``ValueError`` where the groups or the shapes of the state do not fit; the optimizer
        is unchanged then.
        """
        for key in ("state", "param_groups"):
            if key not in state_dict:
                raise ValueError(f"{type(self).__name__}.load_state_dict: no entry '{key}'")
        saved_groups = deepcopy(state_dict["param_groups"])
        if len(saved_groups) != len(self.param_groups):
            raise ValueError(
                "loaded state dict has a different number of parameter groups: "
                f"{len(saved_groups)} instead of {len(self.param_groups)}"
            )
        by_id: dict[Any, Tensor] = {}
        for i, (own, saved) in enumerate(zip(self.param_groups, saved_groups, strict=True)):
            if len(own["params"]) != len(saved["params"]):
                raise ValueError(
                    f"loaded state dict contains a parameter group that doesn't match the size "
                    f"of optimizer's group: group {i} has {len(saved['params'])} parameters "
                    f"instead of {len(own['params'])}"
                )
            by_id.update(zip(saved["params"], own["params"], strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in by_id:
                param = by_id[key]
                state[param] = {name: _fit(key, name, v, param) for name, v in value.items()}
            else:
                state[key] = deepcopy(value)
        for own, saved in zip(self.param_groups, saved_groups, strict=True):
            saved["params"] = own["params"]
            if "param_names" in own and "param_names" not in saved:
                saved["param_names"] = own["param_names"]
        self.state = state
        self.param_groups = saved_groups

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"


def _check_param(param: Any) -> None:
    if not isinstance(param, _C.Tensor):
        raise TypeError(f"optimizer can only optimize Tensors, but got {type(param).__name__}")
    if not param.is_leaf:
        raise ValueError(
            "can't optimize a non-leaf Tensor; give the optimizer the tensor that was created "
            "with requires_grad=True, not one computed from it"
        )


def _fit(key: Any, name: str, value: Any, param: Tensor) -> Any:
    """A copy of one state entry that suits ``param``; ``step`` keeps its float32."""
    if not isinstance(value, _C.Tensor):
        return deepcopy(value)
    value = value.detach()
    if name == "step":
        return value.to(dtype=_C.float32).clone()
    if value.shape != param.shape:
        raise ValueError(
            f"loaded state dict does not fit: '{name}' of parameter {key} has shape "
            f"{tuple(value.shape)}, the parameter {tuple(param.shape)}"
        )
    return value.to(dtype=param.dtype).clone() if param.is_floating_point() else value.clone()


def run_closure(closure: Callable[[], Any] | None) -> Any:
    """What ``step`` does first: evaluate the closure, if any, with recording on."""
    if closure is None:
        return None
    from tapegrad.autograd.grad_mode import enable_grad

    with enable_grad():
        return closure()


def refuse_differentiable(name: str, differentiable: bool) -> None:
    """The one flag of PyTorch's constructors that changes results and is not supported."""
    if differentiable:
        raise ValueError(
            f"{name}: differentiable=True is not supported, the updates are not recorded; "
            "write the update with tensor operations to differentiate through it"
        )
