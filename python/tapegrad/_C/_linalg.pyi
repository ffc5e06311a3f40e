# Made by tools/generate_stubs.py from the op table; do not edit.
from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from builtins import str as _str
from collections.abc import Sequence
from typing import Any, overload

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
def cholesky(A: Tensor, *, upper: _bool = False, out: Tensor | None = None) -> Tensor: ...
def cholesky_ex(
    A: Tensor, *, upper: _bool = False, check_errors: _bool = False
) -> return_types.linalg_cholesky_ex: ...
@overload
def cond(A: Tensor, p: _Number | None = None, *, out: Tensor | None = None) -> Tensor: ...
@overload
def cond(A: Tensor, p: _str, *, out: Tensor | None = None) -> Tensor: ...
def cross(input: Tensor, other: Tensor, *, dim: _int = -1, out: Tensor | None = None) -> Tensor: ...
def det(A: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def diagonal(A: Tensor, *, offset: _int = 0, dim1: _int = -2, dim2: _int = -1) -> Tensor: ...
def eigh(A: Tensor, UPLO: _str = "L") -> return_types.linalg_eigh: ...
def eigvalsh(A: Tensor, UPLO: _str = "L", *, out: Tensor | None = None) -> Tensor: ...
def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def inv_ex(A: Tensor, *, check_errors: _bool = False) -> return_types.linalg_inv_ex: ...
def lstsq(
    input: Tensor, b: Tensor, rcond: _Number | None = None, *, driver: _str | None = None
) -> return_types.linalg_lstsq: ...
def lu(A: Tensor, *, pivot: _bool = True) -> return_types.linalg_lu: ...
def lu_factor(A: Tensor, *, pivot: _bool = True) -> return_types.linalg_lu_factor: ...
def lu_factor_ex(
    A: Tensor, *, pivot: _bool = True, check_errors: _bool = False
) -> return_types.linalg_lu_factor_ex: ...
def lu_solve(
    LU: Tensor,
    pivots: Tensor,
    B: Tensor,
    *,
    left: _bool = True,
    adjoint: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor: ...
def matrix_exp(A: Tensor) -> Tensor: ...
@overload
def matrix_norm(
    A: Tensor,
    ord: _str = "fro",
    dim: _Size = [-2, -1],
    keepdim: _bool = False,
    *,
    dtype: _DType | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def matrix_norm(
    A: Tensor,
    ord: _Number,
    dim: _Size = [-2, -1],
    keepdim: _bool = False,
    *,
    dtype: _DType | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
def matrix_power(A: Tensor, n: _int, *, out: Tensor | None = None) -> Tensor: ...
@overload
def matrix_rank(
    A: Tensor,
    *,
    atol: Tensor | None = None,
    rtol: Tensor | None = None,
    hermitian: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def matrix_rank(
    A: Tensor,
    *,
    atol: _Number | None = None,
    rtol: _Number | None = None,
    hermitian: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def matrix_rank(
    A: Tensor, tol: _Number, hermitian: _bool = False, *, out: Tensor | None = None
) -> Tensor: ...
def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor: ...
@overload
def norm(
    A: Tensor,
    ord: _Number | None = None,
    dim: _int | _Size | None = None,
    keepdim: _bool = False,
    *,
    dtype: _DType | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def norm(
    A: Tensor,
    ord: _str,
    dim: _int | _Size | None = None,
    keepdim: _bool = False,
    *,
    dtype: _DType | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def pinv(
    A: Tensor,
    *,
    atol: Tensor | None = None,
    rtol: Tensor | None = None,
    hermitian: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def pinv(
    A: Tensor,
    *,
    atol: _Number | None = None,
    rtol: _Number | None = None,
    hermitian: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
@overload
def pinv(
    A: Tensor, rcond: _Number, hermitian: _bool = False, *, out: Tensor | None = None
) -> Tensor: ...
def qr(A: Tensor, mode: _str = "reduced") -> return_types.linalg_qr: ...
def slogdet(A: Tensor) -> return_types.linalg_slogdet: ...
def solve(A: Tensor, B: Tensor, *, left: _bool = True, out: Tensor | None = None) -> Tensor: ...
def solve_ex(
    A: Tensor, B: Tensor, *, left: _bool = True, check_errors: _bool = False
) -> return_types.linalg_solve_ex: ...
def solve_triangular(
    A: Tensor,
    B: Tensor,
    *,
    upper: _bool,
    left: _bool = True,
    unitriangular: _bool = False,
    out: Tensor | None = None,
) -> Tensor: ...
def svd(
    A: Tensor, full_matrices: _bool = True, *, driver: _str | None = None
) -> return_types.linalg_svd: ...
def svdvals(A: Tensor, *, driver: _str | None = None, out: Tensor | None = None) -> Tensor: ...
def tensorinv(A: Tensor, ind: _int = 2, *, out: Tensor | None = None) -> Tensor: ...
def tensorsolve(
    A: Tensor, B: Tensor, dims: _Size | None = None, *, out: Tensor | None = None
) -> Tensor: ...
def vander(x: Tensor, *, N: _int | None = None) -> Tensor: ...
def vecdot(x: Tensor, y: Tensor, *, dim: _int = -1, out: Tensor | None = None) -> Tensor: ...
def vector_norm(
    x: Tensor,
    ord: _Number = 2,
    dim: _int | _Size | None = None,
    keepdim: _bool = False,
    *,
    dtype: _DType | None = None,
    out: Tensor | None = None,
) -> Tensor: ...
