"""Tensors from and to NumPy, buffers, DLPack; copies, pickles and conversions."""

from __future__ import annotations

import copy
import gc
import pickle

import numpy as np
import pytest

import tapegrad as tg

# --- NumPy, buffers, DLPack -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
)
def test_numpy_round_trip_shares_memory(dtype):
    array = np.ones((2, 3), dtype=dtype)
    x = tg.from_numpy(array)
    assert x.dtype is getattr(tg, dtype)
    x[0, 1] = 0
    assert array[0, 1] == 0
    back = x.numpy()
    assert back.dtype == array.dtype
    assert np.shares_memory(back, array)


def test_numpy_strides_and_lifetime():
    array = np.arange(12.0).reshape(3, 4)
    x = tg.from_numpy(array.T[::2])
    assert x.shape == (2, 3)
    assert x.stride() == (2, 4)
    assert x.numpy().tolist() == array.T[::2].tolist()
    y = tg.from_numpy(np.arange(1000.0))
    gc.collect()
    assert y[999].item() == 999.0
    view = tg.arange(1000).numpy()
    gc.collect()
    assert view[999] == 999
    with pytest.raises(ValueError, match="negative"):
        tg.from_numpy(array[::-1])
    with pytest.raises(TypeError, match="supported are"):
        tg.from_numpy(np.array(["a"]))
    with pytest.raises(TypeError, match="uint16"):
        tg.from_numpy(np.zeros(1, dtype=np.uint16))
    with pytest.raises(TypeError, match="expected an ndarray"):
        tg.from_numpy([1])


def test_read_only_arrays_warn():
    array = np.arange(3.0)
    array.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        tg.from_numpy(array)


def test_numpy_of_a_tensor_that_requires_grad():
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"detach\(\)\.numpy\(\)"):
        x.numpy()
    with pytest.raises(RuntimeError, match="requires grad"):
        np.asarray(x)
    assert x.numpy(force=True).tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="bfloat16"):
        tg.ones(2).bfloat16().numpy()


def test_numpy_functions_take_tensors():
    x = tg.tensor([1.0, 4.0])
    assert np.asarray(x, dtype=np.float64).tolist() == [1.0, 4.0]
    assert np.array(x).dtype == np.float32
    assert np.sqrt(x).tolist() == [1.0, 2.0]
    assert np.shares_memory(np.asarray(x), x.numpy())


def test_buffer_protocol():
    x = tg.arange(6, dtype=tg.int32).reshape(2, 3)
    view = memoryview(x)
    assert view.shape == (2, 3)
    assert view.strides == (12, 4)
    assert view.format == "i"
    assert view.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert bytes(x) == x.numpy().tobytes()
    with pytest.raises(BufferError):
        memoryview(tg.ones(1).bfloat16())
    shared = tg.frombuffer(bytearray(b"\x01\x00\x00\x00\x02\x00\x00\x00"), dtype=tg.int32)
    assert shared.tolist() == [1, 2]
    with pytest.raises(ValueError, match="multiple of element size"):
        tg.frombuffer(bytearray(5), dtype=tg.int32)


def test_dlpack():
    array = np.arange(6.0).reshape(2, 3)
    x = tg.from_dlpack(array)
    x[0, 0] = 9
    assert array[0, 0] == 9
    y = tg.arange(4)
    back = np.from_dlpack(y)
    assert np.shares_memory(back, y.numpy())
    assert y.__dlpack_device__() == (1, 0)
    old = y.__dlpack__()
    assert "dltensor_versioned" not in repr(old)
    new = y.__dlpack__(max_version=(1, 0))
    assert "dltensor_versioned" in repr(new)
    taken = tg.from_dlpack(new)
    assert taken.data_ptr() == y.data_ptr()
    with pytest.raises(RuntimeError, match="consumed"):
        tg.from_dlpack(new)
    del old, new
    with pytest.raises(BufferError, match="gradient"):
        tg.ones(1, requires_grad=True).__dlpack__()
    assert tg.from_dlpack(tg.ones(2, dtype=tg.bool)).dtype is tg.bool
    with pytest.raises(TypeError, match="__dlpack__"):
        tg.from_dlpack(3)


# --- copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    x = tg.arange(6.0).reshape(2, 3).T.requires_grad_()
    x.note = "kept"
    y = pickle.loads(pickle.dumps(x, protocol))
    assert y.tolist() == x.tolist()
    assert y.stride() == x.stride()
    assert y.requires_grad
    assert y.note == "kept"
    half = pickle.loads(pickle.dumps(tg.ones(2).bfloat16(), protocol))
    assert half.dtype is tg.bfloat16
    parameter = pickle.loads(pickle.dumps(tg.nn.Parameter(tg.ones(2)), protocol))
    assert type(parameter) is tg.nn.Parameter


def test_copy_and_deepcopy():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    x.grad = tg.ones(2)
    x.tag = [1]
    shallow = copy.copy(x)
    assert shallow.data_ptr() == x.data_ptr()
    deep = copy.deepcopy(x)
    assert deep.data_ptr() != x.data_ptr()
    assert deep.requires_grad
    assert deep.grad.tolist() == [1.0, 1.0]
    assert deep.tag == [1]
    assert deep.tag is not x.tag
    twice = copy.deepcopy([x, x])
    assert twice[0] is twice[1]
    with pytest.raises(RuntimeError, match="leaves"):
        copy.deepcopy(x * 2)


# --- conversions ----------------------------------------------------------------------------------


def test_to():
    x = tg.ones(2)
    assert x.to(tg.float32) is x
    assert x.to("cpu") is x
    assert x.cpu() is x
    assert x.float() is x
    assert x.to(tg.float32, copy=True) is not x
    assert x.to(tg.float64).dtype is tg.float64
    assert x.to("cpu", tg.int64).dtype is tg.int64
    assert x.to(tg.ones(1, dtype=tg.int8)).dtype is tg.int8
    assert x.to(device="cpu", dtype=tg.bool).tolist() == [True, True]
    with pytest.raises(NotImplementedError, match="CPU only"):
        x.to("cuda")
    with pytest.raises(NotImplementedError, match="CPU only"):
        x.cuda()
    for name in ("double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool"):
        assert getattr(x, name)().double().tolist() == [1.0, 1.0]
    assert x.type() == "tapegrad.FloatTensor"
    assert x.type("tapegrad.LongTensor").dtype is tg.int64
    assert x.type(tg.LongTensor).dtype is tg.int64


def test_conversion_is_differentiable():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.dtype is tg.float32
    assert x.grad.tolist() == [3.0, 3.0]


def test_memory_formats():
    x = tg.arange(120.0).reshape(2, 3, 4, 5)
    last = x.contiguous(memory_format=tg.channels_last)
    assert last.stride() == (60, 1, 15, 3)
    assert last.is_contiguous(memory_format=tg.channels_last)
    assert not last.is_contiguous()
    assert last.tolist() == x.tolist()
    assert last.contiguous().stride() == x.stride()
    with pytest.raises(tg.ShapeError, match="4 dimensions"):
        tg.ones(2).contiguous(memory_format=tg.channels_last)


def test_new_tensors():
    x = tg.ones(2, dtype=tg.float64)
    assert x.new_zeros(2, 3).shape == x.new_zeros((2, 3)).shape == (2, 3)
    assert x.new_ones(1).dtype is tg.float64
    assert x.new_full((2,), 3).tolist() == [3.0, 3.0]
    assert x.new_tensor([1, 2]).dtype is tg.float64
    assert x.new_empty(3, dtype=tg.int8, requires_grad=False).dtype is tg.int8
