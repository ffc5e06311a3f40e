"""The older form of weight normalization, by a hook before each call."""

from __future__ import annotations

from tapegrad.nn.parameter import Parameter, is_lazy
from tapegrad.nn.utils.parametrizations import norm_except_dim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from tapegrad._C import Tensor
    from tapegrad.nn.modules.module import Module

    M = TypeVar("M", bound=Module)

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]


class WeightNorm:
    """The hook: sets the weight to its direction times its length."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """The weight that the parameters stand for."""
        v: Tensor = getattr(module, self.name + "_v")
        g: Tensor = getattr(module, self.name + "_g")
        return v * (g / norm_except_dim(v, self.dim))

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module).detach()
        for name in (self.name, self.name + "_g", self.name + "_v"):
            delattr(module, name)
        setattr(module, self.name, Parameter(weight))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Split a weight into its length ``weight_g`` and direction ``weight_v``, in a hook.

    The older form of :func:`tapegrad.nn.utils.parametrizations.weight_norm`, with its names in the
    state dict. A second one on the same parameter is a ``RuntimeError``.

    >>> import warnings
    >>> import tapegrad as tg
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     layer = tg.nn.utils.weight_norm(tg.nn.Linear(20, 40), "weight")
    >>> list(layer.state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    import warnings

    warnings.warn(
        "nn.utils.weight_norm is the older form; use nn.utils.parametrizations.weight_norm",
        FutureWarning,
        stacklevel=2,
    )
    for hook, *_ in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == name:
            raise RuntimeError(f"weight_norm: '{name}' has one already; remove_weight_norm() first")
    weight = getattr(module, name)
    if is_lazy(weight):
        raise ValueError(f"weight_norm: '{name}' has no shape yet; call the module once before")
    hook = WeightNorm(name, dim)
    delattr(module, name)
    length = norm_except_dim(weight.detach(), hook.dim)
    module.register_parameter(name + "_g", Parameter(length))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undo :func:`weight_norm`; the weight keeps its value.

    >>> import warnings
    >>> import tapegrad as tg
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     layer = tg.nn.utils.weight_norm(tg.nn.Linear(2, 4))
    >>> tg.nn.utils.remove_weight_norm(layer)
    Linear(in_features=2, out_features=4, bias=True)
    """
    for key, (hook, *_) in list(module._forward_pre_hooks.items()):
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"remove_weight_norm: '{name}' of {type(module).__name__} has no weight_norm")
