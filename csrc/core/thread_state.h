// The modes that follow a thread: grad mode, inference mode, flags of new tensors. One struct, so
// that reading it is one thread-local access. Knows nothing of the tape.
#pragma once

#include <cstdint>

#include "tapegrad/export.h"

namespace tapegrad::core {

enum Watch : uint8_t {
  kWatchPack = 1 << 0,     // a saved-tensor hook is active
  kWatchAnomaly = 1 << 1,  // anomaly mode: nodes note where they were recorded
  kWatchNan = 1 << 2,      // ... and gradients are looked at
};

struct ThreadState {
  bool grad_enabled = true;
  bool inference = false;
  uint16_t new_tensor_flags = 0;  // kInference inside inference_mode
  uint8_t watch = 0;              // what recording does beyond the usual; kWatch...
  int silent_level = -2;          // a grad level whose own tape is not recorded; -2: none
};

// initial-exec: a plain register-relative load instead of a call; the few bytes fit the loader's
// static reserve.
TAPEGRAD_API extern constinit thread_local ThreadState thread_state
    [[gnu::tls_model("initial-exec")]];

}  // namespace tapegrad::core
