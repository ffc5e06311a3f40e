"""Parametrized modules, and weight, spectral and orthogonal parametrizations, against PyTorch."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.utils import parametrizations, parametrize

torch = pytest.importorskip("torch")


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x):
        return x.triu()


class Double(nn.Module):
    def forward(self, x):
        return x * 2

    def right_inverse(self, x):
        return x / 2


def transfer(ours, theirs):
    """Give PyTorch's module the state of ours."""
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})


def values(module):
    return [(name, tuple(p.shape)) for name, p in module.named_parameters()]


def test_one_parametrization_and_its_removal():
    layer = nn.Linear(3, 3)
    original = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert parametrize.is_parametrized(layer)
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert isinstance(layer, nn.Linear)
    assert type(layer).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert layer.parametrizations.weight.original is original
    assert (layer.weight == layer.weight.T).all()
    assert values(layer) == [("bias", (3,)), ("parametrizations.weight.original", (3, 3))]
    layer(tg.ones(2, 3)).sum().backward()
    assert original.grad is not None
    layer.weight = tg.ones(3, 3)
    assert (original == tg.ones(3, 3).triu()).all()
    assert (layer.weight == 1).all()
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert layer.weight is original
    assert (original == 1).all()
    assert list(layer.state_dict()) == ["bias", "weight"]


def test_several_parametrizations_apply_in_order():
    layer = nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Double())
    assert tg.allclose(layer.weight, before)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.register_parametrization(layer, "bias", Double())
    original = layer.parametrizations.weight.original
    assert (layer.weight == (original * 2).triu() + (original * 2).triu(1).T).all()
    assert len(layer.parametrizations.weight) == 2
    twin = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert (layer.weight == original).all()
    assert parametrize.is_parametrized(layer, "bias")
    parametrize.remove_parametrizations(layer, "bias")
    assert not parametrize.is_parametrized(layer)
    assert (twin.weight == twin.weight.T).all()
    assert parametrize.is_parametrized(twin, "bias")


def test_state_dict_and_buffers():
    layer = nn.Linear(2, 2)
    layer.register_buffer("scale", tg.ones(2))
    parametrize.register_parametrization(layer, "scale", Double())
    assert "parametrizations.scale.original" in dict(layer.named_buffers())
    assert (layer.scale == 1).all()
    other = nn.Linear(2, 2)
    other.register_buffer("scale", tg.zeros(2))
    parametrize.register_parametrization(other, "scale", Double())
    other.load_state_dict(layer.state_dict())
    assert (other.scale == 1).all()
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(layer)
    layer.double()
    assert layer.scale.dtype == tg.float64


def test_cached_computes_once():
    calls = []

    class Count(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x * 1

    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Count())
    calls.clear()
    with parametrize.cached(), parametrize.cached():
        a, b = layer.weight, layer.weight
    assert a is b
    assert len(calls) == 1
    assert layer.weight is not a
    with parametrize.cached():
        assert layer.weight is not a


def test_what_does_not_fit_is_refused():
    class Shape(nn.Module):
        def forward(self, x):
            return x[:1]

    class Type(nn.Module):
        def forward(self, x):
            return x.double()

    class NoTensor(nn.Module):
        def forward(self, x):
            return 1

    layer = nn.Linear(3, 3)
    for wrong, match in ((Shape, "shape"), (Type, "dtype"), (NoTensor, "must be a tensor")):
        with pytest.raises(ValueError, match=match):
            parametrize.register_parametrization(layer, "weight", wrong())
        assert type(layer) is nn.Linear
        assert isinstance(layer.weight, nn.Parameter)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    for wrong, match in ((Shape, "shape"), (Type, "dtype"), (NoTensor, "must be a tensor")):
        with pytest.raises(ValueError, match=match):
            parametrize.register_parametrization(layer, "weight", wrong())
    assert len(layer.parametrizations.weight) == 1
    with pytest.raises(ValueError, match="no parameter or buffer named 'other'"):
        parametrize.register_parametrization(layer, "other", Double())
    with pytest.raises(ValueError, match="not parametrized"):
        parametrize.remove_parametrizations(layer, "bias")
    plain = nn.Linear(2, 2)
    parametrize.register_parametrization(plain, "weight", Shape(), unsafe=True)
    assert plain.weight.shape == (1, 2)
    with pytest.raises(RuntimeError, match="right_inverse"):
        plain.weight = tg.ones(2, 2)


def test_transfer():
    source, target = nn.Linear(3, 3), nn.Linear(3, 3)
    parametrize.register_parametrization(source, "weight", Symmetric())
    parametrize.transfer_parametrizations_and_params(source, target)
    assert target.parametrizations.weight.original is source.parametrizations.weight.original
    assert (target.weight == source.weight).all()


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(dim):
    ours = parametrizations.weight_norm(nn.Conv1d(3, 4, 2), dim=dim)
    theirs = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(3, 4, 2), dim=dim)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [tuple(p.shape) for p in ours.parameters()] == [
        tuple(p.shape) for p in theirs.parameters()
    ]
    transfer(ours, theirs)
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    a, b = ours(tg.tensor(x)), theirs(torch.tensor(x))
    a.square().sum().backward()
    b.square().sum().backward()
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-5)
    before = ours.weight.detach().clone()
    parametrize.remove_parametrizations(ours, "weight")
    assert isinstance(ours.weight, nn.Parameter)
    assert (ours.weight == before).all()


