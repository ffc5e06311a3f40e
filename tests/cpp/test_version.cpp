#include <string>

#include "check.h"
#include "tapegrad/version.h"

TEST(version_text_agrees_with_its_parts) {
  CHECK_EQ(std::string(TAPEGRAD_VERSION), std::to_string(TAPEGRAD_VERSION_MAJOR) + "." +
                                              std::to_string(TAPEGRAD_VERSION_MINOR) + "." +
                                              std::to_string(TAPEGRAD_VERSION_PATCH));
}
