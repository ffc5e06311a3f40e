# Made by tools/generate_stubs.py from the op table; do not edit.
from typing import NamedTuple

from tapegrad._C import Tensor

class aminmax(NamedTuple):
    min: Tensor
    max: Tensor

class kthvalue(NamedTuple):
    values: Tensor
    indices: Tensor

class max(NamedTuple):
    values: Tensor
    indices: Tensor

class median(NamedTuple):
    values: Tensor
    indices: Tensor

class min(NamedTuple):
    values: Tensor
    indices: Tensor

class mode(NamedTuple):
    values: Tensor
    indices: Tensor

class nanmedian(NamedTuple):
    values: Tensor
    indices: Tensor

class sort(NamedTuple):
    values: Tensor
    indices: Tensor

class std_mean(NamedTuple):
    std: Tensor
    mean: Tensor

class topk(NamedTuple):
    values: Tensor
    indices: Tensor

class var_mean(NamedTuple):
    var: Tensor
    mean: Tensor
