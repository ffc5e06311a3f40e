"""Multi-head attention against PyTorch's: values, gradients, states, errors."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import tapegrad as tg
from module_twins import MHA, assert_same_signatures, compare, normal, twins
from tapegrad import nn

torch = pytest.importorskip("torch")

SETTINGS = {
    "plain": {},
    "batch-first": {"batch_first": True},
    "no-bias": {"bias": False},
    "bias-kv": {"add_bias_kv": True},
    "zero": {"add_zero_attn": True},
    "all-extra": {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
    "widths": {"kdim": 5, "vdim": 3},
    "widths-first": {"kdim": 5, "vdim": 3, "batch_first": True, "bias": False},
}


def sequences(setting, queries=4, keys=6, batch=3):
    def one(length, width):
        shape = (batch, length, width) if setting.get("batch_first") else (length, batch, width)
        return normal(*shape)

    return {
        "query": one(queries, 8),
        "key": one(keys, setting.get("kdim", 8)),
        "value": one(keys, setting.get("vdim", 8)),
    }


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("name", SETTINGS)
def test_multihead_attention(name, need_weights):
    setting = SETTINGS[name]
    ours, theirs = twins("MultiheadAttention", *MHA, **setting)
    compare(ours, theirs, sequences(setting), need_weights=need_weights)
    padding = np.zeros((3, 6), bool)
    padding[0, 4:] = padding[2, 1] = True
    masks = {"attn_mask": np.triu(np.ones((4, 6), bool), 3), "key_padding_mask": padding}
    compare(ours, theirs, sequences(setting) | masks, need_weights=need_weights)
    compare(
        ours,
        theirs,
        sequences(setting) | {"attn_mask": normal(6, 4, 6)},
        need_weights=need_weights,
        average_attn_weights=False,
    )


def test_multihead_attention_in_float32_and_evaluation():
    ours, theirs = twins("MultiheadAttention", *MHA, dropout=0.5, dtype="float32")
    ours.eval(), theirs.eval()
    compare(ours, theirs, sequences({}), "float32")
    compare(ours, theirs, sequences({}), "float32", need_weights=False)
    ours.train()
    x = tg.ones(5, 1, 8)
    assert not tg.equal(ours(x, x, x)[0], ours(x, x, x)[0])
    assert not tg.equal(*(ours(x, x, x, need_weights=False)[0] for _ in range(2)))


class Self(torch.nn.Module):
    """Attention whose query, key and value are one tensor, or whose key and value are."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, memory=None, **options):
        memory = x if memory is None else memory
        return self.inner(x, memory, memory, **options)


def wrap(ours, theirs):
    class Ours(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = ours

        forward = Self.forward

    return Ours(), Self(theirs)


@pytest.mark.parametrize("batch_first", [False, True])
def test_shared_inputs_and_one_sequence(batch_first):
    pair = wrap(*twins("MultiheadAttention", *MHA, batch_first=batch_first))
    x, memory = normal(5, 5, 8), normal(5, 5, 8)
    causal = {"attn_mask": np.triu(np.full((5, 5), -np.inf), 1)}
    for need in (True, False):
        compare(*pair, {"x": x}, need_weights=need)
        compare(*pair, {"x": x, "memory": memory}, need_weights=need)
        compare(*pair, {"x": x} | causal, need_weights=need, is_causal=True)
        compare(*pair, {"x": x[0]}, need_weights=need)
        compare(*pair, {"x": x[0], "memory": memory[1]}, need_weights=need)
        padding = {"key_padding_mask": np.array([False, True, False, False, True])}
        compare(*pair, {"x": x[0]} | padding, need_weights=need)


def test_the_function_takes_projected_keys_and_values():
    arrays = {"q": normal(4, 3, 8), "k": normal(6, 5, 4), "v": normal(6, 5, 4)}
    weight, out = normal(24, 8), normal(8, 8)
    results = []
    for library in (tg, torch):
        q, k, v = (library.tensor(a) for a in arrays.values())
        results.append(
            library.nn.functional.multi_head_attention_forward(
                q,
                q,
                q,
                8,
                2,
                library.tensor(weight),
                None,
                None,
                None,
                False,
                0.3,
                library.tensor(out),
                None,
                training=False,
                static_k=k,
                static_v=v,
            )
        )
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11, atol=1e-12)


def test_signature_and_start_values():
    ours = inspect.signature(nn.functional.multi_head_attention_forward).parameters
    theirs = inspect.signature(torch.nn.functional.multi_head_attention_forward).parameters
    assert [(p.name, p.default) for p in ours.values()] == [
        (p.name, p.default) for p in theirs.values()
    ]
    assert_same_signatures("MultiheadAttention")
    layer = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = math.sqrt(6 / (64 + 192))
    assert abs(layer.in_proj_weight.abs().max().item() - bound) < 0.02 * bound
    assert not layer.in_proj_bias.any()
    assert not layer.out_proj.bias.any()
    assert abs(layer.bias_k.std().item() - math.sqrt(2 / 128)) < 0.06
    assert repr(layer) == repr(torch.nn.MultiheadAttention(64, 4, add_bias_kv=True))


def test_padding_of_whole_sequences_gives_finite_gradients():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = tg.tensor(normal(2, 3, 8)).float().requires_grad_()
    padding = tg.tensor([[False] * 3, [True] * 3])
    for need in (True, False):
        x.grad = None
        out, _ = layer(x, x, x, key_padding_mask=padding, need_weights=need)
        out.sum().backward()
        assert tg.equal(out[1], layer.out_proj.bias.expand(3, 8))
        assert not x.grad[1].any()
        assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, "divisible", lambda: nn.MultiheadAttention(8, 3)),
        (ValueError, "greater than 0", lambda: nn.MultiheadAttention(0, 1)),
        (RuntimeError, "need attn_mask", lambda x, m: m(x, x, x, is_causal=True)),
        (tg.ShapeError, "attn_mask has shape", lambda x, m: m(x, x, x, attn_mask=tg.ones(2, 2))),
        (tg.ShapeError, "key_padding_mask", lambda x, m: m(x, x, x, key_padding_mask=tg.ones(3))),
        (tg.ShapeError, "key_padding_mask has", lambda x, m: m(x, x, x, tg.ones(3, 9))),
        (tg.ShapeError, "8 features", lambda x, m: m(x[..., :4], x, x)),
        (tg.ShapeError, "length and batch", lambda x, m: m(x, x[:2], x)),
        (tg.ShapeError, "2 dimensions", lambda x, m: m(x[None], x, x)),
        (
            tg.DTypeError,
            "attn_mask must be",
            lambda x, m: m(x, x, x, attn_mask=tg.ones(5, 5).long()),
        ),
    ],
)
def test_errors(error, match, call):
    arguments = (tg.ones(5, 3, 8), nn.MultiheadAttention(8, 2))
    with pytest.raises(error, match=match):
        call(*arguments[: call.__code__.co_argcount])
