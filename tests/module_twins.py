"""Modules of this library beside PyTorch's: the same values, gradients and states in both."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(11)
MHA = (8, 2)


def normal(*shape):
    return RNG.standard_normal(shape)


def tensors(arrays, library, dtype):
    """The same arrays as tensors of one library; floating ones need gradients."""
    result = {}
    for name, a in arrays.items():
        if isinstance(a, np.ndarray) and a.dtype == np.float64:
            t = library.tensor(a).to(getattr(library, dtype))
            result[name] = t.requires_grad_(not name.endswith("mask"))
        else:
            result[name] = library.tensor(a) if isinstance(a, np.ndarray) else a
    return result


def twins(name, *args, dtype="float64", **kwargs):
    """The module of both libraries, with PyTorch's values in both."""
    theirs = getattr(torch.nn, name)(*args, dtype=getattr(torch, dtype), **kwargs)
    ours = getattr(nn, name)(*args, dtype=getattr(tg, dtype), **kwargs)
    return share(ours, theirs), theirs


def share(ours, theirs):
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    generator = np.random.default_rng(1)
    state = {
        k: v + torch.tensor(generator.standard_normal(tuple(v.shape)) * 0.1).to(v.dtype)
        for k, v in state.items()
    }
    theirs.load_state_dict(state)
    ours.load_state_dict({k: tg.tensor(v.numpy()) for k, v in state.items()})
    back = {k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(back)
    return ours


def run(module, library, arrays, dtype, options):
    inputs = tensors(arrays, library, dtype)
    out = module(
        *(inputs[n] for n in inputs if "mask" not in n and "padding" not in n),
        **{n: inputs[n] for n in inputs if "mask" in n or "padding" in n},
        **options,
    )
    outs = [t for t in (out if isinstance(out, tuple) else (out,)) if t is not None]
    total = sum(
        (o * library.tensor(np.sin(np.arange(o.numel())).reshape(tuple(o.shape))).to(o.dtype)).sum()
        for o in outs
    )
    total.backward()
    values = [t.detach().numpy() for t in outs]
    values += [t.grad.numpy() for t in inputs.values() if getattr(t, "requires_grad", False)]
    values += [np.zeros(0) if p.grad is None else p.grad.numpy() for p in module.parameters()]
    return values


def compare(ours, theirs, arrays, dtype="float64", **options):
    tolerance = 1e-10 if dtype == "float64" else 2e-4
    a = run(ours, tg, arrays, dtype, options)
    b = run(theirs, torch, arrays, dtype, options)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def assert_same_signatures(name):
    for method in ("__init__", "forward"):
        a = inspect.signature(getattr(getattr(nn, name), method)).parameters
        b = inspect.signature(getattr(getattr(torch.nn, name), method)).parameters
        assert [p.name for p in a.values()] == [p.name for p in b.values()], (name, method)
        for p in a.values():
            if not callable(p.default):
                assert p.default == b[p.name].default, (name, p.name)
