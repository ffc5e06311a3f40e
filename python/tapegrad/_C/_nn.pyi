# Made by tools/generate_stubs.py from the op table; do not edit.
from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from builtins import str as _str
from collections.abc import Sequence
from typing import Any, overload

from tapegrad._C import (
    Tensor,
    _Device,
    _DType,
    _DTypeType,
    _Generator,
    _Layout,
    _MemoryFormat,
    _Number,
    _Size,
    return_types,
)

def _interpolate(
    input: Tensor,
    size: _Size,
    mode: _str = "nearest",
    align_corners: _bool = False,
    antialias: _bool = False,
    scale1: _Number = 0.0,
    scale2: _Number = 0.0,
    scale3: _Number = 0.0,
) -> Tensor: ...
def adaptive_avg_pool1d(input: Tensor, output_size: _int | _Size) -> Tensor: ...
def adaptive_avg_pool2d(input: Tensor, output_size: _int | _Size) -> Tensor: ...
def adaptive_avg_pool3d(input: Tensor, output_size: _int | _Size) -> Tensor: ...
def adaptive_max_pool1d(
    input: Tensor, output_size: _int | _Size, return_indices: _bool = False
) -> Any: ...
def adaptive_max_pool2d(
    input: Tensor, output_size: _int | _Size, return_indices: _bool = False
) -> Any: ...
def adaptive_max_pool3d(
    input: Tensor, output_size: _int | _Size, return_indices: _bool = False
) -> Any: ...
def affine_grid(theta: Tensor, size: _Size, align_corners: _bool | None = None) -> Tensor: ...
def alpha_dropout(
    input: Tensor, p: _Number = 0.5, training: _bool = False, inplace: _bool = False
) -> Tensor: ...
def avg_pool1d(
    input: Tensor,
    kernel_size: _int | _Size,
    stride: _int | _Size | None = None,
    padding: _int | _Size = 0,
    ceil_mode: _bool = False,
    count_include_pad: _bool = True,
) -> Tensor: ...
def avg_pool2d(
    input: Tensor,
    kernel_size: _int | _Size,
    stride: _int | _Size | None = None,
    padding: _int | _Size = 0,
    ceil_mode: _bool = False,
    count_include_pad: _bool = True,
    divisor_override: _int | None = None,
) -> Tensor: ...
def avg_pool3d(
    input: Tensor,
    kernel_size: _int | _Size,
    stride: _int | _Size | None = None,
    padding: _int | _Size = 0,
    ceil_mode: _bool = False,
    count_include_pad: _bool = True,
    divisor_override: _int | None = None,
) -> Tensor: ...
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: _bool = False,
    momentum: _Number = 0.1,
    eps: _Number = 1e-05,
) -> Tensor: ...
def bilinear(
    input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor: ...
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor: ...
def celu(input: Tensor, alpha: _Number = 1.0, inplace: _bool = False) -> Tensor: ...
def celu_(input: Tensor, alpha: _Number = 1.0) -> Tensor: ...
def channel_shuffle(input: Tensor, groups: _int) -> Tensor: ...
@overload
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _int | _Size = 1,
    padding: _int | _Size = 0,
    dilation: _int | _Size = 1,
    groups: _int = 1,
) -> Tensor: ...
@overload
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _int | _Size = 1,
    padding: _str = "valid",
    dilation: _int | _Size = 1,
    groups: _int = 1,
) -> Tensor: ...
@overload
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _int | _Size = 1,
    padding: _int | _Size = 0,
    dilation: _int | _Size = 1,
    groups: _int = 1,
) -> Tensor: ...
@overload
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _int | _Size = 1,
    padding: _str = "valid",
    dilation: _int | _Size = 1,
    groups: _int = 1,
) -> Tensor: ...
@overload
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _int | _Size = 1,
    padding: _int | _Size = 0,
    dilation: _int | _Size = 1,
    groups: _int = 1,
) -> Tensor: ...
@overload
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _int | _Size = 1,
    padding: _str = "valid",
    dilation: _int | _Size = 1,
    groups: _int = 1,
) -> Tensor: ...
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _int | _Size = 1,
    padding: _int | _Size = 0,
    output_padding: _int | _Size = 0,
    groups: _int = 1,
    dilation: _int | _Size = 1,
) -> Tensor: ...
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _int | _Size = 1,
    padding: _int | _Size = 0,
    output_padding: _int | _Size = 0,
    groups: _int = 1,
    dilation: _int | _Size = 1,
) -> Tensor: ...
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _int | _Size = 1,
    padding: _int | _Size = 0,
    output_padding: _int | _Size = 0,
    groups: _int = 1,
    dilation: _int | _Size = 1,
) -> Tensor: ...
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: _Number = 0,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def cosine_similarity(x1: Tensor, x2: Tensor, dim: _int = 1, eps: _Number = 1e-8) -> Tensor: ...
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _bool | None = None,
    ignore_index: _int = -100,
    reduce: _bool | None = None,
    reduction: _str = "mean",
    label_smoothing: _Number = 0.0,
) -> Tensor: ...
@overload
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor,
    target_lengths: Tensor,
    blank: _int = 0,
    reduction: _str = "mean",
    zero_infinity: _bool = False,
) -> Tensor: ...
@overload
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: _Size,
    target_lengths: _Size,
    blank: _int = 0,
    reduction: _str = "mean",
    zero_infinity: _bool = False,
) -> Tensor: ...
def dropout(
    input: Tensor, p: _Number = 0.5, training: _bool = True, inplace: _bool = False
) -> Tensor: ...
def dropout1d(
    input: Tensor, p: _Number = 0.5, training: _bool = True, inplace: _bool = False
) -> Tensor: ...
def dropout2d(
    input: Tensor, p: _Number = 0.5, training: _bool = True, inplace: _bool = False
) -> Tensor: ...
def dropout3d(
    input: Tensor, p: _Number = 0.5, training: _bool = True, inplace: _bool = False
) -> Tensor: ...
def elu(input: Tensor, alpha: _Number = 1.0, inplace: _bool = False) -> Tensor: ...
def elu_(input: Tensor, alpha: _Number = 1.0) -> Tensor: ...
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: _int | None = None,
    max_norm: _Number | None = None,
    norm_type: _Number = 2.0,
    scale_grad_by_freq: _bool = False,
    sparse: _bool = False,
) -> Tensor: ...
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: _Number | None = None,
    norm_type: _Number = 2.0,
    scale_grad_by_freq: _bool = False,
    mode: _str = "mean",
    sparse: _bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: _bool = False,
    padding_idx: _int | None = None,
) -> Tensor: ...
def feature_alpha_dropout(
    input: Tensor, p: _Number = 0.5, training: _bool = False, inplace: _bool = False
) -> Tensor: ...
def fold(
    input: Tensor,
    output_size: _int | _Size,
    kernel_size: _int | _Size,
    dilation: _int | _Size = 1,
    padding: _int | _Size = 0,
    stride: _int | _Size = 1,
) -> Tensor: ...
@overload
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor,
    full: _bool = False,
    eps: _Number = 1e-06,
    reduction: _str = "mean",
) -> Tensor: ...
@overload
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: _Number,
    full: _bool = False,
    eps: _Number = 1e-06,
    reduction: _str = "mean",
) -> Tensor: ...
def gelu(input: Tensor, approximate: _str = "none") -> Tensor: ...
def glu(input: Tensor, dim: _int = -1) -> Tensor: ...
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: _str = "bilinear",
    padding_mode: _str = "zeros",
    align_corners: _bool | None = None,
) -> Tensor: ...
def group_norm(
    input: Tensor,
    num_groups: _int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: _Number = 1e-05,
) -> Tensor: ...
def hardshrink(input: Tensor, lambd: _Number = 0.5) -> Tensor: ...
def hardsigmoid(input: Tensor, inplace: _bool = False) -> Tensor: ...
def hardswish(input: Tensor, inplace: _bool = False) -> Tensor: ...
def hardtanh(
    input: Tensor, min_val: _Number = -1.0, max_val: _Number = 1.0, inplace: _bool = False
) -> Tensor: ...
def hardtanh_(input: Tensor, min_val: _Number = -1.0, max_val: _Number = 1.0) -> Tensor: ...
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: _Number = 1.0,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: _str = "mean",
    delta: _Number = 1.0,
    weight: Tensor | None = None,
) -> Tensor: ...
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: _bool = True,
    momentum: _Number = 0.1,
    eps: _Number = 1e-05,
) -> Tensor: ...
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
    log_target: _bool = False,
) -> Tensor: ...
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
    weight: Tensor | None = None,
) -> Tensor: ...
def layer_norm(
    input: Tensor,
    normalized_shape: _int | _Size,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: _Number = 1e-05,
) -> Tensor: ...
def leaky_relu(input: Tensor, negative_slope: _Number = 0.01, inplace: _bool = False) -> Tensor: ...
def leaky_relu_(input: Tensor, negative_slope: _Number = 0.01) -> Tensor: ...
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor: ...
def logsigmoid(input: Tensor) -> Tensor: ...
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: _Number = 0,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def max_pool1d(
    input: Tensor,
    kernel_size: _int | _Size,
    stride: _int | _Size | None = None,
    padding: _int | _Size = 0,
    dilation: _int | _Size = 1,
    ceil_mode: _bool = False,
    return_indices: _bool = False,
) -> Any: ...
def max_pool2d(
    input: Tensor,
    kernel_size: _int | _Size,
    stride: _int | _Size | None = None,
    padding: _int | _Size = 0,
    dilation: _int | _Size = 1,
    ceil_mode: _bool = False,
    return_indices: _bool = False,
) -> Any: ...
def max_pool3d(
    input: Tensor,
    kernel_size: _int | _Size,
    stride: _int | _Size | None = None,
    padding: _int | _Size = 0,
    dilation: _int | _Size = 1,
    ceil_mode: _bool = False,
    return_indices: _bool = False,
) -> Any: ...
def mish(input: Tensor, inplace: _bool = False) -> Tensor: ...
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
    weight: Tensor | None = None,
) -> Tensor: ...
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: _int = 1,
    margin: _Number = 1.0,
    weight: Tensor | None = None,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def native_channel_shuffle(input: Tensor, groups: _int) -> Tensor: ...
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: _bool | None = None,
    ignore_index: _int = -100,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def normalize(
    input: Tensor, p: _Number = 2.0, dim: _int = 1, eps: _Number = 1e-12, out: Tensor | None = None
) -> Tensor: ...
def one_hot(tensor: Tensor, num_classes: _int = -1) -> Tensor: ...
def pad(
    input: Tensor, pad: _Size, mode: _str = "constant", value: _Number | None = None
) -> Tensor: ...
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: _Number = 2.0, eps: _Number = 1e-6, keepdim: _bool = False
) -> Tensor: ...
def pdist(input: Tensor, p: _Number = 2.0) -> Tensor: ...
def pixel_shuffle(input: Tensor, upscale_factor: _int) -> Tensor: ...
def pixel_unshuffle(input: Tensor, downscale_factor: _int) -> Tensor: ...
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: _bool = True,
    full: _bool = False,
    size_average: _bool | None = None,
    eps: _Number = 1e-08,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def prelu(input: Tensor, weight: Tensor) -> Tensor: ...
