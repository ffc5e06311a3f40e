"""The training loop: the same bits as one written by hand, and everything that surrounds it."""

from __future__ import annotations

import csv
import doctest
import fcntl
import hashlib
import math
import os
import pathlib
import pty
import signal
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest

import tapegrad as tg
from support import run_python
from tapegrad import _extras, nn, train
from tapegrad.optim import lr_scheduler
from tapegrad.utils.data import DataLoader, IterableDataset, TensorDataset

ROWS = 40


def network():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def data(seed=0):
    generator = tg.Generator().manual_seed(seed)
    x = tg.randn(ROWS, 6, generator=generator)
    return x, x[:, :3].argmax(1)


def setup(seed=0, size=8, shuffle=True):
    tg.manual_seed(seed)
    model = network()
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
    return (
        model,
        nn.CrossEntropyLoss(),
        DataLoader(TensorDataset(*data()), size, shuffle),
        optimizer,
    )


def digest(model):
    bits = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        bits.update(name.encode() + tensor.numpy().tobytes())
    return bits.hexdigest()


def by_hand(epochs, steps=math.inf, clip=None):
    model, loss, loader, optimizer = setup()
    losses = []
    for _ in range(epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            if steps == 0:
                return model, losses
            steps -= 1
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            total += value.item() * len(x)
        losses.append(total / ROWS)
    return model, losses


@pytest.mark.parametrize("clip", [None, 0.3])
def test_the_bits_are_those_of_a_loop_by_hand(clip):
    expected, losses = by_hand(3, clip=clip)
    arguments = setup()
    history = train.fit(*arguments, epochs=3, clip_grad_norm=clip, progress=False)
    assert digest(arguments[0]) == digest(expected)
    assert history["loss"] == losses
    assert history["epoch"] == [1, 2, 3]
    assert history.last["lr"] == 0.01
    assert len(history) == 3
    assert not history.interrupted
    assert history.seconds > 0


def test_validation_and_metrics():
    arguments = setup()
    x, y = data(1)
    history = train.fit(
        *arguments,
        epochs=2,
        validation=[(x[:30], y[:30]), (x[30:], y[30:])],
        metrics={"hits": train.Accuracy(), "counts": train.ConfusionMatrix()},
        monitor="validation_hits",
        progress=False,
    )
    model, loss = arguments[:2]
    model.eval()
    row = history.last
    assert row["validation_loss"] == pytest.approx(loss(model(x), y).item(), rel=1e-6)
    hits = int((model(x).argmax(1) == y).sum())
    assert row["validation_hits"] == hits / ROWS
    assert np.trace(row["validation_counts"]) == hits
    best = max(history["validation_hits"])
    assert history.best_epoch == history["validation_hits"].index(best) + 1
    assert "hits" not in row


def test_metrics_of_the_training_batches():
    seen = []

    class Spy(train.Accuracy):
        def update(self, output, target):
            seen.append((output.requires_grad, len(target)))
            super().update(output, target)

    history = train.fit(*setup(size=16), epochs=1, metrics=[Spy()], progress=False)
    assert seen == [(False, 16), (False, 16), (False, 8)]
    assert 0 <= history.last["accuracy"] <= 1


def test_modes_come_back():
    model, loss, loader, optimizer = setup()
    model.eval()
    modes = []

    class Spy(nn.Module):
        def forward(self, x):
            modes.append(self.training)
            return x

    model.append(Spy())
    model[4].eval()
    train.fit(model, loss, loader, optimizer, epochs=1, validation=[data()], progress=False)
    assert modes == [True] * 5 + [False]
    assert not any(module.training for module in model.modules())
    model.train()
    model[4].eval()  # frozen by the user
    modes.clear()
    train.fit(model, loss, loader, optimizer, epochs=1, validation=[data()], progress=False)
    assert not any(modes)
    assert [module.training for module in model] == [True, True, True, True, False]
    train.predict(model, [data()])
    assert [module.training for module in model] == [True, True, True, True, False]


def test_evaluate_and_predict():
    model = network().eval()
    x, y = data()
    batches = [(x[:7], y[:7]), (x[7:], y[7:])]
    found = train.evaluate(model, batches, [train.Accuracy()], loss=nn.CrossEntropyLoss())
    assert found["loss"] == pytest.approx(nn.functional.cross_entropy(model(x), y).item(), rel=1e-6)
    outputs = train.predict(model, batches)
    assert not outputs.requires_grad
    assert tg.allclose(outputs, model(x))
    assert tg.allclose(train.predict(model, x.split(9)), model(x))

    class Two(nn.Module):
        def forward(self, x):
            return {"first": x, "rest": (x[:, 0], x * 2)}

    both = train.predict(Two(), x.split(9))
    assert tg.equal(both["rest"][1], x * 2)
    assert both["rest"][0].shape == (ROWS,)
    with pytest.raises(ValueError, match="no samples"):
        train.evaluate(model, [])
    with pytest.raises(ValueError, match="no batches"):
        train.predict(model, [])
    with pytest.raises(TypeError, match="inputs and targets, got a list of 3"):
        train.evaluate(model, [[x, y, y]])
    with pytest.raises(ValueError, match="not unique"):
        train.evaluate(model, batches, [train.Accuracy(), train.Accuracy()])


# What ends a run ---------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_before_the_update():
    model, _, loader, optimizer = setup()
    calls = []

    def loss(output, target):
        calls.append(1)
        value = nn.functional.cross_entropy(output, target)
        return value * math.inf if len(calls) == 8 else value

    with pytest.raises(train.NonFiniteLossError, match=r"epoch 2, step 3: the loss is inf"):
        train.fit(model, loss, loader, optimizer, epochs=3, progress=False)
    assert digest(model) == digest(by_hand(3, steps=7)[0])
    assert all(module.training for module in model.modules())

    model, _, loader, optimizer = setup()
    calls.clear()
    history = train.fit(
        model, loss, loader, optimizer, epochs=2, on_nonfinite="skip", progress=False
    )
    assert history.skipped_steps == 1
    assert all(math.isfinite(value) for value in history["loss"])
    with pytest.raises(train.NonFiniteLossError, match="no step of epoch 1"):
        train.fit(
            model,
            lambda output, target: output.sum() * math.nan,
            loader,
            optimizer,
            epochs=1,
            on_nonfinite="skip",
            progress=False,
        )


def test_early_stopping_restores_the_best_weights():
    model, loss, loader, optimizer = setup()
    states, values = [], iter([0.5, 0.3, 0.4, 0.29, 0.6, 0.1])

    class Given(train.Accuracy):
        name, mode = "given", "min"

        def compute(self):
            states.append(digest(model))
            return next(values)

    options = {"metrics": [Given()], "monitor": "validation_given", "validation": [data()]}
    history = train.fit(
        model,
        loss,
        loader,
        optimizer,
        epochs=50,
        early_stopping=train.EarlyStopping(patience=3, min_delta=0.05),
        progress=False,
        **options,
    )
    assert history["validation_given"] == [0.5, 0.3, 0.4, 0.29, 0.6]
    assert history.stopped_early
    assert history.best_epoch == 4  # without regard to min_delta
    assert digest(model) == states[1]


def test_early_stopping_by_its_defaults_or_not_at_all():
    options = {"metrics": [train.Accuracy()], "monitor": "accuracy", "progress": False}

    def step(model, loss, batch, optimizer, *, clip_grad_norm=None):  # learns nothing
        x, y = batch
        return train.Step(loss(model(x), y).detach(), tg.zeros(len(y), 3), y)

    for patience, length in [(True, 11), (3, 4), (False, 20)]:
        arguments = {"epochs": 20, "early_stopping": patience, "train_step": step, **options}
        assert len(train.fit(*setup(), **arguments)) == length


def test_options_are_checked_before_the_first_step():
    model, loss, loader, optimizer = setup()
    before = digest(model)
    for options, message in [
        ({"epochs": -1}, "epochs must be at least 0"),
        ({"monitor": "validation_loss"}, "no column 'validation_loss'"),
        ({"scheduler_interval": "batch"}, "'epoch' or 'step'"),
        ({"on_nonfinite": "ignore"}, "'raise' or 'skip'"),
        ({"clip_grad_norm": 0.0}, "clip_grad_norm must be above 0"),
        ({"resume": True}, "needs checkpoint="),
        ({"early_stopping": 0}, "patience of at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            train.fit(model, loss, loader, optimizer, **({"epochs": 1} | options))
    with pytest.raises(ValueError, match="every_steps must be at least 1"):
        train.Checkpoint("folder", every_steps=0)
    checkpoint = train.Checkpoint("folder", every_steps=1)
    with pytest.raises(ValueError, match="list has not"):
        train.fit(model, loss, list(loader), optimizer, epochs=1, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="no batches in epoch 1"):
        train.fit(model, loss, [], optimizer, epochs=1, progress=False)
    with pytest.raises(TypeError, match="got a list of 1"):
        train.fit(model, loss, [[tg.ones(1, 6)]], optimizer, epochs=1, progress=False)
    assert digest(model) == before


def interrupting(step_numbers):
    """A training step during which Ctrl-C is pressed at the given steps."""
    count = 0

    def step(*args, **kwargs):
        nonlocal count
        count += 1
        if count in step_numbers:
            signal.raise_signal(signal.SIGINT)
        return train.train_step(*args, **kwargs)

    return step


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_after_the_step():
    handler = signal.getsignal(signal.SIGINT)
    arguments = setup()
    history = train.fit(*arguments, epochs=3, progress=False, train_step=interrupting([7]))
    assert history.interrupted
    assert len(history) == 1
    assert digest(arguments[0]) == digest(by_hand(3, steps=7)[0])
    assert signal.getsignal(signal.SIGINT) is handler
    again = train.fit(*arguments, epochs=1, progress=False)  # nothing is left behind
    assert not again.interrupted


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_during_validation():
    x, y = data()

    def batches():
        yield x, y
        signal.raise_signal(signal.SIGINT)
        yield x, y
        raise AssertionError("went on")

    arguments = setup()
    history = train.fit(*arguments, epochs=3, progress=False, validation=batches())
    assert history.interrupted
    assert len(history) == 0
    assert digest(arguments[0]) == digest(by_hand(1)[0])


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_ends_at_once():
    handler = signal.getsignal(signal.SIGINT)

    def step(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    arguments = setup()
    with pytest.raises(KeyboardInterrupt):
        train.fit(*arguments, epochs=3, progress=False, train_step=step)
    assert signal.getsignal(signal.SIGINT) is handler
    assert all(module.training for module in arguments[0].modules())


def test_handlers_of_the_program_stay():
    def own(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, own)
    try:
        history = train.fit(*setup(), epochs=3, progress=False, train_step=interrupting([7]))
        assert history.interrupted
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        history = train.fit(*setup(), epochs=3, progress=False, train_step=interrupting([7]))
        assert not history.interrupted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# Checkpoints -------------------------------------------------------------------------------------


def options(model, optimizer):
    return {
        "scheduler": lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=30),
        "scheduler_interval": "step",
        "validation": [data(1)],
        "metrics": [train.Accuracy()],
        "early_stopping": train.EarlyStopping(patience=4),
        "progress": False,
    }


def without_times(history):
    times = ("seconds", "samples_per_second")
    return [{k: v for k, v in row.items() if k not in times} for row in history.rows]


@pytest.mark.parametrize("generator", [False, True])
@pytest.mark.parametrize("stop", [1, 4])
def test_a_resumed_run_has_the_same_bits(stop, generator, tmp_path):
    def run(seed, epochs, folder, **more):
        model, loss, loader, optimizer = setup(seed)
        if generator:
            drawn = tg.Generator().manual_seed(seed)
            loader = DataLoader(TensorDataset(*data()), 8, shuffle=True, generator=drawn)
        history = train.fit(
            model,
            loss,
            loader,
            optimizer,
            epochs=epochs,
            checkpoint=folder,
            **options(model, optimizer),
            **more,
        )
        return digest(model), without_times(history), history.best_epoch

    whole = run(0, 6, tmp_path / "whole")
    run(0, stop, tmp_path / "parts")
    # Another seed: weights, order and dropout must come from the file.
    assert run(5, 6, tmp_path / "parts", resume=True) == whole
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert names == ["best.safetensors", "last.safetensors"]
    best = network()
    best.load_state_dict(tg.load(tmp_path / "whole" / "best.safetensors"))
    assert digest(best) == whole[0]


def test_a_run_interrupted_within_an_epoch_goes_on_there(tmp_path):
    def run(seed, **more):
        model, loss, loader, optimizer = setup(seed)
        history = train.fit(
            model,
            loss,
            loader,
            optimizer,
            epochs=4,
            metrics=[train.Accuracy()],
            progress=False,
            **more,
        )
        return digest(model), without_times(history)

    whole = run(0)
    for step in (2, 5, 13):
        folder = tmp_path / str(step)
        run(0, checkpoint=folder, train_step=interrupting([step]))
        assert run(7, checkpoint=folder, resume=True) == whole
    folder = train.Checkpoint(tmp_path / "every", every_steps=2)
    model, loss, loader, optimizer = setup(0)

    def crash(*args, **kwargs):
        nonlocal count
        count += 1
        if count == 10:
            raise OSError("the machine is gone")
        return train.train_step(*args, **kwargs)

    count = 0
    with pytest.raises(OSError, match="gone"):
        train.fit(
            model,
            loss,
            loader,
            optimizer,
            epochs=4,
            metrics=[train.Accuracy()],
            checkpoint=folder,
            train_step=crash,
            progress=False,
        )
    assert run(3, checkpoint=folder, resume=True) == whole


def test_resuming_without_a_checkpoint_begins(tmp_path):
    arguments = setup()
    train.fit(*arguments, epochs=2, checkpoint=tmp_path / "new", resume=True, progress=False)
    assert digest(arguments[0]) == digest(by_hand(2)[0])
    done = train.fit(*arguments, epochs=2, checkpoint=tmp_path / "new", resume=True, progress=False)
    assert len(done) == 2
    assert digest(arguments[0]) == digest(by_hand(2)[0])


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    model, loss, loader, optimizer = setup()
    train.fit(model, loss, loader, optimizer, epochs=1, checkpoint=tmp_path, progress=False)
    other = nn.Linear(2, 2)
    rate = tg.optim.SGD(other.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match="Linear"):
        train.fit(other, loss, loader, rate, epochs=2, checkpoint=tmp_path, resume=True)
    with pytest.raises(RuntimeError, match="without a scheduler"):
        train.fit(
            model,
            loss,
            loader,
            optimizer,
            epochs=2,
            checkpoint=tmp_path,
            resume=True,
            scheduler=lr_scheduler.StepLR(optimizer, 1),
        )
    with pytest.raises(RuntimeError, match="no column 'validation_loss'"):
        train.fit(
            model,
            loss,
            loader,
            optimizer,
            epochs=2,
            checkpoint=tmp_path,
            resume=True,
            validation=[data()],
        )
    tg.save(model.state_dict(), tmp_path / "last.safetensors")
    with pytest.raises(RuntimeError, match="not a checkpoint"):
        train.fit(model, loss, loader, optimizer, epochs=2, checkpoint=tmp_path, resume=True)


# Schedules, logs, pictures -----------------------------------------------------------------------


def test_schedules():
    model, loss, loader, optimizer = setup()
    scheduler = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    history = train.fit(
        model, loss, loader, optimizer, epochs=3, scheduler=scheduler, progress=False
    )
    assert history["lr"] == [0.01, 0.005, 0.0025]
    model, loss, loader, optimizer = setup()
    scheduler = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    train.fit(
        model,
        loss,
        loader,
        optimizer,
        epochs=2,
        scheduler=scheduler,
        scheduler_interval="step",
        progress=False,
    )
    assert optimizer.param_groups[0]["lr"] == 0.01 / 2**10
    model, loss, loader, optimizer = setup()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", patience=0)  # it falls
    history = train.fit(
        model, loss, loader, optimizer, epochs=3, scheduler=scheduler, progress=False
    )
    assert history["lr"] == pytest.approx([0.01, 0.01, 0.001])


def test_a_step_of_ones_own():
    model, loss, loader, optimizer = setup(size=1000)  # all data: LBFGS wants one function

    def step(model, loss, batch, optimizer, *, clip_grad_norm=None):
        x, y = batch

        def closure():
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            return value

        return train.Step(optimizer.step(closure).detach())

    optimizer = tg.optim.LBFGS(model.parameters())
    history = train.fit(model, loss, loader, optimizer, epochs=2, train_step=step, progress=False)
    assert history["loss"][1] < history["loss"][0]


def test_csv_file(tmp_path):
    path = tmp_path / "logs" / "run.csv"
    arguments = setup()
    train.fit(*arguments, epochs=2, log=path, checkpoint=tmp_path, progress=False)
    path.write_text("damaged")
    history = train.fit(
        *arguments,
        epochs=3,
        log=[train.CSVLog(path)],
        checkpoint=tmp_path,
        resume=True,
        progress=False,
    )
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [float(row["loss"]) for row in rows] == history["loss"]
    assert list(rows[0]) == ["epoch", "loss", "lr", "seconds", "samples_per_second"]


def test_tensorboard(tmp_path):
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    arguments = setup()
    history = train.fit(*arguments, epochs=3, log=train.TensorBoardLog(tmp_path), progress=False)
    events = loading.EventAccumulator(str(tmp_path)).Reload()
    values = [(event.step, event.value) for event in events.Scalars("loss")]
    assert values == [(n + 1, np.float32(value)) for n, value in enumerate(history["loss"])]


def test_missing_extras_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(_extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'tapegrad\[tensorboard\]'"):
        train.fit(*setup(), epochs=1, log=train.TensorBoardLog(tmp_path), progress=False)
    with pytest.raises(ImportError, match=r"matplotlib.*pip install 'tapegrad\[examples\]'"):
        train.History([{"epoch": 1, "loss": 0.1}]).plot(tmp_path / "curve.png")


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    history = train.fit(
        *setup(), epochs=2, validation=[data()], metrics=[train.Accuracy()], progress=False
    )
    history.plot(tmp_path / "curve.png", "A title")
    assert (tmp_path / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(IndexError, match="no epoch"):
        train.History().plot(tmp_path / "none.png")
    with pytest.raises(KeyError, match="accuracy"):
        history["accuracy"]


RUN = """
    import tapegrad as tg
    from tapegrad import nn, train
    tg.manual_seed(0)
    x, y = tg.randn(64, 2), tg.randn(64, 1)
    model = nn.Linear(2, 1)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.01)
    batches = list(zip(x.split(4), y.split(4)))
    train.fit(model, nn.MSELoss(), batches, optimizer, epochs=3, metrics=[train.MAE()])
"""


def test_a_pipe_gets_one_plain_line_an_epoch():
    lines = run_python(RUN).splitlines()
    assert [line[:10] for line in lines] == ["epoch 1/3 ", "epoch 2/3 ", "epoch 3/3 "]
    assert all("\r" not in line and "mae " in line for line in lines)


def test_a_terminal_gets_a_bar():
    pytest.importorskip("tqdm")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", "\n".join(line.strip() for line in RUN.splitlines())],
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how the end of a terminal's other side looks
        pass
    os.close(ours)
    assert process.wait() == 0
    assert b"batch" in shown
    assert b", loss 1." in shown
    assert shown.count(b"epoch ") == 3


NOTEBOOK = """
    import sys, types
    shown = []
    class Widget:
        def __init__(self, *args, **kwargs):
            self.__dict__.update(kwargs)
            self.layout = self.style = types.SimpleNamespace()
            self.value, self.bar_style = 0, ""
        def close(self):
            pass
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    modules = {
        "IPython": {"get_ipython": lambda: shell},
        "IPython.display": {"display": shown.append},
        "ipywidgets": {"HTML": Widget, "FloatProgress": Widget, "HBox": Widget},
        "ipykernel.zmqshell": {},
    }
    for name, content in modules.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(content)
"""


def test_a_notebook_gets_a_widget():
    pytest.importorskip("tqdm")
    report = """
    text, bar, _ = shown[0].children
    print(len(shown), bar.value, bar.max)
    """
    *lines, last = run_python(NOTEBOOK + RUN + report).splitlines()
    assert [line[:10] for line in lines] == ["epoch 1/3 ", "epoch 2/3 ", "epoch 3/3 "]
    assert last == "1 48 48"


def test_a_stream_has_no_length(capsys):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(zip(*data(), strict=True))

    model, loss, _, optimizer = setup()
    history = train.fit(model, loss, DataLoader(Stream(), 16), optimizer, epochs=2)
    assert len(history) == 2
    assert capsys.readouterr().out.count("epoch") == 2


def test_silence(capfd):
    train.fit(*setup(), epochs=1, progress=False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.footprint
def test_ten_thousand_steps_in_level_memory():
    output = run_python(
        """
        import gc
        import tapegrad as tg
        from tapegrad import nn, train
        gc.disable()  # nor may there be reference cycles
        tg.set_num_threads(1)
        x, y = tg.randn(8, 16), tg.randn(8, 1)
        model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1))
        optimizer = tg.optim.Adam(model.parameters())
        total = tg.zeros(())

        def step(*args, **kwargs):
            global total
            done = train.train_step(*args, **kwargs)
            total += done.loss.detach()
            return done

        def memory():
            for line in open("/proc/self/status"):
                if line.startswith("VmRSS"):
                    return int(line.split()[1])

        def run(steps):
            train.fit(model, nn.MSELoss(), [(x, y)] * steps, optimizer, epochs=1,
                      metrics=[train.R2(), train.MAE()], train_step=step, progress=False)

        run(500)
        before = memory()
        run(10_000)
        print(memory() - before)
        """
    )
    assert int(output) < 2048


def test_the_page_of_training_runs_and_names_everything():
    pytest.importorskip("sklearn")
    page = pathlib.Path(__file__).parents[1] / "docs" / "train.md"
    assert doctest.testfile(str(page), module_relative=False).failed == 0
    text = page.read_text(encoding="utf-8")
    left = [n for n in train.__all__ if f"{n}" not in text]
    assert left == []
