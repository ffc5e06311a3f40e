"""Print the third-party requirements of an extra, or of the build, one a line.

    requirements.py build|EXTRA...

pip can install an extra only together with the project; this serves those who want the tools
alone: ``pip install $(python tools/requirements.py build dev)``.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements(project: dict[str, Any], name: str) -> list[str]:
    """Return what `name` requires, its references to other extras of ours followed."""
    if name == "build":
        return list(project["build-system"]["requires"])
    found: list[str] = []
    for text in project["project"]["optional-dependencies"][name]:
        if text.startswith("tapegrad["):
            for extra in text[len("tapegrad[") : -1].split(","):
                found += requirements(project, extra)
        else:
            found.append(text)
    return found


if __name__ == "__main__":
    # In the standard library since Python 3.11; the package itself also serves 3.10.
    content = importlib.import_module("tomllib").loads(PYPROJECT.read_text())
    print("\n".join(line for name in sys.argv[1:] for line in requirements(content, name)))
