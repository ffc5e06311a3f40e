// The convolutions of tapegrad/convolution.h from C++: values, gradients, errors by type.
#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "forks.h"
#include "kernels/convolution_onednn.h"
#include "kernels/kept_kernels.h"
#include "tapegrad/convolution.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace {

using namespace tapegrad;

double value(const Tensor& tensor) { return tensor.item().to_double(); }

}  // namespace

TEST(a_sequence_and_the_gradient_of_its_weight) {
  const Tensor x = from_values<double>({1, 2, 3, 4}, {1, 1, 4});
  const Tensor w = from_values<double>({1, 10}, {1, 1, 2}).set_requires_grad(true);
  const Tensor y = conv1d(x, w);
  CHECK((y.sizes() == IntSpan{1, 1, 3}));
  const double* values = y.data_ptr<double>();
  CHECK(values[0] == 21 && values[1] == 32 && values[2] == 43);
  sum(y).backward();
  const Tensor gradient = w.grad();
  const double* sums = gradient.data_ptr<double>();
  CHECK(sums[0] == 6 && sums[1] == 9);
}

TEST(transposed_is_the_adjoint) {
  for (const DType dtype : {DType::Float32, DType::Float64}) {
    const Tensor x = randn({2, 4, 9, 8}, nullptr, dtype), w = randn({6, 2, 3, 2}, nullptr, dtype);
    const Tensor y = conv2d(x, w, {}, {2, 1}, {1, 0}, {1, 2}, 2);
    const Tensor z = randn(y.sizes(), nullptr, dtype);
    const Tensor back = conv_transpose2d(z, w, {}, {2, 1}, {1, 0}, {0, 0}, 2, {1, 2});
    CHECK((back.sizes() == x.sizes()));
    const double left = value(sum(y * z)), right = value(sum(x * back));
    CHECK_CLOSE(left, right, dtype == DType::Float32 ? 1e-3 : 1e-11);
  }
}

#if !defined(__SANITIZE_ADDRESS__)  // see Note [Forks beside allocations]
// Each new shape is prepared under a lock, which the child of a fork must find open.
TEST(forks_while_another_thread_prepares) {
  std::atomic<bool> going{true};
  const Tensor w = ones({1, 1, 1, 1});
  std::thread other([&] {
    for (int64_t n = 1; going; n = n % 3000 + 1) conv2d(ones({1, 1, 1, n}), w);
  });
  for (int64_t i = 0; i < 20; ++i)
    CHECK(in_child([&] { return conv2d(ones({1, 1, 2, i + 1}), w).numel() == 2 * (i + 1); }));
  going = false;
  other.join();
}
#endif

// Lengths without end, as in sequences: what is kept for each levels off, and is made anew.
TEST(what_is_prepared_for_each_shape_is_bounded) {
  const Tensor w = ones({8, 8, 1, 3});
  for (int64_t n = 3; n < 603; ++n) {
    CHECK(value(sum(conv2d(ones({1, 8, 1, n}), w))) == 8 * 24 * static_cast<double>(n - 2));
    const kernels::PreparedPasses passes = kernels::prepared_passes();
    CHECK(passes.count <= passes.capacity);
  }
  const kernels::PreparedPasses passes = kernels::prepared_passes();
  CHECK(passes.count == passes.capacity);
  CHECK(value(sum(conv2d(ones({1, 8, 1, 3}), w))) == 8 * 24);
}

// See Note [Kernels that are never freed].
TEST(the_first_shapes_are_kept_and_no_others) {
  kernels::KeptKernels kept(2);
  CHECK(kept.allow(7) && kept.allow(8) && kept.allow(7));
  CHECK(!kept.allow(9) && kept.allow(8) && !kept.allow(9));
}

TEST(the_size_is_kept) {
  const Tensor x = ones({1, 1, 2, 3, 4}), w = ones({1, 1, 3, 2, 1});
  CHECK((conv3d(x, w, {}, {1}, "same").sizes() == x.sizes()));
}

TEST(what_does_not_fit_is_an_error_of_its_type) {
  const Tensor x = ones({1, 3, 5, 5}), w = ones({2, 3, 3, 3});
  CHECK_THROWS(ShapeError, "expected an input of 4 channels", conv2d(x, ones({2, 4, 3, 3})));
  CHECK_THROWS(DTypeError, "weight is float64", conv2d(x, ones({2, 3, 3, 3}, DType::Float64)));
  CHECK_THROWS(ValueError, "stride must be positive", conv2d(x, w, {}, {0}));
  CHECK_THROWS(ValueError, "'full'", conv2d(x, w, {}, {1}, "full"));
}
