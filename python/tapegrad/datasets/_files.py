"""Files of data sets: read whole, unpacked, compared with a checksum; and the IDX format."""

from __future__ import annotations

import sys
from pathlib import Path

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from tapegrad._C import Tensor

__all__ = ["DatasetError", "check_content", "read_bytes", "read_idx"]


class DatasetError(RuntimeError):
    """A file of a data set that is missing, damaged, or not of its format."""


def read_bytes(path: Path, md5: str | None = None) -> bytes:
    """The contents of a file, unpacked if it is gzip; ``md5`` is that of the file as it is."""
    import zlib

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    if md5 is not None:
        check_content(path, raw, "md5", md5)
    if raw[:2] != b"\x1f\x8b":
        return raw
    import gzip

    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None


def check_content(path: Path, content: bytes, algorithm: str, expected: str) -> None:
    """Raise unless the checksum is right."""
    import hashlib

    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DatasetError(
            f"{path}: is not the published file: its {algorithm} is {found}, expected {expected}; "
            "get it again, or pass verify=False to read it as it is"
        )


# Type code: the dtype and how many bytes an item has.
_IDX_TYPES = {
    0x08: (_C.uint8, 1),
    0x09: (_C.int8, 1),
    0x0B: (_C.int16, 2),
    0x0C: (_C.int32, 4),
    0x0D: (_C.float32, 4),
    0x0E: (_C.float64, 8),
}
_ARRAY_CODES = {2: "h", 4: "i", 8: "q"}


def read_idx(path: str | os.PathLike[str]) -> Tensor:
    """Read an IDX file (the format of MNIST), raw or packed with gzip.

    Parameters
    ----------
    path
        the file

    The result has the shape and type that the header names. Errors: :class:`DatasetError`, with
    the path, when it is not IDX or does not have the size that its header promises.

    >>> import tapegrad as tg, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "labels")
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    >>> tg.datasets.read_idx(path)
    tensor([7, 8, 9], dtype=tapegrad.uint8)
    """
    file = Path(path)
    return parse_idx(file, read_bytes(file))


def parse_idx(path: Path, raw: bytes) -> Tensor:
    """The tensor in the contents of an IDX file."""
    known = _IDX_TYPES.get(raw[2]) if len(raw) >= 4 and raw[:2] == b"\0\0" else None
    if known is None:
        raise DatasetError(
            f"{path}: not an IDX file: it begins with {raw[:4].hex(' ') or 'nothing'}"
        )
    dtype, item = known
    start = 4 + 4 * raw[3]
    if len(raw) < start:
        raise DatasetError(f"{path}: not an IDX file: its header is cut off")
    shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4)]
    promised = item
    for size in shape:
        promised *= size
    if len(raw) - start != promised:
        raise DatasetError(
            f"{path}: the header promises {promised} bytes of data, there are {len(raw) - start}"
        )
    if promised == 0:
        return _C.empty(shape, dtype=dtype)
    content = bytearray(memoryview(raw)[start:])
    if item > 1 and sys.byteorder == "little":
        from array import array

        values = array(_ARRAY_CODES[item], bytes(content))
        values.byteswap()
        content = bytearray(values.tobytes())
    return _C.frombuffer(content, dtype=dtype).reshape(shape)
