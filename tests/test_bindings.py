"""The extension module: Tensor, argument parsing, errors, indexing."""

from __future__ import annotations

import copy
import gc
import operator
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import _C

# --- identity, ownership, garbage -----------------------------------------------------------------


def test_gradient_is_one_object():
    p = tg.tensor([1.0, 2.0], requires_grad=True)
    (p * p).sum().backward()
    assert p.grad is p.grad
    p.grad.mark = "kept"
    gc.collect()
    assert p.grad.mark == "kept"


def test_attributes_and_class_survive_while_only_cpp_holds_the_tensor():
    class Named(tg.Tensor):
        pass

    p = tg.tensor([1.0], requires_grad=True)
    g = Named([3.0])
    g.name_of_it = "gradient"
    reference = weakref.ref(g)
    p.grad = g
    address = id(g)
    del g
    gc.collect()
    assert reference() is p.grad
    assert id(p.grad) == address
    assert type(p.grad) is Named
    assert p.grad.name_of_it == "gradient"
    p.grad = None
    gc.collect()
    assert reference() is None


def test_weak_reference_taken_up_while_cpp_drops_the_tensor():
    p = tg.tensor([1.0], requires_grad=True)
    g = tg.tensor([3.0])
    reference = weakref.ref(g)
    p.grad = g
    del g
    strong = reference()
    p.grad = None
    gc.collect()
    assert strong.item() == 3.0
    assert (strong + 1).item() == 4.0
    del strong
    assert reference() is None


def test_everything_dies_by_reference_count():
    gc.disable()
    try:
        x = tg.ones(3, requires_grad=True)
        x.note = "x"
        y = (x * 2).exp()
        y.sum().backward()
        references = [weakref.ref(x), weakref.ref(y), weakref.ref(x.grad)]
        del x, y
        assert [r() for r in references] == [None, None, None]
    finally:
        gc.enable()


def test_collector_finds_cycles_through_attributes_and_hooks():
    x = tg.ones(1)
    x.me = x
    by_attribute = weakref.ref(x)
    p = tg.ones(1, requires_grad=True)
    p.register_hook(lambda grad, p=p: p * grad)
    by_hook = weakref.ref(p)
    del x, p
    gc.collect()
    assert by_attribute() is None
    assert by_hook() is None


def test_hash_is_identity():
    a, b = tg.ones(1), tg.ones(1)
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1


def test_subclass_with_attributes():
    class Weight(tg.Tensor):
        def doubled(self):
            return self * 2

    w = Weight([1.0, 2.0])
    w.tag = 5
    assert isinstance(w, tg.Tensor)
    assert w.doubled().tolist() == [2.0, 4.0]
    assert type(w + 1) is tg.Tensor
    assert tg.tensor([1.0]).as_subclass(Weight).doubled().tolist() == [2.0]
    made = tg.Tensor._make_subclass(Weight, tg.ones(2), True)
    assert type(made) is Weight
    assert made.requires_grad


def test_many_tensors_leave_no_memory():
    before = tg.memory_stats()["allocated_bytes"]
    for _ in range(200):
        x = tg.ones(1000, requires_grad=True)
        (x * 2).sum().backward()
    del x
    assert tg.memory_stats()["allocated_bytes"] == before


# --- operators ------------------------------------------------------------------------------------

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
def test_operators_agree_with_numpy(op):
    a = np.array([1.0, 2.5, 3.0])
    b = np.array([2.0, 2.5, 0.5])
    x, y = tg.from_numpy(a), tg.from_numpy(b)
    expected = op(a, b)
    assert op(x, y).numpy() == pytest.approx(expected)
    assert op(x, 2).numpy() == pytest.approx(op(a, 2))
    assert op(x, 1.5).numpy() == pytest.approx(op(a, 1.5))
    assert op(2, x).numpy() == pytest.approx(op(2, a))
    assert op(x, b).numpy() == pytest.approx(expected)
    assert isinstance(op(x, b), tg.Tensor)
    assert op(x, np.float64(2)).numpy() == pytest.approx(op(a, 2))
    assert isinstance(op(np.float64(2), x), tg.Tensor)
    assert isinstance(op(a, y), tg.Tensor)


