"""Print, separated by ';', the prefixes under which Python packages may keep CMake files.

Wheels put such files in three places: inside their package (site-packages/NAME/share/cmake),
under the environment's prefix (lib/cmake), and, for packages built with cmeel, under
site-packages/cmeel.prefix. pip's isolated build environment appears in sys.path alone, so the
prefixes are derived from there.
"""

from __future__ import annotations

import sys
from pathlib import Path


def prefixes() -> list[Path]:
    """Every candidate that exists, in the order of sys.path, without repetition."""
    found: dict[Path, None] = {}
    for entry in sys.path:
        site = Path(entry)
        if site.name not in ("site-packages", "dist-packages"):
            continue
        # PREFIX/lib/pythonX.Y/site-packages on POSIX systems.
        candidates = [site / "cmeel.prefix", site / "pybind11", site.parents[2]]
        found.update(dict.fromkeys(path for path in candidates if path.is_dir()))
    return list(found)


if __name__ == "__main__":
    print(";".join(path.as_posix() for path in prefixes()))
