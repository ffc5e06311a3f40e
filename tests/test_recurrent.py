"""Recurrent networks, cells and packed sequences: values, derivatives, errors, a known script."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd import gradcheck, gradgradcheck
from tapegrad.nn.utils import rnn as rnn_utils

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

KINDS = {
    "rnn": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
}
LENGTHS = [7, 4, 4, 1]


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, shape) for shape in shapes]


def pair(kind, *args, dtype="float64", **kwargs):
    """The same network in both libraries."""
    name, more = KINDS[kind]
    theirs = getattr(torch.nn, name)(*args, **more, **kwargs).to(getattr(torch, dtype))
    ours = getattr(nn, name)(*args, **more, **kwargs).to(getattr(tg, dtype))
    weights = {k: tg.from_numpy(v.detach().numpy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(weights)
    return ours, theirs


def both(array, dtype="float64", grad=True):
    ours = tg.tensor(array, dtype=getattr(tg, dtype), requires_grad=grad)
    return ours, torch.tensor(array, dtype=getattr(torch, dtype), requires_grad=grad)


def flat(result):
    if isinstance(result, (tuple, list)):
        return [tensor for part in result for tensor in flat(part)]
    return [result]


def close(ours, theirs, dtype="float64"):
    tolerance = 1e-10 if dtype == "float64" else 2e-5
    assert tuple(ours.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
    )


def compare(ours, theirs, inputs, dtype="float64"):
    """Results and all gradients, those of the parameters too."""
    results = flat(ours(*[i[0] for i in inputs])), flat(theirs(*[i[1] for i in inputs]))
    assert len(results[0]) == len(results[1])
    for mine, other in zip(*results, strict=True):
        close(mine, other, dtype)
    sum((r * (i + 1)).sin().sum() for i, r in enumerate(results[0])).backward()
    sum((r * (i + 1)).sin().sum() for i, r in enumerate(results[1])).backward()
    leaves = [i for i in inputs if isinstance(i[0], tg.Tensor)]
    for mine, other in leaves:
        close(mine.grad, other.grad, dtype)
    names = [name for name, _ in theirs.named_parameters()]
    assert names == [name for name, _ in ours.named_parameters()]
    for name in names:
        close(ours.get_parameter(name).grad, theirs.get_parameter(name).grad, dtype)


OPTIONS = [
    {},
    {"bias": False},
    {"num_layers": 3},
    {"bidirectional": True, "num_layers": 2},
    {"batch_first": True, "bidirectional": True},
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "plain")
@pytest.mark.parametrize("kind", KINDS)
def test_networks(kind, options, dtype):
    ours, theirs = pair(kind, 3, 5, dtype=dtype, **options)
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    shape = (4, 6, 3) if options.get("batch_first") else (6, 4, 3)
    x, h, c = arrays(shape, (count, 4, 5), (count, 4, 5))
    compare(ours, theirs, [both(x, dtype)], dtype)
    ours.zero_grad()
    theirs.zero_grad()
    states = [both(h, dtype), both(c, dtype)] if kind == "lstm" else [both(h, dtype)]

    def with_state(network):
        return lambda x, *hx: network(x, hx if kind == "lstm" else hx[0])

    caller_ours, caller_theirs = with_state(ours), with_state(theirs)
    for network, caller in ((ours, caller_ours), (theirs, caller_theirs)):
        caller.named_parameters = network.named_parameters
        caller.get_parameter = network.get_parameter
    compare(caller_ours, caller_theirs, [both(x, dtype), *states], dtype)


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 1, 3), (1, 9, 3), (2, 33, 3)])
@pytest.mark.parametrize("hidden", [1, 8, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_around_vectors_and_tiles(kind, hidden, shape):
    ours, theirs = pair(kind, 3, hidden)
    compare(ours, theirs, [both(arrays(shape)[0])])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_projections(bidirectional):
    ours, theirs = pair("lstm", 3, 5, 2, proj_size=2, bidirectional=bidirectional)
    compare(ours, theirs, [both(arrays((4, 3, 3))[0])])
    assert ours.weight_hr_l0.shape == (2, 5)
    with pytest.raises(RuntimeError, match=r"hidden\[0\] size \(\d, 3, 2\)"):
        ours(tg.zeros(4, 3, 3, dtype=tg.float64), (tg.zeros(2, 3, 5), tg.zeros(2, 3, 5)))


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences(kind, bidirectional, enforce_sorted):
    ours, theirs = pair(kind, 3, 5, 2, bidirectional=bidirectional)
    lengths = LENGTHS if enforce_sorted else [4, 1, 7, 4]
    x, h = arrays((7, 4, 3), (4 if bidirectional else 2, 4, 5))

    def run(library, network, x, h):
        utils = library.nn.utils.rnn
        packed = utils.pack_padded_sequence(x, lengths, enforce_sorted=enforce_sorted)
        output, state = network(packed, (h, h) if kind == "lstm" else h)
        padded, sizes = utils.pad_packed_sequence(output)
        assert sizes.tolist() == lengths
        return [padded, *flat(state)]

    results, leaves = [], []
    for library, network, index in ((tg, ours, 0), (torch, theirs, 1)):
        tensors = [both(x)[index], both(h)[index]]
        out = run(library, network, *tensors)
        sum((r * (i + 1)).sin().sum() for i, r in enumerate(out)).backward()
        results.append(out)
        leaves.append([t.grad for t in tensors] + [p.grad for p in network.parameters()])
    for mine, other in zip(*results, strict=True):
        close(mine, other)
    for mine, other in zip(*leaves, strict=True):
        close(mine, other)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_equals_each_sequence_alone(kind):
    ours, _ = pair(kind, 3, 5, bidirectional=True)
    parts = [tg.tensor(a) for a in arrays(*[(n, 3) for n in LENGTHS])]
    output, _ = ours(rnn_utils.pack_sequence(parts))
    for part, result in zip(parts, rnn_utils.unpack_sequence(output), strict=True):
        alone, _ = ours(part)
        np.testing.assert_allclose(result.detach().numpy(), alone.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_many_packed_sequences(kind):
    """Enough rows for products step by step; with and without what the derivative reads."""
    ours, theirs = pair(kind, 3, 10, bidirectional=True)
    parts = arrays(*[(n, 3) for n in (9, 9, 9, 8, 8, 7, 5, 5, 5, 5, 3, 3, 2, 1, 1, 1)])
    results = []
    for library, network in ((tg, ours), (torch, theirs)):
        packed = library.nn.utils.rnn.pack_sequence([library.tensor(part) for part in parts])
        output, state = network(packed)
        sum((r * (i + 1)).sin().sum() for i, r in enumerate([output.data, *flat(state)])).backward()
        with library.no_grad():
            again, states = network(packed)
        np.testing.assert_array_equal(again.data.numpy(), output.data.detach().numpy())
        results.append([again.data, *flat(states), *(p.grad for p in network.parameters())])
    for mine, other in zip(*results, strict=True):
        close(mine, other)


@pytest.mark.parametrize("kind", KINDS)
def test_unbatched_input(kind):
    ours, theirs = pair(kind, 3, 5, 2)
    compare(ours, theirs, [both(arrays((6, 3))[0])])
    first, other = pair(kind, 3, 5, batch_first=True)
    compare(first, other, [both(arrays((6, 3))[0])])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(name, bias, dtype):
    theirs = getattr(torch.nn, name)(3, 5, bias).to(getattr(torch, dtype))
    ours = getattr(nn, name)(3, 5, bias).to(getattr(tg, dtype))
    ours.load_state_dict({k: tg.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    x, alone = arrays((4, 3), (3,))
    compare(ours, theirs, [both(x, dtype)], dtype)
    ours.zero_grad()
    theirs.zero_grad()
    compare(ours, theirs, [both(alone, dtype)], dtype)
    assert repr(ours) == repr(theirs)
    # Several steps by hand are the network.
    steps = arrays((6, 4, 3), seed=1)[0]
    states = []
    for library, cell in ((tg, ours), (torch, theirs)):
        state = None
        for step in steps:
            state = cell(library.tensor(step, dtype=getattr(library, dtype)), state)
        states.append(flat(state))
    for mine, other in zip(*states, strict=True):
        close(mine, other, dtype)


def test_relu_cell():
    theirs = torch.nn.RNNCell(3, 5, nonlinearity="relu").double()
    ours = nn.RNNCell(3, 5, nonlinearity="relu").double()
    ours.load_state_dict({k: tg.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    compare(ours, theirs, [both(arrays((4, 3))[0])])
    assert repr(ours) == repr(theirs)


# --- derivatives of higher order, transforms, threads --------------------------------------------


def weights(kind, features, hidden, biases=True, seed=3):
    gates = {"lstm": 4, "gru": 3}.get(kind, 1)
    shapes = [(gates * hidden, features), (gates * hidden, hidden)]
    shapes += [(gates * hidden,)] * 2 if biases else []
    return [tg.tensor(a, requires_grad=True) for a in arrays(*shapes, seed=seed)]


def network(kind, sizes=None, reverse=False):
    """The operation as a function of its tensors: x, h (and c), weights."""
    name = {"rnn": "rnn_tanh", "relu": "rnn_relu"}.get(kind, kind)

    def call(x, h, *rest):
        hx, params = ((h, rest[0]), rest[1:]) if kind == "lstm" else (h, rest)
        tail = (len(params) % 4 == 0, 1, 0.0, False, reverse)
        if sizes is not None:
            return getattr(tg, name)(x, tg.tensor(sizes), hx, params, *tail)
        return getattr(tg, name)(x, hx, params, *tail, False)

    return call


def leaves(kind, shape, hidden, batch, biases=True, directions=1):
    states = [(directions, batch, hidden)] * (2 if kind == "lstm" else 1)
    tensors = [tg.tensor(a, requires_grad=True) for a in arrays(shape, *states, seed=5)]
    for d in range(directions):
        tensors += weights(kind, shape[-1], hidden, biases, seed=7 + d)
    return tensors


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(kind, biases):
    inputs = leaves(kind, (3, 2, 2), 3, 2, biases)
    assert gradcheck(network(kind), inputs)
    assert gradgradcheck(network(kind), inputs)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_gradcheck_of_packed_and_reverse(kind):
    sizes = [3, 2, 2, 1]
    inputs = leaves(kind, (8, 2), 2, 3, directions=2)
    assert gradcheck(network(kind, sizes, True), inputs)
    assert gradgradcheck(network(kind, sizes, True), inputs)


def composition(kind):
    """The formulas, written with plain operations."""

    def call(x, h, *rest):
        h = h[0]
        c = rest[0][0] if kind == "lstm" else None
        w_ih, w_hh, b_ih, b_hh = rest[1:] if kind == "lstm" else rest
        for step in x:
            a, b = step @ w_ih.t() + b_ih, h @ w_hh.t() + b_hh
            if kind == "lstm":
                i, f, g, o = (a + b).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            elif kind == "gru":
                (ar, az, an), (br, bz, bn) = a.chunk(3, 1), b.chunk(3, 1)
                n = (an + (ar + br).sigmoid() * bn).tanh()
                z = (az + bz).sigmoid()
                h = (1 - z) * n + z * h
            else:
                h = (a + b).tanh() if kind == "rnn" else (a + b).relu()
        return h

    return call


@pytest.mark.parametrize("kind", KINDS)
def test_composition_to_third_order(kind):
    inputs = leaves(kind, (3, 2, 2), 3, 2)
    probes = [tg.tensor(a) for a in arrays(*[tuple(i.shape) for i in inputs], seed=11)]

    def derivatives(function):
        value = function(*inputs).sin().sum()
        found = []
        for _ in range(3):
            gradients = tg.autograd.grad(value, inputs, create_graph=True, allow_unused=True)
            known = [(g, p) for g, p in zip(gradients, probes, strict=True) if g is not None]
            found += [g.detach().numpy() for g, _ in known]
            value = sum((g * p).sum() for g, p in known)
        return found

    fused = network(kind)
    mine = derivatives(lambda *tensors: fused(*tensors)[1][0])
    expected = derivatives(composition(kind))
    assert len(mine) == len(expected)
    for a, b in zip(mine, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_tangents(kind):
    inputs = [tensor.detach() for tensor in leaves(kind, (3, 2, 2), 3, 2)]
    tangents = [tg.tensor(a) for a in arrays(*[tuple(i.shape) for i in inputs], seed=11)]
    fused = network(kind)
    value, tangent = tg.func.jvp(lambda *t: fused(*t)[1][0], tuple(inputs), tuple(tangents))
    expected = tg.func.jvp(composition(kind), tuple(inputs), tuple(tangents))
    np.testing.assert_allclose(value.numpy(), expected[0].numpy(), atol=1e-12)
    np.testing.assert_allclose(tangent.detach().numpy(), expected[1].numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_vmap_and_its_gradient(kind):
    inputs = [tensor.detach() for tensor in leaves(kind, (3, 2, 2), 3, 2)]
    many = tg.tensor(arrays((4, 3, 2, 2), seed=13)[0])
    fused = network(kind)

    def loss(x):
        return fused(x, *inputs[1:])[0].sin().sum()

    values = tg.func.vmap(loss)(many)
    gradients = tg.func.vmap(tg.func.grad(loss))(many)
    for i in range(4):
        x = many[i].clone().requires_grad_()
        value = loss(x)
        value.backward()
        np.testing.assert_allclose(values[i].item(), value.item(), atol=1e-12)
        np.testing.assert_allclose(gradients[i].numpy(), x.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("batched", ["weights", "state", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_vmap_over_states_and_weights(kind, batched):
    inputs = [tensor.detach() for tensor in leaves(kind, (3, 2, 2), 3, 2)]
    states = range(1, 3 if kind == "lstm" else 2)
    chosen = {"weights": [len(inputs) - 4], "state": states, "all": range(len(inputs))}[batched]
    many = {i: tg.tensor(arrays((4, *inputs[i].shape), seed=i)[0]) for i in chosen}
    fused = network(kind)
    dims = tuple(0 if i in many else None for i in range(len(inputs)))
    together = tg.func.vmap(fused, dims)(*[many.get(i, t) for i, t in enumerate(inputs)])
    for sample in range(4):
        alone = fused(*[many[i][sample] if i in many else t for i, t in enumerate(inputs)])
        for mine, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(mine[sample].numpy(), other.numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_through_vmap(kind):
    inputs = leaves(kind, (3, 2, 2), 3, 2)
    many = tg.tensor(arrays((4, 3, 2, 2), seed=13)[0], requires_grad=True)
    fused = network(kind)
    tensors = [many, *inputs[1:]]
    outputs = [
        tg.func.vmap(lambda x: fused(x, *inputs[1:])[0])(many),
        tg.stack([fused(x, *inputs[1:])[0] for x in many]),
    ]
    gradients = [
        tg.autograd.grad(output.sin().sum(), tensors, create_graph=True) for output in outputs
    ]
    for mine, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), atol=1e-12)
    second = [tg.autograd.grad(sum(g.sin().sum() for g in some), tensors) for some in gradients]
    for mine, other in zip(*second, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_on_two_threads(kind):
    x = tg.tensor(arrays((20, 33, 30))[0], dtype=tg.float32)
    before = tg.get_num_threads()
    name, more = KINDS[kind]
    tg.manual_seed(0)
    network = getattr(nn, name)(30, 48, 2, bidirectional=True, **more)
    results = []
    try:
        for threads in (1, 2):
            tg.set_num_threads(threads)
            inputs = x.clone().requires_grad_()
            network.zero_grad()
            output, state = network(inputs)
            (output.sin().sum() + sum(s.cos().sum() for s in flat(state))).backward()
            tensors = [output, *flat(state), inputs.grad, *(p.grad for p in network.parameters())]
            results.append([t.detach().numpy().tobytes() for t in tensors])
    finally:
        tg.set_num_threads(before)
    assert results[0] == results[1]


def test_a_sample_does_not_depend_on_its_neighbours():
    network = nn.LSTM(7, 20)
    x = tg.tensor(arrays((5, 16, 7))[0], dtype=tg.float32)
    whole, _ = network(x)
    part, _ = network(x[:, 3:9])
    assert whole[:, 3:9].detach().numpy().tobytes() == part.detach().numpy().tobytes()


def test_strided_inputs_and_weights():
    inputs = leaves("gru", (3, 4, 2), 3, 4)
    fused = network("gru")
    expected = fused(*inputs)[0]
    strided = [i.detach().transpose(0, -1).contiguous().transpose(0, -1) for i in inputs]
    assert not strided[2].is_contiguous()
    assert np.array_equal(fused(*strided)[0].numpy(), expected.detach().numpy())


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_bfloat16(name):
    network = getattr(nn, name)(4, 6, 2)
    x = tg.tensor(arrays((3, 2, 4))[0], dtype=tg.float32)
    expected, _ = network(x)
    half = copy.deepcopy(network).to(tg.bfloat16)
    output, _ = half(x.to(tg.bfloat16))
    assert output.dtype == tg.bfloat16
    np.testing.assert_allclose(
        output.detach().float().numpy(), expected.detach().numpy(), atol=0.03
    )
    output.float().sum().backward()
    assert half.weight_hh_l1.grad.dtype == tg.bfloat16


def test_an_output_changed_in_place_is_noticed():
    network = nn.LSTM(2, 3)
    output, _ = network(tg.ones(4, 1, 2))
    loss = output.sum()
    with tg.no_grad():
        output.mul_(2)
    with pytest.raises(RuntimeError, match="RecurrentBackward"):
        loss.backward()


def test_backward_twice():
    network = nn.GRU(2, 3)
    output, _ = network(tg.ones(4, 1, 2))
    output.sum().backward(retain_graph=True)
    first = network.weight_hh_l0.grad.clone()
    output.sum().backward()
    np.testing.assert_array_equal(network.weight_hh_l0.grad.numpy(), 2 * first.numpy())


# --- modules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers(kind):
    name, more = KINDS[kind]
    network = getattr(nn, name)(3, 200, 2, dropout=0.5, **more)
    x = tg.ones(2, 1, 3)
    trained = [network(x)[0].detach().numpy() for _ in range(2)]
    assert not np.array_equal(*trained)
    network.eval()
    stays = [network(x)[0].detach().numpy() for _ in range(2)]
    assert np.array_equal(*stays)
    network.train()
    network.dropout = 1.0  # the second layer sees zeros
    first, _ = network(x)
    second, _ = network(2 * x)
    assert np.array_equal(first.detach().numpy(), second.detach().numpy())


@pytest.mark.parametrize("options", [*OPTIONS, {"num_layers": 2, "dropout": 0.25}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_repr_and_state_dict(kind, options):
    ours, theirs = pair(kind, 3, 5, **options)
    assert repr(ours) == repr(theirs)
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in state.items()})
    assert [len(w) for w in ours.all_weights] == [len(w) for w in theirs.all_weights]
    assert ours.flatten_parameters() is None


def test_initialisation():
    tg.manual_seed(0)
    for module in (nn.LSTM(30, 64), nn.GRUCell(30, 64)):
        values = np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])
        assert abs(values).max() <= 1 / 8
        assert abs(values).max() > 0.124
        assert abs(values.std() - 1 / 8 / 3**0.5) < 1e-3


def test_arguments_that_are_refused():
    for arguments, error, text in (
        ({"hidden_size": 0}, ValueError, "hidden_size must be greater than zero"),
        ({"hidden_size": 2.0}, TypeError, "hidden_size should be of type int"),
        ({"num_layers": 0}, ValueError, "num_layers must be greater than zero"),
        ({"dropout": 1.5}, ValueError, "dropout should be a number in range"),
        ({"dropout": True}, ValueError, "dropout should be a number in range"),
        ({"proj_size": -1}, ValueError, "proj_size should be a positive integer"),
        ({"proj_size": 5}, ValueError, "proj_size has to be smaller"),
    ):
        for library in (nn, torch.nn):
            with pytest.raises(error, match=text):
                library.LSTM(**{"input_size": 3, "hidden_size": 5, **arguments})
    for library in (nn, torch.nn):
        with pytest.raises(ValueError, match="Unknown nonlinearity"):
            library.RNN(3, 5, nonlinearity="sigmoid")
        with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM"):
            library.GRU(3, 5, proj_size=2)
        with pytest.warns(UserWarning, match="num_layers greater than 1"):
            library.LSTM(3, 5, dropout=0.5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            library.LSTM(3, 5, 2, dropout=0.5)


def test_calls_that_are_refused():
    for library in (tg, torch):
        lstm, gru = library.nn.LSTM(3, 5), library.nn.GRU(3, 5)
        x = library.zeros(4, 2, 3)
        for call, error, text in (
            (lambda: gru(x[..., :2]), RuntimeError, "Expected 3, got 2"),
            (lambda: gru(x[None]), ValueError, "Expected input to be 2D or 3D, got 4D"),
            (lambda: gru(x, library.zeros(1, 2, 4)), RuntimeError, "Expected hidden size"),
            (lambda: gru(x, library.zeros(2, 5)), RuntimeError, "hx should also be 3-D"),
            (lambda: gru(x[0], library.zeros(1, 2, 5)), RuntimeError, "hx should also be 2-D"),
            (
                lambda: lstm(x, (library.zeros(1, 2, 5), library.zeros(1, 1, 5))),
                RuntimeError,
                r"Expected hidden\[1\] size",
            ),
            (lambda: gru(x.double()), ValueError, "does not match weight dtype"),
            (lambda: gru(x[:0]), RuntimeError, "xpected"),
            (lambda: library.nn.GRUCell(3, 5)(x), ValueError, "to be 1D or 2D, got 3D"),
            (lambda: library.nn.GRUCell(3, 5)(x[0, :, :2]), RuntimeError, "got 2"),
        ):
            with pytest.raises(error, match=text):
                call()


def test_operations_name_what_does_not_fit():
    x, h, w, v = tg.zeros(2, 1, 3), tg.zeros(1, 1, 4), tg.zeros(12, 3), tg.zeros(12, 4)
    tail = (False, 1, 0.0, False, False, False)
    tg.gru(x, h, (w, v), *tail)
    with pytest.raises(tg.ShapeError, match=r"weight_ih of shape \(12, 3\), got \(8, 3\)"):
        tg.gru(x, h, (tg.zeros(8, 3), v), *tail)
    with pytest.raises(tg.ShapeError, match="expected 2 weights for 1 layers in 1 directions"):
        tg.gru(x, h, (w, v, v), *tail)
    with pytest.raises(tg.DTypeError, match="float32 and another is float64"):
        tg.gru(x, h, (w, v.double()), *tail)
    with pytest.raises(tg.ShapeError, match="initial state of shape"):
        tg.gru(x, tg.zeros(2, 1, 4), (w, v), *tail)
    with pytest.raises(tg.ShapeError, match="pair of tensors"):
        tg.lstm(x, (h,), (tg.zeros(16, 3), tg.zeros(16, 4)), *tail)
    for sizes, text in (([1, 2], "must not grow"), ([1, 0], "positive"), ([2, 1], "add up to 3")):
        with pytest.raises(ValueError, match=text):
            tg.gru(x[:, 0], tg.tensor(sizes), h, (w, v), *tail[:-1])


# --- packing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("trailing", [(), (3,), (2, 3)])
def test_packing(batch_first, trailing):
    lengths = [2, 5, 1, 5]
    x = arrays((4, 5, *trailing) if batch_first else (5, 4, *trailing))[0]
    packs = [
        library.nn.utils.rnn.pack_padded_sequence(
            library.tensor(x), lengths, batch_first, enforce_sorted=False
        )
        for library in (tg, torch)
    ]
    assert packs[0]._fields == packs[1]._fields
    back = [
        library.nn.utils.rnn.pad_packed_sequence(packed, batch_first, -1.0, 6)
        for library, packed in zip((tg, torch), packs, strict=True)
    ]
    for mine, other in zip(back[0], back[1], strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    np.testing.assert_array_equal(packs[0].batch_sizes.numpy(), packs[1].batch_sizes.numpy())
    order = packs[0].sorted_indices
    np.testing.assert_array_equal(
        packs[0].unsorted_indices.numpy(), rnn_utils.invert_permutation(order).numpy()
    )


def test_packing_is_differentiable():
    x = tg.tensor(arrays((4, 3, 2))[0], requires_grad=True)

    def there_and_back(x):
        packed = rnn_utils.pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False)
        padded = rnn_utils.pad_packed_sequence(packed._replace(data=packed.data.sin()))[0]
        return packed.data, padded

    assert gradcheck(there_and_back, [x])
    assert gradgradcheck(there_and_back, [x])


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_padding(batch_first, side):
    parts = arrays((3, 2), (1, 2), (4, 2))
    results = [
        library.nn.utils.rnn.pad_sequence(
            [library.tensor(p) for p in parts], batch_first, 7.0, side
        )
        for library in (tg, torch)
    ]
    np.testing.assert_array_equal(results[0].numpy(), results[1].numpy())
    if side == "right":
        split = rnn_utils.unpad_sequence(results[0], tg.tensor([3, 1, 4]), batch_first)
        for mine, part in zip(split, parts, strict=True):
            np.testing.assert_array_equal(mine.numpy(), part)


def test_packing_refuses():
    for library in (tg, torch):
        utils = library.nn.utils.rnn
        x = library.zeros(3, 2)
        for call, error, text in (
            (lambda: utils.pack_padded_sequence(x, [1, 2]), RuntimeError, "decreasing order"),
            (lambda: utils.pack_padded_sequence(x, [1, 0]), RuntimeError, "greater than 0"),
            (lambda: utils.pack_padded_sequence(x, [1]), RuntimeError, "batch_size"),
            (
                lambda: utils.pad_packed_sequence(
                    utils.pack_padded_sequence(x, [3, 1]), total_length=2
                ),
                ValueError,
                "total_length",
            ),
            (lambda: utils.pad_sequence([]), RuntimeError, "empty list"),
        ):
            with pytest.raises(error, match=text):
                call()
    with pytest.raises(tg.ShapeError, match=r"first dimension only, got \[3, 2\], \[3, 1\]"):
        rnn_utils.pad_sequence([tg.zeros(3, 2), tg.zeros(3, 1)])
    with pytest.raises(tg.ShapeError, match="a length of 4 exceeds the 3 steps"):
        rnn_utils.pack_padded_sequence(tg.zeros(3, 2), [4, 1])


def test_packed_sequence_converts():
    packed = rnn_utils.pack_sequence([tg.tensor([1.0, 2.0]), tg.tensor([3.0])])
    assert packed.to(tg.float32) is packed
    assert packed.double().data.dtype == tg.float64
    assert packed.long().data.dtype == tg.int64
    assert not packed.is_cuda
    assert packed.batch_sizes.tolist() == [2, 1]


# --- a known script ------------------------------------------------------------------------------

TAGGER = """
import {library} as torch
import {library}.nn as nn
import {library}.nn.functional as F
import {library}.optim as optim

