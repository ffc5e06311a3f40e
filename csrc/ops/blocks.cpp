// Blocks of images as columns and back: nn.functional.unfold and fold.
#include "autograd/entry.h"
#include "core/launch.h"
#include "core/text.h"
#include "kernels/resample.h"
#include "ops/registry.h"
#include "tapegrad/error.h"
#include "tapegrad/ops.h"
#include "tapegrad/resample.h"

namespace tapegrad {
namespace {

using autograd::Inputs;
using autograd::Pull;
using namespace ops;
using kernels::Blocks;

/// Images (N, C, h, w) to columns (N, C kh kw, L), or with `kFold` back; each is the other's
/// derivative.
template <bool kFold>
struct BlocksRule : autograd::Rule {
  static constexpr const char* name = kFold ? "Col2Im" : "Im2Col";
  static constexpr bool linear = true;
  Blocks blocks;

  int64_t taps() const { return blocks.kh * blocks.kw; }
  Tensor forward(Inputs in) const {
    const Tensor from = contiguous(in[0]);
    const int64_t n = from.size(0);
    const Dims sizes = kFold ? Dims{n, from.size(1) / taps(), blocks.h, blocks.w}
                             : Dims{n, from.size(1) * taps(), blocks.oh * blocks.ow};
    Tensor result = core::make_tensor(sizes, from.dtype());
    Blocks p = blocks;
    p.planes = n * (kFold ? sizes[1] : from.size(1));
    p.is_double = from.dtype() == DType::Float64;
    if (result.numel() > 0) {
      core::launch(kFold ? &kernels::fold_blocks : &kernels::unfold_blocks,
                   {core::out(result), core::in(from)}, p);
    }
    return result;
  }
  void pull(Pull& p) const { p.set(0, autograd::enter(BlocksRule<!kFold>{{}, blocks}, p.grad())); }
  /// Samples are more images.
  Tensor batch(const autograd::Batch& b) const {
    const Tensor all = b.front(0);
    const Tensor result = autograd::enter(BlocksRule(*this), flatten(all, 0, 1));
    Dims sizes(result.sizes());
    sizes[0] = all.size(1);
    sizes.insert(0, all.size(0));
    return reshape(result, sizes);
  }
};

struct Pair {
  int64_t h;
  int64_t w;
};

Pair pair_of(const char* op, const char* argument, IntSpan values, int64_t least) {
  if (values.size() != 1 && values.size() != 2) {
    throw ShapeError(
        core::text(op, ": ", argument, " must be one int or a pair, got ", shape_string(values)));
  }
  const Pair pair{values.front(), values.back()};
  if (pair.h < least || pair.w < least) {
    throw ValueError(core::text(op, ": ", argument, " must be at least ", least, ", got ",
                                shape_string(values)));
  }
  return pair;
}

Blocks blocks_of(const char* op, Pair size, IntSpan kernel_size, IntSpan dilation, IntSpan padding,
                 IntSpan stride) {
  const Pair k = pair_of(op, "kernel_size", kernel_size, 1);
  const Pair d = pair_of(op, "dilation", dilation, 1);
  const Pair p = pair_of(op, "padding", padding, 0);
  const Pair s = pair_of(op, "stride", stride, 1);
  Blocks b;
  b.h = size.h, b.w = size.w;
  b.kh = k.h, b.kw = k.w;
  b.dilation_h = d.h, b.dilation_w = d.w;
  b.padding_h = p.h, b.padding_w = p.w;
  b.stride_h = s.h, b.stride_w = s.w;
  const auto positions = [](int64_t n, int64_t pad, int64_t kernel, int64_t gap, int64_t step) {
    const int64_t room = n + 2 * pad - gap * (kernel - 1) - 1;
    return room < 0 ? 0 : room / step + 1;
  };
  b.oh = positions(b.h, b.padding_h, b.kh, b.dilation_h, b.stride_h);
  b.ow = positions(b.w, b.padding_w, b.kw, b.dilation_w, b.stride_w);
  if (b.oh < 1 || b.ow < 1) {
    throw ShapeError(core::text(op, ": a block of kernel_size (", b.kh, ", ", b.kw,
                                ") and dilation (", b.dilation_h, ", ", b.dilation_w,
                                ") does not fit into images of (", b.h, ", ", b.w,
                                ") with padding (", b.padding_h, ", ", b.padding_w, ")"));
  }
  return b;
}

template <bool kFold>
Tensor run(const Tensor& input, const Blocks& blocks, bool batched) {
  const DType dtype = input.dtype();
  const Tensor x =
      to(batched ? input : unsqueeze(input, 0), is_half(dtype) ? DType::Float32 : dtype);
  const Tensor result = to(autograd::enter(BlocksRule<kFold>{{}, blocks}, x), dtype);
  return batched ? result : squeeze(result, 0);
}

void check_floating(const char* op, const Tensor& input) {
  if (is_floating_point(input.dtype())) return;
  throw DTypeError(core::text(op, ": expected a floating-point tensor, got a ",
                              core::describe(input), "; convert it with .float()"));
}

}  // namespace

Tensor im2col(const Tensor& input, IntSpan kernel_size, IntSpan dilation, IntSpan padding,
              IntSpan stride) {
  check_floating("unfold", input);
  if (input.dim() != 3 && input.dim() != 4) {
    throw ShapeError(core::text("unfold: expected images (N, C, H, W) or (C, H, W), got a ",
                                core::describe(input)));
  }
  const Blocks blocks =
      blocks_of("unfold", {input.size(-2), input.size(-1)}, kernel_size, dilation, padding, stride);
  return run<false>(input, blocks, input.dim() == 4);
}

Tensor col2im(const Tensor& input, IntSpan output_size, IntSpan kernel_size, IntSpan dilation,
              IntSpan padding, IntSpan stride) {
  check_floating("fold", input);
  if (input.dim() != 2 && input.dim() != 3) {
    throw ShapeError(core::text("fold: expected columns (N, C kh kw, L) or (C kh kw, L), got a ",
                                core::describe(input)));
  }
  const Pair size = pair_of("fold", "output_size", output_size, 1);
  const Blocks blocks = blocks_of("fold", size, kernel_size, dilation, padding, stride);
  if (input.size(-2) % (blocks.kh * blocks.kw) != 0) {
    throw ShapeError(core::text("fold: expected columns whose length is divisible by the ",
                                blocks.kh * blocks.kw, " pixels of kernel_size (", blocks.kh, ", ",
                                blocks.kw, "), got a ", core::describe(input)));
  }
  if (input.size(-1) != blocks.oh * blocks.ow) {
    throw ShapeError(core::text("fold: output_size (", blocks.h, ", ", blocks.w, ") has ",
                                blocks.oh, " x ", blocks.ow, " = ", blocks.oh * blocks.ow,
                                " positions of the block, but input has ", input.size(-1),
                                " columns: a ", core::describe(input)));
  }
  return run<true>(input, blocks, input.dim() == 3);
}

TAPEGRAD_OP(kNN,
            "unfold(Tensor input, int[1] kernel_size, int[1] dilation=1, int[1] padding=0, int[1] "
            "stride=1) -> Tensor",
            R"(The blocks of images as columns: (N, C, H, W) to (N, C kh kw, L).

Args:
    input: floating-point images (N, C, H, W) or (C, H, W)
    kernel_size: height and width of a block; here and below one number stands for both
    dilation: distance of a block's pixels
    padding: zeros around the images
    stride: distance of the blocks

Returns:
    a column for each of the L positions of the block

Raises:
    ShapeError: blocks that do not fit into the images

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.unfold(tg.arange(4.).reshape(1, 1, 2, 2), (1, 2))
    tensor([[[0., 2.],
             [1., 3.]]]))",
            &im2col);
TAPEGRAD_OP(
    kNN,
    "fold(Tensor input, int[1] output_size, int[1] kernel_size, int[1] dilation=1, int[1] "
    "padding=0, int[1] stride=1) -> Tensor",
    R"(Columns back into images, where blocks overlap as their sum: (N, C kh kw, L) to (N, C, *output_size).

The adjoint of unfold(), with the same arguments.

Args:
    input: floating-point columns (N, C kh kw, L) or (C kh kw, L)
    output_size: height and width of the images; here and below one number stands for both
    kernel_size: height and width of a block
    dilation: distance of a block's pixels
    padding: zeros around the images, which are cut off
    stride: distance of the blocks

Raises:
    ShapeError: columns whose length or number does not fit to the images

Example:
    >>> import tapegrad as tg
    >>> tg.nn.functional.fold(tg.ones(1, 2, 2), (1, 3), (1, 2))
    tensor([[[[1., 2., 1.]]]]))",
    &col2im);

}  // namespace tapegrad
