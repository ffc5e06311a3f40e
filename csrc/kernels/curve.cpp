#include "kernels/curve.h"

namespace tapegrad::kernels {

#define TAPEGRAD_DECLARE_TABLES(level)       \
  namespace level {                          \
  extern const SlopesLoop slopes_table[][2]; \
  }
TAPEGRAD_DECLARE_TABLES(base)
TAPEGRAD_DECLARE_TABLES(v2)
TAPEGRAD_DECLARE_TABLES(v3)
TAPEGRAD_DECLARE_TABLES(v4)
#undef TAPEGRAD_DECLARE_TABLES

SlopesLoop slopes_loop(UnaryOp op, Compute compute) {
  using Row = SlopesLoop[2];
  static const Row* const table = select_level<const Row*>(
      TAPEGRAD_IF_BASE(base::slopes_table, nullptr), TAPEGRAD_IF_V2(v2::slopes_table, nullptr),
      TAPEGRAD_IF_V3(v3::slopes_table, nullptr), TAPEGRAD_IF_V4(v4::slopes_table, nullptr));
  if (compute == Compute::Int64) return nullptr;
  return table[static_cast<int>(op)][compute == Compute::Double ? 1 : 0];
}

}  // namespace tapegrad::kernels
