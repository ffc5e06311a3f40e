#include "kernels/dispatch.h"

#include <cstdlib>
#include <cstring>

namespace tapegrad::kernels {
namespace {

int built(int level) {
  switch (level) {
    case 4:
      return TAPEGRAD_IF_V4(4, -1);
    case 3:
      return TAPEGRAD_IF_V3(3, -1);
    case 2:
      return TAPEGRAD_IF_V2(2, -1);
    default:
      return TAPEGRAD_IF_BASE(0, -1);
  }
}

int supported_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return 4;
  if (__builtin_cpu_supports("x86-64-v3")) return 3;
  return 2;
#else
  return 0;
#endif
}

int choose() {
  int limit = supported_level();
  // "v2", "x86-64-v3", "3": the last character counts. A level that the processor lacks is not
  // taken.
  if (const char* wish = std::getenv("TAPEGRAD_ISA"); wish && *wish) {
    const int level = wish[std::strlen(wish) - 1] - '0';
    if (level >= 2 && level < limit) limit = level;
  }
  for (int level = limit; level >= 0; --level) {
    if (built(level) == level) return level;
  }
  for (int level = 2; level <= 4;
       ++level) {  // nothing at or below the wish was built: the lowest that was
    if (built(level) == level) return level;
  }
  return 0;
}

}  // namespace

int isa_level() {
  static const int level = choose();
  return level;
}

const char* isa_name() {
  switch (isa_level()) {
    case 4:
      return "x86-64-v4";
    case 3:
      return "x86-64-v3";
    case 2:
      return "x86-64-v2";
    default:
      return "base";
  }
}

}  // namespace tapegrad::kernels
