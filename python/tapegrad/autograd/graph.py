"""The recorded graph: hooks for what it keeps, and a look at it as text."""

from __future__ import annotations

from contextlib import contextmanager

from tapegrad import _C
from tapegrad.autograd._edges import GradientEdge as GradientEdge
from tapegrad.autograd._edges import Node as Node
from tapegrad.autograd._edges import get_gradient_edge as get_gradient_edge
from tapegrad.autograd._edges import register_multi_grad_hook as register_multi_grad_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from tapegrad._C import Tensor

    Row = tuple[
        int,
        str,
        list[int],
        list[tuple[str, tuple[int, ...]]],
        list[tuple[int, int, int]],
        int,
        str,
    ]

__all__ = [
    "GradientEdge",
    "Node",
    "Tape",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
    "tape",
]


class saved_tensors_hooks:
    """Decide how operations inside the block keep tensors for the backward pass.

    Parameters
    ----------
    pack_hook : callable
        called with each tensor that an operation saves; what it returns is kept in the tensor's
        place. It gets an input as it is and an output detached, runs without recording, and must
        not change the tensor.
    unpack_hook : callable
        called with that when a backward pass needs the tensor; returns one of the same shape and
        dtype. With ``retain_graph=True`` each pass calls it again.

    Hooks nest: the innermost ones count. They belong to the thread and to the graph recorded in
    the block, wherever ``backward`` runs. Where the pack hook returns a tensor on the same memory,
    changes in place are noticed as without hooks; inside other objects they cannot be.

    An exception in a hook arrives where the operation, or ``backward``, was called.
    ``RuntimeError`` when the pack hook changes its tensor or hooks are disabled, ``TypeError``
    when the unpack hook returns no tensor.

    >>> import tapegrad as tg
    >>> kept = []
    >>> def pack(x):
    ...     kept.append(x.detach().half())
    ...     return len(kept) - 1
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.autograd.graph.saved_tensors_hooks(pack, lambda i: kept[i].float()):
    ...     y = (x**2).sum()
    >>> y.backward()
    >>> x.grad, len(kept)
    (tensor([2., 4.]), 1)
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        for name, hook in (("pack_hook", pack_hook), ("unpack_hook", unpack_hook)):
            if not callable(hook):
                raise TypeError(
                    f"saved_tensors_hooks: {name} must be callable, got {type(hook).__name__}"
                )
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        _C._push_saved_tensor_hook(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exc_info: object) -> None:
        _C._pop_saved_tensor_hook()


class save_on_cpu(saved_tensors_hooks):
    """Keep what operations inside the block save in the CPU's memory.

    All tensors live there already, so they are kept as they are; the class exists so that programs
    written for other devices run. ``pin_memory`` and ``device_type`` have no effect. The pattern
    to copy is :class:`saved_tensors_hooks` with a pack hook that moves the tensor elsewhere:
    ``tapegrad.examples.offload`` keeps them on disk.

    >>> import tapegrad as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> with tg.autograd.graph.save_on_cpu():
    ...     y = x * x
    >>> y.backward()
    >>> x.grad
    tensor(6.)
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda tensor: tensor.detach().cpu(), lambda packed: packed)


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Make :class:`saved_tensors_hooks` an error inside the block.

    For code whose results hooks would spoil. Entering hooks in the block, or the block while hooks
    are active, raises ``RuntimeError`` with ``error_message``.

    >>> import tapegrad as tg
    >>> with tg.autograd.graph.disable_saved_tensors_hooks("no hooks here"):
    ...     try:
    ...         with tg.autograd.graph.save_on_cpu():
    ...             pass
    ...     except RuntimeError as error:
    ...         print(error)
    no hooks here
    """
    previous = _C._disable_saved_tensor_hooks(error_message or "saved tensors hooks are disabled")
    try:
        yield
    finally:
        _C._disable_saved_tensor_hooks(previous)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Tell the tape that ``tensor`` (or each of several) was written in a way it could not see.

    Writes through a NumPy array or another library's tensor that shares the memory go unnoticed;
    after this, a graph that saved the tensor raises instead of computing with the new values.

    >>> import tapegrad as tg
    >>> x = tg.ones(2)
    >>> x.numpy()[0] = 5
    >>> tg.autograd.graph.increment_version(x)
    >>> x._version
    1
    """
    for each in (tensor,) if isinstance(tensor, _C.Tensor) else tensor:
        _C._increment_version(each)


