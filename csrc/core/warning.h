// Warnings: a message for the user that is no error. The bindings route it to Python's warnings
// module; without them it goes to the standard error stream. Knows no operation.
#pragma once

#include <atomic>
#include <string>

#include "tapegrad/export.h"

namespace tapegrad::core {

/// Takes a message. May throw: Python turns warnings into exceptions when asked to.
using WarningHook = void (*)(const std::string& message);

TAPEGRAD_API extern std::atomic<WarningHook> warning_hook;

TAPEGRAD_API void warn(const std::string& message);

}  // namespace tapegrad::core
