"""Transformer layers and stacks of them (Vaswani et al., 2017)."""

from __future__ import annotations

import math

from tapegrad import _C
from tapegrad.nn import functional, init
from tapegrad.nn.modules.attention import MultiheadAttention
from tapegrad.nn.modules.container import ModuleList
from tapegrad.nn.modules.dropout import Dropout
from tapegrad.nn.modules.linear import Linear
from tapegrad.nn.modules.module import Module
from tapegrad.nn.modules.normalization import LayerNorm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tapegrad._C import Tensor

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]


def _causal_mask(size: int, device: Any = None, dtype: _C.dtype | None = None) -> Tensor:
    return _C.triu(_C.full((size, size), -math.inf, dtype=dtype, device=device), 1)


def _is_causal(mask: Tensor | None, hint: bool | None, size: int) -> bool:
    """What the caller says or, where that is nothing, whether the mask is the causal one."""
    if hint is not None:
        return hint
    if mask is None or tuple(mask.shape) != (size, size) or not mask.is_floating_point():
        return False
    return bool((mask == _causal_mask(size, dtype=mask.dtype)).all())


def _length(sequence: Tensor, batch_first: bool) -> int:
    return sequence.size(1 if sequence.dim() == 3 and batch_first else 0)


def _activation(given: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if not isinstance(given, str):
        return given
    if given not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu or gelu, not {given}")
    chosen: Callable[[Tensor], Tensor] = getattr(functional, given)
    return chosen


def _copies(module: Module, count: int) -> ModuleList:
    import copy

    return ModuleList([copy.deepcopy(module) for _ in range(count)])


class _Layer(Module):
    """What encoder and decoder layers share: the feed-forward block and how a block is added."""

    norm_first: bool
    activation: Callable[[Tensor], Tensor]
    linear1: Linear
    dropout: Dropout
    linear2: Linear

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))  # type: ignore[no-any-return]

    def _add(self, x: Tensor, block: Callable[[Tensor], Tensor], number: int) -> Tensor:
        """X with what block number ``number`` makes of it, normed before or after."""
        norm, drop = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        if self.norm_first:
            return x + drop(block(norm(x)))  # type: ignore[no-any-return]
        return norm(x + drop(block(x)))  # type: ignore[no-any-return]


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers; each is added to its input and normed.

    Args:
        d_model: features of the sequences
        nhead: heads of the attention
        dim_feedforward: features between the linear layers
        dropout: of weights, of the inner features and of what is added
        activation: "relu", "gelu" or a function
        layer_norm_eps: of the norms
        batch_first: sequences are (N, S, E) in place of (S, N, E)
        norm_first: norm what goes into a block in place of the sum
        bias: whether linear layers and norms have biases
        device, dtype: of the parameters

    >>> import tapegrad as tg
    >>> layer = tg.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> layer(tg.ones(2, 5, 8)).shape
    tapegrad.Size([2, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = functional.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        kwargs: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, batch_first=batch_first, **kwargs
        )
        self.linear1 = Linear(d_model, dim_feedforward, **kwargs)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **kwargs)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, **kwargs)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, **kwargs)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The sequence after the layer.

        Args:
            src: (S, N, E), with ``batch_first`` (N, S, E), or (S, E)
            src_mask: (S, S) or (N * nhead, S, S), as attn_mask of :class:`MultiheadAttention`
            src_key_padding_mask: (N, S): True, or -inf, where an element is padding
            is_causal: a hint that src_mask, which must be given, is the causal one
        """

        def attention(x: Tensor) -> Tensor:
            return self.self_attn(  # type: ignore[no-any-return]
                x,
                x,
                x,
                attn_mask=src_mask,
                key_padding_mask=src_key_padding_mask,
                need_weights=False,
                is_causal=is_causal,
            )[0]

        return self._add(self._add(src, attention, 1), self._feed_forward, 2)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's result, then two linear layers.

    Each is added to its input and normed. The arguments are those of
    :class:`TransformerEncoderLayer`.

    >>> import tapegrad as tg
    >>> layer = tg.nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> layer(tg.ones(2, 5, 8), tg.ones(2, 3, 8)).shape
    tapegrad.Size([2, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = functional.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        kwargs: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, batch_first=batch_first, **kwargs
        )
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, batch_first=batch_first, **kwargs
        )
        self.linear1 = Linear(d_model, dim_feedforward, **kwargs)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **kwargs)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, **kwargs)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, **kwargs)
        self.norm3 = LayerNorm(d_model, eps=layer_norm_eps, **kwargs)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The sequence after the layer.

        Args:
            tgt: (T, N, E), with ``batch_first`` (N, T, E), or (T, E)
            memory: the encoder's result, (S, N, E), (N, S, E) or (S, E)
            tgt_mask: (T, T) or (N * nhead, T, T), as attn_mask of :class:`MultiheadAttention`
            memory_mask: (T, S) or (N * nhead, T, S)
            tgt_key_padding_mask: (N, T): True, or -inf, where an element is padding
            memory_key_padding_mask: (N, S)
            tgt_is_causal, memory_is_causal: hints that the masks, which must be given, are causal
        """

        def attention(x: Tensor) -> Tensor:
            return self.self_attn(  # type: ignore[no-any-return]
                x,
                x,
                x,
                attn_mask=tgt_mask,
                key_padding_mask=tgt_key_padding_mask,
                need_weights=False,
                is_causal=tgt_is_causal,
            )[0]

        def cross_attention(x: Tensor) -> Tensor:
            return self.multihead_attn(  # type: ignore[no-any-return]
                x,
                memory,
                memory,
                attn_mask=memory_mask,
                key_padding_mask=memory_key_padding_mask,
                need_weights=False,
                is_causal=memory_is_causal,
            )[0]

        x = self._add(tgt, attention, 1)
        return self._add(self._add(x, cross_attention, 2), self._feed_forward, 3)


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer, one after another, then ``norm``.

    ``enable_nested_tensor`` and ``mask_check`` are accepted and have no effect: there are no nested
    tensors here.

    >>> import tapegrad as tg
    >>> encoder = tg.nn.TransformerEncoder(tg.nn.TransformerEncoderLayer(8, 2, 16), 2)
    >>> encoder(tg.ones(5, 1, 8)).shape
    tapegrad.Size([5, 1, 8])
    """

    def __init__(
        self,
        encoder_layer: TransformerEncoderLayer,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """The sequence after all layers; arguments as of the layers.

        Without a hint the mask is looked at whether it is the causal one.
        """
        first = self.layers[0].self_attn if len(self.layers) else None
        causal = _is_causal(mask, is_causal, _length(src, bool(first and first.batch_first)))
        for layer in self.layers:
            src = layer(
                src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal
            )
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer, one after another, then ``norm``.

    >>> import tapegrad as tg
    >>> decoder = tg.nn.TransformerDecoder(tg.nn.TransformerDecoderLayer(8, 2, 16), 2)
    >>> decoder(tg.ones(5, 1, 8), tg.ones(3, 1, 8)).shape
    tapegrad.Size([5, 1, 8])
    """

    def __init__(
        self, decoder_layer: TransformerDecoderLayer, num_layers: int, norm: Module | None = None
    ) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The sequence after all layers; arguments as of the layers.

        Without a hint tgt_mask is looked at whether it is the causal one.
        """
        first = self.layers[0].self_attn if len(self.layers) else None
        causal = _is_causal(
            tgt_mask, tgt_is_causal, _length(tgt, bool(first and first.batch_first))
        )
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder of the Transformer.

    All parameters of two dimensions and more are drawn Xavier uniform.

    Args:
        d_model: features of the sequences
        nhead: heads of the attention
        num_encoder_layers, num_decoder_layers: layers
        dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device,
            dtype: as of :class:`TransformerEncoderLayer`
        custom_encoder, custom_decoder: modules in place of encoder and decoder

    >>> import tapegrad as tg
    >>> model = tg.nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> model(tg.ones(2, 5, 8), tg.ones(2, 3, 8)).shape
    tapegrad.Size([2, 3, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = functional.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        kwargs: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        layer = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        if custom_encoder is None:
            custom_encoder = TransformerEncoder(
                TransformerEncoderLayer(*layer, batch_first, norm_first, **kwargs),
                num_encoder_layers,
                LayerNorm(d_model, eps=layer_norm_eps, **kwargs),
            )
        self.encoder = custom_encoder
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(
                TransformerDecoderLayer(*layer, batch_first, norm_first, **kwargs),
                num_decoder_layers,
                LayerNorm(d_model, eps=layer_norm_eps, **kwargs),
            )
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's result; arguments as of encoder and decoder.

        Sequences of other features than d_model, or batches that differ, are a RuntimeError.
        """
        batch = 0 if self.batch_first else 1
        if src.dim() == 3 and src.size(batch) != tgt.size(batch):
            raise RuntimeError(
                "Transformer: the batch number of src and tgt must be equal, got shapes "
                f"{tuple(src.shape)} and {tuple(tgt.shape)}"
            )
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError(
                "Transformer: the feature number of src and tgt must be equal to d_model = "
                f"{self.d_model}, got shapes {tuple(src.shape)} and {tuple(tgt.shape)}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(  # type: ignore[no-any-return]
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: Any = None, dtype: _C.dtype | None = None
    ) -> Tensor:
        """The causal mask for sequences of length ``sz``: -inf above the diagonal, 0 elsewhere.

        >>> import tapegrad as tg
        >>> tg.nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[0., -inf],
                [0., 0.]])
        """
        return _causal_mask(sz, device, dtype)
