// Pooling of tapegrad/pooling.h from C++: every width against windows written out, so that the
// sanitizers see the ends of rows, planes and memory.
#include <algorithm>
#include <limits>

#include "check.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/pooling.h"

namespace {

using namespace tapegrad;

double value(const Tensor& tensor) { return tensor.item().to_double(); }

/// The largest difference between two tensors.
double distance(const Tensor& a, const Tensor& b) { return value(max(abs(a - b))); }

struct Window {
  int64_t kernel, stride, padding;
};

/// Planes of one row by windows written out: the maximum, or the mean with the padding counted.
Tensor written_out(const Tensor& x, const Window& w, bool maximum) {
  const int64_t planes = x.size(0), width = x.size(1);
  const int64_t out = (width + 2 * w.padding - w.kernel) / w.stride + 1;
  Tensor result = empty({planes, out}, DType::Float32);
  const auto* from = x.data_ptr<float>();
  auto* to = result.data_ptr<float>();
  for (int64_t i = 0; i < planes * out; ++i) {
    const int64_t start = i % out * w.stride - w.padding;
    float top = -std::numeric_limits<float>::infinity(), total = 0;
    for (int64_t k = std::max<int64_t>(start, 0); k < std::min(start + w.kernel, width); ++k) {
      top = std::max(top, from[i / out * width + k]);
      total += from[i / out * width + k];
    }
    to[i] = maximum ? top : total / static_cast<float>(w.kernel);
  }
  return result;
}

}  // namespace

TEST(rows_of_every_width) {
  for (const Window& w : {Window{2, 2, 0}, Window{3, 1, 1}, Window{3, 2, 1}, Window{5, 3, 2}}) {
    for (int64_t width = w.kernel; width < 40; ++width) {
      const Tensor x = randn({3, width});
      const Tensor rows = reshape(x, {1, 3, 1, width});
      const Tensor top = max_pool2d(rows, {1, w.kernel}, {1, w.stride}, {0, w.padding});
      const Tensor mean = avg_pool2d(rows, {1, w.kernel}, {1, w.stride}, {0, w.padding});
      const Tensor expected = written_out(x, w, true);
      CHECK(distance(reshape(top, expected.sizes()), expected) == 0);
      CHECK(distance(reshape(mean, expected.sizes()), written_out(x, w, false)) < 1e-6);
    }
  }
}

TEST(gradients_of_every_width) {
  for (const int64_t kernel : {2, 3}) {
    for (int64_t width = kernel; width < 40; ++width) {
      const Tensor x = randn({2, 2, 5, width}).set_requires_grad(true);
      const Tensor top = max_pool2d(x, {kernel}), mean = avg_pool2d(x, {kernel});
      // Each gradient of a maximum arrives once, and that of a mean in equal parts.
      const double outputs = static_cast<double>(top.numel());
      sum(top).backward();
      CHECK_CLOSE(value(sum(x.grad())), outputs, 1e-4);
      CHECK_CLOSE(value(sum(x.grad() * x)), value(sum(top)), 1e-3);
      sum(mean).backward();
      CHECK_CLOSE(value(sum(x.grad())), 2 * outputs, 1e-3);
    }
  }
}

TEST(both_orders_in_memory_agree) {
  for (const int64_t channels : {2, 16, 35}) {
    const Tensor last = permute(randn({2, 7, 6, channels}), {0, 3, 1, 2});
    const Tensor first = contiguous(last);
    CHECK(distance(max_pool2d(last, {3}, {2}, {1}), max_pool2d(first, {3}, {2}, {1})) == 0);
    CHECK(distance(avg_pool2d(last, {3}, {2}, {1}), avg_pool2d(first, {3}, {2}, {1})) < 1e-6);
    CHECK(distance(adaptive_avg_pool2d(last, {4}), adaptive_avg_pool2d(first, {4})) < 1e-6);
    CHECK(!max_pool2d(last, {3}, {2}, {1}).is_contiguous());
    const std::vector<Tensor> a = max_pool2d_with_indices(last, {2});
    CHECK(value(max(ne(a[1], max_pool2d_with_indices(first, {2})[1]))) == 0);
  }
}

TEST(windows_that_do_not_fit) {
  const Tensor x = ones({1, 2, 4, 4});
  CHECK_THROWS(ShapeError, "does not fit", max_pool2d(x, {5}));
  CHECK_THROWS(ValueError, "at most half", avg_pool2d(x, {2}, {1}, {2}));
  CHECK_THROWS(DTypeError, "floating-point", max_pool1d(to(x, DType::Int64), {2}));
}
