# Made by tools/generate_stubs.py from the op table; do not edit.
from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from builtins import str as _str
from collections.abc import Sequence
from typing import overload

from tapegrad._C import (
    Tensor,
    _Device,
    _DType,
    _DTypeType,
    _Generator,
    _Layout,
    _MemoryFormat,
    _Number,
    _Size,
    return_types,
)
