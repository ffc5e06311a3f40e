"""Tensors that a module recognises as its own: parameters and buffers."""

from __future__ import annotations

from tapegrad._C import Tensor, empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A tensor that is trained: assigned to a module's attribute, it joins ``parameters()``.

    It shares the memory of ``data`` (an empty tensor when left out), is a leaf of the graph, and
    requires a gradient unless ``requires_grad=False``. Results of operations on it are plain
    tensors.

    >>> import tapegrad as tg
    >>> tg.nn.Parameter(tg.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Self:
        if data is None:
            data = empty(0)
        elif not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter: data must be a tensor, got {type(data).__name__}; "
                "convert it with tensor(data)"
            )
        return Tensor._make_subclass(cls, data, requires_grad)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if id(self) in memo:
            known: Self = memo[id(self)]
            return known
        result = type(self)(self.detach().clone(), self.requires_grad)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.detach(), self.requires_grad)


def _rebuild(cls: type[Parameter], data: Tensor, requires_grad: bool) -> Parameter:
    return cls(data, requires_grad)


class Buffer(Tensor):
    """A tensor that belongs to a module's state but is not trained.

    Assigned to a module's attribute it is registered as :meth:`Module.register_buffer` does;
    ``persistent=False`` keeps it out of ``state_dict()``.

    >>> import tapegrad as tg
    >>> module = tg.nn.Module()
    >>> module.total = tg.nn.Buffer(tg.zeros(2))
    >>> list(module.state_dict())
    ['total']
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Self:
        if data is None:
            data = empty(0)
        result = Tensor._make_subclass(cls, data.detach(), False)
        result.persistent = persistent
        return result
