"""Lazy modules: parameters without a shape, their first call, and their state."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.parameter import UninitializedParameter, is_lazy

torch = pytest.importorskip("torch")

LAYERS = [
    ("LazyLinear", (3,), (2, 5)),
    ("LazyConv1d", (4, 3), (2, 6, 9)),
    ("LazyConv2d", (4, 3, 2, 1), (2, 6, 9, 8)),
    ("LazyConv3d", (4, 2), (2, 6, 3, 4, 5)),
    ("LazyConvTranspose1d", (4, 3), (2, 6, 9)),
    ("LazyConvTranspose2d", (4, 3, 2), (2, 6, 5, 4)),
    ("LazyConvTranspose3d", (4, 2), (2, 6, 3, 4, 3)),
]


@pytest.mark.parametrize(("name", "args", "shape"), LAYERS, ids=[n for n, _, _ in LAYERS])
@pytest.mark.parametrize("bias", [True, False])
def test_first_call_makes_an_ordinary_module(name, args, shape, bias):
    ours, theirs = getattr(nn, name)(*args, bias=bias), getattr(torch.nn, name)(*args, bias=bias)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(is_lazy(value) for value in ours.state_dict().values())
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    ours(tg.tensor(x))
    theirs(torch.tensor(x))
    assert repr(ours) == repr(theirs)
    assert type(ours) is getattr(nn, name.removeprefix("Lazy"))
    assert type(ours.weight) is nn.Parameter
    assert ours.weight.requires_grad
    assert 0 < ours.weight.abs().max().item() < 1
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    a, b = ours(tg.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)
    a.square().sum().backward()
    b.square().sum().backward()
    np.testing.assert_allclose(
        ours.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize(("name", "args", "shape"), LAYERS, ids=[n for n, _, _ in LAYERS])
def test_state_goes_both_ways(name, args, shape):
    full, lazy = getattr(nn, name)(*args), getattr(nn, name)(*args)
    x = tg.randn(*shape)
    expected = full(x)
    lazy.load_state_dict(full.state_dict())
    assert not lazy.has_uninitialized_params()
    assert (lazy(x) == expected).all()
    assert repr(lazy) == repr(full)
    fresh = getattr(nn, name)(*args)
    before = full.weight.detach().clone()
    with pytest.raises(RuntimeError, match="uninitialized"):
        full.load_state_dict(fresh.state_dict())
    assert (full.weight == before).all()
    fresh.load_state_dict(getattr(nn, name)(*args).state_dict())
    assert fresh.has_uninitialized_params()


NORMS = [
    (f"Lazy{kind}Norm{n}d", (3, 5, 4, 3, 2)[: n + 2])
    for kind in ("Batch", "Instance")
    for n in (1, 2, 3)
]


@pytest.mark.filterwarnings("ignore:input's size at dim")  # PyTorch's, of its own lazy module
@pytest.mark.parametrize(("name", "shape"), NORMS, ids=[n for n, _ in NORMS])
@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_lazy_norms(name, shape, affine, track):
    kwargs = {"affine": affine, "track_running_stats": track}
    ours, theirs = getattr(nn, name)(**kwargs), getattr(torch.nn, name)(**kwargs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    a, b = ours(tg.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert type(ours) is getattr(nn, name.removeprefix("Lazy"))
    assert ours.num_features == 5
    for (key, own), other in zip(
        ours.state_dict().items(), theirs.state_dict().values(), strict=True
    ):
        np.testing.assert_allclose(own.numpy(), other.numpy(), rtol=1e-5, err_msg=key)
    fresh = getattr(nn, name)(**kwargs)
    fresh.load_state_dict(ours.state_dict())
    fresh.eval()
    ours.eval()
    assert (fresh(tg.tensor(x)) == ours(tg.tensor(x))).all()
    fresh = getattr(nn, name)(**kwargs)
    with pytest.raises(ValueError, match="expected"):
        fresh(tg.ones(2))
    assert fresh.num_features == 0
    fresh(tg.tensor(x))


def test_conversions_before_the_first_call():
    net = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2)).double()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net):
        assert is_lazy(twin[0].weight)
        y = twin(tg.ones(3, 5, dtype=tg.float64))
        assert y.dtype == tg.float64
        assert [tuple(p.shape) for p in twin.parameters()] == [(4, 5), (4,), (2, 4), (2,)]
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
    y.sum().backward()
    before = net[2].bias.detach().clone()
    optimizer.step()
    assert (net[2].bias != before).all()


def test_uninitialized_parameters():
    weight = UninitializedParameter(dtype=tg.float64)
    assert repr(weight) == "<UninitializedParameter>"
    with pytest.raises(RuntimeError, match="no shape yet"):
        weight.shape
    same = weight
    weight.materialize((2, 3))
    assert same is weight
    assert type(weight) is nn.Parameter
    assert (weight.dtype, tuple(weight.shape)) == (tg.float64, (2, 3))
    assert weight.requires_grad
    assert weight.is_leaf
    (weight * 2).sum().backward()
    assert (weight.grad == 2).all()
    module = nn.Module()
    module.register_buffer("mean", nn.UninitializedBuffer())
    module.mean.materialize((3,))
    assert not module.mean.requires_grad
    assert not is_lazy(module.mean)


def test_a_lazy_module_of_ones_own():
    class Scale(nn.modules.lazy.LazyModuleMixin, nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = UninitializedParameter()

        def initialize_parameters(self, x):
            self.factor.materialize(x.shape[-1:])
            nn.init.ones_(self.factor)

        def forward(self, x):
            return x * self.factor

    scale = Scale()
    assert (scale(tg.ones(2, 3)) == 1).all()
    assert (scale(tg.ones(3)) == 1).all()
    seen = []
    scale.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    scale(tg.ones(2, 3))
    assert seen == [(2, 3)]


def test_errors_of_lazy_modules():
    class Forgets(nn.modules.lazy.LazyModuleMixin, nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = UninitializedParameter()

    with pytest.raises(NotImplementedError, match="initialize_parameters"):
        Forgets()(tg.ones(1))
    Forgets.initialize_parameters = lambda self, x: None
    with pytest.raises(RuntimeError, match="without a shape"):
        Forgets()(tg.ones(1))
    conv = nn.LazyConv2d(4, 3, groups=2)
    with pytest.raises(RuntimeError, match=r"3D .* or 4D"):
        conv(tg.ones(3, 3))
    with pytest.raises(ValueError, match="divisible by groups"):
        conv(tg.ones(1, 3, 4, 4))
    assert conv.has_uninitialized_params()
    assert conv(tg.ones(1, 2, 4, 4)).shape == (1, 4, 2, 2)
    with pytest.raises(ValueError, match="out_channels"):
        nn.LazyConv2d(3, 3, groups=2)