@pytest.mark.parametrize(
    "op", [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]
)
def test_bit_operators_agree_with_numpy(op):
    a, b = np.array([6, 3, 12]), np.array([3, 1, 2])
    assert op(tg.from_numpy(a), tg.from_numpy(b)).tolist() == op(a, b).tolist()
    assert op(tg.from_numpy(a), 2).tolist() == op(a, 2).tolist()
    assert op(2, tg.from_numpy(b)).tolist() == op(2, b).tolist()


@pytest.mark.parametrize(
    "op",
    [
        operator.iadd,
        operator.isub,
        operator.imul,
        operator.itruediv,
        operator.ifloordiv,
        operator.imod,
        operator.ipow,
    ],
)
def test_in_place_operators_keep_the_object(op):
    a = np.array([4.0, 9.0])
    x = tg.tensor([4.0, 9.0], dtype=tg.float64)
    view = x[0:1]
    before = x
    x = op(x, 2.0)
    assert x is before
    assert x.numpy() == pytest.approx(op(a.copy(), 2.0))
    assert view.item() == x[0].item()


def test_unary_operators():
    x = tg.tensor([-1.5, 2.0])
    assert (-x).tolist() == [1.5, -2.0]
    assert abs(x).tolist() == [1.5, 2.0]
    assert +x is x
    assert (~tg.tensor([True, False])).tolist() == [False, True]
    assert (~tg.tensor([5])).tolist() == [-6]


def test_unknown_operands():
    x = tg.ones(2)
    with pytest.raises(TypeError, match="unsupported operand"):
        x + "a"
    with pytest.raises(TypeError, match="unsupported operand"):
        [1, 2] - x

    class Other:
        def __radd__(self, other):
            return "mine"

    assert x + Other() == "mine"
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True


def test_conversions_to_python():
    assert int(tg.tensor(2.7)) == 2
    assert float(tg.tensor([3])) == 3.0
    assert [10, 20, 30][tg.tensor(1)] == 20
    assert bool(tg.tensor([[2]]))
    assert not tg.tensor(0.0)
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(tg.ones(2))
    with pytest.raises(RuntimeError, match="no values"):
        bool(tg.ones(0))
    with pytest.raises(TypeError, match="index"):
        operator.index(tg.tensor(1.0))
    with pytest.raises(RuntimeError, match="2 elements"):
        tg.ones(2).item()
    assert tg.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert tg.tensor(1.5).tolist() == 1.5


def test_sequence_protocol():
    x = tg.arange(6).reshape(3, 2)
    assert len(x) == 3
    assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    *_, last = x
    assert last.tolist() == [4, 5]
    assert 4 in x
    assert 9 not in x
    with pytest.raises(TypeError, match="0-d"):
        len(tg.tensor(1))
    with pytest.raises(TypeError, match="0-d"):
        iter(tg.tensor(1))


# --- argument parsing -----------------------------------------------------------------------------


def test_every_signature_of_the_table_parses():
    _C._check_op_table()
    table = _C._op_table()
    assert len(table) >= len(_C._op_names()) > 100
    for signature, doc, variants in table:
        assert signature.partition("(")[0] in _C._op_names()
        assert isinstance(doc, str)
        assert variants != 0


def test_every_operation_has_a_docstring_with_its_signature():
    for name in _C._op_names():
        for home in (_C, _C._nn, _C._special, _C._linalg, tg.Tensor):
            prefix = {_C._special: "special_", _C._linalg: "linalg_"}.get(home, "")
            function = getattr(home, name.removeprefix(prefix), None)
            if not name.startswith(prefix):
                continue  # linalg.cross is linalg_cross, not cross
            if type(function).__name__.startswith("Operation"):
                assert function.__doc__.startswith(name + "(")
                assert function.__name__ == name