torch.manual_seed(1)


def prepare_sequence(seq, to_ix):
    return torch.tensor([to_ix[w] for w in seq], dtype=torch.long)


training_data = [
    ("The dog ate the apple".split(), ["DET", "NN", "V", "DET", "NN"]),
    ("Everybody read that book".split(), ["NN", "V", "DET", "NN"]),
]
word_to_ix = {{}}
for sent, tags in training_data:
    for word in sent:
        if word not in word_to_ix:
            word_to_ix[word] = len(word_to_ix)
tag_to_ix = {{"DET": 0, "NN": 1, "V": 2}}


class LSTMTagger(nn.Module):
    def __init__(self, embedding_dim, hidden_dim, vocab_size, tagset_size):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.word_embeddings = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim)
        self.hidden2tag = nn.Linear(hidden_dim, tagset_size)

    def forward(self, sentence):
        embeds = self.word_embeddings(sentence)
        lstm_out, _ = self.lstm(embeds.view(len(sentence), 1, -1))
        tag_space = self.hidden2tag(lstm_out.view(len(sentence), -1))
        return F.log_softmax(tag_space, dim=1)


model = LSTMTagger(6, 6, len(word_to_ix), len(tag_to_ix))
loss_function = nn.NLLLoss()
optimizer = optim.SGD(model.parameters(), lr=0.1)
for epoch in range(300):
    for sentence, tags in training_data:
        model.zero_grad()
        sentence_in = prepare_sequence(sentence, word_to_ix)
        targets = prepare_sequence(tags, tag_to_ix)
        loss = loss_function(model(sentence_in), targets)
        loss.backward()
        optimizer.step()
with torch.no_grad():
    found = model(prepare_sequence(training_data[0][0], word_to_ix)).argmax(1).tolist()
"""


@pytest.mark.parametrize("library", ["tapegrad", "torch"])
def test_a_tagger_runs_when_only_its_imports_change(library):
    names = {}
    exec(compile(TAGGER.format(library=library), "tagger", "exec"), names)
    assert names["found"] == [0, 1, 2, 0, 1]
