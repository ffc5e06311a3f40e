"""Layers, losses and the module that holds them together."""

from __future__ import annotations

from tapegrad.nn import functional as functional
from tapegrad.nn import init as init
from tapegrad.nn import modules as modules
from tapegrad.nn import parameter as parameter
from tapegrad.nn import utils as utils
from tapegrad.nn.modules import *  # noqa: F403
from tapegrad.nn.modules import __all__ as _modules_all
from tapegrad.nn.parameter import Buffer as Buffer
from tapegrad.nn.parameter import Parameter as Parameter
from tapegrad.nn.parameter import UninitializedBuffer as UninitializedBuffer
from tapegrad.nn.parameter import UninitializedParameter as UninitializedParameter

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]
__all__ += ["functional", "init", "modules", "parameter", "utils"]
__all__ += _modules_all
