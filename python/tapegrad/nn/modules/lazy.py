"""Modules that learn the shape of their parameters from their first input."""

from __future__ import annotations

from itertools import chain

from tapegrad.nn.parameter import is_lazy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin:
    """Makes a module lazy: its first call initializes it, then it is an ordinary module.

    A lazy module derives from this class and the ordinary one (``cls_to_become``, the class that it
    takes on), starts with :class:`~tapegrad.nn.UninitializedParameter` and
    :class:`~tapegrad.nn.UninitializedBuffer`, and defines ``initialize_parameters``, which gets the
    arguments of the first call and materializes them. Give the parameters to an optimizer after
    that call.

    >>> import tapegrad as tg
    >>> net = tg.nn.Sequential(tg.nn.LazyLinear(4), tg.nn.ReLU(), tg.nn.LazyLinear(2))
    >>> net(tg.ones(3, 5)).shape
    tapegrad.Size([3, 2])
    >>> net[0]
    Linear(in_features=5, out_features=4, bias=True)
    """

    cls_to_become: type[Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module: Any = self
        if not module.__dict__.get("_lazy_done"):
            self._infer_parameters(module, args, kwargs)
        if type(self).__call__ is not LazyModuleMixin.__call__:
            return module(*args, **kwargs)
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize the parameters for these inputs; every lazy class defines its own."""
        raise NotImplementedError(
            f"{type(self).__name__}: a lazy module needs a method initialize_parameters"
        )

    def has_uninitialized_params(self) -> bool:
        """Whether any parameter or buffer has no shape yet."""
        module: Any = self
        return any(map(is_lazy, chain(module._parameters.values(), module._buffers.values())))

    def _infer_parameters(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(
                f"{type(self).__name__}: initialize_parameters left parameters without a shape"
            )
        if self.cls_to_become is not None:
            module.__class__ = self.cls_to_become
        else:
            module.__dict__["_lazy_done"] = True
