"""``Module``: the base class of layers and networks.

Note [Attributes are dict hits]
Parameters, buffers and submodules live twice: in the instance's ``__dict__``, where ``self.weight``
is one dict lookup, and in three ordered tables, ``_parameters``, ``_buffers`` and ``_modules``,
which ``state_dict`` and friends walk. The tables are dicts that write through to the instance, so
that code which edits them directly (``model._modules["fc"] = ...``) stays correct.

Note [Calling a module]
``module(x)`` reaches ``module.forward`` through a method in C, without a Python frame of its own.
The first hook registered anywhere replaces that entry by one that runs hooks: programs without
hooks pay nothing for them. Either way an error that passes gets the module's path
(:mod:`._errors`).
"""

from __future__ import annotations

import weakref

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad
from tapegrad.nn.modules import _state
from tapegrad.nn.modules._errors import name_module
from tapegrad.nn.modules._hooks import BackwardHook, run_after_error, run_pre_hook
from tapegrad.nn.parameter import Buffer, Parameter
from tapegrad.utils.hooks import RemovableHandle, _HookTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeVar

    from typing_extensions import Self

    from tapegrad._C import Tensor

    V = TypeVar("V")

__all__ = ["Module"]


class _Members(dict[str, "V"]):
    """Ordered table of a module's members; see Note [Attributes are dict hits]."""

    __slots__ = ("_owner",)
    _owner: weakref.ref[Module]

    @classmethod
    def of(cls, owner: weakref.ref[Module]) -> _Members[Any]:
        table: _Members[Any] = cls()
        table._owner = owner
        return table

    def _attributes(self) -> dict[str, Any]:
        owner = self._owner()
        return {} if owner is None else owner.__dict__

    def __setitem__(self, name: str, value: V) -> None:
        super().__setitem__(name, value)
        self._attributes()[name] = value

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._attributes().pop(name, None)

    def pop(self, name: str, *default: Any) -> Any:
        if name in self:
            value = self[name]
            del self[name]
            return value
        return super().pop(name, *default)

    def popitem(self) -> tuple[str, V]:
        name, value = super().popitem()
        self._attributes().pop(name, None)
        return name, value

    def clear(self) -> None:
        for name in list(self):
            del self[name]

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Copies are plain until Module.__setstate__ gives them their new owner.
        return dict, (), None, None, iter(self.items())


_TABLES = ("_parameters", "_buffers", "_modules")
_HOOK_TABLES = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
_NO_HOOKS = _HookTable()


