"""Known failures of processes: forks, changing teams, many threads, symbols, import order."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from support import run_python, same_bits

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and uses fork")


# --- 13: fork after a parallel region ------------------------------------------------------------


@linux
def test_200_forks_after_a_parallel_region() -> None:
    out = run_python(
        """
        import os
        import numpy as np
        import tapegrad as tg

        a = np.random.default_rng(0).random((200, 200))
        (a @ a).sum()                      # NumPy's own threads are up
        x = tg.rand(300_000)
        y = x.exp().sum()                  # and so is our team
        good = 0
        for _ in range(200):
            pid = os.fork()
            if pid == 0:
                same = x.exp().sum().item() == y.item()
                product = (tg.rand(64, 64) @ tg.rand(64, 64)).sum().item()
                os._exit(0 if same and product > 0 else 1)
            good += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert x.exp().sum().item() == y.item()   # the parent goes on
        print(good)
        """,
        timeout=120,
    )
    assert int(out) == 200


@linux
def test_backward_in_a_forked_child_and_a_fork_from_a_thread() -> None:
    out = run_python(
        """
        import os, threading
        import tapegrad as tg

        w = tg.rand(400, 400, requires_grad=True)
        def step():
            w.grad = None
            tg.tanh(w @ w).sum().backward()
            return w.grad.sum().item()
        expected = step()
        codes = []
        def fork():
            pid = os.fork()
            if pid == 0:
                os._exit(0 if step() == expected else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        fork()
        t = threading.Thread(target=fork)
        t.start()
        t.join()
        print(codes)
        """,
        timeout=120,
    )
    assert out.strip() == "[0, 0]"


@linux
def test_forks_while_other_threads_are_inside_the_library() -> None:
    """They hold locks at times, and in the child nobody would give these back."""
    out = run_python(
        """
        import os, threading, time
        import tapegrad as tg

        w = tg.rand(64, requires_grad=True)
        going = True
        def work():
            v = tg.rand(64, requires_grad=True)
            while going:
                y = v
                for _ in range(200):
                    y = y * 1.01 + w
                y.sum().backward()
        threads = [threading.Thread(target=work) for _ in range(2)]
        for t in threads:
            t.start()
        hung = 0
        for _ in range(250):
            pid = os.fork()
            if pid == 0:
                x = tg.rand(64, requires_grad=True)
                for _ in range(30):
                    (x * 2 + w).sum().backward()
                os._exit(0)
            end = time.monotonic() + 10
            while os.waitpid(pid, os.WNOHANG)[0] == 0:
                time.sleep(0.0005)
                if time.monotonic() > end:
                    hung += 1
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
                    break
        going = False
        for t in threads:
            t.join()
        print(hung)
        """,
        timeout=200,
    )
    assert int(out) == 0


# --- 14: teams of changing size ------------------------------------------------------------------

STATUS = """
def status(key):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key))
"""


@linux
@pytest.mark.footprint
def test_alternating_sizes_keep_threads_and_memory_flat() -> None:
    out = run_python(
        STATUS
        + """
import tapegrad as tg
tensors = [tg.ones(n) for n in (3, 100_000, 40, 33_000, 1)]
for _ in range(200):
    for t in tensors:
        t + 1.0
threads, memory = status("Threads"), status("VmRSS")
for _ in range(20_000):
    for t in tensors:
        t + 1.0
print(status("Threads") - threads, status("VmRSS") - memory)
""",
        timeout=200,
    )
    threads, memory = map(int, out.split())
    assert threads == 0
    assert memory < 10_000


@linux
def test_changing_the_number_of_threads_keeps_threads_flat() -> None:
    out = run_python(
        STATUS
        + """
import tapegrad as tg
x = tg.ones(400_000)
def sweep():
    for n in (1, 2, 1, 2):
        tg.set_num_threads(n)
        x.exp().sum()
for _ in range(10):
    sweep()
before = status("Threads")
for _ in range(100):
    sweep()
print(status("Threads") - before)
"""
    )
    assert int(out) == 0


@linux
def test_short_lived_user_threads_leave_nothing_behind() -> None:
    out = run_python(
        STATUS
        + """
import threading
import tapegrad as tg
w = tg.rand(300, 300, requires_grad=True)
def step():
    (w * 2).exp().sum().backward()
def run(n):
    for _ in range(n):
        t = threading.Thread(target=step)
        t.start()
        t.join()
