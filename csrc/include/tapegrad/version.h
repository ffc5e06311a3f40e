// The version, in its only place: CMake, pyproject.toml, C++ and Python all read it from here.
// Plain preprocessor lines, so that a regular expression can read them; knows nothing else.
#pragma once

#define TAPEGRAD_VERSION_MAJOR 0
#define TAPEGRAD_VERSION_MINOR 1
#define TAPEGRAD_VERSION_PATCH 0
#define TAPEGRAD_VERSION "0.1.0"
