"""autograd.graph.tape: the recorded operations as text."""

from __future__ import annotations

import doctest
import pathlib
import textwrap

import pytest

import tapegrad as tg
from support import run_python
from tapegrad.autograd import graph


def text(expected):
    return textwrap.dedent(expected).strip()


def test_a_small_tape_in_full():
    w = tg.ones(3, 2, requires_grad=True)
    b = tg.ones(2, dtype=tg.float64, requires_grad=True)
    x = tg.ones(4, 3)
    y = ((x @ w).relu() * b).logsumexp(0)
    assert repr(graph.tape(y)) == text("""
        no  operation  inputs  output          saved
         1  leaf               float32 (3, 2)
         2  leaf               float64 (2,)
         3  matmul     -, 1    float32 (4, 2)   48 B
         4  relu       3       float32 (4, 2)   32 B
         5  mul        4, 2    float64 (4, 2)   48 B
         6  logsumexp  5       float64 (2,)     80 B
        6 entries, 176 B saved, 16 B of it in leaves
    """)


def test_it_is_a_str_that_shows_itself():
    tape = graph.tape(tg.ones(2, requires_grad=True) * 2)
    assert isinstance(tape, str)
    assert repr(tape) == str(tape)


def test_memory_that_is_kept_twice_is_counted_once():
    x = tg.ones(1000, requires_grad=True)
    y = x.exp()
    z = y * y
    lines = graph.tape(z).splitlines()
    assert lines[2].split()[-2:] == ["3.9", "KiB"]  # exp keeps its result
    assert lines[3].split()[-2:] == ["7.8", "KiB"]  # mul keeps it as both inputs
    assert lines[-1] == "3 entries, 3.9 KiB saved, none of it in leaves"


def test_several_roots_shared_parts_and_several_outputs():
    x = tg.randn(3, 4, requires_grad=True)
    values, places = x.max(1)
    tape = graph.tape([values.sum(), x.sin(), places])
    operations = [line.split()[1] for line in tape.splitlines()[1:-1]]
    assert operations == ["leaf", "extremum_with_index", "sum", "sin"]


def test_freed_and_packed():
    x = tg.ones(2, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = x.exp()
    z = (y * 2).sum()
    rows = graph.tape(z).splitlines()
    assert rows[2].endswith("packed")
    z.backward()
    assert all(row.endswith("freed") for row in graph.tape(z).splitlines()[2:-1])


def test_a_tape_of_second_order():
    x = tg.tensor(2.0, requires_grad=True)
    (g,) = tg.autograd.grad(x**3, x, create_graph=True)
    operations = [line.split()[1] for line in graph.tape(g).splitlines()[1:-1]]
    assert operations[0] == "leaf"
    assert len(operations) > 2


def test_lines_in_anomaly_mode():
    x = tg.ones(2, requires_grad=True)
    with tg.autograd.set_detect_anomaly(True):
        y = x.exp()
    tape = graph.tape(y).splitlines()
    assert tape[0].split()[-1] == "line"
    line = test_lines_in_anomaly_mode.__code__.co_firstlineno + 3
    assert tape[2].endswith(f"test_tape.py:{line}")


def test_nothing_on_the_tape():
    assert "nothing is on the tape" in graph.tape(tg.ones(2))
    with pytest.raises(TypeError, match="tape"):
        graph.tape([3])
    with pytest.raises(TypeError, match="sequence of tensors, got int"):
        graph.tape(3)


def test_the_page_about_memory_shows_what_it_says():
    page = pathlib.Path(__file__).parents[1] / "docs" / "memory.md"
    failed, tried = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert failed == 0
    assert tried > 0


def test_a_long_tape_without_recursion():
    out = run_python(
        """
        import tapegrad as tg
        x = tg.ones(1, requires_grad=True)
        y = x
        for _ in range(100_000):
            y = y.sin()
        print(tg.autograd.graph.tape(y).splitlines()[-1])
        """,
        stack_kb=512,
    )
    assert out.strip() == "100001 entries, 391 KiB saved, 4 B of it in leaves"
