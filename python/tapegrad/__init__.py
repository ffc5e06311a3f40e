"""tapegrad: tensors, a tape that differentiates what you compute, and networks to train with it.

The names, signatures and defaults are those of PyTorch, so that most scripts need one changed line:

>>> import tapegrad as torch
>>> x = torch.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])

Everything below ``nn``, ``optim``, ``utils``, ``autograd`` and the other subpackages is loaded when
it is first touched, and NumPy when the first array comes or goes, so that importing stays cheap.
"""

from __future__ import annotations

from tapegrad import _C
from tapegrad._C import *  # noqa: F403

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins as _builtins
    from typing import Any as _Any

    from tapegrad import amp as amp
    from tapegrad import autograd as autograd
    from tapegrad import backends as backends
    from tapegrad import cuda as cuda
    from tapegrad import datasets as datasets
    from tapegrad import linalg as linalg
    from tapegrad import nn as nn
    from tapegrad import optim as optim
    from tapegrad import random as random
    from tapegrad import special as special
    from tapegrad import testing as testing
    from tapegrad import train as train
    from tapegrad import utils as utils
    from tapegrad import version as version
    from tapegrad._contractions import chain_matmul as chain_matmul
    from tapegrad._contractions import einsum as einsum
    from tapegrad._contractions import tensordot as tensordot
    from tapegrad._shell import (
        are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled,
    )
    from tapegrad._shell import compile as compile
    from tapegrad._shell import get_float32_matmul_precision as get_float32_matmul_precision
    from tapegrad._shell import is_tensor as is_tensor
    from tapegrad._shell import set_float32_matmul_precision as set_float32_matmul_precision
    from tapegrad._shell import typename as typename
    from tapegrad._shell import use_deterministic_algorithms as use_deterministic_algorithms
    from tapegrad._tensor_types import BFloat16Tensor as BFloat16Tensor
    from tapegrad._tensor_types import BoolTensor as BoolTensor
    from tapegrad._tensor_types import ByteTensor as ByteTensor
    from tapegrad._tensor_types import CharTensor as CharTensor
    from tapegrad._tensor_types import DoubleTensor as DoubleTensor
    from tapegrad._tensor_types import FloatTensor as FloatTensor
    from tapegrad._tensor_types import HalfTensor as HalfTensor
    from tapegrad._tensor_types import IntTensor as IntTensor
    from tapegrad._tensor_types import LongTensor as LongTensor
    from tapegrad._tensor_types import ShortTensor as ShortTensor
    from tapegrad.amp import autocast as autocast
    from tapegrad.autograd.anomaly_mode import (
        is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled,
    )
    from tapegrad.autograd.anomaly_mode import is_anomaly_enabled as is_anomaly_enabled
    from tapegrad.autograd.anomaly_mode import set_anomaly_enabled as set_anomaly_enabled
    from tapegrad.autograd.grad_mode import enable_grad as enable_grad
    from tapegrad.autograd.grad_mode import inference_mode as inference_mode
    from tapegrad.autograd.grad_mode import no_grad as no_grad
    from tapegrad.autograd.grad_mode import set_grad_enabled as set_grad_enabled
    from tapegrad.nn._convolution_functional import conv_tbc as conv_tbc
    from tapegrad.serialization import load as load
    from tapegrad.serialization import save as save

__version__: str = _C.__version__

# Where each name that is not part of the extension lives; None means a subpackage of that name.
_LAZY: dict[str, str | None] = {
    "amp": None,
    "autograd": None,
    "backends": None,
    "cuda": None,
    "datasets": None,
    "linalg": None,
    "nn": None,
    "optim": None,
    "serialization": None,
    "random": None,
    "special": None,
    "testing": None,
    "train": None,
    "utils": None,
    "version": None,
    "no_grad": "autograd.grad_mode",
    "func": None,
    "vmap": "func",
    "enable_grad": "autograd.grad_mode",
    "set_grad_enabled": "autograd.grad_mode",
    "inference_mode": "autograd.grad_mode",
    "is_anomaly_check_nan_enabled": "autograd.anomaly_mode",
    "is_anomaly_enabled": "autograd.anomaly_mode",
    "set_anomaly_enabled": "autograd.anomaly_mode",
    "save": "serialization",
    "load": "serialization",
    "autocast": "amp",
    "chain_matmul": "_contractions",
    "einsum": "_contractions",
    "tensordot": "_contractions",
    "conv_tbc": "nn._convolution_functional",
    "compile": "_shell",
    "is_tensor": "_shell",
    "typename": "_shell",
    "use_deterministic_algorithms": "_shell",
    "are_deterministic_algorithms_enabled": "_shell",
    "set_float32_matmul_precision": "_shell",
    "get_float32_matmul_precision": "_shell",
    "FloatTensor": "_tensor_types",
    "DoubleTensor": "_tensor_types",
    "HalfTensor": "_tensor_types",
    "BFloat16Tensor": "_tensor_types",
    "ByteTensor": "_tensor_types",
    "CharTensor": "_tensor_types",
    "ShortTensor": "_tensor_types",
    "IntTensor": "_tensor_types",
    "LongTensor": "_tensor_types",
    "BoolTensor": "_tensor_types",
}

__all__ = [_name for _name in dir(_C) if not _name.startswith("_")]
__all__ += list(_LAZY)


# What PyTorch has and this library leaves out, by the beginning of its names.
_OUT_OF_SCOPE = {
    ("complex", "cfloat", "cdouble", "chalf", "view_as_", "polar", "angle"): "complex numbers",
    ("sparse", "coo"): "sparse tensors",
    ("quant", "qint", "quint", "dequantize"): "quantised tensors",
}


def __getattr__(name: str) -> _Any:
    if name not in _LAZY:
        message = f"module 'tapegrad' has no attribute '{name}'"
        for beginnings, what in _OUT_OF_SCOPE.items():
            if name.startswith(beginnings):
                message += f": {what} are out of scope"
        raise AttributeError(message)
    from importlib import import_module

    home = _LAZY[name]
    if home is None:
        value = import_module(f"tapegrad.{name}")
    else:
        value = getattr(import_module(f"tapegrad.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[_builtins.str]:
    return sorted({*globals(), *_LAZY})
