"""Reading of the files that ``torch.save`` writes: zip archives around a pickle and raw storages.

Note [A pickle that cannot run anything]
A pickle is a program that may call whatever it can name. Here it runs on a machine that knows the
few instructions and names that tensors, numbers, strings and containers take, and makes the objects
by functions of its own; no name is ever looked up in a module. Anything else is an error that
names it. Sizes are checked against the file before memory is taken, so that no file can ask
for more than it brings.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

    from tapegrad._C import Tensor

__all__ = ["load_torch_zip"]

_LARGEST_PROGRAM = 1 << 30
_MOST_DIMS = 64

_STORAGE_DTYPES = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "UntypedStorage": "uint8",
}


class MalformedError(Exception):
    """What is wrong with a file, without its name."""


class _Name:
    """A global that a pickle may mention."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class _Storage:
    """The memory of one or more tensors."""

    __slots__ = ("dtype", "elements", "values")

    def __init__(self, dtype: Any, elements: int, values: Tensor) -> None:
        self.dtype = dtype
        self.elements = elements
        self.values = values  # bytes


_MARK = object()


class _Archive:
    """The entries of the zip file, uncompressed ones only, read at their place."""

    def __init__(self, file: BinaryIO, mapped: bool) -> None:
        import zipfile

        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._memory: Any = None
        self._mapped = mapped
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, zipfile.LargeZipFile, struct.error) as error:
            raise MalformedError(f"the zip archive is damaged or truncated: {error}") from None
        except (ValueError, OverflowError, NotImplementedError, UnicodeDecodeError) as error:
            raise MalformedError(f"the zip archive is damaged: {error}") from None
        self._entries: dict[str, Any] = {}
        self._root: str | None = None
        for entry in entries:
            root, _, name = entry.filename.partition("/")
            if self._root is None:
                self._root = root
            if root != self._root or not name or name in self._entries:
                raise MalformedError(
                    f"the entry {entry.filename[:80]!r} is not one that torch.save writes, or is "
                    "there twice"
                )
            self._entries[name] = entry

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def _place(self, name: str) -> tuple[int, int]:
        entry = self._entries.get(name)
        if entry is None:
            raise MalformedError(f"there is no entry {name[:80]!r} in the archive")
        if entry.compress_type != 0 or entry.flag_bits & 1:
            raise MalformedError(f"the entry {name!r} is compressed, which torch.save never does")
        if not 0 <= entry.header_offset < self._size:
            raise MalformedError(f"the directory gives the entry {name!r} a place outside the file")
        self._file.seek(entry.header_offset)
        header = self._file.read(30)
        if len(header) != 30 or header[:4] != b"PK\x03\x04":
            raise MalformedError(f"the entry {name!r} does not begin where the directory says")
        name_bytes, extra_bytes = struct.unpack_from("<HH", header, 26)
        start = entry.header_offset + 30 + name_bytes + extra_bytes
        size = entry.file_size
        if size != entry.compress_size or start + size > self._size:
            raise MalformedError(f"the entry {name!r} is cut off: it takes {size} bytes")
        return start, size

    def size(self, name: str) -> int:
        """How many bytes an entry has."""
        return self._place(name)[1]

    def read(self, name: str) -> Tensor:
        """The bytes of an entry, its checksum verified unless the file is mapped."""
        start, size = self._place(name)
        if size == 0:
            return _C.empty(0, dtype=_C.uint8)
        if self._mapped:
            if self._memory is None:
                import mmap

                self._memory = memoryview(
                    mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
                )
            return _C.frombuffer(self._memory[start : start + size], dtype=_C.uint8)
        result = _C.empty(size, dtype=_C.uint8)
        content = memoryview(result)
        self._file.seek(start)
        if self._file.readinto(content) != size:  # type: ignore[attr-defined]
            raise MalformedError(f"the file ended while {name!r} was read")
        import zlib

        if zlib.crc32(content) != self._entries[name].CRC:
            raise MalformedError(f"the checksum of {name!r} is wrong: the file is damaged")
        return result


