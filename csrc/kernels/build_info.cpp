#include "kernels/build_info.h"

#include "kernels/contraction.h"
#include "kernels/dispatch.h"

namespace tapegrad::kernels {

const char* instruction_set() { return isa_name(); }
bool has_onednn() { return TAPEGRAD_HAS_ONEDNN != 0; }
const char* contraction_library() { return contraction_backend(); }

}  // namespace tapegrad::kernels
