#include "core/thread_state.h"

namespace tapegrad::core {

thread_local ThreadState thread_state;

}  // namespace tapegrad::core
