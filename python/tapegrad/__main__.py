"""Tell where the C++ side of the installed package lies, and how it was built.

``python -m tapegrad --cmakedir`` is for ``cmake -Dtapegrad_DIR=...``, ``--includes`` gives the
compiler's include flag, and ``--info`` prints what a bug report needs.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path


def package_dir() -> Path:
    """Return the directory that holds the extension module, ``lib`` and ``include``.

    An editable installation keeps it apart from the Python sources, so it is found through the
    extension module.

    Examples
    --------
    >>> from tapegrad.__main__ import package_dir
    >>> (package_dir() / "lib").is_dir()
    True
    """
    spec = importlib.util.find_spec("tapegrad._C")
    if spec is None or spec.origin is None:
        raise SystemExit("tapegrad: the extension module is missing; run: pip install tapegrad")
    return Path(spec.origin).resolve().parent


def _existing(path: Path) -> str:
    """Return the path as text, or stop with the fix where this build did not install it."""
    if not path.is_dir():
        raise SystemExit(f"tapegrad: {path} does not exist; run: pip install tapegrad")
    return str(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the answers go to standard output, one a line.

    Examples
    --------
    >>> import tapegrad
    >>> from tapegrad.__main__ import main
    >>> main(["--version"]) == 0
    0.1.0
    True
    """
    parser = argparse.ArgumentParser(prog="python -m tapegrad", description=__doc__)
    parser.add_argument("--cmakedir", action="store_true", help="folder of tapegradConfig.cmake")
    parser.add_argument("--includes", action="store_true", help="include flag for a C++ compiler")
    parser.add_argument("--info", action="store_true", help="version, compiler, kernels, threads")
    parser.add_argument("--version", action="store_true", help="the version alone")
    options = parser.parse_args(arguments)
    if not any(vars(options).values()):
        parser.print_help()
        return 2

    # Imported here, so that --help works where the extension does not load.
    import tapegrad

    if options.version:
        print(tapegrad.__version__)
    if options.cmakedir:
        print(_existing(package_dir() / "lib" / "cmake" / "tapegrad"))
    if options.includes:
        print("-I" + _existing(package_dir() / "include"))
    if options.info:
        print(f"tapegrad: {tapegrad.__version__}")
        print(f"location: {package_dir()}")
        print(f"python: {sys.version}")
        for name, value in tapegrad.build_info().items():
            print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