def test_older_weight_norm():
    with pytest.warns(FutureWarning, match="older"):
        ours = nn.utils.weight_norm(nn.Linear(3, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.nn.utils.weight_norm(torch.nn.Linear(3, 4))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    transfer(ours, theirs)
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    a, b = ours(tg.tensor(x)), theirs(torch.tensor(x))
    a.square().sum().backward()
    b.square().sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-5)
    newer = parametrizations.weight_norm(nn.Linear(3, 4))
    net = nn.Sequential(newer)
    net.load_state_dict({"0." + k: v for k, v in ours.state_dict().items()})
    assert tg.allclose(net(tg.tensor(x)), a)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="has one already"):
            nn.utils.weight_norm(ours)
    before = ours.weight.detach().clone()
    nn.utils.remove_weight_norm(ours)
    assert tg.allclose(ours.weight, before)
    assert sorted(ours.state_dict()) == ["bias", "weight"]
    with pytest.raises(ValueError, match="no weight_norm"):
        nn.utils.remove_weight_norm(ours)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", ["Linear", "ConvTranspose2d"])
def test_spectral_norm(kind, older):
    args = (5, 4) if kind == "Linear" else (5, 4, 3)
    if older:
        ours = nn.utils.spectral_norm(getattr(nn, kind)(*args))
        theirs = torch.nn.utils.spectral_norm(getattr(torch.nn, kind)(*args))
    else:
        ours = parametrizations.spectral_norm(getattr(nn, kind)(*args), n_power_iterations=2)
        theirs = torch.nn.utils.parametrizations.spectral_norm(
            getattr(torch.nn, kind)(*args), n_power_iterations=2
        )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    transfer(ours, theirs)
    shape = (2, 5) if kind == "Linear" else (2, 5, 4, 4)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        for _ in range(2):
            a, b = ours(tg.tensor(x)), theirs(torch.tensor(x))
            ours.zero_grad()
            theirs.zero_grad()
            a.square().sum().backward()
            b.square().sum().backward()
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-3, atol=1e-4)
            for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
                np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-2, atol=1e-3)
    before = ours.weight.detach().clone()
    if older:
        with pytest.raises(RuntimeError, match="has one already"):
            nn.utils.spectral_norm(ours)
        nn.utils.remove_spectral_norm(ours)
        with pytest.raises(ValueError, match="no spectral_norm"):
            nn.utils.remove_spectral_norm(ours)
    else:
        parametrize.remove_parametrizations(ours, "weight")
    assert tg.allclose(ours.weight, before, atol=1e-6)
    assert sorted(ours.state_dict()) == ["bias", "weight"]


def test_spectral_norm_finds_the_largest_singular_value():
    layer = parametrizations.spectral_norm(nn.Linear(6, 5))
    for _ in range(60):
        layer(tg.ones(1, 6))
    assert abs(tg.linalg.matrix_norm(layer.weight.detach(), 2).item() - 1) < 1e-3
    with pytest.raises(ValueError, match="n_power_iterations"):
        parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
    with pytest.raises(IndexError, match="dim"):
        parametrizations.spectral_norm(nn.Linear(2, 2), dim=3)
    with pytest.raises(ValueError, match="named 'other'"):
        parametrizations.spectral_norm(nn.Linear(2, 2), "other")


@pytest.mark.parametrize("trivialization", [True, False])
@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_orthogonal(shape, orthogonal_map, trivialization):
    kwargs = {"orthogonal_map": orthogonal_map, "use_trivialization": trivialization}
    ours = nn.Linear(*shape, dtype=tg.float64)
    theirs = torch.nn.Linear(*shape, dtype=torch.float64)
    start = ours.weight.detach().clone()
    parametrizations.orthogonal(ours, **kwargs)
    torch.nn.utils.parametrizations.orthogonal(theirs, **kwargs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    transfer(ours, theirs)

    def unit(matrix):
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        return np.abs(tall.T @ tall - np.eye(tall.shape[1])).max()

    weight = ours.weight.detach().numpy()
    assert unit(weight) < 1e-12
    np.testing.assert_allclose(weight, theirs.weight.detach().numpy(), atol=1e-12)
    if trivialization or orthogonal_map == "householder":
        # It starts from what was there, orthogonalized by QR.
        tall = start.numpy() if start.shape[0] >= start.shape[1] else start.numpy().T
        q, r = np.linalg.qr(tall)
        q = q * np.sign(np.diag(r))
        expected = q if start.shape[0] >= start.shape[1] else q.T
        np.testing.assert_allclose(weight, expected, atol=1e-10)
    weights = np.random.default_rng(1).standard_normal(weight.shape)
    (ours.weight * tg.tensor(weights)).sum().backward()
    (theirs.weight * torch.tensor(weights)).sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        if q.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-10)
    optimizer = tg.optim.SGD(ours.parameters(), lr=0.3)
    optimizer.step()
    assert unit(ours.weight.detach().numpy()) < 1e-12
    if trivialization:
        q = np.linalg.qr(np.random.default_rng(2).standard_normal((max(shape), min(shape))))[0]
        target = q if weight.shape[0] >= weight.shape[1] else q.T
        ours.weight = tg.tensor(np.ascontiguousarray(target))
        np.testing.assert_allclose(ours.weight.detach().numpy(), target, atol=1e-10)


def test_orthogonal_errors():
    with pytest.raises(ValueError, match="matrix or batch"):
        parametrizations.orthogonal(nn.Linear(2, 2), "bias")
    with pytest.raises(ValueError, match="matrix_exp, cayley, householder"):
        parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="polar")
    layer = parametrizations.orthogonal(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"shape \(2, 2\), got \(3, 3\)"):
        layer.weight = tg.ones(3, 3)
