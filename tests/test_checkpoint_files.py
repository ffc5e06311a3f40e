"""Checkpoints on disk: exact contents, sudden ends of writers, files of PyTorch, damaged files."""

from __future__ import annotations

import collections
import io
import math
import os
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
import zipfile
from pathlib import Path

import pytest

import tapegrad as tg
from support import run_python

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and /proc")


# --- contents ------------------------------------------------------------------------------------


def test_numbers_keys_and_containers_keep_their_type_and_bits(tmp_path):
    numbers = [0.1, 1e-320, -0.0, 2.0**-1074, 1.7976931348623157e308, math.nan, math.inf, 10**40]
    checkpoint = {
        "optimizer": {"state": {0: {"step": tg.tensor(3.0)}, 7: {}}, "param_groups": [(0.9, 0.99)]},
        "numbers": numbers,
        "epoch": 3,
        "best": None,
        "done": False,
        "rng": tg.get_rng_state(),
        True: 1,
        2.5: ("a", []),
    }
    tg.save(checkpoint, tmp_path / "c")
    loaded = tg.load(tmp_path / "c")
    assert list(loaded) == list(checkpoint)
    assert [type(key) for key in loaded] == [type(key) for key in checkpoint]
    assert list(loaded["optimizer"]["state"]) == [0, 7]
    assert loaded["optimizer"]["param_groups"] == [(0.9, 0.99)]
    pairs = zip(loaded["numbers"], numbers, strict=True)
    assert all(
        type(a) is type(b) and (a == b if isinstance(a, int) else pack(a) == pack(b))
        for a, b in pairs
    )
    assert tg.equal(loaded["rng"], checkpoint["rng"])
    tg.set_rng_state(loaded["rng"])


def pack(number):
    return struct.pack("<d", number)


TRAINING = textwrap.dedent(
    """
    import hashlib, os, sys
    import tapegrad as tg
    from tapegrad import nn
    from tapegrad.utils.data import DataLoader, Dataset, TensorDataset

    path, stop, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    generator = tg.Generator().manual_seed(11)
    x = tg.rand(90, 6, generator=generator)
    y = (x.sum(1) > 3).to(tg.int64)

    class Augmented(Dataset):
        def __len__(self):
            return 90
        def __getitem__(self, index):
            return x[index] + 0.1 * tg.rand(6), y[index]

    tg.manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))
    optimizer = tg.optim.Adam(model.parameters(), lr=1e-3)
    scheduler = tg.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=60)
    data = Augmented() if workers else TensorDataset(x, y)
    loader = DataLoader(data, 16, shuffle=True, num_workers=workers)
    steps = first = 0
    if os.path.exists(path):
        saved = tg.load(path)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        loader.load_state_dict(saved["loader"])
        tg.set_rng_state(saved["rng"])
        steps, first = saved["steps"], saved["epoch"]
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(first, 6):
        for a, b in loader:
            optimizer.zero_grad()
            loss_of(model(a), b).backward()
            optimizer.step()
            scheduler.step()
            steps += 1
            if steps == stop:
                tg.save({
                    "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                    "scheduler": scheduler.state_dict(), "loader": loader.state_dict(),
                    "rng": tg.get_rng_state(), "steps": steps, "epoch": epoch,
                }, path)
                sys.exit()
    sha = hashlib.sha256()
    for name, value in model.state_dict().items():
        sha.update(name.encode() + bytes(memoryview(value)))
    print(steps, sha.hexdigest())
    """
)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_training_gives_the_same_bits(workers, tmp_path):
    def run(name, stop):
        return run_python(TRAINING, args=[str(tmp_path / name), str(stop), str(workers)])

    whole = run("none", 10**9)
    assert whole.startswith("36 ")
    for stop in (8, 18):  # in the middle of a pass, and after its last batch
        assert run(f"at{stop}", stop) == ""
        assert run(f"at{stop}", 10**9) == whole


# --- sudden ends ---------------------------------------------------------------------------------


