// Our convolutions and products beside oneDNN's own primitives of the same shapes, on one thread:
//
//   cmake -S . -B build -DTAPEGRAD_BUILD_TESTS=ON && ninja -C build onednn_times
//   OMP_NUM_THREADS=1 build/tests/cpp/onednn_times
//
// oneDNN gets images channels-last, as ours are, and weights that it has laid out beforehand as it
// likes; ours are given as PyTorch lays them out. Processor time, the best of many calls in turn.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <dnnl.hpp>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/contraction.h"
#include "kernels/convolution.h"
#include "tapegrad/parallel.h"

namespace {

using dnnl::memory;
using tapegrad::kernels::ConvolutionArgs;
using tapegrad::kernels::MatmulArgs;
using Call = std::function<void()>;
using Arguments = std::unordered_map<int, memory>;

constexpr auto kFloat = memory::data_type::f32;
constexpr double kLeastSeconds = 0.02;  // of calls between two looks at the clock
constexpr int kTurns = 7;

double now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double time_of(const Call& call, int calls) {
  const double begin = now();
  for (int i = 0; i < calls; ++i) call();
  return (now() - begin) / calls;
}

/// Ours by theirs, each the best of its turns.
double compare(const std::string& name, const Call& ours, const Call& theirs) {
  ours();
  theirs();
  const int calls = std::max(1, static_cast<int>(kLeastSeconds / time_of(theirs, 1)));
  double best[2] = {1e9, 1e9};
  for (int turn = 0; turn < kTurns; ++turn) {
    best[0] = std::min(best[0], time_of(ours, calls));
    best[1] = std::min(best[1], time_of(theirs, calls));
  }
  std::printf("  %-38s%10.1f us%10.1f us%8.2f\n", name.c_str(), best[0] * 1e6, best[1] * 1e6,
              best[0] / best[1]);
  return best[0] / best[1];
}

std::vector<float> ramp(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  double at = 0;
  for (float& value : values) {
    at = std::fmod(at + 0.6180339887498949, 1.0);
    value = static_cast<float>(at) - 0.5F;
  }
  return values;
}

class Peer {
 public:
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};

  memory of(const memory::desc& desc, float* data) const { return {desc, engine, data}; }
  /// Memory of its own, with numbers in it.
  memory own(const memory::desc& desc) const {
    const memory result(desc, engine);
    const auto count = static_cast<int64_t>(desc.get_size() / sizeof(float));
    const std::vector<float> values = ramp(count);
    std::copy(values.begin(), values.end(), static_cast<float*>(result.get_data_handle()));
    return result;
  }
  void run(const dnnl::primitive& primitive, const Arguments& arguments) {
    primitive.execute(stream, arguments);
    stream.wait();
  }
};

struct Shape {
  const char* name;
  int spatial;
  int64_t batch, in_channels, out_channels, groups, size, kernel, stride, padding, depth;
};

const Shape kShapes[] = {
    {"LeNet 1: 1 to 32, 28, kernel 3", 2, 64, 1, 32, 1, 28, 3, 1, 0, 1},
    {"LeNet 2: 32 to 64, 26, kernel 3", 2, 64, 32, 64, 1, 26, 3, 1, 0, 1},
    {"ResNet 16 to 16, 32", 2, 32, 16, 16, 1, 32, 3, 1, 1, 1},
    {"ResNet 16 to 32, 32, stride 2", 2, 32, 16, 32, 1, 32, 3, 2, 1, 1},
    {"ResNet 32 to 32, 16", 2, 32, 32, 32, 1, 16, 3, 1, 1, 1},
    {"ResNet 64 to 64, 8", 2, 32, 64, 64, 1, 8, 3, 1, 1, 1},
    {"1 x 1: 64 to 128, 28", 2, 16, 64, 128, 1, 28, 1, 1, 0, 1},
    {"kernel 5: 16 to 32, 14", 2, 32, 16, 32, 1, 14, 5, 1, 2, 1},
    {"1-d: 64 to 64, 256", 1, 16, 64, 64, 1, 256, 3, 1, 1, 1},
    {"1-d: 128 to 64, 512, kernel 7", 1, 8, 128, 64, 1, 512, 7, 1, 3, 1},
    {"3-d: 16 to 32, 8 x 14 x 14", 3, 4, 16, 32, 1, 14, 3, 1, 1, 8},
    {"groups of 16: 64 to 64, 28", 2, 16, 64, 64, 4, 28, 3, 1, 1, 1},
    {"depthwise: 64, 28", 2, 16, 64, 64, 64, 28, 3, 1, 1, 1},
};

