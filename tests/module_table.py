"""One row for every kind of module: how it is made, and what it is called with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Ints:
    """An input of indices below a limit."""

    shape: tuple[int, ...]
    below: int


@dataclass
class Row:
    """Constructor arguments, and inputs as shapes (standard normal numbers) or `Ints`."""

    name: str
    args: tuple[Any, ...]
    inputs: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        options = [str(x) for x in self.args] + [f"{k}={v}" for k, v in self.kwargs.items()]
        return f"{self.name}({', '.join(options)})"

    def build(self, lib: Any) -> Any:
        return getattr(lib.nn, self.name)(*self.args, **self.kwargs)

    def arrays(self) -> list[np.ndarray]:
        rng = np.random.default_rng(len(self.id))
        return [
            rng.integers(0, x.below, x.shape)
            if isinstance(x, Ints)
            else rng.standard_normal(x).astype(np.float32)
            for x in self.inputs
        ]


def row(name: str, *args: Any, inputs: tuple[Any, ...], **kwargs: Any) -> Row:
    return Row(name, args, inputs, kwargs)


# Not in the table: those that are made of others or have no place of their own, losses (in
# test_losses.py), and those whose outputs are random or whose inputs are those of another module.
ELSEWHERE = """
Module ModuleDict ModuleList ParameterDict ParameterList Sequential RNNBase RNNCellBase
TransformerEncoder TransformerDecoder FractionalMaxPool2d FractionalMaxPool3d
MaxUnpool1d MaxUnpool2d MaxUnpool3d LazyModuleMixin
"""

FLAT, LINE, IMAGE, VOLUME = (4, 6), (2, 4, 9), (2, 4, 8, 8), (2, 4, 5, 6, 6)
WORDS = (5, 3, 8)  # steps, batch, features

PLAIN = """
ReLU ReLU6 LeakyReLU ELU SELU CELU GELU SiLU Mish Sigmoid Tanh LogSigmoid Softplus Softsign
Softshrink Hardshrink Hardtanh Hardsigmoid Hardswish Tanhshrink GLU Identity Flatten
Dropout AlphaDropout
"""

ROWS = [
    *(row(name, inputs=(FLAT,)) for name in PLAIN.split()),
    row("PReLU", 4, inputs=(IMAGE,)),
    row("PReLU", inputs=(FLAT,)),
    row("RReLU", inputs=(FLAT,)),
    row("Threshold", 0.1, 0.5, inputs=(FLAT,)),
    row("Softmax", dim=1, inputs=(FLAT,)),
    row("Softmin", dim=1, inputs=(FLAT,)),
    row("Softmax2d", inputs=(IMAGE,)),
    row("LogSoftmax", dim=1, inputs=(FLAT,)),
    row("Unflatten", 1, (2, 3), inputs=(FLAT,)),
    row("Dropout1d", inputs=(LINE,)),
    row("Dropout2d", inputs=(IMAGE,)),
    row("Dropout3d", inputs=(VOLUME,)),
    row("FeatureAlphaDropout", inputs=(IMAGE,)),
    # products
    row("Linear", 6, 3, inputs=(FLAT,)),
    row("Linear", 6, 3, bias=False, inputs=(FLAT,)),
    row("Bilinear", 6, 5, 3, inputs=(FLAT, (4, 5))),
    row("Embedding", 10, 3, padding_idx=2, inputs=(Ints((4, 5), 10),)),
    row("EmbeddingBag", 10, 3, inputs=(Ints((4, 5), 10),)),
    row("EmbeddingBag", 10, 3, mode="max", padding_idx=1, inputs=(Ints((4, 5), 10),)),
    # convolutions
    row("Conv1d", 4, 6, 3, padding=1, stride=2, inputs=(LINE,)),
    row("Conv1d", 4, 6, 3, padding="same", padding_mode="reflect", inputs=(LINE,)),
    row("Conv2d", 4, 6, 3, inputs=(IMAGE,)),
    row("Conv2d", 4, 8, (3, 1), stride=2, padding=(1, 0), groups=2, bias=False, inputs=(IMAGE,)),
    row("Conv2d", 4, 4, 3, padding=2, dilation=2, groups=4, inputs=(IMAGE,)),
    row("Conv3d", 4, 6, 3, padding=1, inputs=(VOLUME,)),
    row("ConvTranspose1d", 4, 6, 3, stride=2, inputs=(LINE,)),
    row("ConvTranspose2d", 4, 6, 3, stride=2, padding=1, output_padding=1, inputs=(IMAGE,)),
    row("ConvTranspose3d", 4, 2, 3, groups=2, inputs=(VOLUME,)),
    # pools
    row("MaxPool1d", 2, inputs=(LINE,)),
    row("MaxPool2d", 3, 2, 1, inputs=(IMAGE,)),
    row("MaxPool3d", 2, ceil_mode=True, inputs=(VOLUME,)),
    row("AvgPool1d", 2, inputs=(LINE,)),
    row("AvgPool2d", 3, 2, 1, count_include_pad=False, inputs=(IMAGE,)),
    row("AvgPool3d", 2, inputs=(VOLUME,)),
    row("LPPool1d", 2, 2, inputs=(LINE,)),
    row("LPPool2d", 2, 2, inputs=(IMAGE,)),
    row("LPPool3d", 2, 2, inputs=(VOLUME,)),
    row("AdaptiveAvgPool1d", 4, inputs=(LINE,)),
    row("AdaptiveAvgPool2d", (3, None), inputs=(IMAGE,)),
    row("AdaptiveAvgPool3d", 2, inputs=(VOLUME,)),
    row("AdaptiveMaxPool1d", 4, inputs=(LINE,)),
    row("AdaptiveMaxPool2d", 3, inputs=(IMAGE,)),
    row("AdaptiveMaxPool3d", 2, inputs=(VOLUME,)),
    # norms
    row("BatchNorm1d", 6, inputs=(FLAT,)),
    row("BatchNorm1d", 4, affine=False, inputs=(LINE,)),
    row("BatchNorm2d", 4, inputs=(IMAGE,)),
    row("BatchNorm2d", 4, momentum=None, inputs=(IMAGE,)),
    row("BatchNorm2d", 4, track_running_stats=False, inputs=(IMAGE,)),
    row("BatchNorm3d", 4, inputs=(VOLUME,)),
    row("LayerNorm", 6, inputs=(FLAT,)),
    row("LayerNorm", (8, 8), bias=False, inputs=(IMAGE,)),
    row("LayerNorm", 6, elementwise_affine=False, inputs=(FLAT,)),
    row("RMSNorm", 6, inputs=(FLAT,)),
    row("GroupNorm", 2, 4, inputs=(IMAGE,)),
    row("CrossMapLRN2d", 3, alpha=0.3, inputs=(IMAGE,)),
    row("SyncBatchNorm", 4, inputs=(IMAGE,)),
    row("SyncBatchNorm", 4, affine=False, momentum=None, inputs=(LINE,)),
    row("InstanceNorm1d", 4, inputs=(LINE,)),
    row("InstanceNorm2d", 4, affine=True, track_running_stats=True, inputs=(IMAGE,)),
    row("InstanceNorm3d", 4, affine=True, inputs=(VOLUME,)),
    row("LocalResponseNorm", 3, inputs=(IMAGE,)),
    # shapes
    row("PixelShuffle", 2, inputs=(IMAGE,)),
    row("PixelUnshuffle", 2, inputs=(IMAGE,)),
    row("ChannelShuffle", 2, inputs=(IMAGE,)),
    row("Upsample", scale_factor=2, mode="nearest", inputs=(IMAGE,)),
    row("Upsample", size=(5, 11), mode="bilinear", align_corners=True, inputs=(IMAGE,)),
    row("UpsamplingNearest2d", scale_factor=2, inputs=(IMAGE,)),
    row("UpsamplingBilinear2d", scale_factor=2, inputs=(IMAGE,)),
    row("Fold", (5, 6), 2, inputs=((2, 12, 20),)),
    row("Unfold", 2, inputs=(IMAGE,)),
    row("ZeroPad1d", (1, 2), inputs=(LINE,)),
    row("ZeroPad2d", (1, 0, 2, 1), inputs=(IMAGE,)),
    row("ZeroPad3d", 1, inputs=(VOLUME,)),
    row("ConstantPad1d", 2, 0.5, inputs=(LINE,)),
    row("ConstantPad2d", (2, 0, 1, -1), 0.5, inputs=(IMAGE,)),
    row("ConstantPad3d", 1, 0.5, inputs=(VOLUME,)),
    row("ReflectionPad1d", (2, 1), inputs=(LINE,)),
    row("ReflectionPad2d", 2, inputs=(IMAGE,)),
    row("ReflectionPad3d", 1, inputs=(VOLUME,)),
    row("ReplicationPad1d", (2, 1), inputs=(LINE,)),
    row("ReplicationPad2d", 2, inputs=(IMAGE,)),
    row("ReplicationPad3d", 1, inputs=(VOLUME,)),
    row("CircularPad1d", 2, inputs=(LINE,)),
    row("CircularPad2d", (2, 1, 0, 3), inputs=(IMAGE,)),
    row("CircularPad3d", 1, inputs=(VOLUME,)),
    # distances
    row("CosineSimilarity", inputs=(FLAT, FLAT)),
    row("PairwiseDistance", p=1.0, inputs=(FLAT, FLAT)),
    # sequences
    row("RNN", 8, 5, inputs=(WORDS,)),
    row("RNN", 8, 5, nonlinearity="relu", bias=False, inputs=(WORDS,)),
    row("LSTM", 8, 5, num_layers=2, bidirectional=True, inputs=(WORDS,)),
    row("LSTM", 8, 5, proj_size=3, batch_first=True, inputs=((3, 5, 8),)),
    row("GRU", 8, 5, num_layers=2, inputs=(WORDS,)),
    row("RNNCell", 8, 5, inputs=((3, 8),)),
    row("LSTMCell", 8, 5, inputs=((3, 8),)),
    row("GRUCell", 8, 5, inputs=((3, 8),)),
    row("MultiheadAttention", 8, 2, inputs=(WORDS, WORDS, WORDS)),
    row(
        "MultiheadAttention",
        8,
        2,
        bias=False,
        kdim=6,
        vdim=4,
        batch_first=True,
        inputs=((3, 5, 8), (3, 7, 6), (3, 7, 4)),
    ),
    row("TransformerEncoderLayer", 8, 2, 16, inputs=(WORDS,)),
    row(
        "TransformerEncoderLayer",
        8,
        2,
        16,
        activation="gelu",
        norm_first=True,
        batch_first=True,
        inputs=((3, 5, 8),),
    ),
    row("TransformerDecoderLayer", 8, 2, 16, inputs=(WORDS, (4, 3, 8))),
    row("Transformer", 8, 2, 1, 1, 16, inputs=(WORDS, (4, 3, 8))),
]
