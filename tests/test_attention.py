"""Fused attention: against PyTorch and its own composition, masks, dropout, orders, threads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck

torch = pytest.importorskip("torch")

attention = tg.nn.functional.scaled_dot_product_attention
oracle = torch.nn.functional.scaled_dot_product_attention

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.standard_normal(shape)


def leaves(arrays, library, dtype):
    kind = getattr(library, dtype)
    return [library.tensor(a).to(kind).requires_grad_() for a in arrays]


def both(arrays, dtype, *, mask=None, **options):
    """Results and gradients of both libraries."""
    results = []
    for library, function in ((tg, attention), (torch, oracle)):
        inputs = leaves(arrays, library, dtype)
        given = None
        if mask is not None:
            given = library.tensor(mask)
            if mask.dtype != bool:
                given = given.to(getattr(library, dtype))
        out = function(*inputs, attn_mask=given, **options)
        weights = library.tensor(np.cos(np.arange(out.numel())).reshape(tuple(out.shape)))
        (out * weights.to(out.dtype)).sum().backward()
        results.append([out.detach().numpy(), *(t.grad.numpy() for t in inputs)])
    return results


def compare(arrays, dtype="float64", **options):
    ours, theirs = both(arrays, dtype, **options)
    tolerance = 1e-11 if dtype == "float64" else 3e-5
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# Lengths around the borders of blocks: of 64 or 128 queries, 256 keys, 32 columns.
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("queries", "keys", "width"),
    [
        (1, 1, 1),
        (5, 7, 3),
        (64, 64, 32),
        (65, 63, 40),
        (130, 256, 16),
        (128, 257, 8),
        (300, 520, 6),
    ],
)
def test_lengths(queries, keys, width, causal):
    arrays = [
        normal(2, 2, queries, width),
        normal(2, 2, keys, width),
        normal(2, 2, keys, width + 1),
    ]
    compare(arrays, is_causal=causal)
    compare(arrays, "float32", is_causal=causal)


@pytest.mark.parametrize("shape", [(9, 11), (2, 1, 9, 11), (3, 9, 11), (1, 1, 1, 11), (9, 1)])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_masks_broadcast(shape, kind):
    arrays = [normal(2, 3, 9, 4), normal(2, 3, 11, 4), normal(2, 3, 11, 5)]
    mask = RNG.random(shape) < 0.8
    mask[..., 0] = True
    if kind == "float":
        mask = np.where(mask, normal(*shape), -np.inf)
    compare(arrays, mask=mask)


def test_a_long_mask_passes_block_by_block():
    arrays = [normal(1, 2, 140, 4), normal(1, 2, 530, 4), normal(1, 2, 530, 4)]
    mask = RNG.random((140, 530)) < 0.5
    mask[3, :300] = False  # whole blocks without a key
    mask[4, 256:] = False
    compare(arrays, mask=mask)


def test_rows_without_keys_are_zero_and_so_is_their_gradient():
    mask = RNG.random((70, 300)) < 0.5
    mask[[0, 17, 69]] = False
    for dtype in ("float32", "float64"):
        q, k, v = leaves([normal(2, 70, 8), normal(2, 300, 8), normal(2, 300, 8)], tg, dtype)
        for given in (tg.tensor(mask), tg.tensor(np.where(mask, 0.0, -np.inf)).to(q.dtype)):
            q.grad = k.grad = v.grad = None
            out = attention(q, k, v, given)
            out.sum().backward()
            assert not out[:, [0, 17, 69]].any()
            assert not q.grad[:, [0, 17, 69]].any()
            for t in (out, q.grad, k.grad, v.grad):
                assert bool(t.isfinite().all())
    nothing = attention(q, k, v, tg.zeros(70, 300, dtype=tg.bool))
    grads = tg.autograd.grad(nothing.sum(), (q, k, v))
    assert not any(bool(t.any()) for t in (nothing, *grads))


@pytest.mark.parametrize("causal", [False, True])
def test_grouped_heads(causal):
    arrays = [normal(2, 6, 70, 4), normal(2, 2, 70, 4), normal(2, 2, 70, 3)]
    compare(arrays, is_causal=causal, enable_gqa=True)
    compare(arrays, mask=RNG.random((2, 6, 70, 70)) < 0.9, enable_gqa=True)


def test_heads_inside_of_positions_and_other_strides():
    packed = normal(2, 20, 3 * 4 * 5)
    results = []
    for library, function in ((tg, attention), (torch, oracle)):
        x = library.tensor(packed).requires_grad_()
        q, k, v = (t.reshape(2, 20, 4, 5).transpose(1, 2) for t in x.chunk(3, -1))
        out = function(q, k, v, is_causal=True).transpose(1, 2).reshape(2, 20, 20)
        out.square().sum().backward()
        results.append((out.detach().numpy(), x.grad.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    # The result of such heads is joined without a copy.
    q = tg.zeros(2, 20, 4, 5).transpose(1, 2)
    assert attention(q, q, q).transpose(1, 2).is_contiguous()
    # Columns that are not adjacent, and gradients that are expanded.
    a = [tg.tensor(normal(5, 9)).t().requires_grad_() for _ in range(3)]
    assert gradcheck(lambda *t: attention(*t), a)


OPTIONS = {
    "plain": {},
    "causal": {"is_causal": True},
    "bool": {"attn_mask": tg.tensor([[True, False, True], [True, True, False], [False] * 3])},
    "float": {
        "attn_mask": tg.tensor([[0.5, -1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 1.0, 0.3]]).double()
    },
    "groups": {"enable_gqa": True},
    "dropout": {"dropout_p": 0.4},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_derivatives_to_the_second_order(name):
    heads = 1 if name == "groups" else 2
    shapes = [(2, 3, 2), (heads, 3, 2), (heads, 3, 2)]
    inputs = leaves([normal(*s) for s in shapes], tg, "float64")

    def call(*t):
        tg.manual_seed(5)
        return attention(*t, **OPTIONS[name])

    assert gradcheck(call, inputs)
    assert gradgradcheck(call, inputs)


def composed(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -float("inf"))
    return scores.softmax(-1) @ v


@pytest.mark.parametrize("masked", [False, True])
def test_three_orders_agree_with_the_composition(masked):
    mask = tg.tensor(np.tri(4, dtype=bool)) if masked else None
    inputs = leaves([normal(2, 4, 3) for _ in range(3)], tg, "float64")

    def third(function):
        total = function(*inputs).sin().sum()
        for _ in range(3):
            total = sum(
                (g * g.cos()).sum() for g in tg.autograd.grad(total, inputs, create_graph=True)
            )
        return total, tg.autograd.grad(total, inputs)

    (a, grads), (b, expected) = (
        third(lambda q, k, v: attention(q, k, v, is_causal=masked)),
        third(lambda q, k, v: composed(q, k, v, mask)),
    )
    np.testing.assert_allclose(a.item(), b.item(), rtol=1e-10)
    for x, y in zip(grads, expected, strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-8, atol=1e-9)


def test_tangents_and_vmap():
    inputs = [tg.tensor(normal(4, 2, 3, 2)) for _ in range(3)]
    tangents = [tg.tensor(normal(4, 2, 3, 2)) for _ in range(3)]
    out, pushed = tg.func.jvp(
        lambda *t: attention(*t, is_causal=True), tuple(inputs), tuple(tangents)
    )
    mask = tg.tensor(np.tri(3, dtype=bool))
    expected, composed_pushed = tg.func.jvp(
        lambda *t: composed(*t, mask), tuple(inputs), tuple(tangents)
    )
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-12)
    np.testing.assert_allclose(pushed.numpy(), composed_pushed.numpy(), rtol=1e-10, atol=1e-12)
    for dims in itertools.product((0, None), repeat=3):
        if not any(d == 0 for d in dims):
            continue
        given = [t if d == 0 else t[1] for t, d in zip(inputs, dims, strict=True)]
        each = tg.func.vmap(lambda *t: attention(*t, mask), in_dims=dims)(*given)
        for i in range(4):
            one = attention(
                *(t[i] if d == 0 else t for t, d in zip(given, dims, strict=True)), mask
            )
            np.testing.assert_allclose(each[i].numpy(), one.numpy(), rtol=1e-12)


# --- dropout ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 5, 7), (1, 70, 300), (1, 140, 40)])
@pytest.mark.parametrize("causal", [False, True])
def test_dropout_drops_weights_and_scales_the_others(shape, causal):
    lead, queries, keys = shape
    q, k = (tg.tensor(normal(lead, n, 4)).requires_grad_() for n in (queries, keys))
    eye = tg.eye(keys, dtype=tg.float64).expand(lead, keys, keys).contiguous().requires_grad_()
    tg.manual_seed(1)
    weights = attention(q, k, eye, dropout_p=0.25, is_causal=causal)
    whole = attention(q, k, eye, is_causal=causal).detach()
    kept = weights.detach() != 0
    expected = whole * kept.double() / 0.75
    np.testing.assert_allclose(weights.detach().numpy(), expected.numpy(), rtol=1e-11, atol=1e-14)
    share = kept.double().sum().item() / max(1.0, (whole != 0).double().sum().item())
    assert abs(share - 0.75) < 4 * (0.19 / (whole != 0).double().sum().item()) ** 0.5
    # The backward pass sees the same weights dropped.
    pattern = tg.tensor(normal(*weights.shape))
    grads = tg.autograd.grad((weights * pattern).sum(), (q, k, eye))
    fixed = kept.double() / 0.75
    scores = q @ k.transpose(-2, -1) / 2
    if causal:
        scores = scores.masked_fill(~tg.tensor(np.tri(queries, keys, dtype=bool)), -float("inf"))
    same = ((scores.softmax(-1) * fixed) @ eye * pattern).sum()
    for a, b in zip(grads, tg.autograd.grad(same, (q, k, eye)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_dropout_comes_again_in_recomputation_and_with_the_seed():
    q = tg.tensor(normal(2, 40, 8)).requires_grad_()

    def draw():
        tg.manual_seed(9)
        return attention(q, q, q, dropout_p=0.5)

    first = draw()
    assert tg.equal(first, draw())
    assert not tg.equal(first, attention(q, q, q, dropout_p=0.5))
    expected = tg.autograd.grad(first.square().sum(), q)[0]
    again = tg.utils.checkpoint.checkpoint(lambda _: draw(), q, use_reentrant=False)
    assert tg.equal(tg.autograd.grad(again.square().sum(), q)[0], expected)
    assert not attention(q, q, q, dropout_p=1.0).any()


def test_dropout_under_vmap_draws_for_each_sample():
    q = tg.tensor(normal(3, 16, 4))
    same = q[:1].expand(3, 16, 4)
    out = tg.func.vmap(lambda t: attention(t, t, t, dropout_p=0.5), randomness="different")(same)
    assert not tg.equal(out[0], out[1])


# --- threads, dtypes, borders, errors -----------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_on_two_threads(dtype):
    arrays = [normal(2, 3, 150, 32), normal(2, 3, 300, 32), normal(2, 3, 300, 24)]
    results = []
    before = tg.get_num_threads()
    try:
        for threads in (1, 2):
            tg.set_num_threads(threads)
            tg.manual_seed(0)
            inputs = leaves(arrays, tg, dtype)
            out = attention(*inputs, is_causal=True, dropout_p=0.1)
            out.square().sum().backward()
            results.append([out.detach(), *(t.grad for t in inputs)])
    finally:
        tg.set_num_threads(before)
    assert all(tg.equal(a, b) for a, b in zip(*results, strict=True))


def test_no_matrix_of_queries_by_keys_is_made():
    q, k, v = (tg.tensor(normal(1, 1, 2048, 16)).float().requires_grad_() for _ in range(3))
    before = tg.memory_stats()["allocated_bytes"]
    tg.reset_peak_memory_stats()
    attention(q, k, v).sum().backward()
    peak = tg.memory_stats()["peak_allocated_bytes"] - before
    assert peak < 2048 * 2048 * 4 / 4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_compute_in_float32(dtype):
    kind = getattr(tg, dtype)
    q, k, v = (tg.tensor(normal(2, 6, 4)).to(kind).requires_grad_() for _ in range(3))
    out = attention(q, k, v)
    assert out.dtype == kind
    expected = attention(q.float(), k.float(), v.float()).to(kind)
    assert tg.equal(out, expected)
    out.float().sum().backward()
    assert q.grad.dtype == kind


def test_large_scores_do_not_overflow():
    q = tg.tensor([[1e3, 0.0], [0.0, 1e3]]).requires_grad_()
    out = attention(q, q, q)
    assert tg.equal(out, q)
    out.sum().backward()
    assert bool(q.grad.isfinite().all())


@pytest.mark.parametrize(
    ("q", "k", "v"),
    [
        ((0, 3, 2), (0, 4, 2), (0, 4, 2)),
        ((2, 0, 2), (2, 4, 2), (2, 4, 2)),
        ((2, 3, 2), (2, 0, 2), (2, 0, 5)),
        ((2, 3, 2), (2, 4, 2), (2, 4, 0)),
    ],
)
def test_empty(q, k, v):
    inputs = leaves([np.zeros(s) for s in (q, k, v)], tg, "float64")
    out = attention(*inputs)
    assert tuple(out.shape) == (*q[:-1], v[-1])
    assert not out.any()
    out.sum().backward()
    assert all(t.grad is None or not t.grad.any() for t in inputs)


X = tg.zeros(2, 3, 4)


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (tg.ShapeError, "same last size", lambda: attention(X, X[..., :2], X)),
        (tg.ShapeError, "as many rows", lambda: attention(X, X, X[:, :2])),
        (tg.ShapeError, "at least 2", lambda: attention(X[0, 0], X, X)),
        (
            RuntimeError,
            "broadcast",
            lambda: attention(X, X.expand(2, 2, 3, 4)[:, :1], X[:1].expand(5, 3, 4)),
        ),
        (tg.DTypeError, "same floating-point", lambda: attention(X, X.double(), X)),
        (tg.DTypeError, "same floating-point", lambda: attention(X.long(), X.long(), X.long())),
        (tg.DTypeError, "attn_mask", lambda: attention(X, X, X, tg.ones(3, 3).long())),
        (RuntimeError, "is_causal", lambda: attention(X, X, X, tg.ones(3, 3), is_causal=True)),
        (ValueError, "dropout_p", lambda: attention(X, X, X, dropout_p=1.5)),
        (tg.ShapeError, "enable_gqa", lambda: attention(X, X[0], X[0], enable_gqa=True)),
        (
            tg.ShapeError,
            "divide",
            lambda: attention(
                X.expand(1, 2, 3, 4),
                X.repeat(2, 1, 1)[None, :3],
                X.repeat(2, 1, 1)[None, :3],
                enable_gqa=True,
            ),
        ),
        (RuntimeError, "expand|broadcast|shape", lambda: attention(X, X, X, tg.ones(2, 2))),
    ],
)
def test_errors(error, match, call):
    with pytest.raises(error, match=match):
        call()
