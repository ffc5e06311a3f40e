#include "kernels/convolution_winograd.h"

#include <algorithm>
#include <vector>

#include "core/allocator.h"
#include "core/parallel.h"
#include "kernels/winograd.h"

namespace tapegrad::kernels {
namespace {

// Transforms of the weight take as long as those of some tiles, and must come from somewhere.
constexpr int64_t kLeastTiles = 16, kWeightsOfTile = 2048;
// More weights than these come from too far away for each few tiles. Their gradient's sums are read
// and written.
constexpr int64_t kMostWeights = int64_t{512} * 512, kMostSummed = int64_t{256} * 256;
// Work below which a call is not worth a thread, in multiplications.
constexpr int64_t kThreadWork = int64_t{1} << 18;
// Pieces of the sums of the gradient of a weight: each has sums of its own.
constexpr int64_t kMostSums = 8;
constexpr int64_t kTilesOfSum = 256;
constexpr int64_t kFloatsOfSums = int64_t{4} << 20;

int64_t blocks(int64_t count, int64_t block) { return (count + block - 1) / block; }

bool fits(ConvolutionPass pass, const ConvolutionArgs& a) {
  if (a.dtype != DType::Float32 || a.spatial != 2 || a.groups != 1) return false;
  for (int d = 1; d < 3; ++d) {
    if (a.kernel[d] != 3 || a.stride[d] != 1 || a.dilation[d] != 1) return false;
  }
  const int64_t weights = a.in_channels * a.out_channels;
  const int64_t most = pass == ConvolutionPass::WeightGradient ? kMostSummed : kMostWeights;
  const int64_t tiles = a.batch * blocks(a.out[1], 2) * blocks(a.out[2], 2);
  return a.in_channels % kWinogradChannels == 0 && a.out_channels % kWinogradChannels == 0 &&
         weights <= most && tiles >= kLeastTiles && tiles * kWeightsOfTile >= weights;
}

/// As the kernels see it: for the gradient of the input, the output is what is read.
WinogradArgs describe(ConvolutionPass pass, const ConvolutionArgs& a) {
  WinogradArgs w;
  w.channels = a.in_channels;
  w.outputs = a.out_channels;
  for (int d = 0; d < 2; ++d) {
    w.in[d] = a.in[d + 1];
    w.out[d] = a.out[d + 1];
    w.padding[d] = a.padding[d + 1];
  }
  if (pass == ConvolutionPass::InputGradient) {
    std::swap(w.channels, w.outputs);
    std::swap(w.in, w.out);
    for (int64_t& padding : w.padding) padding = 2 - padding;
  }
  return w;
}

/// f on some of the outputs of the weight.
template <class F>
void for_outputs(WinogradWeights shape, F&& f) {
  const int64_t unit = 16 * kWinogradChannels * shape.channels;
  core::parallel_for(0, shape.outputs / kWinogradChannels, kThreadWork / unit + 1,
                     [&](int64_t begin, int64_t end) {
                       WinogradWeights part = shape;
                       part.first = begin * kWinogradChannels;
                       part.last = end * kWinogradChannels;
                       f(part);
                     });
}

bool any_set(const std::vector<unsigned char>& flags) {
  return std::ranges::any_of(flags, [](unsigned char flag) { return flag != 0; });
}

size_t bytes(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }

bool run_images(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args) {
  const WinogradArgs all = describe(pass, args);
  const core::Scratch weight(bytes(kWinogradPlaces * all.channels * all.outputs));
  std::vector<unsigned char> wild(static_cast<size_t>(all.outputs / kWinogradChannels), 0);
  const WinogradWeights shape{.channels = all.channels,
                              .outputs = all.outputs,
                              .turned = pass == ConvolutionPass::InputGradient};
  for_outputs(shape, [&](const WinogradWeights& part) {
    void* const weights[] = {weight.as<void>(), data[2],
                             &wild[static_cast<size_t>(part.first / kWinogradChannels)]};
    winograd_weights(weights, part);
  });
  if (any_set(wild)) return false;
  const int64_t tiles = args.batch * all.tiles_of_sample(), chunk = winograd_chunk(all);
  const int64_t units = blocks(tiles, chunk);
  const int64_t unit = chunk * kWinogradPlaces * all.channels * all.outputs;
  wild.assign(static_cast<size_t>(units), 0);
  core::parallel_for(0, units, kThreadWork / unit + 1, [&](int64_t begin, int64_t end) {
    const core::Scratch scratch(winograd_scratch(all));
    WinogradArgs part = all;
    part.first = begin * chunk;
    part.last = std::min(end * chunk, tiles);
    void* const operands[] = {data[0],
                              data[1],
                              weight.as<void>(),
                              data[3],
                              scratch.as<void>(),
                              &wild[static_cast<size_t>(begin)]};
    winograd_images(operands, part);
  });
  return !any_set(wild);
}

void add_up(float* lists, int64_t count, int64_t width) {
  core::parallel_for(0, width, 32768, [&](int64_t begin, int64_t end) {
    for (int64_t i = 1; i < count; ++i) {
      for (int64_t k = begin; k < end; ++k) lists[k] += lists[i * width + k];
    }
  });
}

bool run_sums(void* const* data, const ConvolutionArgs& args) {
  const WinogradArgs all = describe(ConvolutionPass::WeightGradient, args);
  const int64_t tiles = args.batch * all.tiles_of_sample();
  const int64_t weights = kWinogradPlaces * all.channels * all.outputs;
  const int64_t pieces =
      std::clamp<int64_t>(std::min(tiles / kTilesOfSum, kFloatsOfSums / weights), 1, kMostSums);
  const int64_t width = weights + (data[1] ? all.outputs : 0);
  const core::Scratch room(bytes(pieces * width));
  auto* const sums = room.as<float>();
  std::vector<unsigned char> wild(static_cast<size_t>(pieces), 0);
  core::parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
    const core::Scratch scratch(winograd_scratch(all));
    for (int64_t i = begin; i < end; ++i) {
      WinogradArgs part = all;
      part.first = i * tiles / pieces;
      part.last = (i + 1) * tiles / pieces;
      float* const sum = sums + i * width;
      void* const operands[] = {sum,
                                data[1] ? sum + weights : nullptr,
                                data[2],
                                data[3],
                                scratch.as<void>(),
                                &wild[static_cast<size_t>(i)]};
      winograd_sums(operands, part);
    }
  });
  if (any_set(wild)) return false;
  add_up(sums, pieces, width);
  for_outputs({.channels = all.channels, .outputs = all.outputs}, [&](const auto& part) {
    void* const operands[] = {data[0], sums};
    winograd_gradient(operands, part);
  });
  if (data[1]) std::copy_n(sums + weights, all.outputs, static_cast<float*>(data[1]));
  return true;
}

}  // namespace

bool convolve_by_winograd(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args) {
  if (!fits(pass, args)) return false;
  return pass == ConvolutionPass::WeightGradient ? run_sums(data, args)
                                                 : run_images(pass, data, args);
}

}  // namespace tapegrad::kernels
