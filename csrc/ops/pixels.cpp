// Channels into pixels and back: pixel_shuffle, pixel_unshuffle, channel_shuffle.
#include "kernels/pixels.h"

#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/resample.h"

namespace tapegrad {
namespace {

using namespace ops;

void check_images(const char* op, const Tensor& input, const char* factor, int64_t r) {
  if (input.dim() < 3) {
    throw ShapeError(core::text(op, ": expected (*, C, H, W), at least 3 dimensions, got a ",
                                core::describe(input)));
  }
  if (r <= 0) throw ValueError(core::text(op, ": ", factor, " must be positive, got ", r));
}

/// The leading dimensions and then these.
Dims with_last(const Tensor& input, std::initializer_list<int64_t> last) {
  Dims sizes(IntSpan(input.sizes().data(), static_cast<size_t>(input.dim() - 3)));
  for (const int64_t size : last) sizes.push_back(size);
  return sizes;
}

/// (*, c r r, h, w) to (*, c, h r, w r), or with `kBack` the other way.
template <bool kBack>
struct PixelsRule : autograd::Rule {
  static constexpr const char* name = kBack ? "PixelUnshuffle" : "PixelShuffle";
  static constexpr bool linear = true;
  static constexpr bool leading = true;
  int64_t r = 1;

  Tensor forward(autograd::Inputs in) const {
    const Tensor x = contiguous(in[0]);
    const int64_t c = x.size(-3), h = x.size(-2), w = x.size(-1);
    const Dims sizes =
        kBack ? with_last(x, {c * r * r, h / r, w / r}) : with_last(x, {c / (r * r), h * r, w * r});
    Tensor result = core::make_tensor(sizes, x.dtype());
    if (result.numel() == 0) return result;
    kernels::ShufflePixels p;
    p.item_size = static_cast<int>(item_size(x.dtype()));
    p.back = kBack;
    p.rows = p.r = r;
    p.h = kBack ? h / r : h;
    p.w = kBack ? w / r : w;
    p.planes = x.numel() / (r * r * p.h * p.w);
    core::launch(&kernels::shuffle_pixels, {core::out(result), core::in(x)}, p);
    return result;
  }
  void pull(autograd::Pull& p) const {
    p.set(0, autograd::enter(PixelsRule<!kBack>{{}, r}, p.grad()));
  }
};

}  // namespace

Tensor pixel_shuffle(const Tensor& input, int64_t upscale_factor) {
  const int64_t r = upscale_factor;
  check_images("pixel_shuffle", input, "upscale_factor", r);
  const int64_t channels = input.size(-3);
  if (channels % (r * r) != 0) {
    throw ShapeError(
        core::text("pixel_shuffle: expected a number of channels divisible by "
                   "upscale_factor^2 = ",
                   r * r, ", got ", channels, " in the ", core::describe(input)));
  }
  return autograd::enter(PixelsRule<false>{{}, r}, input);
}

Tensor pixel_unshuffle(const Tensor& input, int64_t downscale_factor) {
  const int64_t r = downscale_factor;
  check_images("pixel_unshuffle", input, "downscale_factor", r);
  const int64_t h = input.size(-2), w = input.size(-1);
  if (h % r != 0 || w % r != 0) {
    throw ShapeError(
        core::text("pixel_unshuffle: expected a height and a width divisible by "
                   "downscale_factor = ",
                   r, ", got a ", core::describe(input)));
  }
  return autograd::enter(PixelsRule<true>{{}, r}, input);
}

Tensor channel_shuffle(const Tensor& input, int64_t groups) {
  if (input.dim() < 3) {
    throw ShapeError(
        core::text("channel_shuffle: expected (N, C, *), at least 3 dimensions, got a ",
                   core::describe(input)));
  }
  if (groups <= 0)
    throw ValueError(core::text("channel_shuffle: groups must be positive, got ", groups));
  const int64_t channels = input.size(1);
  if (channels % groups != 0) {
    throw ShapeError(
        core::text("channel_shuffle: expected a number of channels divisible by "
                   "groups = ",
                   groups, ", got ", channels, " in the ", core::describe(input)));
  }
  Dims sizes(input.sizes());
  sizes[1] = groups;
  sizes.insert(2, channels / groups);
  return reshape(transpose(reshape(input, sizes), 1, 2), input.sizes());
}

TAPEGRAD_OP(kFunction | kNN, "pixel_shuffle(Tensor input, int upscale_factor) -> Tensor",
            R"(Channels into pixels: (*, C r^2, H, W) to (*, C, H r, W r).

Args:
    input: a tensor of at least 3 dimensions
    upscale_factor: r

Raises:
    ShapeError: channels that r^2 does not divide

Example:
    >>> import tapegrad as tg
    >>> tg.pixel_shuffle(tg.arange(4.).reshape(1, 4, 1, 1), 2)
    tensor([[[[0., 1.],
              [2., 3.]]]]))",
            &pixel_shuffle);
TAPEGRAD_OP(kFunction | kNN, "pixel_unshuffle(Tensor input, int downscale_factor) -> Tensor",
            R"(Pixels into channels: (*, C, H r, W r) to (*, C r^2, H, W).

Args:
    input: a tensor of at least 3 dimensions
    downscale_factor: r

Raises:
    ShapeError: a height or width that r does not divide

Example:
    >>> import tapegrad as tg
    >>> tg.pixel_unshuffle(tg.arange(4.).reshape(1, 1, 2, 2), 2).flatten()
    tensor([0., 1., 2., 3.]))",
            &pixel_unshuffle);
TAPEGRAD_OP(
    kFunction | kNN, "channel_shuffle(Tensor input, int groups) -> Tensor",
    R"(Interleaves groups of channels: channel g n + i of (N, C, *) goes to i groups + g, with n = C / groups.

Args:
    input: a tensor of at least 3 dimensions
    groups: the number of groups

Raises:
    ShapeError: channels that groups does not divide

Example:
    >>> import tapegrad as tg
    >>> tg.channel_shuffle(tg.arange(4.).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.]))",
    &channel_shuffle);
TAPEGRAD_OP(kFunction | kNN, "native_channel_shuffle(Tensor input, int groups) -> Tensor",
            R"(The same as channel_shuffle().

Args:
    input: a tensor of at least 3 dimensions
    groups: the number of groups

Example:
    >>> import tapegrad as tg
    >>> tg.native_channel_shuffle(tg.arange(4.).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.]))",
            &channel_shuffle);

}  // namespace tapegrad