def test_keywords_aliases_and_defaults():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert tg.sum(input=x, dim=1).tolist() == [3.0, 7.0]
    assert tg.sum(x, axis=0).tolist() == [4.0, 6.0]
    assert x.sum(1, keepdims=True).shape == (2, 1)
    assert x.sum(dim=(0, 1)).item() == 10.0
    assert tg.add(x, other=1).tolist() == x.add(1).tolist()
    assert tg.add(x, x, alpha=2)[0, 0].item() == 3.0
    assert tg.multiply is tg.mul
    assert tg.Tensor.multiply is tg.Tensor.mul


def test_integers_as_separate_arguments():
    x = tg.arange(6)
    assert x.view(2, 3).shape == x.view((2, 3)).shape == x.view([2, 3]).shape == (2, 3)
    assert x.reshape(2, -1).shape == (2, 3)
    assert x.view(2, 3).permute(1, 0).shape == (3, 2)
    assert tg.zeros(2, 3).shape == tg.zeros((2, 3)).shape == tg.zeros(size=(2, 3)).shape == (2, 3)
    assert tg.ones(1, 3).expand(4, -1).shape == (4, 3)
    assert tg.zeros(np.int64(2), tg.tensor(3)).shape == (2, 3)
    assert tg.zeros(()).shape == ()


