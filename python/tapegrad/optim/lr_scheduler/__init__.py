"""Schedules of the learning rate: call ``scheduler.step()`` after ``optimizer.step()``."""

from __future__ import annotations

from tapegrad.optim.lr_scheduler._base import LRScheduler as LRScheduler
from tapegrad.optim.lr_scheduler._chainable import ConstantLR as ConstantLR
from tapegrad.optim.lr_scheduler._chainable import CosineAnnealingLR as CosineAnnealingLR
from tapegrad.optim.lr_scheduler._chainable import ExponentialLR as ExponentialLR
from tapegrad.optim.lr_scheduler._chainable import LambdaLR as LambdaLR
from tapegrad.optim.lr_scheduler._chainable import LinearLR as LinearLR
from tapegrad.optim.lr_scheduler._chainable import MultiplicativeLR as MultiplicativeLR
from tapegrad.optim.lr_scheduler._chainable import MultiStepLR as MultiStepLR
from tapegrad.optim.lr_scheduler._chainable import PolynomialLR as PolynomialLR
from tapegrad.optim.lr_scheduler._chainable import StepLR as StepLR
from tapegrad.optim.lr_scheduler._composed import ChainedScheduler as ChainedScheduler
from tapegrad.optim.lr_scheduler._composed import SequentialLR as SequentialLR
from tapegrad.optim.lr_scheduler._cyclic import (
    CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts,
)
from tapegrad.optim.lr_scheduler._cyclic import CyclicLR as CyclicLR
from tapegrad.optim.lr_scheduler._cyclic import OneCycleLR as OneCycleLR
from tapegrad.optim.lr_scheduler._plateau import ReduceLROnPlateau as ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

_LRScheduler = LRScheduler  # its former name
