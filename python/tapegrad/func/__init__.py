"""Transforms of functions: derivatives, Jacobians, batching; they nest in any order.

>>> import tapegrad as tg
>>> from tapegrad.func import grad, vmap
>>> f = lambda x: (x**3).sum()
>>> grad(f)(tg.tensor([1.0, 2.0]))
tensor([ 3., 12.])
>>> vmap(grad(f))(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
tensor([[ 3., 12.],
        [27., 48.]])
"""

from __future__ import annotations

from tapegrad.func._derivatives import grad as grad
from tapegrad.func._derivatives import grad_and_value as grad_and_value
from tapegrad.func._derivatives import hvp as hvp
from tapegrad.func._derivatives import jvp as jvp
from tapegrad.func._derivatives import linearize as linearize
from tapegrad.func._derivatives import value_and_grad as value_and_grad
from tapegrad.func._derivatives import vhp as vhp
from tapegrad.func._derivatives import vjp as vjp
from tapegrad.func._functional_call import functional_call as functional_call
from tapegrad.func._functional_call import stack_module_state as stack_module_state
from tapegrad.func._jacobians import hessian as hessian
from tapegrad.func._jacobians import jacfwd as jacfwd
from tapegrad.func._jacobians import jacobian as jacobian
from tapegrad.func._jacobians import jacrev as jacrev
from tapegrad.func._taylor import laplacian as laplacian
from tapegrad.func._taylor import taylor as taylor
from tapegrad.func._vmap import vmap as vmap

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "laplacian",
    "linearize",
    "stack_module_state",
    "taylor",
    "value_and_grad",
    "vhp",
    "vjp",
    "vmap",
]