class _Machine:
    """Runs the instructions of one pickle (protocols 2 to 5, as far as torch.save uses them)."""

    def __init__(self, program: bytes, archive: _Archive) -> None:
        self._program = program
        self._at = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._archive = archive
        self._storages: dict[str, _Storage] = {}

    def run(self) -> Any:
        """The object that the pickle describes."""
        actions = _ACTIONS
        while True:
            code = self._bytes(1)[0]
            if code == 0x2E:  # STOP
                break
            action = actions.get(code)
            if action is None:
                raise MalformedError(
                    f"instruction {bytes([code])!r} at byte {self._at - 1} of the pickle is not "
                    "one that tensors, numbers, strings and containers take"
                )
            action(self)
        if len(self._stack) != 1 or self._stack[0] is _MARK:
            raise MalformedError("the pickle does not end with one object")
        _check_result(self._stack[0])
        return self._stack[0]

    # --- reading ---------------------------------------------------------------------------------

    def _bytes(self, count: int) -> bytes:
        end = self._at + count
        if count < 0 or end > len(self._program):
            raise MalformedError("the pickle is cut off")
        piece = self._program[self._at : end]
        self._at = end
        return piece

    def _number(self, count: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._bytes(count), "little", signed=signed)

    def _line(self) -> str:
        end = self._program.find(b"\n", self._at)
        if end < 0:
            raise MalformedError("the pickle is cut off")
        line = self._program[self._at : end]
        self._at = end + 1
        return line.decode("utf-8")

    def _text(self, count: int) -> str:
        return self._bytes(count).decode("utf-8", "surrogatepass")

    # --- the stack -------------------------------------------------------------------------------

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise MalformedError("an instruction of the pickle finds too little on the stack")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise MalformedError("an instruction of the pickle finds too little on the stack")
        return self._stack[-1]

    def _since_mark(self) -> list[Any]:
        items = []
        while self._stack and self._stack[-1] is not _MARK:
            items.append(self._stack.pop())
        if not self._stack:
            raise MalformedError("an instruction of the pickle finds no mark")
        self._stack.pop()
        items.reverse()
        return items

    def _append_to(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise MalformedError(f"items are appended to a {type(target).__name__}")
        target.extend(items)

    def _add_items(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not set:
            raise MalformedError(f"items are added to a {type(target).__name__}")
        target.update(_checked_key(item) for item in items)

    def _set_items(self, flat: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict):
            raise MalformedError(f"items are put into a {type(target).__name__}")
        if len(flat) % 2:
            raise MalformedError("a key without a value")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            target[_checked_key(key)] = value

    # --- instructions ----------------------------------------------------------------------------

    def _proto(self) -> None:
        version = self._number(1)
        if version > 5:
            raise MalformedError(f"pickle protocol {version} is not known")

    def _frame(self) -> None:
        self._number(8)

    def _drop(self) -> None:
        self._pop()

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise MalformedError("the pickle refers to an object that it did not make")
        self._push(self._memo[index])

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)))

    def _mark_tuple(self) -> None:
        self._push(tuple(self._since_mark()))

    def _long(self, width: int) -> None:
        count = self._number(width)
        if count > 512:
            raise MalformedError(f"an integer of {count} bytes")
        self._push(self._number(count, signed=True))

    def _global(self) -> None:
        module, name = self._line(), self._line()
        self._push(_named(module, name))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise MalformedError("a global without a name")
        self._push(_named(module, name))

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise MalformedError("something is called that is no known function")
        call = _CALLS.get(function.text)
        if call is None:
            raise MalformedError(f"{function.text} is called, which is refused")
        self._push(call(*arguments))

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if not isinstance(target, OrderedDict) or not isinstance(state, dict):
            raise MalformedError(f"the state of a {type(target).__name__} is set, which is refused")
        # Of a state_dict: the versions of its modules. Nothing reads them here.

    def _persistent(self) -> None:
        parts = self._pop()
        if not isinstance(parts, tuple) or len(parts) != 5 or parts[0] != "storage":
            raise MalformedError("a persistent object that is no storage")
        _, kind, key, _, elements = parts
        if not isinstance(kind, _Name) or not isinstance(key, str) or type(elements) is not int:
            raise MalformedError("the description of a storage is malformed")
        name = _STORAGE_DTYPES.get(kind.text.rpartition(".")[2])
        if name is None or elements < 0:
            raise MalformedError(f"a storage of type {kind.text} is not supported")
        self._push(self._storage(key, getattr(_C, name), elements))

    def _storage(self, key: str, dtype: Any, elements: int) -> _Storage:
        known = self._storages.get(key)
        if known is None:
            needed = elements * dtype.itemsize
            size = self._archive.size(f"data/{key}")
            if size != needed:
                raise MalformedError(
                    f"storage {key[:40]!r} has {size} bytes in the file, but {elements} elements "
                    f"of {dtype} take {needed}"
                )
            values = self._archive.read(f"data/{key}")
            known = self._storages[key] = _Storage(dtype, elements, values)
        elif known.dtype is not dtype or known.elements != elements:
            raise MalformedError(f"storage {key[:40]!r} is described in two ways")
        return known


