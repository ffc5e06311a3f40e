"""Messages between a loader and one worker: frames through two pipes, tensors through memory.

Note [Tensors between processes]
A batch crosses as a pickled skeleton in a pipe, and its large tensors and arrays in a slot of an
anonymous file in memory that both processes map. The worker copies each tensor into the slot once;
in the parent the tensors lie on the slot itself, and it is given back to the worker, with its
pages warm, when they are gone. Nothing has a name, so nothing can be left behind, however a process
ends, and the size of /dev/shm does not matter. A user who keeps many batches gets copies instead,
for each slot costs a file descriptor.
"""

from __future__ import annotations

import copyreg
import os
import pickle
import select
import struct
import weakref
from collections import deque

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from multiprocessing.connection import Connection
    from typing import Any

__all__ = [
    "Channel",
    "Descriptor",
    "SlotReader",
    "SlotWriter",
    "close_inherited_channels",
    "memory_file",
]

_LENGTH = struct.Struct("<Q")
_READ_AT_ONCE = 1 << 16  # what a pipe holds
_LARGE = 1 << 13  # bytes from which a tensor goes through the slot
_SMALLEST_SLOT = 1 << 16
_ALIGNMENT = 64


class Channel:
    """Frames over a pair of pipes. Neither side ever blocks in a write or a read alone.

    (Were both to write more than a pipe holds at the same time, they would wait for each other.)
    """

    def __init__(self, reader: Connection, writer: Connection) -> None:
        self._reader = reader
        self._writer = writer
        os.set_blocking(reader.fileno(), False)
        os.set_blocking(writer.fileno(), False)
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray()
        _open_channels.add(self)

    def close(self) -> None:
        """Close both ends; the other side sees the end of its input."""
        self._outgoing.clear()
        self._reader.close()
        self._writer.close()

    def send(self, frame: bytes) -> None:
        """Write the frame, or as much as goes without waiting; the rest goes in :meth:`wait`."""
        self._outgoing.append(memoryview(_LENGTH.pack(len(frame)) + frame))
        self.flush()

    def flush(self) -> bool:
        """Write what goes without waiting; whether that was all."""
        while self._outgoing:
            view = self._outgoing[0]
            try:
                written = os.write(self._writer.fileno(), view)
            except BlockingIOError:
                return False
            if written == len(view):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = view[written:]
        return True

    def take(self) -> bytes | None:
        """A frame that has arrived, or None; EOFError when the other side is gone."""
        while True:
            if len(self._incoming) >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._incoming)
                end = _LENGTH.size + length
                if len(self._incoming) >= end:
                    frame = bytes(memoryview(self._incoming)[_LENGTH.size : end])
                    del self._incoming[:end]
                    return frame
            try:
                piece = os.read(self._reader.fileno(), _READ_AT_ONCE)
            except BlockingIOError:
                return None
            if not piece:
                raise EOFError
            self._incoming += piece

    def wait(self, seconds: float, *, also: int | None = None) -> None:
        """Wait until something can be read or written, or the descriptor ``also`` is ready."""
        poll = select.poll()
        poll.register(self._reader.fileno(), select.POLLIN)
        if self._outgoing:
            poll.register(self._writer.fileno(), select.POLLOUT)
        if also is not None:
            poll.register(also, select.POLLIN)
        poll.poll(int(seconds * 1000) + 1)
        self.flush()


_open_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def close_inherited_channels() -> None:
    """In a process that was forked: close what belongs to its parent.

    Otherwise another worker, whose pipe this process holds open too, would not see its end.
    """
    for channel in list(_open_channels):
        channel.close()


