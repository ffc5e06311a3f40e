"""The older form of spectral normalization, by a hook before each call."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.autograd.grad_mode import no_grad
from tapegrad.nn.parameter import Parameter, is_lazy
from tapegrad.nn.utils.parametrizations import (
    as_matrix,
    check_iterations,
    output_dim,
    random_unit,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from tapegrad._C import Tensor
    from tapegrad.nn.modules.module import Module

    M = TypeVar("M", bound=Module)

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]


class SpectralNorm:
    """The hook: sets the weight to the original divided by its largest singular value."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        check_iterations(n_power_iterations)
        self.name = name
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight that the original stands for."""
        weight: Tensor = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(_C._nn.normalize(matrix.t() @ u, dim=0, eps=self.eps))
                    u.copy_(_C._nn.normalize(matrix @ v, dim=0, eps=self.eps))
            u, v = u.clone(), v.clone()  # the next iteration writes into the buffers
        return weight / _C.dot(u, matrix @ v)

    def remove(self, module: Module) -> None:
        """Make the weight a parameter again."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for suffix in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + suffix)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide a weight by its largest singular value, in a hook.

    The older form of :func:`tapegrad.nn.utils.parametrizations.spectral_norm`, with its names in
    the state dict. A second one on the same parameter is a ``RuntimeError``.

    >>> import tapegrad as tg
    >>> layer = tg.nn.utils.spectral_norm(tg.nn.Linear(20, 40))
    >>> list(layer.state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    for hook, *_ in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            raise RuntimeError(
                f"spectral_norm: '{name}' has one already; remove_spectral_norm() first"
            )
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"spectral_norm: parameter '{name}' is None")
    if is_lazy(weight):
        raise ValueError(f"spectral_norm: '{name}' has no shape yet; call the module once before")
    made = SpectralNorm(name, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    matrix = as_matrix(weight.detach(), made.dim)
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.detach())
    module.register_buffer(name + "_u", random_unit(matrix, matrix.shape[0], eps))
    module.register_buffer(name + "_v", random_unit(matrix, matrix.shape[1], eps))
    module.register_forward_pre_hook(made)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Undo :func:`spectral_norm`; the weight keeps its value.

    >>> import tapegrad as tg
    >>> layer = tg.nn.utils.spectral_norm(tg.nn.Linear(2, 4))
    >>> tg.nn.utils.remove_spectral_norm(layer)
    Linear(in_features=2, out_features=4, bias=True)
    """
    for key, (hook, *_) in list(module._forward_pre_hooks.items()):
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(
        f"remove_spectral_norm: '{name}' of {type(module).__name__} has no spectral_norm"
    )
