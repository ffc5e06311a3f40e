"""Write the type stubs of the extension module from its op table; with --check, compare.

The classes and the functions written by hand come from tools/stubs.pyi.in, the operations from the
signatures of ``tapegrad._C._op_table()``. Either way the stubs must name exactly what the module
has. Needs a built ``tapegrad`` on the path.
"""

from __future__ import annotations

import argparse
import ast
import keyword
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapegrad import _C

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "python" / "tapegrad" / "_C"
FUNCTION, METHOD, INPLACE, NN, SPECIAL, LINALG = 1, 2, 4, 8, 16, 32
# The submodules of operations, and what the names in the table begin with there.
SUBMODULES = {"_nn": (NN, ""), "_special": (SPECIAL, "special_"), "_linalg": (LINALG, "linalg_")}

TYPES = {
    "Tensor": "Tensor",
    "Tensor[]": "Sequence[Tensor]",
    "Tensor[*]": "Sequence[Tensor]",
    "int": "_int",
    "float": "_Number",
    "bool": "_bool",
    "Scalar": "_Number",
    "int[]": "_Size",
    "dtype": "_DType",
    "str": "_str",
    "Generator": "_Generator",
    "device": "_Device",
    "layout": "_Layout",
    "memory_format": "_MemoryFormat",
}
RESULTS = {
    "Tensor": "Tensor",
    "Tensor[]": "tuple[Tensor, ...]",
    "Tensor | Tensor[]": "Any",
    "bool": "_bool",
    "int": "_int",
    "float": "_float",
    "Scalar": "_Number",
    "dtype": "_DTypeType",
    "()": "None",
}


@dataclass
class Parameter:
    """One parameter of a stub."""

    name: str
    type: str
    default: str | None
    keyword_only: bool
    is_separable: bool

    def text(self) -> str:
        """As it stands in a parameter list."""
        default = "" if self.default is None else f" = {self.default}"
        return f"{self.name}: {self.type}{default}"


@dataclass
class Signature:
    """One entry of the op table, in Python's types."""

    name: str
    parameters: list[Parameter]
    result: str
    fields: list[str]


def split(text: str) -> list[str]:
    """Cut at commas outside brackets and quotes."""
    return [part.strip() for part in re.split(r",(?![^\[\(]*[\]\)])", text) if part.strip()]


def parse_type(text: str) -> tuple[str, bool]:
    """The Python type of a signature's type, and whether its items may be given separately."""
    optional = text.endswith("?")
    base = re.sub(r"\(a!?\)", "", text.rstrip("?"))
    result = "_int | _Size" if re.fullmatch(r"int\[\d\]", base) else TYPES[base]
    return result + (" | None" if optional else ""), base in ("int[]", "Tensor[*]")


def parse_parameter(text: str, keyword_only: bool) -> Parameter:
    declaration, _, default = text.partition("=")
    kind, _, name = declaration.strip().rpartition(" ")
    if keyword.iskeyword(name):
        name += "_"  # only positional in practice
    python_type, is_separable = parse_type(kind)
    value = default.strip() or None
    if value is not None and value.lstrip("-") == "inf":
        value = "..."
    return Parameter(name, python_type, value, keyword_only, is_separable)


def parse(signature: str) -> Signature:
    name, rest = signature.split("(", 1)
    inner, _, result = rest.rpartition("->")
    inner = inner.strip().removesuffix(")")
    keyword_only = False
    parameters = []
    for part in split(inner):
        if part == "*":
            keyword_only = True
        else:
            parameters.append(parse_parameter(part, keyword_only))
    result = re.sub(r"\(a!?\)", "", result).strip()
    fields: list[str] = []
    if result.startswith("(") and result != "()":
        fields = [part.split()[1] for part in split(result[1:-1])]
        python_result = f"return_types.{name}"
    else:
        python_result = RESULTS[result]
    return Signature(name, parameters, python_result, fields)


def lists(parameters: list[Parameter], is_method: bool) -> list[str]:
    """The parameter list; a second one where sizes may be given as separate integers."""
    own = parameters[1:] if is_method else parameters
    first = ["self"] if is_method else []
    positional = [p for p in own if not p.keyword_only]
    keywords = [p for p in own if p.keyword_only]
    star = ["*"] if keywords else []
    named = [p.text() for p in keywords]
    result = [", ".join(first + [p.text() for p in positional] + star + named)]
    if len(positional) == 1 and positional[0].is_separable:
        item = "Tensor" if positional[0].type == "Sequence[Tensor]" else "_int"
        result.append(", ".join([*first, f"*{positional[0].name}: {item}", *named]))
    return result


