// An operation of the user's own, with its derivative: as good as a built-in one, to any order.
#include "tapegrad/function.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"

namespace tg = tapegrad;

namespace {

// log(1 + exp(x)) without overflow; its derivative is the sigmoid of x.
struct Softplus : tg::Function<Softplus> {
  static tg::Tensor forward(tg::AutogradContext* ctx, const tg::Tensor& x) {
    ctx->save_for_backward({x});
    return tg::relu(x) + tg::log1p(tg::exp(-tg::abs(x)));
  }
  static std::vector<tg::Tensor> backward(tg::AutogradContext* ctx,
                                          std::vector<tg::Tensor> gradients) {
    return {gradients[0] * tg::sigmoid(ctx->get_saved_variables()[0])};
  }
};

struct Wrong : tg::Function<Wrong> {
  static tg::Tensor forward(tg::AutogradContext*, const tg::Tensor& x) { return x * x; }
  static std::vector<tg::Tensor> backward(tg::AutogradContext*, std::vector<tg::Tensor>) {
    return {tg::ones({7})};
  }
};

// The second derivative of softplus, by differentiating the rule.
bool second_derivative_is_right() {
  const double at = 0.7, s = 1 / (1 + std::exp(-at));
  const tg::Tensor x = tg::full({}, at, tg::DType::Float64).set_requires_grad(true);
  const tg::Tensor y = Softplus::apply(x);
  const tg::Tensor first = tg::grad({&y, 1}, {&x, 1}, {}, {.create_graph = true})[0];
  const tg::Tensor second = tg::grad({&first, 1}, {&x, 1})[0];
  return std::abs(first.item().to_double() - s) < 1e-12 &&
         std::abs(second.item().to_double() - s * (1 - s)) < 1e-12;
}

bool a_wrong_rule_is_named() {
  const tg::Tensor x = tg::ones({2}).set_requires_grad(true);
  try {
    tg::sum(Wrong::apply(x)).backward();
  } catch (const tg::ShapeError& error) {
    return std::string(error.what()).find("WrongBackward") != std::string::npos;
  }
  return false;
}

}  // namespace

int main() {
  const bool right = second_derivative_is_right(), named = a_wrong_rule_is_named();
  std::printf("custom function: second derivative %s, wrong rule %s\n", right ? "right" : "WRONG",
              named ? "named" : "MISSED");
  return right && named ? 0 : 1;
}
