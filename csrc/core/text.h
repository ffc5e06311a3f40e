// Building of error messages. Knows only streams.
#pragma once

#include <sstream>
#include <string>
#include <utility>

namespace tapegrad::core {

/// Concatenates its arguments with operator<<.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return std::move(stream).str();
}

}  // namespace tapegrad::core
