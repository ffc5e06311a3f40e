"""Nodes and edges of the recorded graph as Python sees them, and hooks over several tensors."""

from __future__ import annotations

from _thread import allocate_lock
from collections import namedtuple

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NamedTuple

    from tapegrad._C import Tensor

Node = _C._Node

if TYPE_CHECKING:

    class _Edge(NamedTuple):
        node: Node
        output_nr: int

else:  # typing would take longer to load than all of this package
    _Edge = namedtuple("_Edge", ("node", "output_nr"))


class GradientEdge(_Edge):
    """A place in the graph that a gradient flows to: output ``output_nr`` of ``node``.

    ``backward`` and ``grad`` take it wherever they take a tensor; it keeps no values alive.
    """

    __slots__ = ()


def get_gradient_edge(tensor: Tensor | GradientEdge) -> GradientEdge:
    """Where the gradient of ``tensor`` flows to. RuntimeError when it needs none.

    >>> import tapegrad as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> edge = tg.autograd.graph.get_gradient_edge(y)
    >>> edge.node.name(), edge.output_nr
    ('MulBackward', 0)
    >>> del y
    >>> tg.autograd.grad(edge, x)
    (tensor(6.),)
    """
    if isinstance(tensor, GradientEdge):
        return tensor
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients"
        )
    return GradientEdge(*_C._gradient_edge(tensor))


class _Handle:
    """Removes several hooks at once."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., Any], *, mode: str = "all"
) -> _Handle:
    """Call ``fn`` when the gradients of ``tensors`` have been computed in a backward pass.

    With ``mode="all"`` it is ``fn(grads)``, once all that the pass computes are there (``None`` for
    those it does not); with ``"any"`` it is ``fn(grad)`` with the first. What it returns is
    ignored. The handle's ``remove()`` takes the hook out.

    >>> import tapegrad as tg
    >>> a, b = (tg.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    >>> handle = tg.autograd.graph.register_multi_grad_hook((a, b), print)
    >>> (a * b).backward()
    [tensor(3.), tensor(2.)]
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock = allocate_lock()
    count = len(tensors)
    nodes = [get_gradient_edge(x).node for x in tensors]
    passes: dict[int, tuple[list[Tensor | None], list[bool]]] = {}
    seen: set[int] = set()

    def arrived(index: int, grad: Tensor) -> None:
        number = _C._current_pass()
        if mode == "any":
            with lock:
                if number in seen:
                    return
                seen.clear()
                seen.add(number)
            fn(grad)
            return
        with lock:
            if number not in passes:
                # What an abandoned pass has left can be recognised by its number.
                waiting = [bool(_C._runs_in_current_pass(node)) for node in nodes]
                passes[number] = ([None] * count, waiting)
            grads, waiting = passes[number]
            grads[index] = grad
            waiting[index] = False
            if any(waiting):
                return
            del passes[number]
        fn(grads)

    def hook_for(index: int) -> Callable[[Tensor], None]:
        return lambda grad: arrived(index, grad)

    return _Handle([x.register_hook(hook_for(i)) for i, x in enumerate(tensors)])
