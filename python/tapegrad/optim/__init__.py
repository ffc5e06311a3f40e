"""Optimizers: rules that update parameters from their gradients."""

from __future__ import annotations

from tapegrad.optim.adam import Adam as Adam
from tapegrad.optim.adam import AdamW as AdamW
from tapegrad.optim.optimizer import Optimizer as Optimizer
from tapegrad.optim.sgd import SGD as SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
