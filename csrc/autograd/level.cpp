#include "autograd/level.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "autograd/below_level.h"
#include "core/text.h"
#include "tapegrad/error.h"

namespace tapegrad::autograd {
namespace {

thread_local std::vector<Level> open_levels;

}  // namespace

int open_level(Level::Kind kind, int64_t size, Randomness randomness) {
  static std::atomic<int> counter{0};
  const int id = counter.fetch_add(1, std::memory_order_relaxed);
  open_levels.push_back({id, kind, size, randomness});
  return id;
}

void close_level(const char* op, int id) {
  if (open_levels.empty() || open_levels.back().id != id) {
    throw GradError(
        core::text(op, ": level ", id, " is not the innermost open level of this thread"));
  }
  open_levels.pop_back();
}

bool is_open(int id) {
  return std::any_of(open_levels.begin(), open_levels.end(),
                     [id](const Level& level) { return level.id == id; });
}

bool is_grad_level(int id) {
  return std::any_of(open_levels.begin(), open_levels.end(), [id](const Level& level) {
    return level.id == id && level.kind == Level::Kind::Grad;
  });
}

int innermost_grad_level() {
  int innermost = -1;
  for (const Level& level : open_levels) {
    if (level.kind == Level::Kind::Grad) innermost = level.id;
  }
  return innermost;
}

namespace {

Level* find(int id, Level::Kind kind) {
  for (Level& level : open_levels) {
    if (level.id == id && level.kind == kind) return &level;
  }
  return nullptr;
}
Level* find_taylor(int id) { return find(id, Level::Kind::Taylor); }

}  // namespace

int64_t taylor_order(int id) {
  const Level* level = find_taylor(id);
  return level ? level->size : -1;
}

int laplacian_batch(int id) {
  const Level* level = find(id, Level::Kind::Laplacian);
  return level ? static_cast<int>(level->size) : -1;
}

TaylorOrderGuard::TaylorOrderGuard(int id, int64_t order)
    : id_(id), previous_(std::exchange(find_taylor(id)->size, order)) {}
TaylorOrderGuard::~TaylorOrderGuard() {
  if (Level* level = find_taylor(id_)) level->size = previous_;
}

BelowLevel::BelowLevel(int id) {
  const auto from = std::find_if(open_levels.begin(), open_levels.end(),
                                 [id](const Level& level) { return level.id >= id; });
  hidden_.assign(from, open_levels.end());
  open_levels.erase(from, open_levels.end());
}

BelowLevel::~BelowLevel() { open_levels.insert(open_levels.end(), hidden_.begin(), hidden_.end()); }

bool any_level_open() { return !open_levels.empty(); }

std::vector<Level> batch_levels() {
  std::vector<Level> result;
  for (const Level& level : open_levels) {
    if (level.kind == Level::Kind::Batch) result.push_back(level);
  }
  return result;
}

}  // namespace tapegrad::autograd
