// What the tests of views and indexing share: random tensors in any memory order, values as a list,
// and the laws that a linear operation, its gradient, the gradient of that and its tangent must
// obey. Knows no single operation.
#pragma once

#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "check.h"
#include "core/tensor_impl.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace support {

using namespace tapegrad;

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  int64_t below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }
  bool chance(int percent) { return below(100) < percent; }
  double normal() { return std::normal_distribution<double>()(engine_); }

 private:
  std::mt19937_64 engine_;
};

/// float64 values in row-major order in a tensor whose memory is transposed or stepped over at
/// random.
inline Tensor random_tensor(Random& random, IntSpan sizes, bool any_order = true) {
  Dims stored(sizes);
  Dims order(static_cast<int>(sizes.size()), 0);
  for (int i = 0; i < order.size(); ++i) order[i] = i;
  if (any_order) {
    for (int i = order.size() - 1; i > 0; --i)
      std::swap(order[i], order[static_cast<int>(random.below(i + 1))]);
  }
  Dims inverse(order.size(), 0);
  for (int i = 0; i < order.size(); ++i) {
    stored[i] = sizes[static_cast<size_t>(order[i])];
    inverse[static_cast<int>(order[i])] = i;
  }
  const bool stepped = any_order && stored.size() > 0 && random.chance(40);
  if (stepped) stored.back() = stored.back() * 2 + 1;
  Tensor memory = empty(stored, DType::Float64);
  for (int64_t i = 0; i < memory.numel(); ++i) memory.data_ptr<double>()[i] = random.normal();
  if (stepped) memory = slice(memory, -1, 1, std::nullopt, 2);
  return detach(permute(memory, inverse));
}

inline Tensor random_index(Random& random, IntSpan sizes, int64_t low, int64_t high) {
  Tensor index = empty(sizes, DType::Int64);
  for (int64_t i = 0; i < index.numel(); ++i)
    index.data_ptr<int64_t>()[i] = random.between(low, high);
  return index;
}

/// All elements in row-major order.
inline std::vector<double> values(const Tensor& tensor) {
  const Tensor dense = contiguous(to(tensor.detach(), DType::Float64));
  const double* data = dense.data_ptr<double>();
  return {data, data + dense.numel()};
}

inline double pairing(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = values(a), y = values(b);
  double total = 0;
  for (size_t i = 0; i < x.size(); ++i) total += x[i] * y[i];
  return total;
}

inline bool near(const Tensor& a, const Tensor& b) {
  if (!(a.sizes() == b.sizes())) return false;
  const std::vector<double> x = values(a), y = values(b);
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(std::abs(x[i] - y[i]) <= 1e-11 * (1 + std::abs(x[i])))) return false;
  }
  return true;
}

using Linear = std::function<Tensor(const Tensor&)>;

/// For a linear f: <w, f(v)> = <f'(w), v>, the gradient of that in w is f(v), and the tangent is
/// f(v).
inline void check_linear(const Linear& f, const Tensor& point, Random& random) {
  const Tensor x = point.detach().set_requires_grad(true);
  const Tensor v = random_tensor(random, x.sizes());
  const Tensor expected = f(v) - f(zeros_like(v));
  const Tensor y = f(x);
  Tensor w = random_tensor(random, y.sizes());
  w.set_requires_grad(true);
  const Tensor g = grad({&y, 1}, {&x, 1}, {&w, 1}, {.create_graph = true})[0];
  CHECK(g.sizes() == x.sizes());
  CHECK_CLOSE(pairing(w, expected), pairing(g, v), 1e-11);
  if (g.requires_grad()) {
    const Tensor second = grad({&g, 1}, {&w, 1}, {&v, 1}, {.create_graph = true})[0];
    CHECK(near(second, expected));
  }
  const int level = enter_dual_level();
  const Tensor tangent = unpack_dual(f(make_dual(point.detach(), v, level)), level).second;
  CHECK(tangent.defined() && near(tangent, expected));
  exit_dual_level(level);
}

}  // namespace support
