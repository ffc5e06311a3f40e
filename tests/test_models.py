"""Model files written for PyTorch run when only their imports change, with PyTorch's results."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import assert_close

torch = pytest.importorskip("torch")

SOURCE = (Path(__file__).parent / "models" / "residual_nets.py").read_text()


def loaded(library: str) -> Any:
    """The file as a module, with `library` in place of torch in its import lines."""
    text = SOURCE
    if library != "torch":
        text = re.sub(r"^import torch$", f"import {library} as torch", text, flags=re.MULTILINE)
        text = re.sub(r"^(import|from) torch\b", rf"\1 {library}", text, flags=re.MULTILINE)
    module = types.ModuleType(f"residual_nets_of_{library}")
    exec(compile(text, module.__name__, "exec"), module.__dict__)
    return module


OURS, THEIRS = loaded("tapegrad"), loaded("torch")
MODELS = {"resnet18": (2, 3, 33, 33), "resnet14": (2, 3, 33, 33), "resnet20": (4, 3, 16, 16)}


def images(name: str, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(MODELS[name])
    return np.asarray(values.astype(np.float32))


def both(name: str) -> tuple[Any, Any]:
    """The model in both libraries, with PyTorch's weights, and statistics of one batch."""
    torch.manual_seed(0)
    theirs, ours = getattr(THEIRS, name)(), getattr(OURS, name)()
    with torch.no_grad():
        theirs(torch.from_numpy(images(name, 1)))
    state = {key: tg.from_numpy(value.numpy()) for key, value in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    assert str(ours.load_state_dict(state)) == "<All keys matched successfully>"
    return ours, theirs


def test_only_the_imports_differ() -> None:
    assert OURS.torch is tg
    assert THEIRS.torch is torch
    assert OURS.nn is tg.nn


@pytest.mark.parametrize("name", list(MODELS))
def test_residual_nets_agree_in_evaluation(name: str) -> None:
    ours, theirs = both(name)
    assert repr(ours) == repr(theirs)
    with tg.no_grad(), torch.no_grad():
        a = ours.eval()(tg.from_numpy(images(name)))
        b = theirs.eval()(torch.from_numpy(images(name)))
    assert_close(a, b.numpy(), rtol=1e-4, atol=1e-4)


def test_a_residual_net_trains_as_in_pytorch() -> None:
    """Three steps of SGD in double: losses, gradients and running statistics."""
    name = "resnet20"
    ours, theirs = both(name)
    ours, theirs = ours.double().train(), theirs.double().train()
    target = np.arange(MODELS[name][0]) % 10
    losses: list[list[float]] = []
    for lib, model in ((tg, ours), (torch, theirs)):
        optimizer = lib.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        x, t = lib.from_numpy(images(name)).double(), lib.from_numpy(target)
        losses.append([])
        for _ in range(3):
            optimizer.zero_grad()
            loss = lib.nn.functional.cross_entropy(model(x), t)
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-8)
    for (key, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert_close(a.grad, b.grad.numpy(), rtol=1e-6, atol=1e-8, msg=key)
    for key, value in theirs.state_dict().items():
        assert_close(ours.state_dict()[key], value.numpy(), rtol=1e-7, atol=1e-9, msg=key)


def test_an_error_in_a_residual_net_names_the_layer() -> None:
    model = OURS.resnet20()
    model.layer2[1].conv2 = tg.nn.Conv2d(16, 32, 3)
    with pytest.raises(RuntimeError) as info:
        model(tg.zeros(1, 3, 32, 32))
    text = "\n".join([str(info.value), *getattr(info.value, "__notes__", [])])
    assert "In module CifarResNet.layer2.1.conv2 (Conv2d)" in text
