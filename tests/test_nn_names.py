"""Names of `nn`: loaded on first use, complete, and those that other modules are made of."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn

torch = pytest.importorskip("torch")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


# --- loading on first use -------------------------------------------------------------------------


def test_the_table_of_files_is_what_type_checkers_see() -> None:
    path = Path(nn.modules.__file__)
    seen: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tapegrad.nn."):
            file = str(node.module).rpartition(".")[2]
            seen.setdefault(file, set()).update(str(name.asname) for name in node.names)
    assert {file: set(names.split()) for file, names in nn.modules._FILES.items()} == seen
    private = {file.stem for file in path.parent.glob("*.py") if file.stem.startswith("_")}
    parts = {"parameter_containers"}  # of container.py
    assert {file.stem for file in path.parent.glob("*.py")} == set(seen) | private | parts


def test_every_name_is_there() -> None:
    for module in (nn, nn.modules):
        assert len(set(module.__all__)) == len(module.__all__)
        assert set(module.__all__) <= set(dir(module))
        for name in module.__all__:
            assert getattr(module, name) is not None
    for name in nn.modules.__all__:
        kind = getattr(nn, name)
        assert kind is getattr(nn.modules, name)
        assert kind.__name__ == name
        assert pickle.loads(pickle.dumps(kind)) is kind
    assert isinstance(nn.modules.conv, types.ModuleType)
    with pytest.raises(AttributeError, match="has no attribute 'Linaer'"):
        _ = nn.Linaer  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="has no attribute 'Linaer'"):
        _ = nn.modules.Linaer  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="Linaer"):
        from tapegrad.nn import Linaer  # type: ignore[attr-defined]  # noqa: F401


def test_a_program_loads_what_it_uses() -> None:
    loaded = "sorted(m for m in sys.modules if m.startswith('tapegrad.nn'))"
    code = f"import sys, tapegrad; tapegrad.nn; print({loaded})"
    assert run(code) == "['tapegrad.nn', 'tapegrad.nn.modules']"
    code = f"import sys, tapegrad.nn as nn; nn.Linear(2, 3); print({loaded})"
    assert not {"conv", "loss", "rnn", "transformer"} & {
        name.rpartition(".")[2] for name in ast.literal_eval(run(code))
    }
    assert run("from tapegrad.nn import *; print(LSTM.__name__, functional.relu.__name__)")
    assert run("import tapegrad as tg; print(tg.nn.modules.batchnorm._BatchNorm.__name__)")


def test_a_pickled_module_is_read_in_a_fresh_process(tmp_path: Path) -> None:
    """Files that the reader has not touched are loaded by it."""
    layer = nn.Sequential(nn.LSTM(2, 3), nn.Conv2d(1, 2, 3))
    (tmp_path / "net.pickle").write_bytes(pickle.dumps(layer))
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'net.pickle')!r}, 'rb')))"
    assert run(code) == repr(layer)


# --- modules and helpers made of others -----------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_cross_map_lrn(size: int) -> None:
    x = np.random.default_rng(size).standard_normal((2, 7, 3, 4))
    ours, theirs = (lib.nn.CrossMapLRN2d(size, 0.5, 0.6, 2.0) for lib in (tg, torch))
    assert repr(ours) == repr(theirs)
    np.testing.assert_allclose(
        ours(tg.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-12
    )
    small = tg.tensor(x[:1, :4, :2, :2], requires_grad=True)
    assert tg.autograd.gradcheck(ours, (small,))
    with pytest.raises(ValueError, match="4D"):
        ours(tg.ones(2, 3))


def test_sync_batch_norm_is_batch_norm_in_one_process() -> None:
    def build(lib: Any) -> Any:
        return lib.nn.Sequential(
            lib.nn.Linear(3, 4),
            lib.nn.BatchNorm1d(4, momentum=None),
            lib.nn.Sequential(lib.nn.BatchNorm1d(4, affine=False)),
        )

    ours, theirs = build(tg), build(torch)
    ours.load_state_dict({key: tg.tensor(v.numpy()) for key, v in theirs.state_dict().items()})
    weight = ours[1].weight
    ours[2].eval()
    theirs[2].eval()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(ours, process_group="all")
    theirs = torch.nn.SyncBatchNorm.convert_sync_batchnorm(theirs)
    assert converted is ours
    assert repr(ours) == repr(theirs)
    assert ours[1].weight is weight
    assert ours[1].process_group == "all"
    assert not ours[2][0].training
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    a, b = ours(tg.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-5)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), atol=1e-6)
    one = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm3d(2))
    assert type(one) is nn.SyncBatchNorm
    assert one(tg.rand(2, 2, 3, 3, 3)).shape == (2, 2, 3, 3, 3)
    with pytest.raises(ValueError, match="at least 2D"):
        one(tg.ones(2))
    with pytest.raises(RuntimeError, match="2 channels"):
        one(tg.ones(2, 3))


@pytest.mark.parametrize("pad", [0, 2])
def test_conv_tbc(pad: int) -> None:
    g = np.random.default_rng(1)
    arrays = [g.standard_normal(shape) for shape in ((7, 3, 4), (3, 4, 5), (5,))]
    ours = [tg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = tg.conv_tbc(*ours, pad), torch.conv_tbc(*theirs, pad)
    assert y.is_contiguous()
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), atol=1e-12)
    seed = g.standard_normal(tuple(t.shape))
    y.backward(tg.tensor(seed))
    t.backward(torch.tensor(seed))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-12)
    assert nn.functional.conv_tbc is tg.conv_tbc
    with pytest.raises(RuntimeError, match="got an input with 2 channels"):
        tg.conv_tbc(tg.ones(5, 1, 2), *ours[1:])
    with pytest.raises(RuntimeError, match="time, batch, channels"):
        tg.conv_tbc(tg.ones(5, 2), *ours[1:])


def test_skip_init_draws_nothing() -> None:
    before = tg.get_rng_state()
    layer = nn.utils.skip_init(nn.TransformerEncoderLayer, 8, 2, dim_feedforward=4)
    nn.utils.skip_init(nn.Conv2d, 2, 3, kernel_size=3, dtype=tg.float64)
    assert tg.equal(tg.get_rng_state(), before)
    assert layer(tg.rand(1, 3, 8)).shape == (1, 3, 8)
    nn.Linear(2, 2)  # as ever, after it
    assert not tg.equal(tg.get_rng_state(), before)
    with pytest.raises(TypeError):
        nn.utils.skip_init(nn.Linear, 2)
    weight = tg.zeros(3)
    assert nn.init.normal_(weight).abs().sum() > 0  # an error ends it too
    with pytest.raises(RuntimeError, match="'device'"):
        nn.utils.skip_init(nn.ReLU)
    with pytest.raises(RuntimeError, match="class of modules"):
        nn.utils.skip_init(tg.ones, 2)  # type: ignore[type-var]


def test_former_names() -> None:
    weight = tg.zeros(2, requires_grad=True)
    weight.grad = tg.tensor([3.0, 4.0])
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        assert nn.utils.clip_grad_norm([weight], 1.0) == 5.0
    assert tg.linalg.vector_norm(weight.grad) <= 1.0
    layer = nn.Linear(2, 1)
    state = {"weight": tg.ones(1, 2), "bias": tg.zeros(1)}
    assert nn.utils.stateless.functional_call(layer, state, (tg.ones(2),)).item() == 2.0
    with pytest.raises(RuntimeError, match="missing"):
        nn.utils.stateless.functional_call(layer, {"bias": tg.zeros(1)}, tg.ones(2), strict=True)


def test_the_order_of_weights_in_memory() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 2, 3), nn.Linear(4, 2))
    deep = nn.Conv3d(2, 3, 3)
    x = tg.rand(1, 3, 6, 6)
    expected = net[1](net[0](x))
    weight = net[0].weight
    assert nn.utils.convert_conv2d_weight_memory_format(net, tg.channels_last) is net
    assert net[0].weight is weight
    for layer in net[:2]:
        assert layer.weight.is_contiguous(memory_format=tg.channels_last)
    y = net[1](net[0](x))
    tg.testing.assert_close(y, expected)
    y.sum().backward()
    assert weight.grad.shape == weight.shape
    nn.utils.convert_conv3d_weight_memory_format(deep, tg.channels_last_3d)
    assert deep.weight.is_contiguous(memory_format=tg.channels_last_3d)