ConvolutionArgs arguments_of(const Shape& s) {
  ConvolutionArgs a;
  a.spatial = s.spatial;
  a.batch = s.batch, a.groups = s.groups;
  a.in_channels = s.in_channels, a.out_channels = s.out_channels;
  for (int d = 3 - s.spatial; d < 3; ++d) {
    a.in[d] = d == 0 ? s.depth : s.size;
    a.kernel[d] = s.kernel, a.stride[d] = s.stride, a.padding[d] = s.padding;
    a.out[d] = (a.in[d] + 2 * s.padding - s.kernel) / s.stride + 1;
  }
  return a;
}

memory::desc image(const ConvolutionArgs& a, const int64_t* spatial, int64_t channels) {
  memory::dims sizes{a.batch, channels};
  sizes.insert(sizes.end(), spatial + 3 - a.spatial, spatial + 3);
  constexpr memory::format_tag kTags[] = {memory::format_tag::nwc, memory::format_tag::nhwc,
                                          memory::format_tag::ndhwc};
  return {sizes, kFloat, kTags[a.spatial - 1]};
}

/// The three passes of one shape.
void convolutions(const Shape& s, Peer& peer, std::vector<double>& ratios) {
  const ConvolutionArgs a = arguments_of(s);
  std::vector<float> x = ramp(a.batch * a.in_positions() * a.in_channels);
  std::vector<float> y = ramp(a.batch * a.out_positions() * a.out_channels);
  std::vector<float> w = ramp(a.weight_count());
  std::vector<float> to_x = x, to_y = y, to_w = w;
  const auto src = image(a, a.in, a.in_channels), dst = image(a, a.out, a.out_channels);
  memory::dims sizes;
  if (a.groups > 1) sizes.push_back(a.groups);
  sizes.insert(sizes.end(), {a.out_channels / a.groups, a.in_channels / a.groups});
  sizes.insert(sizes.end(), a.kernel + 3 - a.spatial, a.kernel + 3);
  const memory::desc weight(sizes, kFloat, memory::format_tag::any);
  const memory::dims strides(a.stride + 3 - a.spatial, a.stride + 3);
  const memory::dims padding(a.padding + 3 - a.spatial, a.padding + 3);
  constexpr auto kDirect = dnnl::algorithm::convolution_direct;
  const dnnl::convolution_forward::primitive_desc forward(
      peer.engine, dnnl::prop_kind::forward_training, kDirect, src, weight, dst, strides, padding,
      padding);
  const dnnl::convolution_backward_data::primitive_desc data(peer.engine, kDirect, src, weight, dst,
                                                             strides, padding, padding, forward);
  const dnnl::convolution_backward_weights::primitive_desc weights(
      peer.engine, kDirect, src, weight, dst, strides, padding, padding, forward);
  const auto call = [&](const dnnl::primitive& primitive, const Arguments& arguments) -> Call {
    return [&peer, primitive, arguments] { peer.run(primitive, arguments); };
  };
  const memory in = peer.of(src, x.data()), out = peer.of(dst, y.data());
  const memory to_in = peer.own(src), to_out = peer.own(dst);
  std::printf("%s\n", s.name);
  void* const of_forward[] = {to_y.data(), x.data(), w.data(), nullptr};
  ratios.push_back(compare(
      "forward", [&] { tapegrad::kernels::convolve(of_forward, a); },
      call(dnnl::convolution_forward(forward),
           {{DNNL_ARG_SRC, in},
            {DNNL_ARG_WEIGHTS, peer.own(forward.weights_desc())},
            {DNNL_ARG_DST, to_out}})));
  void* const of_input[] = {to_x.data(), y.data(), w.data(), nullptr};
  if (a.in_channels > 1) {  // nobody asks for the gradient of single-channel images
    ratios.push_back(compare(
        "gradient of the input (transposed)",
        [&] { tapegrad::kernels::convolve_input_gradient(of_input, a); },
        call(dnnl::convolution_backward_data(data),
             {{DNNL_ARG_DIFF_SRC, to_in},
              {DNNL_ARG_WEIGHTS, peer.own(data.weights_desc())},
              {DNNL_ARG_DIFF_DST, out}})));
  }
  void* const of_weight[] = {to_w.data(), nullptr, x.data(), y.data()};
  ratios.push_back(compare(
      "gradient of the weight", [&] { tapegrad::kernels::convolve_weight_gradient(of_weight, a); },
      call(dnnl::convolution_backward_weights(weights),
           {{DNNL_ARG_SRC, in},
            {DNNL_ARG_DIFF_WEIGHTS, peer.own(weights.diff_weights_desc())},
            {DNNL_ARG_DIFF_DST, out}})));
}

