"""PyTorch's switches for backends: each can be read and set, none changes a result.

>>> import tapegrad as tg
>>> tg.backends.mps.is_available()
False
>>> tg.backends.cudnn.benchmark = True
"""

from __future__ import annotations

from tapegrad.backends import cpu as cpu
from tapegrad.backends import cuda as cuda
from tapegrad.backends import cudnn as cudnn
from tapegrad.backends import mkl as mkl
from tapegrad.backends import mkldnn as mkldnn
from tapegrad.backends import mps as mps
from tapegrad.backends import openmp as openmp
from tapegrad.backends import opt_einsum as opt_einsum

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]
