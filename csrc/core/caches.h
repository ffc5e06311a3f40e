// Sizes of the processor's caches. Reads files only.
#pragma once

#include <cstdint>
#include <string>

namespace tapegrad::core {

// The largest data cache that the first processor sees, in bytes; 32 MiB where the system does not
// say. `root` is put before every path read (tests use a made-up tree).
int64_t largest_cache(const std::string& root = {});

}  // namespace tapegrad::core