def test_creation_keywords():
    x = tg.zeros(
        2, dtype=tg.float64, device="cpu", layout=tg.strided, requires_grad=True, pin_memory=False
    )
    assert x.dtype is tg.float64
    assert x.requires_grad
    assert tg.ones(2, dtype=float).dtype is tg.float64
    assert tg.zeros(2, device=tg.device("cpu", 0)).device == tg.device("cpu")
    with pytest.raises(NotImplementedError, match=r"zeros: device 'cuda' .* CPU only"):
        tg.zeros(2, device="cuda:0")
    with pytest.raises(RuntimeError, match="'gpu' is no device"):
        tg.zeros(2, device="gpu")
    with pytest.raises(tg.GradError, match="floating-point"):
        tg.zeros(2, dtype=tg.int64, requires_grad=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: tg.exp(1.0),
            r"exp\(\): argument 'input' \(position 1\) must be Tensor, not float",
        ),
        (
            lambda: tg.exp(),
            r"exp\(\): missing required argument 'input' \(position 1\); expected exp\(",
        ),
        (lambda: tg.exp(tg.ones(1), 1), r"exp\(\): takes 1 positional argument but 2 were given"),
        (lambda: tg.exp(tg.ones(1), foo=1), "unexpected keyword argument 'foo'"),
        (lambda: tg.exp(tg.ones(1), input=1), "multiple values for argument 'input'"),
        (lambda: tg.ones(1).exp(2), r"takes 0 positional arguments but 1 was given"),
        (lambda: tg.zeros("a"), r"zeros\(\): argument 'size' \(position 1\) must be tuple of ints"),
        (lambda: tg.zeros(2, 1.5), "found element of type float at pos 1"),
        (lambda: tg.cat([tg.ones(1), 2]), "found element of type int at pos 1"),
        (lambda: tg.add(tg.ones(1), "a"), r"got \(Tensor, str\), but expected one of:\n \* add\("),
        (lambda: tg.zeros(2, dtype="float"), "argument 'dtype' must be dtype, not str"),
        (lambda: tg.Tensor.exp(1), r"Tensor\.exp\(\) needs a Tensor"),
        (lambda: tg.ones(2).to("cpu", 1, 2, 3, 4), r"to\(\): takes at most 4"),
        (lambda: tg.tensor(), r"tensor\(\) missing required argument 'data'"),
    ],
)
def test_errors_name_function_argument_and_types(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_out():
    out = tg.empty(2)
    result = tg.exp(tg.zeros(2), out=out)
    assert result is out
    assert out.tolist() == [1.0, 1.0]
    resized = tg.empty(0)
    tg.add(tg.ones(3), 1, out=resized)
    assert resized.tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(tg.GradError, match="out="):
        tg.exp(tg.ones(1, requires_grad=True), out=out)


def test_in_place_methods_return_self_and_are_recorded():
    x = tg.tensor([1.0, 4.0], requires_grad=True)
    y = x * 1
    assert y.sqrt_() is y
    assert y.clamp_(max=1.5) is y
    y.sum().backward()
    assert x.grad.tolist() == [0.5, 0.0]
    with pytest.raises(tg.GradError, match="leaf"):
        x.sqrt_()


def test_named_tuples():
    x = tg.tensor([[1.0, 5.0], [7.0, 2.0]])
    result = tg.max(x, 1)
    assert result.values.tolist() == [5.0, 7.0]
    assert result.indices.tolist() == [1, 0]
    values, indices = x.max(dim=0)
    assert values.tolist() == [7.0, 5.0]
    assert indices.tolist() == [1, 0]
    assert repr(result) == (
        "tapegrad.return_types.max(\nvalues=tensor([5., 7.]),\nindices=tensor([1, 0]))"
    )
    assert type(result) is type(x.max(dim=0))
    again = pickle.loads(pickle.dumps(result))
    assert type(again) is type(result)
    assert again.values.tolist() == [5.0, 7.0]


def test_functions_are_picklable_and_copyable():
    assert pickle.loads(pickle.dumps(tg.exp)) is tg.exp
    assert pickle.loads(pickle.dumps(tg.Tensor.exp)) is tg.Tensor.exp
    assert copy.deepcopy(tg.exp) is tg.exp

    class Holder:
        activation = tg.exp

    assert Holder().activation(tg.zeros(1)).item() == 1.0


# --- errors ---------------------------------------------------------------------------------------


def test_exceptions_derive_from_what_callers_expect():
    assert issubclass(tg.ShapeError, (RuntimeError, ValueError))
    assert issubclass(tg.ShapeError, ValueError)
    assert issubclass(tg.DTypeError, TypeError)
    assert issubclass(tg.DTypeError, RuntimeError)
    assert issubclass(tg.GradError, RuntimeError)
    assert issubclass(tg.RangeError, IndexError)
    assert issubclass(tg.ArgumentError, ValueError)
    assert issubclass(tg.FileError, OSError)
    assert issubclass(tg.FileError, RuntimeError)
    assert issubclass(tg.UnsupportedError, NotImplementedError)
    for name in ("ShapeError", "DTypeError", "GradError", "RangeError", "FileError"):
        assert issubclass(getattr(tg, name), tg.Error)


def test_errors_of_operations():
    with pytest.raises(tg.ShapeError, match=r"\(2, 3\) and \(4,\)"):
        tg.ones(2, 3) + tg.ones(4)
    with pytest.raises(tg.RangeError, match="Dimension out of range"):
        tg.ones(2).sum(3)
    with pytest.raises((MemoryError, RuntimeError), match=r"memory|elements"):
        tg.empty(2**60)


# --- dtype, device, Size and the rest of the shell ------------------------------------------------


def test_dtypes():
    assert repr(tg.float32) == "tapegrad.float32"
    assert tg.float is tg.float32
    assert tg.double is tg.float64
    assert tg.long is tg.int64
    assert tg.half is tg.float16
    assert tg.float32.is_floating_point
    assert not tg.int8.is_floating_point
    assert tg.int8.is_signed
    assert not tg.uint8.is_signed
    assert (tg.bool.itemsize, tg.bfloat16.itemsize, tg.int64.itemsize) == (1, 2, 8)
    assert pickle.loads(pickle.dumps(tg.bfloat16)) is tg.bfloat16
    assert copy.deepcopy(tg.int64) is tg.int64
    with pytest.raises(TypeError):
        tg.dtype()
    with pytest.raises(tg.DTypeError, match="complex"):
        tg.zeros(2, dtype=tg.complex64)
    with pytest.raises(tg.DTypeError, match="complex"):
        tg.tensor([1.0], dtype=tg.complex128)


def test_default_dtype():
    assert tg.get_default_dtype() is tg.float32
    tg.set_default_dtype(tg.float64)
    try:
        assert tg.tensor([1.0]).dtype is tg.float64
        assert tg.zeros(1).dtype is tg.float64
        assert repr(tg.tensor([1.5])) == "tensor([1.5000])"
    finally:
        tg.set_default_dtype(tg.float32)
    with pytest.raises(tg.DTypeError, match="int64"):
        tg.set_default_dtype(tg.int64)


def test_finfo_and_iinfo():
    for dtype, array in (
        (tg.float32, np.float32),
        (tg.float64, np.float64),
        (tg.float16, np.float16),
    ):
        ours, theirs = tg.finfo(dtype), np.finfo(array)
        assert (ours.eps, ours.max, ours.min) == (theirs.eps, theirs.max, theirs.min)
        assert (ours.tiny, ours.bits) == (theirs.tiny, theirs.bits)
    assert tg.finfo(tg.bfloat16).eps == 2.0**-7
    assert tg.iinfo(tg.int8).min == -128
    assert tg.iinfo(tg.uint8).max == 255
    assert tg.iinfo(tg.int64).max == 2**63 - 1
    with pytest.raises(TypeError):
        tg.iinfo(tg.float32)


def test_size():
    size = tg.zeros(2, 3).shape
    assert repr(size) == "tapegrad.Size([2, 3])"
    assert size == (2, 3)
    assert size.numel() == 6
    assert isinstance(size[:1], tg.Size)
    assert isinstance(operator.add(size, (4,)), tg.Size)
    assert size[0] == 2
    assert isinstance(size, tuple)
    assert pickle.loads(pickle.dumps(size)) == size
    assert type(pickle.loads(pickle.dumps(size))) is tg.Size
    with pytest.raises(TypeError, match="item 1 is 'float'"):
        tg.Size([1, 2.5])


def test_device():
    assert repr(tg.device("cpu")) == "device(type='cpu')"
    assert str(tg.device("cuda:1")) == "cuda:1"
    assert tg.device("cuda", 1).index == 1
    assert tg.device("cpu") == tg.ones(1).device
    assert hash(tg.device("cpu")) == hash(tg.device("cpu"))
    assert tg.device(tg.device("cpu")).type == "cpu"
    with pytest.raises(RuntimeError, match="no device"):
        tg.device("quantum")


def test_generators():
    g = tg.Generator().manual_seed(3)
    assert g.initial_seed() == 3
    first = tg.rand(4, generator=g)
    state = g.get_state()
    second = tg.rand(4, generator=g)
    g.set_state(state)
    assert tg.rand(4, generator=g).tolist() == second.tolist()
    g.manual_seed(3)
    assert tg.rand(4, generator=g).tolist() == first.tolist()
    assert tg.manual_seed(5) is tg.default_generator
    a = tg.randn(3)
    tg.manual_seed(5)
    assert tg.randn(3).tolist() == a.tolist()
    again = pickle.loads(pickle.dumps(g))
    assert tg.rand(4, generator=again).tolist() == tg.rand(4, generator=g).tolist()
    assert tg.Generator().manual_seed(-1).initial_seed() == 2**64 - 1


def test_settings_and_information():
    threads = tg.get_num_threads()
    tg.set_num_threads(1)
    assert tg.get_num_threads() == 1
    tg.set_num_threads(threads)
    with pytest.raises(ValueError, match="set_num_threads"):
        tg.set_num_threads(0)
    info = tg.build_info()
    assert info["version"] == tg.__version__
    assert {"compiler", "isa", "contractions", "num_threads_reason"} <= set(info)
    before = tg.memory_stats()["allocated_bytes"]
    x = tg.ones(10000)
    assert tg.memory_stats()["allocated_bytes"] - before >= x.nbytes


# --- tensor() and friends -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1.5, "float32", ()),
        (3, "int64", ()),
        (True, "bool", ()),
        ([1, 2.5], "float32", (2,)),
        ([True, 2], "int64", (2,)),
        ([], "float32", (0,)),
        ([[], []], "float32", (2, 0)),
        (((1, 2), (3, 4)), "int64", (2, 2)),
        (range(3), "int64", (3,)),
        (np.float64(3), "float64", ()),
        ([np.float64(3)], "float64", (1,)),
        ([np.float32(3), 1], "float32", (2,)),
        (np.arange(3, dtype=np.int16), "int16", (3,)),
        ([np.array([1, 2]), np.array([3, 4])], "int64", (2, 2)),
    ],
)
def test_inferred_dtype_and_shape(data, dtype, shape):
    x = tg.tensor(data)
    assert x.dtype is getattr(tg, dtype)
    assert x.shape == shape
    assert x.numpy().tolist() == np.asarray(data).tolist()


