"""Nested containers of leaves: tuples, named tuples, lists and dicts, taken apart and rebuilt.

>>> from tapegrad.utils._pytree import tree_flatten, tree_map, tree_unflatten
>>> leaves, spec = tree_flatten({"a": 1, "b": (2, [3])})
>>> leaves
[1, 2, 3]
>>> tree_unflatten([10, 20, 30], spec)
{'a': 10, 'b': (20, [30])}
>>> tree_map(lambda v: v + 1, [1, (2,)])
[2, (3,)]
"""

from __future__ import annotations

from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, TypeAlias

    PyTree: TypeAlias = Any

__all__ = [
    "TreeSpec",
    "broadcast_prefix",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_unflatten",
]


class TreeSpec:
    """The shape of a nested container: its type, its keys, and the shapes of its children."""

    __slots__ = ("children", "keys", "kind", "num_leaves")

    def __init__(self, kind: Any, keys: Any, children: tuple[TreeSpec, ...]) -> None:
        self.kind = kind  # None for a leaf
        self.keys = keys
        self.children = children
        self.num_leaves: int = 1 if kind is None else sum(c.num_leaves for c in children)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TreeSpec)
            and self.kind is other.kind
            and self.keys == other.keys
            and self.children == other.children
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        inside = ", ".join(map(repr, self.children))
        return f"{self.kind.__name__}({inside})"


_LEAF = TreeSpec(None, None, ())
# Nearly every call has a few plain arguments: their shapes are made once.
_FLAT = tuple(TreeSpec(tuple, None, (_LEAF,) * count) for count in range(9))


def _is_flat(tree: PyTree) -> bool:
    """Whether ``tree`` is a short tuple of leaves."""
    if type(tree) is not tuple or len(tree) >= len(_FLAT):
        return False
    for child in tree:  # noqa: SIM110 - a generator costs more than what this saves
        if isinstance(child, (tuple, list, dict)):
            return False
    return True


def _children(tree: PyTree) -> tuple[Any, Sequence[Any]] | None:
    """Keys and children of a container, or None for a leaf."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return None, tree
    if kind is dict or kind is OrderedDict:
        return list(tree), list(tree.values())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return None, tree
    return None


def tree_flatten(tree: PyTree) -> tuple[list[Any], TreeSpec]:
    """Return the leaves of ``tree``, in order, and its shape."""
    if not isinstance(tree, (tuple, list, dict)):
        return [tree], _LEAF
    if _is_flat(tree):
        return list(tree), _FLAT[len(tree)]
    leaves: list[Any] = []
    return leaves, _walk(tree, leaves)


# Neither this nor _build is a closure: one that calls itself is a reference cycle, and would keep
# the leaves alive until the garbage collector comes by.
def _walk(node: PyTree, leaves: list[Any]) -> TreeSpec:
    found = _children(node)
    if found is None:
        leaves.append(node)
        return _LEAF
    keys, children = found
    return TreeSpec(type(node), keys, tuple([_walk(child, leaves) for child in children]))


def tree_unflatten(leaves: Iterable[Any], spec: TreeSpec) -> PyTree:
    """Build the container of shape ``spec`` from its leaves."""
    values = list(leaves)
    if len(values) != spec.num_leaves:
        raise ValueError(
            f"tree_unflatten: got {len(values)} leaves for a container of {spec.num_leaves}"
        )
    if spec is _LEAF:
        return values[0]
    if spec.kind is tuple and spec is _FLAT[min(len(values), len(_FLAT) - 1)]:
        return tuple(values)
    return _build(spec, iter(values))


def _build(node: TreeSpec, remaining: Iterator[Any]) -> PyTree:
    if node.kind is None:
        return next(remaining)
    children = [_build(child, remaining) for child in node.children]
    if node.keys is not None:
        return node.kind(zip(node.keys, children, strict=True))
    if node.kind is tuple or node.kind is list:
        return node.kind(children)
    return node.kind(*children)


def tree_leaves(tree: PyTree) -> list[Any]:
    """Return the leaves of ``tree``, in order."""
    return tree_flatten(tree)[0]


def tree_map(function: Callable[..., Any], tree: PyTree, *rest: PyTree) -> PyTree:
    """Apply ``function`` to the leaves of containers of one shape."""
    leaves, spec = tree_flatten(tree)
    columns = [leaves]
    for other in rest:
        other_leaves, other_spec = tree_flatten(other)
        if other_spec != spec:
            raise ValueError(f"tree_map: containers differ in shape: {spec} and {other_spec}")
        columns.append(other_leaves)
    return tree_unflatten(map(function, *columns), spec)


def broadcast_prefix(prefix: PyTree, spec: TreeSpec) -> list[Any] | None:
    """One value for each leaf of ``spec``: a leaf of ``prefix`` stands for all below it.

    Returns None when ``prefix`` is no prefix of ``spec``.
    """
    if prefix is None or isinstance(prefix, int):
        return [prefix] * spec.num_leaves
    found = _children(prefix)
    if found is None:
        return [prefix] * spec.num_leaves
    keys, children = found
    if spec.kind is None or keys != spec.keys or len(children) != len(spec.children):
        return None
    result: list[Any] = []
    for child, child_spec in zip(children, spec.children, strict=True):
        part = broadcast_prefix(child, child_spec)
        if part is None:
            return None
        result += part
    return result
