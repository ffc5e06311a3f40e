"""Parameters that are computed from others: ``module.weight`` becomes ``f(original)``.

A parametrized module gets a class of its own, on which the parameter is a property; the modules
that compute it and their parameters live under ``module.parametrizations``.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager, suppress

from tapegrad._C import Tensor
from tapegrad.autograd.grad_mode import no_grad
from tapegrad.nn.modules.container import ModuleDict, ModuleList
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from tapegrad.nn.modules.module import Module

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """Values computed inside of :func:`cached`, by module and name."""

    depth = 0
    values: dict[tuple[int, str], Tensor] = {}  # noqa: RUF012


@contextmanager
def cached() -> Iterator[None]:
    """Compute every parametrized tensor once inside of the block, however often it is used.

    >>> import tapegrad as tg
    >>> from tapegrad.nn.utils import parametrize
    >>> layer = tg.nn.utils.parametrizations.weight_norm(tg.nn.Linear(2, 3))
    >>> with parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if _Cache.depth == 0:
            _Cache.values = {}


def _add(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _assign(target: Tensor, value: Tensor) -> None:
    """Give ``target`` the memory of ``value``; it stays the same object, with its gradient mode."""
    target.grad = None
    target.data = value.detach()


def _expect_like(what: str, own: Tensor, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{what} must be a tensor, got {type(value).__name__}")
    if value.dtype != own.dtype:
        raise ValueError(
            f"{what} must keep the dtype {own.dtype}, got {value.dtype}; pass unsafe=True to allow "
            "it"
        )
    if value.shape != own.shape:
        raise ValueError(
            f"{what} must keep the shape {tuple(own.shape)}, got {tuple(value.shape)}; pass "
            "unsafe=True to allow it"
        )


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order they apply, and what they start from.

    That is ``original``, or ``original0``, ``original1``, ... where the first parametrization takes
    several tensors.
    """

    is_tensor: bool
    ntensors: int
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules")
        super().__init__(modules)
        self.unsafe = unsafe
        start: Any = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):
                        start = module.right_inverse(start)
        self.is_tensor = isinstance(start, Tensor)
        if self.is_tensor:
            self._start_from(original, start)
        else:
            self._start_from_several(original, start)

    def _start_from(self, original: Tensor, start: Tensor) -> None:
        self.ntensors = 1
        if start.dtype != original.dtype:
            raise ValueError(
                f"right_inverse must keep the dtype {original.dtype}, got {start.dtype}"
            )
        if not self.unsafe:
            with no_grad():
                _expect_like("the parametrized tensor", original, self._through(start))
        if start is not original:
            _assign(original, start)
        _add(self, "original", original)

    def _start_from_several(self, original: Tensor, start: Any) -> None:
        if not isinstance(start, (tuple, list)):
            raise ValueError(
                "right_inverse must return a tensor or a sequence of tensors, got "
                f"{type(start).__name__}"
            )
        self.ntensors = len(start)
        if not self.unsafe:
            with no_grad():
                _expect_like("the parametrized tensor", original, self._through(*start))
        for i, tensor in enumerate(start):
            if not isinstance(tensor, Tensor):
                raise ValueError(
                    "right_inverse must return tensors, got "
                    f"{type(tensor).__name__} at position {i}"
                )
            if isinstance(original, Parameter):
                tensor = Parameter(tensor.detach(), original.requires_grad)
            _add(self, f"original{i}", tensor)

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrized tensor becomes ``value``."""
        result: Any = value
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement "
                        "right_inverse, so the parametrized tensor cannot be assigned"
                    )
                result = module.right_inverse(result)
        values = [result] if self.is_tensor else result
        originals = self._originals()
        if not isinstance(values, (tuple, list)) or len(values) != len(originals):
            raise ValueError(
                f"right_inverse must return a sequence of {len(originals)} tensors, got "
                f"{type(result).__name__}"
            )
        for i, (own, tensor) in enumerate(zip(originals, values, strict=True)):
            if not isinstance(tensor, Tensor):
                raise ValueError(
                    f"right_inverse must return tensors, got {type(tensor).__name__} for tensor {i}"
                )
            if tensor.dtype != own.dtype:
                raise ValueError(
                    f"right_inverse must keep the dtype {own.dtype} of tensor {i}, got "
                    f"{tensor.dtype}"
                )
        for own, tensor in zip(originals, values, strict=True):
            _assign(own, tensor)

    def _originals(self) -> list[Tensor]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def _through(self, *start: Tensor) -> Any:
        first, *others = self
        value = first(*start)
        for module in others:
            value = module(value)
        return value

    def forward(self) -> Tensor:
        return self._through(*self._originals())  # type: ignore[no-any-return]


# --- the class of a parametrized module ---------------------------------------------------------


def _property(name: str) -> property:
    def get(module: Any) -> Tensor:
        compute = module.parametrizations[name]
        if _Cache.depth == 0:
            return compute()  # type: ignore[no-any-return]
        key = (id(module), name)
        if key not in _Cache.values:
            _Cache.values[key] = compute()
        return _Cache.values[key]

    def set(module: Any, value: Tensor) -> None:
        module.parametrizations[name].right_inverse(value)

    return property(get, set)


def _deepcopy(module: Any, memo: dict[int, Any]) -> Any:
    known = memo.get(id(module))
    if known is not None:
        return known
    base: Any = type_before_parametrizations(module)
    replica = base.__new__(base)
    memo[id(module)] = replica
    replica.__setstate__(copy.deepcopy(module.__dict__, memo))
    _give_class(replica, base)
    return replica


def _getstate(module: Any) -> Any:
    raise RuntimeError(
        "a parametrized module cannot be pickled, as its class is made at run time; save its "
        "state_dict(), or call remove_parametrizations() first"
    )


def _give_class(module: Module, base: type) -> None:
    """A class of its own, whose properties are the parametrized tensors."""
    members = {"__getstate__": _getstate, "__deepcopy__": _deepcopy, "__module__": base.__module__}
    members.update({name: _property(name) for name in module.parametrizations})
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), members)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let ``module.tensor_name`` be computed by ``parametrization`` each time it is used.

    ``parametrization`` maps a tensor to one of the same shape and dtype (``unsafe=True`` skips that
    check). Its method ``right_inverse``, if there is one, maps a tensor to what the computation
    starts from (one tensor, or several), now and when the parametrized tensor is assigned to. A
    second parametrization of the same tensor applies after the first.

    Errors: ``ValueError`` for a name that the module does not have, or a result that does not fit;
    the module is then unchanged.

    >>> import tapegrad as tg
    >>> class Symmetric(tg.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).mT
    >>> layer = tg.nn.Linear(3, 3)
    >>> layer = tg.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    >>> list(layer.state_dict())
    ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_next(module, tensor_name, parametrization)
        parametrizations: Any = module.parametrizations[tensor_name]
        parametrizations.append(parametrization)
        parametrizations.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        made = ParametrizationList([parametrization], original, unsafe)
        delattr(module, tensor_name)
        base = type_before_parametrizations(module)
        if not is_parametrized(module):
            module.parametrizations = ModuleDict()
        module.parametrizations[tensor_name] = made
        _give_class(module, base)
    else:
        raise ValueError(
            f"register_parametrization: {type(module).__name__} has no parameter or buffer named "
            f"'{tensor_name}'"
        )
    return module


