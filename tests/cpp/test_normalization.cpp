// Normalisation of tapegrad/normalization.h from C++: values, gradients, statistics, errors by
// type.
#include "check.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/normalization.h"
#include "tapegrad/ops.h"

namespace {

using namespace tapegrad;

double value(const Tensor& tensor) { return tensor.item().to_double(); }

double distance(const Tensor& a, const Tensor& b) { return value(max(abs(a - b))); }

Tensor standardised(const Tensor& x, OptionalInts dims) {
  const Tensor centre = x - mean(x, dims, true);
  return centre * rsqrt(mean(centre * centre, dims, true) + Scalar(1e-5));
}

}  // namespace

TEST(batches_of_every_width_in_both_orders) {
  for (const int64_t channels : {1, 3, 16, 31, 33, 70}) {
    for (const int64_t width : {1, 2, 7, 33}) {
      const Tensor last = permute(randn({3, 2, width, channels}), {0, 3, 1, 2});
      const Tensor expected = standardised(last, {0, 2, 3});
      for (const Tensor& x : {last, contiguous(last)})
        CHECK(distance(batch_norm(x, {}, {}, {}, {}, true), expected) < 1e-4);
    }
  }
}

TEST(rows_of_every_length) {
  for (int64_t length = 2; length < 80; length += 7) {
    const Tensor x = randn({5, length}, nullptr, DType::Float64);
    CHECK(distance(layer_norm(x, {length}), standardised(x, 1)) < 1e-12);
    const Tensor leaf = contiguous(x).detach().set_requires_grad(true);
    const Tensor weight = ones({length}, DType::Float64).set_requires_grad(true);
    const Tensor y = layer_norm(leaf, {length}, weight);
    sum(y * x).backward();
    // What has no mean and no length in the direction of y is all that is left.
    CHECK(value(max(abs(sum(leaf.grad(), 1)))) < 1e-10);
    CHECK(distance(weight.grad(), sum(y.detach() * x, 0)) < 1e-10);
  }
}

TEST(running_statistics_move_by_momentum) {
  const Tensor x = randn({6, 2, 4}, nullptr, DType::Float64);
  const Tensor middle = zeros({2}, DType::Float64), spread = ones({2}, DType::Float64);
  batch_norm(x, middle, spread, {}, {}, true, 0.25);
  CHECK(distance(middle, mean(x, {0, 2}) * Scalar(0.25)) < 1e-14);
  CHECK(distance(spread, var(x, {0, 2}) * Scalar(0.25) + Scalar(0.75)) < 1e-13);
}

TEST(groups_and_instances) {
  const Tensor x = randn({2, 6, 5}, nullptr, DType::Float64);
  const Tensor rows = reshape(x, {2, 3, 10});
  CHECK(distance(group_norm(x, 3), reshape(standardised(rows, 2), x.sizes())) < 1e-12);
  CHECK(distance(instance_norm(x), standardised(x, 2)) < 1e-12);
  CHECK(distance(rms_norm(x, {5}, {}, 0.0), x * rsqrt(mean(x * x, -1, true))) < 1e-12);
}

TEST(what_cannot_be_normalised) {
  const Tensor x = ones({2, 3, 4});
  CHECK_THROWS(ShapeError, "normalized_shape", layer_norm(x, {3}));
  CHECK_THROWS(ValueError, "divisible", group_norm(x, 2));
  CHECK_THROWS(ValueError, "more than 1 value", batch_norm(ones({1, 3}), {}, {}, {}, {}, true));
  CHECK_THROWS(DTypeError, "floating-point", rms_norm(to(x, DType::Int64), {4}));
}
