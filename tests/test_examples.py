"""The examples: they run, reach their accuracy, keep their files, and explain what is missing."""

from __future__ import annotations

import gzip
import os
import re
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import _extras
from tapegrad.examples import (
    _training,
    chargpt,
    convnet,
    digits,
    ensemble,
    fashion,
    per_sample,
    pinn,
    regression,
    sequence,
)


def start(name, *options, **kwargs):
    # A process started in the background inherits that Ctrl-C is ignored.
    return subprocess.Popen(
        [sys.executable, "-m", f"tapegrad.examples.{name}", *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **kwargs,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out.splitlines(), err


@pytest.fixture
def images(tmp_path):
    """A folder in the layout of Fashion-MNIST with few images whose brightness is the label."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "idx"
    folder.mkdir()
    for part, count in (("train", 600), ("t10k", 100)):
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        pixels = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            image[2 * label : 2 * label + 3] = 200
        header = struct.pack(">IIII", 0x803, count, 28, 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        packed = gzip.compress(struct.pack(">II", 0x801, count) + labels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(packed)
    return folder


def test_digits_reaches_its_accuracy(tmp_path):
    pytest.importorskip("sklearn")
    status, lines, err = finish(start("digits", "--out", tmp_path, "--threads", 1))
    assert status == 0, err
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 50
    pattern = (
        r"epoch +\d+/50  loss \S+  validation loss \S+  validation accuracy \S+  [\d,]+ samples/s"
    )
    assert all(re.fullmatch(pattern, line) for line in epochs)
    last = re.fullmatch(r"test accuracy: (\d+\.\d+)% \(449 images, .* s of training\)", lines[-1])
    assert float(last.group(1)) >= 97.5
    assert (tmp_path / "digits.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    model = _training.mlp([64, 256, 128, 10], dropout=0.4)
    model.load_state_dict(tg.load(tmp_path / "digits.safetensors"))
    _, test = digits.load()
    assert f"{_training.accuracy(model, *test):.2%}" == f"{last.group(1)}%"


def test_the_split_is_fixed():
    pytest.importorskip("sklearn")
    train, test = digits.load()
    assert (len(train[1]), len(test[1])) == (1348, 449)
    tg.manual_seed(99)
    again = digits.load()[1]
    assert again[1].tolist() == test[1].tolist()
    assert test[0].max().item() == 1.0


def test_fashion_learns(images, tmp_path):
    status, lines, err = finish(
        start("fashion", "--data", images, "--out", tmp_path / "new", "--epochs", 4, "--threads", 1)
    )
    assert status == 0, err
    assert lines[-1].startswith("test accuracy: 100.00% (100 images")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "fashion.png",
        "fashion.safetensors",
    ]


def test_sequence_learns_and_repeats(tmp_path):
    options = ("--share", 0.15, "--hidden", 64, "--epochs", 3, "--threads", 1, "--out", tmp_path)
    status, lines, err = finish(start("sequence", *options))
    assert status == 0, err
    assert re.fullmatch(r"[\d,]+ characters; a 5-gram model: \d\.\d{3} bits a character", lines[0])
    losses = [float(re.search(r"validation loss (\S+)", line)[1]) for line in lines[1:4]]
    assert losses == sorted(losses, reverse=True)
    pattern = (
        r"test: (\d\.\d{3}) bits a character, 5-gram model: (\d\.\d{3}) \([\d,]+ characters .*\)"
    )
    found = re.fullmatch(pattern, lines[-1])
    unigram = sequence.ngram_bits(*sequence.load(0.15), 1)
    assert float(found[1]) < unigram - 0.5
    assert (tmp_path / "sequence.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "embedding.weight" in tg.load(tmp_path / "sequence.safetensors")
    _, again, _ = finish(start("sequence", *options))
    assert [line for line in again if "invented" in line or line.startswith("  ")] == [
        line for line in lines if "invented" in line or line.startswith("  ")
    ]


def test_the_ngram_model():
    # a, b by turns: after the first character the order-2 model has seen nothing else.
    assert sequence.ngram_bits("ab" * 500, "ab" * 50, 2) < 0.03
    known = sequence.ngram_bits("aab", "b", 1)  # one of three, and two kinds of chance 1/2
    assert known == pytest.approx(-np.log2((1 + 2 * 0.5) / 5))


def test_test_topics_share_no_paragraph_with_training():
    def paragraphs(text):
        return {" ".join(part.split()) for part in text.split("\n\n")}

    known, unseen = sequence.load()
    assert not paragraphs(known) & paragraphs(unseen)
    assert sequence.load() == (known, unseen)


def test_a_seed_repeats_the_training(images, tmp_path):
    def losses(seed):
        _, lines, _ = finish(
            start(
                "fashion",
                "--data",
                images,
                "--out",
                tmp_path,
                "--epochs",
                1,
                "--seed",
                seed,
                "--threads",
                1,
            )
        )
        return re.search(r"loss (\S+)", lines[0]).group(1)

    assert losses(1) == losses(1) != losses(2)


def test_ctrl_c_keeps_the_weights(images, tmp_path):
    process = start(
        "fashion",
        "--data",
        images,
        "--out",
        tmp_path,
        "--epochs",
        100000,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout.readline().startswith("epoch")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    status, lines, err = finish(process)
    assert status == 130, err
    assert "Traceback" not in err
    assert lines[-2].startswith("interrupted after")
    assert lines[-1].startswith("test accuracy: ")
    model = _training.mlp([784, 256, 128, 100, 10], dropout=0.1)
    model.load_state_dict(tg.load(tmp_path / "fashion.safetensors"))


def test_missing_data_says_how_to_get_it(images, tmp_path):
    status, lines, err = finish(start("fashion", "--data", tmp_path / "nowhere"))
    assert (status, lines) == (2, [])
    assert "apt-get install dataset-fashion-mnist" in err
    assert "Traceback" not in err
    (images / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(_training.ExampleError, match=r"no t10k-labels-idx1-ubyte or .*apt-get"):
        fashion.load(images, "t10k")


def test_a_missing_extra_says_which_command_installs_it(monkeypatch):
    monkeypatch.setattr(_extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'tapegrad\[examples\]'"):
        digits.main([])


def test_bad_options(capsys):
    with pytest.raises(SystemExit) as caught:
        digits.main(["--epochs", "0"])
    assert caught.value.code == 2
    assert "whole number above 0, got '0'" in capsys.readouterr().err


def test_activations_on_disk_give_the_same_loss_in_less_memory():
    arguments = ("--depth", 6, "--width", 64, "--batch", 1024, "--steps", 2)
    status, lines, err = finish(start("offload", *arguments))
    assert status == 0, err
    assert len(lines) == 3
    losses = [re.search(r"loss (\S+),", line).group(1) for line in lines[:2]]
    assert losses[0] == losses[1]
    less = re.fullmatch(r"0 files left, (\S+) times less memory, same loss: True", lines[2])
    assert float(less.group(1)) > 2


def test_gradients_of_samples_equal_those_of_a_loop(capsys):
    assert per_sample.main(["--samples", "12"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("MLP 64-128-10: 12 gradients in ")
    assert lines[1].startswith("two convolutions: 12 gradients in ")
    assert float(lines[-1].rpartition(" ")[2]) < 1e-5


def test_an_ensemble_learns_and_knows_where_it_does_not_know(capsys):
    assert ensemble.main(["--networks", "20", "--steps", "150"]) == 0
    lines = capsys.readouterr().out.splitlines()
    inside, outside = re.search(
        r"spread ([\d.]+) on the data, ([\d.]+) outside", lines[-2]
    ).groups()
    assert float(outside) > 2 * float(inside)
    assert float(lines[-1].rpartition(" ")[2]) < 0.1


def test_a_network_does_not_lose_to_the_linear_model(capsys):
    pytest.importorskip("sklearn")
    assert regression.main(["--repeats", "1", "--networks", "2", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    network, linear = map(float, re.findall(r"(?:network|linear) (0\.\d{4})", lines[-1]))
    assert network >= linear > 0.45


def test_networks_solve_differential_equations(tmp_path, capsys):
    options = ["--rounds", "6", "--points", "300", "--threads", "1"]
    assert pinn.main([*options, "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    poisson, burgers = map(float, re.findall(r"(?:Poisson|Burgers) (\S+e-\d+)", lines[-1]))
    assert poisson < 0.05
    assert burgers < 0.3
    assert (tmp_path / "pinn.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_exact_solution_of_burgers_solves_the_equation():
    problem = pinn.Burgers(pinn.Field(2, 1))
    t, x = (v.requires_grad_() for v in pinn.points(problem, 50))
    u = problem.exact(t, x)
    u_t, u_x = tg.autograd.grad(u.sum(), (t, x), create_graph=True)
    (u_xx,) = tg.autograd.grad(u_x.sum(), x)
    rest = u_t + u * u_x - pinn.VISCOSITY * u_xx
    assert float((rest / (1 + u_x.abs() + u_xx.abs())).abs().max()) < 1e-6
    start = problem.exact(tg.full_like(x, 1e-12), x.detach())
    assert tg.allclose(start, -tg.sin(np.pi * x.detach()), atol=1e-5)


def test_a_killed_training_resumes_with_the_same_bits():
    status, lines, err = finish(start("resume", "--epochs", 3, "--kills", 2, "--threads", 1))
    assert status == 0, err
    assert lines[-1] == "same bits: True"
    assert [line.split()[0] for line in lines] == ["in", "killed", "killed", "killed", "same"]
    assert lines[0].startswith("in peace: 96 steps, weights ")
    assert lines[0].split()[-1] == lines[-2].split()[-1]


def test_convnet_learns_digits(tmp_path):
    pytest.importorskip("sklearn")
    status, lines, err = finish(start("convnet", "--out", tmp_path, "--epochs", 8, "--threads", 1))
    assert status == 0, err
    assert lines[0] == "51,418 parameters"
    last = re.fullmatch(r"test accuracy: (\d+\.\d+)% \(449 images, .* s of training\)", lines[-1])
    assert float(last.group(1)) >= 96
    assert (tmp_path / "convnet.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    model = convnet.network(8, strength=0.0, mirror=False)
    model.load_state_dict(tg.load(tmp_path / "convnet.safetensors"))
    _, test = convnet.load("digits")
    assert f"{_training.accuracy(model, *test):.2%}" == f"{last.group(1)}%"


def test_convnet_learns_fashion(images, tmp_path):
    options = ("--data", images, "--out", tmp_path, "--epochs", 4, "--threads", 1)
    status, lines, err = finish(start("convnet", *options))
    assert status == 0, err
    assert int(lines[0].removesuffix(" parameters").replace(",", "")) < 100_000
    assert float(re.match(r"test accuracy: (\d+\.\d+)%", lines[-1]).group(1)) >= 90
    missing = finish(start("convnet", "--data", tmp_path / "nowhere"))
    assert missing[0] == 2
    assert "nowhere" in missing[2]


def test_disturbed_images_are_moved_or_mirrored():
    images = tg.arange(2 * 9.0).reshape(2, 1, 3, 3)
    still = convnet.Disturb(0.0, mirror=False)
    assert tg.allclose(still(images), images, atol=1e-5)
    assert not tg.equal(convnet.Disturb(0.5, mirror=False)(images), images)
    assert tg.equal(convnet.Disturb(0.5, mirror=True).eval()(images), images)
    tg.manual_seed(0)
    found = convnet.Disturb(0.0, mirror=True)(images.repeat(8, 1, 1, 1))
    pairs = list(zip(found, images.repeat(8, 1, 1, 1), strict=True))
    mirrored = sum(bool(tg.allclose(x, y.flip(2), atol=1e-5)) for x, y in pairs)
    same = sum(bool(tg.allclose(x, y, atol=1e-5)) for x, y in pairs)
    assert mirrored + same == 16
    assert 3 <= mirrored <= 13


def test_a_character_gpt_learns_a_text(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 60, encoding="utf-8")
    sizes = ("--layers", 1, "--heads", 2, "--width", 32, "--block", 16, "--batch", 8)
    options = ["--text", text, "--steps", 150, "--sample", 30, "--out", tmp_path, *sizes]
    assert chargpt.main([str(option) for option in options]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].startswith("2,640 characters, 28 different ones; ")
    losses = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("step ")]
    assert len(losses) == 10
    last = re.fullmatch(
        r"loss on unseen text: ([\d.]+) \(150 steps, [\d.]+ s of training\)", lines[-1]
    )
    assert float(last.group(1)) < 0.5 * losses[0]
    sample = out.partition("--- a sample ---\n")[2].rpartition("\n---\n")[0]
    assert len(sample) == 30
    assert set(sample) <= set(text.read_text(encoding="utf-8"))
    assert (tmp_path / "chargpt.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    state = tg.load(tmp_path / "chargpt.safetensors")
    model = chargpt.GPT(chargpt.Shape(28, 16, 1, 2, 32))
    model.load_state_dict(state)
    data = chargpt.encode(text.read_text(encoding="utf-8"), 16)
    assert abs(chargpt.unseen_loss(model, data) - float(last.group(1))) < 1e-3


def test_a_gpt_sees_nothing_of_what_comes():
    tg.manual_seed(0)
    model = chargpt.GPT(chargpt.Shape(10, 8, 2, 2, 16))
    for parameter in model.parameters():
        tg.nn.init.normal_(parameter, std=0.5)
    x = tg.randint(0, 10, (1, 8))
    other = x.clone()
    other[0, 5:] = (other[0, 5:] + 1) % 10
    with tg.no_grad():
        a, b = model(x), model(other)
        other[0, 0] = (other[0, 0] + 1) % 10
        c = model(other)
    assert tg.equal(a[:, :5], b[:, :5])
    assert not tg.equal(a[:, 5:], b[:, 5:])
    assert bool((b != c).any(-1).all())  # the first is seen by all


def test_texts_that_cannot_be_learnt(tmp_path):
    with pytest.raises(_training.ExampleError, match="nowhere"):
        chargpt.read(tmp_path / "nowhere")
    with pytest.raises(_training.ExampleError, match="too few for blocks of 64"):
        chargpt.encode("short", 64)
    assert len(chargpt.read(None)) > 100_000
