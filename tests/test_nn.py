"""Modules: members, state, hooks, containers, layers, initial values."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref
from collections import OrderedDict

import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.testing import assert_close


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(2, 3)
        self.scale = nn.Parameter(tg.ones(3))
        self.out = nn.Linear(3, 1, bias=False)
        self.register_buffer("mean", tg.zeros(2))
        self.register_buffer("scratch", tg.zeros(1), persistent=False)

    def forward(self, x):
        return self.out((self.hidden(x - self.mean) * self.scale).relu())


# --- members ------------------------------------------------------------------------------------


def test_names_come_in_pytorch_order():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale",
        "hidden.weight",
        "hidden.bias",
        "out.weight",
    ]
    assert list(net.state_dict()) == ["scale", "mean", "hidden.weight", "hidden.bias", "out.weight"]
    assert [n for n, _ in net.named_buffers()] == ["mean", "scratch"]
    assert [n for n, _ in net.named_modules()] == ["", "hidden", "out"]
    assert [n for n, _ in net.named_children()] == ["hidden", "out"]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]


def test_attribute_and_table_are_one():
    net = Net()
    assert net.hidden is net._modules["hidden"] is net.__dict__["hidden"]
    replacement = nn.Linear(2, 3)
    net._modules["hidden"] = replacement
    assert net.hidden is replacement
    net.hidden = nn.Identity()
    assert isinstance(net._modules["hidden"], nn.Identity)
    assert list(net._modules) == ["hidden", "out"]  # replaced where it stood
    del net.hidden
    assert not hasattr(net, "hidden")
    assert list(net._modules) == ["out"]


@pytest.mark.parametrize(
    ("edit", "left"),
    [
        (lambda t: t.pop("a"), ["b"]),
        (lambda t: t.popitem(), ["a"]),
        (lambda t: t.clear(), []),
        (lambda t: t.update(c=nn.Identity()), ["a", "b", "c"]),
        (lambda t: t.setdefault("c", nn.Identity()), ["a", "b", "c"]),
        (lambda t: t.__ior__({"c": nn.Identity()}), ["a", "b", "c"]),
    ],
)
def test_every_edit_of_a_table_reaches_the_attributes(edit, left):
    module = nn.Module()
    module.a, module.b = nn.Identity(), nn.Identity()
    edit(module._modules)
    assert list(module._modules) == left
    assert [n for n in ("a", "b", "c") if hasattr(module, n)] == left
    assert module._modules.pop("missing", "default") == "default"


def test_assignment_moves_a_name_between_tables():
    module = nn.Module()
    module.x = nn.Parameter(tg.ones(1))
    module.x = nn.Linear(1, 1)
    assert list(module._parameters) == []
    assert list(module._modules) == ["x"]
    module.x = nn.Buffer(tg.zeros(2), persistent=False)
    assert list(module._modules) == []
    assert list(module.state_dict()) == []
    assert [n for n, _ in module.named_buffers()] == ["x"]
    module.y = 5
    module.y = nn.Parameter(tg.ones(1))
    assert list(module._parameters) == ["y"]


def test_wrong_assignments_say_what_is_expected():
    net = Net()
    with pytest.raises(TypeError, match=r"parameter 'scale' \(nn.Parameter or None expected\)"):
        net.scale = tg.ones(3)
    with pytest.raises(TypeError, match="child module 'out'"):
        net.out = 1
    with pytest.raises(TypeError, match="buffer 'mean'"):
        net.mean = [0.0]
    net.mean = tg.ones(2)
    assert net._buffers["mean"] is net.mean
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    assert net.scale is None


def test_assignment_before_init_is_an_error():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\)"):
        Forgetful()


def test_registration_checks_names():
    module = nn.Module()
    with pytest.raises(KeyError, match="name can"):
        module.register_parameter("a.b", None)
    with pytest.raises(KeyError, match="empty string"):
        module.add_module("", nn.Identity())
    with pytest.raises(KeyError, match="already exists"):
        module.register_buffer("forward", tg.ones(1))
    with pytest.raises(TypeError, match="should be a string"):
        module.register_buffer(1, tg.ones(1))
    with pytest.raises(TypeError, match="not a Module subclass"):
        module.add_module("x", 3)
    with pytest.raises(ValueError, match="non-leaf"):
        module.register_parameter("p", _non_leaf_parameter())


def _non_leaf_parameter():
    param = nn.Parameter(tg.ones(1), requires_grad=False)
    param.add_(tg.ones(1, requires_grad=True))
    return param


def test_lookup_by_path():
    net = Net()
    outer = nn.Sequential(OrderedDict(net=net))
    assert outer.get_submodule("net.hidden") is net.hidden
    assert outer.get_submodule("") is outer
    assert outer.get_parameter("net.hidden.weight") is net.hidden.weight
    assert outer.get_buffer("net.mean") is net.mean
    with pytest.raises(AttributeError, match="has no attribute `missing`"):
        outer.get_submodule("net.missing.deeper")
    with pytest.raises(AttributeError, match="is not an nn"):
        outer.get_submodule("net.scale")
    with pytest.raises(AttributeError, match=r"`net[.]mean` is not"):
        outer.get_parameter("net.mean")


def test_shared_members_come_once():
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    assert len(list(net.parameters())) == 2
    assert len(list(net.modules())) == 3
    assert [n for n, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1", "2"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_module_dies_without_the_collector():
    gc.disable()
    try:
        net = Net()
        net.hidden.register_forward_hook(lambda *a: None)
        alive = weakref.ref(net), weakref.ref(net.hidden)
        del net
        assert [ref() for ref in alive] == [None, None]
    finally:
        gc.enable()


# --- calling and hooks --------------------------------------------------------------------------


def test_forward_may_be_replaced_on_instance_and_class():
    class Layer(nn.Module):
        def forward(self, x):
            return x + 1

    layer = Layer()
    assert layer(1) == 2
    Layer.forward = lambda self, x: x + 10
    assert layer(1) == 11
    layer.forward = lambda x: x + 100
    assert layer(1) == 101
    assert nn.Module.__call__(layer, 1) == 101


def test_call_may_be_overridden():
    class Twice(nn.Identity):
        def __call__(self, x):
            return 2 * super().__call__(x)

    assert Twice()(3) == 6


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module: a module needs a forward"):
        nn.Module()(1)


def test_hooks_run_in_order_and_may_replace():
    layer, log = nn.Identity(), []
    first = layer.register_forward_pre_hook(lambda m, args: log.append(("pre", args)))
    layer.register_forward_pre_hook(lambda m, args: args[0] + 1)
    layer.register_forward_hook(lambda m, args, out: log.append(("post", args, out)))
    layer.register_forward_hook(lambda m, args, out: out * 2)
    layer.register_forward_hook(lambda m, args, out: log.append("early"), prepend=True)
    assert layer(1) == 4
    assert log == [("pre", (1,)), "early", ("post", (2,), 2)]
    first.remove()
    first.remove()
    log.clear()
    assert layer(1) == 4
    assert log == ["early", ("post", (2,), 2)]


def test_hooks_with_keywords():
    class Add(nn.Module):
        def forward(self, x, *, y):
            return x + y

    layer, seen = Add(), []
    layer.register_forward_pre_hook(lambda m, a, k: (a, {"y": k["y"] * 10}), with_kwargs=True)
    layer.register_forward_hook(lambda m, a, k, out: seen.append((a, k, out)), with_kwargs=True)
    assert layer(1, y=2) == 21
    assert seen == [((1,), {"y": 20}, 21)]
    layer.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="tuple of"):
        layer(1, y=2)


def test_always_called_hooks_run_after_an_error():
    class Fails(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    layer, log = Fails(), []
    layer.register_forward_hook(lambda m, a, out: log.append(out), always_call=True)
    layer.register_forward_hook(lambda m, a, out: log.append("never"))
    with pytest.raises(ZeroDivisionError):
        layer(1)
    assert log == [None]


def test_a_hook_handle_is_a_context_manager():
    layer = nn.Identity()
    with layer.register_forward_hook(lambda m, a, out: out + 1):
        assert layer(1) == 2
    assert layer(1) == 1


# --- state --------------------------------------------------------------------------------------


def test_state_dict_round_trip():
    tg.manual_seed(0)
    a, b = Net(), Net()
    state = a.state_dict()
    assert not any(t.requires_grad for t in state.values())
    assert repr(b.load_state_dict(state)) == "<All keys matched successfully>"
    for (name, x), (_, y) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert bool((x == y).all()), name
    x = tg.randn(4, 2)
    assert bool((a(x) == b(x)).all())
    with tg.no_grad():
        a.scale.fill_(7)
    assert state["scale"].tolist() == [7, 7, 7]  # shared memory, as in PyTorch
    assert list(a.state_dict(prefix="m.")) == ["m." + key for key in a.state_dict()]


def test_load_reports_everything_and_changes_nothing():
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}
    del state["mean"], state["out.weight"]
    state["extra"] = tg.ones(1)
    state["hidden.weight"] = tg.ones(2, 3)
    state["scale"] = "text"
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert message.startswith("Error(s) in loading state_dict for Net:")
    assert 'Missing key(s) in state_dict: "mean", "out.weight".' in message
    assert 'Unexpected key(s) in state_dict: "extra".' in message
    assert "size mismatch for hidden.weight" in message
    assert "([2, 3])" in message
    assert "([3, 2])" in message
    assert "parameter named scale, expected a tensor" in message
    for key, value in net.state_dict().items():
        assert bool((value == before[key]).all()), key


def test_load_without_strict_reports_the_rest():
    net = Net()
    result = net.load_state_dict({"scale": tg.full((3,), 2.0), "extra": tg.ones(1)}, strict=False)
    assert result.missing_keys == ["mean", "hidden.weight", "hidden.bias", "out.weight"]
    assert result.unexpected_keys == ["extra"]
    assert net.scale.tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="size mismatch for scale"):
        net.load_state_dict({"scale": tg.ones(4)}, strict=False)
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1])


def test_load_casts_or_assigns():
    net = nn.Linear(2, 1)
    state = {"weight": tg.ones(1, 2, dtype=tg.float64), "bias": tg.ones(1, dtype=tg.float64)}
    weight = net.weight
    net.load_state_dict(state)
    assert net.weight is weight
    assert net.weight.dtype == tg.float32
    net.load_state_dict(state, assign=True)
    assert net.weight.dtype == tg.float64
    assert isinstance(net.weight, nn.Parameter)
    assert net.weight.requires_grad
    assert net.weight.data_ptr() == state["weight"].data_ptr()


def test_copies_are_independent():
    for duplicate in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        net = Net()
        twin = duplicate(net)
        assert isinstance(twin.scale, nn.Parameter)
        assert twin.scale is twin._parameters["scale"]
        assert twin.hidden is twin._modules["hidden"]
        with tg.no_grad():
            twin.scale.fill_(9)
        assert net.scale.tolist() == [1, 1, 1]
        twin._modules["hidden"] = nn.Identity()
        assert isinstance(twin.hidden, nn.Identity)
        assert isinstance(net.hidden, nn.Linear)
        assert list(twin.state_dict())[:2] == ["scale", "mean"]
    shallow = copy.copy(net)
    assert shallow.scale is net.scale
    shallow.scale = nn.Parameter(tg.zeros(3))
    assert net.scale.tolist() == [1, 1, 1]


def test_deepcopy_keeps_sharing_and_hooks():
    shared = nn.Linear(2, 2)
    shared.register_forward_hook(_plus_one)
    twin = copy.deepcopy(nn.Sequential(shared, shared))
    assert twin[0] is twin[1]
    bare = nn.Linear(2, 2)
    bare.load_state_dict(shared.state_dict())
    x = tg.ones(1, 2)
    assert_close(twin[0](x), bare(x) + 1)


def _plus_one(module, args, output):
    return output + 1


def test_modes():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    assert net.eval() is net
    assert [m.training for m in net.modules()] == [False] * 4
    net.train()
    assert [m.training for m in net.modules()] == [True] * 4
    with pytest.raises(ValueError, match="boolean"):
        net.train(1)
    net = Net()
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_casts_keep_identity_and_gradients():
    net = Net()
    net.count = nn.Buffer(tg.zeros(1, dtype=tg.int64))
    params = list(net.parameters())
    net(tg.ones(1, 2)).sum().backward()
    assert net.double() is net
    assert all(a is b for a, b in zip(net.parameters(), params, strict=True))
    assert {p.dtype for p in net.parameters()} == {tg.float64}
    assert net.hidden.weight.grad.dtype == tg.float64
    assert net.mean.dtype == tg.float64
    assert net.mean is net._buffers["mean"]
    assert net.count.dtype == tg.int64
    net(tg.ones(1, 2, dtype=tg.float64)).sum().backward()
    assert net.to(tg.ones(1)).scale.dtype == tg.float32
    assert net.to("cpu").to(dtype=tg.float16).scale.dtype == tg.float16
    assert net.float().scale.dtype == tg.float32
    assert net.bfloat16().scale.dtype == tg.bfloat16
    with pytest.raises(TypeError, match="floating point"):
        net.to(tg.int64)
    with pytest.raises(TypeError, match="unexpected argument 'colour'"):
        net.to(colour=1)


def test_zero_grad_and_apply():
    net = Net()
    net(tg.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == [0, 0, 0]
    net.zero_grad()
    assert [p.grad for p in net.parameters()] == [None] * 4
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "Linear", "Net"]


# --- parameters ---------------------------------------------------------------------------------


def test_parameter_is_a_tensor():
    data = tg.ones(2)
    param = nn.Parameter(data)
    assert isinstance(param, tg.Tensor)
    assert param.requires_grad
    assert param.is_leaf
    assert param.data_ptr() == data.data_ptr()
    assert repr(param) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert type(param * 2) is tg.Tensor
    assert not nn.Parameter(tg.ones(1, dtype=tg.int64), requires_grad=False).requires_grad
    assert nn.Parameter().shape == (0,)
    with pytest.raises(TypeError, match="must be a tensor, got list"):
        nn.Parameter([1.0])
    twin = copy.deepcopy([param, param])
    assert twin[0] is twin[1]
    assert type(pickle.loads(pickle.dumps(param))) is nn.Parameter


# --- containers ---------------------------------------------------------------------------------


def test_sequential():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert len(net) == 3
    assert isinstance(net[-1], nn.Linear)
    assert isinstance(net[1:], nn.Sequential)
    assert list(net[1:]._modules) == ["1", "2"]
    assert net[:2](tg.ones(1, 2)).shape == (1, 3)
    net.append(nn.Sigmoid()).insert(1, nn.Tanh())
    assert [type(m).__name__ for m in net] == ["Linear", "Tanh", "ReLU", "Linear", "Sigmoid"]
    del net[1]
    assert list(net._modules) == ["0", "1", "2", "3"]
    assert isinstance(net.pop(), nn.Sigmoid)
    net[1] = nn.GELU()
    assert isinstance(net[1], nn.GELU)
    assert net[0] in net
    assert nn.ReLU() not in net
    assert len(net + nn.Sequential(nn.ReLU())) == 4
    named = nn.Sequential(OrderedDict(first=nn.Linear(1, 1), second=nn.ReLU()))
    assert isinstance(named.second, nn.ReLU)
    with pytest.raises(IndexError, match="out of range for 3 modules"):
        net[3]
    with pytest.raises(TypeError, match="not a Module"):
        nn.Sequential(1)
    with pytest.raises(TypeError, match="expected a Module"):
        net.append(len)


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.Linear(1, 1) for _ in range(3)])
    layers += [nn.ReLU()]
    assert len(layers) == 4
    assert len(layers[1:3]) == 2
    assert repr(layers) == (
        "ModuleList(\n"
        "  (0-2): 3 x Linear(in_features=1, out_features=1, bias=True)\n"
        "  (3): ReLU()\n)"
    )
    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Linear(1, 1)
    assert list(table) == list(table.keys()) == ["a", "b"]
    assert [n for n, _ in table.named_parameters()] == ["b.weight", "b.bias"]
    assert isinstance(table.pop("a"), nn.ReLU)
    table.clear()
    assert len(table) == 0


def test_repr():
    net = nn.Sequential(
        nn.Linear(2, 3),
        nn.ModuleList([nn.Dropout(0.2)]),
        nn.GELU(),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Softmax(dim=1),
        nn.Softplus(),
        nn.Sequential(),
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): ModuleList(\n"
        "    (0): Dropout(p=0.2, inplace=False)\n"
        "  )\n"
        "  (2): GELU(approximate='none')\n"
        "  (3): ReLU(inplace=True)\n"
        "  (4): Flatten(start_dim=1, end_dim=-1)\n"
        "  (5): Softmax(dim=1)\n"
        "  (6): Softplus(beta=1.0, threshold=20.0)\n"
        "  (7): Sequential()\n"
        ")"
    )


# --- layers -------------------------------------------------------------------------------------


def test_linear_computes_and_differentiates():
    layer = nn.Linear(2, 1)
    with tg.no_grad():
        layer.weight.copy_(tg.tensor([[2.0, 3.0]]))
        layer.bias.fill_(1)
    x = tg.tensor([[1.0, 4.0], [0.0, -1.0]], requires_grad=True)
    y = layer(x)
    assert y.tolist() == [[15.0], [-2.0]]
    y.sum().backward()
    assert layer.weight.grad.tolist() == [[1.0, 3.0]]
    assert layer.bias.grad.tolist() == [2.0]
    assert x.grad.tolist() == [[2.0, 3.0], [2.0, 3.0]]
    assert nn.Linear(2, 1, bias=False).bias is None
    assert nn.Linear(2, 1, dtype=tg.float64).weight.dtype == tg.float64


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.ReLU(), lambda x: max(x, 0.0)),
        (nn.ReLU(inplace=True), lambda x: max(x, 0.0)),
        (nn.Sigmoid(), lambda x: 1 / (1 + math.exp(-x))),
        (nn.Tanh(), math.tanh),
        (nn.GELU(), lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        (
            nn.GELU(approximate="tanh"),
            lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
        (nn.SiLU(), lambda x: x / (1 + math.exp(-x))),
        (nn.Softplus(), lambda x: math.log1p(math.exp(x))),
        (nn.Softplus(beta=2, threshold=1), lambda x: x if 2 * x > 1 else _softplus2(x)),
    ],
)
def test_activations(layer, function):
    values = [-3.0, -0.5, 0.0, 0.25, 2.0]
    result = layer(tg.tensor(values, dtype=tg.float64))
    assert_close(
        result, tg.tensor([function(v) for v in values], dtype=tg.float64), rtol=1e-12, atol=1e-14
    )


def _softplus2(x):
    return math.log1p(math.exp(2 * x)) / 2


def test_softmax_and_its_logarithm():
    x = tg.tensor([[0.0, math.log(3.0)]], dtype=tg.float64)
    assert_close(nn.Softmax(dim=1)(x), tg.tensor([[0.25, 0.75]], dtype=tg.float64))
    assert_close(nn.LogSoftmax(dim=1)(x).exp(), tg.tensor([[0.25, 0.75]], dtype=tg.float64))
    with pytest.warns(UserWarning, match="dim was not given and is taken as 1"):
        result = nn.Softmax()(x)
    assert_close(result, tg.tensor([[0.25, 0.75]], dtype=tg.float64))


def test_dropout():
    tg.manual_seed(1)
    x = tg.ones(10000)
    y = nn.Dropout(0.25)(x)
    kept = y != 0
    assert set(y[kept].tolist()) == {tg.tensor(1 / 0.75).item()}
    assert abs(kept.sum().item() / 10000 - 0.75) < 0.03
    assert nn.Dropout(0.25).eval()(x).tolist() == x.tolist()
    assert nn.Dropout(1.0)(x).sum().item() == 0
    with pytest.raises(ValueError, match="between 0 and 1, but got"):
        nn.Dropout(1.5)


def test_losses():
    logits = tg.tensor([[0.0, math.log(3.0)], [0.0, 0.0]], dtype=tg.float64)
    target = tg.tensor([1, 0])
    each = [math.log(4 / 3), math.log(2)]
    for reduction, expected in (("mean", sum(each) / 2), ("sum", sum(each)), ("none", each)):
        loss = nn.CrossEntropyLoss(reduction=reduction)(logits, target)
        assert_close(loss, tg.tensor(expected, dtype=tg.float64), rtol=1e-12, atol=0)
        same = nn.NLLLoss(reduction=reduction)(nn.LogSoftmax(1)(logits), target)
        assert_close(same, loss, rtol=1e-12, atol=0)
    weight = tg.tensor([1.0, 3.0], dtype=tg.float64)
    weighted = nn.CrossEntropyLoss(weight=weight)(logits, target)
    assert weighted.item() == pytest.approx((3 * each[0] + each[1]) / 4, rel=1e-12)
    ignored = nn.CrossEntropyLoss(ignore_index=0)(logits, target)
    assert ignored.item() == pytest.approx(each[0], rel=1e-12)
    x, y = tg.tensor([1.0, -2.0]), tg.tensor([0.0, 1.0])
    assert nn.MSELoss()(x, y).item() == 5.0
    assert nn.L1Loss()(x, y).item() == 2.0
    assert nn.L1Loss(reduction="sum")(x, y).item() == 4.0
    assert nn.L1Loss(reduction="none")(x, y).tolist() == [1.0, 3.0]
    bce = nn.BCEWithLogitsLoss(reduction="none")(x.double(), y.double())
    expected = [math.log1p(math.exp(1.0)), math.log1p(math.exp(2.0))]
    assert_close(bce, tg.tensor(expected, dtype=tg.float64), rtol=1e-12, atol=0)
    positive = nn.BCEWithLogitsLoss(pos_weight=tg.tensor([2.0]), reduction="sum")
    assert positive(tg.zeros(1), tg.ones(1)).item() == pytest.approx(2 * math.log(2), rel=1e-6)
    assert nn.MSELoss(size_average=False).reduction == "sum"
    with pytest.raises(ValueError, match="'none', 'mean' or 'sum', got 'avg'"):
        nn.MSELoss(reduction="avg")


def test_l1_loss_refuses_every_input_against_every_target():
    with pytest.raises(ValueError, match=r"\(3, 1\) and target \(3,\) would broadcast to \(3, 3\)"):
        nn.functional.l1_loss(tg.ones(3, 1), tg.ones(3))
    with pytest.warns(UserWarning, match="are broadcast to"):
        assert nn.functional.l1_loss(tg.ones(3, 2), tg.zeros(2)).item() == 1.0


def test_loss_weights_are_state():
    loss = nn.CrossEntropyLoss(weight=tg.ones(2))
    assert list(loss.state_dict()) == ["weight"]
    assert list(nn.CrossEntropyLoss().state_dict()) == []


def test_flatten():
    x = tg.zeros(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 1)(x).shape == (6, 4, 5)


# --- initial values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fill", "bound", "std"),
    [
        (lambda t: nn.init.uniform_(t, -2, 2), 2.0, 2 / math.sqrt(3)),
        (lambda t: nn.init.normal_(t, 0, 0.5), None, 0.5),
        (nn.init.xavier_uniform_, math.sqrt(6 / 600), math.sqrt(2 / 600)),
        (nn.init.xavier_normal_, None, math.sqrt(2 / 600)),
        (
            lambda t: nn.init.kaiming_uniform_(t, nonlinearity="relu"),
            math.sqrt(6 / 400),
            math.sqrt(2 / 400),
        ),
        (
            lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
            None,
            math.sqrt(2 / 200),
        ),
        (lambda t: nn.init.trunc_normal_(t, std=2.0, a=-4.0, b=4.0), 4.0, 2 * 0.87962566),
    ],
)
def test_random_initial_values(fill, bound, std):
    tg.manual_seed(0)
    weight = nn.Parameter(tg.empty(200, 400, dtype=tg.float64))
    assert fill(weight) is weight
    values = weight.detach()
    assert abs(values.mean().item()) < 5 * std / math.sqrt(80000)
    assert values.std().item() == pytest.approx(std, rel=0.02)
    if bound is not None:
        assert 0.99 * bound < values.abs().max().item() <= bound
    assert weight.requires_grad


def test_truncated_normal_quantiles():
    tg.manual_seed(0)
    values = nn.init.trunc_normal_(tg.empty(100000, dtype=tg.float64), 1.0, 1.0, 0.0, 3.0)
    total = math.erf(2 / math.sqrt(2)) / 2 + math.erf(1 / math.sqrt(2)) / 2
    share = (math.erf(1 / math.sqrt(2)) / 2) / total
    assert (values < 1).to(tg.float64).mean().item() == pytest.approx(share, abs=0.01)
    assert 0 <= values.min().item() < 0.01
    assert 2.9 < values.max().item() <= 3


def test_inverse_error_function():
    x = tg.linspace(-4, 4, 81, dtype=tg.float64)
    assert_close(nn.init._erfinv(x.erf()), x, rtol=1e-7, atol=1e-15)


def test_plain_initial_values_and_errors():
    assert nn.init.eye_(tg.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert nn.init.zeros_(nn.Parameter(tg.ones(2))).tolist() == [0, 0]
    assert nn.init.ones_(tg.empty(2)).tolist() == [1, 1]
    assert nn.init.calculate_gain("leaky_relu", 1.0) == 1.0
    assert nn.init.calculate_gain("selu") == 0.75
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        nn.init.xavier_uniform_(tg.empty(3))
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        nn.init.calculate_gain("rellu")
    with pytest.raises(ValueError, match=r"Mode fan not supported"):
        nn.init.kaiming_normal_(tg.empty(2, 2), mode="fan")
    with pytest.warns(UserWarning, match="no-op"):
        nn.Linear(0, 3)


def test_initial_values_follow_the_generator():
    draws = [
        nn.init.normal_(tg.empty(4), generator=tg.Generator().manual_seed(s)).tolist()
        for s in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


# --- hooks and extras of the state --------------------------------------------------------------


class Counting(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)
        self.steps = 0

    def get_extra_state(self):
        return {"steps": self.steps}

    def set_extra_state(self, state):
        self.steps = state["steps"]


def test_extra_state_comes_after_the_parameters():
    net = nn.Sequential(Counting(), nn.Linear(2, 2))
    net[0].steps = 7
    state = net.state_dict()
    assert list(state) == ["0.weight", "0.bias", "0._extra_state", "1.weight", "1.bias"]
    other = nn.Sequential(Counting(), nn.Linear(2, 2))
    assert repr(other.load_state_dict(state)) == "<All keys matched successfully>"
    assert other[0].steps == 7
    del state["0._extra_state"]
    with pytest.raises(RuntimeError, match=r"Missing key\(s\).*0._extra_state"):
        other.load_state_dict(state)
    assert other.load_state_dict(state, strict=False).missing_keys == ["0._extra_state"]
    with pytest.raises(RuntimeError, match="for subclasses"):
        nn.Linear(1, 1).get_extra_state()


def test_hooks_of_the_state():
    net = nn.Sequential(nn.Linear(1, 1))
    seen = []
    handles = [
        net[0].register_state_dict_pre_hook(lambda *args: seen.append(("before", *args[1:]))),
        net[0].register_state_dict_post_hook(
            lambda module, state, prefix, meta: state.update({prefix + "extra": 1})
        ),
        net[0].register_load_state_dict_pre_hook(
            lambda module, state, prefix, *rest: state.pop(prefix + "extra")
        ),
        net.register_load_state_dict_post_hook(
            lambda module, keys: seen.append(("after", keys.missing_keys))
        ),
    ]
    state = net.state_dict(prefix="net.")
    assert list(state) == ["net.0.weight", "net.0.bias", "net.0.extra"]
    state = net.state_dict()
    twin = copy.deepcopy(net)
    twin.load_state_dict(state)
    assert "0.extra" in state
    assert seen == [("before", "net.0.", False), ("before", "0.", False), ("after", [])]
    for handle in handles:
        handle.remove()
    assert list(net.state_dict()) == ["0.weight", "0.bias"]


def test_set_submodule_and_to_empty():
    net = nn.Sequential(nn.Sequential(nn.Linear(1, 1)))
    net.set_submodule("0.0", nn.ReLU())
    assert isinstance(net[0][0], nn.ReLU)
    net.set_submodule("0.extra", nn.Linear(2, 3))
    assert list(net[0]._modules) == ["0", "extra"]
    with pytest.raises(AttributeError, match="`other`"):
        net.set_submodule("0.other", nn.ReLU(), strict=True)
    with pytest.raises(AttributeError, match="`7`"):
        net.set_submodule("7.other", nn.ReLU())
    with pytest.raises(ValueError, match="empty"):
        net.set_submodule("", nn.ReLU())
    with pytest.raises(ValueError, match="expected a Module"):
        net.set_submodule("0.0", 1)
    weight = net[0].extra.weight
    assert net.to_empty(device="cpu")[0].extra.weight is weight
    assert weight.shape == (3, 2)
