"""Fail if an object compiled for one instruction-set level offers a weak symbol to everybody.

A weak symbol (a template or inline function of the standard library, say) that was compiled for a
wide level may be the copy that the linker keeps, and then runs on processors that lack the
instructions. Names that carry the level, as those in the namespace ``tapegrad::kernels::v4`` do,
cannot collide; local symbols cannot either.

    check_isa_symbols.py LEVEL OBJECT...
"""

from __future__ import annotations

import subprocess
import sys

# nm's letters for weak definitions (functions, objects) and for unique global ones.
WEAK = frozenset("WVu")
# Pointers to the runtime's exception handler: data, the same in every object.
HARMLESS = "DW.ref.__gxx_personality_v0"


def shared_weak_symbols(level: str, objects: list[str]) -> list[str]:
    """Return the weak definitions in `objects` whose mangled names do not carry `level`."""
    # A namespace is mangled as its length and its name; prefixed names (Eigen_v4) count too.
    marks = (f"{len(level)}{level}", f"_{level}")
    found = []
    for path in objects:
        listing = subprocess.run(
            ["nm", "--defined-only", "--portability", path],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for line in listing.splitlines():
            name, kind, *_ = line.split()
            if kind in WEAK and name != HARMLESS and not any(mark in name for mark in marks):
                found.append(f"{path}: {name}")
    return found


def main() -> int:
    """Check the objects named on the command line."""
    level, *objects = sys.argv[1:]
    found = shared_weak_symbols(level, objects)
    if found:
        text = "\n".join(found)
        demangled = subprocess.run(["c++filt"], input=text, capture_output=True, text=True)
        print(demangled.stdout)
    print(f"{len(objects)} objects for {level}: {len(found)} weak symbols outside their namespace")
    return 1 if found or not objects else 0


if __name__ == "__main__":
    sys.exit(main())
