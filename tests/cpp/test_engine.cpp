// The tape and the engine from C++: values, higher orders, in-place writes, hooks, errors, long
// chains, threads.
#include <cmath>
#include <thread>
#include <vector>

#include "autograd/meta.h"
#include "check.h"
#include "core/tensor_impl.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace {

using namespace tapegrad;

Tensor leaf(double value) { return full({}, value, DType::Float64).set_requires_grad(true); }
Tensor leaf(const std::vector<double>& values) {
  return from_values(values, {static_cast<int64_t>(values.size())}).set_requires_grad(true);
}
double value(const Tensor& tensor) { return tensor.item().to_double(); }
double at(const Tensor& tensor, int64_t i) { return value(select(tensor, 0, i)); }

TEST(product_and_sum_have_the_textbook_gradients) {
  const Tensor a = leaf(3), b = leaf(4);
  (a * b + a).backward();
  CHECK_EQ(value(a.grad()), 5.0);
  CHECK_EQ(value(b.grad()), 3.0);
}

TEST(a_ladder_of_doublings_visits_each_node_once) {
  const Tensor x = leaf(1);
  Tensor y = x;
  for (int i = 0; i < 60; ++i) y = y + y;
  y.backward();
  CHECK_EQ(value(x.grad()), std::ldexp(1.0, 60));
}

TEST(gradients_of_gradients_to_the_fourth_order) {
  const Tensor x = leaf(2);
  Tensor y = x * x * x * x;
  const double expected[] = {32, 48, 48, 24};
  for (const double want : expected) {
    y = grad({&y, 1}, {&x, 1}, {}, {.create_graph = true})[0];
    CHECK_CLOSE(value(y), want, 1e-12);
  }
}

TEST(broadcast_gradients_are_summed_to_the_operand) {
  const Tensor a = leaf({1, 2, 3});
  const Tensor b = leaf(2);
  const Tensor product = a * b;
  product.backward(ones({3}, DType::Float64));
  CHECK_EQ(value(b.grad()), 6.0);
  CHECK_EQ(at(a.grad(), 2), 2.0);
}

TEST(changing_a_saved_tensor_is_an_error_that_names_the_operation) {
  const Tensor x = leaf(2);
  Tensor y = x * Scalar(3);
  const Tensor z = y * y;
  add_(y, Scalar(1));
  CHECK_THROWS(GradError, "modified by an inplace operation", z.backward());
}

TEST(in_place_operations_follow_the_tape) {
  const Tensor x = leaf({1, 2});
  Tensor y = x * Scalar(2);
  mul_(y, x);  // 2 x^2
  y.backward(ones({2}, DType::Float64));
  CHECK_EQ(at(x.grad(), 0), 4.0);
  CHECK_EQ(at(x.grad(), 1), 8.0);
}

TEST(a_write_through_a_view_reaches_base_and_other_views) {
  const Tensor x = leaf(5);
  Tensor base = zeros({3}, DType::Float64);
  Tensor first = select(base, 0, 0);
  const Tensor again = select(base, 0, 0);
  copy_(first, x * x);
  CHECK(base.requires_grad());
  CHECK(again.requires_grad());
  (again * Scalar(3)).backward();
  CHECK_EQ(value(x.grad()), 30.0);
}

TEST(a_leaf_cannot_be_written_while_recording) {
  Tensor x = leaf(1);
  CHECK_THROWS(GradError, "leaf Variable", add_(x, Scalar(1)));
  const NoGrad guard;
  add_(x, Scalar(1));
  CHECK_EQ(value(x), 2.0);
}

TEST(a_second_backward_explains_itself) {
  const Tensor x = leaf(2);
  const Tensor y = x * x;
  y.backward();
  CHECK_THROWS(GradError, "MulBackward", y.backward());
}

TEST(hooks_see_and_replace_gradients) {
  const Tensor x = leaf(2);
  const Tensor y = x * x;
  double seen = 0;
  register_hook(y, [&](const Tensor& g) {
    seen = value(g);
    return g * Scalar(10);
  });
  (y * Scalar(3)).backward();
  CHECK_EQ(seen, 3.0);
  CHECK_EQ(value(x.grad()), 120.0);
}

TEST(an_error_in_a_hook_leaves_the_engine_ready) {
  const Tensor x = leaf(2);
  const Tensor y = x * x;
  const int64_t id =
      register_hook(y, [](const Tensor&) -> Tensor { throw Error("from the hook"); });
  CHECK_THROWS(Error, "from the hook", y.backward({}, true));
  remove_hook(y, id);
  CHECK(!x.grad().defined());
  y.backward();
  CHECK_EQ(value(x.grad()), 4.0);
}

TEST(backward_inside_a_hook_has_slots_of_its_own) {
  const Tensor x = leaf(2), w = leaf(3);
  const Tensor y = x * x;
  register_hook(y, [&](const Tensor&) {
    const Tensor inner = w * w;
    bool before = set_grad_enabled(true);
    (w * w).backward();
    set_grad_enabled(before);
    return Tensor();
  });
  (y * w).backward();
  CHECK_EQ(value(x.grad()), 12.0);
  CHECK_EQ(value(w.grad()), 4.0 + 6.0);
}

TEST(grad_prunes_and_reports_unused_inputs) {
  const Tensor x = leaf(2), unused = leaf(1);
  const Tensor y = x * x;
  const Tensor inputs[] = {x, unused};
  CHECK_THROWS(GradError, "allow_unused", grad({&y, 1}, inputs, {}, {.retain_graph = true}));
  const auto gradients = grad({&y, 1}, inputs, {}, {}, true);
  CHECK_EQ(value(gradients[0]), 4.0);
  CHECK(!gradients[1].defined());
  CHECK(!x.grad().defined());
}

TEST(tangents_agree_with_gradients) {
  const int level = enter_dual_level();
  const Tensor x = make_dual(full({}, 0.5, DType::Float64), full({}, 1.0, DType::Float64), level);
  const Tensor tangent = unpack_dual(exp(x * x) / x, level).second;
  exit_dual_level(level);
  const Tensor r = leaf(0.5);
  (exp(r * r) / r).backward();
  CHECK_CLOSE(value(tangent), value(r.grad()), 1e-14);
}

TEST(a_million_nodes_build_run_and_die_without_recursion) {
  const Tensor c = leaf(1);
  Tensor y = c;
  for (int i = 0; i < 1000000; ++i) y = y * c;
  y.backward();
  CHECK_EQ(value(c.grad()), 1000001.0);
}

TEST(threads_with_own_graphs_share_leaves_safely) {
  const Tensor w = leaf(1);
  std::vector<std::thread> threads;
  constexpr int kThreads = 4, kSteps = 500;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&w] {
      for (int i = 0; i < kSteps; ++i) (w * Scalar(2)).backward();
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(value(w.grad()), 2.0 * kThreads * kSteps);
}

TEST(every_edge_points_to_an_older_node) {
  const Tensor x = leaf(2);
  const Tensor y = exp(x * x) + x;
  std::vector<autograd::Node*> stack{autograd::grad_fn(y).get()};
  int visited = 0;
  while (!stack.empty()) {
    autograd::Node* node = stack.back();
    stack.pop_back();
    ++visited;
    for (const autograd::Edge& edge : node->edges) {
      if (!edge.node) continue;
      CHECK_LT(edge.node->sequence(), node->sequence());
      stack.push_back(edge.node.get());
    }
  }
  CHECK_LT(3, visited);
}

}  // namespace
