"""Errors in modules name the module; states that do not fit are explained and change nothing."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import sys
import threading
import weakref
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.modules import _errors

NOTES = sys.version_info >= (3, 11)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.conv = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.conv(self.act(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), Block())

    def forward(self, x: Any) -> Any:
        return self.net(x)


def notes(error: BaseException) -> list[str]:
    """What follows the message, in whichever way this Python shows it."""
    found = list(getattr(error, "__notes__", []))
    return found or re.findall(r"\n(In module .*)$", str(error))


def error_of(call: Any, kind: type[BaseException] = Exception) -> BaseException:
    with pytest.raises(kind) as info:
        call()
    return info.value


@pytest.fixture(params=["notes", "text"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "notes" and not NOTES:
        pytest.skip("notes came with Python 3.11")
    monkeypatch.setattr(_errors, "_HAS_NOTES", request.param == "notes")


pytestmark = pytest.mark.usefixtures("_way")


# --- the path of the module -----------------------------------------------------------------------


def test_an_error_names_the_module_by_its_path() -> None:
    error = error_of(lambda: Net()(tg.ones(2, 3)))
    assert notes(error) == ["In module Net.net.2.conv (Linear)"]


def test_the_class_of_the_error_stays() -> None:
    plain = error_of(lambda: nn.functional.linear(tg.ones(2, 3), tg.ones(2, 4)))
    error = error_of(lambda: Net()(tg.ones(2, 3)))
    assert type(error) is type(plain)
    assert str(error).startswith(str(plain).split("\n")[0][:20])


def test_a_module_of_its_own_is_named_by_its_class() -> None:
    assert notes(error_of(lambda: nn.Linear(3, 2)(tg.ones(4)))) == ["In module Linear"]


def test_errors_of_python_code_are_named_too() -> None:
    class Broken(nn.Module):
        def forward(self, x: Any) -> Any:
            raise ValueError("no such luck")

    model = nn.Sequential(nn.Identity(), nn.Sequential(Broken()))
    error = error_of(lambda: model(tg.ones(1)), ValueError)
    assert str(error).split("\n")[0] == "no such luck"
    assert notes(error) == ["In module Sequential.1.0 (Broken)"]


def test_wrong_arguments_are_named_too() -> None:
    model = nn.Sequential(nn.ReLU())
    assert notes(error_of(lambda: model(tg.ones(1), 2), TypeError)) == ["In module Sequential"]
    assert notes(error_of(lambda: model("text"), TypeError)) == ["In module Sequential.0 (ReLU)"]


def test_a_module_that_is_no_member_is_named_by_its_class() -> None:
    class Outer(nn.Module):
        def forward(self, x: Any) -> Any:
            return nn.Sequential(nn.Linear(2, 2))(x)

    error = error_of(lambda: Outer()(tg.ones(3)))
    assert notes(error) == ["In module Outer.Sequential.0 (Linear)"]


def test_a_call_through_the_base_class_counts_once() -> None:
    class Caller(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def __call__(self, *args: Any) -> Any:
            return super().__call__(*args)

        def forward(self, x: Any) -> Any:
            return self.fc(x)

    assert notes(error_of(lambda: Caller()(tg.ones(3)))) == ["In module Caller.fc (Linear)"]


def test_hooks_do_not_change_the_path() -> None:
    model = Net()
    handle = model.net[2].register_forward_hook(lambda module, args, output: None)
    try:
        assert notes(error_of(lambda: model(tg.ones(2, 3)))) == [
            "In module Net.net.2.conv (Linear)"
        ]
    finally:
        handle.remove()


def test_an_error_that_is_handled_inside_leaves_no_trace() -> None:
    class Careful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            try:
                return self.fc(x)
            except RuntimeError:
                return x

    assert Careful()(tg.ones(3)).shape == (3,)


def test_errors_can_be_pickled_and_keep_no_module_alive() -> None:
    model = Net()
    alive = weakref.ref(model)
    try:
        model(tg.ones(2, 3))
    except RuntimeError as caught:
        error = caught.with_traceback(None)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    del model
    assert alive() is None


def test_an_interrupt_is_left_alone() -> None:
    class Stopped(nn.Module):
        def forward(self, x: Any) -> Any:
            raise KeyboardInterrupt

    error = error_of(lambda: nn.Sequential(Stopped())(1), KeyboardInterrupt)
    assert notes(error) == []


def test_errors_whose_text_is_not_their_argument_keep_their_arguments() -> None:
    class Lookup(nn.Module):
        def forward(self, x: Any) -> Any:
            return {}["weight"]

    error = error_of(lambda: Lookup()(1), KeyError)
    assert error.args == ("weight",)


def test_threads_do_not_mix_paths() -> None:
    found: dict[int, list[str]] = {}

    def work(depth: int) -> None:
        model: Any = nn.Linear(2, 2)
        for _ in range(depth):
            model = nn.Sequential(model)
        for _ in range(50):
            found[depth] = notes(error_of(lambda: model(tg.ones(3))))

    threads = [threading.Thread(target=work, args=(depth,)) for depth in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {
        depth: ["In module Sequential" + ".0" * depth + " (Linear)"] for depth in (1, 2, 3)
    }


def test_calls_pass_arguments_of_every_kind() -> None:
    class Many(nn.Module):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

    module = Many()
    assert module() == ((), {})
    assert module(1, b=2) == ((1,), {"b": 2})
    assert module(*range(20), **{f"k{i}": i for i in range(20)}) == (
        tuple(range(20)),
        {f"k{i}": i for i in range(20)},
    )
    module.forward = lambda x: x + 1
    assert module(1) == 2
    assert nn.Module.__call__(module, 2) == 3
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)
    assert list(inspect.signature(nn.Linear(1, 1)).parameters) == ["args", "kwargs"]


# --- states that do not fit -----------------------------------------------------------------------


def load_error(model: nn.Module, state: dict[str, Any]) -> str:
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError) as info:
        model.load_state_dict(state)
    after = model.state_dict()
    assert all(tg.equal(before[key], after[key]) for key in before)
    return str(info.value)


def test_all_that_does_not_fit_is_listed_at_once_and_nothing_changes() -> None:
    model = Net()
    state = {key: value + 1 for key, value in model.state_dict().items()}
    state["net.0.wieght"] = state.pop("net.0.weight")
    state["other"] = tg.ones(1)
    state["net.2.conv.bias"] = tg.ones(5)
    message = load_error(model, state)
    assert 'Missing key(s) in state_dict: "net.0.weight".' in message
    assert 'Unexpected key(s) in state_dict: "net.0.wieght", "other".' in message
    assert '"net.0.wieght" is close to the missing "net.0.weight".' in message
    assert '"other" is close' not in message
    assert "size mismatch for net.2.conv.bias" in message
    assert "[5]" in message
    assert "[2]" in message


def test_a_prefix_is_recognised_on_either_side() -> None:
    model, state = Net(), Net().state_dict()
    longer = {"module." + key: value for key, value in state.items()}
    message = load_error(model, longer)
    assert "{key.removeprefix('module.'): value for key, value in state_dict.items()}" in message
    wrapped = nn.Sequential(model)
    message = load_error(wrapped, state)
    assert "{'0.' + key: value for key, value in state_dict.items()}" in message
    assert "close to" not in message
    model.load_state_dict({key.removeprefix("module."): value for key, value in longer.items()})


def test_what_is_no_tensor_is_named() -> None:
    state = {**Net().state_dict(), "net.0.bias": [1.0, 2.0, 3.0]}
    message = load_error(Net(), state)
    assert "net.0.bias, expected a tensor from checkpoint but received list" in message


def test_without_strict_keys_may_differ_but_not_shapes() -> None:
    model = nn.Linear(2, 1)
    result = model.load_state_dict({"weight": tg.ones(1, 2), "extra": tg.ones(1)}, strict=False)
    assert result.missing_keys == ["bias"]
    assert result.unexpected_keys == ["extra"]
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        model.load_state_dict({"weight": tg.ones(2, 1)}, strict=False)