def _checked_key(key: Any) -> Any:
    flat = key if type(key) is tuple else (key,)
    if all(item is None or isinstance(item, (str, int, float)) for item in flat):
        return key
    raise MalformedError(f"a dict key of type {type(key).__name__} is not supported")


def _named(module: str, name: str) -> Any:
    """What a global means: a dtype, or a name that can only be called or describe a storage."""
    if module == "__builtin__":
        module = "builtins"
    text = f"{module}.{name}"
    if text in _DTYPE_NAMES:
        return getattr(_C, name)
    if text in _CALLS:
        return _Name(text)
    if (module == "torch" and name in _STORAGE_DTYPES) or text == "torch.storage.UntypedStorage":
        return _Name(text)
    raise MalformedError(
        f"the file names {text[:120]!r}, which is refused: only tensors, numbers, strings, dicts, "
        "lists and tuples are read; save a state_dict() instead of a whole object"
    )


def _check_result(result: Any) -> None:
    """Nothing that is only a part of a tensor may remain in the object."""
    waiting: list[Any] = [result]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, (_Name, _Storage)):
            raise MalformedError("the name of a function or a storage stands where a value belongs")
        if isinstance(item, (dict, list, tuple)) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend(item.values() if isinstance(item, dict) else item)


def _rebuild_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *_: Any
) -> Tensor:
    if not isinstance(storage, _Storage):
        raise MalformedError("a tensor without a storage")
    numbers = (offset, *size, *stride) if type(size) is type(stride) is tuple else ()
    if not numbers or any(type(n) is not int or n < 0 for n in numbers):
        raise MalformedError("sizes, strides or offset of a tensor are no numbers of 0 or more")
    if len(size) != len(stride) or len(size) > _MOST_DIMS:
        raise MalformedError(f"a tensor has {len(size)} sizes and {len(stride)} strides")
    elements, last = 1, offset
    for length, step in zip(size, stride, strict=True):
        elements *= length
        last += (length - 1) * step
    described = f"a tensor of size {list(size)}, strides {list(stride)} and offset {offset}"
    if elements >= 1 << 62 or any(n >= 1 << 62 for n in numbers):
        raise MalformedError(f"{described} is too large")
    if elements == 0:
        result = _C.empty(size, dtype=storage.dtype)
    elif last >= storage.elements:
        raise MalformedError(
            f"{described} does not fit into its storage of {storage.elements} elements"
        )
    else:
        values = _typed(storage)
        result = values.as_strided(size, stride, offset)
    if requires_grad is True:
        if not storage.dtype.is_floating_point:
            raise MalformedError(f"a tensor of {storage.dtype} cannot require a gradient")
        result = result.detach()
        result.requires_grad_(True)
    return result


def _typed(storage: _Storage) -> Tensor:
    values = storage.values
    if values.dtype is storage.dtype:
        return values
    if storage.dtype is _C.bool and int(values.max()) > 1:
        raise MalformedError("a bool storage has a byte that is neither 0 nor 1")
    if values.data_ptr() % storage.dtype.itemsize:
        values = values.clone()
    storage.values = values.view(storage.dtype)
    return storage.values


def _rebuild_parameter(data: Any, requires_grad: Any = True, *_: Any) -> Any:
    if not isinstance(data, _C.Tensor):
        raise MalformedError("a parameter without a tensor")
    from tapegrad.nn.parameter import Parameter

    return Parameter(data.detach(), requires_grad=requires_grad is True)


def _ordered_dict(items: Any = ()) -> OrderedDict[Any, Any]:
    if not isinstance(items, (list, tuple)) or any(
        not isinstance(item, (list, tuple)) or len(item) != 2 for item in items
    ):
        raise MalformedError("an OrderedDict of something that is no pairs")
    return OrderedDict((_checked_key(key), value) for key, value in items)