def test_tensor_of_tensors():
    assert tg.tensor([tg.tensor(1.5), 2]).tolist() == [1.5, 2.0]
    assert tg.tensor([tg.ones(2), tg.zeros(2)]).tolist() == [[1.0, 1.0], [0.0, 0.0]]
    source = tg.ones(2)
    copied = tg.tensor(source)
    copied[0] = 5
    assert source.tolist() == [1.0, 1.0]


def test_bad_data_is_named_by_position():
    with pytest.raises(ValueError, match=r"length 2 at dim 1 \(got 1\) at position \[1\]"):
        tg.tensor([[1, 2], [3]])
    with pytest.raises(TypeError, match=r"invalid data type 'str' at position \[1\]"):
        tg.tensor([1, "a"])
    with pytest.raises(TypeError, match=r"position \[1\]"):
        tg.tensor([[1], 2])
    with pytest.raises(ValueError, match="without overflow"):
        tg.tensor([300], dtype=tg.uint8)
    with pytest.raises(ValueError, match="int64"):
        tg.tensor(2**63)
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested"):
        tg.tensor(loop)


def test_as_tensor_shares_what_it_can():
    x = tg.ones(2)
    assert tg.as_tensor(x) is x
    array = np.zeros(3)
    tg.as_tensor(array)[0] = 7
    assert array[0] == 7
    assert tg.as_tensor(array, dtype=tg.float32).dtype is tg.float32
    tg.asarray(array, copy=True)[1] = 5
    assert array[1] == 0


