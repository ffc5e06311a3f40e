#include "core/thread_state.h"

namespace tapegrad::core {

constinit thread_local ThreadState thread_state;

}  // namespace tapegrad::core