def relu(input: Tensor, inplace: _bool = False) -> Tensor: ...
def relu6(input: Tensor, inplace: _bool = False) -> Tensor: ...
def rms_norm(
    input: Tensor,
    normalized_shape: _int | _Size,
    weight: Tensor | None = None,
    eps: _Number | None = None,
) -> Tensor: ...
def rrelu(
    input: Tensor,
    lower: _Number = 0.125,
    upper: _Number = 0.3333333333333333,
    training: _bool = False,
    inplace: _bool = False,
) -> Tensor: ...
def rrelu_(
    input: Tensor,
    lower: _Number = 0.125,
    upper: _Number = 0.3333333333333333,
    training: _bool = False,
) -> Tensor: ...
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: _Number = 0.0,
    is_causal: _bool = False,
    scale: _Number | None = None,
    enable_gqa: _bool = False,
) -> Tensor: ...
def selu(input: Tensor, inplace: _bool = False) -> Tensor: ...
def selu_(input: Tensor) -> Tensor: ...
def silu(input: Tensor, inplace: _bool = False) -> Tensor: ...
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
    beta: _Number = 1.0,
) -> Tensor: ...
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def softplus(input: Tensor, beta: _Number = 1.0, threshold: _Number = 20.0) -> Tensor: ...
def softshrink(input: Tensor, lambd: _Number = 0.5) -> Tensor: ...
def softsign(input: Tensor) -> Tensor: ...
def tanhshrink(input: Tensor) -> Tensor: ...
def threshold(
    input: Tensor, threshold: _Number, value: _Number, inplace: _bool = False
) -> Tensor: ...
def threshold_(input: Tensor, threshold: _Number, value: _Number) -> Tensor: ...
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: _Number = 1.0,
    p: _Number = 2,
    eps: _Number = 1e-06,
    swap: _bool = False,
    size_average: _bool | None = None,
    reduce: _bool | None = None,
    reduction: _str = "mean",
) -> Tensor: ...
def unfold(
    input: Tensor,
    kernel_size: _int | _Size,
    dilation: _int | _Size = 1,
    padding: _int | _Size = 0,
    stride: _int | _Size = 1,
) -> Tensor: ...