def definitions(name: str, signatures: list[Signature], is_method: bool, inplace: bool) -> str:
    indent = "    " if is_method else ""
    texts: list[str] = []
    for signature in signatures:
        parameters = [p for p in signature.parameters if not (inplace and p.name == "out")]
        result = signature.result
        if is_method and result == "Tensor" and name.endswith("_"):
            result = "Self"
        for text in lists(parameters, is_method):
            line = f"def {name}({text}) -> {result}: ..."
            if line not in texts:
                texts.append(line)
    marker = f"{indent}@overload\n" if len(texts) > 1 else ""
    return "\n".join(f"{marker}{indent}{text}" for text in texts)


def operation_space(variant: int, prefix: str = "") -> dict[str, str]:
    """Definitions by name, of the functions or methods of one variant."""
    found: dict[str, list[Signature]] = {}
    derived: dict[str, list[Signature]] = {}
    for text, _, variants in _C._op_table():
        signature = parse(text)
        if variants & variant:
            signature.name = signature.name.removeprefix(prefix)
            found.setdefault(signature.name, []).append(signature)
        reach = FUNCTION | METHOD if variant in (FUNCTION, METHOD) else variant
        if variants & INPLACE and variants & reach:
            derived.setdefault(signature.name + "_", []).append(signature)
    is_method = variant == METHOD
    result = {name: definitions(name, list_, is_method, False) for name, list_ in found.items()}
    for name, list_ in derived.items():
        result.setdefault(name, definitions(name, list_, is_method, True))
    return result


def add_aliases(space: dict[str, str], home: Any, is_method: bool, skip: set[str]) -> str:
    lines = [text for name, text in sorted(space.items()) if name not in skip]
    indent = "    " if is_method else ""
    for name in sorted(vars(home)):
        value = vars(home)[name]
        if name in space or name in skip or not type(value).__name__.startswith("Operation"):
            continue
        lines.append(f"{indent}{name} = {value.__name__}")
    return "\n".join(lines)


def operators() -> str:
    lines = []
    for name in [
        "add",
        "sub",
        "mul",
        "truediv",
        "floordiv",
        "mod",
        "matmul",
        "pow",
        "and",
        "or",
        "xor",
        "lshift",
        "rshift",
    ]:
        operand = "Tensor | npt.NDArray[Any]" if name == "matmul" else "_Operand"
        lines.append(f"def __{name}__(self, other: {operand}, /) -> Tensor: ...")
        lines.append(f"def __r{name}__(self, other: {operand}, /) -> Tensor: ...")
        if name != "matmul":
            lines.append(f"def __i{name}__(self, other: {operand}, /) -> Self: ...")
    # Any: a union that holds Tensor would overlap with its own reflection.
    lines += [
        f"def __{name}__(self, other: Any, /) -> Tensor: ..." for name in ["lt", "le", "gt", "ge"]
    ]
    return "\n".join("    " + line for line in lines)


def new_sized() -> str:
    options = (
        "dtype: _DType | None = None, device: _Device | None = None, requires_grad: _bool = False, "
        "layout: _Layout | None = None, pin_memory: _bool = False"
    )
    lines = []
    for name in ("new_zeros", "new_ones", "new_empty"):
        lines.append(
            f"    @overload\n    def {name}(self, size: _Size, *, {options}) -> Tensor: ..."
        )
        lines.append(f"    @overload\n    def {name}(self, *size: _int, {options}) -> Tensor: ...")
    return "\n".join(lines)


def names_of(tree: ast.Module | ast.ClassDef) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and node.module == "tapegrad._C":
            names |= {alias.name for alias in node.names}
    return names


