"""Run clang-tidy over csrc, as many files at once as there are processors, within a time limit.

    tidy.py BUILD_DIR [--seconds N] [FILE...]

BUILD_DIR holds compile_commands.json (``cmake --preset tidy`` makes build/tidy). Files that the
limit leaves out are named at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def sources(build: Path) -> list[Path]:
    """Return the files of csrc in the compile commands, each once."""
    entries = json.loads((build / "compile_commands.json").read_text())
    files = {(Path(entry["directory"]) / entry["file"]).resolve() for entry in entries}
    return sorted(path for path in files if path.is_relative_to(ROOT / "csrc"))


def main() -> int:
    """Check the files; the exit status says whether all that were reached are clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("files", type=Path, nargs="*")
    options = parser.parse_args()
    files = [path.resolve() for path in options.files] or sources(options.build)
    deadline = time.monotonic() + options.seconds
    # The compiler's own headers, last: omp.h is there and clang-tidy brings none.
    compiler_headers = subprocess.run(
        [os.environ.get("CXX", "g++"), "-print-file-name=include"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    arguments = ["--quiet", f"--extra-arg=-idirafter{compiler_headers}", "-p", str(options.build)]
    arguments.append("--extra-arg=-Wno-ignored-optimization-argument")  # g++ knows more of them

    def check(path: Path) -> tuple[Path, bool | None, str]:
        left = deadline - time.monotonic()
        if left <= 0:
            return path, None, ""
        command = ["clang-tidy", *arguments, str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=left)
        except subprocess.TimeoutExpired:
            return path, None, ""
        return path, done.returncode == 0, done.stdout + (done.stderr if done.returncode else "")

    bad: list[Path] = []
    late: list[Path] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, clean, text in pool.map(check, files):
            if clean is None:
                late.append(path)
            elif not clean:
                bad.append(path)
                print(text)
    print(f"clang-tidy: {len(files) - len(late)} files, {len(bad)} with findings")
    if late:
        print("not reached in time:", *(path.relative_to(ROOT) for path in late))
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
