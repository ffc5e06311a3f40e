"""Tensors that a module recognises as its own: parameters and buffers."""

from __future__ import annotations

from tapegrad._C import Tensor, empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Self

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


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


class UninitializedTensorMixin:
    """What parameters and buffers share while their shape is unknown: there is no data yet."""

    cls_to_become: type[Tensor]

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary parameter (or tensor) of this shape, with values not yet set.

        ``device`` and ``dtype`` are those given at construction unless said otherwise.
        """
        tensor: Any = self
        values = empty(shape, device=device, dtype=tensor.dtype if dtype is None else dtype)
        needs_grad = tensor.requires_grad
        self.__class__ = self.cls_to_become  # type: ignore[assignment]
        tensor.requires_grad_(False)
        tensor.data = values
        tensor.requires_grad_(needs_grad)

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            f"a {type(self).__name__} has no shape yet; call the module once to initialize its "
            "parameters (an uninitialized state cannot be loaded into an initialized module)"
        )

    def detach(self) -> Self:
        """The parameter itself: there is no data to cut off."""
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"<{type(self).__name__}>"


def is_lazy(param: object) -> bool:
    """Whether ``param`` is a parameter or buffer without a shape yet."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter whose shape is not known yet; see :class:`tapegrad.nn.LazyLinear`.

    >>> import tapegrad as tg
    >>> weight = tg.nn.UninitializedParameter()
    >>> weight
    <UninitializedParameter>
    >>> weight.materialize((2, 3))
    >>> type(weight).__name__, weight.shape
    ('Parameter', tapegrad.Size([2, 3]))
    """

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Self:
        return Tensor._make_subclass(cls, empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if id(self) in memo:
            known: Self = memo[id(self)]
            return known
        result = type(self)(self.requires_grad, None, self.dtype)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.requires_grad, None, self.dtype)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is not known yet.

    >>> import tapegrad as tg
    >>> mean = tg.nn.UninitializedBuffer()
    >>> mean.materialize((2,))
    >>> mean.shape
    tapegrad.Size([2])
    """

    persistent: bool

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> Self:
        data = empty(0, device=device, dtype=dtype)
        result = Tensor._make_subclass(cls, data, requires_grad)
        result.persistent = persistent
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if id(self) in memo:
            known: Self = memo[id(self)]
            return known
        result = type(self)(self.requires_grad, None, self.dtype, self.persistent)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.requires_grad, None, self.dtype, self.persistent)


class _MaterializedBuffer(Tensor):
    """What an :class:`UninitializedBuffer` becomes."""


UninitializedBuffer.cls_to_become = _MaterializedBuffer