def modules() -> dict[str, str]:
    template = (ROOT / "tools" / "stubs.pyi.in").read_text()
    handmade = ast.parse(re.sub(r"^@\w+@$", "", template, flags=re.MULTILINE))
    handmade_names = names_of(handmade)
    (tensor_class,) = [
        n for n in handmade.body if isinstance(n, ast.ClassDef) and n.name == "Tensor"
    ]
    methods = operation_space(METHOD)
    dtypes = [name for name, value in vars(_C).items() if isinstance(value, _C.dtype)]
    parts = {
        "DTYPES": "\n".join(f"{name}: dtype" for name in sorted(dtypes)),
        "OPERATORS": operators(),
        "NEW_SIZED": new_sized(),
        "METHODS": add_aliases(
            methods,
            _C.Tensor,
            True,
            names_of(tensor_class) | {"new_zeros", "new_ones", "new_empty"},
        ),
        "FUNCTIONS": add_aliases(operation_space(FUNCTION), _C, False, handmade_names),
    }
    for key, text in parts.items():
        template = template.replace(f"@{key}@", text)
    prelude = (
        "# Made by tools/generate_stubs.py from the op table; do not edit.\n"
        "from builtins import bool as _bool, float as _float, int as _int, str as _str\n"
        "from collections.abc import Sequence\n"
        "from typing import Any, overload\n\n"
        "from tapegrad._C import Tensor, return_types\n"
        "from tapegrad._C import _Device, _DType, _DTypeType, _Generator, _Layout, _MemoryFormat, "
        "_Number, _Size\n\n"
    )
    fields: dict[str, list[str]] = {}
    for text, _, _ in _C._op_table():
        signature = parse(text)
        if signature.fields:
            fields[signature.name] = signature.fields
    tuples = "# Made by tools/generate_stubs.py from the op table; do not edit.\n"
    tuples += "from typing import NamedTuple\n\nfrom tapegrad._C import Tensor\n"
    for name, names in sorted(fields.items()):
        tuples += f"\nclass {name}(NamedTuple):\n" + "".join(f"    {n}: Tensor\n" for n in names)
    return {
        "__init__.pyi": template,
        **{
            f"{name}.pyi": prelude
            + add_aliases(operation_space(variant, start), getattr(_C, name), False, set())
            + "\n"
            for name, (variant, start) in SUBMODULES.items()
        },
        "return_types.pyi": tuples,
        "_optim.pyi": OPTIM,
        "_io.pyi": IO,
    }


OPTIM = """# Made by tools/generate_stubs.py; do not edit.
from collections.abc import Sequence

from tapegrad._C import Tensor

def update_(
    rule: str,
    name: str,
    params: Sequence[Tensor],
    grads: Sequence[Tensor | None] | None,
    states: Sequence[Sequence[Tensor]],
    scalars: Sequence[Sequence[Tensor]],
    options: Sequence[float | Tensor],
    factor: float = 1,
    weight_decay: float = 0,
    shrink: float = 1,
    first: Sequence[bool] | None = None,
    check_only: bool = False,
) -> None: ...
def rules() -> dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]]: ...
"""


IO = """# Made by tools/generate_stubs.py; do not edit.
import os

from tapegrad._C import Tensor

def save_safetensors(
    tensors: dict[str, Tensor],
    path: str | bytes | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None: ...
def load_safetensors(
    path: str | bytes | os.PathLike[str],
) -> tuple[dict[str, Tensor], dict[str, str]]: ...
"""


def formatted(text: str) -> str:
    """The text as ruff sorts and formats it, so that generated files pass the same checks."""
    name = ["--stdin-filename", str(TARGET / "stub.pyi"), "-"]
    for command in (["check", "--quiet", "--fix", "--select", "I"], ["format"]):
        done = subprocess.run(
            ["ruff", *command, *name], input=text, capture_output=True, text=True, check=True
        )
        text = done.stdout
    return text


def missing_names(stubs: dict[str, str]) -> list[str]:
    """What the module has and the stubs lack, or the other way round."""
    tree = ast.parse(stubs["__init__.pyi"])
    ours = {name for name in names_of(tree) if not name.startswith("_T")}
    theirs = {n for n in vars(_C) if not (n.startswith("__") and n != "__version__")}
    private = {n for n in ours if n.startswith("_")} - theirs
    problems = [f"_C.{n}" for n in sorted((ours ^ theirs) - private)]
    (tensor,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor"]
    inherited = set(vars(object))
    mine, real = names_of(tensor) - inherited, set(vars(_C.Tensor)) - inherited
    machinery = {"__buffer__", "__release_buffer__", "__dict__", "__weakref__", "__dictoffset__",
                 "__weaklistoffset__", "__module__"}  # fmt: skip
    problems += [f"Tensor.{n}" for n in sorted((mine ^ real) - machinery)]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed stubs")
    options = parser.parse_args()
    stubs = {name: formatted(text) for name, text in modules().items()}
    status = 0
    problems = missing_names(stubs)
    if problems:
        print("the stubs and the module differ in:", ", ".join(problems))
        status = 1
    TARGET.mkdir(exist_ok=True)
    for name, text in stubs.items():
        path = TARGET / name
        if options.check:
            if not path.exists() or path.read_text() != text:
                print(f"{path.relative_to(ROOT)} is out of date; run tools/generate_stubs.py")
                status = 1
        else:
            path.write_text(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
