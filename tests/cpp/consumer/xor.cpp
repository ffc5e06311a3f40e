// Trains a network of two layers on XOR with the public C++ interface alone, and saves and loads
// it.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "tapegrad/autograd.h"
#include "tapegrad/error.h"
#include "tapegrad/io.h"
#include "tapegrad/ops.h"
#include "tapegrad/optim.h"
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

struct Network {
  tg::Tensor w1 = parameter({8, 2}, 1.0), b1 = parameter({8}, 1.0);
  tg::Tensor w2 = parameter({1, 8}, 0.5), b2 = parameter({1}, 0.5);

  tg::Tensor operator()(const tg::Tensor& x) const {
    return tg::linear(tg::tanh(tg::linear(x, w1, b1)), w2, b2);
  }
};

// The last loss of 500 steps.
double train(const Network& net, const tg::Tensor& x, const tg::Tensor& y) {
  tg::SGD optimizer({net.w1, net.b1, net.w2, net.b2}, {.lr = 0.5, .momentum = 0.9});
  double loss_value = 0;
  for (int step = 0; step < 500; ++step) {
    const tg::Tensor loss = tg::binary_cross_entropy_with_logits(net(x), y);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    loss_value = *loss.data_ptr<float>();
  }
  return loss_value;
}

// Whether a copy that was written to a file and read again gives the same outputs.
bool survives_a_file(const Network& net, const tg::Tensor& x) {
  const std::string path = "xor.safetensors";
  tg::save_safetensors({{"w1", net.w1}, {"b1", net.b1}, {"w2", net.w2}, {"b2", net.b2}}, path);
  const tg::SafetensorsFile file = tg::load_safetensors(path);
  std::remove(path.c_str());
  const Network twin{file.at("w1"), file.at("b1"), file.at("w2"), file.at("b2")};
  const tg::Tensor ours = net(x), theirs = twin(x);
  for (int64_t i = 0; i < ours.numel(); ++i) {
    if (ours.data_ptr<float>()[i] != theirs.data_ptr<float>()[i]) return false;
  }
  return true;
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
  tg::manual_seed(0);
  const tg::Tensor x = tg::from_values<float>({0, 0, 0, 1, 1, 0, 1, 1}, {4, 2});
  const tg::Tensor y = tg::from_values<float>({0, 1, 1, 0}, {4, 1});
  const Network net;
  const double loss = train(net, x, y);
  const bool kept = survives_a_file(net, x);
  const bool caught = errors_cross_the_border();
  std::printf("tapegrad %s: XOR loss %.6f, file %s, errors %s\n", TAPEGRAD_VERSION, loss,
              kept ? "read back" : "CHANGED", caught ? "caught by type" : "LOST");
  return std::isfinite(loss) && loss < 0.01 && kept && caught ? 0 : 1;
}
