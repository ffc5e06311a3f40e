#!/usr/bin/env bash
# Builds the consumer project against the tapegrad that is installed for the given Python, and runs it.
#   run.sh PYTHON [BUILD_DIR]
set -euo pipefail
python=${1:?usage: run.sh PYTHON [BUILD_DIR]}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${2:-$(mktemp -d)}
cmakedir=$("$python" -m tapegrad --cmakedir)
cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Release "-Dtapegrad_DIR=$cmakedir"
cmake --build "$build"
ctest --test-dir "$build" --output-on-failure
