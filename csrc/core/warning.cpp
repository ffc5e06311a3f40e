#include "core/warning.h"

#include <iostream>

namespace tapegrad::core {

std::atomic<WarningHook> warning_hook{nullptr};

void warn(const std::string& message) {
  if (const WarningHook hook = warning_hook.load())
    hook(message);
  else
    std::cerr << "tapegrad: warning: " << message << "\n";
}

}  // namespace tapegrad::core