class Module:
    """Base class of all layers and networks, with PyTorch's interface.

    A subclass calls ``super().__init__()``, assigns parameters, buffers and submodules as
    attributes, and defines ``forward``.

    >>> import tapegrad as tg
    >>> class Net(tg.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = tg.nn.Linear(2, 3)
    ...         self.out = tg.nn.Linear(3, 1, bias=False)
    ...     def forward(self, x):
    ...         return self.out(self.hidden(x).relu())
    >>> net = Net()
    >>> net(tg.ones(5, 2)).shape
    tapegrad.Size([5, 1])
    >>> [name for name, _ in net.named_parameters()]
    ['hidden.weight', 'hidden.bias', 'out.weight']
    >>> net
    Net(
      (hidden): Linear(in_features=2, out_features=3, bias=True)
      (out): Linear(in_features=3, out_features=1, bias=False)
    )
    """

    training: bool
    _parameters: _Members[Parameter | None]
    _buffers: _Members[Tensor | None]
    _modules: _Members[Module | None]
    _non_persistent_buffers_set: set[str]
    _forward_hooks: _HookTable = _NO_HOOKS
    _forward_pre_hooks: _HookTable = _NO_HOOKS
    _backward_hooks: _HookTable = _NO_HOOKS
    _backward_pre_hooks: _HookTable = _NO_HOOKS
    _state_dict_pre_hooks: _HookTable = _NO_HOOKS
    _state_dict_hooks: _HookTable = _NO_HOOKS
    _load_state_dict_pre_hooks: _HookTable = _NO_HOOKS
    _load_state_dict_post_hooks: _HookTable = _NO_HOOKS

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

        # Members are set at run time; a checker cannot know them.
        def __getattr__(self, name: str) -> Any: ...

    def __init__(self) -> None:
        owner = weakref.ref(self)
        attributes = self.__dict__
        attributes["training"] = True
        for table in _TABLES:
            attributes[table] = _Members.of(owner)
        attributes["_non_persistent_buffers_set"] = set()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines its own."""
        raise NotImplementedError(f"{type(self).__name__}: a module needs a forward method")

    # --- members --------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        attributes = self.__dict__
        if "_modules" not in attributes:
            if isinstance(value, (Parameter, Module, Buffer)):
                kind = "module" if isinstance(value, Module) else "parameters or buffers"
                raise AttributeError(
                    f"{type(self).__name__}: cannot assign {kind} before Module.__init__() call; "
                    "start __init__ with super().__init__()"
                )
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, keep="_modules")
            self._modules[name] = value
        elif isinstance(value, Buffer):
            self._forget(name, keep="_buffers")
            self.register_buffer(name, value, value.persistent)
        elif name in self._parameters:
            self._expect_none(name, value, "parameter", "nn.Parameter")
            self._parameters[name] = None
        elif name in self._modules:
            self._expect_none(name, value, "child module", "nn.Module")
            self._modules[name] = None
        elif name in self._buffers:
            if not isinstance(value, _C.Tensor):
                self._expect_none(name, value, "buffer", "Tensor")
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def _expect_none(self, name: str, value: Any, kind: str, expected: str) -> None:
        if value is not None:
            raise TypeError(
                f"cannot assign '{type(value).__name__}' as {kind} '{name}' "
                f"({expected} or None expected)"
            )

    def _forget(self, name: str, keep: str = "_parameters") -> None:
        """Drop ``name`` from everywhere but the table that it goes to (whose order it keeps)."""
        for table in _TABLES:
            if table != keep and name in self.__dict__[table]:
                del self.__dict__[table][name]
        if keep != "_buffers":
            self._non_persistent_buffers_set.discard(name)
        self.__dict__.pop(name, None)

    def __delattr__(self, name: str) -> None:
        for table in _TABLES:
            if name in self.__dict__.get(table, ()):
                del self.__dict__[table][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def _check_name(self, kind: str, name: str, table: Mapping[str, Any]) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(
                f"cannot assign {kind} before Module.__init__() call; "
                "start __init__ with super().__init__()"
            )
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in table:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; ``None`` reserves the name."""
        self._check_name("parameter", name, self.__dict__.get("_parameters", {}))
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                    "(nn.Parameter or None required)"
                )
            if not param.is_leaf:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    "be created explicitly; compute derived values in forward()."
                )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained.

        It moves with ``to``; it is part of ``state_dict()`` unless ``persistent`` is false.
        """
        self._check_name("buffer", name, self.__dict__.get("_buffers", {}))
        if tensor is not None and not isinstance(tensor, _C.Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under ``name``, as an attribute assignment does."""
        self._check_name("module", name, self.__dict__.get("_modules", {}))
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of :meth:`add_module`."""
        self.add_module(name, module)

    def get_submodule(self, target: str) -> Module:
        """The submodule at a dotted path; ``""`` is the module itself.

        Errors: ``AttributeError`` that names the first missing part.
        """
        module: Module = self
        for part in target.split(".") if target else ():
            found = module.__dict__.get(part)
            if found is None and part not in module.__dict__:
                raise AttributeError(f"{module._get_name()} has no attribute `{part}`")
            if not isinstance(found, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
            module = found
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a dotted path; with ``strict`` only where there is one already.

        Errors: ``ValueError`` for an empty path, ``AttributeError`` for a missing part of it.
        """
        path, _, name = target.rpartition(".")
        if not name:
            raise ValueError("set_submodule: the path must not be empty")
        if not isinstance(module, Module):
            raise ValueError(f"set_submodule: expected a Module, got {type(module).__name__}")
        parent = self.get_submodule(path)
        if strict and name not in parent._modules:
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path; ``AttributeError`` where there is none."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path).__dict__.get(name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{target}` is not an nn.Parameter of {self._get_name()}")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path; ``AttributeError`` where there is none."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = module._buffers.get(name)
        if found is None:
            raise AttributeError(f"`{target}` is not a buffer of {self._get_name()}")
        return found

    # --- iteration ------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """All modules with their paths, this one first, each once unless asked otherwise."""
        seen: set[Module] = set() if memo is None else memo
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate:
                if module in seen:
                    continue
                seen.add(module)
            yield path, module
            lead = path + "." if path else ""
            stack += [
                (lead + name, child)
                for name, child in reversed(module._modules.items())
                if child is not None
            ]

    def modules(self) -> Iterator[Module]:
        """All modules in the order of :meth:`named_modules`."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct submodules with their names, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """Direct submodules."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else iter([(prefix, self)])
        )
        for path, module in modules:
            lead = path + "." if path else ""
            for name, value in module.__dict__[table].items():
                if value is None:
                    continue
                if remove_duplicate:
                    if id(value) in seen:
                        continue
                    seen.add(id(value))
                yield lead + name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters with their paths; a shared one comes once, under its first name."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Parameters, as an optimizer takes them."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Buffers with their paths."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # --- state ----------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and below (it matters to Dropout and its like)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let all parameters require gradients, or none."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters; with ``set_to_none=False`` fill them with 0."""
        for param in self.parameters():
            if param.grad is not None:
                if set_to_none:
                    param.grad = None
                else:
                    param.grad = param.grad.detach()
                    param.grad.zero_()

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every submodule, children first, then on this module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the data of parameters, their gradients and buffers by ``fn`` of it."""
        with no_grad():
            for module in list(self.modules()) if recurse else [self]:
                for param in module._parameters.values():
                    if param is not None:
                        _convert(param, fn)
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or cast in place: ``to(device)``, ``to(dtype)``, ``to(tensor)``.

        A dtype must be floating point, and only floating point members are cast. Also
        ``non_blocking=`` (no effect) and ``memory_format=`` (for members with 4 dimensions).
        """
        device = kwargs.pop("device", None)
        dtype = kwargs.pop("dtype", None)
        memory_format = kwargs.pop("memory_format", None)
        kwargs.pop("non_blocking", None)
        if kwargs:
            raise TypeError(f"Module.to: unexpected argument '{next(iter(kwargs))}'")
        for value in args:
            if isinstance(value, _C.dtype):
                dtype = value
            elif isinstance(value, _C.Tensor):
                device, dtype = value.device, value.dtype
            elif isinstance(value, (str, _C.device)):
                device = value
            elif value is not None and not isinstance(value, bool):
                raise TypeError(f"Module.to: expected a device, a dtype or a tensor, got {value!r}")
        if device is not None:
            device = _C.device(device)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                f"Module.to: only floating point dtypes are accepted, got {dtype}; "
                "cast integer members one by one"
            )

        def convert(tensor: Tensor) -> Tensor:
            options: dict[str, Any] = {}
            if device is not None:
                options["device"] = device
            if dtype is not None and tensor.is_floating_point():
                options["dtype"] = dtype
            if memory_format is not None and tensor.dim() == 4:
                options["memory_format"] = memory_format
            return tensor.to(**options) if options else tensor

        return self._apply(convert)

    def cpu(self) -> Self:
        """Do nothing: everything lives on the CPU."""
        return self

    def float(self) -> Self:
        """Cast floating point members to float32."""
        return self.to(_C.float32)

    def double(self) -> Self:
        """Cast floating point members to float64."""
        return self.to(_C.float64)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Give all members new memory, with values not yet set."""
        return self._apply(lambda tensor: _C.empty_like(tensor, device=device), recurse)

    def half(self) -> Self:
        """Cast floating point members to float16."""
        return self.to(_C.float16)

    def bfloat16(self) -> Self:
        """Cast floating point members to bfloat16."""
        return self.to(_C.bfloat16)

    def type(self, dst_type: Any) -> Self:
        """Cast all members to a dtype."""
        return self._apply(lambda tensor: tensor.to(dst_type))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing, as :func:`tapegrad.compile`."""

    def state_dict(
        self,
        *,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by path, sharing memory with the module.

        The order is PyTorch's: for each module its parameters, its buffers, then its children.
        The tensors are detached unless ``keep_vars``.

        >>> import tapegrad as tg
        >>> list(tg.nn.Sequential(tg.nn.Linear(1, 2), tg.nn.ReLU()).state_dict())
        ['0.weight', '0.bias']
        """
        return _state.collect(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _state.IncompatibleKeys:
        """Copy values from a state dict, cast to the dtypes here; all of them or none.

        ``strict`` demands the same keys on both sides; without it the result tells which are
        missing and unexpected. ``assign`` takes over the tensors themselves in place of copying.

        Errors: ``RuntimeError`` that lists every missing and unexpected key and every tensor of
        the wrong shape at once; the module is then unchanged.
        """
        return _state.load(self, state_dict, strict, assign)

    def get_extra_state(self) -> Any:
        """What else belongs to the state; a module that has such defines this and its twin."""
        raise RuntimeError(f"{type(self).__name__}: get_extra_state is for subclasses to define")

    def set_extra_state(self, state: Any) -> None:
        """Take what :meth:`get_extra_state` returned; called by ``load_state_dict``."""
        raise RuntimeError(f"{type(self).__name__}: set_extra_state is for subclasses to define")

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before a state is collected."""
        return _state.add_hook(self, "_state_dict_pre_hooks", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after; it may change the state.

        ``local_metadata`` is empty here.
        """
        return _state.add_hook(self, "_state_dict_hooks", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after a state was loaded."""
        return _state.add_hook(self, "_load_state_dict_post_hooks", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook`` before a state is loaded; it may change a copy of the state dict.

        It gets ``(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)``, of which only the first three hold anything here.
        """
        return _state.add_hook(self, "_load_state_dict_pre_hooks", hook)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        owner = weakref.ref(self)
        for name in _TABLES:
            table = _Members.of(owner)
            for key, value in state.get(name, {}).items():
                table[key] = value
            self.__dict__[name] = table
        for name in _HOOK_TABLES:
            if state.get(name):
                self.__dict__[name] = _HookTable(state[name])
                _enable_hooks()
        for name in _state.HOOK_TABLES:
            if state.get(name):
                self.__dict__[name] = _HookTable(state[name])

    # --- hooks ----------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before ``forward``; what it returns replaces the arguments.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)`` and returns ``(args, kwargs)``.
        """
        return self._add_hook("_forward_pre_hooks", (hook, with_kwargs, False), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after ``forward``; what it returns replaces output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``. ``always_call`` runs it
        also when ``forward`` or another hook raises (with output ``None``).
        """
        return self._add_hook("_forward_hooks", (hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when a backward pass leaves the module.

        Both are tuples, ``None`` for what is no tensor; a tuple that the hook returns replaces
        ``grad_input``.
        """
        return self._add_hook("_backward_hooks", hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when a backward pass enters the module.

        What it returns, unless ``None``, replaces ``grad_output``.
        """
        return self._add_hook("_backward_pre_hooks", hook, prepend)

    def _add_hook(self, table: str, entry: Any, prepend: bool) -> RemovableHandle:
        hooks = self.__dict__.setdefault(table, _HookTable())
        handle = RemovableHandle(hooks)
        hooks[handle.id] = entry
        if prepend:
            others = [(key, value) for key, value in hooks.items() if key != handle.id]
            for key, value in others:
                del hooks[key]
                hooks[key] = value
        _enable_hooks()
        return handle

    def _call_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        backward = None
        if self._backward_hooks or self._backward_pre_hooks:
            backward = BackwardHook(
                self, list(self._backward_hooks.values()), list(self._backward_pre_hooks.values())
            )
        elif not self._forward_pre_hooks and not self._forward_hooks:
            try:
                return self.forward(*args, **kwargs)
            except Exception as error:
                name_module(self, error)
                raise
        waiting = dict(self._forward_hooks)
        output = None
        try:
            for hook, with_kwargs, _ in list(self._forward_pre_hooks.values()):
                args, kwargs = run_pre_hook(self, hook, with_kwargs, args, kwargs)
            if backward:
                args = backward.watch_inputs(args)
            output = self.forward(*args, **kwargs)
            for key, (hook, with_kwargs, _) in list(waiting.items()):
                del waiting[key]
                changed = (
                    hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
                )
                if changed is not None:
                    output = changed
            if backward:
                output = backward.watch_output(output)
        except Exception as error:
            name_module(self, error)
            for hook, with_kwargs, always in waiting.values():
                if always:
                    run_after_error(self, hook, with_kwargs, args, kwargs, output)
            raise
        return output

    # --- representation -------------------------------------------------------------------------

    def _get_name(self) -> str:
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """What the repr shows between the parentheses; for subclasses to define."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): " + repr(module).replace("\n", "\n  ")
            for name, module in self._modules.items()
        ]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({lines[0]})"
        if not lines and not children:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


if not TYPE_CHECKING:
    Module.__call__ = _C._module_call(Module)


def _enable_hooks() -> None:
    """Let every module call look for hooks; see Note [Calling a module]."""
    if Module.__call__ is not Module._call_with_hooks:
        Module.__call__ = Module._call_with_hooks  # type: ignore[method-assign]


def _convert(param: Parameter, fn: Callable[[Tensor], Tensor]) -> None:
    old, grad = param.detach(), param.grad
    data = fn(old)
    if data is old:
        return
    new_grad = None if grad is None else fn(grad.detach())
    param.grad = None  # the gradient's dtype must never differ from the parameter's
    param.data = data
    param.grad = new_grad
