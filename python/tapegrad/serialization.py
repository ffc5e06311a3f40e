"""``save`` and ``load``: state dicts in safetensors files, without pickle.

Note [Structure in the metadata]
A dict of tensors becomes a plain safetensors file that any reader of the format opens. Anything
nested, such as the state of an optimizer, is flattened: the tensors get dotted names, and
the metadata entry ``tapegrad.structure`` holds a JSON tree in which every container is tagged, so
that dict keys of any scalar type, tuples and tensors come back as they were.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

    from tapegrad._C import Tensor

__all__ = ["load", "save"]

_STRUCTURE = "tapegrad.structure"
_MAX_DEPTH = 200


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write tensors to a safetensors file: a state dict, or nested dicts, lists and tuples.

    ``f`` is a path, or a file open for writing bytes. Leaves may be tensors, ``None``, bool, int,
    float and str (and NumPy's numbers, which become Python's); dict keys may be any of those but
    tensors. A file at a path appears under its name only once it is complete. Tensors that share
    memory are written one by one.

    Errors: ``TypeError`` that names the entry which cannot be stored; ``OSError`` with the path.

    >>> import tapegrad as tg, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> tg.save(tg.nn.Linear(2, 1).state_dict(), path)
    >>> sorted(tg.load(path))
    ['bias', 'weight']
    """
    if hasattr(f, "write"):
        with _scratch_file() as scratch:
            save(obj, scratch)
            _copy(scratch, f)
        return
    path = _path("save", f)
    if _is_flat(obj):
        tensors = {name: tensor.detach() for name, tensor in obj.items()}
        _C._io.save_safetensors(tensors, path, None)
        return
    import json

    tensors = {}
    tree = _encode(obj, (), tensors, 0)
    _C._io.save_safetensors(tensors, path, {_STRUCTURE: json.dumps(tree)})


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool = True,
    mmap: bool | None = None,
) -> Any:
    """Read what :func:`save`, or any other writer of safetensors, wrote; nothing is executed.

    Also reads the zip files of ``torch.save`` that hold tensors, numbers, strings and dicts, lists
    and tuples of them (``.pt``, ``.pth``), by an interpreter that knows no other objects. Tensors
    that share memory there share it here, and tensors on any device come to the CPU.

    Parameters
    ----------
    f
        the path, or a file open for reading bytes
    map_location
        ``None`` or the CPU; as a dict or a function it has no effect, as there is one device
    pickle_module, weights_only
        accepted: only data is ever read
    mmap
        of a file of ``torch.save``: leave the data in the file until it is touched (writing to
        the tensors does not change the file, nor are its checksums verified)

    Errors: ``OSError`` when the file cannot be read, ``RuntimeError`` naming file and cause, and
    the tensor or the refused object, when its contents are not right.
    """
    if hasattr(f, "read"):
        with _scratch_file() as scratch:
            _copy(f, scratch)
            return load(scratch, map_location)
    path = _path("load", f)
    _check_location(map_location)
    kind = _kind_of(path)
    if kind == "zip":
        return _load_zip(path, bool(mmap))
    if kind == "pickle":
        raise RuntimeError(
            f"load: {path}: this is a pickle or a PyTorch file from before version 1.6, which can "
            "run code when it is read; load it where it was made, and save the state_dict() "
            "again with torch.save, or with safetensors.torch.save_file"
        )
    tensors, metadata = _C._io.load_safetensors(path)
    text = metadata.get(_STRUCTURE) if metadata else None
    if text is None:
        return tensors
    import json

    try:
        return _decode(json.loads(text), tensors, 0)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise RuntimeError(
            f"load: {path}: the metadata entry '{_STRUCTURE}' is malformed: {error}"
        ) from None


def _check_location(map_location: Any) -> None:
    if map_location is None or callable(map_location) or isinstance(map_location, dict):
        return
    if _C.device(map_location).type != "cpu":
        raise ValueError(f"load: map_location must be 'cpu', got {map_location!r}")


@contextmanager
def _scratch_file() -> Iterator[str]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "tensors")  # noqa: PTH118 (pathlib is slow to import)


