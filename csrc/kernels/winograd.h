// Parameters of 3 x 3 convolutions with stride 1 by Winograd's F(2 x 2, 3 x 3): for all pairs of
// channels, 16 products where the sum itself takes 36. Owns what one call does with a range of
// tiles; knows no threads, and not which convolutions are worth it.
//
// Note [Products of tiles]
// The output is cut into tiles of 2 x 2, each of which sees 4 x 4 of the input. Tile and weight
// are transformed to 16 places (sums and differences of pixels, halves of sums of weights), at each
// place the products over all channels are one matrix product, and sums of its results are the
// tile. A gradient of the input is the same with the weight turned round; the gradient of the
// weight sums the products of transformed tiles of both images over all tiles, at 16 places too.
//
// Errors are those of the sum but for a factor of about two, and no pixel reaches an output that
// does not see it. Infinities are another matter: their differences would give NaN where the sum
// gives an infinity. The kernels report them, and the caller computes the sum.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

inline constexpr int64_t kWinogradPlaces = 16;
inline constexpr int64_t kWinogradChannels = 16;  // what numbers of channels are multiples of

/// Images are channels-last; `channels` are those of the image that is read, `outputs` those of the
/// one that is written (or whose gradient is read).
struct WinogradArgs {
  int64_t channels = 0, outputs = 0;
  int64_t in[2] = {}, out[2] = {}, padding[2] = {};  // a negative padding leaves rows out
  int64_t first = 0, last = 0;                       // of the tiles of all samples

  int64_t tiles_of_sample() const { return ((out[0] + 1) / 2) * ((out[1] + 1) / 2); }
};

struct WinogradWeights {
  int64_t channels = 0, outputs = 0;
  int64_t first = 0, last = 0;  // of the outputs: multiples of kWinogradChannels
  bool turned = false;  // of the gradient of the input: (channels, outputs, 3, 3), turned round
};

constexpr int64_t kWinogradRows = 8;
constexpr int64_t kWinogradPad = 16;  // rows and places do not start at the same place of the cache
/// Tiles that are done at once: a multiple of kWinogradRows.
constexpr int64_t winograd_chunk(const WinogradArgs& args) {
  constexpr int64_t kFloats = int64_t{96} << 10;  // the second-level cache holds them
  const int64_t tile = kWinogradPlaces * (args.channels + args.outputs + 2 * kWinogradPad);
  const int64_t tiles = kFloats / tile / kWinogradRows * kWinogradRows;
  return tiles < 4 * kWinogradRows ? 4 * kWinogradRows : tiles;
}
/// Bytes of the scratch of one call.
constexpr size_t winograd_scratch(const WinogradArgs& args) {
  const int64_t tile = kWinogradPlaces * (args.channels + args.outputs + 2 * kWinogradPad);
  const int64_t zeros = args.channels < args.outputs ? args.outputs : args.channels;
  const int64_t pads = 2 * kWinogradPlaces * kWinogradPad;
  return static_cast<size_t>(winograd_chunk(args) * tile + pads + zeros) * sizeof(float);
}

// data: the transformed weight (outputs x channels at each place), the weight, whether one is not
// finite (a byte, set to 1 if so)
TAPEGRAD_KERNEL(winograd_weights, WinogradWeights)
// data: output, input, transformed weight, bias (or null), scratch, whether an input is not finite
TAPEGRAD_KERNEL(winograd_images, WinogradArgs)
// data: sums (channels x outputs at each place), sums of the gradient (outputs, or null), input,
// gradient of the output, scratch, whether one of these is not finite
TAPEGRAD_KERNEL(winograd_sums, WinogradArgs)
// data: gradient of the weight, sums
TAPEGRAD_KERNEL(winograd_gradient, WinogradWeights)

}  // namespace tapegrad::kernels
