"""Linear algebra, with PyTorch's names (``torch.linalg``)."""

from __future__ import annotations

from typing import Any, NoReturn

from tapegrad import _C
from tapegrad._C import LinAlgError as LinAlgError
from tapegrad._C import Tensor
from tapegrad._C._linalg import *  # noqa: F403


def eig(A: Tensor, *, out: Any = None) -> NoReturn:
    """Not implemented: eigenvalues of general matrices are complex. See eigh()."""
    raise _C.UnsupportedError(
        "linalg.eig: eigenvalues of general matrices are complex numbers, which tapegrad does not "
        "have; linalg.eigh takes symmetric matrices"
    )


def eigvals(A: Tensor, *, out: Any = None) -> NoReturn:
    """Not implemented: eigenvalues of general matrices are complex. See eigvalsh()."""
    raise _C.UnsupportedError(
        "linalg.eigvals: eigenvalues of general matrices are complex numbers, which tapegrad does "
        "not have; linalg.eigvalsh takes symmetric matrices"
    )


__all__ = [_name for _name in dir(_C._linalg) if not _name.startswith("_")]
__all__ += ["LinAlgError", "eig", "eigvals"]
