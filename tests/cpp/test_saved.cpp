// Saved tensors from C++: hooks that pack them, anomaly mode, versions.
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/tensor_impl.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace {

using namespace tapegrad;

Tensor leaf(const std::vector<double>& values) {
  return from_values(values, {static_cast<int64_t>(values.size())}).set_requires_grad(true);
}
double at(const Tensor& tensor, int64_t i) { return select(tensor, 0, i).item().to_double(); }

/// Keeps half of a tensor's values in another place, and counts its own life.
class Doubled final : public PackedTensor {
 public:
  Doubled(const Tensor& tensor, std::shared_ptr<int> alive)
      : half_(detach(tensor) * Scalar(0.5)), alive_(std::move(alive)) {
    ++*alive_;
  }
  ~Doubled() override { --*alive_; }
  Tensor unpack() override { return half_ * Scalar(2.0); }

 private:
  Tensor half_;
  std::shared_ptr<int> alive_;
};

PackHook doubling(const std::shared_ptr<int>& alive) {
  return [alive](const Tensor& tensor) { return std::make_unique<Doubled>(tensor, alive); };
}

template <class F>
std::string message_of(F call) {
  try {
    call();
  } catch (const GradError& error) {
    return error.what();
  }
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(packed_tensors_give_the_gradient_and_die_with_the_pass) {
  const auto alive = std::make_shared<int>(0);
  const Tensor x = leaf({1, 2});
  push_saved_tensor_hook(doubling(alive));
  const Tensor y = sum(exp(x) * x);
  pop_saved_tensor_hook();
  CHECK_EQ(*alive, 3);
  backward({&y, 1}, {}, {.retain_graph = true});
  CHECK_EQ(*alive, 3);
  y.backward();
  CHECK_EQ(*alive, 0);
  CHECK_CLOSE(at(x.grad(), 1), 2 * 3 * std::exp(2.0), 1e-12);
}

TEST(hooks_nest_and_belong_to_the_thread) {
  const auto outer = std::make_shared<int>(0), inner = std::make_shared<int>(0);
  const Tensor x = leaf({1, 2});
  push_saved_tensor_hook(doubling(outer));
  push_saved_tensor_hook(doubling(inner));
  const Tensor a = exp(x);
  std::thread([&] { const Tensor b = exp(x); }).join();
  pop_saved_tensor_hook();
  const Tensor c = exp(x);
  pop_saved_tensor_hook();
  const Tensor d = exp(x);
  CHECK_EQ(*inner, 1);
  CHECK_EQ(*outer, 1);
  CHECK(contains(message_of([] { pop_saved_tensor_hook(); }), "no hook is active"));
}

TEST(higher_orders_read_packed_tensors) {
  const auto alive = std::make_shared<int>(0);
  const Tensor x = leaf({0.5, 2});
  push_saved_tensor_hook(doubling(alive));
  const Tensor y = sum(x * x * x);
  pop_saved_tensor_hook();
  const Tensor first = grad({&y, 1}, {&x, 1}, {}, {.create_graph = true})[0];
  const Tensor total = sum(first);
  const Tensor second = grad({&total, 1}, {&x, 1})[0];
  CHECK_CLOSE(at(second, 0), 3.0, 1e-14);
  CHECK_CLOSE(at(second, 1), 12.0, 1e-14);
}

TEST(disabled_hooks_are_an_error_with_the_given_words) {
  CHECK_EQ(disable_saved_tensor_hooks("not here"), std::string());
  CHECK_EQ(message_of([] { push_saved_tensor_hook(doubling(std::make_shared<int>(0))); }),
           std::string("not here"));
  CHECK_EQ(disable_saved_tensor_hooks(""), std::string("not here"));
}

TEST(a_hook_that_gives_back_another_shape_is_named) {
  class Wrong final : public PackedTensor {
   public:
    Tensor unpack() override { return zeros({3}, DType::Float64); }
  };
  const Tensor x = leaf({1, 2});
  push_saved_tensor_hook([](const Tensor&) { return std::make_unique<Wrong>(); });
  const Tensor y = sum(exp(x));
  pop_saved_tensor_hook();
  CHECK(contains(message_of([&] { y.backward(); }), "ExpBackward: the unpack hook returned"));
}

TEST(anomaly_mode_names_the_operation_that_made_a_nan) {
  const Tensor x = leaf({0, 4});
  const AnomalyMode before = set_anomaly_mode({.enabled = true});
  CHECK(!before.enabled);
  const Tensor y = sum(sqrt(x) * Scalar(0.0));
  const std::string message = message_of([&] { y.backward(); });
  set_anomaly_mode(before);
  CHECK(contains(message, "Function 'SqrtBackward' returned nan values in its 0th output"));
  CHECK(contains(message, "(float64 tensor of shape (2,)) -> float64 tensor of shape (2,)"));
  CHECK(!anomaly_mode().enabled);
}

TEST(writes_through_a_pointer_are_noticed_in_anomaly_mode_or_made_known) {
  const Tensor x = leaf({1, 2}), c = from_values<double>({3, 4}, {2});
  const AnomalyMode before = set_anomaly_mode({.enabled = true, .check_nan = false});
  const Tensor y = sum(x * c);
  set_anomaly_mode(before);
  static_cast<double*>(c.data())[0] = 7;
  CHECK(contains(message_of([&] { y.backward(); }), "was written after it was saved"));
  const Tensor z = sum(x * c);
  static_cast<double*>(c.data())[0] = 8;
  increment_version(c);
  CHECK(contains(message_of([&] { z.backward(); }), "modified by an inplace operation"));
}

}  // namespace
