// Work that a level hands to the levels below it. Knows no tensors.
#pragma once

#include <vector>

#include "autograd/level.h"

namespace tapegrad::autograd {

/// For the life of the guard the levels from `id` on are not there, as for code outside of them:
/// what a user's batching rule draws at random belongs to the levels below.
class BelowLevel {
 public:
  explicit BelowLevel(int id);
  ~BelowLevel();
  BelowLevel(const BelowLevel&) = delete;
  BelowLevel& operator=(const BelowLevel&) = delete;

 private:
  std::vector<Level> hidden_;
};

}  // namespace tapegrad::autograd