def test_old_constructor():
    assert tg.Tensor([1, 2]).dtype is tg.float32
    assert tg.Tensor(2, 3).shape == (2, 3)
    assert tg.Tensor(tg.Size([4])).shape == (4,)
    assert tg.Tensor().shape == (0,)


# --- indexing -------------------------------------------------------------------------------------

INDICES = [
    0,
    -1,
    (0, 1),
    (0, 1, 2),
    slice(None),
    slice(1, None),
    slice(None, None, 2),
    slice(-10, 1),
    slice(5, None),
    slice(1, 0),
    (slice(None), slice(0, 2), -1),
    Ellipsis,
    (Ellipsis, 0),
    (0, Ellipsis),
    (Ellipsis, slice(1, 3), slice(0, 4, 3)),
    None,
    (None, 0, None),
    (slice(None), None, 1),
    True,
    False,
    np.int64(1),
    np.array([0, 1, 1]),
    np.array([[0, 1], [1, 0]]),
    (slice(None), np.array([0, 2])),
    (np.array([0, 1]), np.array([2, 0])),
    (np.array([0, 1]), slice(None), np.array([3, 0])),
    (slice(None), np.array([0, 2]), np.array([1, 3])),
    (np.array([0, 1]), None, np.array([2, 0])),
    (np.array([[0], [1]]), np.array([2, 0])),
    (Ellipsis, np.array([0, 3])),
    (np.array([0]), Ellipsis),
    np.array([True, False]),
    np.array([[True, False, True], [False, True, False]]),
    (slice(None), np.array([True, False, True])),
    (np.array([[True, False, True], [False, True, False]]), 1),
    (np.array([[True, False, True], [False, True, False]]), slice(1, 3)),
    np.arange(24).reshape(2, 3, 4) > 12,
    np.zeros((2, 3, 4), dtype=bool),
    np.array([], dtype=np.int64),
    np.array([-1, 0]),
    (),
]