def _size(items: Any = ()) -> Any:
    if not isinstance(items, (list, tuple)) or any(type(n) is not int for n in items):
        raise MalformedError("a Size of something that is no integers")
    return _C.Size(items)


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise MalformedError("bytes in an unknown encoding")
    return text.encode("latin1")


def _device(kind: Any, *_: Any) -> Any:
    if not isinstance(kind, str):
        raise MalformedError("a device without a name")
    return _C.device("cpu")


def _set(items: Any = ()) -> set[Any]:
    if not isinstance(items, (list, tuple)):
        raise MalformedError("a set of something that is no list")
    return {_checked_key(item) for item in items}


_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _size,
    "torch.device": _device,
    "_codecs.encode": _encoded,
    "builtins.set": _set,
}
_DTYPE_NAMES = {f"torch.{name}" for name in _STORAGE_DTYPES.values()}

_M = _Machine
_ACTIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _M._proto,
    0x95: _M._frame,
    0x28: lambda m: m._push(_MARK),
    0x30: _M._drop,
    0x4E: lambda m: m._push(None),
    0x88: lambda m: m._push(True),
    0x89: lambda m: m._push(False),
    0x4A: lambda m: m._push(m._number(4, signed=True)),
    0x4B: lambda m: m._push(m._number(1)),
    0x4D: lambda m: m._push(m._number(2)),
    0x8A: lambda m: m._long(1),
    0x8B: lambda m: m._long(4),
    0x47: lambda m: m._push(struct.unpack(">d", m._bytes(8))[0]),
    0x58: lambda m: m._push(m._text(m._number(4))),  # BINUNICODE
    0x8C: lambda m: m._push(m._text(m._number(1))),
    0x8D: lambda m: m._push(m._text(m._number(8))),
    0x42: lambda m: m._push(m._bytes(m._number(4))),  # BINBYTES
    0x43: lambda m: m._push(m._bytes(m._number(1))),
    0x8E: lambda m: m._push(m._bytes(m._number(8))),
    0x7D: lambda m: m._push({}),
    0x5D: lambda m: m._push([]),
    0x29: lambda m: m._push(()),
    0x8F: lambda m: m._push(set()),
    0x90: lambda m: m._add_items(m._since_mark()),
    0x74: _M._mark_tuple,
    0x85: lambda m: m._tuple(1),
    0x86: lambda m: m._tuple(2),
    0x87: lambda m: m._tuple(3),
    0x61: lambda m: m._append_to([m._pop()]),
    0x65: lambda m: m._append_to(m._since_mark()),
    0x73: lambda m: m._set_items([m._pop(), m._pop()][::-1]),
    0x75: lambda m: m._set_items(m._since_mark()),
    0x71: lambda m: m._put(m._number(1)),  # BINPUT
    0x72: lambda m: m._put(m._number(4)),
    0x94: lambda m: m._put(len(m._memo)),  # MEMOIZE
    0x68: lambda m: m._get(m._number(1)),
    0x6A: lambda m: m._get(m._number(4)),
    0x63: _M._global,
    0x93: _M._stack_global,
    0x52: _M._reduce,
    0x62: _M._build,
    0x51: _M._persistent,
}


def load_torch_zip(path: str, mapped: bool) -> Any:
    """The object in a file that ``torch.save`` wrote; MalformedError says what is wrong with it."""
    with open(path, "rb") as file:  # noqa: PTH123 (pathlib is slow to import)
        archive = _Archive(file, mapped)
        if "data.pkl" not in archive:
            raise MalformedError("there is no data.pkl in the archive: not a file of torch.save")
        if "constants.pkl" in archive:
            raise MalformedError("this is a TorchScript program, not a file of weights")
        if "byteorder" in archive and archive.read("byteorder").tolist() != list(b"little"):
            raise MalformedError("its storages are big-endian, which is not supported")
        if archive.size("data.pkl") > _LARGEST_PROGRAM:
            raise MalformedError("its data.pkl is too large")
        machine = _Machine(bytes(memoryview(archive.read("data.pkl"))), archive)
        try:
            return machine.run()
        except (UnicodeDecodeError, OverflowError, RecursionError) as error:
            raise MalformedError(f"the pickle is malformed: {error}") from None
        except TypeError as error:  # a wrong number of arguments
            raise MalformedError(f"the pickle is malformed: {error}") from None
