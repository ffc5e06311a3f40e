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

def _einsum(equation: _str, operands: Sequence[Tensor], path: _Size | None = None) -> Tensor: ...
def _tensordot(input: Tensor, other: Tensor, dims_self: _Size, dims_other: _Size) -> Tensor: ...
def cross(input: Tensor, other: Tensor, *, dim: _int = -1, out: Tensor | None = None) -> Tensor: ...
def diagonal(A: Tensor, *, offset: _int = 0, dim1: _int = -2, dim2: _int = -1) -> Tensor: ...
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor: ...
def vander(x: Tensor, *, N: _int | None = None) -> Tensor: ...
def vecdot(x: Tensor, y: Tensor, *, dim: _int = -1, out: Tensor | None = None) -> Tensor: ...