class Descriptor:
    """A file descriptor that reaches a worker however that is started."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(self.number),)


def _received(duplicate: Any) -> Descriptor:
    return Descriptor(duplicate.detach())


def memory_file() -> Descriptor | None:
    """A file in memory without a name; None where the system has none."""
    create = getattr(os, "memfd_create", None)
    if create is None or not hasattr(os, "posix_fallocate"):
        return None
    try:
        return Descriptor(create("tapegrad-batches", os.MFD_CLOEXEC))
    except OSError:
        return None


def _from_buffer(buffer: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    return _C.frombuffer(buffer, dtype=dtype).reshape(shape)


class _Slot:
    """A range of the file, as the worker sees it."""

    __slots__ = ("capacity", "free", "memory", "offset", "reserved")

    def __init__(self, offset: int, capacity: int, memory: mmap.mmap) -> None:
        self.offset = offset
        self.capacity = capacity
        self.memory = memory
        self.reserved = 0
        self.free = False


class SlotWriter:
    """The worker's side: packs objects, large tensors and arrays of them into slots."""

    def __init__(self, file: Descriptor | None) -> None:
        self._file = file
        self._slots: dict[int, _Slot] = {}
        self._end = 0

    def release(self, offsets: list[int]) -> None:
        """The parent is done with these slots."""
        for offset in offsets:
            self._slots[offset].free = True

    def pack(self, obj: Any) -> tuple[bytes, Any]:
        """The pickled skeleton, and (offset, capacity, parts) of the slot or None."""
        if self._file is None:
            return pickle.dumps(obj, pickle.HIGHEST_PROTOCOL), None
        import io

        marks: dict[int, tuple[Any, Any]] = {}

        def reduce_tensor(tensor: Any) -> Any:
            size = tensor.numel() * tensor.element_size()
            if size < _LARGE or tensor.requires_grad or tensor.__dict__:
                return tensor.__reduce_ex__(5)
            mark = pickle.PickleBuffer(bytearray(1))
            marks[id(mark)] = (mark, tensor)
            return _from_buffer, (mark, tensor.dtype, tuple(tensor.shape))

        parts: list[Any] = []

        def collect(buffer: pickle.PickleBuffer) -> bool:
            known = marks.get(id(buffer))
            if known is None:
                raw = buffer.raw()
                if len(raw) < _LARGE or raw.readonly:
                    return True  # stays in the skeleton
                parts.append(raw)
            else:
                parts.append(known[1])
            return False

        stream = io.BytesIO()
        pickler = pickle.Pickler(stream, 5, buffer_callback=collect)
        pickler.dispatch_table = {**copyreg.dispatch_table, _C.Tensor: reduce_tensor}
        pickler.dump(obj)
        return stream.getvalue(), self._place(parts) if parts else None

    def _place(self, parts: list[Any]) -> Any:
        sizes = [
            part.numel() * part.element_size() if isinstance(part, _C.Tensor) else len(part)
            for part in parts
        ]
        places, total = [], 0
        for size in sizes:
            places.append((total, size))
            total += -(-size // _ALIGNMENT) * _ALIGNMENT
        slot = self._slot(total)
        memory = slot.memory
        for part, (start, size) in zip(parts, places, strict=True):
            if isinstance(part, _C.Tensor):
                target = _C.frombuffer(
                    memory, dtype=part.dtype, offset=start, count=part.numel()
                ).reshape(part.shape)
                target.copy_(part)
            else:
                memory[start : start + size] = part
        return slot.offset, slot.capacity, places

    def _slot(self, size: int) -> _Slot:
        assert self._file is not None
        fitting = [s for s in self._slots.values() if s.free and s.capacity >= size]
        if fitting:
            slot = min(fitting, key=lambda s: s.capacity)
        else:
            import mmap

            capacity = max(_SMALLEST_SLOT, 1 << (size - 1).bit_length())
            number, offset = self._file.number, self._end
            os.ftruncate(number, offset + capacity)
            slot = _Slot(offset, capacity, mmap.mmap(number, capacity, offset=offset))
            self._slots[offset] = slot
            self._end += capacity
        if slot.reserved < size:
            # Otherwise a lack of memory would show as a bus error in the middle of a copy.
            os.posix_fallocate(self._file.number, slot.offset, size)
            slot.reserved = size
        slot.free = False
        return slot


class SlotReader:
    """The parent's side: unpacks what a :class:`SlotWriter` packed."""

    def __init__(self, file: Descriptor | None, most_in_use: int) -> None:
        self._file = file
        self._most_in_use = most_in_use
        self._memory: dict[int, tuple[mmap.mmap, Any]] = {}
        self._in_use: dict[int, weakref.ref[Any]] = {}
        self._released: list[int] = []

    def unpack(self, skeleton: bytes, slot: Any) -> Any:
        """The object, its large tensors on the memory of the slot."""
        if slot is None:
            return pickle.loads(skeleton)
        offset, capacity, parts = slot
        if len(self._in_use) >= self._most_in_use:
            self._collect()
        if len(self._in_use) >= self._most_in_use:
            memory = self._mapped(offset, capacity)[0]
            copies = [bytearray(memory[start : start + size]) for start, size in parts]
            self._released.append(offset)
            return pickle.loads(skeleton, buffers=copies)
        memory, kind = self._mapped(offset, capacity)
        # What lies on the lease keeps it alive: when it is gone, the slot is free.
        lease = kind.from_buffer(memory)
        self._in_use[offset] = weakref.ref(lease)
        whole = memoryview(lease).cast("B")
        return pickle.loads(skeleton, buffers=[whole[start : start + n] for start, n in parts])

    def drop(self, slot: Any) -> None:
        """Give a slot back unread."""
        if slot is not None:
            self._released.append(slot[0])

    def released(self) -> list[int]:
        """The slots that have become free since the last call."""
        self._collect()
        released, self._released = self._released, []
        return released

    def close(self) -> None:
        """Close the file; tensors that are still alive keep their memory."""
        self._memory.clear()
        self._in_use.clear()
        if self._file is not None:
            os.close(self._file.number)
            self._file = None

    def _mapped(self, offset: int, capacity: int) -> tuple[mmap.mmap, Any]:
        found = self._memory.get(offset)
        if found is None:
            import ctypes
            import mmap

            assert self._file is not None
            memory = mmap.mmap(self._file.number, capacity, offset=offset)
            found = self._memory[offset] = (memory, ctypes.c_char * capacity)
        return found

    def _collect(self) -> None:
        for offset, lease in list(self._in_use.items()):
            if lease() is None:
                del self._in_use[offset]
                self._released.append(offset)
