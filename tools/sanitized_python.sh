#!/usr/bin/env bash
# Runs Python on the source tree's address-sanitized build (cmake --preset asan -DTAPEGRAD_DEVELOP=ON).
# The sanitizer must be the first library of the process, and libstdc++ beside it, else it cannot follow
# exceptions thrown by libraries that are loaded later. Python's own allocations outlive it: no leak check.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
compiler=${CXX:-g++}
library() { "$compiler" -print-file-name="$1"; }
export LD_PRELOAD="$(library libasan.so) $(library libubsan.so) $(library libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
export PYTHONPATH="$here/python" PYTHONMALLOC=malloc
exec python "$@"
