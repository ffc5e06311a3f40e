"""Tables: CSV files, and arrays saved by NumPy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from tapegrad import _C
from tapegrad.datasets._files import DatasetError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Any

    from tapegrad._C import Tensor

__all__ = ["Table", "read_csv", "read_npz"]


class Table(NamedTuple):
    """What :func:`read_csv` gives.

    ``data`` has a row for each line and a column for each of ``columns``, the names.
    ``categories`` holds, for each column of words, its words in the order of their numbers.
    """

    data: Tensor
    columns: list[str]
    categories: dict[str, list[str]]


def read_csv(
    path: str | os.PathLike[str],
    *,
    delimiter: str = ",",
    header: bool | None = None,
    dtype: Any = None,
) -> Table:
    r"""Read a table of numbers and words from a CSV file.

    Parameters
    ----------
    path
        the file, in UTF-8
    delimiter
        between the fields of a line
    header
        whether the first line has the names of the columns; ``None``: if none of its fields is
        a number
    dtype
        of the result (float32)

    An empty field of a column of numbers becomes NaN. A column of words becomes the numbers of its
    words, in alphabetical order from 0. Errors: :class:`DatasetError` with the path and the line.

    >>> import tapegrad as tg, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "flowers.csv")
    >>> _ = path.write_text("length,kind\n1.5,rose\n2,lily\n")
    >>> table = tg.datasets.read_csv(path)
    >>> table.data
    tensor([[1.5000, 1.0000],
            [2.0000, 0.0000]])
    >>> table.columns, table.categories
    (['length', 'kind'], {'kind': ['lily', 'rose']})
    """
    import csv

    file = Path(path)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{file}: not a CSV file: {error}") from None
    if not rows:
        raise DatasetError(f"{file}: there are no lines in it")
    width = len(rows[0][1])
    for line, row in rows:
        if len(row) != width:
            raise DatasetError(f"{file}, line {line}: {len(row)} fields, the first has {width}")
    first = rows[0][1]
    if header is None:
        header = all(_number(field) is None for field in first) and len(rows) > 1
    names = [name.strip() for name in first] if header else [str(i) for i in range(width)]
    body = rows[1:] if header else rows
    categories: dict[str, list[str]] = {}
    columns = []
    for name, column in zip(names, zip(*(row for _, row in body), strict=True), strict=False):
        numbers = [_number(field) for field in column]
        if None in numbers:
            words = [field.strip() for field in column]
            categories[name] = known = sorted(set(words))
            codes = {word: float(code) for code, word in enumerate(known)}
            numbers = [codes[word] for word in words]
        columns.append(numbers)
    kind = _C.float32 if dtype is None else dtype
    if not columns:
        return Table(_C.empty(0, width, dtype=kind), names, {})
    wide = _C.tensor(columns, dtype=_C.float64)
    return Table(wide.t().contiguous().to(kind), names, categories)


def _number(field: str) -> float | None:
    try:
        return float(field) if field and not field.isspace() else math.nan
    except ValueError:
        return None


def read_npz(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the arrays that ``numpy.savez`` wrote; objects are refused, nothing is executed.

    Parameters
    ----------
    path
        the ``.npz`` file, or an ``.npy`` file, whose array is called ``arr_0``

    Errors: :class:`DatasetError` with the path and the name of the array.

    >>> import numpy as np, tapegrad as tg, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "data.npz")
    >>> np.savez(path, x=np.arange(3))
    >>> tg.datasets.read_npz(path)
    {'x': tensor([0, 1, 2])}
    """
    import struct
    import zipfile
    import zlib

    import numpy as np

    file = Path(path)
    try:
        with file.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            names: Iterable[str] = ["arr_0"] if isinstance(loaded, np.ndarray) else loaded.files
            result = {}
            for name in names:
                array = loaded if isinstance(loaded, np.ndarray) else loaded[name]
                if array.dtype.kind not in "buif":
                    raise DatasetError(f"{file}: the array {name!r} is of dtype {array.dtype}")
                result[name] = _C.tensor(array.astype(array.dtype.newbyteorder("="), copy=False))
            return result
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error}") from None
    except (ValueError, TypeError, EOFError, KeyError, OverflowError, MemoryError) as error:
        raise DatasetError(f"{file}: not a file of arrays: {error}") from None
    except (zipfile.BadZipFile, NotImplementedError, struct.error, zlib.error) as error:
        raise DatasetError(f"{file}: not a file of arrays: {error}") from None
