// Attention of tapegrad/attention.h from C++: values, gradients, errors by type.
#include "check.h"
#include "tapegrad/attention.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace {

using namespace tapegrad;

double value(const Tensor& tensor) { return tensor.item().to_double(); }

/// 0, 1, 2, ... in one column.
Tensor column(int64_t rows) { return reshape(arange(0, rows, 1, DType::Float64), {1, rows, 1}); }

}  // namespace

TEST(equal_scores_give_the_mean_of_the_values) {
  const Tensor query = zeros({1, 3, 2}, DType::Float64);
  const Tensor key = ones({1, 5, 2}, DType::Float64);
  const Tensor values = column(5).set_requires_grad(true);
  const Tensor out = scaled_dot_product_attention(query, key, values);
  CHECK_CLOSE(value(sum(out)), 3 * 2.0, 1e-14);
  sum(out).backward();
  CHECK_CLOSE(value(select(select(values.grad(), 1, 4), 1, 0)), 3.0 / 5, 1e-14);
}

TEST(causal_queries_see_keys_up_to_their_own) {
  const Tensor query = zeros({1, 4, 2}, DType::Float64);
  const Tensor out = scaled_dot_product_attention(query, query, column(4), {}, 0.0, true);
  for (int64_t i = 0; i < 4; ++i)
    CHECK_CLOSE(value(select(select(out, 1, i), 1, 0)), static_cast<double>(i) / 2, 1e-14);
}

TEST(a_query_without_keys_gives_nothing) {
  const Tensor query = ones({1, 2, 2}, DType::Float64);
  const Tensor mask = zeros({2, 3}, DType::Bool);
  const Tensor key = ones({1, 3, 2}, DType::Float64).set_requires_grad(true);
  const Tensor out = scaled_dot_product_attention(query, key, column(3), mask);
  sum(out).backward();
  CHECK_CLOSE(value(sum(abs(out))), 0.0, 0.0);
  CHECK_CLOSE(value(sum(abs(key.grad()))), 0.0, 0.0);
}

TEST(operands_of_attention_that_do_not_fit) {
  const Tensor query = ones({1, 2, 2}, DType::Float64);
  CHECK_THROWS(ShapeError, "same last size", scaled_dot_product_attention(query, column(2), query));
  CHECK_THROWS(DTypeError, "same floating-point",
               scaled_dot_product_attention(query, to(query, DType::Float32), query));
  CHECK_THROWS(ValueError, "dropout_p", scaled_dot_product_attention(query, query, query, {}, 2.0));
}
