"""What the test-suite covers, operation by operation, read from its op table.

``python -m tapegrad.testing.coverage`` prints a line for every operation: the dtypes it is tested
with, the highest order of derivative that is compared with finite differences, the inputs, and
whether it is compared with PyTorch. ``--markdown`` prints it as ``docs/operations.md`` has it.

The table is a part of the source tree (``tests/op_table.py``), not of the installed package; run
this from the tree's root, or name its tests by ``--tests``.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["main", "report"]

_SHORT = {
    "bool": "b", "uint8": "u8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64",
}  # fmt: skip
_COLUMNS = ("operation", "dtypes", "derivatives", "samples", "beside PyTorch")


def _row(name: str, op: Any) -> tuple[str, ...]:
    order = 0 if not op.grad or "float64" not in op.dtypes else 2 if op.second else 1
    dtypes = "all" if len(op.dtypes) == len(_SHORT) else " ".join(_SHORT[d] for d in op.dtypes)
    return name, dtypes, str(order), str(len(op.make_samples())), "yes" if op.oracle else "no"


def report(tests: Path) -> tuple[list[tuple[str, ...]], dict[str, str]]:
    """The lines of the report, and the operations that a file of their own tests.

    Raises
    ------
    FileNotFoundError
        ``tests`` does not hold the op table
    """
    if not (tests / "op_table.py").is_file():
        raise FileNotFoundError(
            f"no op_table.py in {tests.resolve()}; run this in the source tree, or give --tests"
        )
    sys.path.insert(0, str(tests))
    try:
        table = import_module("op_table")
    finally:
        sys.path.remove(str(tests))
    return [_row(name, op) for name, op in sorted(table.OPS.items())], dict(table.TESTED_ELSEWHERE)


def _as_text(rows: list[tuple[str, ...]]) -> str:
    lines = [_COLUMNS, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _as_markdown(rows: list[tuple[str, ...]]) -> str:
    lines = [_COLUMNS, tuple("---" for _ in _COLUMNS), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the report; the exit status is 2 where there is no table."""
    parser = argparse.ArgumentParser(
        prog="python -m tapegrad.testing.coverage", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--tests", type=Path, default=Path("tests"), help="the folder of tests")
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table")
    options = parser.parse_args(arguments)
    try:
        rows, elsewhere = report(options.tests)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    differentiable = [row for row in rows if row[2] != "0"]
    twice = [row for row in rows if row[2] == "2"]
    print((_as_markdown if options.markdown else _as_text)(rows))
    print(
        f"\n{len(rows)} operations in the table, {len(differentiable)} of them differentiable, "
        f"{len(twice)} of them tested to the second order, these in forward mode as well."
    )
    print("Tested by files of their own: " + ", ".join(sorted(elsewhere)) + ".")
    return 0


if __name__ == "__main__":
    sys.exit(main())
