// Reductions, softmax and losses from C++: fixed bits, all memory layouts against plain loops,
// higher orders of fused operations against their compositions, and the errors.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "core/tensor_impl.h"
#include "core/warning.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/parallel.h"

namespace {

using namespace tapegrad;

double value(const Tensor& tensor) { return tensor.item().to_double(); }

/// Reproducible numbers in (-1, 1) that are no round ones.
Tensor numbers(IntSpan size, DType dtype = DType::Float64, double phase = 0) {
  std::vector<double> values(static_cast<size_t>(checked_numel("test", size)));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::sin(1.7 * static_cast<double>(i) + phase);
  return to(from_values(values, size), dtype);
}

double distance(const Tensor& a, const Tensor& b) {
  CHECK_EQ(shape_string(a.sizes()), shape_string(b.sizes()));
  if (a.numel() == 0) return 0;
  return value(amax(abs(to(a, DType::Float64) - to(b, DType::Float64))));
}

bool same_bits(const Tensor& a, const Tensor& b) {
  const Tensor x = contiguous(a), y = contiguous(b);
  return x.numel() == y.numel() &&
         std::memcmp(x.data(), y.data(), static_cast<size_t>(x.numel()) * item_size(x.dtype())) ==
             0;
}

/// The sum over `dims` by one addition after the other.
Tensor plain_sum(const Tensor& input, const std::vector<int64_t>& dims) {
  Tensor x = input;
  for (const int64_t d : dims) {
    Tensor total = zeros_like(select(x, d, 0));
    for (int64_t i = 0; i < x.size(d); ++i) total = total + select(x, d, i);
    x = unsqueeze(total, d);
  }
  return x;
}

TEST(sums_agree_with_plain_loops_in_every_layout) {
  const Tensor base = numbers({4, 5, 6, 7});
  const Tensor layouts[] = {base,
                            permute(base, {3, 1, 0, 2}),
                            slice(base, 2, 1, 6, 2),
                            transpose(base, 0, 3),
                            expand(numbers({4, 1, 6, 1}), {4, 5, 6, 7}),
                            permute(base, {0, 2, 3, 1})};
  const std::vector<std::vector<int64_t>> choices = {{0},    {1},       {3},       {0, 2},
                                                     {1, 3}, {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3}};
  for (const Tensor& x : layouts) {
    for (const std::vector<int64_t>& dims : choices)
      CHECK_LE(distance(sum(x, dims, true), plain_sum(x, dims)), 1e-12);
  }
}

TEST(long_and_narrow_blocks_lose_no_row) {
  for (const int64_t rows : {1, 63, 64, 65, 8191, 8192, 8193, 20001}) {
    for (const int64_t columns : {1, 2, 5, 31, 33}) {
      const Tensor ones_block = ones({rows, columns}, DType::Float32);
      const Tensor total = sum(ones_block, 0);
      CHECK_EQ(value(amax(total)), static_cast<double>(rows));
      CHECK_EQ(value(amin(total)), static_cast<double>(rows));
      CHECK_EQ(value(sum(ones_block)), static_cast<double>(rows * columns));
    }
  }
}

TEST(bits_do_not_depend_on_the_number_of_threads) {
  const Tensor x = numbers({300, 1000}, DType::Float32);
  const Tensor tall = numbers({100000, 3}, DType::Float32);
  const auto all_of_them = [&] {
    const Tensor target = to(numbers({300}) * Scalar(400.0) + Scalar(450.0), DType::Int64);
    return std::vector<Tensor>{sum(x),          sum(x, 0),
                               sum(x, 1),       var(x),
                               var(x, 0),       norm(x),
                               sum(tall, 0),    softmax(x, 1),
                               softmax(x, 0),   cumsum(x, 1),
                               mean(tall),      var(tall, 0),
                               argmax(tall),    mse_loss(x, x * x),
                               logsumexp(x, 0), cross_entropy(x, target)};
  };
  const int before = get_num_threads();
  set_num_threads(1);
  const std::vector<Tensor> alone = all_of_them();
  set_num_threads(2);
  const std::vector<Tensor> together = all_of_them();
  set_num_threads(before);
  for (size_t i = 0; i < alone.size(); ++i) CHECK(same_bits(alone[i], together[i]));
}

/// The gradients of sum(f(x) * weights) up to `orders`, each taken through the one before.
std::vector<Tensor> derivatives(const std::function<Tensor(const Tensor&)>& f, const Tensor& at,
                                int orders) {
  const Tensor x = at.detach().set_requires_grad(true);
  std::vector<Tensor> result;
  Tensor y = f(x);
  for (int i = 0; i < orders && y.requires_grad(); ++i) {
    const Tensor s = sum(y * numbers(y.sizes(), DType::Float64, 0.3 * (i + 1)));
    y = grad({&s, 1}, {&x, 1}, {}, {.create_graph = true})[0];
    result.push_back(y.detach());
  }
  return result;
}

void check_same_derivatives(const std::function<Tensor(const Tensor&)>& fused,
                            const std::function<Tensor(const Tensor&)>& composed,
                            const Tensor& at) {
  CHECK_LE(distance(fused(at), composed(at)), 1e-12);
  const auto a = derivatives(fused, at, 3), b = derivatives(composed, at, 3);
  CHECK_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK_LE(distance(a[i], b[i]), 1e-9);
}

TEST(fused_operations_match_their_compositions_to_the_third_order) {
  const Tensor x = numbers({3, 4});
  const auto plain_softmax = [](const Tensor& t) { return exp(t) / sum(exp(t), 1, true); };
  check_same_derivatives([](const Tensor& t) { return softmax(t, 1); }, plain_softmax, x);
  check_same_derivatives([](const Tensor& t) { return log_softmax(t, 1); },
                         [&](const Tensor& t) { return log(plain_softmax(t)); }, x);
  check_same_derivatives([](const Tensor& t) { return logsumexp(t, 1); },
                         [](const Tensor& t) { return log(sum(exp(t), 1)); }, x);
  const Tensor target = from_values<int64_t>({2, 0, 3}, {3});
  check_same_derivatives(
      [&](const Tensor& t) { return cross_entropy(t, target); },
      [&](const Tensor& t) {
        return mean(log(sum(exp(t), 1)) - squeeze(gather(t, 1, unsqueeze(target, 1)), 1));
      },
      x);
  const Tensor goal = numbers({3, 4}, DType::Float64, 1);
  check_same_derivatives([&](const Tensor& t) { return mse_loss(t, goal); },
                         [&](const Tensor& t) { return mean((t - goal) * (t - goal)); }, x);
  check_same_derivatives([](const Tensor& t) { return var(t, 0); },
                         [](const Tensor& t) {
                           const Tensor d = t - sum(t, 0, true) / Scalar(3.0);
                           return sum(d * d, 0) / Scalar(2.0);
                         },
                         x);
  check_same_derivatives([](const Tensor& t) { return norm(t); },
                         [](const Tensor& t) { return sqrt(sum(t * t)); }, x);
}

TEST(gradients_of_products_know_no_division) {
  const Tensor x = from_values<double>({2, 0, 3, 5}, {4});
  const auto product = [](const Tensor& t) {
    return select(t, 0, 0) * select(t, 0, 1) * select(t, 0, 2) * select(t, 0, 3);
  };
  check_same_derivatives([](const Tensor& t) { return prod(t); }, product, x);
  check_same_derivatives([](const Tensor& t) { return select(cumprod(t, 0), 0, 3); }, product, x);
}

TEST(the_gradient_made_in_the_forward_pass_is_used_once) {
  const Tensor x = numbers({4, 70}).set_requires_grad(true);
  const Tensor target = from_values<int64_t>({0, 69, 3, 3}, {4});
  const Tensor loss = cross_entropy(x, target);
  const auto take = [&](double g) {
    const Tensor gradient = full({}, g, DType::Float64);
    return grad({&loss, 1}, {&x, 1}, {&gradient, 1}, {.retain_graph = true})[0];
  };
  Tensor first = take(1);
  const Tensor kept = clone(first);
  mul_(first, Scalar(0));  // the caller may do what it likes with its gradient
  CHECK_LE(distance(take(1), kept), 1e-15);
  CHECK_LE(distance(take(3), kept * Scalar(3.0)), 1e-15);
}

TEST(ties_share_and_indices_take_all) {
  Tensor x = from_values<double>({1, 5, 5, 2}, {4}).set_requires_grad(true);
  amax(x).backward();
  CHECK_EQ(value(select(x.grad(), 0, 1)), 0.5);
  CHECK_EQ(value(select(x.grad(), 0, 2)), 0.5);
  x.set_grad(Tensor());
  max(x, 0)[0].backward();
  CHECK_EQ(value(select(x.grad(), 0, 1)), 1.0);
  CHECK_EQ(value(select(x.grad(), 0, 2)), 0.0);
}

TEST(nan_wins_in_extrema) {
  const Tensor x = from_values<float>({1, NAN, 7, NAN}, {4});
  CHECK(std::isnan(value(amax(x))));
  CHECK(std::isnan(value(amin(x))));
  CHECK_EQ(value(argmax(x)), 1.0);
  CHECK_EQ(value(argmin(x)), 1.0);
}

TEST(logits_of_any_size_have_exact_losses) {
  const Tensor x = from_values<double>({-1000, -20, 0, 20, 1000}, {5});
  const Tensor zero = binary_cross_entropy_with_logits(x, zeros({5}, DType::Float64), {}, "none");
  CHECK_EQ(value(select(zero, 0, 0)), 0.0);
  CHECK_CLOSE(value(select(zero, 0, 1)) / std::log1p(std::exp(-20.0)), 1.0, 1e-14);
  CHECK_EQ(value(select(zero, 0, 4)), 1000.0);
  const Tensor infinite = full({1}, INFINITY, DType::Float64);
  CHECK_EQ(value(binary_cross_entropy_with_logits(infinite, ones({1}, DType::Float64))), 0.0);
  const Tensor far = from_values<float>({1e30F, 0, -1e30F}, {1, 3});
  CHECK_EQ(value(cross_entropy(far, from_values<int64_t>({0}, {1}))), 0.0);
}

TEST(a_column_against_a_line_is_an_error_with_the_fix) {
  const Tensor column = numbers({3, 1}), line = numbers({3});
  CHECK_THROWS(ShapeError, "input.squeeze(-1) or target.unsqueeze(-1)", mse_loss(column, line));
  CHECK_THROWS(ShapeError, "target.squeeze(-1) or input.unsqueeze(-1)", l1_loss(line, column));
  CHECK_THROWS(ShapeError, "(3, 1)", binary_cross_entropy_with_logits(column, line));
}

std::string last_warning;

TEST(a_repeated_operand_warns) {
  core::warning_hook.store([](const std::string& message) { last_warning = message; });
  const double loss = value(mse_loss(numbers({3, 2}), numbers({2})));
  core::warning_hook.store(nullptr);
  CHECK_LT(0.0, loss);
  CHECK_NE(last_warning.find("mse_loss: input (3, 2)"), std::string::npos);
}

TEST(a_target_out_of_range_is_named) {
  const Tensor x = numbers({2, 3});
  CHECK_THROWS(IndexError, "target 3 at position 1 is out of bounds for 3 classes",
               cross_entropy(x, from_values<int64_t>({0, 3}, {2})));
  CHECK_THROWS(IndexError, "target -1 at position (0, 1)",
               nll_loss(numbers({1, 3, 2}), from_values<int64_t>({0, -1}, {1, 2})));
  CHECK_THROWS(DTypeError, "target.long()", cross_entropy(x, numbers({2})));
  CHECK_THROWS(DTypeError, "weight.to(input.dtype)",
               cross_entropy(x, from_values<int64_t>({0, 1}, {2}), ones({3}, DType::Float32)));
}

TEST(reductions_refuse_what_has_no_answer) {
  CHECK_THROWS(ShapeError, "amax", amax(zeros({0})));
  CHECK_THROWS(IndexError, "non-zero size", max(zeros({0, 3}), 0));
  CHECK_THROWS(IndexError, "argmax", argmax(zeros({0})));
  CHECK_THROWS(DTypeError, ".float()", mean(zeros({2}, DType::Int64)));
  CHECK_THROWS(IndexError, "sum", sum(zeros({2}), 1));
  CHECK_THROWS(Error, "appears multiple times", sum(zeros({2, 2}), {0, 0}));
}

}  // namespace
