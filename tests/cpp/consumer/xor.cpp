// Trains a network of two layers on XOR with the public C++ interface alone.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/random.h"
#include "tapegrad/tensor.h"
#include "tapegrad/version.h"

namespace tg = tapegrad;

namespace {

tg::Tensor parameter(std::vector<int64_t> shape, double scale) {
  tg::Tensor values = tg::rand(shape);
  float* data = values.data_ptr<float>();
  for (int64_t i = 0; i < values.numel(); ++i)
    data[i] = static_cast<float>((2 * data[i] - 1) * scale);
  values.set_requires_grad(true);
  return values;
}

// p -= rate * p.grad, and the gradient is dropped.
void descend(tg::Tensor& p, float rate) {
  const tg::Tensor gradient = p.grad();
  float* value = p.data_ptr<float>();
  const float* slope = gradient.data_ptr<float>();
  for (int64_t i = 0; i < p.numel(); ++i) value[i] -= rate * slope[i];
  p.set_grad({});
}

// The last loss of 2000 steps.
double train() {
  tg::manual_seed(0);
  const tg::Tensor x = tg::from_values<float>({0, 0, 0, 1, 1, 0, 1, 1}, {4, 2});
  const tg::Tensor y = tg::from_values<float>({0, 1, 1, 0}, {4, 1});
  std::vector<tg::Tensor> parameters = {parameter({8, 2}, 1.0), parameter({8}, 1.0),
                                        parameter({1, 8}, 0.5), parameter({1}, 0.5)};
  double loss_value = 0;
  for (int step = 0; step < 2000; ++step) {
    const tg::Tensor hidden = tg::tanh(tg::linear(x, parameters[0], parameters[1]));
    const tg::Tensor logits = tg::linear(hidden, parameters[2], parameters[3]);
    const tg::Tensor loss = tg::binary_cross_entropy_with_logits(logits, y);
    loss.backward();
    for (tg::Tensor& p : parameters) descend(p, 0.5F);
    loss_value = *loss.data_ptr<float>();
  }
  return loss_value;
}

// A type thrown by the library must be caught as that type by code that hides its own symbols.
bool errors_cross_the_border() {
  try {
    tg::matmul(tg::ones({2, 3}), tg::ones({4, 5}));
  } catch (const tg::ShapeError& error) {
    const std::string what = error.what();
    return what.find("matmul") != std::string::npos && what.find('3') != std::string::npos;
  }
  return false;
}

}  // namespace

int main() {
  const double loss = train();
  const bool caught = errors_cross_the_border();
  std::printf("tapegrad %s: XOR loss %.6f, errors %s\n", TAPEGRAD_VERSION, loss,
              caught ? "caught by type" : "LOST");
  return std::isfinite(loss) && loss < 0.01 && caught ? 0 : 1;
}