def _as_tensors(index):
    if isinstance(index, tuple):
        return tuple(_as_tensors(i) for i in index)
    return tg.from_numpy(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_reading_agrees_with_numpy(index):
    array = np.arange(24.0).reshape(2, 3, 4)
    x = tg.from_numpy(array)
    expected = array[index]
    for ours in (index, _as_tensors(index)):
        result = x[ours]
        assert result.shape == expected.shape
        assert result.numpy().tolist() == expected.tolist()


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_writing_agrees_with_numpy(index):
    for value in (7.0, np.float32(3)):
        array = np.arange(24.0).reshape(2, 3, 4)
        x = tg.tensor(array)
        array[index] = value
        x[_as_tensors(index)] = value
        assert x.numpy().tolist() == array.tolist()
    array = np.arange(24.0).reshape(2, 3, 4)
    x = tg.tensor(array)
    values = np.random.default_rng(0).random(array[index].shape)
    array[index] = values
    x[_as_tensors(index)] = tg.from_numpy(values)
    assert x.numpy().tolist() == array.tolist()


def test_an_integer_beside_an_array_is_no_array():
    # As in PyTorch: the integer takes its dimension away first. NumPy would give (2, 3).
    x = tg.arange(24).reshape(2, 3, 4)
    assert x[0, :, [1, 2]].tolist() == [[1, 2], [5, 6], [9, 10]]


def test_basic_indices_are_views():
    x = tg.zeros(3, 4)
    x[1][2] = 5
    x[:, 0].fill_(1)
    x[..., None][0, 3, 0] = 2
    assert x.tolist() == [[1, 0, 0, 2], [1, 0, 5, 0], [1, 0, 0, 0]]


def test_index_gradients():
    x = tg.arange(6.0).reshape(2, 3).requires_grad_()
    (x[0] * 2).sum().backward()
    assert x.grad.tolist() == [[2, 2, 2], [0, 0, 0]]
    x.grad = None
    x[tg.tensor([0, 0, 1])].sum().backward()
    assert x.grad.tolist() == [[2, 2, 2], [1, 1, 1]]
    x.grad = None
    x[x.detach() > 2].sum().backward()
    assert x.grad.tolist() == [[0, 0, 0], [1, 1, 1]]
    y = x * 1
    y[0] = tg.zeros(3)
    y[1, [0, 2]] = 5.0
    x.grad = None
    (y * y).sum().backward()
    assert x.grad.tolist() == [[0, 0, 0], [0, 8, 0]]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (3, IndexError, "index 3 is out of bounds for dimension 0 with size 2"),
        ((0, -5), IndexError, "index -5 is out of bounds for dimension 1 with size 3"),
        ((0, 0, 0), IndexError, "too many indices"),
        (slice(None, None, -1), ValueError, "step must be positive"),
        (slice(None, None, 0), ValueError, "step must be positive"),
        (1.5, IndexError, "only integers"),
        ("a", IndexError, "only integers"),
        ((Ellipsis, Ellipsis), IndexError, "single ellipsis"),
        (tg.tensor([True, False, True]), IndexError, "mask"),
        (tg.tensor([0.5]), IndexError, "integer or bool"),
        (tg.tensor([2]), IndexError, "2"),
    ],
    ids=repr,
)
def test_index_errors(index, error, message):
    with pytest.raises(error, match=message):
        tg.ones(2, 3)[index]


def test_assignment_errors_leave_the_tensor_unchanged():
    x = tg.zeros(2, 3)
    with pytest.raises(tg.ShapeError, match=r"\(4,\).*\(3,\)"):
        x[0] = tg.ones(4)
    with pytest.raises(IndexError):
        x[5] = 1
    with pytest.raises(TypeError, match="can't assign a str"):
        x[0] = "a"
    with pytest.raises(TypeError, match="deleting"):
        del x[0]
    assert x.tolist() == [[0, 0, 0], [0, 0, 0]]
    x[0] = tg.ones(1, 1, 3)
    assert x[0].tolist() == [1, 1, 1]


# --- other extensions -----------------------------------------------------------------------------


def test_capsule_and_import_cost():
    assert "tapegrad._C._capsule" in repr(_C._capsule)
    code = "import sys, tapegrad; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
