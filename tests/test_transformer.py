"""Transformers against PyTorch's: values, gradients, states, errors."""

from __future__ import annotations

import gc
import math
import weakref

import numpy as np
import pytest

import tapegrad as tg
from module_twins import MHA, assert_same_signatures, compare, normal, twins
from tapegrad import nn

torch = pytest.importorskip("torch")
# PyTorch's advice: on kinds of masks that differ, and on its own fast path.
pytestmark = pytest.mark.filterwarnings("ignore:.*(mismatched|nested_tensor):UserWarning")

LAYERS = {
    "plain": {},
    "first": {"norm_first": True, "batch_first": True},
    "gelu": {"activation": "gelu", "batch_first": True},
    "no-bias": {"bias": False, "layer_norm_eps": 1e-3},
}


def causal_mask(size):
    return np.triu(np.full((size, size), -np.inf), 1)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    options = {"dropout": 0.0, "dim_feedforward": 12} | LAYERS[name]
    src = normal(4, 4, 8)
    padding = np.zeros((4, 4), bool)
    padding[1, 2:] = True
    pair = twins("TransformerEncoderLayer", *MHA, **options)
    compare(*pair, {"src": src})
    compare(*pair, {"src": src[0]})
    compare(*pair, {"src": src, "src_mask": causal_mask(4)}, is_causal=True)
    compare(
        *pair,
        {
            "src": src,
            "src_mask": causal_mask(4),
            "src_key_padding_mask": np.where(padding, -np.inf, 0.0),
        },
    )
    pair = twins("TransformerDecoderLayer", *MHA, **options)
    both = {"tgt": src, "memory": normal(4, 4, 8)}
    compare(*pair, both)
    compare(*pair, both | {"tgt_mask": causal_mask(4)}, tgt_is_causal=True)
    compare(
        *pair,
        both
        | {
            "memory_mask": normal(4, 4),
            "tgt_key_padding_mask": padding,
            "memory_key_padding_mask": padding,
        },
    )


def test_layers_in_evaluation_and_training():
    ours, theirs = twins("TransformerEncoderLayer", *MHA, 16, dtype="float32")
    ours.eval(), theirs.eval()
    x = normal(5, 2, 8)
    a = ours(tg.tensor(x).float()).detach().numpy()
    b = theirs(torch.tensor(x).float()).detach().numpy()
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    ours.train()
    x = tg.tensor(x).float()
    tg.manual_seed(3)
    first = ours(x)
    assert not tg.equal(first, ours(x))
    tg.manual_seed(3)
    assert tg.equal(first, ours(x))


@pytest.mark.parametrize("batch_first", [False, True])
def test_transformer(batch_first):
    options = {"dropout": 0.0, "dim_feedforward": 12, "batch_first": batch_first}
    ours, theirs = twins("Transformer", 8, 2, 2, 2, **options)
    src, tgt = (
        (normal(3, 5, 8), normal(3, 4, 8)) if batch_first else (normal(5, 3, 8), normal(4, 3, 8))
    )
    arrays = {"src": src, "tgt": tgt}
    compare(ours, theirs, arrays)
    compare(ours, theirs, arrays | {"tgt_mask": causal_mask(4)})
    compare(
        ours,
        theirs,
        arrays | {"tgt_mask": causal_mask(4), "src_mask": causal_mask(5)},
        tgt_is_causal=True,
    )
    compare(
        ours,
        theirs,
        {
            "src": src[:, 0] if not batch_first else src[0],
            "tgt": tgt[:, 0] if not batch_first else tgt[0],
        },
    )
    drawn = nn.Transformer(32, 2, 1, 1, 64)
    weight = drawn.encoder.layers[0].linear1.weight
    assert abs(weight.abs().max().item() - math.sqrt(6 / 96)) < 0.01


def test_stacks_copy_their_layer():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    encoder = nn.TransformerEncoder(layer, 3, nn.LayerNorm(8))
    assert len(encoder.layers) == 3
    first, second = encoder.layers[0].linear1.weight, encoder.layers[1].linear1.weight
    assert tg.equal(first, second)
    assert first is not second
    assert first is not layer.linear1.weight
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    expected = torch.nn.Transformer.generate_square_subsequent_mask(3)
    np.testing.assert_array_equal(mask.numpy(), expected.numpy())


def test_recomputation_and_collection():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.3, batch_first=True), 2)
    x = tg.tensor(normal(2, 5, 8)).float().requires_grad_()
    grads = []
    for again in (False, True):
        tg.manual_seed(4)
        out = tg.utils.checkpoint.checkpoint(model, x, use_reentrant=False) if again else model(x)
        grads.append(tg.autograd.grad(out.square().sum(), [x, *model.parameters()]))
    assert all(tg.equal(a, b) for a, b in zip(*grads, strict=True))
    gc.disable()
    try:
        alive = weakref.ref(model)
        del model, out
        assert alive() is None
    finally:
        gc.enable()


def test_signatures():
    for kind in ("EncoderLayer", "DecoderLayer", "Encoder", "Decoder", ""):
        assert_same_signatures(f"Transformer{kind}")


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (RuntimeError, "relu or gelu", lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh")),
        (
            RuntimeError,
            "equal to d_model",
            lambda: nn.Transformer(8, 2, 1, 1)(tg.ones(2, 1, 4), tg.ones(2, 1, 4)),
        ),
        (
            RuntimeError,
            "batch number",
            lambda: nn.Transformer(8, 2, 1, 1)(tg.ones(2, 1, 8), tg.ones(2, 2, 8)),
        ),
    ],
)
def test_errors(error, match, call):
    with pytest.raises(error, match=match):
        call()
