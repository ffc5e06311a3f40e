"""``MultiheadAttention``."""

from __future__ import annotations

from tapegrad import _C
from tapegrad.nn import init
from tapegrad.nn._attention_functional import attend
from tapegrad.nn.modules.linear import Linear
from tapegrad.nn.modules.module import Module
from tapegrad.nn.parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tapegrad._C import Tensor

__all__ = ["MultiheadAttention", "NonDynamicallyQuantizableLinear"]


class NonDynamicallyQuantizableLinear(Linear):
    """A :class:`Linear` under the name that the output projection has in PyTorch.

    >>> import tapegrad as tg
    >>> tg.nn.MultiheadAttention(4, 2).out_proj
    NonDynamicallyQuantizableLinear(in_features=4, out_features=4, bias=True)
    """


class MultiheadAttention(Module):
    """Attention with several heads (Vaswani et al., 2017).

    Query, key and value are projected to ``num_heads`` parts each; every head weighs the values by
    ``softmax(q k^T / sqrt(E / num_heads))``; what the heads give is joined and projected again.

    Args:
        embed_dim: features E of query and result
        num_heads: a divisor of E
        dropout: the share of weights that is dropped in training
        bias: whether the projections have biases
        add_bias_kv: one more key and value, which are learnt
        add_zero_attn: one more key and value of zeros
        kdim, vdim: features of key and value; None: E
        batch_first: sequences are (N, L, E) in place of (L, N, E)
        device, dtype: of the parameters

    Parameters: ``in_proj_weight`` (3E, E), or ``q_proj_weight``, ``k_proj_weight`` and
    ``v_proj_weight`` where kdim or vdim differ, Xavier uniform; ``in_proj_bias`` (3E,) and
    ``out_proj.bias`` (E,), 0; ``out_proj.weight`` (E, E) as in :class:`Linear`; ``bias_k`` and
    ``bias_v`` (1, 1, E), Xavier normal.

    >>> import tapegrad as tg
    >>> x = tg.ones(2, 5, 8)
    >>> y, weights = tg.nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> y.shape, weights.shape
    (tapegrad.Size([2, 5, 8]), tapegrad.Size([2, 5, 5]))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None
    out_proj: NonDynamicallyQuantizableLinear

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "MultiheadAttention: embed_dim and num_heads must be greater than 0, got "
                f"{embed_dim} and {num_heads}"
            )
        if embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim must be divisible by num_heads, got {embed_dim} "
                f"and {num_heads}"
            )
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = kdim if kdim is not None else embed_dim
        self.vdim = vdim if vdim is not None else embed_dim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn

        def parameter(wanted: bool, *shape: int) -> Parameter | None:
            return Parameter(_C.empty(shape, device=device, dtype=dtype)) if wanted else None

        packed = self._qkv_same_embed_dim
        for name, wanted, shape in (
            ("q_proj_weight", not packed, (embed_dim, embed_dim)),
            ("k_proj_weight", not packed, (embed_dim, self.kdim)),
            ("v_proj_weight", not packed, (embed_dim, self.vdim)),
            ("in_proj_weight", packed, (3 * embed_dim, embed_dim)),
            ("in_proj_bias", bias, (3 * embed_dim,)),
        ):
            self.register_parameter(name, parameter(wanted, *shape))
        self.out_proj = NonDynamicallyQuantizableLinear(
            embed_dim, embed_dim, bias=bias, device=device, dtype=dtype
        )
        self.register_parameter("bias_k", parameter(add_bias_kv, 1, 1, embed_dim))
        self.register_parameter("bias_v", parameter(add_bias_kv, 1, 1, embed_dim))
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (
            self.in_proj_weight,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
        ):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result and, with ``need_weights``, the weights.

        Args:
            query: (L, N, E), with ``batch_first`` (N, L, E), or (L, E)
            key: (S, N, kdim), (N, S, kdim) or (S, kdim)
            value: (S, N, vdim), (N, S, vdim) or (S, vdim)
            key_padding_mask: (N, S) or (S,): True, or -inf, where a key is padding
            need_weights: whether to return the weights; without them the fused attention is used
            attn_mask: (L, S) or (N * num_heads, L, S): True where a query must not see a key, or
                floating point, added to the scores
            average_attn_weights: return the mean of the weights over the heads
            is_causal: a hint that attn_mask, which must be given, is the causal one

        Raises
        ------
            ShapeError: shapes that do not fit
            RuntimeError: is_causal without attn_mask
        """
        return attend(
            query,
            key,
            value,
            self.batch_first,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight
            if self._qkv_same_embed_dim
            else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight),
            self.in_proj_bias,
            (self.bias_k, self.bias_v),
            self.add_zero_attn,
            self.dropout if self.training else 0.0,
            self.out_proj.weight,
            self.out_proj.bias,
            key_padding_mask,
            need_weights,
            attn_mask,
            (None, None),
            average_attn_weights,
            is_causal,
        )
