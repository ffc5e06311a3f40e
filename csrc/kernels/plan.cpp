#include "kernels/plan.h"

namespace tapegrad::kernels {

void plan_begin(Plan& plan, IntSpan sizes) {
  plan.ndim = static_cast<int>(sizes.size());
  plan.operands = 0;
  plan.numel = 1;
  for (int d = 0; d < plan.ndim; ++d) {
    plan.sizes[d] = sizes[static_cast<size_t>(d)];
    plan.numel *= plan.sizes[d];
  }
}

void plan_add(Plan& plan, IntSpan sizes, IntSpan strides) {
  int64_t* to = plan.strides[plan.operands++];
  const int missing = plan.ndim - static_cast<int>(sizes.size());
  for (int d = 0; d < plan.ndim; ++d) {
    const auto from = static_cast<size_t>(d - missing);
    to[d] = d < missing || sizes[from] == 1 ? 0 : strides[from];
  }
}

namespace {

void swap_dims(Plan& plan, int a, int b) {
  const int64_t size = plan.sizes[a];
  plan.sizes[a] = plan.sizes[b];
  plan.sizes[b] = size;
  for (int k = 0; k < plan.operands; ++k) {
    const int64_t stride = plan.strides[k][a];
    plan.strides[k][a] = plan.strides[k][b];
    plan.strides[k][b] = stride;
  }
}

// Whether dimension a should lie inside dimension b: the first operand that tells them apart
// decides.
bool inside(const Plan& plan, int a, int b) {
  for (int k = 0; k < plan.operands; ++k) {
    const int64_t x = plan.strides[k][a] < 0 ? -plan.strides[k][a] : plan.strides[k][a];
    const int64_t y = plan.strides[k][b] < 0 ? -plan.strides[k][b] : plan.strides[k][b];
    if (x == 0 || y == 0 || x == y) continue;
    return x < y;
  }
  return false;
}

bool mergeable(const Plan& plan, int outer, int inner) {
  for (int k = 0; k < plan.operands; ++k) {
    if (plan.strides[k][outer] != plan.strides[k][inner] * plan.sizes[inner]) return false;
  }
  return true;
}

}  // namespace

void plan_finish(Plan& plan) {
  int count = 0;
  for (int d = 0; d < plan.ndim; ++d) {
    if (plan.sizes[d] == 1) continue;
    if (count != d) swap_dims(plan, count, d);
    ++count;
  }
  plan.ndim = count;
  for (int i = 1; i < count; ++i) {
    for (int j = i; j > 0 && inside(plan, j - 1, j); --j) swap_dims(plan, j - 1, j);
  }
  int last = 0;
  for (int d = 1; d < count; ++d) {
    if (mergeable(plan, last, d)) {
      plan.sizes[last] *= plan.sizes[d];
      for (int k = 0; k < plan.operands; ++k) plan.strides[k][last] = plan.strides[k][d];
    } else if (++last != d) {
      plan.sizes[last] = plan.sizes[d];
      for (int k = 0; k < plan.operands; ++k) plan.strides[k][last] = plan.strides[k][d];
    }
  }
  if (count > 0) plan.ndim = last + 1;
}

}  // namespace tapegrad::kernels