def _check_next(module: Module, name: str, parametrization: Module) -> None:
    with no_grad():
        own = getattr(module, name)
        value = parametrization(own)
        _expect_like("the result of the parametrization", own, value)
        if not hasattr(parametrization, "right_inverse"):
            return
        try:
            back = parametrization.right_inverse(value)
        except NotImplementedError:
            return
        _expect_like("the result of right_inverse", own, back)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has parametrized tensors, or this one.

    >>> import tapegrad as tg
    >>> tg.nn.utils.parametrize.is_parametrized(tg.nn.Linear(2, 2))
    False
    """
    parametrizations = getattr(module, "parametrizations", None)
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make ``module.tensor_name`` an ordinary parameter or buffer again.

    It gets the value that it has now, or with ``leave_parametrized=False`` that of ``original``
    (which must be one tensor: else a ``ValueError``). It stays the same parameter where it was one
    tensor all along, so that an optimizer keeps it.

    >>> import tapegrad as tg
    >>> layer = tg.nn.utils.parametrizations.weight_norm(tg.nn.Linear(2, 3))
    >>> tg.nn.utils.parametrize.remove_parametrizations(layer, "weight")
    Linear(in_features=2, out_features=3, bias=True)
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(
            f"remove_parametrizations: '{tensor_name}' of {type(module).__name__} is not "
            "parametrized"
        )
    parametrizations: Any = module.parametrizations[tensor_name]
    if not parametrizations.is_tensor and not leave_parametrized:
        raise ValueError(
            "remove_parametrizations: leave_parametrized=False needs a tensor that is computed "
            f"from one original; '{tensor_name}' is computed from {parametrizations.ntensors}"
        )
    with no_grad():
        value = getattr(module, tensor_name)
    needs_grad = any(t.requires_grad for t in parametrizations._originals())
    if parametrizations.is_tensor:
        original = parametrizations.original
        if leave_parametrized:
            _assign(original, value)
    else:
        original = Parameter(value.detach().clone()) if needs_grad else value
    base = type_before_parametrizations(module)
    del module.parametrizations[tensor_name]
    if len(module.parametrizations) > 0:
        _give_class(module, base)
    else:
        module.__class__ = base
        del module.parametrizations
    _add(module, tensor_name, original)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before it was parametrized.

    >>> import tapegrad as tg
    >>> layer = tg.nn.utils.parametrizations.weight_norm(tg.nn.Linear(2, 3))
    >>> tg.nn.utils.parametrize.type_before_parametrizations(layer).__name__
    'Linear'
    """
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Let ``to_module`` have the parametrizations and originals of ``from_module``, shared.

    ``tensor_name`` names one of them; all by default. Parameters that ``to_module`` lacks are made.
    """
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        source: Any = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        for parametrization in source:
            register_parametrization(to_module, name, parametrization, unsafe=source.unsafe)
        target: Any = to_module.parametrizations[name]
        for key in ["original"] if source.is_tensor else _numbered(source.ntensors):
            setattr(target, key, getattr(source, key))
    return to_module


def _numbered(count: int) -> list[str]:
    return [f"original{i}" for i in range(count)]
