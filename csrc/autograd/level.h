// The transforms that are open in this thread, innermost last: dual, Taylor and Laplacian levels
// (forward mode), batch levels (vmap) and grad levels (func.grad inside another transform). Knows
// no tensors.
//
// Note [Levels]
// Every transform opens a level; numbers only rise. An operation deals with the highest level among
// its inputs first and enters again with what lies below it, so transforms nest in any order: a
// dual level pushes tangents, a batch level takes the lifted tensors apart, a grad level records.
#pragma once

#include <cstdint>
#include <vector>

#include "tapegrad/export.h"

namespace tapegrad::autograd {

/// How random operations behave under vmap.
enum class Randomness { Error, Same, Different };

struct Level {
  enum class Kind { Dual, Batch, Grad, Taylor, Laplacian };
  int id;
  Kind kind;
  int64_t size;  // Batch: the number of samples; Taylor: the order; Laplacian: its batch level
  Randomness randomness;
};

/// Opens the innermost level of this thread; returns its number.
TAPEGRAD_API int open_level(Level::Kind kind, int64_t size = 0,
                            Randomness randomness = Randomness::Error);
/// Throws GradError unless `id` is the innermost open level.
TAPEGRAD_API void close_level(const char* op, int id);
bool is_open(int id);
/// Whether `id` is an open grad level.
bool is_grad_level(int id);
/// The innermost open grad level of this thread; -1 for none.
int innermost_grad_level();
/// The order to which Taylor level `id` is computed now; -1 for any other level.
int64_t taylor_order(int id);
/// The batch level on which the tangents of Laplacian level `id` lie; -1 for any other level.
int laplacian_batch(int id);
/// Computes Taylor level `id` to a lower order for the life of the guard.
class TaylorOrderGuard {
 public:
  TaylorOrderGuard(int id, int64_t order);
  ~TaylorOrderGuard();
  TaylorOrderGuard(const TaylorOrderGuard&) = delete;
  TaylorOrderGuard& operator=(const TaylorOrderGuard&) = delete;

 private:
  int id_;
  int64_t previous_;
};
/// Whether any level is open in this thread.
TAPEGRAD_API bool any_level_open();
/// The open batch levels of this thread, outermost first.
std::vector<Level> batch_levels();

}  // namespace tapegrad::autograd
