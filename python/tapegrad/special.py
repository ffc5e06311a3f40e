"""Special functions, with PyTorch's names (``torch.special``)."""

from __future__ import annotations

from tapegrad import _C
from tapegrad._C._special import *  # noqa: F403

__all__ = [_name for _name in dir(_C._special) if not _name.startswith("_")]
__all__ += ["digamma", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammaln", "i0", "log1p"]
__all__ += ["log_softmax", "logsumexp", "psi", "round", "sinc", "softmax"]

digamma = _C.digamma
erf = _C.erf
erfc = _C.erfc
erfinv = _C.erfinv
exp2 = _C.exp2
expit = _C.sigmoid
expm1 = _C.expm1
gammaln = _C.lgamma
i0 = _C.i0
log1p = _C.log1p
log_softmax = _C.log_softmax
logsumexp = _C.logsumexp
psi = _C.digamma
round = _C.round
sinc = _C.sinc
softmax = _C.softmax
