"""Attention with several heads, as a function of its parameters."""

from __future__ import annotations

import math

from tapegrad import _C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tapegrad._C import Tensor

__all__ = ["multi_head_attention_forward"]

_linear = _C._nn.linear
_attention = _C._nn.scaled_dot_product_attention
_dropout = _C._nn.dropout
_pad = _C._nn.pad


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What :class:`MultiheadAttention` computes, for sequences in the first dimension.

    Args:
        query: shape (L, N, E), or (L, E) for one sequence
        key, value: shapes (S, N, kdim) and (S, N, vdim), or without N
        embed_dim_to_check: E
        num_heads: a divisor of E
        in_proj_weight, in_proj_bias: the three projections on top of each other, (3E, E) and (3E,)
        bias_k, bias_v: one more key and value, (1, 1, E)
        add_zero_attn: one more key and value of zeros
        dropout_p: the share of weights that is dropped in training
        out_proj_weight, out_proj_bias: the projection of the result, (E, E) and (E,)
        training: whether to drop
        key_padding_mask: (N, S): True, or -inf, where a key is padding
        need_weights: whether to return the weights; without them the fused attention is used
        attn_mask: (L, S) or (N * num_heads, L, S): True where a query must not see a key, or
            floating point, added to the scores
        use_separate_proj_weight: use q_proj_weight (E, E), k_proj_weight (E, kdim) and
            v_proj_weight (E, vdim) in place of in_proj_weight
        static_k, static_v: (N * num_heads, S, E / num_heads), in place of the projected ones
        average_attn_weights: return the mean of the weights over the heads
        is_causal: a hint that attn_mask, which must be given, is the causal one

    Returns
    -------
        the result, of the shape of query, and the weights of shape (N, L, S), or (N, num_heads,
        L, S) when not averaged, or None

    Raises
    ------
        ShapeError: shapes that do not fit
        RuntimeError: is_causal without attn_mask

    >>> import tapegrad as tg
    >>> x, eye = tg.ones(3, 1, 2), tg.eye(2)
    >>> y, weights = tg.nn.functional.multi_head_attention_forward(
    ...     x, x, x, 2, 1, tg.cat([eye, eye, eye]), None, None, None, False, 0.0, eye, None)
    >>> y.shape, weights.shape
    (tapegrad.Size([3, 1, 2]), tapegrad.Size([1, 3, 3]))
    """
    return attend(
        query,
        key,
        value,
        False,
        embed_dim_to_check,
        num_heads,
        (q_proj_weight, k_proj_weight, v_proj_weight)
        if use_separate_proj_weight
        else in_proj_weight,
        in_proj_bias,
        (bias_k, bias_v),
        add_zero_attn,
        dropout_p if training else 0.0,
        out_proj_weight,
        out_proj_bias,
        key_padding_mask,
        need_weights,
        attn_mask,
        (static_k, static_v),
        average_attn_weights,
        is_causal,
    )


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    batch_first: bool,
    embed_dim: int,
    num_heads: int,
    weights: Tensor | tuple[Tensor | None, ...] | None,
    biases: Tensor | None,
    extra: tuple[Tensor | None, Tensor | None],
    add_zero_attn: bool,
    dropout_p: float,
    out_weight: Tensor,
    out_bias: Tensor | None,
    key_padding_mask: Tensor | None,
    need_weights: bool,
    attn_mask: Tensor | None,
    static: tuple[Tensor | None, Tensor | None],
    average: bool,
    is_causal: bool,
) -> tuple[Tensor, Tensor | None]:
    """The same for both orders of dimensions, without moving either into the other."""
    batched = _check(query, key, value, embed_dim, num_heads, key_padding_mask)
    if not batched:
        batch_first = False
        same_key, same_value = key is query, value is key
        query = query.unsqueeze(1)
        key = query if same_key else key.unsqueeze(1)
        value = key if same_value else value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "multi_head_attention_forward: need attn_mask if specifying the is_causal hint"
        )
    size = query.size(0) if batch_first else query.size(1)
    q, k, v = _project(query, key, value, embed_dim, weights, biases)
    if extra[0] is not None and extra[1] is not None:
        if static[0] is not None or static[1] is not None:
            raise RuntimeError(
                "multi_head_attention_forward: bias_k and bias_v cannot be added to static_k "
                "and static_v"
            )
        dim = 1 if batch_first else 0
        k = _C.cat([k, _widened(extra[0], size, batch_first)], dim)
        v = _C.cat([v, _widened(extra[1], size, batch_first)], dim)
    q, k, v = (_split_heads(t, num_heads, batch_first) for t in (q, k, v))
    k = k if static[0] is None else _static("static_k", static[0], size, num_heads, q.size(-1))
    v = v if static[1] is None else _static("static_v", static[1], size, num_heads, q.size(-1))
    if add_zero_attn:
        k, v = _pad(k, (0, 0, 0, 1)), _pad(v, (0, 0, 0, 1))

    causal = is_causal and key_padding_mask is None and not need_weights
    causal = causal and extra[0] is None and not add_zero_attn
    mask = None
    if not causal:
        mask = _merged_mask(attn_mask, key_padding_mask, q, k)
    scores = None
    if need_weights:
        heads, scores = _with_weights(q, k, v, mask, dropout_p)
        if average:
            scores = scores.mean(1)
        if not batched:
            scores = scores.squeeze(0)
    else:
        heads = _attention(q, k, v, mask, dropout_p, causal)
    order = (0, 2, 1, 3) if batch_first else (2, 0, 1, 3)
    result = _linear(heads.permute(order).flatten(2), out_weight, out_bias)
    return (result if batched else result.squeeze(1)), scores


def _check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_heads: int,
    key_padding_mask: Tensor | None,
) -> bool:
    """Whether there is a dimension of sequences."""
    dims = query.dim()
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)}"
    if dims not in (2, 3) or key.dim() != dims or value.dim() != dims:
        raise _C.ShapeError(
            "multi_head_attention_forward: query, key and value must all have 2 dimensions (one "
            f"sequence) or 3 (with a batch), got {shapes}"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != dims - 1:
        raise _C.ShapeError(
            f"multi_head_attention_forward: key_padding_mask must have {dims - 1} dimensions, got "
            f"shape {tuple(key_padding_mask.shape)} with {shapes}"
        )
    if query.size(-1) != embed_dim or embed_dim % num_heads:
        raise _C.ShapeError(
            f"multi_head_attention_forward: expected {embed_dim} features in query, divisible by "
            f"num_heads = {num_heads}, got {shapes}"
        )
    if key.shape[:-1] != value.shape[:-1]:
        raise _C.ShapeError(
            "multi_head_attention_forward: key and value must agree in length and batch, got "
            f"{shapes}"
        )
    return dims == 3


def _project(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    weights: Tensor | tuple[Tensor | None, ...] | None,
    biases: Tensor | None,
) -> tuple[Tensor, ...]:
    if isinstance(weights, tuple):
        each = biases.chunk(3) if biases is not None else (None,) * 3
        return tuple(
            _linear(x, w, b)  # type: ignore[arg-type]
            for x, w, b in zip((query, key, value), weights, each, strict=True)
        )
    if weights is None:
        raise ValueError(
            "multi_head_attention_forward: in_proj_weight is None and use_separate_proj_weight is "
            "False; give one kind of projection"
        )
    if key is value:
        if query is key:
            return tuple(_linear(query, weights, biases).chunk(3, -1))
        w_q, w_kv = weights.split([embed_dim, 2 * embed_dim])
        b_q, b_kv = biases.split([embed_dim, 2 * embed_dim]) if biases is not None else (None,) * 2
        return (_linear(query, w_q, b_q), *_linear(key, w_kv, b_kv).chunk(2, -1))
    return _project(query, key, value, embed_dim, tuple(weights.chunk(3)), biases)


def _widened(bias: Tensor, size: int, batch_first: bool) -> Tensor:
    """One more key or value for each sequence."""
    return bias.expand(size, 1, -1) if batch_first else bias.expand(1, size, -1)


def _split_heads(t: Tensor, num_heads: int, batch_first: bool) -> Tensor:
    """(N, heads, length, features)."""
    heads = t.unflatten(-1, (num_heads, t.size(-1) // num_heads))
    return heads.permute(0, 2, 1, 3) if batch_first else heads.permute(1, 2, 0, 3)


def _static(name: str, t: Tensor, size: int, num_heads: int, width: int) -> Tensor:
    if t.dim() != 3 or t.size(0) != size * num_heads or t.size(2) != width:
        raise _C.ShapeError(
            f"multi_head_attention_forward: expected {name} of shape ({size * num_heads}, S, "
            f"{width}), got {tuple(t.shape)}"
        )
    return t.unflatten(0, (size, num_heads))


def _merged_mask(
    attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, k: Tensor
) -> Tensor | None:
    """Both masks as what is added to the scores, for keys that were appended too."""
    size, heads, length = q.shape[:3]
    keys = k.size(2)
    merged = None
    if attn_mask is not None:
        given = tuple(attn_mask.shape)
        merged = _appended(_additive("attn_mask", attn_mask, q), keys)
        if given[:-1] == (length,) and merged.size(-1) == keys:
            merged = merged[None, None]
        elif given[:-1] == (size * heads, length) and merged.size(-1) == keys:
            merged = merged.unflatten(0, (size, heads))
        else:
            raise _C.ShapeError(
                f"multi_head_attention_forward: attn_mask has shape {given}, expected "
                f"({length}, {keys}) or ({size * heads}, {length}, {keys})"
            )
    if key_padding_mask is not None:
        padding = _appended(_additive("key_padding_mask", key_padding_mask, q), keys)
        if tuple(padding.shape) != (size, keys):
            raise _C.ShapeError(
                "multi_head_attention_forward: key_padding_mask has shape "
                f"{tuple(key_padding_mask.shape)}, expected ({size}, {keys})"
            )
        padding = padding[:, None, None]
        merged = padding if merged is None else merged + padding
    return merged


def _appended(mask: Tensor, keys: int) -> Tensor:
    """The mask, with keys that were appended in view: at most two."""
    missing = keys - mask.size(-1)
    return _pad(mask, (0, missing)) if 0 < missing <= 2 else mask


def _additive(name: str, mask: Tensor, q: Tensor) -> Tensor:
    if mask.dtype == _C.bool:
        return _C.zeros(mask.shape, dtype=q.dtype).masked_fill(mask, -math.inf)
    if not mask.is_floating_point():
        raise _C.DTypeError(
            f"multi_head_attention_forward: {name} must be bool or floating point, got "
            f"{mask.dtype}; convert it, for example by .bool()"
        )
    return mask.to(q.dtype)


def _with_weights(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float
) -> tuple[Tensor, Tensor]:
    scores = (q * (1 / math.sqrt(q.size(-1)))).matmul(k.transpose(-2, -1))
    if mask is None:
        weights = _C.softmax(scores, -1)
    else:
        scores = scores + mask
        # Rows that see no key are 0.
        nothing = scores.detach().amax(-1, True) == -math.inf
        weights = _C.softmax(scores.masked_fill(nothing, 0.0), -1).masked_fill(nothing, 0.0)
    if dropout_p > 0:
        weights = _dropout(weights, dropout_p)
    return weights.matmul(v), weights
