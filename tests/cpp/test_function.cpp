// Functions written in C++ against tapegrad/function.h: values, higher orders, forward mode, marks,
// names, errors, long chains.
#include <any>
#include <vector>

#include "check.h"
#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/function.h"
#include "tapegrad/ops.h"

namespace {

using namespace tapegrad;

Tensor leaf(double value) { return full({}, value, DType::Float64).set_requires_grad(true); }
double value(const Tensor& tensor) { return tensor.item().to_double(); }

struct Cube : Function<Cube> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, double scale) {
    ctx->save_for_backward({x, Tensor()});
    ctx->saved_data["scale"] = scale;
    return x * x * x * scale;
  }
  static std::vector<Tensor> backward(AutogradContext* ctx, std::vector<Tensor> gradients) {
    const std::vector<Tensor> saved = ctx->get_saved_variables();
    CHECK(!saved[1].defined());
    const double scale = std::any_cast<double>(ctx->saved_data["scale"]);
    return {gradients[0] * saved[0] * saved[0] * (3 * scale), Tensor()};
  }
  static std::vector<Tensor> jvp(AutogradContext* ctx, std::vector<Tensor> tangents) {
    const Tensor x = ctx->get_saved_variables()[0];
    const double scale = std::any_cast<double>(ctx->saved_data["scale"]);
    return {tangents[0] * x * x * (3 * scale)};
  }
};

struct Split : Function<Split> {
  static constexpr const char* name = "split_in_two";
  static std::vector<Tensor> forward(AutogradContext* ctx, const Tensor& x, const Tensor& y) {
    CHECK(ctx->needs_input_grad(0));
    const Tensor sign_of_x = sign(x);
    ctx->mark_non_differentiable({sign_of_x});
    ctx->set_materialize_grads(false);
    return {x * 2, y * 3, sign_of_x};
  }
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor> gradients) {
    CHECK(!gradients[1].defined());
    return {gradients[0] * 2, Tensor()};
  }
};

struct AddOne : Function<AddOne> {
  static Tensor forward(AutogradContext* ctx, Tensor x) {
    add_(x, ones({}, x.dtype()));
    ctx->mark_dirty({x});
    return x;
  }
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor> gradients) {
    return {gradients[0] * 5};
  }
};

struct TooMany : Function<TooMany> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x * 1; }
  static std::vector<Tensor> backward(AutogradContext*, std::vector<Tensor> gradients) {
    return {gradients[0], gradients[0]};
  }
};

TEST(a_function_has_values_and_derivatives_of_any_order) {
  const Tensor x = leaf(2);
  Tensor y = Cube::apply(x, 0.5);
  CHECK_EQ(value(y), 4.0);
  for (const double want : {6.0, 6.0}) {
    y = grad({&y, 1}, {&x, 1}, {}, {.create_graph = true})[0];
    CHECK_EQ(value(y), want);
  }
}

TEST(a_function_passes_tangents_at_two_levels) {
  const int outer = enter_dual_level();
  const int inner = enter_dual_level();
  const Tensor one = ones({}, DType::Float64);
  const Tensor x = make_dual(make_dual(full({}, 2, DType::Float64), one, outer), one, inner);
  const Tensor y = Cube::apply(x, 1.0);
  const Tensor first = unpack_dual(y, inner).second;
  CHECK_EQ(value(unpack_dual(first, outer).first), 12.0);
  CHECK_EQ(value(unpack_dual(first, outer).second), 12.0);
  exit_dual_level(inner);
  exit_dual_level(outer);
}

TEST(outputs_can_be_several_and_not_differentiable) {
  const Tensor x = leaf(2), y = leaf(3);
  const std::vector<Tensor> out = Split::apply(x, y);
  CHECK(out[0].requires_grad());
  CHECK(!out[2].requires_grad());
  out[0].backward();
  CHECK_EQ(value(x.grad()), 2.0);
  CHECK(!y.grad().defined());
}

TEST(an_input_written_in_place_is_the_result) {
  const Tensor x = leaf(2);
  const Tensor y = x * 3;
  const Tensor z = AddOne::apply(y);
  CHECK(z.is_same(y));
  z.backward();
  CHECK_EQ(value(x.grad()), 15.0);
}

TEST(errors_name_the_function) {
  const Tensor x = leaf(2);
  const Tensor y = TooMany::apply(x);
  bool caught = false;
  try {
    y.backward();
  } catch (const GradError& error) {
    const std::string what = error.what();
    caught = what.find("TooManyBackward") != std::string::npos &&
             what.find("expected 1, got 2") != std::string::npos;
  }
  CHECK(caught);
  const int level = enter_dual_level();
  caught = false;
  try {
    TooMany::apply(make_dual(full({}, 2, DType::Float64), ones({}, DType::Float64), level));
  } catch (const UnsupportedError&) {
    caught = true;
  }
  exit_dual_level(level);
  CHECK(caught);
}

TEST(a_long_chain_of_functions_is_walked_and_freed) {
  const Tensor x = leaf(1);
  Tensor y = x;
  for (int i = 0; i < 200000; ++i) y = Cube::apply(y, 1.0);
  y.backward();
  CHECK(x.grad().defined());
}

}  // namespace
