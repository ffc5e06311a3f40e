"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pathlib
import pkgutil
from typing import TYPE_CHECKING

import pytest

import tapegrad as tg

if TYPE_CHECKING:
    import types

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def run(name: str, text: str) -> int:
    """Runs the examples of one docstring; returns how many there were."""
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
    return len(test.examples)


def op_docs() -> dict[str, str]:
    docs: dict[str, str] = {}
    for signature, doc, _variants in tg._C._op_table():
        name = signature.split("(")[0]
        docs[name] = max(docs.get(name, ""), doc, key=len)
    return docs


DOCS = op_docs()


@pytest.mark.parametrize("name", sorted(DOCS))
def test_operation_is_documented_and_its_example_runs(name: str) -> None:
    assert DOCS[name].strip(), f"{name} has no documentation"
    examples = run(name, DOCS[name])
    if not name.endswith("_"):
        assert examples > 0, f"{name} has no example"


def modules() -> list[str]:
    left_out = ("examples", "__main__", "._C")
    found = [info.name for info in pkgutil.walk_packages(tg.__path__, "tapegrad.")]
    return ["tapegrad", *(name for name in found if not any(part in name for part in left_out))]


@pytest.mark.parametrize("name", modules())
def test_module_examples_run(name: str) -> None:
    module: types.ModuleType = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        if test.name.removeprefix("tapegrad.").removeprefix("Tensor.") in DOCS:  # run above
            continue
        report: list[str] = []
        runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
        runner.run(test, out=report.append)
        assert runner.failures == 0, "".join(report)


PAGES = ("convolutions", "data", "layers", "recurrent", "transforms")


@pytest.mark.parametrize(
    "page",
    ["README.md", *(f"docs/{n}.md" for n in PAGES)],
)
def test_python_blocks_of_pages_run(page: str) -> None:
    text = (pathlib.Path(__file__).parent.parent / page).read_text(encoding="utf-8")
    blocks = text.split("```python\n")[1:]
    assert blocks
    names = {"__name__": "page"}
    for number, block in enumerate(blocks):
        code = block.split("```")[0]
        exec(compile(code, f"{page}, block {number}", "exec"), names)


def test_the_table_of_operations_is_that_of_the_tests(capsys: pytest.CaptureFixture[str]) -> None:
    from tapegrad.testing import coverage

    tests = pathlib.Path(__file__).parent
    assert coverage.main(["--tests", str(tests), "--markdown"]) == 0
    page = (tests.parent / "docs" / "operations.md").read_text()
    assert page.endswith(capsys.readouterr().out)
    assert coverage.main(["--tests", str(tests / "cpp")]) == 2
    assert "op_table.py" in capsys.readouterr().err
