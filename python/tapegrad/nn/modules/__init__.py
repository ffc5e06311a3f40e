"""The modules, in PyTorch's files."""

from __future__ import annotations

from tapegrad.nn.modules.activation import GELU as GELU
from tapegrad.nn.modules.activation import LogSoftmax as LogSoftmax
from tapegrad.nn.modules.activation import ReLU as ReLU
from tapegrad.nn.modules.activation import Sigmoid as Sigmoid
from tapegrad.nn.modules.activation import SiLU as SiLU
from tapegrad.nn.modules.activation import Softmax as Softmax
from tapegrad.nn.modules.activation import Softplus as Softplus
from tapegrad.nn.modules.activation import Tanh as Tanh
from tapegrad.nn.modules.attention import MultiheadAttention as MultiheadAttention
from tapegrad.nn.modules.container import ModuleDict as ModuleDict
from tapegrad.nn.modules.container import ModuleList as ModuleList
from tapegrad.nn.modules.container import Sequential as Sequential
from tapegrad.nn.modules.conv import Conv1d as Conv1d
from tapegrad.nn.modules.conv import Conv2d as Conv2d
from tapegrad.nn.modules.conv import Conv3d as Conv3d
from tapegrad.nn.modules.conv import ConvTranspose1d as ConvTranspose1d
from tapegrad.nn.modules.conv import ConvTranspose2d as ConvTranspose2d
from tapegrad.nn.modules.conv import ConvTranspose3d as ConvTranspose3d
from tapegrad.nn.modules.dropout import Dropout as Dropout
from tapegrad.nn.modules.flatten import Flatten as Flatten
from tapegrad.nn.modules.linear import Identity as Identity
from tapegrad.nn.modules.linear import Linear as Linear
from tapegrad.nn.modules.loss import BCELoss as BCELoss
from tapegrad.nn.modules.loss import BCEWithLogitsLoss as BCEWithLogitsLoss
from tapegrad.nn.modules.loss import CosineEmbeddingLoss as CosineEmbeddingLoss
from tapegrad.nn.modules.loss import CrossEntropyLoss as CrossEntropyLoss
from tapegrad.nn.modules.loss import CTCLoss as CTCLoss
from tapegrad.nn.modules.loss import GaussianNLLLoss as GaussianNLLLoss
from tapegrad.nn.modules.loss import HingeEmbeddingLoss as HingeEmbeddingLoss
from tapegrad.nn.modules.loss import HuberLoss as HuberLoss
from tapegrad.nn.modules.loss import KLDivLoss as KLDivLoss
from tapegrad.nn.modules.loss import L1Loss as L1Loss
from tapegrad.nn.modules.loss import MarginRankingLoss as MarginRankingLoss
from tapegrad.nn.modules.loss import MSELoss as MSELoss
from tapegrad.nn.modules.loss import MultiLabelMarginLoss as MultiLabelMarginLoss
from tapegrad.nn.modules.loss import MultiLabelSoftMarginLoss as MultiLabelSoftMarginLoss
from tapegrad.nn.modules.loss import MultiMarginLoss as MultiMarginLoss
from tapegrad.nn.modules.loss import NLLLoss as NLLLoss
from tapegrad.nn.modules.loss import PoissonNLLLoss as PoissonNLLLoss
from tapegrad.nn.modules.loss import SmoothL1Loss as SmoothL1Loss
from tapegrad.nn.modules.loss import SoftMarginLoss as SoftMarginLoss
from tapegrad.nn.modules.loss import TripletMarginLoss as TripletMarginLoss
from tapegrad.nn.modules.loss import TripletMarginWithDistanceLoss as TripletMarginWithDistanceLoss
from tapegrad.nn.modules.module import Module as Module
from tapegrad.nn.modules.pooling import AdaptiveAvgPool1d as AdaptiveAvgPool1d
from tapegrad.nn.modules.pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from tapegrad.nn.modules.pooling import AdaptiveAvgPool3d as AdaptiveAvgPool3d
from tapegrad.nn.modules.pooling import AdaptiveMaxPool1d as AdaptiveMaxPool1d
from tapegrad.nn.modules.pooling import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from tapegrad.nn.modules.pooling import AdaptiveMaxPool3d as AdaptiveMaxPool3d
from tapegrad.nn.modules.pooling import AvgPool1d as AvgPool1d
from tapegrad.nn.modules.pooling import AvgPool2d as AvgPool2d
from tapegrad.nn.modules.pooling import AvgPool3d as AvgPool3d
from tapegrad.nn.modules.pooling import FractionalMaxPool2d as FractionalMaxPool2d
from tapegrad.nn.modules.pooling import FractionalMaxPool3d as FractionalMaxPool3d
from tapegrad.nn.modules.pooling import LPPool1d as LPPool1d
from tapegrad.nn.modules.pooling import LPPool2d as LPPool2d
from tapegrad.nn.modules.pooling import LPPool3d as LPPool3d
from tapegrad.nn.modules.pooling import MaxPool1d as MaxPool1d
from tapegrad.nn.modules.pooling import MaxPool2d as MaxPool2d
from tapegrad.nn.modules.pooling import MaxPool3d as MaxPool3d
from tapegrad.nn.modules.pooling import MaxUnpool1d as MaxUnpool1d
from tapegrad.nn.modules.pooling import MaxUnpool2d as MaxUnpool2d
from tapegrad.nn.modules.pooling import MaxUnpool3d as MaxUnpool3d
from tapegrad.nn.modules.rnn import GRU as GRU
from tapegrad.nn.modules.rnn import LSTM as LSTM
from tapegrad.nn.modules.rnn import RNN as RNN
from tapegrad.nn.modules.rnn import GRUCell as GRUCell
from tapegrad.nn.modules.rnn import LSTMCell as LSTMCell
from tapegrad.nn.modules.rnn import RNNBase as RNNBase
from tapegrad.nn.modules.rnn import RNNCell as RNNCell
from tapegrad.nn.modules.rnn import RNNCellBase as RNNCellBase

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "GRUCell",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "LSTMCell",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MarginRankingLoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "MultiheadAttention",
    "NLLLoss",
    "PoissonNLLLoss",
    "RNNBase",
    "RNNCell",
    "RNNCellBase",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax",
    "Softplus",
    "Tanh",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]