void product(int64_t m, int64_t k, int64_t n, Peer& peer, std::vector<double>& ratios) {
  std::vector<float> a = ramp(m * k), b = ramp(k * n), c = ramp(m * n);
  MatmulArgs args;
  args.m = m, args.n = n, args.k = k;
  args.a_row = k, args.a_col = 1, args.b_row = n, args.b_col = 1, args.c_row = n;
  void* const data[] = {c.data(), a.data(), b.data(), nullptr};
  const auto desc = [](int64_t rows, int64_t columns) {
    return memory::desc({rows, columns}, kFloat, memory::format_tag::ab);
  };
  const dnnl::matmul::primitive_desc pd(peer.engine, desc(m, k), desc(k, n), desc(m, n));
  const dnnl::matmul primitive(pd);
  const Arguments arguments{{DNNL_ARG_SRC, peer.of(desc(m, k), a.data())},
                            {DNNL_ARG_WEIGHTS, peer.of(desc(k, n), b.data())},
                            {DNNL_ARG_DST, peer.of(desc(m, n), c.data())}};
  ratios.push_back(compare(
      std::to_string(m) + " x " + std::to_string(k) + " x " + std::to_string(n),
      [&] { tapegrad::kernels::matmul(data, args); }, [&] { peer.run(primitive, arguments); }));
}

}  // namespace

int main() {
  tapegrad::set_num_threads(1);
  Peer peer;
  std::vector<double> ratios;
  std::printf("%-40s%13s%13s%8s\n", "", "ours", "oneDNN", "ratio");
  for (const Shape& shape : kShapes) convolutions(shape, peer, ratios);
  std::printf("products\n");
  for (const int64_t n : {32, 64, 128, 256, 512, 1024}) product(n, n, n, peer, ratios);
  product(128, 784, 512, peer, ratios);
  product(1024, 128, 384, peer, ratios);
  product(32, 256, 1024, peer, ratios);
  product(4096, 64, 10, peer, ratios);
  std::sort(ratios.begin(), ratios.end());
  const auto slow = std::count_if(ratios.begin(), ratios.end(), [](double r) { return r > 1.25; });
  std::printf("median %.2f, largest %.2f, above 1.25: %ld of %zu\n", ratios[ratios.size() / 2],
              ratios.back(), static_cast<long>(slow), ratios.size());
}
