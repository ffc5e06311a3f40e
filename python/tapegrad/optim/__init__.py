"""Optimizers: rules that update parameters from their gradients."""

from __future__ import annotations

from tapegrad.optim import lr_scheduler as lr_scheduler
from tapegrad.optim.adadelta import Adadelta as Adadelta
from tapegrad.optim.adafactor import Adafactor as Adafactor
from tapegrad.optim.adagrad import Adagrad as Adagrad
from tapegrad.optim.adam import Adam as Adam
from tapegrad.optim.adam import AdamW as AdamW
from tapegrad.optim.adamax import Adamax as Adamax
from tapegrad.optim.asgd import ASGD as ASGD
from tapegrad.optim.lbfgs import LBFGS as LBFGS
from tapegrad.optim.lion import Lion as Lion
from tapegrad.optim.muon import Muon as Muon
from tapegrad.optim.nadam import NAdam as NAdam
from tapegrad.optim.optimizer import Optimizer as Optimizer
from tapegrad.optim.radam import RAdam as RAdam
from tapegrad.optim.rmsprop import RMSprop as RMSprop
from tapegrad.optim.rprop import Rprop as Rprop
from tapegrad.optim.sgd import SGD as SGD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad.optim import swa_utils as swa_utils

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]


def __getattr__(name: str) -> Any:
    if name == "swa_utils":  # needs nn, which optimizers do not
        from importlib import import_module

        return import_module("tapegrad.optim.swa_utils")
    raise AttributeError(f"module 'tapegrad.optim' has no attribute '{name}'")
