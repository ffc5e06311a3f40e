"""Activations, dropout, padding, tables, shuffles and containers against PyTorch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

torch = pytest.importorskip("torch")
F, TF = nn.functional, torch.nn.functional

ACTIVATIONS = [
    ("ELU", {"alpha": 0.7}),
    ("Hardshrink", {"lambd": 0.4}),
    ("Hardsigmoid", {}),
    ("Hardtanh", {"min_val": -0.5, "max_val": 0.7}),
    ("Hardswish", {}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("LogSigmoid", {}),
    ("PReLU", {"num_parameters": 3, "init": 0.1}),
    ("ReLU", {}),
    ("ReLU6", {}),
    ("RReLU", {}),
    ("SELU", {}),
    ("CELU", {"alpha": 1.5}),
    ("GELU", {"approximate": "tanh"}),
    ("Sigmoid", {}),
    ("SiLU", {}),
    ("Mish", {}),
    ("Softplus", {"beta": 2.0, "threshold": 3.0}),
    ("Softshrink", {"lambd": 0.3}),
    ("Softsign", {}),
    ("Tanh", {}),
    ("Tanhshrink", {}),
    ("Threshold", {"threshold": 0.1, "value": 5.0}),
    ("GLU", {"dim": -1}),
    ("Softmin", {"dim": 1}),
    ("Softmax", {"dim": 1}),
    ("Softmax2d", {}),
    ("LogSoftmax", {"dim": 1}),
]
INPLACE = (
    *("ELU", "Hardsigmoid", "Hardtanh", "Hardswish", "LeakyReLU", "ReLU"),
    *("ReLU6", "RReLU", "SELU", "CELU", "SiLU", "Mish"),
)
DTYPES = [("float64", 1e-12), ("float32", 2e-6)]


def pair(array, dtype="float64", grad=True):
    """The same values in both libraries."""
    a = np.asarray(array)
    if a.dtype.kind == "f":
        a = a.astype(dtype)
    ours, theirs = tg.tensor(a), torch.tensor(a)
    if grad and a.dtype.kind == "f":
        ours.requires_grad_()
        theirs.requires_grad_()
    return ours, theirs


def same(ours, theirs, tol):
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    assert a.shape == b.shape
    assert str(a.dtype) == str(b.dtype)
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


def check(ours, theirs, inputs, tol, parameters=()):
    """Outputs and gradients of two modules or functions agree on the same inputs."""
    mine, yours = zip(*inputs, strict=True)
    out, expected = ours(*mine), theirs(*yours)
    same(out, expected, tol)
    weight = np.random.default_rng(5).standard_normal(tuple(out.shape))
    g, tg_ = pair(weight, str(out.dtype).split(".")[-1], grad=False)
    out.backward(g)
    expected.backward(tg_)
    for a, b in [*inputs, *parameters]:
        if b.grad is not None:
            same(a.grad, b.grad, tol)


@pytest.mark.parametrize(("dtype", "tol"), DTYPES)
@pytest.mark.parametrize(("name", "kwargs"), ACTIVATIONS, ids=[n for n, _ in ACTIVATIONS])
def test_activations(name, kwargs, dtype, tol):
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 6)) * 2
    ours, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    assert repr(ours) == repr(theirs)
    ours.eval()
    theirs.eval()
    if dtype == "float64":
        ours.double()
        theirs.double()
    parameters = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    tol = max(tol, 1e-7) if name == "Hardsigmoid" else tol  # PyTorch's 1/6 is a float32
    check(ours, theirs, [pair(x, dtype)], tol, parameters)


@pytest.mark.parametrize("name", [*INPLACE, "Threshold"])
def test_inplace_activations_write_into_their_input(name):
    args = (0.1, 5.0) if name == "Threshold" else ()
    layer = getattr(nn, name)(*args, inplace=True).eval()
    assert repr(layer) == repr(getattr(torch.nn, name)(*args, inplace=True))
    x = tg.randn(3, 4)
    expected = getattr(nn, name)(*args).eval()(x)
    assert layer(x) is x
    assert (x == expected).all()


def test_rrelu_draws_slopes_in_training():
    x = -tg.ones(1000)
    y = nn.RReLU(0.2, 0.4)(x)
    assert -0.4 <= y.min().item() < -0.35
    assert -0.25 < y.max().item() <= -0.2


def test_old_names_of_hardtanh():
    with pytest.warns(FutureWarning, match="min_val"):
        assert nn.Hardtanh(min_value=-2.0).min_val == -2.0
    with pytest.raises(AssertionError, match="greater"):
        nn.Hardtanh(1.0, -1.0)
    with pytest.raises(ValueError, match="3D or 4D"):
        nn.Softmax2d()(tg.ones(2, 3))


# --- dropout -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape"),
    [("Dropout1d", (50, 8, 6)), ("Dropout2d", (50, 8, 3, 2)), ("Dropout3d", (50, 8, 2, 2, 2))],
)
def test_channel_dropout_drops_whole_channels(name, shape):
    layer = getattr(nn, name)(0.25)
    assert repr(layer) == repr(getattr(torch.nn, name)(0.25))
    x = tg.ones(*shape, requires_grad=True)
    y = layer(x)
    rows = y.detach().numpy().reshape(400, -1)
    assert (rows == rows[:, :1]).all()
    assert set(np.unique(rows)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.15 < (rows[:, 0] == 0).mean() < 0.35
    y.sum().backward()
    assert (x.grad == y).all()
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match="between 0 and 1"):
        getattr(nn, name)(1.5)


@pytest.mark.parametrize("name", ["AlphaDropout", "FeatureAlphaDropout"])
def test_alpha_dropout_keeps_mean_and_variance(name):
    tg.manual_seed(0)
    layer = getattr(nn, name)(0.3)
    y = layer(tg.randn(200, 100, 2))
    assert abs(y.mean().item()) < 0.05
    assert abs(y.std().item() - 1) < 0.05
    x = tg.ones(2, 2)
    assert layer.eval()(x) is x


# --- padding -----------------------------------------------------------------------------------

PADS = {1: (2, 1), 2: (1, 2, 2, 1), 3: (1, 2, 2, 1, 1, 1)}


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Constant", "Zero", "Reflection", "Replication", "Circular"])
def test_padding_layers(kind, dims, batched):
    shape = (2, 3, 3, 4, 5)[: dims + 2] if batched else (2, 3, 4, 5)[: dims + 1]
    x = np.random.default_rng(2).standard_normal(shape)
    for padding in (PADS[dims], 2):
        args = (padding, 0.5) if kind == "Constant" else (padding,)
        name = f"{kind}Pad{dims}d"
        ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
        assert repr(ours) == repr(theirs)
        check(ours, theirs, [pair(x)], 1e-12)


def test_negative_margins_cut():
    x = np.random.default_rng(2).standard_normal((2, 3, 5, 6))
    for margins in ((2, -1), (-1, 2, 1, -2), (-2, -1)):
        for mode in ("constant", "reflect", "replicate", "circular"):
            flat = len(margins) == 2 and mode != "constant"
            inputs = [pair(x[0] if flat else x)]
            call = lambda lib, p=margins, m=mode: lambda t: lib.pad(t, p, mode=m)  # noqa: E731
            check(call(F), call(TF), inputs, 1e-12)


def test_padding_errors():
    with pytest.raises(ValueError, match="4 of them"):
        nn.ZeroPad2d((1, 2))
    with pytest.raises(ValueError, match="3D or 4D"):
        nn.CircularPad2d(1)(tg.ones(2, 2))
    with pytest.raises(RuntimeError, match="reflect"):
        nn.ReflectionPad1d(5)(tg.ones(1, 1, 3))


# --- shapes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("PixelShuffle", (2,), (2, 12, 3, 4)),
        ("PixelShuffle", (3,), (9, 2, 2)),
        ("PixelUnshuffle", (2,), (2, 3, 4, 6)),
        ("ChannelShuffle", (3,), (2, 6, 3, 4)),
        ("ChannelShuffle", (2,), (1, 4, 5)),
        ("Unflatten", (1, (2, 3)), (4, 6, 2)),
        ("Flatten", (1, 2), (2, 3, 4, 5)),
    ],
)
def test_reshaping_layers(name, args, shape):
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(3).standard_normal(shape)
    check(ours, theirs, [pair(x)], 0)


def test_reshaping_errors():
    with pytest.raises(RuntimeError, match=r"divisible by upscale_factor\^2 = 4, got 3"):
        nn.PixelShuffle(2)(tg.ones(1, 3, 2, 2))
    with pytest.raises(RuntimeError, match="downscale_factor = 2"):
        nn.PixelUnshuffle(2)(tg.ones(1, 3, 3, 2))
    with pytest.raises(RuntimeError, match="groups = 2"):
        nn.ChannelShuffle(2)(tg.ones(1, 3, 2))
    with pytest.raises(ValueError, match="positive"):
        F.pixel_shuffle(tg.ones(1, 3, 2, 2), 0)
    with pytest.raises(TypeError, match="position 1"):
        nn.Unflatten(1, (2, 2.0))


BLOCKS = [
    ((3, 2), {}),
    (2, {"stride": 2}),
    ((2, 3), {"dilation": (2, 1), "padding": (1, 2), "stride": (1, 2)}),
]


@pytest.mark.parametrize(("dtype", "tol"), DTYPES)
@pytest.mark.parametrize(("kernel", "kwargs"), BLOCKS, ids=["plain", "stride", "all"])
def test_unfold_and_fold(kernel, kwargs, dtype, tol):
    x = np.random.default_rng(4).standard_normal((2, 3, 6, 8))
    ours, theirs = nn.Unfold(kernel, **kwargs), torch.nn.Unfold(kernel, **kwargs)
    assert repr(ours) == repr(theirs)
    check(ours, theirs, [pair(x, dtype)], tol)
    check(ours, theirs, [pair(x[0], dtype)], tol)
    strided = pair(x, dtype, grad=False)
    same(ours(strided[0].transpose(2, 3)), theirs(strided[1].transpose(2, 3)), tol)
    columns = theirs(torch.tensor(x)).numpy()
    ours, theirs = nn.Fold((6, 8), kernel, **kwargs), torch.nn.Fold((6, 8), kernel, **kwargs)
    assert repr(ours) == repr(theirs)
    check(ours, theirs, [pair(columns, dtype)], tol)
    check(ours, theirs, [pair(columns[0], dtype)], tol)


def test_unfold_differentiates_twice_and_vmaps():
    x = tg.randn(2, 3, 4, 4, dtype=tg.float64, requires_grad=True)
    f = lambda t: F.unfold(t, 2, padding=1) ** 2  # noqa: E731
    assert tg.autograd.gradcheck(f, (x,), check_forward_ad=True)
    assert tg.autograd.gradgradcheck(f, (x,))
    y = tg.func.vmap(lambda t: F.unfold(t, 2))(x.detach())
    assert (y == F.unfold(x.detach(), 2)).all()
    y = tg.func.vmap(lambda t: F.unfold(t, 2))(x.detach().unsqueeze(1))
    assert (y.squeeze(1) == F.unfold(x.detach(), 2)).all()


def test_block_errors():
    with pytest.raises(RuntimeError, match="does not fit"):
        F.unfold(tg.ones(1, 1, 2, 2), 3)
    with pytest.raises(RuntimeError, match="got a float32 tensor"):
        F.unfold(tg.ones(2, 2), 1)
    with pytest.raises(RuntimeError, match="divisible by the 4 pixels"):
        F.fold(tg.ones(1, 3, 4), (3, 3), 2)
    with pytest.raises(RuntimeError, match=r"2 x 2 = 4 positions.*5 columns"):
        F.fold(tg.ones(1, 4, 5), (3, 3), 2)
    with pytest.raises(ValueError, match="stride must be at least 1"):
        F.unfold(tg.ones(1, 1, 2, 2), 1, stride=0)
    with pytest.raises(TypeError, match="floating"):
        F.unfold(tg.ones(1, 1, 2, 2, dtype=tg.int64), 1)


# --- vectors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("CosineSimilarity", {"dim": 1, "eps": 1e-6}),
        ("PairwiseDistance", {"p": 3.0, "keepdim": True}),
        ("PairwiseDistance", {}),
    ],
)
def test_distances(name, kwargs):
    g = np.random.default_rng(6)
    inputs = [pair(g.standard_normal((4, 5))), pair(g.standard_normal((4, 5)))]
    ours, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    assert repr(ours) == repr(theirs)
    check(ours, theirs, inputs, 1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear(bias):
    ours = nn.Bilinear(3, 4, 2, bias=bias, dtype=tg.float64)
    theirs = torch.nn.Bilinear(3, 4, 2, bias=bias, dtype=torch.float64)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    assert ours.weight.abs().max().item() <= 3**-0.5
    g = np.random.default_rng(7)
    inputs = [pair(g.standard_normal((2, 5, 3))), pair(g.standard_normal((2, 5, 4)))]
    parameters = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    check(ours, theirs, inputs, 1e-12, parameters)
    with pytest.raises(ValueError, match="in1_features must be positive"):
        nn.Bilinear(0, 1, 1)


# --- tables ------------------------------------------------------------------------------------

TABLES = [
    {},
    {"padding_idx": 2},
    {"padding_idx": -1},
    {"max_norm": 1.0},
    {"max_norm": 1.5, "norm_type": 1.0},
    {"scale_grad_by_freq": True},
]


@pytest.mark.parametrize(("dtype", "tol"), DTYPES)
@pytest.mark.parametrize("kwargs", TABLES, ids=str)
def test_embedding(kwargs, dtype, tol):
    ours = nn.Embedding(6, 4, dtype=getattr(tg, dtype), **kwargs)
    theirs = torch.nn.Embedding(6, 4, dtype=getattr(torch, dtype), **kwargs)
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict({"weight": torch.tensor(ours.weight.detach().numpy())})
    if "padding_idx" in kwargs:
        assert (ours.weight[kwargs["padding_idx"]] == 0).all()
    index = np.array([[1, 2, 5], [1, 5, 1]])
    check(ours, theirs, [pair(index)], tol, [(ours.weight, theirs.weight)])
    same(ours.weight, theirs.weight, tol)


def test_embedding_from_pretrained_and_errors():
    table = tg.randn(5, 3)
    layer = nn.Embedding.from_pretrained(table, padding_idx=1)
    assert not layer.weight.requires_grad
    assert layer.padding_idx == 1
    assert (layer(tg.tensor([4])) == table[4]).all()
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    with pytest.raises(IndexError, match=r"index 5 at position \(1, 0\) .* table of 5 embeddings"):
        layer(tg.tensor([[1, 2], [5, 7]]))
    with pytest.raises(IndexError, match="index -1 at position"):
        layer(tg.tensor([-1]))
    short = nn.Embedding(5, 3, max_norm=0.1)
    before = short.weight.detach().clone()
    with pytest.raises(IndexError, match="index 9"):
        short(tg.tensor([1, 9]))
    assert (short.weight == before).all()
    with pytest.raises(NotImplementedError, match="sparse"):
        nn.Embedding(5, 3, sparse=True)(tg.tensor([1]))
    with pytest.raises(AssertionError, match="padding_idx"):
        nn.Embedding(5, 3, padding_idx=5)
    with pytest.raises(AssertionError, match="2-dimensional"):
        nn.Embedding.from_pretrained(tg.ones(3))
    with pytest.raises(TypeError, match="long"):
        layer(tg.tensor([1.0]))


BAGS = [
    {"mode": "sum"},
    {"mode": "mean"},
    {"mode": "max"},
    {"mode": "sum", "padding_idx": 1},
    {"mode": "mean", "padding_idx": -5},
    {"mode": "max", "padding_idx": 1},
    {"mode": "sum", "max_norm": 1.0},
]


@pytest.mark.parametrize(("dtype", "tol"), DTYPES)
@pytest.mark.parametrize("cut", ["2d", "offsets", "last"])
@pytest.mark.parametrize("kwargs", BAGS, ids=str)
def test_embedding_bag(kwargs, cut, dtype, tol):
    kwargs = {**kwargs, "include_last_offset": cut == "last"}
    ours = nn.EmbeddingBag(6, 4, dtype=getattr(tg, dtype), **kwargs)
    theirs = torch.nn.EmbeddingBag(6, 4, dtype=getattr(torch, dtype), **kwargs)
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict({"weight": torch.tensor(ours.weight.detach().numpy())})
    index = np.array([1, 2, 5, 1, 5, 1, 0, 0])
    inputs = [pair(index.reshape(2, 4))]
    if cut != "2d":
        inputs = [pair(index), pair(np.array([0, 3, 3, 4] + [8] * (cut == "last")))]
    check(ours, theirs, inputs, tol, [(ours.weight, theirs.weight)])
    same(ours.weight, theirs.weight, tol)


@pytest.mark.parametrize("padding", [None, 1])
def test_embedding_bag_weights(padding):
    g = np.random.default_rng(8)
    table, factors = g.standard_normal((6, 4)), g.standard_normal(8)
    index, offsets = np.array([1, 2, 5, 1, 5, 1, 0, 0]), np.array([0, 3, 3, 4])

    def call(lib):
        def run(weight, per_sample):
            return lib.nn.functional.embedding_bag(
                lib.tensor(index),
                weight,
                lib.tensor(offsets),
                mode="sum",
                per_sample_weights=per_sample,
                padding_idx=padding,
            )

        return run

    check(call(tg), call(torch), [pair(table), pair(factors)], 1e-12)
    inputs = (pair(table)[0], pair(factors)[0])
    assert tg.autograd.gradcheck(call(tg), inputs, check_forward_ad=True)
    assert tg.autograd.gradgradcheck(call(tg), inputs)


def test_embedding_bag_divides_gradients_by_frequency():
    index = tg.tensor([[1, 2, 5, 1], [5, 1, 0, 0]])
    table = tg.randn(6, 4, dtype=tg.float64, requires_grad=True)
    mean = F.embedding(index, table, scale_grad_by_freq=True).mean(1)
    (expected,) = tg.autograd.grad(mean.square().sum(), table)
    bags = F.embedding_bag(index, table, scale_grad_by_freq=True)
    (grad,) = tg.autograd.grad(bags.square().sum(), table)
    same(grad, expected, 1e-12)
    with pytest.raises(ValueError, match="scale_grad_by_freq"):
        F.embedding_bag(index, table, scale_grad_by_freq=True, mode="max")


def test_embedding_bag_differentiates_twice():
    index = tg.tensor([[0, 1, 1], [3, 1, 0]])
    table = tg.randn(4, 2, dtype=tg.float64, requires_grad=True)
    for mode in ("sum", "mean", "max"):
        f = lambda w, mode=mode: F.embedding_bag(index, w, mode=mode) ** 2  # noqa: E731
        assert tg.autograd.gradcheck(f, (table,), check_forward_ad=True)
        assert tg.autograd.gradgradcheck(f, (table,))


@pytest.mark.parametrize("padding", [None, 1])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_in_vmap(mode, padding):
    index = tg.tensor([[[0, 1, 1], [3, 1, 0]], [[1, 1, 1], [2, 3, 1]]])
    table = tg.randn(4, 2, dtype=tg.float64)
    f = lambda i, w: F.embedding_bag(i, w, mode=mode, padding_idx=padding)  # noqa: E731
    expected = tg.stack([f(i, table) for i in index])
    assert tg.allclose(tg.func.vmap(f, (0, None))(index, table), expected)
    tables = tg.stack([table, table * 2])
    expected = tg.stack([f(i, w) for i, w in zip(index, tables, strict=True)])
    assert tg.allclose(tg.func.vmap(f)(index, tables), expected)
    grads = tg.func.vmap(tg.func.grad(lambda w, i: f(i, w).square().sum()), (None, 0))(table, index)
    for grad, i in zip(grads, index, strict=True):
        assert tg.allclose(grad, tg.func.grad(lambda w, i=i: f(i, w).square().sum())(table))


def test_embedding_bag_errors():
    table = tg.ones(4, 2)
    with pytest.raises(IndexError, match=r"index 4 at position 1 .* table of 4"):
        F.embedding_bag(tg.tensor([[0, 4]]), table)
    with pytest.raises(IndexError, match="index -1"):
        F.embedding_bag(tg.tensor([[0, -1]]), table)
    with pytest.raises(ValueError, match=r"offsets\[0\] has to be 0"):
        F.embedding_bag(tg.tensor([0, 1]), table, tg.tensor([1]))
    with pytest.raises(ValueError, match="rise"):
        F.embedding_bag(tg.tensor([0, 1]), table, tg.tensor([0, 2, 1]))
    with pytest.raises(ValueError, match="offsets must be None"):
        F.embedding_bag(tg.tensor([[0, 1]]), table, tg.tensor([0]))
    with pytest.raises(RuntimeError, match="needs offsets"):
        F.embedding_bag(tg.tensor([0, 1]), table)
    with pytest.raises(ValueError, match="sum, mean or max"):
        F.embedding_bag(tg.tensor([[0, 1]]), table, mode="min")
    with pytest.raises(NotImplementedError, match="mode='sum'"):
        F.embedding_bag(tg.tensor([[0]]), table, per_sample_weights=tg.ones(1, 1))
    weights = tg.ones(2, 1)
    with pytest.raises(RuntimeError, match=r"shape of input, \(1, 2\), got \(2, 1\)"):
        F.embedding_bag(tg.tensor([[0, 1]]), table, mode="sum", per_sample_weights=weights)
    with pytest.raises(NotImplementedError, match="sparse"):
        F.embedding_bag(tg.tensor([[0]]), table, sparse=True)
    layer = nn.EmbeddingBag.from_pretrained(tg.ones(3, 2), mode="sum")
    assert not layer.weight.requires_grad
    assert layer(tg.tensor([[0, 1]])).tolist() == [[2.0, 2.0]]


def test_threads_do_not_change_a_bit():
    def results():
        tg.manual_seed(3)
        table = tg.randn(300, 64, requires_grad=True)
        images = tg.randn(4, 8, 32, 32, requires_grad=True)
        bags = F.embedding_bag(tg.randint(0, 300, (256, 20)), table, mode="mean")
        folded = F.fold(F.unfold(images, 3, stride=2) ** 2, 32, 3, stride=2)
        (bags.square().sum() + folded.square().sum()).backward()
        return [t.detach().numpy() for t in (bags, folded, table.grad, images.grad)]

    before = tg.get_num_threads()
    try:
        tg.set_num_threads(1)
        one = results()
        tg.set_num_threads(2)
        two = results()
    finally:
        tg.set_num_threads(before)
    for a, b in zip(one, two, strict=True):
        assert a.tobytes() == b.tobytes()


# --- containers --------------------------------------------------------------------------------


def test_parameter_list():
    ours = nn.ParameterList([tg.ones(2), nn.Parameter(tg.zeros(3), requires_grad=False)])
    theirs = torch.nn.ParameterList([torch.ones(2), torch.nn.Parameter(torch.zeros(3), False)])
    ours.append("text")
    theirs.append("text")
    assert repr(ours).replace("tapegrad", "torch") == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert isinstance(ours[0], nn.Parameter)
    assert ours[-1] == "text"
    assert len(ours[:2]) == 2
    assert ours[1] is ours[:2][1]
    ours[2] = tg.ones(1)
    ours += [tg.ones(4)]
    assert [tuple(p.shape) for p in ours] == [(2,), (3,), (1,), (4,)]
    with pytest.raises(IndexError, match="index 4"):
        ours[4]
    with pytest.raises(TypeError, match="list of values"):
        ours.extend(tg.ones(2))
    with pytest.raises(RuntimeError, match="should not be called"):
        ours(1)
    twin = copy.deepcopy(ours)
    assert twin[0] is not ours[0]
    assert len(pickle.loads(pickle.dumps(ours))) == 4


def test_parameter_dict():
    ours = nn.ParameterDict({"a": tg.ones(2)})
    theirs = torch.nn.ParameterDict({"a": torch.ones(2)})
    ours["n"] = theirs["n"] = 5
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["a"]
    assert repr(ours).splitlines()[2] == repr(theirs).splitlines()[2]
    ours.update([("b", tg.zeros(1))])
    assert list(ours) == ["a", "n", "b"]
    assert list(reversed(ours)) == ["b", "n", "a"]
    assert ours.popitem()[0] == "b"
    assert ours.pop("n") == 5
    assert ours.get("x", 3) == 3
    assert ours.setdefault("c", tg.ones(1)) is ours["c"]
    assert list(ours | nn.ParameterDict({"d": tg.ones(1)})) == ["a", "c", "d"]
    assert list(ours.fromkeys(["p", "q"], 1).keys()) == ["p", "q"]
    assert ours.copy()["a"] is ours["a"]
    del ours["a"]
    assert "a" not in ours
    assert not hasattr(ours, "a")
    with pytest.raises(KeyError):
        ours["a"]
    with pytest.raises(TypeError, match="strings"):
        ours[1] = tg.ones(1)
    with pytest.raises(KeyError, match="already exists"):
        ours["forward"] = tg.ones(1)
    ours.clear()
    assert len(ours) == 0
    assert len(list(ours.parameters())) == 0


# --- initial values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 2, 3), 1), ((4, 3, 3, 2), 2), ((2, 2, 2, 2, 2), 1)]
)
def test_dirac(shape, groups):
    ours = nn.init.dirac_(tg.ones(*shape), groups)
    assert (ours.numpy() == torch.nn.init.dirac_(torch.ones(*shape), groups).numpy()).all()
    with pytest.raises(ValueError, match="divisible by groups=3"):
        nn.init.dirac_(tg.ones(*shape), 3)
    with pytest.raises(ValueError, match="3, 4 or 5"):
        nn.init.dirac_(tg.ones(2, 2))


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3), (2, 3, 2)])
def test_orthogonal_start(shape):
    tg.manual_seed(0)
    weight = nn.Parameter(tg.empty(*shape, dtype=tg.float64))
    assert nn.init.orthogonal_(weight, gain=2.0) is weight
    matrix = weight.detach().numpy().reshape(shape[0], -1)
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(tall.T @ tall, 4 * np.eye(tall.shape[1]), atol=1e-12)
    with pytest.raises(ValueError, match="2 or more"):
        nn.init.orthogonal_(tg.ones(3))


def test_sparse_start():
    tg.manual_seed(0)
    weight = nn.init.sparse_(tg.empty(50, 40), 0.3, std=2.0)
    assert ((weight == 0).sum(0) == 15).all()
    assert 1.5 < weight[weight != 0].std().item() < 2.5
    with pytest.raises(ValueError, match="2 dimensions"):
        nn.init.sparse_(tg.ones(3), 0.1)
