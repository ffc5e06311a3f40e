"""The fused updates of the extension module, and the contract that both sides keep.

``update_(rule, name, params, grads, states, scalars, options, factor=1, weight_decay=0, shrink=1,
first=None, check_only=False) -> None`` updates all parameters of one group by one rule, in place,
without recording anything and with the GIL released while it computes. It may not fail halfway: it
checks every operand first and raises (naming the optimizer ``name``, the parameter's position,
shapes and dtypes) before it changes anything. Every write bumps the version counter of the tensor
written.

``grads`` is a list like ``params`` with ``None`` for parameters to skip, or ``None`` as a whole:
then the ``.grad`` of every parameter is read, and those that have none are skipped. ``states`` has
one list an entry of the rule's states, ``scalars`` one an entry of its one-element states; each
list has one tensor for each parameter, skipped ones included. States have the shape and dtype of
their parameter (any dense strides), scalars are float32 or float64. ``options`` are the
hyperparameters in the rule's order. With p the parameter, the gradient that the rule sees is::

    p *= shrink
    g = factor * grad + weight_decay * p

``first`` marks parameters that were never updated (read by ``sgd_momentum``); ``check_only`` raises
what the call would raise and changes nothing. ``rules()`` is a dict
from the rule's name to the names of its states, scalars and options.
"""

from __future__ import annotations

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Rule(NamedTuple):
        """The names of what a rule keeps and takes."""

        name: str
        states: tuple[str, ...]
        scalars: tuple[str, ...]
        options: tuple[str, ...]
else:
    from collections import namedtuple

    Rule = namedtuple("Rule", ["name", "states", "scalars", "options"])

__all__ = ["RULES", "Rule", "update_"]

update_ = _C._optim.update_
RULES = {name: Rule(name, *rest) for name, rest in _C._optim.rules().items()}
