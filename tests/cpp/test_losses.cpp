// The losses of tapegrad/losses.h from C++: values, gradients, errors by type.
#include <cmath>

#include "check.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/losses.h"
#include "tapegrad/ops.h"

namespace {

using namespace tapegrad;

Tensor filled(IntSpan sizes, double value) { return full(sizes, value, DType::Float64); }
double value(const Tensor& tensor) { return tensor.item().to_double(); }

}  // namespace

TEST(divergence_of_even_shares) {
  const Tensor input = filled({2, 4}, std::log(0.125)).set_requires_grad(true);
  const Tensor loss = kl_div(input, filled({2, 4}, 0.25), "batchmean");
  CHECK_CLOSE(value(loss), std::log(2.0), 1e-15);
  loss.backward();
  CHECK_CLOSE(value(sum(input.grad())), -1.0, 1e-15);
}

TEST(one_path_of_a_sequence) {
  // Two steps, one label and a blank: of four paths, three collapse to the label.
  const Tensor scores = filled({2, 1, 2}, 0.0).set_requires_grad(true);
  const Tensor loss = ctc_loss(log_softmax(scores, 2), ones({1, 1}, DType::Int64), {2}, {1});
  CHECK_CLOSE(value(loss), -std::log(0.75), 1e-15);
  loss.backward();
  CHECK_CLOSE(value(sum(abs(scores.grad()))), 4 * (0.5 - 1.0 / 3), 1e-14);
}

TEST(margins_over_classes) {
  const Tensor scores = filled({2, 4}, 1.0).set_requires_grad(true);
  const Tensor loss = multi_margin_loss(scores, zeros({2}, DType::Int64), 2, 0.5);
  CHECK_CLOSE(value(loss), 3 * 0.25 / 4, 1e-15);
  loss.backward();
  CHECK_CLOSE(value(sum(scores.grad())), 0.0, 1e-15);
}

TEST(what_does_not_fit_is_an_error_of_its_type) {
  CHECK_THROWS(IndexError, "out of bounds for 4 classes",
               multi_margin_loss(filled({2, 4}, 1.0), full({2}, 4, DType::Int64)));
  CHECK_THROWS(ShapeError, "input.squeeze(-1)",
               soft_margin_loss(filled({4, 1}, 1.0), filled({4}, 1.0)));
  CHECK_THROWS(ValueError, "'all'",
               poisson_nll_loss(filled({4}, 1.0), filled({4}, 1.0), true, false, 1e-8, "all"));
}
