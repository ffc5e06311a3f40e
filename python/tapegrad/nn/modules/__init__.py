"""The modules, in PyTorch's files, each of which is loaded when the first of its names is used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad.nn.modules.activation import CELU as CELU
    from tapegrad.nn.modules.activation import ELU as ELU
    from tapegrad.nn.modules.activation import GELU as GELU
    from tapegrad.nn.modules.activation import GLU as GLU
    from tapegrad.nn.modules.activation import SELU as SELU
    from tapegrad.nn.modules.activation import Hardshrink as Hardshrink
    from tapegrad.nn.modules.activation import Hardsigmoid as Hardsigmoid
    from tapegrad.nn.modules.activation import Hardswish as Hardswish
    from tapegrad.nn.modules.activation import Hardtanh as Hardtanh
    from tapegrad.nn.modules.activation import LeakyReLU as LeakyReLU
    from tapegrad.nn.modules.activation import LogSigmoid as LogSigmoid
    from tapegrad.nn.modules.activation import LogSoftmax as LogSoftmax
    from tapegrad.nn.modules.activation import Mish as Mish
    from tapegrad.nn.modules.activation import PReLU as PReLU
    from tapegrad.nn.modules.activation import ReLU as ReLU
    from tapegrad.nn.modules.activation import ReLU6 as ReLU6
    from tapegrad.nn.modules.activation import RReLU as RReLU
    from tapegrad.nn.modules.activation import Sigmoid as Sigmoid
    from tapegrad.nn.modules.activation import SiLU as SiLU
    from tapegrad.nn.modules.activation import Softmax as Softmax
    from tapegrad.nn.modules.activation import Softmax2d as Softmax2d
    from tapegrad.nn.modules.activation import Softmin as Softmin
    from tapegrad.nn.modules.activation import Softplus as Softplus
    from tapegrad.nn.modules.activation import Softshrink as Softshrink
    from tapegrad.nn.modules.activation import Softsign as Softsign
    from tapegrad.nn.modules.activation import Tanh as Tanh
    from tapegrad.nn.modules.activation import Tanhshrink as Tanhshrink
    from tapegrad.nn.modules.activation import Threshold as Threshold
    from tapegrad.nn.modules.adaptive import (
        AdaptiveLogSoftmaxWithLoss as AdaptiveLogSoftmaxWithLoss,
    )
    from tapegrad.nn.modules.attention import MultiheadAttention as MultiheadAttention
    from tapegrad.nn.modules.batchnorm import BatchNorm1d as BatchNorm1d
    from tapegrad.nn.modules.batchnorm import BatchNorm2d as BatchNorm2d
    from tapegrad.nn.modules.batchnorm import BatchNorm3d as BatchNorm3d
    from tapegrad.nn.modules.batchnorm import SyncBatchNorm as SyncBatchNorm
    from tapegrad.nn.modules.channelshuffle import ChannelShuffle as ChannelShuffle
    from tapegrad.nn.modules.container import ModuleDict as ModuleDict
    from tapegrad.nn.modules.container import ModuleList as ModuleList
    from tapegrad.nn.modules.container import ParameterDict as ParameterDict
    from tapegrad.nn.modules.container import ParameterList as ParameterList
    from tapegrad.nn.modules.container import Sequential as Sequential
    from tapegrad.nn.modules.conv import Conv1d as Conv1d
    from tapegrad.nn.modules.conv import Conv2d as Conv2d
    from tapegrad.nn.modules.conv import Conv3d as Conv3d
    from tapegrad.nn.modules.conv import ConvTranspose1d as ConvTranspose1d
    from tapegrad.nn.modules.conv import ConvTranspose2d as ConvTranspose2d
    from tapegrad.nn.modules.conv import ConvTranspose3d as ConvTranspose3d
    from tapegrad.nn.modules.distance import CosineSimilarity as CosineSimilarity
    from tapegrad.nn.modules.distance import PairwiseDistance as PairwiseDistance
    from tapegrad.nn.modules.dropout import AlphaDropout as AlphaDropout
    from tapegrad.nn.modules.dropout import Dropout as Dropout
    from tapegrad.nn.modules.dropout import Dropout1d as Dropout1d
    from tapegrad.nn.modules.dropout import Dropout2d as Dropout2d
    from tapegrad.nn.modules.dropout import Dropout3d as Dropout3d
    from tapegrad.nn.modules.dropout import FeatureAlphaDropout as FeatureAlphaDropout
    from tapegrad.nn.modules.flatten import Flatten as Flatten
    from tapegrad.nn.modules.flatten import Unflatten as Unflatten
    from tapegrad.nn.modules.fold import Fold as Fold
    from tapegrad.nn.modules.fold import Unfold as Unfold
    from tapegrad.nn.modules.instancenorm import InstanceNorm1d as InstanceNorm1d
    from tapegrad.nn.modules.instancenorm import InstanceNorm2d as InstanceNorm2d
    from tapegrad.nn.modules.instancenorm import InstanceNorm3d as InstanceNorm3d
    from tapegrad.nn.modules.lazy import LazyModuleMixin as LazyModuleMixin
    from tapegrad.nn.modules.lazy_conv import LazyConv1d as LazyConv1d
    from tapegrad.nn.modules.lazy_conv import LazyConv2d as LazyConv2d
    from tapegrad.nn.modules.lazy_conv import LazyConv3d as LazyConv3d
    from tapegrad.nn.modules.lazy_conv import LazyConvTranspose1d as LazyConvTranspose1d
    from tapegrad.nn.modules.lazy_conv import LazyConvTranspose2d as LazyConvTranspose2d
    from tapegrad.nn.modules.lazy_conv import LazyConvTranspose3d as LazyConvTranspose3d
    from tapegrad.nn.modules.lazy_norm import LazyBatchNorm1d as LazyBatchNorm1d
    from tapegrad.nn.modules.lazy_norm import LazyBatchNorm2d as LazyBatchNorm2d
    from tapegrad.nn.modules.lazy_norm import LazyBatchNorm3d as LazyBatchNorm3d
    from tapegrad.nn.modules.lazy_norm import LazyInstanceNorm1d as LazyInstanceNorm1d
    from tapegrad.nn.modules.lazy_norm import LazyInstanceNorm2d as LazyInstanceNorm2d
    from tapegrad.nn.modules.lazy_norm import LazyInstanceNorm3d as LazyInstanceNorm3d
    from tapegrad.nn.modules.linear import Bilinear as Bilinear
    from tapegrad.nn.modules.linear import Identity as Identity
    from tapegrad.nn.modules.linear import LazyLinear as LazyLinear
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
    from tapegrad.nn.modules.loss import LinearCrossEntropyLoss as LinearCrossEntropyLoss
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
    from tapegrad.nn.modules.loss import (
        TripletMarginWithDistanceLoss as TripletMarginWithDistanceLoss,
    )
    from tapegrad.nn.modules.module import Module as Module
    from tapegrad.nn.modules.normalization import CrossMapLRN2d as CrossMapLRN2d
    from tapegrad.nn.modules.normalization import GroupNorm as GroupNorm
    from tapegrad.nn.modules.normalization import LayerNorm as LayerNorm
    from tapegrad.nn.modules.normalization import LocalResponseNorm as LocalResponseNorm
    from tapegrad.nn.modules.normalization import RMSNorm as RMSNorm
    from tapegrad.nn.modules.padding import CircularPad1d as CircularPad1d
    from tapegrad.nn.modules.padding import CircularPad2d as CircularPad2d
    from tapegrad.nn.modules.padding import CircularPad3d as CircularPad3d
    from tapegrad.nn.modules.padding import ConstantPad1d as ConstantPad1d
    from tapegrad.nn.modules.padding import ConstantPad2d as ConstantPad2d
    from tapegrad.nn.modules.padding import ConstantPad3d as ConstantPad3d
    from tapegrad.nn.modules.padding import ReflectionPad1d as ReflectionPad1d
    from tapegrad.nn.modules.padding import ReflectionPad2d as ReflectionPad2d
    from tapegrad.nn.modules.padding import ReflectionPad3d as ReflectionPad3d
    from tapegrad.nn.modules.padding import ReplicationPad1d as ReplicationPad1d
    from tapegrad.nn.modules.padding import ReplicationPad2d as ReplicationPad2d
    from tapegrad.nn.modules.padding import ReplicationPad3d as ReplicationPad3d
    from tapegrad.nn.modules.padding import ZeroPad1d as ZeroPad1d
    from tapegrad.nn.modules.padding import ZeroPad2d as ZeroPad2d
    from tapegrad.nn.modules.padding import ZeroPad3d as ZeroPad3d
    from tapegrad.nn.modules.pixelshuffle import PixelShuffle as PixelShuffle
    from tapegrad.nn.modules.pixelshuffle import PixelUnshuffle as PixelUnshuffle
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
    from tapegrad.nn.modules.sparse import Embedding as Embedding
    from tapegrad.nn.modules.sparse import EmbeddingBag as EmbeddingBag
    from tapegrad.nn.modules.transformer import Transformer as Transformer
    from tapegrad.nn.modules.transformer import TransformerDecoder as TransformerDecoder
    from tapegrad.nn.modules.transformer import TransformerDecoderLayer as TransformerDecoderLayer
    from tapegrad.nn.modules.transformer import TransformerEncoder as TransformerEncoder
    from tapegrad.nn.modules.transformer import TransformerEncoderLayer as TransformerEncoderLayer
    from tapegrad.nn.modules.upsampling import Upsample as Upsample
    from tapegrad.nn.modules.upsampling import UpsamplingBilinear2d as UpsamplingBilinear2d
    from tapegrad.nn.modules.upsampling import UpsamplingNearest2d as UpsamplingNearest2d

# The files and what they define, as above: a file takes up to a millisecond to load.
_FILES = {
    "activation": """
        CELU ELU GELU GLU SELU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid
        LogSoftmax Mish PReLU ReLU ReLU6 RReLU Sigmoid SiLU Softmax Softmax2d Softmin Softplus
        Softshrink Softsign Tanh Tanhshrink Threshold
    """,
    "adaptive": "AdaptiveLogSoftmaxWithLoss",
    "attention": "MultiheadAttention",
    "batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm",
    "channelshuffle": "ChannelShuffle",
    "container": "ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "conv": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d",
    "distance": "CosineSimilarity PairwiseDistance",
    "dropout": "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "flatten": "Flatten Unflatten",
    "fold": "Fold Unfold",
    "instancenorm": "InstanceNorm1d InstanceNorm2d InstanceNorm3d",
    "lazy": "LazyModuleMixin",
    "lazy_conv": """
        LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d
        LazyConvTranspose3d
    """,
    "lazy_norm": """
        LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyInstanceNorm1d LazyInstanceNorm2d
        LazyInstanceNorm3d
    """,
    "linear": "Bilinear Identity LazyLinear Linear",
    "loss": """
        BCELoss BCEWithLogitsLoss CosineEmbeddingLoss CrossEntropyLoss CTCLoss GaussianNLLLoss
        HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MarginRankingLoss
        MSELoss MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss
        PoissonNLLLoss SmoothL1Loss SoftMarginLoss TripletMarginLoss
        TripletMarginWithDistanceLoss
    """,
    "module": "Module",
    "normalization": "CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "padding": """
        CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d
        ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d
        ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d
    """,
    "pixelshuffle": "PixelShuffle PixelUnshuffle",
    "pooling": """
        AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d
        AdaptiveMaxPool2d AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d
        FractionalMaxPool3d LPPool1d LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d
        MaxUnpool2d MaxUnpool3d
    """,
    "rnn": "GRU LSTM RNN GRUCell LSTMCell RNNBase RNNCell RNNCellBase",
    "sparse": "Embedding EmbeddingBag",
    "transformer": """
        Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder
        TransformerEncoderLayer
    """,
    "upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
}
_HOMES = {name: file for file, names in _FILES.items() for name in names.split()}

if not TYPE_CHECKING:  # type checkers take the imports above
    __all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    elif name in _FILES:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_FILES, *_HOMES})
