"""What a library costs before it computes anything: the time of its import and its size on disk."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

DISTRIBUTIONS = {"tapegrad": ["tapegrad"], "torch": ["torch"], "jax": ["jax", "jaxlib"]}
IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def import_time(module: str) -> float:
    """Seconds of one import in a fresh interpreter, the interpreter's own start not counted."""
    command = [sys.executable, "-c", IMPORT.format(module)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def own_size(distribution: str) -> int:
    """Bytes of the files that the distribution's record lists (some, if it is editable)."""
    total = 0
    for file in metadata.files(distribution) or []:
        path = file.locate()
        total += path.stat().st_size if path.is_file() else 0  # type: ignore[attr-defined]
    return total


def closure(names: list[str]) -> set[str]:
    """The distributions and all that they require, as far as installed; extras are left out."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if name in found:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        for line in requirements:
            match = re.match(r"[A-Za-z0-9._-]+", line)
            if match and "extra ==" not in line:
                pending.append(match.group())
    return found


def sizes(peer: str) -> dict[str, int]:
    """Bytes of the library, and with everything it requires; empty if not installed."""
    own = DISTRIBUTIONS[peer]
    everything = closure(own)
    if not everything.issuperset(own):
        return {}
    return {
        "own": sum(own_size(name) for name in own),
        "with_requirements": sum(own_size(name) for name in everything),
    }