def _copy(source: Any, target: Any) -> None:
    """Copy all bytes; one of the two is a path."""
    import shutil

    if isinstance(source, str):
        with open(source, "rb") as stream:  # noqa: PTH123
            shutil.copyfileobj(stream, target)
    else:
        with open(target, "wb") as stream:  # noqa: PTH123
            shutil.copyfileobj(source, stream)


def _load_zip(path: str, mapped: bool) -> Any:
    from tapegrad._torch_zip import MalformedError, load_torch_zip

    try:
        return load_torch_zip(path, mapped)
    except (MalformedError, _C.Error) as error:
        raise RuntimeError(f"load: {path}: {error}") from None


def _path(function: str, f: Any) -> str:
    try:
        path = os.fspath(f)
    except TypeError:
        raise TypeError(
            f"{function}: expected a path or an open file, got {type(f).__name__}"
        ) from None
    return os.fsdecode(path)


def _kind_of(path: str) -> str:
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - a pipe would be waited for
        raise OSError(f"load: {path}: not a regular file")
    with open(path, "rb") as file:  # noqa: PTH123 (pathlib is slow to import)
        start = file.read(8)
    if start[:4] == b"PK\x03\x04":
        return "zip"
    # The first 8 bytes of safetensors are a length; as such these would mean 67 MB and more.
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05" and any(start[4:]):
        return "pickle"
    return "safetensors"


def _is_flat(obj: Any) -> bool:
    return isinstance(obj, dict) and all(
        isinstance(name, str) and isinstance(value, _C.Tensor) for name, value in obj.items()
    )


def _where(path: tuple[Any, ...]) -> str:
    return "".join(f"[{part!r}]" for part in path) or "the object itself"


def _encode(obj: Any, path: tuple[Any, ...], tensors: dict[str, Tensor], depth: int) -> Any:
    """The JSON tree of ``obj``; its tensors go to ``tensors`` under dotted names."""
    if depth > _MAX_DEPTH:
        raise TypeError(
            f"save: {_where(path[:3])} is nested more than {_MAX_DEPTH} levels deep; "
            "does it contain itself?"
        )
    if isinstance(obj, _C.Tensor):
        base = name = ".".join(str(part) for part in path) or "tensor"
        count = 1
        while name in tensors:  # {"a.b": x, "a": {"b": y}} has two tensors of one name
            count += 1
            name = f"{base}#{count}"
        tensors[name] = obj.detach()
        return {"tensor": name}
    if isinstance(obj, dict):
        return {
            "dict": [
                [_scalar(key, path, "key"), _encode(value, (*path, key), tensors, depth + 1)]
                for key, value in obj.items()
            ]
        }
    if isinstance(obj, (list, tuple)):
        tag = "list" if isinstance(obj, list) else "tuple"
        items = [_encode(v, (*path, i), tensors, depth + 1) for i, v in enumerate(obj)]
        return {tag: items}
    return _scalar(obj, path, "value")


def _scalar(value: Any, path: tuple[Any, ...], role: str) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.number, numpy.bool_)):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"save: {role} of type {type(value).__name__} at {_where(path)} cannot be stored; allowed "
        "are tensors, None, bool, int, float, str, and dicts, lists and tuples of them"
    )


def _decode(tree: Any, tensors: dict[str, Tensor], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"more than {_MAX_DEPTH} levels")
    if not isinstance(tree, dict):
        if isinstance(tree, list):
            raise ValueError("a list without a tag")
        return tree
    if len(tree) != 1:
        raise ValueError(f"a container needs one tag, found {sorted(tree)[:4]}")
    ((tag, items),) = tree.items()
    if tag == "tensor":
        if items not in tensors:
            raise ValueError(f"tensor {items!r} is not in the file")
        return tensors[items]
    if not isinstance(items, list):
        raise ValueError(f"the contents of a {tag} are no list")
    if tag == "dict":
        return {key: _decode(value, tensors, depth + 1) for key, value in items}
    values = [_decode(item, tensors, depth + 1) for item in items]
    if tag == "list":
        return values
    if tag == "tuple":
        return tuple(values)
    raise ValueError(f"unknown tag {tag!r}")
