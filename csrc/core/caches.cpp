#include "core/caches.h"

#include <algorithm>
#include <fstream>

namespace tapegrad::core {

// (sysconf adds up the caches of a whole socket, of which a thread reaches one.)
int64_t largest_cache(const std::string& root) {
  int64_t largest = 0;
  for (int index = 0;; ++index) {
    const std::string folder =
        root + "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index);
    std::ifstream file(folder + "/size");
    int64_t size = 0;
    char unit = ' ';
    if (!(file >> size)) break;
    file >> unit;
    const int64_t scale = unit == 'K' ? 1 << 10 : unit == 'M' ? 1 << 20 : 1;
    largest = std::max(largest, size * scale);
  }
  return largest > 0 ? largest : int64_t{32} << 20;
}

}  // namespace tapegrad::core