run(30)
threads, memory = status("Threads"), status("VmRSS")
run(500)
print(status("Threads") - threads, status("VmRSS") - memory)
"""
    )
    threads, memory = map(int, out.split())
    assert threads <= 2  # a team that the last thread's end had not yet given back
    assert memory < 20_000


# --- 16: any number of threads gives the right values (their speed is measured elsewhere) --------


@pytest.mark.parametrize("n", [1, 7, 1000, 4097, 32_769, 65_536, 131_075, 1_000_003])
def test_any_number_of_threads_gives_the_same_bits(n: int) -> None:
    rng = np.random.default_rng(n)
    x = tg.from_numpy(rng.standard_normal(n).astype(np.float32))
    expected: list[Any] | None = None
    for threads in (1, 2, 3, 5):
        tg.set_num_threads(threads)
        got = [x * x, x.tanh(), x.sum(), x.mean(), x.amax(), x.cumsum(0), x.softmax(0), x.norm()]
        if expected is None:
            expected = got
            np.testing.assert_allclose(got[2].item(), x.double().sum().item(), rtol=1e-4, atol=1e-2)
        assert [same_bits(a, b) for a, b in zip(got, expected, strict=True)] == [True] * len(got)


def test_thread_settings_are_checked() -> None:
    before = tg.get_num_threads()
    assert before >= 1
    for bad in (0, -1):
        with pytest.raises((RuntimeError, ValueError)):
            tg.set_num_threads(bad)
    with pytest.raises(TypeError):
        tg.set_num_threads("two")
    assert tg.get_num_threads() == before


def test_threads_of_the_caller_run_at_the_same_time_and_are_right() -> None:
    from support import run_in_threads

    def work() -> bool:
        x = tg.rand(200_000, dtype=tg.float64)
        return all(same_bits((x * 3).exp().sum(), (x * 3).exp().sum()) for _ in range(20))

    assert run_in_threads(*[work] * 4) == [True] * 4


# --- 26: symbols and import order ----------------------------------------------------------------


def libraries() -> list[Path]:
    here = Path(sys.modules["tapegrad._C"].__file__ or "").resolve().parent
    roots = {here, Path(tg.__file__).resolve().parent}
    found = {p.resolve() for root in roots for p in root.rglob("libtapegrad*.so*")}
    linked = subprocess.run(
        ["ldd", sys.modules["tapegrad._C"].__file__ or ""],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found |= {Path(p).resolve() for p in re.findall(r"=> (\S*libtapegrad\S*)", linked)}
    return sorted(found)


def exported(path: Path) -> list[str]:
    out = subprocess.run(
        ["nm", "-DC", "--defined-only", str(path)], capture_output=True, text=True, check=True
    ).stdout
    return [line.split(maxsplit=2)[2] for line in out.splitlines() if len(line.split()) >= 3]


@linux
@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm of binutils")
def test_libraries_export_our_namespace_only() -> None:
    found = libraries()
    assert found, "libtapegrad.so was not found"
    for path in found:
        symbols = exported(path)
        foreign = [
            s for s in symbols if "tapegrad" not in s and not s.startswith(("_init", "_fini"))
        ]
        assert len(symbols) > 10
        assert not foreign, (path.name, foreign[:20])
    extension = Path(sys.modules["tapegrad._C"].__file__ or "")
    assert [s for s in exported(extension) if "tapegrad" not in s] == ["PyInit__C"]


MODULES = ["numpy", "scipy.linalg", "torch", "sklearn"]


@pytest.mark.parametrize("other", MODULES)
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_import_order_does_not_matter(other: str, first: str) -> None:
    pytest.importorskip(other.split(".", maxsplit=1)[0])
    lines = ["import tapegrad as tg", f"import {other}"]
    if first == "theirs":
        lines.reverse()
    use = {
        "numpy": "import numpy as np; a = np.ones((300, 300)); assert (a @ a).sum() == 300.0**3",
        "scipy.linalg": "import numpy as np; scipy.linalg.svd(np.eye(100))",
        "torch": "a = torch.ones(300, 300); assert (a @ a).sum().item() == 300.0**3",
        "sklearn": "import sklearn.linear_model",
    }[other]
    run_python(
        "\n".join(lines)
        + f"""
x = tg.ones(300, 300, requires_grad=True)
(x @ x).sum().backward()
{use}
assert x.grad[0, 0].item() == 600.0
assert (x @ x).exp().isinf().all()
"""
    )


def test_import_leaves_the_process_as_it_was() -> None:
    """Global symbols, signal handlers, floating-point mode, warnings, random state."""
    run_python(
        """
        import random, signal, sys, warnings
        flags, handler = sys.getdlopenflags(), signal.getsignal(signal.SIGINT)
        state, filters = random.getstate(), list(warnings.filters)
        import tapegrad as tg
        assert sys.getdlopenflags() == flags
        assert signal.getsignal(signal.SIGINT) is handler
        assert random.getstate() == state
        assert warnings.filters == filters
        assert sys.float_info.min / 2 != 0
        tg.randn(100_000).exp().sum()
        assert sys.float_info.min / 2 != 0
        """
    )


def test_numpy_is_imported_on_first_use() -> None:
    out = run_python(
        """
        import sys
        import tapegrad as tg
        x = tg.ones(2, 2)
        (x @ x + 1).sum().item()
        early = "numpy" in sys.modules
        x.numpy()
        print(early, "numpy" in sys.modules)
        """
    )
    assert out.split() == ["False", "True"]


def test_interpreter_exit_with_live_graphs_and_threads() -> None:
    for _ in range(3):
        run_python(
            """
            import threading
            import tapegrad as tg
            x = tg.ones(100, requires_grad=True)
            kept = x.exp()
            kept.register_hook(lambda g: print(g))
            def forever():
                while True:
                    (x * 2).exp().sum().backward()
            threading.Thread(target=forever, daemon=True).start()
            import time
            time.sleep(0.05)
            """
        )
