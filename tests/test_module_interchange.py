"""Weights of every module, saved by one library and loaded by the other, give the same outputs.

The files are read and written here by the format's own description, so that neither library's
reader is taken at its word.
"""

from __future__ import annotations

import json
import struct
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tapegrad as tg
from module_table import ELSEWHERE, ROWS, Row
from support import assert_close

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")

NAMES = {"F32": np.float32, "I64": np.int64}


def write_safetensors(path: Path, state: dict[str, Any]) -> None:
    header, data = {}, b""
    for key, tensor in state.items():
        array = np.ascontiguousarray(tensor.detach().numpy()).reshape(tuple(tensor.shape))
        name = next(name for name, kind in NAMES.items() if kind == array.dtype)
        begin, data = len(data), data + array.tobytes()
        offsets = [begin, len(data)]
        header[key] = {"dtype": name, "shape": list(array.shape), "data_offsets": offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    state = {}
    for key, entry in header.items():
        if key != "__metadata__":
            begin, end = entry["data_offsets"]
            values = np.frombuffer(
                content[8 + size + begin : 8 + size + end], NAMES[entry["dtype"]]
            )
            state[key] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return state


def outputs(lib: Any, module: Any, row: Row) -> list[Any]:
    def listed(result: Any) -> list[Any]:
        if isinstance(result, (tuple, list)):
            return [leaf for item in result for leaf in listed(item)]
        return [] if result is None else [result]

    with lib.no_grad(), warnings.catch_warnings():
        if lib is torch:  # it tells which implementation it takes
            warnings.simplefilter("ignore")
        return listed(module(*[lib.from_numpy(array) for array in row.arrays()]))


def agree(ours: Any, theirs: Any, row: Row) -> None:
    """In evaluation, and in training unless that is random."""
    random = any(isinstance(m, torch.nn.modules.dropout._DropoutNd) for m in theirs.modules())
    for mode in (False, True):
        if mode and (random or row.name == "RReLU"):
            continue
        results = outputs(tg, ours.train(mode), row), outputs(torch, theirs.train(mode), row)
        assert len(results[0]) == len(results[1])
        for a, b in zip(*results, strict=True):
            assert_close(a, b.numpy(), rtol=2e-5, atol=2e-5, msg=f"training={mode}")
    for key, value in theirs.state_dict().items():  # what training has changed
        assert_close(ours.state_dict()[key], value.numpy(), rtol=2e-5, atol=2e-5, msg=key)


def both(row: Row) -> tuple[Any, Any]:
    ours = row.build(tg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on speed
        theirs = row.build(torch)
    assert repr(ours) == repr(theirs)
    expected = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in ours.state_dict().items()} == expected
    assert list(ours.state_dict()) == list(expected)
    return ours, theirs


def test_every_module_has_a_row() -> None:
    known = {row.name for row in ROWS} | set(ELSEWHERE.split())
    names = [name for name in tg.nn.modules.__all__ if not name.startswith("Lazy")]
    assert [n for n in names if n not in known and "Loss" not in n] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_weights_of_pytorch_load_here(row: Row, tmp_path: Path) -> None:
    ours, theirs = both(row)
    outputs(torch, theirs, row)  # running statistics that are not the first ones
    write_safetensors(tmp_path / "weights.safetensors", theirs.state_dict())
    result = ours.load_state_dict(tg.load(tmp_path / "weights.safetensors"))
    assert not result.missing_keys
    assert not result.unexpected_keys
    agree(ours, theirs, row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_weights_from_here_load_in_pytorch(row: Row, tmp_path: Path) -> None:
    ours, theirs = both(row)
    outputs(tg, ours, row)
    tg.save(ours.state_dict(), tmp_path / "weights.safetensors")
    theirs.load_state_dict(read_safetensors(tmp_path / "weights.safetensors"))
    agree(ours, theirs, row)
