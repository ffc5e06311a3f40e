"""Saving and loading: plain files, nested structures, and files that are not right."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import struct

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn


def write(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_state_dict_is_a_plain_safetensors_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "weights.safetensors"
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    tg.save(model.state_dict(), path)
    theirs = safetensors.load_file(path)
    for name, tensor in model.state_dict().items():
        assert theirs[name].tolist() == tensor.tolist()
    safetensors.save_file(theirs, tmp_path / "theirs.safetensors")
    twin = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    twin.load_state_dict(tg.load(tmp_path / "theirs.safetensors"))
    x = tg.ones(4, 3)
    assert twin(x).tolist() == model(x).tolist()
    assert [p.name for p in tmp_path.iterdir() if "tmp" in p.name] == []


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
    ],
)
def test_every_dtype_and_shape_comes_back(dtype, tmp_path):
    kind = getattr(tg, dtype)
    tensors = {
        "matrix": tg.tensor([[0, 1, 2], [3, 4, 5]]).to(kind),
        "transposed": tg.tensor([[0, 1, 2], [3, 4, 5]]).to(kind).t(),
        "slice": tg.arange(10).to(kind)[1::3],
        "scalar": tg.tensor(1).to(kind),
        "empty": tg.zeros(0, 3, dtype=kind),
    }
    tg.save(tensors, tmp_path / "t")
    loaded = tg.load(str(tmp_path / "t"))
    assert set(loaded) == set(tensors)
    for name, tensor in tensors.items():
        assert loaded[name].dtype == kind
        assert loaded[name].shape == tensor.shape
        assert loaded[name].tolist() == tensor.tolist()


def test_nested_structures_come_back_equal(tmp_path):
    obj = {
        "epoch": 3,
        "loss": 0.1 + 0.2,
        "inf": [math.inf, -math.inf],
        "none": None,
        "flag": True,
        "text": 'quotes " and ü',
        5: ("tuple", [1, [2]], {}),
        None: {False: "keys", 2.5: "of", 10**30: "any kind"},
        "tensors": [tg.ones(2), {"a.b": tg.zeros(1), "a": {"b": tg.tensor(7)}}],
    }
    tg.save(obj, tmp_path / "f")
    loaded = tg.load(tmp_path / "f")
    tensors, expected = loaded.pop("tensors"), obj.pop("tensors")
    assert loaded == obj
    assert [type(k) for k in loaded[None]] == [bool, float, int]
    assert tensors[0].tolist() == [1, 1]
    assert tensors[1]["a.b"].tolist() == [0]
    assert tensors[1]["a"]["b"].item() == 7
    assert len(expected) == len(tensors)
    tg.save(tg.arange(3), tmp_path / "single")
    assert tg.load(tmp_path / "single").tolist() == [0, 1, 2]


def test_what_cannot_be_stored_is_named(tmp_path):
    path = tmp_path / "f"
    with pytest.raises(TypeError, match=r"value of type set at \['a'\]\[0\]"):
        tg.save({"a": [{1, 2}]}, path)
    with pytest.raises(TypeError, match="key of type tuple"):
        tg.save({"a": {(1, 2): 3}}, path)
    loop = []
    loop.append(loop)
    with pytest.raises(TypeError, match="does it contain itself"):
        tg.save(loop, path)
    with pytest.raises(TypeError, match="expected a path or an open file, got int"):
        tg.save({}, 3)
    assert not path.exists()


def test_files_that_are_not_right_are_named(tmp_path):
    path = tmp_path / "broken.safetensors"
    with pytest.raises(OSError, match=r"broken\.safetensors"):
        tg.load(path)
    tg.save({"weight": tg.ones(100), "bias": tg.ones(2)}, path)
    whole = path.read_bytes()
    for cut in (0, 7, 40, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises((RuntimeError, ValueError), match=r"broken\.safetensors"):
            tg.load(path)
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2) + bytes(64))
    with pytest.raises(RuntimeError, match=r"broken\.safetensors: this is a pickle"):
        tg.load(path)
    path.write_bytes(b"PK\x03\x04\x00\x00\x08\x08" + bytes(64))
    with pytest.raises(RuntimeError, match=r"broken\.safetensors: the zip archive is damaged"):
        tg.load(path)


def test_a_header_that_starts_like_a_pickle_is_read(tmp_path):
    # A header of 0x280 bytes: its length begins with the bytes of pickle's protocol 2.
    header = {"x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}
    text = json.dumps(header).encode().ljust(0x280)
    assert tg.load(write(tmp_path / "f", text, b"\x07"))["x"].tolist() == [7]


@pytest.mark.parametrize(
    "tree",
    [
        "not json",
        '{"list": 3}',
        '{"tensor": "missing"}',
        '{"set": []}',
        '{"list": [], "dict": []}',
        '{"dict": [[1]]}',
        '{"dict": [[[1], 2]]}',
        "[1]",
        '{"list": [' * 300 + "]}" * 300,
    ],
)
def test_a_malformed_structure_is_named(tree, tmp_path):
    path = write(tmp_path / "f", {"__metadata__": {"tapegrad.structure": tree}})
    with pytest.raises(RuntimeError, match="structure' is malformed"):
        tg.load(path)


def test_other_metadata_is_ignored(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "x": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
    }
    assert tg.load(write(tmp_path / "f", header, struct.pack("<f", 1.5)))["x"].item() == 1.5


def test_map_location(tmp_path):
    tg.save({"x": tg.ones(1)}, tmp_path / "f")
    assert tg.load(tmp_path / "f", map_location="cpu", weights_only=True)["x"].item() == 1
    for location in (tg.device("cpu"), {"cuda:0": "cpu"}, lambda storage, place: storage):
        assert tg.load(tmp_path / "f", location)["x"].item() == 1
    with pytest.raises((ValueError, RuntimeError), match="cuda"):
        tg.load(tmp_path / "f", map_location="cuda")


def test_open_files(tmp_path):
    stream = io.BytesIO()
    tg.save({"x": tg.arange(3), "n": [1]}, stream)
    stream.seek(0)
    loaded = tg.load(stream)
    assert loaded["x"].tolist() == [0, 1, 2]
    assert loaded["n"] == [1]
    with (tmp_path / "f").open("wb") as file:
        tg.save({"x": tg.ones(2)}, file)
    with (tmp_path / "f").open("rb") as file:
        assert tg.load(file)["x"].tolist() == [1, 1]


def test_numbers_of_numpy_become_numbers(tmp_path):
    numbers = {"a": np.float32(0.1), "b": np.int64(3), "c": np.bool_(True), "d": np.float64(0.1)}
    tg.save(numbers, tmp_path / "f")
    loaded = tg.load(tmp_path / "f")
    assert loaded == {"a": float(np.float32(0.1)), "b": 3, "c": True, "d": 0.1}
    assert [type(v) for v in loaded.values()] == [float, int, bool, float]
    with pytest.raises(TypeError, match=r"value of type ndarray at \['w'\]"):
        tg.save({"w": np.ones(2)}, tmp_path / "g")


def test_what_is_no_file_is_told_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe: not a regular file"):
        tg.load(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        tg.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tg.load(tmp_path / "nowhere")