@pytest.fixture
def quick_folder(tmp_path):
    """A folder in memory, where waiting for the disk does not take most of the time."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@linux
def test_a_writer_killed_at_any_moment_leaves_a_whole_file(quick_folder):
    path = quick_folder / "checkpoint"
    start = time.perf_counter()
    for _ in range(5):
        tg.save({"number": 0, "w": tg.zeros(40_000), "l": [0]}, path)
    typical = (time.perf_counter() - start) / 5
    wait = random.Random(7)
    left, kills = 0, 0
    seen = set()
    # Forks of one interpreter, as starting one takes longer than many saves.
    fork = textwrap.dedent(
        """
        import os, signal, sys, time
        import tapegrad as tg
        path, saved = sys.argv[1], os.pipe()
        for line in sys.stdin:
            pid = os.fork()
            if pid == 0:
                number = int(line.split()[0])
                while True:
                    number += 1
                    value = tg.full((40_000,), float(number))
                    tg.save({"number": number, "w": value, "l": [number]}, path)
                    os.write(saved[1], b".")
            if line.endswith("later\\n"):
                os.read(saved[0], 1)
            time.sleep(float(line.split()[1]))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.write(saved[1], b".")
            os.read(saved[0], 1000)
            print("killed", flush=True)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", fork, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for kills in range(1, 201):
            moment = f"{wait.uniform(0, 2 * min(typical, 0.02))} {wait.choice(['now', 'later'])}"
            process.stdin.write(f"{1000 * kills} {moment}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "killed\n"
            loaded = tg.load(path)
            number = loaded["number"]
            assert loaded["l"] == [number]
            assert loaded["w"].shape == (40_000,)
            assert loaded["w"].amin() == loaded["w"].amax() == number
            seen.add(number // 1000)
            left = len(list(quick_folder.iterdir())) - 1
        process.stdin.close()
    assert kills == 200
    assert len(seen) > 20  # many of them had saved before they were killed
    # A name exists only for the moment between linking and renaming: few of the kills meet it.
    assert left <= 20


@linux
def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "checkpoint"
    tg.save({"w": tg.ones(10)}, path)
    out = run_python(
        """
        import resource, signal, sys
        import tapegrad as tg
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for content in ({"w": tg.zeros(1_000_000)}, {"a": [tg.zeros(1_000_000), 1]}):
            try:
                tg.save(content, sys.argv[1])
            except OSError as error:
                print(error)
        """,
        args=[str(path)],
    )
    lines = out.splitlines()
    assert len(lines) == 2
    assert all("checkpoint: cannot write: File too large" in line for line in lines)
    assert list(tmp_path.iterdir()) == [path]
    assert tg.load(path)["w"].tolist() == [1.0] * 10


@linux
def test_a_file_system_that_is_full_leaves_the_old_file(tmp_path):
    """On 200 KB of memory, mounted where nobody else sees it."""
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=200k none "$0" && exec "$@"']
    code = """
    import os, sys
    import tapegrad as tg
    path = sys.argv[1]
    tg.save({"w": tg.ones(10)}, path)
    for content in ({"w": tg.zeros(100_000)}, {"a": [tg.zeros(100_000), 1]}):
        try:
            tg.save(content, path)
        except OSError as error:
            print(error)
    print(os.listdir(os.path.dirname(path)), tg.load(path)["w"].tolist() == [1.0] * 10)
    tg.save({"w": tg.zeros(20_000)}, path)  # what failed has given its space back
    """
    try:
        allowed = subprocess.run([*mount, str(tmp_path), "true"], capture_output=True, check=False)
    except OSError:
        allowed = None
    if allowed is None or allowed.returncode != 0:
        pytest.skip("may not mount a file system")
    command = [*mount, str(tmp_path), sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(
        [*command, str(tmp_path / "checkpoint")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.pop() == "['checkpoint'] True"
    assert len(lines) == 2
    assert all("checkpoint: cannot write: No space left on device" in line for line in lines)


@linux
def test_a_device_without_space(tmp_path):
    with pytest.raises(OSError, match="/dev/full: exists and is not a regular file"):
        tg.save({"w": tg.ones(10)}, "/dev/full")
    with pytest.raises(OSError, match="nowhere"):
        tg.save({"w": tg.ones(10)}, tmp_path / "nowhere" / "file")


def test_permissions_and_links_survive(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    before = os.umask(0o027)
    try:
        tg.save({"w": tg.ones(2)}, path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o600)
    link.symlink_to(path)
    tg.save({"w": tg.zeros(3)}, link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert tg.load(path)["w"].tolist() == [0, 0, 0]


# --- files of PyTorch ----------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("mmap", [None, True])
def test_every_content_of_a_torch_file(torch, protocol, mmap, tmp_path):
    base = torch.arange(24.0)
    content = collections.OrderedDict(
        transposed=base.reshape(4, 6).t(),
        strided=base[3:9:2],
        parameter=torch.nn.Parameter(torch.randn(3).bfloat16()),
        frozen=torch.nn.Parameter(torch.randn(3), requires_grad=False),
        leaf=torch.ones(2, dtype=torch.float64, requires_grad=True),
        empty=torch.empty(0, 3),
        scalar=torch.tensor(3),
        flags=torch.tensor([True, False]),
        half=torch.ones(2).half(),
        expanded=torch.ones(1, dtype=torch.int8).expand(5),
        short=torch.arange(5, dtype=torch.int16),
        bytes=torch.arange(5, dtype=torch.uint8),
        ints=torch.arange(5, dtype=torch.int32),
    )
    content["nest"] = {
        "t": (1, [None, True, -(10**20)]),
        3: 2.5,
        "ü": "ä",
        (1, "a"): {},
        "b": b"ab",
    }
    content["set"] = {1, 2}
    content["named"] = [torch.float32, torch.Size([2, 3]), torch.device("cpu")]
    content["again"] = content["transposed"]
    path = tmp_path / "content.pt"
    torch.save(content, path, pickle_protocol=protocol)
    loaded = tg.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    assert type(loaded) is collections.OrderedDict
    assert list(loaded) == list(content)
    for name, expected in content.items():
        if isinstance(expected, torch.Tensor):
            got = loaded[name]
            assert got.tolist() == expected.tolist()
            assert str(got.dtype).split(".")[1] == str(expected.dtype).split(".")[1]
            assert (tuple(got.shape), got.stride()) == (tuple(expected.shape), expected.stride())
            assert got.requires_grad == expected.requires_grad
    assert loaded["nest"] == content["nest"]
    assert [type(k) for k in loaded["nest"]] == [str, int, str, tuple, str]
    assert loaded["set"] == {1, 2}
    assert loaded["named"] == [tg.float32, (2, 3), tg.device("cpu")]
    assert isinstance(loaded["parameter"], tg.nn.Parameter)
    assert loaded["again"] is loaded["transposed"]
    loaded["strided"][0] = -5.0  # one storage, as there
    assert loaded["transposed"][3, 0].item() == -5.0
    assert tg.load(path)["strided"][0].item() == 3.0


def test_state_dicts_of_models_and_optimizers(torch, tmp_path):
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01)
    x = torch.rand(5, 3)
    for _ in range(3):
        optimizer.zero_grad()
        theirs(x).square().sum().backward()
        optimizer.step()
    path = tmp_path / "training.pt"
    torch.save({"model": theirs.state_dict(), "optimizer": optimizer.state_dict()}, path)
    loaded = tg.load(path)
    ours = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.ReLU(), tg.nn.Linear(4, 1))
    ours.load_state_dict(loaded["model"])
    other = tg.optim.Adam(ours.parameters(), lr=0.5)
    other.load_state_dict(loaded["optimizer"])
    y = tg.tensor(x.tolist())
    for _ in range(3):
        optimizer.zero_grad()
        theirs(x).square().sum().backward()
        optimizer.step()
        other.zero_grad()
        ours(y).square().sum().backward()
        other.step()
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert tg.allclose(a, tg.tensor(b.tolist()), rtol=1e-5, atol=1e-6), name


class Whole:
    """An object of a class; a file that holds it names the class."""


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (Whole(), r"test_checkpoint_files\.Whole"),
        ({"w": [os.system]}, r"(posix|os)\.system"),
        ({"w": eval}, r"builtins\.eval"),
        (collections.Counter("aab"), r"collections\.Counter"),
        ([1j], r"builtins\.complex"),
        (random.Random, r"random\.Random"),
    ],
)
def test_a_name_that_is_refused_is_told(torch, content, name, tmp_path):
    path = tmp_path / "content.pt"
    torch.save(content, path)
    with pytest.raises(RuntimeError, match=rf"content\.pt: the file names '{name}', which is ref"):
        tg.load(path)


def test_other_kinds_of_torch_files_are_told(torch, tmp_path):
    path = tmp_path / "f.pt"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match=r"PyTorch file from before version 1\.6"):
        tg.load(path)
    torch.save({"w": torch.ones(2, dtype=torch.complex64)}, path)
    with pytest.raises(RuntimeError, match="ComplexFloatStorage"):
        tg.load(path)
    torch.save({"w": torch.ones(2).to_sparse()}, path)
    with pytest.raises(RuntimeError, match="_rebuild_sparse_tensor"):
        tg.load(path)


# --- damaged and hostile files, made without PyTorch ---------------------------------------------


def archive(program, storages=None, *, root="archive", compression=zipfile.ZIP_STORED, **entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as z:
        z.writestr(f"{root}/data.pkl", program)
        for name, content in entries.items():
            z.writestr(f"{root}/{name}", content)
        for key, content in (storages or {}).items():
            z.writestr(f"{root}/data/{key}", content)
    return out.getvalue()


def short(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


def number(value):
    return b"\x8a" + bytes([9]) + value.to_bytes(9, "little", signed=True)


def tensor_program(
    *, kind="FloatStorage", key="0", elements=6, offset=0, size=(2, 3), stride=(3, 1)
):
    storage = (
        b"(" + short("storage") + b"ctorch\n" + kind.encode() + b"\n"
        + short(key) + short("cpu") + number(elements) + b"tQ"
    )  # fmt: skip
    shape = b"(" + b"".join(map(number, size)) + b"t" + b"(" + b"".join(map(number, stride)) + b"t"
    return (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        + storage + number(offset) + shape + b"\x89" + b"ccollections\nOrderedDict\n)R" + b"tR."
    )  # fmt: skip


SIX = struct.pack("<6f", *range(6))


def load_bytes(tmp_path, content):
    path = tmp_path / "f.pt"
    path.write_bytes(content)
    return tg.load(path)


def test_the_program_of_the_tests_is_right(tmp_path):
    loaded = load_bytes(tmp_path, archive(tensor_program(), {"0": SIX}))
    assert loaded.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": 7}, "has 24 bytes in the file, but 7 elements of .* take 28"),
        ({"elements": 2**60}, "has 24 bytes in the file"),
        ({"elements": -6}, "is not supported"),
        ({"key": "1"}, "no entry 'data/1'"),
        ({"key": "../0"}, "no entry"),
        ({"kind": "ComplexFloatStorage"}, "ComplexFloatStorage"),
        ({"kind": "QInt8Storage"}, "QInt8Storage"),
        ({"offset": 1}, "does not fit into its storage of 6 elements"),
        ({"offset": -1}, "no numbers of 0 or more"),
        ({"offset": 2**63}, "too large"),
        ({"size": (2, -3)}, "no numbers of 0 or more"),
        ({"size": (2, 4)}, "does not fit"),
        ({"stride": (3, -1)}, "no numbers of 0 or more"),
        ({"stride": (2**62, 1)}, "too large"),
        ({"size": (2**40, 2**40), "stride": (0, 0)}, "too large"),
        ({"size": (0, 2**63), "stride": (0, 0)}, "too large"),
        ({"stride": (3,)}, "2 sizes and 1 strides"),
        ({"size": (1,) * 65, "stride": (1,) * 65}, "65 sizes"),
    ],
)
def test_a_tensor_that_does_not_fit_is_told(change, message, tmp_path):
    with pytest.raises(RuntimeError, match=rf"f\.pt: .*{message}"):
        load_bytes(tmp_path, archive(tensor_program(**change), {"0": SIX}))


def test_a_bool_that_is_neither(tmp_path):
    program = tensor_program(kind="BoolStorage")
    assert load_bytes(tmp_path, archive(program, {"0": b"\0\1" * 3})).dtype == tg.bool
    with pytest.raises(RuntimeError, match="neither 0 nor 1"):
        load_bytes(tmp_path, archive(program, {"0": b"\0\1\2\0\1\1"}))


GOOD = pickle.dumps({"a": [1, 2.5, "b", (None, True)]}, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(GOOD, byteorder="big"), "big-endian"),
        (archive(GOOD, **{"constants.pkl": b""}), "TorchScript"),
        (archive(GOOD, compression=zipfile.ZIP_DEFLATED), "is compressed"),
        (archive(GOOD)[:-30], "damaged or truncated"),
        (b"PK\x03\x04" + bytes(50), "damaged or truncated"),
        (archive(GOOD).replace(b"archive/data.pkl", b"archive/date.pkl"), "no data.pkl"),
        (archive(GOOD).replace(b"\x80\x02}", b"\x80\x02]"), "checksum of 'data.pkl' is wrong"),
        (archive(b"\x80\x09N."), "protocol 9"),
        (archive(b"\x80\x02N"), "cut off"),
        (archive(b"\x80\x02."), "does not end with one object"),
        (archive(b"\x80\x02(."), "does not end with one object"),
        (archive(b"\x80\x02NN."), "does not end with one object"),
        (archive(b"\x80\x02Na."), "too little on the stack"),
        (archive(b"\x80\x02NNa."), "appended to a NoneType"),
        (archive(b"\x80\x02NNNs."), "put into a NoneType"),
        (archive(b"\x80\x02}]Ns."), "dict key of type list"),
        (archive(b"\x80\x02}(Nu."), "a key without a value"),
        (archive(b"\x80\x02e."), "no mark"),
        (archive(b"\x80\x02h\x05."), "did not make"),
        (archive(b"\x80\x02X\xff\xff\xff\x7fab."), "cut off"),
        (archive(b"\x80\x02\x8c\x02\xff\xff."), "malformed"),
        (archive(b"\x80\x02NNR."), "no known function"),
        (archive(b"\x80\x02}}b."), "state of a dict is set"),
        (archive(b"\x80\x02ctorch\nFloatStorage\n)R."), "is called, which is refused"),
        (archive(b"\x80\x02](ccollections\nOrderedDict\ne."), "name of a function"),
        (archive(b"\x80\x02ccollections\nOrderedDict\n(NNNtR."), "malformed"),
        (archive(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R."), "malformed"),
        (archive(b"\x80\x02NQ."), "no storage"),
        (archive(b"\x80\x02cos\nsystem\n."), "'os.system', which is refused"),
        (archive(b"\x80\x02\x82\x01."), "instruction"),
        (archive(b"\x80\x02i__main__\nX\n."), "instruction"),
        (archive(b"\x80\x02\x8b\xff\xff\x00\x00."), "an integer of"),
    ],
)
def test_a_damaged_archive_is_told(content, message, tmp_path):
    with pytest.raises(RuntimeError, match=rf"f\.pt: .*{message}"):
        load_bytes(tmp_path, content)


def test_an_entry_that_is_there_twice(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("a/data.pkl", GOOD)
        with pytest.warns(UserWarning, match="Duplicate"):
            z.writestr("a/data.pkl", GOOD)
    with pytest.raises(RuntimeError, match="there twice"):
        load_bytes(tmp_path, out.getvalue())


def test_deep_nesting_neither_crashes_nor_hangs(tmp_path):
    deep = 50_000
    for program in (
        b"\x80\x02" + b"]" * deep + b"a" * (deep - 1) + b".",
        b"\x80\x02N" + b"\x85" * deep + b".",
        b"\x80\x02}N" + b"\x85" * deep + b"Ns.",
    ):
        try:
            loaded = load_bytes(tmp_path, archive(program))
        except RuntimeError:
            continue
        assert isinstance(loaded, (list, tuple))
        del loaded


def test_no_module_that_runs_pickles_is_needed(tmp_path):
    path = tmp_path / "f.pt"
    path.write_bytes(archive(tensor_program(), {"0": SIX}))
    out = run_python(
        """
        import sys
        import tapegrad as tg
        for name in ("pickle", "_pickle", "marshal", "dill", "cloudpickle", "torch"):
            sys.modules[name] = None
        print(tg.load(sys.argv[1]).sum().item())
        """,
        args=[str(path)],
    )
    assert out.strip() == "15.0"


def mutations(seed, base):
    """The bytes changed, cut, repeated and moved in a few places, for ever."""
    chance = random.Random(seed)
    while True:
        content = bytearray(chance.choice(base))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(content))
            kind = chance.randrange(5)
            if kind == 0:
                content[at] = chance.randrange(256)
            elif kind == 1:
                content[at : at + 8] = chance.choice([b"\xff" * 8, bytes(8), b"\x7f" + bytes(7)])
            elif kind == 2:
                del content[at : at + chance.randint(1, 20)]
            elif kind == 3:
                content[at:at] = content[at : at + chance.randint(1, 30)]
            else:
                content[at : at + 1] = chance.choice([b"9", b"[", b"{", b"}", b'"', b",", b"-1"])
            if len(content) < 2:
                break
        yield bytes(content)


def samples(tmp_path):
    path = tmp_path / "sample"
    found = []
    for content in (
        {"a": tg.rand(3, 4), "b": tg.tensor([True, False]), "c": tg.zeros(0, 2)},
        {"model": {"w": tg.rand(5)}, "n": [1, (2.5, None)], 3: "x", "t": {"u": tg.arange(3)}},
    ):
        tg.save(content, path)
        found.append(path.read_bytes())
    path.unlink()
    return found


FINE = (RuntimeError, OSError, ValueError, UnicodeDecodeError)


@pytest.mark.parametrize("kind", ["safetensors", "zip"])
def test_a_thousand_damaged_files_give_tensors_or_an_error(kind, tmp_path):
    if kind == "safetensors":
        base = samples(tmp_path)
    else:
        nested = pickle.dumps(
            {"a": [1, 2.5, "b", (None, {3: True})], "c": collections.OrderedDict()}
        )
        base = [
            archive(tensor_program(), {"0": SIX}),
            archive(tensor_program(kind="BoolStorage"), {"0": b"\0\1" * 3}, byteorder="little"),
            archive(nested),
        ]
    path = tmp_path / "f"
    errors = others = 0
    stop = time.monotonic() + 4
    for count, content in enumerate(mutations(3, base)):
        if count == 1500 or time.monotonic() > stop:
            break
        path.write_bytes(content)
        try:
            tg.load(path)
        except FINE as error:
            errors += str(path) in str(error)
            others += str(path) not in str(error)
    assert errors > 50
    assert others == 0  # every error names the file


def test_damaged_programs_inside_whole_archives(tmp_path):
    """The checksum hides most mutations from the interpreter; here it is right."""
    nested = pickle.dumps({"a": [1, 2.5, "b", (None, {3: True})], "c": collections.OrderedDict()})
    path = tmp_path / "f"
    errors = others = 0
    stop = time.monotonic() + 4
    for count, program in enumerate(mutations(5, [tensor_program(), nested])):
        if count == 1500 or time.monotonic() > stop:
            break
        path.write_bytes(archive(program, {"0": SIX}))
        try:
            loaded = tg.load(path)
            if isinstance(loaded, tg.Tensor) and loaded.numel() < 1000:
                loaded.clone()
        except FINE as error:
            errors += str(path) in str(error)
            others += str(path) not in str(error)
    assert errors > 50
    assert others == 0  # every error names the file