class Tape(str):
    """Text that a console shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def tape(tensors: Tensor | Sequence[Tensor]) -> Tape:
    """The operations that led to ``tensors``, as a table: what ``backward`` reads bottom up.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        results; those that are not on the tape add nothing

    Each line has the number of an operation in the order of recording, its name, the numbers of
    the operations its inputs came from (``-`` for constants), dtype and shape of its output, and
    the bytes it keeps for its derivative (``packed`` where a hook took them, ``freed`` after a
    backward pass). ``leaf`` lines are the tensors whose gradients are computed. The last line
    counts each kept memory once. In anomaly mode the lines of the program are shown too.

    >>> import tapegrad as tg
    >>> w = tg.ones(3, 2, requires_grad=True)
    >>> x = tg.ones(4, 3)
    >>> tg.autograd.graph.tape((x @ w).tanh().sum())
    no  operation  inputs  output          saved
     1  leaf               float32 (3, 2)
     2  matmul     -, 1    float32 (4, 2)   48 B
     3  tanh       2       float32 (4, 2)   32 B
     4  sum        3       float32 ()
    4 entries, 80 B saved, none of it in leaves
    """
    roots = (tensors,) if isinstance(tensors, _C.Tensor) else tensors
    if not isinstance(roots, (list, tuple)):
        raise TypeError(
            f"tape: expected a tensor or a sequence of tensors, got {type(tensors).__name__}"
        )
    rows = _C._tape(roots)
    if not rows:
        return Tape("nothing is on the tape: no tensor here requires a gradient")
    placed = any(place for *_, place in rows)
    table = [["no", "operation", "inputs", "output", "saved"] + ["line"] * placed]
    table.extend(_cells(row)[: 5 + placed] for row in rows)
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    right = (0, 4)
    lines = [
        "  ".join(
            cell.rjust(width) if i in right and (i or n) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for n, line in enumerate(table)
    ]
    lines.append(_total(rows))
    return Tape("\n".join(lines))


def _cells(row: Row) -> list[str]:
    number, name, inputs, outputs, saved, _leaf, place = row
    is_leaf = name == "AccumulateGrad"
    operation = "leaf" if is_leaf else _plain(name)
    sources = ", ".join("-" if not source else str(source) for source in inputs)
    shapes = ", ".join(f"{dtype} {_shape(sizes)}" for dtype, sizes in outputs)
    return [str(number), operation, sources, shapes, _kept(saved), place]


def _kept(saved: list[tuple[int, int, int]]) -> str:
    if not saved:
        return ""
    storages = {storage for storage, _, _ in saved}
    if storages == {-1}:
        return "freed"
    return "packed" if storages == {0} else _bytes(sum(size for _, size, _ in saved))


def _plain(name: str) -> str:
    """``MulBackward`` as the operation it differentiates: ``mul``."""
    short = name.removesuffix("Backward")
    return "".join(
        ("_" if i and c.isupper() and short[i - 1].islower() else "") + c.lower()
        for i, c in enumerate(short)
    )


def _shape(sizes: tuple[int, ...]) -> str:
    return str(tuple(sizes))


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= 10 * size:
            return f"{count / size:.0f} {unit}"
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _total(rows: Sequence[Row]) -> str:
    leaves = {leaf for *_, leaf, _ in rows}
    kept = {storage: size for row in rows for storage, _, size in row[4] if storage > 0}
    total = sum(kept.values())
    in_leaves = sum(size for storage, size in kept.items() if storage in leaves)
    share = f"{_bytes(in_leaves)} of it" if in_leaves else "none of it"
    return f"{len(rows)} entries, {_bytes(total)} saved, {share} in leaves"
