"""The installed package: one version, complete, self-contained, and movable."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tapegrad
from tapegrad.__main__ import main, package_dir

PACKAGE = package_dir()
LIB = PACKAGE / "lib"
SOURCE_HEADERS = Path(__file__).parent.parent / "csrc" / "include" / "tapegrad"
MEBIBYTE = 1 << 20

installed = pytest.mark.skipif(
    not (LIB / "cmake").is_dir(), reason="a build in the source tree installs no files"
)


def run_python(code: str, **environment: str) -> str:
    """Run code in a fresh interpreter, outside of the source tree, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def the_library() -> Path:
    (library,) = (path for path in LIB.glob("libtapegrad.so.*") if not path.is_symlink())
    return library


def dynamic_section(path: Path) -> str:
    if shutil.which("readelf") is None:
        pytest.skip("needs readelf, which comes with a compiler")
    return subprocess.run(
        ["readelf", "--dynamic", "--wide", path], check=True, capture_output=True, text=True
    ).stdout


@installed
def test_versions_agree_in_cpp_cmake_metadata_and_python() -> None:
    header = (PACKAGE / "include" / "tapegrad" / "version.h").read_text()
    cmake = (LIB / "cmake" / "tapegrad" / "tapegradConfigVersion.cmake").read_text()
    version = tapegrad.__version__
    assert re.findall(r'TAPEGRAD_VERSION "(.*)"', header) == [version]
    assert re.findall(r'^set\(PACKAGE_VERSION "(.*)"\)', cmake, re.MULTILINE) == [version]
    assert importlib.metadata.version("tapegrad") == version
    major, minor, patch = (
        re.findall(rf"TAPEGRAD_VERSION_{part} (\d+)", header)[0]
        for part in ("MAJOR", "MINOR", "PATCH")
    )
    assert f"{major}.{minor}.{patch}" == version


def test_library_file_carries_the_minor_version() -> None:
    major, minor, _ = tapegrad.__version__.split(".")
    assert the_library().name == f"libtapegrad.so.{major}.{minor}"
    assert f"Library soname: [libtapegrad.so.{major}.{minor}]" in dynamic_section(the_library())


@installed
def test_public_headers_and_cmake_files_are_installed() -> None:
    headers = {path.name for path in (PACKAGE / "include" / "tapegrad").iterdir()}
    assert headers == {path.name for path in SOURCE_HEADERS.iterdir()}
    files = {path.name for path in (LIB / "cmake" / "tapegrad").iterdir()}
    assert {"tapegradConfig.cmake", "tapegradConfigVersion.cmake", "tapegradTargets.cmake"} <= files


def test_types_are_packaged() -> None:
    python = Path(tapegrad.__file__).parent
    assert (python / "py.typed").is_file()
    assert any((python / stub).is_file() for stub in ("_C.pyi", "_C/__init__.pyi"))


@installed
def test_package_holds_nothing_of_the_build() -> None:
    files = [path for path in PACKAGE.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in {".cpp", ".o", ".a", ".ninja"}]
    assert sum(path.stat().st_size for path in files) < 80 * MEBIBYTE


def test_only_numpy_is_needed_at_run_time() -> None:
    requirements = importlib.metadata.requires("tapegrad") or []
    always = [text for text in requirements if "extra ==" not in text]
    assert [re.split(r"\W", text)[0] for text in always] == ["numpy"]


def test_cmake_finds_the_package_by_its_entry_point() -> None:
    (entry,) = importlib.metadata.entry_points(group="cmake.root", name="tapegrad")
    assert entry.value == "tapegrad"


@installed
@pytest.mark.parametrize("name", ["libdnnl.so", "libgomp.so"])
def test_one_copy_of_each_bundled_library(name: str) -> None:
    expected = 0 if name == "libdnnl.so" and not tapegrad.build_info()["onednn"] else 1
    assert len(list(LIB.glob(name + "*"))) == expected


def test_run_paths_are_relative() -> None:
    (module,) = PACKAGE.glob("_C.*.so")
    assert "[$ORIGIN/lib]" in dynamic_section(module)
    if (LIB / "cmake").is_dir():
        assert "[$ORIGIN]" in dynamic_section(the_library())


def test_the_library_exports_its_own_namespace_alone() -> None:
    if shutil.which("nm") is None:
        pytest.skip("needs nm, which comes with a compiler")
    listing = subprocess.run(
        ["nm", "--dynamic", "--defined-only", "--portability", the_library()],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = [line.split()[0] for line in listing.splitlines()]
    ours = re.compile(r"_Z(T[ISVTHW]|GV|Thn\d+_|Tv0_n\d+_)?NK?8tapegrad")
    assert len(names) > 50
    assert [name for name in names if not ours.match(name)] == []


def test_importing_does_not_import_numpy() -> None:
    assert run_python("import sys, tapegrad; print('numpy' in sys.modules)") == "False"


# What a process has mapped after a matrix product and a parallel loop.
MAPPED = """
import {modules}
x = tapegrad.ones(512, 512)
assert (x @ x).exp().sum().item() > 0
with open("/proc/self/maps") as maps:
    names = {{line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line}}
print("\\n".join(sorted(names)))
"""


@installed
def test_one_openmp_runtime_is_loaded_and_it_is_ours() -> None:
    loaded = run_python(MAPPED.format(modules="tapegrad")).splitlines()
    assert [path for path in loaded if "libgomp" in path] == [str(LIB / "libgomp.so.1")]


@pytest.mark.parametrize(
    "modules", ["tapegrad, numpy, scipy.linalg", "scipy.linalg, numpy, tapegrad"]
)
def test_import_order_does_not_matter(modules: str) -> None:
    assert "libtapegrad.so" in run_python(MAPPED.format(modules=modules))


@installed
def test_works_from_any_folder(tmp_path: Path) -> None:
    """What `pip install --target` lays out, with the package found by PYTHONPATH alone."""
    if Path(tapegrad.__file__).parent != PACKAGE:
        pytest.skip("an editable installation is bound to its folders")
    shutil.copytree(PACKAGE, tmp_path / "a folder" / "tapegrad")
    code = MAPPED.format(modules="tapegrad") + "print(tapegrad.ones(2).tolist())"
    *loaded, values = run_python(code, PYTHONPATH=str(tmp_path / "a folder")).splitlines()
    ours = [path for path in loaded if re.search(r"libtapegrad|libdnnl|libgomp|_C\.", path)]
    assert values == "[1.0, 1.0]"
    assert len(ours) >= 2
    assert all(Path(path).is_relative_to(tmp_path / "a folder") for path in ours)


@installed
def test_command_line_tells_where_things_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cmakedir"]) == 0
    assert (Path(capsys.readouterr().out.strip()) / "tapegradConfig.cmake").is_file()
    assert main(["--includes"]) == 0
    assert (Path(capsys.readouterr().out.strip()[2:]) / "tapegrad" / "version.h").is_file()


def test_command_line_tells_version_and_build(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{tapegrad.__version__}\n"
    assert main(["--info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"tapegrad: {tapegrad.__version__}" in lines
    assert [line for line in lines if line.startswith("isa: ")]


def test_command_line_without_a_question_explains_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    assert "--cmakedir" in capsys.readouterr().out
